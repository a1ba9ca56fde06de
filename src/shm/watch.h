/* SPDX-License-Identifier: MIT */
/*
 * shm/watch.h - a bell that is heard in poll(2): who waits for many things has one doorbell for all.
 *
 * What lives in shared memory wakes by futex, descriptors wake by poll(2), and nobody can sleep on
 * both. So who waits for several things makes a doorbell: a Unix datagram socket at an abstract
 * address made of a random number, its id. In each object it waits for it leaves that id in one of
 * a few cells, the watch, beside the bell (shm/bell.h) of the object, and then listens at the bell
 * as any sleeper. Who rings the bell takes the ids out of the cells and sends a byte or two to each.
 * Those who change the state pay nothing for that: they look at one bit, as before.
 *
 *	31           10 9        0        in a cell; 0: free
 *	+--------------+----------+
 *	| address      | bucket   |       which of the waiter's things: it looks at those of the
 *	+--------------+----------+       bucket only, and the message says which
 *
 * A cell is for one ring: it is emptied first, by exchange, and then the message is sent. So each
 * waiter gets at most one message for each thing it waits for, however long it does not look, and a
 * ring never takes away a cell that was filled after it. The order of a waiter: cell, listen, look,
 * sleep. Of a ringer: state, full barrier, bell, cells.
 *
 * The number says where to send and nothing else. A message of a stranger, of a waiter that had the
 * number before, or after the waiter has stopped to care: one look more than was needed, nothing
 * else. That an address is nobody's any more the kernel says (ECONNREFUSED), so cells of dead
 * waiters are found and used again.
 *
 * What can lose a ring: a ringer killed between the change and the message; another network
 * namespace, where the address is unknown; more waiters than cells; no descriptor left to send or
 * to listen with. Therefore a waiter looks at everything again every MP__BELL_RECHECK_MS, and leaves
 * its id and listens anew where that is needed.
 */
#ifndef MP_SHM_WATCH_H
#define MP_SHM_WATCH_H

#include "shm/bell.h"

#define MP__WATCH_CELLS 7
#define MP__WATCH_BUCKETS 1024u

/* In shared memory, zeroed at first: filled by waiters, emptied by ringers, both atomically. */
struct mp__watch {
	_Atomic uint32_t cells[MP__WATCH_CELLS];
};

/* A bell that can be watched. */
struct mp__watched_bell {
	mp__bell bell;
	struct mp__watch watch;
};

_Static_assert(sizeof(struct mp__watched_bell) == 32, "half a cache line");

/* --- who changes the state ------------------------------------------------------------------------ */

/* After the change and a full barrier: tell all who watch. Async-signal-safe, keeps errno. */
void mp__watch_ring(struct mp__watch *watch);

void mp__watched_bell_ring_slowly(struct mp__watched_bell *bell, int count);

/* As mp__bell_ring(). */
static inline void mp__watched_bell_ring(struct mp__watched_bell *bell, int count)
{
	if (atomic_load_explicit(&bell->bell, memory_order_seq_cst) & 1)
		mp__watched_bell_ring_slowly(bell, count);
}

/* --- who waits ------------------------------------------------------------------------------------- */

/* Private to who made it. */
struct mp__doorbell {
	int fd;
	uint32_t id;   /* bucket 0 */
	unsigned room; /* so many messages find room in it for certain */
};

/* -EMFILE, -ENFILE, -ENOMEM, and what else socket(2) and bind(2) say. */
int mp__doorbell_open(struct mp__doorbell *ret_doorbell);
void mp__doorbell_close(struct mp__doorbell *doorbell);
/* Ring one's own. */
void mp__doorbell_ring(const struct mp__doorbell *doorbell);

/*
 * Take out what came. `buckets`, a bit for each, gets those that were rung for; or NULL. True: there
 * may have been more than found room: look at everything.
 */
bool mp__doorbell_hear(
	const struct mp__doorbell *doorbell, uint64_t buckets[MP__WATCH_BUCKETS / 64]);

/* Leave an id in a cell, unless it is there. False: no cell is free, and all have living owners. */
bool mp__watch_arm(struct mp__watch *watch, uint32_t id);
/* Take it out. */
void mp__watch_disarm(struct mp__watch *watch, uint32_t id);
/* Does a living waiter watch? */
bool mp__watch_is_used(struct mp__watch *watch);

/* Cell, then listen. As mp__watch_arm(); the next is to look. */
static inline bool mp__watched_bell_arm(struct mp__watched_bell *bell, uint32_t id)
{
	bool armed = mp__watch_arm(&bell->watch, id);

	(void)mp__bell_listen(&bell->bell);
	return armed;
}

#endif
