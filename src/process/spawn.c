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
#include <sys/wait.h>

/* Poll both: 0 the report can be read, -EPIPE only the process has ended. */
static int wait_for_report(int report, int pidfd)
{
	struct pollfd p[] = {
		{.fd = report, .events = POLLIN},
		{.fd = pidfd, .events = POLLIN},
	};

	while (poll(p, 2, -1) < 0) {
		if (errno != EINTR)
			return mp__error_errno("poll for the child's report");
	}
	return p[0].revents ? 0 : -EPIPE;
}

/*
 * A foreign fork can have inherited the child's end of the socket, so that its end of file does not
 * come: the end of the process counts as well.
 */
static int await_ready(int report, int pidfd)
{
	struct mp__report said;
	MP__AUTO_CLOSE int own_pidfd = -1;

	int r = wait_for_report(report, pidfd);
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

/* It must not go on, and nothing of it stay. What it ended with, if it had: -EPIPE otherwise. */
static int put_down(int pidfd, int *ret_code)
{
	siginfo_t info = {0};

	int r = mp__pidfd_signal(pidfd, SIGKILL);
	while (waitid(P_PIDFD, (id_t)pidfd, &info, WEXITED) < 0) {
		if (errno != EINTR)
			return -errno;
	}
	*ret_code = info.si_code == CLD_EXITED ? info.si_status : -info.si_status;
	return r;
}

static int start_execution(struct mp__startdata *data, struct mp__started *ret_started)
{
	pid_t pid;
	MP__AUTO_CLOSE int pidfd = -1;
	int code = 0;

	int r = mp__begin_again(MP__BEGIN_CHILD, data->fds, data->n_fds, &pid, &pidfd);
	if (r < 0)
		return r;
	/* Only the child holds its ends from here on: its death is an end of file. */
	mp__fds_close(data->fds, data->n_own);
	MP__TEST_POINT("process.spawn.launched");
	r = await_ready(data->report, pidfd);
	if (r < 0) {
		put_down(pidfd, &code);
		if (r == -EPIPE)
			r = mp_error_set(-EOWNERDEAD,
				"start: the child ended with %s %d before it reached its target",
				code < 0 ? "signal" : "exit code", code < 0 ? -code : code);
		return r;
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
