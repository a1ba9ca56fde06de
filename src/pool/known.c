/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "pool/known.h"

#include "base/error.h"
#include "base/hot.h"
#include "pool/run.h"
#include "pool/trace.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static struct mp__pool_known *find_known(mp_pool *pool, mp_task *task)
{
	uint64_t hash = (uint64_t)(uintptr_t)task * UINT64_C(0x9e3779b97f4a7c15);
	uint32_t at = (uint32_t)(hash >> 32) & (pool->known_size - 1);

	while (pool->known[at].task && pool->known[at].task != task)
		at = (at + 1) & (pool->known_size - 1);
	return &pool->known[at];
}

static int grow_known(mp_pool *pool)
{
	struct mp__pool_known *old = pool->known;
	uint32_t old_size = pool->known_size;
	uint32_t size = old_size ? old_size * 2 : 16;
	struct mp__pool_known *known = calloc(size, sizeof(*known));

	if (!known)
		return mp_error_set(-ENOMEM, "no memory for a table of %u tasks", size);
	pool->known = known;
	pool->known_size = size;
	for (uint32_t i = 0; i < old_size; i++) {
		if (old[i].task)
			*find_known(pool, old[i].task) = old[i];
	}
	free(old);
	return 0;
}

MP__HOT int mp__pool_task_index(mp_pool *pool, mp_task *task, uint32_t *ret_index)
{
	struct mp__pool_known *known = pool->known_size ? find_known(pool, task) : NULL;

	if (known && known->task) {
		*ret_index = known->index;
		return 0;
	}
	if (pool->n_known == MP__POOL_TASKS_MAX)
		return mp_error_set(
			-ENOSPC, "a pool can run %u different tasks, not more", MP__POOL_TASKS_MAX);
	struct mp__target_ref ref;
	int r = mp__target_describe((mp__any_function *)task, &ref);
	if (r < 0)
		return r;
	r = mp__pool_segment_allocate_task(&pool->seg, pool->n_known);
	if (r < 0)
		return r;
	if (pool->n_known * 2 >= pool->known_size) {
		r = grow_known(pool);
		if (r < 0)
			return r;
	}
	known = find_known(pool, task);
	*known = (struct mp__pool_known){.task = task, .index = pool->n_known};
	pool->seg.tasks[pool->n_known].target = ref;
	*ret_index = pool->n_known++;
	return 0;
}

void mp__pool_task_name(mp_pool *pool, uint32_t number, char *name, size_t size)
{
	const struct mp__pool_pending *p = &pool->pending[number];
	mp_task *task = NULL;

	for (uint32_t i = 0; i < pool->known_size; i++) {
		if (pool->known[i].task && pool->known[i].index == p->task)
			task = pool->known[i].task;
	}
	if (p->extra && *p->extra->name)
		snprintf(name, size, "%s", p->extra->name);
	else
		mp__task_name(task, name, size);
}

void mp__pool_trace(mp_pool *pool, uint32_t number, const struct mp__trace_event *event)
{
	char name[MP__POOL_NAME_SIZE];
	struct mp__trace_event e = *event;

	mp__pool_task_name(pool, number, name, sizeof(name));
	e.name = name;
	e.task = (uint64_t)pool->pending[number].generation << 32 | number;
	e.owner = getpid();
	mp__trace_write(pool->trace_fd, &e);
}
