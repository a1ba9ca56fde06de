/* SPDX-License-Identifier: MIT */
/*
 * mp/hpp/memory.hpp - shared memory: typed values and arrays, blocks, heaps, lists.
 *
 *	auto total = mp::value<int>::make(0).value();
 *	total.add(1);
 *	auto table = mp::array<double>::make(1000).value();
 *	for (double &d : table.items())
 *		d = 1;
 */
#ifndef MP_HPP_MEMORY_HPP
#define MP_HPP_MEMORY_HPP

#include <mp/hpp/sync.hpp>

namespace mp
{
namespace detail
{

/* The type as C calls it, or 0: a struct, known by its size. */
template <class T> constexpr int type_code() noexcept
{
	if constexpr (std::is_same_v<T, char>)
		return 'c';
	else if constexpr (std::is_same_v<T, wchar_t>)
		return 'u';
	else if constexpr (std::is_same_v<T, signed char>)
		return 'b';
	else if constexpr (std::is_same_v<T, unsigned char>)
		return 'B';
	else if constexpr (std::is_same_v<T, short>)
		return 'h';
	else if constexpr (std::is_same_v<T, unsigned short>)
		return 'H';
	else if constexpr (std::is_same_v<T, int>)
		return 'i';
	else if constexpr (std::is_same_v<T, unsigned>)
		return 'I';
	else if constexpr (std::is_same_v<T, long>)
		return 'l';
	else if constexpr (std::is_same_v<T, unsigned long>)
		return 'L';
	else if constexpr (std::is_same_v<T, long long>)
		return 'q';
	else if constexpr (std::is_same_v<T, unsigned long long>)
		return 'Q';
	else if constexpr (std::is_same_v<T, float>)
		return 'f';
	else if constexpr (std::is_same_v<T, double>)
		return 'd';
	else
		return 0;
}

} // namespace detail

/* --- values ---------------------------------------------------------------------------------- */

/* One T that processes share, with a recursive lock beside it. */
template <class T> class value : public detail::handle<value<T>, mp_value>
{
	static_assert(
		std::is_trivially_copyable_v<T>, "other processes see these bytes as they are");
	static constexpr int code = detail::type_code<T>();
	static constexpr bool real = std::is_floating_point_v<T>;
	using number = std::conditional_t<real, double, std::int64_t>;

      public:
	using guard = held<mp_value, mp_value_release>;

	static result<value> make(const T &initial = T(), const mp_value_options &o = {})
	{
		auto options = detail::sized(o);
		return detail::made<value>([&](mp_value **p) {
			if constexpr (code != 0)
				return mp_value_new(code, &initial, &options, p);
			else
				return mp_value_new_sized(sizeof(T), &initial, &options, p);
		});
	}

	/* Another one, with what this one holds. */
	result<value> copy(timeout t = forever)
	{
		return detail::made<value>(
			[&](mp_value **p) { return mp_value_copy(this->c(), t.ms(), p); });
	}

	/* Where it stands; without the lock. */
	T *data() const noexcept
	{
		return static_cast<T *>(mp_value_data(this->c()));
	}

	result<guard> hold(timeout t = forever)
	{
		return detail::hold<mp_value, mp_value_release>(
			this->c(), mp_value_acquire(this->c(), t.ms()));
	}

	/* Out and in, under the lock; code(): MP_OWNER_DIED. */
	result<T> load_locked(timeout t = forever)
	{
		T now;
		int r = mp_value_get(this->c(), &now, sizeof(T), t.ms());
		if (r < 0)
			return error(r);
		return result<T>(now, r);
	}

	result<void> store_locked(const T &now, timeout t = forever)
	{
		return result<void>(mp_value_set(this->c(), &now, sizeof(T), t.ms()));
	}

	/* Atomic, for numbers: what was there before. */
	result<T> load()
	{
		number now;
		int r;
		if constexpr (real)
			r = mp_value_load_f64(this->c(), &now);
		else
			r = mp_value_load_i64(this->c(), &now);
		return as_t(r, now);
	}

	result<T> add(T n)
	{
		number old;
		int r;
		if constexpr (real)
			r = mp_value_add_f64(this->c(), n, &old);
		else
			r = mp_value_add_i64(this->c(), static_cast<number>(n), &old);
		return as_t(r, old);
	}

	result<T> exchange(T n)
	{
		number old;
		int r;
		if constexpr (real)
			r = mp_value_exchange_f64(this->c(), n, &old);
		else
			r = mp_value_exchange_i64(this->c(), static_cast<number>(n), &old);
		return as_t(r, old);
	}

	/* true: it was `expected` and is `desired`. */
	result<bool> compare_exchange(T expected, T desired)
	{
		if constexpr (real)
			return detail::yes(mp_value_compare_exchange_f64(
				this->c(), expected, desired, nullptr));
		else
			return detail::yes(mp_value_compare_exchange_i64(this->c(),
				static_cast<number>(expected), static_cast<number>(desired),
				nullptr));
	}

      private:
	static result<T> as_t(int r, number n)
	{
		static_assert(code != 0, "only numbers have atomic operations");
		if (r < 0)
			return error(r);
		return static_cast<T>(n);
	}
};

/* --- arrays ---------------------------------------------------------------------------------- */

/* A number of Ts that processes share. */
template <class T> class array : public detail::handle<array<T>, mp_array>
{
	static_assert(
		std::is_trivially_copyable_v<T>, "other processes see these bytes as they are");
	static constexpr int code = detail::type_code<T>();

	static result<array> make_(std::size_t n, const T *initial, const mp_value_options &o)
	{
		auto options = detail::sized(o);
		return detail::made<array>([&](mp_array **p) {
			if constexpr (code != 0)
				return mp_array_new(code, n, initial, &options, p);
			else
				return mp_array_new_sized(sizeof(T), n, initial, &options, p);
		});
	}

      public:
	using guard = held<mp_array, mp_array_release>;

	/* n of them, zero bytes. */
	static result<array> make(std::size_t n, const mp_value_options &o = {})
	{
		return make_(n, nullptr, o);
	}

	static result<array> make(span<const T> initial, const mp_value_options &o = {})
	{
		return make_(initial.size(), initial.data(), o);
	}

	/* Another one, with what this one holds. */
	result<array> copy(timeout t = forever)
	{
		return detail::made<array>(
			[&](mp_array **p) { return mp_array_copy(this->c(), t.ms(), p); });
	}

	/* Of char: the text up to the first NUL, or to the end. */
	result<std::string> text(timeout t = forever)
	{
		static_assert(code == 'c', "text stands in an array of char");
		std::string text(size(), '\0');
		int r = mp_array_get_str(this->c(), text.data(), text.size() + 1, t.ms());
		if (r < 0)
			return error(r);
		text.resize(std::strlen(text.c_str()));
		return result<std::string>(std::move(text), r);
	}

	result<void> set_text(const char *text, timeout t = forever)
	{
		static_assert(code == 'c', "text stands in an array of char");
		return result<void>(mp_array_set_str(this->c(), text, t.ms()));
	}

	/* All of them, where they stand; without the lock. */
	span<T> items() const noexcept
	{
		return {static_cast<T *>(mp_array_data(this->c())), mp_array_length(this->c())};
	}

	std::size_t size() const noexcept
	{
		return mp_array_length(this->c());
	}

	/* Checked; negative indexes count from the end. */
	result<T *> at(std::int64_t index)
	{
		T *item;
		int r = mp_array_at(this->c(), index, &item);
		if (r < 0)
			return error(r);
		return item;
	}

	result<guard> hold(timeout t = forever)
	{
		return detail::hold<mp_array, mp_array_release>(
			this->c(), mp_array_acquire(this->c(), t.ms()));
	}

	/* Out and in, under the lock. */
	result<T> load(std::int64_t index, timeout t = forever)
	{
		T item;
		int r = mp_array_get(this->c(), index, &item, sizeof(T), t.ms());
		if (r < 0)
			return error(r);
		return result<T>(item, r);
	}

	result<void> store(std::int64_t index, const T &item, timeout t = forever)
	{
		return result<void>(mp_array_set(this->c(), index, &item, sizeof(T), t.ms()));
	}

	/* How many there were. */
	result<std::size_t> load(mp_slice slice, span<T> room, timeout t = forever)
	{
		return detail::stored<std::size_t>(mp_array_get_slice, this->c(), slice,
			room.data(), room.size() * sizeof(T), t.ms());
	}

	result<void> store(mp_slice slice, span<const T> from, timeout t = forever)
	{
		return result<void>(mp_array_set_slice(
			this->c(), slice, from.data(), from.size() * sizeof(T), t.ms()));
	}
};

namespace detail
{

template <class T> struct fits<value<T>> {
	static bool check(mp_value *v) noexcept
	{
		return mp_value_type(v) == type_code<T>() && mp_value_size(v) == sizeof(T);
	}
};

template <class T> struct fits<array<T>> {
	static bool check(mp_array *a) noexcept
	{
		return mp_array_type(a) == type_code<T>() && mp_array_item_size(a) == sizeof(T);
	}
};

} // namespace detail

/* --- blocks ---------------------------------------------------------------------------------- */

class block : public detail::handle<block, mp_block>
{
      public:
	static result<block> make(std::size_t size, const mp_block_options &o = {})
	{
		auto options = detail::sized(o);
		return detail::made<block>(
			[&](mp_block **p) { return mp_block_new(size, &options, p); });
	}

	/* NULL: a name is made up. */
	static result<block> create(
		const char *name, std::size_t size, const mp_block_options &o = {})
	{
		auto options = detail::sized(o);
		return detail::made<block>(
			[&](mp_block **p) { return mp_block_create(name, size, &options, p); });
	}

	static result<block> open(const char *name, const mp_block_options &o = {})
	{
		auto options = detail::sized(o);
		return detail::made<block>(
			[&](mp_block **p) { return mp_block_open(name, &options, p); });
	}

	static result<void> unlink(const char *name)
	{
		return result<void>(mp_block_unlink(name));
	}

	span<std::byte> data() const noexcept
	{
		return {static_cast<std::byte *>(mp_block_data(c())), mp_block_size(c())};
	}

	/* As many Ts as fit. */
	template <class T> span<T> as() const noexcept
	{
		static_assert(std::is_trivially_copyable_v<T>);
		return {static_cast<T *>(mp_block_data(c())), mp_block_size(c()) / sizeof(T)};
	}

	std::size_t size() const noexcept
	{
		return mp_block_size(c());
	}

	const char *name() const noexcept
	{
		return mp_block_name(c());
	}

	result<void> grow(std::size_t size)
	{
		return result<void>(mp_block_grow(c(), size));
	}

	/* true: others have grown it. */
	result<bool> refresh()
	{
		return detail::yes(mp_block_refresh(c()));
	}
};

/* --- heaps ----------------------------------------------------------------------------------- */

class heap : public detail::handle<heap, mp_heap>
{
      public:
	static result<heap> make(std::uint64_t size, const mp_heap_options &o = {})
	{
		auto options = detail::sized(o);
		return detail::made<heap>(
			[&](mp_heap **p) { return mp_heap_new(size, &options, p); });
	}

	/* n Ts of zero bytes; no constructor runs. free() gives them back, whoever calls it. */
	template <class T> result<T *> alloc(std::size_t n = 1)
	{
		static_assert(std::is_trivially_copyable_v<T>);
		static_assert(alignof(T) <= 16, "use alloc_bytes() with its alignment");
		T *p;
		int r = mp_heap_calloc(c(), n, sizeof(T), &p);
		if (r < 0)
			return error(r);
		return p;
	}

	result<void *> alloc_bytes(std::size_t size, std::size_t alignment = 16)
	{
		void *p;
		int r = mp_heap_alloc_aligned(c(), alignment, size, &p);
		if (r < 0)
			return error(r);
		return p;
	}

	result<void> free(void *p)
	{
		return result<void>(mp_heap_free(c(), p));
	}

	std::uint64_t offset(const void *p) const noexcept
	{
		return mp_heap_offset(c(), p);
	}

	/* NULL: a T at this offset would not lie within the heap. */
	template <class T> T *pointer(std::uint64_t offset) const noexcept
	{
		return static_cast<T *>(mp_heap_pointer(c(), offset, sizeof(T)));
	}

	result<void> set_root(const void *p)
	{
		return result<void>(mp_heap_set_root(c(), p));
	}

	template <class T> T *root() const noexcept
	{
		return static_cast<T *>(mp_heap_root(c()));
	}

	/* The block in use behind `after`; -ENOENT none. */
	result<mp_heap_block> next(const void *after = nullptr)
	{
		mp_heap_block block;
		int r = mp_heap_next(c(), after, &block);
		if (r < 0)
			return error(r);
		return block;
	}

	result<void> adopt_block(void *p)
	{
		return result<void>(mp_heap_adopt(c(), p));
	}

	result<int> reclaim()
	{
		return detail::number(mp_heap_reclaim(c()));
	}

	result<mp_heap_stats> stats()
	{
		mp_heap_stats stats;
		int r = mp_heap_stat(c(), &stats);
		if (r < 0)
			return error(r);
		return stats;
	}

	result<void> check()
	{
		return result<void>(mp_heap_check(c()));
	}
};

/* --- lists ----------------------------------------------------------------------------------- */

class shared_list : public detail::handle<shared_list, mp_shared_list>
{
      public:
	static result<shared_list> make(const arg &items, const mp_block_options &o = {})
	{
		auto options = detail::sized(o);
		return detail::made<shared_list>(
			[&](mp_shared_list **p) { return mp_shared_list_new(items, &options, p); });
	}

	static result<shared_list> create(
		const char *name, const arg &items, const mp_block_options &o = {})
	{
		auto options = detail::sized(o);
		return detail::made<shared_list>([&](mp_shared_list **p) {
			return mp_shared_list_create(name, items, &options, p);
		});
	}

	static result<shared_list> open(const char *name, const mp_block_options &o = {})
	{
		auto options = detail::sized(o);
		return detail::made<shared_list>(
			[&](mp_shared_list **p) { return mp_shared_list_open(name, &options, p); });
	}

	std::size_t size() const noexcept
	{
		return mp_shared_list_len(c());
	}

	const char *name() const noexcept
	{
		return mp_shared_list_name(c());
	}

	template <class T = obj> result<T> at(std::int64_t index)
	{
		return detail::fetched<T>(mp_shared_list_get, c(), index);
	}

	result<void> set(std::int64_t index, const arg &item)
	{
		return result<void>(mp_shared_list_set(c(), index, item));
	}

	result<std::int64_t> room(std::int64_t index) const
	{
		return n(mp_shared_list_room(c(), index));
	}

	result<std::int64_t> count(const arg &item)
	{
		return n(mp_shared_list_count(c(), item));
	}

	result<std::int64_t> index(const arg &item)
	{
		return n(mp_shared_list_index(c(), item));
	}

      private:
	static result<std::int64_t> n(std::int64_t r)
	{
		if (r < 0)
			return error(static_cast<int>(r));
		return r;
	}
};

} // namespace mp

#endif
