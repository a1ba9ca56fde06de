/* SPDX-License-Identifier: MIT */
/*
 * queue/queue_layout.h - what the processes of a queue share in memory.
 *
 * Key idea: each side has one word, {how many messages so far, where the next one is}. A putter
 * writes its message first and stores `tail` last; a getter copies the message first and stores
 * `head` last. Before its store nothing has happened, after it everything has, and the number of
 * messages is the difference of the two words: there is nothing to repair after a death, and no
 * count beside the data that could go wrong.
 *
 * The segment is one sparse file, mapped whole: a memfd, sealed against shrinking and growing; or, of
 * a queue with a name, a file in /dev/shm (shm/named.h), which begins as all of those do:
 *
 *	0         4 KiB      24 KiB   32 KiB     64 KiB      128 KiB           256 KiB
 *	+---------+----------+--------+----------+-----------+-----------------+--- ...
 *	| control | cells of | unused | region 0 | region 1  | region 2        | region 3 ...
 *	|         | consumers|        | 32 KiB   | 64 KiB    | 128 KiB         |
 *	+---------+----------+--------+----------+-----------+-----------------+--- ...
 *	 allocated at creation         allocated  allocated piece by piece (fallocate) by putters,
 *	 (cells: if joinable)          at creation punched out by the getter that leaves the region
 *
 * Region k lies at [32 KiB << k, 32 KiB << (k + 1)), so a position says by itself in which region
 * it is, and no description is shared that could be wrong. The last region, where the file ends, is
 * larger than twice `max_bytes`, so that whatever the limit allows finds room.
 *
 * A region is a ring of records, each a header and the message, in units of 8 bytes, never broken at
 * the end of the region:
 *
 *	63    56 55    48 47                        0
 *	+-------+--------+---------------------------+---------------------------- - -
 *	| 0     | kind   | size in bytes             | the message, rounded up to 8
 *	+-------+--------+---------------------------+---------------------------- - -
 *
 *	kind BYTES    size bytes of the user's
 *	kind VALUE    the encoding of an mp_obj
 *	kind JUMP     no message: "size" is the position where the next record is
 *
 * A putter that reaches the end of its region, and finds room at its beginning, writes a JUMP there
 * and goes on behind it; one store of `tail` commits both. If there is no room and getters are not
 * about to make some, it jumps to the next larger region; if there has been much more room than
 * messages for many laps, to a smaller one: who is now ahead and now behind must not give memory back
 * and ask for it again all the time. One unit is always kept free behind the last record, so that there is room for
 * the JUMP. Regions between that of `head` and that of `tail`, going up (and from the largest one
 * in use back to the bottom), are in use; all others are free. So which one is free is derived from
 * the two words too.
 *
 * A getter that passes a JUMP to another region gives the memory of the old one back:
 *	1. freeing = old region + 1		putters keep out of it although head leaves it
 *	2. head = {count, where the JUMP leads}
 *	3. allocated[old] = 0, punch
 *	4. freeing = 0
 * After a death in between, the next one to enter finds `freeing` set, and repeats 3 and 4 if head
 * has left the region, else only 4.
 *
 * Who may write what:
 *	putters line	whoever is inside `put_guard`
 *	tail line	the same. tail: release; getters load it (acquire)
 *	getters line	whoever is inside `get_guard`
 *	head line	the same. head: release; putters load it (acquire)
 *	bells, shutdown	anybody, atomically
 *	cells		their process, inside get_guard or atomically; see below
 * get_guard before put_guard, when somebody needs both (giving memory back when all is drained).
 *
 * put_bytes[] and get_bytes[]: how many bytes of records went through tail and head, as of the count
 * in the word: [count & 1] is valid, and the other one is written before the word moves on by one.
 * Who moves by more than one does so in steps that end in the other parity.
 *
 * Deaths inside a guard: the next one takes it over (shm/guard.h). Of a putter before the store of
 * tail: what it wrote lies where nothing is; the file may have memory that `allocated` does not know
 * of, and fallocate() of it again is harmless. Of a getter before the store of head: the message is
 * still there. A death after the store and before the bell is rung: sleepers look again by
 * themselves (shm/bell.h).
 *
 * The pace. Each look at the other side's word takes its cache line away from there, and who is at the
 * heels of the other one would look for each message. So each side goes by a copy of that word until
 * that is used up, and while messages stream it lets the other one get ahead for a moment before it
 * looks again: with some forty messages for each look both run several times faster.
 *
 * A message that is being written in place (reserve) or read in place (peek) holds no guard, but a
 * word of its own with the stamp of the thread; while it is set, others of that side wait. If that
 * thread is dead, whoever waits clears it inside the guard: what was reserved is not there, what was
 * peeked at still is.
 *
 * Cells, of a joinable queue: one for each process that gets, {its stamp, messages that it has got
 * and not yet called done}. A getter adds to its cell before it stores head. So no message is ever
 * in neither place; and one in a cell whose process is dead counts as done. "All done" is: the queue
 * is empty and the cells of the living are all 0. Who lives in another PID namespace shows it by a lock
 * on the file (shm/life.h).
 *
 * Nothing read here is trusted: words are copied to a local once, positions checked against the file
 * and sizes against the end of their region.
 */
#ifndef MP_QUEUE_LAYOUT_H
#define MP_QUEUE_LAYOUT_H

#include "shm/block_layout.h"
#include "shm/guard.h"
#include "shm/watch.h"

#include <stddef.h>
#include <stdint.h>

#define MP__QUEUE_VERSION 4u

#define MP__QUEUE_NAME_SIZE 24
#define MP__QUEUE_LINE 128 /* two cache lines: CPUs fetch them in pairs */

#define MP__QUEUE_UNIT 8u
#define MP__QUEUE_REGION 32768u /* bytes of region 0, and where it begins */
#define MP__QUEUE_REGIONS 24u
#define MP__QUEUE_CELLS_AT 4096u
#define MP__QUEUE_CELLS 1024u

/* tail and head. */
#define MP__QUEUE_POS_BITS 36
#define MP__QUEUE_POS_MASK ((UINT64_C(1) << MP__QUEUE_POS_BITS) - 1)
#define MP__QUEUE_COUNT_MASK ((UINT64_C(1) << (64 - MP__QUEUE_POS_BITS)) - 1)
/* Messages in a queue: half of what the count can tell apart. */
#define MP__QUEUE_ITEMS_MAX (UINT64_C(1) << 27)
/* So that the largest file still has positions. */
#define MP__QUEUE_BYTES_MAX (UINT64_C(1) << 36)

/* The header of a record. */
#define MP__RECORD_SIZE_MASK ((UINT64_C(1) << 48) - 1)
#define MP__RECORD_KIND_SHIFT 48
enum mp__record_kind {
	MP__RECORD_BYTES = 1,
	MP__RECORD_VALUE = 2,
	MP__RECORD_JUMP = 3,
};

/* mp__queue_control.shutdown. */
#define MP__QUEUE_NO_PUTS 1u
#define MP__QUEUE_NO_GETS 2u

/* mp__queue_control.flags. */
#define MP__QUEUE_JOINABLE 1u
#define MP__QUEUE_STORE 2u /* behind the cells is a store (store_layout.h), not the ring */

struct mp__queue_control {
	/* Written once, before the segment is published; never changes. */
	struct mp__block_header about;
	uint64_t max_bytes;
	uint64_t maxsize;
	uint32_t flags;
	char name[MP__QUEUE_NAME_SIZE]; /* for people; need not end in NUL */

	/* Read by all, written rarely. */
	_Alignas(
		MP__QUEUE_LINE) _Atomic uint32_t shutdown; /* bits are only ever set; NO_PUTS inside
							     * put_guard, NO_GETS inside get_guard */
	struct mp__watched_bell items_bell;                /* getters sleep here */
	struct mp__watched_bell room_bell;                 /* putters sleep here */
	struct mp__watched_bell done_bell;                 /* who joins sleeps here */

	/* putters */
	_Alignas(MP__QUEUE_LINE) mp__guard put_guard;
	_Atomic uint64_t head_seen;      /* a copy of head, perhaps an old one */
	_Atomic uint64_t get_bytes_seen; /* the same of get_bytes */
	_Atomic uint64_t reserved;       /* stamp of the thread that writes in place, or 0 */
	_Atomic uint64_t head_looked_ns; /* when head was looked at, for the pace */
	_Atomic uint32_t roomy_laps;     /* in a row, in a ring that is too large */

	_Alignas(MP__QUEUE_LINE) _Atomic uint64_t tail;
	_Atomic uint64_t put_bytes[2];

	/* getters */
	_Alignas(MP__QUEUE_LINE) mp__guard get_guard;
	_Atomic uint64_t tail_seen;      /* a copy of tail, perhaps an old one */
	_Atomic uint64_t lent;           /* stamp of the thread that reads in place, or 0 */
	_Atomic uint64_t freeing;        /* region + 1 that is being given back, or 0 */
	_Atomic uint64_t empty_tail;     /* what tail was when a getter found nothing ... */
	_Atomic uint64_t empty_ns;       /* ... and since when it is so */
	_Atomic uint64_t tail_looked_ns; /* when tail was looked at, for the pace */

	_Alignas(MP__QUEUE_LINE) _Atomic uint64_t head;
	_Atomic uint64_t get_bytes[2];

	/* How far each region has memory: bytes from its beginning. Putters; 0 by who frees it. */
	_Alignas(MP__QUEUE_LINE) _Atomic uint64_t allocated[MP__QUEUE_REGIONS];
};

/* Claimed by compare-and-swap of `process`, by its own process; given up by whoever finds it dead. */
struct mp__queue_cell {
	_Atomic uint64_t process; /* its stamp by shm/life.h, 0: free */
	_Atomic uint64_t taken;
};

_Static_assert(sizeof(struct mp__queue_control) <= MP__QUEUE_CELLS_AT, "control is one page");
_Static_assert(
	MP__QUEUE_CELLS_AT + MP__QUEUE_CELLS * sizeof(struct mp__queue_cell) <= MP__QUEUE_REGION,
	"cells end before region 0");
_Static_assert(
	offsetof(struct mp__queue_control, tail) - offsetof(struct mp__queue_control, put_guard) ==
		MP__QUEUE_LINE,
	"tail is on a line of its own");

#endif
