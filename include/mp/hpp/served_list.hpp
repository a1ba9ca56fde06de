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

class served_list : public detail::served<served_list>
{
      public:
	static constexpr const char *served_type = "list";

	/* Indexes below 0 count from the end. -ERANGE there is no such item. */
	template <class T = obj> result<T> get(std::int64_t index)
	{
		mp_obj o;
		int r = mp_list_get(c(), index, &o);
		return detail::owned_as<T>(r, o);
	}

	template <class T = obj> result<T> pop(std::int64_t index = -1)
	{
		mp_obj o;
		int r = mp_list_pop(c(), index, &o);
		return detail::owned_as<T>(r, o);
	}

	result<void> set(std::int64_t index, const arg &value)
	{
		return result<void>(mp_list_set(c(), index, value));
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

	/* To the number there: the sum. */
	template <class T = obj> result<T> add(std::int64_t index, const arg &number)
	{
		mp_obj o;
		int r = mp_list_add(c(), index, number, &o);
		return detail::owned_as<T>(r, o);
	}

	/* true: the item was `expected` and is `value`. */
	result<bool> compare_and_swap(std::int64_t index, const arg &expected, const arg &value)
	{
		return detail::yes(mp_list_compare_and_swap(c(), index, expected, value));
	}

	/* The first that equals it. -ENOENT none does. */
	result<void> remove(const arg &value)
	{
		return result<void>(mp_list_remove(c(), value));
	}

	result<std::size_t> index(const arg &value)
	{
		std::size_t n;
		int r = mp_list_index(c(), value, &n);
		return detail::count(r, n);
	}

	result<std::size_t> index(
		const arg &value, std::int64_t start, std::int64_t stop = list_end)
	{
		std::size_t n;
		int r = mp_list_index_in(c(), value, start, stop, &n);
		return detail::count(r, n);
	}

	result<std::size_t> count(const arg &value)
	{
		std::size_t n;
		int r = mp_list_count(c(), value, &n);
		return detail::count(r, n);
	}

	result<bool> contains(const arg &value)
	{
		return detail::yes(mp_list_contains(c(), value));
	}

	result<std::size_t> size()
	{
		std::size_t n;
		int r = mp_list_len(c(), &n);
		return detail::count(r, n);
	}

	/* A copy of the whole at one instant. */
	result<obj> items()
	{
		mp_obj o;
		int r = mp_list_items(c(), &o);
		return detail::owned(r, o);
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
		mp_obj o;
		int r = mp_list_slice(c(), start, stop, step, &o);
		return detail::owned(r, o);
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
class served_array : public detail::served<served_array>
{
      public:
	static constexpr const char *served_type = "array";

	template <class T = obj> result<T> get(std::int64_t index)
	{
		mp_obj o;
		int r = mp_served_array_get(c(), index, &o);
		return detail::owned_as<T>(r, o);
	}

	result<void> set(std::int64_t index, const arg &number)
	{
		return result<void>(mp_served_array_set(c(), index, number));
	}

	/* The sum. */
	template <class T = obj> result<T> add(std::int64_t index, const arg &number)
	{
		mp_obj o;
		int r = mp_served_array_add(c(), index, number, &o);
		return detail::owned_as<T>(r, o);
	}

	/* true: the item was `expected` and is `number`. */
	result<bool> compare_and_swap(std::int64_t index, const arg &expected, const arg &number)
	{
		return detail::yes(mp_served_array_compare_and_swap(c(), index, expected, number));
	}

	result<obj> slice(mp_slice which)
	{
		mp_obj o;
		int r = mp_served_array_get_slice(c(), which, &o);
		return detail::owned(r, o);
	}

	/* As many numbers as the slice has. */
	result<void> set_slice(mp_slice which, const arg &numbers)
	{
		return result<void>(mp_served_array_set_slice(c(), which, numbers));
	}

	result<obj> items()
	{
		mp_obj o;
		int r = mp_served_array_items(c(), &o);
		return detail::owned(r, o);
	}

	result<std::size_t> size()
	{
		std::size_t n;
		int r = mp_served_array_len(c(), &n);
		return detail::count(r, n);
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
		mp_obj o;
		int r = mp_namespace_get(c(), attribute, &o);
		return detail::owned_as<T>(r, o);
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
		mp_obj o;
		int r = mp_namespace_items(c(), &o);
		return detail::owned(r, o);
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
		mp_obj o;
		int r = mp_served_queue_get(c(), t.ms(), &o);
		return detail::owned_as<T>(r, o);
	}

	result<std::size_t> size()
	{
		std::size_t n;
		int r = mp_served_queue_size(c(), &n);
		return detail::count(r, n);
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
