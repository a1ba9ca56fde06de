/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "base/fork_lock.h"

#include "base/origin.h"

#include <sched.h>

/* An origin that is being taken over; differs between processes like the origin itself. */
#define BUSY ((uint64_t)1 << 63)

void mp__fork_lock_init(struct mp__fork_lock *lock)
{
	atomic_init(&lock->lock.word, 0);
	atomic_init(&lock->origin, mp__origin_here());
}

/*
 * True for the one thread that has made the lock its process's, and holds it. The others wait until
 * it is; that is a few instructions, and it cannot die in between without its process.
 */
static bool take_over(struct mp__fork_lock *lock)
{
	uint64_t here = mp__origin_here();
	uint64_t seen = atomic_load_explicit(&lock->origin, memory_order_acquire);

	while (seen != here) {
		if (seen == (here ^ BUSY)) {
			sched_yield();
			seen = atomic_load_explicit(&lock->origin, memory_order_acquire);
			continue;
		}
		if (!atomic_compare_exchange_weak(&lock->origin, &seen, here ^ BUSY))
			continue;
		atomic_store_explicit(&lock->lock.word, 0, memory_order_relaxed);
		(void)mp__timed_lock_take(&lock->lock, MP__DEADLINE_NEVER);
		/* Release pairs with the acquire above: the lock is made, and held by us. */
		atomic_store_explicit(&lock->origin, here, memory_order_release);
		return true;
	}
	return false;
}

int mp__fork_lock_take(struct mp__fork_lock *lock, mp__deadline deadline)
{
	if (take_over(lock))
		return 1;
	return mp__timed_lock_take(&lock->lock, deadline);
}

void mp__fork_lock_release(struct mp__fork_lock *lock)
{
	mp__timed_lock_release(&lock->lock);
}
