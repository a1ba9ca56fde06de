/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "pool/batch.h"

#include "base/cleanup.h"
#include "base/fds.h"
#include "pool/callback.h"
#include "pool/collect.h"
#include "pool/dispatch.h"
#include "pool/progress.h"

#include <stdlib.h>
#include <string.h>

/* Chunks per worker when the caller leaves the choice to us, as in Python: enough to even out. */
#define CHUNKS_PER_WORKER 4
/* ... and then no chunk is made much larger than this, so that big items travel one by one. */
#define CHUNK_BYTES (UINT32_C(256) << 10)

struct mp__batch *mp__batch_new(mp_pool *pool, bool counts)
{
	struct mp__batch *b = calloc(1, sizeof(*b));

	if (b) {
		b->pool = pool;
		b->counts = counts;
		b->n_open = 1;
	} else {
		mp_error_set(-ENOMEM, "no memory for a map");
	}
	return b;
}

static struct mp__chunk *chunk_at(const struct mp__batch *b, size_t i)
{
	return &b->blocks[i / MP__BATCH_BLOCK][i % MP__BATCH_BLOCK];
}

void mp__batch_free(struct mp__batch *batch)
{
	if (!batch)
		return;
	bool watched = batch->counts && mp__origin_is_here(batch->pool->origin);
	if (watched) {
		/* Also for who is just firing a watch of ours. */
		pthread_mutex_lock(&batch->pool->lock);
		for (size_t i = 0; i < batch->n_chunks; i++)
			mp__future_unwatch_locked(
				chunk_at(batch, i)->future, &chunk_at(batch, i)->watch);
		pthread_mutex_unlock(&batch->pool->lock);
	}
	for (size_t i = 0; i < batch->n_chunks; i++)
		mp_future_close(chunk_at(batch, i)->future);
	for (size_t i = 0; i < batch->n_blocks; i++)
		free(batch->blocks[i]);
	free(batch->blocks);
	free(batch);
}

int mp__item_args(const mp_obj *item, bool star, mp_obj *ret_args)
{
	if (!star)
		*ret_args = mp_list_of(item, 1);
	else if (item->type == MP_TYPE_LIST)
		*ret_args = *item;
	else
		return mp_error_set(-EINVAL, "a map with star: an item is not a list of arguments");
	return 0;
}

/* --- the end ------------------------------------------------------------------------------------ */

/* The parent ends as its first chunk that did not succeed, or well. */
static void end_parent(struct mp__batch *b)
{
	mp_future *parent = b->parent;

	for (size_t i = 0; i < b->n_chunks; i++) {
		mp_future *f = chunk_at(b, i)->future;
		int state = atomic_load_explicit(&f->state, memory_order_acquire);
		if (state == MP_FUTURE_DONE)
			continue;
		uint8_t *data = f->data ? mp__future_room(parent, f->size) : NULL;
		if (data)
			memcpy(data, f->data, f->size);
		if (f->more && f->more->returned && parent->more) {
			parent->more->returned = f->more->returned;
			f->more->returned = NULL;
		}
		for (int n = 0; f->more && n < f->more->n_crashes; n++)
			mp__future_add_crash(parent, &f->more->crashes[n]);
		mp__future_finish(parent, (enum mp_future_state)state, f->result, NULL);
		return;
	}
	mp__future_finish(parent, MP_FUTURE_DONE, 0, NULL);
}

static void close_one(struct mp__batch *b)
{
	if (--b->n_open == 0 && b->parent)
		end_parent(b);
}

static void chunk_ended(struct mp__future_watch *watch, mp_future *future)
{
	struct mp__chunk *chunk = (struct mp__chunk *)watch;
	struct mp__batch *b = chunk->batch;

	(void)future;
	b->n_ended += chunk->n;
	close_one(b);
}

/* --- handing out -------------------------------------------------------------------------------- */

struct handing {
	struct mp__batch *batch;
	mp_task *task;
	bool star;
	struct mp__progress *progress;
	struct mp__pool_bytes bytes;
	size_t n;        /* items in bytes */
	uint32_t silent; /* chunks that nobody was woken for yet */
};

/* Small tasks are done faster than a worker wakes up: wake for some at a time. */
#define RING_EVERY 16

/* The pool may have been closed by a callback while we waited for room. */
static void wake_workers(struct handing *h)
{
	mp_pool *pool = h->batch->pool;

	pthread_mutex_lock(&pool->lock);
	if (!pool->closed && h->silent > 0)
		mp__pool_ring_some(pool, h->silent);
	pthread_mutex_unlock(&pool->lock);
	h->silent = 0;
}

static int watch_chunk(struct mp__batch *b, struct mp__chunk *chunk)
{
	*chunk = (struct mp__chunk){
		.watch.fire = chunk_ended, .batch = b, .future = chunk->future, .n = chunk->n};
	pthread_mutex_lock(&b->pool->lock);
	b->n_open++;
	int r = mp__future_watch(chunk->future, &chunk->watch);
	if (r == 0)
		chunk_ended(&chunk->watch, chunk->future);
	else if (r < 0)
		b->n_open--;
	pthread_mutex_unlock(&b->pool->lock);
	return r < 0 ? r : 0;
}

static int make_room(struct mp__batch *b)
{
	size_t n = b->n_blocks;

	if (b->n_chunks < n * MP__BATCH_BLOCK)
		return 0;
	/* Powers of two only. */
	if ((n & (n - 1)) == 0) {
		struct mp__chunk **blocks = realloc(b->blocks, (n ? n * 2 : 1) * sizeof(*blocks));
		if (!blocks)
			return mp_error_set(-ENOMEM, "no memory for the chunks of a map");
		b->blocks = blocks;
	}
	b->blocks[n] = malloc(MP__BATCH_BLOCK * sizeof(**b->blocks));
	if (!b->blocks[n])
		return mp_error_set(-ENOMEM, "no memory for the chunks of a map");
	b->n_blocks++;
	return 0;
}

static int flush(struct handing *h, const struct mp__cargo *cargo)
{
	struct mp__batch *b = h->batch;
	struct mp__pool_work work = {
		.task = h->task,
		.kind = MP__POOL_MAP,
		.n_items = (uint32_t)h->n,
		.args = h->bytes.data,
		.args_size = h->bytes.size,
		.cargo = cargo,
		.more = true,
	};

	if (h->n == 0)
		return 0;
	int r = make_room(b);
	if (r < 0)
		return r;
	struct mp__chunk *chunk = chunk_at(b, b->n_chunks);
	r = mp__pool_dispatch(b->pool, &work, &chunk->future);
	if (r < 0)
		return r;
	chunk->n = h->n;
	h->n = 0;
	h->bytes.size = 0;
	if (b->counts)
		r = watch_chunk(b, chunk);
	b->n_chunks++;
	if (++h->silent == RING_EVERY)
		wake_workers(h);
	if (h->progress)
		mp__progress_tell(h->progress, b->n_ended, false);
	return r;
}

/* Add an item to the current chunk; one that has descriptors travels alone with them. */
static int add(struct handing *h, const mp_obj *item)
{
	MP__CARGO(cargo);
	mp_obj args;
	size_t before = h->bytes.size;
	int r = mp__item_args(item, h->star, &args);

	if (r < 0)
		return r;
	r = mp__pool_bytes_put_item(&h->bytes, &args, &cargo);
	if (r < 0)
		return r;
	if (cargo.n_fds == 0) {
		h->n++;
		return 0;
	}
	h->bytes.size = before;
	r = flush(h, NULL);
	if (r < 0)
		return r;
	cargo.n_fds = 0;
	r = mp__pool_bytes_put_item(&h->bytes, &args, &cargo);
	if (r < 0)
		return r;
	h->n = 1;
	return flush(h, &cargo);
}

static int add_all(struct handing *h, const mp_obj *items, size_t n, size_t chunk)
{
	bool choose = chunk == 0;

	if (choose) {
		size_t parts = (size_t)h->batch->pool->seg.n_workers * CHUNKS_PER_WORKER;
		chunk = n / parts + (n % parts > 0);
	}
	if (chunk > UINT32_MAX)
		chunk = UINT32_MAX;
	for (size_t i = 0; i < n; i++) {
		int r = add(h, &items[i]);
		if (r == 0 && (h->n >= chunk || (choose && h->bytes.size >= CHUNK_BYTES)))
			r = flush(h, NULL);
		if (r < 0)
			return r;
	}
	return flush(h, NULL);
}

int mp__batch_hand_out(struct mp__batch *batch, mp_task *task, const mp_obj *items, size_t n,
	size_t chunk, bool star, struct mp__progress *progress)
{
	struct handing h = {.batch = batch, .task = task, .star = star, .progress = progress};

	batch->n_items = n;
	mp__pool_bytes_init(&h.bytes);
	int r = add_all(&h, items, n, chunk);
	wake_workers(&h);
	mp__pool_bytes_free(&h.bytes);
	pthread_mutex_lock(&batch->pool->lock);
	if (r == 0)
		close_one(batch);
	pthread_mutex_unlock(&batch->pool->lock);
	return r;
}

/* --- taking ------------------------------------------------------------------------------------- */

static int take_chunk(const struct mp__chunk *chunk, mp_obj *results, size_t *n_results)
{
	mp_future *f = chunk->future;
	MP__CARGO(cargo);
	size_t at = 0;
	int r = mp__future_outcome(f);

	if (r == 0)
		r = mp__future_cargo(f, &cargo);
	for (size_t i = 0; i < chunk->n && r == 0; i++) {
		const uint8_t *item;
		size_t size;
		if (!mp__pool_bytes_next(f->data, f->size, &at, &item, &size))
			r = mp_error_set(-EBADMSG, "a map: a worker left out results");
		else
			r = mp__obj_decode(item, size, &cargo, &results[*n_results]);
		if (r == 0)
			++*n_results;
	}
	mp__fds_close(cargo.fds, cargo.n_fds);
	return r;
}

static bool has_ended(mp_pool *pool, void *future)
{
	(void)pool;
	return mp__future_is_finished(future);
}

/* All chunks are wanted: nobody need wake us for each of them. */
static int await_chunk(struct mp__batch *b, mp_future *future, mp__deadline deadline,
	struct mp__progress *progress)
{
	int r = 0;

	while (!mp__future_is_finished(future)) {
		mp__deadline slice = mp__progress_slice(progress, deadline);
		pthread_mutex_lock(&b->pool->lock);
		b->pool->bulk++;
		r = mp__pool_wait(b->pool, has_ended, future, slice);
		b->pool->bulk--;
		pthread_mutex_unlock(&b->pool->lock);
		mp__progress_tell(progress, b->n_ended, false);
		if (r == 0 || mp__deadline_passed(deadline))
			break;
	}
	return r;
}

int mp__batch_take(struct mp__batch *batch, mp__deadline deadline, struct mp__progress *progress,
	mp_obj *results, size_t *n_results)
{
	for (size_t i = 0; i < batch->n_chunks; i++) {
		int r = await_chunk(batch, chunk_at(batch, i)->future, deadline, progress);
		if (r < 0)
			return mp_error_set(
				r, "%zu items have not been done in time", batch->n_items);
		r = take_chunk(chunk_at(batch, i), results, n_results);
		if (r < 0)
			return r;
	}
	return 0;
}

void mp__batch_cancel(struct mp__batch *batch, int flags)
{
	for (size_t i = 0; i < batch->n_chunks; i++) {
		mp_future *f = chunk_at(batch, i)->future;
		if (!mp__future_is_finished(f))
			mp__pool_cancel(batch->pool, f->slot, flags);
	}
}

int mp__batch_result(struct mp__batch *batch, mp_obj *ret_list)
{
	MP__AUTO_FREE mp_obj *results = calloc(batch->n_items + 1, sizeof(*results));
	size_t n = 0;
	int r = 0;

	if (!results)
		return mp_error_set(-ENOMEM, "no memory for %zu results", batch->n_items);
	for (size_t i = 0; i < batch->n_chunks && r == 0; i++)
		r = take_chunk(chunk_at(batch, i), results, &n);
	if (r == 0)
		r = mp_obj_copy(mp_list_of(results, n), ret_list);
	for (size_t i = 0; i < n; i++)
		mp_obj_free(&results[i]);
	return r;
}
