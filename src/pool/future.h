/* SPDX-License-Identifier: MIT */
/*
 * pool/future.h - what becomes of a task.
 *
 * A future has two holders: the user's handle and, while the task is unfinished, the pool. It is
 * written once, by mp__future_finish(), before `state` says so (release); from then on it never
 * changes and is read without a lock. The result stays encoded: each mp_future_result() decodes
 * a value of its own.
 *
 * Who wants to know of the end at once puts a watch on it, which fires with the pool's lock held;
 * the user's callbacks are run later, without it (callback.c).
 *
 * A million tasks may be queued, each with a future: what few futures have stands in `more`.
 */
#ifndef MP_POOL_FUTURE_H
#define MP_POOL_FUTURE_H

#include "base/deadline.h"
#include "base/origin.h"
#include "obj/codec.h"

#include <mp/pool.h>
#include <stdatomic.h>

#define MP__FUTURE_CRASHES 8 /* as many deaths are kept as evidence */

/* Fires once, with the lock of the future's pool held. */
struct mp__future_watch {
	struct mp__future_watch *next;
	void (*fire)(struct mp__future_watch *watch, mp_future *future);
};

struct mp__future_call {
	struct mp__future_call *next;
	mp_future_callback *callback;
	void *data;
};

/* Under the pool's lock, all of it. */
struct mp__future_more {
	struct mp__future_watch *watches;
	struct mp__future_call *calls; /* in the order they were added */
	struct mp__future_call **last_call;
	struct mp__batch *batch;       /* the future of a whole map; see batch.h */
	struct mp__returned *returned; /* descriptors of the result */
	bool calling;                  /* some thread goes through the list */
	int n_crashes;
	mp_crash *crashes;
};

struct mp_future {
	_Atomic uint32_t refs;
	_Atomic int state; /* enum mp_future_state; RUNNING is looked up, never stored */
	mp_pool *pool;
	uint32_t slot; /* while unfinished; MP__POOL_NONE: it has a batch, and no slot */
	int result;    /* a negative errno unless DONE */
	/*
	 * DONE: the encoded result. Else the sentence up to its NUL, and behind it perhaps an
	 * encoded value; or nothing, and the sentence is that of the errno. Inside or malloc'ed.
	 */
	uint8_t *data;
	size_t size;
	struct mp__future_more *more;
	mp_future *next_ready; /* ended, and its callbacks are to be called */
	uint8_t inside[16];
};

/* With two references. -ENOMEM. */
int mp__future_new(mp_pool *pool, mp_future **ret_future);
/* Drop one. */
void mp__future_unref(mp_future *future);
/* 0, or -EINVAL or -ECHILD with a sentence that says what for. */
int mp__future_check(mp_future *future, const char *what);

/* Does anybody but the pool still hold it, or wait to be called? */
static inline bool mp__future_is_wanted(mp_future *future)
{
	return future &&
	       (atomic_load_explicit(&future->refs, memory_order_relaxed) > 1 || future->more);
}

/* Has it ended? Then everything else may be read. */
static inline bool mp__future_is_finished(mp_future *future)
{
	/* Partner: the release store in mp__future_finish(). */
	return atomic_load_explicit(&future->state, memory_order_acquire) != MP_FUTURE_PENDING;
}

/* Room for a result of that size: where to write it, or NULL. */
uint8_t *mp__future_room(mp_future *future, size_t size);
/* Its `more`, made if it has none. NULL: no memory. Under the pool's lock. */
struct mp__future_more *mp__future_more(mp_future *future);
/* A worker has died of it; if there is no memory the evidence is lost. Under the pool's lock. */
void mp__future_add_crash(mp_future *future, const mp_crash *crash);

/*
 * Say how it ended, and drop the pool's reference. `why` NULL: what mp__future_room() was given
 * stands. NULL future: nothing. Under the pool's lock.
 */
void mp__future_finish(mp_future *future, enum mp_future_state state, int result, const char *why);

/* Fire when it ends; false: it has ended already. Under the pool's lock. -ENOMEM. */
int mp__future_watch(mp_future *future, struct mp__future_watch *watch);
/* Not any more, fired or not. Takes the lock; or under it. */
void mp__future_unwatch(mp_future *future, struct mp__future_watch *watch);
void mp__future_unwatch_locked(mp_future *future, struct mp__future_watch *watch);

/* Wait for the end: 0 or -ETIMEDOUT. */
int mp__future_await(mp_future *future, mp__deadline deadline);
/*
 * After the end: duplicates of its descriptors, for decoding what it has. The caller closes what is
 * left in the cargo. -EMFILE.
 */
int mp__future_cargo(mp_future *future, struct mp__cargo *cargo);

/* After the end: 0, or its error with its sentence. */
int mp__future_outcome(mp_future *future);

#endif
