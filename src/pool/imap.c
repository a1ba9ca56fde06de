/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "base/error.h"
#include "base/options.h"
#include "pool/batch.h"
#include "pool/collect.h"
#include "pool/dispatch.h"
#include "pool/progress.h"
#include "pool/returns.h"

#include <mp/map.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/*
 * mp_pool_imap(): a window of chunks moves over the items. A new chunk is pulled from the source when
 * one has been taken from the front; so the source is never far ahead of who takes the results.
 */

struct piece {
	struct mp__future_watch watch;
	struct piece *next;       /* in the order of the items */
	struct piece *next_ended; /* in the order of their ends */
	mp_imap *imap;
	mp_future *future;
	bool queued; /* in the list of those that have ended */
	uint32_t n;
	uint32_t taken;
	size_t at;
};

struct mp_imap {
	mp_pool *pool;
	mp_task *task;
	mp_source *source;
	void *data;
	mp_imap_options o;
	struct mp__progress progress;
	size_t n_taken;
	bool ended; /* the source has no more, or failed: */
	int error;
	char why[MP__DETAIL_SIZE];

	struct piece *first; /* all pieces */
	struct piece **last;
	size_t n_pieces;
	struct piece *current; /* being taken; not in the list any more */

	struct piece *first_ended; /* under pool->lock; unordered only */
	struct piece **last_ended;
};

/* --- pulling ------------------------------------------------------------------------------------ */

static void piece_ended(struct mp__future_watch *watch, mp_future *future)
{
	struct piece *p = (struct piece *)watch;
	mp_imap *m = p->imap;

	(void)future;
	p->next_ended = NULL;
	p->queued = true;
	*m->last_ended = p;
	m->last_ended = &p->next_ended;
}

static void stop_pulling(mp_imap *m, int error)
{
	m->ended = true;
	m->error = error;
	if (error < 0)
		snprintf(m->why, sizeof(m->why), "%s",
			*mp_error_detail() ? mp_error_detail() : mp_strerror(error));
}

/* One item into the bytes: 1, 0 there is none, or an error. */
static int pull_item(mp_imap *m, struct mp__pool_bytes *bytes, struct mp__cargo *cargo)
{
	mp_obj item = mp_nil();
	mp_obj args;

	mp_error_set(0, "%s", "");
	int r = m->source(m->data, &item);
	if (r <= 0)
		return r;
	r = mp__item_args(&item, m->o.star, &args);
	if (r == 0)
		r = mp__pool_bytes_put_item(bytes, &args, cargo);
	mp_obj_free(&item);
	return r < 0 ? r : 1;
}

static int dispatch(mp_imap *m, struct piece *p, const struct mp__pool_bytes *bytes,
	const struct mp__cargo *cargo)
{
	struct mp__pool_work work = {.task = m->task,
		.kind = MP__POOL_EACH,
		.n_items = p->n,
		.args = bytes->data,
		.args_size = bytes->size,
		.cargo = cargo};
	int r = mp__pool_dispatch(m->pool, &work, &p->future);

	if (r < 0)
		return r;
	if (m->o.unordered) {
		pthread_mutex_lock(&m->pool->lock);
		r = mp__future_watch(p->future, &p->watch);
		if (r == 0)
			piece_ended(&p->watch, p->future);
		pthread_mutex_unlock(&m->pool->lock);
	}
	if (r < 0)
		mp_future_close(p->future);
	return r < 0 ? r : 0;
}

/* The next chunk. An item with descriptors is the last of its chunk. */
static int pull_piece(mp_imap *m)
{
	struct mp__pool_bytes bytes;
	MP__CARGO(cargo);
	struct piece *p = calloc(1, sizeof(*p));
	int r = 1;

	if (!p)
		return mp_error_set(-ENOMEM, "no memory for a chunk of a map");
	p->watch.fire = piece_ended;
	p->imap = m;
	mp__pool_bytes_init(&bytes);
	while (r > 0 && p->n < m->o.chunk && cargo.n_fds == 0) {
		r = pull_item(m, &bytes, &cargo);
		p->n += r > 0;
	}
	if (r <= 0)
		stop_pulling(m, r);
	r = p->n > 0 ? dispatch(m, p, &bytes, &cargo) : -ENOENT;
	mp__pool_bytes_free(&bytes);
	if (r < 0) {
		if (p->n > 0)
			stop_pulling(m, r);
		free(p);
		return 0;
	}
	*m->last = p;
	m->last = &p->next;
	m->n_pieces++;
	return 0;
}

static int fill(mp_imap *m)
{
	int r = 0;

	while (r == 0 && !m->ended && m->n_pieces < m->o.window)
		r = pull_piece(m);
	return r;
}

/* --- taking ------------------------------------------------------------------------------------- */

static bool has_ended(mp_pool *pool, void *argument)
{
	mp_imap *m = argument;

	(void)pool;
	return m->o.unordered ? m->first_ended != NULL : mp__future_is_finished(m->first->future);
}

static int await_piece(mp_imap *m, mp__deadline deadline)
{
	int r;

	for (;;) {
		pthread_mutex_lock(&m->pool->lock);
		r = mp__pool_wait(
			m->pool, has_ended, m, mp__progress_slice(&m->progress, deadline));
		pthread_mutex_unlock(&m->pool->lock);
		mp__progress_tell(&m->progress, m->n_taken, false);
		if (r != -ETIMEDOUT || mp__deadline_passed(deadline))
			return r;
	}
}

static void remove_piece(mp_imap *m, struct piece *piece)
{
	struct piece **at = &m->first;

	while (*at != piece)
		at = &(*at)->next;
	*at = piece->next;
	if (m->last == &piece->next)
		m->last = at;
}

/* The piece to take from now; it counts until it has been emptied. */
static void choose_piece(mp_imap *m)
{
	struct piece *p = m->first;

	if (m->o.unordered) {
		pthread_mutex_lock(&m->pool->lock);
		p = m->first_ended;
		m->first_ended = p->next_ended;
		if (!m->first_ended)
			m->last_ended = &m->first_ended;
		pthread_mutex_unlock(&m->pool->lock);
	}
	remove_piece(m, p);
	m->current = p;
}

static void drop_current(mp_imap *m)
{
	mp_future_close(m->current->future);
	free(m->current);
	m->current = NULL;
	m->n_pieces--;
}

/* Each item is taken once, and so are its descriptors: those of the next one come first then. */
static int decode(mp_future *f, const uint8_t *item, size_t size, mp_obj *ret_result)
{
	struct mp__returned *returned = f->more ? f->more->returned : NULL;
	struct mp__cargo cargo = {0};

	if (returned) {
		cargo.fds = returned->fds;
		cargo.n_fds = cargo.room = returned->n_fds;
	}
	int r = mp__obj_decode(item, size, &cargo, ret_result);
	/* Nobody knows whose the next ones are. */
	if (r < 0)
		mp__fds_close(cargo.fds, cargo.n_fds);
	return r;
}

static int take_failure(mp_future *f, int code, const uint8_t *item, size_t size)
{
	size_t length = strnlen((const char *)item, size);
	mp_obj detail;

	if (length + 1 < size && decode(f, item + length + 1, size - length - 1, &detail) == 0)
		mp_obj_free(&detail);
	return mp_error_set(code, "%.*s", (int)length, item);
}

/* The next result of the current piece: 1 or its error. */
static int take_one(mp_imap *m, mp_obj *ret_result)
{
	struct piece *p = m->current;
	mp_future *f = p->future;
	const uint8_t *item;
	int32_t code;
	size_t size;

	m->n_taken++;
	p->taken++;
	int r = mp__future_outcome(f);
	if (r < 0)
		return r;
	if (!mp__pool_bytes_next(f->data, f->size, &p->at, &item, &size) || size < sizeof(code))
		return mp_error_set(-EBADMSG, "imap: a worker left out results");
	memcpy(&code, item, sizeof(code));
	item += sizeof(code);
	size -= sizeof(code);
	if (code < 0)
		return take_failure(f, code, item, size);
	r = decode(f, item, size, ret_result);
	return r < 0 ? r : 1;
}

static int take_error(mp_imap *m)
{
	int r = m->error;

	m->error = 0;
	if (r < 0)
		return mp_error_set(r, "%s", m->why);
	mp__progress_tell(&m->progress, m->n_taken, true);
	return 0;
}

int mp_imap_next(mp_imap *imap, int timeout_ms, mp_obj *ret_result)
{
	mp__deadline deadline = mp__deadline_in(timeout_ms);
	mp_obj result = mp_nil();

	if (!imap || !ret_result)
		return mp_error_set(-EINVAL, "imap: no iterator, or nowhere to put the result");
	int r = mp__pool_check_origin(imap->pool->origin, "imap");
	if (r == 0 && !imap->current)
		r = fill(imap);
	if (r < 0)
		return r;
	if (!imap->current) {
		if (!imap->first)
			return take_error(imap);
		r = await_piece(imap, deadline);
		if (r == -ETIMEDOUT)
			return mp_error_set(r, "imap: the next result has not come in time");
		choose_piece(imap);
	}
	r = take_one(imap, &result);
	if (imap->current->taken == imap->current->n) {
		char why[MP__DETAIL_SIZE];
		snprintf(why, sizeof(why), "%s", mp_error_detail());
		drop_current(imap);
		mp_error_set(r < 0 ? r : 0, "%s", why);
	}
	if (r > 0)
		*ret_result = result;
	return r;
}

/* --- beginning and end -------------------------------------------------------------------------- */

int mp_pool_imap(mp_pool *pool, mp_task *task, mp_source *source, void *data,
	const mp_imap_options *options, mp_imap **ret_imap)
{
	mp_imap_options o;
	int r = mp__options_load(&o, sizeof(o), 0, options);

	if (r < 0)
		return r;
	if (!pool || !task || !source || !ret_imap)
		return mp_error_set(-EINVAL, "imap: no pool, task or source, or nowhere to put it");
	if (o.chunk > UINT32_MAX / 2 || o.window > SIZE_MAX / 2)
		return mp_error_set(-EINVAL,
			"imap: chunks of %zd items, a window of %zd; both are 0 or more",
			(ssize_t)o.chunk, (ssize_t)o.window);
	r = mp__pool_check_origin(pool->origin, "imap");
	if (r < 0)
		return r;
	mp_imap *m = calloc(1, sizeof(*m));
	if (!m)
		return mp_error_set(-ENOMEM, "no memory for an imap");
	o.chunk = o.chunk ? o.chunk : 1;
	o.window = o.window ? o.window : (size_t)pool->seg.n_workers * 2;
	m->pool = pool;
	m->task = task;
	m->source = source;
	m->data = data;
	m->o = o;
	m->last = &m->first;
	m->last_ended = &m->first_ended;
	mp__pool_ref(pool);
	mp__progress_init(&m->progress, o.progress, o.progress_data, o.progress_ms, o.total);
	r = fill(m);
	if (r < 0)
		mp_imap_close(m);
	else
		*ret_imap = m;
	return r;
}

static void give_up(struct piece *p, bool here)
{
	if (here) {
		mp__future_unwatch(p->future, &p->watch);
		mp_future_cancel(p->future, 0);
	}
	mp_future_close(p->future);
	free(p);
}

int mp_imap_close(mp_imap *imap)
{
	if (!imap)
		return 0;
	bool here = mp__origin_is_here(imap->pool->origin);
	if (imap->current)
		give_up(imap->current, here);
	while (imap->first) {
		struct piece *p = imap->first;
		imap->first = p->next;
		give_up(p, here);
	}
	mp__pool_unref(imap->pool);
	free(imap);
	return 0;
}
