/* SPDX-License-Identifier: MIT */
/* Transactions on lists, namespaces and arrays, and on the time that keys have. */
#include <config.h>

#include "tests/support/daemon.h"

#include <errno.h>
#include <mp.h>
#include <stdlib.h>
#include <string.h>

T_SUITE(transact_places);

#define LONG_MS 60000
#define I(n) mp_i64(n)
#define S(text) mp_str(text)
#define F(x) mp_f64(x)
#define NIL mp_nil()

static mp_manager *m;
static mp_dict *dict;
static mp_proxy *list;
static mp_proxy *space;
static mp_proxy *array;

static void open_in(mp_manager *manager)
{
	m = manager;
	dict = t_dict(m, NULL);
	T_OK(mp_manager_list(m, NULL, &list));
	T_OK(mp_manager_namespace(m, NULL, &space));
	T_OK(mp_manager_array(m, NULL, 'h', MP_LIST(I(1), I(2), I(3)), &array));
}

static void close_all(void)
{
	mp_dict_close(dict);
	mp_proxy_close(list);
	mp_proxy_close(space);
	mp_proxy_close(array);
	mp_manager_close(m);
}

#define TRANSACT(...)                                  \
	mp_transact((mp_transact_step[]){__VA_ARGS__}, \
		sizeof((mp_transact_step[]){__VA_ARGS__}) / sizeof(mp_transact_step))
#define STEP(object, op, key, value)              \
	{                                         \
		mp_handle(object), op, key, value \
	}

static void expect_list(mp_obj wanted)
{
	mp_obj items;

	T_OK(mp_list_items(list, &items));
	t_expect_value(&items, wanted);
}

static void expect_array(mp_obj wanted)
{
	mp_obj items;

	T_OK(mp_served_array_items(array, &items));
	t_expect_value(&items, wanted);
}

static void expect_space(mp_obj wanted)
{
	mp_obj items;

	T_OK(mp_namespace_items(space, &items));
	t_expect_value(&items, wanted);
}

static int64_t version_of(mp_proxy *proxy)
{
	int64_t version = -1;

	T_OK(mp_proxy_version(proxy, &version));
	return version;
}

Test(transact_places, all_kinds_change_together_or_not_at_all)
{
	open_in(t_manager());
	int64_t seen = version_of(list);
	T_OK(TRANSACT(STEP(list, MP_LIST_APPEND, NIL, S("a")),
		STEP(dict, MP_DICT_SET, S("k"), I(1)), STEP(space, MP_DICT_SET, S("name"), I(2)),
		STEP(array, MP_DICT_ADD, I(0), I(5))));
	T_OK(mp_proxy_watch(list, seen, MP_NOWAIT, &seen));
	expect_list(MP_LIST(S("a")));
	expect_space(MP_DICT(S("name"), I(2)));
	expect_array(MP_LIST(I(6), I(2), I(3)));
	T_RESULT(TRANSACT(STEP(list, MP_DICT_DELETE, I(0), NIL),
			 STEP(list, MP_LIST_APPEND, NIL, I(1)),
			 STEP(space, MP_DICT_DELETE, S("name"), NIL),
			 STEP(array, MP_DICT_SET, I(1), I(9)),
			 STEP(dict, MP_DICT_ABSENT, S("k"), NIL)),
		-ESTALE);
	expect_list(MP_LIST(S("a")));
	expect_space(MP_DICT(S("name"), I(2)));
	expect_array(MP_LIST(I(6), I(2), I(3)));
	/* What was not changed has its version still; what is changed has another one, once. */
	T_RESULT(mp_proxy_watch(list, seen, MP_NOWAIT, NULL), -EAGAIN);
	T_OK(TRANSACT(STEP(list, MP_DICT_VERSION, NIL, I(seen)),
		STEP(list, MP_LIST_APPEND, NIL, I(1)), STEP(list, MP_LIST_APPEND, NIL, I(2))));
	cr_assert_eq(version_of(list), seen + 1);
	T_RESULT(TRANSACT(STEP(list, MP_DICT_VERSION, NIL, I(seen)),
			 STEP(array, MP_DICT_SET, I(1), I(9))),
		-ESTALE);
	close_all();
}

/* --- lists -------------------------------------------------------------------------------------- */

Test(transact_places, indexes_of_a_list_are_those_at_each_step)
{
	open_in(t_manager());
	T_OK(TRANSACT(STEP(list, MP_DICT_ABSENT, I(0), NIL), STEP(list, MP_LIST_APPEND, NIL, I(1)),
		STEP(list, MP_LIST_APPEND, NIL, I(3)), STEP(list, MP_LIST_INSERT, I(1), I(2)),
		STEP(list, MP_DICT_EQUAL, I(1), I(2)), STEP(list, MP_DICT_EQUAL, I(-1), I(3)),
		STEP(list, MP_DICT_ADD, I(-1), I(10)), STEP(list, MP_DICT_AT_LEAST, I(2), I(13)),
		STEP(list, MP_DICT_DELETE, I(0), NIL), STEP(list, MP_DICT_EQUAL, I(0), I(2)),
		STEP(list, MP_DICT_PRESENT, I(1), NIL), STEP(list, MP_DICT_ABSENT, I(2), NIL),
		STEP(list, MP_DICT_SET, I(0), S("two")),
		STEP(list, MP_LIST_INSERT, I(-99), S("first")),
		STEP(list, MP_LIST_INSERT, I(99), S("last"))));
	expect_list(MP_LIST(S("first"), S("two"), I(13), S("last")));
	/* To the last item and back. */
	T_OK(TRANSACT(STEP(list, MP_DICT_DELETE, I(0), NIL), STEP(list, MP_DICT_DELETE, I(0), NIL),
		STEP(list, MP_DICT_DELETE, I(0), NIL), STEP(list, MP_DICT_DELETE, I(0), NIL),
		STEP(list, MP_DICT_ABSENT, I(-1), NIL), STEP(list, MP_LIST_INSERT, I(0), I(1)),
		STEP(list, MP_DICT_DELETE, I(-1), NIL)));
	expect_list(MP_LIST());
	close_all();
}

Test(transact_places, an_index_of_a_list_that_is_not_there_is_no_mistake)
{
	open_in(t_manager());
	T_OK(mp_list_append(list, I(1)));
	static const enum mp_dict_op ops[] = {MP_DICT_EQUAL, MP_DICT_AT_LEAST, MP_DICT_PRESENT,
		MP_DICT_SET, MP_DICT_ADD, MP_DICT_DELETE};
	for (size_t i = 0; i < sizeof(ops) / sizeof(ops[0]); i++) {
		T_RESULT(TRANSACT(STEP(list, ops[i], I(1), I(1))), -ESTALE);
		cr_assert(strstr(mp_error_detail(), "no such index"), "%s", mp_error_detail());
		T_RESULT(TRANSACT(STEP(list, ops[i], I(-2), I(1))), -ESTALE);
	}
	expect_list(MP_LIST(I(1)));
	close_all();
}

#define ROUNDS 60
#define STEPS 40

/* The same step on an array of ours, of which it is known what it does. */
static void do_as_well(int64_t *model, int *n, const mp_transact_step *step)
{
	int i = (int)step->key.as.i64;

	if (step->op == MP_LIST_APPEND || step->op == MP_LIST_INSERT) {
		i = step->op == MP_LIST_APPEND ? *n : i;
		memmove(&model[i + 1], &model[i], (size_t)(*n - i) * sizeof(*model));
		model[i] = step->value.as.i64;
		++*n;
	} else if (step->op == MP_DICT_DELETE) {
		--*n;
		memmove(&model[i], &model[i + 1], (size_t)(*n - i) * sizeof(*model));
	} else {
		model[i] = step->value.as.i64 + (step->op == MP_DICT_ADD ? model[i] : 0);
	}
}

static mp_transact_step any_step(int n, int64_t value)
{
	static const enum mp_dict_op ops[] = {MP_LIST_APPEND, MP_LIST_INSERT, MP_DICT_DELETE,
		MP_DICT_SET, MP_DICT_ADD, MP_DICT_DELETE};
	enum mp_dict_op op = n > 0 ? ops[rand() % 6] : MP_LIST_APPEND;

	return (mp_transact_step){mp_handle(list), op, op == MP_LIST_APPEND ? NIL : I(rand() % n),
		op == MP_DICT_DELETE ? NIL : I(value)};
}

Test(transact_places, a_list_becomes_what_the_steps_make_of_it)
{
	static int64_t model[ROUNDS * STEPS];
	mp_transact_step steps[2 * STEPS];
	mp_obj items;
	int n = 0;

	srand(1);
	open_in(t_manager());
	for (int round = 0; round < ROUNDS; round++) {
		for (int i = 0; i < STEPS; i++) {
			steps[2 * i] = any_step(n, round * STEPS + i);
			do_as_well(model, &n, &steps[2 * i]);
			/* In between it is looked at, somewhere. */
			steps[2 * i + 1] =
				(mp_transact_step){mp_handle(list), MP_DICT_ABSENT, I(n), NIL};
			if (n > 0) {
				int at = rand() % n;
				steps[2 * i + 1] = (mp_transact_step){
					mp_handle(list), MP_DICT_EQUAL, I(at), I(model[at])};
			}
		}
		T_OK(mp_transact(steps, (size_t)2 * STEPS));
		T_OK(mp_list_items(list, &items));
		cr_assert_eq(mp_obj_len(&items), (size_t)n);
		for (int i = 0; i < n; i++)
			cr_assert_eq(mp_obj_i64(mp_obj_at(&items, (size_t)i)), model[i]);
		mp_obj_free(&items);
	}
	close_all();
}

Test(transact_places, objects_in_lists_are_kept_only_if_it_is_carried_out)
{
	mp_proxy *counter;
	mp_obj value;
	int64_t n;

	open_in(t_manager());
	T_OK(mp_manager_counter(m, NULL, 1, &counter));
	T_RESULT(TRANSACT(STEP(list, MP_LIST_APPEND, NIL, mp_handle(counter)),
			 STEP(space, MP_DICT_SET, S("c"), mp_handle(counter)),
			 STEP(list, MP_DICT_DELETE, I(5), NIL)),
		-ESTALE);
	T_OK(TRANSACT(STEP(list, MP_LIST_APPEND, NIL, mp_handle(counter)),
		STEP(list, MP_LIST_INSERT, I(0), MP_LIST(mp_handle(counter))),
		STEP(list, MP_DICT_SET, I(0), I(0)),
		STEP(space, MP_DICT_SET, S("c"), mp_handle(counter))));
	mp_proxy_close(counter);
	T_OK(TRANSACT(STEP(space, MP_DICT_DELETE, S("c"), NIL)));
	T_OK(mp_list_get(list, 1, &value));
	T_OK(mp_counter_add(mp_obj_proxy(&value), 1, &n));
	cr_assert_eq(n, 2);
	T_OK(TRANSACT(STEP(list, MP_DICT_DELETE, I(1), NIL)));
	T_OK(mp_counter_get(mp_obj_proxy(&value), &n)); /* we have it open still */
	mp_obj_free(&value);
	expect_list(MP_LIST(I(0)));
	close_all();
}

/* --- namespaces and arrays ------------------------------------------------------------------------ */

Test(transact_places, attributes_are_as_keys_that_are_strings)
{
	open_in(t_manager());
	T_OK(TRANSACT(STEP(space, MP_DICT_ABSENT, S("x"), NIL),
		STEP(space, MP_DICT_ADD, S("x"), I(2)), STEP(space, MP_DICT_AT_LEAST, S("x"), I(2)),
		STEP(space, MP_DICT_SET, S("y"), S("z")),
		STEP(space, MP_DICT_EQUAL, S("y"), S("z")),
		STEP(space, MP_DICT_PRESENT, S("y"), NIL), STEP(space, MP_DICT_SET, S("gone"), NIL),
		STEP(space, MP_DICT_DELETE, S("gone"), NIL)));
	expect_space(MP_DICT(S("x"), I(2), S("y"), S("z")));
	cr_assert_eq(mp_namespace_has(space, "gone"), 0);
	T_RESULT(TRANSACT(STEP(space, MP_DICT_SET, I(1), I(1))), -EINVAL);
	T_RESULT(TRANSACT(STEP(space, MP_DICT_SET, NIL, I(1))), -EINVAL);
	T_RESULT(TRANSACT(STEP(space, MP_DICT_DELETE, S("gone"), NIL)), -ESTALE);
	expect_space(MP_DICT(S("x"), I(2), S("y"), S("z")));
	close_all();
}

Test(transact_places, items_of_arrays_are_numbers_of_their_type)
{
	mp_proxy *floats;
	mp_proxy *large;
	mp_obj number;

	open_in(t_manager());
	T_OK(mp_manager_array(m, NULL, 'f', MP_LIST(F(0.5)), &floats));
	T_OK(mp_manager_array(m, NULL, 'Q', MP_LIST(I(1)), &large));
	T_OK(TRANSACT(STEP(array, MP_DICT_SET, I(0), I(32767)),
		STEP(array, MP_DICT_ADD, I(0), I(-1)), STEP(array, MP_DICT_EQUAL, I(-3), I(32766)),
		STEP(array, MP_DICT_AT_LEAST, I(1), I(2)), STEP(floats, MP_DICT_ADD, I(0), I(1)),
		STEP(floats, MP_DICT_EQUAL, I(0), F(1.5)), STEP(floats, MP_DICT_SET, I(0), F(0.1)),
		STEP(floats, MP_DICT_EQUAL, I(0), F((double)0.1f)),
		STEP(large, MP_DICT_SET, I(0), mp_u64(UINT64_MAX)),
		STEP(large, MP_DICT_ADD, I(0), I(-1))));
	expect_array(MP_LIST(I(32766), I(2), I(3)));
	T_OK(mp_served_array_get(large, 0, &number));
	t_expect_value(&number, mp_u64(UINT64_MAX - 1));
	T_RESULT(TRANSACT(STEP(array, MP_DICT_SET, I(1), I(7)),
			 STEP(array, MP_DICT_SET, I(0), I(32768))),
		-EOVERFLOW);
	T_RESULT(TRANSACT(STEP(array, MP_DICT_SET, I(1), I(7)),
			 STEP(array, MP_DICT_ADD, I(0), I(2))),
		-EOVERFLOW);
	T_RESULT(TRANSACT(STEP(array, MP_DICT_SET, I(1), I(7)),
			 STEP(array, MP_DICT_SET, I(3), I(1))),
		-ERANGE);
	T_RESULT(TRANSACT(STEP(array, MP_DICT_EQUAL, I(-4), I(1))), -ERANGE);
	T_RESULT(TRANSACT(STEP(array, MP_DICT_SET, I(0), F(1))), -EINVAL);
	T_RESULT(TRANSACT(STEP(array, MP_DICT_ADD, I(0), F(1))), -EINVAL);
	T_RESULT(TRANSACT(STEP(array, MP_DICT_SET, I(0), S("1"))), -EINVAL);
	T_RESULT(TRANSACT(STEP(array, MP_DICT_DELETE, I(0), NIL)), -EINVAL);
	T_RESULT(TRANSACT(STEP(array, MP_LIST_APPEND, NIL, I(1))), -EINVAL);
	T_RESULT(TRANSACT(STEP(array, MP_DICT_PRESENT, I(0), NIL)), -EINVAL);
	expect_array(MP_LIST(I(32766), I(2), I(3)));
	mp_proxy_close(floats);
	mp_proxy_close(large);
	close_all();
}

/* --- the time that keys have ---------------------------------------------------------------------- */

static int64_t ttl_of(const char *key)
{
	int64_t ttl = 0;

	T_OK(mp_dict_ttl(dict, S(key), &ttl));
	return ttl;
}

Test(transact_places, a_step_gives_a_key_its_time)
{
	open_in(t_manager());
	T_OK(mp_dict_set(dict, S("old"), I(1)));
	T_OK(mp_dict_set_for(dict, S("kept"), I(1), LONG_MS));
	T_OK(mp_dict_set_for(dict, S("moved"), MP_LIST(mp_handle(list)), LONG_MS));
	T_OK(TRANSACT(STEP(dict, MP_DICT_SET, S("new"), I(1)),
		STEP(dict, MP_DICT_EXPIRE, S("new"), I(LONG_MS)),
		STEP(dict, MP_DICT_EXPIRE, S("old"), I(LONG_MS)),
		STEP(dict, MP_DICT_ADD, S("old"), I(1)), STEP(dict, MP_DICT_EQUAL, S("old"), I(2)),
		STEP(dict, MP_DICT_PERSIST, S("kept"), NIL),
		STEP(dict, MP_DICT_EXPIRE, S("moved"), I(10 * LONG_MS)),
		STEP(dict, MP_DICT_PRESENT, S("moved"), NIL)));
	cr_assert(ttl_of("new") > 0 && ttl_of("new") <= LONG_MS);
	cr_assert(ttl_of("old") > 0 && ttl_of("old") <= LONG_MS);
	cr_assert(ttl_of("kept") == MP_FOREVER);
	cr_assert(ttl_of("moved") > LONG_MS);
	t_expect_get(dict, S("old"), I(2));
	/* A value that is set, or a key that comes anew, stays. */
	T_OK(TRANSACT(STEP(dict, MP_DICT_EXPIRE, S("old"), I(1)),
		STEP(dict, MP_DICT_SET, S("old"), I(3)), STEP(dict, MP_DICT_DELETE, S("new"), NIL),
		STEP(dict, MP_DICT_ADD, S("new"), I(1)),
		STEP(dict, MP_DICT_EXPIRE, S("kept"), I(1)),
		STEP(dict, MP_DICT_PERSIST, S("kept"), NIL)));
	cr_assert(ttl_of("old") == MP_FOREVER && ttl_of("new") == MP_FOREVER);
	cr_assert(ttl_of("kept") == MP_FOREVER);
	close_all();
}

Test(transact_places, who_watches_is_told_when_the_time_is_over)
{
	int64_t version;

	open_in(t_manager());
	T_OK(TRANSACT(
		STEP(dict, MP_DICT_SET, S("k"), I(1)), STEP(dict, MP_DICT_EXPIRE, S("k"), I(1))));
	T_OK(mp_dict_version(dict, &version));
	if (mp_dict_contains(dict, S("k")) == 1)
		T_OK(mp_dict_watch(dict, version, LONG_MS, NULL));
	cr_assert_eq(mp_dict_contains(dict, S("k")), 0);
	close_all();
}

Test(transact_places, no_time_is_given_if_anything_fails)
{
	open_in(t_manager());
	T_OK(mp_dict_set(dict, S("k"), I(1)));
	T_RESULT(TRANSACT(STEP(dict, MP_DICT_EXPIRE, S("k"), I(1)),
			 STEP(dict, MP_DICT_PRESENT, S("none"), NIL)),
		-ESTALE);
	cr_assert(ttl_of("k") == MP_FOREVER);
	T_RESULT(TRANSACT(STEP(dict, MP_DICT_EXPIRE, S("none"), I(1))), -ESTALE);
	T_RESULT(TRANSACT(STEP(dict, MP_DICT_PERSIST, S("none"), NIL)), -ESTALE);
	T_RESULT(TRANSACT(STEP(dict, MP_DICT_DELETE, S("k"), NIL),
			 STEP(dict, MP_DICT_EXPIRE, S("k"), I(LONG_MS))),
		-ESTALE);
	T_RESULT(TRANSACT(STEP(dict, MP_DICT_EXPIRE, S("k"), I(0))), -EINVAL);
	T_RESULT(TRANSACT(STEP(dict, MP_DICT_EXPIRE, S("k"), I(1000000000001))), -EINVAL);
	T_RESULT(TRANSACT(STEP(dict, MP_DICT_EXPIRE, S("k"), S("1"))), -EINVAL);
	T_RESULT(TRANSACT(STEP(space, MP_DICT_EXPIRE, S("k"), I(1))), -EINVAL);
	T_RESULT(TRANSACT(STEP(list, MP_DICT_EXPIRE, I(0), I(1))), -EINVAL);
	T_RESULT(TRANSACT(STEP(dict, MP_LIST_APPEND, NIL, I(1))), -EINVAL);
	T_RESULT(TRANSACT(STEP(space, MP_LIST_INSERT, I(0), I(1))), -EINVAL);
	T_RESULT(TRANSACT(STEP(list, MP_LIST_APPEND, I(0), I(1))), -EINVAL);
	T_RESULT(TRANSACT(STEP(list, MP_LIST_INSERT, NIL, I(1))), -EINVAL);
	t_expect_get(dict, S("k"), I(1));
	close_all();
}
