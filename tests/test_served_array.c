/* SPDX-License-Identifier: MIT */
/* Served arrays. Where CPython tests the same, the test has its name. */
#include <config.h>

#include "tests/support/daemon.h"

#include <float.h>
#include <math.h>
#include <mp.h>
#include <string.h>

T_SUITE(served_array);

#define I(n) mp_i64(n)

static mp_manager *m;

static mp_proxy *array_of(int type, mp_obj initial)
{
	mp_proxy *array = NULL;

	if (!m)
		m = t_manager();
	T_OK(mp_manager_array(m, NULL, type, initial, &array));
	return array;
}

static void close_array(mp_proxy *array)
{
	mp_proxy_close(array);
	mp_manager_close(m);
}

static void expect_items(mp_proxy *array, mp_obj wanted)
{
	mp_obj items;

	T_OK(mp_served_array_items(array, &items));
	t_expect_value(&items, wanted);
}

static void expect_slice(mp_proxy *array, mp_slice slice, mp_obj wanted)
{
	mp_obj items;

	T_OK(mp_served_array_get_slice(array, slice, &items));
	t_expect_value(&items, wanted);
}

static void expect_item(mp_proxy *array, int64_t index, mp_obj wanted)
{
	mp_obj item;

	T_OK(mp_served_array_get(array, index, &item));
	t_expect_value(&item, wanted);
}

Test(served_array, test_array)
{
	mp_proxy *a = array_of('i', MP_LIST(I(680), I(626), I(934), I(821), I(150), I(233)));
	size_t n;

	T_OK(mp_served_array_len(a, &n));
	cr_assert_eq(n, 6);
	T_RESULT(mp_served_array_type(a), 'i');
	expect_item(a, 0, I(680));
	expect_item(a, -1, I(233));
	T_OK(mp_served_array_set(a, 2, I(-41)));
	expect_slice(a, MP_SLICE(1, 4), MP_LIST(I(626), I(-41), I(821)));
	expect_slice(a, MP_SLICE_STEP(MP_SLICE_OPEN, MP_SLICE_OPEN, -2),
		MP_LIST(I(233), I(821), I(626)));
	expect_slice(a, MP_SLICE(4, 100), MP_LIST(I(150), I(233)));
	expect_slice(a, MP_SLICE(4, 2), MP_LIST());
	T_OK(mp_served_array_set_slice(a, MP_SLICE(0, 3), MP_LIST(I(1), I(2), I(3))));
	T_OK(mp_served_array_set_slice(
		a, MP_SLICE_STEP(MP_SLICE_OPEN, MP_SLICE_OPEN, -3), MP_LIST(I(9), I(8))));
	expect_items(a, MP_LIST(I(1), I(2), I(8), I(821), I(150), I(9)));
	close_array(a);
}

/* test_array_from_size: zeros. */
Test(served_array, test_array_from_size)
{
	mp_proxy *a = array_of('i', I(10));
	mp_proxy *empty = array_of('d', I(0));
	size_t n;

	expect_items(a, MP_LIST(I(0), I(0), I(0), I(0), I(0), I(0), I(0), I(0), I(0), I(0)));
	T_OK(mp_served_array_len(empty, &n));
	cr_assert_eq(n, 0);
	expect_items(empty, MP_LIST());
	mp_proxy_close(empty);
	empty = array_of('q', MP_LIST());
	T_RESULT(mp_served_array_set(empty, 0, I(1)), -ERANGE);
	T_OK(mp_served_array_set_slice(empty, MP_SLICE_ALL, MP_LIST()));
	mp_proxy_close(empty);
	close_array(a);
}

Test(served_array, every_type_holds_its_limits_and_no_more)
{
	static const struct {
		int type;
		int64_t min;
		uint64_t max;
	} types[] = {
		{'b', INT8_MIN, INT8_MAX},
		{'B', 0, UINT8_MAX},
		{'h', INT16_MIN, INT16_MAX},
		{'H', 0, UINT16_MAX},
		{'i', INT32_MIN, INT32_MAX},
		{'I', 0, UINT32_MAX},
		{'l', sizeof(long) == 8 ? INT64_MIN : INT32_MIN,
			sizeof(long) == 8 ? INT64_MAX : INT32_MAX},
		{'L', 0, sizeof(long) == 8 ? UINT64_MAX : UINT32_MAX},
		{'q', INT64_MIN, INT64_MAX},
		{'Q', 0, UINT64_MAX},
	};

	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		mp_proxy *a = array_of(
			types[i].type, MP_LIST(mp_u64(types[i].max), I(types[i].min), I(1)));
		expect_item(a, 0, mp_u64(types[i].max));
		expect_item(a, 1, I(types[i].min));
		T_RESULT(mp_served_array_add(a, 0, I(1), NULL), -EOVERFLOW);
		T_RESULT(mp_served_array_add(a, 1, I(-1), NULL), -EOVERFLOW);
		T_RESULT(mp_served_array_add(a, 2, mp_u64(UINT64_MAX), NULL), -EOVERFLOW);
		T_RESULT(mp_served_array_add(a, 2, I(INT64_MIN), NULL),
			types[i].min == INT64_MIN ? 0 : -EOVERFLOW);
		if (types[i].min > INT64_MIN)
			T_RESULT(mp_served_array_set(a, 0, I(types[i].min - 1)), -EOVERFLOW);
		if (types[i].max < UINT64_MAX)
			T_RESULT(mp_served_array_set(a, 0, mp_u64(types[i].max + 1)), -EOVERFLOW);
		T_OK(mp_served_array_add(a, 0, I(-1), NULL));
		expect_item(a, 0, mp_u64(types[i].max - 1));
		T_RESULT(mp_served_array_set(a, 0, mp_f64(1)), -EINVAL);
		mp_proxy_close(a);
	}
	mp_manager_close(m);
}

Test(served_array, floats)
{
	mp_proxy *d = array_of('d', MP_LIST(mp_f64(0.1), I(2), mp_u64(3)));
	mp_proxy *f = array_of('f', MP_LIST(mp_f64(0.1), mp_f64(NAN), mp_f64(0.0)));
	mp_obj sum;

	expect_items(d, MP_LIST(mp_f64(0.1), mp_f64(2), mp_f64(3)));
	T_OK(mp_served_array_add(d, 1, I(1), &sum));
	t_expect_value(&sum, mp_f64(3));
	T_OK(mp_served_array_add(d, 1, mp_f64(0.5), NULL));
	expect_item(d, 1, mp_f64(3.5));
	expect_item(f, 0, mp_f64((double)0.1f));
	/* What is expected is rounded as the item was; a NaN is itself; zeros have signs. */
	T_RESULT(mp_served_array_compare_and_swap(f, 0, mp_f64(0.1), I(1)), 1);
	T_RESULT(mp_served_array_compare_and_swap(f, 1, mp_f64(NAN), I(2)), 1);
	T_RESULT(mp_served_array_compare_and_swap(f, 2, mp_f64(-0.0), I(3)), 0);
	expect_items(f, MP_LIST(mp_f64(1), mp_f64(2), mp_f64(0)));
	mp_proxy_close(f);
	close_array(d);
}

Test(served_array, compare_and_swap)
{
	mp_proxy *a = array_of('B', MP_LIST(I(1), I(2)));
	int64_t before, after;

	T_OK(mp_proxy_version(a, &before));
	T_RESULT(mp_served_array_compare_and_swap(a, 0, I(2), I(3)), 0);
	/* What no item can hold is never there; what is to be stored must be held. */
	T_RESULT(mp_served_array_compare_and_swap(a, 0, I(257), I(3)), 0);
	T_RESULT(mp_served_array_compare_and_swap(a, 0, I(1), I(256)), -EOVERFLOW);
	T_OK(mp_proxy_version(a, &after));
	cr_assert_eq(before, after);
	T_RESULT(mp_served_array_compare_and_swap(a, 0, I(1), I(3)), 1);
	T_OK(mp_proxy_watch(a, before, MP_NOWAIT, NULL));
	expect_items(a, MP_LIST(I(3), I(2)));
	close_array(a);
}

static mp_proxy *shared;

static int add_ones(void *argument)
{
	(void)argument;
	for (int i = 0; i < 100; i++)
		T_CHECK(mp_served_array_add(shared, i % 4, I(1), NULL) == 0);
	return 0;
}

Test(served_array, additions_of_several_processes_are_all_there)
{
	struct t_child children[4];

	shared = array_of('I', I(4));
	for (int i = 0; i < 4; i++)
		children[i] = t_spawn(add_ones, NULL);
	for (int i = 0; i < 4; i++)
		t_expect_exit(&children[i], 0);
	expect_items(shared, MP_LIST(I(100), I(100), I(100), I(100)));
	close_array(shared);
}

Test(served_array, by_name_it_is_made_once)
{
	mp_proxy *first, *second, *third;

	m = t_manager();
	T_OK(mp_manager_array(m, "a", 'i', MP_LIST(I(1)), &first));
	T_OK(mp_manager_array(m, "a", 'd', I(5), &second));
	expect_items(second, MP_LIST(I(1)));
	T_RESULT(mp_manager_counter(m, "a", 0, &third), -EEXIST);
	mp_proxy_close(second);
	close_array(first);
}

Test(served_array, mistakes_have_their_errors)
{
	mp_proxy *a = array_of('h', MP_LIST(I(1), I(2), I(3)));
	mp_proxy *counter;
	mp_proxy *none;
	mp_obj value;
	size_t n;

	T_RESULT(mp_manager_array(NULL, NULL, 'i', I(1), &none), -EINVAL);
	T_RESULT(mp_manager_array(m, NULL, 'i', I(1), NULL), -EINVAL);
	T_RESULT(mp_manager_array(m, NULL, 'x', I(1), &none), -EINVAL);
	T_RESULT(mp_manager_array(m, NULL, 0, I(1), &none), -EINVAL);
	T_RESULT(mp_manager_array(m, NULL, 200, I(1), &none), -EINVAL);
	T_RESULT(mp_manager_array(m, NULL, 'i', mp_nil(), &none), -EINVAL);
	T_RESULT(mp_manager_array(m, NULL, 'i', I(-1), &none), -EINVAL);
	T_RESULT(mp_manager_array(m, NULL, 'i', I(INT64_MAX), &none), -EMSGSIZE);
	T_RESULT(mp_manager_array(m, NULL, 'b', MP_LIST(I(1), I(128)), &none), -EOVERFLOW);
	T_RESULT(mp_manager_array(m, "bad", 'b', MP_LIST(I(1), mp_str("1")), &none), -EINVAL);
	T_RESULT(mp_manager_open(m, NULL, "bad", mp_nil(), &none), -ENOENT);
	T_RESULT(mp_manager_open(m, "array", NULL, MP_LIST(mp_str("ii"), I(1)), &none), -EINVAL);
	T_RESULT(mp_manager_open(m, "array", NULL, MP_LIST(I(1), I(1)), &none), -EINVAL);
	T_RESULT(mp_manager_open(m, "array", NULL, mp_nil(), &none), -EINVAL);

	T_RESULT(mp_served_array_get(a, 3, &value), -ERANGE);
	T_RESULT(mp_served_array_get(a, -4, &value), -ERANGE);
	T_RESULT(mp_served_array_get(a, 0, NULL), -EINVAL);
	T_RESULT(mp_served_array_get(NULL, 0, &value), -EINVAL);
	T_RESULT(mp_served_array_set(a, 3, I(1)), -ERANGE);
	T_RESULT(mp_served_array_set(a, 0, mp_str("1")), -EINVAL);
	T_RESULT(mp_served_array_set(a, 0, mp_bool(true)), -EINVAL);
	T_RESULT(mp_served_array_set(a, 0, mp_f64(1.0)), -EINVAL);
	T_RESULT(mp_served_array_set(a, 0, mp_nil()), -EINVAL);
	T_RESULT(mp_served_array_set(a, 0, mp_handle(a)), -EINVAL);
	T_RESULT(mp_served_array_add(a, 5, I(1), NULL), -ERANGE);
	T_RESULT(mp_served_array_add(a, 0, mp_f64(1), NULL), -EINVAL);
	T_RESULT(mp_served_array_add(a, 0, mp_str("1"), NULL), -EINVAL);
	T_RESULT(mp_served_array_compare_and_swap(a, 5, I(1), I(1)), -ERANGE);
	T_RESULT(mp_served_array_compare_and_swap(a, 0, mp_nil(), I(1)), -EINVAL);
	T_RESULT(mp_served_array_compare_and_swap(a, 0, I(1), mp_nil()), -EINVAL);
	T_RESULT(mp_served_array_get_slice(a, MP_SLICE_STEP(0, 1, 0), &value), -EINVAL);
	T_RESULT(mp_served_array_get_slice(a, MP_SLICE_ALL, NULL), -EINVAL);
	T_RESULT(mp_served_array_set_slice(a, MP_SLICE_ALL, MP_LIST(I(1))), -EINVAL);
	T_RESULT(mp_served_array_set_slice(a, MP_SLICE_ALL, I(1)), -EINVAL);
	T_RESULT(mp_served_array_set_slice(a, MP_SLICE(0, 2), MP_LIST(I(7), I(40000))), -EOVERFLOW);
	T_RESULT(mp_served_array_set_slice(a, MP_SLICE_STEP(0, 1, 0), MP_LIST()), -EINVAL);
	T_RESULT(mp_served_array_items(a, NULL), -EINVAL);
	T_RESULT(mp_served_array_len(a, NULL), -EINVAL);
	T_RESULT(mp_served_array_len(NULL, &n), -EINVAL);
	T_RESULT(mp_served_array_type(NULL), -EINVAL);
	expect_items(a, MP_LIST(I(1), I(2), I(3)));

	T_OK(mp_manager_counter(m, NULL, 0, &counter));
	T_RESULT(mp_served_array_get(counter, 0, &value), -EINVAL);
	T_RESULT(mp_served_array_type(counter), -EINVAL);
	mp_proxy_close(counter);
	close_array(a);
}
