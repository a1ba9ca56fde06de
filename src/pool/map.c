/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "base/cleanup.h"
#include "pool/bytes.h"
#include "pool/dispatch.h"
#include "pool/future.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/*
 * mp_pool_map(): items go to workers in chunks, each chunk is one task with one future, and the
 * results are taken in the order of the items, so that the first error is the first in that order.
 */

/* Chunks per worker when the caller leaves the choice to us, as in Python: enough to even out. */
#define CHUNKS_PER_WORKER 4
/* ... and then no chunk is made much larger than this, so that big items travel one by one. */
#define CHUNK_BYTES (UINT32_C(256) << 10)

struct chunk {
	mp_future *future;
	size_t n;
};

struct map {
	mp_pool *pool;
	mp_task *task;
	struct chunk *chunks;
	size_t n_chunks;
	size_t room;
	struct mp__pool_bytes bytes;
	size_t n_items; /* in bytes */
};

static int flush(struct map *m, const struct mp__cargo *cargo)
{
	struct mp__pool_work work = {
		.task = m->task,
		.kind = MP__POOL_MAP,
		.n_items = (uint32_t)m->n_items,
		.args = m->bytes.data,
		.args_size = m->bytes.size,
		.cargo = cargo,
	};

	if (m->n_items == 0)
		return 0;
	if (m->n_chunks == m->room) {
		size_t room = m->room ? m->room * 2 : 64;
		struct chunk *chunks = realloc(m->chunks, room * sizeof(*chunks));
		if (!chunks)
			return mp_error_set(-ENOMEM, "no memory for %zu chunks of a map", room);
		m->chunks = chunks;
		m->room = room;
	}
	struct chunk *chunk = &m->chunks[m->n_chunks];
	int r = mp__pool_dispatch(m->pool, &work, &chunk->future);
	if (r < 0)
		return r;
	chunk->n = m->n_items;
	m->n_chunks++;
	m->n_items = 0;
	m->bytes.size = 0;
	return 0;
}

/* Add an item to the current chunk; one that has descriptors travels alone with them. */
static int add(struct map *m, const mp_obj *item)
{
	MP__CARGO(cargo);
	mp_obj args = mp_list_of(item, 1);
	size_t before = m->bytes.size;
	int r = mp__pool_bytes_put_item(&m->bytes, &args, &cargo);

	if (r < 0)
		return r;
	if (cargo.n_fds == 0) {
		m->n_items++;
		return 0;
	}
	m->bytes.size = before;
	r = flush(m, NULL);
	if (r < 0)
		return r;
	r = mp__pool_bytes_put_item(&m->bytes, &args, &cargo);
	if (r < 0)
		return r;
	m->n_items = 1;
	return flush(m, &cargo);
}

static int hand_out(struct map *m, const mp_obj *items, size_t n, size_t chunk)
{
	bool choose = chunk == 0;

	if (choose) {
		size_t parts = (size_t)m->pool->seg.n_workers * CHUNKS_PER_WORKER;
		chunk = n / parts + (n % parts > 0);
	}
	if (chunk > UINT32_MAX)
		chunk = UINT32_MAX;
	for (size_t i = 0; i < n; i++) {
		int r = add(m, &items[i]);
		if (r == 0 && (m->n_items >= chunk || (choose && m->bytes.size >= CHUNK_BYTES)))
			r = flush(m, NULL);
		if (r < 0)
			return r;
	}
	return flush(m, NULL);
}

static int take_chunk(const struct chunk *chunk, mp_obj *results, size_t *n_results)
{
	mp_future *f = chunk->future;
	size_t at = 0;

	mp__future_await(f, MP__DEADLINE_NEVER);
	int r = mp__future_outcome(f);
	for (size_t i = 0; i < chunk->n && r == 0; i++) {
		const uint8_t *item;
		size_t size;
		if (!mp__pool_bytes_next(f->data, f->size, &at, &item, &size))
			return mp_error_set(-EBADMSG, "a worker left out results");
		r = mp__obj_decode(item, size, NULL, &results[*n_results]);
		if (r == 0)
			++*n_results;
	}
	return r;
}

static int take_results(const struct map *m, mp_obj *results, size_t *n_results)
{
	for (size_t i = 0; i < m->n_chunks; i++) {
		int r = take_chunk(&m->chunks[i], results, n_results);
		if (r < 0)
			return r;
	}
	return 0;
}

static int map(struct map *m, const mp_obj *items, size_t n, size_t chunk, mp_obj *results)
{
	char why[MP__DETAIL_SIZE] = "";
	size_t n_results = 0;
	int handing = hand_out(m, items, n, chunk);

	if (handing < 0)
		snprintf(why, sizeof(why), "%s", mp_error_detail());
	/* An item that could not be handed out comes after all that were. */
	int r = take_results(m, results, &n_results);
	if (r == 0 && handing < 0)
		r = mp_error_set(handing, "%s", why);
	for (size_t i = 0; i < n_results && r < 0; i++)
		mp_obj_free(&results[i]);
	return r;
}

int mp_pool_map(
	mp_pool *pool, mp_task *task, const mp_obj *items, size_t n, size_t chunk, mp_obj *results)
{
	if (!pool || !task || (n > 0 && (!items || !results)))
		return mp_error_set(-EINVAL, "map: no %s",
			!pool    ? "pool"
			: !task  ? "task"
			: !items ? "items"
				 : "results");
	int r = mp__pool_check_origin(pool->origin, "map");
	if (r < 0)
		return r;
	/* Results go to the caller only when all are there. */
	MP__AUTO_FREE mp_obj *taken = n > 0 ? calloc(n, sizeof(*taken)) : NULL;
	if (n > 0 && !taken)
		return mp_error_set(-ENOMEM, "no memory for %zu results", n);

	struct map m = {.pool = pool, .task = task};
	mp__pool_bytes_init(&m.bytes);
	r = map(&m, items, n, chunk, taken);
	for (size_t i = 0; i < m.n_chunks; i++)
		mp_future_close(m.chunks[i].future);
	free(m.chunks);
	mp__pool_bytes_free(&m.bytes);
	if (r == 0 && n > 0)
		memcpy(results, taken, n * sizeof(*taken));
	return r;
}
