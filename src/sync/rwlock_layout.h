/* SPDX-License-Identifier: MIT */
/*
 * sync/rwlock_layout.h - the bytes of a lock for readers and writers.
 *
 *	0                          32      40        44      48        64             128
 *	+--------------------------+-------+---------+-------+---------+--------------+
 *	| head: magic, flags, name | word  | drained | open  | 0       | 0            |
 *	+--------------------------+-------+---------+-------+---------+--------------+
 *	| cell 0: stamp, depth     | cell 1                  | ... 4 cells a line, 128 |
 *	+--------------------------+-------------------------+-------------------------+
 *
 * head	    written by init before it publishes the magic; read by all.
 * word	    the writer (sync/owner.h): it is taken first, which keeps new readers out, and then waits until
 *	    every cell is empty. Or MP__RW_NEWS: free, but the last writer died.
 * drained  bell, rung by readers that leave, for the writer.
 * open	    bell, rung by writers that leave, for readers.
 * cell	    one reader. `stamp`: 0, or whose it is: from 0 by its reader's compare-and-swap, to 0 by its
 *	    reader, or by anybody once that one is dead. `depth`: how often it has acquired, of its
 *	    reader alone; 1 is stored after the claim, so what a dead one left in it does not matter.
 *
 * A reader and a writer exclude each other by sequential consistency: the reader writes its cell, then
 * reads the word; the writer writes the word, then reads the cells. At least one of them sees the
 * other. If both do, the reader gives way: it empties its cell and rings `drained`.
 *
 * A thread has one cell however often it acquires, and empties it last of all. So the writer, which reads
 * the cells one after another, can't miss a reader that changes cells under its eyes.
 *
 * What a death leaves behind:
 *  - of a reader, at any step: its stamp in a cell, at most. The waiting writer asks whether the reader
 *    lives, and empties the cell; so does a reader that finds all cells taken.
 *  - of a writer, at any step: its stamp in the word, also if it was still waiting for readers and has
 *    changed nothing: that can't be told, and is news all the same. A reader that finds it puts
 *    MP__RW_NEWS in its place, from exactly that stamp, and so all readers may come in, with
 *    MP_OWNER_DIED, without asking again. The next writer takes over the dead one's stamp or the
 *    news alike, has MP_OWNER_DIED, and with its own stamp in the word the news is gone; if it
 *    dies, that is news again. If it gives up waiting for readers, it puts the news back.
 *  - between leaving and ringing: sleepers that look again within MP__BELL_RECHECK_MS.
 */
#ifndef MP_SYNC_RWLOCK_LAYOUT_H
#define MP_SYNC_RWLOCK_LAYOUT_H

#include "shm/bell.h"
#include "sync/head.h"
#include "sync/owner.h"

#include <mp/rwlock.h>
#include <stddef.h>

#define MP__RW_NEWS MP__OWNER_NEWS

#define MP__RW_CELLS_PER_LINE 4
#define MP__RW_LINES (MP_RWLOCK_READERS_MAX / MP__RW_CELLS_PER_LINE)

struct mp__rw_cell {
	_Atomic uint64_t stamp;
	uint64_t depth;
};

struct __attribute__((may_alias)) mp__rwlock {
	struct mp__sync_head head;
	mp__owner_word word;
	mp__bell drained;
	mp__bell open;
	_Atomic uint64_t order_id; /* for MP_LOCK_DEBUG (sync/order.h), 0 as long as nobody asked */
	uint64_t reserved[9];
	struct mp__rw_cell cells[MP_RWLOCK_READERS_MAX];
};

_Static_assert(sizeof(struct mp__rwlock) == sizeof(mp_rwlock), "mp_rwlock is its layout");
_Static_assert(_Alignof(struct mp__rwlock) == _Alignof(mp_rwlock), "and aligned like it");
_Static_assert(offsetof(struct mp__rwlock, word) == 32, "layout version 1");
_Static_assert(offsetof(struct mp__rwlock, drained) == 40, "layout version 1");
_Static_assert(offsetof(struct mp__rwlock, cells) == 128, "layout version 1");

#endif
