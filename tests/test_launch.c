/* SPDX-License-Identifier: MIT */
/* Starting programs: descriptors, signals, errors. */
#include <config.h>

#include "tests/support/support.h"

#include "base/fds.h"
#include "base/launch.h"

#include <fcntl.h>
#include <sys/wait.h>

T_SUITE(launch);

static int start(const char *script, const struct mp__launch_fd *fds, size_t n, struct t_child *ret)
{
	char *argv[] = {(char *)"sh", (char *)"-c", (char *)script, NULL};
	struct mp__launch launch = {.path = "/bin/sh", .argv = argv, .fds = fds, .n_fds = n};

	ret->ready = -1;
	return mp__launch(&launch, &ret->pid, &ret->pidfd);
}

static void expect(const char *script, const struct mp__launch_fd *fds, size_t n, int code)
{
	struct t_child child;

	T_OK(start(script, fds, n, &child));
	cr_assert(fcntl(child.pidfd, F_GETFD) == FD_CLOEXEC);
	t_expect_exit(&child, code);
}

Test(launch, exit_code_of_the_program)
{
	expect("exit 7", NULL, 0, 7);
}

Test(launch, exec_failure_is_the_error_of_the_call)
{
	char *argv[] = {(char *)"x", NULL};
	struct mp__launch launch = {.path = "/nonexistent/x", .argv = argv};
	pid_t pid;
	int pidfd;

	T_RESULT(mp__launch(&launch, &pid, &pidfd), -ENOENT);
	launch.path = "/etc/passwd";
	T_RESULT(mp__launch(&launch, &pid, &pidfd), -EACCES);
}

/* A memfd that holds one letter, at the given number. */
static void letter_at(int number, char letter)
{
	int fd = mp__memfd_sealed("letter", &letter, 1);

	cr_assert(fd >= 0 && dup3(fd, number, O_CLOEXEC) == number);
	close(fd);
}

Test(launch, descriptors_may_swap_places)
{
	letter_at(33, 'a');
	letter_at(34, 'b');
	letter_at(35, 'c');
	const struct mp__launch_fd table[] = {{33, 4}, {34, 3}, {35, 6}};
	/* 5 is a gap, 33 and up were not asked for. */
	expect("test \"$(cat <&3)$(cat <&4)$(cat <&6)\" = bac && ! test -e /proc/self/fd/5 &&"
	       " ! test -e /proc/self/fd/33",
		table, 3, 0);

	lseek(33, 0, SEEK_SET);
	lseek(34, 0, SEEK_SET);
	lseek(35, 0, SEEK_SET);
	cr_assert(dup3(33, 45, O_CLOEXEC) == 45 && dup3(34, 46, O_CLOEXEC) == 46 &&
		  dup3(35, 47, O_CLOEXEC) == 47);
	const struct mp__launch_fd ring[] = {{45, 46}, {46, 47}, {47, 45}};
	expect("test \"$(cat </proc/self/fd/45)$(cat </proc/self/fd/46)$(cat </proc/self/fd/47)\" "
	       "= cab",
		ring, 3, 0);
	for (int fd = 45; fd <= 47; fd++)
		close(fd);
	for (int fd = 33; fd <= 35; fd++)
		close(fd);
}

Test(launch, only_named_descriptors_pass)
{
	int fd = fcntl(0, F_DUPFD, 50); /* not close-on-exec */

	expect("! test -e /proc/self/fd/50 && test -e /proc/self/fd/2", NULL, 0, 0);
	close(fd);
}

Test(launch, missing_standard_descriptors_are_dev_null)
{
	int in = fcntl(0, F_DUPFD_CLOEXEC, 50);

	close(0);
	expect("test \"$(readlink /proc/self/fd/0)\" = /dev/null", NULL, 0, 0);
	cr_assert(dup2(in, 0) == 0);
	close(in);
}

Test(launch, signals_are_as_new)
{
	sigset_t usr1;
	sigset_t before;

	sigemptyset(&usr1);
	sigaddset(&usr1, SIGUSR1);
	sigprocmask(SIG_BLOCK, &usr1, &before);
	void (*old)(int) = signal(SIGUSR2, SIG_IGN);
	struct t_child child;
	T_OK(start("kill -USR1 $$; exit 1", NULL, 0, &child));
	t_expect_signal(&child, SIGUSR1);
	T_OK(start("kill -USR2 $$; exit 1", NULL, 0, &child));
	t_expect_signal(&child, SIGUSR2);
	signal(SIGUSR2, old);
	sigprocmask(SIG_SETMASK, &before, NULL);
}

Test(launch, impossible_tables_are_refused)
{
	struct t_child child;

	T_RESULT(start("", (struct mp__launch_fd[]){{0, -1}}, 1, &child), -EINVAL);
	T_RESULT(start("", (struct mp__launch_fd[]){{0, 1024}}, 1, &child), -EINVAL);
	T_RESULT(start("", (struct mp__launch_fd[]){{-1, 3}}, 1, &child), -EINVAL);
	T_RESULT(start("", (struct mp__launch_fd[]){{0, 3}, {1, 3}}, 2, &child), -EINVAL);
	T_RESULT(start("", (struct mp__launch_fd[]){{77, 3}}, 1, &child), -EBADF);
}
