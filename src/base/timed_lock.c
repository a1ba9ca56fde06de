/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "base/timed_lock.h"

#include "base/futex.h"

#include <errno.h>

enum { FREE, TAKEN, WAITED_FOR };

int mp__timed_lock_take(struct mp__timed_lock *lock, mp__deadline deadline)
{
	uint32_t seen = FREE;

	if (atomic_compare_exchange_strong_explicit(
		    &lock->word, &seen, TAKEN, memory_order_acquire, memory_order_relaxed))
		return 0;
	/* Whoever slept takes it as waited for: there may be others who sleep. */
	while (atomic_exchange_explicit(&lock->word, WAITED_FOR, memory_order_acquire) != FREE) {
		if (mp__futex_wait(&lock->word, WAITED_FOR, deadline) == -ETIMEDOUT)
			return -ETIMEDOUT;
	}
	return 0;
}

void mp__timed_lock_release(struct mp__timed_lock *lock)
{
	/* Release pairs with acquire in take: the next one sees what was done under the lock. */
	if (atomic_exchange_explicit(&lock->word, FREE, memory_order_release) == WAITED_FOR)
		mp__futex_wake(&lock->word, 1);
}
