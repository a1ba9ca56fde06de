/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/options.h"
#include "pool/batch.h"
#include "pool/callback.h"
#include "pool/collect.h"
#include "pool/progress.h"

#include <mp/map.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct map {
	mp_pool *pool;
	mp_task *task;
	const mp_obj *items;
	size_t n;
	mp_map_options o;
};

static int check(struct map *m, const mp_map_options *options, const void *ret)
{
	int r = mp__options_load(&m->o, sizeof(m->o), 0, options);

	if (r < 0)
		return r;
	if (!m->pool || !m->task || (m->n > 0 && (!m->items || !ret)))
		return mp_error_set(-EINVAL, "map: no %s",
			!m->pool    ? "pool"
			: !m->task  ? "task"
			: !m->items ? "items"
				    : "results");
	if (m->o.chunk > SIZE_MAX / 2)
		return mp_error_set(-EINVAL, "map: chunks of %zd items; a chunk is 0 or more",
			(ssize_t)m->o.chunk);
	return mp__pool_check_origin(m->pool->origin, "map");
}

static void give_up(struct mp__batch *b)
{
	pthread_mutex_lock(&b->pool->lock);
	if (!b->pool->closed)
		mp__batch_cancel(b, 0);
	bool due = mp__callback_wanted(b->pool);
	pthread_mutex_unlock(&b->pool->lock);
	if (due)
		mp__callback_run(b->pool);
}

static int map(const struct map *m, struct mp__batch *b, mp_obj *results)
{
	char why[MP__DETAIL_SIZE] = "";
	size_t n_results = 0;
	struct mp__progress progress;
	mp__deadline deadline = mp__deadline_in(m->o.timeout_ms > 0 ? m->o.timeout_ms : MP_FOREVER);

	mp__progress_init(&progress, m->o.progress, m->o.progress_data, m->o.progress_ms, m->n);
	int handing =
		mp__batch_hand_out(b, m->task, m->items, m->n, m->o.chunk, m->o.star, &progress);
	if (handing < 0)
		snprintf(why, sizeof(why), "%s", mp_error_detail());
	/* An item that could not be handed out comes after all that were. */
	int r = mp__batch_take(b, deadline, &progress, results, &n_results);
	if (r == 0 && handing < 0)
		r = mp_error_set(handing, "%s", why);
	if (r == 0)
		mp__progress_tell(&progress, m->n, true);
	for (size_t i = 0; i < n_results && r < 0; i++)
		mp_obj_free(&results[i]);
	if (r == -ETIMEDOUT && mp__deadline_passed(deadline)) {
		snprintf(why, sizeof(why), "%s", mp_error_detail());
		give_up(b);
		mp_error_set(r, "%s", why);
	}
	return r;
}

int mp_pool_map_with(mp_pool *pool, mp_task *task, const mp_obj *items, size_t n,
	const mp_map_options *options, mp_obj *results)
{
	struct map m = {.pool = pool, .task = task, .items = items, .n = n};
	int r = check(&m, options, results);

	if (r < 0)
		return r;
	/* Results go to the caller only when all are there. */
	MP__AUTO_FREE mp_obj *taken = n > 0 ? calloc(n, sizeof(*taken)) : NULL;
	if (n > 0 && !taken)
		return mp_error_set(-ENOMEM, "no memory for %zu results", n);
	struct mp__batch *b = mp__batch_new(pool, m.o.progress != NULL);
	if (!b)
		return -ENOMEM;
	mp__pool_ref(pool); /* a callback may close it */
	r = map(&m, b, taken);
	mp__batch_free(b);
	mp__pool_unref(pool);
	if (r == 0 && n > 0)
		memcpy(results, taken, n * sizeof(*taken));
	return r;
}

int mp_pool_map(
	mp_pool *pool, mp_task *task, const mp_obj *items, size_t n, size_t chunk, mp_obj *results)
{
	return mp_pool_map_with(pool, task, items, n, MP_MAP_OPTIONS(.chunk = chunk), results);
}

int mp_pool_starmap(
	mp_pool *pool, mp_task *task, const mp_obj *items, size_t n, size_t chunk, mp_obj *results)
{
	return mp_pool_map_with(
		pool, task, items, n, MP_MAP_OPTIONS(.chunk = chunk, .star = true), results);
}

/* A future without a slot; its `more` has the batch, and both end together. */
static int make_parent(struct mp__batch *b, mp_future **ret_future)
{
	mp_future *f;
	int r = mp__future_new(b->pool, &f);

	if (r < 0)
		return r;
	f->slot = MP__POOL_NONE;
	if (!mp__future_more(f)) {
		mp__future_unref(f);
		mp__future_unref(f);
		return mp_error_set(-ENOMEM, "no memory for the future of a map");
	}
	f->more->batch = b;
	b->parent = f;
	*ret_future = f;
	return 0;
}

int mp_pool_map_async(mp_pool *pool, mp_task *task, const mp_obj *items, size_t n,
	const mp_map_options *options, mp_future **ret_future)
{
	struct map m = {.pool = pool, .task = task, .items = items, .n = n};
	int r = check(&m, options, items);

	if (r < 0)
		return r;
	if (!ret_future || m.o.timeout_ms > 0 || m.o.progress)
		return mp_error_set(-EINVAL, "map: %s",
			ret_future ? "who does not wait has no timeout and no progress"
				   : "nowhere to put the future");
	struct mp__batch *b = mp__batch_new(pool, true);
	if (!b)
		return -ENOMEM;
	mp_future *parent;
	r = make_parent(b, &parent);
	if (r < 0) {
		mp__batch_free(b);
		return r;
	}
	r = mp__batch_hand_out(b, task, items, n, m.o.chunk, m.o.star, NULL);
	if (r < 0) {
		char why[MP__DETAIL_SIZE];
		snprintf(why, sizeof(why), "%s", mp_error_detail());
		give_up(b);
		mp__future_unref(parent);
		mp__future_unref(parent);
		return mp_error_set(r, "%s", why);
	}
	*ret_future = parent;
	return 0;
}
