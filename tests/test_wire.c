/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "obj/arena.h"
#include "obj/wireformat.h"
#include "proto/manager.pb-c.h"
#include "tests/support/support.h"
#include "wire/code.h"
#include "wire/frame.h"
#include "wire/quick.h"
#include "wire/value.h"

#include <math.h>
#include <mp.h>
#include <stdalign.h>

T_SUITE(frame);
T_SUITE(key);
T_SUITE(value);
T_SUITE(code);
T_SUITE(quick);

/* --- frame ------------------------------------------------------------------------------------ */

Test(frame, is_whole_only_with_its_last_byte)
{
	const uint8_t data[] = {3, 0, 0, 0, 'a', 'b', 'c', 9};
	size_t length;

	for (size_t size = 0; size < 7; size++) {
		T_RESULT(mp__frame_next(data, size, 100, &length), 0);
		cr_assert(length == (size < 4 ? 0 : 3));
	}
	T_RESULT(mp__frame_next(data, 7, 100, &length), 1);
	T_RESULT(mp__frame_next(data, 8, 3, &length), 1);
	cr_assert(length == 3);
}

Test(frame, length_is_little_endian_and_compared_with_the_limit)
{
	const uint8_t data[] = {0x78, 0x56, 0x34, 0x12};
	const uint8_t most[] = {0xff, 0xff, 0xff, 0xff};
	size_t length;

	T_RESULT(mp__frame_next(data, 4, 0x12345678, &length), 0);
	cr_assert(length == 0x12345678);
	T_RESULT(mp__frame_next(data, 4, 0x12345677, &length), -EMSGSIZE);
	T_RESULT(mp__frame_next(most, 4, MP__FRAME_MAX, &length), -EMSGSIZE);
}

Test(frame, an_empty_message_is_a_frame)
{
	size_t length;

	T_RESULT(mp__frame_next("\0\0\0\0", 4, 100, &length), 1);
	cr_assert(length == 0);
}

Test(frame, append_and_id_agree)
{
	const uint64_t ids[] = {1, 127, 128, UINT32_MAX, UINT64_MAX};
	struct mp__buffer buffer = {0};

	for (size_t i = 0; i < sizeof(ids) / sizeof(ids[0]); i++) {
		Mp__Response response = MP__RESPONSE__INIT;
		size_t length;

		response.id = ids[i];
		response.detail = (char *)"a sentence";
		T_OK(mp__frame_append(&buffer, &response.base, 100));
		T_RESULT(mp__frame_next(
				 mp__buffer_at(&buffer), mp__buffer_size(&buffer), 100, &length),
			1);
		cr_assert(mp__frame_id(mp__buffer_at(&buffer) + 4, length) == ids[i]);
		mp__buffer_consume(&buffer, 4 + length);
		T_RESULT(mp__frame_append(&buffer, &response.base, 3), -EMSGSIZE);
		cr_assert(mp__buffer_size(&buffer) == 0);
	}
	mp__buffer_free(&buffer);
}

Test(frame, id_is_found_behind_other_fields_and_not_in_broken_ones)
{
	static const struct {
		const char *bytes;
		size_t size;
		uint64_t id;
	} cases[] = {
		{"\x1a\2xx\x10\5\x08\7", 8, 7}, /* text and a number before it */
		{"\x19xxxxxxxx\x08\7", 11, 7},  /* eight bytes */
		{"\x1dxxxx\x08\7", 7, 7},       /* four bytes */
		{"\x10\5", 2, 0},               /* none */
		{"", 0, 0},                     /* nothing */
		{"\x08", 1, 0},                 /* no number */
		{"\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\1", 12, 0}, /* an endless one */
		{"\x1a\x7fxx\x08\7", 6, 0}, /* a length beyond the end */
		{"\x1b\x08\7", 3, 0},       /* a group */
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		cr_assert(mp__frame_id(cases[i].bytes, cases[i].size) == cases[i].id, "%zu", i);
}

Test(frame, buffer_keeps_its_bytes_while_it_grows_and_moves)
{
	struct mp__buffer buffer = {0};
	uint8_t in = 0;
	uint8_t out = 0;

	for (int i = 0; i < 2000; i++) {
		uint8_t piece[301];
		for (size_t k = 0; k < sizeof(piece); k++)
			piece[k] = in++;
		T_OK(mp__buffer_append(&buffer, piece, sizeof(piece)));
		for (int k = 0; k < 290; k++) {
			cr_assert(*mp__buffer_at(&buffer) == out++);
			mp__buffer_consume(&buffer, 1);
		}
	}
	cr_assert(mp__buffer_size(&buffer) == 2000 * 11);
	cr_assert(mp__buffer_reserve(&buffer, SIZE_MAX / 2) == NULL);
	cr_assert(*mp__buffer_at(&buffer) == out);
	mp__buffer_free(&buffer);
}

Test(frame, stops_a_message_that_grows_when_unpacked)
{
	size_t size = 1 << 20;
	uint8_t *message = malloc(size);
	alignas(max_align_t) char block[1024];
	struct mp__arena arena;

	/* Field 127, varint 0: two bytes each in the frame, some sixty in memory. */
	for (size_t i = 0; i + 3 <= size; i += 3)
		memcpy(message + i, "\xf8\x07\0", 3);
	mp__arena_init(&arena, block, sizeof(block));
	mp__arena_reset(&arena, MP__UNPACK_BUDGET(size));
	cr_assert_null(mp__request__unpack(&arena.allocator, size - size % 3, message));
	mp__arena_release(&arena);
	free(message);
}

/* --- keys ------------------------------------------------------------------------------------- */

static void expect_key(const char *bytes, size_t size, const char *canonical, size_t wanted)
{
	uint8_t copy[64];
	struct mp__key key;

	memcpy(copy, bytes, size);
	T_OK(mp__key_canonical(copy, size, &key));
	cr_assert(key.size == wanted && memcmp(key.data, canonical, wanted) == 0);
	/* Once more changes nothing. */
	memcpy(copy, canonical, wanted);
	T_OK(mp__key_canonical(copy, wanted, &key));
	cr_assert(key.size == wanted && memcmp(key.data, canonical, wanted) == 0);
}

#define KEY(bytes, canonical) expect_key(bytes, sizeof(bytes) - 1, canonical, sizeof(canonical) - 1)

Test(key, equal_keys_have_equal_bytes)
{
	KEY("\x10\1", "\x10\1");                        /* true */
	KEY("\x10\x81\0", "\x10\1");                    /* true, at length */
	KEY("\x18\2", "\x18\2");                        /* i64 1 */
	KEY("\x18\x82\0", "\x18\2");                    /* i64 1, at length */
	KEY("\x18\1", "\x18\1");                        /* -1 */
	KEY("\x20\1", "\x18\2");                        /* u64 1 */
	KEY("\x20\x81\x80\0", "\x18\2");                /* u64 1, at length */
	KEY("\x20\xff\xff\xff\xff\xff\xff\xff\xff\x7f", /* u64 2^63 - 1 */
		"\x18\xfe\xff\xff\xff\xff\xff\xff\xff\xff\1");
	KEY("\x20\x80\x80\x80\x80\x80\x80\x80\x80\x80\1", /* 2^63 */
		"\x20\x80\x80\x80\x80\x80\x80\x80\x80\x80\1");
	KEY("\x29\0\0\0\0\0\0\0\x80", "\x29\0\0\0\0\0\0\0\0"); /* -0.0 */
	KEY("\x29\0\0\0\0\0\0\xf0\x3f", "\x29\0\0\0\0\0\0\xf0\x3f");
	KEY("\x32\2ab", "\x32\2ab");
	KEY("\x32\x82\0ab", "\x32\2ab"); /* the length, at length */
	KEY("\x3a\x82\x80\x80\0ab", "\x3a\2ab");
	KEY("\x32\0", "\x32\0");
}

Test(key, client_and_daemon_make_the_same_of_it)
{
	const mp_obj keys[] = {mp_bool(false), mp_i64(INT64_MIN), mp_i64(0), mp_u64(7),
		mp_u64(UINT64_MAX), mp_f64(-0.0), mp_f64(INFINITY), mp_str("text"), mp_str(""),
		mp_bytes("\0\1", 2)};

	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
		uint8_t raw[64];
		uint8_t normal[64];
		struct mp__key key;
		mp_obj n;

		ssize_t raw_size = mp__obj_encode_into(&keys[i], NULL, raw, sizeof(raw));
		T_OK(mp__key_normal(keys[i], &n));
		ssize_t size = mp__obj_encode_into(&n, NULL, normal, sizeof(normal));
		T_OK(mp__key_canonical(raw, (size_t)raw_size, &key));
		cr_assert(key.size == (size_t)size && memcmp(key.data, normal, key.size) == 0,
			"key %zu", i);
	}
}

Test(key, what_is_no_key_is_refused)
{
	struct mp__key key;
	mp_obj n;

	T_RESULT(mp__key_canonical((uint8_t[]){0x08, 0}, 2, &key), -EINVAL);        /* nil */
	T_RESULT(mp__key_canonical((uint8_t[]){0x42, 0}, 2, &key), -EINVAL);        /* list */
	T_RESULT(mp__key_canonical((uint8_t[]){0x4a, 0}, 2, &key), -EINVAL);        /* dict */
	T_RESULT(mp__key_canonical((uint8_t[]){0x52, 2, 8, 2}, 4, &key), -ENOTSUP); /* handle */
	T_RESULT(mp__key_canonical((uint8_t[]){0x29, 1, 0, 0, 0, 0, 0, 0xf8, 0x7f}, 9, &key),
		-EINVAL);
	T_RESULT(mp__key_canonical((uint8_t[]){0x32, 5, 'a'}, 3, &key), -EBADMSG);
	T_RESULT(mp__key_canonical(NULL, 0, &key), -EBADMSG);
	T_RESULT(mp__key_normal(mp_nil(), &n), -EINVAL);
	T_RESULT(mp__key_normal(mp_f64(NAN), &n), -EINVAL);
	T_RESULT(mp__key_normal(mp_fd(0), &n), -ENOTSUP);
}

/* --- values ----------------------------------------------------------------------------------- */

Test(value, lists_and_dicts_are_assembled_and_taken_apart)
{
	mp_obj item = mp_str("item");
	uint8_t encoded[16];
	uint8_t buffer[512];
	mp_obj value;
	uint8_t *data;
	size_t size;
	size_t n = 0;

	size_t one = (size_t)mp__obj_encode_into(&item, NULL, encoded, sizeof(encoded));
	size_t items = 40 * mp__item_size(one);
	uint8_t *at = mp__list_head_put(buffer, true, items);
	cr_assert((size_t)(at - buffer) == mp__list_head_size(items));
	for (int i = 0; i < 40; i++)
		at = mp__item_put(at, encoded, one);
	size = (size_t)(at - buffer);
	cr_assert(size == mp__list_head_size(items) + items);
	struct mp__items walk = mp__items_of(buffer, size);
	T_OK(mp_obj_decode(buffer, size, &value));
	cr_assert(value.type == MP_TYPE_DICT && mp_obj_len(&value) == 20);
	mp_obj_free(&value);
	while (mp__items_next(&walk, &data, &size)) {
		cr_assert(size == one && memcmp(data, encoded, one) == 0);
		n++;
	}
	cr_assert(n == 40);
}

Test(value, stored_values_leave_room_for_a_level)
{
	mp_obj nested = mp_i64(1);
	mp_obj levels[MP_OBJ_MAX_DEPTH];
	struct mp__value_info info;

	for (int depth = 1; depth <= MP_OBJ_MAX_DEPTH; depth++) {
		void *data;
		size_t size;

		levels[depth - 1] = nested;
		nested = mp_list_of(&levels[depth - 1], 1);
		T_OK(mp_obj_encode(nested, &data, &size));
		T_RESULT(mp__value_check_stored(data, size, &info),
			depth > MP__STORED_MAX_DEPTH ? -EOVERFLOW : 0);
		free(data);
	}
	T_RESULT(mp__value_check_stored("\x52\2\x08\2", 4, &info), -ENOTSUP);
	T_RESULT(mp__value_check_stored("", 0, &info), -EBADMSG);
}

Test(code, every_code_has_a_result_and_unknown_ones_are_eproto)
{
	cr_assert(mp__code_to_result(MP__CODE__OK) == 0);
	cr_assert(mp__code_to_result(MP__CODE__OWNER_DIED) == MP_OWNER_DIED);
	for (unsigned int i = 2; i < mp__code__descriptor.n_values; i++)
		cr_assert(mp__code_to_result(mp__code__descriptor.values[i].value) < 0);
	cr_assert(mp__code_to_result((int)mp__code__descriptor.n_values) == -EPROTO);
	cr_assert(mp__code_to_result(-1) == -EPROTO);
	cr_assert(mp__code_to_result(MP__CODE__NOT_FOUND) == -ENOENT);
}

/* --- quick ------------------------------------------------------------------------------------ */

static void expect_quick(Mp__Request *request, uint64_t reference, bool has_value)
{
	struct mp__buffer frame = {0};
	struct mp__quick quick;

	T_OK(mp__frame_append(&frame, &request->base, 1000));
	const uint8_t *message = mp__buffer_at(&frame) + MP__FRAME_HEADER;
	size_t size = mp__buffer_size(&frame) - MP__FRAME_HEADER;
	cr_assert(mp__quick_read(message, size, &quick));
	cr_assert(quick.id == request->id && quick.op == request->op_case);
	cr_assert(quick.reference == reference);
	cr_assert(quick.key.len == 5 && memcmp(quick.key.data, "\x32\3key", 5) == 0);
	cr_assert(quick.value.len == (has_value ? 2 : 0));
	/* Cut anywhere it is left to protobuf-c. */
	for (size_t cut = 0; cut < size; cut++)
		cr_assert(!mp__quick_read(message, cut, &quick));
	/* And written the same, if it fits. */
	struct mp__buffer written = {0};
	T_RESULT(mp__quick_request(&written, request, size - 1), -EMSGSIZE);
	T_OK(mp__quick_request(&written, request, size));
	cr_assert(mp__buffer_size(&written) == mp__buffer_size(&frame));
	cr_assert(memcmp(mp__buffer_at(&written), mp__buffer_at(&frame), size) == 0);
	mp__buffer_free(&written);
	mp__buffer_free(&frame);
}

Test(quick, reads_what_protobuf_writes)
{
	const ProtobufCBinaryData key = {5, (uint8_t *)"\x32\3key"};
	const ProtobufCBinaryData value = {2, (uint8_t *)"\x18\2"};
	const uint64_t references[] = {1, (uint64_t)1 << 32, (uint64_t)1 << 62};
	Mp__DictSet set = MP__DICT_SET__INIT;
	Mp__DictGet get = MP__DICT_GET__INIT;
	Mp__DictPop pop = MP__DICT_POP__INIT;
	Mp__DictContains contains = MP__DICT_CONTAINS__INIT;
	Mp__DictSetdefault setdefault = MP__DICT_SETDEFAULT__INIT;
	Mp__Request request = MP__REQUEST__INIT;

	set.key = get.key = pop.key = contains.key = setdefault.key = key;
	set.value = setdefault.value = value;
	for (size_t i = 0; i < sizeof(references) / sizeof(references[0]); i++) {
		set.reference = get.reference = pop.reference = contains.reference =
			setdefault.reference = references[i];
		request.id = references[i] / 2 + 1;
		request.op_case = MP__REQUEST__OP_DICT_SET;
		request.dict_set = &set;
		expect_quick(&request, references[i], true);
		request.op_case = MP__REQUEST__OP_DICT_GET;
		request.dict_get = &get;
		expect_quick(&request, references[i], false);
		request.op_case = MP__REQUEST__OP_DICT_POP;
		request.dict_pop = &pop;
		expect_quick(&request, references[i], false);
		request.op_case = MP__REQUEST__OP_DICT_CONTAINS;
		request.dict_contains = &contains;
		expect_quick(&request, references[i], false);
		request.op_case = MP__REQUEST__OP_DICT_SETDEFAULT;
		request.dict_setdefault = &setdefault;
		expect_quick(&request, references[i], true);
	}
}

Test(quick, leaves_the_unusual_to_protobuf)
{
	static const struct {
		const char *bytes;
		size_t size;
	} unusual[] = {
		{"\x08\1\x1a\0", 4},                              /* ping */
		{"\x08\0\x8a\1\6\x08\1\x12\2\x18\2", 11},         /* id 0 */
		{"\x8a\1\6\x08\1\x12\2\x18\2\x08\1", 11},         /* another order */
		{"\x08\1\x8a\1\6\x08\1\x12\2\x18\2\x08\1", 13},   /* something behind it */
		{"\x08\1\x8a\1\x08\x08\1\x12\2\x18\2\x28\1", 13}, /* something inside */
		{"\x08\1\x8a\1\7\x08\1\x12\3\x32\x80\0", 12},     /* a length at length */
		{"\x08\1\x92\1\x08\x08\1\x12\2\x18\2\x18\1", 13}, /* pop, quietly */
		{"\x08\1\x88\1\6\x08\1\x12\2\x18\2", 11},         /* a number for bytes */
	};
	struct mp__quick quick;

	for (size_t i = 0; i < sizeof(unusual) / sizeof(unusual[0]); i++)
		cr_assert(
			!mp__quick_read((const uint8_t *)unusual[i].bytes, unusual[i].size, &quick),
			"case %zu", i);
}

/* What is written as usual is read like protobuf-c does; anything cut off, or more, is left to it. */
static void expect_response(const Mp__Response *response)
{
	struct mp__buffer frame = {0};
	Mp__Response quick;

	T_OK(mp__frame_append(&frame, &response->base, 1000));
	const uint8_t *message = mp__buffer_at(&frame) + MP__FRAME_HEADER;
	size_t size = mp__buffer_size(&frame) - MP__FRAME_HEADER;
	size_t head = 1 + mp__varint_size(response->id);
	cr_assert(mp__quick_response(message, size, &quick));
	cr_assert(quick.id == response->id && quick.code == MP__CODE__OK);
	cr_assert(quick.result_case == response->result_case);
	if (quick.result_case == MP__RESPONSE__RESULT_COUNT)
		cr_assert(quick.count == response->count);
	if (quick.result_case == MP__RESPONSE__RESULT_VALUE)
		cr_assert(quick.value.len == response->value.len &&
			  memcmp(quick.value.data, response->value.data, quick.value.len) == 0);
	for (size_t cut = 0; cut < size; cut++)
		cr_assert(cut == head || !mp__quick_response(message, cut, &quick));
	T_OK(mp__buffer_append(&frame, "\x48\1", 2));
	cr_assert(!mp__quick_response(mp__buffer_at(&frame) + MP__FRAME_HEADER, size + 2, &quick));
	mp__buffer_free(&frame);
}

Test(quick, reads_replies_that_protobuf_writes)
{
	const uint64_t numbers[] = {1, 127, 128, UINT32_MAX, UINT64_MAX};
	uint8_t text[300] = "a value";
	Mp__Response failed = MP__RESPONSE__INIT;
	struct mp__buffer frame = {0};
	Mp__Response quick;

	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
		Mp__Response response = MP__RESPONSE__INIT;
		response.id = numbers[i];
		expect_response(&response);
		response.result_case = MP__RESPONSE__RESULT_COUNT;
		response.count = numbers[i];
		expect_response(&response);
		response.result_case = MP__RESPONSE__RESULT_VALUE;
		for (size_t size = 0; size <= sizeof(text); size += 100) {
			response.value = (ProtobufCBinaryData){size, text};
			expect_response(&response);
		}
	}
	failed.id = 1;
	failed.code = MP__CODE__NOT_FOUND;
	T_OK(mp__frame_append(&frame, &failed.base, 1000));
	cr_assert(!mp__quick_response(mp__buffer_at(&frame) + MP__FRAME_HEADER,
		mp__buffer_size(&frame) - MP__FRAME_HEADER, &quick));
	mp__buffer_free(&frame);
}

Test(quick, writes_what_protobuf_writes)
{
	const uint64_t numbers[] = {0, 1, 127, 128, UINT32_MAX, UINT64_MAX};

	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
		Mp__Response response = MP__RESPONSE__INIT;
		struct mp__buffer quick = {0};
		struct mp__buffer slow = {0};
		char text[300] = "";

		response.id = numbers[i] ? numbers[i] : 9;
		T_OK(mp__quick_ok(&quick, response.id));
		T_OK(mp__frame_append(&slow, &response.base, 1000));
		T_OK(mp__quick_count(&quick, response.id, numbers[i]));
		response.result_case = MP__RESPONSE__RESULT_COUNT;
		response.count = numbers[i];
		T_OK(mp__frame_append(&slow, &response.base, 1000));
		for (size_t size = 0; size < sizeof(text); size += 99) {
			T_OK(mp__quick_value(&quick, response.id, text, size, 1000));
			response.result_case = MP__RESPONSE__RESULT_VALUE;
			response.value = (ProtobufCBinaryData){size, (uint8_t *)text};
			T_OK(mp__frame_append(&slow, &response.base, 1000));
		}
		T_RESULT(mp__quick_value(&quick, 1, text, 300, 300), -EMSGSIZE);
		cr_assert(mp__buffer_size(&quick) == mp__buffer_size(&slow));
		cr_assert(memcmp(mp__buffer_at(&quick), mp__buffer_at(&slow),
				  mp__buffer_size(&slow)) == 0);
		mp__buffer_free(&quick);
		mp__buffer_free(&slow);
	}
}
