/* SPDX-License-Identifier: MIT */
/* Served queues. Where CPython tests the same, the test has its name. */
#include <config.h>

#include "tests/support/daemon.h"

#include <mp.h>
#include <pthread.h>

T_SUITE(served_queue);

#define LONG_MS 60000

static mp_manager *m;
static mp_proxy *q;

static void open_queue(const mp_queue_options *options)
{
	m = t_manager();
	T_OK(mp_manager_queue(m, NULL, options, &q));
}

static void close_queue(void)
{
	mp_proxy_close(q);
	mp_manager_close(m);
}

static int64_t get(int timeout_ms)
{
	mp_obj value;

	T_OK(mp_served_queue_get(q, timeout_ms, &value));
	return mp_obj_i64(&value);
}

static void put(int64_t n)
{
	T_OK(mp_served_queue_put(q, mp_i64(n), MP_NOWAIT));
}

static void *put_late(void *argument)
{
	T_OK(mp_served_queue_put(q, mp_i64((intptr_t)argument), LONG_MS));
	return NULL;
}

/* --- CPython's ---------------------------------------------------------------------------------- */

Test(served_queue, test_put)
{
	mp_obj value = mp_i64(7);
	size_t size;

	open_queue(MP_QUEUE_OPTIONS(.maxsize = 6));
	T_RESULT(mp_served_queue_empty(q), 1);
	T_RESULT(mp_served_queue_full(q), 0);
	for (int64_t i = 1; i <= 6; i++)
		T_OK(mp_served_queue_put(q, mp_i64(i), i % 2 ? MP_NOWAIT : LONG_MS));
	T_RESULT(mp_served_queue_empty(q), 0);
	T_RESULT(mp_served_queue_full(q), 1);
	T_OK(mp_served_queue_size(q, &size));
	cr_assert_eq(size, 6);
	T_RESULT(mp_served_queue_put(q, value, MP_NOWAIT), -EAGAIN);
	T_RESULT(mp_served_queue_put(q, value, 1), -ETIMEDOUT);
	for (int64_t i = 1; i <= 6; i++)
		cr_assert_eq(get(MP_NOWAIT), i);
	T_RESULT(mp_served_queue_empty(q), 1);
	close_queue();
}

Test(served_queue, test_get)
{
	mp_obj value;

	open_queue(NULL);
	T_RESULT(mp_served_queue_get(q, MP_NOWAIT, &value), -EAGAIN);
	T_RESULT(mp_served_queue_get(q, 1, &value), -ETIMEDOUT);
	put(1);
	T_OK(mp_served_queue_put(q, MP_LIST(mp_str("two"), mp_nil()), MP_FOREVER));
	cr_assert_eq(get(MP_FOREVER), 1);
	T_OK(mp_served_queue_get(q, LONG_MS, &value));
	t_expect_value(&value, MP_LIST(mp_str("two"), mp_nil()));
	close_queue();
}

static int put_ten(void *argument)
{
	(void)argument;
	for (int64_t i = 10; i < 20; i++)
		T_CHECK(mp_served_queue_put(q, mp_i64(i), LONG_MS) == 0);
	return 0;
}

Test(served_queue, test_fork)
{
	open_queue(NULL);
	for (int64_t i = 0; i < 10; i++)
		put(i);
	struct t_child child = t_spawn(put_ten, NULL);
	for (int64_t i = 0; i < 20; i++)
		cr_assert_eq(get(LONG_MS), i);
	t_expect_exit(&child, 0);
	T_RESULT(mp_served_queue_empty(q), 1);
	close_queue();
}

static int work(void *argument)
{
	mp_obj value;

	(void)argument;
	while (mp_served_queue_get(q, LONG_MS, &value) == 0) {
		bool last = value.type == MP_TYPE_NIL;
		T_CHECK(mp_served_queue_task_done(q) == 0);
		if (last)
			return 0;
	}
	return 1;
}

Test(served_queue, test_task_done)
{
	struct t_child workers[4];

	open_queue(MP_QUEUE_OPTIONS(.joinable = true));
	T_RESULT(mp_served_queue_task_done(q), -ERANGE);
	T_OK(mp_served_queue_join(q, MP_NOWAIT));
	for (int i = 0; i < 4; i++)
		workers[i] = t_spawn(work, NULL);
	for (int64_t i = 0; i < 10; i++)
		put(i);
	T_OK(mp_served_queue_join(q, LONG_MS));
	for (int i = 0; i < 4; i++)
		T_OK(mp_served_queue_put(q, mp_nil(), MP_NOWAIT));
	for (int i = 0; i < 4; i++)
		t_expect_exit(&workers[i], 0);
	T_OK(mp_served_queue_join(q, MP_NOWAIT));
	put(1);
	T_RESULT(mp_served_queue_join(q, MP_NOWAIT), -EAGAIN);
	T_RESULT(mp_served_queue_task_done(q), -ERANGE); /* it was put, but not got */
	cr_assert_eq(get(MP_NOWAIT), 1);
	T_RESULT(mp_served_queue_join(q, 1), -ETIMEDOUT);
	T_OK(mp_served_queue_task_done(q));
	T_OK(mp_served_queue_join(q, MP_NOWAIT));
	close_queue();
}

Test(served_queue, putters_that_wait_get_their_turn)
{
	pthread_t putters[8];

	open_queue(MP_QUEUE_OPTIONS(.maxsize = 1));
	put(0);
	for (intptr_t i = 0; i < 8; i++)
		pthread_create(&putters[i], NULL, put_late, (void *)(i + 1));
	int64_t sum = 0;
	for (int i = 0; i < 9; i++)
		sum += get(LONG_MS);
	cr_assert_eq(sum, 36);
	for (int i = 0; i < 8; i++)
		pthread_join(putters[i], NULL);
	close_queue();
}

static void *put_again(void *argument)
{
	T_OK(mp_served_queue_put(q, mp_handle((mp_proxy *)argument), LONG_MS));
	return NULL;
}

/* Also one that waits to be put, and one that is handed to who waits. */
Test(served_queue, objects_go_through)
{
	pthread_t putter;
	mp_proxy *counter;
	mp_obj value;

	open_queue(MP_QUEUE_OPTIONS(.maxsize = 1));
	T_OK(mp_manager_counter(m, NULL, 0, &counter));
	T_OK(mp_served_queue_put(q, mp_handle(counter), MP_NOWAIT));
	pthread_create(&putter, NULL, put_again, counter);
	for (int i = 0; i < 2; i++) {
		T_OK(mp_served_queue_get(q, LONG_MS, &value));
		T_RESULT(mp_proxy_equal(mp_obj_proxy(&value), counter), 1);
		T_OK(mp_counter_add(mp_obj_proxy(&value), 1, NULL));
		mp_obj_free(&value);
	}
	pthread_join(putter, NULL);
	pthread_create(&putter, NULL, put_again, counter);
	T_OK(mp_served_queue_get(q, LONG_MS, &value));
	pthread_join(putter, NULL);
	T_OK(mp_proxy_close(counter));
	T_OK(mp_counter_add(mp_obj_proxy(&value), 1, NULL));
	mp_obj_free(&value);
	close_queue();
}

/* --- orders ------------------------------------------------------------------------------------- */

Test(served_queue, last_in_first_out)
{
	open_queue(MP_QUEUE_OPTIONS(.order = MP_QUEUE_LIFO));
	put(1);
	put(2);
	cr_assert_eq(get(MP_NOWAIT), 2);
	put(3);
	put(4);
	cr_assert_eq(get(MP_NOWAIT), 4);
	cr_assert_eq(get(MP_NOWAIT), 3);
	cr_assert_eq(get(MP_NOWAIT), 1);
	T_RESULT(mp_served_queue_put_priority(q, mp_nil(), 1, MP_NOWAIT), -EINVAL);
	close_queue();
}

Test(served_queue, by_priority_and_the_oldest_of_equal_ones)
{
	enum { N = 500 };
	int64_t last = INT64_MIN;
	uint32_t random = 7;

	open_queue(MP_QUEUE_OPTIONS(.order = MP_QUEUE_PRIORITY));
	for (int64_t i = 0; i < N; i++) {
		random = random * 1664525u + 1013904223u;
		int64_t priority = (int64_t)(random >> 24) - 128;
		T_OK(mp_served_queue_put_priority(
			q, mp_i64(priority * N + i), priority, MP_NOWAIT));
	}
	for (int64_t i = 0; i < N; i++) {
		int64_t next = get(MP_NOWAIT);
		cr_assert_gt(next, last);
		last = next;
	}
	T_OK(mp_served_queue_put_priority(q, mp_i64(2), INT64_MAX, MP_NOWAIT));
	put(1);
	T_OK(mp_served_queue_put_priority(q, mp_i64(0), INT64_MIN, MP_NOWAIT));
	for (int64_t i = 0; i < 3; i++)
		cr_assert_eq(get(MP_NOWAIT), i);
	close_queue();
}

/* --- the end ------------------------------------------------------------------------------------ */

static int get_closed(void *argument)
{
	mp_obj value;

	(void)argument;
	t_ready();
	T_CHECK(mp_served_queue_get(q, MP_FOREVER, &value) == -EPIPE);
	return 0;
}

Test(served_queue, shutdown_ends_waits_and_lets_drain)
{
	mp_obj value;

	open_queue(NULL);
	struct t_child child = t_spawn(get_closed, NULL);
	t_wait_ready(&child);
	T_RESULT(mp_served_queue_is_shutdown(q), 0);
	T_OK(mp_served_queue_shutdown(q, MP_QUEUE_DRAIN));
	t_expect_exit(&child, 0);
	T_RESULT(mp_served_queue_put(q, mp_nil(), MP_FOREVER), -EPIPE);
	T_RESULT(mp_served_queue_is_shutdown(q), 1);
	T_RESULT(mp_served_queue_get(q, MP_FOREVER, &value), -EPIPE);
	close_queue();

	open_queue(MP_QUEUE_OPTIONS(.joinable = true));
	put(1);
	put(2);
	put(3);
	T_OK(mp_served_queue_shutdown(q, MP_QUEUE_DRAIN));
	cr_assert_eq(get(MP_NOWAIT), 1);
	T_OK(mp_served_queue_shutdown(q, MP_QUEUE_IMMEDIATE));
	T_RESULT(mp_served_queue_get(q, MP_NOWAIT, &value), -EPIPE);
	T_RESULT(mp_served_queue_join(q, MP_NOWAIT), -EAGAIN); /* one is out */
	T_OK(mp_served_queue_task_done(q));
	T_OK(mp_served_queue_join(q, MP_NOWAIT));
	close_queue();
}

Test(served_queue, clear_makes_room)
{
	pthread_t putter;

	open_queue(MP_QUEUE_OPTIONS(.maxsize = 1));
	put(1);
	pthread_create(&putter, NULL, put_late, (void *)(intptr_t)2);
	T_OK(mp_served_queue_clear(q));
	cr_assert_eq(get(LONG_MS), 2);
	pthread_join(putter, NULL);
	close_queue();
}

/* --- death -------------------------------------------------------------------------------------- */

static int get_two_and_hang(void *argument)
{
	mp_obj value;

	(void)argument;
	for (int i = 0; i < 2; i++)
		T_CHECK(mp_served_queue_get(q, LONG_MS, &value) == 0);
	t_ready();
	t_hang();
}

Test(served_queue, what_a_dead_client_had_got_counts_as_done)
{
	open_queue(MP_QUEUE_OPTIONS(.joinable = true));
	put(1);
	put(2);
	struct t_child child = t_spawn(get_two_and_hang, NULL);
	t_wait_ready(&child);
	T_RESULT(mp_served_queue_join(q, MP_NOWAIT), -EAGAIN);
	t_kill(&child, SIGKILL);
	T_OK(mp_served_queue_join(q, LONG_MS));
	T_RESULT(mp_served_queue_task_done(q), -ERANGE);
	close_queue();
}

static int get_one(void *argument)
{
	mp_obj value;

	(void)argument;
	t_ready();
	T_CHECK(mp_served_queue_get(q, MP_FOREVER, &value) == 0);
	return 0;
}

/* A getter that was killed while it waited gets nothing that others could have had. */
Test(served_queue, a_dead_getter_takes_nothing)
{
	mp_obj value;

	open_queue(MP_QUEUE_OPTIONS(.joinable = true));
	struct t_child child = t_spawn(get_one, NULL);
	t_wait_ready(&child);
	t_kill(&child, SIGKILL);
	put(1);
	/* It may have got its answer in the last moment of its life; then it is done, too. */
	int r = mp_served_queue_get(q, MP_NOWAIT, &value);
	if (r == 0)
		T_OK(mp_served_queue_task_done(q));
	else
		T_RESULT(r, -EAGAIN);
	T_OK(mp_served_queue_join(q, LONG_MS));
	close_queue();
}

/* --- wrong use ---------------------------------------------------------------------------------- */

Test(served_queue, wrong_arguments_are_errors)
{
	mp_proxy *other;
	mp_obj value;
	size_t size;

	open_queue(NULL);
	T_RESULT(mp_manager_queue(NULL, NULL, NULL, &other), -EINVAL);
	T_RESULT(mp_manager_queue(m, NULL, NULL, NULL), -EINVAL);
	T_RESULT(mp_manager_queue(m, NULL, MP_QUEUE_OPTIONS(.order = 3), &other), -EINVAL);
	T_RESULT(mp_manager_queue(m, NULL, MP_QUEUE_OPTIONS(.max_bytes = 1), &other), -EINVAL);
	T_RESULT(mp_manager_open(m, "queue", NULL, MP_LIST(mp_str("random")), &other), -EINVAL);
	T_RESULT(mp_served_queue_put(NULL, mp_nil(), MP_NOWAIT), -EINVAL);
	T_RESULT(mp_served_queue_put(q, mp_nil(), -2), -EINVAL);
	T_RESULT(mp_served_queue_get(q, MP_NOWAIT, NULL), -EINVAL);
	T_RESULT(mp_served_queue_size(q, NULL), -EINVAL);
	T_RESULT(mp_served_queue_shutdown(q, 0), -EINVAL);
	T_RESULT(mp_served_queue_task_done(q), -EINVAL);
	T_RESULT(mp_served_queue_join(q, MP_NOWAIT), -EINVAL);
	T_RESULT(mp_served_queue_put(q, mp_fd(0), MP_NOWAIT), -ENOTSUP);
	T_OK(mp_manager_lock(m, "door", &other));
	mp_proxy *door;
	T_RESULT(mp_manager_queue(m, "door", NULL, &door), -EEXIST);
	T_RESULT(mp_manager_queue(m, "\xff", NULL, &door), -EILSEQ);
	T_RESULT(mp_served_queue_size(other, &size), -EINVAL);
	T_RESULT(mp_served_queue_get(other, MP_NOWAIT, &value), -EINVAL);
	mp_proxy_close(other);
	close_queue();
}
