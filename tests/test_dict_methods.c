/* SPDX-License-Identifier: MIT */
/* What dicts can do at once: sums, swaps, transactions; and being told of changes. */
#include <config.h>

#include "tests/support/daemon.h"

#include <mp.h>
#include <pthread.h>

T_SUITE(dict_methods);
T_SUITE(transaction);
T_SUITE(proxy_watch);

#define LONG_MS 60000
#define I(n) mp_i64(n)
#define S(text) mp_str(text)

static mp_manager *m;
static mp_dict *d;

static void open_dict(void)
{
	m = t_manager();
	d = t_dict(m, NULL);
}

static void close_dict(void)
{
	mp_dict_close(d);
	mp_manager_close(m);
}

static void expect_items(mp_obj wanted)
{
	mp_obj items;

	T_OK(mp_dict_items(d, &items));
	t_expect_value(&items, wanted);
}

/* --- one key ------------------------------------------------------------------------------------ */

Test(dict_methods, add)
{
	mp_obj sum;

	open_dict();
	T_OK(mp_dict_add(d, S("n"), I(5), &sum));
	cr_assert_eq(mp_obj_i64(&sum), 5);
	T_OK(mp_dict_add(d, S("n"), I(-7), NULL));
	T_OK(mp_dict_add(d, S("n"), mp_u64(1), &sum));
	cr_assert_eq(mp_obj_i64(&sum), -1);
	T_OK(mp_dict_add(d, S("f"), mp_f64(0.5), NULL));
	T_OK(mp_dict_add(d, S("f"), I(1), NULL));
	T_OK(mp_dict_set(d, S("s"), S("text")));
	T_RESULT(mp_dict_add(d, S("s"), I(1), NULL), -EINVAL);
	T_RESULT(mp_dict_add(d, S("n"), S("1"), NULL), -EINVAL);
	T_RESULT(mp_dict_add(d, S("new"), mp_nil(), NULL), -EINVAL);
	T_RESULT(mp_dict_add(d, MP_LIST(), I(1), NULL), -EINVAL);
	T_OK(mp_dict_set(d, S("max"), I(INT64_MAX)));
	T_RESULT(mp_dict_add(d, S("max"), I(1), NULL), -EOVERFLOW);
	T_RESULT(mp_dict_add(NULL, S("n"), I(1), NULL), -EINVAL);
	expect_items(MP_DICT(
		S("n"), I(-1), S("f"), mp_f64(1.5), S("s"), S("text"), S("max"), I(INT64_MAX)));
	close_dict();
}

Test(dict_methods, compare_and_swap)
{
	open_dict();
	T_RESULT(mp_dict_compare_and_swap(d, I(1), mp_nil(), S("new")), -ENOENT);
	T_OK(mp_dict_set(d, I(1), MP_LIST(I(1), I(2))));
	T_RESULT(mp_dict_compare_and_swap(d, mp_u64(1), MP_LIST(mp_u64(1), I(2)), S("new")), 1);
	T_RESULT(mp_dict_compare_and_swap(d, I(1), MP_LIST(I(1), I(2)), S("newer")), 0);
	t_expect_get(d, I(1), S("new"));
	close_dict();
}

Test(dict_methods, get_many)
{
	mp_obj found;

	open_dict();
	for (int64_t i = 0; i < 10; i++)
		T_OK(mp_dict_set(d, I(i), I(i * i)));
	T_OK(mp_dict_get_many(d, MP_LIST(I(3), S("none"), mp_u64(7)), &found));
	t_expect_value(&found, MP_DICT(I(3), I(9), I(7), I(49)));
	T_OK(mp_dict_get_many(d, MP_LIST(), &found));
	t_expect_value(&found, MP_DICT());
	T_RESULT(mp_dict_get_many(d, I(3), &found), -EINVAL);
	T_RESULT(mp_dict_get_many(d, MP_LIST(mp_nil()), &found), -EINVAL);
	T_RESULT(mp_dict_get_many(d, MP_LIST(), NULL), -EINVAL);
	close_dict();
}

Test(dict_methods, popitem_takes_the_latest)
{
	mp_obj pair;

	open_dict();
	T_RESULT(mp_dict_popitem(d, &pair), -ENOENT);
	T_RESULT(mp_dict_popitem(d, NULL), -EINVAL);
	for (int64_t i = 0; i < 500; i++)
		T_OK(mp_dict_set(d, I(i), I(-i)));
	T_OK(mp_dict_set(d, I(3), S("again"))); /* keeps its place */
	T_OK(mp_dict_pop(d, I(498), NULL));
	for (int64_t i = 499; i > 3; i--) {
		if (i == 498)
			continue;
		T_OK(mp_dict_popitem(d, &pair));
		t_expect_value(&pair, MP_LIST(I(i), I(-i)));
	}
	T_OK(mp_dict_popitem(d, &pair));
	t_expect_value(&pair, MP_LIST(I(3), S("again")));
	T_OK(mp_dict_set(d, S("last"), mp_nil()));
	T_OK(mp_dict_popitem(d, &pair));
	t_expect_value(&pair, MP_LIST(S("last"), mp_nil()));
	expect_items(MP_DICT(I(0), I(0), I(1), I(-1), I(2), I(-2)));
	close_dict();
}

/* --- transactions ------------------------------------------------------------------------------- */

#define ANY MP_DICT_ANY_VERSION
#define TRANSACT(version, ...)                                      \
	mp_dict_transact(d, version, (mp_dict_step[]){__VA_ARGS__}, \
		sizeof((mp_dict_step[]){__VA_ARGS__}) / sizeof(mp_dict_step))

Test(transaction, all_steps_or_none)
{
	open_dict();
	T_OK(TRANSACT(ANY, {MP_DICT_SET, S("a"), I(1)}, {MP_DICT_ADD, S("a"), I(1)},
		{MP_DICT_EQUAL, S("a"), I(2)}, {MP_DICT_SET, S("b"), S("x")},
		{MP_DICT_DELETE, S("b"), mp_nil()}, {MP_DICT_ABSENT, S("b"), mp_nil()},
		{MP_DICT_ADD, S("c"), mp_f64(0.5)}, {MP_DICT_SET, I(1), MP_LIST()}));
	mp_obj wanted = MP_DICT(S("a"), I(2), S("c"), mp_f64(0.5), I(1), MP_LIST());
	expect_items(wanted);
	T_RESULT(TRANSACT(ANY, {MP_DICT_SET, S("a"), I(9)}, {MP_DICT_ABSENT, S("a"), mp_nil()}),
		-ESTALE);
	cr_assert_not_null(strstr(mp_error_detail(), "step 2"));
	T_RESULT(TRANSACT(ANY, {MP_DICT_DELETE, S("a"), mp_nil()},
			 {MP_DICT_DELETE, S("a"), mp_nil()}),
		-ESTALE);
	T_RESULT(
		TRANSACT(ANY, {MP_DICT_SET, S("z"), I(9)}, {MP_DICT_EQUAL, S("a"), I(3)}), -ESTALE);
	T_RESULT(TRANSACT(ANY, {MP_DICT_SET, S("z"), I(9)}, {MP_DICT_PRESENT, S("y"), mp_nil()}),
		-ESTALE);
	T_RESULT(TRANSACT(ANY, {MP_DICT_ADD, S("a"), I(1)}, {MP_DICT_AT_LEAST, S("a"), I(4)}),
		-ESTALE);
	T_RESULT(TRANSACT(ANY, {MP_DICT_SET, S("z"), I(1)}, {MP_DICT_ADD, I(1), I(1)}), -EINVAL);
	T_RESULT(TRANSACT(ANY, {MP_DICT_SET, S("z"), I(INT64_MAX)}, {MP_DICT_ADD, S("z"), I(1)}),
		-EOVERFLOW);
	expect_items(wanted);
	T_OK(TRANSACT(ANY, {MP_DICT_AT_LEAST, S("a"), mp_f64(1.5)},
		{MP_DICT_DELETE, S("a"), mp_nil()}, {MP_DICT_DELETE, S("c"), mp_nil()},
		{MP_DICT_DELETE, I(1), mp_nil()}));
	expect_items(MP_DICT());
	T_OK(mp_dict_transact(d, ANY, NULL, 0));
	close_dict();
}

Test(transaction, a_version_tells_whether_anything_has_changed)
{
	int64_t version, after;

	open_dict();
	T_OK(mp_dict_set(d, S("a"), I(1)));
	T_OK(mp_dict_version(d, &version));
	t_expect_get(d, S("a"), I(1));
	T_OK(mp_dict_version(d, &after));
	cr_assert_eq(after, version);
	T_OK(TRANSACT(version, {MP_DICT_SET, S("a"), I(2)}));
	T_RESULT(TRANSACT(version, {MP_DICT_SET, S("a"), I(3)}), -ESTALE);
	T_OK(mp_dict_version(d, &after));
	cr_assert_neq(after, version);
	/* What changes nothing leaves the version. */
	T_RESULT(TRANSACT(after, {MP_DICT_SET, S("b"), I(3)}, {MP_DICT_ABSENT, S("a"), mp_nil()}),
		-ESTALE);
	T_OK(TRANSACT(after, {MP_DICT_PRESENT, S("a"), mp_nil()}));
	T_OK(TRANSACT(after, {MP_DICT_ADD, S("a"), I(1)}));
	t_expect_get(d, S("a"), I(3));
	close_dict();
}

enum { STOCK = 100, BUYERS = 5 };

/* Buys until nothing is left; how many it got stands in the dict, under its number. */
static int buy(void *argument)
{
	mp_obj me = I((intptr_t)argument);
	int r;

	while ((r = TRANSACT(ANY, {MP_DICT_AT_LEAST, S("stock"), I(1)},
			{MP_DICT_ADD, S("stock"), I(-1)}, {MP_DICT_ADD, me, I(1)})) == 0)
		;
	return r != -ESTALE;
}

Test(transaction, a_stock_is_never_sold_twice)
{
	struct t_child buyers[BUYERS];
	int64_t sold = 0;

	open_dict();
	T_OK(mp_dict_set(d, S("stock"), I(STOCK)));
	for (intptr_t i = 0; i < BUYERS; i++)
		buyers[i] = t_spawn(buy, (void *)i);
	for (int i = 0; i < BUYERS; i++)
		t_expect_exit(&buyers[i], 0);
	for (int i = 0; i < BUYERS; i++) {
		mp_obj n;
		if (mp_dict_get(d, I(i), &n) == 0)
			sold += mp_obj_i64(&n);
	}
	cr_assert_eq(sold, STOCK);
	t_expect_get(d, S("stock"), I(0));
	close_dict();
}

static int sell_for_ever(void *argument)
{
	(void)argument;
	for (;;)
		T_CHECK(TRANSACT(ANY, {MP_DICT_ADD, S("stock"), I(-1)},
				{MP_DICT_ADD, S("sold"), I(1)}) == 0);
}

Test(transaction, a_buyer_that_is_killed_has_bought_or_not)
{
	open_dict();
	T_OK(mp_dict_set(d, S("stock"), I(1000000)));
	for (int i = 0; i < 20; i++) {
		mp_obj before, now, both;
		T_OK(mp_dict_get(d, S("stock"), &before));
		struct t_child child = t_spawn(sell_for_ever, NULL);
		do
			T_OK(mp_dict_get(d, S("stock"), &now));
		while (mp_obj_i64(&now) == mp_obj_i64(&before));
		t_kill(&child, SIGKILL);
		T_OK(mp_dict_get_many(d, MP_LIST(S("stock"), S("sold")), &both));
		cr_assert_eq(mp_obj_i64(mp_obj_get(&both, S("stock"))) +
				     mp_obj_i64(mp_obj_get(&both, S("sold"))),
			1000000);
		mp_obj_free(&both);
	}
	close_dict();
}

Test(transaction, objects_inside_are_kept_only_if_it_is_carried_out)
{
	mp_proxy *counter;
	mp_obj value;

	open_dict();
	T_OK(mp_manager_counter(m, NULL, 1, &counter));
	T_RESULT(TRANSACT(ANY, {MP_DICT_SET, S("c"), mp_handle(counter)},
			 {MP_DICT_ABSENT, S("c"), mp_nil()}),
		-ESTALE);
	T_OK(TRANSACT(ANY, {MP_DICT_SET, S("c"), mp_handle(counter)},
		{MP_DICT_SET, S("c"), MP_LIST(mp_handle(counter))}));
	T_OK(mp_proxy_close(counter));
	T_OK(mp_dict_get(d, S("c"), &value));
	T_OK(mp_counter_add(mp_obj_proxy(mp_obj_at(&value, 0)), 1, NULL));
	mp_obj_free(&value);
	T_OK(TRANSACT(ANY, {MP_DICT_DELETE, S("c"), mp_nil()}));
	close_dict();
}

Test(transaction, wrong_steps_are_errors)
{
	static mp_dict_step many[1025];
	mp_proxy *proxy;

	open_dict();
	T_RESULT(TRANSACT(ANY, {0, S("a"), I(1)}), -EINVAL);
	T_RESULT(TRANSACT(ANY, {8, S("a"), I(1)}), -EINVAL);
	T_RESULT(TRANSACT(ANY, {MP_DICT_SET, MP_LIST(), I(1)}), -EINVAL);
	T_RESULT(TRANSACT(ANY, {MP_DICT_SET, S("a"), mp_fd(0)}), -ENOTSUP);
	T_RESULT(mp_dict_transact(d, ANY, NULL, 1), -EINVAL);
	T_RESULT(mp_dict_transact(NULL, ANY, NULL, 0), -EINVAL);
	for (int i = 0; i < 1025; i++)
		many[i] = (mp_dict_step){MP_DICT_ADD, I(i % 700), I(1)};
	T_RESULT(mp_dict_transact(d, ANY, many, 1025), -EMSGSIZE);
	expect_items(MP_DICT());
	T_OK(mp_dict_transact(d, ANY, many, 1024));
	t_expect_get(d, I(0), I(2));
	/* As others may write them. */
	T_OK(mp_manager_open(m, "dict", NULL, mp_nil(), &proxy));
	const mp_obj wrong[] = {I(1), MP_LIST(), MP_LIST(S("set")), MP_LIST(S("set"), I(1)),
		MP_LIST(S("absent"), I(1), I(1)), MP_LIST(S("jump"), I(1)),
		MP_LIST(I(1), I(1), I(1)), MP_LIST(S("set"), I(1), I(1), I(1))};
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		T_RESULT(mp_proxy_call(proxy, "transact", MP_LIST(mp_nil(), MP_LIST(wrong[i])),
				 MP_NOWAIT, NULL),
			-EINVAL);
	T_RESULT(mp_proxy_call(proxy, "transact", MP_LIST(mp_nil(), I(1)), MP_NOWAIT, NULL),
		-EINVAL);
	mp_proxy_close(proxy);
	close_dict();
}

/* --- being told --------------------------------------------------------------------------------- */

static int change_it(void *argument)
{
	(void)argument;
	t_ready();
	T_CHECK(mp_dict_set(d, S("news"), I(1)) == 0);
	return 0;
}

Test(proxy_watch, who_watches_is_told_of_a_change)
{
	int64_t version, later;

	open_dict();
	T_OK(mp_dict_version(d, &version));
	T_RESULT(mp_dict_watch(d, version, MP_NOWAIT, NULL), -EAGAIN);
	T_RESULT(mp_dict_watch(d, version, 1, NULL), -ETIMEDOUT);
	struct t_child child = t_spawn(change_it, NULL);
	T_OK(mp_dict_watch(d, version, LONG_MS, &later));
	cr_assert_neq(later, version);
	t_expect_get(d, S("news"), I(1));
	/* It was another one already. */
	T_OK(mp_dict_watch(d, version, MP_NOWAIT, &version));
	cr_assert_eq(later, version);
	t_expect_exit(&child, 0);
	T_RESULT(mp_dict_version(d, NULL), -EINVAL);
	T_RESULT(mp_dict_version(NULL, &version), -EINVAL);
	T_RESULT(mp_dict_watch(NULL, version, 0, NULL), -EINVAL);
	close_dict();
}

static int watch_and_hang(void *argument)
{
	int64_t version;

	(void)argument;
	T_CHECK(mp_dict_version(d, &version) == 0);
	t_ready();
	return mp_dict_watch(d, version, MP_FOREVER, NULL);
}

Test(proxy_watch, many_watch_and_some_die)
{
	struct t_child watchers[6];

	open_dict();
	for (int i = 0; i < 6; i++) {
		watchers[i] = t_spawn(watch_and_hang, NULL);
		t_wait_ready(&watchers[i]);
	}
	t_kill(&watchers[2], SIGKILL);
	t_kill(&watchers[4], SIGKILL);
	T_OK(mp_dict_clear(d));
	for (int i = 0; i < 6; i++) {
		if (i != 2 && i != 4)
			t_expect_exit(&watchers[i], 0);
	}
	close_dict();
}

Test(proxy_watch, objects_of_each_type_are_watched)
{
	mp_proxy *list, *queue, *value, *counter;
	int64_t version;
	mp_obj got;

	m = t_manager();
	T_OK(mp_manager_list(m, NULL, &list));
	T_OK(mp_manager_queue(m, NULL, NULL, &queue));
	T_OK(mp_manager_value(m, NULL, mp_nil(), &value));
	T_OK(mp_manager_counter(m, NULL, 0, &counter));
	T_OK(mp_proxy_version(list, &version));
	T_OK(mp_list_append(list, I(1)));
	T_OK(mp_proxy_watch(list, version, MP_NOWAIT, NULL));
	T_OK(mp_proxy_version(queue, &version));
	T_OK(mp_served_queue_put(queue, I(1), MP_NOWAIT));
	T_OK(mp_proxy_watch(queue, version, MP_NOWAIT, &version));
	T_OK(mp_served_queue_get(queue, MP_NOWAIT, &got));
	T_OK(mp_proxy_watch(queue, version, MP_NOWAIT, NULL));
	T_OK(mp_proxy_version(value, &version));
	T_OK(mp_served_value_set(value, I(1)));
	T_OK(mp_proxy_watch(value, version, MP_NOWAIT, NULL));
	T_OK(mp_proxy_version(counter, &version));
	T_OK(mp_counter_add(counter, 1, NULL));
	T_OK(mp_proxy_watch(counter, version, MP_NOWAIT, NULL));
	mp_proxy_close(list);
	mp_proxy_close(queue);
	mp_proxy_close(value);
	mp_proxy_close(counter);
	mp_manager_close(m);
}
