/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "pool/collect.h"

#include "base/futex.h"
#include "base/hot.h"
#include "base/spin.h"
#include "pool/callback.h"
#include "pool/crew.h"
#include "pool/dispatch.h"
#include "pool/future.h"
#include "pool/known.h"
#include "pool/returns.h"
#include "pool/trace.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#define EVENTS 32
#define SPIN_MIN 64u
#define SPIN_MAX 4096u
#define CPU_SLACK_US 2000
/* Naps are as long, and for so long nobody has to look after the workers. */
#define LOOK_MS 10

/* The task in the slot has ended and its future knows: the slot is free again. */
static void retire(mp_pool *pool, uint32_t number)
{
	struct mp__pool_pending *p = &pool->pending[number];
	struct mp__pool_slot *slot = &pool->seg.slots[number];

	if (p->args_paid)
		mp__pool_payload_drop(&pool->seg, number, MP__POOL_PAYLOAD_ARGS);
	if (p->result_paid)
		mp__pool_payload_drop(&pool->seg, number, MP__POOL_PAYLOAD_RESULT);
	p->future = NULL;
	p->active = p->requeue = p->told = p->cancelled = false;
	atomic_store_explicit(&slot->state, mp__pool_state(p->generation, 0, MP__POOL_FREE),
		memory_order_relaxed);
	mp__pool_release_slot(pool, number);
}

MP__HOT void mp__pool_end(
	mp_pool *pool, uint32_t number, enum mp_future_state state, int result, const char *why)
{
	mp_future *future = pool->pending[number].future;

	retire(pool, number);
	mp__future_finish(future, state, result, why);
}

/* Copy the result out of shared memory; what stands there is checked once it is a copy. */
static int copy_result(mp_pool *pool, uint32_t number, uint64_t size, mp_future *future)
{
	if (size > MP__POOL_PAYLOAD_MAX)
		return mp_error_set(-EBADMSG, "the worker gave a result of impossible size");
	uint8_t *data = mp__future_room(future, size);
	if (!data)
		return mp_error_set(-ENOMEM, "no memory for a result of %zu bytes", (size_t)size);
	const uint8_t *near =
		mp__pool_segment_bytes(&pool->seg, number, pool->pending[number].room, size);
	if (near) {
		memcpy(data, near, size);
		return 0;
	}
	return mp__pool_payload_read(&pool->seg, number, MP__POOL_PAYLOAD_RESULT, data, size);
}

/* What a failed task leaves begins with a sentence, up to a NUL, or is empty. */
static bool has_sentence(mp_future *future)
{
	if (future->size == 0)
		future->data = NULL;
	return future->size == 0 || memchr(future->data, '\0', future->size);
}

/* Why a worker gave no result, and no sentence either. */
static const char *why_lost(int result)
{
	switch (result) {
	case -EMSGSIZE:
		return "the result is longer than 2 GiB, or than RLIMIT_FSIZE lets the worker "
		       "write";
	case -ETOOMANYREFS:
		return "too many descriptors are on their way in this system";
	case -ECANCELED:
		return "the pool ended before the descriptors of the result were taken";
	default:
		return "there is no room in shared memory for the result";
	}
}

/* The bytes and descriptors of a result, into its future. */
static int take_result(mp_pool *pool, uint32_t number, uint64_t size, uint8_t n_fds)
{
	mp_future *future = pool->pending[number].future;
	struct mp__returned *returned = NULL;
	int r = n_fds > 0 ? mp__returns_take(pool, number, &returned) : 0;

	if (r == 0)
		r = copy_result(pool, number, size, future);
	if (r == 0 && returned) {
		struct mp__future_more *more = mp__future_more(future);
		if (more) {
			more->returned = returned;
			return 0;
		}
		r = mp_error_set(-ENOMEM, "no memory for the descriptors of a result");
	}
	mp__returned_free(returned, true);
	return r;
}

/* Nobody will ask for the result. */
static void drop_result(mp_pool *pool, uint32_t number, uint8_t n_fds)
{
	struct mp__returned *returned;

	if (n_fds > 0 && mp__returns_take(pool, number, &returned) == 0)
		mp__returned_free(returned, true);
}

/* A DONE slot, whose state was loaded with acquire. */
MP__HOT static void collect(mp_pool *pool, uint32_t number)
{
	struct mp__pool_pending *p = &pool->pending[number];
	struct mp__pool_slot *slot = &pool->seg.slots[number];
	uint64_t size = slot->result_size;
	int result = slot->result;
	uint8_t n_fds = slot->n_fds;

	pool->failures = 0;
	p->result_paid = !mp__pool_segment_bytes(&pool->seg, number, p->room, size);
	/* The next one of these gets a room. */
	if (size > MP__POOL_INLINE && size <= MP__POOL_ROOM_BYTES)
		pool->wants_room[p->task / 8] |= (uint8_t)(1u << p->task % 8);
	if (result >= 0)
		result = 0;
	enum mp_future_state state = result == 0                       ? MP_FUTURE_DONE
				     : result == -ECANCELED && p->told ? MP_FUTURE_CANCELLED
								       : MP_FUTURE_FAILED;
	/* Not even a sentence: it found no room for its result. */
	bool nothing = result < 0 && size == 0;
	if (nothing || !mp__future_is_wanted(p->future)) {
		drop_result(pool, number, n_fds);
		mp__pool_end(pool, number, state, result, nothing ? why_lost(result) : NULL);
		return;
	}
	int r = take_result(pool, number, size, n_fds);
	if (r == 0 && result < 0 && !has_sentence(p->future))
		r = -EBADMSG;
	if (r == 0)
		mp__pool_end(pool, number, state, result, NULL);
	else if (result == 0)
		mp__pool_end(pool, number, MP_FUTURE_FAILED, r, mp_error_detail());
	else
		mp__pool_end(pool, number, state, result, mp_strerror(result));
}

static bool collect_if_done(mp_pool *pool, uint32_t number)
{
	struct mp__pool_pending *p = &pool->pending[number];
	/* Partner: the release store of DONE in the worker. */
	uint64_t state = atomic_load_explicit(&pool->seg.slots[number].state, memory_order_acquire);

	if (!p->active || mp__pool_state_generation(state) != p->generation ||
		mp__pool_state_status(state) != MP__POOL_DONE)
		return false;
	collect(pool, number);
	return true;
}

/* The list is not to be trusted: look at every slot. */
static void harvest_all(mp_pool *pool)
{
	for (uint32_t i = 0; i < pool->n_fresh; i++)
		collect_if_done(pool, i);
}

/* Was there anything? */
MP__HOT static bool harvest(mp_pool *pool)
{
	struct mp__pool_header *header = pool->seg.header;

	if (atomic_load_explicit(&header->done, memory_order_relaxed) == MP__POOL_NONE)
		return false;
	uint32_t number =
		atomic_exchange_explicit(&header->done, MP__POOL_NONE, memory_order_acq_rel);
	/*
	 * The list is as long as it is honest: a slot that is not DONE ends it. Then some worker
	 * has gone mad, and what others have linked behind it is found without the list. It takes
	 * in slots that are yet to be pushed as well, and their push is another such end.
	 */
	while (number < pool->n_fresh) {
		uint32_t next = atomic_load_explicit(
			&pool->seg.slots[number].next_done, memory_order_relaxed);
		if (!collect_if_done(pool, number))
			break;
		number = next;
	}
	if (number != MP__POOL_NONE)
		harvest_all(pool);
	if (pool->followers > 0)
		pthread_cond_broadcast(&pool->changed);
	return true;
}

MP__HOT void mp__pool_harvest(mp_pool *pool)
{
	/* The leader may be about to sleep, and what it waits for was among these. */
	if (harvest(pool) && pool->leading)
		mp__pool_nudge(pool);
}

/* Is the task in other hands than this worker's? A state that no worker writes is in nobody's. */
static bool is_with_others(mp_pool *pool, uint32_t number, uint32_t worker)
{
	uint64_t state = atomic_load_explicit(&pool->seg.slots[number].state, memory_order_acquire);
	uint32_t at = mp__pool_state_worker(state);

	if (mp__pool_state_generation(state) != pool->pending[number].generation)
		return false;
	switch (mp__pool_state_status(state)) {
	case MP__POOL_QUEUED:
		return true; /* or waits for being published again */
	case MP__POOL_RUNNING:
	case MP__POOL_DONE:
		return at != worker && at < pool->seg.n_workers;
	default:
		return false;
	}
}

static void trace_crash(mp_pool *pool, uint32_t number, const struct mp__death *death)
{
	char outcome[64];

	if (pool->trace_fd < 0 || !death)
		return;
	if (death->crash.signal)
		snprintf(outcome, sizeof(outcome), "crashed: signal %d", death->crash.signal);
	else
		snprintf(outcome, sizeof(outcome), "crashed: exit code %d", death->crash.exit_code);
	mp__pool_trace(pool, number,
		&(struct mp__trace_event){.phase = "X",
			.worker = (uint32_t)death->crash.worker,
			.begin_ns = death->started_ns,
			.end_ns = mp__now_ns(),
			.outcome = outcome,
			.result = -EOWNERDEAD});
}

/* Did it die of a limit of the task? Then `why` says of which. */
static bool ran_out(
	const struct mp__pool_extra *extra, const struct mp__death *death, char *why, size_t size)
{
	if (!extra || death->crash.signal != SIGKILL || death->started_ns == 0)
		return false;
	const struct rusage *u = &death->crash.usage;
	int64_t cpu_us = (u->ru_utime.tv_sec + u->ru_stime.tv_sec) * INT64_C(1000000) +
			 u->ru_utime.tv_usec + u->ru_stime.tv_usec - death->cpu_us;
	int64_t ran_ns = mp__now_ns() - death->started_ns;
	if (extra->cpu_ms > 0 && death->crash.usage_known &&
		cpu_us + CPU_SLACK_US >= (int64_t)extra->cpu_ms * 1000) {
		snprintf(why, size, "it used more than its %u ms of CPU time", extra->cpu_ms);
		return true;
	}
	if (extra->timeout_ms > 0 && ran_ns >= (int64_t)extra->timeout_ms * 1000000) {
		snprintf(why, size, "it ran longer than its %u ms", extra->timeout_ms);
		return true;
	}
	return false;
}

/* Dead for good: say so, with what there is of evidence. */
static void set_aside(
	mp_pool *pool, uint32_t number, const char *why, const struct mp__death *death)
{
	const struct mp__pool_extra *extra = pool->pending[number].extra;
	char limit[64] = "";
	char text[MP__DETAIL_SIZE];
	bool late = death && ran_out(extra, death, limit, sizeof(limit));

	if (extra && extra->deaths > 1)
		snprintf(text, sizeof(text),
			"set aside after it killed %d workers; the last one: %s%s%.140s",
			extra->deaths, limit, late ? ": " : "", why);
	else
		snprintf(text, sizeof(text), "%s%s%.180s", limit, late ? ": " : "", why);
	mp__pool_end(pool, number, MP_FUTURE_CRASHED, late ? -ETIME : -EOWNERDEAD, text);
}

/* The task in the slot has lost its worker. */
static void crash(mp_pool *pool, uint32_t number, const char *why, const struct mp__death *death)
{
	struct mp__pool_pending *p = &pool->pending[number];

	/* It may have died while it wrote a long result. */
	p->result_paid = true;
	trace_crash(pool, number, death);
	if (p->cancelled) {
		mp__pool_end(pool, number, MP_FUTURE_CANCELLED, -ECANCELED,
			"the task was cancelled, and its worker killed");
		return;
	}
	if (death && mp__future_is_wanted(p->future)) {
		mp_crash known = death->crash;
		mp__pool_task_name(pool, number, known.task_name, sizeof(known.task_name));
		mp__future_add_crash(p->future, &known);
	}
	if (p->extra)
		p->extra->deaths++;
	if (death && p->extra && p->extra->retries > 0 && !p->told) {
		p->extra->retries--;
		mp__pool_requeue(pool, number);
		return;
	}
	set_aside(pool, number, why, death);
}

void mp__pool_bury(mp_pool *pool, uint32_t worker, const char *why, const struct mp__death *death)
{
	mp__pool_harvest(pool);
	for (uint32_t i = 0; i < pool->n_fresh; i++) {
		if (!pool->pending[i].active || is_with_others(pool, i, worker) ||
			collect_if_done(pool, i))
			continue;
		crash(pool, i, why, death);
	}
	mp__returns_sweep(pool);
	pthread_cond_broadcast(&pool->changed);
}

void mp__pool_end_all(mp_pool *pool, enum mp_future_state state, int result, const char *why)
{
	for (uint32_t i = 0; i < pool->n_fresh; i++) {
		if (pool->pending[i].active && !collect_if_done(pool, i))
			mp__pool_end(pool, i, state, result, why);
	}
	mp__returns_sweep(pool);
	pthread_cond_broadcast(&pool->changed);
}

/* Has something finished, looking for a short while? Given up soon where it does not pay. */
static bool spin(mp_pool *pool)
{
	struct mp__pool_header *header = pool->seg.header;

	if (!header->may_spin ||
		atomic_exchange_explicit(&pool->rung_asleep, false, memory_order_relaxed))
		return false;
	for (uint32_t i = 0; i < pool->spin; i++) {
		if (atomic_load_explicit(&header->done, memory_order_relaxed) != MP__POOL_NONE) {
			pool->spin = pool->spin * 2 < SPIN_MAX ? pool->spin * 2 : SPIN_MAX;
			return true;
		}
		mp__spin_relax();
	}
	pool->spin = pool->spin / 2 > SPIN_MIN ? pool->spin / 2 : SPIN_MIN;
	return false;
}

/*
 * Announce the sleep, then look once more. Partner: a worker pushes on `done`, then looks at
 * owner_waiting; all sequentially consistent, so that one of the two sees the other.
 */
static bool may_sleep(mp_pool *pool, bool bulk)
{
	struct mp__pool_header *header = pool->seg.header;
	uint32_t waiting = atomic_load_explicit(&header->owner_waiting, memory_order_relaxed);

	atomic_store(&header->owner_waiting, ((waiting | (MP__POOL_WAITING_STEP - 1)) + 1) |
						     MP__POOL_SLEEPS | (bulk ? MP__POOL_BULK : 0) |
						     (pool->napping ? MP__POOL_NAPS : 0));
	/* If a spinner was to take what is still there: it may be stopped. Who sleeps looks again. */
	uint64_t tail = atomic_load(&header->tail);
	bool queued = atomic_load(&header->head) < tail;
	if (queued && atomic_load(&pool->rung) != tail) {
		atomic_store(&pool->rung, tail);
		mp__pool_ring_one(header);
	}
	/* In bulk, what is queued now has yet to run out: whoever sees that wakes us. */
	return (bulk && queued) || atomic_load(&header->done) == MP__POOL_NONE;
}

/* Then it is no use to look for the next result without sleeping. */
static bool is_bulk_at_work(mp_pool *pool, bool bulk)
{
	struct mp__pool_header *header = pool->seg.header;

	return bulk && atomic_load_explicit(&header->head, memory_order_relaxed) <
			       atomic_load_explicit(&header->tail, memory_order_relaxed);
}

static int64_t roughly_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &t);
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

MP__HOT bool mp__pool_has_looked(const mp_pool *pool)
{
	return roughly_now() - pool->looked_ns < LOOK_MS * INT64_C(1000000);
}

/* The lock is given up while workers are started. */
static void see_to_crew(mp_pool *pool)
{
	if (!pool->closing)
		mp__pool_crew_fill(pool);
	if (pool->resend && !pool->closing)
		mp__pool_resend(pool);
}

/* What epoll_wait() has found. */
static void attend(mp_pool *pool, const struct epoll_event *events, int n)
{
	uint64_t count;

	pool->looked_ns = roughly_now();
	for (int i = 0; i < n && !pool->closing; i++) {
		if (events[i].data.u32 != MP__POOL_NONE)
			mp__pool_worker_ended(pool, events[i].data.u32);
		else if (read(pool->eventfd, &count, sizeof(count)) < 0)
			continue; /* emptied already */
	}
	see_to_crew(pool);
}

/*
 * The first sleep of a wait is a nap: on one word, where workers' ends are heard of only while we are
 * there already. So it is short, and not taken when there is more to hear than of results.
 */
static bool may_nap(mp_pool *pool)
{
	return pool->n_pending > 0 && pool->watchers == 0 && !pool->stopping && !pool->resend &&
	       pool->n_alive >= mp__pool_crew_wanted(pool) && mp__pool_has_looked(pool);
}

static void nap(mp_pool *pool, mp__deadline deadline)
{
	struct mp__pool_header *header = pool->seg.header;

	mp__futex_wait(&header->nap, 0, mp__deadline_slice(deadline, LOOK_MS));
}

/* The leader's turn: sleep until something happens, without the lock, and see to dead workers. */
MP__HOT static void lead(mp_pool *pool, mp__deadline deadline)
{
	struct mp__pool_header *header = pool->seg.header;
	struct epoll_event events[EVENTS];
	int n = 0;
	bool late = mp__deadline_passed(deadline);

	pool->leading = true;
	pool->napping = !late && may_nap(pool);
	/* Under the lock: a nudge may come before we sleep. */
	if (pool->napping)
		atomic_store(&header->nap, 0);
	/* For one who wants all that there is, and if nobody else waits. */
	bool bulk = pool->bulk > 0 && pool->followers == 0 && pool->watchers == 0;
	pool->leading_bulk = bulk;
	pthread_mutex_unlock(&pool->lock);
	if (late || ((is_bulk_at_work(pool, bulk) || !spin(pool)) && may_sleep(pool, bulk))) {
		if (pool->napping)
			nap(pool, deadline);
		else
			n = epoll_wait(pool->epoll, events, EVENTS, mp__deadline_poll_ms(deadline));
	}
	pthread_mutex_lock(&pool->lock);
	if (pool->watchers == 0) /* they want to hear on */
		atomic_fetch_and_explicit(
			&header->owner_waiting, ~MP__POOL_SLEEPS, memory_order_relaxed);
	pool->leading_bulk = false;
	/* From here on a nudge writes to the eventfd, for the next sleep. */
	bool napped = pool->napping;
	pool->napping = false;
	if (napped && atomic_load_explicit(&header->done, memory_order_relaxed) == MP__POOL_NONE)
		pool->looked_ns = 0; /* Perhaps a death woke us: the next sleep hears of all. */
	if (napped)
		see_to_crew(pool); /* or somebody who wants a worker */
	else
		attend(pool, events, n);
	pool->leading = false;
	if (pool->closing)
		pthread_cond_broadcast(&pool->changed);
}

void mp__pool_turn(mp_pool *pool)
{
	struct epoll_event events[EVENTS];

	pool->leading = true;
	do {
		int n = epoll_wait(pool->epoll, events, EVENTS, 0);
		attend(pool, events, n);
		if (pool->closing)
			break;
		(void)harvest(pool);
	} while (pool->watchers > 0 && !may_sleep(pool, false));
	pool->leading = false;
	if (pool->closing || pool->followers > 0)
		pthread_cond_broadcast(&pool->changed);
}

void mp__pool_nudge(mp_pool *pool)
{
	const uint64_t one = 1;

	pthread_cond_broadcast(&pool->changed);
	if (!pool->leading)
		return;
	if (pool->napping) {
		atomic_store(&pool->seg.header->nap, MP__POOL_AWAKE);
		mp__futex_wake(&pool->seg.header->nap, 1);
		return;
	}
	/* It can fail only when the counter is full, and then the leader wakes anyway. */
	if (write(pool->eventfd, &one, sizeof(one)) < 0)
		return;
}

static void follow(mp_pool *pool, mp__deadline deadline)
{
	pool->followers++;
	if (pool->leading_bulk)
		mp__pool_nudge(pool); /* it shall hear of each task from now on */
	if (deadline.ns == INT64_MAX) {
		pthread_cond_wait(&pool->changed, &pool->lock);
	} else {
		struct timespec until = mp__deadline_timespec(deadline);
		pthread_cond_timedwait(&pool->changed, &pool->lock, &until);
	}
	pool->followers--;
}

MP__HOT int mp__pool_wait(
	mp_pool *pool, mp__pool_condition *condition, void *argument, mp__deadline deadline)
{
	int r = 0;

	for (bool looked = false;; looked = true) {
		if (!pool->closed)
			mp__pool_harvest(pool);
		if (mp__callback_wanted(pool)) {
			pthread_mutex_unlock(&pool->lock);
			mp__callback_run(pool);
			pthread_mutex_lock(&pool->lock);
		}
		if (condition(pool, argument))
			break;
		if (pool->closed) {
			r = -EPIPE;
			break;
		}
		if (looked && mp__deadline_passed(deadline)) {
			r = -ETIMEDOUT;
			break;
		}
		if (pool->leading || pool->closing)
			follow(pool, deadline);
		else
			lead(pool, deadline);
	}
	/* Who watches from outside hears on, though we may have taken what was to wake him. */
	while (pool->watchers > 0 && !pool->leading && !pool->closing && !may_sleep(pool, false))
		mp__pool_harvest(pool);
	/* Whoever leaves hands the lead on. */
	if (!pool->leading && pool->followers > 0)
		pthread_cond_signal(&pool->changed);
	return r;
}
