/* SPDX-License-Identifier: MIT */
/*
 * What CPython's own tests check of futures, wait() and as_completed(), under their names, as far as
 * test_future.c and test_future_wait.c do not have it.
 */
#include <config.h>

#include "tests/support/pool.h"

#include <fcntl.h>
#include <mp/handle.h>
#include <pthread.h>
#include <sched.h>

T_SUITE(future_python);

/* One future in each state; the pool has one worker, which waits for a byte. */
struct states {
	mp_pool *pool;
	int ends[2];
	mp_future *done;
	mp_future *failed;
	mp_future *running;
	mp_future *cancelled;
	mp_future *pending;
};

static struct states all_states(void)
{
	struct states s = {.pool = t_pool(1)};

	T_OK(pipe2(s.ends, O_CLOEXEC));
	s.done = t_submit(s.pool, t_square, MP_ARGS(mp_i64(3)));
	s.failed = t_submit(s.pool, t_fail_at_13, MP_ARGS(mp_i64(12)));
	s.running = t_submit(s.pool, t_read_byte, MP_ARGS(mp_fd(s.ends[0])));
	s.pending = t_submit(s.pool, t_square, MP_ARGS(mp_i64(4)));
	s.cancelled = t_submit(s.pool, t_square, MP_ARGS(mp_i64(5)));
	T_RESULT(mp_future_cancel(s.cancelled, 0), 1);
	while (mp_future_running(s.running) != 1)
		sched_yield();
	return s;
}

static void let_go(struct states *s)
{
	T_RESULT(write(s->ends[1], "x", 1), 1);
}

static void end(struct states *s)
{
	mp_future *all[] = {s->done, s->failed, s->running, s->cancelled, s->pending};

	t_pool_end(s->pool);
	for (int i = 0; i < 5; i++)
		mp_future_close(all[i]);
	close(s->ends[0]);
	close(s->ends[1]);
}

static void expect_states(int (*ask)(mp_future *), const struct states *s, int bits)
{
	mp_future *all[] = {s->done, s->failed, s->running, s->cancelled, s->pending};

	for (int i = 0; i < 5; i++)
		cr_assert(ask(all[i]) == (bits >> (4 - i) & 1), "%d", i);
}

Test(future_python, test_done)
{
	struct states s = all_states();

	expect_states(mp_future_done, &s, 0x1a); /* done, failed, cancelled */
	let_go(&s);
	end(&s);
}

Test(future_python, test_cancelled)
{
	struct states s = all_states();

	expect_states(mp_future_cancelled, &s, 0x02);
	let_go(&s);
	end(&s);
}

Test(future_python, test_result_with_timeout)
{
	struct states s = all_states();

	T_RESULT(mp_future_result(s.pending, MP_NOWAIT, NULL), -ETIMEDOUT);
	T_RESULT(mp_future_result(s.running, 5, NULL), -ETIMEDOUT);
	T_RESULT(mp_future_result(s.cancelled, 5, NULL), -ECANCELED);
	T_RESULT(mp_future_result(s.failed, 5, NULL), -EDOM);
	T_OK(mp_future_result(s.done, 5, NULL));
	let_go(&s);
	end(&s);
}

static void *let_go_later(void *argument)
{
	struct states *s = argument;

	/* The waiter sleeps, or is about to. */
	sched_yield();
	return write(s->ends[1], "x", 1) == 1 ? s : NULL;
}

Test(future_python, test_result_with_success)
{
	struct states s = all_states();
	pthread_t thread;
	mp_obj result;

	T_OK(pthread_create(&thread, NULL, let_go_later, &s));
	T_OK(mp_future_result(s.running, T_TIMEOUT_MS, &result));
	cr_assert_eq(mp_obj_i64(&result), 'x');
	mp_obj_free(&result);
	T_OK(pthread_join(thread, NULL));
	end(&s);
}

static int fail_after_byte(int argc, const mp_obj *argv, mp_obj *ret)
{
	int r = t_read_byte(argc, argv, ret);

	return r < 0 ? r : -EXDEV;
}

Test(future_python, test_exception_with_success)
{
	struct states s = all_states();
	mp_future *f = t_submit(s.pool, fail_after_byte, MP_ARGS(mp_fd(s.ends[0])));
	mp_failure failure;
	pthread_t thread;

	let_go(&s);
	T_OK(pthread_create(&thread, NULL, let_go_later, &s));
	T_RESULT(mp_future_error(f, T_TIMEOUT_MS, &failure), 1);
	cr_assert_eq(failure.code, -EXDEV);
	mp_obj_free(&failure.detail);
	T_OK(pthread_join(thread, NULL));
	mp_future_close(f);
	end(&s);
}

static void note_state(mp_future *future, void *data)
{
	*(int *)data = mp_future_state(future);
}

static void expect_called(mp_future *f, int state)
{
	int seen = -1;

	T_OK(mp_future_add_done_callback(f, note_state, &seen));
	cr_assert_eq(seen, state);
}

Test(future_python, test_done_callback_already_failed)
{
	struct states s = all_states();

	T_RESULT(mp_future_result(s.failed, T_TIMEOUT_MS, NULL), -EDOM);
	expect_called(s.failed, MP_FUTURE_FAILED);
	let_go(&s);
	end(&s);
}

Test(future_python, test_done_callback_already_cancelled)
{
	struct states s = all_states();

	expect_called(s.cancelled, MP_FUTURE_CANCELLED);
	let_go(&s);
	end(&s);
}

/* A callback of C cannot raise. One that goes wrong says so itself, and the others run. */
static void call_wrongly(mp_future *future, void *data)
{
	(void)data;
	mp_future_result(NULL, MP_NOWAIT, NULL);
	mp_future_cancel(future, 77);
}

Test(future_python, test_done_callback_raises)
{
	struct states s = all_states();
	int seen = -1;

	T_OK(mp_future_add_done_callback(s.running, call_wrongly, NULL));
	T_OK(mp_future_add_done_callback(s.running, note_state, &seen));
	let_go(&s);
	T_OK(mp_future_result(s.running, T_TIMEOUT_MS, NULL));
	cr_assert_eq(seen, MP_FUTURE_DONE);
	T_OK(mp_future_add_done_callback(
		s.running, call_wrongly, NULL)); /* ..._already_succeeded */
	end(&s);
}

/* --- wait ------------------------------------------------------------------------------------------ */

Test(future_python, test_first_completed_some_already_completed)
{
	struct states s = all_states();
	mp_future *f[] = {s.cancelled, s.running};

	T_RESULT(mp_future_wait(f, 2, MP_WAIT_FIRST, MP_NOWAIT), 1);
	T_RESULT(mp_future_state(s.running), MP_FUTURE_RUNNING);
	let_go(&s);
	end(&s);
}

Test(future_python, test_first_exception_some_already_complete)
{
	struct states s = all_states();
	mp_future *fails = t_submit(s.pool, fail_after_byte, MP_ARGS(mp_fd(s.ends[0])));
	mp_future *f[] = {s.done, fails, s.pending};

	let_go(&s);
	let_go(&s);
	cr_assert(mp_future_wait(f, 3, MP_WAIT_FIRST_ERROR, T_TIMEOUT_MS) >= 2);
	T_RESULT(mp_future_state(fails), MP_FUTURE_FAILED);
	mp_future_close(fails);
	end(&s);
}

Test(future_python, test_first_exception_one_already_failed)
{
	struct states s = all_states();
	mp_future *f[] = {s.failed, s.running};

	T_RESULT(mp_future_wait(f, 2, MP_WAIT_FIRST_ERROR, T_TIMEOUT_MS), 1);
	T_RESULT(mp_future_state(s.running), MP_FUTURE_RUNNING);
	let_go(&s);
	end(&s);
}

Test(future_python, test_timeout)
{
	struct states s = all_states();
	mp_future *f[] = {s.cancelled, s.failed, s.done, s.running};

	T_RESULT(mp_future_wait(f, 4, MP_WAIT_ALL, 50), -ETIMEDOUT);
	cr_assert(strstr(mp_error_detail(), "1 of 4"), "%s", mp_error_detail());
	let_go(&s);
	end(&s);
}

static int yield(int argc, const mp_obj *argv, mp_obj *ret)
{
	(void)argc, (void)argv, (void)ret;
	sched_yield();
	return 0;
}

Test(future_python, test_pending_calls_race)
{
	mp_pool *pool;
	mp_future *f[100];

	T_OK(mp_pool_new(MP_POOL_OPTIONS(.workers = 4, .start_method = MP_START_THREAD), &pool));
	for (int round = 0; round < 20; round++) {
		for (int i = 0; i < 100; i++)
			f[i] = t_submit(pool, yield, mp_nil());
		T_RESULT(mp_future_wait(f, 100, MP_WAIT_ALL, T_TIMEOUT_MS), 100);
		for (int i = 0; i < 100; i++)
			mp_future_close(f[i]);
	}
	t_pool_end(pool);
}

/* --- as_completed ------------------------------------------------------------------------------------ */

static void only_the_finished(int timeout_ms)
{
	struct states s = all_states();
	mp_future *f[] = {s.cancelled, s.running, s.done, s.failed};
	mp_as_completed *it;
	mp_future *next;
	int n = 0;
	int r;

	T_OK(mp_future_result(s.done, T_TIMEOUT_MS, NULL));
	T_RESULT(mp_future_result(s.failed, T_TIMEOUT_MS, NULL), -EDOM);
	T_OK(mp_as_completed_new(f, 4, &it));
	while ((r = mp_as_completed_next(it, timeout_ms, &next)) == 1) {
		cr_assert(next != s.running);
		n++;
	}
	T_RESULT(r, -ETIMEDOUT);
	cr_assert_eq(n, 3);
	cr_assert(strstr(mp_error_detail(), "1 (of 4)"), "%s", mp_error_detail());
	let_go(&s);
	T_RESULT(mp_as_completed_next(it, T_TIMEOUT_MS, &next), 1);
	cr_assert(next == s.running);
	T_OK(mp_as_completed_close(it));
	end(&s);
}

Test(future_python, test_future_times_out)
{
	only_the_finished(0);
	only_the_finished(50);
}

/* "2 (of 4) futures unfinished": the sentence counts. */
Test(future_python, test_correct_timeout_exception_msg)
{
	struct states s = all_states();
	mp_future *f[] = {s.cancelled, s.pending, s.running, s.done};
	mp_as_completed *it;
	mp_future *next;

	T_OK(mp_future_result(s.done, T_TIMEOUT_MS, NULL));
	T_OK(mp_as_completed_new(f, 4, &it));
	T_RESULT(mp_as_completed_next(it, 5, &next), 1);
	T_RESULT(mp_as_completed_next(it, 5, &next), 1);
	T_RESULT(mp_as_completed_next(it, 5, &next), -ETIMEDOUT);
	cr_assert(strstr(mp_error_detail(), "2 (of 4)"), "%s", mp_error_detail());
	T_OK(mp_as_completed_close(it));
	let_go(&s);
	end(&s);
}
