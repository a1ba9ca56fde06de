/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "obj/small.h"

#include "base/hot.h"
#include "obj/block.h"
#include "obj/utf8.h"
#include "obj/wireformat.h"

#include <endian.h>
#include <string.h>

/* Lengths up to here take one byte. */
#define LENGTH_MAX 127
#define ITEMS_MAX 16
/* A tag and the longest number. */
#define NUMBER_BYTES (1 + MP__VARINT64_BYTES)

/* --- writing ---------------------------------------------------------------------------------- */

static uint8_t *put_number(uint8_t *at, uint8_t tag, uint64_t number)
{
	*at++ = tag;
	return mp__varint_put(at, number);
}

static uint8_t *put_f64(uint8_t *at, double value)
{
	uint64_t bits;

	memcpy(&bits, &value, sizeof(bits));
	bits = htole64(bits);
	*at++ = MP__TAG_F64;
	memcpy(at, &bits, sizeof(bits));
	return at + sizeof(bits);
}

static uint8_t *put_text(uint8_t *at, const uint8_t *end, const mp_obj *value)
{
	bool is_str = value->type == MP_TYPE_STR;

	if (value->count > LENGTH_MAX || (size_t)(end - at) < 2 + value->count ||
		(value->count > 0 && !value->as.bytes) ||
		(is_str && !mp__utf8_valid(value->as.str, value->count)))
		return NULL;
	*at++ = is_str ? MP__TAG_STR : MP__TAG_BYTES;
	*at++ = (uint8_t)value->count;
	if (value->count > 0)
		memcpy(at, value->as.bytes, value->count);
	return at + value->count;
}

/* The position behind it, or NULL. */
static uint8_t *put_scalar(uint8_t *at, const uint8_t *end, const mp_obj *value)
{
	if (value->type == MP_TYPE_STR || value->type == MP_TYPE_BYTES)
		return put_text(at, end, value);
	if (end - at < NUMBER_BYTES)
		return NULL;
	switch (value->type) {
	case MP_TYPE_NIL:
		return put_number(at, MP__TAG_NIL, 0);
	case MP_TYPE_BOOL:
		return put_number(at, MP__TAG_BOOLEAN, value->as.boolean);
	case MP_TYPE_I64:
		/* Zigzag: the sign goes to the last bit. */
		return put_number(at, MP__TAG_I64,
			(uint64_t)value->as.i64 << 1 ^ (uint64_t)(value->as.i64 >> 63));
	case MP_TYPE_U64:
		return put_number(at, MP__TAG_U64, value->as.u64);
	case MP_TYPE_F64:
		return put_f64(at, value->as.f64);
	default:
		return NULL;
	}
}

static uint8_t *put_list(uint8_t *begin, const uint8_t *end, const mp_obj *list)
{
	uint8_t *at = begin + 2;

	if (list->count > ITEMS_MAX || (list->count > 0 && !list->as.items) || end - begin < 2)
		return NULL;
	for (size_t i = 0; i < list->count; i++) {
		uint8_t *item = at;
		if (end - at < 2)
			return NULL;
		at = put_scalar(item + 2, end, &list->as.items[i]);
		if (!at || at - item - 2 > LENGTH_MAX)
			return NULL;
		item[0] = MP__TAG_ITEM;
		item[1] = (uint8_t)(at - item - 2);
	}
	if (at - begin - 2 > LENGTH_MAX)
		return NULL;
	begin[0] = MP__TAG_LIST;
	begin[1] = (uint8_t)(at - begin - 2);
	return at;
}

MP__HOT size_t mp__small_encode(const mp_obj *value, uint8_t *buffer, size_t room)
{
	const uint8_t *end = buffer + (room < MP__SMALL_BYTES ? room : MP__SMALL_BYTES);
	const uint8_t *at = value->type == MP_TYPE_LIST ? put_list(buffer, end, value)
							: put_scalar(buffer, end, value);

	return at ? (size_t)(at - buffer) : 0;
}

/* --- reading ---------------------------------------------------------------------------------- */

static bool get_number(const uint8_t *at, const uint8_t *end, uint64_t *ret_number)
{
	const uint8_t *begin = at;

	/* The tenth byte has room for one more bit. */
	return mp__varint_get(&at, end, ret_number) && at == end &&
	       (at - begin < MP__VARINT64_BYTES || at[-1] < 2);
}

static bool get_f64(const uint8_t *at, const uint8_t *end, mp_obj *ret_value)
{
	uint64_t bits;
	double value;

	if (end - at != sizeof(bits))
		return false;
	memcpy(&bits, at, sizeof(bits));
	bits = le64toh(bits);
	memcpy(&value, &bits, sizeof(value));
	*ret_value = mp_f64(value);
	return true;
}

/* Borrowed from the bytes. */
static bool get_text(const uint8_t *at, const uint8_t *end, bool is_str, mp_obj *ret_value)
{
	if (at == end || *at > LENGTH_MAX || *at != end - at - 1)
		return false;
	size_t length = *at++;
	if (is_str && !mp__utf8_valid((const char *)at, length))
		return false;
	*ret_value = is_str ? mp_strn((const char *)at, length) : mp_bytes(at, length);
	return true;
}

static bool get_scalar(const uint8_t *at, const uint8_t *end, mp_obj *ret_value)
{
	uint64_t number;

	if (at == end)
		return false;
	uint8_t tag = *at++;
	if (tag == MP__TAG_F64)
		return get_f64(at, end, ret_value);
	if (tag == MP__TAG_STR || tag == MP__TAG_BYTES)
		return get_text(at, end, tag == MP__TAG_STR, ret_value);
	if (!get_number(at, end, &number))
		return false;
	switch (tag) {
	case MP__TAG_NIL:
		*ret_value = mp_nil();
		return number == 0;
	case MP__TAG_BOOLEAN:
		*ret_value = mp_bool(number != 0);
		return number <= 1;
	case MP__TAG_I64:
		*ret_value = mp_i64((int64_t)(number >> 1 ^ -(number & 1)));
		return true;
	case MP__TAG_U64:
		*ret_value = mp_u64(number);
		return true;
	default:
		return false;
	}
}

/* How many; < 0: no short list of scalars. */
static int get_items(const uint8_t *at, const uint8_t *end, mp_obj items[ITEMS_MAX])
{
	int n = 0;

	for (; at < end; n++) {
		if (n == ITEMS_MAX || end - at < 2 || at[0] != MP__TAG_ITEM || at[1] > LENGTH_MAX ||
			at[1] > end - at - 2 || !get_scalar(at + 2, at + 2 + at[1], &items[n]))
			return -1;
		at += 2 + at[1];
	}
	return n;
}

static size_t text_of(const mp_obj *value)
{
	return value->type == MP_TYPE_STR     ? value->count + 1
	       : value->type == MP_TYPE_BYTES ? value->count
					      : 0;
}

/* What it borrows moves into the block. */
static void own(struct mp__builder *builder, mp_obj *value)
{
	if (value->type == MP_TYPE_STR)
		value->as.str = mp__block_str(builder, value->as.str, value->count);
	else if (value->type == MP_TYPE_BYTES)
		value->as.bytes = mp__block_bytes(builder, value->as.bytes, value->count);
}

static bool decode_list(const uint8_t *data, size_t size, mp_obj *ret_value)
{
	struct mp__block_plan plan = {0};
	struct mp__builder builder;
	mp_obj items[ITEMS_MAX];

	if (size < 2 || data[1] > LENGTH_MAX || data[1] != size - 2)
		return false;
	int n = get_items(data + 2, data + size, items);
	if (n < 0)
		return false;
	plan.nodes = (size_t)n;
	for (int i = 0; i < n; i++)
		plan.text += text_of(&items[i]);
	if (mp__block_new(&plan, &builder) < 0)
		return false;
	mp_obj *nodes = mp__block_items(&builder, plan.nodes);
	for (int i = 0; i < n; i++) {
		own(&builder, &items[i]);
		nodes[i] = items[i];
	}
	*ret_value = mp_list_of(nodes, plan.nodes);
	ret_value->block = builder.block;
	return true;
}

MP__HOT bool mp__small_decode(const uint8_t *data, size_t size, mp_obj *ret_value)
{
	struct mp__block_plan plan = {0};
	struct mp__builder builder = {0};
	mp_obj value;

	if (size == 0 || size > MP__SMALL_BYTES)
		return false;
	if (data[0] == MP__TAG_LIST)
		return decode_list(data, size, ret_value);
	if (!get_scalar(data, data + size, &value))
		return false;
	plan.text = text_of(&value);
	if (plan.text > 0 && mp__block_new(&plan, &builder) < 0)
		return false;
	own(&builder, &value);
	value.block = builder.block;
	*ret_value = value;
	return true;
}
