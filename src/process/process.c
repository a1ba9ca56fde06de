/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "process/process.h"

#include "base/cleanup.h"
#include "base/error.h"
#include "base/fds.h"
#include "base/options.h"
#include "base/testpoint.h"
#include "process/begin.h"
#include "process/children.h"
#include "process/forkserver.h"
#include "process/kin.h"
#include "process/life.h"
#include "process/thread.h"

#include <poll.h>
#include <signal.h>
#include <string.h>

/* --- new and start ----------------------------------------------------------------------------- */

static int check_new(mp_target *target, const mp_obj *args, const mp_process_options *options)
{
	if (!target)
		return mp_error_set(-EINVAL, "new process: the target is NULL");
	if (args->type != MP_TYPE_LIST && args->type != MP_TYPE_NIL)
		return mp_error_set(-EINVAL,
			"new process: the arguments are neither a list nor nil; use MP_ARGS()");
	if (options->start_method < MP_START_DEFAULT || options->start_method > MP_START_THREAD)
		return mp_error_set(
			-EINVAL, "new process: %d is no start method", options->start_method);
	return 0;
}

static char *make_name(const char *name, const char *lineage)
{
	static const char prefix[] = "Process-";

	if (name)
		return strdup(name);
	char *made = lineage ? malloc(sizeof(prefix) + strlen(lineage)) : NULL;
	return made ? strcat(strcpy(made, prefix), lineage) : NULL;
}

/*
 * What ends by SIGKILL cannot see to its children: those of a daemonic process are daemonic too. Threads
 * take it from the thread that starts them.
 */
static bool is_daemonic_here(int method)
{
	return mp__kin_here()->daemon || (method == MP_START_THREAD && mp_process_current_daemon());
}

int mp_process_new(
	mp_target *target, mp_obj args, const mp_process_options *options, mp_process **ret_process)
{
	mp_process_options o;

	if (!ret_process)
		return mp_error_set(-EINVAL, "new process: no place for it");
	int r = mp__options_load(&o, sizeof(o), 0, options);
	if (r == 0)
		r = check_new(target, &args, &o);
	if (r < 0)
		return r;
	o.daemon |= is_daemonic_here(o.start_method);

	/* Not calloc(3), which goes past malloc(3)'s cache, to pages that a fork makes dear. */
	MP__AUTO_FREE mp_process *process = malloc(sizeof(*process));
	MP__AUTO_FREE char *lineage = mp__kin_child_lineage();
	MP__AUTO_FREE char *name = make_name(o.name, lineage);
	if (!process || !lineage || !name)
		return mp_error_set(-ENOMEM, "new process: out of memory");
	*process = (mp_process){.refs = 1};
	r = mp__setting_copy(&o, &process->setting);
	if (r < 0)
		return r;
	r = mp_obj_copy(args, &process->args);
	if (r < 0) {
		mp__setting_close_fds(&process->setting);
		mp__setting_free(&process->setting);
		return r;
	}
	process->origin = mp__origin_here();
	process->target = target;
	process->name = MP__TAKE_PTR(name);
	process->lineage = MP__TAKE_PTR(lineage);
	process->method = o.start_method;
	process->daemon = o.daemon;
	process->start_timeout_ms = o.start_timeout_ms > 0 ? o.start_timeout_ms : MP_FOREVER;
	process->pidfd = -1;
	process->report = -1;
	process->left = -1;
	*ret_process = MP__TAKE_PTR(process);
	return 0;
}

static int check_handle(const mp_process *process, const char *what)
{
	if (!process)
		return mp_error_set(-EINVAL, "%s: the process is NULL", what);
	if (!mp__origin_is_here(process->origin))
		return mp_error_set(-ECHILD, "%s: the handle of %s belongs to the parent process",
			what, process->name);
	return 0;
}

/* The state, -EINVAL if it does not run or has not run yet. */
static int check_started(mp_process *process, const char *what)
{
	int r = check_handle(process, what);

	if (r < 0)
		return r;
	uint32_t state = atomic_load_explicit(&process->state, memory_order_acquire);
	if (state < MP__PROCESS_RUNNING)
		return mp_error_set(-EINVAL,
			"%s: %s was not started; call mp_process_start() first", what,
			process->name);
	return (int)state;
}

static int start_by_method(mp_process *process, mp__deadline deadline, struct mp__started *started)
{
	switch (process->method) {
	case MP_START_SPAWN:
		return mp__start_spawn(process, deadline, started);
	case MP_START_FORKSERVER:
		return mp__start_forkserver(process, deadline, started);
	case MP_START_THREAD:
		return mp__start_thread(process, started);
	default:
		return mp__start_fork(process, deadline, started);
	}
}

int mp_process_start(mp_process *process)
{
	uint32_t state = MP__PROCESS_NEW;
	struct mp__started started = {.pidfd = -1, .report = -1};

	int r = check_handle(process, "start");
	if (r < 0)
		return r;
	if (!atomic_compare_exchange_strong(&process->state, &state, MP__PROCESS_STARTING))
		return mp_error_set(-EALREADY, "start: %s was started before", process->name);

	if (process->method == MP_START_DEFAULT)
		process->method = mp_start_method_get();
	mp__children_reap();
	r = start_by_method(process, mp__deadline_in(process->start_timeout_ms), &started);
	if (r < 0) {
		atomic_store(&process->state, MP__PROCESS_NEW);
		return r;
	}
	process->pid = started.pid;
	process->pidfd = started.pidfd;
	process->report = started.report;
	process->server = started.server;
	mp_obj_free(&process->args);
	mp__setting_close_fds(&process->setting);
	mp__children_add(process);
	atomic_store_explicit(&process->state, MP__PROCESS_RUNNING, memory_order_release);
	return 0;
}

/* --- its end ------------------------------------------------------------------------------------ */

int mp_process_join(mp_process *process, int timeout_ms)
{
	mp__deadline deadline = mp__deadline_in(timeout_ms);

	if (process && (mp__process_is_self(process) || mp__thread_current() == process))
		return mp_error_set(-EDEADLK, "join: %s would wait for itself", process->name);
	int r = check_started(process, "join");
	if (r < 0)
		return r;
	r = mp__process_wait(process, deadline);
	if (r == -ETIMEDOUT)
		return mp_error_set(r, "join: %s (pid %d) has not ended within %d ms",
			process->name, process->pid, timeout_ms);
	return r < 0 ? mp_error_set(r, "join: %s: %s", process->name, mp_strerror(r)) : 0;
}

int mp_process_is_alive(mp_process *process)
{
	int r = check_handle(process, "is_alive");

	if (r < 0)
		return r;
	uint32_t state = atomic_load_explicit(&process->state, memory_order_acquire);
	if (state < MP__PROCESS_RUNNING || state == MP__PROCESS_DONE)
		return 0;
	return mp__fd_wait(process->pidfd, POLLIN, mp__deadline_in(0)) == -ETIMEDOUT;
}

static int check_result(mp_process *process, const void *ret_result, const char *what)
{
	int r = check_started(process, what);

	if (r >= 0 && !ret_result)
		return mp_error_set(-EINVAL, "%s: nowhere to put it", what);
	return r;
}

int mp_process_exit_code(mp_process *process, int *ret_code)
{
	int r = check_result(process, ret_code, "exit_code");

	if (r < 0)
		return r;
	if (mp__process_wait(process, mp__deadline_in(0)) < 0)
		return mp_error_set(-EAGAIN, "exit_code: %s (pid %d) still runs; join it first",
			process->name, process->pid);
	if (!process->code_known)
		return mp_error_set(-ESRCH,
			"exit_code: %s (pid %d) has ended, but how is not known: somebody else "
			"reaped it, or its fork server was killed",
			process->name, process->pid);
	*ret_code = process->code;
	return 0;
}

int mp_process_usage(mp_process *process, struct rusage *ret_usage)
{
	int r = check_result(process, ret_usage, "usage");

	if (r < 0)
		return r;
	if (mp__process_wait(process, mp__deadline_in(0)) < 0)
		return mp_error_set(-EAGAIN, "usage: %s (pid %d) still runs; join it first",
			process->name, process->pid);
	if (!process->usage_known)
		return mp_error_set(-ESRCH,
			"usage: what %s (pid %d) used is not known: somebody else reaped it, or "
			"its fork server was killed",
			process->name, process->pid);
	memcpy(ret_usage, &process->usage, sizeof(*ret_usage));
	return 0;
}

int mp_process_pid(mp_process *process)
{
	int r = check_started(process, "pid");

	return r < 0 ? r : process->pid;
}

int mp_process_sentinel(mp_process *process)
{
	int r = check_started(process, "sentinel");

	return r < 0 ? r : process->pidfd;
}

const char *mp_process_name(mp_process *process)
{
	return check_handle(process, "name") < 0 ? NULL : process->name;
}

/* --- signals ------------------------------------------------------------------------------------ */

int mp_process_signal(mp_process *process, int signal)
{
	int r = check_started(process, "signal");

	if (r < 0)
		return r;
	if (process->method == MP_START_THREAD)
		return mp_error_set(
			-ENOTSUP, "signal %d to %s: it is a thread", signal, process->name);
	/* The kernel takes signals for a process that has ended and was not reaped: look first. */
	if (r == MP__PROCESS_DONE || mp_process_is_alive(process) == 0)
		r = -ESRCH;
	else
		r = mp__pidfd_signal(process->pidfd, signal);
	if (r < 0)
		return mp_error_set(r, "signal %d to %s (pid %d): %s", signal, process->name,
			process->pid, mp_strerror(r));
	return 0;
}

int mp_process_interrupt(mp_process *process)
{
	return mp_process_signal(process, SIGINT);
}

int mp_process_terminate(mp_process *process)
{
	return mp_process_signal(process, SIGTERM);
}

int mp_process_kill(mp_process *process)
{
	return mp_process_signal(process, SIGKILL);
}

/* --- close -------------------------------------------------------------------------------------- */

static void release(mp_process *process)
{
	mp_obj_free(&process->args);
	mp__setting_free(&process->setting);
	free(process->name);
	free(process->lineage);
	free(process);
}

void mp__process_ref(struct mp_process *process)
{
	atomic_fetch_add_explicit(&process->refs, 1, memory_order_relaxed);
}

void mp__process_unref(struct mp_process *process)
{
	if (atomic_fetch_sub_explicit(&process->refs, 1, memory_order_acq_rel) > 1)
		return;
	mp__fds_close((int[]){process->pidfd, process->report}, 2);
	mp__setting_close_fds(&process->setting);
	mp__forkserver_unref(process->server);
	release(process);
}

void mp__process_unlist(struct mp_process *process)
{
	process->unlisted = true;
}

int mp_process_close(mp_process *process)
{
	if (!process)
		return 0;
	if (!mp__origin_is_here(process->origin)) {
		/* Only memory: the descriptors may have been closed and used again meanwhile. */
		if (!mp__process_is_self(process))
			release(process);
		return 0;
	}
	uint32_t state = atomic_load_explicit(&process->state, memory_order_acquire);
	if (state == MP__PROCESS_STARTING ||
		(state > MP__PROCESS_STARTING && mp__process_wait(process, mp__deadline_in(0)) < 0))
		return mp_error_set(-EBUSY, "close: %s (pid %d) still runs; join or kill it first",
			process->name, process->pid);
	mp__process_unref(process);
	return 0;
}
