/* SPDX-License-Identifier: MIT */
/*
 * pool/known.h - the functions that a pool runs, and what they are called.
 *
 * A function is described to workers once, in tasks[]; the table here finds its entry again. All of it
 * with pool->lock held, or where there are no other threads.
 */
#ifndef MP_POOL_KNOWN_H
#define MP_POOL_KNOWN_H

#include "pool/pool.h"

struct mp__trace_event;

/* The entry of a function in tasks[], made if it is new. -ENOEXEC, -ENOSPC, -ENOMEM. */
int mp__pool_task_index(mp_pool *pool, mp_task *task, uint32_t *ret_index);
/* What users call the task in that slot: as its options say, or as its function is called. */
void mp__pool_task_name(mp_pool *pool, uint32_t number, char *name, size_t size);
/* An event of that task; name, number and owner are filled in. */
void mp__pool_trace(mp_pool *pool, uint32_t number, const struct mp__trace_event *event);

#endif
