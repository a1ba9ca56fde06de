/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "base/futex.h"

#include "base/hot.h"

#include <errno.h>
#include <linux/futex.h>
#include <stddef.h>
#include <sys/syscall.h>
#include <unistd.h>

MP__HOT int mp__futex_wait(_Atomic uint32_t *word, uint32_t expected, mp__deadline deadline)
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

MP__HOT int mp__futex_wake(_Atomic uint32_t *word, int count)
{
	long woken = syscall(SYS_futex, word, FUTEX_WAKE, count, NULL, NULL, 0);

	return woken < 0 ? -errno : (int)woken;
}

/*
 * A thread that is in the middle of an operation on a robust futex notes that in its list_op_pending.
 * At its end the kernel looks there: if it finds the word 0, the thread may have died between its
 * unlock and its wake-up, which the kernel makes up for. Words that hold anything but the id of this
 * very thread are left alone. The head of the list is libc's, registered for each thread.
 */
MP__HOT void mp__futex_wake_at_end(_Atomic uint32_t *word)
{
	static _Thread_local struct robust_list_head *head;
	size_t size;

	if (!head && (syscall(SYS_get_robust_list, 0, &head, &size) < 0 || size != sizeof(*head)))
		head = NULL;
	if (!head)
		return;
	char *entry = (char *)word - head->futex_offset;
	*(struct robust_list *volatile *)&head->list_op_pending = (struct robust_list *)entry;
}
