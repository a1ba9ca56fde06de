/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "shm/bell.h"

#include "base/futex.h"

#include <errno.h>

uint32_t mp__bell_listen(mp__bell *bell)
{
	uint32_t before = atomic_load_explicit(bell, memory_order_relaxed);
	uint32_t mine;

	do
		mine = (before + 2) | 1;
	while (!atomic_compare_exchange_weak(bell, &before, mine));
	return mine;
}

int mp__bell_sleep(mp__bell *bell, uint32_t heard, mp__deadline deadline)
{
	if (mp__deadline_passed(deadline))
		return -ETIMEDOUT;
	mp__futex_wait(bell, heard, mp__deadline_slice(deadline, MP__BELL_RECHECK_MS));
	return 0;
}

void mp__bell_ring_slowly(mp__bell *bell, int count)
{
	uint32_t seen = atomic_load(bell);

	/* Somebody who listened since then has another value, and keeps the bit. */
	if (mp__futex_wake(bell, count) < count)
		atomic_compare_exchange_strong(bell, &seen, seen & ~1u);
}
