/* SPDX-License-Identifier: MIT */
/* What hangs CPython's pools, or breaks them for good: each costs the task that did it, and no other. */
#include <config.h>

#include "tests/support/pool.h"

#include "pool/pool.h"

#include <sched.h>
#include <sys/eventfd.h>

T_SUITE(pool_deadlock);

/* One of 50 tasks dies at this point; the others come out right, and the pool goes on. */
static void one_dies_at(const char *point, const char *action, const char *how)
{
	mp_future *futures[50];
	int crashed = 0;

	t_arm(point, action);
	mp_pool *pool = t_pool(2);
	for (int i = 0; i < 50; i++)
		futures[i] = t_submit(pool, t_square, MP_ARGS(mp_i64(i)));
	for (int i = 0; i < 50; i++) {
		mp_obj result;
		int r = mp_future_result(futures[i], T_TIMEOUT_MS, &result);
		cr_assert(r == -EOWNERDEAD || (r == 0 && mp_obj_i64(&result) == (int64_t)i * i));
		if (r < 0)
			cr_assert(strstr(mp_error_detail(), how), "%s", mp_error_detail());
		crashed += r < 0;
		mp_future_close(futures[i]);
	}
	cr_assert(t_fired() && crashed == 1, "%d crashed", crashed);
	t_expect_i64(t_submit(pool, t_square, MP_ARGS(mp_i64(3))), 9);
	t_pool_end(pool);
	t_disarm();
}

Test(pool_deadlock, test_crash_at_task_unpickle)
{
	one_dies_at("pool.decoding", "kill", "signal 9");
}

Test(pool_deadlock, test_exit_at_task_unpickle)
{
	one_dies_at("pool.decoding", "exit", "code 86");
}

Test(pool_deadlock, test_crash_during_result_pickle_on_worker)
{
	one_dies_at("pool.encoding", "kill", "signal 9");
}

Test(pool_deadlock, test_exit_during_result_pickle_on_worker)
{
	one_dies_at("pool.encoding", "exit", "code 86");
}

/* The channel that wakes the owner is full: nobody may wait for room in it. */
Test(pool_deadlock, test_gh105829_should_not_deadlock_if_wakeup_pipe_full)
{
	mp_pool *pool = t_pool(2);
	mp_future *futures[100];

	T_OK(eventfd_write(pool->eventfd, UINT64_MAX - 1));
	for (int i = 0; i < 100; i++)
		futures[i] = t_submit(pool, t_square, MP_ARGS(mp_i64(i)));
	for (int i = 0; i < 100; i++)
		t_expect_i64(futures[i], (int64_t)i * i);
	t_pool_end(pool);
}

/* Ends right after a cancellation, with one task running. */
Test(pool_deadlock, test_hang_gh94440)
{
	mp_pool *pool = t_pool(1);
	mp_future *first = t_submit(pool, t_square, MP_ARGS(mp_i64(2)));
	mp_future *second = t_submit(pool, t_square, MP_ARGS(mp_i64(3)));

	mp_future_cancel(second, 0);
	T_OK(mp_pool_shutdown(pool, MP_SHUTDOWN_CANCEL));
	T_OK(mp_pool_join(pool, T_TIMEOUT_MS));
	T_RESULT(mp_future_done(first), 1);
	T_RESULT(mp_future_done(second), 1);
	mp_future_close(first);
	mp_future_close(second);
	T_OK(mp_pool_close(pool));
}

Test(pool_deadlock, test_hang_issue12364)
{
	mp_pool *pool = t_pool(2);
	mp_future *futures[50];

	for (int i = 0; i < 50; i++)
		futures[i] = t_submit(pool, t_square, MP_ARGS(mp_i64(i)));
	T_OK(mp_pool_shutdown(pool, 0));
	for (int i = 0; i < 50; i++)
		t_expect_i64(futures[i], i * i);
	T_OK(mp_pool_join(pool, T_TIMEOUT_MS));
	T_OK(mp_pool_close(pool));
}
