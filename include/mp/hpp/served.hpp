/* SPDX-License-Identifier: MIT */
/*
 * mp/hpp/served.hpp - what programs share through a managerd beside dicts.
 *
 * Every object is a proxy, and mp::proxy calls any method of any of them; the classes here have the
 * methods of one type each. The contracts are those of mp/proxy.h and mp/served.h.
 */
#ifndef MP_HPP_SERVED_HPP
#define MP_HPP_SERVED_HPP

#include <mp/hpp/sync.hpp>

namespace mp
{

namespace detail
{

/* What every served object can do; `Self` is the class that the user sees. */
template <class Self> class served : public handle<Self, mp_proxy>
{
      public:
	/* A method by its name. code(): MP_OWNER_DIED. `t` counts for methods that wait. */
	template <class... A> result<obj> call(timeout t, const char *method, A &&...a)
	{
		auto args = list_of(std::forward<A>(a)...);
		return fetched(mp_proxy_call, this->c(), method, args, t.ms());
	}

	const char *type() const noexcept
	{
		return mp_proxy_type(this->c());
	}

	/* Another number after each change; watch() waits until it is another one than `version`. */
	result<std::int64_t> version()
	{
		return detail::stored<std::int64_t>(mp_proxy_version, this->c());
	}

	result<std::int64_t> watch(std::int64_t version, timeout t = forever)
	{
		return detail::stored<std::int64_t>(mp_proxy_watch, this->c(), version, t.ms());
	}

	/* Its name goes after this time; who has it open keeps it. */
	result<void> expire(std::chrono::milliseconds ttl)
	{
		return result<void>(mp_proxy_expire(this->c(), ttl.count()));
	}

	/* true: it was to go. */
	result<bool> persist()
	{
		return detail::yes(mp_proxy_persist(this->c()));
	}

	/* What is left of its time; none: it stays. */
	result<std::optional<std::chrono::milliseconds>> ttl()
	{
		std::int64_t ms;
		int r = mp_proxy_ttl(this->c(), &ms);
		return detail::ttl(r, ms);
	}

	/* The same object? */
	template <class Other> bool same(const served<Other> &other) const noexcept
	{
		return mp_proxy_equal(this->c(), other.c()) == 1;
	}

	friend bool operator==(const Self &a, const Self &b) noexcept
	{
		return a.same(b);
	}

	friend bool operator!=(const Self &a, const Self &b) noexcept
	{
		return !a.same(b);
	}
};

} // namespace detail

/* Any object of a managerd; its methods by their names. */
class proxy : public detail::served<proxy>
{
};

namespace detail
{

/* The guard's code() is MP_OWNER_DIED or 0; the fence grows with every holder. */
template <class Self, auto Acquire, int (*Release)(mp_proxy *), auto Locked>
class served_lock_base : public served<Self>
{
      public:
	using guard = held<mp_proxy, Release>;

	result<guard> hold(timeout t = forever, std::int64_t *ret_fence = nullptr)
	{
		return detail::hold<mp_proxy, Release>(
			this->c(), Acquire(this->c(), t.ms(), ret_fence));
	}

	result<bool> locked()
	{
		return yes(Locked(this->c()));
	}
};

} // namespace detail

class served_lock : public detail::served_lock_base<served_lock, mp_served_lock_acquire,
			    mp_served_lock_release, mp_served_lock_locked>
{
      public:
	static constexpr const char *served_type = "lock";
};

class served_rlock : public detail::served_lock_base<served_rlock, mp_served_rlock_acquire,
			     mp_served_rlock_release, mp_served_rlock_locked>
{
      public:
	static constexpr const char *served_type = "rlock";
};

class served_value : public detail::served<served_value>
{
      public:
	static constexpr const char *served_type = "value";

	template <class T = obj> result<T> get()
	{
		return detail::fetched<T>(mp_served_value_get, c());
	}

	result<void> set(const arg &content)
	{
		return result<void>(mp_served_value_set(c(), content));
	}

	template <class T = obj> result<T> exchange(const arg &content)
	{
		return detail::fetched<T>(mp_served_value_exchange, c(), content);
	}
};

class counter : public detail::served<counter>
{
      public:
	static constexpr const char *served_type = "counter";

	result<std::int64_t> get()
	{
		return detail::stored<std::int64_t>(mp_counter_get, c());
	}

	result<void> set(std::int64_t n)
	{
		return result<void>(mp_counter_set(c(), n));
	}

	/* The sum. */
	result<std::int64_t> add(std::int64_t n)
	{
		return detail::stored<std::int64_t>(mp_counter_add, c(), n);
	}

	/* true: it was `expected` and is n. */
	result<bool> compare_and_swap(std::int64_t expected, std::int64_t n)
	{
		return detail::yes(mp_counter_compare_and_swap(c(), expected, n, nullptr));
	}
};

class served_event : public detail::served<served_event>
{
      public:
	static constexpr const char *served_type = "event";

	result<void> set()
	{
		return result<void>(mp_served_event_set(c()));
	}

	result<void> clear()
	{
		return result<void>(mp_served_event_clear(c()));
	}

	result<bool> is_set()
	{
		return detail::yes(mp_served_event_is_set(c()));
	}

	result<void> wait(timeout t = forever)
	{
		return result<void>(mp_served_event_wait(c(), t.ms()));
	}
};

/* Bounded or not. */
class served_semaphore : public detail::served<served_semaphore>
{
      public:
	using permit = held<mp_proxy, mp_served_semaphore_release>;

	result<permit> hold(timeout t = forever)
	{
		return detail::hold<mp_proxy, mp_served_semaphore_release>(
			c(), mp_served_semaphore_acquire(c(), t.ms()));
	}

	result<void> acquire(timeout t = forever)
	{
		return result<void>(mp_served_semaphore_acquire(c(), t.ms()));
	}

	/* Give n permits back. */
	result<void> give(std::int64_t n = 1)
	{
		return result<void>(mp_served_semaphore_release_n(c(), n));
	}

	result<int> value()
	{
		return detail::number(mp_served_semaphore_value(c()));
	}
};

class served_barrier : public detail::served<served_barrier>
{
      public:
	static constexpr const char *served_type = "barrier";

	/* The order of arrival. */
	result<int> wait(timeout t = forever)
	{
		return detail::number(mp_served_barrier_wait(c(), t.ms()));
	}

	result<void> abort()
	{
		return result<void>(mp_served_barrier_abort(c()));
	}

	/* mp_served_barrier_reset() */
	result<void> renew()
	{
		return result<void>(mp_served_barrier_reset(c()));
	}

	result<int> parties()
	{
		return detail::number(mp_served_barrier_parties(c()));
	}

	result<int> waiting()
	{
		return detail::number(mp_served_barrier_waiting(c()));
	}

	result<bool> broken()
	{
		return detail::yes(mp_served_barrier_broken(c()));
	}
};

class served_condition : public detail::served<served_condition>
{
      public:
	static constexpr const char *served_type = "condition";
	using guard = held<mp_proxy, mp_served_condition_release>;

	/* Its lock. */
	result<guard> hold(timeout t = forever)
	{
		return detail::hold<mp_proxy, mp_served_condition_release>(
			c(), mp_served_condition_acquire(c(), t.ms()));
	}

	/* The lock is held, before and after. code(): MP_OWNER_DIED. */
	result<void> wait(timeout t = forever)
	{
		return result<void>(mp_served_condition_wait(c(), t.ms()));
	}

	/* Until predicate() is true, which is asked with the lock held; it must not throw. */
	template <class Predicate> result<void> wait_for(Predicate predicate, timeout t = forever)
	{
		auto ask = [](void *p) noexcept -> int { return (*static_cast<Predicate *>(p))(); };
		return result<void>(mp_served_condition_wait_for(c(), ask, &predicate, t.ms()));
	}

	result<void> notify(int n = 1)
	{
		return result<void>(mp_served_condition_notify(c(), n));
	}

	result<void> notify_all()
	{
		return result<void>(mp_served_condition_notify_all(c()));
	}
};

namespace detail
{

template <class T> struct fits<T, std::void_t<decltype(T::served_type)>> {
	static bool check(mp_proxy *p) noexcept
	{
		return std::strcmp(mp_proxy_type(p), T::served_type) == 0;
	}
};

} // namespace detail

} // namespace mp

#endif
