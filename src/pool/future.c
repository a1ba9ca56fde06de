/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "pool/future.h"

#include "base/fds.h"
#include "base/hot.h"
#include "obj/codec.h"
#include "pool/batch.h"
#include "pool/callback.h"
#include "pool/collect.h"
#include "pool/pool.h"
#include "pool/returns.h"

#include <stdlib.h>
#include <string.h>

MP__HOT int mp__future_new(mp_pool *pool, mp_future **ret_future)
{
	mp_future *f = malloc(sizeof(*f));

	if (!f)
		return mp_error_set(-ENOMEM, "no memory for a future");
	*f = (mp_future){.refs = 2, .state = MP_FUTURE_PENDING, .pool = pool};
	mp__pool_ref(pool);
	*ret_future = f;
	return 0;
}

static void free_more(struct mp__future_more *more, bool here)
{
	while (more->calls) {
		struct mp__future_call *call = more->calls;
		more->calls = call->next;
		free(call);
	}
	mp__batch_free(more->batch);
	mp__returned_free(more->returned, here);
	free(more->crashes);
	free(more);
}

MP__HOT void mp__future_unref(mp_future *future)
{
	if (atomic_fetch_sub_explicit(&future->refs, 1, memory_order_acq_rel) > 1)
		return;
	mp_pool *pool = future->pool;
	if (future->data != future->inside)
		free(future->data);
	if (future->more)
		free_more(future->more, mp__origin_is_here(pool->origin));
	free(future);
	mp__pool_unref(pool);
}

MP__HOT int mp__future_check(mp_future *future, const char *what)
{
	if (!future)
		return mp_error_set(-EINVAL, "%s: the future is NULL", what);
	return mp__pool_check_origin(future->pool->origin, what);
}

MP__HOT uint8_t *mp__future_room(mp_future *future, size_t size)
{
	uint8_t *data = size <= sizeof(future->inside) ? future->inside : malloc(size);

	if (data) {
		/* A result that was no good, and why instead of it. */
		if (future->data != future->inside)
			free(future->data);
		future->data = data;
		future->size = size;
	}
	return data;
}

struct mp__future_more *mp__future_more(mp_future *future)
{
	if (!future->more) {
		future->more = calloc(1, sizeof(*future->more));
		if (future->more)
			future->more->last_call = &future->more->calls;
	}
	return future->more;
}

void mp__future_add_crash(mp_future *future, const mp_crash *crash)
{
	struct mp__future_more *more = mp__future_more(future);

	if (!more || more->n_crashes == MP__FUTURE_CRASHES)
		return;
	mp_crash *crashes =
		realloc(more->crashes, ((size_t)more->n_crashes + 1) * sizeof(*crashes));
	if (!crashes)
		return;
	more->crashes = crashes;
	crashes[more->n_crashes++] = *crash;
}

MP__HOT void mp__future_finish(
	mp_future *future, enum mp_future_state state, int result, const char *why)
{
	if (!future)
		return;
	future->result = result;
	if (why && *why) {
		size_t size = strlen(why) + 1;
		uint8_t *data = mp__future_room(future, size);
		if (data)
			memcpy(data, why, size);
	}
	/* Partner: the acquire load in mp__future_is_finished(). */
	atomic_store_explicit(&future->state, (int)state, memory_order_release);
	if (future->more) {
		while (future->more->watches) {
			struct mp__future_watch *watch = future->more->watches;
			future->more->watches = watch->next;
			watch->fire(watch, future);
		}
		/* A batch is not let go with the lock held, and from inside one of its chunks. */
		if (future->more->calls || future->more->batch) {
			mp__callback_due(future);
			return;
		}
	}
	mp__future_unref(future);
}

int mp__future_watch(mp_future *future, struct mp__future_watch *watch)
{
	if (mp__future_is_finished(future))
		return false;
	struct mp__future_more *more = mp__future_more(future);
	if (!more)
		return mp_error_set(-ENOMEM, "no memory for waiting for a future");
	watch->next = more->watches;
	more->watches = watch;
	return true;
}

void mp__future_unwatch_locked(mp_future *future, struct mp__future_watch *watch)
{
	if (!future->more)
		return;
	struct mp__future_watch **at = &future->more->watches;
	while (*at && *at != watch)
		at = &(*at)->next;
	if (*at)
		*at = watch->next;
}

void mp__future_unwatch(mp_future *future, struct mp__future_watch *watch)
{
	pthread_mutex_lock(&future->pool->lock);
	mp__future_unwatch_locked(future, watch);
	pthread_mutex_unlock(&future->pool->lock);
}

static bool is_finished(mp_pool *pool, void *future)
{
	(void)pool;
	return mp__future_is_finished(future);
}

MP__HOT int mp__future_await(mp_future *future, mp__deadline deadline)
{
	mp_pool *pool = future->pool;

	if (mp__future_is_finished(future))
		return 0;
	pthread_mutex_lock(&pool->lock);
	int r = mp__pool_wait(pool, is_finished, future, deadline);
	pthread_mutex_unlock(&pool->lock);
	return r;
}

static const char *message_of(mp_future *future)
{
	return future->data ? (const char *)future->data : mp_strerror(future->result);
}

MP__HOT int mp__future_outcome(mp_future *future)
{
	if (atomic_load_explicit(&future->state, memory_order_acquire) == MP_FUTURE_DONE)
		return 0;
	return mp_error_set(future->result, "%s", message_of(future));
}

int mp__future_cargo(mp_future *future, struct mp__cargo *cargo)
{
	struct mp__returned *returned = future->more ? future->more->returned : NULL;

	for (cargo->n_fds = 0; returned && cargo->n_fds < returned->n_fds; cargo->n_fds++) {
		int fd = mp__fd_dup(returned->fds[cargo->n_fds]);
		if (fd < 0) {
			mp__fds_close(cargo->fds, cargo->n_fds);
			cargo->n_fds = 0;
			return fd;
		}
		cargo->fds[cargo->n_fds] = fd;
	}
	return 0;
}

/* The value that stands at `at`; another one each time, with descriptors of its own. */
MP__HOT static int decode(mp_future *future, size_t at, mp_obj *ret_value)
{
	MP__CARGO(cargo);
	int r = mp__future_cargo(future, &cargo);

	if (r < 0)
		return r;
	r = mp__obj_decode(future->data + at, future->size - at, &cargo, ret_value);
	mp__fds_close(cargo.fds, cargo.n_fds);
	return r;
}

MP__HOT int mp_future_result(mp_future *future, int timeout_ms, mp_obj *ret_result)
{
	int r = mp__future_check(future, "result of a task");

	if (r < 0)
		return r;
	r = mp__future_await(future, mp__deadline_in(timeout_ms));
	if (r < 0)
		return mp_error_set(r, "the task has not finished in time");
	r = mp__future_outcome(future);
	if (r < 0 || !ret_result)
		return r;
	if (future->more && future->more->batch)
		return mp__batch_result(future->more->batch, ret_result);
	return decode(future, 0, ret_result);
}

int mp_future_error(mp_future *future, int timeout_ms, mp_failure *ret_failure)
{
	mp_failure failure = {.detail = mp_nil()};
	int r = mp__future_check(future, "error of a task");

	if (r < 0)
		return r;
	r = mp__future_await(future, mp__deadline_in(timeout_ms));
	if (r < 0)
		return mp_error_set(r, "the task has not finished in time");
	if (atomic_load_explicit(&future->state, memory_order_acquire) == MP_FUTURE_DONE)
		return 0;
	failure.code = future->result;
	failure.message = message_of(future);
	size_t used = future->data ? strlen(failure.message) + 1 : 0;
	if (ret_failure && used < future->size) {
		r = decode(future, used, &failure.detail);
		if (r < 0)
			return r;
	}
	if (ret_failure)
		*ret_failure = failure;
	return 1;
}

int mp_future_state(mp_future *future)
{
	int r = mp__future_check(future, "state of a task");

	if (r < 0)
		return r;
	mp_pool *pool = future->pool;
	if (mp__future_is_finished(future))
		return atomic_load_explicit(&future->state, memory_order_acquire);

	/* Not just a look: who polls the state in a loop must see it change. */
	pthread_mutex_lock(&pool->lock);
	r = mp__pool_wait(pool, is_finished, future, mp__deadline_in(0));
	int state = atomic_load_explicit(&future->state, memory_order_acquire);
	if (state == MP_FUTURE_PENDING && future->more && future->more->batch)
		state = MP_FUTURE_RUNNING;
	else if (r < 0 && !pool->closed && state == MP_FUTURE_PENDING) {
		uint64_t word = atomic_load_explicit(
			&pool->seg.slots[future->slot].state, memory_order_relaxed);
		if (mp__pool_state_status(word) == MP__POOL_RUNNING ||
			mp__pool_state_status(word) == MP__POOL_DONE)
			state = MP_FUTURE_RUNNING;
	}
	pthread_mutex_unlock(&pool->lock);
	return state;
}

int mp_future_done(mp_future *future)
{
	int state = mp_future_state(future);

	return state < 0 ? state : state >= MP_FUTURE_DONE;
}

int mp_future_running(mp_future *future)
{
	int state = mp_future_state(future);

	return state < 0 ? state : state == MP_FUTURE_RUNNING;
}

int mp_future_cancelled(mp_future *future)
{
	int state = mp_future_state(future);

	return state < 0 ? state : state == MP_FUTURE_CANCELLED;
}

int mp_future_crash(mp_future *future, int n, mp_crash *ret_crash)
{
	int r = mp__future_check(future, "crash of a task");

	if (r < 0)
		return r;
	if (n < 0 || !ret_crash)
		return mp_error_set(-EINVAL, "crash of a task: number %d, or nowhere to put it", n);
	r = mp_future_done(future);
	if (r < 0)
		return r;
	if (r == 0)
		return mp_error_set(
			-EAGAIN, "crash of a task: it has not ended; wait for it first");
	pthread_mutex_lock(&future->pool->lock);
	struct mp__future_more *more = future->more;
	bool known = more && n < more->n_crashes;
	if (known)
		*ret_crash = more->crashes[n];
	pthread_mutex_unlock(&future->pool->lock);
	return known ? 0 : mp_error_set(-ENOENT, "not so many workers died of this task: %d", n);
}

int mp_future_close(mp_future *future)
{
	if (future)
		mp__future_unref(future);
	return 0;
}
