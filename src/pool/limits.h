/* SPDX-License-Identifier: MIT */
/*
 * pool/limits.h - the limits of a task, kept by its worker.
 *
 * Time limits are timers of the worker that send SIGKILL: they end a task that is stuck in a loop or
 * in the kernel, on time, whether or not anybody in the owner waits. The owner knows the limits and
 * when the task began, and so of what the worker died. The memory limit is RLIMIT_AS, above what the
 * process has mapped when the task begins.
 */
#ifndef MP_POOL_LIMITS_H
#define MP_POOL_LIMITS_H

#include "pool/segment.h"

#include <stdbool.h>
#include <sys/resource.h>
#include <time.h>

struct mp__limits {
	bool has_timer;
	bool has_cpu_timer;
	bool has_memory;
	timer_t timer;
	timer_t cpu_timer;
	struct rlimit memory; /* before */
};

/* Put up those of the slot, and note in the record when. -EAGAIN no timer is left, ... */
int mp__limits_begin(struct mp__limits *limits, const struct mp__pool_segment *segment,
	uint32_t number, struct mp__pool_worker *record);
void mp__limits_end(struct mp__limits *limits);

/*
 * What this process may add to its address space: 1 and how it was before, 0 it was narrower already.
 * -EACCES.
 */
int mp__limit_memory(uint64_t kib, struct rlimit *ret_before);

/* When the calling process was at that; for the record. */
void mp__limits_stamp(struct mp__pool_worker *record);

#endif
