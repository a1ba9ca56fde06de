/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "process/process.h"

#include "base/cleanup.h"
#include "base/error.h"
#include "base/fds.h"
#include "base/testpoint.h"
#include "process/begin.h"
#include "process/life.h"
#include "process/report.h"
#include "process/startdata.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>

/* Until there is a report, or the process has ended. */
static void wait_for_report(int report, int pidfd)
{
	struct pollfd p[] = {
		{.fd = report, .events = POLLIN},
		{.fd = pidfd, .events = POLLIN},
	};

	while (poll(p, 2, -1) < 0 && errno == EINTR)
		;
}

/*
 * A foreign fork can have inherited the child's end of the socket, so that its end of file does not
 * come: the end of the process counts as well.
 */
static int await_ready(int report, int pidfd)
{
	struct mp__report said;
	MP__AUTO_CLOSE int own_pidfd = -1;

	wait_for_report(report, pidfd);
	/* What it said before it ended is in the socket now. */
	int r = mp__report_next(report, &said, &own_pidfd);
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
	siginfo_t info = {0};

	mp__pidfd_signal(pidfd, SIGKILL);
	while (waitid(P_PIDFD, (id_t)pidfd, &info, WEXITED) < 0 && errno == EINTR)
		;
	if (info.si_pid == 0)
		return mp_error_set(
			-EOWNERDEAD, "start: the child ended before it reached its target");
	return mp_error_set(-EOWNERDEAD,
		"start: the child ended with %s %d before it reached its target",
		info.si_code == CLD_EXITED ? "exit code" : "signal", info.si_status);
}

static int start_execution(struct mp__startdata *data, struct mp__started *ret_started)
{
	pid_t pid;
	MP__AUTO_CLOSE int pidfd = -1;

	int r = mp__begin_again(MP__BEGIN_CHILD, data->fds, data->n_fds, &pid, &pidfd);
	if (r == -ESRCH)
		return mp_error_set(
			-EOWNERDEAD, "start: the child ended before it reached its target");
	if (r < 0)
		return r;
	/* Only the child holds its ends from here on: its death is an end of file. */
	mp__fds_close(data->fds, data->n_own);
	MP__TEST_POINT("process.spawn.launched");
	r = await_ready(data->report, pidfd);
	if (r < 0) {
		char why[MP__DETAIL_SIZE];
		snprintf(why, sizeof(why), "%s", mp_error_detail());
		int ended = put_down(pidfd);
		return r == -EPIPE ? ended : mp_error_set(r, "%s", why);
	}
	ret_started->pid = pid;
	ret_started->pidfd = MP__TAKE_FD(pidfd);
	return 0;
}

int mp__start_spawn(struct mp_process *process, struct mp__started *ret_started)
{
	struct mp__startdata data;

	int r = mp__startdata_make(process, &data);
	if (r < 0)
		return r;
	r = start_execution(&data, ret_started);
	if (r < 0 && process->daemon)
		mp__life_release();
	mp__startdata_close(&data);
	return r;
}
