/* SPDX-License-Identifier: MIT */
/*
 * sync/cells_layout.h - a value or an array in shared memory.
 *
 *	0          32        96      104      112                128
 *	+----------+---------+-------+--------+------------------+---------------------
 *	| head     | lock    | item_ | length | reserved         | the items
 *	|          | (rlock) | size  |        |                  |
 *	+----------+---------+-------+--------+------------------+---------------------
 *
 * head.flags holds the type in its low byte (0: a struct) and MP__CELLS_RAW. A value is an array of
 * one item under a magic of its own. All but the lock and the items is written once, before the magic
 * is published, and never changes. Who imports one copies sizes and type into its private handle,
 * checks them against the object's size, and never reads them here again: what a hostile process
 * writes there later changes nothing.
 *
 * The items belong to the program. Calls that copy hold the lock meanwhile, unless there is none; a
 * death in the middle leaves some bytes old and some new, and who takes the lock next is told
 * (MP_OWNER_DIED). Of a typed value each copy and each atomic operation is one access of its size:
 * it is never half done.
 *
 * The items begin a cache line, so that their users and those of the lock do not disturb each other.
 */
#ifndef MP_SYNC_CELLS_LAYOUT_H
#define MP_SYNC_CELLS_LAYOUT_H

#include "sync/head.h"

#include <mp/lock.h>
#include <stddef.h>

#define MP__CELLS_TYPE_MASK 0xffu
#define MP__CELLS_RAW 0x100u
#define MP__CELLS_BYTES_MAX (UINT64_C(1) << 39)

struct mp__cells_shared {
	struct mp__sync_head head;
	mp_rlock lock;
	uint64_t item_size;
	uint64_t length;
	uint64_t reserved[2];
	unsigned char items[];
} __attribute__((may_alias));

_Static_assert(sizeof(struct mp__cells_shared) == 128, "items begin a line");
_Static_assert(offsetof(struct mp__cells_shared, lock) == 32, "as drawn");

#endif
