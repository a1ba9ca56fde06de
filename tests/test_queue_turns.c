/* SPDX-License-Identifier: MIT */
/* Queues: who waits for whom, batches, and messages that are written and read in place. */
#include <config.h>

#include "tests/support/queues.h"

T_SUITE(queue_turns);

/* --- blocking ------------------------------------------------------------------------------------- */

static void *put_in_thread(void *argument)
{
	return (void *)(intptr_t)mp_queue_put(argument, mp_i64(2), T_TIMEOUT_MS);
}

static void *join_in_thread(void *argument)
{
	return (void *)(intptr_t)mp_queue_join(argument, T_TIMEOUT_MS);
}

Test(queue_turns, a_put_wakes_a_getter_and_a_get_a_putter)
{
	mp_queue *q = make(MP_QUEUE_OPTIONS(.maxsize = 1));
	pthread_t thread;

	cr_assert_eq(pthread_create(&thread, NULL, get_in_thread, q), 0);
	wait_for_sleeper(&q->control->items_bell);
	T_OK(mp_queue_put(q, mp_i64(5), 0));
	cr_assert_eq(joined(thread), 5);
	T_OK(mp_queue_put(q, mp_i64(1), 0));
	cr_assert_eq(pthread_create(&thread, NULL, put_in_thread, q), 0);
	wait_for_sleeper(&q->control->room_bell);
	cr_assert_eq(get_i64(q), 1);
	cr_assert_eq(joined(thread), 0);
	cr_assert_eq(get_i64(q), 2);
	mp_queue_close(q);
}

Test(queue_turns, test_shutdown_immediate_all_methods_in_many_threads)
{
	mp_queue *q = make(MP_QUEUE_OPTIONS(.maxsize = 1, .joinable = true));
	mp_queue *empty = make(NULL);
	pthread_t getters[3];
	pthread_t putters[3];
	pthread_t joiner;

	T_OK(mp_queue_put(q, mp_i64(1), 0));
	for (int i = 0; i < 3; i++) {
		cr_assert_eq(pthread_create(&putters[i], NULL, put_in_thread, q), 0);
		cr_assert_eq(pthread_create(&getters[i], NULL, get_in_thread, empty), 0);
	}
	cr_assert_eq(pthread_create(&joiner, NULL, join_in_thread, q), 0);
	wait_for_sleeper(&q->control->room_bell);
	wait_for_sleeper(&q->control->done_bell);
	wait_for_sleeper(&empty->control->items_bell);
	T_OK(mp_queue_shutdown(q, MP_QUEUE_IMMEDIATE));
	T_OK(mp_queue_shutdown(empty, MP_QUEUE_DRAIN));
	for (int i = 0; i < 3; i++) {
		cr_assert_eq(joined(putters[i]), -EPIPE);
		cr_assert_eq(joined(getters[i]), -EPIPE);
	}
	cr_assert_eq(joined(joiner), 0);
	mp_queue_close(q);
	mp_queue_close(empty);
}

/* --- batches -------------------------------------------------------------------------------------- */

Test(queue_turns, many_at_once)
{
	mp_queue *q = make(MP_QUEUE_OPTIONS(.maxsize = 5));
	struct iovec in[7];
	struct iovec out[7];
	char buffer[64];

	for (int i = 0; i < 7; i++)
		in[i] = (struct iovec){(char *)"abcdefg" + i, (size_t)(7 - i)};
	T_RESULT(mp_queue_put_many_bytes(q, in, 7, MP_NOWAIT), 5);
	T_RESULT(mp_queue_put_many_bytes(q, in, 7, MP_NOWAIT), -EAGAIN);
	T_RESULT(mp_queue_put_many_bytes(q, in, 0, MP_NOWAIT), 0);
	T_RESULT(mp_queue_get_many_bytes(q, 0, buffer, 6, out, 7), -EMSGSIZE);
	T_RESULT(mp_queue_get_many_bytes(q, 0, buffer, 14, out, 7), 2);
	cr_assert_eq(out[1].iov_len, 6);
	cr_assert_eq(memcmp(out[1].iov_base, "bcdefg", 6), 0);
	T_RESULT(mp_queue_get_many_bytes(q, 0, buffer, 64, out, 7), 3);
	cr_assert_eq(memcmp(buffer, "cdefgdefgefg", 12), 0);
	T_RESULT(mp_queue_get_many_bytes(q, 0, buffer, 64, out, 7), -EAGAIN);
	in[3].iov_base = NULL;
	T_RESULT(mp_queue_put_many_bytes(q, in, 7, MP_NOWAIT), -EINVAL);
	T_RESULT(mp_queue_get_many_bytes(q, 0, buffer, 64, out, 0), -EINVAL);
	mp_queue_close(q);
	q = make(MP_QUEUE_OPTIONS(.max_bytes = 64));
	in[0] = (struct iovec){buffer, 60};
	T_RESULT(mp_queue_put_many_bytes(q, in, 1, 0), -EMSGSIZE);
	mp_queue_close(q);
}

/* --- in place ------------------------------------------------------------------------------------- */

Test(queue_turns, reserve_commit_and_abandon)
{
	mp_queue *q = make(NULL);
	void *data;
	char buffer[32];
	size_t size;

	T_OK(mp_queue_reserve(q, 20, 0, &data));
	cr_assert_eq((uintptr_t)data % 8, 0);
	memcpy(data, "hello", 5);
	cr_assert(mp_queue_empty(q));
	T_RESULT(mp_queue_put(q, mp_i64(1), 0), -EDEADLK);
	T_RESULT(mp_queue_commit(q, 21), -EMSGSIZE);
	T_OK(mp_queue_commit(q, 5));
	T_RESULT(mp_queue_commit(q, 5), -EPERM);
	T_OK(mp_queue_get_bytes_into(q, buffer, 32, 0, &size));
	cr_assert(size == 5 && memcmp(buffer, "hello", 5) == 0);
	T_OK(mp_queue_reserve(q, 20, 0, &data));
	T_OK(mp_queue_abandon(q));
	T_RESULT(mp_queue_abandon(q), -EPERM);
	cr_assert(mp_queue_empty(q));
	T_OK(mp_queue_reserve(q, 20, 0, &data));
	T_OK(mp_queue_shutdown(q, MP_QUEUE_DRAIN));
	T_RESULT(mp_queue_commit(q, 20), -EPIPE);
	T_RESULT(mp_queue_reserve(q, 20, 0, &data), -EPIPE);
	mp_queue_close(q);
}

Test(queue_turns, peek_consume_and_unpeek)
{
	mp_queue *q = make(NULL);
	const void *data;
	char buffer[32];
	size_t size;

	T_RESULT(mp_queue_peek(q, 0, &data, &size), -EAGAIN);
	T_OK(mp_queue_put_bytes(q, "one", 3, 0));
	T_OK(mp_queue_put_bytes(q, "two", 3, 0));
	T_OK(mp_queue_peek(q, 0, &data, &size));
	cr_assert(size == 3 && memcmp(data, "one", 3) == 0);
	T_RESULT(mp_queue_get_bytes_into(q, buffer, 32, 0, &size), -EDEADLK);
	T_OK(mp_queue_unpeek(q));
	cr_assert_eq(mp_queue_size(q), 2);
	T_OK(mp_queue_peek(q, 0, &data, &size));
	T_OK(mp_queue_consume(q));
	T_RESULT(mp_queue_consume(q), -EPERM);
	T_RESULT(mp_queue_unpeek(q), -EPERM);
	T_OK(mp_queue_peek(q, 0, &data, &size));
	cr_assert(size == 3 && memcmp(data, "two", 3) == 0);
	T_OK(mp_queue_shutdown(q, MP_QUEUE_IMMEDIATE));
	T_RESULT(mp_queue_consume(q), -EPIPE);
	mp_queue_close(q);
}

Test(queue_turns, others_wait_for_who_reads_in_place)
{
	mp_queue *q = make(NULL);
	pthread_t thread;
	const void *data;
	size_t size;

	T_OK(mp_queue_put(q, mp_i64(1), 0));
	T_OK(mp_queue_put(q, mp_i64(2), 0));
	T_OK(mp_queue_peek(q, 0, &data, &size));
	cr_assert_eq(pthread_create(&thread, NULL, get_in_thread, q), 0);
	wait_for_sleeper(&q->control->items_bell);
	T_OK(mp_queue_consume(q));
	cr_assert_eq(joined(thread), 2);
	mp_queue_close(q);
}

/* --- who cannot be judged ------------------------------------------------------------------------- */

static int remarks;

static void note(int level, const char *component, const char *message, void *data)
{
	(void)data;
	if (level == MP_LOG_WARNING && strcmp(component, "queue") == 0 &&
		strstr(message, "another PID namespace"))
		remarks++;
}

static int use_beside_a_stranger(void *argument)
{
	const uint64_t stranger = mp__stamp_self() ^ UINT64_C(1) << 22;
	mp_queue *q = argument;
	mp_obj value;

	T_CHECK(mp_log_set_handler(MP_LOG_WARNING, note, NULL) == 0);
	q->control->lent = stranger;
	T_CHECK(mp_queue_get(q, 300, &value) == -ETIMEDOUT && remarks == 1);
	T_CHECK(mp_queue_get(q, MP_NOWAIT, &value) == -EAGAIN);
	q->control->reserved = stranger;
	T_CHECK(mp_queue_put(q, mp_i64(1), 300) == -ETIMEDOUT && remarks == 2);
	T_CHECK(mp_queue_shutdown(q, MP_QUEUE_IMMEDIATE) == 0);
	T_CHECK(mp_queue_get(q, MP_FOREVER, &value) == -EPIPE);
	T_CHECK(mp_queue_put(q, mp_i64(1), MP_FOREVER) == -EPIPE);
	return 0;
}

static int use_behind_a_stranger(void *argument)
{
	const uint64_t stranger = mp__stamp_self() ^ UINT64_C(1) << 22;
	mp_queue *q = argument;
	mp_obj value;

	mp__guard_patience_ns = 500000000;
	q->control->get_guard = q->control->put_guard = stranger;
	T_CHECK(mp_queue_get(q, MP_FOREVER, &value) == -ETIMEDOUT);
	T_CHECK(mp_queue_put(q, mp_i64(1), MP_FOREVER) == -ETIMEDOUT);
	T_CHECK(mp_queue_shutdown(q, MP_QUEUE_DRAIN) == -ETIMEDOUT);
	return 0;
}

/* Of another PID namespace, or what a hostile process has written. */
Test(queue_turns, a_stranger_blocks_nobody_without_a_sign)
{
	mp_queue *q = make(NULL);
	struct t_child child;

	T_OK(mp_queue_put(q, mp_i64(1), 0));
	child = t_spawn(use_beside_a_stranger, q);
	t_expect_exit(&child, 0);
	child = t_spawn(use_behind_a_stranger, q);
	t_expect_exit(&child, 0);
	mp_queue_close(q);
}
