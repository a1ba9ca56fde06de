/* SPDX-License-Identifier: MIT */
/* Queues: messages of every size, and the memory that they take. */
#include <config.h>

#include "tests/support/queues.h"

#include <sys/stat.h>

T_SUITE(queue_memory);

/* --- sizes ---------------------------------------------------------------------------------------- */

static void fill(char *data, size_t size, size_t seed)
{
	for (size_t i = 0; i < size; i++)
		data[i] = (char)(i * 31 + seed);
}

Test(queue_memory, messages_of_every_size_come_back)
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

Test(queue_memory, values_and_bytes_mix)
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

Test(queue_memory, limits_in_bytes_are_exact)
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
Test(queue_memory, all_that_the_limit_allows_fits)
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

/* Memory that the queue has, in bytes. */
static uint64_t memory(mp_queue *q)
{
	struct stat st;

	cr_assert_eq(fstat(q->segment.fd, &st), 0);
	return (uint64_t)st.st_blocks * 512;
}

Test(queue_memory, an_idle_queue_is_small)
{
	mp_queue *q = make(NULL);

	cr_assert_leq(memory(q), 65536);
	mp_queue_close(q);
	q = make(MP_QUEUE_OPTIONS(.joinable = true));
	cr_assert_leq(memory(q), 65536);
	mp_queue_close(q);
}

Test(queue_memory, memory_grows_and_is_given_back_when_drained)
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

Test(queue_memory, a_little_memory_is_given_back_after_a_while)
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
