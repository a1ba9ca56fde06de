/* SPDX-License-Identifier: MIT */
/*
 * sync/board_layout.h - where threads say what they wait for, so that others can see it.
 *
 * A memfd named MP__BOARD_NAME, made by the first thread of a process that falls asleep for an object
 * of sync. It is sealed, mapped for good, and its descriptor stays open for one purpose: that
 * `mpctl locks` finds it in /proc/PID/fd. Forked children share it; a fresh program makes its own. It
 * goes with the last process that has it. Only pages with cells in use take memory.
 *
 *	0                64               128
 *	+----------------+----------------+----------------+---
 *	| header         | cell 0         | cell 1         | ... MP__BOARD_CELLS
 *	+----------------+----------------+----------------+---
 *
 * thread   the stamp of the cell's thread, 0: free. Claimed by compare-and-swap from 0, or from the
 *	    stamp of a thread that is dead when no cell is free; the thread keeps it while it lives.
 *	    Who finds no cell is not shown.
 * change   odd while the thread writes the rest; who reads looks at it before and after. A thread that
 *	    died in between leaves it odd for ever, and is not believed; the next owner makes it even.
 * kind     the magic of the object (sync/head.h), 0: it waits for nothing
 * object   its address, in the thread's process; /proc/PID/maps says which file and offset that is
 * owner    who has it as far as the waiter knows, 0 unknown or many
 * since    CLOCK_MONOTONIC
 * name     of the object
 *
 * Nothing of libmp reads this: it is for people, and whoever shares it may write what it likes.
 */
#ifndef MP_SYNC_BOARD_LAYOUT_H
#define MP_SYNC_BOARD_LAYOUT_H

#include "sync/head.h"

#include <stddef.h>

#define MP__BOARD_NAME "mp-board"
#define MP__BOARD_MAGIC UINT64_C(0x6d702e626f617264) /* "mp.board" */
#define MP__BOARD_CELLS 4095

struct mp__board_cell {
	_Atomic uint64_t thread;
	_Atomic uint32_t change;
	_Atomic uint32_t kind;
	_Atomic uint64_t object;
	_Atomic uint64_t owner;
	_Atomic int64_t since_ns;
	_Atomic uint64_t name[MP__SYNC_NAME_SIZE / 8];
};

struct mp__board {
	uint64_t magic;
	uint64_t reserved[7]; /* 0 */
	struct mp__board_cell cells[MP__BOARD_CELLS];
};

_Static_assert(sizeof(struct mp__board_cell) == 64, "a cache line");
_Static_assert(sizeof(struct mp__board) == 262144, "as mpctl reads it");

#endif
