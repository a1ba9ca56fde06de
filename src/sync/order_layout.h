/* SPDX-License-Identifier: MIT */
/*
 * sync/order_layout.h - in which order locks are taken, remembered by a family of processes.
 *
 * Only with MP_LOCK_DEBUG in the environment. A memfd named MP__ORDER_NAME of a header and a log of
 * edges. An edge says that some thread wanted `to` while it had `from`; it is written once and never
 * changes, so a cycle of edges is a deadlock that can happen. Forked children share the memory; a
 * program that libmp started by another method finds it among the descriptors of its ancestors.
 *
 *	0        64             192            320
 *	+--------+--------------+--------------+---
 *	| header | edge 0       | edge 1       | ... MP__ORDER_EDGES
 *	+--------+--------------+--------------+---
 *
 * used    how many places were given out, by fetch-and-add; more than there are: full
 * state   of an edge: 0, READY (release) once all of it is written. A process that died in between
 *	   leaves a place that is 0 for ever, and is skipped.
 *
 * A lock is known by a random number that the first one to want it, with MP_LOCK_DEBUG, puts into
 * the lock itself: so it is the same lock in all processes, wherever it is mapped.
 */
#ifndef MP_SYNC_ORDER_LAYOUT_H
#define MP_SYNC_ORDER_LAYOUT_H

#include "sync/head.h"

#define MP__ORDER_NAME "mp-lock-order"
#define MP__ORDER_MAGIC UINT64_C(0x6d702e6f72646572) /* "mp.order" */
#define MP__ORDER_EDGES 8190
#define MP__ORDER_READY 1u
#define MP__ORDER_THREAD_SIZE 16

struct mp__order_lock {
	uint64_t id;
	uint32_t kind; /* magic */
	char name[MP__SYNC_NAME_SIZE];
};

struct mp__order_edge {
	_Atomic uint32_t state;
	int32_t tid; /* who did it first */
	int32_t pid;
	char thread[MP__ORDER_THREAD_SIZE]; /* its name */
	struct mp__order_lock from;
	struct mp__order_lock to;
	uint32_t reserved;
};

struct mp__order {
	uint64_t magic;
	_Atomic uint32_t used;
	_Atomic uint32_t said_full; /* that there are too many edges */
	_Atomic uint32_t said_many; /* that a thread has too many locks */
	uint32_t reserved[11];
	struct mp__order_edge edges[MP__ORDER_EDGES];
};

_Static_assert(sizeof(struct mp__order_edge) <= 128, "some edges to a page");

#endif
