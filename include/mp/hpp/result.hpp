/* SPDX-License-Identifier: MIT */
/*
 * mp/hpp/result.hpp - what every part of mp.hpp returns and takes: results, timeouts, spans, bytes.
 *
 * Nothing here throws unless it is asked to: a result<T> holds a T or an error, and value() is the
 * one call that turns an error into an exception. The sentence of mp_error_detail() is copied into
 * the error without allocating, because the next libmp call in the thread may replace it.
 */
#ifndef MP_HPP_RESULT_HPP
#define MP_HPP_RESULT_HPP

#include <mp.h>

#include <chrono>
#include <climits>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <initializer_list>
#include <iterator>
#include <memory>
#include <new>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#if __cplusplus >= 202002L && __has_include(<span>)
#include <span>
#endif

namespace mp
{

/* --- errors ---------------------------------------------------------------------------------- */

/* A negative errno and its sentence. Compares with an errno: `r.error() == -EAGAIN`. */
class error
{
	int code_ = 0;
	char detail_[256];

      public:
	error() noexcept
	{
		detail_[0] = '\0';
	}

	/* What a libmp call in this thread has just returned, with its sentence. */
	explicit error(int code) noexcept : error(code, mp_error_detail())
	{
	}

	error(int code, std::string_view detail) noexcept : code_(code)
	{
		std::size_t n =
			detail.size() < sizeof(detail_) ? detail.size() : sizeof(detail_) - 1;
		std::memcpy(detail_, detail.data(), n);
		detail_[n] = '\0';
	}

	error(const error &other) noexcept : error(other.code_, other.detail_)
	{
	}

	error &operator=(const error &other) noexcept
	{
		code_ = other.code_;
		std::memmove(detail_, other.detail_, std::strlen(other.detail_) + 1);
		return *this;
	}

	int code() const noexcept
	{
		return code_;
	}

	/* As mp_error_detail() said it; lives as long as this object. */
	const char *detail() const noexcept
	{
		return detail_;
	}

	/* As mp_strerror() says it; lives for ever. */
	const char *message() const noexcept
	{
		return mp_strerror(code_);
	}

	friend bool operator==(const error &e, int code) noexcept
	{
		return e.code_ == code;
	}

	friend bool operator!=(const error &e, int code) noexcept
	{
		return e.code_ != code;
	}
};

/* What value() of a failed result throws; what() is the sentence. */
class failure : public std::runtime_error
{
	int code_;

      public:
	explicit failure(const mp::error &e) : std::runtime_error(e.detail()), code_(e.code())
	{
	}

	int code() const noexcept
	{
		return code_;
	}
};

namespace detail
{

[[noreturn]] inline void raise(const error &e)
{
#if defined(__cpp_exceptions)
	throw failure(e);
#else
	(void)e;
	std::abort();
#endif
}

inline const error &no_error() noexcept
{
	static const error none;
	return none;
}

} // namespace detail

/* --- results --------------------------------------------------------------------------------- */

/*
 * A T, or an error. code() is what the C function returned: MP_OWNER_DIED and other news are >= 0.
 * `*r` and `r->` of a failed result are undefined, as those of std::optional.
 */
template <class T = void> class [[nodiscard]] result
{
	int code_;
	union {
		T value_;
		mp::error error_;
	};

      public:
	using value_type = T;

	result(T value, int code = 0) : code_(code), value_(std::move(value))
	{
	}
	result(const mp::error &e) noexcept : code_(e.code()), error_(e)
	{
	}

	result(result &&other) noexcept(std::is_nothrow_move_constructible_v<T>)
	    : code_(other.code_)
	{
		if (code_ >= 0)
			new (&value_) T(std::move(other.value_));
		else
			new (&error_) mp::error(other.error_);
	}

	result &operator=(result &&other) noexcept(std::is_nothrow_move_constructible_v<T>)
	{
		if (this != &other) {
			this->~result();
			new (this) result(std::move(other));
		}
		return *this;
	}

	~result()
	{
		if (code_ >= 0)
			value_.~T();
		else
			error_.~error();
	}

	bool ok() const noexcept
	{
		return code_ >= 0;
	}

	explicit operator bool() const noexcept
	{
		return code_ >= 0;
	}

	int code() const noexcept
	{
		return code_;
	}

	/* The error; of a success one whose code is 0. */
	const mp::error &error() const noexcept
	{
		return code_ < 0 ? error_ : detail::no_error();
	}

	/* The value, or throw mp::failure; without exceptions in the compiler, abort. */
	T &value() &
	{
		if (code_ < 0)
			detail::raise(error_);
		return value_;
	}

	const T &value() const &
	{
		if (code_ < 0)
			detail::raise(error_);
		return value_;
	}

	T value() &&
	{
		if (code_ < 0)
			detail::raise(error_);
		return std::move(value_);
	}

	template <class U> T value_or(U &&other) const &
	{
		return code_ >= 0 ? value_ : static_cast<T>(std::forward<U>(other));
	}

	template <class U> T value_or(U &&other) &&
	{
		return code_ >= 0 ? std::move(value_) : static_cast<T>(std::forward<U>(other));
	}

	T &operator*() &noexcept
	{
		return value_;
	}

	const T &operator*() const &noexcept
	{
		return value_;
	}

	T &&operator*() &&noexcept
	{
		return std::move(value_);
	}

	T *operator->() noexcept
	{
		return &value_;
	}

	const T *operator->() const noexcept
	{
		return &value_;
	}
};

template <> class [[nodiscard]] result<void>
{
	int code_ = 0;
	mp::error error_;

      public:
	using value_type = void;

	result() noexcept = default;
	result(const mp::error &e) noexcept : code_(e.code()), error_(e)
	{
	}

	/* Of what a C function returned. */
	explicit result(int code) noexcept : code_(code)
	{
		if (code < 0)
			error_ = mp::error(code);
	}

	bool ok() const noexcept
	{
		return code_ >= 0;
	}

	explicit operator bool() const noexcept
	{
		return code_ >= 0;
	}

	int code() const noexcept
	{
		return code_;
	}

	const mp::error &error() const noexcept
	{
		return error_;
	}

	void value() const
	{
		if (code_ < 0)
			detail::raise(error_);
	}
};

namespace detail
{

inline result<int> number(int r)
{
	if (r < 0)
		return error(r);
	return result<int>(r, r);
}

inline result<bool> yes(int r)
{
	if (r < 0)
		return error(r);
	return result<bool>(r > 0, r);
}

/* What a C function stores behind its last argument, a number. */
template <class N, class F, class... A> result<N> stored(F f, A &&...a)
{
	N n;
	int r = f(std::forward<A>(a)..., &n);

	if (r < 0)
		return error(r);
	return result<N>(n, r);
}

/* The rest of a life, after a call that stored it: none, it has no end. */
inline result<std::optional<std::chrono::milliseconds>> ttl(int r, const std::int64_t &ms)
{
	if (r < 0)
		return error(r);
	if (ms == MP_FOREVER)
		return std::optional<std::chrono::milliseconds>();
	return std::optional(std::chrono::milliseconds(ms));
}

} // namespace detail

/* --- timeouts -------------------------------------------------------------------------------- */

/*
 * How long a call may wait: any std::chrono duration, rounded up to milliseconds (24 days at most;
 * none or less: mp::nowait), or mp::forever.
 */
class timeout
{
	int ms_;

	struct raw {
	};
	constexpr timeout(raw, int ms) noexcept : ms_(ms)
	{
	}

      public:
	template <class Rep, class Period>
	constexpr timeout(std::chrono::duration<Rep, Period> d) noexcept : ms_(0)
	{
		double ms = std::chrono::duration<double, std::milli>(d).count();
		if (ms >= INT_MAX)
			ms_ = INT_MAX;
		else if (ms > 0)
			ms_ = static_cast<int>(ms) + (ms > static_cast<int>(ms));
	}

	static constexpr timeout of(int ms) noexcept
	{
		return {raw(), ms};
	}

	constexpr int ms() const noexcept
	{
		return ms_;
	}
};

inline constexpr timeout forever = timeout::of(MP_FOREVER);
inline constexpr timeout nowait = timeout::of(MP_NOWAIT);

/* --- spans ----------------------------------------------------------------------------------- */

/*
 * std::span for C++17, as far as it is needed: a pointer and a number. Converts to and from std's.
 */
template <class T> class span
{
	T *data_ = nullptr;
	std::size_t size_ = 0;

      public:
	using element_type = T;
	using value_type = std::remove_cv_t<T>;
	using iterator = T *;

	constexpr span() noexcept = default;
	constexpr span(T *data, std::size_t size) noexcept : data_(data), size_(size)
	{
	}
	template <std::size_t N> constexpr span(T (&items)[N]) noexcept : data_(items), size_(N)
	{
	}

	/* Whatever has data() and size() of such items; a temporary only to be read. */
	template <class C,
		class = std::enable_if_t<
			(std::is_lvalue_reference_v<C> || std::is_const_v<T>)&&!std::is_same_v<
				std::remove_cv_t<std::remove_reference_t<C>>, span> &&
			std::is_convertible_v<std::remove_pointer_t<decltype(std::data(
						      std::declval<C &>()))> (*)[],
				T (*)[]>>>
	constexpr span(C &&c) noexcept : data_(std::data(c)), size_(std::size(c))
	{
	}

#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Winit-list-lifetime"
#endif
	/* Items written in the call, which live as long as that. */
	template <class U = T, class = std::enable_if_t<std::is_const_v<U>>>
	constexpr span(std::initializer_list<value_type> items) noexcept
	    : data_(items.begin()), size_(items.size())
	{
	}
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic pop
#endif

	constexpr T *data() const noexcept
	{
		return data_;
	}

	constexpr std::size_t size() const noexcept
	{
		return size_;
	}

	constexpr bool empty() const noexcept
	{
		return size_ == 0;
	}

	constexpr T *begin() const noexcept
	{
		return data_;
	}

	constexpr T *end() const noexcept
	{
		return data_ + size_;
	}

	constexpr T &operator[](std::size_t i) const noexcept
	{
		return data_[i];
	}
};

} // namespace mp

#if defined(__cpp_lib_span) && defined(__cpp_lib_concepts)
/* Who has a span does not own the items: what a call returns may become a std::span, too. */
template <class T> inline constexpr bool std::ranges::enable_borrowed_range<mp::span<T>> = true;
#endif

namespace mp
{

/*
 * Bytes that somebody else owns. Made of text and of whatever holds chars, unsigned chars or
 * std::bytes; said in full (`mp::bytes(x)`) where a value could be text as well.
 */
class bytes : public span<const std::byte>
{
      public:
	constexpr bytes() noexcept = default;
	bytes(const void *data, std::size_t size) noexcept
	    : span(static_cast<const std::byte *>(data), size)
	{
	}
	bytes(std::string_view text) noexcept : bytes(text.data(), text.size())
	{
	}
	bytes(const char *text) noexcept : bytes(std::string_view(text))
	{
	}

	template <class C,
		class Item = std::remove_pointer_t<decltype(std::data(std::declval<const C &>()))>,
		class = std::enable_if_t<sizeof(Item) == 1 && std::is_trivially_copyable_v<Item> &&
					 !std::is_convertible_v<const C &, std::string_view> &&
					 !std::is_base_of_v<bytes, C>>>
	bytes(const C &c) noexcept : bytes(std::data(c), std::size(c))
	{
	}

	/* The same as text, which it may be. */
	std::string_view text() const noexcept
	{
		return {reinterpret_cast<const char *>(data()), size()};
	}
};

/* Bytes that libmp allocated and this owns. */
class buffer
{
	struct release {
		void operator()(void *data) const noexcept
		{
			std::free(data);
		}
	};
	std::unique_ptr<void, release> data_;
	std::size_t size_ = 0;

      public:
	buffer() noexcept = default;
	buffer(void *data, std::size_t size) noexcept : data_(data), size_(size)
	{
	}

	mp::bytes bytes() const noexcept
	{
		return {data_.get(), size_};
	}

	std::string_view text() const noexcept
	{
		return bytes().text();
	}

	const void *data() const noexcept
	{
		return data_.get();
	}

	std::size_t size() const noexcept
	{
		return size_;
	}
};

} // namespace mp

#endif
