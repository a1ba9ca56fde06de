/* SPDX-License-Identifier: MIT */
/*
 * mp/hpp/sync.hpp - locks, semaphores, events, conditions, barriers, timers.
 *
 *	auto held = lock.hold(10s);
 *	if (held && held->owner_died())
 *		repair();
 *
 * There is no lock() and unlock() as std::lock_guard wants them: those could not tell that the last
 * holder died. hold() gives a guard that knows, and releases when it goes.
 *
 * make() makes an object that travels; init() one that stands in memory of the program's own, for
 * which the handle is just a pointer: closing it does nothing.
 */
#ifndef MP_HPP_SYNC_HPP
#define MP_HPP_SYNC_HPP

#include <mp/hpp/obj.hpp>

namespace mp
{

/* Something acquired, until it goes. */
template <class C, int (*Release)(C *)> class held
{
	C *object_;
	int code_;

      public:
	held(C *object, int code) noexcept : object_(object), code_(code)
	{
	}
	held(held &&other) noexcept
	    : object_(std::exchange(other.object_, nullptr)), code_(other.code_)
	{
	}

	held &operator=(held &&other) noexcept
	{
		if (this != &other) {
			(void)release();
			object_ = std::exchange(other.object_, nullptr);
			code_ = other.code_;
		}
		return *this;
	}

	~held()
	{
		(void)release();
	}

	/* The holder before died with it: look at the data that it guards. */
	bool owner_died() const noexcept
	{
		return code_ == MP_OWNER_DIED;
	}

	result<void> release() noexcept
	{
		C *object = std::exchange(object_, nullptr);
		return object ? result<void>(Release(object)) : result<void>();
	}

	/* It is not this one's any more to release. */
	void forget() noexcept
	{
		object_ = nullptr;
	}
};

namespace detail
{

template <class C, int (*Release)(C *)> result<held<C, Release>> hold(C *object, int r)
{
	if (r < 0)
		return error(r);
	return result<held<C, Release>>(held<C, Release>(object, r), r);
}

/* The two kinds of locks differ in their names only. */
template <class Self, class C, auto New, auto Init, auto Destroy, auto Acquire, int (*Release)(C *),
	auto Locked, auto Owner>
class lock_base : public handle<Self, C>
{
      public:
	static result<Self> make(const mp_lock_options &o = {})
	{
		auto options = sized(o);
		return made<Self>([&](C **p) { return New(&options, p); });
	}

	static result<Self> init(C *place, const mp_lock_options &o = {})
	{
		auto options = sized(o);
		int r = Init(place, &options);
		if (r < 0)
			return error(r);
		return handle<Self, C>::adopt(place);
	}

	/* What init() made is no lock any more. */
	result<void> destroy()
	{
		return result<void>(Destroy(this->c()));
	}

	result<held<C, Release>> hold(timeout t = forever)
	{
		return detail::hold<C, Release>(this->c(), Acquire(this->c(), t.ms()));
	}

	/* Without a guard: code() says MP_OWNER_DIED. */
	result<void> acquire(timeout t = forever)
	{
		return result<void>(Acquire(this->c(), t.ms()));
	}

	result<void> release_lock()
	{
		return result<void>(Release(this->c()));
	}

	result<bool> locked() const
	{
		return yes(Locked(this->c()));
	}

	result<int> owner() const
	{
		return number(Owner(this->c()));
	}
};

} // namespace detail

class lock : public detail::lock_base<lock, mp_lock, mp_lock_new, mp_lock_init, mp_lock_destroy,
		     mp_lock_acquire, mp_lock_release, mp_lock_locked, mp_lock_owner>
{
};

class rlock
    : public detail::lock_base<rlock, mp_rlock, mp_rlock_new, mp_rlock_init, mp_rlock_destroy,
	      mp_rlock_acquire, mp_rlock_release, mp_rlock_locked, mp_rlock_owner>
{
};

class rwlock : public detail::handle<rwlock, mp_rwlock>
{
      public:
	using reading = held<mp_rwlock, mp_rwlock_release_read>;
	using writing = held<mp_rwlock, mp_rwlock_release_write>;

	static result<rwlock> make(const mp_rwlock_options &o = {})
	{
		auto options = detail::sized(o);
		return detail::made<rwlock>(
			[&](mp_rwlock **p) { return mp_rwlock_new(&options, p); });
	}

	static result<rwlock> init(mp_rwlock *place, const mp_rwlock_options &o = {})
	{
		auto options = detail::sized(o);
		int r = mp_rwlock_init(place, &options);
		if (r < 0)
			return error(r);
		return adopt(place);
	}

	result<void> destroy()
	{
		return result<void>(mp_rwlock_destroy(c()));
	}

	result<reading> hold_read(timeout t = forever)
	{
		return detail::hold<mp_rwlock, mp_rwlock_release_read>(
			c(), mp_rwlock_acquire_read(c(), t.ms()));
	}

	result<writing> hold_write(timeout t = forever)
	{
		return detail::hold<mp_rwlock, mp_rwlock_release_write>(
			c(), mp_rwlock_acquire_write(c(), t.ms()));
	}

	/*
	 * From writing to reading, without a gap; the guard that was given is empty then. After an
	 * error it still writes.
	 */
	result<reading> downgrade(writing &from)
	{
		int r = mp_rwlock_downgrade(c());
		if (r >= 0)
			from.forget();
		return detail::hold<mp_rwlock, mp_rwlock_release_read>(c(), r);
	}

	result<int> writer() const
	{
		return detail::number(mp_rwlock_writer(c()));
	}

	result<int> readers() const
	{
		return detail::number(mp_rwlock_readers(c()));
	}
};

class semaphore : public detail::handle<semaphore, mp_semaphore>
{
      public:
	using permit = held<mp_semaphore, mp_semaphore_release>;

	static result<semaphore> make(std::int64_t value, const mp_semaphore_options &o = {})
	{
		auto options = detail::sized(o);
		return detail::made<semaphore>(
			[&](mp_semaphore **p) { return mp_semaphore_new(value, &options, p); });
	}

	static result<semaphore> init(
		mp_semaphore *place, std::int64_t value, const mp_semaphore_options &o = {})
	{
		auto options = detail::sized(o);
		int r = mp_semaphore_init(place, value, &options);
		if (r < 0)
			return error(r);
		return adopt(place);
	}

	result<void> destroy()
	{
		return result<void>(mp_semaphore_destroy(c()));
	}

	/* A permit that comes back when it goes. */
	result<permit> hold(timeout t = forever)
	{
		return detail::hold<mp_semaphore, mp_semaphore_release>(
			c(), mp_semaphore_acquire(c(), t.ms()));
	}

	result<void> acquire(timeout t = forever)
	{
		return result<void>(mp_semaphore_acquire(c(), t.ms()));
	}

	/* Give n permits back. */
	result<void> give(std::int64_t n = 1)
	{
		return result<void>(mp_semaphore_release_n(c(), n));
	}

	result<int> value()
	{
		return detail::number(mp_semaphore_value(c()));
	}
};

class event : public detail::handle<event, mp_event>
{
      public:
	static result<event> make(const mp_event_options &o = {})
	{
		auto options = detail::sized(o);
		return detail::made<event>([&](mp_event **p) { return mp_event_new(&options, p); });
	}

	static result<event> init(mp_event *place, const mp_event_options &o = {})
	{
		auto options = detail::sized(o);
		int r = mp_event_init(place, &options);
		if (r < 0)
			return error(r);
		return adopt(place);
	}

	result<void> destroy()
	{
		return result<void>(mp_event_destroy(c()));
	}

	result<void> set()
	{
		return result<void>(mp_event_set(c()));
	}

	result<void> clear()
	{
		return result<void>(mp_event_clear(c()));
	}

	result<bool> is_set()
	{
		return detail::yes(mp_event_is_set(c()));
	}

	result<void> wait(timeout t = forever)
	{
		return result<void>(mp_event_wait(c(), t.ms()));
	}
};

class condition : public detail::handle<condition, mp_condition>
{
      public:
	static result<condition> make(const mp_condition_options &o = {})
	{
		auto options = detail::sized(o);
		return detail::made<condition>(
			[&](mp_condition **p) { return mp_condition_new(&options, p); });
	}

	static result<condition> init(mp_condition *place, const mp_condition_options &o = {})
	{
		auto options = detail::sized(o);
		int r = mp_condition_init(place, &options);
		if (r < 0)
			return error(r);
		return adopt(place);
	}

	result<void> destroy()
	{
		return result<void>(mp_condition_destroy(c()));
	}

	/*
	 * The lock, of either kind, is held by this thread, before and after. code():
	 * MP_OWNER_DIED.
	 */
	template <class Lock> result<void> wait(const Lock &lock, timeout t = forever)
	{
		return result<void>(mp_condition_wait(c(), lock.c(), t.ms()));
	}

	/* Until predicate() is true, which is asked with the lock held; it must not throw. */
	template <class Lock, class Predicate>
	result<void> wait_for(const Lock &lock, Predicate predicate, timeout t = forever)
	{
		auto ask = [](void *p) noexcept -> int { return (*static_cast<Predicate *>(p))(); };
		return result<void>(mp_condition_wait_for(c(), lock.c(), ask, &predicate, t.ms()));
	}

	result<void> notify(int n = 1)
	{
		return result<void>(mp_condition_notify(c(), n));
	}

	result<void> notify_all()
	{
		return result<void>(mp_condition_notify_all(c()));
	}
};

class barrier : public detail::handle<barrier, mp_barrier>
{
      public:
	static result<barrier> make(int parties, const mp_barrier_options &o = {})
	{
		auto options = detail::sized(o);
		return detail::made<barrier>(
			[&](mp_barrier **p) { return mp_barrier_new(parties, &options, p); });
	}

	static result<barrier> init(
		mp_barrier *place, int parties, const mp_barrier_options &o = {})
	{
		auto options = detail::sized(o);
		int r = mp_barrier_init(place, parties, &options);
		if (r < 0)
			return error(r);
		return adopt(place);
	}

	result<void> destroy()
	{
		return result<void>(mp_barrier_destroy(c()));
	}

	/* The order of arrival. */
	result<int> wait(timeout t = forever)
	{
		return detail::number(mp_barrier_wait(c(), t.ms()));
	}

	/* The last one to come runs action() first: >= 0, or an error. It must not throw. */
	template <class Action> result<int> wait_action(Action action, timeout t = forever)
	{
		auto run = [](void *p) noexcept -> int { return (*static_cast<Action *>(p))(); };
		return detail::number(mp_barrier_wait_action(c(), run, &action, t.ms()));
	}

	result<void> abort()
	{
		return result<void>(mp_barrier_abort(c()));
	}

	/* New rounds: mp_barrier_reset(). */
	result<void> renew()
	{
		return result<void>(mp_barrier_reset(c()));
	}

	result<void> join()
	{
		return result<void>(mp_barrier_join(c()));
	}

	result<void> leave()
	{
		return result<void>(mp_barrier_leave(c()));
	}

	result<int> parties()
	{
		return detail::number(mp_barrier_parties(c()));
	}

	result<int> waiting()
	{
		return detail::number(mp_barrier_waiting(c()));
	}

	/* enum mp_barrier_cause; who it was, if it is broken. */
	result<int> broken(mp_barrier_party *ret_by = nullptr)
	{
		return detail::number(mp_barrier_broken(c(), ret_by));
	}
};

/* A function that is called later, in this process: it may capture, and must not throw. */
class timer : public detail::handle<timer, mp_timer>
{
	std::shared_ptr<void> function_; /* shared: it is destroyed as what it is */

      public:
	timer() noexcept = default;
	timer(timer &&) noexcept = default;

	timer &operator=(timer &&other) noexcept
	{
		handle::operator=(std::move(other)); /* before its function goes */
		function_ = std::move(other.function_);
		return *this;
	}

	~timer()
	{
		reset();
	}

	/* f(periods): 1, or more when calls were missed. */
	template <class F> static result<timer> make(F f, const mp_timer_options &o)
	{
		auto kept = std::make_shared<F>(std::move(f));
		auto options = detail::sized(o);
		auto call = [](mp_timer *, std::uint64_t periods, void *data) noexcept {
			(*static_cast<F *>(data))(periods);
		};
		auto t = detail::made<timer>(
			[&](mp_timer **p) { return mp_timer_new(call, kept.get(), &options, p); });
		if (t)
			t->function_ = std::move(kept);
		return t;
	}

	result<void> start()
	{
		return result<void>(mp_timer_start(c()));
	}

	/* true: in time, there is a call that will not be made. */
	result<bool> cancel(timeout t = forever)
	{
		return detail::yes(mp_timer_cancel(c(), t.ms()));
	}

	result<int> fd()
	{
		return detail::number(mp_timer_fd(c()));
	}

	result<void> dispatch()
	{
		return result<void>(mp_timer_dispatch(c()));
	}

	result<void> wait(timeout t = forever)
	{
		return result<void>(mp_timer_wait(c(), t.ms()));
	}
};

} // namespace mp

#endif
