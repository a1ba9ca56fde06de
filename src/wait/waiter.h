/* SPDX-License-Identifier: MIT */
/*
 * wait/waiter.h - a set of things to wait for that is kept: what costs is what happens, not what is
 * in the set.
 *
 * Descriptors stand in an epoll set, each once however many items share it (a connection and its
 * number, futures of one pool): a source. What lives in shared memory is cold as a rule: it was found
 * not ready with the number of our doorbell in its watch, so that nobody looks at it before it rings.
 * An item becomes hot when it is added, was reported, or its bucket was rung; then it is looked at by
 * the next wait, which arms it and makes it cold again if it is not ready. Now and then, all are
 * looked at (shm/watch.h says why).
 *
 * waiter_set.c keeps the items, waiter.c waits. All under the lock, but for the sleep.
 */
#ifndef MP_WAIT_WAITER_H
#define MP_WAIT_WAITER_H

#include "base/origin.h"
#include "wait/waitable.h"

#include <pthread.h>

struct mp__waiter_item {
	struct mp__waited waited;
	short kind; /* with object or fd: what it is known by */
	void *object;
	int fd;
	void *data;
	struct mp__waiter_item *next_hash;
	struct mp__waiter_item *next_of_source;
	/* Of its bucket, if it depends on shared memory. */
	struct mp__waiter_item *next_of_bucket;
	uint32_t bucket;
	/* Hot. */
	bool hot;
	struct mp__waiter_item *next_hot;
	struct mp__waiter_item *previous_hot;
	int always;       /* what a file is, always */
	uint64_t told_by; /* the wait that has reported it last */
};

/* A descriptor and who looks at it. */
struct mp__waiter_source {
	uint32_t generation; /* so that what epoll says late is not taken for another one */
	short events;
	struct mp__waiter_item *first;
};

struct mp_waiter {
	mp__origin origin;
	pthread_mutex_t lock;
	int epoll;
	struct mp__doorbell doorbell; /* fd -1: nothing has needed it yet */

	struct mp__waiter_item **table; /* chained; a power of two */
	size_t table_size;
	size_t n;
	struct mp__waiter_source *sources; /* by descriptor */
	size_t n_sources;
	uint32_t generation;
	struct mp__waiter_item **buckets; /* MP__WATCH_BUCKETS, or NULL */
	uint32_t next_bucket;
	size_t n_watched;

	struct mp__waiter_item *first_hot;
	struct mp__waiter_item *last_hot;
	int64_t all_looked_at; /* when */
	unsigned kept;         /* mp__conn_kept then */
	unsigned sleepers;
	uint64_t waits;
	bool odd; /* whose turn it is to have all the room */
};

#define MP__WAITER_BELL UINT64_MAX /* the doorbell, in what epoll says */

/* Find it; NULL. */
struct mp__waiter_item *mp__waiter_find(struct mp_waiter *waiter, const mp_waitable *item);
/* Put in one that is open; -ENOMEM, -EMFILE, -ENOSPC, what epoll_ctl(2) says. */
int mp__waiter_insert(struct mp_waiter *waiter, struct mp__waiter_item *item);
/* Take it out; it is the caller's then. */
void mp__waiter_take_out(struct mp_waiter *waiter, struct mp__waiter_item *item);
/* Of a descriptor: other events. -EBADF it was closed. */
int mp__waiter_change(struct mp_waiter *waiter, struct mp__waiter_item *item, short events);

void mp__waiter_heat(struct mp_waiter *waiter, struct mp__waiter_item *item);
void mp__waiter_cool(struct mp_waiter *waiter, struct mp__waiter_item *item);
/* Of a bucket; or all, and not only those that depend on memory. */
void mp__waiter_heat_bucket(struct mp_waiter *waiter, unsigned bucket);
void mp__waiter_heat_all(struct mp_waiter *waiter);

/* The end of an item that is in no set. */
void mp__waiter_item_free(struct mp__waiter_item *item);

#endif
