/* SPDX-License-Identifier: MIT */
/* Waiting for several futures, of one pool and of more, and taking them as they end. */
#include <config.h>

#include "tests/support/pool.h"

#include <fcntl.h>
#include <mp/handle.h>
#include <pthread.h>
#include <sched.h>
#include <sys/resource.h>

T_SUITE(future_wait);

/* Two workers, each held up until it is told. */
struct held {
	mp_pool *pools[2];
	mp_future *f[2];
	int ends[2][2];
};

static struct held held_up(bool two_pools)
{
	struct held h;

	h.pools[0] = t_pool(2);
	h.pools[1] = two_pools ? t_pool(2) : h.pools[0];
	for (int i = 0; i < 2; i++) {
		T_OK(pipe2(h.ends[i], O_CLOEXEC));
		h.f[i] = t_submit(h.pools[i], t_read_byte, MP_ARGS(mp_fd(h.ends[i][0])));
	}
	return h;
}

static void let_go(struct held *h, int i)
{
	cr_assert_eq(write(h->ends[i][1], "x", 1), 1);
}

static void end(struct held *h)
{
	for (int i = 0; i < 2; i++) {
		mp_future_close(h->f[i]);
		close(h->ends[i][0]);
		close(h->ends[i][1]);
	}
	t_pool_end(h->pools[0]);
	if (h->pools[1] != h->pools[0])
		t_pool_end(h->pools[1]);
}

Test(future_wait, test_20369)
{
	mp_pool *pool = t_pool(1);
	mp_future *f = t_submit(pool, t_square, MP_ARGS(mp_i64(3)));
	mp_future *both[] = {f, f};

	T_RESULT(mp_future_wait(both, 2, MP_WAIT_ALL, T_TIMEOUT_MS), 2);
	t_expect_i64(f, 9);
	t_pool_end(pool);
}

Test(future_wait, test_first_completed)
{
	for (int two_pools = 0; two_pools < 2; two_pools++) {
		struct held h = held_up(two_pools);

		T_RESULT(mp_future_wait(h.f, 2, MP_WAIT_FIRST, 10), -ETIMEDOUT);
		T_RESULT(mp_future_wait(h.f, 2, MP_WAIT_FIRST, MP_NOWAIT), -ETIMEDOUT);
		let_go(&h, 1);
		T_RESULT(mp_future_wait(h.f, 2, MP_WAIT_FIRST, T_TIMEOUT_MS), 1);
		T_RESULT(mp_future_state(h.f[1]), MP_FUTURE_DONE);
		/* test_first_completed_some_already_completed */
		T_RESULT(mp_future_wait(h.f, 2, MP_WAIT_FIRST, MP_NOWAIT), 1);
		T_RESULT(mp_future_wait(h.f, 2, MP_WAIT_ALL, 10), -ETIMEDOUT); /* test_timeout */
		cr_assert(strstr(mp_error_detail(), "1 of 2"), "%s", mp_error_detail());
		let_go(&h, 0);
		T_RESULT(mp_future_wait(h.f, 2, MP_WAIT_ALL, T_TIMEOUT_MS), 2);
		end(&h);
	}
}

Test(future_wait, test_first_exception)
{
	for (int two_pools = 0; two_pools < 2; two_pools++) {
		struct held h = held_up(two_pools);
		mp_future *f[] = {t_submit(h.pools[0], t_square, MP_ARGS(mp_i64(3))), h.f[0],
			h.f[1], t_submit(h.pools[1], t_fail_at_13, MP_ARGS(mp_i64(12)))};

		T_RESULT(mp_future_wait(f, 3, MP_WAIT_FIRST_ERROR, 10), -ETIMEDOUT);
		let_go(&h, 0);
		cr_assert(mp_future_wait(f, 4, MP_WAIT_FIRST_ERROR, T_TIMEOUT_MS) >= 1);
		T_RESULT(mp_future_state(f[3]), MP_FUTURE_FAILED);
		/* test_first_exception_one_already_failed */
		cr_assert(mp_future_wait(f, 4, MP_WAIT_FIRST_ERROR, MP_NOWAIT) >= 1);
		/* None fails: all have to end. */
		let_go(&h, 1);
		T_RESULT(mp_future_wait(f, 3, MP_WAIT_FIRST_ERROR, T_TIMEOUT_MS), 3);
		mp_future_close(f[0]);
		mp_future_close(f[3]);
		end(&h);
	}
}

Test(future_wait, test_all_completed)
{
	mp_pool *pools[3] = {t_pool(1), t_pool(2), t_pool(1)};
	mp_future *f[300];

	for (int i = 0; i < 300; i++)
		f[i] = t_submit(pools[i % 3], t_square, MP_ARGS(mp_i64(i)));
	T_RESULT(mp_future_wait(f, 300, MP_WAIT_ALL, T_TIMEOUT_MS), 300);
	for (int i = 0; i < 300; i++)
		t_expect_i64(f[i], (int64_t)i * i);
	for (int i = 0; i < 3; i++)
		t_pool_end(pools[i]);
}

Test(future_wait, misuse_is_an_error)
{
	mp_pool *pool = t_pool(1);
	mp_future *f = t_submit(pool, t_square, MP_ARGS(mp_i64(3)));
	mp_future *hole[] = {f, NULL};
	mp_as_completed *it;

	T_RESULT(mp_future_wait(NULL, 0, MP_WAIT_ALL, MP_NOWAIT), 0);
	T_RESULT(mp_future_wait(NULL, 1, MP_WAIT_ALL, MP_NOWAIT), -EINVAL);
	T_RESULT(mp_future_wait(&f, 1, 3, MP_NOWAIT), -EINVAL);
	T_RESULT(mp_future_wait(&f, 1, -1, MP_NOWAIT), -EINVAL);
	T_RESULT(mp_future_wait(hole, 2, MP_WAIT_ALL, MP_NOWAIT), -EINVAL);
	T_RESULT(mp_as_completed_new(hole, 2, &it), -EINVAL);
	T_RESULT(mp_as_completed_new(&f, 1, NULL), -EINVAL);
	T_RESULT(mp_as_completed_next(NULL, 0, &f), -EINVAL);
	T_OK(mp_as_completed_close(NULL));
	t_expect_i64(f, 9);
	t_pool_end(pool);
}

static void *wait_for_both(void *held)
{
	struct held *h = held;

	return (void *)(intptr_t)mp_future_wait(h->f, 2, MP_WAIT_ALL, T_TIMEOUT_MS);
}

/* Two threads sleep on the same pools in different ways; whoever collects wakes the other. */
Test(future_wait, who_waits_for_two_pools_and_who_waits_for_one_wake_each_other)
{
	for (int round = 0; round < 20; round++) {
		struct held h = held_up(true);
		pthread_t threads[3];
		void *result;

		for (int i = 0; i < 3; i++)
			T_OK(pthread_create(&threads[i], NULL, wait_for_both, &h));
		let_go(&h, round % 2);
		T_OK(mp_future_result(h.f[round % 2], T_TIMEOUT_MS, NULL));
		let_go(&h, 1 - round % 2);
		T_OK(mp_future_result(h.f[1 - round % 2], T_TIMEOUT_MS, NULL));
		for (int i = 0; i < 3; i++) {
			T_OK(pthread_join(threads[i], &result));
			cr_assert_eq((intptr_t)result, 2);
		}
		end(&h);
	}
}

Test(future_wait, pool_that_is_closed_ends_the_wait)
{
	struct held h = held_up(true);
	pthread_t thread;
	void *result;

	T_OK(pthread_create(&thread, NULL, wait_for_both, &h));
	T_OK(mp_pool_close(h.pools[0]));
	let_go(&h, 1);
	T_OK(pthread_join(thread, &result));
	cr_assert_eq((intptr_t)result, 2);
	h.pools[0] = h.pools[1];
	end(&h);
}

Test(future_wait, several_pools_need_a_descriptor)
{
	struct held h = held_up(true);
	struct rlimit before;
	mp_as_completed *it;

	T_OK(getrlimit(RLIMIT_NOFILE, &before));
	struct rlimit none = {.rlim_cur = 3, .rlim_max = before.rlim_max};
	T_OK(setrlimit(RLIMIT_NOFILE, &none));
	int waiting = mp_future_wait(h.f, 2, MP_WAIT_ALL, MP_NOWAIT);
	int making = mp_as_completed_new(h.f, 2, &it);
	T_OK(setrlimit(RLIMIT_NOFILE, &before));
	T_RESULT(waiting, -EMFILE);
	T_RESULT(making, -EMFILE);
	let_go(&h, 0);
	let_go(&h, 1);
	T_RESULT(mp_future_wait(h.f, 2, MP_WAIT_ALL, T_TIMEOUT_MS), 2);
	end(&h);
}

/* --- as completed --------------------------------------------------------------------------------- */

static void expect_next(mp_as_completed *it, mp_future *expected)
{
	mp_future *f = NULL;

	T_RESULT(mp_as_completed_next(it, T_TIMEOUT_MS, &f), 1);
	cr_assert_eq(f, expected);
}

Test(future_wait, test_no_timeout)
{
	for (int two_pools = 0; two_pools < 2; two_pools++) {
		struct held h = held_up(two_pools);
		mp_future *failed = t_submit(h.pools[0], t_fail_at_13, MP_ARGS(mp_i64(12)));
		mp_future *cancelled = t_submit(h.pools[1], t_square, MP_ARGS(mp_i64(1)));
		mp_future *f[] = {h.f[0], failed, h.f[1], cancelled};
		mp_future *next;
		mp_as_completed *it;

		if (two_pools)
			T_RESULT(mp_future_error(failed, T_TIMEOUT_MS, NULL), 1);
		int taken_back = mp_future_cancel(cancelled, 0);
		T_OK(mp_as_completed_new(f, 4, &it));
		if (two_pools && taken_back == 1) {
			expect_next(it, failed);
			expect_next(it, cancelled);
		}
		if (two_pools && taken_back == 1)
			T_RESULT(mp_as_completed_next(it, MP_NOWAIT, &next), -ETIMEDOUT);
		mp_as_completed_close(it);
		let_go(&h, 1);
		T_OK(mp_future_result(h.f[1], T_TIMEOUT_MS, NULL));
		let_go(&h, 0);
		T_RESULT(mp_future_wait(f, 4, MP_WAIT_ALL, T_TIMEOUT_MS), 4);
		T_OK(mp_as_completed_new(f, 4, &it));
		for (int i = 0; i < 4; i++) /* finished before: in the order given */
			expect_next(it, f[i]);
		T_RESULT(mp_as_completed_next(it, MP_NOWAIT, &next), 0);
		mp_as_completed_close(it);
		mp_future_close(failed);
		mp_future_close(cancelled);
		end(&h);
	}
}

Test(future_wait, futures_come_in_the_order_of_their_ends)
{
	for (int two_pools = 0; two_pools < 2; two_pools++) {
		struct held h = held_up(two_pools);
		mp_as_completed *it;
		mp_future *next = NULL;

		T_OK(mp_as_completed_new(h.f, 2, &it));
		let_go(&h, 1);
		expect_next(it, h.f[1]);
		/* test_future_times_out, test_correct_timeout_exception_msg */
		T_RESULT(mp_as_completed_next(it, 10, &next), -ETIMEDOUT);
		cr_assert(strstr(mp_error_detail(), "1 (of 2)"), "%s", mp_error_detail());
		let_go(&h, 0);
		expect_next(it, h.f[0]);
		T_RESULT(mp_as_completed_next(it, MP_FOREVER, &next), 0);
		mp_as_completed_close(it);
		end(&h);
	}
}

Test(future_wait, test_duplicate_futures)
{
	struct held h = held_up(false);
	mp_future *thrice[] = {h.f[0], h.f[1], h.f[0], h.f[0]};
	mp_as_completed *it;
	mp_future *next;

	T_OK(mp_as_completed_new(thrice, 4, &it));
	let_go(&h, 0);
	expect_next(it, h.f[0]);
	let_go(&h, 1);
	expect_next(it, h.f[1]);
	T_RESULT(mp_as_completed_next(it, MP_FOREVER, &next), 0);
	mp_as_completed_close(it);
	end(&h);
}

Test(future_wait, iterator_may_be_closed_early)
{
	struct held h = held_up(true);
	mp_as_completed *it;

	T_OK(mp_as_completed_new(h.f, 2, &it));
	mp_as_completed_close(it);
	let_go(&h, 0);
	let_go(&h, 1);
	T_RESULT(mp_future_wait(h.f, 2, MP_WAIT_ALL, T_TIMEOUT_MS), 2);
	T_OK(mp_as_completed_new(NULL, 0, &it));
	mp_future *next;
	T_RESULT(mp_as_completed_next(it, MP_FOREVER, &next), 0);
	mp_as_completed_close(it);
	end(&h);
}

static int use_in_child(void *argument)
{
	struct held *h = argument;
	mp_as_completed *it;

	T_CHECK(mp_future_wait(h->f, 2, MP_WAIT_ALL, 0) == -ECHILD);
	T_CHECK(mp_as_completed_new(h->f, 2, &it) == -ECHILD);
	T_CHECK(mp_future_cancel(h->f[0], 0) == -ECHILD);
	T_CHECK(mp_future_error(h->f[0], 0, NULL) == -ECHILD);
	T_CHECK(mp_future_done(h->f[0]) == -ECHILD);
	return 0;
}

Test(future_wait, forked_child_gets_an_error)
{
	struct held h = held_up(false);
	struct t_child child = t_spawn(use_in_child, &h);

	t_expect_exit(&child, 0);
	let_go(&h, 0);
	let_go(&h, 1);
	end(&h);
}
