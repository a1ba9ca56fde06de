/* SPDX-License-Identifier: MIT */
/*
 * sync/look.h - who asks whether the others live, where many wait for many.
 *
 * To ask costs some 10 us. If each of a thousand waiters asked for each of a thousand cells, the
 * machine would do nothing else. So they share the work by one word in the object: when it was asked
 * last, and where to go on. One look is made by whoever comes first, for all of them, and over as
 * many cells as the time since allows: the looks at one object take some 6 % of one CPU at most,
 * and go round 64 cells in 10 ms, 4096 in 0.7 s. Who dies in the middle of a look has looked in vain:
 * its cells' turn comes again with the next round.
 *
 *	31             12 11         0
 *	+----------------+-----------+
 *	| when, ms       | next cell |
 *	+----------------+-----------+
 */
#ifndef MP_SYNC_LOOK_H
#define MP_SYNC_LOOK_H

#include "base/deadline.h"

#include <stdatomic.h>
#include <stdint.h>

#define MP__LOOK_CELLS_MAX 4096
#define MP__LOOK_EVERY_MS 10
#define MP__LOOK_CELLS 64    /* in that time */
#define MP__LOOK_AT_ONCE 512 /* 5 ms */

/* How many of the object's n cells (at most MP__LOOK_CELLS_MAX), from *ret_first on, the caller
 * shall ask for now; it goes on at the first behind the last. 0: none. */
static inline unsigned mp__look_due(_Atomic uint32_t *word, unsigned n, unsigned *ret_first)
{
	uint32_t was = atomic_load_explicit(word, memory_order_relaxed);
	uint32_t now = (uint32_t)(mp__now_ns() / 1000000) & 0xfffff;
	uint32_t since = (now - (was >> 12)) & 0xfffff;
	uint32_t first = was & 0xfff;
	uint64_t cells = (uint64_t)since * MP__LOOK_CELLS / MP__LOOK_EVERY_MS;

	if (since < MP__LOOK_EVERY_MS || n == 0)
		return 0;
	if (cells > MP__LOOK_AT_ONCE)
		cells = MP__LOOK_AT_ONCE;
	if (cells > n)
		cells = n;
	first = first < n ? first : 0;
	uint32_t next = (first + (uint32_t)cells) % n;
	if (!atomic_compare_exchange_strong_explicit(
		    word, &was, now << 12 | next, memory_order_relaxed, memory_order_relaxed))
		return 0;
	*ret_first = first;
	return (unsigned)cells;
}

#endif
