/* SPDX-License-Identifier: MIT */
/*
 * pool/future.h - what becomes of a task.
 *
 * A future has two holders: the user's handle and, while the task is unfinished, the pool. It is
 * written once, by mp__future_finish(), before `state` says so (release); from then on it never
 * changes and is read without a lock. The result stays encoded: each mp_future_result() decodes
 * a value of its own.
 */
#ifndef MP_POOL_FUTURE_H
#define MP_POOL_FUTURE_H

#include "base/deadline.h"
#include "base/origin.h"

#include <mp/pool.h>
#include <stdatomic.h>

struct mp_future {
	_Atomic uint32_t refs;
	_Atomic int state; /* enum mp_future_state; RUNNING is looked up, never stored */
	mp__origin origin;
	mp_pool *pool;
	uint32_t slot; /* while unfinished */
	int result;    /* a negative errno unless DONE */
	char *why;     /* malloc'ed sentence of a failure; NULL: that of the errno */
	uint8_t *data; /* the encoded result: inside or malloc'ed */
	size_t size;
	uint8_t inside[48];
};

/* With two references. -ENOMEM. */
int mp__future_new(mp_pool *pool, mp_future **ret_future);
/* Drop one. */
void mp__future_unref(mp_future *future);

/* Does anybody but the pool still hold it? */
static inline bool mp__future_is_wanted(mp_future *future)
{
	return future && atomic_load_explicit(&future->refs, memory_order_relaxed) > 1;
}

/* Room for a result of that size: where to write it, or NULL. */
uint8_t *mp__future_room(mp_future *future, size_t size);

/* Say how it ended, and drop the pool's reference. NULL future: nothing. */
void mp__future_finish(mp_future *future, enum mp_future_state state, int result, const char *why);

/* Wait for the end: 0 or -ETIMEDOUT. */
int mp__future_wait(mp_future *future, mp__deadline deadline);
/* After the end: 0, or its error with its sentence. */
int mp__future_error(mp_future *future);

#endif
