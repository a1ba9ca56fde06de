/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "process/exit.h"

#include "base/error.h"
#include "base/log.h"
#include "base/testpoint.h"
#include "process/children.h"
#include "process/process.h"
#include "process/thread.h"

#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>

static _Atomic int wait_ms = MP_FOREVER;
static mp__origin armed; /* written before the handler is registered */

void mp_exit_wait(int timeout_ms)
{
	atomic_store(&wait_ms, timeout_ms);
}

/* Daemonic threads are abandoned; a thread that calls exit(3) cannot wait for itself. */
static bool is_left_alone(const struct mp_process *process)
{
	return process->method == MP_START_THREAD &&
	       (process->daemon || mp__thread_current() == process);
}

/*
 * One round: how many were there to wait for; *ret_left of them run on. First the daemonic ones get
 * the signal that the end of this process would give them, so that they end at the same time.
 */
static size_t end_children(mp__deadline deadline, size_t *ret_left)
{
	struct mp_process **children;
	size_t n;
	size_t waited = 0;

	*ret_left = 0;
	if (mp__children_take(&children, &n) < 0)
		return 0;
	for (size_t i = 0; i < n; i++) {
		if (children[i]->daemon && children[i]->method != MP_START_THREAD &&
			atomic_load(&children[i]->state) >= MP__PROCESS_RUNNING)
			mp_process_signal(children[i], children[i]->setting.death);
	}
	MP__TEST_POINT("process.exit.signalled");
	for (size_t i = 0; i < n; i++) {
		if (atomic_load(&children[i]->state) < MP__PROCESS_RUNNING ||
			is_left_alone(children[i]))
			continue;
		waited++;
		if (mp__process_wait(children[i], deadline) < 0)
			++*ret_left;
	}
	MP__TEST_POINT("process.exit.waited");
	mp__children_drop(children, n);
	return waited;
}

static void at_exit(void)
{
	int timeout_ms = atomic_load(&wait_ms);
	mp__deadline deadline = mp__deadline_in(timeout_ms);
	size_t left;

	if (timeout_ms == MP_NOWAIT || !mp__origin_is_here(armed))
		return;
	/* Threads that we wait for may start others. */
	while (end_children(deadline, &left) > 0 && left == 0)
		;
	if (left > 0)
		mp__log(MP_LOG_WARNING, "process", "%zu children run on after %d ms at the exit",
			left, timeout_ms);
}

int mp__exit_arm(void)
{
	armed = mp__origin_here();
	if (atexit(at_exit) != 0)
		return mp_error_set(-ENOMEM, "mp_begin: no room for an exit handler");
	return 0;
}
