/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "pool/crew.h"

#include "base/cleanup.h"
#include "base/hot.h"
#include "base/log.h"
#include "pool/collect.h"
#include "pool/dispatch.h"
#include "pool/group.h"
#include "pool/loop.h"
#include "pool/worker.h"
#include "process/process.h"

#include <mp/handle.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

static int watch(mp_pool *pool, uint32_t number, mp_process *process)
{
	struct epoll_event event = {.events = EPOLLIN, .data.u32 = number};
	int fd = mp_process_sentinel(process);

	if (fd < 0)
		return fd;
	if (epoll_ctl(pool->epoll, EPOLL_CTL_ADD, fd, &event) < 0)
		return mp__error_errno("watching a worker");
	return 0;
}

/* It has ended or is about to; forget it. */
static void vacate(mp_pool *pool, uint32_t number)
{
	struct mp__pool_place *place = &pool->places[number];

	/* By hand: a forked child may hold a duplicate, and the entry would stay. */
	epoll_ctl(pool->epoll, EPOLL_CTL_DEL, mp_process_sentinel(place->process), NULL);
	mp_process_join(place->process, MP_FOREVER);
	mp_process_close(place->process);
	place->process = NULL;
	pool->n_alive--;
}

/* The way into the group of this place, which stays for the next worker; -1: there are no groups. */
static int open_group(mp_pool *pool, uint32_t number)
{
	struct mp__pool_place *place = &pool->places[number];

	if (!pool->group_directory)
		return -1;
	if (!place->group)
		place->group = calloc(1, sizeof(*place->group));
	if (!place->group)
		return mp_error_set(-ENOMEM, "no memory for a control group");
	return mp__group_make(pool->group_directory, pool->number, number + 1, pool->worker_memory,
		pool->worker_cpu, place->group);
}

void mp__pool_ungroup(struct mp__pool_place *place)
{
	if (place->group)
		mp__group_remove(place->group);
	free(place->group);
	place->group = NULL;
}

/* Start a process for this place. Without the lock: it can take milliseconds. */
static int start(mp_pool *pool, uint32_t number, mp_process **ret_process)
{
	struct mp__pool_worker *record = &pool->seg.workers[number];
	mp_process *process = NULL;
	mp_obj args[MP__POOL_WORKER_ARGS];
	char name[128];

	record->result = 0;
	record->detail[0] = '\0';
	atomic_store_explicit(&record->leave, 0, memory_order_relaxed);
	atomic_store_explicit(&record->piece, 0, memory_order_relaxed);
	atomic_store_explicit(&record->started_ns, 0, memory_order_relaxed);
	atomic_store_explicit(&record->status, MP__POOL_WORKER_STARTING, memory_order_release);
	snprintf(name, sizeof(name), "%s-worker-%u", pool->name, number + 1);
	args[MP__POOL_WORKER_SEGMENT] = mp_fd(pool->seg.fd);
	args[MP__POOL_WORKER_PAYLOAD] = mp_fd(pool->seg.payload_fd);
	args[MP__POOL_WORKER_EVENT] = mp_fd(pool->eventfd);
	args[MP__POOL_WORKER_CARGO] = mp_fd(pool->cargo[1]);
	args[MP__POOL_WORKER_RETURNS] = mp_fd(pool->returns[1]);
	args[MP__POOL_WORKER_NUMBER] = mp_i64(number);
	args[MP__POOL_WORKER_OWNER] = mp_i64(getpid());
	args[MP__POOL_WORKER_INITARGS] = pool->initializer_args;
	args[MP__POOL_WORKER_INITARGS].block = NULL; /* lent */
	args[MP__POOL_WORKER_POOL] =
		pool->start_method == MP_START_THREAD ? mp_u64((uintptr_t)pool) : mp_nil();
	MP__AUTO_CLOSE int group = open_group(pool, number);
	if (pool->group_directory && group < 0)
		return group;
	args[MP__POOL_WORKER_GROUP] = group >= 0 ? mp_fd(group) : mp_u64(pool->worker_memory);
	args[MP__POOL_WORKER_TRACE] = pool->trace_fd >= 0 ? mp_fd(pool->trace_fd) : mp_nil();
	int r = mp_process_new(mp__pool_worker_main, mp_list_of(args, MP__POOL_WORKER_ARGS),
		MP_PROCESS_OPTIONS(.name = name, .start_method = pool->start_method,
			.daemon = true),
		&process);
	if (r < 0)
		return r;
	mp__process_unlist(process);
	r = mp_process_start(process);
	if (r < 0)
		mp_process_close(process);
	else
		*ret_process = process;
	return r;
}

/* Nobody would see its end: it has to go at once. A thread cannot be killed, and wants the lock to go. */
static void dismiss_unwatched(mp_pool *pool, uint32_t number)
{
	mp_process *process = pool->places[number].process;

	if (pool->start_method == MP_START_THREAD) {
		atomic_store(&pool->seg.workers[number].leave, 1);
		mp__pool_ring_all(pool);
		pthread_mutex_unlock(&pool->lock);
		mp_process_join(process, MP_FOREVER);
		pthread_mutex_lock(&pool->lock);
	} else {
		mp_process_kill(process);
	}
	vacate(pool, number);
}

int mp__pool_hire(mp_pool *pool, uint32_t number)
{
	mp_process *process;

	pthread_mutex_unlock(&pool->lock);
	int r = start(pool, number, &process);
	pthread_mutex_lock(&pool->lock);
	if (r < 0)
		return r;
	pool->places[number].process = process;
	pool->n_alive++;
	r = watch(pool, number, process);
	if (r < 0) {
		dismiss_unwatched(pool, number);
		/* It may have been at work already. */
		mp__pool_bury(pool, number, "its worker could not be watched and was killed", NULL);
		pool->resend = true;
	}
	return r;
}

/* "worker Pool-1-worker-3 (pid 17) was killed by signal 9 (Killed)" */
static void describe_end(mp_process *process, char *text, size_t size)
{
	int code = 0;
	int r = mp_process_exit_code(process, &code);
	int n = snprintf(text, size, "worker %s (pid %d) ", mp_process_name(process),
		mp_process_pid(process));

	text += n;
	size -= (size_t)n;
	if (r < 0)
		snprintf(text, size, "ended, and its status is unknown");
	else if (code < 0)
		snprintf(text, size, "was killed by signal %d (%s)", -code,
			sigdescr_np(-code) ? sigdescr_np(-code) : "unknown");
	else
		snprintf(text, size, "exited with code %d", code);
}

static void take_evidence(mp_pool *pool, mp_process *process, uint32_t number, mp_crash *ret_crash)
{
	int code = 0;

	*ret_crash = (mp_crash){.pid = mp_process_pid(process), .worker = (int)number + 1};
	int r = mp_process_exit_code(process, &code);
	ret_crash->signal = r == 0 && code < 0 ? -code : 0;
	ret_crash->exit_code = r == 0 && code >= 0 ? code : -1;
	snprintf(ret_crash->worker_name, sizeof(ret_crash->worker_name), "%s",
		mp_process_name(process));
	mp__pool_lost_piece(&pool->seg, number, &ret_crash->begin, &ret_crash->end);
	ret_crash->usage_known = mp_process_usage(process, &ret_crash->usage) == 0;
}

/* It never got ready: note why, in the words of its initializer if it had any. */
static void note_failure(mp_pool *pool, uint32_t number, const char *end)
{
	struct mp__pool_worker *record = &pool->seg.workers[number];

	pool->failures++;
	if (atomic_load_explicit(&record->status, memory_order_acquire) == MP__POOL_WORKER_FAILED)
		snprintf(pool->failure, sizeof(pool->failure), "initializer failed with %d: %.210s",
			record->result, record->detail);
	else
		snprintf(pool->failure, sizeof(pool->failure), "%.200s before it was ready", end);
	pool->news = true;
}

/* A user's handler may call anything: never with the lock held. */
static void log_failure(mp_pool *pool)
{
	char text[sizeof(pool->failure)];

	memcpy(text, pool->failure, sizeof(text));
	pool->news = false;
	pthread_mutex_unlock(&pool->lock);
	mp__log(MP_LOG_WARNING, "pool", "%s: %s", pool->name, text);
	pthread_mutex_lock(&pool->lock);
}

void mp__pool_worker_ended(mp_pool *pool, uint32_t number)
{
	mp_process *process = number < pool->seg.n_workers ? pool->places[number].process : NULL;
	struct mp__death death;
	char end[224];
	char why[MP__DETAIL_SIZE];

	if (!process || mp_process_join(process, MP_NOWAIT) == -ETIMEDOUT)
		return;
	describe_end(process, end, sizeof(end));
	struct mp__group *group = pool->places[number].group;
	if (group && mp__group_has_killed(group))
		snprintf(end + strlen(end), sizeof(end) - strlen(end),
			", since it used more than its %llu bytes of memory,",
			(unsigned long long)pool->worker_memory);
	uint32_t status =
		atomic_load_explicit(&pool->seg.workers[number].status, memory_order_acquire);
	if (status == MP__POOL_WORKER_READY || status == MP__POOL_WORKER_LEAVING)
		pool->failures = 0;
	else if (!pool->stopping)
		note_failure(pool, number, end);
	uint32_t spinner = number + 1;
	atomic_compare_exchange_strong(&pool->seg.header->spinner, &spinner, 0);
	snprintf(why, sizeof(why), "%s while it ran this task", end);
	take_evidence(pool, process, number, &death.crash);
	death.started_ns = (int64_t)atomic_load(&pool->seg.workers[number].started_ns);
	death.cpu_us = (int64_t)atomic_load(&pool->seg.workers[number].cpu_us);
	vacate(pool, number);
	mp__pool_bury(pool, number, why, &death);
	/* It may have taken with it a wake-up, or a message with descriptors. */
	pool->resend = true;
}

MP__HOT uint32_t mp__pool_crew_wanted(mp_pool *pool)
{
	uint32_t places = pool->seg.n_workers;

	if (pool->told_all)
		return 0;
	if (!pool->on_demand && !pool->stopping)
		return places;
	return pool->n_pending < places ? pool->n_pending : places;
}

void mp__pool_crew_fill(mp_pool *pool)
{
	if (pool->news)
		log_failure(pool);
	uint32_t wanted = mp__pool_crew_wanted(pool);
	if (pool->broken || pool->n_alive >= wanted)
		return;
	uint32_t i = 0;
	while (i < pool->seg.n_workers && pool->n_alive < wanted &&
		pool->failures < MP__POOL_FAILURES && !pool->closing) {
		if (pool->places[i].process) {
			i++;
			continue;
		}
		int r = mp__pool_hire(pool, i);
		if (r == 0)
			continue;
		pool->failures++;
		snprintf(pool->failure, sizeof(pool->failure), "starting a worker failed: %.200s",
			*mp_error_detail() ? mp_error_detail() : mp_strerror(r));
		/* Later, as long as there is somebody to make a later. */
		if (pool->n_alive > 0)
			break;
	}
	if (pool->n_alive > 0 || pool->closing)
		return;
	pool->broken = true;
	mp__pool_end_all(pool, MP_FUTURE_CRASHED, -EOWNERDEAD, pool->failure);
}

void mp__pool_dismiss(mp_pool *pool)
{
	/* They may want the lock for their last steps. */
	bool threads = pool->start_method == MP_START_THREAD;
	if (threads)
		mp__pool_tell_all(pool);
	for (uint32_t i = 0; i < pool->seg.n_workers && threads; i++) {
		if (!pool->places[i].process)
			continue;
		pthread_mutex_unlock(&pool->lock);
		mp_process_join(pool->places[i].process, MP_FOREVER);
		pthread_mutex_lock(&pool->lock);
	}
	for (uint32_t i = 0; i < pool->seg.n_workers; i++) {
		if (pool->places[i].process)
			mp_process_kill(pool->places[i].process);
	}
	for (uint32_t i = 0; i < pool->seg.n_workers; i++) {
		if (pool->places[i].process)
			vacate(pool, i);
	}
}
