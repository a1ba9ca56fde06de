/* SPDX-License-Identifier: MIT */
/* Pools of several kinds: threads, workers that come and go, shutdown and terminate; limits of tasks. */
#include <config.h>

#include "tests/support/pool.h"

#include "base/fds.h"
#include "pool/pool.h"

#include <fcntl.h>
#include <mp/handle.h>
#include <pthread.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/wait.h>

T_SUITE(pool_options);

static int get_pid(int argc, const mp_obj *argv, mp_obj *ret)
{
	(void)argc, (void)argv;
	*ret = mp_i64(getpid());
	return 0;
}

static int kill_self(int argc, const mp_obj *argv, mp_obj *ret)
{
	(void)argc, (void)argv, (void)ret;
	raise(SIGKILL);
	return 0;
}

/* Dies as long as the counter is above 0. */
static int die_some_times(int argc, const mp_obj *argv, mp_obj *ret)
{
	char byte;

	(void)argc;
	if (read(mp_obj_fd(&argv[0]), &byte, 1) == 1)
		raise(SIGKILL);
	*ret = argv[1];
	return 0;
}

static int until_told(int argc, const mp_obj *argv, mp_obj *ret)
{
	(void)ret;
	if (argc > 0)
		mp__write_full(mp_obj_fd(&argv[0]), "x", 1);
	while (!mp_task_cancelled())
		sched_yield();
	return -ECANCELED;
}

static int for_ever(int argc, const mp_obj *argv, mp_obj *ret)
{
	volatile int here = 1;

	(void)argc, (void)argv, (void)ret;
	while (here)
		;
	return 0;
}

static int allocate(int argc, const mp_obj *argv, mp_obj *ret)
{
	size_t size = (size_t)mp_obj_i64(&argv[0]);

	(void)argc;
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	*ret = mp_bool(p != MAP_FAILED);
	return p == MAP_FAILED ? 0 : munmap(p, size);
}

static int64_t take_i64(mp_future *f)
{
	mp_obj result;

	T_OK(mp_future_result(f, T_TIMEOUT_MS, &result));
	mp_future_close(f);
	return mp_obj_i64(&result);
}

static mp_pool *pool_of(const mp_pool_options *options)
{
	mp_pool *pool;

	T_OK(mp_pool_new(options, &pool));
	return pool;
}

/* --- workers that come and go ------------------------------------------------------------------- */

Test(pool_options, test_pool_worker_lifetime)
{
	mp_pool *pool = pool_of(MP_POOL_OPTIONS(.workers = 3, .tasks_per_worker = 10));
	mp_future *futures[100];
	int64_t pids[100];
	int distinct = 0;

	for (int i = 0; i < 100; i++)
		futures[i] = t_submit(pool, get_pid, mp_nil());
	for (int i = 0; i < 100; i++) {
		pids[i] = take_i64(futures[i]);
		int same = 1;
		for (int k = 0; k < i; k++)
			same += pids[k] == pids[i];
		distinct += same == 1;
		cr_assert(same <= 10, "a worker ran %d tasks", same);
	}
	cr_assert_geq(distinct, 10);
	t_pool_end(pool);
}

Test(pool_options, test_pool_worker_lifetime_early_close)
{
	mp_pool *pool = pool_of(MP_POOL_OPTIONS(.workers = 3, .tasks_per_worker = 1));
	mp_future *futures[6];

	for (int i = 0; i < 6; i++)
		futures[i] = t_submit(pool, t_square, MP_ARGS(mp_i64(i)));
	T_OK(mp_pool_join(pool, T_TIMEOUT_MS));
	for (int i = 0; i < 6; i++)
		t_expect_i64(futures[i], i * i);
	T_OK(mp_pool_close(pool));
}

Test(pool_options, test_pool_maxtasksperchild_invalid)
{
	mp_pool *pool;

	T_RESULT(mp_pool_new(MP_POOL_OPTIONS(.tasks_per_worker = -1), &pool), -EINVAL);
	T_RESULT(mp_pool_new(MP_POOL_OPTIONS(.idle_ms = -1), &pool), -EINVAL);
	T_RESULT(mp_pool_new(MP_POOL_OPTIONS(.workers = -1), &pool), -EINVAL);
}

Test(pool_options, test_idle_process_reuse_one)
{
	mp_pool *pool = pool_of(MP_POOL_OPTIONS(.workers = 4, .on_demand = true));

	cr_assert_eq(pool->n_alive, 0);
	int64_t pid = take_i64(t_submit(pool, get_pid, mp_nil()));
	for (int i = 0; i < 3; i++)
		cr_assert_eq(take_i64(t_submit(pool, get_pid, mp_nil())), pid);
	cr_assert_eq(pool->n_alive, 1);
	t_pool_end(pool);
}

Test(pool_options, test_saturation)
{
	mp_pool *pool = pool_of(MP_POOL_OPTIONS(.workers = 3, .on_demand = true));
	mp_future *futures[45];
	int ends[2];

	T_OK(pipe2(ends, O_CLOEXEC));
	for (int i = 0; i < 45; i++)
		futures[i] = t_submit(pool, t_read_byte, MP_ARGS(mp_fd(ends[0])));
	cr_assert_eq(pool->n_alive, 3);
	for (int i = 0; i < 45; i++)
		cr_assert_eq(write(ends[1], "x", 1), 1);
	for (int i = 0; i < 45; i++)
		t_expect_i64(futures[i], 'x');
	t_pool_end(pool);
	close(ends[0]);
	close(ends[1]);
}

Test(pool_options, idle_workers_are_given_back_and_come_again)
{
	mp_pool *pool = pool_of(MP_POOL_OPTIONS(.workers = 2, .idle_ms = 1));

	for (int round = 0; round < 5; round++) {
		t_expect_i64(t_submit(pool, t_square, MP_ARGS(mp_i64(round))), round * round);
		while (pool->n_alive > 0) {
			mp_future *f = t_submit(pool, t_square, MP_ARGS(mp_i64(3)));
			mp_process *worker = pool->places[0].process ? pool->places[0].process
								     : pool->places[1].process;
			/* Taking a result may replace it, and its handle is gone then. */
			int pidfd = worker ? mp__pidfd_open(mp_process_pid(worker)) : -1;
			t_expect_i64(f, 9);
			if (pidfd < 0)
				continue;
			t_wait_pidfd(pidfd);
			close(pidfd);
			break;
		}
	}
	t_pool_end(pool);
}

Test(pool_options, killed_while_it_leaves_for_being_idle)
{
	t_arm("pool.leaving_idle", "kill");
	mp_pool *pool = pool_of(MP_POOL_OPTIONS(.workers = 1, .idle_ms = 1));

	for (int i = 0; i < 1000 || !t_fired(); i++)
		t_expect_i64(t_submit(pool, t_square, MP_ARGS(mp_i64(i))), (int64_t)i * i);
	t_expect_i64(t_submit(pool, t_square, MP_ARGS(mp_i64(3))), 9);
	t_pool_end(pool);
	t_disarm();
}

/* Nobody waits, nobody asks: the next submissions find the dead. */
Test(pool_options, dead_workers_are_replaced_though_nobody_waits)
{
	mp_pool *pool = t_pool(1);
	int64_t pid = take_i64(t_submit(pool, get_pid, mp_nil()));
	int ends[2];
	char byte;

	T_OK(pipe2(ends, O_CLOEXEC));
	T_OK(kill((pid_t)pid, SIGKILL));
	siginfo_t info;
	T_OK(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT));
	fcntl(ends[0], F_SETFL, O_NONBLOCK);
	do
		T_OK(mp_pool_submit(pool, t_write_pid, MP_ARGS(mp_fd(ends[1])), NULL));
	while (read(ends[0], &byte, 1) != 1);
	t_pool_end(pool);
	close(ends[0]);
	close(ends[1]);
}

/* --- shutdown, terminate ------------------------------------------------------------------------ */

Test(pool_options, test_run_after_shutdown)
{
	mp_pool *pool = t_pool(2);

	mp_future *f = t_submit(pool, t_square, MP_ARGS(mp_i64(3)));
	T_RESULT(mp_pool_shutdown(pool, 2), -EINVAL);
	T_RESULT(mp_pool_shutdown(NULL, 0), -EINVAL);
	T_OK(mp_pool_shutdown(pool, 0));
	T_OK(mp_pool_shutdown(pool, 0));
	T_RESULT(mp_pool_submit(pool, t_square, mp_nil(), NULL), -EPIPE);
	t_expect_i64(f, 9);
	T_OK(mp_pool_join(pool, T_TIMEOUT_MS));
	T_OK(mp_pool_close(pool));
}

Test(pool_options, test_cancel_futures)
{
	mp_pool *pool = t_pool(2);
	mp_future *futures[50];
	int cancelled = 0;
	int ends[2];

	T_OK(pipe2(ends, O_CLOEXEC));
	for (int i = 0; i < 50; i++)
		futures[i] = t_submit(pool, t_read_byte, MP_ARGS(mp_fd(ends[0])));
	while (mp_future_running(futures[0]) != 1)
		sched_yield();
	T_OK(mp_pool_shutdown(pool, MP_SHUTDOWN_CANCEL));
	close(ends[0]);
	for (int i = 0; i < 3; i++)
		cr_assert_eq(write(ends[1], "x", 1), 1);
	T_OK(mp_pool_join(pool, T_TIMEOUT_MS));
	for (int i = 0; i < 50; i++) {
		int r = mp_future_result(futures[i], MP_NOWAIT, NULL);
		cr_assert(r == 0 || r == -ECANCELED);
		cancelled += r == -ECANCELED;
		mp_future_close(futures[i]);
	}
	cr_assert_geq(cancelled, 47);
	close(ends[1]);
	T_OK(mp_pool_close(pool));
}

/* A worker that crashes after the shutdown: what is queued is done all the same. */
Test(pool_options, test_shutdown_deadlock)
{
	mp_pool *pool = t_pool(1);
	mp_future *crash = t_submit(pool, kill_self, mp_nil());
	mp_future *f[20];

	for (int i = 0; i < 20; i++)
		f[i] = t_submit(pool, t_square, MP_ARGS(mp_i64(i)));
	T_OK(mp_pool_shutdown(pool, 0));
	T_OK(mp_pool_join(pool, T_TIMEOUT_MS));
	t_expect_error(crash, -EOWNERDEAD, MP_FUTURE_CRASHED, "signal 9");
	for (int i = 0; i < 20; i++)
		t_expect_i64(f[i], i * i);
	T_OK(mp_pool_close(pool));
}

Test(pool_options, test_terminate)
{
	mp_pool *pool = t_pool(2);
	mp_future *f[50];

	for (int i = 0; i < 50; i++)
		f[i] = t_submit(pool, for_ever, mp_nil());
	T_RESULT(mp_pool_terminate(NULL), -EINVAL);
	T_OK(mp_pool_terminate(pool));
	T_OK(mp_pool_terminate(pool));
	for (int i = 0; i < 50; i++)
		t_expect_error(f[i], -ECANCELED, MP_FUTURE_CANCELLED, "terminated");
	T_RESULT(mp_pool_submit(pool, t_square, mp_nil(), NULL), -EPIPE);
	T_OK(mp_pool_join(pool, MP_NOWAIT));
	T_OK(mp_pool_close(pool));
}

static void terminate(mp_future *future, void *data)
{
	(void)future;
	T_OK(mp_pool_terminate(*(mp_pool **)data));
	*(mp_pool **)data = NULL;
}

Test(pool_options, callback_may_terminate)
{
	static const int methods[] = {MP_START_FORK, MP_START_THREAD};

	for (int m = 0; m < 2; m++) {
		mp_pool *pool = pool_of(MP_POOL_OPTIONS(.workers = 2, .start_method = methods[m]));
		mp_pool *argument = pool;
		mp_future *stuck[10];
		for (int i = 0; i < 10; i++)
			stuck[i] = i ? t_submit(pool, until_told, mp_nil())
				     : t_submit(pool, t_fail_at_13, MP_ARGS(mp_i64(12)));
		T_OK(mp_future_add_done_callback(stuck[0], terminate, &argument));
		T_RESULT(mp_future_wait(stuck, 10, MP_WAIT_ALL, T_TIMEOUT_MS), 10);
		cr_assert_null(argument);
		for (int i = 1; i < 10; i++) {
			/* A thread that runs ends by itself, with its own code. */
			int r = mp_future_result(stuck[i], MP_NOWAIT, NULL);
			T_RESULT(r, -ECANCELED);
		}
		for (int i = 0; i < 10; i++)
			mp_future_close(stuck[i]);
		t_pool_end(pool);
	}
}

static int use_in_child(void *argument)
{
	T_CHECK(mp_pool_shutdown(argument, 0) == -ECHILD);
	T_CHECK(mp_pool_terminate(argument) == -ECHILD);
	T_CHECK(mp_pool_apply(argument, t_square, mp_nil(), 0, NULL) == -ECHILD);
	T_CHECK(mp_pool_for(argument, NULL, 0, NULL, NULL) < 0);
	T_CHECK(mp_pool_close(argument) == -ECHILD);
	return 0;
}

Test(pool_options, forked_child_may_only_close)
{
	static const int methods[] = {MP_START_FORK, MP_START_THREAD};

	for (int m = 0; m < 2; m++) {
		mp_pool *pool = pool_of(MP_POOL_OPTIONS(.workers = 2, .start_method = methods[m]));
		struct t_child child = t_spawn(use_in_child, pool);
		t_expect_exit(&child, 0);
		t_expect_i64(t_submit(pool, t_square, MP_ARGS(mp_i64(3))), 9);
		t_pool_end(pool);
	}
}

/* --- threads ------------------------------------------------------------------------------------ */

static mp_pool *threads(int n)
{
	return pool_of(MP_POOL_OPTIONS(.workers = n, .start_method = MP_START_THREAD));
}

Test(pool_options, test_threads)
{
	mp_pool *pool = threads(3);
	mp_obj items[500];
	mp_obj results[500];

	cr_assert_eq(take_i64(t_submit(pool, get_pid, mp_nil())), getpid());
	for (int i = 0; i < 500; i++)
		items[i] = mp_i64(i);
	T_OK(mp_pool_map(pool, t_square, items, 500, 1, results));
	for (int i = 0; i < 500; i++)
		cr_assert_eq(mp_obj_i64(&results[i]), (int64_t)i * i);
	t_expect_error(t_submit(pool, t_fail_at_13, MP_ARGS(mp_i64(12))), -EDOM, MP_FUTURE_FAILED,
		"item 12");
	T_RESULT(mp_pool_submit_with(
			 pool, t_square, mp_nil(), MP_TASK_OPTIONS(.timeout_ms = 1), NULL),
		-ENOTSUP);
	t_pool_end(pool);
}

static int double_all(const mp_range *range)
{
	int *x = range->context;

	for (size_t i = range->begin; i < range->end; i++)
		x[i] *= 2;
	return 0;
}

Test(pool_options, loop_of_threads_uses_any_memory)
{
	mp_pool *pool = threads(2);
	int x[1000];

	for (int i = 0; i < 1000; i++)
		x[i] = i;
	T_OK(mp_pool_for(pool, double_all, 1000, x, NULL));
	for (int i = 0; i < 1000; i++)
		cr_assert_eq(x[i], 2 * i);
	t_pool_end(pool);
}

Test(pool_options, thread_that_runs_is_told_not_killed)
{
	mp_pool *pool = threads(1);
	int ends[2];
	char byte;

	T_OK(pipe2(ends, O_CLOEXEC));
	mp_future *f = t_submit(pool, until_told, MP_ARGS(mp_fd(ends[1])));
	mp_future *next = t_submit(pool, t_square, MP_ARGS(mp_i64(3)));
	T_OK(t_read_full(ends[0], &byte, 1));
	T_RESULT(mp_future_cancel(f, MP_CANCEL_KILL), -ENOTSUP);
	T_RESULT(mp_future_cancel(f, 0), 0);
	t_expect_error(f, -ECANCELED, MP_FUTURE_CANCELLED, "");
	t_expect_i64(next, 9);
	f = t_submit(pool, until_told, MP_ARGS(mp_fd(ends[1])));
	T_OK(t_read_full(ends[0], &byte, 1));
	T_OK(mp_pool_close(pool)); /* tells it, and waits */
	mp_future_close(f);
	close(ends[0]);
	close(ends[1]);
}

static int use_own_pool(int argc, const mp_obj *argv, mp_obj *ret)
{
	mp_pool *pool;

	(void)argc;
	memcpy(&pool, argv[0].as.bytes, sizeof(pool));
	if (mp_pool_join(pool, MP_FOREVER) != -EDEADLK || mp_pool_close(pool) != -EDEADLK)
		return -EIO;
	return mp_pool_apply(pool, t_square, MP_ARGS(mp_i64(5)), T_TIMEOUT_MS, ret);
}

Test(pool_options, task_in_a_thread_may_use_its_own_pool)
{
	mp_pool *pool = threads(2);

	t_expect_i64(t_submit(pool, use_own_pool, MP_ARGS(mp_bytes(&pool, sizeof(pool)))), 25);
	t_pool_end(pool);
}

static int end_thread(int argc, const mp_obj *argv, mp_obj *ret)
{
	(void)argc, (void)argv, (void)ret;
	pthread_exit(NULL);
}

Test(pool_options, thread_that_exits_costs_its_task)
{
	mp_pool *pool = threads(1);

	t_expect_error(t_submit(pool, end_thread, mp_nil()), -EOWNERDEAD, MP_FUTURE_CRASHED,
		"exited with code 0");
	t_expect_i64(t_submit(pool, t_square, MP_ARGS(mp_i64(3))), 9);
	t_pool_end(pool);
}

/* --- what a task is allowed ----------------------------------------------------------------------- */

Test(pool_options, task_is_tried_again_after_a_crash)
{
	mp_pool *pool = t_pool(2);
	mp_crash crash;

	for (size_t size = 1; size < 100000; size *= 40) {
		char *big = calloc(1, size);
		mp_obj result;
		mp_future *f;
		int ends[2];
		T_OK(pipe2(ends, O_CLOEXEC | O_NONBLOCK));
		cr_assert_eq(write(ends[1], "xx", 2), 2);
		mp_obj value = mp_bytes(big, size);
		T_OK(mp_pool_submit_with(pool, die_some_times, MP_ARGS(mp_fd(ends[0]), value),
			MP_TASK_OPTIONS(.retries = 3), &f));
		T_OK(mp_future_result(f, T_TIMEOUT_MS, &result));
		cr_assert(mp_obj_equal(&result, &value));
		mp_obj_free(&result);
		/* Both deaths are on record. */
		T_OK(mp_future_crash(f, 1, &crash));
		T_RESULT(mp_future_crash(f, 2, &crash), -ENOENT);
		mp_future_close(f);
		close(ends[0]);
		close(ends[1]);
		free(big);
	}
	t_pool_end(pool);
}

Test(pool_options, task_that_kills_its_workers_is_set_aside_with_the_evidence)
{
	mp_pool *pool = t_pool(1);
	mp_future *f;
	mp_crash crash[3];

	T_OK(mp_pool_submit_with(
		pool, kill_self, mp_nil(), MP_TASK_OPTIONS(.retries = 2, .name = "poison"), &f));
	T_RESULT(mp_future_result(f, T_TIMEOUT_MS, NULL), -EOWNERDEAD);
	cr_assert(strstr(mp_error_detail(), "set aside after it killed 3 workers"), "%s",
		mp_error_detail());
	for (int i = 0; i < 3; i++) {
		T_OK(mp_future_crash(f, i, &crash[i]));
		cr_assert_eq(crash[i].signal, SIGKILL);
		cr_assert_str_eq(crash[i].task_name, "poison");
		cr_assert(i == 0 || crash[i].pid != crash[i - 1].pid);
	}
	T_RESULT(mp_future_crash(f, 3, &crash[0]), -ENOENT);
	mp_future_close(f);
	t_expect_i64(t_submit(pool, t_square, MP_ARGS(mp_i64(3))), 9);
	t_pool_end(pool);
}

Test(pool_options, stuck_task_is_ended_at_its_deadline)
{
	mp_pool *pool = t_pool(1);
	mp_future *f;

	T_OK(mp_pool_submit_with(pool, for_ever, mp_nil(), MP_TASK_OPTIONS(.timeout_ms = 30), &f));
	t_expect_error(f, -ETIME, MP_FUTURE_CRASHED, "longer than its 30 ms");
	T_OK(mp_pool_submit_with(pool, for_ever, mp_nil(), MP_TASK_OPTIONS(.cpu_ms = 30), &f));
	t_expect_error(f, -ETIME, MP_FUTURE_CRASHED, "more than its 30 ms of CPU time");
	/* One that keeps its limits, and one after it without. */
	T_OK(mp_pool_submit_with(pool, t_square, MP_ARGS(mp_i64(3)),
		MP_TASK_OPTIONS(.timeout_ms = 60000, .cpu_ms = 60000), &f));
	t_expect_i64(f, 9);
	/* Another death is no deadline. */
	T_OK(mp_pool_submit_with(
		pool, kill_self, mp_nil(), MP_TASK_OPTIONS(.timeout_ms = 60000), &f));
	t_expect_error(f, -EOWNERDEAD, MP_FUTURE_CRASHED, "signal 9");
	t_pool_end(pool);
}

Test(pool_options, memory_of_a_task_is_limited)
{
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
	cr_skip_test("sanitizers need all of the address space");
#endif
	mp_pool *pool = t_pool(1);
	mp_future *f;
	mp_obj result;

	for (int limited = 0; limited < 2; limited++) {
		T_OK(mp_pool_submit_with(pool, allocate, MP_ARGS(mp_i64(64 << 20)),
			MP_TASK_OPTIONS(.memory = limited ? 1 << 20 : 0), &f));
		T_OK(mp_future_result(f, T_TIMEOUT_MS, &result));
		mp_obj yes = mp_bool(!limited);
		cr_assert(mp_obj_equal(&result, &yes));
		mp_future_close(f);
	}
	t_pool_end(pool);
}

static void note(mp_future *future, void *data)
{
	*(int *)data = mp_future_state(future);
}

Test(pool_options, options_of_a_task_are_checked)
{
	mp_pool *pool = t_pool(1);
	int state = -1;
	struct {
		mp_task_options options;
		int future_field;
	} newer = {.options = {.size = sizeof(newer)}, .future_field = 1};

	T_RESULT(
		mp_pool_submit_with(pool, t_square, mp_nil(), MP_TASK_OPTIONS(.retries = -1), NULL),
		-EINVAL);
	T_RESULT(mp_pool_submit_with(
			 pool, t_square, mp_nil(), MP_TASK_OPTIONS(.timeout_ms = -1), NULL),
		-EINVAL);
	T_RESULT(mp_pool_submit_with(pool, t_square, mp_nil(), MP_TASK_OPTIONS(.cpu_ms = -1), NULL),
		-EINVAL);
	T_RESULT(mp_pool_submit_with(pool, t_square, mp_nil(), MP_TASK_OPTIONS(.flags = 1), NULL),
		-EINVAL);
	T_RESULT(mp_pool_submit_with(pool, t_square, mp_nil(), &newer.options, NULL), -E2BIG);
	/* A callback without a handle. */
	T_OK(mp_pool_submit_with(pool, t_square, mp_nil(),
		MP_TASK_OPTIONS(.callback = note, .callback_data = &state), NULL));
	T_OK(mp_pool_join(pool, T_TIMEOUT_MS));
	cr_assert_eq(state, MP_FUTURE_DONE);
	T_OK(mp_pool_close(pool));
}
