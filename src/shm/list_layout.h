/* SPDX-License-Identifier: MIT */
/*
 * shm/list_layout.h - the data of a shared list's block.
 *
 *	0      8       16            16 + 16 n
 *	+------+-------+-------------+---------------------------------------------
 *	| n    | guard | slots[n]    | cells: two for each slot, 8 bytes + its room
 *	+------+-------+-------------+---------------------------------------------
 *
 *	slot:	{ version:32 | room:32 | at:64 }	cell:	{ type:8, length:56 | words... }
 *
 * n, room and at never change. A slot's value is in the cell version % 2; the other one is scratch.
 * A writer (inside the guard) fills the scratch cell and then moves the version on by one (release):
 * that store is the whole change. Killed before it, it has changed nothing; after it, it has done
 * all. Who takes the guard over has nothing to repair.
 *
 * A reader takes no guard, and no writer that stands still stops it: it reads the version (acquire),
 * copies that cell, and looks at the version again. The cell is written to only once the version has
 * moved on, so that an unchanged version means a whole copy. All words of a cell are read and
 * written as atomics, with fences on both sides (list.c).
 *
 * Nothing here is believed: each number is copied once and compared with the block's size.
 */
#ifndef MP_SHM_LIST_LAYOUT_H
#define MP_SHM_LIST_LAYOUT_H

#include "shm/guard.h"

#include <stdatomic.h>
#include <stdint.h>

struct mp__list_slot {
	_Atomic uint32_t version;
	uint32_t room; /* bytes, a multiple of 8, at least 8 */
	uint64_t at;   /* of its first cell, from the start of the data; a multiple of 8 */
};

struct mp__list_header {
	uint64_t n;
	mp__guard guard; /* of all writers of this list */
	struct mp__list_slot slots[];
};

_Static_assert(sizeof(struct mp__list_slot) == 16, "as drawn");
_Static_assert(sizeof(struct mp__list_header) == 16, "as drawn");

#endif
