/* SPDX-License-Identifier: MIT */
/*
 * shm/guard.h - a lock for the few instructions in which the library changes shared state.
 *
 * One word that holds its owner's stamp (base/stamp.h) or 0. Entering is one compare-and-swap,
 * leaving one store: cheaper than any mutex, and without pointers in shared memory, which a hostile
 * peer could bend (those of a robust pthread mutex are written through at each unlock). Nobody
 * sleeps inside, so who finds it taken spins, then yields, then naps; after a millisecond it asks
 * whether the owner lives, and takes the guard over if not. An owner that stands still for a second,
 * since somebody has stopped it, is worth a remark (mp/log.h). One of which nobody here can say
 * whether it lives (of another PID namespace; or garbage that a hostile process has written) is waited
 * for ten seconds at most, whatever the deadline: then entering fails with -ETIMEDOUT.
 *
 * MP_OWNER_DIED therefore means: the dead one may have been between any two stores. The caller
 * repairs the state first (from what can be derived, or by an intent record), in a way that may be
 * repeated, since it can be killed there itself: the guard then shows its stamp.
 */
#ifndef MP_SHM_GUARD_H
#define MP_SHM_GUARD_H

#include "base/deadline.h"
#include "base/stamp.h"

#include <mp/error.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

typedef _Atomic uint64_t mp__guard;

/* How long an owner is waited for that cannot be judged. Tests shorten it. */
extern int64_t mp__guard_foreign_ns;

int mp__guard_enter_slowly(mp__guard *guard, mp__deadline deadline);

/* Enter if nobody is inside; `self` is mp__stamp_self(), for who has it at hand. */
static inline bool mp__guard_try_as(mp__guard *guard, mp__stamp self)
{
	uint64_t nobody = 0;

	/* Partner: the release in mp__guard_leave(). */
	return atomic_compare_exchange_strong_explicit(
		guard, &nobody, self, memory_order_acquire, memory_order_relaxed);
}

static inline bool mp__guard_try(mp__guard *guard)
{
	return mp__guard_try_as(guard, mp__stamp_self());
}

/*
 * 0 or MP_OWNER_DIED: entered. -ETIMEDOUT; -EDEADLK this thread is inside (it is a signal handler
 * that interrupted the library).
 */
static inline int mp__guard_enter(mp__guard *guard, mp__deadline deadline)
{
	return mp__guard_try(guard) ? 0 : mp__guard_enter_slowly(guard, deadline);
}

/* The same; only who has to wait looks at the clock. */
static inline int mp__guard_enter_within(mp__guard *guard, int timeout_ms)
{
	uint64_t nobody = 0;

	if (atomic_compare_exchange_strong_explicit(
		    guard, &nobody, mp__stamp_self(), memory_order_acquire, memory_order_relaxed))
		return 0;
	return mp__guard_enter_slowly(guard, mp__deadline_in(timeout_ms));
}

static inline void mp__guard_leave(mp__guard *guard)
{
	atomic_store_explicit(guard, 0, memory_order_release);
}

/*
 * Leave, and see from here on what others did before they saw us leave: for who looks at a word of
 * sleepers next (shm/bell.h).
 */
static inline void mp__guard_leave_and_look(mp__guard *guard)
{
	atomic_exchange_explicit(guard, 0, memory_order_seq_cst);
}

#endif
