/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "process/process.h"

#include "base/error.h"
#include "base/fds.h"
#include "base/futex.h"
#include "base/testpoint.h"
#include "process/children.h"
#include "process/forkserver.h"
#include "process/life.h"
#include "process/thread.h"

#include <limits.h>
#include <poll.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/*
 * A pidfd that polls readable although the status is not to be had yet: the child is traced and its
 * tracer comes first, or its fork server is stopped. How often to look again.
 */
#define RECHECK_MS 20

int mp__exit_code_of(int wait_status)
{
	return WIFEXITED(wait_status) ? WEXITSTATUS(wait_status) : -WTERMSIG(wait_status);
}

/* Two times of two words each and fourteen counters: the kernel's layout is the C library's. */
_Static_assert(offsetof(struct rusage, ru_nivcsw) == 17 * sizeof(long) &&
		       sizeof(struct rusage) >= 18 * sizeof(long),
	"rusage as waitid(2) writes it");

/* The fifth argument of waitid(2), that the C library's function has not. */
static int reap_one(
	idtype_t which, int id, pid_t *ret_pid, int *ret_wait_status, struct rusage *ret_usage)
{
	siginfo_t info = {0};
	struct rusage usage;

	while (syscall(SYS_waitid, which, id, &info, WEXITED | WNOHANG, &usage) < 0) {
		if (errno != EINTR)
			return -ECHILD;
	}
	if (info.si_pid == 0)
		return -EAGAIN;
	*ret_pid = info.si_pid;
	*ret_wait_status = info.si_code == CLD_EXITED ? W_EXITCODE(info.si_status, 0)
						      : W_EXITCODE(0, info.si_status);
	memcpy(ret_usage, &usage, sizeof(usage));
	return 0;
}

int mp__reap(int pidfd, int *ret_wait_status, struct rusage *ret_usage)
{
	pid_t pid;

	return reap_one(P_PIDFD, pidfd, &pid, ret_wait_status, ret_usage);
}

int mp__reap_any(pid_t *ret_pid, int *ret_wait_status, struct rusage *ret_usage)
{
	return reap_one(P_ALL, 0, ret_pid, ret_wait_status, ret_usage);
}

/* Of a child of this process. 0 collected or lost for good, -EAGAIN not yet. */
static int collect_own(struct mp_process *process)
{
	int status;

	int r = mp__reap(process->pidfd, &status, &process->usage);
	if (r == 0) {
		process->code = mp__exit_code_of(status);
		process->code_known = process->usage_known = true;
	}
	return r == -EAGAIN ? r : 0; /* of one that was reaped already the code stays unknown */
}

static int collect(struct mp_process *process)
{
	if (process->method == MP_START_THREAD)
		return mp__thread_collect(process);
	if (process->server)
		return mp__forkserver_collect(process);
	return collect_own(process);
}

/* As the one thread that may: REAPING -> DONE, or back to RUNNING if the status is not there yet. */
static int reap(struct mp_process *process)
{
	MP__TEST_POINT("process.reaping");
	int r = collect(process);
	if (r == 0)
		mp__children_remove(process);
	if (r == 0 && process->setting.death && process->method != MP_START_THREAD)
		mp__life_release();
	/* Sequentially consistent, as counting a sleeper is: one of the two sees the other. */
	atomic_store(&process->state, r == 0 ? MP__PROCESS_DONE : MP__PROCESS_RUNNING);
	if (atomic_load(&process->sleepers) > 0)
		mp__futex_wake(&process->state, INT_MAX);
	return r;
}

int mp__process_wait(struct mp_process *process, mp__deadline deadline)
{
	for (;;) {
		uint32_t state = atomic_load_explicit(&process->state, memory_order_acquire);

		if (state == MP__PROCESS_DONE)
			return 0;
		if (state == MP__PROCESS_REAPING) {
			/* A system call or two, or a second at the very most: not our deadline. */
			atomic_fetch_add(&process->sleepers, 1);
			mp__futex_wait(&process->state, state, MP__DEADLINE_NEVER);
			atomic_fetch_sub(&process->sleepers, 1);
			continue;
		}
		int r = mp__fd_wait(process->pidfd, POLLIN, deadline);
		if (r < 0)
			return r;
		if (!atomic_compare_exchange_strong(&process->state, &state, MP__PROCESS_REAPING))
			continue;
		r = reap(process);
		if (r == 0)
			return 0;
		if (mp__deadline_passed(deadline))
			return -ETIMEDOUT;
		poll(NULL, 0, mp__deadline_poll_ms(mp__deadline_slice(deadline, RECHECK_MS)));
	}
}
