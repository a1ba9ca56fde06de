/* SPDX-License-Identifier: MIT */
/* The end of queues: CPython's tests of queue.shutdown(), by their names, between processes too. */
#include <config.h>

#include "tests/support/queues.h"

T_SUITE(queue_shutdown);

static const int both[] = {MP_QUEUE_DRAIN, MP_QUEUE_IMMEDIATE};

/* Nothing can be put in any way. */
static void expect_no_puts(mp_queue *q)
{
	struct iovec one = {(char *)"x", 1};
	mp_obj value = mp_i64(1);
	const int timeouts[] = {MP_NOWAIT, 20, MP_FOREVER};
	void *room;

	for (int i = 0; i < 3; i++) {
		T_RESULT(mp_queue_put(q, value, timeouts[i]), -EPIPE);
		T_RESULT(mp_queue_put_bytes(q, "x", 1, timeouts[i]), -EPIPE);
		T_RESULT(mp_queue_put_many(q, &value, 1, timeouts[i]), -EPIPE);
		T_RESULT(mp_queue_put_many_bytes(q, &one, 1, timeouts[i]), -EPIPE);
		T_RESULT(mp_queue_reserve(q, 1, timeouts[i], &room), -EPIPE);
	}
}

static void expect_no_gets(mp_queue *q)
{
	struct iovec one;
	mp_obj value;
	char buffer[8];
	const int timeouts[] = {MP_NOWAIT, 20, MP_FOREVER};
	const void *data;
	void *copy;
	size_t size;

	for (int i = 0; i < 3; i++) {
		T_RESULT(mp_queue_get(q, timeouts[i], &value), -EPIPE);
		T_RESULT(mp_queue_get_bytes(q, timeouts[i], &copy, &size), -EPIPE);
		T_RESULT(mp_queue_get_bytes_into(q, buffer, 8, timeouts[i], &size), -EPIPE);
		T_RESULT(mp_queue_get_many(q, timeouts[i], &value, 1), -EPIPE);
		T_RESULT(mp_queue_get_many_bytes(q, timeouts[i], buffer, 8, &one, 1), -EPIPE);
		T_RESULT(mp_queue_peek(q, timeouts[i], &data, &size), -EPIPE);
	}
}

Test(queue_shutdown, test_shutdown_empty)
{
	for (int i = 0; i < 2; i++) {
		mp_queue *q = make(NULL);
		T_OK(mp_queue_shutdown(q, both[i]));
		cr_assert_eq(mp_queue_is_shutdown(q), both[i]);
		expect_no_puts(q);
		expect_no_gets(q);
		mp_queue_close(q);
	}
}

Test(queue_shutdown, test_shutdown_nonempty)
{
	mp_queue *q = make(NULL);

	T_OK(mp_queue_put(q, mp_i64(1), 0));
	T_OK(mp_queue_put(q, mp_i64(2), 0));
	T_OK(mp_queue_shutdown(q, MP_QUEUE_DRAIN));
	expect_no_puts(q);
	cr_assert_eq(mp_queue_size(q), 2);
	cr_assert_eq(get_i64(q), 1);
	cr_assert_eq(get_i64(q), 2);
	expect_no_gets(q);
	mp_queue_close(q);
}

Test(queue_shutdown, test_shutdown_immediate)
{
	mp_queue *q = make(MP_QUEUE_OPTIONS(.joinable = true));

	T_OK(mp_queue_put(q, mp_i64(1), 0));
	T_OK(mp_queue_put(q, mp_i64(2), 0));
	cr_assert_eq(get_i64(q), 1);
	T_OK(mp_queue_shutdown(q, MP_QUEUE_IMMEDIATE));
	expect_no_puts(q);
	expect_no_gets(q);
	cr_assert_eq(mp_queue_size(q), 0);
	T_RESULT(mp_queue_join(q, MP_NOWAIT), -EAGAIN);
	T_OK(mp_queue_task_done(q));
	T_OK(mp_queue_join(q, MP_NOWAIT));
	T_RESULT(mp_queue_task_done(q), -ERANGE);
	mp_queue_close(q);
}

Test(queue_shutdown, test_shutdown_allowed_transitions)
{
	mp_queue *q = make(NULL);

	T_OK(mp_queue_put(q, mp_i64(1), 0));
	cr_assert_eq(mp_queue_is_shutdown(q), 0);
	T_OK(mp_queue_shutdown(q, MP_QUEUE_DRAIN));
	T_OK(mp_queue_shutdown(q, MP_QUEUE_DRAIN));
	cr_assert_eq(mp_queue_is_shutdown(q), MP_QUEUE_DRAIN);
	T_OK(mp_queue_shutdown(q, MP_QUEUE_IMMEDIATE));
	cr_assert(mp_queue_empty(q));
	T_OK(mp_queue_shutdown(q, MP_QUEUE_DRAIN));
	cr_assert_eq(mp_queue_is_shutdown(q), MP_QUEUE_IMMEDIATE, "there is no way back");
	mp_queue_close(q);
}

/* --- who waits meanwhile --------------------------------------------------------------------------- */

/* Each ends with 0 if the call of its name is told -EPIPE. */

static int wait_to_get(void *queue)
{
	mp_obj value;

	return mp_queue_get(queue, MP_FOREVER, &value) == -EPIPE ? 0 : 1;
}

static int wait_to_put(void *queue)
{
	return mp_queue_put(queue, mp_i64(9), MP_FOREVER) == -EPIPE ? 0 : 1;
}

static int wait_to_reserve(void *queue)
{
	void *room;

	return mp_queue_reserve(queue, 10, MP_FOREVER, &room) == -EPIPE ? 0 : 1;
}

static int wait_to_peek(void *queue)
{
	const void *data;
	size_t size;

	return mp_queue_peek(queue, MP_FOREVER, &data, &size) == -EPIPE ? 0 : 1;
}

static int wait_to_join(void *queue)
{
	return mp_queue_join(queue, MP_FOREVER) == 0 ? 0 : 1;
}

Test(queue_shutdown, test_shutdown_get)
{
	for (int i = 0; i < 2; i++) {
		mp_queue *q = make(NULL);
		struct t_child getter = t_spawn(wait_to_get, q);
		struct t_child reader = t_spawn(wait_to_peek, q);
		wait_for_sleeper(&q->control->items_bell);
		T_OK(mp_queue_shutdown(q, both[i]));
		t_expect_exit(&getter, 0);
		t_expect_exit(&reader, 0);
		mp_queue_close(q);
	}
}

Test(queue_shutdown, test_shutdown_put)
{
	for (int i = 0; i < 2; i++) {
		mp_queue *q = make(MP_QUEUE_OPTIONS(.maxsize = 1));
		T_OK(mp_queue_put(q, mp_i64(1), 0));
		struct t_child putter = t_spawn(wait_to_put, q);
		struct t_child writer = t_spawn(wait_to_reserve, q);
		wait_for_sleeper(&q->control->room_bell);
		T_OK(mp_queue_shutdown(q, both[i]));
		t_expect_exit(&putter, 0);
		t_expect_exit(&writer, 0);
		cr_assert_eq(mp_queue_size(q), both[i] == MP_QUEUE_DRAIN);
		mp_queue_close(q);
	}
}

Test(queue_shutdown, test_shutdown_join)
{
	for (int i = 0; i < 2; i++) {
		mp_queue *q = make(MP_QUEUE_OPTIONS(.joinable = true));
		T_OK(mp_queue_put(q, mp_i64(1), 0));
		struct t_child joiner = t_spawn(wait_to_join, q);
		wait_for_sleeper(&q->control->done_bell);
		T_OK(mp_queue_shutdown(q, both[i]));
		/* At once: nothing is left to be done. Else it is waited for as before. */
		if (both[i] == MP_QUEUE_DRAIN) {
			T_RESULT(mp_queue_join(q, MP_NOWAIT), -EAGAIN);
			cr_assert_eq(get_i64(q), 1);
			T_RESULT(mp_queue_join(q, MP_NOWAIT), -EAGAIN);
			T_OK(mp_queue_task_done(q));
		}
		t_expect_exit(&joiner, 0);
		mp_queue_close(q);
	}
}

static int get_three_and_finish(void *queue)
{
	mp_obj value;

	t_ready();
	for (int i = 0; i < 3; i++) {
		T_CHECK(mp_queue_get(queue, T_TIMEOUT_MS, &value) == 0);
		T_CHECK(mp_queue_task_done(queue) == 0);
	}
	T_CHECK(mp_queue_get(queue, T_TIMEOUT_MS, &value) == -EPIPE);
	return 0;
}

Test(queue_shutdown, test_shutdown_get_task_done_join)
{
	mp_queue *q = make(MP_QUEUE_OPTIONS(.joinable = true));
	struct t_child worker = t_spawn(get_three_and_finish, q);

	t_wait_ready(&worker);
	for (int i = 0; i < 3; i++)
		T_OK(mp_queue_put(q, mp_i64(i), T_TIMEOUT_MS));
	T_OK(mp_queue_shutdown(q, MP_QUEUE_DRAIN));
	T_OK(mp_queue_join(q, T_TIMEOUT_MS));
	t_expect_exit(&worker, 0);
	mp_queue_close(q);
}

static int shut_down(void *queue)
{
	return mp_queue_shutdown(queue, MP_QUEUE_IMMEDIATE) == 0 ? 0 : 1;
}

/* A get that has begun, in place, is not finished by the end; who begins later is told. */
Test(queue_shutdown, test_shutdown_pending_get)
{
	mp_queue *q = make(NULL);
	const void *data;
	size_t size;

	T_OK(mp_queue_put_bytes(q, "one", 3, 0));
	T_OK(mp_queue_put_bytes(q, "two", 3, 0));
	T_OK(mp_queue_peek(q, 0, &data, &size));
	struct t_child waiter = t_spawn(wait_to_get, q);
	wait_for_sleeper(&q->control->items_bell);
	struct t_child other = t_spawn(shut_down, q);
	t_expect_exit(&other, 0);
	t_expect_exit(&waiter, 0);
	cr_assert_eq(memcmp(data, "one", 3), 0, "the memory is still there");
	T_RESULT(mp_queue_consume(q), -EPIPE);
	mp_queue_close(q);
}

/* What another one reads in place is no reason to be busy, or to be told too early. */
Test(queue_shutdown, a_reader_in_place_finishes_after_a_drain)
{
	mp_queue *q = make(NULL);
	const void *data;
	size_t size;

	T_OK(mp_queue_put_bytes(q, "one", 3, 0));
	T_OK(mp_queue_peek(q, 0, &data, &size));
	T_OK(mp_queue_shutdown(q, MP_QUEUE_DRAIN));
	struct t_child waiter = t_spawn(wait_to_get, q);
	wait_for_sleeper(&q->control->items_bell);
	T_OK(mp_queue_consume(q));
	t_expect_exit(&waiter, 0);
	mp_queue_close(q);
}
