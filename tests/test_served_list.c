/* SPDX-License-Identifier: MIT */
/* Served lists and namespaces. Where CPython tests the same, the test has its name. */
#include <config.h>

#include "tests/support/daemon.h"

#include <mp.h>

T_SUITE(served_list);
T_SUITE(served_namespace);

static mp_manager *m;
static mp_proxy *l;

static void open_list(void)
{
	m = t_manager();
	T_OK(mp_manager_list(m, NULL, &l));
}

static void close_list(void)
{
	mp_proxy_close(l);
	mp_manager_close(m);
}

/* The list is just this. */
static void expect(mp_obj wanted)
{
	mp_obj items;

	T_OK(mp_list_items(l, &items));
	t_expect_value(&items, wanted);
}

static void fill(mp_obj values)
{
	T_OK(mp_list_clear(l));
	T_OK(mp_list_extend(l, values));
}

#define I(n) mp_i64(n)
#define EXPECT(...) expect(MP_LIST(__VA_ARGS__))
#define FILL(...) fill(MP_LIST(__VA_ARGS__))

static int64_t get(int64_t index)
{
	mp_obj value;

	T_OK(mp_list_get(l, index, &value));
	return mp_obj_i64(&value);
}

/* --- CPython's ---------------------------------------------------------------------------------- */

Test(served_list, test_list)
{
	mp_proxy *b;
	mp_obj part;
	size_t n;

	open_list();
	for (int i = 0; i < 10; i++)
		T_OK(mp_list_append(l, I(i)));
	EXPECT(I(0), I(1), I(2), I(3), I(4), I(5), I(6), I(7), I(8), I(9));
	T_OK(mp_manager_list(m, NULL, &b));
	T_OK(mp_list_len(b, &n));
	cr_assert_eq(n, 0);
	mp_proxy_close(b);
	FILL(I(0), I(1), I(2), I(3), I(4));
	T_OK(mp_list_slice(l, 2, MP_LIST_END, 1, &part));
	t_expect_value(&part, MP_LIST(I(2), I(3), I(4)));
	T_OK(mp_list_multiply(l, 2));
	EXPECT(I(0), I(1), I(2), I(3), I(4), I(0), I(1), I(2), I(3), I(4));
	close_list();
}

Test(served_list, test_list_iter)
{
	int64_t sum = 0;
	size_t n;

	open_list();
	FILL(I(1), I(2), I(3));
	T_OK(mp_list_len(l, &n));
	for (size_t i = 0; i < n; i++)
		sum += get((int64_t)i);
	cr_assert_eq(sum, 6);
	close_list();
}

Test(served_list, test_list_proxy_in_list)
{
	mp_proxy *inner;
	mp_obj first, last;
	size_t n;

	open_list();
	for (int i = 0; i < 3; i++) {
		T_OK(mp_manager_list(m, NULL, &inner));
		T_OK(mp_list_extend(inner, MP_LIST(I(i), I(i + 1))));
		T_OK(mp_list_append(l, mp_handle(inner)));
		mp_proxy_close(inner);
	}
	T_OK(mp_list_get(l, 0, &first));
	T_OK(mp_list_get(l, -1, &last));
	T_OK(mp_list_append(mp_obj_proxy(&first), I(55)));
	T_OK(mp_list_append(mp_obj_proxy(&last), mp_str("hosni")));
	mp_obj_free(&last);
	T_OK(mp_list_slice(l, 0, 1, 1, &last));
	T_OK(mp_list_len(mp_obj_proxy(mp_obj_at(&last, 0)), &n));
	cr_assert_eq(n, 3);
	T_RESULT(mp_list_contains(l, first), 1);
	/* Out of the list, it lives as long as somebody has it. */
	T_OK(mp_list_remove(l, first));
	T_RESULT(mp_list_contains(l, first), 0);
	T_OK(mp_list_len(mp_obj_proxy(&first), &n));
	cr_assert_eq(n, 3);
	T_RESULT(mp_list_sort(l, false), -ENOTSUP);
	T_RESULT(mp_list_multiply(l, 2), -ENOTSUP);
	T_OK(mp_list_len(l, &n));
	cr_assert_eq(n, 2);
	mp_obj_free(&first);
	mp_obj_free(&last);
	close_list();
}

/* The value is a queue: what is put there comes out. */
static void use_queue(mp_obj *value, int64_t number)
{
	mp_proxy *queue = mp_obj_proxy(value);
	mp_obj got;

	T_OK(mp_served_queue_put(queue, I(number), MP_NOWAIT));
	T_OK(mp_served_queue_get(queue, MP_NOWAIT, &got));
	t_expect_value(&got, I(number));
	mp_obj_free(value);
}

Test(served_list, test_nested_queue)
{
	mp_proxy *queue;
	mp_dict *d;
	mp_obj value;

	open_list();
	T_OK(mp_manager_queue(m, NULL, NULL, &queue));
	T_OK(mp_list_append(l, mp_handle(queue)));
	mp_proxy_close(queue);
	T_OK(mp_list_get(l, 0, &value));
	use_queue(&value, 123);

	d = t_dict(m, NULL);
	T_OK(mp_manager_queue(m, NULL, NULL, &queue));
	T_OK(mp_dict_set(d, I(0), mp_handle(queue)));
	mp_proxy_close(queue);
	T_OK(mp_dict_get(d, I(0), &value));
	use_queue(&value, 456);
	mp_dict_close(d);
	close_list();
}

/* Set it in the dict that stands under a key. */
static void set_within(mp_dict *outer, const char *key, const char *inner_key, int64_t number)
{
	mp_obj value;

	T_OK(mp_dict_get(outer, mp_str(key), &value));
	T_OK(mp_dict_set(mp_obj_dict(&value), mp_str(inner_key), I(number)));
	mp_obj_free(&value);
}

static void expect_within(mp_dict *outer, const char *key, const char *inner_key, int64_t number)
{
	mp_obj value;

	T_OK(mp_dict_get(outer, mp_str(key), &value));
	t_expect_get(mp_obj_dict(&value), mp_str(inner_key), I(number));
	mp_obj_free(&value);
}

Test(served_list, test_dict_proxy_nested)
{
	mp_obj pets_again, supplies_again, inner;
	size_t n;

	open_list();
	mp_dict *pets = t_dict(m, NULL), *supplies = t_dict(m, NULL), *d = t_dict(m, NULL);
	T_OK(mp_dict_update(pets, MP_DICT(mp_str("ferrets"), I(2), mp_str("hamsters"), I(4))));
	T_OK(mp_dict_update(supplies, MP_DICT(mp_str("water"), I(10), mp_str("feed"), I(3))));
	T_OK(mp_dict_set(d, mp_str("pets"), mp_handle(pets)));
	T_OK(mp_dict_set(d, mp_str("supplies"), mp_handle(supplies)));
	expect_within(d, "supplies", "water", 10);
	/* What is written is seen on every way to it. */
	set_within(d, "supplies", "blankets", 5);
	t_expect_get(supplies, mp_str("blankets"), I(5));
	T_OK(mp_dict_set(supplies, mp_str("water"), I(7)));
	expect_within(d, "supplies", "water", 7);

	/* They live in the dict when nobody else has them, */
	mp_dict_close(pets);
	mp_dict_close(supplies);
	expect_within(d, "pets", "ferrets", 2);
	set_within(d, "supplies", "blankets", 11);
	expect_within(d, "supplies", "blankets", 11);
	/* and with who has them when the dict is empty. */
	T_OK(mp_dict_get(d, mp_str("pets"), &pets_again));
	T_OK(mp_dict_get(d, mp_str("supplies"), &supplies_again));
	T_OK(mp_dict_clear(d));
	T_OK(mp_dict_len(d, &n));
	cr_assert_eq(n, 0);
	t_expect_get(mp_obj_dict(&supplies_again), mp_str("water"), I(7));
	t_expect_get(mp_obj_dict(&pets_again), mp_str("hamsters"), I(4));

	FILL(pets_again, supplies_again);
	T_OK(mp_list_get(l, 0, &inner));
	T_OK(mp_dict_set(mp_obj_dict(&inner), mp_str("marmots"), I(1)));
	t_expect_get(mp_obj_dict(&pets_again), mp_str("marmots"), I(1));
	mp_obj_free(&inner);
	mp_obj_free(&pets_again);
	mp_obj_free(&supplies_again);
	T_OK(mp_list_get(l, 0, &inner));
	t_expect_get(mp_obj_dict(&inner), mp_str("marmots"), I(1));
	mp_obj_free(&inner);
	mp_dict_close(d);
	close_list();
}

/* --- one item ----------------------------------------------------------------------------------- */

Test(served_list, places_count_from_both_ends)
{
	mp_obj value;

	open_list();
	FILL(I(10), I(11), I(12));
	cr_assert(get(0) == 10 && get(-1) == 12 && get(-3) == 10);
	T_RESULT(mp_list_get(l, 3, &value), -ERANGE);
	T_RESULT(mp_list_get(l, -4, &value), -ERANGE);
	T_RESULT(mp_list_get(l, INT64_MIN, &value), -ERANGE);
	T_OK(mp_list_set(l, -1, mp_str("last")));
	T_RESULT(mp_list_set(l, 3, I(0)), -ERANGE);
	EXPECT(I(10), I(11), mp_str("last"));
	T_OK(mp_list_delete(l, 1));
	T_RESULT(mp_list_delete(l, 2), -ERANGE);
	EXPECT(I(10), mp_str("last"));
	close_list();
}

Test(served_list, insert_beyond_an_end_is_at_the_end)
{
	open_list();
	T_OK(mp_list_insert(l, 5, I(2)));
	T_OK(mp_list_insert(l, -9, I(0)));
	T_OK(mp_list_insert(l, -1, I(1)));
	T_OK(mp_list_insert(l, INT64_MAX, I(3)));
	EXPECT(I(0), I(1), I(2), I(3));
	close_list();
}

Test(served_list, pop_from_either_end_and_from_within)
{
	mp_obj value;

	open_list();
	T_RESULT(mp_list_pop(l, -1, &value), -ERANGE);
	FILL(I(0), I(1), I(2), I(3));
	T_OK(mp_list_pop(l, -1, &value));
	cr_assert_eq(mp_obj_i64(&value), 3);
	T_OK(mp_list_pop(l, 0, &value));
	cr_assert_eq(mp_obj_i64(&value), 0);
	T_RESULT(mp_list_pop(l, 2, &value), -ERANGE);
	T_OK(mp_list_pop(l, 0, NULL));
	EXPECT(I(2));
	close_list();
}

/* As a queue is used: from one end to the other, a long way, and at random places. */
Test(served_list, many_items_keep_their_order)
{
	enum { N = 3000 };
	static int64_t model[2 * N];
	size_t n = 0;
	uint32_t random = 1;

	open_list();
	for (int i = 0; i < N; i++) {
		random = random * 1664525u + 1013904223u;
		size_t at = random >> 8;
		if (n > 0 && random % 3 == 0) {
			at %= n;
			T_OK(mp_list_delete(l, (int64_t)at));
			memmove(&model[at], &model[at + 1], (n - at - 1) * sizeof(model[0]));
			n--;
		} else {
			at = random % 5 == 0 ? 0 : at % (n + 1);
			T_OK(mp_list_insert(l, (int64_t)at, I(i)));
			memmove(&model[at + 1], &model[at], (n - at) * sizeof(model[0]));
			model[at] = i;
			n++;
		}
	}
	for (size_t i = 0; i < n; i++)
		cr_assert_eq(get((int64_t)i), model[i]);
	while (n > 0) {
		mp_obj value;
		T_OK(mp_list_pop(l, 0, &value));
		cr_assert_eq(mp_obj_i64(&value), model[0]);
		memmove(&model[0], &model[1], --n * sizeof(model[0]));
	}
	expect(MP_LIST());
	close_list();
}

Test(served_list, add_and_compare_and_swap)
{
	mp_obj sum;

	open_list();
	FILL(I(5), mp_f64(0.5), mp_str("x"), I(INT64_MAX));
	T_OK(mp_list_add(l, 0, I(-7), &sum));
	cr_assert_eq(mp_obj_i64(&sum), -2);
	T_OK(mp_list_add(l, 1, I(1), NULL));
	T_OK(mp_list_add(l, 0, mp_u64(2), NULL));
	T_RESULT(mp_list_add(l, 2, I(1), NULL), -EINVAL);
	T_RESULT(mp_list_add(l, 0, mp_str("1"), NULL), -EINVAL);
	T_RESULT(mp_list_add(l, 3, I(1), NULL), -EOVERFLOW);
	T_RESULT(mp_list_add(l, 4, I(1), NULL), -ERANGE);
	EXPECT(I(0), mp_f64(1.5), mp_str("x"), I(INT64_MAX));
	T_RESULT(mp_list_compare_and_swap(l, 0, mp_u64(0), mp_str("new")), 1);
	T_RESULT(mp_list_compare_and_swap(l, 0, I(0), mp_str("newer")), 0);
	T_RESULT(mp_list_compare_and_swap(l, 9, I(0), I(0)), -ERANGE);
	EXPECT(mp_str("new"), mp_f64(1.5), mp_str("x"), I(INT64_MAX));
	close_list();
}

/* --- by value ----------------------------------------------------------------------------------- */

Test(served_list, values_are_found_by_equality)
{
	size_t at;

	open_list();
	FILL(I(1), mp_u64(1), mp_str("1"), MP_DICT(mp_str("a"), I(1), mp_str("b"), I(2)), mp_nil());
	T_OK(mp_list_count(l, I(1), &at));
	cr_assert_eq(at, 2);
	T_OK(mp_list_index(l, mp_str("1"), &at));
	cr_assert_eq(at, 2);
	T_OK(mp_list_index(l, MP_DICT(mp_str("b"), I(2), mp_str("a"), I(1)), &at));
	cr_assert_eq(at, 3);
	T_OK(mp_list_index_in(l, I(1), 1, MP_LIST_END, &at));
	cr_assert_eq(at, 1);
	T_RESULT(mp_list_index_in(l, I(1), -3, 5, &at), -ENOENT);
	T_RESULT(mp_list_index_in(l, mp_nil(), 0, -1, &at), -ENOENT);
	T_RESULT(mp_list_index(l, mp_f64(1), &at), -ENOENT);
	T_RESULT(mp_list_contains(l, mp_nil()), 1);
	T_RESULT(mp_list_contains(l, mp_bool(false)), 0);
	T_OK(mp_list_remove(l, I(1)));
	T_OK(mp_list_remove(l, I(1)));
	T_RESULT(mp_list_remove(l, I(1)), -ENOENT);
	T_OK(mp_list_len(l, &at));
	cr_assert_eq(at, 3);
	close_list();
}

Test(served_list, sort_and_reverse)
{
	open_list();
	FILL(I(3), I(-1), mp_u64(2), mp_str("b"), mp_str("a"), mp_f64(9));
	T_OK(mp_list_sort(l, false));
	EXPECT(I(-1), I(2), I(3), mp_f64(9), mp_str("a"), mp_str("b"));
	T_OK(mp_list_sort(l, true));
	EXPECT(mp_str("b"), mp_str("a"), mp_f64(9), I(3), I(2), I(-1));
	T_OK(mp_list_reverse(l));
	EXPECT(I(-1), I(2), I(3), mp_f64(9), mp_str("a"), mp_str("b"));
	T_OK(mp_list_clear(l));
	T_OK(mp_list_sort(l, false));
	T_OK(mp_list_reverse(l));
	expect(MP_LIST());
	close_list();
}

/* --- slices ------------------------------------------------------------------------------------- */

static void expect_slice(int64_t start, int64_t stop, int64_t step, mp_obj wanted)
{
	mp_obj part;

	T_OK(mp_list_slice(l, start, stop, step, &part));
	t_expect_value(&part, wanted);
}

#define END MP_LIST_END

/* All by the Python interpreter's answers. */
Test(served_list, slices_are_pythons)
{
	mp_obj part;

	open_list();
	FILL(I(0), I(1), I(2), I(3), I(4), I(5));
	expect_slice(END, END, 1, MP_LIST(I(0), I(1), I(2), I(3), I(4), I(5)));
	expect_slice(1, 3, 1, MP_LIST(I(1), I(2)));
	expect_slice(-2, END, 1, MP_LIST(I(4), I(5)));
	expect_slice(-100, 2, 1, MP_LIST(I(0), I(1)));
	expect_slice(4, 100, 1, MP_LIST(I(4), I(5)));
	expect_slice(3, 1, 1, MP_LIST());
	expect_slice(6, END, 1, MP_LIST());
	expect_slice(END, END, 2, MP_LIST(I(0), I(2), I(4)));
	expect_slice(1, END, 4, MP_LIST(I(1), I(5)));
	expect_slice(END, END, -1, MP_LIST(I(5), I(4), I(3), I(2), I(1), I(0)));
	expect_slice(END, END, -4, MP_LIST(I(5), I(1)));
	expect_slice(4, 1, -2, MP_LIST(I(4), I(2)));
	expect_slice(100, -100, -3, MP_LIST(I(5), I(2)));
	expect_slice(-1, 0, -5, MP_LIST(I(5)));
	expect_slice(END, END, INT64_MAX, MP_LIST(I(0)));
	T_RESULT(mp_list_slice(l, END, END, 0, &part), -EINVAL);
	close_list();
}

Test(served_list, slices_are_replaced_and_deleted)
{
	open_list();
	FILL(I(0), I(1), I(2), I(3), I(4), I(5));
	T_OK(mp_list_set_slice(l, 1, 3, 1, MP_LIST(mp_str("a"), mp_str("b"), mp_str("c"))));
	EXPECT(I(0), mp_str("a"), mp_str("b"), mp_str("c"), I(3), I(4), I(5));
	T_OK(mp_list_set_slice(l, 1, 4, 1, MP_LIST(I(9))));
	EXPECT(I(0), I(9), I(3), I(4), I(5));
	T_OK(mp_list_set_slice(l, 4, 2, 1, MP_LIST(I(7)))); /* an empty one: insert */
	EXPECT(I(0), I(9), I(3), I(4), I(7), I(5));
	T_OK(mp_list_set_slice(l, END, END, 2, MP_LIST(I(1), I(2), I(3))));
	EXPECT(I(1), I(9), I(2), I(4), I(3), I(5));
	T_RESULT(mp_list_set_slice(l, END, END, 2, MP_LIST(I(1))), -EINVAL);
	T_RESULT(mp_list_set_slice(l, 0, 1, 1, I(1)), -EINVAL);
	T_OK(mp_list_delete_slice(l, END, END, -2));
	EXPECT(I(1), I(2), I(3));
	T_OK(mp_list_delete_slice(l, 2, 0, 1));
	EXPECT(I(1), I(2), I(3));
	T_OK(mp_list_delete_slice(l, 0, 2, 1));
	EXPECT(I(3));
	T_OK(mp_list_set_slice(l, END, END, 1, MP_LIST()));
	expect(MP_LIST());
	close_list();
}

Test(served_list, a_refused_change_keeps_nothing_that_it_referred_to)
{
	mp_proxy *inner;

	open_list();
	T_OK(mp_manager_list(m, NULL, &inner));
	T_OK(mp_list_extend(l, MP_LIST(I(0), I(1), I(2), I(3))));
	T_RESULT(mp_list_set_slice(l, END, END, 2, MP_LIST(mp_handle(inner))), -EINVAL);
	T_OK(mp_list_multiply(l, 2)); /* would be -ENOTSUP with an object in it */
	mp_proxy_close(inner);
	close_list();
}

Test(served_list, multiply_has_a_limit)
{
	open_list();
	FILL(I(1), I(2));
	T_OK(mp_list_multiply(l, 3));
	EXPECT(I(1), I(2), I(1), I(2), I(1), I(2));
	T_RESULT(mp_list_multiply(l, INT64_MAX), -EMSGSIZE);
	T_OK(mp_list_multiply(l, 1));
	T_OK(mp_list_multiply(l, -1));
	expect(MP_LIST());
	T_OK(mp_list_multiply(l, INT64_MAX));
	close_list();
}

/* --- wrong use ---------------------------------------------------------------------------------- */

Test(served_list, wrong_arguments_are_errors)
{
	mp_proxy *other;
	mp_obj value;
	size_t n;

	open_list();
	FILL(I(1));
	T_RESULT(mp_list_get(NULL, 0, &value), -EINVAL);
	T_RESULT(mp_list_get(l, 0, NULL), -EINVAL);
	T_RESULT(mp_list_len(l, NULL), -EINVAL);
	T_RESULT(mp_list_items(l, NULL), -EINVAL);
	T_RESULT(mp_list_slice(l, 0, 1, 1, NULL), -EINVAL);
	T_RESULT(mp_list_extend(l, I(1)), -EINVAL);
	T_RESULT(mp_list_append(l, mp_fd(0)), -ENOTSUP);
	T_RESULT(mp_manager_list(NULL, NULL, &other), -EINVAL);
	T_RESULT(mp_manager_list(m, NULL, NULL), -EINVAL);
	T_RESULT(mp_manager_list(m, "", &other), -EINVAL);
	T_OK(mp_manager_namespace(m, "n", &other));
	T_RESULT(mp_list_len(other, &n), -EINVAL);
	T_RESULT(mp_namespace_has(l, "x"), -EINVAL);
	mp_proxy_close(other);
	T_RESULT(mp_manager_list(m, "n", &other), -EEXIST);
	EXPECT(I(1));
	close_list();
}

static int come_and_go(void *argument)
{
	(void)argument;
	for (;;) {
		T_CHECK(mp_list_extend(l, MP_LIST(I(1), I(2), I(3))) == 0);
		T_CHECK(mp_list_delete_slice(l, -3, END, 1) == 0);
		T_CHECK(mp_list_extend(l, MP_LIST(I(1), I(2), I(3))) == 0);
	}
}

Test(served_list, who_is_killed_leaves_it_whole)
{
	size_t n = 0;

	open_list();
	for (size_t i = 1; i <= 30; i++) {
		struct t_child child = t_spawn(come_and_go, NULL);
		while (n < i * 6)
			T_OK(mp_list_len(l, &n));
		t_kill(&child, SIGKILL);
		T_OK(mp_list_len(l, &n));
		cr_assert_eq(n % 3, 0);
	}
	close_list();
}

/* --- namespace ---------------------------------------------------------------------------------- */

Test(served_namespace, test_namespace)
{
	mp_proxy *n;
	mp_obj value;

	m = t_manager();
	T_OK(mp_manager_namespace(m, "settings", &n));
	T_OK(mp_namespace_set(n, "name", mp_str("Bob")));
	T_OK(mp_namespace_set(n, "job", mp_str("Builder")));
	T_OK(mp_namespace_set(n, "_hidden", mp_str("hidden")));
	T_OK(mp_namespace_get(n, "name", &value));
	cr_assert_str_eq(mp_obj_str(&value), "Bob");
	mp_obj_free(&value);
	T_OK(mp_namespace_delete(n, "job"));
	T_RESULT(mp_namespace_get(n, "job", &value), -ENOENT);
	T_RESULT(mp_namespace_delete(n, "job"), -ENOENT);
	T_RESULT(mp_namespace_has(n, "name"), 1);
	T_RESULT(mp_namespace_has(n, "job"), 0);
	T_OK(mp_namespace_items(n, &value));
	t_expect_value(&value,
		MP_DICT(mp_str("name"), mp_str("Bob"), mp_str("_hidden"), mp_str("hidden")));
	mp_proxy_close(n);
	mp_manager_close(m);
}

Test(served_namespace, wrong_arguments_are_errors)
{
	mp_proxy *n;
	mp_obj value;

	m = t_manager();
	T_RESULT(mp_manager_namespace(NULL, NULL, &n), -EINVAL);
	T_RESULT(mp_manager_namespace(m, NULL, NULL), -EINVAL);
	T_OK(mp_manager_namespace(m, NULL, &n));
	T_RESULT(mp_namespace_get(n, NULL, &value), -EINVAL);
	T_RESULT(mp_namespace_get(n, "a", NULL), -EINVAL);
	T_RESULT(mp_namespace_set(n, NULL, I(1)), -EINVAL);
	T_RESULT(mp_namespace_delete(n, NULL), -EINVAL);
	T_RESULT(mp_namespace_has(n, NULL), -EINVAL);
	T_RESULT(mp_namespace_items(n, NULL), -EINVAL);
	T_RESULT(mp_namespace_set(n, "\xff", I(1)), -EILSEQ);
	T_OK(mp_namespace_set(n, "itself", mp_handle(n)));
	T_OK(mp_namespace_get(n, "itself", &value));
	T_RESULT(mp_proxy_equal(mp_obj_proxy(&value), n), 1);
	mp_obj_free(&value);
	T_OK(mp_namespace_delete(n, "itself"));
	T_RESULT(mp_proxy_call(n, "set", MP_LIST(I(1), I(1)), MP_NOWAIT, NULL), -EINVAL);
	mp_proxy_close(n);
	mp_manager_close(m);
}
