/* SPDX-License-Identifier: MIT */
/* Proxies inside of arguments and values, when the daemon is another one than it was. */
#include <config.h>

#include "tests/support/daemon.h"

#include <errno.h>
#include <mp.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

T_SUITE(served_restart);

#define I(n) mp_i64(n)
#define S(text) mp_str(text)

static struct t_daemon daemon_;
static mp_manager *m;
static mp_dict *dict;
static mp_proxy *list;
static mp_proxy *counter;

static void begin(void)
{
	daemon_ = t_daemon_start(NULL);
	T_OK(mp_manager_connect(daemon_.address, T_PATIENT, &m));
	T_OK(mp_manager_dict(m, "dict", &dict));
	T_OK(mp_manager_list(m, "list", &list));
	T_OK(mp_manager_counter(m, "counter", 7, &counter));
}

static void end(void)
{
	mp_dict_close(dict);
	mp_proxy_close(list);
	mp_proxy_close(counter);
	mp_manager_close(m);
	t_daemon_stop(&daemon_);
}

/* The next request finds a new one, without noticing that the old one is gone. */
static void restart(void)
{
	int r;

	t_daemon_kill(&daemon_);
	t_daemon_restart(&daemon_);
	while ((r = mp_manager_ping(m)) == -EPIPE)
		;
	T_OK(r);
}

/* The value is a proxy of the object that `proxy` stands for. */
static void expect_object(mp_obj *value, mp_proxy *proxy)
{
	mp_proxy *found = mp_obj_proxy(value);
	int64_t a, b;

	cr_assert(found != NULL);
	T_OK(mp_proxy_version(found, &a));
	T_OK(mp_proxy_version(proxy, &b));
	cr_assert(a == b && mp_proxy_equal(found, proxy));
	mp_obj_free(value);
}

Test(served_restart, named_objects_in_arguments_are_found_again)
{
	mp_obj value;

	begin();
	restart();
	T_OK(mp_list_append(list, mp_handle(counter)));
	T_OK(mp_list_get(list, 0, &value));
	expect_object(&value, counter);
	restart();
	T_OK(mp_dict_set(dict, S("c"), mp_handle(counter)));
	T_OK(mp_dict_get(dict, S("c"), &value));
	expect_object(&value, counter);
	restart();
	T_OK(mp_dict_update(dict, MP_DICT(S("l"), mp_handle(list), S("c"), mp_handle(counter))));
	T_OK(mp_dict_get(dict, S("l"), &value));
	expect_object(&value, list);
	restart();
	cr_assert_eq(mp_dict_setdefault(dict, S("c"), mp_handle(counter), &value), 1);
	expect_object(&value, counter);
	restart();
	T_OK(mp_proxy_call(list, "extend", MP_LIST(MP_LIST(mp_handle(counter), mp_handle(dict))),
		MP_NOWAIT, NULL));
	T_OK(mp_list_get(list, 0, &value));
	expect_object(&value, counter);
	end();
}

/* More than stands on the stack, and more than one call. */
Test(served_restart, also_in_large_arguments_and_in_many_calls)
{
	static char text[100000];
	mp_obj value;

	begin();
	restart();
	T_OK(mp_list_append(list, MP_LIST(mp_bytes(text, sizeof(text)), mp_handle(counter))));
	restart();
	const mp_obj arguments[] = {mp_handle(counter), mp_handle(dict)};
	mp_call calls[] = {{mp_handle(list), "append", mp_list_of(&arguments[0], 1), 0, mp_nil()},
		{mp_handle(list), "append", mp_list_of(&arguments[1], 1), 0, mp_nil()},
		{mp_handle(list), "len", mp_nil(), 0, mp_nil()}};
	T_OK(mp_call_many(calls, 3, MP_NOWAIT));
	cr_assert_eq(mp_obj_i64(&calls[2].value), 2);
	T_OK(mp_list_get(list, 1, &value));
	mp_dict *found = mp_obj_dict(&value);
	T_OK(mp_dict_set(found, S("k"), I(1)));
	t_expect_get(dict, S("k"), I(1));
	mp_obj_free(&value);
	end();
}

Test(served_restart, what_has_no_name_is_gone_and_that_is_said)
{
	mp_proxy *nameless;
	mp_obj value;
	size_t n;

	begin();
	T_OK(mp_manager_counter(m, NULL, 1, &nameless));
	restart();
	T_RESULT(mp_list_append(list, mp_handle(nameless)), -EPIPE);
	cr_assert(strstr(mp_error_detail(), "a counter in an argument"), "%s", mp_error_detail());
	T_RESULT(mp_dict_set(dict, S("c"), MP_LIST(mp_handle(nameless))), -EPIPE);
	T_RESULT(mp_dict_setdefault(dict, S("c"), mp_handle(nameless), &value), -EPIPE);
	T_RESULT(mp_dict_update(dict, MP_DICT(S("c"), mp_handle(nameless))), -EPIPE);
	T_OK(mp_list_len(list, &n));
	cr_assert_eq(n, 0);
	cr_assert_eq(mp_dict_contains(dict, S("c")), 0);
	T_OK(mp_list_append(list, mp_handle(counter)));
	mp_proxy_close(nameless);
	end();
}

/* A value that is made again is made with the object of today. */
Test(served_restart, objects_are_made_again_with_the_objects_they_were_made_with)
{
	mp_proxy *value;
	mp_obj content;

	begin();
	T_OK(mp_manager_value(m, "value", MP_LIST(mp_handle(counter)), &value));
	restart();
	T_OK(mp_served_value_get(value, &content));
	int64_t n = 0;
	T_OK(mp_counter_add(mp_obj_proxy(mp_obj_at(&content, 0)), 1, &n));
	cr_assert_eq(n, 8); /* the counter itself was made again, too */
	T_OK(mp_counter_get(counter, &n));
	cr_assert_eq(n, 8);
	mp_obj_free(&content);
	mp_proxy_close(value);
	end();
}

/* What it was made with is gone; if somebody else has made it again, that does not matter. */
Test(served_restart, an_object_that_is_there_needs_nothing_to_be_made_with)
{
	mp_proxy *nameless, *value, *others;
	mp_obj content;

	begin();
	T_OK(mp_manager_counter(m, NULL, 1, &nameless));
	T_OK(mp_manager_value(m, "value", mp_handle(nameless), &value));
	restart();
	T_RESULT(mp_served_value_get(value, &content), -EPIPE);
	T_OK(mp_manager_value(m, "value", I(5), &others));
	T_OK(mp_served_value_get(value, &content));
	t_expect_value(&content, I(5));
	mp_proxy_close(others);
	mp_proxy_close(value);
	mp_proxy_close(nameless);
	end();
}

#define CHAIN 70

Test(served_restart, a_long_chain_of_objects_is_made_from_its_end)
{
	mp_proxy *chain[CHAIN];
	mp_obj content;
	char name[16];

	begin();
	for (int i = 0; i < CHAIN; i++) {
		snprintf(name, sizeof(name), "v%d", i);
		T_OK(mp_manager_value(m, name, i == 0 ? I(0) : mp_handle(chain[i - 1]), &chain[i]));
	}
	restart();
	T_RESULT(mp_served_value_get(chain[CHAIN - 1], &content), -EOVERFLOW);
	T_OK(mp_served_value_get(chain[CHAIN / 2], &content));
	mp_obj_free(&content);
	T_OK(mp_served_value_get(chain[CHAIN - 1], &content));
	expect_object(&content, chain[CHAIN - 2]);
	for (int i = 0; i < CHAIN; i++)
		mp_proxy_close(chain[i]);
	end();
}

/* --- other processes ------------------------------------------------------------------------------ */

static int append_in_child(void *argument)
{
	(void)argument;
	T_CHECK(mp_list_append(list, mp_handle(counter)) == 0);
	T_CHECK(mp_dict_set(dict, S("c"), mp_handle(counter)) == 0);
	return 0;
}

Test(served_restart, a_forked_child_has_a_connection_of_its_own_for_arguments_too)
{
	mp_obj value;

	begin();
	struct t_child child = t_spawn(append_in_child, NULL);
	t_expect_exit(&child, 0);
	restart();
	child = t_spawn(append_in_child, NULL);
	t_expect_exit(&child, 0);
	T_OK(mp_dict_get(dict, S("c"), &value));
	expect_object(&value, counter);
	end();
}

static _Atomic int *rounds;

static int append_for_ever(void *argument)
{
	(void)argument;
	for (;;) {
		int r = mp_list_append(list, MP_LIST(mp_handle(counter), mp_handle(dict)));
		T_CHECK(r == 0 || r == -EPIPE);
		r = mp_dict_set(dict, S("l"), mp_handle(list));
		T_CHECK(r == 0 || r == -EPIPE);
		if (r == 0)
			atomic_fetch_add(rounds, 1);
	}
}

static void wait_for_a_round(const struct t_child *child)
{
	int seen = atomic_load(rounds);

	while (atomic_load(rounds) == seen) {
		struct pollfd ended = {.fd = child->pidfd, .events = POLLIN};
		cr_assert_eq(poll(&ended, 1, 1), 0);
	}
}

/* Wherever it dies: what is sent is known to who gets it, or that is said. */
Test(served_restart, a_daemon_that_dies_again_and_again)
{
	rounds = mmap(
		NULL, sizeof(*rounds), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	cr_assert(rounds != MAP_FAILED);
	begin();
	struct t_child child = t_spawn(append_for_ever, NULL);
	for (int i = 0; i < 10; i++) {
		wait_for_a_round(&child);
		t_daemon_kill(&daemon_);
		t_daemon_restart(&daemon_);
	}
	wait_for_a_round(&child);
	t_kill(&child, SIGKILL);
	munmap(rounds, sizeof(*rounds));
	while (mp_manager_ping(m) == -EPIPE)
		;
	end();
}
