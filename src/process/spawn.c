/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "process/process.h"

#include "base/cleanup.h"
#include "base/error.h"
#include "base/fds.h"
#include "base/testpoint.h"
#include "process/await.h"
#include "process/begin.h"
#include "process/life.h"
#include "process/startdata.h"

static int start_execution(const struct mp_process *process, struct mp__startdata *data,
	mp__deadline deadline, struct mp__started *ret_started)
{
	pid_t pid;
	MP__AUTO_CLOSE int pidfd = -1;

	int r = mp__begin_again(
		MP__BEGIN_CHILD, &data->child, 1, process->setting.env, &pid, &pidfd);
	if (r == -ESRCH)
		return mp_error_set(
			-EOWNERDEAD, "start: the child ended before it reached its target");
	if (r < 0)
		return r;
	/* Only the child holds its end from here on: its death is an end of file. */
	mp__fds_close(&data->child, 1);
	MP__TEST_POINT("process.spawn.launched");
	r = mp__await_ready(data->report, pidfd, deadline);
	if (r < 0)
		return r;
	ret_started->pid = pid;
	ret_started->pidfd = MP__TAKE_FD(pidfd);
	return 0;
}

int mp__start_spawn(
	struct mp_process *process, mp__deadline deadline, struct mp__started *ret_started)
{
	struct mp__startdata data;

	int r = mp__startdata_make(process, true, &data);
	if (r < 0)
		return r;
	r = start_execution(process, &data, deadline, ret_started);
	if (r < 0 && process->setting.death)
		mp__life_release();
	mp__startdata_close(&data);
	return r;
}
