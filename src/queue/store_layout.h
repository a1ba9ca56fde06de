/* SPDX-License-Identifier: MIT */
/*
 * queue/store_layout.h - what the processes of an ordered or leased queue share in memory.
 *
 * Key idea: each message has an entry in a table, and the one word `state` of the entry says all
 * that is true of it: nothing there, ready to be got, leased, or set aside as poison. Every change is
 * one store to one such word. The order of the messages, the lists and the counts follow from the
 * table: they stand beside it, so that no call has to look through it, and whoever takes the guard
 * over from a dead thread makes them anew.
 *
 * A ring cannot do this: what is taken out of the middle leaves holes. So a queue that is not plain
 * first in, first out has its messages in a heap (mp/heap.h). That lies in the file of the queue, where
 * the ring of others begins, and up to its end: so one descriptor is the whole queue, one name leads
 * to it, and the kernel's count of the users of one file (shm/named.h) says when all of it goes.
 * From the control page (queue/queue_layout.h) it uses get_guard, its only lock, and the bells, the
 * bits of shutdown and the cells; the rest of that page lies idle.
 *
 *	0         4 KiB      24 KiB   32 KiB
 *	+---------+----------+--------+------------------------------------------------- - -
 *	| control | cells of | unused | heap: a segment of its own (shm/segment.h), which grows
 *	|         | consumers|        | in the sparse file up to its end
 *	+---------+----------+--------+------------------------------------------------- - -
 *
 * The creator fills heap and table before it publishes the control page, and gives the file its name
 * last. Who opens it checks the page, the size of the file, then the heap and its root. So a death at
 * any instant leaves no name, or that of a whole queue. Growing allocates first and says so in the
 * heap's head afterwards: a full file system is -ENOSPC, and a death in between leaves memory that
 * the next growth uses.
 *
 *	heap:	root           chunk 0            chunk 1 ...      a block for each message
 *		+-----------+  +----------------+ +----- - -       +-------+-------------+
 *		| limits    |  | 64 entries     | | 128 ...        | entry | the message |
 *		| chunks[]--+->| 64 slots       | |                |  + 1  |             |
 *		| caches    |  +----------------+ +----- - -       +-------+-------------+
 *		+-----------+     | block ---------------------------^
 *
 * The root is the root block of the heap. Chunk k has room for 64 << k entries; so an
 * entry has one number and one address while there are messages, and the table grows by one store.
 * Entry and message name each other: a block belongs to entry e if it says e + 1, e names its offset,
 * and e is not FREE. All other blocks of messages belong to who allocated them.
 *
 *	63          32 31        8 7      0
 *	+-------------+-----------+--------+
 *	| deliveries  | 0         | kind   |	state
 *	+-------------+-----------+--------+
 *
 * deliveries: how often it was leased, this time included.
 *
 *		   put		       lease		   nack, death of the lessee
 *	FREE ------------> READY ----------------> LEASED ---------------> READY, or POISON
 *	      <------------      			  |		   if it was the last
 *	         get	  <-------------------------------+ ack		   delivery allowed
 *
 * Everything in root and entries is read and written inside get_guard. Without it others look at
 * `counts`, `bytes` and `poisoned`, for what may change the next instant anyway.
 *
 * Putting:
 *	1. outside: a block is allocated, the message copied into it
 *	2. inside: entry: block, size, priority, sequence; block: entry + 1
 *	3. state = READY (release)				[the change]
 *	4. order, counts, bytes					[follows]
 * Getting, taking a lease or a poison message out:
 *	1. the message is copied out
 *	2. the block is made this process's (mp_heap_adopt)
 *	3. joinable: the cell of this process goes up by one
 *	4. state = FREE						[the change]
 *	5. order or list, counts, bytes				[follows]
 *	6. outside: the block is freed
 * Leasing:
 *	1. the message is copied out
 *	2. entry: lease, owner
 *	3. state = LEASED, one delivery more			[the change]
 *	4. order, list, counts					[follows]
 * Acknowledging is as getting from 2. on. Giving back, by whoever is told to or finds the lessee dead:
 *	1. state = READY or POISON				[the change]
 *	2. order or lists, counts				[follows]
 * More entries:
 *	1. a block of zeros, its offset into chunks[n]
 *	2. n_chunks = n + 1 (release)				[the change]
 *	3. free list						[follows]
 * Fewer entries, when there is no message and a getter has waited for one in vain:
 *	1. the blocks of the chunks that go are made this process's (mp_heap_adopt)
 *	2. generation goes up by one: whoever enters looks for all chunks anew
 *	3. n_chunks = MP__STORE_CHUNKS_KEPT (release)		[the change]
 *	4. free list						[follows]
 *	5. these blocks are freed
 *
 * A death inside the guard: before [the change] nothing has happened, after it all has. Who takes the
 * guard over sets `repair`, and makes what follows anew from the table (mp__store_enter()); it goes
 * when that is complete, so that the next one begins again if it dies at it.
 * When the queue was shut down at once meanwhile, it then drops what is ready.
 * A death outside: blocks that were allocated or adopted and are named by no entry are freed as those
 * of a dead owner, by the same repair, by a putter that finds no memory, and by a getter that has
 * waited in vain at an empty queue. Nobody living can still be about to name them or to free them.
 * Sleepers whose wake-up died look again by themselves (shm/bell.h).
 *
 * A leased message whose lessee is dead is found by who has nothing to get: the stamp of the lessee
 * is the proof, or, in another PID namespace, the lock on the file that goes with it (shm/life.h).
 * That is asked outside the guard, as it takes long. Getters that sleep do so every 50 ms;
 * `looked_ns` says when the last one did.
 *
 * next_sequence and next_lease only ever go up, before their number is used: a death in between
 * leaves a number unused. A lease is {number:36, entry + 1:28}, so that an old one is told from that
 * which the entry has now.
 *
 * Nothing read here is trusted: numbers of entries are checked against the table, walks of lists are
 * no longer than the table, offsets and sizes are copied to a local and checked against the heap.
 * What never changes (max_bytes stands in the control page) is copied to the handle and checked once.
 * What follows from the table and is wrong causes one repair; an entry that is impossible becomes
 * FREE by it, and the call says -EBADMSG.
 */
#ifndef MP_QUEUE_STORE_LAYOUT_H
#define MP_QUEUE_STORE_LAYOUT_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#define MP__STORE_MAGIC UINT64_C(0x6d702e73746f7231) /* "mp.stor1" */
#define MP__STORE_VERSION 3u
#define MP__STORE_AT 32768u /* in the file of the queue: MP__QUEUE_REGION */

#define MP__STORE_CHUNKS 21u
#define MP__STORE_CHUNK_FIRST 64u /* entries in chunk 0 */
/* So many stay when there is no message: 1.3 MiB. */
#define MP__STORE_CHUNKS_KEPT 8u
/* Entries of all chunks: just below MP__QUEUE_ITEMS_MAX. */
#define MP__STORE_ENTRIES_MAX (MP__STORE_CHUNK_FIRST * ((1u << MP__STORE_CHUNKS) - 1))

/* What a message counts beside its bytes: its entry and slot, and two heads of its block. */
#define MP__STORE_OVERHEAD 128u
#define MP__STORE_ALIGN 16u

enum mp__store_kind {
	MP__STORE_FREE = 0,
	MP__STORE_READY = 1,
	MP__STORE_LEASED = 2,
	MP__STORE_POISON = 3,
};
#define MP__STORE_DELIVERIES_SHIFT 32

/* mp__store_entry.size: the kind of record (queue_layout.h) stands above the size. */
#define MP__STORE_LEASE_BITS 28 /* of the entry's number in a lease */

struct mp__store_entry {
	_Atomic uint64_t state;
	uint64_t block; /* offset of the message's block in the heap */
	uint64_t size;  /* as in the header of a record */
	int64_t priority;
	uint64_t sequence; /* of the put */
	uint64_t lease;    /* LEASED: what its lessee calls it */
	uint64_t owner;    /* LEASED: the stamp of the lessee's process, by shm/life.h */
	/* Follow: neighbours in a list (free, leased, poison), numbers of entries + 1, 0: none. */
	uint32_t next;
	uint32_t previous;
};

struct mp__store_block {
	uint64_t entry; /* + 1 */
	uint64_t reserved;
	char data[];
};

struct mp__store_root {
	/* Written once, before anybody else has the queue; never changes. */
	uint64_t magic;
	uint32_t version;
	uint32_t order; /* enum mp_queue_order */
	uint32_t leases;
	uint32_t max_deliveries; /* 0: no limit */

	_Atomic uint32_t n_chunks;
	_Atomic uint32_t repair;
	uint64_t chunks[MP__STORE_CHUNKS]; /* offsets in the heap */

	_Atomic uint64_t next_sequence;
	_Atomic uint64_t next_lease;
	_Atomic uint32_t generation; /* of the table: how often chunks have gone */

	/* Follow. */
	_Alignas(64) _Atomic uint64_t counts; /* ready, and leased << 32 */
	_Atomic uint64_t bytes;               /* of all messages, with MP__STORE_OVERHEAD each */
	_Atomic uint32_t poisoned;            /* how many are POISON */
	uint32_t free;                        /* the first of each list, + 1 */
	uint32_t leased;
	uint32_t poison;
	_Atomic uint64_t looked_ns; /* when dead lessees were looked for */
	_Atomic uint64_t swept;     /* next_sequence when blocks of the dead were looked for */
};

_Static_assert(sizeof(struct mp__store_entry) == 64, "an entry is a cache line");
_Static_assert(sizeof(struct mp__store_block) == 16, "messages are aligned to 16");

#endif
