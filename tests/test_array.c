/* SPDX-License-Identifier: MIT */
/* Shared arrays: indexes and slices as in Python, text, large ones, other processes, deaths. */
#include <config.h>

#include "tests/support/starve.h"
#include "tests/support/support.h"

#include "base/cleanup.h"
#include "sync/cells.h"

#include <limits.h>
#include <mp.h>
#include <sys/resource.h>
#include <sys/wait.h>

T_SUITE(array);

static const int ten[10] = {680, 626, 934, 821, 150, 233, 548, 982, 714, 831};

static mp_array *make(void)
{
	mp_array *a;

	T_OK(mp_array_new('i', 10, ten, NULL, &a));
	return a;
}

static int prefix_sums(int argc, const mp_obj *argv)
{
	mp_array *a = mp_obj_array(&argv[0]);
	int *items = mp_array_data(a);

	T_CHECK(argc == 1 && items);
	for (size_t i = 1; i < mp_array_length(a); i++)
		items[i] += items[i - 1];
	return 0;
}

static void run_child(mp_target *target, mp_array *a, int method)
{
	mp_process *p;
	int code;

	T_OK(mp_process_new(
		target, MP_ARGS(mp_handle(a)), MP_PROCESS_OPTIONS(.start_method = method), &p));
	T_OK(mp_process_start(p));
	T_OK(mp_process_join(p, MP_FOREVER));
	T_OK(mp_process_exit_code(p, &code));
	cr_assert_eq(code, 0);
	mp_process_close(p);
}

static void sums(int method, uint64_t flags)
{
	mp_array *a;
	int sum = 0;
	int item;
	int *at;

	T_OK(mp_array_new('i', 10, ten, MP_VALUE_OPTIONS(.flags = flags), &a));
	cr_assert_eq(mp_array_length(a), 10);
	cr_assert_eq(mp_array_item_size(a), sizeof(int));
	cr_assert_eq(mp_array_type(a), 'i');
	run_child(prefix_sums, a, method);
	for (int i = 0; i < 10; i++) {
		sum += ten[i];
		T_OK(mp_array_get(a, i, &item, sizeof(item), MP_NOWAIT));
		cr_assert_eq(item, sum);
		T_OK(mp_array_at(a, i - 10, &at));
		cr_assert_eq(*at, sum);
	}
	mp_array_close(a);
}

Test(array, test_array)
{
	sums(MP_START_FORK, 0);
	sums(MP_START_SPAWN, 0);
	sums(MP_START_FORKSERVER, 0);
	sums(MP_START_THREAD, 0);
}

Test(array, test_rawarray)
{
	sums(MP_START_FORK, MP_VALUE_RAW);
	sums(MP_START_SPAWN, MP_VALUE_RAW);
}

Test(array, test_array_from_size)
{
	for (int round = 0; round < 3; round++) {
		mp_array *a;
		T_OK(mp_array_new('i', 10, NULL, NULL, &a));
		int *items = mp_array_data(a);
		for (int i = 0; i < 10; i++) {
			cr_assert_eq(items[i], 0);
			items[i] = i + 1;
		}
		mp_array_close(a);
	}
}

static int double_items(int argc, const mp_obj *argv)
{
	mp_array *a = mp_obj_array(&argv[0]);

	T_CHECK(argc == 1);
	if (mp_array_type(a) == 'c') {
		char text[11];
		char twice[21];
		T_CHECK(mp_array_get_str(a, text, sizeof(text), MP_FOREVER) == 0);
		snprintf(twice, sizeof(twice), "%s%s", text, text);
		return mp_array_set_str(a, twice, MP_FOREVER) == 0 ? 0 : 1;
	}
	double *items = mp_array_data(a);
	for (size_t i = 0; i < mp_array_length(a); i++)
		items[i] *= 2;
	return 0;
}

Test(array, test_sharedctypes)
{
	mp_array *d, *c;
	char text[21];

	T_OK(mp_array_new('d', 10, NULL, NULL, &d));
	for (int i = 0; i < 10; i++)
		T_OK(mp_array_set(d, i, &(double){i}, sizeof(double), MP_NOWAIT));
	run_child(double_items, d, MP_START_FORK);
	for (int i = 0; i < 10; i++)
		cr_assert_eq(((double *)mp_array_data(d))[i], 2.0 * i);
	T_OK(mp_array_new('c', 20, NULL, NULL, &c));
	T_OK(mp_array_set_str(c, "hello", MP_NOWAIT));
	run_child(double_items, c, MP_START_SPAWN);
	T_OK(mp_array_get_str(c, text, sizeof(text), MP_NOWAIT));
	cr_assert_str_eq(text, "hellohello");
	mp_array_close(d);
	mp_array_close(c);
}

Test(array, test_copy)
{
	mp_array *a = make();
	mp_array *copy;

	T_OK(mp_array_copy(a, MP_FOREVER, &copy));
	((int *)mp_array_data(a))[0] = 0;
	cr_assert_eq(memcmp(mp_array_data(copy), ten, sizeof(ten)), 0);
	cr_assert_eq(mp_array_length(copy), 10);
	T_RESULT(mp_array_copy(a, 0, NULL), -EINVAL);
	mp_array_close(a);
	mp_array_close(copy);
}

/* --- slices -------------------------------------------------------------------------------------- */

#define O MP_SLICE_OPEN

Test(array, slices_are_those_of_python)
{
	/* What Python gives for list(range(10))[start:stop:step]. */
	static const struct {
		int64_t start, stop, step;
		size_t n;
		int first, last;
	} cases[] = {
		{O, O, 1, 10, 0, 9},
		{2, 5, 1, 3, 2, 4},
		{-3, O, 1, 3, 7, 9},
		{O, -8, 1, 2, 0, 1},
		{5, 2, 1, 0, 0, 0},
		{0, 100, 1, 10, 0, 9},
		{-100, 3, 1, 3, 0, 2},
		{10, 20, 1, 0, 0, 0},
		{O, O, 3, 4, 0, 9},
		{1, 9, 3, 3, 1, 7},
		{O, O, -1, 10, 9, 0},
		{8, 2, -2, 3, 8, 4},
		{O, O, -4, 3, 9, 1},
		{2, 8, -1, 0, 0, 0},
		{100, -100, -1, 10, 9, 0},
		{-1, 0, -1, 9, 9, 1},
		{O, O, INT64_MAX, 1, 0, 0},
		{O, O, INT64_MIN, 1, 9, 9},
		{INT64_MIN + 1, INT64_MAX, 1, 10, 0, 9},
		{INT64_MAX, INT64_MIN + 1, INT64_MIN + 1, 1, 9, 9},
	};
	mp_array *a;
	int all[10];
	int got[10];
	size_t n;

	for (int i = 0; i < 10; i++)
		all[i] = i;
	T_OK(mp_array_new('i', 10, all, NULL, &a));
	for (size_t i = 0; i < MP__COUNT_OF(cases); i++) {
		mp_slice s = MP_SLICE_STEP(cases[i].start, cases[i].stop, cases[i].step);
		T_OK(mp_array_get_slice(a, s, NULL, 0, MP_NOWAIT, &n));
		cr_assert_eq(n, cases[i].n, "case %zu: %zu", i, n);
		T_OK(mp_array_get_slice(a, s, got, sizeof(got), MP_NOWAIT, NULL));
		if (n > 0) {
			cr_assert_eq(got[0], cases[i].first, "case %zu", i);
			cr_assert_eq(got[n - 1], cases[i].last, "case %zu", i);
			T_RESULT(mp_array_get_slice(a, s, got, n * sizeof(int) - 1, 0, &n),
				-EMSGSIZE);
		}
		T_OK(mp_array_set_slice(a, s, got, n * sizeof(int), MP_NOWAIT));
		cr_assert_eq(memcmp(mp_array_data(a), all, sizeof(all)), 0);
	}
	mp_array_close(a);
}

Test(array, slices_are_set)
{
	mp_array *a = make();
	int *items = mp_array_data(a);

	T_OK(mp_array_set_slice(
		a, MP_SLICE(-3, MP_SLICE_OPEN), (int[]){1, 2, 3}, 3 * sizeof(int), MP_NOWAIT));
	cr_assert_eq(items[7], 1);
	cr_assert_eq(items[9], 3);
	T_RESULT(mp_array_set_slice(a, MP_SLICE_ALL, (int[]){1, 2, 3}, 12, MP_NOWAIT), -EINVAL);
	T_RESULT(mp_array_set_slice(a, MP_SLICE_ALL, NULL, 40, MP_NOWAIT), -EINVAL);
	T_RESULT(mp_array_set_slice(a, MP_SLICE_STEP(O, O, 0), NULL, 0, MP_NOWAIT), -EINVAL);
	T_RESULT(mp_array_get_slice(a, MP_SLICE_STEP(O, O, 0), NULL, 0, MP_NOWAIT, NULL), -EINVAL);
	mp_array_close(a);
}

/* --- wrong uses, edges --------------------------------------------------------------------------- */

Test(array, indexes_at_the_edges)
{
	mp_array *a = make();
	int item = 7;
	int *at = &item;

	T_RESULT(mp_array_at(a, 10, &at), -ERANGE);
	T_RESULT(mp_array_at(a, -11, &at), -ERANGE);
	T_RESULT(mp_array_at(a, INT64_MIN, &at), -ERANGE);
	T_RESULT(mp_array_at(a, INT64_MAX, &at), -ERANGE);
	cr_assert_eq(at, &item);
	T_RESULT(mp_array_at(a, 0, NULL), -EINVAL);
	T_RESULT(mp_array_get(a, 10, &item, sizeof(item), MP_NOWAIT), -ERANGE);
	T_RESULT(mp_array_set(a, -11, &item, sizeof(item), MP_NOWAIT), -ERANGE);
	T_RESULT(mp_array_get(a, 0, &item, 2, MP_NOWAIT), -EINVAL);
	T_RESULT(mp_array_set(a, 0, &item, 8, MP_NOWAIT), -EINVAL);
	T_RESULT(mp_array_set(a, 0, NULL, 4, MP_NOWAIT), -EINVAL);
	T_OK(mp_array_set(a, -1, &item, sizeof(item), MP_NOWAIT));
	cr_assert_eq(((int *)mp_array_data(a))[9], 7);
	mp_array_close(a);
}

Test(array, lengths_at_the_edges)
{
	mp_array *a = NULL;
	size_t n = 1;

	T_OK(mp_array_new('i', 0, NULL, NULL, &a));
	cr_assert_eq(mp_array_length(a), 0);
	T_RESULT(mp_array_at(a, 0, &n), -ERANGE);
	T_RESULT(mp_array_at(a, -1, &n), -ERANGE);
	T_OK(mp_array_get_slice(a, MP_SLICE_STEP(O, O, -1), NULL, 0, MP_NOWAIT, &n));
	cr_assert_eq(n, 0);
	T_OK(mp_array_set_slice(a, MP_SLICE_ALL, NULL, 0, MP_NOWAIT));
	run_child(prefix_sums, a, MP_START_SPAWN);
	mp_array_close(a);
	T_RESULT(mp_array_new('i', (size_t)-1, NULL, NULL, &a), -EINVAL);
	T_RESULT(mp_array_new('i', (size_t)1 << 63, NULL, NULL, &a), -EINVAL);
	T_RESULT(mp_array_new('d', (size_t)1 << 61, NULL, NULL, &a), -EOVERFLOW);
	T_RESULT(mp_array_new_sized((size_t)1 << 62, 3, NULL, NULL, &a), -EOVERFLOW);
	T_RESULT(mp_array_new('b', (size_t)1 << 39, NULL, NULL, &a), -ENOSPC);
	T_RESULT(mp_array_new_sized(0, 3, NULL, NULL, &a), -EINVAL);
	T_RESULT(mp_array_new('s', 3, NULL, NULL, &a), -EINVAL);
	T_RESULT(mp_array_new(0, 3, NULL, NULL, &a), -EINVAL);
	T_RESULT(mp_array_new('i', 3, NULL, NULL, NULL), -EINVAL);
	T_RESULT(mp_array_new('i', 3, NULL, MP_VALUE_OPTIONS(.flags = 6), &a), -EINVAL);
	struct {
		mp_value_options options;
		uint64_t more;
	} newer = {.options = {.size = sizeof(newer)}, .more = 1};
	T_RESULT(mp_array_new('i', 3, NULL, &newer.options, &a), -E2BIG);
}

Test(array, without_an_array)
{
	void *p = &p;
	mp_obj nil = mp_array_handle(NULL);
	char text[4];

	T_RESULT(mp_array_at(NULL, 0, &p), -EINVAL);
	T_RESULT(mp_array_get(NULL, 0, &p, 4, 0), -EINVAL);
	T_RESULT(mp_array_set(NULL, 0, &p, 4, 0), -EINVAL);
	T_RESULT(mp_array_get_slice(NULL, MP_SLICE_ALL, NULL, 0, 0, NULL), -EINVAL);
	T_RESULT(mp_array_set_slice(NULL, MP_SLICE_ALL, NULL, 0, 0), -EINVAL);
	T_RESULT(mp_array_get_str(NULL, text, 4, 0), -EINVAL);
	T_RESULT(mp_array_set_str(NULL, "", 0), -EINVAL);
	T_RESULT(mp_array_copy(NULL, 0, (mp_array **)&p), -EINVAL);
	T_RESULT(mp_array_acquire(NULL, 0), -EINVAL);
	T_RESULT(mp_array_release(NULL), -EINVAL);
	T_RESULT(mp_array_type(NULL), -EINVAL);
	cr_assert_null(mp_array_data(NULL));
	cr_assert_eq(mp_array_length(NULL), 0);
	cr_assert_eq(mp_array_item_size(NULL), 0);
	cr_assert_null(mp_array_ref(NULL));
	T_OK(mp_array_close(NULL));
	cr_assert_null(mp_obj_array(&nil));
}

Test(array, no_descriptor_and_no_memory)
{
	struct rlimit old, limit;
	mp_array *a;

	cr_assert_eq(getrlimit(RLIMIT_NOFILE, &old), 0);
	limit = old;
	limit.rlim_cur = 3;
	cr_assert_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
	T_RESULT(mp_array_new('d', 10, NULL, NULL, &a), -EMFILE);
	cr_assert_eq(setrlimit(RLIMIT_NOFILE, &old), 0);
	T_EACH_FAILS(mp_array_new('d', 10, NULL, NULL, &a), mp_array_close(a));
	t_starve(0);
	T_RESULT(mp_array_new('d', 10, NULL, NULL, &a), -ENOMEM);
	t_starve(-1);
}

Test(array, text)
{
	mp_array *a, *i = make();
	char text[8] = "unset";

	T_OK(mp_array_new('c', 5, "hello", NULL, &a)); /* no NUL inside */
	T_OK(mp_array_get_str(a, text, 6, MP_NOWAIT));
	cr_assert_str_eq(text, "hello");
	strcpy(text, "unset");
	T_RESULT(mp_array_get_str(a, text, 5, MP_NOWAIT), -EMSGSIZE);
	T_RESULT(mp_array_get_str(a, text, 0, MP_NOWAIT), -EMSGSIZE);
	cr_assert_str_eq(text, "unset");
	T_OK(mp_array_set_str(a, "hey", MP_NOWAIT));
	cr_assert_eq(memcmp(mp_array_data(a), "hey\0o", 5), 0); /* raw */
	T_OK(mp_array_get_str(a, text, 4, MP_NOWAIT));
	cr_assert_str_eq(text, "hey");
	T_OK(mp_array_set_str(a, "world", MP_NOWAIT));
	T_RESULT(mp_array_set_str(a, "worlds", MP_NOWAIT), -EMSGSIZE);
	T_RESULT(mp_array_set_str(a, NULL, MP_NOWAIT), -EINVAL);
	T_RESULT(mp_array_get_str(a, NULL, 9, MP_NOWAIT), -EINVAL);
	T_RESULT(mp_array_set_str(i, "text", MP_NOWAIT), -EINVAL);
	T_RESULT(mp_array_get_str(i, text, 8, MP_NOWAIT), -EINVAL);
	cr_assert_eq(memcmp(mp_array_data(a), "world", 5), 0);
	mp_array_close(a);
	mp_array_close(i);
}

struct point {
	float x, y, z;
};

static int mirror(int argc, const mp_obj *argv)
{
	mp_array *a = mp_obj_array(&argv[0]);
	struct point *p;

	T_CHECK(argc == 1);
	for (int64_t i = 0; i < (int64_t)mp_array_length(a); i++) {
		T_CHECK(mp_array_at(a, i, &p) == 0);
		p->x = -p->x;
	}
	return 0;
}

Test(array, of_structs_and_large)
{
	const size_t n = 1000000; /* 12 MB: far more than small objects have */
	mp_array *a, *copy;

	T_OK(mp_array_new_sized(sizeof(struct point), n, NULL, NULL, &a));
	struct point *points = mp_array_data(a);
	for (size_t i = 0; i < n; i++) {
		cr_assert(points[i].x == 0 && points[i].z == 0);
		points[i].x = (float)i;
	}
	run_child(mirror, a, MP_START_FORK);
	cr_assert_eq(points[n - 1].x, -(float)(n - 1));
	run_child(mirror, a, MP_START_SPAWN);
	cr_assert_eq(points[n - 1].x, (float)(n - 1));
	T_OK(mp_array_copy(a, MP_NOWAIT, &copy));
	mp_array_close(a);
	cr_assert_eq(((struct point *)mp_array_data(copy))[7].x, 7);
	mp_array_close(copy);
}

Test(array, test_getobj_getlock_obj)
{
	mp_array *a = make();
	mp_array *raw;

	T_OK(mp_array_acquire(a, MP_FOREVER));
	T_OK(mp_array_acquire(a, MP_NOWAIT)); /* it is recursive */
	T_OK(mp_array_set(a, -1, &(int){5}, sizeof(int), MP_NOWAIT));
	T_OK(mp_array_release(a));
	T_OK(mp_array_release(a));
	T_RESULT(mp_array_release(a), -EPERM);
	cr_assert_eq(((int *)mp_array_data(a))[9], 5);
	T_OK(mp_array_new('i', 3, NULL, MP_VALUE_OPTIONS(.flags = MP_VALUE_RAW), &raw));
	T_RESULT(mp_array_acquire(raw, MP_FOREVER), -ENOTSUP);
	T_RESULT(mp_array_release(raw), -ENOTSUP);
	mp_array_close(raw);
	mp_array_close(a);
}

/* --- locks and deaths ---------------------------------------------------------------------------- */

static int hold(void *array)
{
	T_CHECK(mp_array_acquire(array, MP_FOREVER) == 0);
	t_ready();
	t_hang();
}

Test(array, a_lock_that_is_held_and_then_left_behind)
{
	mp_array *a = make();
	mp_array *raw, *copy;
	int items[10];

	T_OK(mp_array_new('c', 4, NULL, NULL, &raw));
	mp_array_close(raw);
	struct t_child child = t_spawn(hold, a);
	t_wait_ready(&child);
	T_RESULT(mp_array_get(a, 0, items, sizeof(int), MP_NOWAIT), -EAGAIN);
	T_RESULT(mp_array_set(a, 0, items, sizeof(int), 10), -ETIMEDOUT);
	T_RESULT(mp_array_get_slice(a, MP_SLICE_ALL, items, sizeof(items), 10, NULL), -ETIMEDOUT);
	T_RESULT(mp_array_set_slice(a, MP_SLICE_ALL, items, sizeof(items), MP_NOWAIT), -EAGAIN);
	T_RESULT(mp_array_copy(a, MP_NOWAIT, &copy), -EAGAIN);
	t_kill(&child, SIGKILL);
	T_RESULT(mp_array_acquire(a, MP_FOREVER), MP_OWNER_DIED);
	T_OK(mp_array_get_slice(a, MP_SLICE_ALL, items, sizeof(items), MP_NOWAIT, NULL));
	T_OK(mp_array_release(a));
	T_RESULT(mp_array_release(a), -EPERM);
	T_OK(mp_array_new('c', 4, NULL, MP_VALUE_OPTIONS(.flags = MP_VALUE_RAW), &raw));
	T_RESULT(mp_array_acquire(raw, 0), -ENOTSUP);
	T_RESULT(mp_array_release(raw), -ENOTSUP);
	mp_array_close(raw);
	mp_array_close(a);
}

Test(array, news_of_a_death_stays_when_a_text_does_not_fit)
{
	mp_array *a;
	char text[4];

	T_OK(mp_array_new('c', 4, "abcd", NULL, &a));
	struct t_child child = t_spawn(hold, a);
	t_wait_ready(&child);
	t_kill(&child, SIGKILL);
	T_RESULT(mp_array_get_str(a, text, sizeof(text), T_TIMEOUT_MS), -EMSGSIZE);
	T_RESULT(mp_array_get_str(a, text, sizeof(text), T_TIMEOUT_MS), -EMSGSIZE);
	T_RESULT(mp_array_set_str(a, "abc", T_TIMEOUT_MS), MP_OWNER_DIED);
	T_OK(mp_array_get_str(a, text, sizeof(text), T_TIMEOUT_MS));
	cr_assert_str_eq(text, "abc");
	mp_array_close(a);
}

static int set_all(void *array)
{
	int items[10] = {0};

	(void)mp_array_set_slice(array, MP_SLICE_ALL, items, sizeof(items), MP_FOREVER);
	return 0;
}

Test(array, killed_in_the_middle_of_a_slice)
{
	mp_array *a = make();
	int items[10];

	t_arm("array.written", "kill");
	struct t_child child = t_spawn(set_all, a);
	t_expect_signal(&child, SIGKILL);
	t_disarm();
	T_RESULT(mp_array_get_slice(a, MP_SLICE_ALL, items, sizeof(items), MP_FOREVER, NULL),
		MP_OWNER_DIED);
	cr_assert_eq(items[0], 0);
	cr_assert_eq(items[1], ten[1]);
	mp_array_close(a);
}
