/* SPDX-License-Identifier: MIT */
/*
 * base/timed_lock.h - a lock between threads that is waited for until a monotonic deadline.
 *
 * A futex word with three states: free, taken, taken and waited for. It has no owner and needs no
 * destruction: all zero is free, so that a forked child makes it new by a store.
 */
#ifndef MP_BASE_TIMED_LOCK_H
#define MP_BASE_TIMED_LOCK_H

#include "base/deadline.h"

#include <stdatomic.h>
#include <stdint.h>

struct mp__timed_lock {
	_Atomic uint32_t word;
};

/* 0 or -ETIMEDOUT. */
int mp__timed_lock_take(struct mp__timed_lock *lock, mp__deadline deadline);
void mp__timed_lock_release(struct mp__timed_lock *lock);

#endif
