/* SPDX-License-Identifier: MIT */
/* Ordered and leased queues that threads of one process use in every way at once. */
#include <config.h>

#include "tests/stress_check.h"
#include "tests/stress_queue.h"

#include <errno.h>
#include <mp.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define SIDE 2 /* threads that put, and as many that get */
#define MESSAGES 2000
#define WAIT_MS 60000

struct place {
	mp_queue *queue;
	int order;
	_Atomic int next_producer;
	_Atomic unsigned char seen[SIDE * MESSAGES];
};

static void *put(void *argument)
{
	struct place *p = argument;
	int first = p->next_producer++ * MESSAGES;

	for (int i = first; i < first + MESSAGES; i++) {
		mp_obj values[2] = {mp_i64(i), mp_i64(i + 1)};
		if (p->order == MP_QUEUE_PRIORITY && i % 3)
			CHECK(mp_queue_put_priority(p->queue, mp_i64(i), i % 7, WAIT_MS) == 0);
		else if (i % 5 == 0 && i + 1 < first + MESSAGES)
			i += mp_queue_put_many(p->queue, values, 2, WAIT_MS) - 1;
		else
			CHECK(mp_queue_put(p->queue, mp_i64(i), WAIT_MS) == 0);
	}
	return NULL;
}

static void note(struct place *p, mp_obj *value)
{
	int64_t n = mp_obj_i64(value);

	CHECK(n >= 0 && n < SIDE * MESSAGES && p->seen[n]++ == 0);
	mp_obj_free(value);
}

static int get_leased(struct place *p, int turn)
{
	mp_lease lease;
	mp_obj value;
	int r = mp_queue_lease(p->queue, WAIT_MS, &value, &lease);

	if (r < 0)
		return r;
	CHECK(lease.redelivered == (lease.deliveries > 1));
	if (turn % 3 == 0 && !lease.redelivered) {
		CHECK(mp_queue_nack(p->queue, lease) == 0);
		mp_obj_free(&value);
		return 0;
	}
	CHECK(mp_queue_ack(p->queue, lease) == 0 && mp_queue_ack(p->queue, lease) == -ESTALE);
	note(p, &value);
	return 0;
}

static void *get(void *argument)
{
	struct place *p = argument;
	mp_obj values[3];

	for (int turn = 0;; turn++) {
		int r = turn % 4 == 0   ? mp_queue_get_many(p->queue, WAIT_MS, values, 3)
			: turn % 4 == 1 ? mp_queue_get(p->queue, WAIT_MS, values)
					: get_leased(p, turn);
		if (r == -EPIPE)
			return NULL;
		CHECK(r >= 0);
		for (int i = 0; turn % 4 < 2 && i < (turn % 4 == 0 ? r : 1); i++)
			note(p, &values[i]);
		CHECK(mp_queue_leased(p->queue) <= SIDE);
		(void)mp_queue_size(p->queue);
		(void)mp_queue_bytes(p->queue);
		(void)mp_queue_full(p->queue);
	}
}

static void all_ways_at_once(int order)
{
	struct place *p = calloc(1, sizeof(*p));
	pthread_t threads[2 * SIDE];

	CHECK(p != NULL);
	p->order = order;
	CHECK(mp_queue_new(MP_QUEUE_OPTIONS(.order = order, .leases = true, .maxsize = 100),
		      &p->queue) == 0);
	for (int i = 0; i < 2 * SIDE; i++)
		CHECK(pthread_create(&threads[i], NULL, i < SIDE ? put : get, p) == 0);
	for (int i = 0; i < SIDE; i++)
		CHECK(pthread_join(threads[i], NULL) == 0);
	CHECK(mp_queue_shutdown(p->queue, MP_QUEUE_DRAIN) == 0);
	for (int i = SIDE; i < 2 * SIDE; i++)
		CHECK(pthread_join(threads[i], NULL) == 0);
	/* A thread of this process may have given something back after the others were told the end. */
	while (mp_queue_size(p->queue) > 0)
		(void)get(p);
	for (int i = 0; i < SIDE * MESSAGES; i++)
		CHECK(p->seen[i] == 1);
	CHECK(mp_queue_bytes(p->queue) == 0);
	mp_queue_close(p->queue);
	free(p);
}

/* --- the end, in the middle of everything ----------------------------------------------------------- */

static void *put_until_the_end(void *queue)
{
	int r;

	do
		r = mp_queue_put(queue, mp_i64(1), MP_FOREVER);
	while (r == 0);
	CHECK(r == -EPIPE);
	return NULL;
}

static void *lease_until_the_end(void *queue)
{
	mp_lease lease;
	mp_obj value;
	int r;

	while ((r = mp_queue_lease(queue, MP_FOREVER, &value, &lease)) == 0)
		CHECK((lease.id % 2 ? mp_queue_ack(queue, lease) : mp_queue_nack(queue, lease)) ==
			0);
	CHECK(r == -EPIPE);
	return NULL;
}

static void shut_down_under_load(int how)
{
	pthread_t threads[2 * SIDE];
	mp_obj value;
	mp_queue *q;

	CHECK(mp_queue_new(MP_QUEUE_OPTIONS(.maxsize = 8, .order = MP_QUEUE_LIFO, .leases = true,
				   .max_deliveries = 2, .joinable = true),
		      &q) == 0);
	for (int i = 0; i < 2 * SIDE; i++)
		CHECK(pthread_create(&threads[i], NULL,
			      i % 2 ? put_until_the_end : lease_until_the_end, q) == 0);
	usleep(2000);
	CHECK(mp_queue_shutdown(q, how) == 0);
	for (int i = 0; i < 2 * SIDE; i++)
		CHECK(pthread_join(threads[i], NULL) == 0);
	while (mp_queue_poison_get(q, &value) == 0)
		;
	while (mp_queue_get(q, MP_NOWAIT, &value) == 0)
		CHECK(mp_queue_task_done(q) == 0);
	CHECK(mp_queue_join(q, WAIT_MS) == 0);
	CHECK(mp_queue_bytes(q) == 0);
	mp_queue_close(q);
}

void stress_store(void)
{
	for (int order = MP_QUEUE_FIFO; order <= MP_QUEUE_PRIORITY; order++)
		all_ways_at_once(order);
	for (int i = 0; i < 20; i++)
		shut_down_under_load(i % 2 ? MP_QUEUE_DRAIN : MP_QUEUE_IMMEDIATE);
}
