/* SPDX-License-Identifier: MIT */
/*
 * mp/hpp/handle.hpp - what all handle classes have in common: one reference, moved and never
 * copied.
 *
 * The class mp::queue is one reference to an mp_queue, and nothing else: a pointer that the
 * destructor closes. c() lends it to C calls, release() gives it away, adopt() takes one over.
 * Types that travel also have ref(), one reference more.
 */
#ifndef MP_HPP_HANDLE_HPP
#define MP_HPP_HANDLE_HPP

#include <mp/hpp/result.hpp>

namespace mp
{
namespace detail
{

/* How a C type is closed; of types that travel also referenced, and found in a value. */
template <class C> struct type;

#define MP_HPP_CLOSES(name)                                 \
	template <> struct type<mp_##name> {                \
		static constexpr bool travels = false;      \
		static constexpr const char *label = #name; \
		static void close(mp_##name *x) noexcept    \
		{                                           \
			(void)mp_##name##_close(x);         \
		}                                           \
	};

#define MP_HPP_TRAVELS(name)                                     \
	template <> struct type<mp_##name> {                     \
		static constexpr bool travels = true;            \
		static constexpr const char *label = #name;      \
		static void close(mp_##name *x) noexcept         \
		{                                                \
			(void)mp_##name##_close(x);              \
		}                                                \
		static mp_##name *ref(mp_##name *x) noexcept     \
		{                                                \
			return mp_##name##_ref(x);               \
		}                                                \
		static mp_##name *find(const mp_obj *o) noexcept \
		{                                                \
			return mp_obj_##name(o);                 \
		}                                                \
	};

MP_HPP_CLOSES(as_completed)
MP_HPP_CLOSES(future)
MP_HPP_CLOSES(imap)
MP_HPP_CLOSES(listener)
MP_HPP_CLOSES(pool)
MP_HPP_CLOSES(process)
MP_HPP_CLOSES(server)
MP_HPP_CLOSES(timer)
MP_HPP_CLOSES(waiter)
MP_HPP_TRAVELS(array)
MP_HPP_TRAVELS(barrier)
MP_HPP_TRAVELS(block)
MP_HPP_TRAVELS(condition)
MP_HPP_TRAVELS(connection)
MP_HPP_TRAVELS(dict)
MP_HPP_TRAVELS(event)
MP_HPP_TRAVELS(heap)
MP_HPP_TRAVELS(lock)
MP_HPP_TRAVELS(manager)
MP_HPP_TRAVELS(proxy)
MP_HPP_TRAVELS(queue)
MP_HPP_TRAVELS(rlock)
MP_HPP_TRAVELS(rwlock)
MP_HPP_TRAVELS(semaphore)
MP_HPP_TRAVELS(shared_list)
MP_HPP_TRAVELS(value)

#undef MP_HPP_CLOSES
#undef MP_HPP_TRAVELS

/* `Self` is the class that the user sees, C the type of the C API. */
template <class Self, class C> class handle
{
	C *p_ = nullptr;

      public:
	using c_type = C;
	static constexpr bool travels = type<C>::travels;

	handle() noexcept = default;
	handle(handle &&other) noexcept : p_(other.release())
	{
	}

	handle &operator=(handle &&other) noexcept
	{
		if (this != &other)
			reset(other.release());
		return *this;
	}

	~handle()
	{
		reset();
	}

	/* A handle that owns this reference. */
	static Self adopt(C *p) noexcept
	{
		Self self;
		static_cast<handle &>(self).p_ = p;
		return self;
	}

	C *c() const noexcept
	{
		return p_;
	}

	C *release() noexcept
	{
		return std::exchange(p_, nullptr);
	}

	void reset(C *p = nullptr) noexcept
	{
		if (C *old = std::exchange(p_, p))
			type<C>::close(old);
	}

	explicit operator bool() const noexcept
	{
		return p_ != nullptr;
	}

	/* One reference more, to the same object. */
	template <class T = type<C>> Self ref() const noexcept
	{
		static_assert(T::travels, "handles of this kind have one owner: move it");
		return adopt(T::ref(p_));
	}
};

template <class T, class = void> struct is_handle : std::false_type {
};
template <class T> struct is_handle<T, std::void_t<typename T::c_type>> : std::true_type {
};

/* A handle out of what `make(C **)` stores. */
template <class Self, class Make> result<Self> made(Make make)
{
	typename Self::c_type *p = nullptr;
	int r = make(&p);

	if (r < 0)
		return error(r);
	return result<Self>(Self::adopt(p), r);
}

/* `size` says which fields the caller knows: it is this header that knows them. */
template <class Options> Options sized(Options options) noexcept
{
	options.size = sizeof(Options);
	return options;
}

} // namespace detail

/* A handle that somebody else owns, used as if it was one's own, and not closed. */
template <class Handle> class borrowed
{
	Handle handle_;

      public:
	explicit borrowed(typename Handle::c_type *p) noexcept : handle_(Handle::adopt(p))
	{
	}
	borrowed(const borrowed &other) noexcept : borrowed(other.handle_.c())
	{
	}

	borrowed &operator=(const borrowed &other) noexcept
	{
		handle_.release();
		handle_ = Handle::adopt(other.handle_.c());
		return *this;
	}

	~borrowed()
	{
		handle_.release();
	}

	Handle &operator*() noexcept
	{
		return handle_;
	}

	Handle *operator->() noexcept
	{
		return &handle_;
	}
};

} // namespace mp

#endif
