/* SPDX-License-Identifier: MIT */
/*
 * base/fork_lock.h - a lock that a forked child can always take.
 *
 * At a fork some other thread may hold the lock; in the child nobody would ever release it. So the
 * lock knows its process: the first to take it in another one makes it anew, and is told, because
 * what it guards may be half changed and belongs to the parent (a connection does).
 */
#ifndef MP_BASE_FORK_LOCK_H
#define MP_BASE_FORK_LOCK_H

#include "base/timed_lock.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct mp__fork_lock {
	_Atomic uint64_t origin; /* whose lock this is; with BUSY while it is made anew */
	struct mp__timed_lock lock;
};

/* All zero is a lock of no process yet. */
void mp__fork_lock_init(struct mp__fork_lock *lock);

/*
 * 0, -ETIMEDOUT, or 1: taken, and this process is new to it: reset what it guards. (So also the
 * very first time.)
 */
int mp__fork_lock_take(struct mp__fork_lock *lock, mp__deadline deadline);
void mp__fork_lock_release(struct mp__fork_lock *lock);

#endif
