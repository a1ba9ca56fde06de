/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "shm/bell.h"

#include "base/futex.h"
#include "base/testpoint.h"

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
	int64_t now = mp__now_ns();
	int64_t recheck = now + MP__BELL_RECHECK_MS * INT64_C(1000000);

	if (deadline.ns <= now)
		return -ETIMEDOUT;
	mp__futex_wait(bell, heard, (mp__deadline){deadline.ns < recheck ? deadline.ns : recheck});
	return 0;
}

void mp__bell_doze(mp__bell *bell, uint32_t heard, mp__deadline soon)
{
	mp__futex_wait(bell, heard, soon);
}

void mp__bell_ring_slowly(mp__bell *bell, int count)
{
	/*
	 * First the word changes: who has looked at the state before it changed, and is on its way into
	 * the kernel, finds another value there and looks again. Without that it could fall asleep
	 * between our wake-up, which did not find it, and the end of the bit.
	 */
	uint32_t mine = atomic_fetch_add(bell, 2) + 2;

	/* Somebody who listened since then has another value, and keeps the bit. */
	int woken = mp__futex_wake(bell, count);
	MP__TEST_POINT("bell.rung");
	if (woken < count)
		atomic_compare_exchange_strong(bell, &mine, mine & ~1u);
}
