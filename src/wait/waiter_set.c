/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "wait/waiter.h"

#include "base/error.h"

#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

/* --- by name --------------------------------------------------------------------------------------- */

static size_t hash(short kind, const void *object, int fd)
{
	uint64_t x = (uint64_t)(uintptr_t)object ^ (uint64_t)kind << 56 ^ (uint32_t)fd;

	x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	return (size_t)(x ^ x >> 31);
}

static struct mp__waiter_item **chain(struct mp_waiter *w, short kind, const void *object, int fd)
{
	return &w->table[hash(kind, object, fd) & (w->table_size - 1)];
}

struct mp__waiter_item *mp__waiter_find(struct mp_waiter *w, const mp_waitable *item)
{
	int fd = item->kind == MP_WAIT_KIND_FD ? item->fd : -1;
	struct mp__waiter_item *i =
		w->table_size > 0 ? *chain(w, item->kind, item->object, fd) : NULL;

	while (i && (i->kind != item->kind || i->object != item->object || i->fd != fd))
		i = i->next_hash;
	return i;
}

static int grow_table(struct mp_waiter *w)
{
	size_t old_size = w->table_size;
	struct mp__waiter_item **old = w->table;
	size_t size = old_size > 0 ? old_size * 2 : 16;

	struct mp__waiter_item **table = calloc(size, sizeof(struct mp__waiter_item *));
	if (!table)
		return mp_error_set(-ENOMEM, "no memory to wait for %zu things", w->n + 1);
	w->table = table;
	w->table_size = size;
	for (size_t at = 0; at < old_size; at++)
		while (old[at]) {
			struct mp__waiter_item *i = old[at];
			struct mp__waiter_item **to = chain(w, i->kind, i->object, i->fd);
			old[at] = i->next_hash;
			i->next_hash = *to;
			*to = i;
		}
	free(old);
	return 0;
}

/* --- sources ---------------------------------------------------------------------------------------- */

static int grow_sources(struct mp_waiter *w, int fd)
{
	size_t size = w->n_sources > 0 ? w->n_sources : 64;

	if ((size_t)fd < w->n_sources)
		return 0;
	while (size <= (size_t)fd)
		size *= 2;
	struct mp__waiter_source *sources = realloc(w->sources, size * sizeof(*sources));
	if (!sources)
		return mp_error_set(-ENOMEM, "no memory to wait for descriptor %d", fd);
	memset(sources + w->n_sources, 0, (size - w->n_sources) * sizeof(*sources));
	w->sources = sources;
	w->n_sources = size;
	return 0;
}

static int tell_epoll(struct mp_waiter *w, int operation, int fd, short events)
{
	struct epoll_event event = {
		.events = (uint16_t)events,
		.data.u64 = (uint64_t)w->sources[fd].generation << 32 | (uint32_t)fd,
	};

	if (epoll_ctl(w->epoll, operation, fd, &event) == 0)
		return 0;
	if (errno == EBADF)
		return mp_error_set(-EBADF, "descriptor %d is not open", fd);
	return mp__error_errno("waiting for a descriptor");
}

static short events_of(const struct mp__waiter_source *source)
{
	short events = 0;

	for (struct mp__waiter_item *i = source->first; i; i = i->next_of_source)
		events = (short)(events | i->waited.events);
	return events;
}

/*
 * The descriptor was closed, the kernel has forgotten it, and the number is another file's now: those
 * who waited for the old one never hear of it again.
 */
static void forget_source(struct mp__waiter_source *source)
{
	while (source->first) {
		struct mp__waiter_item *i = source->first;
		source->first = i->next_of_source;
		i->waited.fd = -1;
	}
}

static int join_source(struct mp_waiter *w, struct mp__waiter_item *item)
{
	int fd = item->waited.fd;

	int r = grow_sources(w, fd);
	if (r < 0)
		return r;
	struct mp__waiter_source *s = &w->sources[fd];
	short events = (short)(events_of(s) | item->waited.events);
	if (s->first) {
		r = tell_epoll(w, EPOLL_CTL_MOD, fd, events);
		if (r == -ENOENT)
			forget_source(s);
		else if (r < 0)
			return r;
	}
	if (!s->first) {
		s->generation = ++w->generation;
		r = tell_epoll(w, EPOLL_CTL_ADD, fd, events);
		/* A file: it is always ready, as poll(2) says. */
		if (r == -EPERM && item->kind == MP_WAIT_KIND_FD) {
			item->waited.fd = -1;
			item->always = item->waited.events & (POLLIN | POLLOUT);
			return 0;
		}
		if (r < 0)
			return r;
	}
	s->events = events;
	item->next_of_source = s->first;
	s->first = item;
	return 0;
}

static void leave_source(struct mp_waiter *w, struct mp__waiter_item *item)
{
	int fd = item->waited.fd;

	if (fd < 0)
		return;
	struct mp__waiter_source *s = &w->sources[fd];
	struct mp__waiter_item **at = &s->first;
	while (*at && *at != item)
		at = &(*at)->next_of_source;
	if (*at)
		*at = item->next_of_source;
	s->events = events_of(s);
	/* Where it fails the descriptor was closed, and nothing is left to do. */
	(void)tell_epoll(w, s->first ? EPOLL_CTL_MOD : EPOLL_CTL_DEL, fd, s->events);
}

int mp__waiter_change(struct mp_waiter *w, struct mp__waiter_item *item, short events)
{
	short before = item->waited.events;

	item->waited.events = events;
	if (item->always) {
		item->always = events & (POLLIN | POLLOUT);
		return 0;
	}
	int r = item->waited.fd < 0
			? mp_error_set(-EBADF, "descriptor %d was closed meanwhile", item->fd)
			: tell_epoll(w, EPOLL_CTL_MOD, item->waited.fd,
				  events_of(&w->sources[item->waited.fd]));
	if (r == -ENOENT)
		r = mp_error_set(-EBADF, "descriptor %d was closed meanwhile", item->fd);
	if (r < 0)
		item->waited.events = before;
	return r;
}

/* --- buckets ---------------------------------------------------------------------------------------- */

static int open_doorbell(struct mp_waiter *w)
{
	struct epoll_event event = {.events = EPOLLIN, .data.u64 = MP__WAITER_BELL};

	if (!w->buckets)
		w->buckets = calloc(MP__WATCH_BUCKETS, sizeof(struct mp__waiter_item *));
	if (!w->buckets)
		return mp_error_set(-ENOMEM, "no memory to wait for shared memory");
	if (w->doorbell.fd >= 0)
		return 0;
	int r = mp__doorbell_open(&w->doorbell);
	if (r < 0)
		return r;
	if (epoll_ctl(w->epoll, EPOLL_CTL_ADD, w->doorbell.fd, &event) < 0) {
		r = mp__error_errno("waiting for a doorbell");
		mp__doorbell_close(&w->doorbell);
		return r;
	}
	return 0;
}

static void join_bucket(struct mp_waiter *w, struct mp__waiter_item *item)
{
	item->bucket = w->next_bucket++ % MP__WATCH_BUCKETS;
	item->next_of_bucket = w->buckets[item->bucket];
	w->buckets[item->bucket] = item;
	w->n_watched++;
}

static void leave_bucket(struct mp_waiter *w, struct mp__waiter_item *item)
{
	struct mp__waiter_item **at = &w->buckets[item->bucket];

	while (*at != item)
		at = &(*at)->next_of_bucket;
	*at = item->next_of_bucket;
	w->n_watched--;
	mp__waitable_disarm(&item->waited, w->doorbell.id | item->bucket);
}

/* --- hot -------------------------------------------------------------------------------------------- */

void mp__waiter_heat(struct mp_waiter *w, struct mp__waiter_item *item)
{
	if (item->hot)
		return;
	item->hot = true;
	item->next_hot = NULL;
	item->previous_hot = w->last_hot;
	if (w->last_hot)
		w->last_hot->next_hot = item;
	else
		w->first_hot = item;
	w->last_hot = item;
}

void mp__waiter_cool(struct mp_waiter *w, struct mp__waiter_item *item)
{
	if (!item->hot)
		return;
	item->hot = false;
	if (item->previous_hot)
		item->previous_hot->next_hot = item->next_hot;
	else
		w->first_hot = item->next_hot;
	if (item->next_hot)
		item->next_hot->previous_hot = item->previous_hot;
	else
		w->last_hot = item->previous_hot;
}

void mp__waiter_heat_bucket(struct mp_waiter *w, unsigned bucket)
{
	for (struct mp__waiter_item *i = w->buckets[bucket]; i; i = i->next_of_bucket)
		mp__waiter_heat(w, i);
}

void mp__waiter_heat_all(struct mp_waiter *w)
{
	for (size_t at = 0; at < w->table_size; at++)
		for (struct mp__waiter_item *i = w->table[at]; i; i = i->next_hash)
			if (i->waited.class->look)
				mp__waiter_heat(w, i);
}

/* --- in and out ------------------------------------------------------------------------------------- */

int mp__waiter_insert(struct mp_waiter *w, struct mp__waiter_item *item)
{
	bool watched = mp__waitable_is_watched(&item->waited);
	int r = 0;

	if (w->n >= w->table_size)
		r = grow_table(w);
	/* Who sleeps has to be told of what the kernel does not see. */
	if (r == 0 && (watched || (w->sleepers > 0 && item->waited.class->look)))
		r = open_doorbell(w);
	if (r == 0 && item->waited.fd >= 0)
		r = join_source(w, item);
	if (r < 0)
		return r;
	struct mp__waiter_item **at = chain(w, item->kind, item->object, item->fd);
	item->next_hash = *at;
	*at = item;
	w->n++;
	if (watched)
		join_bucket(w, item);
	if (item->waited.class->look || item->always)
		mp__waiter_heat(w, item);
	return 0;
}

void mp__waiter_take_out(struct mp_waiter *w, struct mp__waiter_item *item)
{
	struct mp__waiter_item **at = chain(w, item->kind, item->object, item->fd);

	while (*at != item)
		at = &(*at)->next_hash;
	*at = item->next_hash;
	w->n--;
	mp__waiter_cool(w, item);
	leave_source(w, item);
	if (mp__waitable_is_watched(&item->waited))
		leave_bucket(w, item);
}

void mp__waiter_item_free(struct mp__waiter_item *item)
{
	mp__waitable_close(&item->waited);
	if (item->waited.class->unref)
		item->waited.class->unref(item->object);
	free(item);
}
