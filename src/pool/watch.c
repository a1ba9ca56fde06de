/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "pool/watch.h"

#include "base/cleanup.h"
#include "base/error.h"
#include "base/fds.h"
#include "pool/callback.h"
#include "pool/collect.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>

/* --- one pool ----------------------------------------------------------------------------------- */

void mp__pool_watch_begin(mp_pool *pool)
{
	pthread_mutex_lock(&pool->lock);
	pool->watchers++;
	if (pool->leading_bulk || pool->napping)
		mp__pool_nudge(pool);
	pthread_mutex_unlock(&pool->lock);
}

void mp__pool_watch_end(mp_pool *pool)
{
	pthread_mutex_lock(&pool->lock);
	pool->watchers--;
	pthread_mutex_unlock(&pool->lock);
}

int mp__pool_watch_turn(mp_pool *pool)
{
	pthread_mutex_lock(&pool->lock);
	if (!pool->closed && !pool->closing && !pool->leading)
		mp__pool_turn(pool);
	int r = pool->closed ? -EPIPE : 0;
	bool due = mp__callback_wanted(pool);
	pthread_mutex_unlock(&pool->lock);
	if (due)
		mp__callback_run(pool);
	return r;
}

int mp__pool_watch_fd(mp_pool *pool)
{
	pthread_mutex_lock(&pool->lock);
	int fd = pool->closed ? -1 : pool->epoll;
	pthread_mutex_unlock(&pool->lock);
	return fd;
}

/* --- several ------------------------------------------------------------------------------------ */

static int add_pool(struct mp__gathering *g, mp_pool *pool, size_t *room)
{
	for (size_t i = g->n_pools; i-- > 0;) {
		if (g->pools[i] == pool)
			return 0;
	}
	if (g->n_pools == *room) {
		size_t more = *room ? *room * 2 : 1;
		mp_pool **pools = realloc(g->pools, more * sizeof(mp_pool *));
		if (!pools)
			return mp_error_set(-ENOMEM, "no memory for %zu pools", more);
		g->pools = pools;
		*room = more;
	}
	mp__pool_ref(pool);
	g->pools[g->n_pools++] = pool;
	return 0;
}

int mp__gather(
	mp_future *const *futures, size_t n, const char *what, struct mp__gathering *ret_gathering)
{
	struct mp__gathering g = {.wake = -1};
	size_t room = 0;
	int r = n > 0 && !futures ? mp_error_set(-EINVAL, "%s: the array of futures is NULL", what)
				  : 0;

	for (size_t i = 0; i < n && r == 0; i++) {
		r = mp__future_check(futures[i], what);
		if (r == 0 && !mp__future_is_finished(futures[i]))
			r = add_pool(&g, futures[i]->pool, &room);
	}
	if (r == 0 && g.n_pools > 1) {
		g.wake = mp__fd_above_std(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
		if (g.wake < 0)
			r = mp__error_errno("waiting for several pools: eventfd");
	}
	if (r < 0) {
		while (g.n_pools > 0)
			mp__pool_unref(g.pools[--g.n_pools]);
		free(g.pools);
		return r;
	}
	for (size_t i = 0; i < g.n_pools && g.n_pools > 1; i++)
		mp__pool_watch_begin(g.pools[i]);
	*ret_gathering = g;
	return 0;
}

void mp__gathering_end(struct mp__gathering *gathering)
{
	for (size_t i = 0; i < gathering->n_pools; i++) {
		if (gathering->n_pools > 1)
			mp__pool_watch_end(gathering->pools[i]);
		mp__pool_unref(gathering->pools[i]);
	}
	free(gathering->pools);
	if (gathering->wake >= 0)
		close(gathering->wake);
}

void mp__gathering_wake(const struct mp__gathering *gathering)
{
	if (gathering->wake >= 0)
		eventfd_write(gathering->wake, 1);
}

struct one_pool {
	mp__gathering_condition *condition;
	void *argument;
};

static bool holds(mp_pool *pool, void *argument)
{
	const struct one_pool *one = argument;

	(void)pool;
	return one->condition(one->argument);
}

static int wait_for_one(
	mp_pool *pool, mp__gathering_condition *condition, void *argument, mp__deadline deadline)
{
	struct one_pool one = {.condition = condition, .argument = argument};

	pthread_mutex_lock(&pool->lock);
	int r = mp__pool_wait(pool, holds, &one, deadline);
	pthread_mutex_unlock(&pool->lock);
	return r == -EPIPE && condition(argument) ? 0 : r;
}

static int sleep_on_all(struct mp__gathering *g, struct pollfd *fds, mp__deadline deadline)
{
	eventfd_t count;

	for (size_t i = 0; i < g->n_pools; i++)
		fds[i] = (struct pollfd){.fd = mp__pool_watch_fd(g->pools[i]), .events = POLLIN};
	fds[g->n_pools] = (struct pollfd){.fd = g->wake, .events = POLLIN};
	if (poll(fds, g->n_pools + 1, mp__deadline_poll_ms(deadline)) < 0 && errno != EINTR)
		return mp__error_errno("waiting for several pools");
	eventfd_read(g->wake, &count);
	return 0;
}

int mp__gathering_wait(struct mp__gathering *gathering, mp__gathering_condition *condition,
	void *argument, mp__deadline deadline)
{
	if (gathering->n_pools == 1)
		return wait_for_one(gathering->pools[0], condition, argument, deadline);
	MP__AUTO_FREE struct pollfd *fds = calloc(gathering->n_pools + 1, sizeof(*fds));
	if (!fds)
		return mp_error_set(-ENOMEM, "no memory for waiting for several pools");
	for (;;) {
		bool late = mp__deadline_passed(deadline);
		for (size_t i = 0; i < gathering->n_pools; i++)
			mp__pool_watch_turn(gathering->pools[i]);
		if (condition(argument))
			return 0;
		if (late || gathering->n_pools == 0)
			return -ETIMEDOUT;
		int r = sleep_on_all(gathering, fds, deadline);
		if (r < 0)
			return r;
	}
}
