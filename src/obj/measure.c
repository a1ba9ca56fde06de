/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "obj/measure.h"

#include "base/cleanup.h"
#include "base/error.h"
#include "obj/utf8.h"

const char *mp__type_name(uint32_t type)
{
	static const char *const names[] = {
		[MP_TYPE_NIL] = "nil",
		[MP_TYPE_BOOL] = "bool",
		[MP_TYPE_I64] = "i64",
		[MP_TYPE_U64] = "u64",
		[MP_TYPE_F64] = "f64",
		[MP_TYPE_STR] = "str",
		[MP_TYPE_BYTES] = "bytes",
		[MP_TYPE_LIST] = "list",
		[MP_TYPE_DICT] = "dict",
		[MP_TYPE_HANDLE] = "handle",
	};

	return type < MP__COUNT_OF(names) ? names[type] : "invalid";
}

static int measure_text(const mp_obj *value, struct mp__block_plan *plan)
{
	bool is_str = value->type == MP_TYPE_STR;

	if (value->count > 0 && !value->as.bytes)
		return mp_error_set(-EINVAL, "a %s of %zu bytes at NULL",
			mp__type_name(value->type), value->count);
	if (is_str && !mp__utf8_valid(value->as.str, value->count))
		return mp_error_set(-EILSEQ,
			"a string of %zu bytes is not UTF-8 or has a NUL inside; use mp_bytes()",
			value->count);
	if (__builtin_add_overflow(plan->text, value->count + is_str, &plan->text))
		return mp_error_set(-ENOMEM, "a value larger than the address space");
	return 0;
}

static int measure_handle(const mp_obj *value, struct mp__block_plan *plan)
{
	if (value->kind != MP__HANDLE_FD) {
		struct mp__handle *handle = value->as.handle;
		if (!handle || (uint32_t)handle->class->kind != value->kind)
			return mp_error_set(-EINVAL, "a handle of kind %u that is none",
				(unsigned int)value->kind);
	}
	plan->held++;
	return 0;
}

static int measure(const mp_obj *value, size_t depth, struct mp__block_plan *plan)
{
	int r = 0;

	switch (value->type) {
	case MP_TYPE_NIL:
	case MP_TYPE_BOOL:
	case MP_TYPE_I64:
	case MP_TYPE_U64:
	case MP_TYPE_F64:
		return 0;
	case MP_TYPE_STR:
	case MP_TYPE_BYTES:
		return measure_text(value, plan);
	case MP_TYPE_HANDLE:
		return measure_handle(value, plan);
	case MP_TYPE_LIST:
	case MP_TYPE_DICT:
		break;
	default:
		return mp_error_set(
			-EINVAL, "a value of unknown type %u", (unsigned int)value->type);
	}

	if (depth == MP_OBJ_MAX_DEPTH)
		return mp_error_set(-EOVERFLOW, "a %s nested deeper than %d",
			mp__type_name(value->type), MP_OBJ_MAX_DEPTH);
	if (value->count > 0 && !value->as.items)
		return mp_error_set(-EINVAL, "a %s of %zu items at NULL",
			mp__type_name(value->type), value->count);
	if (value->type == MP_TYPE_DICT && value->count % 2 != 0)
		return mp_error_set(
			-EINVAL, "a dict of %zu items: a key without a value", value->count);
	if (__builtin_add_overflow(plan->nodes, value->count, &plan->nodes))
		return mp_error_set(-ENOMEM, "a value larger than the address space");
	for (size_t i = 0; i < value->count && r == 0; i++)
		r = measure(&value->as.items[i], depth + 1, plan);
	return r;
}

int mp__obj_measure(const mp_obj *value, struct mp__block_plan *ret_plan)
{
	struct mp__block_plan plan = {0};
	int r = measure(value, 0, &plan);

	if (r == 0)
		*ret_plan = plan;
	return r;
}
