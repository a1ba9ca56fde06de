/* SPDX-License-Identifier: MIT */
/* Queues: order, limits, ends, and every error. Names of Python's tests where they have one. */
#include <config.h>

#include "tests/support/queues.h"

#include <sys/resource.h>

T_SUITE(queue);

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

static int answer_twice(void *argument)
{
	mp_queue **q = argument;
	mp_obj value;

	for (int i = 0; i < 2; i++) {
		T_CHECK(mp_queue_get(q[0], T_TIMEOUT_MS, &value) == 0);
		T_CHECK(mp_queue_put(q[1], value, T_TIMEOUT_MS) == 0);
	}
	return 0;
}

Test(queue, test_empty)
{
	mp_queue *q[2] = {make(NULL), make(NULL)};
	struct t_child c = t_spawn(answer_twice, q);

	for (int i = 0; i < 2; i++) {
		cr_assert(mp_queue_empty(q[1]));
		T_OK(mp_queue_put(q[0], mp_i64(i), 0));
		cr_assert_eq(get_i64(q[1]), i);
		/* What has come back has been taken: none of it lags behind. */
		cr_assert(mp_queue_empty(q[0]));
	}
	t_expect_exit(&c, 0);
	mp_queue_close(q[0]);
	mp_queue_close(q[1]);
}

static int put_by_a_child(int argc, const mp_obj *argv)
{
	(void)argc;
	return mp_queue_put(mp_obj_queue(&argv[0]), mp_i64(getpid()), T_TIMEOUT_MS);
}

static int start_a_child(int argc, const mp_obj *argv)
{
	mp_process *p;

	(void)argc;
	T_CHECK(mp_process_new(
			put_by_a_child, MP_ARGS(mp_handle(mp_obj_queue(&argv[0]))), NULL, &p) == 0);
	T_CHECK(mp_process_start(p) == 0);
	T_CHECK(mp_process_join(p, T_TIMEOUT_MS) == 0);
	return mp_process_close(p);
}

Test(queue, test_queue_in_process)
{
	mp_queue *q = make(NULL);
	mp_process *p;

	T_OK(mp_process_new(start_a_child, MP_ARGS(mp_handle(q)), NULL, &p));
	T_OK(mp_process_start(p));
	int64_t pid = get_i64(q);
	cr_assert(pid > 0 && pid != getpid() && pid != mp_process_pid(p));
	T_OK(mp_process_join(p, T_TIMEOUT_MS));
	mp_process_close(p);
	mp_queue_close(q);
}

static void *put_one(void *argument)
{
	wait_for_sleeper(&((mp_queue *)argument)->control->items_bell);
	return (void *)(intptr_t)mp_queue_put(argument, mp_i64(5), -7);
}

Test(queue, any_negative_timeout_is_for_ever)
{
	mp_queue *q = make(NULL);
	pthread_t thread;
	mp_obj value;

	cr_assert_eq(pthread_create(&thread, NULL, put_one, q), 0);
	T_OK(mp_queue_get(q, INT32_MIN, &value));
	cr_assert_eq(mp_obj_i64(&value), 5);
	cr_assert_eq(joined(thread), 0);
	mp_queue_close(q);
}

/* A signal handler that interrupts a call in the middle of a change. */
Test(queue, a_call_within_a_call_is_an_error)
{
	mp_queue *q = make(NULL);
	mp_obj value;

	T_OK(mp_queue_put(q, mp_i64(1), 0));
	q->control->put_guard = q->control->get_guard = mp__stamp_self();
	T_RESULT(mp_queue_put(q, mp_i64(2), MP_FOREVER), -EDEADLK);
	T_RESULT(mp_queue_get(q, MP_FOREVER, &value), -EDEADLK);
	q->control->put_guard = q->control->get_guard = 0;
	cr_assert_eq(get_i64(q), 1);
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
