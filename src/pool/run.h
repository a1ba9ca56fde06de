/* SPDX-License-Identifier: MIT */
/*
 * pool/run.h - run what a slot asks for, and write the result into it.
 *
 * Between claim and commit the slot is the worker's alone. Whatever goes wrong in between, short of
 * death, ends as the result of the task: an error and its sentence.
 */
#ifndef MP_POOL_RUN_H
#define MP_POOL_RUN_H

#include "obj/codec.h"
#include "pool/segment.h"

#include <mp/pool.h>

/* Functions that this worker has found already, by their index in tasks[]. */
struct mp__pool_found {
	mp_task **tasks;
	uint32_t size;
};

/* The function of that index. -ENOEXEC, -EBADMSG, -ENOMEM. */
int mp__pool_find_task(const struct mp__pool_segment *segment, struct mp__pool_found *found,
	uint32_t index, mp_task **ret_task);

#define MP__POOL_NAME_SIZE 96

/* What users call a function: its symbol, or file and offset; NULL: "?". */
void mp__task_name(mp_task *task, char *name, size_t size);
/* Of one that has been found. */
void mp__pool_task_symbol(
	const struct mp__pool_found *found, uint32_t index, char *name, size_t size);

/*
 * Call it with `args`, a list or nil. A child that the task forked does not come back: it would go
 * on as a second worker of the same number.
 */
int mp__pool_call(mp_task *task, const mp_obj *args, mp_obj *ret_result);

/*
 * Everything but the commit; `worker` is our number. `cargo` holds the descriptors that came; what
 * stays in it is closed by the caller, as is what is in `back` then: those of the result, to be sent
 * before the commit.
 */
void mp__pool_run(const struct mp__pool_segment *segment, struct mp__pool_found *found,
	uint32_t worker, uint32_t number, struct mp__cargo *cargo, struct mp__cargo *back);

#endif
