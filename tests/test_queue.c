/* SPDX-License-Identifier: MIT */
/* Queues: order, limits, ends, and every error. Names of Python's tests where they have one. */
#include <config.h>

#include "tests/support/support.h"

#include <fcntl.h>
#include <limits.h>
#include <mp.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "queue/queue.h"

T_SUITE(queue);

static mp_queue *make(const mp_queue_options *options)
{
	mp_queue *q = NULL;

	T_OK(mp_queue_new(options, &q));
	return q;
}

static int64_t get_i64(mp_queue *q)
{
	mp_obj value;

	T_OK(mp_queue_get(q, T_TIMEOUT_MS, &value));
	int64_t n = mp_obj_i64(&value);
	mp_obj_free(&value);
	return n;
}

/* Memory that the queue has, in bytes. */
static uint64_t memory(mp_queue *q)
{
	struct stat st;

	cr_assert_eq(fstat(q->segment.fd, &st), 0);
	return (uint64_t)st.st_blocks * 512;
}

static int drain_six(void *argument)
{
	mp_queue *q = argument;
	mp_obj value;

	for (int i = 1; i <= 6; i++) {
		T_CHECK(mp_queue_get(q, T_TIMEOUT_MS, &value) == 0);
		T_CHECK(mp_obj_i64(&value) == i);
	}
	return 0;
}

Test(queue, test_put)
{
	mp_queue *q = make(MP_QUEUE_OPTIONS(.maxsize = 6));

	cr_assert(mp_queue_empty(q));
	cr_assert_not(mp_queue_full(q));
	for (int i = 1; i <= 6; i++)
		T_OK(mp_queue_put(q, mp_i64(i), i % 2 ? MP_NOWAIT : MP_FOREVER));
	cr_assert(mp_queue_full(q));
	T_RESULT(mp_queue_put(q, mp_i64(7), MP_NOWAIT), -EAGAIN);
	T_RESULT(mp_queue_put(q, mp_i64(7), 20), -ETIMEDOUT);
	struct t_child c = t_spawn(drain_six, q);
	t_expect_exit(&c, 0);
	cr_assert(mp_queue_empty(q));
	mp_queue_close(q);
}

Test(queue, test_get)
{
	mp_queue *q = make(NULL);
	mp_obj value = mp_i64(77);

	for (int i = 0; i < 5; i++)
		T_OK(mp_queue_put(q, mp_i64(i), MP_FOREVER));
	for (int i = 0; i < 5; i++)
		cr_assert_eq(get_i64(q), i);
	T_RESULT(mp_queue_get(q, MP_NOWAIT, &value), -EAGAIN);
	T_RESULT(mp_queue_get(q, 20, &value), -ETIMEDOUT);
	cr_assert_eq(mp_obj_i64(&value), 77, "outputs are written on success only");
	mp_queue_close(q);
}

static int put_ten_more(void *argument)
{
	for (int i = 10; i < 20; i++)
		T_CHECK(mp_queue_put(argument, mp_i64(i), MP_FOREVER) == 0);
	return 0;
}

Test(queue, test_fork)
{
	mp_queue *q = make(NULL);

	for (int i = 0; i < 10; i++)
		T_OK(mp_queue_put(q, mp_i64(i), MP_FOREVER));
	struct t_child c = t_spawn(put_ten_more, q);
	for (int i = 0; i < 20; i++)
		cr_assert_eq(get_i64(q), i);
	t_expect_exit(&c, 0);
	mp_queue_close(q);
}

Test(queue, test_qsize)
{
	mp_queue *q = make(NULL);

	cr_assert_eq(mp_queue_size(q), 0);
	T_OK(mp_queue_put_bytes(q, "a", 1, 0));
	cr_assert_eq(mp_queue_size(q), 1);
	cr_assert_eq(mp_queue_bytes(q), 16);
	T_OK(mp_queue_put(q, mp_i64(5), 0));
	cr_assert_eq(mp_queue_size(q), 2);
	get_i64(q);
	cr_assert_eq(mp_queue_size(q), 1);
	get_i64(q);
	cr_assert_eq(mp_queue_size(q), 0);
	cr_assert_eq(mp_queue_bytes(q), 0);
	mp_queue_close(q);
}

Test(queue, test_timeout)
{
	mp_queue *q = make(NULL);
	mp_obj value;
	int64_t before = mp__now_ns();

	T_RESULT(mp_queue_get(q, 200, &value), -ETIMEDOUT);
	cr_assert_geq(mp__now_ns() - before, 200000000);
	mp_queue_close(q);
}

/* What Python's feeder thread finds out too late is the error of the put here. */
Test(queue, test_queue_feeder_donot_stop_onexc)
{
	mp_queue *q = make(MP_QUEUE_OPTIONS(.maxsize = 1));

	T_RESULT(mp_queue_put(q, mp_fd(0), MP_NOWAIT), -ENOTSUP);
	T_RESULT(mp_queue_put(q, mp_handle(q), MP_NOWAIT), -ENOTSUP);
	T_RESULT(mp_queue_put(q, mp_str("\xff"), MP_NOWAIT), -EILSEQ);
	cr_assert_eq(mp_queue_size(q), 0);
	T_OK(mp_queue_put(q, mp_bool(true), MP_NOWAIT));
	mp_queue_close(q);
}

Test(queue, test_closed_queue_put_get_exceptions)
{
	mp_queue *q = make(NULL);
	mp_obj value;
	char buffer[8];
	size_t size;

	T_OK(mp_queue_put(q, mp_i64(1), 0));
	cr_assert_eq(mp_queue_is_shutdown(q), 0);
	T_OK(mp_queue_shutdown(q, MP_QUEUE_DRAIN));
	cr_assert_eq(mp_queue_is_shutdown(q), MP_QUEUE_DRAIN);
	T_RESULT(mp_queue_put(q, mp_i64(2), MP_FOREVER), -EPIPE);
	cr_assert_eq(get_i64(q), 1);
	T_RESULT(mp_queue_get(q, MP_FOREVER, &value), -EPIPE);
	T_RESULT(mp_queue_get_bytes_into(q, buffer, 8, MP_FOREVER, &size), -EPIPE);
	mp_queue_close(q);
}

Test(queue, test_closed_queue_empty_exceptions)
{
	mp_queue *q = make(NULL);

	T_OK(mp_queue_put(q, mp_i64(1), 0));
	T_OK(mp_queue_shutdown(q, MP_QUEUE_IMMEDIATE));
	cr_assert_eq(mp_queue_is_shutdown(q), MP_QUEUE_IMMEDIATE);
	cr_assert(mp_queue_empty(q), "what was in it is dropped");
	T_OK(mp_queue_shutdown(q, MP_QUEUE_DRAIN));
	cr_assert_eq(mp_queue_is_shutdown(q), MP_QUEUE_IMMEDIATE, "there is no way back");
	T_RESULT(mp_queue_shutdown(q, 3), -EINVAL);
	mp_queue_close(q);
}

/* --- joinable ------------------------------------------------------------------------------------- */

static int work(void *argument)
{
	mp_obj value;

	for (;;) {
		T_CHECK(mp_queue_get(argument, T_TIMEOUT_MS, &value) == 0);
		bool end = value.type == MP_TYPE_NIL;
		T_CHECK(mp_queue_task_done(argument) == 0);
		if (end)
			return 0;
	}
}

Test(queue, test_task_done)
{
	mp_queue *q = make(MP_QUEUE_OPTIONS(.joinable = true));
	struct t_child c[4];

	for (int i = 0; i < 4; i++)
		c[i] = t_spawn(work, q);
	for (int i = 0; i < 10; i++)
		T_OK(mp_queue_put(q, mp_i64(i), MP_FOREVER));
	T_OK(mp_queue_join(q, T_TIMEOUT_MS));
	T_OK(mp_queue_join(q, MP_NOWAIT));
	for (int i = 0; i < 4; i++)
		T_OK(mp_queue_put(q, mp_nil(), MP_FOREVER));
	for (int i = 0; i < 4; i++)
		t_expect_exit(&c[i], 0);
	T_OK(mp_queue_join(q, MP_NOWAIT));
	T_RESULT(mp_queue_task_done(q), -ERANGE);
	mp_queue_close(q);
}

Test(queue, a_message_that_is_out_keeps_join_waiting)
{
	mp_queue *q = make(MP_QUEUE_OPTIONS(.joinable = true));

	T_OK(mp_queue_put(q, mp_i64(1), 0));
	T_RESULT(mp_queue_join(q, MP_NOWAIT), -EAGAIN);
	get_i64(q);
	T_RESULT(mp_queue_join(q, 20), -ETIMEDOUT);
	T_OK(mp_queue_task_done(q));
	T_OK(mp_queue_join(q, MP_NOWAIT));
	mp_queue_close(q);
	q = make(NULL);
	T_RESULT(mp_queue_join(q, 0), -EINVAL);
	T_RESULT(mp_queue_task_done(q), -EINVAL);
	mp_queue_close(q);
}

static int get_and_hang(void *argument)
{
	mp_obj value;

	T_CHECK(mp_queue_get(argument, T_TIMEOUT_MS, &value) == 0);
	t_ready();
	t_hang();
}

Test(queue, join_does_not_wait_for_the_dead)
{
	mp_queue *q = make(MP_QUEUE_OPTIONS(.joinable = true));

	T_OK(mp_queue_put(q, mp_i64(1), 0));
	struct t_child c = t_spawn(get_and_hang, q);
	t_wait_ready(&c);
	T_RESULT(mp_queue_join(q, MP_NOWAIT), -EAGAIN);
	t_kill(&c, SIGKILL);
	T_OK(mp_queue_join(q, T_TIMEOUT_MS));
	mp_queue_close(q);
}

static int task_done_of_another(void *argument)
{
	return mp_queue_task_done(argument) == 0 ? 0 : 1;
}

Test(queue, another_process_may_call_a_message_done)
{
	mp_queue *q = make(MP_QUEUE_OPTIONS(.joinable = true));

	T_OK(mp_queue_put(q, mp_i64(1), 0));
	get_i64(q);
	struct t_child c = t_spawn(task_done_of_another, q);
	t_expect_exit(&c, 0);
	T_OK(mp_queue_join(q, MP_NOWAIT));
	mp_queue_close(q);
}

Test(queue, more_processes_than_a_joinable_queue_has_cells)
{
	mp_queue *q = make(MP_QUEUE_OPTIONS(.joinable = true));
	mp_obj value;

	for (unsigned i = 0; i < MP__QUEUE_CELLS; i++)
		q->cells[i].process = mp__stamp_process() ^ MP__STAMP_MARK0;
	T_OK(mp_queue_put(q, mp_i64(1), 0));
	T_RESULT(mp_queue_get(q, 0, &value), -EUSERS);
	cr_assert_eq(mp_queue_size(q), 1);
	/* One of them has died: the number is that of nobody. */
	q->cells[5].process = mp__stamp_process() ^ UINT64_C(1) << 40;
	q->cells[5].taken = 9;
	cr_assert_eq(get_i64(q), 1);
	cr_assert_eq(q->cells[5].taken, 1);
	mp_queue_close(q);
}

/* --- sizes ---------------------------------------------------------------------------------------- */

static void fill(char *data, size_t size, size_t seed)
{
	for (size_t i = 0; i < size; i++)
		data[i] = (char)(i * 31 + seed);
}

Test(queue, messages_of_every_size_come_back)
{
	mp_queue *q = make(NULL);
	const size_t sizes[] = {0, 1, 7, 8, 9, 63, 64, 65, 1000, 32759, 32760, 32768, 65536, 100000,
		1 << 20, (5 << 20) + 3, 0, 5};

	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		char *data = malloc(sizes[i] + 1);
		fill(data, sizes[i], i);
		T_OK(mp_queue_put_bytes(q, data, sizes[i], 0));
		free(data);
	}
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		char *want = malloc(sizes[i] + 1);
		void *data;
		size_t size;
		fill(want, sizes[i], i);
		T_OK(mp_queue_get_bytes(q, 0, &data, &size));
		cr_assert_eq(size, sizes[i]);
		cr_assert_eq(memcmp(data, want, size), 0);
		cr_assert_eq(((char *)data)[size], '\0');
		free(data);
		free(want);
	}
	cr_assert(mp_queue_empty(q));
	mp_queue_close(q);
}

Test(queue, values_and_bytes_mix)
{
	mp_queue *q = make(NULL);
	mp_obj value;
	void *data;
	size_t size;
	char text[64];
	char *large = calloc(1, 5000);

	T_OK(mp_queue_put_bytes(q, "raw", 3, 0));
	T_OK(mp_queue_put(q, MP_LIST(mp_str("a"), MP_DICT(mp_i64(1), mp_f64(2.5))), 0));
	T_OK(mp_queue_put(q, mp_i64(-4), 0));
	T_OK(mp_queue_put(q, mp_bytes(large, 5000), 0));
	T_OK(mp_queue_get(q, 0, &value));
	mp_obj_format(&value, text, sizeof(text));
	cr_assert_str_eq(text, "b\"raw\"");
	mp_obj_free(&value);
	T_OK(mp_queue_get(q, 0, &value));
	mp_obj_format(&value, text, sizeof(text));
	cr_assert_str_eq(text, "[\"a\", {1: 2.5}]");
	mp_obj_free(&value);
	T_OK(mp_queue_get_bytes(q, 0, &data, &size));
	T_OK(mp_obj_decode(data, size, &value));
	cr_assert_eq(mp_obj_i64(&value), -4);
	free(data);
	T_OK(mp_queue_get(q, 0, &value));
	cr_assert_eq(mp_obj_len(&value), 5000);
	mp_obj_free(&value);
	free(large);
	mp_queue_close(q);
}

Test(queue, limits_in_bytes_are_exact)
{
	mp_queue *q = make(MP_QUEUE_OPTIONS(.max_bytes = 100));
	char data[200] = "";
	size_t size = 77;

	T_RESULT(mp_queue_put_bytes(q, data, 93, MP_FOREVER), -EMSGSIZE);
	T_RESULT(mp_queue_put(q, mp_bytes(data, 93), MP_FOREVER), -EMSGSIZE);
	T_OK(mp_queue_put_bytes(q, data, 40, 0));
	T_OK(mp_queue_put_bytes(q, data, 40, 0));
	cr_assert_eq(mp_queue_bytes(q), 96);
	cr_assert(mp_queue_full(q), "an empty message takes 8");
	T_RESULT(mp_queue_put_bytes(q, data, 0, 0), -EAGAIN);
	T_RESULT(mp_queue_get_bytes_into(q, data, 39, 0, &size), -EMSGSIZE);
	cr_assert_eq(size, 40);
	cr_assert_eq(mp_queue_size(q), 2, "it stays");
	T_OK(mp_queue_get_bytes_into(q, data, 40, 0, &size));
	T_OK(mp_queue_put_bytes(q, data, 40, 0));
	mp_queue_close(q);
}

/* Whatever the limit allows finds room, wherever the messages lie. */
Test(queue, all_that_the_limit_allows_fits)
{
	const uint64_t limits[] = {8, 16, 1000, 16000, 16352, 16353, 32768, 40000, 100000, 1 << 20};
	char *data = calloc(1, 1 << 20);
	unsigned random = 1;

	for (size_t l = 0; l < sizeof(limits) / sizeof(limits[0]); l++) {
		mp_queue *q = make(MP_QUEUE_OPTIONS(.max_bytes = limits[l]));
		for (int i = 0; i < 3000; i++) {
			uint64_t left = (limits[l] - mp_queue_bytes(q)) & ~UINT64_C(7);
			random = random * 1103515245 + 12345;
			size_t size = left >= 8 ? (random >> 8) % (left - 7) : 0;
			if (random >> 28 < 9 && left >= 8) {
				size = random >> 30 ? size / 8 : left - 8;
				T_OK(mp_queue_put_bytes(q, data, size, 0));
			} else if (!mp_queue_empty(q)) {
				T_OK(mp_queue_get_bytes_into(q, data, 1 << 20, 0, &size));
			}
		}
		mp_queue_close(q);
	}
	free(data);
}

/* --- memory --------------------------------------------------------------------------------------- */

Test(queue, an_idle_queue_is_small)
{
	mp_queue *q = make(NULL);

	cr_assert_leq(memory(q), 65536);
	mp_queue_close(q);
	q = make(MP_QUEUE_OPTIONS(.joinable = true));
	cr_assert_leq(memory(q), 65536);
	mp_queue_close(q);
}

Test(queue, memory_grows_and_is_given_back_when_drained)
{
	mp_queue *q = make(NULL);
	char *data = calloc(1, 100000);
	size_t size;

	for (int round = 0; round < 3; round++) {
		for (int i = 0; i < 400; i++) {
			memcpy(data, &i, sizeof(i));
			T_OK(mp_queue_put_bytes(q, data, 100000, 0));
		}
		cr_assert_geq(memory(q), 40000000);
		for (int i = 0; i < 400; i++) {
			int number;
			T_OK(mp_queue_get_bytes_into(q, data, 100000, 0, &size));
			memcpy(&number, data, sizeof(number));
			cr_assert_eq(number, i);
		}
		cr_assert_leq(memory(q), (8 << 20) + 65536);
	}
	free(data);
	mp_queue_close(q);
}

Test(queue, a_little_memory_is_given_back_after_a_while)
{
	mp_queue *q = make(NULL);
	char *data = calloc(1, 1000000);
	size_t size;

	T_OK(mp_queue_put_bytes(q, data, 1000000, 0));
	T_OK(mp_queue_get_bytes_into(q, data, 1000000, 0, &size));
	T_RESULT(mp_queue_get_bytes_into(q, data, 1000000, 300, &size), -ETIMEDOUT);
	cr_assert_leq(memory(q), 65536);
	T_OK(mp_queue_put_bytes(q, data, 10, 0));
	T_OK(mp_queue_get_bytes_into(q, data, 1000000, 0, &size));
	cr_assert_eq(size, 10);
	free(data);
	mp_queue_close(q);
}

/* --- blocking ------------------------------------------------------------------------------------- */

static void *get_in_thread(void *argument)
{
	mp_obj value;

	return (void *)(intptr_t)mp_queue_get(argument, T_TIMEOUT_MS, &value);
}

static void *put_in_thread(void *argument)
{
	return (void *)(intptr_t)mp_queue_put(argument, mp_i64(2), T_TIMEOUT_MS);
}

static void *join_in_thread(void *argument)
{
	return (void *)(intptr_t)mp_queue_join(argument, T_TIMEOUT_MS);
}

static long joined(pthread_t thread)
{
	void *result;

	cr_assert_eq(pthread_join(thread, &result), 0);
	return (long)(intptr_t)result;
}

static void wait_for_sleeper(struct mp__watched_bell *bell)
{
	while (!mp__bell_has_sleepers(&bell->bell))
		;
}

Test(queue, a_put_wakes_a_getter_and_a_get_a_putter)
{
	mp_queue *q = make(MP_QUEUE_OPTIONS(.maxsize = 1));
	pthread_t thread;

	cr_assert_eq(pthread_create(&thread, NULL, get_in_thread, q), 0);
	wait_for_sleeper(&q->control->items_bell);
	T_OK(mp_queue_put(q, mp_i64(1), 0));
	cr_assert_eq(joined(thread), 0);
	T_OK(mp_queue_put(q, mp_i64(1), 0));
	cr_assert_eq(pthread_create(&thread, NULL, put_in_thread, q), 0);
	wait_for_sleeper(&q->control->room_bell);
	cr_assert_eq(get_i64(q), 1);
	cr_assert_eq(joined(thread), 0);
	cr_assert_eq(get_i64(q), 2);
	mp_queue_close(q);
}

Test(queue, test_shutdown_immediate_all_methods_in_many_threads)
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

Test(queue, many_at_once)
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

Test(queue, reserve_commit_and_abandon)
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

Test(queue, peek_consume_and_unpeek)
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

static void *get_one_more(void *argument)
{
	mp_obj value;
	int r = mp_queue_get(argument, T_TIMEOUT_MS, &value);

	return (void *)(intptr_t)(r == 0 ? mp_obj_i64(&value) : r);
}

Test(queue, others_wait_for_who_reads_in_place)
{
	mp_queue *q = make(NULL);
	pthread_t thread;
	const void *data;
	size_t size;

	T_OK(mp_queue_put(q, mp_i64(1), 0));
	T_OK(mp_queue_put(q, mp_i64(2), 0));
	T_OK(mp_queue_peek(q, 0, &data, &size));
	cr_assert_eq(pthread_create(&thread, NULL, get_one_more, q), 0);
	wait_for_sleeper(&q->control->items_bell);
	T_OK(mp_queue_consume(q));
	cr_assert_eq(joined(thread), 2);
	mp_queue_close(q);
}

/* --- handles -------------------------------------------------------------------------------------- */

static int echo(int argc, const mp_obj *argv)
{
	mp_queue *in = mp_obj_queue(&argv[0]);
	mp_queue *out = mp_obj_queue(&argv[1]);
	mp_obj value;

	if (argc != 2 || !in || !out)
		return 3;
	while (mp_queue_get(in, T_TIMEOUT_MS, &value) == 0) {
		if (mp_queue_put(out, value, T_TIMEOUT_MS) < 0)
			return 4;
		mp_obj_free(&value);
	}
	return mp_queue_is_shutdown(in) ? 0 : 5;
}

Test(queue, travels_under_every_start_method)
{
	const int methods[] = {MP_START_FORK, MP_START_SPAWN, MP_START_FORKSERVER, MP_START_THREAD};

	for (size_t m = 0; m < sizeof(methods) / sizeof(methods[0]); m++) {
		mp_queue *there = make(NULL);
		mp_queue *back = make(NULL);
		mp_process *p;
		int code;
		T_OK(mp_process_new(echo, MP_ARGS(mp_handle(there), mp_handle(back)),
			MP_PROCESS_OPTIONS(.start_method = methods[m]), &p));
		T_OK(mp_process_start(p));
		for (int i = 0; i < 100; i++)
			T_OK(mp_queue_put(there, mp_i64(i), T_TIMEOUT_MS));
		for (int i = 0; i < 100; i++)
			cr_assert_eq(get_i64(back), i);
		T_OK(mp_queue_shutdown(there, MP_QUEUE_DRAIN));
		T_OK(mp_process_join(p, T_TIMEOUT_MS));
		T_OK(mp_process_exit_code(p, &code));
		cr_assert_eq(code, 0);
		mp_process_close(p);
		mp_queue_close(there);
		mp_queue_close(back);
	}
}

Test(queue, a_value_keeps_its_queue)
{
	mp_queue *q = make(NULL);
	mp_obj copy;

	T_OK(mp_obj_copy(mp_handle(q), &copy));
	cr_assert_eq(mp_obj_queue(&copy), q);
	mp_queue_close(mp_queue_ref(q));
	mp_queue_close(q);
	T_OK(mp_queue_put(mp_obj_queue(&copy), mp_i64(1), 0));
	mp_obj_free(&copy);
	mp_obj other = mp_i64(1);
	cr_assert_null(mp_obj_queue(&other));
	mp_queue_close(NULL);
	cr_assert_null(mp_queue_ref(NULL));
}

Test(queue, bad_arguments_are_errors)
{
	mp_queue *q = make(NULL);
	mp_queue *none = NULL;
	mp_queue_options o = {.size = sizeof(o), .flags = 1};
	struct iovec v = {0};
	mp_obj value;
	void *data;
	size_t size;

	T_RESULT(mp_queue_new(&o, &none), -EINVAL);
	T_RESULT(mp_queue_new(MP_QUEUE_OPTIONS(.max_bytes = 7), &none), -EINVAL);
	T_RESULT(mp_queue_new(MP_QUEUE_OPTIONS(.max_bytes = UINT64_C(1) << 37), &none), -EINVAL);
	T_RESULT(mp_queue_new(MP_QUEUE_OPTIONS(.maxsize = (size_t)-1), &none), -EINVAL);
	T_RESULT(mp_queue_new(NULL, NULL), -EINVAL);
	struct {
		mp_queue_options known;
		uint64_t more;
	} newer = {.known.size = sizeof(newer), .more = 1};
	T_RESULT(mp_queue_new(&newer.known, &none), -E2BIG);
	cr_assert_null(none);
	T_RESULT(mp_queue_put(NULL, mp_nil(), 0), -EINVAL);
	T_RESULT(mp_queue_put_bytes(q, NULL, 1, 0), -EINVAL);
	T_OK(mp_queue_put_bytes(q, NULL, 0, 0));
	T_RESULT(mp_queue_get(NULL, 0, &value), -EINVAL);
	T_RESULT(mp_queue_get_bytes(q, 0, NULL, &size), -EINVAL);
	T_RESULT(mp_queue_get_bytes_into(q, NULL, 1, 0, &size), -EINVAL);
	T_RESULT(mp_queue_put_many_bytes(NULL, &v, 1, 0), -EINVAL);
	T_RESULT(mp_queue_get_many_bytes(NULL, 0, NULL, 0, &v, 1), -EINVAL);
	T_RESULT(mp_queue_reserve(NULL, 1, 0, &data), -EINVAL);
	T_RESULT(mp_queue_commit(NULL, 1), -EINVAL);
	T_RESULT(mp_queue_abandon(NULL), -EINVAL);
	T_RESULT(mp_queue_peek(q, 0, NULL, &size), -EINVAL);
	T_RESULT(mp_queue_consume(NULL), -EINVAL);
	T_RESULT(mp_queue_unpeek(NULL), -EINVAL);
	T_RESULT(mp_queue_shutdown(NULL, MP_QUEUE_DRAIN), -EINVAL);
	cr_assert_eq(mp_queue_size(NULL), 0);
	mp_queue_close(q);
}

static int make_without(void *argument)
{
	struct rlimit limit = {0};
	mp_queue *q;

	(void)argument;
	T_CHECK(setrlimit(RLIMIT_FSIZE, &limit) == 0);
	T_CHECK(mp_queue_new(NULL, &q) == -ENOSPC);
	return 0;
}

static int make_without_fds(void *argument)
{
	struct rlimit limit = {1, 1};
	mp_queue *q;

	(void)argument;
	T_CHECK(setrlimit(RLIMIT_NOFILE, &limit) == 0);
	T_CHECK(mp_queue_new(NULL, &q) == -EMFILE);
	return 0;
}

Test(queue, a_poor_process_gets_errors)
{
	struct t_child c = t_spawn(make_without, NULL);

	t_expect_exit(&c, 0);
	c = t_spawn(make_without_fds, NULL);
	t_expect_exit(&c, 0);
}

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
static int make_without_addresses(void *argument)
{
	struct rlimit limit = {UINT64_C(1) << 30, UINT64_C(1) << 30};
	mp_queue *q;

	(void)argument;
	T_CHECK(setrlimit(RLIMIT_AS, &limit) == 0);
	T_CHECK(mp_queue_new(NULL, &q) == -ENOMEM);
	T_CHECK(mp_queue_new(MP_QUEUE_OPTIONS(.max_bytes = 1 << 20), &q) == 0);
	return 0;
}

Test(queue, a_small_limit_needs_few_addresses)
{
	struct t_child c = t_spawn(make_without_addresses, NULL);

	t_expect_exit(&c, 0);
}
#endif
