/* SPDX-License-Identifier: MIT */
/*
 * What CPython's own tests check of Pool and of the executors, under their names, as far as no other file
 * has it. Where Python hangs or breaks everything, libmp's better answer stands here.
 */
#include <config.h>

#include "tests/support/pool.h"

#include "base/fds.h"
#include "pool/pool.h"

#include <fcntl.h>
#include <mp.h>
#include <poll.h>
#include <sched.h>
#include <sys/resource.h>

T_SUITE(pool_python);

static int get_pid(int argc, const mp_obj *argv, mp_obj *ret)
{
	(void)argc, (void)argv;
	*ret = mp_i64(getpid());
	return 0;
}

static int subtract(int argc, const mp_obj *argv, mp_obj *ret)
{
	*ret = mp_i64(argc == 2 ? mp_obj_i64(&argv[0]) - mp_obj_i64(&argv[1]) : 0);
	return argc == 2 ? 0 : -EINVAL;
}

static int poll_cancelled(int argc, const mp_obj *argv, mp_obj *ret)
{
	(void)argc, (void)argv, (void)ret;
	while (!mp_task_cancelled())
		sched_yield();
	return -ECANCELED;
}

/* 1 MB and the argument. */
static int fail_at_length(int argc, const mp_obj *argv, mp_obj *ret)
{
	static char big[1 << 20];

	(void)argc;
	int r = mp_obj_copy(MP_LIST(argv[0], mp_bytes(big, sizeof(big))), ret);
	return r < 0 ? r : mp_error_set(-EDOM, "long failure %d", (int)mp_obj_i64(&argv[0]));
}

static int64_t apply_i64(mp_pool *pool, mp_task *task, mp_obj args)
{
	mp_obj result;

	T_OK(mp_pool_apply(pool, task, args, T_TIMEOUT_MS, &result));
	int64_t value = mp_obj_i64(&result);
	mp_obj_free(&result);
	return value;
}

/* --- Pool --------------------------------------------------------------------------------------- */

Test(pool_python, test_async)
{
	for (int m = 0; m < T_ALL; m++) {
		mp_pool *pool = t_pool_by(m, 2);
		mp_future *f = t_submit(pool, t_square, MP_ARGS(mp_i64(7)));
		mp_future *all[] = {f};
		T_RESULT(mp_future_wait(all, 1, MP_WAIT_ALL, T_TIMEOUT_MS), 1);
		t_expect_i64(f, 49);
		t_pool_end(pool);
	}
}

Test(pool_python, test_starmap_async)
{
	mp_pool *pool = t_pool(2);
	mp_obj items[100];
	mp_obj numbers[200];
	mp_obj results;
	mp_future *f;

	for (int i = 0; i < 100; i++) {
		numbers[2 * i] = mp_i64(3 * i);
		numbers[2 * i + 1] = mp_i64(i);
		items[i] = mp_list_of(&numbers[2 * i], 2);
	}
	for (size_t chunk = 0; chunk < 20; chunk += 9) {
		T_OK(mp_pool_map_async(pool, subtract, items, 100,
			MP_MAP_OPTIONS(.chunk = chunk, .star = true), &f));
		T_OK(mp_future_result(f, T_TIMEOUT_MS, &results));
		for (int i = 0; i < 100; i++)
			cr_assert_eq(mp_obj_i64(&results.as.items[i]), 2 * i);
		mp_obj_free(&results);
		mp_future_close(f);
	}
	t_pool_end(pool);
}

struct failing {
	int64_t at;
	int64_t until;
};

static int failing_source(void *data, mp_obj *ret_item)
{
	struct failing *f = data;

	if (f->at == f->until)
		return mp_error_set(-EXDEV, "the source broke at %d", (int)f->at++);
	if (f->at > f->until)
		return 0;
	*ret_item = mp_i64(f->at++);
	return 1;
}

static void imap_of_failing(mp_pool *pool, size_t chunk, bool unordered)
{
	struct failing failing = {.until = 7};
	mp_imap *imap;
	mp_obj result;
	int64_t sum = 0;
	int errors = 0;
	int r;

	T_OK(mp_pool_imap(pool, t_square, failing_source, &failing,
		MP_IMAP_OPTIONS(.chunk = chunk, .unordered = unordered), &imap));
	while ((r = mp_imap_next(imap, T_TIMEOUT_MS, &result)) != 0) {
		if (r < 0) {
			T_RESULT(r, -EXDEV);
			cr_assert(strstr(mp_error_detail(), "broke at 7"));
			errors++;
			continue;
		}
		cr_assert(unordered || errors == 0);
		sum += mp_obj_i64(&result);
		mp_obj_free(&result);
	}
	cr_assert(errors == 1 && sum == 0 + 1 + 4 + 9 + 16 + 25 + 36, "%d errors, %d", errors,
		(int)sum);
	mp_imap_close(imap);
}

Test(pool_python, test_imap_unordered_handle_iterable_exception)
{
	mp_pool *pool = t_pool(2);

	for (size_t chunk = 1; chunk <= 4; chunk++) {
		imap_of_failing(pool, chunk, true);
		imap_of_failing(pool, chunk, false);
	}
	t_pool_end(pool);
}

/* A pool that goes with its scope. */
static void end_pool(mp_pool **pool)
{
	t_pool_end(*pool);
}

Test(pool_python, test_context)
{
	mp_pool *outer = t_pool(1);
	mp_future *f;

	{
		__attribute__((cleanup(end_pool))) mp_pool *pool = t_pool(2);
		cr_assert_eq(apply_i64(pool, t_square, MP_ARGS(mp_i64(4))), 16);
	}
	T_OK(mp_pool_join(outer, T_TIMEOUT_MS));
	T_RESULT(mp_pool_submit(outer, t_square, MP_ARGS(mp_i64(1)), &f), -EPIPE);
	T_OK(mp_pool_close(outer));
}

Test(pool_python, test_enter)
{
	mp_pool *pool = t_pool(1);
	mp_obj item = mp_i64(1);
	mp_obj result;

	T_OK(mp_pool_terminate(pool));
	T_RESULT(mp_pool_apply(pool, t_square, mp_nil(), T_TIMEOUT_MS, NULL), -EPIPE);
	T_RESULT(mp_pool_map(pool, t_square, &item, 1, 1, &result), -EPIPE);
	T_OK(mp_pool_join(pool, T_TIMEOUT_MS));
	T_OK(mp_pool_close(pool));
}

Test(pool_python, test_traceback)
{
	mp_pool *pool = t_pool(1);
	mp_failure failure;
	mp_future *f = t_submit(pool, fail_at_length, MP_ARGS(mp_i64(42)));

	T_RESULT(mp_future_error(f, T_TIMEOUT_MS, &failure), 1);
	cr_assert_eq(failure.code, -EDOM);
	cr_assert_str_eq(failure.message, "long failure 42");
	cr_assert_eq(mp_obj_i64(&failure.detail.as.items[0]), 42);
	mp_obj_free(&failure.detail);
	mp_future_close(f);
	/* An error of the caller's own source is no task's. */
	imap_of_failing(pool, 1, false);
	t_pool_end(pool);
}

Test(pool_python, test_wrapped_exception)
{
	mp_pool *pool = t_pool(1);

	T_RESULT(mp_pool_apply(pool, t_fail_at_13, MP_ARGS(mp_i64(12)), T_TIMEOUT_MS, NULL), -EDOM);
	cr_assert_str_eq(mp_error_detail(), "item 12 is bad");
	t_pool_end(pool);
}

Test(pool_python, test_map_no_failfast)
{
	mp_pool *pool = t_pool(2);
	mp_obj items[] = {mp_i64(0), mp_i64(1)};
	mp_obj results[2];

	T_RESULT(mp_pool_map(pool, fail_at_length, items, 2, 1, results), -EDOM);
	cr_assert_str_eq(mp_error_detail(), "long failure 0"); /* the first in order */
	t_pool_end(pool);
}

/* Arguments and results are gone with the map: the other end of the pipe hears it. */
Test(pool_python, test_release_task_refs)
{
	for (int m = 0; m < T_ALL; m++) {
		mp_pool *pool = t_pool_by(m, 2);
		mp_obj items[10];
		mp_obj results[10];
		int ends[2];
		char byte;
		T_OK(pipe2(ends, O_CLOEXEC));
		for (int i = 0; i < 10; i++)
			items[i] = mp_fd(ends[1]);
		T_OK(mp_pool_map(pool, t_echo, items, 10, 1, results));
		for (int i = 0; i < 10; i++)
			mp_obj_free(&results[i]);
		close(ends[1]);
		/* Workers are still there. A copy left anywhere would keep the pipe open. */
		struct pollfd end = {.fd = ends[0], .events = POLLIN};
		T_RESULT(poll(&end, 1, T_TIMEOUT_MS), 1);
		T_RESULT(read(ends[0], &byte, 1), 0);
		close(ends[0]);
		t_pool_end(pool);
	}
}

static int leave_pool_open(void *unused)
{
	static mp_pool *pool;

	(void)unused;
	T_CHECK(mp_pool_new(MP_POOL_OPTIONS(.workers = 2), &pool) == 0);
	T_CHECK(mp_pool_apply(pool, t_square, MP_ARGS(mp_i64(2)), T_TIMEOUT_MS, NULL) == 0);
	T_CHECK(mp_pool_submit(pool, poll_cancelled, mp_nil(), NULL) == 0);
	return 0;
}

Test(pool_python, test_worker_finalization_via_atexit_handler_of_multiprocessing)
{
	struct t_child child = t_spawn(leave_pool_open, NULL);

	t_expect_exit(&child, 0);
}

Test(pool_python, test_release_unused_processes)
{
	struct rlimit before;
	mp_pool *pool;
	int r = -EMFILE;

	T_OK(mp_pool_new(MP_POOL_OPTIONS(.workers = 4), &pool)); /* what it needs once */
	t_pool_end(pool);
	T_OK(getrlimit(RLIMIT_NOFILE, &before));
	/* More and more, until all four can be started; those that could before are stopped. */
	for (rlim_t n = 16; r == -EMFILE; n++) {
		struct rlimit few = {.rlim_cur = n, .rlim_max = before.rlim_max};
		int fds = t_count_fds();
		T_OK(setrlimit(RLIMIT_NOFILE, &few));
		r = mp_pool_new(MP_POOL_OPTIONS(.workers = 4), &pool);
		T_OK(setrlimit(RLIMIT_NOFILE, &before));
		cr_assert(r == 0 || (r == -EMFILE && t_count_fds() == fds), "%d", r);
	}
	T_OK(r);
	t_pool_end(pool);
}

/* --- executors ---------------------------------------------------------------------------------- */

Test(pool_python, test_submit)
{
	for (int m = 0; m < T_ALL; m++) {
		mp_pool *pool = t_pool_by(m, 2);
		t_expect_i64(t_submit(pool, subtract, MP_ARGS(mp_i64(2), mp_i64(8))), -6);
		t_pool_end(pool);
	}
}

/* C has no keywords: a dict is an argument like others. */
Test(pool_python, test_submit_keyword)
{
	mp_pool *pool = t_pool(1);
	mp_obj keywords = MP_DICT(mp_str("self"), mp_i64(1), mp_str("fn"), mp_i64(2));
	mp_future *f = t_submit(pool, t_echo, MP_ARGS(keywords));
	mp_obj result;

	T_OK(mp_future_result(f, T_TIMEOUT_MS, &result));
	cr_assert(mp_obj_equal(&result, &keywords));
	mp_obj_free(&result);
	mp_future_close(f);
	T_RESULT(mp_pool_submit(pool, NULL, mp_nil(), &f), -EINVAL);
	t_pool_end(pool);
}

Test(pool_python, test_map_timeout)
{
	mp_pool *pool = t_pool(1);
	int ends[2];
	T_OK(pipe2(ends, O_CLOEXEC));
	mp_obj items[] = {mp_fd(ends[0]), mp_fd(ends[0]), mp_fd(ends[0])};
	mp_obj results[3];

	/* Two of them come; the third never does. */
	T_RESULT(write(ends[1], "xx", 2), 2);
	T_RESULT(mp_pool_map_with(pool, t_read_byte, items, 3,
			 MP_MAP_OPTIONS(.chunk = 1, .timeout_ms = 50), results),
		-ETIMEDOUT);
	T_RESULT(write(ends[1], "xxx", 3), 3);
	t_pool_end(pool);
	close(ends[0]);
	close(ends[1]);
}

Test(pool_python, test_shutdown_race_issue12456)
{
	for (int m = 0; m < T_ALL; m++) {
		mp_pool *pool = t_pool_by(m, 3);
		mp_obj items[15];
		mp_future *f;
		mp_obj results;
		for (int i = 0; i < 15; i++)
			items[i] = mp_i64(i);
		T_OK(mp_pool_map_async(pool, t_square, items, 15, MP_MAP_OPTIONS(.chunk = 1), &f));
		T_OK(mp_pool_shutdown(pool, 0));
		T_OK(mp_future_result(f, T_TIMEOUT_MS, &results));
		cr_assert_eq(results.count, 15);
		mp_obj_free(&results);
		mp_future_close(f);
		t_pool_end(pool);
	}
}

Test(pool_python, test_max_workers_negative)
{
	mp_pool *pool;

	for (int m = 0; m < T_ALL; m++)
		T_RESULT(mp_pool_new(MP_POOL_OPTIONS(.workers = -1, .start_method = t_methods[m]),
				 &pool),
			-EINVAL);
}

Test(pool_python, test_max_workers_too_large)
{
	mp_pool *pool;

	T_RESULT(mp_pool_new(MP_POOL_OPTIONS(.workers = 1001), &pool), -EINVAL);
}

/* Python's pool is broken then; here the next task runs, in a new worker. */
Test(pool_python, test_killed_child)
{
	for (int m = 0; m < T_PROCESSES; m++) {
		mp_pool *pool = t_pool_by(m, 1);
		mp_obj result;
		int ends[2];
		pid_t pid;
		T_OK(pipe2(ends, O_CLOEXEC));
		T_OK(mp_pool_apply(pool, t_write_pid, MP_ARGS(mp_fd(ends[1])), T_TIMEOUT_MS, NULL));
		T_OK(t_read_full(ends[0], &pid, sizeof(pid)));
		mp_future *f = t_submit(pool, t_read_byte, MP_ARGS(mp_fd(ends[0])));
		while (mp_future_running(f) != 1)
			sched_yield();
		T_OK(kill(pid, SIGTERM));
		T_RESULT(mp_future_result(f, T_TIMEOUT_MS, &result), -EOWNERDEAD);
		mp_future_close(f);
		cr_assert_neq(apply_i64(pool, get_pid, mp_nil()), pid);
		t_pool_end(pool);
		close(ends[0]);
		close(ends[1]);
	}
}

/* An argument is gone with its task, while the worker stays. */
Test(pool_python, test_ressources_gced_in_workers)
{
	mp_pool *pool = t_pool(1);
	int ends[2];
	char byte;

	T_OK(pipe2(ends, O_CLOEXEC));
	T_OK(mp_pool_apply(pool, t_count_args, MP_ARGS(mp_fd(ends[1])), T_TIMEOUT_MS, NULL));
	close(ends[1]);
	struct pollfd end = {.fd = ends[0], .events = POLLIN};
	T_RESULT(poll(&end, 1, T_TIMEOUT_MS), 1);
	T_RESULT(read(ends[0], &byte, 1), 0);
	close(ends[0]);
	t_pool_end(pool);
}

Test(pool_python, test_idle_process_reuse_multiple)
{
	mp_pool *pool;
	mp_obj items[6];
	mp_obj results[6];

	T_OK(mp_pool_new(MP_POOL_OPTIONS(.workers = 4, .on_demand = true), &pool));
	for (int i = 0; i < 3; i++)
		apply_i64(pool, t_square, MP_ARGS(mp_i64(i)));
	for (int i = 0; i < 3; i++)
		items[i] = mp_i64(i);
	T_OK(mp_pool_map(pool, t_square, items, 3, 1, results));
	cr_assert(pool->n_alive <= 3, "%u", pool->n_alive);
	t_pool_end(pool);
}

Test(pool_python, test_max_tasks_per_child)
{
	for (int m = 0; m < T_PROCESSES; m++) {
		mp_pool *pool;
		T_OK(mp_pool_new(MP_POOL_OPTIONS(.workers = 1, .start_method = t_methods[m],
					 .tasks_per_worker = 3),
			&pool));
		int64_t pid = apply_i64(pool, get_pid, mp_nil());
		cr_assert_eq(apply_i64(pool, get_pid, mp_nil()), pid);
		cr_assert_eq(apply_i64(pool, get_pid, mp_nil()), pid);
		cr_assert_neq(apply_i64(pool, get_pid, mp_nil()), pid);
		T_RESULT(mp_pool_workers(pool), 1);
		t_pool_end(pool);
	}
}

Test(pool_python, test_max_tasks_early_shutdown)
{
	for (int m = 0; m < T_PROCESSES; m++) {
		mp_pool *pool;
		mp_future *f[6];
		T_OK(mp_pool_new(MP_POOL_OPTIONS(.workers = 3, .start_method = t_methods[m],
					 .tasks_per_worker = 1),
			&pool));
		for (int i = 0; i < 6; i++)
			f[i] = t_submit(pool, t_square, MP_ARGS(mp_i64(i)));
		T_OK(mp_pool_join(pool, T_TIMEOUT_MS));
		for (int i = 0; i < 6; i++)
			t_expect_i64(f[i], (int64_t)i * i);
		T_OK(mp_pool_close(pool));
	}
}

static int give_no_text(int argc, const mp_obj *argv, mp_obj *ret)
{
	(void)argc, (void)argv;
	*ret = mp_str("\xff");
	return 0;
}

/* The error of that task; its worker goes on. */
Test(pool_python, test_error_during_result_pickle_on_worker)
{
	for (int m = 0; m < T_ALL; m++) {
		mp_pool *pool = t_pool_by(m, 1);
		int64_t pid = apply_i64(pool, get_pid, mp_nil());
		T_RESULT(mp_pool_apply(pool, give_no_text, mp_nil(), T_TIMEOUT_MS, NULL), -EILSEQ);
		cr_assert_eq(apply_i64(pool, get_pid, mp_nil()), pid);
		t_pool_end(pool);
	}
}
