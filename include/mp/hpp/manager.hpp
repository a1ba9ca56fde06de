/* SPDX-License-Identifier: MIT */
/*
 * mp/hpp/manager.hpp - objects served by managerd(8).
 *
 *	auto m = mp::manager::connect("unix:/run/managerd/managerd.sock").value();
 *	auto d = m.dict("visits").value();
 *	d.set("20210322.log", mp::dict_of("total", 1632, "ip", 341)).value();
 *
 * The contracts are those of mp/manager.h, mp/proxy.h and mp/served.h.
 */
#ifndef MP_HPP_MANAGER_HPP
#define MP_HPP_MANAGER_HPP

#include <mp/hpp/sync.hpp>

namespace mp
{

class dict : public detail::handle<dict, mp_dict>
{
      public:
	result<void> set(const arg &key, const arg &value)
	{
		return result<void>(mp_dict_set(c(), key, value));
	}

	/* -ENOENT no such key. */
	template <class T = obj> result<T> get(const arg &key)
	{
		mp_obj o;
		int r = mp_dict_get(c(), key, &o);
		return detail::owned_as<T>(r, o);
	}

	template <class T = obj> result<T> pop(const arg &key)
	{
		mp_obj o;
		int r = mp_dict_pop(c(), key, &o);
		return detail::owned_as<T>(r, o);
	}

	result<bool> contains(const arg &key)
	{
		return detail::yes(mp_dict_contains(c(), key));
	}

	/* code() 1: `value` was put. */
	result<obj> setdefault(const arg &key, const arg &value)
	{
		mp_obj o;
		int r = mp_dict_setdefault(c(), key, value, &o);
		return detail::owned(r, o);
	}

	/* All pairs at once: update(mp::dict_of(...)). */
	result<void> update(const arg &pairs)
	{
		return result<void>(mp_dict_update(c(), pairs));
	}

	result<void> clear()
	{
		return result<void>(mp_dict_clear(c()));
	}

	result<std::size_t> size()
	{
		std::size_t n;
		int r = mp_dict_len(c(), &n);
		if (r < 0)
			return error(r);
		return n;
	}

	/* Lists of keys or values, and a dict; copies of one instant. */
	result<obj> keys()
	{
		mp_obj o;
		int r = mp_dict_keys(c(), &o);
		return detail::owned(r, o);
	}

	result<obj> values()
	{
		mp_obj o;
		int r = mp_dict_values(c(), &o);
		return detail::owned(r, o);
	}

	result<obj> items()
	{
		mp_obj o;
		int r = mp_dict_items(c(), &o);
		return detail::owned(r, o);
	}
};

/* Any object of a managerd, by the names of its methods; calls are those of mp/proxy.h. */
class proxy : public detail::handle<proxy, mp_proxy>
{
      public:
	/* code(): MP_OWNER_DIED. `t` counts for methods that wait. */
	template <class... A> result<obj> call(timeout t, const char *method, A &&...a)
	{
		auto args = list_of(std::forward<A>(a)...);
		mp_obj o;
		int r = mp_proxy_call(c(), method, args, t.ms(), &o);
		return detail::owned(r, o);
	}

	const char *type() const noexcept
	{
		return mp_proxy_type(c());
	}

	friend bool operator==(const proxy &a, const proxy &b) noexcept
	{
		return mp_proxy_equal(a.c(), b.c()) == 1;
	}

	friend bool operator!=(const proxy &a, const proxy &b) noexcept
	{
		return !(a == b);
	}
};

namespace detail
{

/* The guard's code() is MP_OWNER_DIED or 0; the fence grows with every holder. */
template <class Self, auto Acquire, int (*Release)(mp_proxy *), auto Locked>
class served_lock_base : public handle<Self, mp_proxy>
{
      public:
	using guard = held<mp_proxy, Release>;

	result<guard> hold(timeout t = forever, std::int64_t *ret_fence = nullptr)
	{
		return detail::hold<mp_proxy, Release>(
			this->c(), Acquire(this->c(), t.ms(), ret_fence));
	}

	result<bool> locked()
	{
		return yes(Locked(this->c()));
	}
};

} // namespace detail

class served_lock : public detail::served_lock_base<served_lock, mp_served_lock_acquire,
			    mp_served_lock_release, mp_served_lock_locked>
{
      public:
	static constexpr const char *served_type = "lock";
};

class served_rlock : public detail::served_lock_base<served_rlock, mp_served_rlock_acquire,
			     mp_served_rlock_release, mp_served_rlock_locked>
{
      public:
	static constexpr const char *served_type = "rlock";
};

class served_value : public detail::handle<served_value, mp_proxy>
{
      public:
	static constexpr const char *served_type = "value";

	template <class T = obj> result<T> get()
	{
		mp_obj o;
		int r = mp_served_value_get(c(), &o);
		return detail::owned_as<T>(r, o);
	}

	result<void> set(const arg &content)
	{
		return result<void>(mp_served_value_set(c(), content));
	}

	template <class T = obj> result<T> exchange(const arg &content)
	{
		mp_obj o;
		int r = mp_served_value_exchange(c(), content, &o);
		return detail::owned_as<T>(r, o);
	}
};

class counter : public detail::handle<counter, mp_proxy>
{
      public:
	static constexpr const char *served_type = "counter";

	result<std::int64_t> get()
	{
		std::int64_t n;
		int r = mp_counter_get(c(), &n);
		if (r < 0)
			return error(r);
		return n;
	}

	result<void> set(std::int64_t n)
	{
		return result<void>(mp_counter_set(c(), n));
	}

	/* The sum. */
	result<std::int64_t> add(std::int64_t n)
	{
		std::int64_t sum;
		int r = mp_counter_add(c(), n, &sum);
		if (r < 0)
			return error(r);
		return sum;
	}

	/* true: it was `expected` and is n. */
	result<bool> compare_and_swap(std::int64_t expected, std::int64_t n)
	{
		return detail::yes(mp_counter_compare_and_swap(c(), expected, n, nullptr));
	}
};

namespace detail
{

template <class T> struct fits<T, std::void_t<decltype(T::served_type)>> {
	static bool check(mp_proxy *p) noexcept
	{
		return std::strcmp(mp_proxy_type(p), T::served_type) == 0;
	}
};

} // namespace detail

class manager : public detail::handle<manager, mp_manager>
{
      public:
	/* A private managerd. */
	static result<manager> start(const mp_manager_options &o = {})
	{
		auto options = detail::sized(o);
		return detail::made<manager>(
			[&](mp_manager **p) { return mp_manager_start(&options, p); });
	}

	static result<manager> connect(const char *address, const mp_manager_options &o = {})
	{
		auto options = detail::sized(o);
		return detail::made<manager>(
			[&](mp_manager **p) { return mp_manager_connect(address, &options, p); });
	}

	result<void> ping()
	{
		return result<void>(mp_manager_ping(c()));
	}

	result<int> pid()
	{
		return detail::number(mp_manager_pid(c()));
	}

	/* Any object: open("counter", "n", mp::list_of(5)); nil for no arguments. */
	result<proxy> open(const char *type, const char *name, const arg &args = nullptr)
	{
		return detail::made<proxy>(
			[&](mp_proxy **p) { return mp_manager_open(c(), type, name, args, p); });
	}

	result<served_lock> lock(const char *name)
	{
		return detail::made<served_lock>(
			[&](mp_proxy **p) { return mp_manager_lock(c(), name, p); });
	}

	result<served_rlock> rlock(const char *name)
	{
		return detail::made<served_rlock>(
			[&](mp_proxy **p) { return mp_manager_rlock(c(), name, p); });
	}

	result<served_value> value(const char *name, const arg &initial)
	{
		return detail::made<served_value>(
			[&](mp_proxy **p) { return mp_manager_value(c(), name, initial, p); });
	}

	result<mp::counter> counter(const char *name, std::int64_t initial = 0)
	{
		return detail::made<mp::counter>(
			[&](mp_proxy **p) { return mp_manager_counter(c(), name, initial, p); });
	}

	/* NULL: a new one without a name. */
	result<mp::dict> dict(const char *name)
	{
		return detail::made<mp::dict>(
			[&](mp_dict **p) { return mp_manager_dict(c(), name, p); });
	}
};

} // namespace mp

#endif
