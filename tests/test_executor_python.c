/* SPDX-License-Identifier: MIT */
/* What CPython's own tests check of executors: how they end, and those with threads. See test_pool_python.c. */
#include <config.h>

#include "tests/support/pool.h"

#include "pool/pool.h"

#include <fcntl.h>
#include <mp.h>
#include <pthread.h>
#include <sched.h>

T_SUITE(executor_python);

static int get_thread(int argc, const mp_obj *argv, mp_obj *ret)
{
	(void)argc, (void)argv;
	*ret = mp_i64((int64_t)pthread_self());
	return 0;
}

static int get_name(int argc, const mp_obj *argv, mp_obj *ret)
{
	(void)argc, (void)argv;
	return mp_obj_copy(mp_str(mp_process_current_name()), ret);
}

static int poll_cancelled(int argc, const mp_obj *argv, mp_obj *ret)
{
	(void)argc, (void)argv, (void)ret;
	while (!mp_task_cancelled())
		sched_yield();
	return -ECANCELED;
}

static int64_t apply_i64(mp_pool *pool, mp_task *task, mp_obj args)
{
	mp_obj result;

	T_OK(mp_pool_apply(pool, task, args, T_TIMEOUT_MS, &result));
	int64_t value = mp_obj_i64(&result);
	mp_obj_free(&result);
	return value;
}

static void end_pool(mp_pool **pool)
{
	t_pool_end(*pool);
}

/* --- how they end ------------------------------------------------------------------------------- */

static void expect_all_end(int m)
{
	mp_pool *pool = t_pool_by(m, 3);

	for (int i = 0; i < 3; i++)
		T_OK(mp_pool_submit(pool, t_square, MP_ARGS(mp_i64(i)), NULL));
	T_OK(mp_pool_join(pool, T_TIMEOUT_MS));
	cr_assert_eq(pool->n_alive, 0);
	T_OK(mp_pool_close(pool));
}

Test(executor_python, test_threads_terminate)
{
	expect_all_end(3);
}

Test(executor_python, test_processes_terminate)
{
	for (int m = 0; m < T_PROCESSES; m++)
		expect_all_end(m);
}

Test(executor_python, test_context_manager_shutdown)
{
	for (int m = 0; m < T_ALL; m++) {
		mp_obj items[] = {mp_i64(1), mp_i64(2), mp_i64(3)};
		mp_obj results[3];
		__attribute__((cleanup(end_pool))) mp_pool *pool = t_pool_by(m, 5);
		T_OK(mp_pool_map(pool, t_square, items, 3, 0, results));
		cr_assert_eq(mp_obj_i64(&results[2]), 9);
	}
}

/* Python's runs what is queued; ours cancels it, and says so to whoever asks. */
Test(executor_python, test_del_shutdown)
{
	for (int m = 0; m < T_ALL; m++) {
		mp_pool *pool = t_pool_by(m, 1);
		mp_future *f = t_submit(pool, poll_cancelled, mp_nil());
		T_OK(mp_pool_close(pool));
		T_RESULT(mp_future_result(f, MP_NOWAIT, NULL), -ECANCELED);
		mp_future_close(f);
	}
}

Test(executor_python, test_shutdown_no_wait)
{
	for (int m = 0; m < T_ALL; m++) {
		mp_pool *pool = t_pool_by(m, 2);
		mp_future *f[20];
		for (int i = 0; i < 20; i++)
			f[i] = t_submit(pool, t_square, MP_ARGS(mp_i64(i)));
		T_OK(mp_pool_shutdown(pool, 0));
		for (int i = 0; i < 20; i++)
			t_expect_i64(f[i], (int64_t)i * i);
		t_pool_end(pool);
	}
}

/* Shutdown does not wait, and what runs goes on. */
Test(executor_python, test_hang_gh83386)
{
	for (int m = 0; m < T_ALL; m++) {
		mp_pool *pool = t_pool_by(m, 1);
		int ends[2];
		T_OK(pipe2(ends, O_CLOEXEC));
		mp_future *f = t_submit(pool, t_read_byte, MP_ARGS(mp_fd(ends[0])));
		T_OK(mp_pool_shutdown(pool, 0));
		T_RESULT(write(ends[1], "h", 1), 1);
		t_expect_i64(f, 'h');
		t_pool_end(pool);
		close(ends[0]);
		close(ends[1]);
	}
}

Test(executor_python, test_cancel_futures_wait_false)
{
	for (int m = 0; m < T_ALL; m++) {
		mp_pool *pool = t_pool_by(m, 1);
		mp_future *f = t_submit(pool, t_square, MP_ARGS(mp_i64(3)));
		T_OK(mp_pool_shutdown(pool, MP_SHUTDOWN_CANCEL));
		int r = mp_future_result(f, T_TIMEOUT_MS, NULL);
		cr_assert(r == 0 || r == -ECANCELED, "%d", r);
		mp_future_close(f);
		t_pool_end(pool);
	}
}

Test(executor_python, test_shutdown_deadlock_pickle)
{
	mp_pool *pool = t_pool(1);
	mp_future *f;

	T_RESULT(mp_pool_submit(pool, t_square, MP_ARGS(mp_str("\xff")), &f), -EILSEQ);
	T_OK(mp_pool_shutdown(pool, 0));
	t_pool_end(pool);
}

/* --- threads ------------------------------------------------------------------------------------ */

static void expect_name(mp_pool *pool, const char *prefix)
{
	mp_obj result;

	T_OK(mp_pool_apply(pool, get_name, mp_nil(), T_TIMEOUT_MS, &result));
	cr_assert(strncmp(mp_obj_str(&result), prefix, strlen(prefix)) == 0, "%s",
		mp_obj_str(&result));
	mp_obj_free(&result);
}

Test(executor_python, test_thread_names_assigned)
{
	mp_pool *pool;

	T_OK(mp_pool_new(MP_POOL_OPTIONS(.workers = 5, .start_method = MP_START_THREAD,
				 .name = "SpecialPool"),
		&pool));
	expect_name(pool, "SpecialPool-worker-");
	t_pool_end(pool);
}

Test(executor_python, test_thread_names_default)
{
	mp_pool *pool = t_pool_by(3, 5);

	expect_name(pool, "Pool-");
	t_pool_end(pool);
}

Test(executor_python, test_default_workers)
{
	mp_pool *pool;

	T_OK(mp_pool_new(MP_POOL_OPTIONS(.start_method = MP_START_THREAD), &pool));
	T_RESULT(mp_pool_workers(pool), mp_cpu_count());
	t_pool_end(pool);
}

Test(executor_python, test_idle_thread_reuse)
{
	mp_pool *pool;

	T_OK(mp_pool_new(
		MP_POOL_OPTIONS(.workers = 5, .start_method = MP_START_THREAD, .on_demand = true),
		&pool));
	int64_t thread = apply_i64(pool, get_thread, mp_nil());
	for (int i = 0; i < 3; i++)
		cr_assert_eq(apply_i64(pool, get_thread, mp_nil()), thread);
	cr_assert_eq(pool->n_alive, 1);
	t_pool_end(pool);
}

/* Nobody has to iterate: they run, and are there when the pool is joined. */
Test(executor_python, test_map_submits_without_iteration)
{
	mp_pool *pool = t_pool_by(3, 2);
	mp_obj items[100];
	mp_future *f;

	for (int i = 0; i < 100; i++)
		items[i] = mp_i64(i);
	T_OK(mp_pool_map_async(pool, t_square, items, 100, MP_MAP_OPTIONS(.chunk = 1), &f));
	T_OK(mp_pool_join(pool, T_TIMEOUT_MS));
	T_RESULT(mp_future_state(f), MP_FUTURE_DONE);
	mp_future_close(f);
	T_OK(mp_pool_close(pool));
}

/* A map that is late cancels what is left of it, the one that runs included: it is told. */
Test(executor_python, test_executor_map_current_future_cancel)
{
	mp_pool *pool = t_pool_by(3, 1);
	mp_obj items[5] = {mp_nil()};
	mp_obj results[5];

	T_RESULT(mp_pool_map_with(pool, poll_cancelled, items, 5,
			 MP_MAP_OPTIONS(.chunk = 1, .timeout_ms = 50), results),
		-ETIMEDOUT);
	t_pool_end(pool);
}

struct endless {
	mp_pool *pool;
	_Atomic bool stop;
	int result; /* the first that is none */
};

static void *submit_endlessly(void *argument)
{
	struct endless *e = argument;

	while (!atomic_load(&e->stop) && e->result == 0)
		e->result =
			mp_pool_apply(e->pool, t_square, MP_ARGS(mp_i64(1)), T_TIMEOUT_MS, NULL);
	return NULL;
}

Test(executor_python, test_hang_global_shutdown_lock)
{
	struct endless e = {.pool = t_pool_by(3, 2)};
	pthread_t thread;

	T_OK(pthread_create(&thread, NULL, submit_endlessly, &e));
	for (int i = 0; i < 20; i++) {
		mp_pool *pool = t_pool_by(0, 2);
		cr_assert_eq(apply_i64(pool, t_square, MP_ARGS(mp_i64(i))), (int64_t)i * i);
		t_pool_end(pool);
	}
	atomic_store(&e.stop, true);
	T_OK(pthread_join(thread, NULL));
	T_OK(e.result);
	t_pool_end(e.pool);
}
