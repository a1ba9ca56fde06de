/* SPDX-License-Identifier: MIT */
/* A start that takes too long is given up, and nothing of it stays. */
#include <config.h>

#include "tests/support/starts.h"

#include "base/deadline.h"
#include "process/forkserver.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/wait.h>

T_SUITE(start_timeout);

#define SHORT_MS 150

/* The options under which each method waits for the child. */
#define WITHIN(m, ms) MP_PROCESS_OPTIONS(.start_method = (m), .cwd = "/", .start_timeout_ms = (ms))

static mp_process *make(int method, int timeout_ms)
{
	mp_process *p;

	T_OK(mp_process_new(return_it, MP_ARGS(mp_i64(5)), WITHIN(method, timeout_ms), &p));
	return p;
}

/* Whoever has stopped itself: a child of this process, or an orphan that came here. */
static pid_t find_stopped(void)
{
	siginfo_t info = {0};

	if (waitid(P_ALL, 0, &info, WSTOPPED | WNOHANG | WNOWAIT) < 0)
		return 0;
	return info.si_pid;
}

static void expect_nothing_left(void)
{
	int status;
	pid_t pid;

	mp__forkserver_stop();
	/* A server that was given up takes its time to end; it may have come to the point by now. */
	while ((pid = waitpid(-1, &status, WUNTRACED)) > 0) {
		if (WIFSTOPPED(status))
			kill(pid, SIGCONT);
	}
	cr_assert(errno == ECHILD, "something of it is left");
}

/* Whoever came to that point has stopped, and the start is given up. */
static void give_up_at(
	const char *point, int method, int (*target)(int argc, const mp_obj *argv), mp_obj args)
{
	bool there = false;

	/* How long it takes to get there is the machine's affair. */
	for (int ms = SHORT_MS; !there && ms < T_TIMEOUT_MS; ms *= 2) {
		mp_process *p;
		T_OK(mp_process_new(target, args, WITHIN(method, ms), &p));
		t_arm(point, "stop");
		mp__deadline soon = mp__deadline_in(ms);
		T_RESULT(mp_process_start(p), -ETIMEDOUT);
		cr_assert(mp__deadline_passed(soon));
		there = t_fired();
		t_disarm();
		T_RESULT(mp_process_pid(p), -EINVAL);
		T_OK(mp_process_close(p));
		if (!there)
			expect_nothing_left();
	}
	cr_assert(there, "%s was not reached", point);
}

/* Who has come to the point stops, sooner or later: what is started now must not wait for that. */
static mp_process *start_after_stop(int method)
{
	for (int ms = SHORT_MS;; ms *= 2) {
		pid_t stopped = find_stopped();
		if (stopped > 0)
			kill(stopped, SIGCONT);
		mp_process *p = make(method, ms);
		int r = mp_process_start(p);
		if (r == 0)
			return p;
		T_RESULT(r, -ETIMEDOUT);
		T_OK(mp_process_close(p));
	}
}

static void expect_given_up(int method, const char *point)
{
	mp__forkserver_stop();
	int fds = t_count_fds();

	give_up_at(point, method, return_it, MP_ARGS(mp_i64(5)));
	/* A server that has stopped goes on, finds that nobody waits, and serves the next. */
	finish(start_after_stop(method), 5);
	expect_nothing_left();
	cr_assert_eq(t_count_fds(), fds);
}

Test(start_timeout, forked_child_stops)
{
	expect_given_up(MP_START_FORK, "process.child.prepared");
}

Test(start_timeout, spawned_child_stops)
{
	expect_given_up(MP_START_SPAWN, "process.child.entered");
	expect_given_up(MP_START_SPAWN, "process.child.prepared");
}

Test(start_timeout, forkserver_child_stops)
{
	expect_given_up(MP_START_FORKSERVER, "process.child.entered");
	expect_given_up(MP_START_FORKSERVER, "process.child.prepared");
}

Test(start_timeout, server_stops)
{
	expect_given_up(MP_START_FORKSERVER, "process.server.begun");
	expect_given_up(MP_START_FORKSERVER, "process.server.received");
	expect_given_up(MP_START_FORKSERVER, "process.server.preloaded");
}

/* What was asked for before is not started later: the child finds that nobody waits. */
static int tell(int argc, const mp_obj *argv)
{
	T_CHECK(argc == 1 && write(mp_obj_fd(&argv[0]), "x", 1) == 1);
	return 0;
}

Test(start_timeout, target_of_a_start_that_was_given_up_does_not_run)
{
	int out[2];

	cr_assert(pipe2(out, O_CLOEXEC) == 0);
	give_up_at("process.server.received", MP_START_FORKSERVER, tell, MP_ARGS(mp_fd(out[1])));
	finish(start_after_stop(MP_START_FORKSERVER), 5);
	mp__forkserver_stop();
	struct pollfd polled = {.fd = out[0], .events = POLLIN};
	cr_assert(poll(&polled, 1, 0) == 0, "it ran");
	mp__fds_close(out, 2);
}

/* More requests than the socket takes, and a server that reads none. */
Test(start_timeout, queue_of_the_server_is_full)
{
	int failed = 0;

	mp_process *p = make(MP_START_FORKSERVER, 1);
	t_arm("process.server.preloaded", "stop");
	for (int i = 0; i < 2000 && failed == 0; i++) {
		T_RESULT(mp_process_start(p), -ETIMEDOUT);
		failed += strstr(mp_error_detail(), "does not take requests") != NULL;
	}
	cr_assert(failed, "it took them all");
	t_disarm();
	T_OK(mp_process_close(p));
	finish(start_after_stop(MP_START_FORKSERVER), 5);
	mp__forkserver_stop();
}

EACH_METHOD_AND_THREAD(start_timeout, one_that_is_long_enough_changes_nothing)
{
	mp_process *p;

	T_OK(mp_process_new(return_it, MP_ARGS(mp_i64(5)),
		MP_PROCESS_OPTIONS(.start_method = method, .start_timeout_ms = T_TIMEOUT_MS), &p));
	T_OK(mp_process_start(p));
	finish(p, 5);
	T_OK(mp_process_new(return_it, MP_ARGS(mp_i64(5)),
		MP_PROCESS_OPTIONS(.start_method = method, .start_timeout_ms = MP_FOREVER), &p));
	T_OK(mp_process_start(p));
	finish(p, 5);
}
