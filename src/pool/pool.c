/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "pool/pool.h"

#include "base/cleanup.h"
#include "base/fds.h"
#include "base/hot.h"
#include "base/options.h"
#include "pool/bytes.h"
#include "pool/callback.h"
#include "pool/collect.h"
#include "pool/crew.h"
#include "pool/dispatch.h"
#include "pool/future.h"
#include "pool/group.h"
#include "pool/known.h"
#include "pool/returns.h"
#include "pool/trace.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#define PENDING_DEFAULT 65536

int mp__pool_check_origin(mp__origin origin, const char *what)
{
	if (mp__origin_is_here(origin))
		return 0;
	return mp_error_set(-ECHILD, "%s: the pool belongs to the parent process", what);
}

void mp__pool_ref(mp_pool *pool)
{
	atomic_fetch_add_explicit(&pool->refs, 1, memory_order_relaxed);
}

void mp__pool_unref(mp_pool *pool)
{
	if (atomic_fetch_sub_explicit(&pool->refs, 1, memory_order_acq_rel) > 1)
		return;
	if (mp__origin_is_here(
		    pool->origin)) { /* elsewhere a thread that is not there may hold it */
		pthread_mutex_destroy(&pool->lock);
		pthread_cond_destroy(&pool->changed);
	}
	mp_obj_free(&pool->initializer_args);
	free(pool->group_directory);
	free(pool->name);
	free(pool->places);
	free(pool->pending);
	free(pool->free_slots);
	free(pool->free_rooms);
	free(pool->known);
	free(pool);
}

static int check_options(mp_pool_options *o)
{
	if (o->workers < 0 || o->workers > (int)MP__POOL_WORKERS_MAX)
		return mp_error_set(-EINVAL, "a new pool: it has 1 to %u workers, not %d",
			MP__POOL_WORKERS_MAX, o->workers);
	if (o->max_pending < 0 || o->max_pending > (int)MP__POOL_PENDING_MAX)
		return mp_error_set(-EINVAL, "a new pool: max_pending is 1 to %u, not %d",
			MP__POOL_PENDING_MAX, o->max_pending);
	if (o->start_method != MP_START_DEFAULT && !mp_start_method_name(o->start_method))
		return mp_error_set(
			-EINVAL, "a new pool: there is no start method %d", o->start_method);
	if (o->start_method == MP_START_DEFAULT)
		o->start_method = mp_start_method_get();
	if (o->tasks_per_worker < 0 || o->idle_ms < 0)
		return mp_error_set(-EINVAL,
			"a new pool: tasks_per_worker %d or idle_ms %d is below 0",
			o->tasks_per_worker, o->idle_ms);
	if (o->worker_cpu < 0)
		return mp_error_set(
			-EINVAL, "a pool whose workers have %d %% of a CPU", o->worker_cpu);
	if (o->start_method == MP_START_THREAD && (o->worker_memory || o->worker_cpu))
		return mp_error_set(-ENOTSUP, "workers that are threads cannot be limited");
	if (o->initializer_args.type != MP_TYPE_LIST && o->initializer_args.type != MP_TYPE_NIL)
		return mp_error_set(-EINVAL,
			"a new pool: initializer_args is neither a list nor nil; use MP_ARGS()");
	if (o->workers == 0)
		o->workers = mp_cpu_count();
	if (o->workers > (int)MP__POOL_WORKERS_MAX)
		o->workers = (int)MP__POOL_WORKERS_MAX;
	if (o->max_pending == 0)
		o->max_pending = PENDING_DEFAULT;
	return 0;
}

/* Private memory: what mp__pool_unref() frees. */
static int make_tables(mp_pool *pool, const mp_pool_options *o)
{
	static _Atomic unsigned pools;
	char name[32];

	pool->number = atomic_fetch_add(&pools, 1) + 1;
	snprintf(name, sizeof(name), "Pool-%u", pool->number);
	pool->name = strndup(o->name ? o->name : name, 96);
	pool->places = calloc((size_t)o->workers, sizeof(*pool->places));
	pool->pending = calloc((size_t)o->max_pending, sizeof(*pool->pending));
	pool->free_slots = calloc((size_t)o->max_pending, sizeof(*pool->free_slots));
	if (!pool->name || !pool->places || !pool->pending || !pool->free_slots)
		return mp_error_set(-ENOMEM, "no memory for a pool");
	pool->start_method = o->start_method;
	pool->on_demand = o->on_demand || o->idle_ms > 0;
	pool->trace_fd = mp__trace_open(pool->name, o->workers);
	return mp_obj_copy(o->initializer_args, &pool->initializer_args);
}

static int make_channels(mp_pool *pool)
{
	struct epoll_event event = {.events = EPOLLIN, .data.u32 = MP__POOL_NONE};

	pool->eventfd = mp__fd_above_std(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
	if (pool->eventfd < 0)
		return mp__error_errno("a new pool: eventfd");
	pool->epoll = mp__fd_above_std(epoll_create1(EPOLL_CLOEXEC));
	if (pool->epoll < 0)
		return mp__error_errno("epoll_create1");
	if (epoll_ctl(pool->epoll, EPOLL_CTL_ADD, pool->eventfd, &event) < 0)
		return mp__error_errno("epoll_ctl");
	int r = mp__socket_pair(SOCK_SEQPACKET | SOCK_NONBLOCK, pool->cargo);
	return r < 0 ? r : mp__socket_pair(SOCK_SEQPACKET | SOCK_NONBLOCK, pool->returns);
}

/* What costs something goes; the struct stays as long as futures need it. */
static void give_up_resources(mp_pool *pool)
{
	for (uint32_t i = 0; pool->places && i < pool->seg.n_workers; i++)
		mp__pool_ungroup(&pool->places[i]);
	mp__pool_segment_close(&pool->seg);
	mp__fds_close(&pool->eventfd, 1);
	mp__fds_close(&pool->epoll, 1);
	mp__fds_close(&pool->trace_fd, 1);
	mp__fds_close(pool->cargo, 2);
	mp__fds_close(pool->returns, 2);
	while (pool->returned) {
		struct mp__returned *r = pool->returned;
		pool->returned = r->next;
		mp__returned_free(r, true);
	}
}

/* Whether one can be made decides for the whole pool. */
static void find_groups(mp_pool *pool, const mp_pool_options *o)
{
	char directory[PATH_MAX];
	struct mp__group first = {0};

	pool->worker_memory = o->worker_memory;
	pool->worker_cpu = o->worker_cpu;
	if ((o->worker_memory == 0 && o->worker_cpu == 0) ||
		mp__group_find("/proc/self/cgroup", "/sys/fs/cgroup", o->worker_memory > 0,
			o->worker_cpu > 0, directory) < 0)
		return;
	mp__group_sweep(directory);
	int fd =
		mp__group_make(directory, pool->number, 0, o->worker_memory, o->worker_cpu, &first);
	if (fd < 0)
		return;
	mp__fds_close(&fd, 1);
	mp__group_remove(&first);
	pool->group_directory = strdup(directory);
}

static int set_up(mp_pool *pool, const mp_pool_options *o)
{
	int r = make_tables(pool, o);

	if (r == 0)
		find_groups(pool, o);

	if (r < 0)
		return r;
	r = make_channels(pool);
	if (r < 0)
		return r;
	r = mp__pool_segment_create((uint32_t)o->workers, (uint32_t)o->max_pending, &pool->seg);
	if (r < 0)
		return r;
	if (o->initializer) {
		r = mp__pool_task_index(pool, o->initializer, &pool->seg.header->initializer);
		if (r < 0)
			return r;
	}
	pool->seg.header->tasks_per_worker = (uint32_t)o->tasks_per_worker;
	pool->seg.header->idle_ms = (uint32_t)o->idle_ms;
	pool->seg.header->may_spin = mp_cpu_count() > 1;
	mp__pool_segment_publish(&pool->seg);
	pthread_mutex_lock(&pool->lock);
	for (uint32_t i = 0; i < (uint32_t)o->workers && !pool->on_demand && r == 0; i++)
		r = mp__pool_hire(pool, i);
	pthread_mutex_unlock(&pool->lock);
	return r;
}

static int init_lock(mp_pool *pool)
{
	pthread_condattr_t attributes;
	int r = pthread_condattr_init(&attributes);

	if (r == 0)
		r = pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	if (r == 0)
		r = pthread_cond_init(&pool->changed, &attributes);
	if (r == 0)
		r = pthread_mutex_init(&pool->lock, NULL);
	pthread_condattr_destroy(&attributes);
	return r == 0 ? 0 : mp_error_set(-r, "making the lock of a pool: %s", mp_strerror(-r));
}

int mp_pool_new(const mp_pool_options *options, mp_pool **ret_pool)
{
	mp_pool_options o;
	int r = mp__options_load(&o, sizeof(o), 0, options);

	if (r < 0)
		return r;
	if (!ret_pool)
		return mp_error_set(-EINVAL, "new pool: nowhere to put it");
	r = check_options(&o);
	if (r < 0)
		return r;
	mp_pool *pool = calloc(1, sizeof(*pool));
	if (!pool)
		return mp_error_set(-ENOMEM, "no memory for a pool");
	pool->refs = 1;
	pool->origin = mp__origin_here();
	pool->spin = 256;
	pool->seg.fd = pool->seg.payload_fd = -1;
	pool->trace_fd = pool->eventfd = pool->epoll = pool->cargo[0] = pool->cargo[1] = -1;
	pool->returns[0] = pool->returns[1] = -1;
	r = init_lock(pool);
	if (r == 0)
		r = set_up(pool, &o);
	if (r < 0) {
		char why[MP__DETAIL_SIZE];
		snprintf(why, sizeof(why), "%s", mp_error_detail());
		if (pool->seg.header)
			mp__pool_dismiss(pool);
		give_up_resources(pool);
		mp__pool_unref(pool);
		return mp_error_set(r, "%s", why);
	}
	*ret_pool = pool;
	return 0;
}

int mp_pool_limited_by(mp_pool *pool)
{
	if (!pool)
		return mp_error_set(-EINVAL, "limits: no pool");
	int r = mp__pool_check_origin(pool->origin, "limits");
	if (r < 0)
		return r;
	if (pool->group_directory)
		return MP_LIMITED_BY_CGROUP;
	return pool->worker_memory ? MP_LIMITED_BY_RLIMIT : MP_LIMITED_BY_NOTHING;
}

int mp_pool_workers(mp_pool *pool)
{
	if (!pool)
		return mp_error_set(-EINVAL, "workers: no pool");
	int r = mp__pool_check_origin(pool->origin, "workers");
	return r < 0 ? r : (int)pool->seg.n_workers;
}

static int check_task_options(const mp_pool *pool, const mp_task_options *o)
{
	if (o->retries < 0 || o->timeout_ms < 0 || o->cpu_ms < 0)
		return mp_error_set(-EINVAL,
			"submitting: retries %d, timeout_ms %d or cpu_ms %d is below 0", o->retries,
			o->timeout_ms, o->cpu_ms);
	if (pool->start_method == MP_START_THREAD && (o->timeout_ms || o->cpu_ms || o->memory))
		return mp_error_set(-ENOTSUP,
			"submitting: a task whose worker is a thread cannot be limited; "
			"use processes, or leave the limits away");
	return 0;
}

MP__HOT int mp_pool_submit(mp_pool *pool, mp_task *task, mp_obj args, mp_future **ret_future)
{
	return mp_pool_submit_with(pool, task, args, NULL, ret_future);
}

/* Nobody else knows of the future yet, but its task may have ended. */
static int add_callback(mp_future *future, const mp_task_options *o, mp_future **ret_future)
{
	int r = o->callback ? mp_future_add_done_callback(future, o->callback, o->callback_data)
			    : 0;

	if (r < 0 || !ret_future)
		mp_future_close(future);
	else
		*ret_future = future;
	return r;
}

MP__HOT int mp_pool_submit_with(mp_pool *pool, mp_task *task, mp_obj args,
	const mp_task_options *options, mp_future **ret_future)
{
	mp_task_options o;

	if (!pool || !task)
		return mp_error_set(-EINVAL, "submit: no %s", pool ? "task" : "pool");
	int r = mp__pool_check_origin(pool->origin, "submit");
	if (r < 0)
		return r;
	r = mp__options_load(&o, sizeof(o), 0, options);
	if (r == 0)
		r = check_task_options(pool, &o);
	if (r < 0)
		return r;
	if (args.type != MP_TYPE_LIST && args.type != MP_TYPE_NIL)
		return mp_error_set(
			-EINVAL, "submit: the arguments are neither a list nor nil; use MP_ARGS()");

	struct mp__pool_bytes bytes;
	MP__CARGO(cargo);
	mp__pool_bytes_init(&bytes);
	r = mp__pool_bytes_put(&bytes, &args, &cargo);
	if (r == 0) {
		struct mp__pool_work work = {
			.task = task,
			.kind = MP__POOL_CALL,
			.args = bytes.data,
			.args_size = bytes.size,
			.cargo = &cargo,
			.options = options ? &o : NULL,
		};
		mp_future *future = NULL;
		bool wanted = ret_future || o.callback;
		r = mp__pool_dispatch(pool, &work, wanted ? &future : NULL);
		if (r == 0 && wanted)
			r = add_callback(future, &o, ret_future);
	}
	mp__pool_bytes_free(&bytes);
	return r;
}

MP__HOT int mp_pool_apply(
	mp_pool *pool, mp_task *task, mp_obj args, int timeout_ms, mp_obj *ret_result)
{
	char why[MP__DETAIL_SIZE];
	mp_future *future = NULL;
	mp__deadline deadline = mp__deadline_in(timeout_ms);
	int r = mp_pool_submit(pool, task, args, &future);

	if (r < 0)
		return r;
	r = mp__future_await(future, deadline);
	if (r == 0) {
		r = mp_future_result(future, MP_NOWAIT, ret_result);
	} else {
		mp_future_cancel(future, 0);
		mp_error_set(r, "apply: the task has not finished in time");
	}
	if (r == 0) {
		mp_future_close(future);
		return 0;
	}
	snprintf(why, sizeof(why), "%s", mp_error_detail());
	mp_future_close(future);
	return mp_error_set(r, "%s", why);
}

/* Callbacks that another thread is in count as well; our own frame cannot be waited for. */
static bool nothing_pending(mp_pool *pool, void *unused)
{
	(void)unused;
	return pool->n_pending == 0 && (pool->n_calling == 0 || mp__callback_is_inside());
}

static bool nobody_alive(mp_pool *pool, void *unused)
{
	(void)unused;
	return pool->n_alive == 0;
}

int mp_pool_join(mp_pool *pool, int timeout_ms)
{
	if (!pool)
		return mp_error_set(-EINVAL, "join: no pool");
	int r = mp__pool_check_origin(pool->origin, "join");
	if (r < 0)
		return r;
	if (mp__pool_is_inside(pool))
		return mp_error_set(-EDEADLK,
			"join: this is a task of the same pool, which would wait for itself");
	mp__deadline deadline = mp__deadline_in(timeout_ms);

	mp__pool_ref(pool); /* a callback may close it */
	pthread_mutex_lock(&pool->lock);
	pool->no_more = true;
	mp__pool_nudge(pool); /* who waits for room gets -EPIPE */
	r = mp__pool_wait(pool, nothing_pending, NULL, deadline);
	if (r == 0 && !pool->closed) {
		if (!pool->stopping) {
			pool->stopping = true;
			mp__pool_ring_all(pool);
		}
		r = mp__pool_wait(pool, nobody_alive, NULL, deadline);
	}
	uint32_t pending = pool->n_pending;
	uint32_t alive = pool->n_alive;
	bool closed = pool->closed;
	pthread_mutex_unlock(&pool->lock);
	mp__pool_unref(pool);
	if (r < 0 && !closed)
		return mp_error_set(r, "join: %u tasks are not finished and %u workers at work",
			pending, alive);
	return 0;
}

static void cancel_pending(mp_pool *pool)
{
	for (uint32_t i = 0; i < pool->n_fresh; i++) {
		uint64_t state = atomic_load(&pool->seg.slots[i].state);
		if (pool->pending[i].active && mp__pool_state_status(state) == MP__POOL_QUEUED)
			mp__pool_cancel(pool, i, 0);
	}
}

int mp_pool_shutdown(mp_pool *pool, int flags)
{
	if (!pool || (flags & ~MP_SHUTDOWN_CANCEL))
		return mp_error_set(-EINVAL, "shutdown: no pool, or unknown flags");
	int r = mp__pool_check_origin(pool->origin, "shutdown");
	if (r < 0)
		return r;
	mp__pool_ref(pool);
	pthread_mutex_lock(&pool->lock);
	pool->no_more = true;
	if (!pool->closed && !pool->closing) {
		mp__pool_harvest(pool);
		if (flags & MP_SHUTDOWN_CANCEL)
			cancel_pending(pool);
		pool->stopping = true;
		mp__pool_ring_all(pool);
	}
	mp__pool_nudge(pool);
	pthread_mutex_unlock(&pool->lock);
	mp__callback_run(pool);
	mp__pool_unref(pool);
	return 0;
}

/* The leader uses what goes now: have it come back, and nobody lead after it. */
static void take_over(mp_pool *pool)
{
	pool->no_more = true;
	pool->closing = true;
	while (pool->leading) {
		mp__pool_nudge(pool);
		pthread_cond_wait(&pool->changed, &pool->lock);
	}
}

/* Threads cannot be killed: what runs is told, the rest is cancelled. */
static void terminate_threads(mp_pool *pool)
{
	mp__pool_harvest(pool);
	cancel_pending(pool);
	mp__pool_tell_all(pool);
}

int mp_pool_terminate(mp_pool *pool)
{
	if (!pool)
		return mp_error_set(-EINVAL, "terminate: no pool");
	int r = mp__pool_check_origin(pool->origin, "terminate");
	if (r < 0)
		return r;
	mp__pool_ref(pool);
	pthread_mutex_lock(&pool->lock);
	pool->no_more = pool->stopping = true;
	if (pool->closing || pool->closed) {
		/* Somebody is at it already. */
	} else if (pool->start_method == MP_START_THREAD) {
		terminate_threads(pool);
	} else {
		take_over(pool);
		mp__pool_dismiss(pool);
		mp__pool_end_all(pool, MP_FUTURE_CANCELLED, -ECANCELED,
			"the pool was terminated before the task had finished");
		pool->closing = false;
	}
	mp__pool_nudge(pool);
	pthread_mutex_unlock(&pool->lock);
	mp__callback_run(pool);
	mp__pool_unref(pool);
	return 0;
}

/*
 * In a forked child: free memory, and leave the descriptors alone. Whoever closed all of them after
 * fork() may have others under the same numbers.
 */
static void forget(mp_pool *pool)
{
	for (uint32_t i = 0; i < pool->seg.n_workers; i++) {
		mp_process_close(pool->places[i].process);
		free(pool->places[i].group);
	}
	pool->seg.fd = pool->seg.payload_fd = -1;
	mp__pool_segment_close(&pool->seg);
	while (pool->returned) {
		struct mp__returned *r = pool->returned;
		pool->returned = r->next;
		mp__returned_free(r, false);
	}
	mp__pool_unref(pool);
}

int mp_pool_close(mp_pool *pool)
{
	if (!pool)
		return 0;
	int r = mp__pool_check_origin(pool->origin, "close");
	if (r < 0) {
		forget(pool);
		return r;
	}
	if (mp__pool_is_inside(pool))
		return mp_error_set(
			-EDEADLK, "close: this is a task of the same pool; close it outside");
	pthread_mutex_lock(&pool->lock);
	while (pool->closing) /* another thread terminates it */
		pthread_cond_wait(&pool->changed, &pool->lock);
	pool->no_more = true;
	if (pool->start_method == MP_START_THREAD) {
		/* They are waited for, and may wait for each other until then. */
		terminate_threads(pool);
		mp__pool_wait(pool, nobody_alive, NULL, MP__DEADLINE_NEVER);
	}
	take_over(pool);
	mp__pool_dismiss(pool);
	mp__pool_end_all(pool, MP_FUTURE_CANCELLED, -ECANCELED,
		"the pool was closed before the task had finished");
	give_up_resources(pool);
	pool->closed = true;
	pthread_cond_broadcast(&pool->changed);
	pthread_mutex_unlock(&pool->lock);
	mp__callback_run(pool);
	mp__pool_unref(pool);
	return 0;
}
