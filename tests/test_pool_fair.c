/* SPDX-License-Identifier: MIT */
/*
 * Beside a map without end nobody starves: what others submit, iterate over or loop over in the same pool
 * comes to its end while the map goes on. And who waits leaves nobody without a worker.
 */
#include <config.h>

#include "tests/support/pool.h"

#include "pool/pool.h"

#include <fcntl.h>
#include <mp/handle.h>
#include <mp/map.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <sys/mman.h>

T_SUITE(pool_fair);

enum { ITEMS = 200000, ROUNDS = 30 };

struct flood {
	mp_pool *pool;
	_Atomic bool stop;
	_Atomic int maps; /* that ended */
	int result;
	pthread_t thread;
};

/* One map after the other, each with more chunks than the pool has places. */
static void *map_without_end(void *argument)
{
	struct flood *f = argument;
	mp_obj *items = calloc(ITEMS, sizeof(*items));
	mp_obj *results = calloc(ITEMS, sizeof(*results));

	for (int i = 0; i < ITEMS; i++)
		items[i] = mp_i64(i);
	while (!atomic_load(&f->stop) && f->result == 0) {
		f->result = mp_pool_map(f->pool, t_square, items, ITEMS, 1, results);
		for (int i = 0; i < ITEMS && f->result == 0; i++)
			mp_obj_free(&results[i]);
		atomic_fetch_add(&f->maps, 1);
	}
	free(items);
	free(results);
	return NULL;
}

static void begin(struct flood *f, int start_method, int max_pending)
{
	*f = (struct flood){0};
	T_OK(mp_pool_new(MP_POOL_OPTIONS(.workers = 2, .start_method = start_method,
				 .max_pending = max_pending),
		&f->pool));
	T_OK(pthread_create(&f->thread, NULL, map_without_end, f));
	/* It is under way. */
	while (f->pool && mp_pool_apply(f->pool, t_square, MP_ARGS(mp_i64(2)), 0, NULL) != 0)
		;
}

static void end(struct flood *f)
{
	atomic_store(&f->stop, true);
	T_OK(pthread_join(f->thread, NULL));
	T_OK(f->result);
	t_pool_end(f->pool);
}

static void submit_beside(struct flood *f)
{
	for (int64_t i = 0; i < ROUNDS; i++) {
		mp_future *one;
		T_OK(mp_pool_submit_with(f->pool, t_square, MP_ARGS(mp_i64(i)),
			MP_TASK_OPTIONS(.retries = 1, .name = "beside"), &one));
		t_expect_i64(one, i * i);
	}
}

static int next(void *data, mp_obj *ret_item)
{
	int64_t *at = data;

	if (*at == ROUNDS)
		return 0;
	*ret_item = mp_i64((*at)++);
	return 1;
}

static void imap_beside(struct flood *f)
{
	int64_t at = 0;
	mp_imap *imap;
	mp_obj result;

	T_OK(mp_pool_imap(f->pool, t_square, next, &at, NULL, &imap));
	for (int64_t i = 0; i < ROUNDS; i++) {
		T_RESULT(mp_imap_next(imap, T_TIMEOUT_MS, &result), 1);
		cr_assert_eq(mp_obj_i64(&result), i * i);
		mp_obj_free(&result);
	}
	T_OK(mp_imap_next(imap, T_TIMEOUT_MS, &result));
	T_OK(mp_imap_close(imap));
}

static int count(const mp_range *range)
{
	atomic_fetch_add((_Atomic int *)range->context, (int)(range->end - range->begin));
	return 0;
}

static void loop_beside(struct flood *f, _Atomic int *counter)
{
	for (int i = 0; i < 3; i++) {
		atomic_store(counter, 0);
		T_OK(mp_pool_for(f->pool, count, 1000, (void *)counter, NULL));
		cr_assert_eq(atomic_load(counter), 1000);
	}
}

static _Atomic int *shared_counter(void)
{
	void *memory = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	cr_assert(memory != MAP_FAILED);
	return memory;
}

static void all_beside(int start_method, int max_pending)
{
	_Atomic int *counter = shared_counter();
	struct flood f;

	begin(&f, start_method, max_pending);
	submit_beside(&f);
	imap_beside(&f);
	loop_beside(&f, counter);
	end(&f);
	munmap((void *)counter, 4096);
}

Test(pool_fair, submit_imap_and_loops_beside_a_huge_map)
{
	all_beside(MP_START_FORK, 0);
}

/* The map takes every place as soon as one is free; so do the others. */
Test(pool_fair, submit_imap_and_loops_where_places_are_scarce)
{
	all_beside(MP_START_FORK, 64);
	all_beside(MP_START_FORK, 2);
}

Test(pool_fair, submit_imap_and_loops_among_threads)
{
	all_beside(MP_START_THREAD, 256);
}

struct waiter {
	mp_future *future;
	int result;
};

static void *wait_for_it(void *argument)
{
	struct waiter *w = argument;

	w->result = mp_future_result(w->future, T_TIMEOUT_MS, NULL);
	return NULL;
}

static int write_byte(int argc, const mp_obj *argv, mp_obj *ret)
{
	(void)argc, (void)ret;
	return write(mp_obj_fd(&argv[0]), "x", 1) == 1 ? 0 : -EIO;
}

/* The one needs the other, for which there is no worker yet; and somebody waits already. */
Test(pool_fair, task_on_demand_gets_its_worker_whoever_waits)
{
	for (int i = 0; i < 20; i++) {
		struct waiter w;
		pthread_t thread;
		mp_pool *pool;
		int ends[2];
		T_OK(pipe2(ends, O_CLOEXEC));
		T_OK(mp_pool_new(MP_POOL_OPTIONS(.workers = 3, .on_demand = true), &pool));
		w.future = t_submit(pool, t_read_byte, MP_ARGS(mp_fd(ends[0])));
		while (mp_future_running(w.future) != 1)
			sched_yield();
		T_OK(pthread_create(&thread, NULL, wait_for_it, &w));
		while (i % 2 && !(atomic_load(&pool->seg.header->owner_waiting) & MP__POOL_SLEEPS))
			sched_yield();
		T_OK(mp_pool_submit(pool, write_byte, MP_ARGS(mp_fd(ends[1])), NULL));
		T_OK(pthread_join(thread, NULL));
		T_OK(w.result);
		mp_future_close(w.future);
		t_pool_end(pool);
		close(ends[0]);
		close(ends[1]);
	}
}
