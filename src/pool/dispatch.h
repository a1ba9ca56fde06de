/* SPDX-License-Identifier: MIT */
/*
 * pool/dispatch.h - the owner's way of putting a task before the workers.
 *
 * A slot is written completely before its number is published, and whoever comes first takes it.
 *
 * Descriptors in arguments go through one socket that all workers read. Each message names the
 * slot that it belongs to, and a token in the ring says that there is one; which worker gets which
 * message is the kernel's choice, and the claim in the slot decides as always. Since a message
 * twice does no harm, a message that may have been lost with a worker is just sent again.
 */
#ifndef MP_POOL_DISPATCH_H
#define MP_POOL_DISPATCH_H

#include "obj/codec.h"
#include "pool/pool.h"

/* What goes into a slot. */
struct mp__pool_work {
	mp_task *task;
	uint32_t kind; /* enum mp__pool_kind */
	uint32_t n_items;
	const void *args;
	size_t args_size;
	const struct mp__cargo *cargo;  /* or NULL */
	const mp_task_options *options; /* or NULL */
	bool more;                      /* wakes nobody: the caller will, by mp__pool_ring_some() */
};

/*
 * Put it before the workers, waiting while max_pending tasks are unfinished. ret_future may be
 * NULL. Errors of mp_pool_submit().
 */
int mp__pool_dispatch(mp_pool *pool, const struct mp__pool_work *work, mp_future **ret_future);

/* With pool->lock held: */

/* Once more, as it was submitted; its worker is dead. */
void mp__pool_requeue(mp_pool *pool, uint32_t number);
/* The slot is free and empty again. */
void mp__pool_release_slot(mp_pool *pool, uint32_t number);
/* Publish what waits for room, and send all descriptors again whose tasks nobody has taken. */
void mp__pool_resend(mp_pool *pool);
/* Wake workers for so many new tasks. Without the lock, while the pool is not closed. */
void mp__pool_ring_some(mp_pool *pool, uint32_t count);
/* Wake a sleeping worker, if there is one. Needs no lock. */
void mp__pool_ring_one(struct mp__pool_header *header);
/* Have all workers leave after the task at hand, which is told. */
void mp__pool_tell_all(mp_pool *pool);
/* Wake all sleeping workers; before, if `stopping`, tell them to leave when nothing is left. */
void mp__pool_ring_all(mp_pool *pool);

#endif
