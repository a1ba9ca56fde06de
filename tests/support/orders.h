/* SPDX-License-Identifier: MIT */
/* tests/support/orders.h - for tests of queues that are last in, first out, or in order of priority. */
#ifndef TESTS_ORDERS_H
#define TESTS_ORDERS_H

#include "tests/support/queues.h"

#include "queue/store.h"

/* Two tests of one body, of the suite SUITE: for each of the two orders. */
#define BOTH(name)                        \
	static void name(int order);      \
	Test(SUITE, test_lifo_##name)     \
	{                                 \
		name(MP_QUEUE_LIFO);      \
	}                                 \
	Test(SUITE, test_priority_##name) \
	{                                 \
		name(MP_QUEUE_PRIORITY);  \
	}                                 \
	static void name(int order)

/* As Python's PriorityQueue, in which a number is its own priority. */
static inline int put(mp_queue *q, int64_t n, int timeout_ms)
{
	if (q->store->order == MP_QUEUE_PRIORITY)
		return mp_queue_put_priority(q, mp_i64(n), n, timeout_ms);
	return mp_queue_put(q, mp_i64(n), timeout_ms);
}

/* -1: an error, which is in *ret_error. */
static inline int64_t get(mp_queue *q, int timeout_ms, int *ret_error)
{
	mp_obj value;
	int r = mp_queue_get(q, timeout_ms, &value);

	*ret_error = r;
	if (r < 0)
		return -1;
	int64_t n = mp_obj_i64(&value);
	mp_obj_free(&value);
	return n;
}

/* Children that get or put one, when they have said so. */
static inline int get_one(void *queue)
{
	int r;

	t_ready();
	(void)get(queue, T_TIMEOUT_MS, &r);
	return r == 0 ? 0 : 1;
}

static inline int put_one(void *queue)
{
	t_ready();
	return put(queue, 9, T_TIMEOUT_MS) == 0 ? 0 : 1;
}

#endif
