/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "pool/batch.h"
#include "pool/callback.h"
#include "pool/collect.h"
#include "pool/dispatch.h"
#include "pool/future.h"
#include "pool/known.h"
#include "pool/pool.h"
#include "pool/trace.h"
#include "process/process.h"

/*
 * A task that nobody has taken is taken back with one compare-and-swap, against which a worker's
 * claim fails. One that runs is told by a word in its slot, and can be ended only together with its
 * worker.
 */

static bool take_back(mp_pool *pool, uint32_t number)
{
	struct mp__pool_pending *p = &pool->pending[number];
	uint64_t queued = mp__pool_state(p->generation, 0, MP__POOL_QUEUED);

	return atomic_compare_exchange_strong(&pool->seg.slots[number].state, &queued,
		mp__pool_state(p->generation, 0, MP__POOL_FREE));
}

/* The worker that runs it, or MP__POOL_NONE. */
static uint32_t runner(mp_pool *pool, uint32_t number)
{
	uint64_t state = atomic_load(&pool->seg.slots[number].state);
	uint32_t worker = mp__pool_state_worker(state);

	if (mp__pool_state_generation(state) != pool->pending[number].generation ||
		mp__pool_state_status(state) != MP__POOL_RUNNING || worker >= pool->seg.n_workers ||
		!pool->places[worker].process)
		return MP__POOL_NONE;
	return worker;
}

/* Only if the kill cannot hit another task, see `leave` in pool_layout.h. */
static void kill_runner(mp_pool *pool, uint32_t number)
{
	uint32_t worker = runner(pool, number);

	if (worker == MP__POOL_NONE)
		return;
	atomic_store(&pool->seg.workers[worker].leave, 1);
	if (runner(pool, number) != worker) {
		atomic_store(&pool->seg.workers[worker].leave, 0);
		return;
	}
	if (mp_process_kill(pool->places[worker].process) == 0)
		pool->pending[number].cancelled = true;
}

int mp__pool_cancel(mp_pool *pool, uint32_t number, int flags)
{
	struct mp__pool_pending *p = &pool->pending[number];

	if (take_back(pool, number)) {
		if (pool->trace_fd >= 0)
			mp__pool_trace(pool, number,
				&(struct mp__trace_event){.phase = "i",
					.begin_ns = mp__now_ns(),
					.outcome = "cancelled"});
		mp__pool_end(pool, number, MP_FUTURE_CANCELLED, -ECANCELED,
			"the task was cancelled before it had begun");
		mp__pool_nudge(pool);
		return 1;
	}
	p->told = true;
	atomic_store(&pool->seg.slots[number].cancel, p->generation);
	if (flags & MP_CANCEL_KILL)
		kill_runner(pool, number);
	return 0;
}

static int cancel_locked(mp_pool *pool, mp_future *future, int flags)
{
	if (!pool->closed)
		mp__pool_harvest(pool);
	if (mp__future_is_finished(future)) {
		if (future->result == -ECANCELED && future->state == MP_FUTURE_CANCELLED)
			return 1;
		return mp_error_set(-EALREADY, "cancel: the task has ended");
	}
	if (!future->more || !future->more->batch)
		return mp__pool_cancel(pool, future->slot, flags);
	mp__batch_cancel(future->more->batch, flags);
	return mp__future_is_finished(future) && future->state == MP_FUTURE_CANCELLED;
}

int mp_future_cancel(mp_future *future, int flags)
{
	int r = mp__future_check(future, "cancel");

	if (r < 0)
		return r;
	if (flags & ~MP_CANCEL_KILL)
		return mp_error_set(-EINVAL, "cancel: unknown flags %#x", (unsigned)flags);
	mp_pool *pool = future->pool;
	if ((flags & MP_CANCEL_KILL) && pool->start_method == MP_START_THREAD)
		return mp_error_set(-ENOTSUP,
			"cancel: a worker that is a thread cannot be killed; leave "
			"MP_CANCEL_KILL away, and ask mp_task_cancelled() in the task");
	pthread_mutex_lock(&pool->lock);
	r = cancel_locked(pool, future, flags);
	bool due = mp__callback_wanted(pool);
	pthread_mutex_unlock(&pool->lock);
	if (due)
		mp__callback_run(pool);
	return r;
}
