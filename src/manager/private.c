/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "manager/private.h"

#include "base/cleanup.h"
#include "base/error.h"
#include "base/fds.h"
#include "base/launch.h"
#include "base/testpoint.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>

/* What managerd finds where. */
#define CONNECTOR_FD 3
#define OWNER_FD 4
#define TEXT_OF(number) #number
#define TEXT(number) TEXT_OF(number)

/* An orderly end takes a millisecond; a stopped or wedged daemon gets no more than this. */
#define STOP_MS 2000

static const char *choose_program(const char *program)
{
	if (program)
		return program;
	program = secure_getenv("MP_MANAGERD");
	return program && *program ? program : MP_MANAGERD_PATH;
}

int mp__private_start(const char *program, struct mp__daemon *ret_daemon, int *ret_connector)
{
	char *argv[] = {(char *)"managerd", (char *)"--private-fd", (char *)TEXT(CONNECTOR_FD),
		(char *)"--owner-fd", (char *)TEXT(OWNER_FD), NULL};
	int pair[2];

	program = choose_program(program);
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) < 0)
		return mp__error_errno("sockets for a private managerd");
	MP__AUTO_CLOSE int ours = pair[0];
	MP__AUTO_CLOSE int theirs = pair[1];
	MP__AUTO_CLOSE int self = mp__pidfd_open(getpid());
	if (self < 0)
		return self;
	/* Our input is not the daemon's, and whoever reads our output waits for us, not for it. */
	MP__AUTO_CLOSE int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (null < 0)
		return mp__error_errno("opening /dev/null");
	const struct mp__launch_fd fds[] = {{null, STDIN_FILENO}, {null, STDOUT_FILENO},
		{theirs, CONNECTOR_FD}, {self, OWNER_FD}};
	const struct mp__launch launch = {
		.path = program, .argv = argv, .fds = fds, .n_fds = MP__COUNT_OF(fds)};
	int r = mp__launch(&launch, &ret_daemon->pid, &ret_daemon->pidfd);
	if (r < 0)
		return mp_error_set(r, "starting %s: %s", program, mp_strerror(r));
	MP__TEST_POINT("manager.start.launched");
	ret_daemon->origin = mp__origin_here();
	*ret_connector = MP__TAKE_FD(ours);
	return 0;
}

/* 0 it has ended and is reaped, or somebody else did; -ETIMEDOUT. */
static int reap(const struct mp__daemon *daemon, mp__deadline deadline, siginfo_t *ret_info)
{
	int r = mp__fd_wait(daemon->pidfd, POLLIN, deadline);

	if (r == 0)
		*ret_info = mp__pidfd_reap(daemon->pidfd);
	return r;
}

void mp__private_stop(struct mp__daemon *daemon)
{
	siginfo_t info;

	(void)mp__pidfd_signal(daemon->pidfd, SIGTERM);
	if (reap(daemon, mp__deadline_in(STOP_MS), &info) == 0)
		return;
	(void)mp__pidfd_signal(daemon->pidfd, SIGKILL);
	(void)reap(daemon, MP__DEADLINE_NEVER, &info);
}

int mp__private_explain(struct mp__daemon *daemon, int result)
{
	siginfo_t info = {0};

	/* Whoever hung up is about to end; one that is silent stays for mp__private_stop(). */
	if (result != -EPIPE && result != -EPROTO)
		return result;
	if (reap(daemon, mp__deadline_in(STOP_MS), &info) < 0)
		return result;
	if (info.si_code == CLD_EXITED)
		return mp_error_set(
			result, "managerd ended with code %d before it answered", info.si_status);
	return mp_error_set(
		result, "managerd was ended by signal %d before it answered", info.si_status);
}
