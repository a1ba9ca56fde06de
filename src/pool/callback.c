/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "pool/callback.h"

#include "base/hot.h"
#include "pool/collect.h"
#include "pool/future.h"

#include <stdlib.h>

static _Thread_local bool inside;

bool mp__callback_is_inside(void)
{
	return inside;
}

void mp__callback_due(mp_future *future)
{
	mp_pool *pool = future->pool;

	future->next_ready = NULL;
	if (pool->ready)
		pool->last_ready->next_ready = future;
	else
		pool->ready = future;
	pool->last_ready = future;
}

MP__HOT bool mp__callback_wanted(mp_pool *pool)
{
	return pool->ready && !inside;
}

static void call_one(mp_pool *pool, mp_future *future)
{
	struct mp__future_more *more = future->more;

	while (more->calls) {
		struct mp__future_call *call = more->calls;
		more->calls = call->next;
		if (!more->calls)
			more->last_call = &more->calls;
		pthread_mutex_unlock(&pool->lock);
		call->callback(future, call->data);
		free(call);
		pthread_mutex_lock(&pool->lock);
	}
}

void mp__callback_run(mp_pool *pool)
{
	if (inside)
		return;
	pthread_mutex_lock(&pool->lock);
	inside = true;
	while (pool->ready) {
		mp_future *future = pool->ready;
		pool->ready = future->next_ready;
		future->more->calling = true;
		pool->n_calling++;
		call_one(pool, future);
		future->more->calling = false;
		pool->n_calling--;
		pthread_mutex_unlock(&pool->lock);
		mp__future_unref(future);
		pthread_mutex_lock(&pool->lock);
		/* Who joins the pool waits for callbacks too. */
		mp__pool_nudge(pool);
	}
	inside = false;
	pthread_mutex_unlock(&pool->lock);
}

int mp_future_add_done_callback(mp_future *future, mp_future_callback *callback, void *data)
{
	int r = mp__future_check(future, "callback of a task");

	if (r < 0)
		return r;
	if (!callback)
		return mp_error_set(-EINVAL, "a callback for a task: the function is NULL");
	struct mp__future_call *call = malloc(sizeof(*call));
	mp_pool *pool = future->pool;
	pthread_mutex_lock(&pool->lock);
	struct mp__future_more *more = mp__future_more(future);
	if (!call || !more) {
		pthread_mutex_unlock(&pool->lock);
		free(call);
		return mp_error_set(-ENOMEM, "no memory for a callback");
	}
	/* One that is in the list of those to call, or is being called, takes it in its turn. */
	bool at_once = mp__future_is_finished(future) && !more->calls && !more->calling;
	if (!at_once) {
		*call = (struct mp__future_call){.callback = callback, .data = data};
		*more->last_call = call;
		more->last_call = &call->next;
	}
	pthread_mutex_unlock(&pool->lock);
	if (at_once) {
		free(call);
		callback(future, data);
	}
	return 0;
}
