/* SPDX-License-Identifier: MIT */
/*
 * Queues that are last in, first out, or in order of priority. The tests that Python has for both its
 * LifoQueue and its PriorityQueue have its names; each is run with both orders.
 */
#include <config.h>

#include "tests/support/orders.h"

#define SUITE queue_order
T_SUITE(queue_order);

/* --- Python's tests ------------------------------------------------------------------------------- */

BOTH(basic)
{
	static const int64_t expected[][3] = {
		[MP_QUEUE_LIFO] = {222, 333, 111}, [MP_QUEUE_PRIORITY] = {111, 222, 333}};
	mp_queue *q = make(MP_QUEUE_OPTIONS(.order = order, .maxsize = 3));
	mp_obj value;

	cr_assert(mp_queue_empty(q));
	T_OK(put(q, 111, MP_FOREVER));
	T_OK(put(q, 333, MP_FOREVER));
	cr_assert_not(mp_queue_full(q));
	T_OK(put(q, 222, MP_FOREVER));
	cr_assert(mp_queue_full(q));
	cr_assert_eq(mp_queue_size(q), 3);
	T_RESULT(put(q, 444, MP_NOWAIT), -EAGAIN);
	T_RESULT(put(q, 444, 20), -ETIMEDOUT);
	for (int i = 0; i < 3; i++)
		cr_assert_eq(get_i64(q), expected[order][i]);
	cr_assert(mp_queue_empty(q));
	T_RESULT(mp_queue_get(q, MP_NOWAIT, &value), -EAGAIN);
	T_RESULT(mp_queue_get(q, 20, &value), -ETIMEDOUT);
	/* A get that waits for a put, and a put that waits for a get. */
	struct t_child c = t_spawn(get_one, q);
	t_wait_ready(&c);
	T_OK(put(q, 1, MP_FOREVER));
	t_expect_exit(&c, 0);
	for (int i = 0; i < 3; i++)
		T_OK(put(q, i, MP_NOWAIT));
	c = t_spawn(put_one, q);
	t_wait_ready(&c);
	get_i64(q);
	t_expect_exit(&c, 0);
	cr_assert(mp_queue_full(q));
	mp_queue_close(q);
}

static int work(void *queue)
{
	for (;;) {
		int r;
		int64_t n = get(queue, T_TIMEOUT_MS, &r);
		T_CHECK(r == 0);
		T_CHECK(mp_queue_task_done(queue) == 0);
		if (n < 0)
			return 0;
	}
}

BOTH(queue_join)
{
	mp_queue *q = make(MP_QUEUE_OPTIONS(.order = order, .joinable = true));
	struct t_child c[2];

	for (int i = 0; i < 2; i++)
		c[i] = t_spawn(work, q);
	for (int twice = 0; twice < 2; twice++) {
		for (int i = 0; i < 100; i++)
			T_OK(put(q, i, MP_FOREVER));
		T_OK(mp_queue_join(q, T_TIMEOUT_MS));
		cr_assert(mp_queue_empty(q));
	}
	for (int i = 0; i < 2; i++)
		T_OK(put(q, -1, MP_FOREVER));
	for (int i = 0; i < 2; i++)
		t_expect_exit(&c[i], 0);
	T_OK(mp_queue_join(q, MP_NOWAIT));
	mp_queue_close(q);
}

BOTH(queue_task_done)
{
	mp_queue *q = make(MP_QUEUE_OPTIONS(.order = order, .joinable = true));

	T_RESULT(mp_queue_task_done(q), -ERANGE);
	T_OK(put(q, 1, MP_NOWAIT));
	T_RESULT(mp_queue_task_done(q), -ERANGE);
	T_RESULT(mp_queue_join(q, MP_NOWAIT), -EAGAIN);
	get_i64(q);
	T_RESULT(mp_queue_join(q, 20), -ETIMEDOUT);
	T_OK(mp_queue_task_done(q));
	T_OK(mp_queue_join(q, MP_NOWAIT));
	mp_queue_close(q);
}

BOTH(shutdown_empty)
{
	mp_queue *q = make(MP_QUEUE_OPTIONS(.order = order));
	mp_obj value;

	T_OK(mp_queue_shutdown(q, MP_QUEUE_DRAIN));
	T_RESULT(put(q, 1, MP_FOREVER), -EPIPE);
	T_RESULT(mp_queue_get(q, MP_FOREVER, &value), -EPIPE);
	mp_queue_close(q);
}

BOTH(shutdown_nonempty)
{
	mp_queue *q = make(MP_QUEUE_OPTIONS(.order = order));
	mp_obj value;

	T_OK(put(q, 7, MP_NOWAIT));
	T_OK(mp_queue_shutdown(q, MP_QUEUE_DRAIN));
	cr_assert_eq(get_i64(q), 7);
	T_RESULT(mp_queue_get(q, MP_FOREVER, &value), -EPIPE);
	mp_queue_close(q);
}

BOTH(shutdown_immediate)
{
	mp_queue *q = make(MP_QUEUE_OPTIONS(.order = order, .joinable = true));
	mp_obj value;

	for (int i = 0; i < 100; i++)
		T_OK(put(q, i, MP_NOWAIT));
	T_OK(mp_queue_shutdown(q, MP_QUEUE_IMMEDIATE));
	cr_assert(mp_queue_empty(q));
	cr_assert_eq(mp_queue_bytes(q), 0);
	T_RESULT(put(q, 1, MP_FOREVER), -EPIPE);
	T_RESULT(mp_queue_get(q, MP_FOREVER, &value), -EPIPE);
	T_OK(mp_queue_join(q, MP_NOWAIT));
	mp_queue_close(q);
}

BOTH(shutdown_allowed_transitions)
{
	mp_queue *q = make(MP_QUEUE_OPTIONS(.order = order));

	cr_assert_eq(mp_queue_is_shutdown(q), 0);
	T_OK(mp_queue_shutdown(q, MP_QUEUE_DRAIN));
	cr_assert_eq(mp_queue_is_shutdown(q), MP_QUEUE_DRAIN);
	T_OK(mp_queue_shutdown(q, MP_QUEUE_IMMEDIATE));
	T_OK(mp_queue_shutdown(q, MP_QUEUE_DRAIN));
	cr_assert_eq(mp_queue_is_shutdown(q), MP_QUEUE_IMMEDIATE);
	mp_queue_close(q);
}

static int is_released(void *queue)
{
	int r;

	t_ready();
	(void)get(queue, MP_FOREVER, &r);
	return r == -EPIPE ? 0 : 1;
}

BOTH(shutdown_get)
{
	mp_queue *q = make(MP_QUEUE_OPTIONS(.order = order));
	struct t_child c[2];

	for (int i = 0; i < 2; i++) {
		c[i] = t_spawn(is_released, q);
		t_wait_ready(&c[i]);
	}
	T_OK(mp_queue_shutdown(q, MP_QUEUE_DRAIN));
	for (int i = 0; i < 2; i++)
		t_expect_exit(&c[i], 0);
	mp_queue_close(q);
}

static int putter_is_released(void *queue)
{
	t_ready();
	return put(queue, 1, MP_FOREVER) == -EPIPE ? 0 : 1;
}

BOTH(shutdown_put)
{
	mp_queue *q = make(MP_QUEUE_OPTIONS(.order = order, .maxsize = 1));

	T_OK(put(q, 1, MP_NOWAIT));
	struct t_child c = t_spawn(putter_is_released, q);
	t_wait_ready(&c);
	T_OK(mp_queue_shutdown(q, MP_QUEUE_DRAIN));
	t_expect_exit(&c, 0);
	mp_queue_close(q);
}

static int joins(void *queue)
{
	t_ready();
	return mp_queue_join(queue, MP_FOREVER) == 0 ? 0 : 1;
}

BOTH(shutdown_immediate_join)
{
	mp_queue *q = make(MP_QUEUE_OPTIONS(.order = order, .joinable = true));

	T_OK(put(q, 1, MP_NOWAIT));
	T_OK(put(q, 2, MP_NOWAIT));
	get_i64(q);
	struct t_child c = t_spawn(joins, q);
	t_wait_ready(&c);
	T_OK(mp_queue_shutdown(q, MP_QUEUE_IMMEDIATE));
	T_OK(mp_queue_task_done(q));
	t_expect_exit(&c, 0);
	mp_queue_close(q);
}

/* --- order ---------------------------------------------------------------------------------------- */

Test(queue_order, equal_priorities_keep_the_order_of_put)
{
	mp_queue *q = make(MP_QUEUE_OPTIONS(.order = MP_QUEUE_PRIORITY));
	const int64_t priorities[] = {INT64_MAX, 0, -1, INT64_MIN, 7};
	mp_obj value;

	for (int i = 0; i < 500; i++)
		T_OK(mp_queue_put_priority(q, mp_i64(i), priorities[i % 5], MP_NOWAIT));
	T_OK(mp_queue_put(q, mp_i64(1000), MP_NOWAIT));
	const int first[] = {3, 2, 1, 4, 0};
	for (int p = 0; p < 5; p++) {
		for (int i = 0; i < 100; i++)
			cr_assert_eq(get_i64(q), first[p] + 5 * i);
		/* What is put without a priority has 0. */
		if (p == 2)
			cr_assert_eq(get_i64(q), 1000);
	}
	T_RESULT(mp_queue_get(q, MP_NOWAIT, &value), -EAGAIN);
	mp_queue_close(q);
}

static int compare(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a;
	int64_t y = *(const int64_t *)b;

	return (x > y) - (x < y);
}

Test(queue_order, thousands_come_in_order)
{
	enum { N = 20000 };
	mp_queue *q = make(MP_QUEUE_OPTIONS(.order = MP_QUEUE_PRIORITY));
	int64_t *all = malloc(N * sizeof(*all));
	unsigned random = 1;

	for (int i = 0; i < N; i++) {
		random = random * 1103515245 + 12345;
		all[i] = (int64_t)(random >> 8) - 5000000;
		T_OK(put(q, all[i], MP_NOWAIT));
	}
	qsort(all, N, sizeof(*all), compare);
	cr_assert_eq(mp_queue_size(q), N);
	for (int i = 0; i < N; i++)
		cr_assert_eq(get_i64(q), all[i]);
	cr_assert_eq(mp_queue_bytes(q), 0);
	T_OK(mp_heap_check(q->store->heap));
	free(all);
	mp_queue_close(q);
}

Test(queue_order, a_stack_under_change)
{
	mp_queue *q = make(MP_QUEUE_OPTIONS(.order = MP_QUEUE_LIFO));
	int64_t stack[2000];
	unsigned random = 5;
	int n = 0;

	for (int i = 0; i < 50000; i++) {
		random = random * 1103515245 + 12345;
		if (n < 2000 && (n == 0 || random & 1 << 16)) {
			stack[n++] = i;
			T_OK(put(q, i, MP_NOWAIT));
		} else {
			cr_assert_eq(get_i64(q), stack[--n]);
		}
		cr_assert_eq(mp_queue_size(q), (size_t)n);
	}
	mp_queue_close(q);
}
