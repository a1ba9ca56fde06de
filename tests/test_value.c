/* SPDX-License-Identifier: MIT */
/* Shared values: every type, copies under the lock, atomic operations, other processes, deaths. */
#include <config.h>

#include "tests/support/starve.h"
#include "tests/support/support.h"

#include "base/cleanup.h"
#include "sync/cells.h"

#include <limits.h>
#include <mp.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <wchar.h>

T_SUITE(value);

struct point {
	int x;
	double y;
};

static mp_value *make(int type, const void *initial)
{
	mp_value *v;

	T_OK(mp_value_new(type, initial, NULL, &v));
	return v;
}

Test(value, every_type_has_its_size_and_is_zero)
{
	static const struct {
		int type;
		size_t size;
	} types[] = {{'c', 1}, {'u', sizeof(wchar_t)}, {'b', 1}, {'B', 1}, {'h', 2}, {'H', 2},
		{'i', 4}, {'I', 4}, {'l', sizeof(long)}, {'L', sizeof(long)}, {'q', 8}, {'Q', 8},
		{'f', 4}, {'d', 8}};

	for (size_t i = 0; i < MP__COUNT_OF(types); i++) {
		mp_value *v = make(types[i].type, NULL);
		cr_assert_eq(mp_value_size(v), types[i].size);
		cr_assert_eq(mp_value_type(v), types[i].type);
		cr_assert_eq((uintptr_t)mp_value_data(v) % 64, 0);
		const char *bytes = mp_value_data(v);
		for (size_t k = 0; k < types[i].size; k++)
			cr_assert_eq(bytes[k], 0);
		T_OK(mp_value_close(v));
	}
}

/* Each value is overwritten by a child, and seen here. */
static int overwrite(int argc, const mp_obj *argv)
{
	T_CHECK(argc == 6);
	*(int *)mp_value_data(mp_obj_value(&argv[0])) = 42;
	*(double *)mp_value_data(mp_obj_value(&argv[1])) = -2.5;
	T_CHECK(mp_value_set(mp_obj_value(&argv[2]), &(short){-7}, 2, MP_FOREVER) == 0);
	T_CHECK(mp_value_set(mp_obj_value(&argv[3]), &(long long){INT64_MIN}, 8, MP_FOREVER) == 0);
	*(char *)mp_value_data(mp_obj_value(&argv[4])) = 'z';
	struct point *point = mp_value_data(mp_obj_value(&argv[5]));
	T_CHECK(point->x == 3 && point->y == 4.5);
	*point = (struct point){5, 6.5};
	return 0;
}

static void values_travel(int method, uint64_t flags)
{
	mp_value *v[6];
	mp_process *p;
	int code;
	const mp_value_options *options = MP_VALUE_OPTIONS(.flags = flags, .name = "a value");

	T_OK(mp_value_new('i', &(int){7}, options, &v[0]));
	T_OK(mp_value_new('d', &(double){3.25}, options, &v[1]));
	T_OK(mp_value_new('h', &(short){-232}, options, &v[2]));
	T_OK(mp_value_new('q', &(long long){1LL << 40}, options, &v[3]));
	T_OK(mp_value_new('c', "x", options, &v[4]));
	T_OK(mp_value_new_sized(sizeof(struct point), &(struct point){3, 4.5}, options, &v[5]));
	cr_assert_eq(*(int *)mp_value_data(v[0]), 7);
	cr_assert_eq(*(double *)mp_value_data(v[1]), 3.25);
	T_OK(mp_process_new(overwrite,
		MP_ARGS(mp_handle(v[0]), mp_handle(v[1]), mp_handle(v[2]), mp_handle(v[3]),
			mp_handle(v[4]), mp_handle(v[5])),
		MP_PROCESS_OPTIONS(.start_method = method), &p));
	T_OK(mp_process_start(p));
	T_OK(mp_process_join(p, MP_FOREVER));
	T_OK(mp_process_exit_code(p, &code));
	cr_assert_eq(code, 0);
	mp_process_close(p);
	cr_assert_eq(*(int *)mp_value_data(v[0]), 42);
	cr_assert_eq(*(double *)mp_value_data(v[1]), -2.5);
	cr_assert_eq(*(short *)mp_value_data(v[2]), -7);
	cr_assert_eq(*(long long *)mp_value_data(v[3]), INT64_MIN);
	cr_assert_eq(*(char *)mp_value_data(v[4]), 'z');
	cr_assert_eq(((struct point *)mp_value_data(v[5]))->y, 6.5);
	for (int i = 0; i < 6; i++)
		mp_value_close(v[i]);
}

Test(value, test_value)
{
	values_travel(MP_START_FORK, 0);
	values_travel(MP_START_SPAWN, 0);
	values_travel(MP_START_FORKSERVER, 0);
	values_travel(MP_START_THREAD, 0);
}

Test(value, test_rawvalue)
{
	values_travel(MP_START_FORK, MP_VALUE_RAW);
	values_travel(MP_START_SPAWN, MP_VALUE_RAW);
}

Test(value, test_getobj_getlock)
{
	mp_value *v = make('i', NULL);
	mp_value *raw;
	int number = -1;

	T_OK(mp_value_acquire(v, MP_FOREVER));
	T_OK(mp_value_acquire(v, MP_NOWAIT)); /* it is recursive */
	T_OK(mp_value_set(v, &(int){5}, sizeof(int), MP_NOWAIT));
	T_OK(mp_value_release(v));
	T_OK(mp_value_release(v));
	T_RESULT(mp_value_release(v), -EPERM);

	T_OK(mp_value_new('i', &(int){9}, MP_VALUE_OPTIONS(.flags = MP_VALUE_RAW), &raw));
	T_RESULT(mp_value_acquire(raw, MP_FOREVER), -ENOTSUP);
	T_RESULT(mp_value_release(raw), -ENOTSUP);
	T_OK(mp_value_get(raw, &number, sizeof(number), MP_NOWAIT));
	cr_assert_eq(number, 9);
	T_RESULT(mp_value_new('i', NULL, MP_VALUE_OPTIONS(.flags = 2), &v), -EINVAL);
	mp_value_close(raw);
	mp_value_close(v);
}

static int double_all(int argc, const mp_obj *argv)
{
	T_CHECK(argc == 2);
	T_CHECK(mp_value_acquire(mp_obj_value(&argv[0]), MP_FOREVER) == 0);
	*(int *)mp_value_data(mp_obj_value(&argv[0])) *= 2;
	T_CHECK(mp_value_release(mp_obj_value(&argv[0])) == 0);
	struct point *point = mp_value_data(mp_obj_value(&argv[1]));
	point->x *= 2;
	point->y *= 2;
	return 0;
}

Test(value, test_synchronize)
{
	mp_value *x = make('i', &(int){7});
	mp_value *point;
	mp_process *p;

	T_OK(mp_value_new_sized(sizeof(struct point), &(struct point){3, 2}, NULL, &point));
	T_OK(mp_process_new(double_all, MP_ARGS(mp_handle(x), mp_handle(point)), NULL, &p));
	T_OK(mp_process_start(p));
	T_OK(mp_process_join(p, MP_FOREVER));
	mp_process_close(p);
	cr_assert_eq(*(int *)mp_value_data(x), 14);
	cr_assert_eq(((struct point *)mp_value_data(point))->x, 6);
	cr_assert_eq(((struct point *)mp_value_data(point))->y, 4);
	mp_value_close(x);
	mp_value_close(point);
}

Test(value, test_copy)
{
	mp_value *v, *copy;

	T_OK(mp_value_new_sized(sizeof(struct point), &(struct point){1, 2}, NULL, &v));
	T_OK(mp_value_copy(v, MP_NOWAIT, &copy));
	((struct point *)mp_value_data(v))->x = 100;
	cr_assert_eq(((struct point *)mp_value_data(copy))->x, 1);
	cr_assert_eq(((struct point *)mp_value_data(copy))->y, 2);
	T_OK(mp_value_acquire(copy, MP_NOWAIT)); /* its lock is its own */
	T_OK(mp_value_release(copy));
	T_RESULT(mp_value_copy(v, MP_NOWAIT, NULL), -EINVAL);
	mp_value_close(v);
	mp_value_close(copy);
}

/* --- wrong uses ---------------------------------------------------------------------------------- */

Test(value, wrong_types_and_sizes)
{
	mp_value *v = (mp_value *)1;
	int number = 0;

	T_RESULT(mp_value_new('x', NULL, NULL, &v), -EINVAL);
	T_RESULT(mp_value_new(0, NULL, NULL, &v), -EINVAL);
	T_RESULT(mp_value_new(-1, NULL, NULL, &v), -EINVAL);
	T_RESULT(mp_value_new('i' + 256, NULL, NULL, &v), -EINVAL);
	T_RESULT(mp_value_new_sized(0, NULL, NULL, &v), -EINVAL);
	T_RESULT(mp_value_new_sized((size_t)-1, NULL, NULL, &v), -EINVAL);
	T_RESULT(mp_value_new_sized((size_t)1 << 63, NULL, NULL, &v), -EINVAL);
	T_RESULT(mp_value_new_sized((size_t)1 << 40, NULL, NULL, &v), -EOVERFLOW);
	T_RESULT(mp_value_new_sized((size_t)1 << 39, NULL, NULL, &v), -ENOSPC);
	T_RESULT(mp_value_new('i', NULL, NULL, NULL), -EINVAL);
	cr_assert_eq(v, (mp_value *)1);
	struct {
		mp_value_options options;
		uint64_t more;
	} newer = {.options = {.size = sizeof(newer)}, .more = 1};
	T_RESULT(mp_value_new('i', NULL, &newer.options, &v), -E2BIG);

	v = make('h', NULL);
	T_RESULT(mp_value_get(v, &number, sizeof(number), MP_NOWAIT), -EINVAL);
	T_RESULT(mp_value_set(v, &number, sizeof(number), MP_NOWAIT), -EINVAL);
	T_RESULT(mp_value_get(v, NULL, 2, MP_NOWAIT), -EINVAL);
	mp_value_close(v);
}

Test(value, without_a_value)
{
	int64_t n;
	double d;
	mp_value *copy;
	mp_obj nil = mp_value_handle(NULL);

	T_RESULT(mp_value_acquire(NULL, 0), -EINVAL);
	T_RESULT(mp_value_release(NULL), -EINVAL);
	T_RESULT(mp_value_get(NULL, &n, 8, 0), -EINVAL);
	T_RESULT(mp_value_set(NULL, &n, 8, 0), -EINVAL);
	T_RESULT(mp_value_copy(NULL, 0, &copy), -EINVAL);
	T_RESULT(mp_value_type(NULL), -EINVAL);
	T_RESULT(mp_value_load_i64(NULL, &n), -EINVAL);
	T_RESULT(mp_value_add_i64(NULL, 1, &n), -EINVAL);
	T_RESULT(mp_value_exchange_i64(NULL, 1, &n), -EINVAL);
	T_RESULT(mp_value_compare_exchange_i64(NULL, 1, 1, &n), -EINVAL);
	T_RESULT(mp_value_load_f64(NULL, &d), -EINVAL);
	T_RESULT(mp_value_add_f64(NULL, 1, &d), -EINVAL);
	T_RESULT(mp_value_exchange_f64(NULL, 1, &d), -EINVAL);
	T_RESULT(mp_value_compare_exchange_f64(NULL, 1, 1, &d), -EINVAL);
	cr_assert_null(mp_value_data(NULL));
	cr_assert_eq(mp_value_size(NULL), 0);
	cr_assert_null(mp_value_ref(NULL));
	T_OK(mp_value_close(NULL));
	cr_assert_eq(nil.type, MP_TYPE_NIL);
	cr_assert_null(mp_obj_value(&nil));
}

Test(value, no_descriptor_and_no_memory)
{
	struct rlimit old, limit;
	mp_value *v;

	cr_assert_eq(getrlimit(RLIMIT_NOFILE, &old), 0);
	limit = old;
	limit.rlim_cur = 3;
	cr_assert_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
	T_RESULT(mp_value_new('i', NULL, NULL, &v), -EMFILE);
	cr_assert_eq(setrlimit(RLIMIT_NOFILE, &old), 0);
	T_EACH_FAILS(mp_value_new('i', NULL, NULL, &v), mp_value_close(v));
	t_starve(0);
	T_RESULT(mp_value_new('i', NULL, NULL, &v), -ENOMEM);
	t_starve(-1);
}

Test(value, references)
{
	mp_value *v = make('i', &(int){3});

	cr_assert_eq(mp_value_ref(v), v);
	mp_value_close(v);
	cr_assert_eq(*(int *)mp_value_data(v), 3);
	mp_value_close(v);
}

Test(value, thousands_share_few_descriptors)
{
	static mp_value *many[3000];
	int before = t_count_fds();

	for (int i = 0; i < 3000; i++)
		many[i] = make('i', &i);
	cr_assert_leq(t_count_fds(), before + 2);
	for (int i = 0; i < 3000; i++) {
		cr_assert_eq(*(int *)mp_value_data(many[i]), i);
		mp_value_close(many[i]);
	}
}

/* --- atomic -------------------------------------------------------------------------------------- */

Test(value, atomic_integers_of_every_type)
{
	static const char types[] = "cubBhHiIlLqQ";

	for (const char *t = types; *t; t++) {
		mp_value *v = make(*t, NULL);
		int64_t old = -1;
		T_OK(mp_value_add_i64(v, 5, &old));
		cr_assert_eq(old, 0);
		T_OK(mp_value_add_i64(v, -2, NULL));
		T_OK(mp_value_exchange_i64(v, 100, &old));
		cr_assert_eq(old, 3);
		T_RESULT(mp_value_compare_exchange_i64(v, 99, 1, &old), 0);
		cr_assert_eq(old, 100);
		T_RESULT(mp_value_compare_exchange_i64(v, 100, 1, NULL), 1);
		T_OK(mp_value_load_i64(v, &old));
		cr_assert_eq(old, 1);
		T_RESULT(mp_value_load_i64(v, NULL), -EINVAL);
		T_RESULT(mp_value_add_f64(v, 1, NULL), -EINVAL);
		mp_value_close(v);
	}
}

Test(value, what_a_type_cannot_hold)
{
	mp_value *b = make('b', &(signed char){127});
	mp_value *I = make('I', NULL);
	mp_value *Q = make('Q', NULL);
	int64_t old;

	T_OK(mp_value_add_i64(b, 1, NULL)); /* wraps */
	T_OK(mp_value_load_i64(b, &old));
	cr_assert_eq(old, -128);
	T_RESULT(mp_value_exchange_i64(b, 128, &old), -EOVERFLOW);
	T_RESULT(mp_value_compare_exchange_i64(b, -128, 128, &old), -EOVERFLOW);
	T_RESULT(mp_value_compare_exchange_i64(b, 128, 0, &old), 0); /* it never is */
	cr_assert_eq(old, -128);
	T_RESULT(mp_value_exchange_i64(I, -1, NULL), -EOVERFLOW);
	T_OK(mp_value_exchange_i64(I, UINT32_MAX, NULL));
	T_OK(mp_value_add_i64(I, 2, &old));
	cr_assert_eq(old, UINT32_MAX);
	cr_assert_eq(*(unsigned int *)mp_value_data(I), 1);
	T_OK(mp_value_exchange_i64(Q, -1, NULL));
	cr_assert_eq(*(unsigned long long *)mp_value_data(Q), UINT64_MAX);
	mp_value_close(b);
	mp_value_close(I);
	mp_value_close(Q);
}

Test(value, atomic_floating_point)
{
	for (const char *t = "fd"; *t; t++) {
		mp_value *v = make(*t, NULL);
		double old = -1;
		T_OK(mp_value_add_f64(v, 1.5, &old));
		cr_assert_eq(old, 0);
		T_OK(mp_value_exchange_f64(v, 0.25, &old));
		cr_assert_eq(old, 1.5);
		T_RESULT(mp_value_compare_exchange_f64(v, 0.5, 7, &old), 0);
		cr_assert_eq(old, 0.25);
		T_RESULT(mp_value_compare_exchange_f64(v, 0.25, 7, NULL), 1);
		T_OK(mp_value_load_f64(v, &old));
		cr_assert_eq(old, 7);
		T_RESULT(mp_value_load_f64(v, NULL), -EINVAL);
		T_RESULT(mp_value_add_i64(v, 1, NULL), -EINVAL);
		mp_value_close(v);
	}
	mp_value *v;
	T_OK(mp_value_new_sized(8, NULL, NULL, &v));
	T_RESULT(mp_value_add_i64(v, 1, NULL), -EINVAL);
	T_RESULT(mp_value_add_f64(v, 1, NULL), -EINVAL);
	cr_assert_eq(mp_value_type(v), 0);
	mp_value_close(v);
}

#define ROUNDS 50000

static mp_value *counter;
static mp_value *sum;

static int count(void *argument)
{
	(void)argument;
	for (int i = 0; i < ROUNDS; i++) {
		T_CHECK(mp_value_add_i64(counter, 1, NULL) == 0);
		T_CHECK(mp_value_add_f64(sum, 0.5, NULL) == 0);
	}
	return 0;
}

Test(value, no_addition_is_lost)
{
	struct t_child children[4];

	counter = make('i', NULL);
	sum = make('d', NULL);
	for (int i = 0; i < 4; i++)
		children[i] = t_spawn(count, NULL);
	for (int i = 0; i < 4; i++)
		t_expect_exit(&children[i], 0);
	cr_assert_eq(*(int *)mp_value_data(counter), 4 * ROUNDS);
	cr_assert_eq(*(double *)mp_value_data(sum), 2.0 * ROUNDS);
	mp_value_close(counter);
	mp_value_close(sum);
}

/* --- locks and deaths ---------------------------------------------------------------------------- */

static int hold(void *value)
{
	T_CHECK(mp_value_acquire(value, MP_FOREVER) == 0);
	t_ready();
	t_hang();
}

Test(value, a_lock_that_is_held_and_then_left_behind)
{
	mp_value *v = make('i', &(int){1});
	mp_value *copy;
	int number;

	struct t_child child = t_spawn(hold, v);
	t_wait_ready(&child);
	T_RESULT(mp_value_get(v, &number, sizeof(number), MP_NOWAIT), -EAGAIN);
	T_RESULT(mp_value_set(v, &number, sizeof(number), 20), -ETIMEDOUT);
	T_RESULT(mp_value_copy(v, MP_NOWAIT, &copy), -EAGAIN);
	T_RESULT(mp_value_acquire(v, 20), -ETIMEDOUT);
	T_OK(mp_value_add_i64(v, 1, NULL)); /* needs no lock */
	t_kill(&child, SIGKILL);
	T_RESULT(mp_value_get(v, &number, sizeof(number), MP_FOREVER), MP_OWNER_DIED);
	cr_assert_eq(number, 2);
	T_OK(mp_value_get(v, &number, sizeof(number), MP_FOREVER));
	mp_value_close(v);
}

static int set_two(void *value)
{
	(void)mp_value_set(value, &(int){2}, sizeof(int), MP_FOREVER);
	return 0;
}

Test(value, killed_in_the_middle_of_a_set)
{
	static const char *const points[] = {"value.entered", "value.leaving"};
	static const char *const actions[] = {"kill", "stop"};

	for (int i = 0; i < 4; i++) {
		mp_value *v = make('i', &(int){1});
		int number;
		t_arm(points[i / 2], actions[i % 2]);
		struct t_child child = t_spawn(set_two, v);
		if (i % 2) {
			siginfo_t info;
			cr_assert_eq(waitid(P_PID, (id_t)child.pid, &info, WSTOPPED), 0);
			T_RESULT(mp_value_get(v, &number, sizeof(number), 20), -ETIMEDOUT);
			t_kill(&child, SIGKILL);
		} else {
			t_expect_signal(&child, SIGKILL);
		}
		t_disarm();
		T_RESULT(mp_value_get(v, &number, sizeof(number), MP_FOREVER), MP_OWNER_DIED);
		cr_assert_eq(number, i / 2 + 1); /* before or after, never torn */
		mp_value_close(v);
	}
}

/* --- hostile ------------------------------------------------------------------------------------- */

/* Send a handle to ourselves, with what `spoil` did to the shared memory; it must be refused. */
static void expect_refused(const char *what, void (*spoil)(struct mp__cells_shared *shared))
{
	mp_value *v = make('i', NULL);
	struct mp__handle_wire wire = {.n_fds = 0};
	struct mp__handle *handle;
	int fds[1];

	T_OK(mp__value_class.export(&v->cells.handle, &wire));
	fds[0] = wire.fds[0] = dup(wire.fds[0]);
	/* Its record here would be found: give it up first, as in another process. */
	struct mp__cells_shared copy = *v->cells.shared;
	spoil(v->cells.shared);
	int r = mp__value_class.import(&wire, &handle);
	cr_assert_eq(r, -EBADMSG, "%s: %d", what, r);
	if (wire.fds[0] >= 0)
		close(fds[0]);
	*v->cells.shared = copy;
	mp_value_close(v);
}

static void spoil_type(struct mp__cells_shared *shared)
{
	shared->head.flags = 'x';
}
static void spoil_size(struct mp__cells_shared *shared)
{
	shared->item_size = 8;
}
static void spoil_struct(struct mp__cells_shared *shared)
{
	shared->head.flags = 0;
	shared->item_size = UINT64_MAX;
}
static void spoil_length(struct mp__cells_shared *shared)
{
	shared->length = 2;
}
static void spoil_zero(struct mp__cells_shared *shared)
{
	shared->head.flags = 0;
	shared->item_size = 0;
}
static void spoil_flags(struct mp__cells_shared *shared)
{
	shared->head.flags |= 0x8000;
}
static void spoil_magic(struct mp__cells_shared *shared)
{
	shared->head.magic = MP__MAGIC_ARRAY;
}

Test(value, damaged_memory_is_refused)
{
	expect_refused("type", spoil_type);
	expect_refused("size", spoil_size);
	expect_refused("struct", spoil_struct);
	expect_refused("length", spoil_length);
	expect_refused("zero", spoil_zero);
	expect_refused("flags", spoil_flags);
	expect_refused("magic", spoil_magic);
}

Test(value, what_changes_later_changes_nothing_here)
{
	mp_value *v = make('i', &(int){1});
	int number;

	v->cells.shared->item_size = UINT64_MAX;
	v->cells.shared->length = UINT64_MAX;
	v->cells.shared->head.flags = 'd';
	T_OK(mp_value_get(v, &number, sizeof(number), MP_NOWAIT));
	cr_assert_eq(number, 1);
	v->cells.shared->lock.mp__private[0] = 0;
	T_RESULT(mp_value_get(v, &number, sizeof(number), MP_NOWAIT), -EINVAL); /* no lock there */
	mp_value_close(v);
}
