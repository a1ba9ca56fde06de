/* SPDX-License-Identifier: MIT */
/* Values as bytes: the wire form, and bytes that somebody hostile made. */
#include <config.h>

#include "tests/support/support.h"
#include "tests/support/values.h"

#include "base/cleanup.h"
#include "obj/codec.h"

#include <math.h>
#include <mp.h>
#include <pthread.h>
#include <sys/resource.h>

T_SUITE(codec);

/* A buffer of exactly these bytes, so that a sanitizer sees every byte that is read beyond. */
static uint8_t *exactly(const void *data, size_t size)
{
	uint8_t *copy = malloc(size + (size == 0));

	cr_assert_not_null(copy);
	if (size > 0)
		memcpy(copy, data, size);
	return copy;
}

/* Checks and decodes; both must agree, and failures must leave the outputs alone. */
static int feed(const void *data, size_t size)
{
	struct mp__value_info info = {.depth = 1234};
	MP__AUTO_FREE uint8_t *bytes = exactly(data, size);
	mp_obj value = mp_i64(1234);
	int r = mp__value_check(bytes, size, &info);
	int d = mp_obj_decode(bytes, size, &value);

	if (r < 0) {
		cr_assert(d == r && info.depth == 1234 && mp_obj_i64(&value) == 1234);
	} else {
		cr_assert(d == (info.handles > 0 ? -ENOTSUP : 0));
		cr_assert(info.handles > 0 || info.type == value.type);
		if (d == 0)
			mp_obj_free(&value);
	}
	return r;
}

#define FEED(...) feed((const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__}))

static void round_trip(const mp_obj *value, const char *what, uint64_t seed)
{
	void *data;
	void *again;
	size_t size;
	size_t size_again;
	mp_obj back;

	T_OK(mp_obj_encode(*value, &data, &size));
	MP__AUTO_FREE uint8_t *bytes = exactly(data, size);
	free(data);
	T_OK(mp_obj_decode(bytes, size, &back));
	cr_assert(mp_obj_compare(value, &back) == 0, "%s %lu", what, seed);
	T_OK(mp_obj_encode(back, &again, &size_again));
	cr_assert(size == size_again && memcmp(bytes, again, size) == 0, "%s %lu", what, seed);
	free(again);
	mp_obj_free(&back);
}

/* --- the wire form ------------------------------------------------------------------------------ */

/* These bytes are the contract with other versions and other languages: they never change. */
Test(codec, golden_bytes)
{
	const struct {
		mp_obj value;
		const char *bytes;
		size_t size;
	} golden[] = {
#define BYTES(s) s, sizeof(s) - 1
		{mp_nil(), BYTES("\x08\x00")},
		{mp_bool(false), BYTES("\x10\x00")},
		{mp_bool(true), BYTES("\x10\x01")},
		{mp_i64(0), BYTES("\x18\x00")},
		{mp_i64(-1), BYTES("\x18\x01")},
		{mp_i64(64), BYTES("\x18\x80\x01")},
		{mp_i64(INT64_MIN), BYTES("\x18\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01")},
		{mp_u64(300), BYTES("\x20\xac\x02")},
		{mp_u64(UINT64_MAX), BYTES("\x20\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01")},
		{mp_f64(1.5), BYTES("\x29\x00\x00\x00\x00\x00\x00\xf8\x3f")},
		{mp_str(""), BYTES("\x32\x00")},
		{mp_str("ab"), BYTES("\x32\x02"
				     "ab")},
		{mp_bytes("\0\xff", 2), BYTES("\x3a\x02\x00\xff")},
		{MP_LIST(), BYTES("\x42\x00")},
		{MP_LIST(mp_nil(), mp_i64(1)), BYTES("\x42\x08\x0a\x02\x08\x00\x0a\x02\x18\x02")},
		{MP_DICT(), BYTES("\x4a\x00")},
		{MP_DICT(mp_str("a"), mp_bool(true)), BYTES("\x4a\x09\x0a\x03\x32\x01"
							    "a"
							    "\x0a\x02\x10\x01")},
	};

	for (size_t i = 0; i < MP__COUNT_OF(golden); i++) {
		mp_obj back;
		void *data;
		size_t size;
		T_OK(mp_obj_encode(golden[i].value, &data, &size));
		cr_assert(size == golden[i].size && memcmp(data, golden[i].bytes, size) == 0,
			"golden[%zu]", i);
		free(data);
		T_OK(mp_obj_decode(golden[i].bytes, golden[i].size, &back));
		cr_assert(back.type == golden[i].value.type);
		cr_assert(mp_obj_compare(&back, &golden[i].value) == 0, "golden[%zu]", i);
		mp_obj_free(&back);
	}
}

Test(codec, round_trip_of_every_kind)
{
	mp_obj rich = t_rich_value();
	double number = NAN;
	uint64_t bits;

	round_trip(&rich, "rich", 0);
	/* The payload of a NaN survives. */
	memcpy(&bits, &number, sizeof(bits));
	bits ^= 0x12345;
	memcpy(&number, &bits, sizeof(bits));
	rich = mp_f64(number);
	round_trip(&rich, "NaN", 0);
}

Test(codec, round_trip_of_random_values)
{
	for (uint64_t seed = 1; seed <= 2000; seed++) {
		MP__ARENA(arena, 4096);
		uint64_t state = seed;
		mp_obj value = t_random_value(&state, &arena, 5);
		round_trip(&value, "seed", seed);
	}
}

Test(codec, decoded_strings_end_with_a_nul)
{
	mp_obj value;

	T_OK(mp_obj_decode("\x32\x02"
			   "abX",
		4, &value));
	cr_assert_str_eq(mp_obj_str(&value), "ab");
	mp_obj_free(&value);
}

Test(codec, check_counts_what_decoding_needs)
{
	struct mp__value_info info;
	mp_obj rich = t_rich_value();
	void *data;
	size_t size;

	T_OK(mp_obj_encode(rich, &data, &size));
	T_OK(mp__value_check(data, size, &info));
	cr_assert(info.type == MP_TYPE_LIST && info.depth == 4 && info.handles == 0);
	cr_assert_eq(info.nodes, 1 + 9 + 8 + 3 + 1 + 3);
	cr_assert_eq(info.strings, 4);
	cr_assert_eq(info.text, 11 + 2 + 5);
	free(data);
}

Test(codec, encode_into_tells_the_size_in_any_case)
{
	mp_obj rich = t_rich_value();
	uint8_t buffer[512];
	void *data;
	size_t size;

	T_OK(mp_obj_encode(rich, &data, &size));
	T_RESULT(mp__obj_encode_into(&rich, NULL, NULL, 0), size);
	memset(buffer, '#', sizeof(buffer));
	T_RESULT(mp__obj_encode_into(&rich, NULL, buffer, size - 1), size);
	T_RESULT(mp__obj_encode_into(&rich, NULL, buffer, size), size);
	cr_assert(memcmp(buffer, data, size) == 0 && buffer[size] == '#');
	free(data);

	void *reserved;
	size_t reserved_size;
	T_OK(mp__obj_encode(&rich, 24, NULL, &reserved, &reserved_size));
	cr_assert(reserved_size == size + 24);
	cr_assert(memcmp((char *)reserved + 24, buffer, size) == 0);
	free(reserved);
}

Test(codec, encode_refuses_what_is_no_value)
{
	void *data = NULL;
	size_t size = 5;
	mp_obj levels[MP_OBJ_MAX_DEPTH + 1];

	T_RESULT(mp_obj_encode(mp_list_of(NULL, 1), &data, &size), -EINVAL);
	T_RESULT(mp_obj_encode(MP_DICT(mp_nil()), &data, &size), -EINVAL);
	T_RESULT(mp_obj_encode((mp_obj){.type = 99}, &data, &size), -EINVAL);
	T_RESULT(mp__obj_encode_into(&(mp_obj){.type = 99}, NULL, &size, sizeof(size)), -EINVAL);
	T_RESULT(mp_obj_encode(mp_str("\xff"), &data, &size), -EILSEQ);
	T_RESULT(mp_obj_encode(MP_LIST(mp_fd(0)), &data, &size), -ENOTSUP);
	T_RESULT(mp_obj_encode(mp_bytes("x", (size_t)INT32_MAX + 1), &data, &size), -EMSGSIZE);
	/* Fits, but for its tag and length. */
	T_RESULT(mp_obj_encode(mp_bytes("x", INT32_MAX), &data, &size), -EMSGSIZE);
	levels[0] = mp_list_of(NULL, 0);
	for (size_t i = 1; i <= MP_OBJ_MAX_DEPTH; i++)
		levels[i] = mp_list_of(&levels[i - 1], 1);
	T_RESULT(mp_obj_encode(levels[MP_OBJ_MAX_DEPTH], &data, &size), -EOVERFLOW);
	cr_assert(!data && size == 5, "untouched on failure");
	round_trip(&levels[MP_OBJ_MAX_DEPTH - 1], "depth", MP_OBJ_MAX_DEPTH);
}

/* --- hostile bytes ------------------------------------------------------------------------------ */

Test(codec, refuses_truncation_at_every_byte)
{
	void *data;
	size_t size;

	T_OK(mp_obj_encode(t_rich_value(), &data, &size));
	T_OK(feed(data, size));
	for (size_t n = 0; n < size; n++)
		T_RESULT(feed(data, n), -EBADMSG);
	T_RESULT(mp__value_check(NULL, 0, NULL), -EBADMSG);
	T_RESULT(mp__value_check(data, (size_t)INT32_MAX + 1, NULL), -EBADMSG);
	free(data);
}

Test(codec, survives_every_flipped_bit)
{
	void *data;
	size_t size;

	T_OK(mp_obj_encode(t_rich_value(), &data, &size));
	uint8_t *bytes = data;
	for (size_t bit = 0; bit < 8 * size; bit++) {
		bytes[bit / 8] ^= (uint8_t)(1U << bit % 8);
		int r = feed(bytes, size);
		cr_assert(r == 0 || r == -EBADMSG);
		bytes[bit / 8] ^= (uint8_t)(1U << bit % 8);
	}
	free(data);
}

Test(codec, survives_random_bytes)
{
	/* Mostly bytes that mean something. */
	static const uint8_t likely[] = {0x08, 0x10, 0x18, 0x20, 0x29, 0x32, 0x3a, 0x42, 0x4a, 0x52,
		0x0a, 0, 1, 2, 3, 4, 5, 6, 8, 12, 0x80, 0xff, 'a'};
	size_t valid = 0;

	for (uint64_t seed = 1; seed <= 200000; seed++) {
		uint64_t state = seed;
		uint8_t bytes[24];
		size_t size = t_random(&state) % sizeof(bytes);
		for (size_t i = 0; i < size; i++)
			bytes[i] = t_random(&state) % 8 == 0
					   ? (uint8_t)t_random(&state)
					   : likely[t_random(&state) % sizeof(likely)];
		int r = feed(bytes, size);
		cr_assert(r == 0 || r == -EBADMSG, "seed %lu gave %d", seed, r);
		valid += r == 0;
	}
	cr_assert_gt(valid, 0);
}

Test(codec, survives_random_changes_of_valid_bytes)
{
	for (uint64_t seed = 1; seed <= 5000; seed++) {
		MP__ARENA(arena, 4096);
		uint64_t state = seed;
		mp_obj value = t_random_value(&state, &arena, 5);
		void *data;
		size_t size;
		T_OK(mp_obj_encode(value, &data, &size));
		for (int i = 0; i < 10; i++) {
			((uint8_t *)data)[t_random(&state) % size] = (uint8_t)t_random(&state);
			int r = feed(data, size);
			cr_assert(r == 0 || r == -EBADMSG, "seed %lu gave %d", seed, r);
		}
		free(data);
	}
}

/* A list of a list of ..., `levels` deep, as bytes. */
static uint8_t *nested_bytes(size_t levels, size_t *ret_size)
{
	/* Written from its end, because each length counts what follows. */
	size_t room = levels * 12 + 2;
	uint8_t *bytes = malloc(room);
	uint8_t *at = bytes + room;

	cr_assert_not_null(bytes);
	for (size_t i = 0; i < levels; i++) {
		for (int item = i > 0; item >= 0; item--) {
			size_t length = (size_t)(bytes + room - at);
			uint8_t varint[5];
			size_t n = 0;
			do
				varint[n++] = (uint8_t)(length & 0x7f) | (length > 0x7f ? 0x80 : 0);
			while (length >>= 7);
			at -= n;
			memcpy(at, varint, n);
			*--at = item ? 0x0a : 0x42;
		}
	}
	*ret_size = (size_t)(bytes + room - at);
	memmove(bytes, at, *ret_size);
	return bytes;
}

Test(codec, refuses_deep_nesting_without_recursion)
{
	size_t size;
	uint8_t *bytes = nested_bytes(MP_OBJ_MAX_DEPTH, &size);

	T_OK(feed(bytes, size));
	free(bytes);
	bytes = nested_bytes(MP_OBJ_MAX_DEPTH + 1, &size);
	T_RESULT(feed(bytes, size), -EOVERFLOW);
	free(bytes);
	bytes = nested_bytes(1000000, &size);
	T_RESULT(feed(bytes, size), -EOVERFLOW);
	free(bytes);
}

static void *decode_in_thread(void *unused)
{
	size_t size;
	uint8_t *bytes = nested_bytes(MP_OBJ_MAX_DEPTH, &size);
	int r = feed(bytes, size);

	(void)unused;
	free(bytes);
	return (void *)(intptr_t)r;
}

/* The manual page promises that this much is enough. */
Test(codec, deepest_nesting_decodes_on_a_stack_of_256_kib)
{
#ifdef __SANITIZE_ADDRESS__
	cr_skip_test("the address sanitizer makes frames larger");
#endif
	pthread_attr_t attributes;
	pthread_t thread;
	void *result;

	pthread_attr_init(&attributes);
	cr_assert(pthread_attr_setstacksize(&attributes, 256 * 1024) == 0);
	cr_assert(pthread_create(&thread, &attributes, decode_in_thread, NULL) == 0);
	pthread_join(thread, &result);
	pthread_attr_destroy(&attributes);
	T_OK((intptr_t)result);
}

Test(codec, refuses_lengths_beyond_the_end)
{
	T_RESULT(FEED(0x32, 0x01), -EBADMSG);
	T_RESULT(FEED(0x32, 0xff, 0xff, 0xff, 0xff, 0x0f, 'a'), -EBADMSG);
	T_RESULT(FEED(0x42, 0xff, 0xff, 0xff, 0xff, 0x0f), -EBADMSG);
	T_RESULT(FEED(0x42, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01), -EBADMSG);
	T_RESULT(FEED(0x42, 0x04, 0x0a, 0x03, 0x08, 0x00), -EBADMSG);
	/* An item may not reach beyond its list, even if there are bytes. */
	T_RESULT(FEED(0x42, 0x08, 0x0a, 0x06, 0x42, 0x06, 0x0a, 0x02, 0x08, 0x00), -EBADMSG);
	T_RESULT(FEED(0x3a, 0x80, 0x80, 0x80, 0x80, 0x80, 0x00), -EBADMSG);
	T_RESULT(FEED(0x3a, 0xff, 0xff, 0xff, 0xff, 0x7f), -EBADMSG);
	T_OK(FEED(0x3a, 0x80, 0x80, 0x80, 0x80, 0x00));
}

Test(codec, refuses_numbers_of_wrong_form)
{
	T_RESULT(FEED(0x18), -EBADMSG);
	T_RESULT(FEED(0x18, 0x80), -EBADMSG);
	T_RESULT(FEED(0x18, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x02), -EBADMSG);
	T_RESULT(FEED(0x18, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x00),
		-EBADMSG);
	T_OK(FEED(0x18, 0x82, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x00));
	T_RESULT(FEED(0x08, 0x01), -EBADMSG);
	T_RESULT(FEED(0x10, 0x02), -EBADMSG);
	T_RESULT(FEED(0x10, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01), -EBADMSG);
	T_RESULT(FEED(0x29, 0, 0, 0, 0, 0, 0, 0), -EBADMSG);
	T_RESULT(FEED(0x29, 0, 0, 0, 0, 0, 0, 0, 0, 0), -EBADMSG);
}

Test(codec, refuses_wrong_wire_types_and_unknown_fields)
{
	for (unsigned int tag = 0; tag < 256; tag++) {
		static const uint8_t known[] = {0x08, 0x10, 0x18, 0x20};
		uint8_t bytes[] = {(uint8_t)tag, 0};
		bool scalar = memchr(known, (int)tag, sizeof(known)) != NULL;
		bool text = tag == 0x32 || tag == 0x3a || tag == 0x42 || tag == 0x4a;
		T_RESULT(feed(bytes, 2), scalar || text ? 0 : -EBADMSG);
		/* In a list only field 1 with a length. */
		uint8_t list[] = {0x42, 0x04, (uint8_t)tag, 0x02, 0x08, 0x00};
		T_RESULT(feed(list, sizeof(list)), tag == 0x0a ? 0 : -EBADMSG);
	}
	T_RESULT(FEED(0x98, 0x00, 0x02), -EBADMSG);
	T_RESULT(FEED(0x58, 0x00), -EBADMSG);
}

Test(codec, refuses_values_without_one_kind)
{
	T_RESULT(feed("", 0), -EBADMSG);
	T_RESULT(FEED(0x42, 0x02, 0x0a, 0x00), -EBADMSG);
	T_RESULT(FEED(0x08, 0x00, 0x08, 0x00), -EBADMSG);
	T_RESULT(FEED(0x08, 0x00, 0x10, 0x01), -EBADMSG);
	T_RESULT(FEED(0x32, 0x00, 0x08, 0x00), -EBADMSG);
	T_RESULT(FEED(0x42, 0x00, 0x42, 0x00), -EBADMSG);
	T_RESULT(FEED(0x42, 0x06, 0x0a, 0x04, 0x08, 0x00, 0x08, 0x00), -EBADMSG);
}

Test(codec, refuses_strings_that_are_no_text)
{
	T_OK(FEED(0x32, 0x02, 0xc3, 0xbc));
	T_RESULT(FEED(0x32, 0x02, 0xbc, 0xc3), -EBADMSG);
	T_RESULT(FEED(0x32, 0x02, 'a', 0x00), -EBADMSG);
	T_RESULT(FEED(0x32, 0x03, 0xed, 0xa0, 0x80), -EBADMSG);
	T_RESULT(FEED(0x32, 0x02, 0xc0, 0xaf), -EBADMSG);
	T_RESULT(FEED(0x32, 0x04, 0xf4, 0x90, 0x80, 0x80), -EBADMSG);
	cr_assert_str_eq(mp_error_detail(),
		"not a valid mp.Value: a string is not UTF-8 or has a NUL inside at byte 2");
	T_OK(FEED(0x3a, 0x02, 0xbc, 0x00));
}

Test(codec, refuses_a_key_without_a_value)
{
	T_RESULT(FEED(0x4a, 0x04, 0x0a, 0x02, 0x08, 0x00), -EBADMSG);
	T_OK(FEED(0x42, 0x04, 0x0a, 0x02, 0x08, 0x00));
	T_RESULT(FEED(0x42, 0x08, 0x0a, 0x06, 0x4a, 0x04, 0x0a, 0x02, 0x08, 0x00), -EBADMSG);
}

Test(codec, refuses_handles_of_wrong_shape)
{
	uint8_t large[4 + 4 + 513] = {0x52, 0x87, 0x04, 0x08, 0x02, 0x12, 0x81, 0x04};

	T_OK(FEED(0x52, 0x04, 0x08, 0x01, 0x18, 0x01));
	T_OK(FEED(0x52, 0x04, 0x18, 0x01, 0x08, 0x01));
	T_OK(FEED(0x52, 0x05, 0x08, 0x63, 0x12, 0x01, 'x'));
	T_RESULT(FEED(0x52, 0x00), -EBADMSG);
	T_RESULT(FEED(0x52, 0x02, 0x08, 0x00), -EBADMSG);
	T_RESULT(FEED(0x52, 0x02, 0x08, 0x01), -EBADMSG);
	T_RESULT(FEED(0x52, 0x04, 0x08, 0x01, 0x18, 0x02), -EBADMSG);
	T_RESULT(FEED(0x52, 0x04, 0x08, 0x02, 0x18, 0x05), -EBADMSG);
	T_RESULT(FEED(0x52, 0x04, 0x08, 0x01, 0x08, 0x01), -EBADMSG);
	T_RESULT(FEED(0x52, 0x07, 0x08, 0x01, 0x18, 0x01, 0x12, 0x01, 'x'), -EBADMSG);
	T_RESULT(FEED(0x52, 0x06, 0x08, 0x01, 0x18, 0x01, 0x20, 0x00), -EBADMSG);
	T_RESULT(FEED(0x52, 0x04, 0x0a, 0x02, 0x08, 0x02), -EBADMSG);
	T_RESULT(FEED(0x52, 0x06, 0x08, 0xff, 0xff, 0xff, 0xff, 0x1f), -EBADMSG);
	T_RESULT(FEED(0x52, 0x04, 0x08, 0x02, 0x12, 0x01), -EBADMSG);
	T_RESULT(feed(large, sizeof(large)), -EBADMSG);
}

/* A list of the smallest items: decoding costs time and memory in proportion to the bytes. */
Test(codec, decodes_many_items_in_linear_time)
{
	const size_t n = 1000000;
	mp_obj *items = malloc(n * sizeof(*items));
	void *data;
	size_t size;
	mp_obj value;

	cr_assert_not_null(items);
	for (size_t i = 0; i < n; i++)
		items[i] = i % 2 ? mp_nil() : mp_list_of(NULL, 0);
	T_OK(mp_obj_encode(mp_list_of(items, n), &data, &size));
	T_OK(mp_obj_decode(data, size, &value));
	cr_assert_eq(mp_obj_len(&value), n);
	mp_obj_free(&value);
	free(data);
	free(items);
}

static int decode_without_memory(void *unused)
{
	struct rlimit limit = {0, 0};
	size_t size = 64 * 1024 * 1024;
	uint8_t *bytes = calloc(1, size);
	void *data = NULL;
	mp_obj value = mp_i64(1);

	(void)unused;
	T_CHECK(bytes && setrlimit(RLIMIT_AS, &limit) == 0);
	/* 0x3a, then a length in four bytes, then what it counts. */
	size_t length = size - 5;
	bytes[0] = 0x3a;
	for (int i = 0; i < 4; i++)
		bytes[1 + i] = (uint8_t)(length >> (7 * i) & 0x7f) | (i < 3 ? 0x80 : 0);
	T_CHECK(mp_obj_decode(bytes, size, &value) == -ENOMEM);
	T_CHECK(mp_obj_encode(mp_bytes(bytes, size), &data, &size) == -ENOMEM);
	T_CHECK(value.as.i64 == 1 && !data);
	free(bytes);
	return 0;
}

Test(codec, reports_a_lack_of_memory)
{
#ifdef __SANITIZE_ADDRESS__
	cr_skip_test("the address sanitizer needs its memory");
#endif
	struct t_child child = t_spawn(decode_without_memory, NULL);

	t_expect_exit(&child, 0);
}
