/* SPDX-License-Identifier: MIT */
/* Served values and counters. Where CPython tests the same, the test has its name. */
#include <config.h>

#include "tests/support/daemon.h"

#include <mp.h>
#include <pthread.h>

T_SUITE(served_value);
T_SUITE(counter);

/* --- value ------------------------------------------------------------------------------------ */

static void expect_content(mp_proxy *value, mp_obj expected)
{
	mp_obj content;

	T_OK(mp_served_value_get(value, &content));
	t_expect_value(&content, expected);
}

Test(served_value, test_value)
{
	mp_manager *m = t_manager();
	mp_proxy *value;
	mp_obj old;

	T_OK(mp_manager_value(m, NULL, mp_i64(7), &value));
	expect_content(value, mp_i64(7));
	T_OK(mp_served_value_set(value, MP_LIST(mp_str("a"), mp_f64(1.5), mp_nil())));
	expect_content(value, MP_LIST(mp_str("a"), mp_f64(1.5), mp_nil()));
	T_OK(mp_served_value_exchange(value, mp_nil(), &old));
	t_expect_value(&old, MP_LIST(mp_str("a"), mp_f64(1.5), mp_nil()));
	T_OK(mp_served_value_exchange(value, mp_bool(true), NULL));
	expect_content(value, mp_bool(true));
	mp_proxy_close(value);
	mp_manager_close(m);
}

/* Who opens a value that is there leaves it as it is. */
Test(served_value, only_the_first_opening_sets_it)
{
	mp_manager *m = t_manager();
	mp_proxy *first;
	mp_proxy *second;

	T_OK(mp_manager_value(m, "v", mp_i64(1), &first));
	T_OK(mp_manager_value(m, "v", mp_i64(2), &second));
	expect_content(second, mp_i64(1));
	T_OK(mp_proxy_close(first));
	T_OK(mp_proxy_close(second));
	T_OK(mp_manager_value(m, "v", mp_i64(3), &first));
	expect_content(first, mp_i64(1));
	mp_proxy_close(first);
	mp_manager_close(m);
}

Test(served_value, objects_in_a_value_are_proxies_and_live_as_long_as_it)
{
	mp_manager *m = t_manager();
	mp_proxy *value;
	mp_proxy *counter;
	mp_obj content;
	int64_t n;

	T_OK(mp_manager_value(m, "v", mp_nil(), &value));
	T_OK(mp_manager_counter(m, NULL, 40, &counter));
	T_OK(mp_served_value_set(value, MP_LIST(mp_handle(counter), mp_handle(counter))));
	T_OK(mp_counter_add(counter, 2, NULL));
	T_OK(mp_proxy_close(counter));
	T_OK(mp_served_value_get(value, &content));
	mp_proxy *inner = mp_obj_proxy(mp_obj_at(&content, 1));
	cr_assert_str_eq(mp_proxy_type(inner), "counter");
	T_RESULT(mp_proxy_equal(inner, mp_obj_proxy(mp_obj_at(&content, 0))), 1);
	T_OK(mp_counter_get(inner, &n));
	cr_assert(n == 42);
	/* The value lets go of it; the proxy that was handed out keeps it. */
	T_OK(mp_served_value_set(value, mp_nil()));
	T_OK(mp_counter_add(inner, 1, &n));
	cr_assert(n == 43);
	counter = mp_proxy_ref(inner);
	mp_obj_free(&content);
	T_OK(mp_counter_get(counter, &n));
	cr_assert(n == 43);

	/* What an exchange takes out comes along, though nobody else has it. */
	T_OK(mp_served_value_set(value, mp_handle(counter)));
	mp_proxy_close(counter);
	T_OK(mp_served_value_exchange(value, mp_i64(1), &content));
	T_OK(mp_counter_get(mp_obj_proxy(&content), &n));
	cr_assert(n == 43);
	mp_obj_free(&content);
	mp_proxy_close(value);
	mp_manager_close(m);
}

Test(served_value, handles_of_other_things_are_refused)
{
	mp_manager *m = t_manager();
	mp_manager *other = t_manager();
	mp_proxy *value;
	mp_proxy *foreign;

	T_OK(mp_manager_value(m, NULL, mp_nil(), &value));
	T_OK(mp_manager_counter(other, NULL, 0, &foreign));
	T_RESULT(mp_served_value_set(value, mp_fd(0)), -ENOTSUP);
	T_RESULT(mp_served_value_set(value, mp_handle(m)), -ENOTSUP);
	T_RESULT(mp_served_value_set(value, mp_handle(foreign)), -ENOTSUP);
	mp_proxy_close(foreign);
	mp_manager_close(other);
	mp_proxy_close(value);
	mp_manager_close(m);
}

Test(served_value, mistakes_have_their_errors)
{
	mp_manager *m = t_manager();
	mp_proxy *value;
	mp_proxy *counter;
	mp_obj content;
	mp_obj deep = mp_i64(1);
	mp_obj lists[MP_OBJ_MAX_DEPTH];

	T_OK(mp_manager_value(m, "v", mp_nil(), &value));
	T_OK(mp_manager_counter(m, "c", 0, &counter));
	T_RESULT(mp_manager_value(NULL, NULL, mp_nil(), &value), -EINVAL);
	T_RESULT(mp_manager_value(m, NULL, mp_nil(), NULL), -EINVAL);
	T_RESULT(mp_manager_value(m, "c", mp_nil(), &counter), -EEXIST);
	T_RESULT(mp_served_value_get(value, NULL), -EINVAL);
	T_RESULT(mp_served_value_get(counter, &content), -EINVAL);
	T_RESULT(mp_served_value_get(NULL, &content), -EINVAL);
	T_RESULT(mp_served_value_set(value, (mp_obj){.type = 77}), -EINVAL);
	T_RESULT(mp_served_value_set(value, mp_strn("\xff", 1)), -EILSEQ);
	for (int i = 0; i < MP_OBJ_MAX_DEPTH; i++) {
		lists[i] = deep;
		deep = mp_list_of(&lists[i], 1);
	}
	T_RESULT(mp_served_value_set(value, deep), -EOVERFLOW);
	T_RESULT(mp_served_value_set(value, lists[MP_OBJ_MAX_DEPTH - 1]), 0);
	T_RESULT(mp_proxy_call(value, "set", MP_LIST(), 0, NULL), -EINVAL);
	T_RESULT(mp_proxy_call(value, "set", MP_LIST(mp_nil(), mp_nil()), 0, NULL), -EINVAL);
	mp_proxy_close(value);
	mp_proxy_close(counter);
	mp_manager_close(m);
}

/* --- counter ---------------------------------------------------------------------------------- */

Test(counter, counts)
{
	mp_manager *m = t_manager();
	mp_proxy *c;
	int64_t n;

	T_OK(mp_manager_counter(m, "c", 5, &c));
	T_OK(mp_counter_get(c, &n));
	cr_assert(n == 5);
	T_OK(mp_counter_add(c, -7, &n));
	cr_assert(n == -2);
	T_OK(mp_counter_set(c, INT64_MAX));
	T_RESULT(mp_counter_add(c, 1, &n), -EOVERFLOW);
	cr_assert(n == -2);
	T_OK(mp_counter_set(c, INT64_MIN));
	T_RESULT(mp_counter_add(c, -1, NULL), -EOVERFLOW);
	T_RESULT(mp_counter_compare_and_swap(c, INT64_MIN, 3, &n), 1);
	cr_assert(n == INT64_MIN);
	T_RESULT(mp_counter_compare_and_swap(c, 4, 5, &n), 0);
	cr_assert(n == 3);
	T_RESULT(mp_counter_compare_and_swap(c, 3, 9, NULL), 1);
	T_OK(mp_counter_get(c, &n));
	cr_assert(n == 9);
	mp_proxy_close(c);
	mp_manager_close(m);
}

static int add_some(void *argument)
{
	for (int i = 0; i < 100; i++)
		T_CHECK(mp_counter_add(argument, 1, NULL) == 0);
	return 0;
}

static void *add_in_thread(void *argument)
{
	return (void *)(intptr_t)add_some(argument);
}

Test(counter, no_addition_is_lost)
{
	mp_manager *m = t_manager();
	struct t_child children[3];
	pthread_t thread;
	mp_proxy *c;
	int64_t n;

	T_OK(mp_manager_counter(m, NULL, 0, &c));
	pthread_create(&thread, NULL, add_in_thread, c);
	for (int i = 0; i < 3; i++)
		children[i] = t_spawn(add_some, c);
	for (int i = 0; i < 3; i++)
		t_expect_exit(&children[i], 0);
	pthread_join(thread, NULL);
	T_OK(mp_counter_get(c, &n));
	cr_assert(n == 400);
	mp_proxy_close(c);
	mp_manager_close(m);
}

Test(counter, mistakes_have_their_errors)
{
	mp_manager *m = t_manager();
	mp_proxy *c;
	mp_proxy *lock;
	int64_t n;

	T_OK(mp_manager_counter(m, "c", 0, &c));
	T_OK(mp_manager_lock(m, "l", &lock));
	T_RESULT(mp_manager_counter(NULL, NULL, 0, &c), -EINVAL);
	T_RESULT(mp_manager_counter(m, NULL, 0, NULL), -EINVAL);
	T_RESULT(mp_manager_counter(m, "l", 0, &c), -EEXIST);
	T_RESULT(mp_manager_counter(m, "", 0, &c), -EINVAL);
	T_RESULT(mp_manager_counter(m, "\xff", 0, &c), -EILSEQ);
	T_RESULT(mp_manager_open(m, "counter", "x", MP_LIST(mp_str("1")), &c), -EINVAL);
	T_RESULT(mp_counter_get(c, NULL), -EINVAL);
	T_RESULT(mp_counter_get(lock, &n), -EINVAL);
	T_RESULT(mp_counter_add(NULL, 1, &n), -EINVAL);
	T_RESULT(mp_proxy_call(c, "add", MP_LIST(mp_f64(1)), 0, NULL), -EINVAL);
	T_RESULT(mp_proxy_call(c, "set", MP_LIST(mp_u64(UINT64_MAX)), 0, NULL), -ERANGE);
	mp_proxy_close(c);
	mp_proxy_close(lock);
	mp_manager_close(m);
}

/* --- refusals --------------------------------------------------------------------------------- */

/* What was asked of which object stands before what the daemon says. */
Test(served_value, a_refusal_names_method_and_object)
{
	mp_manager *m = t_manager();
	mp_proxy *counter;
	mp_proxy *other;
	mp_dict *visits;
	mp_obj value;

	T_OK(mp_manager_dict(m, "visits", &visits));
	T_RESULT(mp_dict_get(visits, mp_str("log"), &value), -ENOENT);
	cr_assert_str_eq(mp_error_detail(), "get of the dict 'visits': no such key");
	T_RESULT(mp_manager_counter(m, "visits", 0, &counter), -EEXIST);
	cr_assert(strncmp(mp_error_detail(), "opening the counter 'visits': ", 30) == 0, "%s",
		mp_error_detail());
	T_RESULT(mp_manager_open(m, NULL, "nothing", mp_nil(), &other), -ENOENT);
	cr_assert_str_eq(
		mp_error_detail(), "opening the object 'nothing': there is no object of that name");
	T_OK(mp_manager_counter(m, NULL, INT64_MAX, &counter));
	T_RESULT(mp_counter_add(counter, 1, NULL), -EOVERFLOW);
	cr_assert(
		strncmp(mp_error_detail(), "add of a counter: ", 18) == 0, "%s", mp_error_detail());
	T_RESULT(mp_proxy_call(counter, "polish", mp_nil(), MP_FOREVER, NULL), -ENOSYS);
	cr_assert(strncmp(mp_error_detail(), "polish of a counter: ", 21) == 0, "%s",
		mp_error_detail());
	mp_proxy_close(counter);
	mp_dict_close(visits);
	mp_manager_close(m);
}
