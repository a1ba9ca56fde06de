/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "pool/future.h"

#include "obj/codec.h"
#include "pool/collect.h"
#include "pool/pool.h"

#include <stdlib.h>
#include <string.h>

int mp__future_new(mp_pool *pool, mp_future **ret_future)
{
	mp_future *f = malloc(sizeof(*f));

	if (!f)
		return mp_error_set(-ENOMEM, "no memory for a future");
	*f = (mp_future){
		.refs = 2, .state = MP_FUTURE_PENDING, .origin = pool->origin, .pool = pool};
	mp__pool_ref(pool);
	*ret_future = f;
	return 0;
}

void mp__future_unref(mp_future *future)
{
	if (atomic_fetch_sub_explicit(&future->refs, 1, memory_order_acq_rel) > 1)
		return;
	mp__pool_unref(future->pool);
	if (future->data != future->inside)
		free(future->data);
	free(future->why);
	free(future);
}

uint8_t *mp__future_room(mp_future *future, size_t size)
{
	uint8_t *data = size <= sizeof(future->inside) ? future->inside : malloc(size);

	if (data) {
		future->data = data;
		future->size = size;
	}
	return data;
}

void mp__future_finish(mp_future *future, enum mp_future_state state, int result, const char *why)
{
	if (!future)
		return;
	future->result = result;
	if (why && *why)
		future->why = strdup(why);
	/* Partner: the acquire load in is_finished(). */
	atomic_store_explicit(&future->state, (int)state, memory_order_release);
	mp__future_unref(future);
}

static int state_of(mp_future *future)
{
	return atomic_load_explicit(&future->state, memory_order_acquire);
}

static bool is_finished(mp_pool *pool, void *future)
{
	(void)pool;
	return state_of(future) != MP_FUTURE_PENDING;
}

int mp__future_wait(mp_future *future, mp__deadline deadline)
{
	mp_pool *pool = future->pool;

	if (is_finished(pool, future))
		return 0;
	pthread_mutex_lock(&pool->lock);
	int r = mp__pool_wait(pool, is_finished, future, deadline);
	pthread_mutex_unlock(&pool->lock);
	return r;
}

int mp__future_error(mp_future *future)
{
	if (state_of(future) == MP_FUTURE_DONE)
		return 0;
	return mp_error_set(
		future->result, "%s", future->why ? future->why : mp_strerror(future->result));
}

int mp_future_result(mp_future *future, int timeout_ms, mp_obj *ret_result)
{
	if (!future)
		return mp_error_set(-EINVAL, "result: no future");
	int r = mp__pool_check_origin(future->origin, "result of a task");
	if (r < 0)
		return r;
	r = mp__future_wait(future, mp__deadline_in(timeout_ms));
	if (r < 0)
		return mp_error_set(r, "the task has not finished in time");
	r = mp__future_error(future);
	if (r < 0 || !ret_result)
		return r;
	return mp__obj_decode(future->data, future->size, NULL, ret_result);
}

int mp_future_state(mp_future *future)
{
	if (!future)
		return mp_error_set(-EINVAL, "state: no future");
	int r = mp__pool_check_origin(future->origin, "state of a task");
	if (r < 0)
		return r;
	mp_pool *pool = future->pool;
	if (is_finished(pool, future))
		return state_of(future);

	/* Not just a look: who polls the state in a loop must see it change. */
	pthread_mutex_lock(&pool->lock);
	r = mp__pool_wait(pool, is_finished, future, mp__deadline_in(0));
	int state = state_of(future);
	if (r < 0 && !pool->closed && state == MP_FUTURE_PENDING) {
		uint64_t word = atomic_load_explicit(
			&pool->seg.slots[future->slot].state, memory_order_relaxed);
		if (mp__pool_state_status(word) == MP__POOL_RUNNING ||
			mp__pool_state_status(word) == MP__POOL_DONE)
			state = MP_FUTURE_RUNNING;
	}
	pthread_mutex_unlock(&pool->lock);
	return state;
}

int mp_future_close(mp_future *future)
{
	if (future)
		mp__future_unref(future);
	return 0;
}
