/* SPDX-License-Identifier: MIT */
/*
 * What exit(3) does for children, with and without mp_begin(). Not a Criterion test: those call
 * mp_begin() before the test begins. Here each case is a process that has not called it yet.
 */
#include <config.h>

#include <mp.h>

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define CHECK(condition)                                                                       \
	do {                                                                                   \
		if (!(condition)) {                                                            \
			fprintf(stderr, "%s:%d: case %d by %s: %s (%s)\n", __FILE__, __LINE__, \
				the_case, mp_start_method_name(method), #condition,            \
				mp_error_detail());                                            \
			_exit(1);                                                              \
		}                                                                              \
	} while (0)

enum {
	JOINED = 1,
	LIMITED,
	SWITCHED_OFF,
	NOT_BEGUN,
	DAEMON,
	N_CASES,
};

static int the_case;
static int method = MP_START_FORK;
static int go[2];    /* the test tells the child to end */
static int ready[2]; /* the child says that it runs */
static int news[2];  /* "e" exit() was called, "w" a warning, "d" the child is done */

static void say(char what)
{
	if (write(news[1], &what, 1) != 1)
		_exit(1);
}

static int wait_for_go(int argc, const mp_obj *argv)
{
	char byte;

	if (argc < 3 || write(mp_obj_fd(&argv[2]), "r", 1) != 1 ||
		read(mp_obj_fd(&argv[0]), &byte, 1) != 1)
		return 1;
	return write(mp_obj_fd(&argv[1]), "d", 1) != 1;
}

static int ignore_and_hang(int argc, const mp_obj *argv)
{
	signal(SIGTERM, SIG_IGN);
	if (argc < 3 || write(mp_obj_fd(&argv[2]), "r", 1) != 1)
		return 1;
	while (pause() < 0)
		;
	return 0;
}

static void say_exit(void)
{
	say('e');
}

static void say_warning(int level, const char *component, const char *message, void *data)
{
	(void)component;
	(void)data;
	if (level == MP_LOG_WARNING && strstr(message, "at the exit"))
		say('w');
}

#define THE_PIPES MP_ARGS(mp_fd(go[0]), mp_fd(news[1]), mp_fd(ready[1]))

static void open_pipes(void)
{
	CHECK(pipe2(go, O_CLOEXEC) == 0 && pipe2(news, O_CLOEXEC) == 0);
	CHECK(pipe2(ready, O_CLOEXEC) == 0);
}

static char read_one(int fd)
{
	char what = 0;

	CHECK(read(fd, &what, 1) == 1);
	return what;
}

/* The process whose exit() is looked at. */
static _Noreturn void start_and_exit(void)
{
	mp_process *p;

	if (the_case != NOT_BEGUN)
		CHECK(mp_begin(NULL, NULL) == 0);
	if (the_case == LIMITED)
		mp_exit_wait(1);
	if (the_case == SWITCHED_OFF)
		mp_exit_wait(MP_NOWAIT);
	CHECK(mp_log_set_handler(MP_LOG_WARNING, say_warning, NULL) == 0);
	CHECK(atexit(say_exit) == 0); /* runs before the library's */
	CHECK(mp_process_new(the_case == DAEMON ? ignore_and_hang : wait_for_go, THE_PIPES,
		      MP_PROCESS_OPTIONS(.start_method = method, .daemon = the_case == DAEMON),
		      &p) == 0);
	CHECK(mp_process_start(p) == 0);
	/* It may be killed as soon as exit() is called: it shall have said its word. */
	read_one(ready[0]);
	exit(3);
}

static void expect_exit(pid_t pid)
{
	int status;

	CHECK(waitpid(pid, &status, 0) == pid);
	CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 3);
}

/* All that is left over comes to this process. */
static void expect_nobody(void)
{
	int status;

	while (waitpid(-1, &status, 0) > 0)
		CHECK(status == 0 || the_case == DAEMON);
	CHECK(errno == ECHILD);
}

static void tell_go(void)
{
	CHECK(write(go[1], "x", 1) == 1);
}

static void run_case(void)
{
	char what;

	open_pipes();
	fflush(NULL);
	pid_t pid = fork();
	CHECK(pid >= 0);
	if (pid == 0)
		start_and_exit();
	close(news[1]);
	CHECK(read_one(news[0]) == 'e');
	if (the_case == JOINED) {
		CHECK(waitpid(pid, NULL, WNOHANG) == 0);
		tell_go();
	}
	expect_exit(pid);
	/* What was written before it ended is there without waiting. */
	CHECK(fcntl(news[0], F_SETFL, O_NONBLOCK) == 0);
	ssize_t n = read(news[0], &what, 1);
	switch (the_case) {
	case JOINED:
		CHECK(n == 1 && what == 'd');
		break;
	case LIMITED:
		CHECK(n == 1 && what == 'w');
		CHECK(read(news[0], &what, 1) < 0 && errno == EAGAIN);
		tell_go();
		break;
	case DAEMON:
		/* A fork server lets go of what the child has got when it comes to it. */
		if (n < 0 && method == MP_START_FORKSERVER) {
			CHECK(fcntl(news[0], F_SETFL, 0) == 0);
			n = read(news[0], &what, 1);
		}
		CHECK(n == 0); /* nobody has the other end any more */
		break;
	default:
		CHECK(n < 0 && errno == EAGAIN);
		tell_go();
	}
	expect_nobody();
	close(news[0]);
	close(go[0]);
	close(go[1]);
	close(ready[0]);
	close(ready[1]);
}

/* --- others ---------------------------------------------------------------------------------------- */

/*
 * Killed in the middle of its exit: daemonic children end, the others run to their own end, as after
 * any other death of their parent.
 */
static void killed_at(const char *point)
{
	int status;

	open_pipes();
	CHECK(setenv("MP_TEST_POINT", point, 1) == 0);
	fflush(NULL);
	pid_t pid = fork();
	CHECK(pid >= 0);
	if (pid == 0)
		start_and_exit();
	close(news[1]);
	CHECK(read_one(news[0]) == 'e');
	if (the_case == JOINED)
		tell_go();
	CHECK(waitpid(pid, &status, 0) == pid);
	CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	CHECK(unsetenv("MP_TEST_POINT") == 0);
	if (the_case == JOINED)
		CHECK(read_one(news[0]) == 'd');
	expect_nobody();
	close(news[0]);
	close(go[0]);
	close(go[1]);
	close(ready[0]);
	close(ready[1]);
}

static void killed_in_its_exit(void)
{
#ifdef MP_TEST_POINTS
	static const int cases[] = {JOINED, DAEMON};

	for (size_t i = 0; i < 2; i++) {
		the_case = cases[i];
		killed_at("process.exit.signalled:kill");
		killed_at("process.exit.waited:kill");
	}
#endif
}

static int exit_in_child(int argc, const mp_obj *argv)
{
	mp_process *p;

	CHECK(mp_process_new(wait_for_go, mp_list_of(argv, (size_t)argc), NULL, &p) == 0);
	CHECK(mp_process_start(p) == 0);
	exit(5);
}

/* A forked child inherits the handler of its parent, and does not wait by it. */
static void exit_of_a_forked_child(void)
{
	mp_process *p;
	int code;

	open_pipes();
	CHECK(mp_process_new(exit_in_child, THE_PIPES, NULL, &p) == 0);
	CHECK(mp_process_start(p) == 0);
	CHECK(mp_process_join(p, MP_FOREVER) == 0);
	CHECK(mp_process_exit_code(p, &code) == 0 && code == 5);
	CHECK(mp_process_close(p) == 0);
	CHECK(read_one(ready[0]) == 'r');
	tell_go();
	CHECK(read_one(news[0]) == 'd');
	expect_nobody();
}

static int exit_in_thread(int argc, const mp_obj *argv)
{
	(void)argc;
	(void)argv;
	exit(3);
}

static void exit_of_threads(void)
{
	mp_process *p;

	fflush(NULL);
	pid_t pid = fork();
	CHECK(pid >= 0);
	if (pid == 0) {
		CHECK(mp_begin(NULL, NULL) == 0);
		/* A daemonic one that never ends, and one that calls exit() itself. */
		CHECK(mp_process_new(ignore_and_hang, THE_PIPES,
			      MP_PROCESS_OPTIONS(.start_method = MP_START_THREAD, .daemon = true),
			      &p) == 0);
		CHECK(mp_process_start(p) == 0);
		CHECK(mp_process_new(exit_in_thread, mp_nil(),
			      MP_PROCESS_OPTIONS(.start_method = MP_START_THREAD), &p) == 0);
		CHECK(mp_process_start(p) == 0);
		for (;;)
			pause();
	}
	expect_exit(pid);
}

int main(int argc, char **argv)
{
	/* An execution by spawn or forkserver. */
	if (getenv("MP_START"))
		return mp_begin(&argc, &argv) < 0;
	alarm(300);
	CHECK(prctl(PR_SET_CHILD_SUBREAPER, 1) == 0);
	for (the_case = JOINED; the_case < N_CASES; the_case++) {
		for (method = MP_START_FORK; method <= MP_START_THREAD; method++) {
			bool needs_begin =
				method == MP_START_SPAWN || method == MP_START_FORKSERVER;
			if ((the_case == NOT_BEGUN && needs_begin) ||
				(method == MP_START_THREAD && the_case != JOINED))
				continue;
			run_case();
		}
	}
	method = MP_START_FORK;
	killed_in_its_exit();
	CHECK(mp_begin(&argc, &argv) == 0);
	exit_of_a_forked_child();
	exit_of_threads();
	return 0;
}
