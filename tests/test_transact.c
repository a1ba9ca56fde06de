/* SPDX-License-Identifier: MIT */
/* Several served objects that change together or not at all. */
#include <config.h>

#include "tests/support/daemon.h"

#include <errno.h>
#include <mp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

T_SUITE(transact);

#define LONG_MS 60000
#define BUYERS 5
#define STOCK 100
#define PRICE 3
#define MANY 1000000
#define I(n) mp_i64(n)
#define S(text) mp_str(text)
#define NO_KEY mp_nil()

static mp_manager *m;
static mp_dict *stock;
static mp_dict *sold;
static mp_proxy *money;
static mp_proxy *note;

static void open_all(void)
{
	m = t_manager();
	stock = t_dict(m, "stock");
	sold = t_dict(m, NULL);
	T_OK(mp_manager_counter(m, NULL, 0, &money));
	T_OK(mp_manager_value(m, NULL, S("nothing yet"), &note));
}

static void close_all(void)
{
	mp_dict_close(stock);
	mp_dict_close(sold);
	mp_proxy_close(money);
	mp_proxy_close(note);
	mp_manager_close(m);
}

#define TRANSACT(...)                                  \
	mp_transact((mp_transact_step[]){__VA_ARGS__}, \
		sizeof((mp_transact_step[]){__VA_ARGS__}) / sizeof(mp_transact_step))

static void expect_items(mp_dict *dict, mp_obj wanted)
{
	mp_obj items;

	T_OK(mp_dict_items(dict, &items));
	t_expect_value(&items, wanted);
}

static void expect_note(mp_obj wanted)
{
	mp_obj content;

	T_OK(mp_served_value_get(note, &content));
	t_expect_value(&content, wanted);
}

static int64_t earned(void)
{
	int64_t n = -1;

	T_OK(mp_counter_get(money, &n));
	return n;
}

Test(transact, objects_of_every_kind_change_together_or_not_at_all)
{
	open_all();
	T_OK(mp_dict_set(stock, S("a"), I(5)));
	T_OK(TRANSACT({mp_handle(stock), MP_DICT_AT_LEAST, S("a"), I(2)},
		{mp_handle(stock), MP_DICT_ADD, S("a"), I(-2)},
		{mp_handle(sold), MP_DICT_SET, S("a"), I(2)},
		{mp_handle(sold), MP_DICT_ADD, S("a"), I(1)},
		{mp_handle(money), MP_DICT_ADD, NO_KEY, I(14)},
		{mp_handle(money), MP_DICT_AT_LEAST, NO_KEY, I(14)},
		{mp_handle(note), MP_DICT_EQUAL, NO_KEY, S("nothing yet")},
		{mp_handle(note), MP_DICT_SET, NO_KEY, MP_LIST(S("a"), I(2))}));
	expect_items(stock, MP_DICT(S("a"), I(3)));
	expect_items(sold, MP_DICT(S("a"), I(3)));
	expect_note(MP_LIST(S("a"), I(2)));
	cr_assert_eq(earned(), 14);

	/* Whichever step does not hold, and wherever it stands: nothing has happened. */
	T_RESULT(TRANSACT({mp_handle(stock), MP_DICT_DELETE, S("a"), NO_KEY},
			 {mp_handle(note), MP_DICT_SET, NO_KEY, I(1)},
			 {mp_handle(money), MP_DICT_SET, NO_KEY, I(1)},
			 {mp_handle(sold), MP_DICT_PRESENT, S("b"), NO_KEY}),
		-ESTALE);
	T_RESULT(TRANSACT({mp_handle(money), MP_DICT_AT_LEAST, NO_KEY, I(15)},
			 {mp_handle(sold), MP_DICT_SET, S("b"), I(1)}),
		-ESTALE);
	T_RESULT(TRANSACT({mp_handle(sold), MP_DICT_SET, S("b"), I(1)},
			 {mp_handle(note), MP_DICT_EQUAL, NO_KEY, I(1)}),
		-ESTALE);
	T_RESULT(TRANSACT({mp_handle(sold), MP_DICT_ADD, S("b"), I(1)},
			 {mp_handle(money), MP_DICT_ADD, NO_KEY, I(INT64_MAX)}),
		-EOVERFLOW);
	expect_items(stock, MP_DICT(S("a"), I(3)));
	expect_items(sold, MP_DICT(S("a"), I(3)));
	expect_note(MP_LIST(S("a"), I(2)));
	cr_assert_eq(earned(), 14);
	close_all();
}

/* The same key in two dicts is two; one object twice is one. */
Test(transact, steps_see_what_those_before_them_did_to_their_object)
{
	mp_proxy *again;

	open_all();
	T_OK(mp_manager_open(m, "dict", "stock", mp_nil(), &again));
	T_OK(TRANSACT({mp_handle(stock), MP_DICT_SET, S("k"), I(1)},
		{mp_handle(sold), MP_DICT_ABSENT, S("k"), NO_KEY},
		{mp_handle(sold), MP_DICT_SET, S("k"), I(10)},
		{mp_handle(again), MP_DICT_EQUAL, S("k"), I(1)},
		{mp_handle(again), MP_DICT_ADD, S("k"), I(1)},
		{mp_handle(stock), MP_DICT_EQUAL, S("k"), I(2)},
		{mp_handle(note), MP_DICT_SET, NO_KEY, I(40)},
		{mp_handle(note), MP_DICT_ADD, NO_KEY, I(2)},
		{mp_handle(money), MP_DICT_SET, NO_KEY, I(7)},
		{mp_handle(money), MP_DICT_ADD, NO_KEY, I(-8)},
		{mp_handle(money), MP_DICT_EQUAL, NO_KEY, I(-1)}));
	expect_items(stock, MP_DICT(S("k"), I(2)));
	expect_items(sold, MP_DICT(S("k"), I(10)));
	expect_note(I(42));
	cr_assert_eq(earned(), -1);
	mp_proxy_close(again);
	close_all();
}

static int64_t version_of(mp_proxy *proxy)
{
	int64_t version = -1;

	T_OK(mp_proxy_version(proxy, &version));
	return version;
}

Test(transact, versions_of_objects_of_any_type)
{
	mp_proxy *list;
	int64_t seen, money_seen;

	open_all();
	T_OK(mp_manager_list(m, NULL, &list));
	seen = version_of(list);
	money_seen = version_of(money);
	T_OK(TRANSACT({mp_handle(list), MP_DICT_VERSION, NO_KEY, I(seen)},
		{mp_handle(stock), MP_DICT_SET, S("k"), I(1)}));
	T_RESULT(mp_proxy_watch(list, seen, MP_NOWAIT, NULL), -EAGAIN);
	T_OK(mp_list_append(list, I(1)));
	T_RESULT(TRANSACT({mp_handle(stock), MP_DICT_SET, S("k"), I(2)},
			 {mp_handle(list), MP_DICT_VERSION, NO_KEY, I(seen)}),
		-ESTALE);
	expect_items(stock, MP_DICT(S("k"), I(1)));
	/* What is changed has another version afterwards, and what is only looked at has not. */
	T_OK(TRANSACT({mp_handle(money), MP_DICT_VERSION, NO_KEY, I(money_seen)},
		{mp_handle(money), MP_DICT_ADD, NO_KEY, I(1)}));
	T_OK(mp_proxy_watch(money, money_seen, MP_NOWAIT, NULL));
	seen = version_of(note);
	T_OK(TRANSACT({mp_handle(note), MP_DICT_EQUAL, NO_KEY, S("nothing yet")}));
	cr_assert_eq(version_of(note), seen);
	mp_proxy_close(list);
	close_all();
}

/* --- many at once ------------------------------------------------------------------------------- */

static int buy_one(intptr_t buyer)
{
	return TRANSACT({mp_handle(stock), MP_DICT_AT_LEAST, S("tickets"), I(1)},
		{mp_handle(stock), MP_DICT_ADD, S("tickets"), I(-1)},
		{mp_handle(sold), MP_DICT_ADD, I(buyer), I(1)},
		{mp_handle(money), MP_DICT_ADD, NO_KEY, I(PRICE)});
}

static int buy_all(void *buyer)
{
	int r;

	while ((r = buy_one((intptr_t)buyer)) == 0)
		;
	return r != -ESTALE;
}

static int64_t number_sold(void)
{
	mp_obj all;
	int64_t n = 0;

	T_OK(mp_dict_values(sold, &all));
	for (size_t i = 0; i < mp_obj_len(&all); i++)
		n += mp_obj_i64(mp_obj_at(&all, i));
	mp_obj_free(&all);
	return n;
}

Test(transact, a_stock_over_two_dicts_is_never_sold_twice)
{
	struct t_child buyers[BUYERS];

	open_all();
	T_OK(mp_dict_set(stock, S("tickets"), I(STOCK)));
	for (intptr_t i = 0; i < BUYERS; i++)
		buyers[i] = t_spawn(buy_all, (void *)i);
	for (int i = 0; i < BUYERS; i++)
		t_expect_exit(&buyers[i], 0);
	cr_assert_eq(number_sold(), STOCK);
	cr_assert_eq(earned(), STOCK * PRICE);
	t_expect_get(stock, S("tickets"), I(0));
	close_all();
}

static int buy_for_ever(void *argument)
{
	(void)argument;
	for (;;)
		T_CHECK(buy_one(0) == 0);
}

/* At one instant: what is gone from the stock is sold, and paid. False: it went on meanwhile. */
static bool books_agree(void)
{
	mp_obj left;

	T_OK(mp_dict_get(stock, S("tickets"), &left));
	int64_t n = mp_obj_i64(&left);
	int r = TRANSACT({mp_handle(stock), MP_DICT_EQUAL, S("tickets"), I(n)},
		{mp_handle(sold), MP_DICT_EQUAL, I(0), I(MANY - n)},
		{mp_handle(money), MP_DICT_EQUAL, NO_KEY, I((MANY - n) * PRICE)});
	cr_assert(r == 0 || (r == -ESTALE && strstr(mp_error_detail(), "step 1 ")), "%d: %s", r,
		mp_error_detail());
	return r == 0;
}

Test(transact, a_buyer_that_is_killed_has_bought_or_not)
{
	open_all();
	T_OK(mp_dict_set(stock, S("tickets"), I(MANY)));
	T_OK(mp_dict_set(sold, I(0), I(0)));
	for (int i = 0; i < 20; i++) {
		int64_t before = earned();
		struct t_child child = t_spawn(buy_for_ever, NULL);
		while (earned() == before)
			(void)books_agree();
		t_kill(&child, SIGKILL);
		/* What it had sent may still be carried out. */
		while (!books_agree())
			;
	}
	close_all();
}

/* --- objects inside, expiry ---------------------------------------------------------------------- */

Test(transact, objects_inside_are_kept_only_if_it_is_carried_out)
{
	mp_proxy *counter;
	mp_obj value;
	int64_t n;

	open_all();
	T_OK(mp_manager_counter(m, NULL, 1, &counter));
	T_RESULT(TRANSACT({mp_handle(note), MP_DICT_SET, NO_KEY, mp_handle(counter)},
			 {mp_handle(sold), MP_DICT_SET, S("c"), mp_handle(counter)},
			 {mp_handle(sold), MP_DICT_ABSENT, S("c"), NO_KEY}),
		-ESTALE);
	T_OK(TRANSACT({mp_handle(note), MP_DICT_SET, NO_KEY, MP_LIST(mp_handle(counter))},
		{mp_handle(sold), MP_DICT_SET, S("c"), mp_handle(counter)}));
	T_OK(mp_proxy_close(counter));
	T_OK(TRANSACT({mp_handle(note), MP_DICT_SET, NO_KEY, I(1)}));
	T_OK(mp_dict_get(sold, S("c"), &value));
	T_OK(mp_counter_add(mp_obj_proxy(&value), 1, &n));
	cr_assert_eq(n, 2);
	mp_obj_free(&value);
	T_OK(TRANSACT({mp_handle(sold), MP_DICT_DELETE, S("c"), NO_KEY}));
	/* A dict that goes into the other one, in which it is changed, too. */
	T_OK(TRANSACT({mp_handle(sold), MP_DICT_SET, S("stock"), mp_handle(stock)},
		{mp_handle(stock), MP_DICT_SET, S("k"), I(3)}));
	T_OK(mp_dict_pop(sold, S("stock"), &value));
	t_expect_get(mp_obj_dict(&value), S("k"), I(3));
	mp_obj_free(&value);
	close_all();
}

Test(transact, keys_that_are_over_are_not_there)
{
	int64_t ttl;

	open_all();
	T_OK(mp_dict_set_for(stock, S("k"), I(1), 1));
	T_OK(mp_dict_set_for(sold, S("k"), I(1), LONG_MS));
	while (TRANSACT({mp_handle(sold), MP_DICT_ADD, S("k"), I(1)},
		       {mp_handle(stock), MP_DICT_ABSENT, S("k"), NO_KEY}) == -ESTALE)
		;
	t_expect_get(sold, S("k"), I(2));
	T_OK(mp_dict_ttl(sold, S("k"), &ttl));
	cr_assert(ttl > 0 && ttl <= LONG_MS);
	close_all();
}

Test(transact, after_a_restart_named_objects_are_found_again)
{
	struct t_daemon daemon = t_daemon_start(NULL);
	mp_dict *a;
	mp_dict *b;

	T_OK(mp_manager_connect(daemon.address, T_PATIENT, &m));
	T_OK(mp_manager_dict(m, "a", &a));
	T_OK(mp_manager_dict(m, "b", &b));
	t_daemon_kill(&daemon);
	t_daemon_restart(&daemon);
	int r;
	do
		r = TRANSACT({mp_handle(a), MP_DICT_SET, S("k"), I(1)},
			{mp_handle(b), MP_DICT_SET, S("k"), I(2)});
	while (r == -EPIPE);
	T_OK(r);
	t_expect_get(b, S("k"), I(2));
	mp_dict_close(a);
	mp_dict_close(b);
	mp_manager_close(m);
	t_daemon_stop(&daemon);
}

/* --- mistakes ------------------------------------------------------------------------------------ */

Test(transact, wrong_steps_are_errors)
{
	mp_manager *other;
	mp_dict *foreign;
	mp_proxy *list;

	open_all();
	T_RESULT(mp_transact(NULL, 1), -EINVAL);
	T_RESULT(mp_transact(&(mp_transact_step){mp_handle(stock), MP_DICT_SET, S("k"), I(1)}, 0),
		-EINVAL);
	T_RESULT(TRANSACT({mp_nil(), MP_DICT_SET, S("k"), I(1)}), -EINVAL);
	T_RESULT(TRANSACT({mp_handle(m), MP_DICT_SET, S("k"), I(1)}), -EINVAL);
	T_RESULT(TRANSACT({mp_handle(stock), 0, S("k"), I(1)}), -EINVAL);
	T_RESULT(TRANSACT({mp_handle(stock), 9, S("k"), I(1)}), -EINVAL);
	T_RESULT(TRANSACT({mp_handle(stock), MP_DICT_SET, NO_KEY, I(1)}), -EINVAL);
	T_RESULT(TRANSACT({mp_handle(stock), MP_DICT_SET, S("k"), mp_fd(0)}), -ENOTSUP);
	T_RESULT(TRANSACT({mp_handle(stock), MP_DICT_VERSION, S("k"), I(1)}), -EINVAL);
	T_RESULT(TRANSACT({mp_handle(stock), MP_DICT_VERSION, NO_KEY, S("1")}), -EINVAL);
	T_RESULT(TRANSACT({mp_handle(money), MP_DICT_ADD, S("k"), I(1)}), -EINVAL);
	T_RESULT(TRANSACT({mp_handle(money), MP_DICT_ADD, NO_KEY, mp_f64(0.5)}), -EINVAL);
	T_RESULT(TRANSACT({mp_handle(money), MP_DICT_SET, NO_KEY, S("1")}), -EINVAL);
	T_RESULT(TRANSACT({mp_handle(money), MP_DICT_DELETE, NO_KEY, NO_KEY}), -EINVAL);
	T_RESULT(TRANSACT({mp_handle(note), MP_DICT_PRESENT, NO_KEY, NO_KEY}), -EINVAL);
	T_RESULT(TRANSACT({mp_handle(note), MP_DICT_ADD, NO_KEY, I(1)}), -EINVAL);
	T_OK(mp_manager_list(m, NULL, &list));
	T_RESULT(TRANSACT({mp_handle(list), MP_DICT_SET, NO_KEY, I(1)}), -EINVAL);
	mp_proxy_close(list);

	other = t_manager();
	foreign = t_dict(other, NULL);
	T_RESULT(TRANSACT({mp_handle(stock), MP_DICT_SET, S("k"), I(1)},
			 {mp_handle(foreign), MP_DICT_SET, S("k"), I(1)}),
		-ENOTSUP);
	mp_dict_close(foreign);
	mp_manager_close(other);
	expect_items(stock, MP_DICT());
	expect_note(S("nothing yet"));
	cr_assert_eq(earned(), 0);
	close_all();
}

Test(transact, many_steps_and_objects_but_not_too_many)
{
	enum { STEPS = 1025, OBJECTS = MP_TRANSACT_OBJECTS + 1 };
	mp_transact_step *steps = calloc(STEPS, sizeof(*steps));
	mp_proxy *counters[OBJECTS];
	int64_t n;

	open_all();
	for (int i = 0; i < STEPS; i++)
		steps[i] = (mp_transact_step){
			mp_handle(i % 2 ? stock : sold), MP_DICT_ADD, I(i % 700), I(1)};
	T_RESULT(mp_transact(steps, STEPS), -EMSGSIZE);
	expect_items(stock, MP_DICT());
	T_OK(mp_transact(steps, STEPS - 1));
	t_expect_get(sold, I(0), I(2));
	for (int i = 0; i < OBJECTS; i++) {
		T_OK(mp_manager_counter(m, NULL, i, &counters[i]));
		steps[i] = (mp_transact_step){mp_handle(counters[i]), MP_DICT_ADD, NO_KEY, I(1)};
	}
	T_RESULT(mp_transact(steps, OBJECTS), -EMSGSIZE);
	T_OK(mp_transact(steps, OBJECTS - 1));
	T_OK(mp_counter_get(counters[OBJECTS - 2], &n));
	cr_assert_eq(n, OBJECTS - 1);
	for (int i = 0; i < OBJECTS; i++)
		mp_proxy_close(counters[i]);
	free(steps);
	close_all();
}

/* As others may write them. */
Test(transact, what_is_no_transaction_is_answered)
{
	open_all();
	const mp_obj good = mp_handle(money);
	const mp_obj wrong[][2] = {
		{I(1), MP_LIST()},
		{MP_LIST(I(1)), MP_LIST()},
		{MP_LIST(good), I(1)},
		{MP_LIST(good), MP_LIST(I(1))},
		{MP_LIST(good), MP_LIST(MP_LIST(S("add"), NO_KEY, I(1)))},
		{MP_LIST(good), MP_LIST(MP_LIST(I(1), S("add"), NO_KEY, I(1)))},
		{MP_LIST(good), MP_LIST(MP_LIST(I(-1), S("add"), NO_KEY, I(1)))},
		{MP_LIST(good), MP_LIST(MP_LIST(mp_f64(0), S("add"), NO_KEY, I(1)))},
		{MP_LIST(good), MP_LIST(MP_LIST(I(0), S("add"), NO_KEY))},
		{MP_LIST(good), MP_LIST(MP_LIST(I(0), S("jump"), NO_KEY))},
		{MP_LIST(good), MP_LIST(MP_LIST(I(0), S("add"), NO_KEY, I(1), I(1)))},
		{MP_LIST(), MP_LIST(MP_LIST(I(0), S("add"), NO_KEY, I(1)))},
	};
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		T_RESULT(mp_proxy_call(note, "transact_all", MP_LIST(wrong[i][0], wrong[i][1]),
				 MP_NOWAIT, NULL),
			-EINVAL);
	T_RESULT(mp_proxy_call(note, "transact_all", mp_nil(), MP_NOWAIT, NULL), -EINVAL);
	T_OK(mp_proxy_call(note, "transact_all", MP_LIST(MP_LIST(), MP_LIST()), MP_NOWAIT, NULL));
	cr_assert_eq(earned(), 0);
	close_all();
}
