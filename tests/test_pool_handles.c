/* SPDX-License-Identifier: MIT */
/* What Python cannot do: locks, queues, values and the like as arguments of tasks. */
#include <config.h>

#include "tests/support/pool.h"

#include <mp.h>
#include <sched.h>
#include <signal.h>

T_SUITE(pool_handles);

static const int methods[] = {MP_START_FORK, MP_START_SPAWN, MP_START_FORKSERVER, MP_START_THREAD};
#define N_METHODS 4

static mp_pool *pool_by(int m)
{
	mp_pool *pool;

	T_OK(mp_pool_new(MP_POOL_OPTIONS(.workers = 2, .start_method = methods[m]), &pool));
	return pool;
}

/* Not atomic by itself: the lock makes it so. */
static int count_under_lock(int argc, const mp_obj *argv, mp_obj *ret)
{
	int64_t *count = mp_value_data(mp_obj_value(&argv[1]));

	(void)argc, (void)ret;
	for (int i = 0; i < 1000; i++) {
		int r = mp_lock_acquire(mp_obj_lock(&argv[0]), MP_FOREVER);
		if (r < 0)
			return r;
		++*(volatile int64_t *)count;
		mp_lock_release(mp_obj_lock(&argv[0]));
	}
	return 0;
}

Test(pool_handles, locks_and_values)
{
	for (int m = 0; m < N_METHODS; m++) {
		mp_pool *pool = pool_by(m);
		mp_lock *lock;
		mp_value *value;
		mp_future *f[8];
		T_OK(mp_lock_new(NULL, &lock));
		T_OK(mp_value_new('q', NULL, NULL, &value));
		for (int i = 0; i < 8; i++)
			f[i] = t_submit(
				pool, count_under_lock, MP_ARGS(mp_handle(lock), mp_handle(value)));
		for (int i = 0; i < 8; i++) {
			T_OK(mp_future_result(f[i], T_TIMEOUT_MS, NULL));
			mp_future_close(f[i]);
		}
		cr_assert_eq(*(int64_t *)mp_value_data(value), 8000);
		mp_value_close(value);
		mp_lock_close(lock);
		t_pool_end(pool);
	}
}

static int die_with_lock(int argc, const mp_obj *argv, mp_obj *ret)
{
	(void)argc, (void)ret;
	mp_lock_acquire(mp_obj_lock(&argv[0]), MP_FOREVER);
	raise(SIGKILL);
	return 0;
}

Test(pool_handles, lock_of_a_crashed_task_is_news_for_the_next)
{
	mp_pool *pool = t_pool(1);
	mp_lock *lock;

	T_OK(mp_lock_new(NULL, &lock));
	t_expect_error(t_submit(pool, die_with_lock, MP_ARGS(mp_handle(lock))), -EOWNERDEAD,
		MP_FUTURE_CRASHED, "signal 9");
	T_RESULT(mp_lock_acquire(lock, T_TIMEOUT_MS), MP_OWNER_DIED);
	T_OK(mp_lock_release(lock));
	mp_lock_close(lock);
	t_pool_end(pool);
}

static int pass_on(int argc, const mp_obj *argv, mp_obj *ret)
{
	mp_obj item;
	int r = mp_queue_get(mp_obj_queue(&argv[0]), MP_FOREVER, &item);

	(void)argc, (void)ret;
	if (r < 0)
		return r;
	r = mp_queue_put(mp_obj_queue(&argv[1]), mp_i64(mp_obj_i64(&item) * 2), MP_FOREVER);
	mp_obj_free(&item);
	return r;
}

Test(pool_handles, queues)
{
	for (int m = 0; m < N_METHODS; m++) {
		mp_pool *pool = pool_by(m);
		mp_queue *in;
		mp_queue *out;
		int64_t sum = 0;
		T_OK(mp_queue_new(NULL, &in));
		T_OK(mp_queue_new(NULL, &out));
		for (int i = 0; i < 20; i++) {
			T_OK(mp_pool_submit(
				pool, pass_on, MP_ARGS(mp_handle(in), mp_handle(out)), NULL));
			T_OK(mp_queue_put(in, mp_i64(i), T_TIMEOUT_MS));
		}
		for (int i = 0; i < 20; i++) {
			mp_obj item;
			T_OK(mp_queue_get(out, T_TIMEOUT_MS, &item));
			sum += mp_obj_i64(&item);
			mp_obj_free(&item);
		}
		cr_assert_eq(sum, 380);
		t_pool_end(pool);
		mp_queue_close(in);
		mp_queue_close(out);
	}
}

static int meet(int argc, const mp_obj *argv, mp_obj *ret)
{
	(void)argc, (void)ret;
	int r = mp_semaphore_acquire(mp_obj_semaphore(&argv[0]), MP_FOREVER);
	if (r < 0)
		return r;
	mp_event_set(mp_obj_event(&argv[1]));
	return mp_connection_send(mp_obj_connection(&argv[2]), mp_str("here"), MP_FOREVER);
}

Test(pool_handles, semaphores_events_and_connections)
{
	for (int m = 0; m < 3; m++) {
		mp_pool *pool = pool_by(m);
		mp_semaphore *semaphore;
		mp_event *event;
		mp_connection *ends[2];
		mp_obj word;
		T_OK(mp_semaphore_new(0, NULL, &semaphore));
		T_OK(mp_event_new(NULL, &event));
		T_OK(mp_connection_pair(NULL, &ends[0], &ends[1]));
		mp_future *f = t_submit(pool, meet,
			MP_ARGS(mp_handle(semaphore), mp_handle(event), mp_handle(ends[1])));
		cr_assert_eq(mp_event_is_set(event), 0);
		T_OK(mp_semaphore_release(semaphore));
		T_OK(mp_event_wait(event, T_TIMEOUT_MS));
		T_OK(mp_connection_recv(ends[0], T_TIMEOUT_MS, &word));
		cr_assert_str_eq(mp_obj_str(&word), "here");
		mp_obj_free(&word);
		T_OK(mp_future_result(f, T_TIMEOUT_MS, NULL));
		mp_future_close(f);
		t_pool_end(pool);
		for (int i = 0; i < 2; i++)
			mp_connection_close(ends[i]);
		mp_event_close(event);
		mp_semaphore_close(semaphore);
	}
}
