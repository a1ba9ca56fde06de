/* SPDX-License-Identifier: MIT */
/* Values: making, owning, looking inside, comparing, printing. */
#include <config.h>

#include "tests/support/support.h"
#include "tests/support/values.h"

#include "base/cleanup.h"
#include "obj/compare.h"
#include "obj/utf8.h"

#include <float.h>
#include <locale.h>
#include <math.h>
#include <mp.h>
#include <sys/resource.h>

T_SUITE(obj);

static void expect_text(mp_obj value, const char *expected)
{
	char text[512];

	cr_assert_eq(mp_obj_format(&value, text, sizeof(text)), strlen(expected), "%s", text);
	cr_assert_str_eq(text, expected);
}

/* --- making and owning ------------------------------------------------------------------------ */

Test(obj, constructors_borrow_and_own_nothing)
{
	const char *text = "text";
	mp_obj value = mp_str(text);

	cr_assert(value.as.str == text && value.count == 4 && !value.block);
	mp_obj_free(&value);
	cr_assert(value.type == MP_TYPE_STR, "what is borrowed is left alone");
	mp_obj_free(NULL);
	cr_assert_eq(mp_str(NULL).type, MP_TYPE_NIL);
	cr_assert_eq(MP_LIST().count, 0);
	cr_assert_eq(MP_LIST(mp_i64(1), mp_i64(2)).count, 2);
	cr_assert_eq(MP_DICT(mp_i64(1), mp_i64(2)).count, 2);
	value = MP_DICT(mp_i64(1), mp_i64(2));
	cr_assert_eq(mp_obj_len(&value), 1);
}

Test(obj, copy_lives_longer_than_its_original)
{
	char text[] = "text";
	char data[] = {0, 1, 2};
	mp_obj copy;

	T_OK(mp_obj_copy(
		MP_LIST(mp_strn(text, 3), mp_bytes(data, 3), MP_DICT(mp_str(text), mp_nil())),
		&copy));
	memset(text, 'x', sizeof(text) - 1);
	memset(data, 'x', sizeof(data));
	expect_text(copy, "[\"tex\", b\"\\x00\\x01\\x02\", {\"text\": nil}]");
	cr_assert_str_eq(mp_obj_str(mp_obj_at(&copy, 0)), "tex", "a copy ends with a NUL");
	mp_obj_free((mp_obj *)mp_obj_at(&copy, 0));
	cr_assert_str_eq(mp_obj_str(mp_obj_at(&copy, 0)), "tex", "items are not freed singly");
	mp_obj_free(&copy);
	cr_assert(copy.type == MP_TYPE_NIL && !copy.block);
	mp_obj_free(&copy);
}

Test(obj, copy_of_a_scalar_owns_nothing)
{
	mp_obj copy;

	T_OK(mp_obj_copy(mp_i64(-5), &copy));
	cr_assert(!copy.block && copy.as.i64 == -5);
	T_OK(mp_obj_copy(mp_bytes(NULL, 0), &copy));
	cr_assert(!copy.block && copy.count == 0);
	T_OK(mp_obj_copy(mp_str(""), &copy));
	cr_assert_str_eq(mp_obj_str(&copy), "");
	mp_obj_free(&copy);
}

Test(obj, copies_equal_their_originals)
{
	mp_obj rich = t_rich_value();
	mp_obj copy;

	T_OK(mp_obj_copy(rich, &copy));
	cr_assert(mp_obj_compare(&rich, &copy) == 0);
	mp_obj_free(&copy);
	for (uint64_t seed = 1; seed <= 2000; seed++) {
		MP__ARENA(arena, 4096);
		uint64_t state = seed;
		mp_obj value = t_random_value(&state, &arena, 5);
		T_OK(mp_obj_copy(value, &copy));
		cr_assert(mp_obj_compare(&value, &copy) == 0, "seed %lu", seed);
		cr_assert(value.type == copy.type);
		mp_obj_free(&copy);
	}
}

Test(obj, copy_refuses_what_is_no_value)
{
	mp_obj untouched = mp_i64(42);
	mp_obj strange = mp_nil();

	strange.type = MP_TYPE_HANDLE + 1;
	T_RESULT(mp_obj_copy(strange, &untouched), -EINVAL);
	T_RESULT(mp_obj_copy(mp_i64(1), NULL), -EINVAL);
	T_RESULT(mp_obj_decode("", 0, NULL), -EINVAL);
	T_RESULT(mp_obj_encode(mp_i64(1), NULL, &(size_t){0}), -EINVAL);
	T_RESULT(mp_obj_encode(mp_i64(1), &(void *){NULL}, NULL), -EINVAL);
	T_RESULT(mp_obj_copy(mp_dict_of(&strange, 1), &untouched), -EINVAL);
	T_RESULT(mp_obj_copy(MP_LIST(mp_nil(), MP_DICT(mp_nil())), &untouched), -EINVAL);
	T_RESULT(mp_obj_copy(mp_list_of(NULL, 1), &untouched), -EINVAL);
	T_RESULT(mp_obj_copy(mp_strn(NULL, 1), &untouched), -EINVAL);
	T_RESULT(mp_obj_copy(mp_bytes(NULL, 1), &untouched), -EINVAL);
	T_RESULT(mp_obj_copy(mp_str("\xff"), &untouched), -EILSEQ);
	T_RESULT(mp_obj_copy(mp_strn("a\0b", 3), &untouched), -EILSEQ);
	cr_assert(untouched.type == MP_TYPE_I64 && untouched.as.i64 == 42, "untouched on failure");
}

/* levels[0] is a list of nothing, levels[n] a list of levels[n - 1]. */
static mp_obj nested(mp_obj *levels, size_t depth)
{
	levels[0] = mp_list_of(NULL, 0);
	for (size_t i = 1; i < depth; i++)
		levels[i] = mp_list_of(&levels[i - 1], 1);
	return levels[depth - 1];
}

Test(obj, copy_keeps_the_depth_limit)
{
	mp_obj levels[MP_OBJ_MAX_DEPTH + 1];
	mp_obj copy;

	T_OK(mp_obj_copy(nested(levels, MP_OBJ_MAX_DEPTH), &copy));
	cr_assert(mp_obj_equal(&copy, &levels[MP_OBJ_MAX_DEPTH - 1]));
	mp_obj_free(&copy);
	T_RESULT(mp_obj_copy(nested(levels, MP_OBJ_MAX_DEPTH + 1), &copy), -EOVERFLOW);
}

/* Values that contain themselves, twice: whoever walks all of their paths never comes back. */
Test(obj, cycles_come_to_an_end)
{
	mp_obj a[2];
	mp_obj b[2];
	mp_obj copy;
	char text[4];
	void *data;
	size_t size;

	a[0] = a[1] = mp_list_of(a, 2);
	b[0] = b[1] = mp_list_of(b, 2);
	T_RESULT(mp_obj_copy(a[0], &copy), -EOVERFLOW);
	T_RESULT(mp_obj_encode(a[0], &data, &size), -EOVERFLOW);
	cr_assert(mp_obj_equal(&a[0], &a[1]));
	cr_assert(!mp_obj_equal(&a[0], &b[0]));
	cr_assert_eq(mp_obj_compare(&a[0], &b[0]), -mp_obj_compare(&b[0], &a[0]));
	cr_assert_eq(mp_obj_format(&a[0], text, sizeof(text)), MP_OBJ_MAX_DEPTH + 1 + 3);
	cr_assert_str_eq(text, "[[[");
	a[0] = a[1] = mp_dict_of(a, 2);
	b[0] = b[1] = mp_dict_of(b, 2);
	cr_assert(!mp_obj_equal(&a[0], &b[0]));
	cr_assert(!mp__obj_equal_slowly(&a[0], &b[0]));
}

static int copy_without_memory(void *size)
{
	mp_obj copy = mp_i64(1);
	size_t length = *(size_t *)size;
	char *data = calloc(1, length);
	struct rlimit limit = {0, 0};

	T_CHECK(data && setrlimit(RLIMIT_AS, &limit) == 0);
	T_CHECK(mp_obj_copy(mp_bytes(data, length), &copy) == -ENOMEM);
	T_CHECK(copy.as.i64 == 1);
	free(data);
	return 0;
}

Test(obj, copy_reports_a_lack_of_memory)
{
#ifdef __SANITIZE_ADDRESS__
	cr_skip_test("the address sanitizer needs its memory");
#endif
	size_t size = 64 * 1024 * 1024;
	struct t_child child = t_spawn(copy_without_memory, &size);

	t_expect_exit(&child, 0);
}

/* --- looking inside ----------------------------------------------------------------------------- */

Test(obj, integers_convert_where_they_fit)
{
	mp_obj negative = mp_i64(-1);
	mp_obj large = mp_u64(UINT64_MAX);
	mp_obj small = mp_u64(7);
	int64_t i = 1;
	uint64_t u = 2;

	T_OK(mp_obj_to_i64(&negative, &i));
	cr_assert_eq(i, -1);
	T_OK(mp_obj_to_i64(&small, &i));
	cr_assert_eq(i, 7);
	T_RESULT(mp_obj_to_i64(&large, &i), -ERANGE);
	cr_assert_not_null(strstr(mp_error_detail(), "18446744073709551615"));
	T_OK(mp_obj_to_u64(&large, &u));
	cr_assert_eq(u, UINT64_MAX);
	T_RESULT(mp_obj_to_u64(&negative, &u), -ERANGE);
	cr_assert(i == 7 && u == UINT64_MAX, "untouched on failure");
	T_RESULT(mp_obj_to_i64(&(mp_obj){.type = MP_TYPE_F64}, &i), -EINVAL);
	T_RESULT(mp_obj_to_u64(&(mp_obj){.type = MP_TYPE_STR}, &u), -EINVAL);
	T_RESULT(mp_obj_to_i64(NULL, &i), -EINVAL);
	T_RESULT(mp_obj_to_u64(NULL, &u), -EINVAL);
	cr_assert(mp_obj_i64(&small) == 7 && mp_obj_i64(&large) == 0 && mp_obj_i64(NULL) == 0);
}

Test(obj, integers_become_f64_where_that_is_exact)
{
	const struct {
		mp_obj value;
		bool exact;
	} cases[] = {
		{mp_i64(INT64_C(1) << 53), true},
		{mp_i64((INT64_C(1) << 53) + 1), false},
		{mp_i64(-(INT64_C(1) << 53) - 1), false},
		{mp_i64(INT64_MAX), false},
		{mp_i64(INT64_MIN), true},
		{mp_u64(UINT64_MAX), false},
		{mp_u64(UINT64_C(1) << 63), true},
		{mp_f64(0.1), true},
	};
	double number = 0;

	for (size_t i = 0; i < MP__COUNT_OF(cases); i++)
		T_RESULT(mp_obj_to_f64(&cases[i].value, &number), cases[i].exact ? 0 : -ERANGE);
	cr_assert(number == 0.1);
	T_RESULT(mp_obj_to_f64(&(mp_obj){.type = MP_TYPE_BOOL}, &number), -EINVAL);
	T_RESULT(mp_obj_to_f64(NULL, &number), -EINVAL);
	cr_assert(mp_obj_f64(&cases[0].value) == 9007199254740992.0);
	cr_assert(mp_obj_f64(&cases[1].value) == 0 && mp_obj_f64(NULL) == 0);
}

Test(obj, bool_and_str_are_only_themselves)
{
	mp_obj yes = mp_bool(true);
	mp_obj one = mp_i64(1);
	mp_obj bytes = mp_bytes("x", 1);
	bool flag = false;

	T_OK(mp_obj_to_bool(&yes, &flag));
	cr_assert(flag);
	T_RESULT(mp_obj_to_bool(&one, &flag), -EINVAL);
	cr_assert_str_eq(mp_error_detail(), "bool was asked for, the value is i64");
	T_RESULT(mp_obj_to_bool(NULL, &flag), -EINVAL);
	T_RESULT(mp_obj_to_i64(&yes, &(int64_t){0}), -EINVAL);
	cr_assert_null(mp_obj_str(&bytes));
	cr_assert_null(mp_obj_str(NULL));
	cr_assert_str_eq(mp_obj_str(&(mp_obj){.type = MP_TYPE_STR, .as.str = "s"}), "s");
}

Test(obj, len_counts_what_is_inside)
{
	mp_obj value = t_rich_value();

	cr_assert_eq(mp_obj_len(&value), 9);
	cr_assert_eq(mp_obj_len(mp_obj_at(&value, 7)), 4, "pairs");
	cr_assert_eq(mp_obj_len(mp_obj_at(&value, 6)), 2);
	cr_assert_eq(mp_obj_len(mp_obj_at(&value, 5)), 11, "bytes, not characters");
	cr_assert_eq(mp_obj_len(mp_obj_at(&value, 2)), 0);
	cr_assert_eq(mp_obj_len(NULL), 0);
}

Test(obj, at_and_get_give_null_for_what_is_not_there)
{
	mp_obj list = MP_LIST(mp_i64(1), mp_i64(2));
	mp_obj dict = MP_DICT(mp_str("a"), mp_i64(1), mp_i64(5), mp_i64(2), mp_str("a"), mp_i64(3),
		MP_DICT(mp_str("x"), mp_nil(), mp_str("y"), mp_nil()), mp_i64(4));

	cr_assert_eq(mp_obj_i64(mp_obj_at(&list, 1)), 2);
	cr_assert_null(mp_obj_at(&list, 2));
	cr_assert_null(mp_obj_at(&list, SIZE_MAX));
	cr_assert_null(mp_obj_at(&dict, 0));
	cr_assert_null(mp_obj_at(NULL, 0));
	cr_assert_eq(mp_obj_i64(mp_obj_get(&dict, mp_str("a"))), 3, "the last one counts");
	cr_assert_eq(mp_obj_i64(mp_obj_get(&dict, mp_u64(5))), 2, "5 is 5");
	cr_assert_eq(mp_obj_i64(mp_obj_get(
			     &dict, MP_DICT(mp_str("y"), mp_nil(), mp_str("x"), mp_nil()))),
		4, "the order of pairs does not matter");
	cr_assert_null(mp_obj_get(&dict, mp_f64(5)));
	cr_assert_null(mp_obj_get(&dict, mp_bytes("a", 1)));
	cr_assert_null(mp_obj_get(&list, mp_i64(0)));
	cr_assert_null(mp_obj_get(NULL, mp_i64(0)));
	mp_obj odd = MP_DICT(mp_str("a"));
	cr_assert_null(mp_obj_get(&odd, mp_str("a")), "a key without a value");
}

/* --- order and equality --------------------------------------------------------------------------- */

Test(obj, values_are_totally_ordered)
{
	mp_obj empty[1];
	/* Strictly ascending. */
	const mp_obj sorted[] = {
		mp_nil(),
		mp_bool(false),
		mp_bool(true),
		mp_i64(INT64_MIN),
		mp_i64(-1),
		mp_u64(0),
		mp_i64(5),
		mp_i64(INT64_MAX),
		mp_u64((uint64_t)INT64_MAX + 1),
		mp_u64(UINT64_MAX),
		mp_f64(copysign(NAN, -1)),
		mp_f64(-INFINITY),
		mp_f64(-1.5),
		mp_f64(-DBL_MIN),
		mp_f64(-0.0),
		mp_f64(0.0),
		mp_f64(5e-324),
		mp_f64(1.5),
		mp_f64(INFINITY),
		mp_f64(NAN),
		mp_str(""),
		mp_str("a"),
		mp_str("ab"),
		mp_str("b"),
		mp_str("\xc3\xbc"),
		mp_bytes(NULL, 0),
		mp_bytes("\0", 1),
		mp_bytes("\xff", 1),
		mp_list_of(empty, 0),
		MP_LIST(mp_nil()),
		MP_LIST(mp_nil(), mp_nil()),
		MP_LIST(mp_i64(1)),
		MP_LIST(mp_str("z")),
		MP_DICT(),
		MP_DICT(mp_i64(1), mp_i64(1)),
		MP_DICT(mp_i64(1), mp_i64(2)),
	};

	for (size_t i = 0; i < MP__COUNT_OF(sorted); i++) {
		for (size_t j = 0; j < MP__COUNT_OF(sorted); j++) {
			int expected = (i > j) - (i < j);
			cr_assert_eq(mp_obj_compare(&sorted[i], &sorted[j]), expected,
				"sorted[%zu] and [%zu]", i, j);
			cr_assert_eq(mp_obj_equal(&sorted[i], &sorted[j]), i == j);
			cr_assert_eq(mp__obj_equal_slowly(&sorted[i], &sorted[j]), i == j);
		}
		cr_assert_eq(mp_obj_compare(NULL, &sorted[i]), -1);
		cr_assert(!mp_obj_equal(NULL, &sorted[i]) && !mp_obj_equal(&sorted[i], NULL));
	}
	cr_assert(mp_obj_equal(NULL, NULL) && mp_obj_compare(NULL, NULL) == 0);
}

Test(obj, integers_of_both_kinds_are_equal)
{
	mp_obj a = MP_LIST(mp_i64(5), mp_i64(INT64_MAX));
	mp_obj b = MP_LIST(mp_u64(5), mp_u64(INT64_MAX));
	mp_obj negative = mp_i64(-1);
	mp_obj large = mp_u64(UINT64_MAX);

	cr_assert(mp_obj_equal(&a, &b) && mp_obj_compare(&a, &b) == 0);
	cr_assert(mp__obj_equal_slowly(&a, &b));
	cr_assert(!mp_obj_equal(&negative, &large), "the same bits, another number");
}

Test(obj, dicts_are_equal_in_any_order_of_pairs)
{
	mp_obj a = MP_DICT(mp_str("x"), mp_i64(1), mp_str("y"), mp_i64(2));
	mp_obj b = MP_DICT(mp_str("y"), mp_u64(2), mp_str("x"), mp_u64(1));
	mp_obj hidden =
		MP_DICT(mp_str("y"), mp_nil(), mp_str("x"), mp_i64(1), mp_str("y"), mp_i64(2));
	mp_obj other =
		MP_DICT(mp_str("y"), mp_i64(2), mp_str("x"), mp_i64(1), mp_str("y"), mp_nil());
	mp_obj fewer = MP_DICT(mp_str("y"), mp_i64(2));
	const mp_obj *same[] = {&a, &b, &hidden};

	for (size_t i = 0; i < 3; i++) {
		for (size_t j = 0; j < 3; j++) {
			cr_assert(mp_obj_equal(same[i], same[j]));
			cr_assert(mp__obj_equal_slowly(same[i], same[j]));
		}
		cr_assert(!mp_obj_equal(same[i], &other) && !mp_obj_equal(&other, same[i]));
		cr_assert(!mp__obj_equal_slowly(same[i], &other));
		cr_assert(!mp_obj_equal(same[i], &fewer) && !mp_obj_equal(&fewer, same[i]));
		cr_assert(!mp__obj_equal_slowly(&fewer, same[i]));
	}
	cr_assert_eq(mp_obj_compare(&a, &b), -1, "for the order it counts");
	/* Inside lists, and as keys. */
	mp_obj deep_a = MP_LIST(mp_i64(1), MP_DICT(a, mp_i64(1), b, mp_i64(2)));
	mp_obj deep_b = MP_LIST(mp_i64(1), MP_DICT(hidden, mp_i64(2)));
	cr_assert(mp_obj_equal(&deep_a, &deep_b));
	cr_assert(mp__obj_equal_slowly(&deep_a, &deep_b));
}

Test(obj, equality_finds_shuffled_random_values_equal)
{
	for (uint64_t seed = 1; seed <= 2000; seed++) {
		MP__ARENA(arena, 4096);
		uint64_t state = seed;
		mp_obj a = t_random_value(&state, &arena, 4);
		mp_obj b = t_shuffled_value(&state, &arena, &a);
		mp_obj c = t_random_value(&state, &arena, 2);
		cr_assert(mp_obj_equal(&a, &b) && mp_obj_equal(&b, &a), "seed %lu", seed);
		cr_assert(mp__obj_equal_slowly(&a, &b), "seed %lu", seed);
		cr_assert_eq(mp_obj_equal(&a, &c), mp__obj_equal_slowly(&a, &c), "seed %lu", seed);
	}
}

/* Linear searching would compare 40 000 000 000 keys; the runner's time-out would tell. */
Test(obj, equality_of_large_dicts_is_not_quadratic)
{
	const size_t n = 200000;
	mp_obj *a = calloc(2 * n, sizeof(*a));
	mp_obj *b = calloc(2 * n, sizeof(*b));

	cr_assert(a && b);
	for (size_t i = 0; i < n; i++) {
		a[2 * i] = a[2 * i + 1] = mp_u64(i);
		b[2 * i] = b[2 * i + 1] = mp_i64((int64_t)(n - 1 - i));
	}
	mp_obj da = mp_dict_of(a, 2 * n);
	mp_obj db = mp_dict_of(b, 2 * n);
	cr_assert(mp_obj_equal(&da, &db));
	b[n] = mp_nil();
	cr_assert(!mp_obj_equal(&da, &db));
	free(a);
	free(b);
}

/* --- text ------------------------------------------------------------------------------------------- */

Test(obj, format_is_that_of_repr)
{
	expect_text(t_rich_value(),
		"[nil, true, -9223372036854775808, 18446744073709551615, 0.1, "
		"\"Gr\xc3\xbc\xc3\x9f \xf0\x9f\x98\x80\", b\"\\x00\\xff\", {\"total\": 1632, "
		"7: [[], {}, \"\"], nil: b\"\", [[]]: -0.0}, [[], {}, \"\"]]");
	expect_text(mp_str("\"\\\n\r\t\x01\x7f\xc2\x80\xff"),
		"\"\\\"\\\\\\n\\r\\t\\x01\\x7f\\x80\\xff\"");
	expect_text(mp_bytes("\"\xc3\xbc'", 4), "b\"\\\"\\xc3\\xbc'\"");
	expect_text(mp_bool(false), "false");
	expect_text(MP_DICT(mp_str("a"), mp_nil(), mp_str("odd")), "{\"a\": nil, \"odd\"}");
	expect_text((mp_obj){.type = 77}, "<invalid>");
	cr_assert_eq(mp_obj_format(NULL, NULL, 0), 4);
}

Test(obj, format_writes_f64_like_python)
{
	const struct {
		double number;
		const char *text;
	} cases[] = {
		{0, "0.0"},
		{-0.0, "-0.0"},
		{1, "1.0"},
		{100, "100.0"},
		{0.1, "0.1"},
		{1.0 / 3, "0.3333333333333333"},
		{2.0 / 3, "0.6666666666666666"},
		{123456.789, "123456.789"},
		{1e15, "1000000000000000.0"},
		{1e16, "1e+16"},
		{1.5e300, "1.5e+300"},
		{0.0001, "0.0001"},
		{0.00001, "1e-05"},
		{5e-324, "5e-324"},
		{DBL_MAX, "1.7976931348623157e+308"},
		{DBL_MIN, "2.2250738585072014e-308"},
		{9007199254740993.0, "9007199254740992.0"},
		{NAN, "nan"},
		{-INFINITY, "-inf"},
	};

	for (size_t i = 0; i < MP__COUNT_OF(cases); i++)
		expect_text(mp_f64(cases[i].number), cases[i].text);
}

Test(obj, format_reads_back_as_the_same_f64)
{
	for (uint64_t seed = 1; seed <= 20000; seed++) {
		uint64_t state = seed;
		uint64_t bits = t_random(&state);
		double number;
		char text[64];
		memcpy(&number, &bits, sizeof(number));
		mp_obj value = mp_f64(number);
		mp_obj_format(&value, text, sizeof(text));
		cr_assert(
			isnan(number) || strtod(text, NULL) == number, "seed %lu: %s", seed, text);
	}
}

Test(obj, format_cuts_like_snprintf)
{
	mp_obj value = MP_LIST(mp_str("abc"), mp_i64(-12));
	const char *whole = "[\"abc\", -12]";

	for (size_t size = 0; size <= strlen(whole) + 2; size++) {
		char text[32];
		memset(text, '#', sizeof(text));
		cr_assert_eq(mp_obj_format(&value, text, size), strlen(whole));
		if (size > 0) {
			size_t n = size - 1 < strlen(whole) ? size - 1 : strlen(whole);
			cr_assert(memcmp(text, whole, n) == 0 && text[n] == '\0');
		}
		cr_assert_eq(text[size], '#', "nothing behind the buffer");
	}
}

/* --- UTF-8 ------------------------------------------------------------------------------------------ */

Test(obj, utf8_is_that_of_rfc_3629)
{
	static const char *const good[] = {"", "a", "\x7f", "\xc2\x80", "\xdf\xbf", "\xe0\xa0\x80",
		"\xed\x9f\xbf", "\xee\x80\x80", "\xef\xbf\xbf", "\xf0\x90\x80\x80",
		"\xf4\x8f\xbf\xbf", "12345678\xc3\xbcxyzxyzxyz"};
	static const char *const bad[] = {"\x80", "\xbf", "\xc0\x80", "\xc1\xbf", "\xc2",
		"\xc2\x41", "\xe0\x80\x80", "\xe0\x9f\xbf", "\xed\xa0\x80", "\xed\xbf\xbf",
		"\xe2\x82", "\xe2\x82\x41", "\xf0\x80\x80\x80", "\xf0\x8f\xbf\xbf", "\xf0\x9f\x98",
		"\xf4\x90\x80\x80", "\xf5\x80\x80\x80", "\xf8\x88\x80\x80\x80", "\xfe", "\xff",
		"12345678\xff", "1234567\xff", "\xc3\xbc\xc3"};

	for (size_t i = 0; i < MP__COUNT_OF(good); i++)
		cr_assert(mp__utf8_valid(good[i], strlen(good[i])), "good[%zu]", i);
	for (size_t i = 0; i < MP__COUNT_OF(bad); i++)
		cr_assert(!mp__utf8_valid(bad[i], strlen(bad[i])), "bad[%zu]", i);
	for (size_t at = 0; at < 24; at++) {
		char text[25] = "abcdefghijklmnopqrstuvwx";
		cr_assert(mp__utf8_valid(text, 24));
		text[at] = '\0';
		cr_assert(!mp__utf8_valid(text, 24), "a NUL at %zu", at);
	}
}
