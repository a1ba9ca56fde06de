/* SPDX-License-Identifier: MIT */
/*
 * shm/guard.h - a lock for the few instructions in which the library changes shared state.
 *
 * One word that holds its owner's stamp (base/stamp.h) or 0. Entering is one compare-and-swap,
 * leaving one store: cheaper than any mutex, and without pointers in shared memory, which a hostile
 * peer could bend (those of a robust pthread mutex are written through at each unlock). Nobody
 * sleeps inside, so who finds it taken spins, then yields, then naps; after a millisecond it asks
 * whether the owner lives, and takes the guard over if not.
 *
 * An owner that lives and stands still, since somebody has stopped it, is worth a remark after a second
 * (mp/log.h). For longer than ten seconds it is not waited for (-ETIMEDOUT): by calls that have no
 * deadline of their own, nor by any if nobody here can say whether it lives (of another PID namespace; or
 * garbage that a hostile process has written). It stands still as long as, at each look, it has the
 * guard and nothing has changed: the guard has not changed hands, nor what its user names as signs of
 * life. For on a machine with far too much to do one who works without a pause is in the guard whenever
 * others are awake to look; while such a one gets on, they have patience six times as long. Time in which
 * the waiter itself was stopped does not count, but for a second or so.
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
#include <stddef.h>
#include <stdint.h>

typedef _Atomic uint64_t mp__guard;

/*
 * What changes when somebody inside gets on, and only then: whole words of 32 bits, which are atomic or
 * never written.
 */
struct mp__guard_signs {
	const void *words;
	size_t size;
};

#define MP__GUARD_NO_SIGNS ((struct mp__guard_signs){NULL, 0})

/* How long who stands still is waited for. Tests shorten it. */
extern int64_t mp__guard_patience_ns;

/* Instead of a deadline, of calls that have none: who gets on is waited for, who stands still is not. */
#define MP__GUARD_PATIENTLY ((mp__deadline){INT64_MIN})

int mp__guard_enter_slowly(mp__guard *guard, mp__deadline deadline, struct mp__guard_signs signs);

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
static inline int mp__guard_enter_seeing(
	mp__guard *guard, mp__deadline deadline, struct mp__guard_signs signs)
{
	return mp__guard_try(guard) ? 0 : mp__guard_enter_slowly(guard, deadline, signs);
}

/* The same, where only the guard itself shows that others get on. */
static inline int mp__guard_enter(mp__guard *guard, mp__deadline deadline)
{
	return mp__guard_enter_seeing(guard, deadline, MP__GUARD_NO_SIGNS);
}

/* The same; only who has to wait looks at the clock. */
static inline int mp__guard_enter_within(mp__guard *guard, int timeout_ms)
{
	return mp__guard_try(guard) ? 0
				    : mp__guard_enter_slowly(guard, mp__deadline_in(timeout_ms),
					      MP__GUARD_NO_SIGNS);
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
