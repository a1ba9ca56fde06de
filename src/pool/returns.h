/* SPDX-License-Identifier: MIT */
/*
 * pool/returns.h - descriptors in results, on their way to the owner.
 *
 * They go ahead of their result: one message over a socket that all workers write to, which names the
 * slot and its generation, and then the commit. So whoever sees a result finds its descriptors in the
 * socket, or among those that came out of it earlier. A worker that dies in between leaves a message
 * for a task that ends otherwise: nobody waits for it, and it is closed.
 */
#ifndef MP_POOL_RETURNS_H
#define MP_POOL_RETURNS_H

#include "pool/pool.h"

struct mp__returned {
	struct mp__returned *next;
	uint32_t slot;
	uint32_t generation;
	bool cut; /* there was no room for them in this process */
	size_t n_fds;
	int fds[];
};

/* The worker's side: 0, or -EAGAIN, -ETOOMANYREFS and what else sendmsg(2) says. */
int mp__returns_send(int socket, uint32_t slot, uint32_t generation, const int *fds, size_t n_fds);

/* The owner's, with pool->lock held: */

/*
 * Those of the result that stands in this slot: 0 and the caller's. -EBADMSG they did not come,
 * -EMFILE no room for them, -ENOMEM.
 */
int mp__returns_take(mp_pool *pool, uint32_t slot, struct mp__returned **ret_returned);
/* Close those that nobody will ask for: their task has ended otherwise. */
void mp__returns_sweep(mp_pool *pool);

/* NULL is fine. Where `here` is false the descriptors are left alone: they are the parent's. */
void mp__returned_free(struct mp__returned *returned, bool here);

#endif
