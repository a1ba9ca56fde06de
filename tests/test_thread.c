/* SPDX-License-Identifier: MIT */
/* The start method thread: what a process handle does when there is no process. */
#include <config.h>

#include "tests/support/starts.h"

#include <fcntl.h>
#include <mp/pool.h>
#include <poll.h>
#include <pthread.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>

T_SUITE(thread);

#define THREAD BY(MP_START_THREAD)

/* Pipes that the tests hold their threads with. */
static int go[2];

static void open_go(void)
{
	cr_assert(pipe2(go, O_CLOEXEC) == 0);
}

static void let_go(void)
{
	cr_assert(write(go[1], "x", 1) == 1);
}

static int wait_for_go(int argc, const mp_obj *argv)
{
	char byte;

	return read(go[0], &byte, 1) == 1 ? return_it(argc, argv) : 1;
}

static int shared;

static int share(int argc, const mp_obj *argv)
{
	(void)argc;
	shared += (int)mp_obj_i64(&argv[0]);
	return getpid() == mp_obj_i64(&argv[1]) ? 7 : 1;
}

Test(thread, test_process)
{
	mp_process *p;
	int code = 77;

	T_OK(mp_process_new(share, MP_ARGS(mp_i64(5), mp_i64(getpid())), THREAD, &p));
	T_RESULT(mp_process_is_alive(p), 0);
	T_RESULT(mp_process_exit_code(p, &code), -EINVAL);
	T_RESULT(mp_process_pid(p), -EINVAL);
	T_RESULT(mp_process_kill(p), -EINVAL);
	T_OK(mp_process_start(p));
	T_RESULT(mp_process_pid(p), getpid());
	T_OK(mp_process_join(p, T_TIMEOUT_MS / 2));
	T_OK(mp_process_join(p, MP_NOWAIT));
	cr_assert_eq(shared, 5);
	T_RESULT(mp_process_is_alive(p), 0);
	T_RESULT(mp_process_start(p), -EALREADY);
	finish(p, 7);
}

static int leave_by_pthread_exit(int argc, const mp_obj *argv)
{
	(void)argc;
	pthread_exit((void *)(intptr_t)mp_obj_i64(&argv[0]));
}

Test(thread, exit_codes_are_those_of_processes)
{
	finish(start(return_it, MP_ARGS(mp_i64(0)), THREAD), 0);
	finish(start(return_it, MP_ARGS(mp_i64(255)), THREAD), 255);
	finish(start(return_it, MP_ARGS(mp_i64(256 + 3)), THREAD), 3);
	finish(start(return_it, MP_ARGS(mp_i64(-1)), THREAD), 255);
	finish(start(leave_by_pthread_exit, MP_ARGS(mp_i64(9)), THREAD), 9);
}

Test(thread, test_is_alive_and_sentinel)
{
	open_go();
	mp_process *p = start(wait_for_go, MP_ARGS(mp_i64(4)), THREAD);
	int fd = mp_process_sentinel(p);
	int code = 0;

	cr_assert(fcntl(fd, F_GETFD) == FD_CLOEXEC);
	T_RESULT(mp__fd_wait(fd, POLLIN, mp__deadline_in(0)), -ETIMEDOUT);
	T_RESULT(mp_process_is_alive(p), 1);
	T_RESULT(mp_process_join(p, MP_NOWAIT), -ETIMEDOUT);
	T_RESULT(mp_process_join(p, 1), -ETIMEDOUT);
	T_RESULT(mp_process_exit_code(p, &code), -EAGAIN);
	T_RESULT(mp_process_close(p), -EBUSY);
	let_go();
	T_OK(mp__fd_wait(fd, POLLIN, mp__deadline_in(T_TIMEOUT_MS / 2)));
	T_RESULT(mp_process_is_alive(p), 0);
	finish(p, 4);
	mp__fds_close(go, 2);
}

Test(thread, signals_are_refused)
{
	open_go();
	mp_process *p = start(wait_for_go, mp_nil(), THREAD);

	T_RESULT(mp_process_terminate(p), -ENOTSUP);
	T_RESULT(mp_process_kill(p), -ENOTSUP);
	T_RESULT(mp_process_interrupt(p), -ENOTSUP);
	T_RESULT(mp_process_signal(p, 0), -ENOTSUP);
	T_RESULT(mp_process_is_alive(p), 1);
	let_go();
	T_OK(mp_process_join(p, T_TIMEOUT_MS / 2));
	T_RESULT(mp_process_kill(p), -ENOTSUP);
	finish(p, 0);
	mp__fds_close(go, 2);
}

static mp_process *myself;

static int join_myself(int argc, const mp_obj *argv)
{
	int code = wait_for_go(argc, argv);

	if (mp_process_join(myself, MP_FOREVER) != -EDEADLK)
		return 1;
	return mp_process_close(myself) == -EBUSY ? code : 2;
}

Test(thread, join_of_itself_is_refused)
{
	open_go();
	myself = start(join_myself, MP_ARGS(mp_i64(6)), THREAD);
	let_go();
	finish(myself, 6);
	mp__fds_close(go, 2);
}

static int check_names(int argc, const mp_obj *argv)
{
	char name[17] = "";

	(void)argc;
	prctl(PR_GET_NAME, name);
	if (strncmp(name, mp_obj_str(&argv[0]), 15) != 0)
		return 1;
	return strcmp(mp_process_current_name(), mp_obj_str(&argv[0])) == 0 ? 0 : 2;
}

Test(thread, test_thread_name)
{
	static const char name[] = "a rather long name";

	finish(start(check_names, MP_ARGS(mp_str(name)),
		       MP_PROCESS_OPTIONS(.name = name, .start_method = MP_START_THREAD)),
		0);
	finish(start(check_names, MP_ARGS(mp_str("Process-2")), THREAD), 0);
	cr_assert_str_eq(mp_process_current_name(), "MainProcess");
}

static int forked_is_named(int argc, const mp_obj *argv)
{
	(void)argc;
	(void)argv;
	T_CHECK(strcmp(mp_process_current_name(), "Process-2") == 0);
	T_CHECK(strcmp(mp_parent_name(), "MainProcess") == 0);
	T_CHECK(mp_parent_pid() == getppid());
	T_CHECK(mp_process_children(NULL, 0) == 0);
	return 0;
}

static int fork_in_thread(int argc, const mp_obj *argv)
{
	mp_process *p;
	int code = 1;

	(void)argc;
	(void)argv;
	if (mp_process_new(forked_is_named, mp_nil(), BY(MP_START_FORK), &p) < 0 ||
		mp_process_start(p) < 0)
		return 2;
	mp_process_join(p, T_TIMEOUT_MS / 2);
	mp_process_exit_code(p, &code);
	mp_process_close(p);
	return code;
}

/* The parent of what a thread starts is the process, not the thread. */
Test(thread, processes_started_in_a_thread)
{
	finish(start(fork_in_thread, mp_nil(), THREAD), 0);
}

static int use_parents_thread(void *data)
{
	mp_process *p = data;

	T_CHECK(mp_process_join(p, MP_NOWAIT) == -ECHILD);
	T_CHECK(mp_process_is_alive(p) == -ECHILD);
	T_CHECK(mp_process_close(p) == 0);
	return 0;
}

Test(thread, handle_is_not_the_childs)
{
	open_go();
	mp_process *p = start(wait_for_go, mp_nil(), THREAD);
	struct t_child child = t_spawn(use_parents_thread, p);

	t_expect_exit(&child, 0);
	let_go();
	finish(p, 0);
	mp__fds_close(go, 2);
}

Test(thread, test_enumerate)
{
	mp_process *found[2] = {NULL, NULL};

	open_go();
	mp_process *p = start(wait_for_go, mp_nil(), THREAD);
	T_RESULT(mp_process_children(found, 2), 1);
	cr_assert_eq(found[0], p);
	let_go();
	T_OK(mp_process_join(p, T_TIMEOUT_MS / 2));
	T_RESULT(mp_process_children(found, 2), 0);
	finish(p, 0);
	mp__fds_close(go, 2);
}

static void wait_again(void *data)
{
	char byte;

	(void)data;
	if (read(go[0], &byte, 1) != 1)
		abort();
}

static pthread_key_t key;

static int leave_with_a_destructor(int argc, const mp_obj *argv)
{
	pthread_setspecific(key, &key);
	return return_it(argc, argv);
}

/* The deadline holds even where the end of a thread is slow. */
Test(thread, destructors_are_waited_for_up_to_the_deadline)
{
	int code;

	open_go();
	cr_assert(pthread_key_create(&key, wait_again) == 0);
	mp_process *p = start(leave_with_a_destructor, MP_ARGS(mp_i64(3)), THREAD);
	T_OK(mp__fd_wait(mp_process_sentinel(p), POLLIN, mp__deadline_in(T_TIMEOUT_MS / 2)));
	T_RESULT(mp_process_join(p, MP_NOWAIT), -ETIMEDOUT);
	T_RESULT(mp_process_join(p, 30), -ETIMEDOUT);
	T_RESULT(mp_process_exit_code(p, &code), -EAGAIN);
	T_RESULT(mp_process_close(p), -EBUSY);
	let_go();
	finish(p, 3);
	cr_assert(pthread_key_delete(key) == 0);
	mp__fds_close(go, 2);
}

static int leave_a_daemon_behind(void *data)
{
	mp_process *p;

	(void)data;
	T_CHECK(mp_process_new(wait_for_go, mp_nil(),
			MP_PROCESS_OPTIONS(.start_method = MP_START_THREAD, .daemon = true),
			&p) == 0);
	T_CHECK(mp_process_start(p) == 0);
	return 4;
}

Test(thread, daemon_is_abandoned_at_exit)
{
	open_go();
	struct t_child child = t_spawn(leave_a_daemon_behind, NULL);
	t_expect_exit(&child, 4);
	mp__fds_close(go, 2);
}

static int is_daemon(int argc, const mp_obj *argv)
{
	(void)argc;
	(void)argv;
	return mp_process_current_daemon();
}

Test(thread, daemon_flag_holds_no_life_pipe)
{
	finish(start(is_daemon, mp_nil(), THREAD), 0);
	finish(start(is_daemon, mp_nil(),
		       MP_PROCESS_OPTIONS(.start_method = MP_START_THREAD, .daemon = true)),
		1);
}

Test(thread, usage_is_that_of_the_thread)
{
	struct rusage usage;
	mp_process *p = start(return_it, mp_nil(), THREAD);

	T_OK(mp_process_join(p, T_TIMEOUT_MS / 2));
	T_OK(mp_process_usage(p, &usage));
	cr_assert(usage.ru_maxrss > 0);
	finish(p, 0);
}

Test(thread, no_descriptors_and_no_memory)
{
	struct rlimit all;
	pthread_attr_t attr;
	pthread_attr_t huge;
	mp_process *p;

	T_OK(mp_process_new(return_it, MP_ARGS(mp_i64(5)), THREAD, &p));
	cr_assert(getrlimit(RLIMIT_NOFILE, &all) == 0);
	struct rlimit few = {.rlim_cur = 3, .rlim_max = all.rlim_max};
	cr_assert(setrlimit(RLIMIT_NOFILE, &few) == 0);
	int r = mp_process_start(p);
	cr_assert(setrlimit(RLIMIT_NOFILE, &all) == 0);
	cr_assert_eq(r, -EMFILE);

	/* A stack that no address space has room for. */
	cr_assert(pthread_getattr_default_np(&attr) == 0 && pthread_attr_init(&huge) == 0);
	cr_assert(pthread_attr_setstacksize(&huge, (size_t)1 << 47) == 0);
	cr_assert(pthread_setattr_default_np(&huge) == 0);
	int fds = t_count_fds();
	r = mp_process_start(p);
	cr_assert(pthread_setattr_default_np(&attr) == 0);
	cr_assert_eq(r, -EAGAIN, "%d", r);
	cr_assert_eq(t_count_fds(), fds);
	pthread_attr_destroy(&attr);
	pthread_attr_destroy(&huge);
	T_RESULT(mp_process_is_alive(p), 0);
	T_OK(mp_process_start(p));
	finish(p, 5);
}

Test(thread, method_by_name_and_by_default)
{
	T_RESULT(mp_start_method_parse("thread"), MP_START_THREAD);
	cr_assert_str_eq(mp_start_method_name(MP_START_THREAD), "thread");
	T_OK(mp_start_method_set(MP_START_THREAD));
	T_RESULT(mp_start_method_get(), MP_START_THREAD);
	finish(start(share, MP_ARGS(mp_i64(1), mp_i64(getpid())), NULL), 7);
	cr_assert_eq(shared, 1);
	T_OK(mp_start_method_set(MP_START_DEFAULT));
}

#define N_THREADS 50

Test(thread, test_many_threads)
{
	mp_process *p[N_THREADS];

	for (int i = 0; i < N_THREADS; i++)
		p[i] = start(return_it, MP_ARGS(mp_i64(i)), THREAD);
	for (int i = N_THREADS; i-- > 0;)
		finish(p[i], i);
}
