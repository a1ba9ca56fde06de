/* SPDX-License-Identifier: MIT */
/* Queues: many values at once. */
#include <config.h>

#include "tests/support/queues.h"

#include <sys/resource.h>

T_SUITE(queue_many);

#define N 200

static void free_all(mp_obj *values, int n)
{
	for (int i = 0; i < n; i++)
		mp_obj_free(&values[i]);
}

Test(queue_many, values_come_back_in_order)
{
	mp_queue *q = make(NULL);
	mp_obj in[N];
	mp_obj out[N];
	char text[64];

	for (int i = 0; i < N; i++)
		in[i] = i % 3 == 0 ? mp_i64(i) : i % 3 == 1 ? mp_str("text") : mp_nil();
	T_RESULT(mp_queue_put_many(q, in, 1, MP_NOWAIT), 1);
	T_RESULT(mp_queue_put_many(q, in + 1, N - 1, MP_NOWAIT), N - 1);
	cr_assert_eq(mp_queue_size(q), N);
	T_RESULT(mp_queue_get_many(q, MP_NOWAIT, out, 7), 7);
	T_RESULT(mp_queue_get_many(q, MP_NOWAIT, out + 7, N), N - 7);
	for (int i = 0; i < N; i++)
		cr_assert(mp_obj_equal(&in[i], &out[i]), "%d: %s", i,
			(mp_obj_format(&out[i], text, sizeof(text)), text));
	free_all(out, N);
	T_RESULT(mp_queue_get_many(q, MP_NOWAIT, out, N), -EAGAIN);
	T_RESULT(mp_queue_get_many(q, 20, out, N), -ETIMEDOUT);
	T_RESULT(mp_queue_put_many(q, in, 0, MP_NOWAIT), 0);
	T_RESULT(mp_queue_put_many(q, NULL, 0, MP_NOWAIT), 0);
	mp_queue_close(q);
}

Test(queue_many, as_many_as_find_room)
{
	mp_queue *q = make(MP_QUEUE_OPTIONS(.maxsize = 5));
	mp_obj in[7];
	mp_obj out[7];

	for (int i = 0; i < 7; i++)
		in[i] = mp_i64(i);
	T_RESULT(mp_queue_put_many(q, in, 7, MP_NOWAIT), 5);
	T_RESULT(mp_queue_put_many(q, in, 7, MP_NOWAIT), -EAGAIN);
	T_RESULT(mp_queue_put_many(q, in, 7, 20), -ETIMEDOUT);
	T_RESULT(mp_queue_get_many(q, MP_NOWAIT, out, 2), 2);
	T_RESULT(mp_queue_put_many(q, in + 5, 2, MP_NOWAIT), 2);
	T_RESULT(mp_queue_get_many(q, MP_NOWAIT, out, 7), 5);
	for (int i = 0; i < 5; i++)
		cr_assert_eq(mp_obj_i64(&out[i]), i + 2);
	T_OK(mp_queue_shutdown(q, MP_QUEUE_DRAIN));
	T_RESULT(mp_queue_put_many(q, in, 7, MP_FOREVER), -EPIPE);
	T_RESULT(mp_queue_get_many(q, MP_FOREVER, out, 7), -EPIPE);
	mp_queue_close(q);
}

static void *put_seven(void *argument)
{
	mp_obj in[7];

	for (int i = 0; i < 7; i++)
		in[i] = mp_i64(i);
	return (void *)(intptr_t)mp_queue_put_many(argument, in, 7, T_TIMEOUT_MS);
}

Test(queue_many, who_finds_no_room_waits_for_more)
{
	mp_queue *q = make(MP_QUEUE_OPTIONS(.maxsize = 2));
	pthread_t thread;

	cr_assert_eq(pthread_create(&thread, NULL, put_seven, q), 0);
	for (int i = 0; i < 7; i++)
		cr_assert_eq(get_i64(q), i);
	cr_assert_eq(joined(thread), 7);
	cr_assert_eq(pthread_create(&thread, NULL, put_seven, q), 0);
	wait_for_sleeper(&q->control->room_bell);
	T_OK(mp_queue_shutdown(q, MP_QUEUE_DRAIN));
	cr_assert_eq(joined(thread), 2, "those are in it");
	cr_assert_eq(get_i64(q), 0);
	cr_assert_eq(get_i64(q), 1);
	mp_queue_close(q);
}

Test(queue_many, a_bad_value_keeps_all_of_them_out)
{
	mp_queue *q = make(MP_QUEUE_OPTIONS(.max_bytes = 6000));
	char *large = calloc(1, 7000);
	mp_obj in[3] = {mp_i64(1), mp_i64(2), mp_str("\xff")};
	mp_obj out[3];

	T_RESULT(mp_queue_put_many(q, in, 3, MP_NOWAIT), -EILSEQ);
	in[2] = mp_fd(0);
	T_RESULT(mp_queue_put_many(q, in, 3, MP_NOWAIT), -ENOTSUP);
	in[2] = mp_bytes(large, 7000);
	T_RESULT(mp_queue_put_many(q, in, 3, MP_NOWAIT), -EMSGSIZE);
	in[2] = mp_bytes(NULL, 5);
	T_RESULT(mp_queue_put_many(q, in, 3, MP_NOWAIT), -EINVAL);
	cr_assert(mp_queue_empty(q));
	in[2] = mp_bytes(large, 5900);
	T_RESULT(mp_queue_put_many(q, in, 3, MP_NOWAIT), 3);
	T_RESULT(mp_queue_get_many(q, MP_NOWAIT, out, 3), 3);
	cr_assert_eq(mp_obj_len(&out[2]), 5900);
	free_all(out, 3);
	free(large);
	T_RESULT(mp_queue_put_many(NULL, in, 1, 0), -EINVAL);
	T_RESULT(mp_queue_put_many(q, NULL, 1, 0), -EINVAL);
	T_RESULT(mp_queue_put_many(q, in, (size_t)INT32_MAX + 1, 0), -EINVAL);
	T_RESULT(mp_queue_get_many(NULL, 0, out, 1), -EINVAL);
	T_RESULT(mp_queue_get_many(q, 0, NULL, 1), -EINVAL);
	T_RESULT(mp_queue_get_many(q, 0, out, 0), -EINVAL);
	mp_queue_close(q);
}

Test(queue_many, what_is_no_value_is_the_news_of_the_next_call)
{
	mp_queue *q = make(NULL);
	mp_obj in[3] = {mp_i64(1), mp_i64(2), mp_i64(3)};
	mp_obj out[3] = {mp_nil(), mp_nil(), mp_i64(77)};

	T_RESULT(mp_queue_put_many(q, in, 3, 0), 3);
	/* The second one: behind a header, a value of up to 8 bytes, and a header. */
	q->base[MP__QUEUE_REGION + 24] = (char)0xff;
	T_RESULT(mp_queue_get_many(q, 0, out, 3), 1);
	cr_assert_eq(mp_obj_i64(&out[0]), 1);
	cr_assert_eq(mp_obj_i64(&out[2]), 77);
	T_RESULT(mp_queue_get_many(q, 0, out, 3), -EBADMSG);
	T_RESULT(mp_queue_get_many(q, 0, out, 3), 1);
	cr_assert_eq(mp_obj_i64(&out[0]), 3);
	mp_queue_close(q);
}

Test(queue_many, bytes_and_values_mix)
{
	mp_queue *q = make(MP_QUEUE_OPTIONS(.joinable = true));
	mp_obj in[2] = {mp_i64(1), MP_LIST(mp_str("a"), mp_i64(2))};
	mp_obj out[4];
	char text[32];

	T_OK(mp_queue_put_bytes(q, "raw", 3, 0));
	T_RESULT(mp_queue_put_many(q, in, 2, 0), 2);
	T_RESULT(mp_queue_get_many(q, 0, out, 4), 3);
	mp_obj_format(&out[0], text, sizeof(text));
	cr_assert_str_eq(text, "b\"raw\"");
	mp_obj_format(&out[2], text, sizeof(text));
	cr_assert_str_eq(text, "[\"a\", 2]");
	free_all(out, 3);
	for (int i = 0; i < 3; i++) {
		T_RESULT(mp_queue_join(q, 0), -EAGAIN);
		T_OK(mp_queue_task_done(q));
	}
	T_OK(mp_queue_join(q, 0));
	T_RESULT(mp_queue_task_done(q), -ERANGE);
	mp_queue_close(q);
}

/* --- deaths --------------------------------------------------------------------------------------- */

static int put_and_get(void *argument)
{
	mp_obj in[4];
	mp_obj out[4];

	for (int i = 0; i < 4; i++)
		in[i] = mp_i64(i);
	T_CHECK(mp_queue_put_many(argument, in, 4, 0) == 4);
	T_CHECK(mp_queue_get_many(argument, 0, out, 4) == 4);
	return 0;
}

Test(queue_many, killed_in_the_middle_of_a_batch)
{
	const struct {
		const char *point;
		size_t left;
		int first;
	} steps[] = {{"queue.many.committed", 1, 0}, {"queue.put.rung", 4, 0},
		{"queue.get.copied", 4, 0}, {"queue.get.consumed", 3, 1}};

	for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
		mp_queue *q = make(NULL);
		mp_obj out[4];
		t_arm(steps[i].point, "kill");
		struct t_child child = t_spawn(put_and_get, q);
		t_expect_signal(&child, SIGKILL);
		cr_assert(t_fired());
		t_disarm();
		cr_assert_eq(mp_queue_size(q), steps[i].left);
		T_RESULT(mp_queue_get_many(q, MP_NOWAIT, out, 4), steps[i].left);
		for (size_t k = 0; k < steps[i].left; k++)
			cr_assert_eq(mp_obj_i64(&out[k]), steps[i].first + (int)k);
		mp_queue_close(q);
	}
}

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
static int put_too_much(void *argument)
{
	enum { HALF = 200 << 20 };
	struct rlimit limit = {UINT64_C(2) << 30, UINT64_C(2) << 30};
	mp_queue *q = argument;
	char *large = malloc(HALF);
	mp_obj in[4];

	T_CHECK(large != NULL);
	memset(large, 'x', HALF);
	for (int i = 0; i < 4; i++)
		in[i] = mp_bytes(large, HALF);
	T_CHECK(setrlimit(RLIMIT_AS, &limit) == 0);
	T_CHECK(mp_queue_put_many(q, in, 4, 0) == -ENOMEM);
	T_CHECK(mp_queue_empty(q));
	free(large);
	return 0;
}

Test(queue_many, a_batch_that_memory_is_too_small_for)
{
	mp_queue *q = make(MP_QUEUE_OPTIONS(.max_bytes = UINT64_C(1) << 28));
	struct t_child child = t_spawn(put_too_much, q);

	t_expect_exit(&child, 0);
	mp_queue_close(q);
}
#endif
