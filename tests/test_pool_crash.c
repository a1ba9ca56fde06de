/* SPDX-License-Identifier: MIT */
/* Pools whose workers, or owner, die at every step: nobody hangs, nothing else is lost. */
#include <config.h>

#include "tests/support/pool.h"

#include "base/fds.h"
#include "pool/crew.h"
#include "pool/pool.h"
#include "pool/watch.h"

#include <fcntl.h>
#include <mp/handle.h>
#include <mp/log.h>
#include <pthread.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>

T_SUITE(pool_crash);

static int kill_self(int argc, const mp_obj *argv, mp_obj *ret)
{
	(void)ret;
	signal((int)mp_obj_i64(&argv[0]), SIG_DFL);
	raise((int)mp_obj_i64(&argv[0]));
	return argc;
}

static int call_exit(int argc, const mp_obj *argv, mp_obj *ret)
{
	(void)argc, (void)ret;
	_exit((int)mp_obj_i64(&argv[0]));
}

static int get_pid(int argc, const mp_obj *argv, mp_obj *ret)
{
	(void)argc, (void)argv;
	*ret = mp_i64(getpid());
	return 0;
}

static int write_byte(int argc, const mp_obj *argv, mp_obj *ret)
{
	(void)argc, (void)ret;
	return mp__write_full(mp_obj_fd(&argv[0]), "x", 1);
}

static int refuse(int argc, const mp_obj *argv, mp_obj *ret)
{
	(void)argc, (void)argv, (void)ret;
	return mp_error_set(-EACCES, "no licence for that");
}

static int refuse_once(int argc, const mp_obj *argv, mp_obj *ret)
{
	(void)argc, (void)ret;
	return unlink(mp_obj_str(&argv[0])) == 0 ? -EACCES : 0;
}

static int die_at_start(int argc, const mp_obj *argv, mp_obj *ret)
{
	(void)argc, (void)argv, (void)ret;
	raise(SIGKILL);
	return 0;
}

static void expect_crash(mp_future *f, const char *detail)
{
	T_RESULT(mp_future_result(f, T_TIMEOUT_MS, NULL), -EOWNERDEAD);
	cr_assert(strstr(mp_error_detail(), detail), "detail: %s", mp_error_detail());
	T_RESULT(mp_future_state(f), MP_FUTURE_CRASHED);
	mp_future_close(f);
}

/* --- tasks that take their worker with them --------------------------------------------------- */

Test(pool_crash, test_crash_during_func_exec_on_worker)
{
	mp_pool *pool = t_pool(1);

	expect_crash(t_submit(pool, kill_self, MP_ARGS(mp_i64(SIGKILL))), "-worker-1 (pid ");
	expect_crash(t_submit(pool, kill_self, MP_ARGS(mp_i64(SIGKILL))),
		"was killed by signal 9 (Killed) while it ran this task");
	t_expect_i64(t_submit(pool, t_square, MP_ARGS(mp_i64(3))), 9);
	t_pool_end(pool);
}

Test(pool_crash, test_exit_during_func_exec_on_worker)
{
	mp_pool *pool = t_pool(2);

	expect_crash(t_submit(pool, call_exit, MP_ARGS(mp_i64(5))), "exited with code 5");
	expect_crash(t_submit(pool, call_exit, MP_ARGS(mp_i64(0))), "exited with code 0");
	t_expect_i64(t_submit(pool, t_square, MP_ARGS(mp_i64(3))), 9);
	t_pool_end(pool);
}

Test(pool_crash, one_crash_leaves_all_other_tasks_alone)
{
	mp_pool *pool = t_pool(2);
	mp_future *futures[1000];

	for (int i = 0; i < 1000; i++) {
		if (i % 100 == 50)
			futures[i] = t_submit(pool, kill_self, MP_ARGS(mp_i64(SIGKILL)));
		else
			futures[i] = t_submit(pool, t_square, MP_ARGS(mp_i64(i)));
	}
	for (int i = 0; i < 1000; i++) {
		if (i % 100 == 50)
			expect_crash(futures[i], "signal 9");
		else
			t_expect_i64(futures[i], (int64_t)i * i);
	}
	t_pool_end(pool);
}

Test(pool_crash, test_crash_big_data)
{
	mp_pool *pool = t_pool(2);
	static char data[200000];
	mp_future *futures[10];

	for (int i = 0; i < 10; i++)
		futures[i] = t_submit(
			pool, kill_self, MP_ARGS(mp_i64(SIGKILL), mp_bytes(data, sizeof(data))));
	for (int i = 0; i < 10; i++)
		expect_crash(futures[i], "signal 9");
	t_expect_i64(t_submit(pool, t_square, MP_ARGS(mp_i64(3))), 9);
	t_pool_end(pool);
}

Test(pool_crash, crash_in_a_map_is_the_error_of_its_chunk)
{
	mp_pool *pool = t_pool(2);
	mp_obj items[] = {mp_i64(0), mp_i64(0), mp_i64(SIGKILL), mp_i64(0)};
	mp_obj results[4];

	T_RESULT(mp_pool_map(pool, kill_self, items, 4, 1, results), -EOWNERDEAD);
	t_pool_end(pool);
}

Test(pool_crash, test_shutdown_deadlock)
{
	mp_pool *pool = t_pool(2);
	mp_future *f = t_submit(pool, kill_self, MP_ARGS(mp_i64(SIGKILL)));

	T_OK(mp_pool_join(pool, T_TIMEOUT_MS));
	T_OK(mp_pool_close(pool));
	expect_crash(f, "signal 9");
}

Test(pool_crash, worker_is_replaced_under_the_same_number)
{
	mp_pool *pool = t_pool(1);
	mp_obj before;
	mp_obj after;
	mp_future *f = t_submit(pool, get_pid, mp_nil());

	T_OK(mp_future_result(f, T_TIMEOUT_MS, &before));
	mp_future_close(f);
	T_OK(kill((pid_t)mp_obj_i64(&before), SIGTERM));
	expect_crash(t_submit(pool, kill_self, MP_ARGS(mp_i64(SIGKILL))), "-worker-1 ");
	f = t_submit(pool, get_pid, mp_nil());
	T_OK(mp_future_result(f, T_TIMEOUT_MS, &after));
	mp_future_close(f);
	cr_assert_neq(mp_obj_i64(&before), mp_obj_i64(&after));
	T_RESULT(mp_pool_workers(pool), 1);
	t_pool_end(pool);
}

/* --- death at each step ----------------------------------------------------------------------- */

static void kill_stopped_child(void)
{
	siginfo_t info = {0};

	T_OK(waitid(P_ALL, 0, &info, WSTOPPED | WNOWAIT));
	T_OK(kill(info.si_pid, SIGKILL));
}

enum fate { WORKS, CRASHES, EITHER };

/*
 * Whoever reaches the point dies there, once; 50 tasks are pending then. One of them at most is
 * lost, if the point lies between claim and commit.
 */
static void die_at(const char *point, const char *action, enum fate fate, int workers)
{
	mp_pool *pool;
	mp_future *futures[50];
	int crashed = 0;

	t_arm(point, action);
	pool = t_pool(workers);
	/* Only a worker without work spins. */
	while (strcmp(point, "pool.spinning") == 0 && !t_fired())
		sched_yield();
	for (int i = 0; i < 50; i++)
		futures[i] = t_submit(pool, t_square, MP_ARGS(mp_i64(i)));
	if (strcmp(action, "stop") == 0)
		kill_stopped_child();
	for (int i = 0; i < 50; i++) {
		mp_obj result;
		int r = mp_future_result(futures[i], T_TIMEOUT_MS, &result);
		if (r == -EOWNERDEAD)
			crashed++;
		else
			cr_assert(r == 0 && mp_obj_i64(&result) == (int64_t)i * i, "%s: %d %s",
				point, r, mp_error_detail());
		mp_future_close(futures[i]);
	}
	t_wait_fired(point);
	cr_assert(crashed == (fate == CRASHES), "%s %s: %d tasks crashed", point, action, crashed);
	t_pool_end(pool);
	t_disarm();
}

static void die_at_in_all_ways(const char *point, enum fate fate)
{
	for (int workers = 1; workers <= 2; workers++) {
		die_at(point, "kill", fate, workers);
		die_at(point, "stop", fate, workers);
		die_at(point, "exit", fate, workers);
	}
}

Test(pool_crash, worker_dies_before_it_is_ready)
{
	die_at_in_all_ways("pool.initializer", WORKS);
}

Test(pool_crash, worker_dies_before_it_claims)
{
	die_at_in_all_ways("pool.before_claim", WORKS);
}

Test(pool_crash, worker_dies_while_it_spins)
{
	cpu_set_t set;

	if (sched_getaffinity(0, sizeof(set), &set) == 0 && CPU_COUNT(&set) < 2)
		cr_skip_test("only one CPU: nobody spins");
	die_at_in_all_ways("pool.spinning", WORKS);
}

Test(pool_crash, worker_that_stops_while_it_spins_keeps_nobody)
{
	cpu_set_t set;
	siginfo_t info = {0};

	if (sched_getaffinity(0, sizeof(set), &set) == 0 && CPU_COUNT(&set) < 2)
		cr_skip_test("only one CPU: nobody spins");
	t_arm("pool.spinning", "stop");
	mp_pool *pool = t_pool(2);
	T_OK(waitid(P_ALL, 0, &info, WSTOPPED | WNOWAIT));
	for (int i = 0; i < 100; i++)
		t_expect_i64(t_submit(pool, t_square, MP_ARGS(mp_i64(i))), (int64_t)i * i);
	T_OK(kill(info.si_pid, SIGKILL));
	t_pool_end(pool);
	t_disarm();
}

Test(pool_crash, worker_dies_after_it_claimed)
{
	die_at_in_all_ways("pool.claimed", CRASHES);
}

Test(pool_crash, worker_dies_before_it_commits)
{
	die_at_in_all_ways("pool.before_commit", CRASHES);
}

Test(pool_crash, worker_dies_after_it_committed)
{
	die_at_in_all_ways("pool.committed", WORKS);
}

Test(pool_crash, worker_dies_before_it_wakes)
{
	die_at_in_all_ways("pool.before_wake", WORKS);
}

/* Reached only when the owner sleeps: one task after the other. Who is watched does not nap. */
static void die_while_waking(const char *point, const char *action, bool watched)
{
	t_arm(point, action);
	mp_pool *pool = t_pool(1);
	if (watched)
		mp__pool_watch_begin(pool);
	for (int n = 0; n < 100 || !t_fired(); n++)
		t_expect_i64(t_submit(pool, t_square, MP_ARGS(mp_i64(n))), (int64_t)n * n);
	if (watched)
		mp__pool_watch_end(pool);
	t_pool_end(pool);
	t_disarm();
}

Test(pool_crash, worker_dies_while_it_wakes)
{
	static const char *const points[] = {"pool.waking", "pool.woken"};

	for (int i = 0; i < 8; i++)
		die_while_waking(points[i & 1], i & 2 ? "kill" : "exit", i & 4);
}

/* After this the kernel tells no napping owner of our death. */
static int use_robust_mutex_and_die(int argc, const mp_obj *argv, mp_obj *ret)
{
	pthread_mutexattr_t attributes;
	pthread_mutex_t mutex;

	(void)argc, (void)argv, (void)ret;
	if (pthread_mutexattr_init(&attributes) == 0 &&
		pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST) == 0 &&
		pthread_mutex_init(&mutex, &attributes) == 0 && pthread_mutex_lock(&mutex) == 0 &&
		pthread_mutex_unlock(&mutex) == 0)
		raise(SIGKILL);
	return -EIO;
}

Test(pool_crash, death_is_noticed_when_the_kernel_says_nothing_to_who_naps)
{
	mp_pool *pool = t_pool(1);

	t_expect_i64(t_submit(pool, t_square, MP_ARGS(mp_i64(3))), 9);
	for (int i = 0; i < 5; i++)
		expect_crash(t_submit(pool, use_robust_mutex_and_die, mp_nil()), "signal 9");
	t_expect_i64(t_submit(pool, t_square, MP_ARGS(mp_i64(3))), 9);
	t_pool_end(pool);
}

Test(pool_crash, worker_dies_with_descriptors_of_a_task_in_hand)
{
	static const char *const actions[] = {"kill", "stop", "exit"};
	int ends[2];
	char byte;

	for (int a = 0; a < 3; a++) {
		mp_future *futures[20];
		T_OK(pipe2(ends, O_CLOEXEC));
		t_arm("pool.cargo_received", actions[a]);
		mp_pool *pool = t_pool(2);
		for (int i = 0; i < 20; i++)
			futures[i] = t_submit(pool, write_byte, MP_ARGS(mp_fd(ends[1])));
		if (strcmp(actions[a], "stop") == 0)
			kill_stopped_child();
		for (int i = 0; i < 20; i++) {
			T_OK(mp_future_result(futures[i], T_TIMEOUT_MS, NULL));
			mp_future_close(futures[i]);
			T_OK(t_read_full(ends[0], &byte, 1));
		}
		cr_assert(t_fired());
		t_disarm();
		t_pool_end(pool);
		close(ends[0]);
		close(ends[1]);
	}
}

Test(pool_crash, worker_stops_with_the_token_of_a_message)
{
	int ends[2];
	char byte;

	T_OK(pipe2(ends, O_CLOEXEC));
	t_arm("pool.token_taken", "stop");
	mp_pool *pool = t_pool(2);
	mp_future *f = t_submit(pool, write_byte, MP_ARGS(mp_fd(ends[1])));
	siginfo_t info = {0};
	T_OK(waitid(P_ALL, 0, &info, WSTOPPED | WNOWAIT));
	/* It is not dead, and has not taken the task: the other worker runs it. */
	T_OK(mp_future_result(f, T_TIMEOUT_MS, NULL));
	mp_future_close(f);
	T_OK(t_read_full(ends[0], &byte, 1));
	T_OK(kill(info.si_pid, SIGKILL));
	t_pool_end(pool);
	t_disarm();
	close(ends[0]);
	close(ends[1]);
}

static int long_result(int argc, const mp_obj *argv, mp_obj *ret)
{
	static char data[1 << 20];

	(void)argc, (void)argv;
	*ret = mp_bytes(data, sizeof(data));
	return 0;
}

Test(pool_crash, long_result_of_a_dead_worker_takes_no_memory)
{
	struct stat st;

	t_arm("pool.before_commit", "kill");
	mp_pool *pool = t_pool(1);
	expect_crash(t_submit(pool, long_result, mp_nil()), "signal 9");
	T_OK(fstat(pool->seg.payload_fd, &st));
	cr_assert(st.st_blocks < 16, "%ld blocks of payload are left", (long)st.st_blocks);
	t_pool_end(pool);
	t_disarm();
}

/* --- initializers ----------------------------------------------------------------------------- */

Test(pool_crash, test_failing_initializer)
{
	mp_pool *pool;
	mp_future *f;

	T_OK(mp_pool_new(MP_POOL_OPTIONS(.workers = 2, .initializer = refuse), &pool));
	f = t_submit(pool, t_square, MP_ARGS(mp_i64(1)));
	expect_crash(f, "initializer failed with -13: no licence for that");
	T_RESULT(mp_pool_submit(pool, t_square, MP_ARGS(mp_i64(1)), &f), -EPIPE);
	cr_assert(strstr(mp_error_detail(), "no licence"), "%s", mp_error_detail());
	mp_obj item = mp_i64(1);
	mp_obj result;
	T_RESULT(mp_pool_map(pool, t_square, &item, 1, 0, &result), -EPIPE);
	t_pool_end(pool);
}

Test(pool_crash, initializer_that_kills_its_worker_breaks_the_pool)
{
	const char *news = "signal 9 (Killed) before it was";
	mp_future *f;
	mp_pool *pool;

	T_OK(mp_pool_new(MP_POOL_OPTIONS(.workers = 20, .initializer = die_at_start), &pool));
	/* They may all have died before. */
	int r = mp_pool_submit(pool, t_square, MP_ARGS(mp_i64(1)), &f);
	if (r == 0) {
		expect_crash(f, news);
	} else {
		T_RESULT(r, -EPIPE);
		cr_assert(strstr(mp_error_detail(), news), "%s", mp_error_detail());
	}
	T_OK(mp_pool_join(pool, MP_NOWAIT));
	T_OK(mp_pool_close(pool));
}

Test(pool_crash, initializer_that_fails_once_is_tried_again)
{
	mp_pool *pool;
	char path[64];

	snprintf(path, sizeof(path), "/tmp/mp-test-pool-%d", getpid());
	int fd = open(path, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600);
	cr_assert(fd >= 0);
	close(fd);
	T_OK(mp_pool_new(MP_POOL_OPTIONS(.workers = 1, .initializer = refuse_once,
				 .initializer_args = MP_ARGS(mp_str(path))),
		&pool));
	t_expect_i64(t_submit(pool, t_square, MP_ARGS(mp_i64(4))), 16);
	cr_assert(access(path, F_OK) < 0);
	t_pool_end(pool);
}

static int logged;

static void count_log(int level, const char *component, const char *message, void *data)
{
	(void)level, (void)message;
	/* The handler may use the pool. */
	if (strcmp(component, "pool") == 0 && mp_pool_workers(*(mp_pool **)data) == 1)
		logged++;
}

Test(pool_crash, failing_initializer_is_logged)
{
	mp_pool *pool;

	T_OK(mp_log_set_handler(MP_LOG_WARNING, count_log, &pool));
	T_OK(mp_pool_new(MP_POOL_OPTIONS(.workers = 1, .initializer = refuse), &pool));
	expect_crash(t_submit(pool, t_square, MP_ARGS(mp_i64(1))), "no licence");
	cr_assert_eq(logged, (int)MP__POOL_FAILURES);
	t_pool_end(pool);
}

/* --- the owner -------------------------------------------------------------------------------- */

struct owner {
	_Atomic int pids[4];
};

static int own_and_hang(void *shared)
{
	struct owner *o = shared;
	mp_pool *pool;
	mp_future *futures[4];
	int ends[2];

	T_CHECK(pipe2(ends, O_CLOEXEC) == 0);
	T_CHECK(mp_pool_new(MP_POOL_OPTIONS(.workers = 4), &pool) == 0);
	for (int i = 0; i < 4; i++) {
		atomic_store(&o->pids[i], mp_process_pid(pool->places[i].process));
		T_CHECK(mp_pool_submit(pool, i < 2 ? t_read_byte : t_square,
				MP_ARGS(i < 2 ? mp_fd(ends[0]) : mp_i64(1)), &futures[i]) == 0);
	}
	while (mp_future_state(futures[0]) != MP_FUTURE_RUNNING ||
		mp_future_state(futures[1]) != MP_FUTURE_RUNNING)
		sched_yield();
	t_ready();
	t_hang();
}

Test(pool_crash, workers_end_with_a_killed_owner)
{
	struct owner *o =
		mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	int pidfds[4];

	cr_assert(o != MAP_FAILED);
	struct t_child child = t_spawn(own_and_hang, o);
	t_wait_ready(&child);
	for (int i = 0; i < 4; i++) {
		pidfds[i] = mp__pidfd_open(atomic_load(&o->pids[i]));
		cr_assert(pidfds[i] >= 0);
	}
	t_kill(&child, SIGKILL);
	for (int i = 0; i < 4; i++) {
		t_wait_pidfd(pidfds[i]);
		close(pidfds[i]);
	}
	munmap(o, 4096);
}

/* --- storm and start methods ------------------------------------------------------------------ */

/* Many tasks while workers are killed at random: every future ends, every result is right. */
static void storm(int start_method, int most)
{
	mp_future **futures = calloc((size_t)most, sizeof(mp_future *));
	unsigned seed = (unsigned)getpid();
	mp_pool *pool;
	int crashed = 0;
	int kills = 0;
	int n;

	T_OK(mp_pool_new(MP_POOL_OPTIONS(.workers = 3, .start_method = start_method), &pool));
	for (n = 0; t_again(n, most); n++) {
		futures[n] = t_submit(pool, t_square, MP_ARGS(mp_i64(n)));
		if (rand_r(&seed) % 50 > 0)
			continue;
		mp_process *victim = pool->places[(unsigned)rand_r(&seed) % 3].process;
		if (victim && mp_process_kill(victim) == 0)
			kills++;
		if (n >= 100) /* waiting replaces the dead */
			cr_assert(mp_future_result(futures[n - 100], T_TIMEOUT_MS, NULL) !=
				  -ETIMEDOUT);
	}
	for (int i = 0; i < n; i++) {
		mp_obj result;
		int r = mp_future_result(futures[i], T_TIMEOUT_MS, &result);
		if (r == -EOWNERDEAD)
			crashed++;
		else
			cr_assert(r == 0 && mp_obj_i64(&result) == (int64_t)i * i, "task %d: %d %s",
				i, r, mp_error_detail());
		mp_future_close(futures[i]);
	}
	cr_assert(crashed <= kills, "%d kills ended %d tasks", kills, crashed);
	free(futures);
	t_pool_end(pool);
}

Test(pool_crash, killed_child_storm)
{
	storm(MP_START_FORK, 10000);
}

Test(pool_crash, killed_child_storm_spawn)
{
	storm(MP_START_SPAWN, 2000);
}

Test(pool_crash, killed_child_storm_forkserver)
{
	storm(MP_START_FORKSERVER, 2000);
}

/* Everything that a worker needs travels: task, arguments, descriptors, initializer. */
static void use_method(int start_method)
{
	mp_pool *pool;
	int ends[2];
	char byte;

	T_OK(pipe2(ends, O_CLOEXEC));
	T_OK(mp_pool_new(
		MP_POOL_OPTIONS(.workers = 2, .start_method = start_method,
			.initializer = write_byte, .initializer_args = MP_ARGS(mp_fd(ends[1]))),
		&pool));
	for (int i = 0; i < 20; i++) {
		mp_future *f = t_submit(pool, write_byte, MP_ARGS(mp_fd(ends[1])));
		t_expect_i64(t_submit(pool, t_square, MP_ARGS(mp_i64(i))), (int64_t)i * i);
		T_OK(mp_future_result(f, T_TIMEOUT_MS, NULL));
		mp_future_close(f);
	}
	expect_crash(t_submit(pool, kill_self, MP_ARGS(mp_i64(SIGKILL))), "signal 9");
	expect_crash(t_submit(pool, call_exit, MP_ARGS(mp_i64(3))), "exited with code 3");
	t_expect_i64(t_submit(pool, t_square, MP_ARGS(mp_i64(5))), 25);
	for (int i = 0; i < 22; i++)
		T_OK(t_read_full(ends[0], &byte, 1));
	t_pool_end(pool);
	close(ends[0]);
	close(ends[1]);
}

Test(pool_crash, works_with_fork)
{
	use_method(MP_START_FORK);
}

Test(pool_crash, works_with_spawn)
{
	use_method(MP_START_SPAWN);
}

Test(pool_crash, works_with_forkserver)
{
	use_method(MP_START_FORKSERVER);
}
