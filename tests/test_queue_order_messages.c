/* SPDX-License-Identifier: MIT */
/* Queues with an order: messages of every kind and size, batches, limits. */
#include <config.h>

#include "tests/support/orders.h"

#include <sys/resource.h>
#include <sys/stat.h>

#define SUITE queue_order_messages
T_SUITE(queue_order_messages);

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

Test(queue_order_messages, full_of_what_the_limit_allows_again_and_again)
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

Test(queue_order_messages, bad_options)
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
	T_RESULT(mp_queue_create(NULL, MP_QUEUE_OPTIONS(.order = 3), &q), -EINVAL);
	cr_assert_null(q);
}

Test(queue_order_messages, priorities_are_for_queues_of_that_order)
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

Test(queue_order_messages, a_limit_of_file_sizes)
{
	struct t_child c = t_spawn(no_room_for_files, NULL);

	t_expect_exit(&c, 0);
	c = t_spawn(little_room_for_files, NULL);
	t_expect_exit(&c, 0);
}

Test(queue_order_messages, an_empty_one_is_small)
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
