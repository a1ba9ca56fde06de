/* SPDX-License-Identifier: MIT */
/* Looking inside a value. */
#include <config.h>

#include "base/error.h"
#include "obj/measure.h"

/* 2^63 and 2^64 as doubles: the first that do not fit any more. */
#define TWO_63 9223372036854775808.0
#define TWO_64 18446744073709551616.0

/* The conversions; without a sentence, because half of their users ignore it. */

static int to_i64(const mp_obj *value, int64_t *ret_value)
{
	if (!value || (value->type != MP_TYPE_I64 && value->type != MP_TYPE_U64))
		return -EINVAL;
	if (value->type == MP_TYPE_U64 && value->as.u64 > INT64_MAX)
		return -ERANGE;
	*ret_value = value->as.i64;
	return 0;
}

static int to_u64(const mp_obj *value, uint64_t *ret_value)
{
	if (!value || (value->type != MP_TYPE_I64 && value->type != MP_TYPE_U64))
		return -EINVAL;
	if (value->type == MP_TYPE_I64 && value->as.i64 < 0)
		return -ERANGE;
	*ret_value = value->as.u64;
	return 0;
}

static int to_f64(const mp_obj *value, double *ret_value)
{
	double number;
	bool exact;

	if (!value)
		return -EINVAL;
	switch (value->type) {
	case MP_TYPE_F64:
		number = value->as.f64;
		exact = true;
		break;
	case MP_TYPE_I64:
		number = (double)value->as.i64;
		exact = number < TWO_63 && (int64_t)number == value->as.i64;
		break;
	case MP_TYPE_U64:
		number = (double)value->as.u64;
		exact = number < TWO_64 && (uint64_t)number == value->as.u64;
		break;
	default:
		return -EINVAL;
	}
	if (!exact)
		return -ERANGE;
	*ret_value = number;
	return 0;
}

static int explain(int result, const mp_obj *value, const char *wanted)
{
	if (result == -EINVAL)
		return mp_error_set(-EINVAL, "%s was asked for, the value is %s", wanted,
			value ? mp__type_name(value->type) : "NULL");
	if (result == -ERANGE) {
		char text[32];
		mp_obj_format(value, text, sizeof(text));
		return mp_error_set(-ERANGE, "%s does not fit into %s", text, wanted);
	}
	return result;
}

int mp_obj_to_bool(const mp_obj *value, bool *ret_value)
{
	if (!value || value->type != MP_TYPE_BOOL)
		return explain(-EINVAL, value, "bool");
	*ret_value = value->as.boolean;
	return 0;
}

int mp_obj_to_i64(const mp_obj *value, int64_t *ret_value)
{
	return explain(to_i64(value, ret_value), value, "i64");
}

int mp_obj_to_u64(const mp_obj *value, uint64_t *ret_value)
{
	return explain(to_u64(value, ret_value), value, "u64");
}

int mp_obj_to_f64(const mp_obj *value, double *ret_value)
{
	return explain(to_f64(value, ret_value), value, "f64");
}

int64_t mp_obj_i64(const mp_obj *value)
{
	int64_t number = 0;

	to_i64(value, &number);
	return number;
}

double mp_obj_f64(const mp_obj *value)
{
	double number = 0;

	to_f64(value, &number);
	return number;
}

const char *mp_obj_str(const mp_obj *value)
{
	return value && value->type == MP_TYPE_STR ? value->as.str : NULL;
}

size_t mp_obj_len(const mp_obj *value)
{
	if (!value)
		return 0;
	switch (value->type) {
	case MP_TYPE_STR:
	case MP_TYPE_BYTES:
	case MP_TYPE_LIST:
		return value->count;
	case MP_TYPE_DICT:
		return value->count / 2;
	default:
		return 0;
	}
}

const mp_obj *mp_obj_at(const mp_obj *list, size_t index)
{
	if (!list || list->type != MP_TYPE_LIST || index >= list->count)
		return NULL;
	return &list->as.items[index];
}

const mp_obj *mp_obj_get(const mp_obj *dict, mp_obj key)
{
	if (!dict || dict->type != MP_TYPE_DICT)
		return NULL;
	for (size_t i = dict->count / 2; i-- > 0;) {
		if (mp_obj_equal(&dict->as.items[2 * i], &key))
			return &dict->as.items[2 * i + 1];
	}
	return NULL;
}
