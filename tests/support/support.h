/* SPDX-License-Identifier: MIT */
/*
 * tests/support/support.h - what makes the rules of testing hard to break.
 *
 * - Every suite is declared by T_SUITE: before a test the descriptors are counted, after it no
 *   descriptor may be left over and every process that descends from the test must have ended
 *   (orphans come back to the test, which is a subreaper).
 * - Children are made by t_spawn() only, which never returns into the test, ends with the test
 *   however that ends, and reports by exit code. In them use T_CHECK, never cr_assert: an assertion
 *   that fails in a forked child hangs Criterion's runner.
 * - Nobody sleeps. A child says t_ready(), the test waits for that with t_wait_ready().
 */
#ifndef TESTS_SUPPORT_H
#define TESTS_SUPPORT_H

#include <criterion/criterion.h>
#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

#include <mp/error.h>

/* Longer than any machine needs, shorter than the runner's patience (tests/run). */
#define T_TIMEOUT_S 120
#define T_TIMEOUT_MS (T_TIMEOUT_S * 1000)

/* Managers as without options, but for the ten seconds that starting and connecting have then. */
#define T_PATIENT MP_MANAGER_OPTIONS(.timeout_ms = MP_FOREVER)

#define T_SUITE(name) TestSuite(name, .init = t_begin, .fini = t_end, .timeout = T_TIMEOUT_S)

/*
 * For tests that leave named memory behind, or remove what others left: one at a time, of all programs.
 * The lock is that of the directory itself; tests/mpctl.sh takes it too. The time of a test begins
 * before it has the lock: it must do for the others too.
 */
#define T_SUITE_OF_LEFTOVERS(name) \
	TestSuite(name, .init = t_begin_alone, .fini = t_end, .timeout = 5 * T_TIMEOUT_S)

void t_begin(void);
void t_begin_alone(void);
void t_end(void);

/* The call must return exactly this result; both are shown, with the sentence that goes with it. */
#define T_RESULT(call, expected)                                                          \
	do {                                                                              \
		long t_got = (long)(call);                                                \
		long t_want = (long)(expected);                                           \
		cr_assert(t_got == t_want, "%s gave %ld (%s; %s), not %ld", #call, t_got, \
			mp_strerror((int)t_got), mp_error_detail(), t_want);              \
	} while (0)
#define T_OK(call) T_RESULT(call, 0)

/* For children: say where, and leave with this code. */
#define T_CHILD_FAILED 99
#define T_CHECK(condition)                                                                         \
	do {                                                                                       \
		if (!(condition)) {                                                                \
			fprintf(stderr, "%s:%d: child: %s (%s)\n", __FILE__, __LINE__, #condition, \
				mp_error_detail());                                                \
			_exit(T_CHILD_FAILED);                                                     \
		}                                                                                  \
	} while (0)

struct t_child {
	pid_t pid;
	int pidfd;
	int ready; /* the test reads here what t_ready() writes */
};

/*
 * What the kernel shows of a process or thread: its state, a letter as in proc(5), and its parent; either
 * may be NULL. False: there is none.
 */
bool t_stat(pid_t pid, char *ret_state, pid_t *ret_parent);

/* Fork a child that runs function(argument) and leaves with what that returns. */
struct t_child t_spawn(int (*function)(void *argument), void *argument);
/* In the child: tell the test. */
void t_ready(void);
/* In the test: wait until the child has called t_ready(); fails if it ends before. */
void t_wait_ready(struct t_child *child);
/* Wait for the end, with a deadline; it must be this exit code, this signal. */
void t_expect_exit(struct t_child *child, int code);
void t_expect_signal(struct t_child *child, int signal);
/* Send the signal and, if it is SIGKILL, wait for the end; if it is SIGSTOP, until it stands still. */
void t_kill(struct t_child *child, int signal);
/* SIGSTOP to a child of this process, by its pidfd: what it has not done now, it does not do. */
void t_stop_pidfd(int pidfd);
/* Sleep until a signal ends this child: what a child does that waits to be killed. */
_Noreturn void t_hang(void);

/* Wait until the process behind a pidfd has ended (as seen by poll(2)). */
void t_wait_pidfd(int pidfd);

/*
 * Let exactly one process that reaches this test point act: "pool.claimed", "kill" | "stop" |
 * "exit". Skips the test in a build without --enable-test-points. t_disarm() afterwards; whether
 * somebody acted, t_fired() tells.
 */
void t_arm(const char *point, const char *action);
/* For what makes something first that would be left behind by t_arm()'s skipping. */
void t_need_points(void);
bool t_fired(void);
/* Until somebody has: for who acts beside what the test waits for, and may come to it later. */
void t_wait_fired(const char *point);
void t_disarm(void);

/*
 * All of it at once: a child that runs the function comes to the point and ends there, by "kill" or
 * "exit".
 */
void t_die_at(
	const char *point, const char *action, int (*function)(void *argument), void *argument);

/*
 * For loops of storms: true for i from 0 to n - 1, or as long as a quarter of a test's time, of which
 * slow machines need more for each turn.
 */
bool t_again(int i, int n);

/* Read exactly `size` bytes of a blocking descriptor. -EPIPE on early end of file. */
int t_read_full(int fd, void *data, size_t size);

/* Zeroed memory that forked children share with the test. munmap() it. */
void *t_shared(size_t size);

/* Open descriptors of this process. */
int t_count_fds(void);

#endif
