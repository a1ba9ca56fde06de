/* SPDX-License-Identifier: MIT */
/* Who am I, who is my parent, who are my children: under every start method. */
#include <config.h>

#include "tests/support/starts.h"

#include <fcntl.h>
#include <pthread.h>
#include <sys/wait.h>

T_SUITE(kin);

/* --- current process and parent ------------------------------------------------------------------- */

static int check_identity(int argc, const mp_obj *argv)
{
	T_CHECK(argc == 3);
	T_CHECK(strcmp(mp_process_current_name(), mp_obj_str(&argv[0])) == 0);
	T_CHECK(mp_process_current_daemon() == argv[1].as.boolean);
	T_CHECK(mp_parent_pid() == mp_obj_i64(&argv[2]));
	T_CHECK(strcmp(mp_parent_name(), "MainProcess") == 0);
	T_CHECK(mp_parent_is_alive() == 1);
	T_CHECK(mp_parent_join(MP_NOWAIT) == -ETIMEDOUT);
	T_CHECK(mp_parent_join(1) == -ETIMEDOUT);
	int fd = mp_parent_sentinel();
	T_CHECK(fd >= 0 && fcntl(fd, F_GETFD) == FD_CLOEXEC && fd == mp_parent_sentinel());
	T_CHECK(mp__fd_wait(fd, 1, mp__deadline_in(0)) == -ETIMEDOUT);
	return 0;
}

EACH_METHOD(kin, test_parent_process_attributes)
{
	static const char name[] = "a name that is longer than ps shows";

	cr_assert_str_eq(mp_process_current_name(), "MainProcess");
	cr_assert_eq(mp_process_current_daemon(), 0);
	T_RESULT(mp_parent_pid(), -ENOENT);
	cr_assert_null(mp_parent_name());
	T_RESULT(mp_parent_is_alive(), -ENOENT);
	T_RESULT(mp_parent_join(MP_FOREVER), -ENOENT);
	T_RESULT(mp_parent_sentinel(), -ENOENT);
	finish(start(check_identity, MP_ARGS(mp_str(name), mp_bool(false), mp_i64(getpid())),
		       MP_PROCESS_OPTIONS(.name = name, .start_method = method)),
		0);
	finish(start(check_identity, MP_ARGS(mp_str("Process-2"), mp_bool(true), mp_i64(getpid())),
		       MP_PROCESS_OPTIONS(.start_method = method, .daemon = true)),
		0);
}

static int check_grandchild(int argc, const mp_obj *argv)
{
	T_CHECK(argc == 2);
	T_CHECK(strcmp(mp_process_current_name(), mp_obj_str(&argv[1])) == 0);
	T_CHECK(strcmp(mp_parent_name(), "middle") == 0);
	T_CHECK(mp_parent_pid() == mp_obj_i64(&argv[0]));
	T_CHECK(mp_parent_is_alive() == 1);
	return 0;
}

static int start_grandchild(int argc, const mp_obj *argv)
{
	mp_process *p;
	int code = -1;

	T_CHECK(argc == 2);
	/* Ask first, so that what is watched here is inherited and must not be the answer there. */
	T_CHECK(mp_parent_is_alive() == 1);
	T_CHECK(mp_process_new(check_grandchild, mp_nil(), NULL, &p) == 0);
	T_CHECK(mp_process_close(p) == 0);
	T_CHECK(mp_process_new(check_grandchild, MP_ARGS(mp_i64(getpid()), argv[1]),
			BY((int)mp_obj_i64(&argv[0])), &p) == 0);
	T_CHECK(mp_process_start(p) == 0 && mp_process_join(p, T_TIMEOUT_MS / 2) == 0);
	T_CHECK(mp_process_exit_code(p, &code) == 0);
	T_CHECK(mp_process_close(p) == 0);
	return code;
}

EACH_METHOD(kin, names_tell_the_generation)
{
	char name[32];

	for (int inner = MP_START_FORK; inner <= MP_START_FORKSERVER; inner++) {
		snprintf(name, sizeof(name), "Process-%d:2", inner);
		finish(start(start_grandchild, MP_ARGS(mp_i64(inner), mp_str(name)),
			       MP_PROCESS_OPTIONS(.name = "middle", .start_method = method)),
			0);
	}
}

/* Says whether its parent lives, waits for its end, says it again. */
static int outlive_parent(int argc, const mp_obj *argv)
{
	int fd = argc > 0 ? mp_obj_fd(&argv[0]) : -1;

	T_CHECK(write(fd, mp_parent_is_alive() == 1 ? "a" : "?", 1) == 1);
	int sentinel = mp_parent_sentinel();
	T_CHECK(mp_parent_join(T_TIMEOUT_MS / 2) == 0);
	T_CHECK(mp__fd_wait(sentinel, 1, mp__deadline_in(0)) == 0);
	T_CHECK(write(fd, mp_parent_is_alive() == 0 ? "d" : "?", 1) == 1);
	T_CHECK(mp_parent_join(MP_FOREVER) == 0);
	return 0;
}

static int start_and_hang(int argc, const mp_obj *argv)
{
	mp_process *p;

	T_CHECK(argc == 2);
	T_CHECK(mp_process_new(
			outlive_parent, MP_ARGS(argv[0]), BY((int)mp_obj_i64(&argv[1])), &p) == 0);
	T_CHECK(mp_process_start(p) == 0);
	t_hang();
}

EACH_METHOD(kin, test_parent_process)
{
	int ends[2];

	cr_assert(pipe2(ends, O_CLOEXEC) == 0);
	for (int inner = MP_START_FORK; inner <= MP_START_FORKSERVER; inner++) {
		mp_process *p =
			start(start_and_hang, MP_ARGS(mp_fd(ends[1]), mp_i64(inner)), BY(method));
		cr_assert_eq(read_byte(ends[0]), 'a');
		T_OK(mp_process_kill(p));
		finish(p, -SIGKILL);
		cr_assert_eq(read_byte(ends[0]), 'd');
	}
	mp__fds_close(ends, 2);
}

/* First asked for when it is too late: there is a sentinel all the same. */
static int ask_late(int argc, const mp_obj *argv)
{
	char byte;

	T_CHECK(argc == 2);
	T_CHECK(read(mp_obj_fd(&argv[1]), &byte, 1) == 1);
	T_CHECK(mp_parent_is_alive() == 0);
	T_CHECK(mp_parent_join(MP_NOWAIT) == 0);
	T_CHECK(mp__fd_wait(mp_parent_sentinel(), 1, mp__deadline_in(0)) == 0);
	T_CHECK(write(mp_obj_fd(&argv[0]), "z", 1) == 1);
	return 0;
}

static int start_late_one(int argc, const mp_obj *argv)
{
	mp_process *p;

	T_CHECK(argc == 3);
	T_CHECK(mp_process_new(ask_late, MP_ARGS(argv[0], argv[1]), BY((int)mp_obj_i64(&argv[2])),
			&p) == 0);
	T_CHECK(mp_process_start(p) == 0);
	_exit(7);
}

EACH_METHOD(kin, parent_that_is_gone_before_anybody_asks)
{
	int out[2];
	int in[2];

	cr_assert(pipe2(out, O_CLOEXEC) == 0 && pipe2(in, O_CLOEXEC) == 0);
	finish(start(start_late_one, MP_ARGS(mp_fd(out[1]), mp_fd(in[0]), mp_i64(method)),
		       BY(method)),
		7);
	cr_assert(write(in[1], "x", 1) == 1);
	cr_assert_eq(read_byte(out[0]), 'z');
	mp__fds_close(out, 2);
	mp__fds_close(in, 2);
}

static int ask_in_plain_fork(int argc, const mp_obj *argv)
{
	int status;

	(void)argc;
	(void)argv;
	pid_t pid = fork();
	if (pid == 0) {
		T_CHECK(mp_parent_pid() == -ENOENT && mp_parent_name() == NULL);
		T_CHECK(mp_parent_is_alive() == -ENOENT && mp_parent_sentinel() == -ENOENT);
		T_CHECK(strcmp(mp_process_current_name(), "Process-1") == 0);
		_exit(5);
	}
	T_CHECK(waitpid(pid, &status, 0) == pid);
	T_CHECK(mp_parent_is_alive() == 1);
	return WEXITSTATUS(status);
}

EACH_METHOD(kin, plain_fork_has_no_parent_that_libmp_knows)
{
	finish(start(ask_in_plain_fork, mp_nil(), BY(method)), 5);
}

/* What its number is used for afterwards is never taken for the parent. */
static int close_all_and_ask(int argc, const mp_obj *argv)
{
	int method = argc > 0 ? (int)mp_obj_i64(&argv[0]) : 0;
	int fd = mp_parent_sentinel();
	int ends[2];

	T_CHECK(fd >= 0 && close(fd) == 0);
	T_CHECK(pipe2(ends, O_CLOEXEC) == 0 && (ends[0] == fd || ends[1] == fd));
	T_CHECK(close(ends[1] == fd ? ends[0] : ends[1]) == 0);
	if (method == MP_START_FORKSERVER) {
		T_CHECK(mp_parent_is_alive() == -EBADF && mp_parent_join(MP_NOWAIT) == -EBADF);
		return 0;
	}
	T_CHECK(mp_parent_is_alive() == 1 && mp_parent_sentinel() != fd);
	return 0;
}

EACH_METHOD(kin, target_that_closed_the_sentinel)
{
	finish(start(close_all_and_ask, MP_ARGS(mp_i64(method)), BY(method)), 0);
}

/* --- children ---------------------------------------------------------------------------------------- */

EACH_METHOD(kin, test_active_children)
{
	mp_process *p;
	mp_process *second;
	mp_process *found[2] = {NULL, NULL};

	T_RESULT(mp_process_children(NULL, 0), 0);
	T_OK(mp_process_new(hang, mp_nil(), BY(method), &p));
	T_RESULT(mp_process_children(found, 2), 0);
	T_OK(mp_process_start(p));
	T_RESULT(mp_process_children(found, 2), 1);
	cr_assert_eq(found[0], p);
	cr_assert_null(found[1]);
	second = start(hang, mp_nil(), BY(method));
	T_RESULT(mp_process_children(NULL, 0), 2);
	T_RESULT(mp_process_children(found, 1), 2);
	T_RESULT(mp_process_children(found, 2), 2);
	cr_assert(found[0] == p && found[1] == second);
	T_OK(mp_process_kill(p));
	T_OK(mp_process_join(p, T_TIMEOUT_MS / 2));
	T_RESULT(mp_process_children(found, 2), 1);
	cr_assert_eq(found[0], second);
	T_OK(mp_process_kill(second));
	finish(p, -SIGKILL);
	finish(second, -SIGKILL);
	T_RESULT(mp_process_children(found, 2), 0);
}

Test(kin, children_that_ended_are_reaped)
{
	mp_process *p = start(return_it, mp_nil(), BY(MP_START_FORK));
	siginfo_t info = {0};

	T_OK(mp__fd_wait(mp_process_sentinel(p), 1, mp__deadline_in(T_TIMEOUT_MS / 2)));
	T_RESULT(mp_process_children(NULL, 0), 0);
	cr_assert(waitid(P_ALL, 0, &info, WEXITED | WNOHANG) < 0 && errno == ECHILD, "a zombie");
	finish(p, 0);
}

/* With the status collected, and not by us. */
static size_t count_zombies(mp_process *const *p, size_t n)
{
	size_t zombies = 0;

	for (size_t i = 0; i < n; i++) {
		siginfo_t info = {0};
		int r = waitid(P_PIDFD, (id_t)mp_process_sentinel(p[i]), &info,
			WEXITED | WNOHANG | WNOWAIT);
		zombies += r == 0 && info.si_pid != 0;
	}
	return zombies;
}

static void each_start_reaps_those_that_ended(int method)
{
	mp_process *p[4];

	for (int i = 0; i < 3; i++) {
		p[i] = start(return_it, MP_ARGS(mp_i64(i)), BY(method));
		T_OK(mp__fd_wait(mp_process_sentinel(p[i]), 1, mp__deadline_in(T_TIMEOUT_MS / 2)));
	}
	p[3] = start(hang, mp_nil(), BY(method));
	cr_assert_eq(count_zombies(p, 4), 0);
	/* How they ended is not lost. */
	for (int i = 0; i < 3; i++)
		finish(p[i], i);
	T_OK(mp_process_kill(p[3]));
	finish(p[3], -SIGKILL);
}

Test(kin, fork_start_reaps_those_that_ended)
{
	each_start_reaps_those_that_ended(MP_START_FORK);
}

Test(kin, spawn_start_reaps_those_that_ended)
{
	each_start_reaps_those_that_ended(MP_START_SPAWN);
}

/* Nobody joins, and many run on. */
Test(kin, zombies_stay_few)
{
	mp_process *living[60];
	mp_process *ended[200];

	for (size_t i = 0; i < 60; i++)
		living[i] = start(hang, mp_nil(), BY(MP_START_FORK));
	for (size_t i = 0; i < 200; i++) {
		ended[i] = start(return_it, mp_nil(), BY(MP_START_FORK));
		T_OK(mp__fd_wait(
			mp_process_sentinel(ended[i]), 1, mp__deadline_in(T_TIMEOUT_MS / 2)));
		size_t zombies = count_zombies(ended, i + 1);
		cr_assert(zombies <= 16, "%zu zombies after %zu starts", zombies, i + 1);
	}
	for (size_t i = 0; i < 60; i++)
		T_OK(mp_process_kill(living[i]));
	for (size_t i = 0; i < 60; i++)
		finish(living[i], -SIGKILL);
	for (size_t i = 0; i < 200; i++)
		finish(ended[i], 0);
}

static int has_no_children(int argc, const mp_obj *argv)
{
	(void)argc;
	(void)argv;
	return mp_process_children(NULL, 0);
}

static int has_no_children_either(void *data)
{
	(void)data;
	return mp_process_children(NULL, 0);
}

EACH_METHOD(kin, children_of_the_parent_are_not_the_childs)
{
	mp_process *p = start(hang, mp_nil(), BY(method));

	finish(start(has_no_children, mp_nil(), BY(method)), 0);
	struct t_child child = t_spawn(has_no_children_either, NULL);
	t_expect_exit(&child, 0);
	T_OK(mp_process_kill(p));
	finish(p, -SIGKILL);
}

#define N_ROUNDS 20

static void *start_and_close(void *data)
{
	(void)data;
	for (int i = 0; i < N_ROUNDS; i++)
		finish(start(return_it, MP_ARGS(mp_i64(i)), BY(MP_START_FORK)), i);
	return NULL;
}

Test(kin, children_are_listed_while_others_start_and_close)
{
	pthread_t threads[3];
	mp_process *found[3];

	for (int i = 0; i < 3; i++)
		cr_assert(pthread_create(&threads[i], NULL, start_and_close, NULL) == 0);
	for (int i = 0; i < N_ROUNDS * 3; i++) {
		int n = mp_process_children(found, 3);
		cr_assert(n >= 0 && n <= 3, "%d", n);
	}
	for (int i = 0; i < 3; i++)
		pthread_join(threads[i], NULL);
	T_RESULT(mp_process_children(found, 3), 0);
}
