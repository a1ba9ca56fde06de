/* SPDX-License-Identifier: MIT */
/*
 * shm/bell.h - where threads of all processes sleep until state that they share has changed.
 *
 * One futex word, {sequence:31, somebody sleeps:1}. A waiter listens (moves the sequence on and sets
 * the bit), looks at the state once more, and sleeps on exactly that value. Who has changed the state
 * looks at the bit, and pays for a system call only when it is set. Then it moves the sequence on, so
 * that who is about to fall asleep looks again, and wakes; the bit goes when the kernel found nobody.
 * There is no count of sleepers, so that none can be wrong after a death.
 *
 *	for (;;) {
 *		uint32_t heard = mp__bell_listen(&bell);
 *		if (state is as wanted)
 *			break;
 *		if (mp__bell_sleep(&bell, heard, deadline) == -ETIMEDOUT)
 *			...
 *	}
 *
 * The two sides meet by sequential consistency: the waiter writes the bit, then reads the state; the
 * waker writes the state, then reads the bit, with a full barrier in between (a sequentially
 * consistent read-modify-write, as mp__guard_leave_and_look()).
 *
 * A wake-up can go lost in one way: with the killed thread that should have sent it, or that was
 * woken and was to act. Therefore nobody sleeps longer than MP__BELL_RECHECK_MS without looking at
 * the state again: mp__bell_sleep() returns 0 then, as if woken.
 */
#ifndef MP_SHM_BELL_H
#define MP_SHM_BELL_H

#include "base/deadline.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define MP__BELL_RECHECK_MS 50

typedef _Atomic uint32_t mp__bell;

/* Announce that the caller is about to sleep; the value to hand to mp__bell_sleep(). */
uint32_t mp__bell_listen(mp__bell *bell);

/*
 * 0 look again (woken, a signal handler ran, something moved, or a re-check is due); -ETIMEDOUT the
 * deadline has passed. Sets no error detail: what was waited for is the caller's to say.
 */
int mp__bell_sleep(mp__bell *bell, uint32_t heard, mp__deadline deadline);

/* The same until a time that is near, without a look at the clock: no further than the re-check. */
void mp__bell_doze(mp__bell *bell, uint32_t heard, mp__deadline soon);

void mp__bell_ring_slowly(mp__bell *bell, int count);

/* After a change of state and a full barrier: wake up to `count` of those who sleep. */
static inline void mp__bell_ring(mp__bell *bell, int count)
{
	if (atomic_load_explicit(bell, memory_order_seq_cst) & 1)
		mp__bell_ring_slowly(bell, count);
}

/* Does somebody sleep, or is about to? */
static inline bool mp__bell_has_sleepers(mp__bell *bell)
{
	return atomic_load_explicit(bell, memory_order_seq_cst) & 1;
}

#endif
