/* SPDX-License-Identifier: MIT */
/* Many calls of served objects on one way to the daemon and back. */
#include <config.h>

#include "base/cleanup.h"
#include "tests/support/daemon.h"

#include <errno.h>
#include <mp.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

T_SUITE(call_many);

#define I(n) mp_i64(n)
#define S(text) mp_str(text)
#define MANY 1000
#define THREADS 4
#define ROUNDS 50

static mp_manager *m;
static mp_dict *dict;
static mp_proxy *counter;

static void open_all(void)
{
	m = t_manager();
	dict = t_dict(m, NULL);
	T_OK(mp_manager_counter(m, NULL, 0, &counter));
}

static void close_all(void)
{
	mp_dict_close(dict);
	mp_proxy_close(counter);
	mp_manager_close(m);
}

static mp_call call_of(mp_obj object, const char *method, mp_obj args)
{
	return (mp_call){.object = object, .method = method, .args = args, .result = 77};
}

static void expect_i64(const mp_call *call, int64_t wanted)
{
	cr_assert_eq(call->result, 0);
	cr_assert_eq(call->value.type, (uint32_t)MP_TYPE_I64);
	cr_assert_eq(mp_obj_i64(&call->value), wanted);
}

Test(call_many, each_has_its_own_value_in_order)
{
	static mp_call calls[MANY];
	mp_obj one = MP_LIST(I(1));

	open_all();
	for (int i = 0; i < MANY; i++)
		calls[i] = call_of(mp_handle(counter), "add", one);
	T_OK(mp_call_many(calls, MANY, MP_NOWAIT));
	for (int i = 0; i < MANY; i++)
		expect_i64(&calls[i], i + 1);
	close_all();
}

Test(call_many, of_several_objects_where_each_sees_what_those_before_it_did)
{
	open_all();
	mp_call calls[] = {
		call_of(mp_handle(dict), "set", MP_LIST(S("bolts"), I(500))),
		call_of(mp_handle(dict), "add", MP_LIST(S("bolts"), I(-20))),
		call_of(mp_handle(counter), "set", MP_LIST(I(7))),
		call_of(mp_handle(dict), "get", MP_LIST(S("bolts"))),
		call_of(mp_handle(dict), "contains", MP_LIST(S("nuts"))),
		call_of(mp_handle(dict), "delete", MP_LIST(S("bolts"))),
		call_of(mp_handle(dict), "len", mp_nil()),
		call_of(mp_handle(counter), "get", mp_nil()),
	};
	T_OK(mp_call_many(calls, MP__COUNT_OF(calls), MP_NOWAIT));
	cr_assert_eq(calls[0].value.type, (uint32_t)MP_TYPE_NIL);
	expect_i64(&calls[1], 480);
	expect_i64(&calls[3], 480);
	cr_assert_not(calls[4].value.as.boolean);
	expect_i64(&calls[6], 0);
	expect_i64(&calls[7], 7);
	close_all();
}

Test(call_many, one_that_fails_holds_up_no_other)
{
	open_all();
	mp_call calls[] = {
		call_of(mp_handle(counter), "add", MP_LIST(I(1))),
		call_of(mp_handle(dict), "get", MP_LIST(S("nobody"))),
		call_of(mp_handle(counter), "add", MP_LIST(S("x"))),
		call_of(mp_handle(counter), "nonsense", mp_nil()),
		call_of(mp_handle(counter), "add", MP_LIST(I(1))),
	};
	T_RESULT(mp_call_many(calls, MP__COUNT_OF(calls), MP_NOWAIT), -ENOENT);
	cr_assert(strstr(mp_error_detail(), "no such key"), "%s", mp_error_detail());
	expect_i64(&calls[0], 1);
	cr_assert_eq(calls[1].result, -ENOENT);
	cr_assert_eq(calls[1].value.type, (uint32_t)MP_TYPE_NIL);
	cr_assert_eq(calls[2].result, -EINVAL);
	cr_assert_eq(calls[3].result, -ENOSYS);
	expect_i64(&calls[4], 2);
	close_all();
}

/* Also where it is one among others that could have gone together. */
Test(call_many, bad_calls_are_said_each_for_itself)
{
	open_all();
	mp_call calls[] = {
		call_of(mp_nil(), "get", mp_nil()),
		call_of(mp_handle(counter), NULL, mp_nil()),
		call_of(mp_handle(counter), "add", I(1)),
		call_of(mp_handle(counter), "\xff", mp_nil()),
		call_of(mp_handle(counter), "add", MP_LIST(I(1))),
	};
	T_RESULT(mp_call_many(calls, MP__COUNT_OF(calls), MP_NOWAIT), -EINVAL);
	cr_assert_eq(calls[0].result, -EINVAL);
	cr_assert_eq(calls[1].result, -EINVAL);
	cr_assert_eq(calls[2].result, -EINVAL);
	cr_assert_eq(calls[3].result, -EILSEQ);
	expect_i64(&calls[4], 1);
	T_RESULT(mp_call_many(calls + 4, 1, -2), -EINVAL);
	T_RESULT(mp_call_many(NULL, 1, MP_NOWAIT), -EINVAL);
	T_OK(mp_call_many(NULL, 0, MP_NOWAIT));
	close_all();
}

Test(call_many, one_that_is_too_large_goes_alone)
{
	size_t size = (size_t)65 << 20;
	void *large = calloc(1, size);

	open_all();
	cr_assert_not_null(large);
	mp_call calls[] = {
		call_of(mp_handle(counter), "add", MP_LIST(I(1))),
		call_of(mp_handle(dict), "set", MP_LIST(S("large"), mp_bytes(large, size))),
		call_of(mp_handle(counter), "add", MP_LIST(I(1))),
	};
	T_RESULT(mp_call_many(calls, MP__COUNT_OF(calls), MP_NOWAIT), -EMSGSIZE);
	expect_i64(&calls[0], 1);
	cr_assert_eq(calls[1].result, -EMSGSIZE);
	expect_i64(&calls[2], 2);
	free(large);
	close_all();
}

/* Larger than what the sockets hold: requests and replies have to flow at the same time. */
Test(call_many, large_values_both_ways)
{
	mp_call calls[64];
	size_t size = 300000;
	char *data = malloc(size);

	open_all();
	cr_assert_not_null(data);
	memset(data, 'x', size);
	mp_obj set = MP_LIST(S("large"), mp_bytes(data, size));
	mp_obj get = MP_LIST(S("large"));
	for (int i = 0; i < 64; i += 2) {
		calls[i] = call_of(mp_handle(dict), "set", set);
		calls[i + 1] = call_of(mp_handle(dict), "get", get);
	}
	T_OK(mp_call_many(calls, 64, MP_NOWAIT));
	for (int i = 1; i < 64; i += 2)
		t_expect_value(&calls[i].value, mp_bytes(data, size));
	free(data);
	close_all();
}

Test(call_many, one_may_wait_for_a_later_one)
{
	mp_proxy *queue;

	open_all();
	T_OK(mp_manager_queue(m, NULL, NULL, &queue));
	mp_call calls[] = {
		call_of(mp_handle(queue), "get", mp_nil()),
		call_of(mp_handle(queue), "put", MP_LIST(I(5))),
	};
	T_OK(mp_call_many(calls, 2, MP_FOREVER));
	expect_i64(&calls[0], 5);
	mp_proxy_close(queue);
	close_all();
}

Test(call_many, each_has_the_timeout)
{
	mp_proxy *event;

	open_all();
	T_OK(mp_manager_event(m, NULL, &event));
	mp_call calls[] = {
		call_of(mp_handle(event), "wait", mp_nil()),
		call_of(mp_handle(counter), "add", MP_LIST(I(1))),
	};
	T_RESULT(mp_call_many(calls, 2, 20), -ETIMEDOUT);
	cr_assert_eq(calls[0].result, -ETIMEDOUT);
	expect_i64(&calls[1], 1);
	T_RESULT(mp_call_many(calls, 2, MP_NOWAIT), -EAGAIN);
	expect_i64(&calls[1], 2);
	mp_proxy_close(event);
	close_all();
}

Test(call_many, of_two_daemons)
{
	mp_manager *other = t_manager();
	mp_proxy *its;

	open_all();
	T_OK(mp_manager_counter(other, NULL, 100, &its));
	mp_call calls[] = {
		call_of(mp_handle(counter), "add", MP_LIST(I(1))),
		call_of(mp_handle(its), "add", MP_LIST(I(1))),
		call_of(mp_handle(counter), "add", MP_LIST(I(1))),
	};
	T_OK(mp_call_many(calls, 3, MP_NOWAIT));
	expect_i64(&calls[0], 1);
	expect_i64(&calls[1], 101);
	expect_i64(&calls[2], 2);
	mp_proxy_close(its);
	mp_manager_close(other);
	close_all();
}

Test(call_many, proxies_come_back)
{
	mp_proxy *inner;
	int64_t n = -1;

	open_all();
	T_OK(mp_manager_counter(m, NULL, 3, &inner));
	T_OK(mp_dict_set(dict, S("inner"), mp_handle(inner)));
	mp_proxy_close(inner);
	mp_call calls[] = {
		call_of(mp_handle(dict), "get", MP_LIST(S("inner"))),
		call_of(mp_handle(dict), "delete", MP_LIST(S("inner"))),
	};
	T_OK(mp_call_many(calls, 2, MP_NOWAIT));
	T_OK(mp_counter_get(mp_obj_proxy(&calls[0].value), &n));
	cr_assert_eq(n, 3);
	mp_obj_free(&calls[0].value);
	close_all();
}

static void *add_many(void *unused)
{
	static _Thread_local mp_call calls[100];
	mp_obj one = MP_LIST(I(1));

	for (int round = 0; round < ROUNDS; round++) {
		for (int i = 0; i < 100; i++)
			calls[i] = call_of(mp_handle(counter), "add", one);
		if (mp_call_many(calls, 100, MP_NOWAIT) < 0)
			return calls;
		for (int i = 1; i < 100; i++) {
			if (mp_obj_i64(&calls[i].value) <= mp_obj_i64(&calls[i - 1].value))
				return calls; /* not in order */
		}
	}
	return unused;
}

Test(call_many, by_several_threads_at_once)
{
	pthread_t threads[THREADS];
	void *failed;
	int64_t n;

	open_all();
	for (int i = 0; i < THREADS; i++)
		cr_assert_eq(pthread_create(&threads[i], NULL, add_many, NULL), 0);
	for (int i = 0; i < THREADS; i++) {
		cr_assert_eq(pthread_join(threads[i], &failed), 0);
		cr_assert_null(failed);
	}
	T_OK(mp_counter_get(counter, &n));
	cr_assert_eq(n, THREADS * ROUNDS * 100);
	close_all();
}

struct victim {
	pid_t pid;
	int64_t version;
};

static int kill_when_it_has_changed(void *argument)
{
	const struct victim *daemon = argument;

	T_CHECK(mp_proxy_watch(counter, daemon->version, MP_FOREVER, NULL) == 0);
	T_CHECK(kill(daemon->pid, SIGKILL) == 0);
	return 0;
}

/* Nobody hangs, and each call says that it is not known whether it was made. */
Test(call_many, the_daemon_is_killed_meanwhile)
{
	mp_call calls[100];
	struct victim daemon;
	mp_proxy *event;

	open_all();
	T_OK(mp_manager_event(m, NULL, &event));
	daemon.pid = mp_manager_pid(m);
	T_OK(mp_proxy_version(counter, &daemon.version));
	calls[0] = call_of(mp_handle(counter), "add", MP_LIST(I(1)));
	for (int i = 1; i < 100; i++)
		calls[i] = call_of(mp_handle(event), "wait", mp_nil());
	struct t_child killer = t_spawn(kill_when_it_has_changed, &daemon);
	T_RESULT(mp_call_many(calls, 100, MP_FOREVER), -EPIPE);
	t_expect_exit(&killer, 0);
	expect_i64(&calls[0], 1);
	for (int i = 1; i < 100; i++) {
		cr_assert_eq(calls[i].result, -EPIPE);
		cr_assert_eq(calls[i].value.type, (uint32_t)MP_TYPE_NIL);
	}
	mp_proxy_close(event);
	close_all();
}

static int call_64_times(void *unused)
{
	mp_call calls[64];
	mp_obj one = MP_LIST(I(1));

	(void)unused;
	for (int i = 0; i < 64; i++)
		calls[i] = call_of(mp_handle(counter), "add", one);
	return mp_call_many(calls, 64, MP_NOWAIT);
}

/* What was sent is done, each call whole; the daemon and the others go on. */
Test(call_many, the_caller_is_killed_meanwhile)
{
	const char *points[] = {"manager.call.begun", "manager.call.sent", "manager.call.received"};
	int64_t n = -1;

	open_all();
	for (size_t i = 0; i < MP__COUNT_OF(points); i++) {
		t_arm(points[i], "kill");
		struct t_child child = t_spawn(call_64_times, NULL);
		t_expect_signal(&child, SIGKILL);
		t_disarm();
		cr_assert_eq(call_64_times(NULL), 0);
	}
	T_OK(mp_counter_get(counter, &n));
	cr_assert(n >= 3 * 64 && n <= 6 * 64, "%lld", (long long)n);
	close_all();
}
