/* SPDX-License-Identifier: MIT */
/* One waiter for many threads, and each a wait of its own, with things of every kind. */
#include <config.h>

#include "tests/stress_check.h"
#include "tests/stress_wait.h"

#include <mp.h>
#include <pthread.h>
#include <stdlib.h>

#define THREADS 4
#define ROUNDS 200

struct place {
	mp_waiter *waiter;
	mp_queue *queue;
	_Atomic long got;
};

static int echo(int argc, const mp_obj *argv, mp_obj *ret)
{
	(void)argc;
	*ret = argv[0];
	return 0;
}

/* Whatever the waiter tells of: take it, if nobody was quicker. */
static void take_what_is_ready(struct place *p, int timeout_ms)
{
	mp_ready ready[4];
	mp_obj value;

	int n = mp_waiter_wait(p->waiter, ready, 4, timeout_ms);
	CHECK(n >= 0);
	for (int i = 0; i < n; i++) {
		if (ready[i].data == p->queue && mp_queue_get(p->queue, MP_NOWAIT, &value) == 0)
			p->got++;
	}
}

static void *come_and_go(void *argument)
{
	struct place *p = argument;
	mp_connection *here, *there;
	mp_event *event;
	mp_obj value;

	CHECK(mp_event_new(NULL, &event) == 0);
	CHECK(mp_pipe(NULL, &here, &there) == 0);
	for (int i = 0; i < ROUNDS; i++) {
		mp_waitable items[] = {MP_WAIT(event), MP_WAIT(here), MP_WAIT_ROOM(p->queue)};
		CHECK(mp_waiter_add(p->waiter, MP_WAIT(event), event) == 0);
		CHECK(mp_waiter_add(p->waiter, MP_WAIT(here), here) == 0);
		CHECK(mp_queue_put(p->queue, mp_i64(i), 10000) == 0);
		CHECK(mp_event_set(event) == 0);
		CHECK(mp_connection_send(there, mp_i64(i), 10000) == 0);
		CHECK(mp_wait(items, 3, 10000) >= 2);
		take_what_is_ready(p, MP_NOWAIT);
		CHECK(mp_connection_recv(here, 10000, &value) == 0);
		CHECK(mp_event_clear(event) == 0);
		CHECK(mp_waiter_modify(p->waiter, MP_WAIT(here), there) == 0);
		CHECK(mp_waiter_remove(p->waiter, MP_WAIT(event)) == 0);
		CHECK(mp_waiter_remove(p->waiter, MP_WAIT(here)) == 0);
	}
	mp_event_close(event);
	mp_connection_close(here);
	mp_connection_close(there);
	return NULL;
}

static void *wait_for_tasks(void *pool)
{
	mp_future *futures[4];
	mp_waitable items[4];

	for (int i = 0; i < ROUNDS / 10; i++) {
		for (int k = 0; k < 4; k++) {
			CHECK(mp_pool_submit(pool, echo, MP_ARGS(mp_i64(k)), &futures[k]) == 0);
			items[k] = MP_WAIT(futures[k]);
		}
		while (mp_wait(items, 4, 10000) < 4)
			;
		for (int k = 0; k < 4; k++)
			CHECK(mp_future_close(futures[k]) == 0);
	}
	return NULL;
}

static void in_threads(void *(*body)(void *), void *argument)
{
	pthread_t threads[THREADS];

	for (int i = 0; i < THREADS; i++)
		CHECK(pthread_create(&threads[i], NULL, body, argument) == 0);
	for (int i = 0; i < THREADS; i++)
		CHECK(pthread_join(threads[i], NULL) == 0);
}

void stress_wait(void)
{
	struct place p = {.waiter = NULL};
	mp_pool *pool;

	CHECK(mp_waiter_new(&p.waiter) == 0);
	CHECK(mp_queue_new(NULL, &p.queue) == 0);
	CHECK(mp_waiter_add(p.waiter, MP_WAIT(p.queue), p.queue) == 0);
	in_threads(come_and_go, &p);
	while (!mp_queue_empty(p.queue))
		take_what_is_ready(&p, 10000);
	CHECK(p.got == (long)THREADS * ROUNDS);
	CHECK(mp_waiter_close(p.waiter) == 0);
	mp_queue_close(p.queue);

	CHECK(mp_pool_new(MP_POOL_OPTIONS(.workers = 2), &pool) == 0);
	in_threads(wait_for_tasks, pool);
	CHECK(mp_pool_join(pool, MP_FOREVER) == 0);
	CHECK(mp_pool_close(pool) == 0);
}
