/* SPDX-License-Identifier: MIT */
/*
 * sync/condition_layout.h - a condition as it lies in shared memory.
 *
 *	0      32      40     48      56        60        64     68     72      96
 *	+------+-------+------+-------+---------+---------+------+------+-------+
 *	| head | guard | next | limit | waiters | permits | bell | beat | spare |
 *	+------+-------+------+-------+---------+---------+------+------+-------+
 *
 * A waiter takes a ticket (next), with the lock still held, lets go of the lock and sleeps on the
 * bell. A notify makes permits to wake up, no more than there are waiters, and only for the tickets
 * that were there at that moment: limit = next. A waiter that sees a permit for it takes the lock
 * back first and the permit then, in the guard. So a permit is in the condition until its taker
 * holds the lock: whoever is killed before leaves it to another, and whoever is killed after it makes
 * the next one that takes the lock see MP_OWNER_DIED. A waiter that finds the permit gone, because
 * another was quicker, lets go of the lock again and sleeps on.
 *
 * guard	protects all that follows but bell and beat. permits and limit are read without it, as
 *	a hint.
 * waiters	how many have a ticket and have neither taken a permit nor withdrawn. A waiter that
 *	was killed stays counted. So after a death a notify may make a permit too many, and a wait may
 *	end without reason; without deaths the count is exact.
 * permits	never more than waiters.
 * beat	moved on by each waiter whenever it looks, at least every 50 ms: how a destroy tells those
 *	who live from those who were killed.
 *
 * Order of stores, so that a death in between leaves a number too high and never one too low; nothing
 * is repaired:
 *	to wait: waiters + 1, next + 1		notify: limit, permits + n
 *	to take: permits - 1, waiters - 1	(with the lock held)
 */
#ifndef MP_SYNC_CONDITION_LAYOUT_H
#define MP_SYNC_CONDITION_LAYOUT_H

#include "shm/bell.h"
#include "shm/guard.h"
#include "sync/head.h"

#include <mp/condition.h>
#include <stddef.h>

struct __attribute__((may_alias)) mp__condition {
	struct mp__sync_head head;
	mp__guard guard;
	_Atomic uint64_t next;
	_Atomic uint64_t limit;
	_Atomic uint32_t waiters;
	_Atomic uint32_t permits;
	mp__bell bell;
	_Atomic uint32_t beat;
	uint64_t spare[3];
};

_Static_assert(sizeof(struct mp__condition) == sizeof(mp_condition), "mp_condition is its layout");
_Static_assert(offsetof(struct mp__condition, guard) == 32, "layout version 1");
_Static_assert(offsetof(struct mp__condition, waiters) == 56, "layout version 1");
_Static_assert(offsetof(struct mp__condition, bell) == 64, "layout version 1");

#endif
