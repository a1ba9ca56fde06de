/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "tests/support/support.h"

#include "base/cleanup.h"
#include "base/deadline.h"
#include "base/fds.h"
#include "process/forkserver.h"
#include "sync/waiting.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <mp/process.h>
#include <poll.h>
#include <sched.h>
#include <stdarg.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#define READY_BYTE 'r'

static int fds_at_begin;
static int ready_fd = -1; /* in a child of t_spawn() */
static char token[PATH_MAX];

/* Visible, because Criterion's sandbox looks main up to run a test in its stead. */
__attribute__((visibility("default"))) int main(int argc, char **argv)
{
	/* Children by spawn and forkserver are executions of this program: they go no further. */
	if (mp_begin(&argc, &argv) < 0)
		return T_CHILD_FAILED;

	struct criterion_test_set *tests = criterion_initialize();
	int failed = 0;

	if (criterion_handle_args(argc, argv, true))
		failed = !criterion_run_all_tests(tests);
	criterion_finalize(tests);
	return failed;
}

int t_count_fds(void)
{
	DIR *dir = opendir("/proc/self/fd");
	int n = 0;

	cr_assert_not_null(dir);
	while (readdir(dir))
		n++;
	closedir(dir);
	return n - 3; /* ".", ".." and the directory itself */
}

bool t_stat(pid_t pid, char *ret_state, pid_t *ret_parent)
{
	char path[32], text[512], state;
	pid_t parent;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	FILE *file = fopen(path, "re");
	if (!file)
		return false;
	size_t n = fread(text, 1, sizeof(text) - 1, file);
	fclose(file);
	text[n] = '\0';
	/* Names may hold anything but end at the last bracket. */
	const char *at = strrchr(text, ')');
	if (!at || sscanf(at, ") %c %d", &state, &parent) != 2)
		return false;
	if (ret_state)
		*ret_state = state;
	if (ret_parent)
		*ret_parent = parent;
	return true;
}

void t_begin(void)
{
	/* Criterion's sandbox would take over an execution of this binary that sees its variable. */
	unsetenv("BXFI_MAP");
	unsetenv("MP_TEST_POINT");
	unsetenv("MP_TEST_POINT_TOKEN");
	/* The sandbox does not come through main. */
	cr_assert(mp_begin(NULL, NULL) == 0);
	cr_assert(prctl(PR_SET_CHILD_SUBREAPER, 1) == 0);
	/* The first wait makes it, for good: it is nothing that a test leaves behind. */
	cr_assert_not_null(mp__waiting_board());
	fds_at_begin = t_count_fds();
}

void t_begin_alone(void)
{
	int directory = open("/dev/shm", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	cr_assert(directory >= 0);
	while (flock(directory, LOCK_EX) < 0)
		cr_assert(errno == EINTR);
	t_begin(); /* counts the descriptor, which is closed by the end of the process */
}

/*
 * An assertion that fails in .fini is printed, and the test passes all the same. What does count is
 * a crash: the runner names the test and ends with an error.
 */
static void fail_in_fini(const char *format, ...) MP__PRINTF(1, 2);

static void fail_in_fini(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
	abort();
}

/* Reap what comes back to the subreaper, until nobody descends from this process any more. */
static void expect_no_descendants(void)
{
	mp__deadline deadline = mp__deadline_in(T_TIMEOUT_MS / 4);
	sigset_t chld;
	sigset_t before;

	sigemptyset(&chld);
	sigaddset(&chld, SIGCHLD);
	sigprocmask(SIG_BLOCK, &chld, &before);
	for (;;) {
		pid_t pid = waitpid(-1, NULL, WNOHANG | __WALL);
		if (pid < 0 && errno == ECHILD)
			break;
		if (pid == 0) {
			int left = mp__deadline_poll_ms(deadline);
			if (left <= 0)
				fail_in_fini("the test left a process behind");
			/* A grandchild's new parent gets no SIGCHLD for the handing over. */
			struct timespec slice = {.tv_nsec = 20 * 1000 * 1000};
			sigtimedwait(&chld, NULL, &slice);
		}
	}
	sigprocmask(SIG_SETMASK, &before, NULL);
}

void t_end(void)
{
	t_disarm(); /* a failed test did not */
	mp__forkserver_stop();
	expect_no_descendants();
	int fds = t_count_fds();
	if (fds != fds_at_begin)
		fail_in_fini("%d descriptors at the beginning, %d at the end", fds_at_begin, fds);
}

struct t_child t_spawn(int (*function)(void *argument), void *argument)
{
	struct t_child child;
	int ready[2];
	pid_t parent = getpid();

	cr_assert(pipe2(ready, O_CLOEXEC) == 0);
	fflush(NULL);
	child.pid = fork();
	cr_assert(child.pid >= 0);
	if (child.pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() != parent)
			_exit(T_CHILD_FAILED);
		close(ready[0]);
		ready_fd = ready[1];
		int code = function(argument);
		fflush(NULL);
		_exit(code);
	}
	close(ready[1]);
	child.ready = ready[0];
	child.pidfd = mp__pidfd_open(child.pid);
	cr_assert(child.pidfd >= 0);
	return child;
}

void t_ready(void)
{
	char byte = READY_BYTE;

	T_CHECK(write(ready_fd, &byte, 1) == 1);
}

void t_wait_ready(struct t_child *child)
{
	char byte = 0;

	cr_assert(mp__fd_wait(child->ready, POLLIN, mp__deadline_in(T_TIMEOUT_MS / 2)) == 0,
		"the child did not become ready");
	cr_assert(read(child->ready, &byte, 1) == 1 && byte == READY_BYTE,
		"the child ended before it was ready");
}

void t_wait_pidfd(int pidfd)
{
	cr_assert(mp__fd_wait(pidfd, POLLIN, mp__deadline_in(T_TIMEOUT_MS / 2)) == 0,
		"a process does not end");
}

static siginfo_t reap(struct t_child *child)
{
	siginfo_t info = {0};

	t_wait_pidfd(child->pidfd);
	cr_assert(waitid(P_PIDFD, (id_t)child->pidfd, &info, WEXITED) == 0);
	close(child->pidfd);
	close(child->ready);
	return info;
}

void t_expect_exit(struct t_child *child, int code)
{
	siginfo_t info = reap(child);

	cr_assert(info.si_code == CLD_EXITED && info.si_status == code,
		"the child ended with %s %d, not exit code %d",
		info.si_code == CLD_EXITED ? "exit code" : "signal", info.si_status, code);
}

void t_expect_signal(struct t_child *child, int signal)
{
	siginfo_t info = reap(child);

	cr_assert(info.si_code != CLD_EXITED && info.si_status == signal,
		"the child ended with %s %d, not signal %d",
		info.si_code == CLD_EXITED ? "exit code" : "signal", info.si_status, signal);
}

void t_stop_pidfd(int pidfd)
{
	siginfo_t info = {0};

	cr_assert(mp__pidfd_signal(pidfd, SIGSTOP) == 0);
	/* It may have ended before. */
	cr_assert(waitid(P_PIDFD, (id_t)pidfd, &info, WSTOPPED | WEXITED | WNOWAIT) == 0);
}

void t_kill(struct t_child *child, int signal)
{
	if (signal == SIGSTOP) {
		t_stop_pidfd(child->pidfd);
		return;
	}
	cr_assert(mp__pidfd_signal(child->pidfd, signal) == 0);
	if (signal == SIGKILL)
		t_expect_signal(child, SIGKILL);
}

_Noreturn void t_hang(void)
{
	for (;;)
		pause();
}

void t_need_points(void)
{
#ifndef MP_TEST_POINTS
	cr_skip_test("built without --enable-test-points");
#endif
}

void t_arm(const char *point, const char *action)
{
	t_need_points();
#ifdef MP_TEST_POINTS
	char wanted[128];

	snprintf(wanted, sizeof(wanted), "%s:%s", point, action);
	snprintf(token, sizeof(token), "/tmp/mp-test-point-%d", getpid());
	unlink(token); /* of a killed test that had our number */
	int fd = open(token, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600);
	cr_assert(fd >= 0);
	close(fd);
	setenv("MP_TEST_POINT_TOKEN", token, 1);
	setenv("MP_TEST_POINT", wanted, 1);
#else
	(void)point;
	(void)action;
#endif
}

bool t_fired(void)
{
	return access(token, F_OK) < 0;
}

void t_wait_fired(const char *point)
{
	mp__deadline deadline = mp__deadline_in(T_TIMEOUT_MS / 2);

	while (!t_fired()) {
		cr_assert(!mp__deadline_passed(deadline), "%s was not reached", point);
		sched_yield();
	}
}

void t_disarm(void)
{
	unsetenv("MP_TEST_POINT");
	unsetenv("MP_TEST_POINT_TOKEN");
	if (token[0] != '\0')
		unlink(token);
}

void t_die_at(
	const char *point, const char *action, int (*function)(void *argument), void *argument)
{
	t_arm(point, action);
	struct t_child child = t_spawn(function, argument);
	if (strcmp(action, "exit") == 0)
		t_expect_exit(&child, 86);
	else
		t_expect_signal(&child, SIGKILL);
	cr_assert(t_fired(), "nobody came to %s", point);
	t_disarm();
}

bool t_again(int i, int n)
{
	static mp__deadline enough;

	if (i == 0)
		enough = mp__deadline_in(T_TIMEOUT_MS / 4);
	return i < n && !mp__deadline_passed(enough);
}

void *t_shared(size_t size)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	cr_assert(p != MAP_FAILED);
	return p;
}

int t_read_full(int fd, void *data, size_t size)
{
	char *at = data;

	while (size > 0) {
		ssize_t n = read(fd, at, size);
		if (n == 0)
			return -EPIPE;
		if (n < 0 && errno != EINTR)
			return -errno;
		if (n > 0) {
			at += n;
			size -= (size_t)n;
		}
	}
	return 0;
}
