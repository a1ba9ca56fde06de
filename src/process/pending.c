/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "base/error.h"
#include "process/forkserver.h"
#include "process/process.h"
#include "process/server.h"
#include "process/startdata.h"

int mp__start_spawn(struct mp_process *process, struct mp__started *ret_started)
{
	(void)process;
	(void)ret_started;
	return mp_error_set(-ENOTSUP, "start: spawn is not there yet");
}
int mp__start_forkserver(struct mp_process *process, struct mp__started *ret_started)
{
	(void)process;
	(void)ret_started;
	return mp_error_set(-ENOTSUP, "start: forkserver is not there yet");
}
int mp__forkserver_collect(struct mp_process *process, mp__deadline deadline)
{
	(void)process;
	(void)deadline;
	return 0;
}
void mp__forkserver_unref(struct mp__server *server)
{
	(void)server;
}
int mp__server_run(const int *fds, size_t n_fds)
{
	(void)fds;
	(void)n_fds;
	return -ENOTSUP;
}
int mp__child_start(const int *fds, size_t n_fds)
{
	(void)fds;
	(void)n_fds;
	return -ENOTSUP;
}
