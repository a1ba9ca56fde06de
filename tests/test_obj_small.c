/* SPDX-License-Identifier: MIT */
/*
 * Small values are written and read without protobuf-c: it must make no difference. Compared with what
 * protobuf-c itself makes of the same bytes.
 */
#include <config.h>

#include "tests/support/support.h"
#include "tests/support/values.h"

#include "obj/codec.h"
#include "obj/small.h"
#include "proto/value.pb-c.h"

#include <mp.h>

T_SUITE(small);

/* What protobuf-c reads and writes again, in `ret`; its size, or 0 where it refuses the bytes. */
static size_t rewritten(const uint8_t *data, size_t size, uint8_t *ret, size_t room)
{
	Mp__Value *tree = mp__value__unpack(NULL, size, data);
	size_t n = tree ? mp__value__get_packed_size(tree) : 0;

	if (n > room)
		n = 0;
	if (n > 0)
		mp__value__pack(tree, ret);
	mp__value__free_unpacked(tree, NULL);
	return n;
}

/* Whatever is written here is what protobuf-c writes, and is read as what it was. */
static bool compare_writing(const mp_obj *value)
{
	uint8_t ours[MP__SMALL_BYTES];
	uint8_t theirs[4 * MP__SMALL_BYTES];
	mp_obj back;
	size_t n = mp__small_encode(value, ours, sizeof(ours));

	if (n == 0)
		return false;
	cr_assert_eq(rewritten(ours, n, theirs, sizeof(theirs)), n);
	cr_assert(memcmp(ours, theirs, n) == 0);
	cr_assert(mp__small_decode(ours, n, &back));
	cr_assert(mp_obj_compare(&back, value) == 0 && back.type == value->type);
	mp_obj_free(&back);
	/* As much room as it takes is enough, and less is none. */
	uint8_t *exact = malloc(n);
	cr_assert_not_null(exact);
	for (size_t room = 0; room < n; room++)
		cr_assert_eq(mp__small_encode(value, exact, room), 0);
	size_t again = mp__small_encode(value, exact, n);
	cr_assert(again == 0 || (again == n && memcmp(exact, ours, n) == 0));
	free(exact);
	return true;
}

/* Whatever is read here is a valid value, the same as protobuf-c reads. */
static bool compare_reading(const uint8_t *data, size_t size)
{
	uint8_t ours[4 * MP__SMALL_BYTES];
	uint8_t theirs[4 * MP__SMALL_BYTES];
	struct mp__value_info info;
	mp_obj value = mp_i64(1234);
	uint8_t *exact = malloc(size + (size == 0));

	cr_assert_not_null(exact);
	if (size > 0)
		memcpy(exact, data, size);
	bool read = mp__small_decode(exact, size, &value);
	free(exact);
	if (!read) {
		cr_assert_eq(mp_obj_i64(&value), 1234);
		return false;
	}
	T_OK(mp__value_check(data, size, &info));
	cr_assert(info.type == value.type && info.handles == 0);
	ssize_t n = mp__obj_encode_into(&value, NULL, ours, sizeof(ours));
	cr_assert(n > 0 && n <= (ssize_t)sizeof(ours));
	cr_assert_eq(rewritten(data, size, theirs, sizeof(theirs)), (size_t)n);
	cr_assert(memcmp(ours, theirs, (size_t)n) == 0);
	mp_obj_free(&value);
	return true;
}

Test(small, values_at_the_edges_are_written_as_ever)
{
	static const uint64_t bits[] = {0, 1, 63, 64, 127, 128, 8191, 8192, INT32_MAX, UINT32_MAX,
		INT64_MAX, (uint64_t)INT64_MAX + 1, UINT64_MAX - 1, UINT64_MAX};
	double f64;

	for (size_t i = 0; i < sizeof(bits) / sizeof(bits[0]); i++) {
		memcpy(&f64, &bits[i], sizeof(f64));
		mp_obj values[] = {mp_u64(bits[i]), mp_i64((int64_t)bits[i]), mp_f64(f64),
			mp_bool(bits[i] & 1), mp_nil()};
		for (size_t k = 0; k < 5; k++)
			cr_assert(compare_writing(&values[k]));
		mp_obj list = mp_list_of(values, 5);
		cr_assert(compare_writing(&list));
	}
	mp_obj none = mp_list_of(NULL, 0);
	cr_assert(compare_writing(&none));
}

Test(small, texts_of_every_length)
{
	static char text[300];

	memset(text, 'x', sizeof(text));
	for (size_t n = 0; n < sizeof(text); n++) {
		mp_obj values[] = {mp_strn(text, n), mp_bytes(text, n)};
		for (size_t k = 0; k < 2; k++) {
			cr_assert_eq(compare_writing(&values[k]), n <= 127);
			mp_obj list = mp_list_of(&values[k], 1);
			cr_assert_eq(compare_writing(&list), n <= 123);
		}
	}
	mp_obj at_null[] = {mp_strn(NULL, 0), mp_bytes(NULL, 0)};
	cr_assert(compare_writing(&at_null[0]) && compare_writing(&at_null[1]));
}

Test(small, lists_of_every_length)
{
	mp_obj items[100];

	for (int i = 0; i < 100; i++)
		items[i] = mp_i64(i);
	for (size_t n = 0; n < 100; n++) {
		mp_obj list = mp_list_of(items, n);
		cr_assert_eq(compare_writing(&list), n <= 16);
	}
}

Test(small, random_values)
{
	uint64_t state = 20261121;
	int small = 0;

	for (int i = 0; i < 20000; i++) {
		MP__ARENA(arena, 4096);
		mp_obj value = t_random_value(&state, &arena, (unsigned)i % 3);
		small += compare_writing(&value);
	}
	cr_assert(small > 2000, "%d", small);
}

Test(small, what_is_wrong_is_left_to_the_others)
{
	uint8_t bytes[MP__SMALL_BYTES];
	mp_obj inner[] = {MP_LIST(mp_i64(1))};
	const mp_obj wrong[] = {mp_strn("a\0b", 3), mp_strn("\xff", 1), mp_strn(NULL, 3),
		mp_bytes(NULL, 3), mp_list_of(NULL, 3), mp_list_of(inner, 1),
		MP_DICT(mp_i64(1), mp_i64(2)), mp_fd(0), {.type = 77}, {.type = UINT32_MAX}};

	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		cr_assert_eq(mp__small_encode(&wrong[i], bytes, sizeof(bytes)), 0, "%zu", i);
		mp_obj list = mp_list_of(&wrong[i], 1);
		cr_assert_eq(mp__small_encode(&list, bytes, sizeof(bytes)), 0, "%zu", i);
	}
}

/* Every single byte of valid ones changed to every other, cut off, and made longer. */
Test(small, bytes_that_are_nearly_right)
{
	const mp_obj values[] = {mp_nil(), mp_bool(true), mp_i64(-5), mp_i64(INT64_MIN),
		mp_u64(UINT64_MAX), mp_f64(1.5), mp_str("abc"), mp_bytes("abc", 3), MP_LIST(),
		MP_LIST(mp_i64(1), mp_str("x"), mp_nil(), mp_f64(2))};
	int read = 0;

	for (size_t v = 0; v < sizeof(values) / sizeof(values[0]); v++) {
		uint8_t bytes[MP__SMALL_BYTES + 2] = {0};
		size_t n = mp__small_encode(&values[v], bytes, MP__SMALL_BYTES);
		cr_assert(n > 0);
		for (size_t size = 0; size <= n + 1; size++)
			cr_assert_eq(compare_reading(bytes, size), size == n);
		for (size_t at = 0; at < n; at++) {
			uint8_t before = bytes[at];
			for (int b = 0; b < 256; b++) {
				bytes[at] = (uint8_t)b;
				read += compare_reading(bytes, n);
			}
			bytes[at] = before;
		}
	}
	cr_assert(read > 1000, "%d", read);
}

Test(small, random_bytes)
{
	static const uint8_t tags[] = {0x08, 0x10, 0x18, 0x20, 0x29, 0x32, 0x3a, 0x42, 0x0a, 0x4a};
	uint64_t state = 42;
	int read = 0;

	for (int i = 0; i < 300000; i++) {
		uint8_t bytes[24];
		size_t n = t_random(&state) % sizeof(bytes) + 1;
		for (size_t k = 0; k < n; k++) {
			uint64_t number = t_random(&state);
			bytes[k] = number & 0x100   ? tags[number % sizeof(tags)]
				   : number & 0x200 ? (uint8_t)(n - k - 1)
						    : (uint8_t)(number >> 16);
		}
		read += compare_reading(bytes, n);
	}
	cr_assert(read > 1000, "%d", read);
}
