/* SPDX-License-Identifier: MIT */
/* Pools of processes and of threads, used by several threads at once in every way. */
#include <config.h>

#include "tests/stress_check.h"
#include "tests/stress_shared.h"

#include <mp.h>

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#define THREADS 4
#define TASKS 50
#define TIMEOUT_MS 60000

static int square(int argc, const mp_obj *argv, mp_obj *ret)
{
	(void)argc;
	*ret = mp_i64(mp_obj_i64(&argv[0]) * mp_obj_i64(&argv[0]));
	return mp_task_cancelled() ? -ECANCELED : 0;
}

static int count_up(const mp_range *range)
{
	_Atomic int *cells = range->context;

	for (size_t i = range->begin; i < range->end; i++)
		atomic_fetch_add(&cells[i], 1);
	return 0;
}

static int next(void *data, mp_obj *item)
{
	int64_t *at = data;

	if (*at == TASKS)
		return 0;
	*item = mp_i64((*at)++);
	return 1;
}

static void called(mp_future *future, void *data)
{
	CHECK(mp_future_done(future) == 1);
	atomic_fetch_add((_Atomic int *)data, 1);
}

struct use {
	mp_pool *pool;
	_Atomic int *cells;
	_Atomic int calls;
};

static void use_futures(struct use *u)
{
	mp_future *f[TASKS];
	mp_as_completed *it;
	mp_future *next_one;

	for (int i = 0; i < TASKS; i++) {
		CHECK(mp_pool_submit_with(u->pool, square, MP_ARGS(mp_i64(i)),
			      MP_TASK_OPTIONS(.callback = called, .callback_data = &u->calls),
			      &f[i]) == 0);
		if (i % 5 == 0)
			CHECK(mp_future_cancel(f[i], 0) != -EINVAL);
	}
	CHECK(mp_as_completed_new(f, TASKS, &it) == 0);
	for (int i = 0; i < TASKS / 2; i++)
		CHECK(mp_as_completed_next(it, TIMEOUT_MS, &next_one) == 1);
	mp_as_completed_close(it);
	CHECK(mp_future_wait(f, TASKS, MP_WAIT_ALL, TIMEOUT_MS) == TASKS);
	for (int i = 0; i < TASKS; i++)
		mp_future_close(f[i]);
}

static void use_maps(struct use *u)
{
	mp_obj items[TASKS];
	mp_obj result;
	mp_future *f;
	mp_imap *imap;
	int64_t at = 0;

	for (int i = 0; i < TASKS; i++)
		items[i] = mp_i64(i);
	CHECK(mp_pool_map_async(u->pool, square, items, TASKS, MP_MAP_OPTIONS(.chunk = 3), &f) ==
		0);
	CHECK(mp_pool_imap(u->pool, square, next, &at, MP_IMAP_OPTIONS(.unordered = true), &imap) ==
		0);
	while (mp_imap_next(imap, TIMEOUT_MS, &result) == 1)
		mp_obj_free(&result);
	mp_imap_close(imap);
	CHECK(mp_future_result(f, TIMEOUT_MS, &result) == 0);
	mp_obj_free(&result);
	mp_future_close(f);
	CHECK(mp_pool_for(u->pool, count_up, TASKS, (void *)u->cells, NULL) == 0);
}

static void *use(void *argument)
{
	for (int i = 0; i < 5; i++) {
		use_futures(argument);
		use_maps(argument);
	}
	return NULL;
}

static void stress_method(int method)
{
	struct use u = {0};
	pthread_t threads[THREADS];

	u.cells = mmap(NULL, TASKS * sizeof(*u.cells), PROT_READ | PROT_WRITE,
		MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	CHECK(u.cells != MAP_FAILED);
	CHECK(mp_pool_new(MP_POOL_OPTIONS(.workers = 3, .start_method = method,
				  .tasks_per_worker = 40, .idle_ms = 1),
		      &u.pool) == 0);
	for (int i = 0; i < THREADS; i++)
		CHECK(pthread_create(&threads[i], NULL, use, &u) == 0);
	for (int i = 0; i < THREADS; i++)
		CHECK(pthread_join(threads[i], NULL) == 0);
	CHECK(mp_pool_join(u.pool, TIMEOUT_MS) == 0);
	CHECK(atomic_load(&u.calls) == THREADS * 5 * TASKS);
	for (int i = 0; i < TASKS; i++)
		CHECK(atomic_load(&u.cells[i]) == THREADS * 5);
	mp_pool_close(u.pool);
	munmap((void *)u.cells, TASKS * sizeof(*u.cells));
}

void stress_pools(void)
{
	stress_method(MP_START_FORK);
	stress_method(MP_START_THREAD);
}
