/* SPDX-License-Identifier: MIT */
/*
 * mp/hpp/process.hpp - child processes.
 *
 *	auto p = mp::process::launch([](int n) { return n; }, 7);
 *	p.value().join(10s).value();
 *
 * What can be a target is told in mp/hpp/call.hpp. An mp::process that goes while its child runs
 * leaves the child alone and its handle with the library, as Python does: mp::children() still
 * shows it, and after mp_begin() the end of the program waits for it.
 */
#ifndef MP_HPP_PROCESS_HPP
#define MP_HPP_PROCESS_HPP

#include <mp/hpp/call.hpp>

namespace mp
{

class process : public detail::handle<process, mp_process>
{
	template <class F>
	static result<process> make_(const mp_process_options &o, const F &f, const mp_obj &list)
	{
		int r = detail::check_call<mp_target *>(f, list);
		if (r < 0)
			return error(r);
		auto options = detail::sized(o);
		return detail::made<process>([&](mp_process **p) {
			return mp_process_new(detail::target_of(f), list, &options, p);
		});
	}

      public:
	/*
	 * Describe a child: what it runs, and the arguments, which are copied. As mp_process_new().
	 */
	template <class F, class... A,
		class = std::enable_if_t<!std::is_same_v<F, mp_process_options>>>
	static result<process> make(F f, A &&...a)
	{
		return make_(mp_process_options(), f, list_of(std::forward<A>(a)...));
	}

	/*
	 * With options: make({.name = "x"}, ...), or an mp_process_options. Their size need not be
	 * set.
	 */
	template <class F, class... A>
	static result<process> make(mp_process_options options, F f, A &&...a)
	{
		return make_(options, f, list_of(std::forward<A>(a)...));
	}

	/* Describe and start. */
	template <class F, class... A,
		class = std::enable_if_t<!std::is_same_v<F, mp_process_options>>>
	static result<process> launch(F f, A &&...a)
	{
		return started(make(f, std::forward<A>(a)...));
	}

	template <class F, class... A>
	static result<process> launch(mp_process_options options, F f, A &&...a)
	{
		return started(make(options, f, std::forward<A>(a)...));
	}

	result<void> start()
	{
		return result<void>(mp_process_start(c()));
	}

	result<void> join(timeout t = forever)
	{
		return result<void>(mp_process_join(c(), t.ms()));
	}

	result<bool> is_alive()
	{
		return detail::yes(mp_process_is_alive(c()));
	}

	/* n of a target that returned n, -N after signal N. */
	result<int> exit_code()
	{
		int code;
		int r = mp_process_exit_code(c(), &code);
		if (r < 0)
			return error(r);
		return code;
	}

	result<struct rusage> usage()
	{
		struct rusage usage;
		int r = mp_process_usage(c(), &usage);
		if (r < 0)
			return error(r);
		return usage;
	}

	result<int> pid()
	{
		return detail::number(mp_process_pid(c()));
	}

	result<int> sentinel()
	{
		return detail::number(mp_process_sentinel(c()));
	}

	const char *name() const noexcept
	{
		return mp_process_name(c());
	}

	result<void> signal(int number)
	{
		return result<void>(mp_process_signal(c(), number));
	}

	result<void> interrupt()
	{
		return result<void>(mp_process_interrupt(c()));
	}

	result<void> terminate()
	{
		return result<void>(mp_process_terminate(c()));
	}

	result<void> kill()
	{
		return result<void>(mp_process_kill(c()));
	}

      private:
	static result<process> started(result<process> p)
	{
		if (p) {
			int r = mp_process_start(p->c());
			if (r < 0)
				return error(r);
		}
		return p;
	}
};

/* The children that run, oldest first; the handles stay with those who made them. */
inline result<std::vector<borrowed<process>>> children()
{
	std::vector<mp_process *> raw;
	int n = mp_process_children(nullptr, 0);

	while (n > static_cast<int>(raw.size())) {
		raw.resize(static_cast<std::size_t>(n));
		n = mp_process_children(raw.data(), raw.size());
	}
	if (n < 0)
		return error(n);
	raw.resize(static_cast<std::size_t>(n));
	return std::vector<borrowed<process>>(raw.begin(), raw.end());
}

/*
 * What the fork server does before it serves: 0, or a negative error. As mp_forkserver_preload().
 */
template <class F, class... A> result<void> forkserver_preload(F f, A &&...a)
{
	auto list = list_of(std::forward<A>(a)...);
	int r = detail::check_call<mp_target *>(f, list);

	if (r >= 0)
		r = mp_forkserver_preload(detail::target_of(f), list);
	return result<void>(r);
}

} // namespace mp

#endif
