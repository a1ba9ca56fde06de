/* SPDX-License-Identifier: MIT */
/*
 * mp/hpp/pool.hpp - pools, futures, maps.
 *
 *	auto pool = mp::pool::make({.workers = 4}).value();
 *	auto f = pool.submit([](std::int64_t n) { return n * n; }, 12).value();
 *	auto n = f.get<std::int64_t>(10s).value();
 *
 * Tasks run in workers, and are functions as mp/hpp/call.hpp tells. Callbacks and sources run in
 * this process and may capture what they like; what they throw ends the program, since it would
 * have to pass through C.
 */
#ifndef MP_HPP_POOL_HPP
#define MP_HPP_POOL_HPP

#include <mp/hpp/call.hpp>

#include <optional>

namespace mp
{

/* --- futures --------------------------------------------------------------------------------- */

/* How a task failed. The sentence is valid as long as its future. */
struct task_failure {
	int code;
	std::string_view message;
	obj detail;
};

class future : public detail::handle<future, mp_future>
{
      public:
	/* The result, or the task's error. Each call gives a copy of its own. */
	template <class T = obj> result<T> get(timeout t = forever)
	{
		return detail::fetched<T>(mp_future_result, c(), t.ms());
	}

	/* Wait only. */
	result<void> wait(timeout t = forever)
	{
		int r = mp_future_error(c(), t.ms(), nullptr);
		return result<void>(r < 0 ? r : 0);
	}

	/* Nothing if it succeeded. */
	result<std::optional<task_failure>> why_failed(timeout t = forever)
	{
		mp_failure f;
		int r = mp_future_error(c(), t.ms(), &f);
		if (r < 0)
			return error(r);
		std::optional<task_failure> why;
		if (r > 0)
			why.emplace(task_failure{f.code, f.message, obj(f.detail)});
		return why;
	}

	/* MP_FUTURE_..., or a negative error. */
	int state()
	{
		return mp_future_state(c());
	}

	result<bool> done()
	{
		return detail::yes(mp_future_done(c()));
	}

	result<bool> running()
	{
		return detail::yes(mp_future_running(c()));
	}

	result<bool> cancelled()
	{
		return detail::yes(mp_future_cancelled(c()));
	}

	/* true: it will never run, or is ended; false: it is running, and has been told. */
	result<bool> cancel(int flags = 0)
	{
		return detail::yes(mp_future_cancel(c(), flags));
	}

	result<mp_crash> crash(int n = 0)
	{
		mp_crash crash;
		int r = mp_future_crash(c(), n, &crash);
		if (r < 0)
			return error(r);
		return crash;
	}

	/* Call f(future) once, when the task has ended. It is kept until then. */
	template <class F> result<void> on_done(F f)
	{
		auto kept = std::unique_ptr<F>(new (std::nothrow) F(std::move(f)));
		if (!kept)
			return error(-ENOMEM, "a callback found no memory");
		int r = mp_future_add_done_callback(
			c(),
			[](mp_future *raw, void *data) noexcept {
				std::unique_ptr<F> call(static_cast<F *>(data));
				borrowed<future> self(raw);
				(*call)(*self);
			},
			kept.get());
		if (r >= 0)
			(void)kept.release();
		return result<void>(r);
	}
};

namespace detail
{

/* An array of handles is an array of pointers, as the C API wants it. */
static_assert(sizeof(future) == sizeof(mp_future *) && std::is_standard_layout_v<future>);

inline mp_future *const *pointers(span<future> futures) noexcept
{
	return reinterpret_cast<mp_future *const *>(futures.data());
}

} // namespace detail

/* How many have ended: MP_WAIT_ALL, _FIRST, _FIRST_ERROR. */
inline result<int> wait_for(span<future> futures, int wait_for = MP_WAIT_ALL, timeout t = forever)
{
	return detail::number(
		mp_future_wait(detail::pointers(futures), futures.size(), wait_for, t.ms()));
}

/* Futures in the order in which they end. They have to stay where they are meanwhile. */
class as_completed : public detail::handle<as_completed, mp_as_completed>
{
      public:
	static result<as_completed> make(span<future> futures)
	{
		return detail::made<as_completed>([&](mp_as_completed **p) {
			return mp_as_completed_new(detail::pointers(futures), futures.size(), p);
		});
	}

	/* The next one; nothing when all were given. */
	result<std::optional<borrowed<future>>> next(timeout t = forever)
	{
		mp_future *f;
		int r = mp_as_completed_next(c(), t.ms(), &f);
		if (r < 0)
			return error(r);
		std::optional<borrowed<future>> next;
		if (r > 0)
			next.emplace(f);
		return next;
	}
};

/* --- maps ------------------------------------------------------------------------------------ */

/* Results one by one, while items are pulled from a source. */
class imap : public detail::handle<imap, mp_imap>
{
	std::shared_ptr<void> source_; /* shared: it is destroyed as what it is */
	friend class pool;

      public:
	imap() noexcept = default;
	imap(imap &&) noexcept = default;

	imap &operator=(imap &&other) noexcept
	{
		handle::operator=(std::move(other)); /* before its source goes */
		source_ = std::move(other.source_);
		return *this;
	}

	~imap()
	{
		reset();
	}

	/* The next result, which may be an item's error; nothing when there are no more. */
	result<std::optional<obj>> next(timeout t = forever)
	{
		mp_obj o;
		int r = mp_imap_next(c(), t.ms(), &o);
		if (r < 0)
			return error(r);
		std::optional<obj> next;
		if (r > 0)
			next.emplace(obj(o));
		return next;
	}
};

namespace detail
{

/* A source in C++ gives std::optional of anything; what owns its memory is copied or moved. */
template <class Source> int pull(void *data, mp_obj *ret) noexcept
{
	auto item = (*static_cast<Source *>(data))();

	if (!item)
		return 0;
	int r = deliver(std::move(*item), ret);
	return r < 0 ? r : 1;
}

template <class F> int run_body(const mp_range *range)
{
	return guarded("loop", [&]() -> int {
		using returns = decltype(stateless<F>()(*range));
		if constexpr (std::is_void_v<returns>) {
			stateless<F>()(*range);
			return 0;
		} else if constexpr (is_result<returns>::value) {
			auto r = stateless<F>()(*range);
			return r ? 0 : mp_error_set(r.code(), "%s", r.error().detail());
		} else {
			return stateless<F>()(*range);
		}
	});
}

} // namespace detail

/* --- pools ----------------------------------------------------------------------------------- */

class pool : public detail::handle<pool, mp_pool>
{
	template <class F>
	result<future> submit_(const mp_task_options &o, const F &f, const mp_obj &list)
	{
		int r = detail::check_call<mp_task *>(f, list);
		if (r < 0)
			return error(r);
		auto options = detail::sized(o);
		return detail::made<future>([&](mp_future **p) {
			return mp_pool_submit_with(c(), detail::task_of(f), list, &options, p);
		});
	}

      public:
	static result<pool> make(const mp_pool_options &o = {})
	{
		auto options = detail::sized(o);
		return detail::made<pool>([&](mp_pool **p) { return mp_pool_new(&options, p); });
	}

	/* Have f run with these arguments, which are copied. */
	template <class F, class... A,
		class = std::enable_if_t<!std::is_same_v<F, mp_task_options>>>
	result<future> submit(F f, A &&...a)
	{
		return submit_(mp_task_options(), f, list_of(std::forward<A>(a)...));
	}

	template <class F, class... A> result<future> submit(mp_task_options options, F f, A &&...a)
	{
		return submit_(options, f, list_of(std::forward<A>(a)...));
	}

	/* Run it and wait: apply<int>(10s, f, 12). */
	template <class T = obj, class F, class... A> result<T> apply(timeout t, F f, A &&...a)
	{
		auto list = list_of(std::forward<A>(a)...);
		int r = detail::check_call<mp_task *>(f, list);
		mp_obj o;
		if (r >= 0)
			r = mp_pool_apply(c(), detail::task_of(f), list, t.ms(), &o);
		return detail::owned_as<T>(r, o);
	}

	/*
	 * f for each item, in order: map<int>(f, numbers). With .star each item is a list of
	 * arguments.
	 */
	template <class T = obj, class F, class Items>
	result<std::vector<T>> map(F f, const Items &items, const mp_map_options &o = {})
	{
		std::vector<mp_obj> in = borrow_(items);
		std::vector<mp_obj> raw(in.size());
		auto options = detail::sized(o);
		int r = mp_pool_map_with(
			c(), detail::task_of(f), in.data(), in.size(), &options, raw.data());
		if (r < 0)
			return error(r);
		return owned_<T>(raw);
	}

	/* The future's result is the list of results. */
	template <class F, class Items>
	result<future> map_async(F f, const Items &items, const mp_map_options &o = {})
	{
		std::vector<mp_obj> in = borrow_(items);
		auto options = detail::sized(o);
		return detail::made<future>([&](mp_future **p) {
			return mp_pool_map_async(
				c(), detail::task_of(f), in.data(), in.size(), &options, p);
		});
	}

	/*
	 * f for each item that source() gives: std::optional of something, nothing at the end. It
	 * is called as results are taken, and lives as long as the iterator.
	 */
	template <class F, class Source>
	result<mp::imap> imap(F f, Source source, const mp_imap_options &o = {})
	{
		auto kept = std::make_shared<Source>(std::move(source));
		auto options = detail::sized(o);
		auto it = detail::made<mp::imap>([&](mp_imap **p) {
			return mp_pool_imap(c(), detail::task_of(f), detail::pull<Source>,
				kept.get(), &options, p);
		});
		if (it)
			it->source_ = std::move(kept);
		return it;
	}

	/* f(const mp_range &) for pieces of 0 ... n - 1. Memory as mp_pool_for() tells. */
	template <class F>
	result<void> for_each(
		std::size_t n, F f, void *context = nullptr, const mp_for_options &o = {})
	{
		auto options = detail::sized(o);
		mp_body *body;
		if constexpr (std::is_convertible_v<F, mp_body *>) {
			body = f;
		} else {
			(void)f;
			detail::must_be_a_function<F>();
			body = detail::run_body<F>;
		}
		return result<void>(mp_pool_for(c(), body, n, context, &options));
	}

	result<int> workers()
	{
		return detail::number(mp_pool_workers(c()));
	}

	/* enum mp_pool_limits: what keeps worker_memory and worker_cpu. */
	result<int> limited_by()
	{
		return detail::number(mp_pool_limited_by(c()));
	}

	result<void> join(timeout t = forever)
	{
		return result<void>(mp_pool_join(c(), t.ms()));
	}

	result<void> shutdown(int flags = 0)
	{
		return result<void>(mp_pool_shutdown(c(), flags));
	}

	result<void> terminate()
	{
		return result<void>(mp_pool_terminate(c()));
	}

      private:
	template <class Items> static std::vector<mp_obj> borrow_(const Items &items)
	{
		std::vector<mp_obj> in;
		in.reserve(std::size(items));
		for (const auto &item : items)
			in.push_back(arg(item));
		return in;
	}

	template <class T> static result<std::vector<T>> owned_(const std::vector<mp_obj> &raw)
	{
		static_assert(!detail::borrows<T>, "this would point into a value that is gone");
		std::vector<obj> out;
		out.reserve(raw.size());
		for (const mp_obj &o : raw)
			out.emplace_back(o);
		if constexpr (std::is_same_v<T, obj>) {
			return out;
		} else {
			std::vector<T> as;
			as.reserve(out.size());
			for (const obj &o : out) {
				auto value = o.template as<T>();
				if (!value)
					return value.error();
				as.push_back(*std::move(value));
			}
			return as;
		}
	}
};

} // namespace mp

#endif
