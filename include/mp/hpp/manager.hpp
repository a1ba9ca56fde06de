/* SPDX-License-Identifier: MIT */
/*
 * mp/hpp/manager.hpp - objects served by managerd(8).
 *
 *	auto m = mp::manager::connect("unix:/run/managerd/managerd.sock").value();
 *	auto d = m.dict("visits").value();
 *	d.set("20210322.log", mp::dict_of("total", 1632, "ip", 341)).value();
 *
 * The contracts are those of mp/manager.h; other objects than dicts stand in mp/hpp/served.hpp.
 */
#ifndef MP_HPP_MANAGER_HPP
#define MP_HPP_MANAGER_HPP

#include <mp/hpp/served.hpp>

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

	result<served_event> event(const char *name)
	{
		return detail::made<served_event>(
			[&](mp_proxy **p) { return mp_manager_event(c(), name, p); });
	}

	result<served_semaphore> semaphore(const char *name, std::int64_t value)
	{
		return detail::made<served_semaphore>(
			[&](mp_proxy **p) { return mp_manager_semaphore(c(), name, value, p); });
	}

	result<served_semaphore> bounded_semaphore(const char *name, std::int64_t value)
	{
		return detail::made<served_semaphore>([&](mp_proxy **p) {
			return mp_manager_bounded_semaphore(c(), name, value, p);
		});
	}

	result<served_barrier> barrier(const char *name, int parties)
	{
		return detail::made<served_barrier>(
			[&](mp_proxy **p) { return mp_manager_barrier(c(), name, parties, p); });
	}

	/* With a served_lock or served_rlock, or an rlock of its own. */
	result<served_condition> condition(const char *name)
	{
		return detail::made<served_condition>(
			[&](mp_proxy **p) { return mp_manager_condition(c(), name, nullptr, p); });
	}

	template <class Lock> result<served_condition> condition(const char *name, const Lock &lock)
	{
		return detail::made<served_condition>(
			[&](mp_proxy **p) { return mp_manager_condition(c(), name, lock.c(), p); });
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
