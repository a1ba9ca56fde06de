/* SPDX-License-Identifier: MIT */
/*
 * mp/hpp/obj.hpp - values: mp_obj with an owner, and without.
 *
 *	mp::obj     owns what a libmp call returned, and frees it
 *	mp::view    looks at a value, or at nothing: what [] found not to be there
 *	mp::arg     what a function takes: anything that can be a value, borrowed during the call
 *	mp::list_of(), mp::dict_of()   values written down, to be passed on
 *
 * Nothing is copied that the C API would not copy: text goes in as std::string_view and comes out
 * as one, valid as long as the mp::obj that it stands in. obj::copy() is the copy.
 */
#ifndef MP_HPP_OBJ_HPP
#define MP_HPP_OBJ_HPP

#include <mp/hpp/view.hpp>

#include <cerrno>
#include <fcntl.h>
#include <tuple>
#include <unistd.h>
#include <vector>

namespace mp
{

class arg;

/* --- owning ---------------------------------------------------------------------------------- */

/* A value that owns its content; nil when it was moved from. All of mp::view works on it. */
class obj : public view
{
	mp_obj o_;

      public:
	obj() noexcept : view(&o_), o_(mp_nil())
	{
	}
	/* Take over what a libmp call gave. */
	explicit obj(mp_obj owned) noexcept : view(&o_), o_(owned)
	{
	}
	obj(obj &&other) noexcept : view(&o_), o_(other.release())
	{
	}

	obj &operator=(obj &&other) noexcept
	{
		if (this != &other) {
			mp_obj_free(&o_);
			o_ = other.release();
		}
		return *this;
	}

	~obj()
	{
		mp_obj_free(&o_);
	}

	mp_obj release() noexcept
	{
		return std::exchange(o_, mp_nil());
	}

	/* Errors as mp_obj_copy(), mp_obj_decode(). */
	static result<obj> copy(const arg &value);
	static result<obj> decode(bytes data)
	{
		mp_obj o;
		int r = mp_obj_decode(data.data(), data.size(), &o);
		if (r < 0)
			return error(r);
		return obj(o);
	}
};

/*
 * An open file, closed when this goes. It is sent as what mp_fd() makes of its number, and read by
 * as<mp::file>(): a descriptor of one's own for the file in the value.
 */
class file
{
	int fd_ = -1;

      public:
	file() noexcept = default;
	explicit file(int fd) noexcept : fd_(fd)
	{
	}
	file(file &&other) noexcept : fd_(other.release())
	{
	}

	file &operator=(file &&other) noexcept
	{
		file old(std::exchange(fd_, other.release()));
		return *this;
	}

	~file()
	{
		if (fd_ >= 0)
			(void)::close(fd_);
	}

	int fd() const noexcept
	{
		return fd_;
	}

	int release() noexcept
	{
		return std::exchange(fd_, -1);
	}

	explicit operator bool() const noexcept
	{
		return fd_ >= 0;
	}
};

namespace detail
{

template <> struct reading<file> {
	static result<file> of(const mp_obj *o)
	{
		int lent = mp_obj_fd(o);
		if (lent < 0)
			return error(lent);
		int own = ::fcntl(lent, F_DUPFD_CLOEXEC, 0);
		if (own < 0)
			return error(mp_error_set(
				-errno, "a descriptor of one's own for file %d", lent));
		return file(own);
	}
};

} // namespace detail

/* --- making ---------------------------------------------------------------------------------- */

namespace detail
{

template <bool Dict, class... Parts> class sequence;

template <class T> struct is_sequence : std::false_type {
};
template <bool Dict, class... Parts> struct is_sequence<sequence<Dict, Parts...>> : std::true_type {
};

} // namespace detail

/* Anything that can be a value, as a parameter: it borrows, and lives no longer than the call. */
class arg
{
	mp_obj o_;

      public:
	arg(std::nullptr_t) noexcept : o_(mp_nil())
	{
	}
	arg(const mp_obj &o) noexcept : o_(o)
	{
	}
	arg(view v) noexcept : o_(v ? *v.raw() : mp_nil())
	{
	}
	arg(const char *text) noexcept : o_(mp_str(text))
	{
	} /* NULL is nil */
	arg(std::string_view text) noexcept : o_(mp_strn(text.data(), text.size()))
	{
	}
	arg(const std::string &text) noexcept : arg(std::string_view(text))
	{
	}
	arg(bytes data) noexcept : o_(mp_bytes(data.data(), data.size()))
	{
	}
	arg(const buffer &data) noexcept : arg(data.bytes())
	{
	}

	/* Not from pointers, and not from char, which may be meant as text. */
	template <class T,
		std::enable_if_t<std::is_same_v<T, bool> || detail::is_integer<T> ||
					 std::is_same_v<T, float> || std::is_same_v<T, double>,
			int> = 0>
	arg(T n) noexcept
	{
		if constexpr (std::is_same_v<T, bool>)
			o_ = mp_bool(n);
		else if constexpr (std::is_floating_point_v<T>)
			o_ = mp_f64(n);
		else if constexpr (std::is_signed_v<T>)
			o_ = mp_i64(n);
		else
			o_ = mp_u64(n);
	}

	template <class T, std::enable_if_t<detail::is_handle<T>::value, int> = 0>
	arg(const T &x) noexcept : o_(mp_handle(x.c()))
	{
		static_assert(T::travels, "handles of this kind do not leave their process");
	}

	arg(const file &f) noexcept : o_(mp_fd(f.fd()))
	{
	}

	template <bool Dict, class... Parts>
	arg(const detail::sequence<Dict, Parts...> &s) noexcept : o_(s.borrow())
	{
	}

	operator const mp_obj &() const noexcept
	{
		return o_;
	}
};

namespace detail
{

/*
 * Parts are kept as they were given: temporaries are moved in, everything else is referred to, and
 * small plain things are copied. So what list_of() returns may be kept in a variable, as long as
 * what it was made of is there.
 */
template <class T>
using kept = std::conditional_t<std::is_array_v<std::remove_reference_t<T>> ||
					std::is_function_v<std::remove_reference_t<T>>,
	std::decay_t<T>,
	std::conditional_t<std::is_lvalue_reference_v<T> &&
				   !std::is_trivially_copyable_v<std::remove_reference_t<T>>,
		const std::remove_reference_t<T> &, std::remove_cv_t<std::remove_reference_t<T>>>>;

template <bool Dict, class... Parts> class sequence
{
	static constexpr std::size_t count = sizeof...(Parts);
	std::tuple<Parts...> parts_;
	mutable mp_obj items_[count + 1];

	template <std::size_t... I> void fill(std::index_sequence<I...>) const noexcept
	{
		((items_[I] = arg(std::get<I>(parts_))), ...);
	}

      public:
	struct tag {
	};
	template <class... A>
	explicit sequence(tag, A &&...parts) : parts_(std::forward<A>(parts)...)
	{
	}
	/* The items point into the parts: made anew where they are. */
	sequence(sequence &&other) : parts_(std::move(other.parts_))
	{
	}

	/* Valid as long as this, and until it is moved. */
	mp_obj borrow() const noexcept
	{
		fill(std::make_index_sequence<count>());
		return Dict ? mp_dict_of(items_, count) : mp_list_of(items_, count);
	}

	operator mp_obj() const noexcept
	{
		return borrow();
	}
};

} // namespace detail

/* A list: mp::list_of(1, "two", mp::list_of(3.0)). */
template <class... A> auto list_of(A &&...items)
{
	using s = detail::sequence<false, detail::kept<A>...>;
	return s(typename s::tag(), std::forward<A>(items)...);
}

/* A dict, written key, value, key, value: mp::dict_of("total", 1632, "ip", 341). */
template <class... A> auto dict_of(A &&...items)
{
	static_assert(sizeof...(A) % 2 == 0, "a dict is written key, value, key, value, ...");
	using s = detail::sequence<true, detail::kept<A>...>;
	return s(typename s::tag(), std::forward<A>(items)...);
}

/* Items whose number is known at run time only. It borrows: what is added has to stay. */
class items
{
	std::vector<mp_obj> items_;

      public:
	template <class T> items &add(T &&item)
	{
		static_assert(std::is_lvalue_reference_v<T> || std::is_trivially_copyable_v<T>,
			"items borrow what is added: keep it in a variable");
		items_.push_back(arg(item));
		return *this;
	}

	mp_obj list() const noexcept
	{
		return mp_list_of(items_.data(), items_.size());
	}

	mp_obj dict() const noexcept
	{
		return mp_dict_of(items_.data(), items_.size());
	}
};

inline view view::get(const arg &key) const noexcept
{
	return raw_ ? mp_obj_get(raw_, key) : nullptr;
}

inline result<obj> obj::copy(const arg &value)
{
	mp_obj o;
	int r = mp_obj_copy(value, &o);

	if (r < 0)
		return error(r);
	return obj(o);
}

/* The value as the protobuf message mp.Value; errors as mp_obj_encode(). */
inline result<buffer> encode(const arg &value)
{
	void *data;
	std::size_t size;
	int r = mp_obj_encode(value, &data, &size);

	if (r < 0)
		return error(r);
	return buffer(data, size);
}

namespace detail
{

/* The end of all calls that store a value. */
inline result<obj> owned(int r, const mp_obj &o)
{
	if (r < 0)
		return error(r);
	return result<obj>(obj(o), r);
}

template <class T> result<T> owned_as(int r, const mp_obj &o)
{
	static_assert(!borrows<T>, "this would point into a value that is gone: take the mp::obj");
	if constexpr (std::is_same_v<T, obj>) {
		return owned(r, o);
	} else {
		if (r < 0)
			return error(r);
		return obj(o).template as<T>();
	}
}

/* What a C function stores behind its last argument, a value. */
template <class T = obj, class F, class... A> result<T> fetched(F f, A &&...a)
{
	mp_obj o;
	int r = f(std::forward<A>(a)..., &o);

	return owned_as<T>(r, o);
}

} // namespace detail
} // namespace mp

#endif
