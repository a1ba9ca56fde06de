/* SPDX-License-Identifier: MIT */
/*
 * sync/order.h - MP_LOCK_DEBUG: an order of locks that can end in a deadlock is reported the first
 * time it is seen, whether or not it deadlocks that time.
 *
 * Each kind of lock tells here what a thread wants, has, and gives back; `id` is a word of the lock
 * that is 0 when it is made and belongs to this module. When it is off, which it is without the
 * environment variable, this costs one predictable branch.
 *
 *	mp__order_wanted(head, id)	before a wait that is not MP_NOWAIT: who only tries can't deadlock
 *	mp__order_taken(head, id)
 *	mp__order_given(id)
 */
#ifndef MP_SYNC_ORDER_H
#define MP_SYNC_ORDER_H

#include "sync/head.h"

#include <stdbool.h>

extern bool mp__order_on __attribute__((visibility("hidden")));

void mp__order_note_wanted(const struct mp__sync_head *head, _Atomic uint64_t *id);
void mp__order_note_taken(const struct mp__sync_head *head, _Atomic uint64_t *id);
void mp__order_note_given(_Atomic uint64_t *id);

/* What the environment variable says: "abort", or anything else but "" and "0". */
void mp__order_begin(const char *mode);

static inline void mp__order_wanted(const struct mp__sync_head *head, _Atomic uint64_t *id)
{
	if (__builtin_expect(mp__order_on, 0))
		mp__order_note_wanted(head, id);
}

static inline void mp__order_taken(const struct mp__sync_head *head, _Atomic uint64_t *id)
{
	if (__builtin_expect(mp__order_on, 0))
		mp__order_note_taken(head, id);
}

static inline void mp__order_given(_Atomic uint64_t *id)
{
	if (__builtin_expect(mp__order_on, 0))
		mp__order_note_given(id);
}

#endif
