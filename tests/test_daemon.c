/* SPDX-License-Identifier: MIT */
/* Children and the end of their parent, under every start method. */
#include <config.h>

#include "process/exit.h"
#include "tests/support/starts.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/wait.h>

T_SUITE(daemon);

/*
 * Two pipes between the test and what it cannot wait for directly. `out` is written by the children
 * and held by them alone: its end of file says that all of them are gone. `in` tells them to go on.
 */
static int out[2];
static int in[2];
static int how_many;
static bool as_daemon;

static void open_pipes(void)
{
	cr_assert(pipe2(out, O_CLOEXEC) == 0 && pipe2(in, O_CLOEXEC) == 0);
}

static void expect_all_gone(void)
{
	char byte;

	cr_assert(mp__fd_wait(out[0], 1, mp__deadline_in(T_TIMEOUT_MS / 2)) == 0,
		"a child outlives its parent");
	cr_assert(read(out[0], &byte, 1) == 0);
}

static void close_pipes(void)
{
	mp__fds_close(out, 2);
	mp__fds_close(in, 2);
}

/* Deaf to every signal that can be blocked or ignored. */
static int tell_and_hang_deaf(int argc, const mp_obj *argv)
{
	sigset_t all;

	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, NULL);
	for (int i = 1; i < NSIG; i++)
		signal(i, SIG_IGN);
	return tell_and_hang(argc, argv);
}

static void start_some(int method)
{
	mp_process *p;

	for (int i = 0; i < how_many; i++) {
		T_CHECK(mp_process_new(tell_and_hang_deaf, MP_ARGS(mp_fd(out[1])),
				MP_PROCESS_OPTIONS(.start_method = method, .daemon = true),
				&p) == 0);
		T_CHECK(mp_process_start(p) == 0);
	}
}

static int start_and_hang(void *method)
{
	start_some((int)(intptr_t)method);
	t_ready();
	t_hang();
}

static int start_and_leave(void *method)
{
	start_some((int)(intptr_t)method);
	return 3;
}

EACH_METHOD(daemon, ends_with_a_killed_parent)
{
	open_pipes();
	how_many = 5;
	struct t_child parent = t_spawn(start_and_hang, (void *)(intptr_t)method);
	close(out[1]);
	out[1] = -1;
	t_wait_ready(&parent);
	for (int i = 0; i < how_many; i++)
		read_byte(out[0]);
	t_kill(&parent, SIGKILL);
	expect_all_gone();
	close_pipes();
}

EACH_METHOD(daemon, ends_with_a_parent_that_leaves)
{
	open_pipes();
	how_many = 5;
	struct t_child parent = t_spawn(start_and_leave, (void *)(intptr_t)method);
	close(out[1]);
	out[1] = -1;
	t_expect_exit(&parent, 3);
	char bytes[5];
	/* They may have been killed before they could say a word. */
	while (read(out[0], bytes, sizeof(bytes)) > 0)
		;
	expect_all_gone();
	close_pipes();
}

/* As a program that has called mp_begin(); it never comes to what else is registered. */
static int start_and_exit(void *method)
{
	T_CHECK(mp__exit_arm() == 0);
	start_some((int)(intptr_t)method);
	exit(3);
}

static void kill_who_exits_at(const char *point, int method)
{
	open_pipes();
	how_many = 2;
	t_arm(point, "kill");
	struct t_child parent = t_spawn(start_and_exit, (void *)(intptr_t)method);
	close(out[1]);
	out[1] = -1;
	t_expect_signal(&parent, SIGKILL);
	cr_assert(t_fired());
	t_disarm();
	char bytes[2];
	while (read(out[0], bytes, sizeof(bytes)) > 0)
		;
	expect_all_gone();
	close_pipes();
}

EACH_METHOD(daemon, ends_with_a_parent_killed_in_its_exit)
{
	kill_who_exits_at("process.exit.signalled", method);
	kill_who_exits_at("process.exit.waited", method);
}

/* Says that it runs, and answers once it is told to. */
static int answer(int argc, const mp_obj *argv)
{
	char byte;

	T_CHECK(argc == 2 && write(mp_obj_fd(&argv[0]), "x", 1) == 1);
	T_CHECK(read(mp_obj_fd(&argv[1]), &byte, 1) == 1);
	T_CHECK(write(mp_obj_fd(&argv[0]), "y", 1) == 1);
	return 0;
}

static int start_answerer_and_hang(void *method)
{
	mp_process *p;

	T_CHECK(mp_process_new(answer, MP_ARGS(mp_fd(out[1]), mp_fd(in[0])),
			BY((int)(intptr_t)method), &p) == 0);
	T_CHECK(mp_process_start(p) == 0);
	t_hang();
}

EACH_METHOD(daemon, others_outlive_their_parent)
{
	open_pipes();
	struct t_child parent = t_spawn(start_answerer_and_hang, (void *)(intptr_t)method);
	close(out[1]);
	out[1] = -1;
	cr_assert(read_byte(out[0]) == 'x');
	t_kill(&parent, SIGKILL);
	cr_assert(write(in[1], "g", 1) == 1);
	cr_assert(read_byte(out[0]) == 'y');
	expect_all_gone();
	close_pipes();
}

/* A daemonic child that forks: its own child is nobody's daemon. */
static int fork_answerer(int argc, const mp_obj *argv)
{
	pid_t pid = fork();

	T_CHECK(pid >= 0);
	if (pid == 0)
		_exit(answer(argc, argv));
	t_hang();
}

static int start_forker_and_hang(void *method)
{
	mp_process *p;

	T_CHECK(mp_process_new(fork_answerer, MP_ARGS(mp_fd(out[1]), mp_fd(in[0])),
			MP_PROCESS_OPTIONS(.start_method = (int)(intptr_t)method, .daemon = true),
			&p) == 0);
	T_CHECK(mp_process_start(p) == 0);
	t_hang();
}

EACH_METHOD(daemon, grandchild_is_not_daemonic)
{
	open_pipes();
	struct t_child parent = t_spawn(start_forker_and_hang, (void *)(intptr_t)method);
	close(out[1]);
	out[1] = -1;
	cr_assert(read_byte(out[0]) == 'x');
	t_kill(&parent, SIGKILL);
	cr_assert(write(in[1], "g", 1) == 1);
	cr_assert(read_byte(out[0]) == 'y');
	expect_all_gone();
	close_pipes();
}

/* A sibling by plain fork(2) must not keep the daemonic children alive. */
/* A daemonic child that starts one which is not asked to be; both hang. */
static int start_another(int argc, const mp_obj *argv)
{
	mp_process *p;

	T_CHECK(argc == 2 && mp_process_current_daemon() == 1);
	T_CHECK(mp_process_new(tell_and_hang_deaf, mp_list_of(argv, 1),
			BY((int)mp_obj_i64(&argv[1])), &p) == 0);
	T_CHECK(mp_process_start(p) == 0);
	t_hang();
}

static int start_generations(void *method)
{
	mp_process *p;

	T_CHECK(mp_process_new(start_another, MP_ARGS(mp_fd(out[1]), mp_i64((intptr_t)method)),
			MP_PROCESS_OPTIONS(.start_method = (int)(intptr_t)method, .daemon = true),
			&p) == 0);
	T_CHECK(mp_process_start(p) == 0);
	t_ready();
	t_hang();
}

/* Python does not let a daemonic process have any, since they would be left behind. */
EACH_METHOD(daemon, children_of_a_daemon_are_daemonic)
{
	open_pipes();
	struct t_child parent = t_spawn(start_generations, (void *)(intptr_t)method);
	close(out[1]);
	out[1] = -1;
	t_wait_ready(&parent);
	read_byte(out[0]);
	t_kill(&parent, SIGKILL);
	expect_all_gone();
	close_pipes();
}

static int start_fork_and_hang(void *method)
{
	start_some((int)(intptr_t)method);
	pid_t pid = fork();
	T_CHECK(pid >= 0);
	if (pid == 0) {
		char byte;
		close(out[1]);
		/* Until the test closes its end. */
		close(in[1]);
		_exit(read(in[0], &byte, 1) == 0 ? 0 : 1);
	}
	close(in[1]);
	t_ready();
	t_hang();
}

EACH_METHOD(daemon, forked_sibling_does_not_hold_them)
{
	open_pipes();
	how_many = 2;
	struct t_child parent = t_spawn(start_fork_and_hang, (void *)(intptr_t)method);
	close(out[1]);
	out[1] = -1;
	t_wait_ready(&parent);
	for (int i = 0; i < how_many; i++)
		read_byte(out[0]);
	t_kill(&parent, SIGKILL);
	expect_all_gone();
	close_pipes();
}

/* --- the parent dies while it starts ---------------------------------------------------------------- */

static int tell(int argc, const mp_obj *argv)
{
	T_CHECK(argc == 1 && write(mp_obj_fd(&argv[0]), "x", 1) == 1);
	return 0;
}

static int start_one_and_die(void *method)
{
	mp_process *p;

	T_CHECK(mp_process_new(tell, MP_ARGS(mp_fd(out[1])),
			MP_PROCESS_OPTIONS(.start_method = (int)(intptr_t)method,
				.daemon = as_daemon),
			&p) == 0);
	mp_process_start(p);
	return 0;
}

static void kill_starter_at(const char *point, int method)
{
	open_pipes();
	t_arm(point, "kill");
	struct t_child parent = t_spawn(start_one_and_die, (void *)(intptr_t)method);
	close(out[1]);
	out[1] = -1;
	t_expect_signal(&parent, SIGKILL);
	cr_assert(t_fired());
	t_disarm();
	/* Whether its target ran depends on who was quicker; nothing hangs in either case. */
	char byte;
	while (read(out[0], &byte, 1) > 0)
		;
	expect_all_gone();
	close_pipes();
}

Test(daemon, starter_killed_during_spawn)
{
	kill_starter_at("process.spawn.launched", MP_START_SPAWN);
}

Test(daemon, starter_killed_during_spawn_of_a_daemon)
{
	as_daemon = true;
	kill_starter_at("process.spawn.launched", MP_START_SPAWN);
}

Test(daemon, starter_killed_during_forkserver)
{
	kill_starter_at("process.forkserver.requested", MP_START_FORKSERVER);
}

Test(daemon, starter_killed_during_forkserver_of_a_daemon)
{
	as_daemon = true;
	kill_starter_at("process.forkserver.requested", MP_START_FORKSERVER);
}

/* The child is stopped on its way; when it goes on, the parent is gone and the pipe at its end. */
Test(daemon, parent_gone_before_the_kernel_was_asked)
{
	siginfo_t info = {0};

	open_pipes();
	as_daemon = true;
	t_arm("process.child.entered", "stop");
	struct t_child parent = t_spawn(start_one_and_die, (void *)MP_START_SPAWN);
	close(out[1]);
	out[1] = -1;
	mp__deadline deadline = mp__deadline_in(T_TIMEOUT_MS / 2);
	while (!t_fired() && !mp__deadline_passed(deadline))
		sched_yield();
	t_kill(&parent, SIGKILL);
	/* The test is a subreaper: the child comes here. */
	cr_assert(waitid(P_ALL, 0, &info, WSTOPPED | WNOWAIT) == 0 && info.si_code == CLD_STOPPED);
	t_disarm();
	kill(info.si_pid, SIGCONT);
	expect_all_gone();
	int status;
	cr_assert(waitpid(info.si_pid, &status, 0) == info.si_pid);
	cr_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL, "status %x", status);
	close_pipes();
}
