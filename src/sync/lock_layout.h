/* SPDX-License-Identifier: MIT */
/*
 * sync/lock_layout.h - the bytes of a lock and of a recursive lock.
 *
 *	0                                 32       40       48               64
 *	+---------------------------------+--------+--------+----------------+
 *	| head: magic, flags, name        | word   | depth  | order, 0, 0    |
 *	+---------------------------------+--------+--------+----------------+
 *
 * head	  written by init before it publishes the magic; read by all.
 * word	  whose the lock is: protocol, publication order and deaths are told in sync/owner.h.
 * depth  of a recursive lock: how often its owner has acquired it. Written and read by the owner alone,
 *	  between taking the word and giving it. A death between "word taken" and "depth 1" leaves an
 *	  old depth: whoever takes the word, from the living or the dead, stores 1 first. A lock that
 *	  is not recursive leaves it 0.
 * order  its number for MP_LOCK_DEBUG (sync/order.h), 0 as long as nobody asked.
 *
 * Why no robust pthread mutex: glibc keeps the mutexes that a thread holds in a list whose links stand
 * inside the mutexes, in memory that others can write, and stores through them at each unlock: a
 * damaged or hostile peer could steer a write anywhere into this process. The kernel follows that list
 * for 2048 entries only, does not follow it at all for a thread killed while its memory is reaped,
 * and unmapping a held mutex breaks it. One word with its owner's name has none of this.
 */
#ifndef MP_SYNC_LOCK_LAYOUT_H
#define MP_SYNC_LOCK_LAYOUT_H

#include "sync/head.h"
#include "sync/owner.h"

#include <mp/lock.h>
#include <stddef.h>

struct __attribute__((may_alias)) mp__lock {
	struct mp__sync_head head;
	mp__owner_word word;
	uint64_t depth;
	_Atomic uint64_t order_id;
	uint64_t reserved;
};

_Static_assert(sizeof(struct mp__lock) == sizeof(mp_lock), "mp_lock is its layout");
_Static_assert(sizeof(struct mp__lock) == sizeof(mp_rlock), "mp_rlock is its layout");
_Static_assert(_Alignof(struct mp__lock) == _Alignof(mp_lock), "and aligned like it");
_Static_assert(offsetof(struct mp__lock, word) == 32, "layout version 1");
_Static_assert(offsetof(struct mp__lock, depth) == 40, "layout version 1");

#endif
