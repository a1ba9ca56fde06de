/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "process/child.h"

#include "base/error.h"
#include "base/testpoint.h"
#include "process/life.h"
#include "process/report.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdio_ext.h>
#include <sys/prctl.h>
#include <unistd.h>

/* As the shell: could not be run. */
#define EXIT_NOT_RUN 126

void mp__stdio_flush(void)
{
	if (ftrylockfile(stdin) == 0) {
		funlockfile(stdin);
		fflush(NULL);
		return;
	}
	fflush(stdout);
	fflush(stderr);
}

/* The terminal's input is the parent's; so is what stdio has read ahead of it. */
static void stdin_from_null(void)
{
	int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return; /* a chroot without /dev: no input either way */
	if (fd != STDIN_FILENO) {
		dup2(fd, STDIN_FILENO);
		close(fd);
	} else {
		fcntl(fd, F_SETFD, 0);
	}
	__fpurge(stdin);
}

static int prepare(const struct mp__child *child)
{
	mp__kin_become(&child->kin);
	prctl(PR_SET_NAME, child->kin.name);
	stdin_from_null();
	return child->life >= 0 ? mp__life_arm(child->life) : 0;
}

_Noreturn void mp__child_run(const struct mp__child *child)
{
	struct mp__report_end report = mp__report_end_of(child->report);

	int r = prepare(child);
	MP__TEST_POINT("process.child.prepared");
	if (r < 0) {
		mp__report_failed(&report, r);
		_exit(EXIT_NOT_RUN);
	}
	/* Nobody who waits for it any more: then it was never started. */
	if (child->report >= 0 && mp__report_ready(&report) < 0)
		_exit(EXIT_NOT_RUN);
	MP__TEST_POINT("process.child.ready");

	pthread_sigmask(SIG_SETMASK, child->sigmask, NULL);
	int code = child->target((int)child->args.count, child->args.as.items);
	mp__stdio_flush();
	MP__TEST_POINT("process.child.done");
	mp__report_left(&report, code & 0xff);
	_exit(code & 0xff);
}
