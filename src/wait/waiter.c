/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "wait/waiter.h"

#include "base/cleanup.h"
#include "base/error.h"
#include "base/fds.h"
#include "base/testpoint.h"
#include "conn/connection.h"
#include "sync/event.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

/* So many descriptors are heard of at a time; the others by the next wait. */
#define EVENTS 64

/* --- the set --------------------------------------------------------------------------------------- */

static int check(const mp_waiter *w)
{
	if (!w)
		return mp_error_set(-EINVAL, "no waiter: the pointer is NULL");
	if (!mp__origin_is_here(w->origin))
		return mp_error_set(-ECHILD, "the waiter belongs to the parent process");
	return 0;
}

int mp_waiter_new(mp_waiter **ret_waiter)
{
	if (!ret_waiter)
		return mp_error_set(-EINVAL, "making a waiter: no place for it");
	MP__AUTO_CLOSE int epoll = mp__fd_above_std(epoll_create1(EPOLL_CLOEXEC));
	if (epoll < 0)
		return mp__error_errno("making a waiter");
	mp_waiter *w = calloc(1, sizeof(*w));
	if (!w)
		return mp_error_set(-ENOMEM, "no memory for a waiter");
	w->origin = mp__origin_here();
	pthread_mutex_init(&w->lock, NULL);
	w->epoll = MP__TAKE_FD(epoll);
	w->doorbell.fd = -1;
	w->kept = atomic_load(&mp__conn_kept);
	*ret_waiter = w;
	return 0;
}

static int make_item(const mp_waitable *what, void *data, struct mp__waiter_item **ret_item)
{
	struct mp__waiter_item *item = calloc(1, sizeof(*item));

	if (!item)
		return mp_error_set(-ENOMEM, "no memory for something to wait for");
	int r = mp__waitable_open(what, &item->waited);
	if (r < 0) {
		free(item);
		return r;
	}
	item->kind = what->kind;
	item->object = what->object;
	item->fd = what->kind == MP_WAIT_KIND_FD ? what->fd : -1;
	item->data = data;
	if (item->waited.class->ref)
		item->waited.class->ref(item->object);
	/* Without the lock, because callbacks of the user's may run. */
	if (item->waited.class->turn)
		(void)item->waited.class->turn(&item->waited);
	*ret_item = item;
	return 0;
}

/* A number that was closed and is another file's now is no duplicate. */
static bool is_stale(mp_waiter *w, struct mp__waiter_item *item)
{
	return item->kind == MP_WAIT_KIND_FD && !item->always &&
	       mp__waiter_change(w, item, item->waited.events) < 0;
}

static int add(mp_waiter *w, const mp_waitable *what, struct mp__waiter_item *item)
{
	struct mp__waiter_item *there = mp__waiter_find(w, what);

	if (there && is_stale(w, there)) {
		mp__waiter_take_out(w, there);
		mp__waiter_item_free(there);
		there = NULL;
	}
	if (there)
		return mp_error_set(
			-EEXIST, "the waiter waits for this %s already", there->waited.class->name);
	int r = mp__waiter_insert(w, item);
	/* Who sleeps does not know yet that it has to be looked at. */
	if (r == 0 && item->hot && w->sleepers > 0 && w->doorbell.fd >= 0)
		mp__doorbell_ring(&w->doorbell);
	return r;
}

int mp_waiter_add(mp_waiter *w, mp_waitable what, void *data)
{
	struct mp__waiter_item *item = NULL;

	int r = check(w);
	if (r == 0)
		r = make_item(&what, data, &item);
	if (r < 0)
		return r;
	pthread_mutex_lock(&w->lock);
	r = add(w, &what, item);
	pthread_mutex_unlock(&w->lock);
	if (r < 0)
		mp__waiter_item_free(item);
	return r;
}

static int not_there(void)
{
	return mp_error_set(-ENOENT, "the waiter does not wait for this");
}

int mp_waiter_modify(mp_waiter *w, mp_waitable what, void *data)
{
	int r = check(w);

	if (r < 0)
		return r;
	if (what.kind == MP_WAIT_KIND_FD) {
		struct mp__waited waited;
		r = mp__waitable_open(&what, &waited);
		if (r < 0)
			return r;
	}
	pthread_mutex_lock(&w->lock);
	struct mp__waiter_item *item = mp__waiter_find(w, &what);
	if (!item)
		r = not_there();
	else if (what.kind == MP_WAIT_KIND_FD)
		r = mp__waiter_change(w, item, what.events);
	if (r == 0)
		item->data = data;
	pthread_mutex_unlock(&w->lock);
	return r;
}

int mp_waiter_remove(mp_waiter *w, mp_waitable what)
{
	int r = check(w);

	if (r < 0)
		return r;
	pthread_mutex_lock(&w->lock);
	struct mp__waiter_item *item = mp__waiter_find(w, &what);
	if (item)
		mp__waiter_take_out(w, item);
	pthread_mutex_unlock(&w->lock);
	if (!item)
		return not_there();
	mp__waiter_item_free(item);
	return 0;
}

int mp_waiter_close(mp_waiter *w)
{
	if (!w)
		return 0;
	bool here = mp__origin_is_here(w->origin);
	for (size_t at = 0; at < w->table_size; at++)
		while (w->table[at]) {
			struct mp__waiter_item *item = w->table[at];
			w->table[at] = item->next_hash;
			if (here && mp__waitable_is_watched(&item->waited))
				mp__waitable_disarm(&item->waited, w->doorbell.id | item->bucket);
			if (here || item->waited.class->works_in_children)
				mp__waiter_item_free(item);
			else
				free(item);
		}
	/* In a child these may have been closed, and be something else by now. */
	if (here && w->doorbell.fd >= 0)
		mp__doorbell_close(&w->doorbell);
	if (here)
		close(w->epoll);
	pthread_mutex_destroy(&w->lock);
	free(w->table);
	free(w->sources);
	free(w->buckets);
	free(w);
	return 0;
}

/* --- looking ---------------------------------------------------------------------------------------- */

/* What a wait has found. */
struct found {
	mp_ready *ready;
	size_t room;
	size_t n;
	uint64_t wait; /* its number */
	/* What has something to do, which the lock must not be held for: references. */
	struct {
		const struct mp__waitable_class *class;
		void *object;
	} turns[EVENTS];
	size_t n_turns;
};

static void report(struct found *f, struct mp__waiter_item *item, int ready, int error)
{
	item->told_by = f->wait;
	f->ready[f->n++] = (mp_ready){.data = item->data, .ready = ready, .error = error};
}

/* 0, poll bits, or an error. */
static int look_at(struct mp__waiter_item *item, bool suspicious)
{
	struct mp__waited *waited = &item->waited;

	if (item->always)
		return item->always;
	if (item->kind != MP_WAIT_KIND_EVENT)
		return waited->class->look(waited, suspicious);
	/* A set that was cleared again is told once. */
	uint32_t now = mp__event_now(item->object);
	int r = waited->class->look(waited, suspicious);
	waited->since = now;
	return r;
}

/*
 * Look at what is hot. What is not ready is armed and looked at once more, and is cold then; what is
 * ready stays hot, behind the others, so that everybody has a turn.
 */
static void look_at_hot(mp_waiter *w, struct found *f, size_t share, bool suspicious)
{
	struct mp__waiter_item *last = w->last_hot;
	struct mp__waiter_item *next;
	bool on = last != NULL;

	for (struct mp__waiter_item *item = w->first_hot; on && f->n < share; item = next) {
		next = item->next_hot;
		on = item != last;
		if (item->told_by == f->wait)
			continue;
		int r = look_at(item, suspicious);
		mp__waiter_cool(w, item);
		if (r == 0 && mp__waitable_is_watched(&item->waited)) {
			(void)mp__waitable_arm(&item->waited, w->doorbell.id | item->bucket);
			r = look_at(item, suspicious);
		}
		if (r == 0)
			continue;
		report(f, item, r > 0 ? r : 0, r < 0 ? r : 0);
		if (r > 0)
			mp__waiter_heat(w, item);
	}
}

/* --- hearing ---------------------------------------------------------------------------------------- */

static void hear_doorbell(mp_waiter *w)
{
	uint64_t buckets[MP__WATCH_BUCKETS / 64] = {0};

	if (mp__doorbell_hear(&w->doorbell, buckets)) {
		mp__waiter_heat_all(w);
		return;
	}
	for (unsigned i = 0; i < MP__COUNT_OF(buckets); i++)
		while (buckets[i] != 0) {
			unsigned bit = (unsigned)__builtin_ctzll(buckets[i]);
			buckets[i] &= buckets[i] - 1;
			mp__waiter_heat_bucket(w, i * 64 + bit);
		}
}

/* A descriptor says something to all who look at it. */
static void hear_source(mp_waiter *w, struct found *f, const struct epoll_event *event)
{
	size_t fd = (uint32_t)event->data.u64;
	uint32_t generation = (uint32_t)(event->data.u64 >> 32);
	struct mp__waiter_item *next;

	if (fd >= w->n_sources || w->sources[fd].generation != generation)
		return; /* taken out meanwhile */
	for (struct mp__waiter_item *item = w->sources[fd].first; item; item = next) {
		next = item->next_of_source;
		struct mp__waited *waited = &item->waited;
		int revents = (int)event->events & (waited->events | POLLERR | POLLHUP);
		if (revents == 0)
			continue;
		if (waited->class->turn) {
			/* What its turn brings to an end is rung for. */
			if (f->n_turns < EVENTS) {
				waited->class->ref(item->object);
				f->turns[f->n_turns].class = waited->class;
				f->turns[f->n_turns++].object = item->object;
			}
			return;
		}
		if (item->told_by == f->wait || f->n == f->room)
			continue;
		report(f, item, mp__waitable_polled(waited, revents), 0);
		if (waited->class->look)
			mp__waiter_heat(w, item);
	}
}

static void hear(mp_waiter *w, struct found *f, const struct epoll_event *events, int n)
{
	for (int i = 0; i < n; i++) {
		if (events[i].data.u64 == MP__WAITER_BELL)
			hear_doorbell(w);
		else
			hear_source(w, f, &events[i]);
	}
}

/* --- waiting ---------------------------------------------------------------------------------------- */

/* A message was left where it is, by whom ever: some connection may hold it. */
static bool somebody_kept(mp_waiter *w)
{
	unsigned kept = atomic_load_explicit(&mp__conn_kept, memory_order_acquire);
	bool changed = kept != w->kept;

	w->kept = kept;
	return changed;
}

/* Is it time to look at everything? Rings can go lost. */
static bool is_time(mp_waiter *w)
{
	if (w->n_watched == 0)
		return false;
	int64_t now = mp__now_ns();
	if (now - w->all_looked_at < MP__BELL_RECHECK_MS * INT64_C(1000000))
		return false;
	w->all_looked_at = now;
	return true;
}

/* Callbacks of the user's may run there, and use the waiter. */
static void give_turns(mp_waiter *w, struct found *f)
{
	if (f->n_turns == 0)
		return;
	pthread_mutex_unlock(&w->lock);
	while (f->n_turns > 0) {
		const struct mp__waitable_class *class = f->turns[--f->n_turns].class;
		struct mp__waited waited = {.object = f->turns[f->n_turns].object};
		(void)class->turn(&waited);
		class->unref(waited.object);
	}
	pthread_mutex_lock(&w->lock);
}

/* Sleep, without the lock, if there is nothing yet; and hear what there is. */
static int sleep_and_hear(mp_waiter *w, struct found *f, mp__deadline deadline)
{
	struct epoll_event events[EVENTS];
	size_t max = f->room - f->n < EVENTS ? f->room - f->n : EVENTS;
	int ms = 0;

	/* Not more than find room: the kernel begins the next time with those that it has not told. */
	if (max == 0)
		return 0;
	if (f->n == 0 && w->first_hot == NULL)
		ms = mp__deadline_poll_ms(
			w->n_watched > 0 ? mp__deadline_slice(deadline, MP__BELL_RECHECK_MS)
					 : deadline);
	w->sleepers++;
	pthread_mutex_unlock(&w->lock);
	MP__TEST_POINT("waiter.armed");
	int n = epoll_wait(w->epoll, events, (int)max, ms);
	int error = errno;
	pthread_mutex_lock(&w->lock);
	w->sleepers--;
	if (n < 0 && error != EINTR) {
		errno = error;
		return mp__error_errno("waiting for a set");
	}
	hear(w, f, events, n);
	give_turns(w, f);
	return 0;
}

int mp_waiter_wait(mp_waiter *w, mp_ready *ret_ready, size_t room, int timeout_ms)
{
	mp__deadline deadline = mp__deadline_in(timeout_ms);
	struct found found; /* not all of it: it is large */

	int r = check(w);
	if (r == 0 && (!ret_ready || room == 0 || room > INT_MAX))
		r = mp_error_set(-EINVAL, "waiting for a set: there is no room for what is ready");
	if (r < 0)
		return r;
	found.ready = ret_ready;
	found.room = room;
	found.n = found.n_turns = 0;
	pthread_mutex_lock(&w->lock);
	found.wait = ++w->waits;
	for (;;) {
		bool last = mp__deadline_passed(deadline);
		bool all = is_time(w);
		if (somebody_kept(w) || all)
			mp__waiter_heat_all(w);
		/* Every other time half of the room is left to descriptors. */
		w->odd = !w->odd;
		look_at_hot(w, &found, w->odd ? room : room / 2, all);
		r = sleep_and_hear(w, &found, deadline);
		/* What was done in memory before a descriptor told us is told with it. */
		if (r == 0 && found.n > 0)
			look_at_hot(w, &found, room, false);
		if (r < 0 || found.n > 0)
			break;
		if (last && !w->first_hot)
			break;
	}
	pthread_mutex_unlock(&w->lock);
	return r < 0 ? r : (int)found.n;
}
