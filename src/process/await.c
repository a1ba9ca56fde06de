/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "process/await.h"

#include "base/cleanup.h"
#include "base/error.h"
#include "base/fds.h"
#include "process/report.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>

int mp__await_report(int report, int pidfd, mp__deadline deadline)
{
	struct pollfd p[] = {
		{.fd = report, .events = POLLIN},
		{.fd = pidfd, .events = POLLIN},
	};

	while (poll(p, 2, mp__deadline_poll_ms(deadline)) <= 0) {
		if (mp__deadline_passed(deadline))
			return mp_error_set(
				-ETIMEDOUT, "start: the child has not reached its target in time");
	}
	return p[0].revents != 0;
}

/*
 * A foreign fork can have inherited the child's end of the socket, so that its end of file does not
 * come: the end of the process counts as well.
 */
static int read_report(int report, int pidfd, mp__deadline deadline)
{
	struct mp__report said;
	MP__AUTO_CLOSE int own_pidfd = -1;

	int r = mp__await_report(report, pidfd, deadline);
	if (r < 0)
		return r;
	/* What it said before it ended is in the socket now. */
	r = mp__report_next(report, &said, &own_pidfd);
	if (r == -EAGAIN || r == -EPIPE)
		return -EPIPE;
	if (r < 0)
		return r;
	if (said.kind == MP__REPORT_FAILED)
		return mp_error_set(said.value < 0 ? said.value : -EPROTO, "%s", said.text);
	return said.kind == MP__REPORT_READY ? 0 : mp_error_set(-EBADMSG, "report of a child");
}

/* It must not go on, and nothing of it stay. How it ended, if it had before: the sentence. */
static int put_down(int pidfd)
{
	mp__pidfd_signal(pidfd, SIGKILL);
	siginfo_t info = mp__pidfd_reap(pidfd);
	if (info.si_pid == 0)
		return mp_error_set(
			-EOWNERDEAD, "start: the child ended before it reached its target");
	return mp_error_set(-EOWNERDEAD,
		"start: the child ended with %s %d before it reached its target",
		info.si_code == CLD_EXITED ? "exit code" : "signal", info.si_status);
}

int mp__await_ready(int report, int pidfd, mp__deadline deadline)
{
	char why[MP__DETAIL_SIZE];

	int r = read_report(report, pidfd, deadline);
	if (r == 0)
		return 0;
	snprintf(why, sizeof(why), "%s", mp_error_detail());
	int ended = put_down(pidfd);
	return r == -EPIPE ? ended : mp_error_set(r, "%s", why);
}
