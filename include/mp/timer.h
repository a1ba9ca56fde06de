/* SPDX-License-Identifier: MIT */
/*
 * mp/timer.h - call a function later, once or again and again.
 *
 *	static void tick(mp_timer *timer, uint64_t periods, void *data) { ... }
 *
 *	mp_timer_new(tick, &data, MP_TIMER_OPTIONS(.interval_ms = 100, .periodic = true), &timer);
 *	mp_timer_start(timer);
 *
 * Nothing runs behind the program's back. An event loop polls mp_timer_fd() and calls
 * mp_timer_dispatch(); a program without one calls mp_timer_wait(). Only with the option `thread`
 * a thread of the timer's own makes the calls. Time is that of the monotonic clock.
 *
 * A timer may be used from any thread; it never runs its function twice at once. It belongs to the
 * process that made it: in a forked child every call is -ECHILD, except mp_timer_close(), which
 * frees what the child has of it.
 */
#ifndef MP_TIMER_H
#define MP_TIMER_H

#include <mp/cdefs.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

MP__BEGIN_DECLS

typedef struct mp_timer mp_timer;

/*
 * What is called, with none of the library's locks held. `periods` is how many intervals have ended
 * since the call before: 1 when it is in time, more when calls were missed; those are not made up
 * for. It may use the timer (cancel it, start it again), but not wait for it or close it.
 */
typedef void mp_timer_function(mp_timer *timer, uint64_t periods, void *data);

typedef struct mp_timer_options {
	size_t size;    /* set by MP_TIMER_OPTIONS() */
	uint64_t flags; /* none yet: others than 0 are -EINVAL */
	const char
		*name;   /* of the thread, in ps and debuggers; cut at 15 bytes. NULL: "mp-timer" */
	int interval_ms; /* from the start to the call, and between calls; 1 or more */
	bool periodic;   /* again and again until cancelled; the beat does not drift */
	bool thread;     /* a thread of the timer's own calls, with all signals blocked in it */
} mp_timer_options;

#define MP_TIMER_OPTIONS(...) \
	(&(const mp_timer_options){.size = sizeof(mp_timer_options), __VA_ARGS__})

/*
 * Make a timer; it is not started yet. -EINVAL no function, an interval below 1 ms, unknown flag;
 * -E2BIG the options come from a newer libmp and ask for what this one does not know; -EMFILE,
 * -ENFILE no descriptor; -EAGAIN no thread; -ENOMEM.
 */
int mp_timer_new(mp_timer_function *function, void *data, const mp_timer_options *options,
	mp_timer **ret_timer);

/*
 * The first call is due one interval from now. A timer that has expired or was cancelled may be
 * started again. -EALREADY it is started; -EINVAL no handle; -ECHILD.
 */
int mp_timer_start(mp_timer *timer);

/*
 * Stop it, and wait until a call that is under way in another thread has returned. 1: that came in
 * time, there is a call that will not be made; 0: too late, it was made, or cancelled before.
 * -ETIMEDOUT it is stopped, but the call under way has not returned yet; -EINVAL never started;
 * -ECHILD.
 */
int mp_timer_cancel(mp_timer *timer, int timeout_ms);

/*
 * A descriptor that polls readable while a call is due. It belongs to the timer; do not read it.
 * -ENOTSUP the timer has a thread; -EINVAL no handle; -ECHILD.
 */
int mp_timer_fd(mp_timer *timer);

/*
 * Make the call if it is due. -EAGAIN it is not; -EBUSY another thread makes one just now; -EDEADLK
 * from the function itself; -ENOTSUP the timer has a thread; -EINVAL never started; -ECHILD.
 */
int mp_timer_dispatch(mp_timer *timer);

/*
 * Wait until the timer is no longer started and no call is under way: until it was called once, or,
 * if it is periodic, until it was cancelled. Without a thread of the timer's own, calls are made by
 * this one. -ETIMEDOUT; -EDEADLK from the function itself; -EINVAL never started; -ECHILD.
 */
int mp_timer_wait(mp_timer *timer, int timeout_ms);

/*
 * Stop it and drop it: a call under way in another thread is waited for (mp_timer_cancel() does
 * that with a deadline), and its thread has ended. -EDEADLK from the function itself; nothing
 * happens then. NULL is allowed.
 */
int mp_timer_close(mp_timer *timer);

MP__END_DECLS

#endif
