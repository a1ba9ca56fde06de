/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "base/futex.h"

#include <errno.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

int mp__futex_wait(_Atomic uint32_t *word, uint32_t expected, mp__deadline deadline)
{
	struct timespec until;
	struct timespec *limit = NULL;

	if (deadline.ns != INT64_MAX) {
		until = mp__deadline_timespec(deadline);
		limit = &until;
	}
	/* The BITSET form takes absolute CLOCK_MONOTONIC; no PRIVATE flag, so that other
	 * processes are reached. */
	if (syscall(SYS_futex, word, FUTEX_WAIT_BITSET, expected, limit, NULL,
		    FUTEX_BITSET_MATCH_ANY) < 0)
		return -errno;
	return 0;
}

int mp__futex_wake(_Atomic uint32_t *word, int count)
{
	long woken = syscall(SYS_futex, word, FUTEX_WAKE, count, NULL, NULL, 0);

	return woken < 0 ? -errno : (int)woken;
}
