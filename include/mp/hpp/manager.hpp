/* SPDX-License-Identifier: MIT */
/*
 * mp/hpp/manager.hpp - objects served by managerd(8).
 *
 *	auto m = mp::manager::connect("unix:/run/managerd/managerd.sock").value();
 *	auto d = m.dict("visits").value();
 *	d.set("20210322.log", mp::dict_of("total", 1632, "ip", 341)).value();
 *
 * The contracts are those of mp/manager.h; the objects stand in mp/hpp/dict.hpp,
 * mp/hpp/served_list.hpp and mp/hpp/served.hpp.
 */
#ifndef MP_HPP_MANAGER_HPP
#define MP_HPP_MANAGER_HPP

#include <mp/hpp/dict.hpp>
#include <mp/hpp/served_list.hpp>

namespace mp
{

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

	/* What is there, some at a time: `after` is 0 at first, goes on, and is 0 at the end. */
	result<obj> objects(std::uint64_t &after, const mp_objects_options &o = {})
	{
		auto options = detail::sized(o);
		return detail::fetched(mp_manager_objects, c(), &options, &after);
	}

	result<obj> clients()
	{
		return detail::fetched(mp_manager_clients, c());
	}

	result<obj> holds()
	{
		return detail::fetched(mp_manager_holds, c());
	}

	result<std::string> stats()
	{
		return detail::fetched<std::string>(mp_manager_stats, c());
	}

	result<void> unlink(const char *name)
	{
		return result<void>(mp_manager_unlink(c(), name));
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

	/* Of items of that type, a letter; a list of them, or how many zeros. */
	result<served_array> array(const char *name, char type, const arg &initial)
	{
		return detail::made<served_array>([&](mp_proxy **p) {
			return mp_manager_array(c(), name, type, initial, p);
		});
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

	result<served_list> list(const char *name)
	{
		return detail::made<served_list>(
			[&](mp_proxy **p) { return mp_manager_list(c(), name, p); });
	}

	/* mp_manager_namespace(), whose name is a word of C++. */
	result<served_namespace> attributes(const char *name)
	{
		return detail::made<served_namespace>(
			[&](mp_proxy **p) { return mp_manager_namespace(c(), name, p); });
	}

	result<served_queue> queue(const char *name, const mp_queue_options &o = {})
	{
		auto options = detail::sized(o);
		return detail::made<served_queue>(
			[&](mp_proxy **p) { return mp_manager_queue(c(), name, &options, p); });
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
