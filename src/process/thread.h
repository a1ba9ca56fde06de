/* SPDX-License-Identifier: MIT */
/*
 * process/thread.h - the start method that makes no process: the target runs in a thread of this one.
 *
 * The same handle, the same calls. Where a process has a pidfd a thread has an eventfd, which the
 * thread makes readable as the last thing it does; it is joined by whoever collects its end. A thread
 * cannot be ended from outside, so that signals are refused.
 */
#ifndef MP_PROCESS_THREAD_H
#define MP_PROCESS_THREAD_H

struct mp_process;

/* Its target has returned; the thread itself is gone in an instant. 0 the code is there, -EAGAIN. */
int mp__thread_collect(struct mp_process *process);

/* The process handle that the calling thread runs the target of, or NULL. */
const struct mp_process *mp__thread_current(void);

#endif
