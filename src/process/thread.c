/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "process/thread.h"

#include "base/cleanup.h"
#include "base/error.h"
#include "process/process.h"

#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>

/* What the thread starts from; its own. */
struct run {
	struct mp_process *process; /* stays: it cannot be closed before the thread has ended */
	mp_target *target;
	mp_obj args;
	int sentinel;
	char name[16]; /* what the kernel keeps */
};

/*
 * How long the last instructions of a thread may take: destructors of thread-specific data are user
 * code, and the wait is repeated.
 */
#define COLLECT_MS 20

static _Thread_local const struct mp_process *current;

const struct mp_process *mp__thread_current(void)
{
	/* In a forked child of this thread the handle is the parent's. */
	return current && mp__origin_is_here(current->origin) ? current : NULL;
}

/* Also when the target calls pthread_exit(3) or is cancelled. */
static void end(void *data)
{
	struct run *run = data;
	int sentinel = run->sentinel;

	mp_obj_free(&run->args);
	/* Read by who joins this thread. */
	getrusage(RUSAGE_THREAD, &run->process->usage);
	current = NULL;
	free(run);
	eventfd_write(sentinel, 1);
}

static void *begin(void *data)
{
	struct run *run = data;
	int code = 0;

	pthread_setname_np(pthread_self(), run->name);
	current = run->process;
	if (current->setting.has_mask)
		pthread_sigmask(SIG_SETMASK, &current->setting.mask, NULL);
	pthread_cleanup_push(end, run);
	code = run->target((int)run->args.count, run->args.as.items);
	pthread_cleanup_pop(1);
	return (void *)(intptr_t)code;
}

int mp__start_thread(struct mp_process *process, struct mp__started *ret_started)
{
	if (process->setting.apart)
		return mp_error_set(-ENOTSUP,
			"start: %s is a thread; streams, descriptors, environment, directory and "
			"death are the process's",
			process->name);
	MP__AUTO_FREE struct run *run = calloc(1, sizeof(*run));
	MP__AUTO_CLOSE int sentinel = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

	if (sentinel < 0)
		return mp__error_errno("sentinel of a thread");
	if (!run)
		return mp_error_set(-ENOMEM, "start: out of memory");
	run->process = process;
	run->target = process->target;
	run->args = process->args;
	run->sentinel = sentinel;
	snprintf(run->name, sizeof(run->name), "%s", process->name);
	int err = pthread_create(&process->thread, NULL, begin, run);
	if (err != 0)
		return mp_error_set(-err, "start: thread: %s", strerrordesc_np(err));
	run = NULL;
	process->args = mp_nil(); /* the thread's now */
	ret_started->pid = getpid();
	ret_started->pidfd = MP__TAKE_FD(sentinel);
	return 0;
}

/*
 * pthread_clockjoin_np(3) would be the call for this, but ThreadSanitizer does not know it. The thread
 * has some instructions left as a rule: giving way to it once or twice is enough.
 */
static int join(pthread_t thread, void **ret_result)
{
	mp__deadline limit = mp__deadline_in(COLLECT_MS);

	for (int i = 0;; i++) {
		if (pthread_tryjoin_np(thread, ret_result) == 0)
			return 0;
		if (mp__deadline_passed(limit))
			return -EAGAIN;
		if (i < 10)
			sched_yield();
		else
			poll(NULL, 0, 1);
	}
}

int mp__thread_collect(struct mp_process *process)
{
	void *result;

	if (join(process->thread, &result) < 0)
		return -EAGAIN;
	process->code = (int)((intptr_t)result & 0xff);
	process->code_known = process->usage_known = true;
	return 0;
}
