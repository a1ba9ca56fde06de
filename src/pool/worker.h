/* SPDX-License-Identifier: MIT */
/*
 * pool/worker.h - what runs in a worker: claim, run, commit, wake, until the pool stops.
 */
#ifndef MP_POOL_WORKER_H
#define MP_POOL_WORKER_H

#include <mp/obj.h>

/* Its arguments. */
enum {
	MP__POOL_WORKER_SEGMENT,
	MP__POOL_WORKER_PAYLOAD,
	MP__POOL_WORKER_EVENT,
	MP__POOL_WORKER_CARGO,
	MP__POOL_WORKER_RETURNS,
	MP__POOL_WORKER_NUMBER,
	MP__POOL_WORKER_OWNER, /* its pid */
	MP__POOL_WORKER_INITARGS,
	MP__POOL_WORKER_POOL,  /* of a thread: the pool itself; else nil */
	MP__POOL_WORKER_TRACE, /* a descriptor, or nil */
	MP__POOL_WORKER_GROUP, /* a descriptor to enter its control group, or bytes, or 0 */
	MP__POOL_WORKER_ARGS,
};

/* The target of the process. */
int mp__pool_worker_main(int argc, const mp_obj *argv);

#endif
