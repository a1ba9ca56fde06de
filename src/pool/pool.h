/* SPDX-License-Identifier: MIT */
/*
 * pool/pool.h - the owner's private side of a pool.
 *
 * Shared memory holds what workers need; what the owner must be able to rely on stands here: which
 * slots are in use, for which future, by which generation, and which workers there should be.
 *
 * One mutex guards all of it, and no thread sleeps with it held. Of the threads that wait for
 * something, one leads: it sleeps until a result or the end of a worker wakes it, and collects for
 * all; the others sleep on the condition. A leader that has got what it wanted wakes the others, and
 * one of them leads on. So there is no thread of our own, and any number of waiters.
 *
 * The struct is counted: futures keep it, since they need its mutex. What costs something
 * (processes, memory, descriptors) goes with mp_pool_close().
 */
#ifndef MP_POOL_POOL_H
#define MP_POOL_POOL_H

#include "base/deadline.h"
#include "base/error.h"
#include "base/origin.h"
#include "pool/segment.h"

#include <mp/pool.h>
#include <pthread.h>

/* A worker's place; its number is that of the place, whoever stands in it. */
struct mp__pool_place {
	mp_process *process;     /* NULL: vacant */
	struct mp__group *group; /* or NULL */
};

/* What few tasks have: options, and what is needed to run them again. */
struct mp__pool_extra {
	char name[96];
	int retries; /* that are left */
	int deaths;
	uint32_t timeout_ms;
	uint32_t cpu_ms;
	uint32_t memory_kib;
	struct mp__pool_work *work; /* a copy with its arguments, if there are retries */
};

/* What the owner knows of a slot; there may be a million of them. */
struct mp__pool_pending {
	mp_future *future;            /* NULL: nobody will ask */
	struct mp__pool_extra *extra; /* or NULL */
	int *fds; /* duplicates of what was sent with it, for sending it again */
	uint32_t generation;
	uint32_t room; /* or MP__POOL_NONE */
	uint16_t task; /* index in tasks[] */
	uint8_t n_fds;
	bool active : 1;                     /* QUEUED, RUNNING or DONE and not collected */
	bool args_paid : 1, result_paid : 1; /* has bytes in the payload file */
	bool requeue : 1;                    /* to be published again when there is room */
	bool told : 1;                       /* asked to end */
	bool cancelled : 1;                  /* we have killed the worker that runs it */
};

/* Functions that have an entry in the segment's tasks[]; open addressing, a power of two. */
struct mp__pool_known {
	mp_task *task;
	uint32_t index;
};

struct mp_pool {
	_Atomic uint32_t refs;
	mp__origin origin;
	pthread_mutex_t lock;
	pthread_cond_t changed; /* something finished, or there is no leader */

	char *name;
	int start_method;
	bool on_demand;
	int trace_fd; /* or -1, see trace.h */
	mp_obj initializer_args;
	struct mp__pool_segment seg;
	int eventfd;    /* workers -> leader */
	int epoll;      /* eventfd and the sentinels of all workers */
	int cargo[2];   /* [0] owner sends, [1] workers receive */
	int returns[2]; /* [0] owner receives, [1] workers send; see returns.h */
	struct mp__returned
		*returned; /* came out of it, and their results were not collected yet */

	struct mp__pool_place *places;
	uint64_t worker_memory;
	int worker_cpu;
	unsigned number;       /* of the pool in this process */
	char *group_directory; /* where groups of workers are made, or NULL */
	uint32_t n_alive;
	int64_t looked_ns; /* when somebody last looked after the workers */
	uint32_t failures; /* workers in a row that ended before they were ready */
	char failure[MP__DETAIL_SIZE];

	struct mp__pool_pending *pending; /* per slot */
	uint32_t *free_slots;             /* a stack: what was used last is warm */
	uint32_t n_free;
	uint32_t *free_rooms; /* a stack as well */
	uint32_t n_free_rooms;
	uint32_t n_rooms;                           /* that were ever used */
	uint32_t rooms_size;                        /* of the stack */
	uint8_t wants_room[MP__POOL_TASKS_MAX / 8]; /* bits: tasks with results that fit into one */
	uint32_t n_fresh;                           /* slots from here on were never used */
	uint32_t n_pending;  /* submitted, or just being so, and not finished */
	uint64_t n_finished; /* or given back unused */

	uint64_t tail; /* of the ring: what header.tail should be */

	struct mp__pool_known *known;
	uint32_t known_size;
	uint32_t n_known;

	mp_future *ready; /* ended, their callbacks are to be called; a list */
	mp_future *last_ready;
	uint32_t n_calling; /* threads that call some */

	uint32_t loops_used; /* bits: counters of loops that run */
	uint32_t loop_generation;

	uint32_t watchers; /* threads that sleep on `epoll` with other things, see watch.h */
	uint32_t followers;
	uint32_t bulk;            /* waits for all that is queued */
	_Atomic uint64_t rung;    /* tail when a worker was last woken for it */
	_Atomic int64_t rung_ns;  /* when that was */
	_Atomic bool rung_asleep; /* ... and had not been for long: no answer comes at once */
	bool leading_bulk;        /* the leader is not woken by each task */
	uint32_t spin;            /* of the leader, adaptive */
	bool leading;             /* some thread sleeps for all or is about to */
	bool napping;             /* ... on the word in shared memory, not in epoll_wait() */
	bool resend;              /* messages with descriptors may have been lost or held back */
	bool no_more;             /* join or close: nothing is taken any more */
	bool stopping;            /* workers leave */
	bool told_all;            /* ... at once */
	bool news;                /* a failure that was not logged yet */
	bool broken;              /* no worker can be had: `failure` says why */
	bool closing;             /* nobody leads any more */
	bool closed;              /* everything but the struct is gone */
};

/* Is this thread a worker of that pool? */
bool mp__pool_is_inside(const mp_pool *pool);

/* 0, or -ECHILD with its sentence. */
int mp__pool_check_origin(mp__origin origin, const char *what);

void mp__pool_ref(mp_pool *pool);
void mp__pool_unref(mp_pool *pool);

#endif
