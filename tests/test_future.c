/* SPDX-License-Identifier: MIT */
/* Futures: states, cancelling, callbacks, errors with their details, the evidence of a crash. */
#include <config.h>

#include "tests/support/pool.h"

#include "base/fds.h"

#include <fcntl.h>
#include <mp/handle.h>
#include <pthread.h>
#include <sched.h>

T_SUITE(future);

/* A task that runs until a byte comes. */
struct gate {
	mp_pool *pool;
	mp_future *running;
	int ends[2];
};

static struct gate gate_of(int workers)
{
	struct gate g = {.pool = t_pool(workers)};

	T_OK(pipe2(g.ends, O_CLOEXEC));
	g.running = t_submit(g.pool, t_read_byte, MP_ARGS(mp_fd(g.ends[0])));
	while (mp_future_running(g.running) != 1)
		sched_yield();
	return g;
}

static void gate_open(struct gate *g)
{
	cr_assert_eq(write(g->ends[1], "x", 1), 1);
	t_expect_i64(g->running, 'x');
}

static void gate_end(struct gate *g)
{
	t_pool_end(g->pool);
	close(g->ends[0]);
	close(g->ends[1]);
}

static int poll_token(int argc, const mp_obj *argv, mp_obj *ret)
{
	(void)argc;
	mp__write_full(mp_obj_fd(&argv[0]), "r", 1);
	while (!mp_task_cancelled())
		sched_yield();
	*ret = mp_i64(5);
	return mp_obj_len(&argv[1]) ? mp_error_set(-ECANCELED, "as you like") : 0;
}

static int detailed(int argc, const mp_obj *argv, mp_obj *ret)
{
	(void)argc;
	int r = mp_obj_copy(MP_DICT(mp_str("where"), argv[0]), ret);
	return r < 0 ? r : mp_error_set(-EDOM, "the sentence, exactly: %% \xc3\xa4");
}

static int kill_self(int argc, const mp_obj *argv, mp_obj *ret)
{
	(void)argv, (void)ret;
	raise(SIGKILL);
	return argc;
}

/* --- states and cancelling ---------------------------------------------------------------------- */

Test(future, test_cancel)
{
	struct gate g = gate_of(1);
	mp_future *pending = t_submit(g.pool, t_square, MP_ARGS(mp_i64(3)));
	mp_future *behind = t_submit(g.pool, t_square, MP_ARGS(mp_i64(4)));

	T_RESULT(mp_future_cancel(pending, 2), -EINVAL);
	T_RESULT(mp_future_cancel(NULL, 0), -EINVAL);
	T_RESULT(mp_future_cancel(pending, 0), 1);
	T_RESULT(mp_future_cancel(pending, 0), 1);
	T_RESULT(mp_future_cancelled(pending), 1);
	T_RESULT(mp_future_done(pending), 1);
	t_expect_error(pending, -ECANCELED, MP_FUTURE_CANCELLED, "before it had begun");
	T_RESULT(mp_future_cancel(g.running, 0), 0);
	T_RESULT(mp_future_cancelled(g.running), 0);
	gate_open(&g);
	T_OK(mp_future_result(behind, T_TIMEOUT_MS, NULL));
	T_RESULT(mp_future_cancel(behind, 0), -EALREADY);
	t_expect_i64(behind, 16);
	gate_end(&g);
}

Test(future, test_running)
{
	struct gate g = gate_of(1);
	mp_future *pending = t_submit(g.pool, t_square, MP_ARGS(mp_i64(3)));

	T_RESULT(mp_future_running(g.running), 1);
	T_RESULT(mp_future_done(g.running), 0);
	T_RESULT(mp_future_running(pending), 0);
	T_RESULT(mp_future_done(pending), 0);
	T_RESULT(mp_future_done(NULL), -EINVAL);
	T_RESULT(mp_future_running(NULL), -EINVAL);
	T_RESULT(mp_future_cancelled(NULL), -EINVAL);
	gate_open(&g);
	t_expect_i64(pending, 9);
	gate_end(&g);
}

Test(future, cancelled_tasks_leave_their_places_to_others)
{
	struct gate g = gate_of(1);
	enum { N = 3000 };
	static mp_future *futures[N];

	for (int round = 0; round < 3; round++) {
		for (int i = 0; i < N; i++)
			futures[i] = t_submit(g.pool, t_square, MP_ARGS(mp_i64(i)));
		for (int i = 0; i < N; i += 2)
			T_RESULT(mp_future_cancel(futures[i], 0), 1);
		for (int i = 0; i < N; i += 2)
			mp_future_close(futures[i]);
		for (int i = 1; i < N; i += 2)
			if (round < 2)
				T_RESULT(mp_future_cancel(futures[i], 0), 1);
		for (int i = 1; i < N; i += 2)
			if (round < 2)
				mp_future_close(futures[i]);
	}
	gate_open(&g);
	for (int i = 1; i < N; i += 2)
		t_expect_i64(futures[i], (int64_t)i * i);
	gate_end(&g);
}

Test(future, running_task_hears_that_it_is_cancelled)
{
	mp_pool *pool = t_pool(1);
	int ends[2];
	char byte;

	T_RESULT(mp_task_cancelled(), 0);
	T_OK(pipe2(ends, O_CLOEXEC));
	for (int obedient = 0; obedient < 2; obedient++) {
		mp_future *f = t_submit(
			pool, poll_token, MP_ARGS(mp_fd(ends[1]), mp_str(obedient ? "yes" : "")));
		T_OK(t_read_full(ends[0], &byte, 1));
		T_RESULT(mp_future_cancel(f, 0), 0);
		if (obedient)
			t_expect_error(f, -ECANCELED, MP_FUTURE_CANCELLED, "as you like");
		else
			t_expect_i64(f, 5);
		/* The next one has not been told. */
		t_expect_i64(t_submit(pool, t_square, MP_ARGS(mp_i64(3))), 9);
	}
	t_pool_end(pool);
	close(ends[0]);
	close(ends[1]);
}

Test(future, cancelling_by_force_ends_the_worker_and_that_task_alone)
{
	struct gate g = gate_of(1);
	mp_future *next = t_submit(g.pool, t_square, MP_ARGS(mp_i64(3)));
	mp_crash crash;

	T_RESULT(mp_future_cancel(g.running, MP_CANCEL_KILL), 0);
	T_RESULT(mp_future_result(g.running, T_TIMEOUT_MS, NULL), -ECANCELED);
	T_RESULT(mp_future_crash(g.running, 0, &crash), -ENOENT);
	t_expect_error(g.running, -ECANCELED, MP_FUTURE_CANCELLED, "worker killed");
	t_expect_i64(next, 9);
	gate_end(&g);
}

/* Each kill is aimed at one task; all others have to come out right, however close they are. */
Test(future, cancelling_by_force_never_hits_another_task)
{
	mp_pool *pool = t_pool(2);
	enum { N = 300 };
	mp_future *futures[N];
	int cancelled = 0;

	for (int i = 0; i < N; i++)
		futures[i] = t_submit(pool, t_square, MP_ARGS(mp_i64(i)));
	for (int i = 0; i < N; i += 3)
		mp_future_cancel(futures[i], MP_CANCEL_KILL);
	for (int i = 0; i < N; i++) {
		mp_obj result;
		int r = mp_future_result(futures[i], T_TIMEOUT_MS, &result);
		cancelled += r == -ECANCELED;
		cr_assert(r == 0 || (i % 3 == 0 && r == -ECANCELED), "task %d: %d %s", i, r,
			mp_error_detail());
		if (r == 0)
			cr_assert_eq(mp_obj_i64(&result), (int64_t)i * i);
		mp_future_close(futures[i]);
	}
	cr_log_info("%d were cancelled", cancelled);
	t_pool_end(pool);
}

/* --- errors and crashes --------------------------------------------------------------------------- */

Test(future, test_async_error_callback)
{
	mp_pool *pool = t_pool(1);
	char big[3000];
	mp_failure failure = {.code = 77};

	memset(big, 'b', sizeof(big));
	for (size_t n = 0; n < sizeof(big); n += 999) {
		mp_future *f = t_submit(pool, detailed, MP_ARGS(mp_strn(big, n)));
		mp_obj where = mp_strn(big, n);
		T_RESULT(mp_future_error(f, T_TIMEOUT_MS, NULL), 1);
		T_RESULT(mp_future_error(f, MP_NOWAIT, &failure), 1);
		cr_assert_eq(failure.code, -EDOM);
		cr_assert_str_eq(failure.message, "the sentence, exactly: % \xc3\xa4");
		cr_assert(mp_obj_equal(mp_obj_get(&failure.detail, mp_str("where")), &where));
		mp_obj_free(&failure.detail);
		t_expect_error(f, -EDOM, MP_FUTURE_FAILED, failure.message);
	}
	mp_future *good = t_submit(pool, t_square, MP_ARGS(mp_i64(3)));
	failure.code = 77;
	T_RESULT(mp_future_error(good, T_TIMEOUT_MS, &failure), 0);
	cr_assert_eq(failure.code, 77);
	t_expect_i64(good, 9);
	T_RESULT(mp_future_error(NULL, 0, NULL), -EINVAL);
	t_pool_end(pool);
}

Test(future, test_exception_with_timeout)
{
	struct gate g = gate_of(1);

	T_RESULT(mp_future_error(g.running, 10, NULL), -ETIMEDOUT);
	T_RESULT(mp_future_error(g.running, MP_NOWAIT, NULL), -ETIMEDOUT);
	gate_open(&g);
	gate_end(&g);
}

Test(future, crash_comes_with_evidence)
{
	struct gate g = gate_of(1);
	mp_future *f = t_submit(g.pool, kill_self, mp_nil());
	mp_crash crash = {.pid = 77};

	T_RESULT(mp_future_crash(f, 0, &crash), -EAGAIN);
	gate_open(&g);
	T_RESULT(mp_future_result(f, T_TIMEOUT_MS, NULL), -EOWNERDEAD);
	T_RESULT(mp_future_crash(f, 1, &crash), -ENOENT);
	T_RESULT(mp_future_crash(f, -1, &crash), -EINVAL);
	T_RESULT(mp_future_crash(f, 0, NULL), -EINVAL);
	T_RESULT(mp_future_crash(NULL, 0, &crash), -EINVAL);
	cr_assert_eq(crash.pid, 77);
	T_OK(mp_future_crash(f, 0, &crash));
	cr_assert(crash.signal == SIGKILL && crash.exit_code == -1 && crash.worker == 1);
	cr_assert(strstr(crash.worker_name, "-worker-1"), "%s", crash.worker_name);
	cr_assert(strstr(crash.task_name, "+0x"), "%s", crash.task_name);
	cr_assert(crash.pid > 1 && crash.usage_known && crash.usage.ru_maxrss > 0);
	mp_future_close(f);
	gate_end(&g);
}

/* --- callbacks ------------------------------------------------------------------------------------ */

struct calls {
	int n;
	int order[8];
	mp_future *with[8];
	pthread_t thread;
};

static struct calls calls;

static void note(mp_future *future, void *data)
{
	calls.order[calls.n] = (int)(intptr_t)data;
	calls.with[calls.n++] = future;
	calls.thread = pthread_self();
}

#define NUMBER(n) ((void *)(intptr_t)(n))

Test(future, test_done_callback_with_result)
{
	struct gate g = gate_of(1);
	mp_future *f = t_submit(g.pool, t_square, MP_ARGS(mp_i64(3)));

	for (int i = 0; i < 3; i++)
		T_OK(mp_future_add_done_callback(f, note, NUMBER(i)));
	T_RESULT(mp_future_add_done_callback(f, NULL, NULL), -EINVAL);
	T_RESULT(mp_future_add_done_callback(NULL, note, NULL), -EINVAL);
	cr_assert_eq(calls.n, 0);
	gate_open(&g);
	T_OK(mp_future_result(f, T_TIMEOUT_MS, NULL));
	cr_assert_eq(calls.n, 3);
	for (int i = 0; i < 3; i++)
		cr_assert(calls.order[i] == i && calls.with[i] == f);
	cr_assert(pthread_equal(calls.thread, pthread_self()));
	t_expect_i64(f, 9);
	gate_end(&g);
}

Test(future, test_done_callback_with_exception)
{
	mp_pool *pool = t_pool(1);
	mp_future *f = t_submit(pool, t_fail_at_13, MP_ARGS(mp_i64(12)));
	mp_future *crashed = t_submit(pool, kill_self, mp_nil());

	T_OK(mp_future_add_done_callback(f, note, NULL));
	T_OK(mp_future_add_done_callback(crashed, note, NULL));
	t_expect_error(crashed, -EOWNERDEAD, MP_FUTURE_CRASHED, "signal 9");
	t_expect_error(f, -EDOM, MP_FUTURE_FAILED, "item 12");
	cr_assert_eq(calls.n, 2);
	t_pool_end(pool);
}

Test(future, test_done_callback_with_cancel)
{
	struct gate g = gate_of(1);
	mp_future *f = t_submit(g.pool, t_square, MP_ARGS(mp_i64(3)));

	T_OK(mp_future_add_done_callback(f, note, NULL));
	T_RESULT(mp_future_cancel(f, 0), 1);
	cr_assert_eq(calls.n, 1);
	T_OK(mp_future_add_done_callback(
		f, note, NUMBER(7))); /* test_done_callback_already_cancelled */
	cr_assert(calls.n == 2 && calls.order[1] == 7);
	mp_future_close(f);
	gate_open(&g);
	gate_end(&g);
}

Test(future, test_done_callback_already_successful)
{
	mp_pool *pool = t_pool(1);
	mp_future *f = t_submit(pool, t_square, MP_ARGS(mp_i64(3)));

	T_OK(mp_future_result(f, T_TIMEOUT_MS, NULL));
	T_OK(mp_future_add_done_callback(f, note, NUMBER(4)));
	cr_assert(calls.n == 1 && calls.order[0] == 4 && calls.with[0] == f);
	t_expect_i64(f, 9);
	t_pool_end(pool);
}

Test(future, callback_outlives_the_handle_and_comes_with_join)
{
	mp_pool *pool = t_pool(1);

	for (int i = 0; i < 5; i++) {
		mp_future *f = t_submit(pool, t_square, MP_ARGS(mp_i64(3)));
		T_OK(mp_future_add_done_callback(f, note, NUMBER(i)));
		mp_future_close(f);
	}
	T_OK(mp_pool_join(pool, T_TIMEOUT_MS));
	cr_assert_eq(calls.n, 5);
	T_OK(mp_pool_close(pool));
}

Test(future, closing_the_pool_calls_back)
{
	struct gate g = gate_of(1);

	T_OK(mp_future_add_done_callback(g.running, note, NUMBER(1)));
	T_OK(mp_pool_close(g.pool));
	cr_assert_eq(calls.n, 1);
	t_expect_error(g.running, -ECANCELED, MP_FUTURE_CANCELLED, "closed");
	close(g.ends[0]);
	close(g.ends[1]);
}

static void submit_more(mp_future *future, void *data)
{
	mp_pool *pool = data;

	(void)future;
	if (++calls.n < 50) {
		mp_future *f = t_submit(pool, t_square, MP_ARGS(mp_i64(calls.n)));
		T_OK(mp_future_add_done_callback(f, submit_more, pool));
		mp_future_close(f);
	}
}

Test(future, callback_may_submit)
{
	mp_pool *pool = t_pool(2);
	mp_future *f = t_submit(pool, t_square, MP_ARGS(mp_i64(3)));
	mp_future *last;

	T_OK(mp_future_add_done_callback(f, submit_more, pool));
	mp_future_close(f);
	while (calls.n < 50) {
		last = t_submit(pool, t_square, MP_ARGS(mp_i64(3)));
		t_expect_i64(last, 9);
	}
	t_pool_end(pool);
	cr_assert_eq(calls.n, 50);
}

static void wait_for_another(mp_future *future, void *data)
{
	mp_pool *pool = data;

	(void)future;
	calls.n++;
	t_expect_i64(t_submit(pool, t_square, MP_ARGS(mp_i64(6))), 36);
	calls.n++;
}

Test(future, callback_may_wait)
{
	mp_pool *pool = t_pool(1);
	mp_future *f[3];

	for (int i = 0; i < 3; i++) {
		f[i] = t_submit(pool, t_square, MP_ARGS(mp_i64(3)));
		T_OK(mp_future_add_done_callback(f[i], wait_for_another, pool));
	}
	for (int i = 0; i < 3; i++)
		t_expect_i64(f[i], 9);
	T_OK(mp_pool_join(pool, T_TIMEOUT_MS));
	cr_assert_eq(calls.n, 6);
	T_OK(mp_pool_close(pool));
}

static void join_and_close(mp_future *future, void *data)
{
	(void)future;
	calls.n++;
	T_OK(mp_pool_join(data, T_TIMEOUT_MS));
	T_OK(mp_pool_close(data));
}

Test(future, callback_may_join_and_close_the_pool)
{
	mp_pool *pool = t_pool(2);
	mp_future *f = t_submit(pool, t_square, MP_ARGS(mp_i64(3)));
	mp_future *g = t_submit(pool, t_square, MP_ARGS(mp_i64(4)));

	T_OK(mp_future_add_done_callback(f, join_and_close, pool));
	T_OK(mp_future_result(f, T_TIMEOUT_MS, NULL));
	cr_assert_eq(calls.n, 1);
	t_expect_i64(f, 9);
	t_expect_i64(g, 16);

	/* ... while we are inside of a join ourselves. */
	pool = t_pool(1);
	f = t_submit(pool, t_square, MP_ARGS(mp_i64(3)));
	T_OK(mp_future_add_done_callback(f, join_and_close, pool));
	T_OK(mp_pool_join(pool, T_TIMEOUT_MS));
	t_expect_i64(f, 9);
	cr_assert_eq(calls.n, 2);
}

static void *wait_for(void *future)
{
	return NUMBER(mp_future_result(future, T_TIMEOUT_MS, NULL));
}

Test(future, test_result_with_cancel)
{
	struct gate g = gate_of(1);
	mp_future *f = t_submit(g.pool, t_square, MP_ARGS(mp_i64(3)));
	pthread_t thread;
	void *result;

	T_OK(pthread_create(&thread, NULL, wait_for, f));
	T_RESULT(mp_future_cancel(f, 0), 1);
	T_OK(pthread_join(thread, &result));
	cr_assert_eq((intptr_t)result, -ECANCELED);
	mp_future_close(f);
	gate_open(&g);
	gate_end(&g);
}
