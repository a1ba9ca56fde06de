/* SPDX-License-Identifier: MIT */
/*
 * manager/pending.h - the calls that are under way on a connection, by age and by id.
 *
 * Replies come in any order: calls that wait for others are answered when those have done it. So the one
 * that a reply is for is found by its id in a table; by age it is decided who reads next, and all of them
 * are ended when the connection is. A call is its caller's memory, of which nothing is known once it was
 * taken out.
 *
 * Not thread-safe, the connection has a lock; but safe against fork(2) at any instant: there is always one
 * table, whole, that a child can free.
 */
#ifndef MP_MANAGER_PENDING_H
#define MP_MANAGER_PENDING_H

#include "manager/message.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* So many are found without memory of its own. A power of two. */
#define MP__PENDING_SMALL 16

struct mp__call {
	struct mp__call *next; /* by age */
	struct mp__call *previous;
	struct mp__call *chain; /* with the same place in the table */
	uint64_t id;
	bool waits; /* has sent, and sleeps on the word */
	_Atomic uint32_t word;
	int result; /* when it is done: 0 the reply is there, or why it will not come */
	struct mp__reply *reply;
};

struct mp__pending {
	struct mp__call *first; /* the oldest */
	struct mp__call *last;
	struct mp__call **table; /* `small` as long as they are few */
	size_t table_size;
	size_t n;
	struct mp__call *small[MP__PENDING_SMALL];
	uint64_t latest_id; /* that was given; they begin with 1 */
};

void mp__pending_init(struct mp__pending *pending);
/* Those that are in it are not touched. */
void mp__pending_free(struct mp__pending *pending);
/* Gives it the next id. */
void mp__pending_add(struct mp__pending *pending, struct mp__call *call);
/* Out of it. NULL: none has that id (any more). */
struct mp__call *mp__pending_take(struct mp__pending *pending, uint64_t id);

#endif
