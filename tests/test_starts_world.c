/* SPDX-License-Identifier: MIT */
/* Starts in a process that is in an odd state: streams in use, descriptors closed, limits set. */
#include <config.h>

#include "tests/support/starts.h"

#include <fcntl.h>
#include <mp/pool.h>
#include <pthread.h>
#include <sched.h>
#include <sys/resource.h>
#include <sys/wait.h>

T_SUITE(starts_world);

static int double_it(int argc, const mp_obj *argv, mp_obj *ret)
{
	(void)argc;
	*ret = mp_i64(2 * mp_obj_i64(&argv[0]));
	return 0;
}

/* --- standard descriptors ------------------------------------------------------------------------ */

static void check_process(int method)
{
	mp_process *p;
	int code = -1;

	T_CHECK(mp_process_new(return_it, MP_ARGS(mp_i64(5)),
			MP_PROCESS_OPTIONS(.start_method = method, .daemon = true), &p) == 0);
	T_CHECK(mp_process_start(p) == 0);
	T_CHECK(mp_process_join(p, T_TIMEOUT_MS) == 0);
	T_CHECK(mp_process_exit_code(p, &code) == 0 && code == 5);
	T_CHECK(mp_process_close(p) == 0);
}

static void check_pool(int method, int closed)
{
	mp_pool *pool;
	mp_future *f;
	mp_obj result;

	T_CHECK(mp_pool_new(MP_POOL_OPTIONS(.workers = 1, .start_method = method), &pool) == 0);
	for (int fd = 0; fd < 3; fd++)
		T_CHECK((closed >> fd & 1) == 0 || fcntl(fd, F_GETFD) < 0);
	T_CHECK(mp_pool_submit(pool, double_it, MP_ARGS(mp_i64(4)), &f) == 0);
	T_CHECK(mp_future_result(f, T_TIMEOUT_MS, &result) == 0 && mp_obj_i64(&result) == 8);
	mp_future_close(f);
	T_CHECK(mp_pool_close(pool) == 0);
}

static int without_std(void *argument)
{
	int method = *(int *)argument / 8;
	int closed = *(int *)argument % 8;

	for (int fd = 0; fd < 3; fd++) {
		if (closed >> fd & 1)
			close(fd);
	}
	check_process(method);
	check_pool(method, closed);
	return 0;
}

/* Whoever prints does not print into a pool, and no child's /dev/null takes the place of ours. */
EACH_METHOD(starts_world, closed_standard_descriptors_stay_closed)
{
	for (int closed = 1; closed < 8; closed++) {
		int argument = method * 8 + closed;
		struct t_child child = t_spawn(without_std, &argument);
		t_expect_exit(&child, 0);
	}
}

/* --- streams -------------------------------------------------------------------------------------- */

static void *read_line(void *stream)
{
	char line[16];

	return fgets(line, sizeof(line), stream);
}

Test(starts_world, thread_that_reads_a_stream_holds_up_no_start)
{
	int ends[2];
	pthread_t thread;

	T_OK(pipe2(ends, O_CLOEXEC));
	FILE *stream = fdopen(ends[0], "r");
	cr_assert_not_null(stream);
	T_OK(pthread_create(&thread, NULL, read_line, stream));
	while (ftrylockfile(stream) == 0) {
		funlockfile(stream);
		sched_yield();
	}
	finish(start(return_it, MP_ARGS(mp_i64(5)), BY(MP_START_FORK)), 5);
	cr_assert(write(ends[1], "\n", 1) == 1);
	T_OK(pthread_join(thread, NULL));
	fclose(stream);
	close(ends[1]);
}

static void *do_nothing(void *unused)
{
	return unused;
}

/* With and without another thread at the start. */
static void expect_written_once(bool with_thread)
{
	int ends[2];
	char text[16];
	pthread_t thread;

	T_CHECK(pipe2(ends, O_CLOEXEC) == 0);
	FILE *stream = fdopen(ends[1], "w");
	T_CHECK(stream != NULL);
	if (with_thread)
		T_CHECK(pthread_create(&thread, NULL, do_nothing, NULL) == 0);
	T_CHECK(fputs("once", stream) >= 0);
	finish(start(return_it, MP_ARGS(mp_i64(5)), BY(MP_START_FORK)), 5);
	fclose(stream);
	T_CHECK(read(ends[0], text, sizeof(text)) == 4 && read(ends[0], text, sizeof(text)) == 0);
	close(ends[0]);
	if (with_thread)
		T_CHECK(pthread_join(thread, NULL) == 0);
}

static int write_once(void *unused)
{
	(void)unused;
	expect_written_once(false);
	expect_written_once(true);
	return 0;
}

Test(starts_world, what_a_stream_holds_at_a_start_is_written_once)
{
	struct t_child child = t_spawn(write_once, NULL);

	t_expect_exit(&child, 0);
}

/* --- a stopped server ----------------------------------------------------------------------------- */

static pid_t parent_of(pid_t pid)
{
	pid_t parent;

	cr_assert(t_stat(pid, NULL, &parent));
	return parent;
}

Test(starts_world, stopped_server_holds_up_few_looks_at_its_child)
{
	mp_process *p = start(hang, mp_nil(), BY(MP_START_FORKSERVER));
	pid_t server = parent_of(mp_process_pid(p));

	cr_assert(server > 1 && server != getpid());
	T_OK(kill(server, SIGSTOP));
	T_OK(mp_process_kill(p));
	t_wait_pidfd(mp_process_sentinel(p));
	/* The first may take a second. */
	mp__deadline limit = mp__deadline_in(20000);
	for (int i = 0; i < 40; i++)
		T_RESULT(mp_process_join(p, MP_NOWAIT), -ETIMEDOUT);
	cr_assert(!mp__deadline_passed(limit), "each look waits for the server");
	T_OK(kill(server, SIGCONT));
	finish(p, -SIGKILL);
}

/* --- limits --------------------------------------------------------------------------------------- */

static int limited(void *argument)
{
	struct rlimit limit = {.rlim_cur = 4096, .rlim_max = 4096};
	static char data[10000];
	int method = *(int *)argument;
	mp_process *p;

	T_CHECK(setrlimit(RLIMIT_FSIZE, &limit) == 0);
	T_CHECK(mp_process_new(return_it, MP_ARGS(mp_i64(5), mp_bytes(data, sizeof(data))),
			BY(method), &p) == 0);
	T_CHECK(mp_process_start(p) == -EMSGSIZE);
	T_CHECK(strstr(mp_error_detail(), "RLIMIT_FSIZE") != NULL);
	T_CHECK(mp_process_close(p) == 0);
	check_process(method);
	return 0;
}

Test(starts_world, file_size_limit_is_an_error_not_a_signal)
{
	for (int method = MP_START_SPAWN; method <= MP_START_FORKSERVER; method++) {
		struct t_child child = t_spawn(limited, &method);
		t_expect_exit(&child, 0);
	}
}

/* --- children of children ------------------------------------------------------------------------- */

static int return_twice(int argc, const mp_obj *argv)
{
	(void)argc, (void)argv;
	pid_t pid = fork();
	if (pid > 0)
		waitpid(pid, NULL, 0);
	return pid > 0 ? 5 : 6;
}

EACH_METHOD(starts_world, child_that_a_target_forked_does_not_speak_for_it)
{
	finish(start(return_twice, mp_nil(), BY(method)), 5);
}

/* --- no process left ------------------------------------------------------------------------------- */

/* The limit does not hold for root. */
static int start_beyond_the_limit(void *arg)
{
	int method = (int)(intptr_t)arg;
	struct rlimit all;
	mp_process *p;
	int code = 0;

	T_CHECK(getuid() != 0 || setuid(65534) == 0);
	T_CHECK(getrlimit(RLIMIT_NPROC, &all) == 0);
	struct rlimit none = {.rlim_cur = 0, .rlim_max = all.rlim_max};
	T_CHECK(mp_process_new(return_it, MP_ARGS(mp_i64(5)),
			MP_PROCESS_OPTIONS(.start_method = method,
				.daemon = method != MP_START_THREAD),
			&p) == 0);
	T_CHECK(setrlimit(RLIMIT_NPROC, &none) == 0);
	int fds = t_count_fds();
	for (int i = 0; i < 3; i++) {
		T_CHECK(mp_process_start(p) == -EAGAIN);
		T_CHECK(mp_process_pid(p) == -EINVAL);
		T_CHECK(t_count_fds() == fds);
	}
	T_CHECK(setrlimit(RLIMIT_NPROC, &all) == 0);
	/* Another user's program need not be ours to execute. */
	if (method == MP_START_FORK || method == MP_START_THREAD) {
		T_CHECK(mp_process_start(p) == 0 && mp_process_join(p, T_TIMEOUT_MS / 2) == 0);
		T_CHECK(mp_process_exit_code(p, &code) == 0 && code == 5);
	}
	T_CHECK(mp_process_close(p) == 0);
	return 0;
}

/* In the server: root would be spared. */
static int become_somebody_without_processes(int argc, const mp_obj *argv)
{
	struct rlimit limit;

	(void)argc;
	(void)argv;
	if (getrlimit(RLIMIT_NPROC, &limit) < 0)
		return -errno;
	limit.rlim_cur = 0;
	if (setrlimit(RLIMIT_NPROC, &limit) < 0 || (getuid() == 0 && setuid(65534) < 0))
		return -errno;
	return 0;
}

static int parent_of_this(int argc, const mp_obj *argv)
{
	pid_t parent = getppid();

	T_CHECK(argc == 1 && write(mp_obj_fd(&argv[0]), &parent, sizeof(parent)) > 0);
	return 5;
}

/* The one child of this process. */
static pid_t find_server(void)
{
	char path[64];
	pid_t pid = 0;

	snprintf(path, sizeof(path), "/proc/self/task/%d/children", gettid());
	FILE *f = fopen(path, "re");
	if (!f)
		cr_skip_test("no %s", path);
	cr_assert(fscanf(f, "%d", &pid) == 1);
	fclose(f);
	return pid;
}

Test(starts_world, no_process_left_for_the_server)
{
	struct rlimit many = {RLIM_INFINITY, RLIM_INFINITY};
	mp_process *p;
	int tell[2];
	pid_t parent;

	cr_assert(pipe2(tell, O_CLOEXEC) == 0);
	T_OK(mp_forkserver_preload(become_somebody_without_processes, mp_nil()));
	T_OK(mp_process_new(parent_of_this, MP_ARGS(mp_fd(tell[1])), BY(MP_START_FORKSERVER), &p));
	T_RESULT(mp_process_start(p), -EAGAIN);
	int fds = t_count_fds();
	T_RESULT(mp_process_start(p), -EAGAIN);
	T_RESULT(mp_process_pid(p), -EINVAL);
	cr_assert_eq(t_count_fds(), fds);
	/* It serves on. */
	pid_t server = find_server();
	if (prlimit(server, RLIMIT_NPROC, &many, NULL) == 0) {
		T_OK(mp_process_start(p));
		finish(p, 5);
		T_OK(t_read_full(tell[0], &parent, sizeof(parent)));
		cr_assert_eq(parent, server);
	} else {
		T_OK(mp_process_close(p));
	}
	T_OK(mp_forkserver_preload(NULL, mp_nil()));
	mp__fds_close(tell, 2);
}

static void expect_limit(int method)
{
	struct t_child child = t_spawn(start_beyond_the_limit, (void *)(intptr_t)method);

	t_expect_exit(&child, 0);
}

EACH_METHOD(starts_world, no_process_left)
{
	expect_limit(method);
}

Test(starts_world, no_thread_left)
{
	expect_limit(MP_START_THREAD);
}
