/* SPDX-License-Identifier: MIT */
/*
 * sync/semaphore_layout.h - a semaphore in shared memory.
 *
 * Permits, and which process holds how many of them, such that a process that dies between any two
 * stores leaves a true account.
 *
 *	0                        32       40      44      48      52     56      58       60      64
 *	+------------------------+--------+-------+-------+-------+------+-------+--------+-------+--
 *	| head: magic, name      | guard  | value | total | limit | bell | cells | lender | asked |
 *	+------------------------+--------+-------+-------+-------+------+-------+--------+-------+--
 *	64          72      76       80
 *	+-----------+-------+--------+-----------+--
 *	| process 0 | count | unused | process 1 | ...   cells, 16 bytes each
 *	+-----------+-------+--------+-----------+--
 *
 * The account is `total`, the permits that exist, and the cells: how many of them each process has.
 * What is left can be derived, `value` = total - sum of counts: it is a cache. Everything from
 * `value` on is written with the guard held only (except bell and asked), so that at most one is in
 * the middle of a change. Whoever takes the guard over from a dead one derives the value anew. So
 * each change is done by exactly one store, and there is nothing to finish or undo:
 *
 *	acquire		cell.process = mine	a cell of count 0 is free, whoever stands in it
 *			cell.count + 1		<- from here on the permit is held. Who died after
 *						it holds it, and it comes back with the others
 *			value - 1		cache
 *	release		cell.count - 1		<- from here on it is released
 *			value + 1		cache
 *	release by	another cell.count - 1	<- the same: the sum stays true
 *	a stranger	value + 1		cache
 *	release, when	total + 1		<- one more exists
 *	nobody holds	value + 1		cache
 *	release of n	all of the above, store by store; each is true by itself. Who dies in the
 *			middle has released some of the n, and what it held of the rest comes back
 *	ownerless	total -+ 1		<- acquired or released; no cells
 *			value -+ 1		cache
 *	a dead one's	cell.count = 0		<- come back. The process was proved dead before,
 *	permits					outside of the guard; nobody can have its stamp again
 *			value = derived		cache
 *	ring the bell	after the guard was left: a death before it costs the waiters one re-check
 *
 * Waiting: the one who finds value 0 listens to the bell before it leaves the guard, and the one who
 * releases looks at the bell before it leaves: so no barrier is needed between the two.
 *
 *	head	written by init and destroy
 *	value	also read without the guard, as a hint, by those who spin
 *	total	at most `limit`
 *	limit	the most permits: the start value if bounded, else 2^31-1. Never changes
 *	bell	shm/bell.h
 *	cells	how many cells follow. Never changes; more than there are in the public struct are
 *		believed only as far as the slab has room for the object
 *	lender	hint: whom a stranger's release took the last permit from
 *	asked	who asks next which holders live (sync/look.h); without the guard
 *	process	mp__stamp_process() of the cell's owner; also read without the guard
 *	count	also read without the guard, by those who look for dead holders
 *
 * All threads of a process share its cell. A process has never more than one, because who looks for
 * a free one has seen all. Who stays in a cell of count 0 finds it again, unless somebody needed it.
 */
#ifndef MP_SYNC_SEMAPHORE_LAYOUT_H
#define MP_SYNC_SEMAPHORE_LAYOUT_H

#include "shm/bell.h"
#include "shm/guard.h"
#include "sync/head.h"
#include "sync/look.h"

#include <mp/semaphore.h>
#include <stddef.h>

/* Of the head. */
#define MP__SEMAPHORE_BOUNDED 1u
#define MP__SEMAPHORE_OWNERLESS 2u

struct mp__semaphore_cell {
	_Atomic uint64_t process;
	_Atomic uint32_t count;
	uint32_t unused; /* 0 */
};

struct __attribute__((may_alias)) mp__semaphore {
	struct mp__sync_head head;
	mp__guard guard;
	_Atomic uint32_t value;
	_Atomic uint32_t total;
	uint32_t limit;
	mp__bell bell;
	_Atomic uint16_t n_cells;
	uint16_t lender;
	_Atomic uint32_t asked;
	struct mp__semaphore_cell cells[];
};

_Static_assert(sizeof(struct mp__semaphore_cell) == 16, "four to a cache line");
_Static_assert(offsetof(struct mp__semaphore, guard) == 32, "see the diagram");
_Static_assert(offsetof(struct mp__semaphore, bell) == 52, "see the diagram");
_Static_assert(offsetof(struct mp__semaphore, cells) == 64, "see the diagram");
_Static_assert(
	sizeof(struct mp__semaphore) + MP_SEMAPHORE_HOLDERS * sizeof(struct mp__semaphore_cell) ==
		sizeof(mp_semaphore),
	"room in the public struct");
_Static_assert(MP_SEMAPHORE_HOLDERS_MAX <= MP__LOOK_CELLS_MAX, "they are looked at");
_Static_assert(_Alignof(struct mp__semaphore) == _Alignof(mp_semaphore), "as the public struct");

#endif
