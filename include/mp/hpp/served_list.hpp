/* SPDX-License-Identifier: MIT */
/*
 * mp/hpp/served_list.hpp - lists, namespaces and queues that programs share through a managerd.
 *
 *	auto pages = m.list("pages").value();
 *	pages.append("index.html").value();
 *	auto last = pages.get<std::string>(-1).value();
 *
 * The contracts are those of mp/list.h and mp/served_queue.h: each call is one request, and others
 * see all of it or nothing.
 */
#ifndef MP_HPP_SERVED_LIST_HPP
#define MP_HPP_SERVED_LIST_HPP

#include <mp/hpp/served.hpp>

namespace mp
{

/* An end of a slice: the one that lies in its direction. */
inline constexpr std::int64_t list_end = MP_LIST_END;

namespace detail
{

/* What lists and arrays have in common: items in a row, each known by its index. */
template <class Self, auto Get, auto Set, auto Add, auto CompareAndSwap, auto Items, auto Len>
class served_row : public served<Self>
{
      public:
	/* Indexes below 0 count from the end. -ERANGE there is no such item. */
	template <class T = obj> result<T> get(std::int64_t index)
	{
		return fetched<T>(Get, this->c(), index);
	}

	result<void> set(std::int64_t index, const arg &value)
	{
		return result<void>(Set(this->c(), index, value));
	}

	/* To the number there: the sum. */
	template <class T = obj> result<T> add(std::int64_t index, const arg &number)
	{
		return fetched<T>(Add, this->c(), index, number);
	}

	/* true: the item was `expected` and is `value`. */
	result<bool> compare_and_swap(std::int64_t index, const arg &expected, const arg &value)
	{
		return yes(CompareAndSwap(this->c(), index, expected, value));
	}

	/* A copy of the whole at one instant. */
	result<obj> items()
	{
		return fetched(Items, this->c());
	}

	result<std::size_t> size()
	{
		return stored<std::size_t>(Len, this->c());
	}
};

} // namespace detail

class served_list : public detail::served_row<served_list, mp_list_get, mp_list_set, mp_list_add,
			    mp_list_compare_and_swap, mp_list_items, mp_list_len>
{
      public:
	static constexpr const char *served_type = "list";

	template <class T = obj> result<T> pop(std::int64_t index = -1)
	{
		return detail::fetched<T>(mp_list_pop, c(), index);
	}

	result<void> append(const arg &value)
	{
		return result<void>(mp_list_append(c(), value));
	}

	result<void> insert(std::int64_t index, const arg &value)
	{
		return result<void>(mp_list_insert(c(), index, value));
	}

	/* The item goes; its value is not sent. */
	result<void> erase(std::int64_t index)
	{
		return result<void>(mp_list_delete(c(), index));
	}

	/* The first that equals it. -ENOENT none does. */
	result<void> remove(const arg &value)
	{
		return result<void>(mp_list_remove(c(), value));
	}

	result<std::size_t> index(const arg &value)
	{
		return detail::stored<std::size_t>(mp_list_index, c(), value);
	}

	result<std::size_t> index(
		const arg &value, std::int64_t start, std::int64_t stop = list_end)
	{
		return detail::stored<std::size_t>(mp_list_index_in, c(), value, start, stop);
	}

	result<std::size_t> count(const arg &value)
	{
		return detail::stored<std::size_t>(mp_list_count, c(), value);
	}

	result<bool> contains(const arg &value)
	{
		return detail::yes(mp_list_contains(c(), value));
	}

	result<void> clear()
	{
		return result<void>(mp_list_clear(c()));
	}

	result<void> reverse()
	{
		return result<void>(mp_list_reverse(c()));
	}

	result<void> sort(bool descending = false)
	{
		return result<void>(mp_list_sort(c(), descending));
	}

	/* All items of a list: extend(mp::list_of(1, 2)). */
	result<void> extend(const arg &values)
	{
		return result<void>(mp_list_extend(c(), values));
	}

	result<void> multiply(std::int64_t n)
	{
		return result<void>(mp_list_multiply(c(), n));
	}

	/* slice(1, 3) are the items 1 and 2; slice(0, mp::list_end, 2) every second one. */
	result<obj> slice(std::int64_t start, std::int64_t stop = list_end, std::int64_t step = 1)
	{
		return detail::fetched(mp_list_slice, c(), start, stop, step);
	}

	result<void> set_slice(
		std::int64_t start, std::int64_t stop, std::int64_t step, const arg &values)
	{
		return result<void>(mp_list_set_slice(c(), start, stop, step, values));
	}

	result<void> erase_slice(
		std::int64_t start, std::int64_t stop = list_end, std::int64_t step = 1)
	{
		return result<void>(mp_list_delete_slice(c(), start, stop, step));
	}
};

/* Numbers of one type in a row; slices are mp_slice: MP_SLICE(0, 10). */
class served_array
    : public detail::served_row<served_array, mp_served_array_get, mp_served_array_set,
	      mp_served_array_add, mp_served_array_compare_and_swap, mp_served_array_items,
	      mp_served_array_len>
{
      public:
	static constexpr const char *served_type = "array";

	result<obj> slice(mp_slice which)
	{
		return detail::fetched(mp_served_array_get_slice, c(), which);
	}

	/* As many numbers as the slice has. */
	result<void> set_slice(mp_slice which, const arg &numbers)
	{
		return result<void>(mp_served_array_set_slice(c(), which, numbers));
	}

	/* The letter of the type of its items. */
	result<int> item_type()
	{
		return detail::number(mp_served_array_type(c()));
	}
};

class served_namespace : public detail::served<served_namespace>
{
      public:
	static constexpr const char *served_type = "namespace";

	/* -ENOENT it has no such attribute. */
	template <class T = obj> result<T> get(const char *attribute)
	{
		return detail::fetched<T>(mp_namespace_get, c(), attribute);
	}

	result<void> set(const char *attribute, const arg &value)
	{
		return result<void>(mp_namespace_set(c(), attribute, value));
	}

	result<void> erase(const char *attribute)
	{
		return result<void>(mp_namespace_delete(c(), attribute));
	}

	result<bool> has(const char *attribute)
	{
		return detail::yes(mp_namespace_has(c(), attribute));
	}

	/* All of them at one instant, as a dict. */
	result<obj> items()
	{
		return detail::fetched(mp_namespace_items, c());
	}
};

class served_queue : public detail::served<served_queue>
{
      public:
	static constexpr const char *served_type = "queue";

	result<void> put(const arg &value, timeout t = forever)
	{
		return result<void>(mp_served_queue_put(c(), value, t.ms()));
	}

	/* Into a queue of order MP_QUEUE_PRIORITY: the lowest number comes out first. */
	result<void> put_priority(const arg &value, std::int64_t priority, timeout t = forever)
	{
		return result<void>(mp_served_queue_put_priority(c(), value, priority, t.ms()));
	}

	template <class T = obj> result<T> get(timeout t = forever)
	{
		return detail::fetched<T>(mp_served_queue_get, c(), t.ms());
	}

	result<std::size_t> size()
	{
		return detail::stored<std::size_t>(mp_served_queue_size, c());
	}

	result<bool> empty()
	{
		return detail::yes(mp_served_queue_empty(c()));
	}

	result<bool> full()
	{
		return detail::yes(mp_served_queue_full(c()));
	}

	result<void> clear()
	{
		return result<void>(mp_served_queue_clear(c()));
	}

	result<void> shutdown(int how = MP_QUEUE_DRAIN)
	{
		return result<void>(mp_served_queue_shutdown(c(), how));
	}

	result<bool> is_shutdown()
	{
		return detail::yes(mp_served_queue_is_shutdown(c()));
	}

	result<void> task_done()
	{
		return result<void>(mp_served_queue_task_done(c()));
	}

	result<void> join(timeout t = forever)
	{
		return result<void>(mp_served_queue_join(c(), t.ms()));
	}
};

} // namespace mp

#endif
