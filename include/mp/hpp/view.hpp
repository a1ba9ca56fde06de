/* SPDX-License-Identifier: MIT */
/*
 * mp/hpp/view.hpp - looking inside values.
 *
 * An mp::view is a pointer to a value that somebody else owns, or to nothing: what [] found not to
 * be there. So `o["a"]["b"][3].as<int>()` needs one check, at its end. What as() can give is a
 * specialisation of detail::reading each.
 */
#ifndef MP_HPP_VIEW_HPP
#define MP_HPP_VIEW_HPP

#include <mp/hpp/handle.hpp>

#include <limits>

namespace mp
{
namespace detail
{

template <class T, class = void> struct reading;

template <class T>
inline constexpr bool is_integer =
	std::is_integral_v<T> && !std::is_same_v<T, bool> && !std::is_same_v<T, char> &&
	!std::is_same_v<T, wchar_t> && !std::is_same_v<T, char16_t> && !std::is_same_v<T, char32_t>;

} // namespace detail

class arg;
struct pair;

/* --- looking inside -------------------------------------------------------------------------- */

/* A value that somebody else owns, or nothing. A pointer, to be passed by value. */
class view
{
	const mp_obj *raw_ = nullptr;

      public:
	view() noexcept = default;
	view(const mp_obj *raw) noexcept : raw_(raw)
	{
	}

	const mp_obj *raw() const noexcept
	{
		return raw_;
	}

	/* Is there something? A nil is something. */
	explicit operator bool() const noexcept
	{
		return raw_ != nullptr;
	}

	/* MP_TYPE_...; nil also where there is nothing. */
	enum mp_type type() const noexcept
	{
		return raw_ ? static_cast<enum mp_type>(raw_->type) : MP_TYPE_NIL;
	}

	bool is_nil() const noexcept
	{
		return type() == MP_TYPE_NIL;
	}

	/*
	 * As bool, an integer (-ERANGE it does not fit), float or double, std::string_view or
	 * mp::bytes (which live as long as the value), std::string (a copy), mp::view, mp::file (a
	 * descriptor of its own), or a handle (a reference of its own). -EINVAL it is of another kind; -ENOENT there is nothing.
	 */
	template <class T> result<T> as() const
	{
		if (!raw_)
			return error(
				mp_error_set(-ENOENT, "there is no such key or item in the value"));
		return detail::reading<T>::of(raw_);
	}

	/* Bytes of text, items of a list, pairs of a dict. */
	std::size_t size() const noexcept
	{
		return raw_ ? mp_obj_len(raw_) : 0;
	}

	/* Item of a list; value under a key of a dict, of any type. Nothing if there is none. */
	view at(std::size_t index) const noexcept
	{
		return raw_ ? mp_obj_at(raw_, index) : nullptr;
	}

	view get(const arg &key) const noexcept;

	/* The same: by a number it is an item, by text a value of a dict. */
	template <class I, class = std::enable_if_t<std::is_integral_v<I>>>
	view operator[](I index) const noexcept
	{
		return at(static_cast<std::size_t>(index));
	}

	view operator[](std::string_view key) const noexcept
	{
		return raw_ ? mp_obj_get(raw_, mp_strn(key.data(), key.size())) : nullptr;
	}

	view operator[](const char *key) const noexcept
	{
		return (*this)[std::string_view(key)];
	}

	/* Over the items of a list; of anything else there are none. */
	class iterator;
	iterator begin() const noexcept;
	iterator end() const noexcept;

	/* Over the pairs of a dict: `for (auto [key, value] : o.pairs())`. */
	class pair_range;
	pair_range pairs() const noexcept;

	/* As mp_obj_format() writes it. */
	std::string to_string() const
	{
		if (!raw_)
			return "nil";
		std::string text(mp_obj_format(raw_, nullptr, 0), '\0');
		mp_obj_format(raw_, text.data(), text.size() + 1);
		return text;
	}

	friend bool operator==(const view &a, const view &b) noexcept
	{
		return mp_obj_equal(a.raw_, b.raw_);
	}

	friend bool operator!=(const view &a, const view &b) noexcept
	{
		return !mp_obj_equal(a.raw_, b.raw_);
	}

	friend bool operator<(const view &a, const view &b) noexcept
	{
		return mp_obj_compare(a.raw_, b.raw_) < 0;
	}
};

struct pair {
	view key;
	view value;
};

class view::iterator
{
	const mp_obj *at_;

      public:
	using iterator_category = std::input_iterator_tag;
	using value_type = view;
	using difference_type = std::ptrdiff_t;
	using pointer = void;
	using reference = view;

	explicit iterator(const mp_obj *at) noexcept : at_(at)
	{
	}

	view operator*() const noexcept
	{
		return at_;
	}

	iterator &operator++() noexcept
	{
		++at_;
		return *this;
	}

	iterator operator++(int) noexcept
	{
		return iterator(at_++);
	}

	friend bool operator==(const iterator &a, const iterator &b) noexcept
	{
		return a.at_ == b.at_;
	}

	friend bool operator!=(const iterator &a, const iterator &b) noexcept
	{
		return a.at_ != b.at_;
	}
};

inline view::iterator view::begin() const noexcept
{
	return iterator(type() == MP_TYPE_LIST && size() > 0 ? raw_->as.items : nullptr);
}

inline view::iterator view::end() const noexcept
{
	return iterator(type() == MP_TYPE_LIST && size() > 0 ? raw_->as.items + size() : nullptr);
}

class view::pair_range
{
	const mp_obj *begin_;
	const mp_obj *end_;

      public:
	class iterator
	{
		const mp_obj *at_;

	      public:
		explicit iterator(const mp_obj *at) noexcept : at_(at)
		{
		}

		pair operator*() const noexcept
		{
			return {at_, at_ + 1};
		}

		iterator &operator++() noexcept
		{
			at_ += 2;
			return *this;
		}

		friend bool operator!=(const iterator &a, const iterator &b) noexcept
		{
			return a.at_ != b.at_;
		}
	};

	pair_range(const mp_obj *items, std::size_t pairs) noexcept
	    : begin_(items), end_(pairs > 0 ? items + 2 * pairs : items)
	{
	}

	iterator begin() const noexcept
	{
		return iterator(begin_);
	}

	iterator end() const noexcept
	{
		return iterator(end_);
	}
};

inline view::pair_range view::pairs() const noexcept
{
	if (type() != MP_TYPE_DICT || size() == 0)
		return {nullptr, 0};
	return {raw_->as.items, size()};
}

/* --- reading --------------------------------------------------------------------------------- */

namespace detail
{

inline const char *type_name(const mp_obj *o) noexcept
{
	static const char *const names[] = {"nil", "a bool", "an integer", "an integer", "a number",
		"text", "bytes", "a list", "a dict", "a handle"};

	return o->type < sizeof(names) / sizeof(*names) ? names[o->type] : "no value";
}

inline error not_a(const char *wanted, const mp_obj *o)
{
	return error(mp_error_set(-EINVAL, "the value is %s, not %s", type_name(o), wanted));
}

template <class T> inline constexpr bool borrows = false;
template <> inline constexpr bool borrows<std::string_view> = true;
template <> inline constexpr bool borrows<mp::bytes> = true;
template <> inline constexpr bool borrows<view> = true;

template <> struct reading<bool> {
	static result<bool> of(const mp_obj *o)
	{
		bool b;
		int r = mp_obj_to_bool(o, &b);
		if (r < 0)
			return error(r);
		return b;
	}
};

template <class T> struct reading<T, std::enable_if_t<is_integer<T>>> {
	static result<T> of(const mp_obj *o)
	{
		std::conditional_t<std::is_signed_v<T>, std::int64_t, std::uint64_t> n;
		int r;
		if constexpr (std::is_signed_v<T>)
			r = mp_obj_to_i64(o, &n);
		else
			r = mp_obj_to_u64(o, &n);
		if (r < 0)
			return error(r);
		if (n < std::numeric_limits<T>::min() || n > std::numeric_limits<T>::max())
			return error(mp_error_set(
				-ERANGE, "the integer does not fit in %zu bytes", sizeof(T)));
		return static_cast<T>(n);
	}
};

template <class T> struct reading<T, std::enable_if_t<std::is_floating_point_v<T>>> {
	static result<T> of(const mp_obj *o)
	{
		double d;
		int r = mp_obj_to_f64(o, &d);
		if (r < 0)
			return error(r);
		return static_cast<T>(d);
	}
};

template <> struct reading<std::string_view> {
	static result<std::string_view> of(const mp_obj *o)
	{
		if (o->type != MP_TYPE_STR)
			return not_a("text", o);
		return std::string_view(o->as.str, o->count);
	}
};

template <> struct reading<std::string> {
	static result<std::string> of(const mp_obj *o)
	{
		if (o->type != MP_TYPE_STR)
			return not_a("text", o);
		return std::string(o->as.str, o->count);
	}
};

template <> struct reading<mp::bytes> {
	static result<mp::bytes> of(const mp_obj *o)
	{
		if (o->type != MP_TYPE_BYTES)
			return not_a("bytes", o);
		return mp::bytes(o->as.bytes, o->count);
	}
};

template <> struct reading<view> {
	static result<view> of(const mp_obj *o)
	{
		return view(o);
	}
};

/* What else a class knows about its objects: mp::value<T> that T is the type of this one. */
template <class T, class = void> struct fits {
	static bool check(typename T::c_type *) noexcept
	{
		return true;
	}
};

template <class T> struct reading<T, std::enable_if_t<is_handle<T>::value>> {
	static result<T> of(const mp_obj *o)
	{
		using C = type<typename T::c_type>;
		static_assert(C::travels, "handles of this kind do not leave their process");
		typename T::c_type *p = C::find(o);
		if (!p)
			return error(mp_error_set(-EINVAL, "the value is %s, not a handle of a %s",
				type_name(o), C::label));
		if (!fits<T>::check(p))
			return error(mp_error_set(
				-EINVAL, "the %s in the handle is of another type", C::label));
		return T::adopt(C::ref(p));
	}
};

} // namespace detail
} // namespace mp

#endif
