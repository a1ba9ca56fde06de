/* SPDX-License-Identifier: MIT */
/*
 * pool/crew.h - the workers' places, and who stands in them.
 *
 * A worker that ends is replaced under the same number. One that never got ready (its initializer
 * failed, or killed it) counts as a failure, and after MP__POOL_FAILURES of them in a row nobody is
 * hired any more: who is at work goes on, and when the last one is gone the pool is broken and says
 * why.
 *
 * Called with pool->lock held and by the leader alone (or where there are no other threads), so
 * that places change under nobody while the lock is given up for the start of a process.
 */
#ifndef MP_POOL_CREW_H
#define MP_POOL_CREW_H

#include "pool/pool.h"

#define MP__POOL_FAILURES 10u

/* Start a worker in this place, without the lock. Errors of mp_process_start(). */
int mp__pool_hire(mp_pool *pool, uint32_t number);
/* The control group of this place goes, if it has one; its worker is dead. */
void mp__pool_ungroup(struct mp__pool_place *place);
/* The leader saw the end of this worker: end its task, vacate its place. */
void mp__pool_worker_ended(mp_pool *pool, uint32_t number);
/* How many workers there should be now. */
uint32_t mp__pool_crew_wanted(mp_pool *pool);
/* Fill vacant places, or find out that it is no use. */
void mp__pool_crew_fill(mp_pool *pool);
/* Kill all and see them gone; threads are told to leave, and waited for. */
void mp__pool_dismiss(mp_pool *pool);

#endif
