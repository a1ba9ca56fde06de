/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "wire/value.h"

#include "base/error.h"
#include "obj/wireformat.h"

#include <endian.h>
#include <math.h>

/* The bytes have been checked: the number ends in time. The position behind it. */
static const uint8_t *checked_varint(const uint8_t *at, uint64_t *ret_number)
{
	uint64_t number = 0;
	int shift = 0;

	do
		number |= (uint64_t)(*at & 0x7f) << shift;
	while (shift += 7, *at++ & 0x80);
	*ret_number = number;
	return at;
}

/* --- keys ------------------------------------------------------------------------------------- */

static void key_number(struct mp__key *key, uint8_t tag, uint64_t number)
{
	key->small[0] = tag;
	key->data = key->small;
	key->size = (size_t)(mp__varint_put(key->small + 1, number) - key->small);
}

static void key_integer(struct mp__key *key, const uint8_t *data, size_t size, bool is_signed)
{
	uint64_t number;

	checked_varint(data + 1, &number);
	if (!is_signed && number <= INT64_MAX) {
		is_signed = true;
		number *= 2; /* zigzag of what is not negative */
	}
	if (data[0] == MP__TAG_I64 && size == 1 + mp__varint_size(number)) {
		key->data = data;
		key->size = size;
	} else {
		key_number(key, is_signed ? MP__TAG_I64 : data[0], number);
	}
}

static int key_f64(struct mp__key *key, const uint8_t *data)
{
	uint64_t bits;
	double number;

	memcpy(&bits, data + 1, sizeof(bits));
	bits = le64toh(bits);
	memcpy(&number, &bits, sizeof(number));
	if (isnan(number))
		return mp_error_set(-EINVAL, "NaN as a key: it is equal to nothing");
	memset(key->small, 0, sizeof(key->small));
	key->small[0] = MP__TAG_F64;
	if (bits << 1 != 0) /* neither zero */
		memcpy(key->small + 1, data + 1, sizeof(bits));
	key->data = key->small;
	key->size = 1 + sizeof(bits);
	return 0;
}

/* A length in more bytes than it needs is written anew, directly in front of the text. */
static void key_text(struct mp__key *key, uint8_t *data, size_t size, size_t text)
{
	size_t head = 1 + mp__varint_size(text);
	uint8_t *begin = data + size - text - head;

	if (begin != data) {
		begin[0] = data[0];
		mp__varint_put(begin + 1, text);
	}
	key->data = begin;
	key->size = head + text;
}

static int not_a_key(uint32_t type)
{
	if (type == MP_TYPE_HANDLE)
		return mp_error_set(-ENOTSUP,
			"a handle as a key; keys are bool, integers, f64, strings and bytes");
	return mp_error_set(-EINVAL, "%s as a key; keys are bool, integers, f64, strings and bytes",
		type == MP_TYPE_LIST   ? "a list"
		: type == MP_TYPE_DICT ? "a dict"
		: type == MP_TYPE_NIL  ? "nil"
				       : "what is no value");
}

int mp__key_canonical(uint8_t *data, size_t size, struct mp__key *ret_key)
{
	struct mp__value_info info;

	int r = mp__value_check(data, size, &info);
	if (r == -EOVERFLOW)
		return not_a_key(MP_TYPE_LIST);
	if (r < 0)
		return r;
	switch (info.type) {
	case MP_TYPE_BOOL:
		key_number(ret_key, MP__TAG_BOOLEAN, data[1] & 1);
		return 0;
	case MP_TYPE_I64:
	case MP_TYPE_U64:
		key_integer(ret_key, data, size, info.type == MP_TYPE_I64);
		return 0;
	case MP_TYPE_F64:
		return key_f64(ret_key, data);
	case MP_TYPE_STR:
	case MP_TYPE_BYTES:
		key_text(ret_key, data, size, info.text);
		return 0;
	default:
		return not_a_key(info.type);
	}
}

int mp__key_normal(mp_obj key, mp_obj *ret_key)
{
	switch (key.type) {
	case MP_TYPE_BOOL:
	case MP_TYPE_I64:
	case MP_TYPE_STR:
	case MP_TYPE_BYTES:
		*ret_key = key;
		return 0;
	case MP_TYPE_U64:
		*ret_key = key.as.u64 <= INT64_MAX ? mp_i64((int64_t)key.as.u64) : key;
		return 0;
	case MP_TYPE_F64:
		if (isnan(key.as.f64))
			return mp_error_set(-EINVAL, "NaN as a key: it is equal to nothing");
		*ret_key = key.as.f64 == 0 ? mp_f64(0) : key;
		return 0;
	default:
		return not_a_key(key.type);
	}
}

/* --- values ----------------------------------------------------------------------------------- */

int mp__value_check_stored(const void *data, size_t size, struct mp__value_info *ret_info)
{
	struct mp__value_info info;

	int r = mp__value_check(data, size, &info);
	if (r < 0)
		return r;
	if (info.handles > 0)
		return mp_error_set(
			-ENOTSUP, "a handle in a value for managerd, which cannot keep it");
	if (info.depth > MP__STORED_MAX_DEPTH)
		return mp_error_set(-EOVERFLOW, "a value for managerd is nested deeper than %d",
			MP__STORED_MAX_DEPTH);
	*ret_info = info;
	return 0;
}

size_t mp__item_size(size_t size)
{
	return 1 + mp__varint_size(size) + size;
}

uint8_t *mp__item_put(uint8_t *at, const void *data, size_t size)
{
	*at++ = MP__TAG_ITEM;
	at = mp__varint_put(at, size);
	memcpy(at, data, size);
	return at + size;
}

size_t mp__list_head_size(size_t items)
{
	return 1 + mp__varint_size(items);
}

uint8_t *mp__list_head_put(uint8_t *at, bool is_dict, size_t items)
{
	*at++ = is_dict ? MP__TAG_DICT : MP__TAG_LIST;
	return mp__varint_put(at, items);
}

struct mp__items mp__items_of(uint8_t *data, size_t size)
{
	uint64_t length;
	const uint8_t *first = checked_varint(data + 1, &length);

	return (struct mp__items){data + (first - data), data + size};
}

bool mp__items_next(struct mp__items *items, uint8_t **ret_data, size_t *ret_size)
{
	uint64_t size;

	if (items->at == items->end)
		return false;
	const uint8_t *value = checked_varint(items->at + 1, &size);
	*ret_data = items->at + (value - items->at);
	*ret_size = (size_t)size;
	items->at = *ret_data + size;
	return true;
}
