/* SPDX-License-Identifier: MIT */
/*
 * mp/hpp/dict.hpp - dicts that programs share through a managerd, and transactions on them.
 *
 *	namespace step = mp::step;
 *	d.transact({step::at_least("left", 1), step::add("left", -1), step::set("last", me)})
 *
 * The contracts are those of mp/manager.h.
 */
#ifndef MP_HPP_DICT_HPP
#define MP_HPP_DICT_HPP

#include <mp/hpp/obj.hpp>

namespace mp
{

/* Steps of mp::dict::transact(), written in the call: like mp::arg they borrow. */
namespace step
{

/* These must hold. */
inline mp_dict_step equal(const arg &key, const arg &value) noexcept
{
	return {MP_DICT_EQUAL, key, value};
}

inline mp_dict_step at_least(const arg &key, const arg &number) noexcept
{
	return {MP_DICT_AT_LEAST, key, number};
}

inline mp_dict_step present(const arg &key) noexcept
{
	return {MP_DICT_PRESENT, key, mp_nil()};
}

inline mp_dict_step absent(const arg &key) noexcept
{
	return {MP_DICT_ABSENT, key, mp_nil()};
}

/* These are done. */
inline mp_dict_step set(const arg &key, const arg &value) noexcept
{
	return {MP_DICT_SET, key, value};
}

inline mp_dict_step add(const arg &key, const arg &number) noexcept
{
	return {MP_DICT_ADD, key, number};
}

inline mp_dict_step erase(const arg &key) noexcept
{
	return {MP_DICT_DELETE, key, mp_nil()};
}

/* The key goes after so long; it stays after all. */
inline mp_dict_step expire(const arg &key, std::chrono::milliseconds ttl) noexcept
{
	return {MP_DICT_EXPIRE, key, mp_i64(ttl.count())};
}

inline mp_dict_step persist(const arg &key) noexcept
{
	return {MP_DICT_PERSIST, key, mp_nil()};
}

/* Of lists, in mp::transact(). */
inline mp_dict_step append(const arg &value) noexcept
{
	return {MP_LIST_APPEND, mp_nil(), value};
}

inline mp_dict_step insert(std::int64_t index, const arg &value) noexcept
{
	return {MP_LIST_INSERT, mp_i64(index), value};
}

/* The object is of that version; for transact(). */
inline mp_dict_step version(std::int64_t version) noexcept
{
	return {MP_DICT_VERSION, mp_nil(), mp_i64(version)};
}

/*
 * One of the above, in mp::transact(), of that object: lists and arrays have indexes for keys, values
 * and counters nullptr.
 */
inline mp_transact_step of(const arg &object, const mp_dict_step &step) noexcept
{
	return {object, step.op, step.key, step.value};
}

} // namespace step

/* All of these or none, in one instant: transact({step::of(stock, step::add("left", -1)), ...}). */
inline result<void> transact(span<const mp_transact_step> steps)
{
	return result<void>(mp_transact(steps.data(), steps.size()));
}

/* One of many calls, written where they are made: like mp::arg it borrows. The arguments are a list. */
inline mp_call call_of(const arg &object, const char *method, const arg &args = nullptr) noexcept
{
	return {object, method, args, 0, mp_nil()};
}

/*
 * Many calls on one way to the daemon and back, each with a result of its own:
 *
 *	for (auto &r : mp::call_many({mp::call_of(stock, "add", mp::list_of("bolts", -1)),
 *		     mp::call_of(stock, "len")}))
 *		use(r.value());
 *
 * The sentence is there for the first that failed. What each returned besides 0, as MP_OWNER_DIED, stands
 * in the calls of mp_call_many().
 */
inline std::vector<result<obj>> call_many(span<const mp_call> calls, timeout t = nowait)
{
	std::vector<mp_call> made(calls.begin(), calls.end());
	std::vector<result<obj>> results;
	results.reserve(made.size()); /* nothing throws while the values have no owner */
	int first = mp_call_many(made.data(), made.size(), t.ms());
	for (mp_call &call : made) {
		if (call.result >= 0) {
			results.emplace_back(obj(call.value));
		} else if (call.result == first) {
			results.emplace_back(error(first));
			first = 0;
		} else {
			results.emplace_back(error(call.result, mp_strerror(call.result)));
		}
	}
	return results;
}

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
		return detail::fetched<T>(mp_dict_get, c(), key);
	}

	template <class T = obj> result<T> pop(const arg &key)
	{
		return detail::fetched<T>(mp_dict_pop, c(), key);
	}

	result<bool> contains(const arg &key)
	{
		return detail::yes(mp_dict_contains(c(), key));
	}

	/* code() 1: `value` was put. */
	result<obj> setdefault(const arg &key, const arg &value)
	{
		return detail::fetched(mp_dict_setdefault, c(), key, value);
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
		return detail::stored<std::size_t>(mp_dict_len, c());
	}

	/* Lists of keys or values, and a dict; copies of one instant. */
	result<obj> keys()
	{
		return detail::fetched(mp_dict_keys, c());
	}

	result<obj> values()
	{
		return detail::fetched(mp_dict_values, c());
	}

	result<obj> items()
	{
		return detail::fetched(mp_dict_items, c());
	}

	/* To the number under the key, or to 0: the sum. */
	template <class T = obj> result<T> add(const arg &key, const arg &number)
	{
		return detail::fetched<T>(mp_dict_add, c(), key, number);
	}

	/* true: the value was `expected` and is `value`. */
	result<bool> compare_and_swap(const arg &key, const arg &expected, const arg &value)
	{
		return detail::yes(mp_dict_compare_and_swap(c(), key, expected, value));
	}

	/* Those of a list of keys that are there, as a dict. */
	result<obj> get_many(const arg &keys)
	{
		return detail::fetched(mp_dict_get_many, c(), keys);
	}

	/* The pair that was put last, as a list of key and value. */
	result<obj> popitem()
	{
		return detail::fetched(mp_dict_popitem, c());
	}

	/* For so long: then it is as if the key had never been there. */
	result<void> set_for(const arg &key, const arg &value, std::chrono::milliseconds ttl)
	{
		return result<void>(mp_dict_set_for(c(), key, value, ttl.count()));
	}

	result<void> expire(const arg &key, std::chrono::milliseconds ttl)
	{
		return result<void>(mp_dict_expire(c(), key, ttl.count()));
	}

	/* true: it had an end. */
	result<bool> persist(const arg &key)
	{
		return detail::yes(mp_dict_persist(c(), key));
	}

	/* What is left of its time; none: it stays. */
	result<std::optional<std::chrono::milliseconds>> ttl(const arg &key)
	{
		std::int64_t ms;
		int r = mp_dict_ttl(c(), key, &ms);
		return detail::ttl(r, ms);
	}

	/* All of these or none, in one instant. -ESTALE something does not hold: look again. */
	result<void> transact(
		span<const mp_dict_step> steps, std::int64_t version = MP_DICT_ANY_VERSION)
	{
		return result<void>(mp_dict_transact(c(), version, steps.data(), steps.size()));
	}

	/* Another number after each change; watch() waits until it is another one than `version`. */
	result<std::int64_t> version()
	{
		return detail::stored<std::int64_t>(mp_dict_version, c());
	}

	result<std::int64_t> watch(std::int64_t version, timeout t = forever)
	{
		return detail::stored<std::int64_t>(mp_dict_watch, c(), version, t.ms());
	}
};

} // namespace mp

#endif
