/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "pool/future.h"
#include "pool/watch.h"

#include <stdlib.h>
#include <string.h>

/* --- mp_future_wait() --------------------------------------------------------------------------- */

struct wanted {
	mp_future *const *futures;
	size_t n;
	int wait_for;
	size_t looked; /* all before it have ended, and none of them decides */
};

static bool decides(const struct wanted *w, mp_future *future)
{
	if (w->wait_for == MP_WAIT_FIRST)
		return true;
	return w->wait_for == MP_WAIT_FIRST_ERROR &&
	       atomic_load_explicit(&future->state, memory_order_acquire) != MP_FUTURE_DONE;
}

static bool is_there(void *argument)
{
	struct wanted *w = argument;

	while (w->looked < w->n && mp__future_is_finished(w->futures[w->looked])) {
		if (decides(w, w->futures[w->looked]))
			return true;
		w->looked++;
	}
	if (w->looked == w->n)
		return true;
	for (size_t i = w->looked + 1; i < w->n && w->wait_for != MP_WAIT_ALL; i++) {
		if (mp__future_is_finished(w->futures[i]) && decides(w, w->futures[i]))
			return true;
	}
	return false;
}

struct waker {
	struct mp__future_watch watch;
	const struct mp__gathering *gathering;
};

static void wake(struct mp__future_watch *watch, mp_future *future)
{
	(void)future;
	mp__gathering_wake(((struct waker *)watch)->gathering);
}

/* With several pools each end has to wake us, whoever collects it. */
static int wait_for_several(struct mp__gathering *g, struct wanted *w, mp__deadline deadline)
{
	MP__AUTO_FREE struct waker *wakers = calloc(w->n, sizeof(*wakers));
	int r = wakers ? 0 : mp_error_set(-ENOMEM, "no memory for waiting for %zu tasks", w->n);
	size_t n = 0;

	for (; n < w->n && r >= 0; n++) {
		wakers[n] = (struct waker){.watch.fire = wake, .gathering = g};
		pthread_mutex_lock(&w->futures[n]->pool->lock);
		r = mp__future_watch(w->futures[n], &wakers[n].watch);
		pthread_mutex_unlock(&w->futures[n]->pool->lock);
	}
	if (r >= 0)
		r = mp__gathering_wait(g, is_there, w, deadline);
	for (size_t i = 0; i < n; i++)
		mp__future_unwatch(w->futures[i], &wakers[i].watch);
	return r;
}

int mp_future_wait(mp_future *const *futures, size_t n, int wait_for, int timeout_ms)
{
	struct mp__gathering g;
	struct wanted w = {.futures = futures, .n = n, .wait_for = wait_for};
	mp__deadline deadline = mp__deadline_in(timeout_ms);
	int n_finished = 0;

	if (wait_for < MP_WAIT_ALL || wait_for > MP_WAIT_FIRST_ERROR)
		return mp_error_set(-EINVAL, "waiting for tasks: %d is no way to wait", wait_for);
	int r = mp__gather(futures, n, "waiting for tasks", &g);
	if (r < 0)
		return r;
	if (!is_there(&w))
		r = g.n_pools > 1 ? wait_for_several(&g, &w, deadline)
				  : mp__gathering_wait(&g, is_there, &w, deadline);
	mp__gathering_end(&g);
	for (size_t i = 0; i < n; i++)
		n_finished += mp__future_is_finished(futures[i]);
	if (r == -ETIMEDOUT)
		return mp_error_set(
			r, "%zu of %zu tasks have not finished in time", n - n_finished, n);
	return r < 0 ? r : n_finished;
}

/* --- mp_as_completed ---------------------------------------------------------------------------- */

struct expected {
	struct mp__future_watch watch;
	mp_future *future;
	struct expected *next; /* in the order of their ends */
	struct mp_as_completed *iterator;
};

struct mp_as_completed {
	struct mp__gathering gathering;
	struct expected *expected;
	size_t n;
	size_t n_given;
	pthread_mutex_t lock; /* inside those of the pools; for: */
	struct expected *first;
	struct expected **last;
};

static void append(struct expected *e)
{
	mp_as_completed *it = e->iterator;

	pthread_mutex_lock(&it->lock);
	e->next = NULL;
	*it->last = e;
	it->last = &e->next;
	pthread_mutex_unlock(&it->lock);
	mp__gathering_wake(&it->gathering);
}

static void has_ended(struct mp__future_watch *watch, mp_future *future)
{
	(void)future;
	append((struct expected *)watch);
}

static int by_address(const void *a, const void *b)
{
	const mp_future *const *x = a;
	const mp_future *const *y = b;

	return (*x > *y) - (*x < *y);
}

/* Each once; the first of equal ones stays where it is. */
static int keep_distinct(mp_as_completed *it, mp_future *const *futures, size_t n)
{
	MP__AUTO_FREE mp_future **sorted = calloc(n + 1, sizeof(mp_future *));
	MP__AUTO_FREE bool *seen = calloc(n + 1, sizeof(*seen));

	if (!sorted || !seen)
		return mp_error_set(-ENOMEM, "no memory for an iterator of %zu tasks", n);
	memcpy(sorted, futures, n * sizeof(mp_future *));
	qsort(sorted, n, sizeof(mp_future *), by_address);
	for (size_t i = 0; i < n; i++) {
		mp_future **at = bsearch(&futures[i], sorted, n, sizeof(mp_future *), by_address);
		while (at > sorted && at[-1] == at[0])
			at--;
		if (seen[at - sorted])
			continue;
		seen[at - sorted] = true;
		it->expected[it->n++] = (struct expected){
			.watch.fire = has_ended, .future = futures[i], .iterator = it};
	}
	return 0;
}

static int watch_all(mp_as_completed *it)
{
	int r = 0;

	for (size_t i = 0; i < it->n && r >= 0; i++) {
		mp_future *f = it->expected[i].future;
		pthread_mutex_lock(&f->pool->lock);
		r = mp__future_watch(f, &it->expected[i].watch);
		pthread_mutex_unlock(&f->pool->lock);
		if (r == 0)
			append(&it->expected[i]);
	}
	return r < 0 ? r : 0;
}

int mp_as_completed_new(mp_future *const *futures, size_t n, mp_as_completed **ret_iterator)
{
	struct mp__gathering g;

	if (!ret_iterator)
		return mp_error_set(-EINVAL, "as completed: nowhere to put the iterator");
	int r = mp__gather(futures, n, "as completed", &g);
	if (r < 0)
		return r;
	mp_as_completed *it = calloc(1, sizeof(*it));
	struct expected *expected = calloc(n + 1, sizeof(*expected));
	if (!it || !expected) {
		free(it);
		free(expected);
		mp__gathering_end(&g);
		return mp_error_set(-ENOMEM, "no memory for an iterator of %zu tasks", n);
	}
	it->gathering = g;
	it->expected = expected;
	it->last = &it->first;
	pthread_mutex_init(&it->lock, NULL);
	r = n > 0 ? keep_distinct(it, futures, n) : 0;
	if (r == 0)
		r = watch_all(it);
	if (r < 0)
		mp_as_completed_close(it);
	else
		*ret_iterator = it;
	return r;
}

static bool has_next(void *argument)
{
	mp_as_completed *it = argument;

	pthread_mutex_lock(&it->lock);
	bool has = it->first != NULL;
	pthread_mutex_unlock(&it->lock);
	return has;
}

int mp_as_completed_next(mp_as_completed *iterator, int timeout_ms, mp_future **ret_future)
{
	if (!iterator || !ret_future)
		return mp_error_set(-EINVAL, "as completed: no iterator, or nowhere to put it");
	for (size_t i = 0; i < iterator->gathering.n_pools; i++) {
		int r = mp__pool_check_origin(iterator->gathering.pools[i]->origin, "as completed");
		if (r < 0)
			return r;
	}
	if (iterator->n_given == iterator->n)
		return 0;
	if (!has_next(iterator)) {
		int r = mp__gathering_wait(
			&iterator->gathering, has_next, iterator, mp__deadline_in(timeout_ms));
		if (r == -ETIMEDOUT)
			return mp_error_set(r, "%zu (of %zu) tasks have not finished",
				iterator->n - iterator->n_given, iterator->n);
		if (r < 0)
			return r;
	}
	pthread_mutex_lock(&iterator->lock);
	struct expected *e = iterator->first;
	iterator->first = e->next;
	if (!iterator->first)
		iterator->last = &iterator->first;
	pthread_mutex_unlock(&iterator->lock);
	iterator->n_given++;
	*ret_future = e->future;
	return 1;
}

int mp_as_completed_close(mp_as_completed *iterator)
{
	if (!iterator)
		return 0;
	bool here = true;
	for (size_t i = 0; i < iterator->n && here; i++) {
		here = mp__origin_is_here(iterator->expected[i].future->pool->origin);
		if (here)
			mp__future_unwatch(
				iterator->expected[i].future, &iterator->expected[i].watch);
	}
	if (here)
		mp__gathering_end(&iterator->gathering);
	else
		free(iterator->gathering.pools);
	free(iterator->expected);
	free(iterator);
	return 0;
}
