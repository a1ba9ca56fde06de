/* SPDX-License-Identifier: MIT */
/*
 * mp/future.h - what becomes of a task that was given to a pool.
 *
 *	mp_pool_submit(pool, square, MP_ARGS(mp_i64(12)), &future);
 *	mp_future_result(future, MP_FOREVER, &result);
 *
 * A future says how its task ended: with a result, with the error that the task returned, or with
 * the death of its worker. The library has no thread of its own: what has finished is collected by
 * the calls that wait or ask, for all futures of the pool at once, and these calls run the callbacks.
 *
 * Any thread of the process that made the pool may use a future; elsewhere its calls are -ECHILD,
 * and closing it frees memory only. Futures outlive their pool.
 */
#ifndef MP_FUTURE_H
#define MP_FUTURE_H

#include <mp/obj.h>
#include <stdbool.h>
#include <sys/resource.h>

MP__BEGIN_DECLS

typedef struct mp_future mp_future;

enum mp_future_state {
	MP_FUTURE_PENDING,
	MP_FUTURE_RUNNING,
	MP_FUTURE_DONE,      /* the task returned >= 0 */
	MP_FUTURE_FAILED,    /* the task returned an error */
	MP_FUTURE_CRASHED,   /* its worker died */
	MP_FUTURE_CANCELLED, /* it was cancelled, or the pool was closed */
};

/*
 * Wait for the task and get its result: 0, and *ret_result (which may be NULL) is a copy that the
 * caller frees; asking again gives another. Fails with what the task returned, its sentence in
 * mp_error_detail(); -EOWNERDEAD the worker that ran it died, and the detail says of what;
 * -ECANCELED it was cancelled, or the pool was closed before; -ETIMEDOUT, -ECHILD.
 * Since a task may return these codes too, mp_future_state() tells them apart.
 */
int mp_future_result(mp_future *future, int timeout_ms, mp_obj *ret_result);

/* How a task failed. */
typedef struct mp_failure {
	int code;            /* what mp_future_result() returns */
	const char *message; /* the sentence; valid until the future is closed */
	mp_obj detail; /* what a task that failed had put into *ret_result; the caller frees it */
} mp_failure;

/*
 * Wait for the task: 0 it succeeded, 1 it did not and *ret_failure (which may be NULL) says how.
 * -ETIMEDOUT, -EINVAL, -ECHILD, -ENOMEM; -EBADMSG the worker left rubbish.
 */
int mp_future_error(mp_future *future, int timeout_ms, mp_failure *ret_failure);

/* Where it stands now, without waiting: enum mp_future_state, or -ECHILD. */
int mp_future_state(mp_future *future);
/* The same as yes (1) or no (0): it has ended in any way; a worker runs it; it was cancelled. */
int mp_future_done(mp_future *future);
int mp_future_running(mp_future *future);
int mp_future_cancelled(mp_future *future);

#define MP_CANCEL_KILL 1 /* a worker that runs it already is ended, and replaced */

/*
 * 1: the task will never run, and its future has ended with -ECANCELED; or it had been cancelled
 * before. 0: it is running, and has been told: mp_task_cancelled() is true there from now on. If it
 * returns -ECANCELED then, the future ends as cancelled, else as ever. With MP_CANCEL_KILL its worker
 * is killed as well, and the future ends as cancelled unless the task was quicker.
 * -EALREADY it has ended; -EINVAL; -ENOTSUP MP_CANCEL_KILL where workers are threads; -ECHILD.
 */
int mp_future_cancel(mp_future *future, int flags);

/*
 * In a task: has the owner asked for its end, by mp_future_cancel() or the end of the pool? 1 or 0;
 * costs no system call. 0 where no task runs.
 */
int mp_task_cancelled(void);

typedef void mp_future_callback(mp_future *future, void *data);

/*
 * Call it once, when the task has ended: in the order in which they were added, by whichever thread
 * collects the end (one that waits, asks, submits or closes), without any lock; at once by this call
 * when it has ended already. It may use the future, the pool and other futures: submit, wait, cancel,
 * terminate, even close both. While a callback waits, no other one runs in its thread: those that
 * become due meanwhile follow it. The future stays open for it. -ENOMEM, -EINVAL, -ECHILD.
 */
int mp_future_add_done_callback(mp_future *future, mp_future_callback *callback, void *data);

enum mp_wait_for {
	MP_WAIT_ALL,         /* all have ended */
	MP_WAIT_FIRST,       /* one at least has ended */
	MP_WAIT_FIRST_ERROR, /* one has ended without success, or all have ended */
};

/*
 * Wait for several, of any pools, the same one twice too: how many have ended, or -ETIMEDOUT.
 * -EINVAL, -ECHILD, -ENOMEM, -EMFILE.
 */
int mp_future_wait(mp_future *const *futures, size_t n, int wait_for, int timeout_ms);

/*
 * Futures in the order in which they end, each once; those that have ended already come first. They
 * stay the caller's, who keeps them open until the iterator is closed. -EINVAL, -ECHILD, -ENOMEM,
 * -EMFILE.
 */
typedef struct mp_as_completed mp_as_completed;
int mp_as_completed_new(mp_future *const *futures, size_t n, mp_as_completed **ret_iterator);
/* 1 and the next one, 0 there is none any more, -ETIMEDOUT. One thread at a time. */
int mp_as_completed_next(mp_as_completed *iterator, int timeout_ms, mp_future **ret_future);
/* NULL is allowed. Returns 0. */
int mp_as_completed_close(mp_as_completed *iterator);

/* How a worker died that ran a task. */
typedef struct mp_crash {
	int signal;    /* that killed it, or 0 */
	int exit_code; /* with which it exited, or -1 */
	int pid;
	int worker;           /* its number, from 1 */
	char worker_name[96]; /* "Pool-1-worker-3" */
	char task_name[96];   /* its name in the options, its symbol, or file and offset */
	size_t begin;         /* the iterations of mp_pool_for() it was in, if end > begin */
	size_t end;
	bool usage_known;
	struct rusage usage; /* of the process from its start on */
} mp_crash;

/*
 * The evidence: how the (n+1)-th worker died that ran this task; n is 0 unless it was tried again.
 * -ENOENT so many have not died of it; -EAGAIN it has not ended; -EINVAL, -ECHILD.
 */
int mp_future_crash(mp_future *future, int n, mp_crash *ret_crash);

/* Drop the handle; the task goes on. NULL is allowed. Returns 0. */
int mp_future_close(mp_future *future);

MP__END_DECLS

#endif
