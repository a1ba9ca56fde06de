/* SPDX-License-Identifier: MIT */
/* Proxied dicts. Where CPython tests the same, the test has its name. */
#include <config.h>

#include "manager/manager.h"
#include "tests/support/daemon.h"
#include "wire/frame.h"

#include <mp.h>

T_SUITE(dict);

Test(dict, test_dict)
{
	mp_manager *m = t_manager();
	mp_dict *d = t_dict(m, NULL);
	mp_obj value;
	size_t n;

	for (int i = 65; i < 70; i++)
		T_OK(mp_dict_set(d, mp_i64(i), mp_strn(&(char){(char)i}, 1)));
	T_OK(mp_dict_items(d, &value));
	t_expect_value(
		&value, MP_DICT(mp_i64(65), mp_str("A"), mp_i64(66), mp_str("B"), mp_i64(67),
				mp_str("C"), mp_i64(68), mp_str("D"), mp_i64(69), mp_str("E")));
	T_OK(mp_dict_keys(d, &value));
	t_expect_value(&value, MP_LIST(mp_i64(65), mp_i64(66), mp_i64(67), mp_i64(68), mp_i64(69)));
	T_OK(mp_dict_values(d, &value));
	t_expect_value(
		&value, MP_LIST(mp_str("A"), mp_str("B"), mp_str("C"), mp_str("D"), mp_str("E")));
	T_OK(mp_dict_len(d, &n));
	cr_assert(n == 5);
	T_OK(mp_dict_pop(d, mp_i64(65), &value));
	t_expect_value(&value, mp_str("A"));
	T_RESULT(mp_dict_pop(d, mp_i64(65), &value), -ENOENT);
	T_OK(mp_dict_pop(d, mp_i64(66), NULL));
	T_RESULT(mp_dict_contains(d, mp_i64(66)), 0);
	T_RESULT(mp_dict_contains(d, mp_i64(67)), 1);
	T_RESULT(mp_dict_get(d, mp_i64(66), &value), -ENOENT);
	T_OK(mp_dict_clear(d));
	T_OK(mp_dict_items(d, &value));
	t_expect_value(&value, MP_DICT());
	mp_dict_close(d);
	mp_manager_close(m);
}

/* A copy of the keys is unmoved by what happens to the dict meanwhile. */
Test(dict, test_dict_iter)
{
	mp_manager *m = t_manager();
	mp_dict *d = t_dict(m, NULL);
	mp_obj keys;

	for (int i = 0; i < 10; i++)
		T_OK(mp_dict_set(d, mp_i64(i), mp_i64(i * i)));
	T_OK(mp_dict_keys(d, &keys));
	T_OK(mp_dict_clear(d));
	for (int i = 0; i < 10; i++)
		cr_assert(mp_obj_i64(mp_obj_at(&keys, (size_t)i)) == i);
	cr_assert_null(mp_obj_at(&keys, 10));
	mp_obj_free(&keys);
	mp_dict_close(d);
	mp_manager_close(m);
}

Test(dict, setdefault_puts_only_what_is_missing)
{
	mp_manager *m = t_manager();
	mp_dict *d = t_dict(m, "d");
	mp_obj value;

	T_RESULT(mp_dict_setdefault(d, mp_str("k"), mp_i64(1), &value), 1);
	t_expect_value(&value, mp_i64(1));
	T_RESULT(mp_dict_setdefault(d, mp_str("k"), mp_i64(2), &value), 0);
	t_expect_value(&value, mp_i64(1));
	mp_dict_close(d);
	mp_manager_close(m);
}

Test(dict, update_sets_all_pairs_or_none)
{
	mp_manager *m = t_manager();
	mp_dict *d = t_dict(m, "d");
	mp_obj value;
	size_t n;

	T_OK(mp_dict_update(
		d, MP_DICT(mp_str("a"), mp_i64(1), mp_u64(2), mp_nil(), mp_str("a"), mp_i64(3))));
	T_OK(mp_dict_items(d, &value));
	t_expect_value(&value, MP_DICT(mp_str("a"), mp_i64(3), mp_i64(2), mp_nil()));
	T_RESULT(mp_dict_update(d, MP_DICT(mp_str("b"), mp_i64(1), mp_nil(), mp_i64(1))), -EINVAL);
	T_OK(mp_dict_update(d, MP_DICT()));
	T_OK(mp_dict_len(d, &n));
	cr_assert(n == 2);
	mp_dict_close(d);
	mp_manager_close(m);
}

Test(dict, keys_are_equal_as_documented)
{
	mp_manager *m = t_manager();
	mp_dict *d = t_dict(m, "d");
	size_t n;

	T_OK(mp_dict_set(d, mp_i64(1), mp_str("integer")));
	T_OK(mp_dict_set(d, mp_f64(1), mp_str("f64")));
	T_OK(mp_dict_set(d, mp_bool(true), mp_str("bool")));
	T_OK(mp_dict_set(d, mp_str("1"), mp_str("string")));
	T_OK(mp_dict_set(d, mp_bytes("1", 1), mp_str("bytes")));
	T_OK(mp_dict_set(d, mp_u64(UINT64_MAX), mp_str("large")));
	T_OK(mp_dict_set(d, mp_i64(-1), mp_str("negative")));
	T_OK(mp_dict_set(d, mp_f64(0.0), mp_str("zero")));
	T_OK(mp_dict_set(d, mp_str(""), mp_str("empty")));
	t_expect_get(d, mp_u64(1), mp_str("integer"));
	t_expect_get(d, mp_f64(1), mp_str("f64"));
	t_expect_get(d, mp_bool(true), mp_str("bool"));
	t_expect_get(d, mp_str("1"), mp_str("string"));
	t_expect_get(d, mp_bytes("1", 1), mp_str("bytes"));
	t_expect_get(d, mp_u64(UINT64_MAX), mp_str("large"));
	t_expect_get(d, mp_i64(-1), mp_str("negative"));
	t_expect_get(d, mp_f64(-0.0), mp_str("zero"));
	t_expect_get(d, mp_str(""), mp_str("empty"));
	T_OK(mp_dict_len(d, &n));
	cr_assert(n == 9);
	mp_dict_close(d);
	mp_manager_close(m);
}

Test(dict, what_is_no_key_is_einval)
{
	mp_manager *m = t_manager();
	mp_dict *d = t_dict(m, "d");
	const mp_obj bad[] = {mp_nil(), mp_f64(0.0 / 0.0), MP_LIST(mp_i64(1)), MP_DICT()};
	mp_obj value;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		T_RESULT(mp_dict_set(d, bad[i], mp_i64(1)), -EINVAL);
		T_RESULT(mp_dict_get(d, bad[i], &value), -EINVAL);
		T_RESULT(mp_dict_pop(d, bad[i], &value), -EINVAL);
		T_RESULT(mp_dict_contains(d, bad[i]), -EINVAL);
		T_RESULT(mp_dict_setdefault(d, bad[i], mp_i64(1), &value), -EINVAL);
	}
	T_RESULT(mp_dict_set(d, mp_strn("\xff", 1), mp_i64(1)), -EILSEQ);
	mp_dict_close(d);
	mp_manager_close(m);
}

Test(dict, values_with_handles_are_enotsup_and_too_deep_ones_eoverflow)
{
	mp_manager *m = t_manager();
	mp_dict *d = t_dict(m, "d");
	mp_obj nested[MP_OBJ_MAX_DEPTH + 1];
	mp_obj value;

	T_RESULT(mp_dict_set(d, mp_i64(1), mp_handle(m)), -ENOTSUP);
	T_RESULT(mp_dict_set(d, mp_handle(d), mp_i64(1)), -ENOTSUP);
	T_RESULT(mp_dict_set(d, mp_i64(1), MP_LIST(mp_fd(0))), -ENOTSUP);
	T_RESULT(mp_dict_update(d, MP_DICT(mp_i64(1), mp_handle(m))), -ENOTSUP);
	nested[0] = mp_i64(7);
	for (int i = 1; i <= MP_OBJ_MAX_DEPTH; i++)
		nested[i] = mp_list_of(&nested[i - 1], 1);
	T_RESULT(mp_dict_set(d, mp_i64(1), nested[MP_OBJ_MAX_DEPTH]), -EOVERFLOW);
	/* One less, because items() adds a level. */
	T_OK(mp_dict_set(d, mp_i64(1), nested[MP_OBJ_MAX_DEPTH - 1]));
	T_OK(mp_dict_items(d, &value));
	cr_assert(mp_obj_equal(mp_obj_get(&value, mp_i64(1)), &nested[MP_OBJ_MAX_DEPTH - 1]));
	mp_obj_free(&value);
	T_RESULT(mp_dict_set(d, mp_i64(1), mp_dict_of(nested, 1)), -EINVAL);
	mp_dict_close(d);
	mp_manager_close(m);
}

Test(dict, values_up_to_64_mib_are_stored_and_larger_ones_emsgsize)
{
	mp_manager *m = t_manager();
	mp_dict *d = t_dict(m, "d");
	size_t size = MP__PAYLOAD_MAX - 64;
	char *data = malloc(size + 64);
	mp_obj value;

	cr_assert_not_null(data);
	memset(data, 'x', size + 64);
	T_OK(mp_dict_set(d, mp_i64(1), mp_bytes(data, size)));
	T_OK(mp_dict_get(d, mp_i64(1), &value));
	cr_assert(value.count == size && memcmp(value.as.bytes, data, size) == 0);
	mp_obj_free(&value);
	T_RESULT(mp_dict_set(d, mp_i64(2), mp_bytes(data, size + 64)), -EMSGSIZE);
	T_OK(mp_dict_set(d, mp_i64(2), mp_bytes(data, size)));
	T_RESULT(mp_dict_items(d, &value), -EMSGSIZE);
	T_OK(mp_dict_keys(d, &value));
	t_expect_value(&value, MP_LIST(mp_i64(1), mp_i64(2)));
	free(data);
	mp_dict_close(d);
	mp_manager_close(m);
}

Test(dict, names_are_checked)
{
	mp_manager *m = t_manager();
	char name[258];
	mp_dict *d;

	memset(name, 'n', sizeof(name));
	name[256] = '\0';
	T_RESULT(mp_manager_dict(m, name, &d), -EINVAL);
	name[255] = '\0';
	T_OK(mp_manager_dict(m, name, &d));
	mp_dict_close(d);
	T_RESULT(mp_manager_dict(m, "", &d), -EINVAL);
	T_RESULT(mp_manager_dict(m, "\xc3\x28", &d), -EILSEQ);
	mp_manager_close(m);
}

Test(dict, limit_of_objects_is_enospc)
{
	const char *options[] = {"--max-objects", "2", "--max-references", "3", NULL};
	struct t_daemon daemon = t_daemon_start(options);
	mp_dict *dicts[3];
	mp_manager *m;
	mp_dict *d;

	T_OK(mp_manager_connect(daemon.path, T_PATIENT, &m));
	dicts[0] = t_dict(m, "a");
	dicts[1] = t_dict(m, NULL);
	T_RESULT(mp_manager_dict(m, NULL, &d), -ENOSPC);
	T_RESULT(mp_manager_dict(m, "b", &d), -ENOSPC);
	dicts[2] = t_dict(m, "a");
	T_RESULT(mp_manager_dict(m, "a", &d), -ENOSPC);
	/* An anonymous one makes room when it is closed. */
	T_OK(mp_dict_close(dicts[1]));
	dicts[1] = t_dict(m, NULL);
	for (int i = 0; i < 3; i++)
		mp_dict_close(dicts[i]);
	mp_manager_close(m);
	t_daemon_stop(&daemon);
}

/* --- objects inside --------------------------------------------------------------------------- */

static int64_t counter_in(const mp_obj *value)
{
	int64_t n;

	T_OK(mp_counter_get(mp_obj_proxy(value), &n));
	return n;
}

static int set_in_child(void *argument)
{
	mp_obj value;

	T_CHECK(mp_dict_get(argument, mp_str("inner"), &value) == 0);
	T_CHECK(mp_dict_set(mp_obj_dict(&value), mp_i64(1), mp_str("of the child")) == 0);
	mp_obj_free(&value);
	return 0;
}

/* CPython's nesting: what is changed through the inner proxy, all see. */
Test(dict, test_nested_dicts)
{
	mp_manager *m = t_manager();
	mp_dict *outer = t_dict(m, "outer");
	mp_dict *inner = t_dict(m, NULL);
	mp_obj value;

	T_OK(mp_dict_set(outer, mp_str("inner"), mp_handle(inner)));
	T_OK(mp_dict_close(inner));
	struct t_child child = t_spawn(set_in_child, outer);
	t_expect_exit(&child, 0);
	T_OK(mp_dict_get(outer, mp_str("inner"), &value));
	inner = mp_dict_ref(mp_obj_dict(&value));
	mp_obj_free(&value);
	t_expect_get(inner, mp_i64(1), mp_str("of the child"));
	/* Out of the dict it goes only when it is closed too. */
	T_OK(mp_dict_pop(outer, mp_str("inner"), &value));
	T_OK(mp_dict_close(inner));
	t_expect_get(mp_obj_dict(&value), mp_i64(1), mp_str("of the child"));
	mp_obj_free(&value);
	mp_dict_close(outer);
	mp_manager_close(m);
}

/* By every way in and out. With room for three objects, each that is not let go shows. */
Test(dict, what_values_refer_to_lives_as_long_as_they_do)
{
	const char *const options[] = {"--max-objects", "3", NULL};
	struct t_daemon daemon = t_daemon_start(options);
	mp_manager *m;
	mp_dict *d;
	mp_proxy *c;
	mp_obj value;

	T_OK(mp_manager_connect(daemon.address, T_PATIENT, &m));
	T_OK(mp_manager_dict(m, "d", &d));
	for (int i = 0; i < 20; i++) {
		T_OK(mp_manager_counter(m, NULL, i, &c));
		mp_obj key = mp_i64(1);
		mp_obj list = MP_LIST(mp_handle(c), mp_i64(0), mp_handle(c));
		switch (i % 5) {
		case 0:
			T_OK(mp_dict_set(d, key, list));
			T_OK(mp_dict_set(d, key, mp_i64(2)));
			T_OK(mp_dict_set(d, key, mp_handle(c)));
			break;
		case 1:
			T_OK(mp_dict_clear(d));
			T_RESULT(mp_dict_setdefault(d, key, list, &value), 1);
			cr_assert(counter_in(mp_obj_at(&value, 2)) == i);
			mp_obj_free(&value);
			T_RESULT(mp_dict_setdefault(d, key, mp_handle(c), &value), 0);
			mp_obj_free(&value);
			break;
		case 2:
			T_OK(mp_dict_update(d, MP_DICT(key, list, key, mp_handle(c))));
			break;
		case 3:
			T_OK(mp_dict_set(d, key, list));
			T_OK(mp_dict_items(d, &value));
			cr_assert(counter_in(mp_obj_at(mp_obj_get(&value, key), 0)) == i);
			mp_obj_free(&value);
			T_OK(mp_dict_values(d, &value));
			mp_obj_free(&value);
			break;
		default:
			T_OK(mp_dict_set(d, key, list));
			T_OK(mp_dict_pop(d, key, NULL));
			T_OK(mp_dict_set(d, key, list));
			T_OK(mp_dict_pop(d, key, &value));
			cr_assert(counter_in(mp_obj_at(&value, 0)) == i);
			mp_obj_free(&value);
			break;
		}
		mp_proxy_close(c);
	}
	T_OK(mp_dict_clear(d));
	T_OK(mp_manager_counter(m, NULL, 0, &c));
	mp_proxy *last;
	T_OK(mp_manager_counter(m, NULL, 0, &last));
	mp_proxy_close(c);
	mp_proxy_close(last);
	mp_dict_close(d);
	mp_manager_close(m);
	t_daemon_stop(&daemon);
}
