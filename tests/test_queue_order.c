/* SPDX-License-Identifier: MIT */
/*
 * Queues that are last in, first out, or in order of priority. The tests that Python has for both its
 * LifoQueue and its PriorityQueue have its names; each is run with both orders.
 */
#include <config.h>

#include "tests/support/support.h"

#include <fcntl.h>
#include <mp.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "queue/store.h"

T_SUITE(queue_order);

/* A test for each of the two orders. */
#define BOTH(name)                              \
	static void name(int order);            \
	Test(queue_order, test_lifo_##name)     \
	{                                       \
		name(MP_QUEUE_LIFO);            \
	}                                       \
	Test(queue_order, test_priority_##name) \
	{                                       \
		name(MP_QUEUE_PRIORITY);        \
	}                                       \
	static void name(int order)

static mp_queue *make(const mp_queue_options *options)
{
	mp_queue *q = NULL;

	T_OK(mp_queue_new(options, &q));
	return q;
}

/* As Python's PriorityQueue, in which a number is its own priority. */
static int put(mp_queue *q, int64_t n, int timeout_ms)
{
	if (q->store->order == MP_QUEUE_PRIORITY)
		return mp_queue_put_priority(q, mp_i64(n), n, timeout_ms);
	return mp_queue_put(q, mp_i64(n), timeout_ms);
}

/* -1: an error, which is in *ret_error. */
static int64_t get(mp_queue *q, int timeout_ms, int *ret_error)
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

static int64_t get_i64(mp_queue *q)
{
	int r;
	int64_t n = get(q, T_TIMEOUT_MS, &r);

	T_OK(r);
	return n;
}

/* --- Python's tests ------------------------------------------------------------------------------- */

static int get_one(void *queue)
{
	int r;

	t_ready();
	(void)get(queue, T_TIMEOUT_MS, &r);
	return r == 0 ? 0 : 1;
}

static int put_one(void *queue)
{
	t_ready();
	return put(queue, 9, T_TIMEOUT_MS) == 0 ? 0 : 1;
}

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

/* --- messages ------------------------------------------------------------------------------------- */

BOTH(messages_of_every_size_come_back)
{
	mp_queue *q = make(MP_QUEUE_OPTIONS(.order = order));
	const size_t sizes[] = {0, 1, 15, 16, 17, 1000, 4096, 70000, (5 << 20) + 3};
	char *data = malloc(sizes[8]);
	void *got;
	size_t size;

	for (size_t i = 0; i < 9; i++) {
		memset(data, (int)i + 1, sizes[i]);
		T_OK(mp_queue_put_bytes(q, data, sizes[i], MP_NOWAIT));
	}
	for (size_t k = 0; k < 9; k++) {
		size_t i = order == MP_QUEUE_LIFO ? 8 - k : k;
		T_OK(mp_queue_get_bytes(q, MP_NOWAIT, &got, &size));
		cr_assert_eq(size, sizes[i]);
		memset(data, (int)i + 1, size);
		cr_assert_eq(memcmp(data, got, size), 0);
		cr_assert_eq(((char *)got)[size], '\0');
		free(got);
	}
	free(data);
	mp_queue_close(q);
}

BOTH(values_and_bytes_mix)
{
	mp_queue *q = make(MP_QUEUE_OPTIONS(.order = order));
	char buffer[64];
	mp_obj value;
	size_t size;
	char *large = calloc(1, 5000);

	T_OK(mp_queue_put_bytes(q, "bytes", 5, MP_NOWAIT));
	T_OK(mp_queue_get(q, MP_NOWAIT, &value));
	cr_assert_eq(value.type, MP_TYPE_BYTES);
	mp_obj_free(&value);
	T_OK(mp_queue_put(q, MP_LIST(mp_str("a"), mp_bytes(large, 5000)), MP_NOWAIT));
	T_RESULT(mp_queue_get_bytes_into(q, buffer, 64, MP_NOWAIT, &size), -EMSGSIZE);
	cr_assert_gt(size, 5000);
	cr_assert_eq(mp_queue_size(q), 1, "it stays");
	T_OK(mp_queue_get(q, MP_NOWAIT, &value));
	cr_assert_eq(value.type, MP_TYPE_LIST);
	mp_obj_free(&value);
	T_RESULT(mp_queue_put(q, mp_fd(0), MP_NOWAIT), -ENOTSUP);
	T_RESULT(mp_queue_put(q, mp_str("\xff"), MP_NOWAIT), -EILSEQ);
	T_OK(mp_queue_put(q, mp_i64(3), MP_NOWAIT));
	T_OK(mp_queue_get_bytes_into(q, buffer, 64, MP_NOWAIT, &size));
	T_OK(mp_obj_decode(buffer, size, &value));
	cr_assert_eq(mp_obj_i64(&value), 3);
	free(large);
	mp_queue_close(q);
}

BOTH(batches)
{
	mp_queue *q = make(MP_QUEUE_OPTIONS(.order = order, .maxsize = 3));
	char text[] = "abbdd";
	const struct iovec in[] = {{text, 1}, {text + 1, 2}, {text, 0}, {text + 3, 2}};
	struct iovec out[4];
	char buffer[8];

	T_RESULT(mp_queue_put_many_bytes(q, in, 4, MP_NOWAIT), 3);
	T_RESULT(mp_queue_put_many_bytes(q, in, 1, MP_NOWAIT), -EAGAIN);
	T_RESULT(mp_queue_get_many_bytes(q, MP_NOWAIT, buffer, 8, out, 4), 3);
	cr_assert_eq(out[1].iov_len, 2);
	cr_assert_eq(memcmp(out[1].iov_base, "bb", 2), 0);
	cr_assert_eq(out[order == MP_QUEUE_LIFO ? 2 : 0].iov_len, 1);
	T_RESULT(mp_queue_get_many_bytes(q, MP_NOWAIT, buffer, 8, out, 4), -EAGAIN);
	T_RESULT(mp_queue_put_many_bytes(q, in + 1, 1, MP_NOWAIT), 1);
	T_RESULT(mp_queue_get_many_bytes(q, MP_NOWAIT, buffer, 1, out, 4), -EMSGSIZE);
	mp_queue_close(q);
}

BOTH(batches_of_values)
{
	mp_queue *q = make(MP_QUEUE_OPTIONS(.order = order));
	const mp_obj in[] = {mp_i64(1), mp_str("two"), mp_i64(3)};
	struct mp__ring_record record;
	struct mp__store_block *block;
	mp_obj out[4];

	T_RESULT(mp_queue_put_many(q, in, 3, MP_NOWAIT), 3);
	T_RESULT(mp_queue_get_many(q, MP_NOWAIT, out, 4), 3);
	cr_assert_eq(mp_obj_i64(&out[0]), order == MP_QUEUE_LIFO ? 3 : 1);
	cr_assert_str_eq(mp_obj_str(&out[1]), "two");
	for (int i = 0; i < 3; i++)
		mp_obj_free(&out[i]);
	T_RESULT(mp_queue_get_many(q, MP_NOWAIT, out, 4), -EAGAIN);
	/* What is no value is the news of the next call. */
	T_OK(mp_queue_put(q, mp_i64(1), MP_NOWAIT));
	T_OK(mp_queue_put(q, mp_i64(2), MP_NOWAIT));
	uint32_t second = q->store->slots[0][1];
	cr_assert(mp__store_message(q, second, &record, &block));
	block->data[0] = (char)0xff;
	T_RESULT(mp_queue_get_many(q, MP_NOWAIT, out, 4), 1);
	mp_obj_free(&out[0]);
	T_RESULT(mp_queue_get_many(q, MP_NOWAIT, out, 4), -EBADMSG);
	T_RESULT(mp_queue_get_many(q, MP_NOWAIT, out, 4), -EAGAIN);
	mp_queue_close(q);
}

/* --- limits --------------------------------------------------------------------------------------- */

BOTH(bytes_are_limited)
{
	mp_queue *q = make(MP_QUEUE_OPTIONS(.order = order, .max_bytes = 1000));
	char data[900] = "";

	T_RESULT(mp_queue_put_bytes(q, data, 881, MP_NOWAIT), -EMSGSIZE);
	T_OK(mp_queue_put_bytes(q, data, 864, MP_NOWAIT));
	cr_assert_eq(mp_queue_bytes(q), 992);
	cr_assert(mp_queue_full(q));
	T_RESULT(mp_queue_put_bytes(q, data, 0, MP_NOWAIT), -EAGAIN);
	mp_queue_close(q);
	q = make(MP_QUEUE_OPTIONS(.order = order, .max_bytes = 1000));
	for (int i = 0; i < 7; i++)
		T_OK(mp_queue_put_bytes(q, data, 0, MP_NOWAIT));
	cr_assert(mp_queue_full(q));
	T_RESULT(mp_queue_put_bytes(q, data, 0, MP_NOWAIT), -EAGAIN);
	mp_queue_close(q);
}

Test(queue_order, full_of_what_the_limit_allows_again_and_again)
{
	mp_queue *q = make(MP_QUEUE_OPTIONS(.order = MP_QUEUE_LIFO, .max_bytes = 1 << 20));
	char *data = calloc(1, 1 << 18);
	unsigned random = 3;
	void *got;
	size_t size;

	for (int round = 0; round < 20; round++) {
		int r;
		do {
			random = random * 1103515245 + 12345;
			r = mp_queue_put_bytes(q, data, (random >> 8) % (1 << 18), MP_NOWAIT);
		} while (r == 0);
		T_RESULT(r, -EAGAIN);
		for (size_t n = mp_queue_size(q) / 2; n > 0; n--) {
			T_OK(mp_queue_get_bytes(q, MP_NOWAIT, &got, &size));
			free(got);
		}
	}
	T_OK(mp_heap_check(q->store->heap));
	free(data);
	mp_queue_close(q);
}

Test(queue_order, bad_options)
{
	mp_queue *q = NULL;

	T_RESULT(mp_queue_new(MP_QUEUE_OPTIONS(.order = 3), &q), -EINVAL);
	T_RESULT(mp_queue_new(MP_QUEUE_OPTIONS(.order = -1), &q), -EINVAL);
	T_RESULT(mp_queue_new(MP_QUEUE_OPTIONS(.order = MP_QUEUE_LIFO, .max_bytes = 127), &q),
		-EINVAL);
	T_RESULT(
		mp_queue_new(MP_QUEUE_OPTIONS(.order = MP_QUEUE_LIFO, .max_bytes = UINT64_MAX), &q),
		-EINVAL);
	T_RESULT(mp_queue_new(MP_QUEUE_OPTIONS(.order = MP_QUEUE_LIFO, .maxsize = SIZE_MAX), &q),
		-EINVAL);
	T_RESULT(mp_queue_new(MP_QUEUE_OPTIONS(.order = MP_QUEUE_LIFO, .persist = true), &q),
		-EINVAL);
	T_RESULT(mp_queue_create(NULL, MP_QUEUE_OPTIONS(.order = MP_QUEUE_LIFO), &q), -ENOTSUP);
	cr_assert_null(q);
}

Test(queue_order, priorities_are_for_queues_of_that_order)
{
	mp_queue *fifo = make(NULL);
	mp_queue *lifo = make(MP_QUEUE_OPTIONS(.order = MP_QUEUE_LIFO));
	mp_queue *q = make(MP_QUEUE_OPTIONS(.order = MP_QUEUE_PRIORITY));

	T_RESULT(mp_queue_put_priority(fifo, mp_i64(1), 1, MP_NOWAIT), -EINVAL);
	T_RESULT(mp_queue_put_priority(lifo, mp_i64(1), 1, MP_NOWAIT), -EINVAL);
	T_RESULT(mp_queue_put_priority_bytes(fifo, "a", 1, 1, MP_NOWAIT), -EINVAL);
	T_RESULT(mp_queue_put_priority_bytes(lifo, "a", 1, 1, MP_NOWAIT), -EINVAL);
	T_RESULT(mp_queue_put_priority_bytes(q, NULL, 1, 1, MP_NOWAIT), -EINVAL);
	T_RESULT(mp_queue_put_priority(NULL, mp_i64(1), 1, MP_NOWAIT), -EINVAL);
	T_OK(mp_queue_put_priority_bytes(q, NULL, 0, 1, MP_NOWAIT));
	mp_queue_close(fifo);
	mp_queue_close(lifo);
	mp_queue_close(q);
}

BOTH(nothing_is_done_in_place)
{
	mp_queue *q = make(MP_QUEUE_OPTIONS(.order = order));
	const void *message;
	void *data;
	size_t size;

	T_RESULT(mp_queue_reserve(q, 8, MP_NOWAIT, &data), -ENOTSUP);
	T_RESULT(mp_queue_commit(q, 8), -EPERM);
	T_RESULT(mp_queue_peek(q, MP_NOWAIT, &message, &size), -ENOTSUP);
	T_RESULT(mp_queue_consume(q), -EPERM);
	mp_queue_close(q);
}

static int no_room_for_files(void *argument)
{
	const struct rlimit limit = {1 << 20, 1 << 20};
	mp_queue *q;

	(void)argument;
	T_CHECK(setrlimit(RLIMIT_FSIZE, &limit) == 0);
	T_CHECK(mp_queue_new(MP_QUEUE_OPTIONS(.order = MP_QUEUE_LIFO, .max_bytes = 1 << 20), &q) ==
		-ENOSPC);
	T_CHECK(mp_queue_new(MP_QUEUE_OPTIONS(.order = MP_QUEUE_LIFO), &q) == -ENOSPC);
	return 0;
}

static int little_room_for_files(void *argument)
{
	const struct rlimit limit = {64 << 20, 64 << 20};
	mp_queue *q;

	(void)argument;
	T_CHECK(setrlimit(RLIMIT_FSIZE, &limit) == 0);
	T_CHECK(mp_queue_new(MP_QUEUE_OPTIONS(.order = MP_QUEUE_LIFO), &q) == 0);
	T_CHECK(put(q, 3, MP_NOWAIT) == 0);
	mp_queue_close(q);
	return 0;
}

Test(queue_order, a_limit_of_file_sizes)
{
	struct t_child c = t_spawn(no_room_for_files, NULL);

	t_expect_exit(&c, 0);
	c = t_spawn(little_room_for_files, NULL);
	t_expect_exit(&c, 0);
}

Test(queue_order, an_empty_one_is_small)
{
	mp_queue *q = make(MP_QUEUE_OPTIONS(.order = MP_QUEUE_PRIORITY));
	struct mp__handle_wire wire;
	uint64_t total = 0;
	struct stat st;

	T_OK(mp__queue_class.export(&q->handle, &wire));
	for (size_t i = 0; i < wire.n_fds; i++) {
		cr_assert_eq(fstat(wire.fds[i], &st), 0);
		total += (uint64_t)st.st_blocks * 512;
	}
	cr_assert_leq(total, 32768);
	mp_queue_close(q);
}

/* --- handles -------------------------------------------------------------------------------------- */

/* The handle of the queue as another process gets it. */
static struct mp__handle_wire wire_of(mp_queue *q)
{
	struct mp__handle_wire wire;

	T_OK(mp__queue_class.export(&q->handle, &wire));
	cr_assert_eq(wire.n_fds, 2);
	for (size_t i = 0; i < wire.n_fds; i++)
		wire.fds[i] = fcntl(wire.fds[i], F_DUPFD_CLOEXEC, 3);
	return wire;
}

static void close_wire(struct mp__handle_wire *wire)
{
	for (size_t i = 0; i < 2; i++) {
		if (wire->fds[i] >= 0)
			close(wire->fds[i]);
	}
}

BOTH(a_handle_travels)
{
	mp_queue *q = make(MP_QUEUE_OPTIONS(.order = order, .maxsize = 5, .joinable = true));
	struct mp__handle_wire wire = wire_of(q);
	struct mp__handle *handle;

	T_OK(mp__queue_class.import(&wire, &handle));
	cr_assert_eq(wire.fds[0], -1);
	cr_assert_eq(wire.fds[1], -1);
	mp_queue *other = (mp_queue *)handle;
	T_OK(put(q, 1, MP_NOWAIT));
	T_OK(put(other, 2, MP_NOWAIT));
	cr_assert_eq(mp_queue_size(other), 2);
	cr_assert_eq(get_i64(other), order == MP_QUEUE_LIFO ? 2 : 1);
	cr_assert_eq(get_i64(q), order == MP_QUEUE_LIFO ? 1 : 2);
	mp_queue_close(q);
	T_OK(mp_queue_task_done(other));
	mp_queue_close(other);
}

Test(queue_order, a_chunk_of_one_handle_is_found_by_another)
{
	mp_queue *q = make(MP_QUEUE_OPTIONS(.order = MP_QUEUE_PRIORITY));
	struct mp__handle_wire wire = wire_of(q);
	struct mp__handle *handle;

	T_OK(mp__queue_class.import(&wire, &handle));
	mp_queue *other = (mp_queue *)handle;
	for (int i = 0; i < 1000; i++)
		T_OK(put(i % 200 < 100 ? q : other, i, MP_NOWAIT));
	for (int i = 0; i < 1000; i++)
		cr_assert_eq(get_i64(i % 300 < 150 ? other : q), i);
	mp_queue_close(q);
	mp_queue_close(other);
}

Test(queue_order, a_handle_that_is_none)
{
	mp_queue *q = make(MP_QUEUE_OPTIONS(.order = MP_QUEUE_LIFO));
	mp_queue *fifo = make(NULL);
	struct mp__handle_wire wire = wire_of(q);
	struct mp__handle *handle;

	/* One descriptor, three, two of a plain queue, the wrong ones. */
	wire.n_fds = 1;
	struct mp__handle_wire copy = wire;
	T_RESULT(mp__queue_class.import(&copy, &handle), -EBADMSG);
	if (copy.fds[0] < 0) {
		close_wire(&copy);
		wire = wire_of(q);
	}
	wire.n_fds = 3;
	T_RESULT(mp__queue_class.import(&wire, &handle), -EBADMSG);
	wire.n_fds = 2;
	int swapped = wire.fds[0];
	wire.fds[0] = wire.fds[1];
	wire.fds[1] = swapped;
	T_RESULT(mp__queue_class.import(&wire, &handle), -EBADMSG);
	close(wire.fds[0]);
	wire.fds[0] = fcntl(fifo->segment.fd, F_DUPFD_CLOEXEC, 3);
	T_RESULT(mp__queue_class.import(&wire, &handle), -EBADMSG);
	close_wire(&wire);
	/* A heap without a table, and one with limits that are none. */
	wire = wire_of(q);
	q->store->root->max_bytes = 1;
	copy = wire;
	copy.fds[0] = fcntl(wire.fds[0], F_DUPFD_CLOEXEC, 3);
	copy.fds[1] = fcntl(wire.fds[1], F_DUPFD_CLOEXEC, 3);
	T_RESULT(mp__queue_class.import(&copy, &handle), -EBADMSG);
	close_wire(&copy);
	T_OK(mp_heap_set_root(q->store->heap, NULL));
	T_RESULT(mp__queue_class.import(&wire, &handle), -EBADMSG);
	close_wire(&wire);
	mp_queue_close(fifo);
	mp_queue_close(q);
}

/* --- many at once --------------------------------------------------------------------------------- */

#define N_EACH 5000
#define N_SIDE 3

struct crowd {
	mp_queue *q;
	_Atomic int next;
	_Atomic unsigned char seen[N_SIDE * N_EACH];
};

static int produce(void *argument)
{
	struct crowd *crowd = argument;
	int first = crowd->next++ * N_EACH;

	for (int i = 0; i < N_EACH; i++)
		T_CHECK(put(crowd->q, first + i, T_TIMEOUT_MS) == 0);
	return 0;
}

static int consume(void *argument)
{
	struct crowd *crowd = argument;

	for (;;) {
		int r;
		int64_t n = get(crowd->q, T_TIMEOUT_MS, &r);
		if (r == -EPIPE)
			return 0;
		T_CHECK(r == 0 && n >= 0 && n < N_SIDE * N_EACH);
		crowd->seen[n]++;
	}
}

BOTH(each_message_comes_once)
{
	struct crowd *crowd = mmap(
		NULL, sizeof(*crowd), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct t_child producers[N_SIDE];
	struct t_child consumers[N_SIDE];

	crowd->q = make(MP_QUEUE_OPTIONS(.order = order, .maxsize = 50));
	for (int i = 0; i < N_SIDE; i++) {
		producers[i] = t_spawn(produce, crowd);
		consumers[i] = t_spawn(consume, crowd);
	}
	for (int i = 0; i < N_SIDE; i++)
		t_expect_exit(&producers[i], 0);
	T_OK(mp_queue_shutdown(crowd->q, MP_QUEUE_DRAIN));
	for (int i = 0; i < N_SIDE; i++)
		t_expect_exit(&consumers[i], 0);
	for (int i = 0; i < N_SIDE * N_EACH; i++)
		cr_assert_eq(crowd->seen[i], 1);
	T_OK(mp_heap_check(crowd->q->store->heap));
	mp_queue_close(crowd->q);
	munmap(crowd, sizeof(*crowd));
}

static void *thread_main(void *argument)
{
	struct crowd *crowd = argument;
	static _Atomic int turn;
	int r = turn++ % 2 ? produce(crowd) : consume(crowd);

	return (void *)(intptr_t)r;
}

BOTH(threads_share_a_handle)
{
	struct crowd *crowd = calloc(1, sizeof(*crowd));
	pthread_t threads[2 * N_SIDE];
	int n = 0;

	crowd->q = make(MP_QUEUE_OPTIONS(.order = order));
	for (int i = 0; i < 2 * N_SIDE; i++)
		cr_assert_eq(pthread_create(&threads[i], NULL, thread_main, crowd), 0);
	while (n < N_SIDE * N_EACH) {
		n = 0;
		for (int i = 0; i < N_SIDE * N_EACH; i++)
			n += crowd->seen[i];
		sched_yield();
	}
	T_OK(mp_queue_shutdown(crowd->q, MP_QUEUE_DRAIN));
	for (int i = 0; i < 2 * N_SIDE; i++)
		pthread_join(threads[i], NULL);
	for (int i = 0; i < N_SIDE * N_EACH; i++)
		cr_assert_eq(crowd->seen[i], 1);
	mp_queue_close(crowd->q);
	free(crowd);
}

/* --- mp_wait -------------------------------------------------------------------------------------- */

BOTH(can_be_waited_for)
{
	mp_queue *q = make(MP_QUEUE_OPTIONS(.order = order, .maxsize = 1));
	mp_waitable items[] = {MP_WAIT(q), MP_WAIT_ROOM(q)};

	T_RESULT(mp_wait(items, 2, MP_NOWAIT), 1);
	cr_assert(items[1].ready && !items[0].ready);
	struct t_child c = t_spawn(put_one, q);
	T_RESULT(mp_wait(items, 1, T_TIMEOUT_MS), 1);
	cr_assert(items[0].ready);
	T_RESULT(mp_wait(items, 2, MP_NOWAIT), 1);
	get_i64(q);
	T_RESULT(mp_wait(items + 1, 1, T_TIMEOUT_MS), 1);
	T_RESULT(mp_wait(items, 1, MP_NOWAIT), 0);
	T_OK(mp_queue_shutdown(q, MP_QUEUE_DRAIN));
	T_RESULT(mp_wait(items, 2, T_TIMEOUT_MS), 2);
	t_expect_exit(&c, 0);
	mp_queue_close(q);
}
