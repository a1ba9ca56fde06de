/* SPDX-License-Identifier: MIT */
/*
 * sync/barrier_layout.h - a barrier as it lies in shared memory.
 *
 *	0      32      40        64     88           96          128
 *	+------+-------+---------+------+------------+-----------+---------+---------+--
 *	| head | guard | numbers | era, | bell, door | who broke | cell 0  | cell 1  | ...
 *	|      |       |         | ...  |            | it        |         |         |
 *	+------+-------+---------+------+------------+-----------+---------+---------+--
 *
 * A round is called an era here, because one may also end by a reset or by breaking. There is one
 * cell for each party, and each cell belongs to a thread: it says who that is and where it stands. So
 * nobody has to ask a waiter whether it has gone on, and no waiter has to ask anybody but its own
 * cell; it sleeps on the bell and never needs the guard to go on.
 *
 * A cell's state:
 *
 *	EMPTY -> OUTSIDE <-> INSIDE -> PASSED | BROKEN | RESET -> OUTSIDE or EMPTY
 *	                       \-> GONE
 *
 *	EMPTY	nobody's; what else stands in it means nothing
 *	OUTSIDE	a thread that passed the last round, or joined: it is expected, and its death breaks
 *		the barrier. One that comes and finds no empty cell takes that of a dead one or, with
 *		more threads than parties, of any that is outside.
 *	INSIDE	waits, or runs the action
 *	PASSED, BROKEN, RESET	how its wait ended; it has not looked yet. Only the owner may leave this
 *		state (or anybody, once it is dead), and to leave it is its last access to the barrier
 *	GONE	its deadline passed while the guard could not be had; whoever enters the guard next and
 *		finds it breaks the barrier
 *
 * With these states may stand WANTED (somebody sleeps at the door until the owner has left the cell)
 * and FORGET (reset meanwhile: the cell becomes EMPTY, not OUTSIDE).
 *
 * Who writes: everything is written inside the guard, except that the owner of a cell moves its own
 * state from INSIDE to GONE and out of the states that tell it the end. Therefore each change of a
 * state inside the guard is a compare-and-swap. Who reads: states, stamps and who broke it are read
 * anywhere, hence atomic.
 *
 * How an era ends, and what a death after each step leaves behind:
 *
 *	1. breaking only: who broke it, then `cause`	repair: a cause, and somebody inside: step 2
 *	2. last = {era, outcome}			repair: last names the era: step 3 again
 *	3. each INSIDE becomes the outcome
 *	4. arrived = 0, acting = 0; era + 1
 *	5. guard free, then the bell			sleepers look at their cells after 50 ms
 *
 * Step 2 decides: a death before leaves the round open (and the dead one inside, which will break
 * it), a death after it has let everybody go. Repair is done by the next to enter the guard; waiters
 * enter it when they see nothing happen for 50 ms.
 */
#ifndef MP_SYNC_BARRIER_LAYOUT_H
#define MP_SYNC_BARRIER_LAYOUT_H

#include "shm/bell.h"
#include "shm/guard.h"
#include "sync/head.h"
#include "sync/look.h"

#include <mp/barrier.h>
#include <stddef.h>

enum {
	MP__CELL_EMPTY,
	MP__CELL_OUTSIDE,
	MP__CELL_INSIDE,
	MP__CELL_PASSED,
	MP__CELL_BROKEN,
	MP__CELL_RESET,
	MP__CELL_GONE,
	MP__CELL_STATES = 0xf,
	MP__CELL_WANTED = 0x10,
	MP__CELL_FORGET = 0x20,
};

/* A thread, and its name as the kernel has it, 16 bytes that need not end in NUL. */
struct mp__barrier_who {
	_Atomic uint64_t stamp;   /* of the thread */
	_Atomic uint64_t process; /* stamp of its process */
	_Atomic uint64_t name[2];
};

struct mp__barrier_cell {
	struct mp__barrier_who who;
	_Atomic uint32_t state;
	uint32_t spare;
};

struct __attribute__((may_alias)) mp__barrier_layout {
	struct mp__sync_head head;
	mp__guard guard;
	_Atomic uint32_t parties; /* written once; as many cells follow */
	_Atomic uint32_t arrived; /* INSIDE or GONE */
	_Atomic uint32_t acting;  /* 1 + cell of the one who runs the action: nobody may come in */
	_Atomic uint32_t cause;   /* enum mp_barrier_cause */
	_Atomic int32_t limit_ms; /* of each wait, 0: none; written once */
	_Atomic uint32_t asked;   /* who asks next which parties live (sync/look.h); no guard */
	_Atomic uint64_t era;
	_Atomic uint64_t last;  /* era << 4 | outcome (a cell state) of the era that ended last */
	_Atomic uint64_t since; /* ns, when the first came; the last one checks by it */
	mp__bell bell;          /* for those inside */
	mp__bell door;          /* for those who find no cell */
	struct mp__barrier_who breaker;
	struct mp__barrier_cell cells[];
};

_Static_assert(sizeof(struct mp__barrier_cell) == 40, "layout version 1");
_Static_assert(offsetof(struct mp__barrier_layout, era) == 64, "layout version 1");
_Static_assert(offsetof(struct mp__barrier_layout, bell) == 88, "layout version 1");
_Static_assert(offsetof(struct mp__barrier_layout, cells) == 128, "layout version 1");
_Static_assert(sizeof(struct mp__barrier_layout) +
			       MP_BARRIER_PARTIES_MAX * sizeof(struct mp__barrier_cell) ==
		       sizeof(mp_barrier),
	"as many cells as the header says");

#define MP__BARRIER_PARTIES_LIMIT MP__LOOK_CELLS_MAX

#endif
