/* SPDX-License-Identifier: MIT */
/*
 * pool/collect.h - the owner's waiting: one thread leads, and what it finds is there for all.
 *
 * Collecting costs what has finished, however many tasks may be pending: workers link finished
 * slots into a list, and the owner takes it whole. Everything here is called with pool->lock held.
 */
#ifndef MP_POOL_COLLECT_H
#define MP_POOL_COLLECT_H

#include "pool/pool.h"

typedef bool mp__pool_condition(mp_pool *pool, void *argument);

/*
 * Collect, and replace dead workers, until the condition holds: 0, -ETIMEDOUT, -EPIPE the pool was
 * closed meanwhile. The lock is given up while sleeping.
 */
int mp__pool_wait(
	mp_pool *pool, mp__pool_condition *condition, void *argument, mp__deadline deadline);

/* What a condition looks at has changed by our own doing: everybody who waits looks again. */
void mp__pool_nudge(mp_pool *pool);

/* Has somebody looked after the workers in the last few milliseconds? */
bool mp__pool_has_looked(const mp_pool *pool);

/* One look around without sleeping: collect, replace the dead; workers ring again after it. */
void mp__pool_turn(mp_pool *pool);

/* Take over the results of all finished tasks. */
void mp__pool_harvest(mp_pool *pool);

/* How a worker ended, and what it had noted about its task. */
struct mp__death {
	mp_crash crash;
	int64_t started_ns; /* 0: it noted nothing */
	int64_t cpu_us;
};

/* End a task that no worker can finish any more. */
void mp__pool_end(
	mp_pool *pool, uint32_t number, enum mp_future_state state, int result, const char *why);

/*
 * End every task of this dead worker: finished ones normally, the one it was at as crashed with
 * that sentence and that evidence.
 */
void mp__pool_bury(mp_pool *pool, uint32_t worker, const char *why, const struct mp__death *death);

/*
 * Take it back if nobody has begun it (1), or tell who runs it, and with MP_CANCEL_KILL kill him
 * (0). It must not have ended.
 */
int mp__pool_cancel(mp_pool *pool, uint32_t number, int flags);

/* End all unfinished tasks in this way. Finished ones are harvested before. */
void mp__pool_end_all(mp_pool *pool, enum mp_future_state state, int result, const char *why);

#endif
