/* SPDX-License-Identifier: MIT */
/*
 * pool/watch.h - wait for futures together with other things.
 *
 * The waiting of collect.h sleeps in one pool. Who waits for several pools, or for other objects too,
 * keeps his own poll(2), and drives the collection of each pool from there:
 *
 *	mp__pool_watch_begin(pool);                from now on workers ring also when no thread leads
 *	mp__future_watch(f, &watch)                under pool->lock; its fire() wakes the caller, for
 *	                                           the end may be collected by another thread
 *	for (;;) {
 *		r = mp__pool_watch_turn(pool);     collect what there is, replace the dead, call back;
 *		                                   -EPIPE: the pool is closed, all futures have ended
 *		if (what is waited for is there)
 *			break;
 *		poll: mp__pool_watch_fd(pool) readable, or what fire() makes readable
 *	}
 *	mp__pool_watch_end(pool);
 *
 * All of it without the lock, and with a reference to the pool, as futures hold one.
 */
#ifndef MP_POOL_WATCH_H
#define MP_POOL_WATCH_H

#include "pool/future.h"
#include "pool/pool.h"

#include <stdbool.h>
#include <stddef.h>

void mp__pool_watch_begin(mp_pool *pool);
void mp__pool_watch_end(mp_pool *pool);
/* 0 or -EPIPE. After it the descriptor says when the next turn is due. */
int mp__pool_watch_turn(mp_pool *pool);
/* Readable when a turn is due; -1 the pool is closed. */
int mp__pool_watch_fd(mp_pool *pool);

/* Futures that are waited for together, of any number of pools. */
struct mp__gathering {
	mp_pool **pools; /* each once, with a reference */
	size_t n_pools;
	int wake; /* an eventfd for watches to write to; -1: there is one pool, and no need */
};

/* -EINVAL one of them is NULL, -ECHILD, -ENOMEM, -EMFILE. `what` is for sentences. */
int mp__gather(
	mp_future *const *futures, size_t n, const char *what, struct mp__gathering *ret_gathering);
void mp__gathering_end(struct mp__gathering *gathering);
/* To be called by fire(). */
void mp__gathering_wake(const struct mp__gathering *gathering);

typedef bool mp__gathering_condition(void *argument);
/* Until the condition holds: 0, -ETIMEDOUT, or what poll(2) says. */
int mp__gathering_wait(struct mp__gathering *gathering, mp__gathering_condition *condition,
	void *argument, mp__deadline deadline);

#endif
