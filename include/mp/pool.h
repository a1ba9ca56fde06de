/* SPDX-License-Identifier: MIT */
/*
 * mp/pool.h - a pool of worker processes, and futures.
 *
 *	static int square(int argc, const mp_obj *argv, mp_obj *ret)
 *	{
 *		*ret = mp_i64(mp_obj_i64(&argv[0]) * mp_obj_i64(&argv[0]));
 *		return 0;
 *	}
 *
 *	mp_pool_new(NULL, &pool);
 *	mp_pool_submit(pool, square, MP_ARGS(mp_i64(12)), &future);
 *	mp_future_result(future, MP_FOREVER, &result);
 *
 * A worker that is killed takes down its own task only: that future fails with -EOWNERDEAD, the
 * worker is replaced, everything else goes on. Workers end with the process that owns the pool,
 * however that ends.
 *
 * The library has no thread of its own: results are collected and dead workers replaced by the
 * calls that wait. Pool and future handles may be used from any thread of the process that made
 * the pool; in a forked child their calls are -ECHILD, and closing them frees memory only.
 */
#ifndef MP_POOL_H
#define MP_POOL_H

#include <mp/future.h>
#include <mp/obj.h>
#include <mp/process.h>

MP__BEGIN_DECLS

typedef struct mp_pool mp_pool;

/*
 * What runs in a worker: any function, as for mp_target. Returns >= 0 with *ret_result set (it is
 * nil before), or a negative errno, best through mp_error_set(); what it has put into *ret_result
 * then is the detail that mp_future_error() gives. *ret_result may borrow from static
 * data or from argv, or own what a libmp call gave; the library frees it. What lives on the stack
 * has to be copied: `return mp_obj_copy(MP_DICT(...), ret_result)`, and so has a handle of an object
 * that the task itself made and closes. Up to 253 descriptors may be in one result.
 */
typedef int mp_task(int argc, const mp_obj *argv, mp_obj *ret_result);

typedef struct mp_pool_options {
	size_t size;             /* set by MP_POOL_OPTIONS() */
	uint64_t flags;          /* none yet: others than 0 are -EINVAL */
	const char *name;        /* prefix of the workers' names; copied. NULL: "Pool-N" */
	int workers;             /* 1 to 1000; 0: as many as CPUs this process may use */
	int start_method;        /* enum mp_start_method; threads are workers too */
	int max_pending;         /* tasks submitted and not finished, 1 to 1048576; 0: 65536 */
	mp_task *initializer;    /* run once in each worker before its first task, or NULL. When it
				  * fails in ten workers in a row, no more are started; when the
				  * last one is gone, futures end with -EOWNERDEAD and its sentence */
	mp_obj initializer_args; /* list or nil; copied */
	int tasks_per_worker;    /* a worker leaves after so many and is replaced; 0: no limit */
	bool on_demand;          /* start a worker when there is a task and no worker for it */
	int idle_ms;             /* a worker that had nothing to do for so long leaves, and others
				  * are started on demand; 0: they stay */
	uint64_t worker_memory;  /* bytes that a worker may use, see mp_pool_limited_by(); 0: no
				  * limit */
	int worker_cpu;          /* CPU time that it may use, 100: that of one CPU; 0: no limit */
} mp_pool_options;

#define MP_POOL_OPTIONS(...) \
	(&(const mp_pool_options){.size = sizeof(mp_pool_options), __VA_ARGS__})

/*
 * Start the workers; does not wait for their initializers. -EINVAL (unknown flag or method, a number
 * out of range), -ENOTSUP (limits where workers are threads), -E2BIG, -ENOSPC no room in shared memory, and the errors of mp_process_start().
 */
int mp_pool_new(const mp_pool_options *options, mp_pool **ret_pool);

/*
 * Have `task` run with `args` (a list or nil, copied). Does not wait, except that with max_pending
 * tasks unfinished it waits until one has finished. ret_future may be NULL when nobody will ask.
 * -EPIPE the pool takes no more tasks, or has lost its workers for good; -EINVAL; -ENOEXEC the task
 * is in no file that workers have; -EMSGSIZE more than 2 GiB or 253 descriptors; -ENOSPC; -EMFILE or
 * -ETOOMANYREFS no room for descriptors in the arguments; -ENOMEM; -ECHILD; errors of mp_obj_copy().
 */
int mp_pool_submit(mp_pool *pool, mp_task *task, mp_obj args, mp_future **ret_future);

/* What one task is allowed. */
typedef struct mp_task_options {
	size_t size;      /* set by MP_TASK_OPTIONS() */
	uint64_t flags;   /* none yet: others than 0 are -EINVAL */
	const char *name; /* for mp_future_crash() and the trace; copied */
	int retries;      /* how often it is run again when its worker died of it */
	int timeout_ms;   /* how long it may run; then its worker is killed. 0: no limit */
	int cpu_ms;       /* how much CPU time it may use; then its worker is killed. 0: no limit */
	uint64_t memory;  /* bytes of address space that it may add; then allocations fail. 0: no
			   * limit */
	mp_future_callback *callback; /* as by mp_future_add_done_callback() */
	void *callback_data;
} mp_task_options;

#define MP_TASK_OPTIONS(...) \
	(&(const mp_task_options){.size = sizeof(mp_task_options), __VA_ARGS__})

/*
 * The same with options. A task whose worker died of a limit fails with -ETIME. One that has killed
 * retries + 1 workers is set aside: its future ends as crashed, and mp_future_crash() has the evidence
 * of each death. -ENOTSUP limits where workers are threads.
 */
int mp_pool_submit_with(mp_pool *pool, mp_task *task, mp_obj args, const mp_task_options *options,
	mp_future **ret_future);

/*
 * Run one task and wait for its result: mp_pool_submit() and mp_future_result() in one. A task that
 * is late (-ETIMEDOUT) is cancelled if it has not begun, else told.
 */
int mp_pool_apply(mp_pool *pool, mp_task *task, mp_obj args, int timeout_ms, mp_obj *ret_result);

/* How many workers the pool has. */
int mp_pool_workers(mp_pool *pool);

enum mp_pool_limits {
	MP_LIMITED_BY_NOTHING, /* worker_cpu has no effect here; or nothing was to be limited */
	MP_LIMITED_BY_RLIMIT, /* worker_memory is what the worker, and each of its children, may add
				* to its address space: then allocations fail. worker_cpu has no
				* effect */
	MP_LIMITED_BY_CGROUP, /* a worker and its children are in a control group of their own: who
				* uses more memory is killed, who uses more CPU time has to wait */
};

/* What keeps worker_memory and worker_cpu: an enum mp_pool_limits, -EINVAL or -ECHILD. */
int mp_pool_limited_by(mp_pool *pool);

/*
 * Take no more tasks, wait until all are finished and the workers have ended. 0, -ETIMEDOUT (and it
 * may be called again), -EDEADLK this is a task of the pool itself, in a thread; -ECHILD.
 */
int mp_pool_join(mp_pool *pool, int timeout_ms);

#define MP_SHUTDOWN_CANCEL 1 /* tasks that have not begun are cancelled */

/*
 * Take no more tasks; workers leave when there is nothing left to begin. Does not wait: that is
 * mp_pool_join(). May be called again, with another flag too. 0, -EINVAL, -ECHILD.
 */
int mp_pool_shutdown(mp_pool *pool, int flags);

/*
 * Take no more tasks, cancel all, and kill the workers; threads are told (mp_task_cancelled()), and
 * mp_pool_join() waits for them. May be called from a callback. 0, -EINVAL, -ECHILD.
 */
int mp_pool_terminate(mp_pool *pool);

/*
 * Drop the handle. Tasks that have not finished end with -ECANCELED and workers are killed: call
 * mp_pool_join() before for an orderly end. Workers that are threads are told and waited for. Futures
 * stay valid. NULL is allowed. 0, -ECHILD, or -EDEADLK and nothing was done: this is a task of the
 * pool itself, in a thread.
 */
int mp_pool_close(mp_pool *pool);

MP__END_DECLS

#include <mp/map.h>

#endif
