/* SPDX-License-Identifier: MIT */
/* Pools: t_submit, futures, join, close, misuse, threads, fork. Deaths are in test_pool_crash.c. */
#include <config.h>

#include "tests/support/pool.h"

#include "base/fds.h"

#include <fcntl.h>
#include <mp/handle.h>
#include <pthread.h>
#include <sched.h>
#include <sys/mman.h>

T_SUITE(pool);

static int fail_silently(int argc, const mp_obj *argv, mp_obj *ret)
{
	(void)argc, (void)argv, (void)ret;
	return -EXDEV;
}

static int fail_with_handle(int argc, const mp_obj *argv, mp_obj *ret)
{
	(void)argc, (void)argv;
	*ret = mp_fd(-1);
	return 0;
}

static int fail_with_rubbish(int argc, const mp_obj *argv, mp_obj *ret)
{
	(void)argc, (void)argv;
	*ret = mp_str("\xff");
	return 0;
}

static int fail_with_depth(int argc, const mp_obj *argv, mp_obj *ret)
{
	static mp_obj levels[MP_OBJ_MAX_DEPTH + 1];

	(void)argc, (void)argv;
	levels[0] = mp_list_of(NULL, 0);
	for (int i = 1; i <= MP_OBJ_MAX_DEPTH; i++)
		levels[i] = mp_list_of(&levels[i - 1], 1);
	*ret = levels[MP_OBJ_MAX_DEPTH];
	return 0;
}

static int zeros(int argc, const mp_obj *argv, mp_obj *ret)
{
	size_t size = (size_t)mp_obj_i64(&argv[0]);
	char *data = calloc(1, size + 1);

	(void)argc;
	int r = mp_obj_copy(mp_bytes(data, size), ret);
	free(data);
	return r;
}

static int initialized_with;

static int initializer(int argc, const mp_obj *argv, mp_obj *ret)
{
	(void)argc, (void)ret;
	initialized_with = (int)mp_obj_i64(&argv[0]);
	return 0;
}

static int get_initialized(int argc, const mp_obj *argv, mp_obj *ret)
{
	(void)argc, (void)argv;
	*ret = mp_i64(initialized_with);
	return 0;
}

/* --- apply and results ------------------------------------------------------------------------ */

Test(pool, test_apply)
{
	mp_pool *pool = t_pool(2);

	t_expect_i64(t_submit(pool, t_square, MP_ARGS(mp_i64(12))), 144);
	t_expect_i64(t_submit(pool, t_square, MP_ARGS(mp_i64(-3))), 9);
	t_pool_end(pool);
}

Test(pool, test_make_pool)
{
	mp_pool *pool = t_pool(3);

	T_RESULT(mp_pool_workers(pool), 3);
	t_pool_end(pool);
}

Test(pool, workers_default_to_usable_cpus)
{
	mp_pool *pool;
	cpu_set_t set;

	T_OK(sched_getaffinity(0, sizeof(set), &set));
	T_OK(mp_pool_new(NULL, &pool));
	T_RESULT(mp_pool_workers(pool), CPU_COUNT(&set));
	t_pool_end(pool);
}

Test(pool, options_are_checked)
{
	mp_pool *pool = (mp_pool *)&pool;
	mp_pool *before = pool;
	struct {
		mp_pool_options options;
		int future_field;
	} newer = {.options = {.size = sizeof(newer)}, .future_field = 1};

	T_RESULT(mp_pool_new(MP_POOL_OPTIONS(.workers = -1), &pool), -EINVAL);
	T_RESULT(mp_pool_new(MP_POOL_OPTIONS(.workers = 1001), &pool), -EINVAL);
	T_RESULT(mp_pool_new(MP_POOL_OPTIONS(.max_pending = -1), &pool), -EINVAL);
	T_RESULT(mp_pool_new(MP_POOL_OPTIONS(.max_pending = 1048577), &pool), -EINVAL);
	T_RESULT(mp_pool_new(MP_POOL_OPTIONS(.start_method = 99), &pool), -EINVAL);
	T_RESULT(mp_pool_new(MP_POOL_OPTIONS(.start_method = -1), &pool), -EINVAL);
	T_RESULT(mp_pool_new(MP_POOL_OPTIONS(.flags = 1), &pool), -EINVAL);
	T_RESULT(mp_pool_new(MP_POOL_OPTIONS(.initializer_args = mp_i64(1)), &pool), -EINVAL);
	T_RESULT(mp_pool_new(MP_POOL_OPTIONS(.initializer_args = MP_LIST(mp_str("\xff"))), &pool),
		-EILSEQ);
	T_RESULT(mp_pool_new(&newer.options, &pool), -E2BIG);
	T_RESULT(mp_pool_new(NULL, NULL), -EINVAL);
	cr_assert_eq(pool, before);
}

Test(pool, handles_are_checked)
{
	mp_pool *pool = t_pool(1);
	mp_obj item = mp_nil();
	mp_future *f;

	T_RESULT(mp_pool_submit(NULL, t_square, mp_nil(), &f), -EINVAL);
	T_RESULT(mp_pool_submit(pool, NULL, mp_nil(), &f), -EINVAL);
	T_RESULT(mp_pool_submit(pool, t_square, mp_i64(1), &f), -EINVAL);
	T_RESULT(mp_pool_map(NULL, t_square, &item, 1, 0, &item), -EINVAL);
	T_RESULT(mp_pool_map(pool, NULL, &item, 1, 0, &item), -EINVAL);
	T_RESULT(mp_pool_map(pool, t_square, NULL, 1, 0, &item), -EINVAL);
	T_RESULT(mp_pool_map(pool, t_square, &item, 1, 0, NULL), -EINVAL);
	T_RESULT(mp_pool_workers(NULL), -EINVAL);
	T_RESULT(mp_pool_join(NULL, 0), -EINVAL);
	T_OK(mp_pool_close(NULL));
	T_RESULT(mp_future_result(NULL, 0, NULL), -EINVAL);
	T_RESULT(mp_future_state(NULL), -EINVAL);
	T_OK(mp_future_close(NULL));
	t_pool_end(pool);
}

Test(pool, nil_and_empty_arguments_are_no_arguments)
{
	mp_pool *pool = t_pool(1);

	t_expect_i64(t_submit(pool, t_count_args, mp_nil()), 0);
	t_expect_i64(t_submit(pool, t_count_args, MP_ARGS()), 0);
	t_expect_i64(t_submit(pool, t_count_args, MP_ARGS(mp_nil(), mp_nil())), 2);
	t_pool_end(pool);
}

Test(pool, result_may_be_asked_many_times)
{
	mp_pool *pool = t_pool(1);
	mp_obj value = MP_DICT(mp_str("a"), MP_LIST(mp_i64(1), mp_f64(0.5)), mp_str("b"), mp_nil());
	mp_future *f = t_submit(pool, t_echo, MP_ARGS(value));

	for (int i = 0; i < 3; i++) {
		mp_obj result;
		T_OK(mp_future_result(f, T_TIMEOUT_MS, &result));
		cr_assert(mp_obj_equal(&result, &value));
		mp_obj_free(&result);
	}
	T_OK(mp_future_result(f, MP_NOWAIT, NULL));
	mp_future_close(f);
	t_pool_end(pool);
}

Test(pool, test_error_during_func_exec_on_worker)
{
	mp_pool *pool = t_pool(1);

	t_expect_error(t_submit(pool, t_fail_at_13, MP_ARGS(mp_i64(12))), -EDOM, MP_FUTURE_FAILED,
		"item 12 is bad");
	t_expect_error(t_submit(pool, fail_silently, mp_nil()), -EXDEV, MP_FUTURE_FAILED,
		"the task returned -18");
	t_expect_i64(t_submit(pool, t_square, MP_ARGS(mp_i64(2))), 4);
	t_pool_end(pool);
}

Test(pool, test_unpickleable_result)
{
	mp_pool *pool = t_pool(2);

	for (int i = 0; i < 20; i++) {
		t_expect_error(
			t_submit(pool, fail_with_rubbish, mp_nil()), -EILSEQ, MP_FUTURE_FAILED, "");
		t_expect_error(
			t_submit(pool, fail_with_handle, mp_nil()), -EBADF, MP_FUTURE_FAILED, "");
		t_expect_error(t_submit(pool, fail_with_depth, mp_nil()), -EOVERFLOW,
			MP_FUTURE_FAILED, "");
	}
	t_pool_end(pool);
}

Test(pool, test_error_at_task_pickle)
{
	mp_pool *pool = t_pool(1);
	mp_future *f;

	T_RESULT(mp_pool_submit(pool, t_square, MP_ARGS(mp_str("\xff")), &f), -EILSEQ);
	T_RESULT(mp_pool_submit(pool, t_square, MP_ARGS((mp_obj){.type = 99}), &f), -EINVAL);
	t_expect_i64(t_submit(pool, t_square, MP_ARGS(mp_i64(2))), 4);
	t_pool_end(pool);
}

Test(pool, code_outside_of_any_file_is_refused)
{
	mp_pool *pool = t_pool(1);
	void *code = mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	mp_future *f;

	T_RESULT(mp_pool_submit(pool, (mp_task *)code, mp_nil(), &f), -ENOEXEC);
	T_RESULT(mp_pool_new(MP_POOL_OPTIONS(.initializer = (mp_task *)code), &pool), -ENOEXEC);
	munmap(code, 4096);
	t_pool_end(pool);
}

Test(pool, test_async_timeout)
{
	mp_pool *pool = t_pool(1);
	int ends[2];

	T_OK(pipe2(ends, O_CLOEXEC));
	mp_future *f = t_submit(pool, t_read_byte, MP_ARGS(mp_fd(ends[0])));
	T_RESULT(mp_future_result(f, 20, NULL), -ETIMEDOUT);
	T_RESULT(mp_future_result(f, MP_NOWAIT, NULL), -ETIMEDOUT);
	/* It runs, sooner or later. */
	while (mp_future_state(f) == MP_FUTURE_PENDING)
		sched_yield();
	T_RESULT(mp_future_state(f), MP_FUTURE_RUNNING);
	mp_future *next = t_submit(pool, t_square, MP_ARGS(mp_i64(3)));
	T_RESULT(mp_future_state(next), MP_FUTURE_PENDING);
	T_RESULT(mp_pool_join(pool, 20), -ETIMEDOUT);
	T_RESULT(mp_pool_submit(pool, t_square, mp_nil(), NULL), -EPIPE);
	cr_assert_eq(write(ends[1], "x", 1), 1);
	t_expect_i64(f, 'x');
	t_expect_i64(next, 9);
	close(ends[0]);
	close(ends[1]);
	t_pool_end(pool);
}

Test(pool, futures_outlive_the_pool)
{
	mp_pool *pool = t_pool(2);
	mp_future *done = t_submit(pool, t_square, MP_ARGS(mp_i64(5)));
	mp_future *failed = t_submit(pool, t_fail_at_13, MP_ARGS(mp_i64(25)));

	T_OK(mp_pool_join(pool, T_TIMEOUT_MS));
	T_OK(mp_pool_join(pool, MP_NOWAIT));
	T_OK(mp_pool_close(pool));
	t_expect_i64(done, 25);
	t_expect_error(failed, -EDOM, MP_FUTURE_FAILED, "item 25");
}

Test(pool, test_terminate)
{
	mp_pool *pool = t_pool(2);
	enum { N = 10000 };
	static mp_future *futures[N];
	int ends[2];

	T_OK(pipe2(ends, O_CLOEXEC));
	T_OK(mp_pool_close(pool));
	T_OK(mp_pool_new(MP_POOL_OPTIONS(.workers = 2, .initializer = initializer,
				 .initializer_args = MP_ARGS(mp_fd(ends[0]))),
		&pool));
	mp_future *a = t_submit(pool, t_read_byte, MP_ARGS(mp_fd(ends[0])));
	mp_future *b = t_submit(pool, t_read_byte, MP_ARGS(mp_fd(ends[0])));
	while (mp_future_state(a) != MP_FUTURE_RUNNING || mp_future_state(b) != MP_FUTURE_RUNNING)
		sched_yield();
	for (int i = 0; i < N; i++)
		futures[i] = t_submit(pool, t_square, MP_ARGS(mp_i64(i)));
	T_OK(mp_pool_close(pool));
	for (int i = 0; i < N; i++)
		t_expect_error(futures[i], -ECANCELED, MP_FUTURE_CANCELLED, "closed before");
	t_expect_error(a, -ECANCELED, MP_FUTURE_CANCELLED, "closed before");
	t_expect_error(b, -ECANCELED, MP_FUTURE_CANCELLED, "closed before");
	close(ends[0]);
	close(ends[1]);
}

static void *wait_cancelled(void *future)
{
	return (void *)(intptr_t)mp_future_result(future, T_TIMEOUT_MS, NULL);
}

Test(pool, close_wakes_who_waits_for_a_result)
{
	mp_pool *pool = t_pool(1);
	pthread_t threads[4];
	mp_future *f;
	int ends[2];

	T_OK(pipe2(ends, O_CLOEXEC));
	f = t_submit(pool, t_read_byte, MP_ARGS(mp_fd(ends[0])));
	for (int i = 0; i < 4; i++)
		T_OK(pthread_create(&threads[i], NULL, wait_cancelled, f));
	while (mp_future_state(f) != MP_FUTURE_RUNNING)
		sched_yield();
	T_OK(mp_pool_close(pool));
	for (int i = 0; i < 4; i++) {
		void *result;
		T_OK(pthread_join(threads[i], &result));
		cr_assert_eq((intptr_t)result, -ECANCELED);
	}
	mp_future_close(f);
	close(ends[0]);
	close(ends[1]);
}

Test(pool, nobody_needs_to_keep_the_future)
{
	mp_pool *pool = t_pool(2);
	int ends[2];
	char byte;

	T_OK(pipe2(ends, O_CLOEXEC));
	for (int i = 0; i < 1000; i++)
		T_OK(mp_pool_submit(pool, t_square, MP_ARGS(mp_i64(i)), NULL));
	for (int i = 0; i < 1000; i++)
		T_OK(mp_future_close(t_submit(pool, zeros, MP_ARGS(mp_i64(1000)))));
	T_OK(mp_pool_submit(pool, t_write_pid, MP_ARGS(mp_fd(ends[1])), NULL));
	T_OK(t_read_full(ends[0], &byte, 1));
	t_pool_end(pool);
	close(ends[0]);
	close(ends[1]);
}

/* --- threads, fork, initializer --------------------------------------------------------------- */

static void *submit_many(void *pool)
{
	mp_future *futures[500];

	for (int i = 0; i < 500; i++) {
		if (mp_pool_submit(pool, t_square, MP_ARGS(mp_i64(i)), &futures[i]) < 0)
			return NULL;
	}
	for (int i = 499; i >= 0; i--) {
		mp_obj result;
		if (mp_future_result(futures[i], T_TIMEOUT_MS, &result) < 0 ||
			mp_obj_i64(&result) != (int64_t)i * i)
			return NULL;
		mp_future_close(futures[i]);
	}
	return pool;
}

Test(pool, many_threads_submit_and_wait)
{
	mp_pool *pool;
	pthread_t threads[8];

	T_OK(mp_pool_new(MP_POOL_OPTIONS(.workers = 2, .max_pending = 50), &pool));
	for (int i = 0; i < 8; i++)
		T_OK(pthread_create(&threads[i], NULL, submit_many, pool));
	for (int i = 0; i < 8; i++) {
		void *result;
		T_OK(pthread_join(threads[i], &result));
		cr_assert_eq(result, pool);
	}
	t_pool_end(pool);
}

static void *make_pool(void *unused)
{
	(void)unused;
	return t_pool(2);
}

Test(pool, workers_outlive_the_thread_that_started_them)
{
	pthread_t thread;
	void *pool;

	T_OK(pthread_create(&thread, NULL, make_pool, NULL));
	T_OK(pthread_join(thread, &pool));
	for (int i = 0; i < 100; i++)
		t_expect_i64(t_submit(pool, t_square, MP_ARGS(mp_i64(i))), (int64_t)i * i);
	t_pool_end(pool);
}

struct inherited {
	mp_pool *pool;
	mp_future *future;
};

static int use_in_child(void *argument)
{
	struct inherited *i = argument;
	mp_future *f;
	mp_obj item = mp_nil();

	T_CHECK(mp_pool_submit(i->pool, t_square, mp_nil(), &f) == -ECHILD);
	T_CHECK(mp_pool_map(i->pool, t_square, &item, 1, 0, &item) == -ECHILD);
	T_CHECK(mp_pool_workers(i->pool) == -ECHILD);
	T_CHECK(mp_pool_join(i->pool, 0) == -ECHILD);
	T_CHECK(mp_future_result(i->future, 0, NULL) == -ECHILD);
	T_CHECK(mp_future_state(i->future) == -ECHILD);
	T_CHECK(mp_future_close(i->future) == 0);
	T_CHECK(mp_pool_close(i->pool) == -ECHILD);
	return 0;
}

Test(pool, forked_child_may_only_close)
{
	struct inherited i = {.pool = t_pool(2)};

	i.future = t_submit(i.pool, t_square, MP_ARGS(mp_i64(4)));
	struct t_child child = t_spawn(use_in_child, &i);
	t_expect_exit(&child, 0);
	t_expect_i64(i.future, 16);
	t_pool_end(i.pool);
}

static int pool_in_child(void *unused)
{
	mp_pool *pool = t_pool(2);
	mp_obj result;
	mp_future *f;

	(void)unused;
	T_CHECK(mp_pool_submit(pool, t_square, MP_ARGS(mp_i64(7)), &f) == 0);
	T_CHECK(mp_future_result(f, T_TIMEOUT_MS, &result) == 0 && mp_obj_i64(&result) == 49);
	return 0; /* left open: the workers end with this process */
}

Test(pool, test_pool_in_process)
{
	struct t_child child = t_spawn(pool_in_child, NULL);

	t_expect_exit(&child, 0);
}

Test(pool, test_initializer)
{
	mp_pool *pool;

	T_OK(mp_pool_new(MP_POOL_OPTIONS(.workers = 2, .initializer = initializer,
				 .initializer_args = MP_ARGS(mp_i64(42))),
		&pool));
	for (int i = 0; i < 10; i++)
		t_expect_i64(t_submit(pool, get_initialized, mp_nil()), 42);
	t_pool_end(pool);
}

Test(pool, test_large_pool)
{
	mp_pool *pool = t_pool(200);
	mp_obj items[1000];
	mp_obj results[1000];
	int64_t sum = 0;

	for (int i = 0; i < 1000; i++)
		items[i] = mp_i64(i);
	T_OK(mp_pool_map(pool, t_square, items, 1000, 0, results));
	for (int i = 0; i < 1000; i++)
		sum += mp_obj_i64(&results[i]);
	cr_assert_eq(sum, 332833500);
	t_pool_end(pool);
}
