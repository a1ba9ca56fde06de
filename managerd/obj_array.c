/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "managerd/obj_array.h"

#include "base/cleanup.h"
#include "managerd/slice.h"
#include "managerd/values.h"
#include "obj/codec.h"
#include "obj/wireformat.h"
#include "serve/assemble.h"
#include "sync/cell.h"
#include "wire/value.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct array {
	const struct mp__cell_type *type;
	size_t n;
	_Alignas(8) unsigned char items[];
};

/* The bytes of one item. */
union cell {
	int8_t i8;
	uint8_t u8;
	int16_t i16;
	uint16_t u16;
	int32_t i32;
	uint32_t u32;
	int64_t i64;
	uint64_t u64;
	float f32;
	double f64;
};

static struct array *array_of(const struct serve_call *call)
{
	return call->object->state;
}

static void *at(struct array *array, size_t i)
{
	return array->items + i * array->type->size;
}

static bool is_float(const struct mp__cell_type *type)
{
	return type->cell == MP__CELL_F32 || type->cell == MP__CELL_F64;
}

/* --- from bytes to numbers and back ------------------------------------------------------------- */

static mp_obj number_of(const struct mp__cell_type *type, const union cell *cell)
{
	switch (type->cell) {
	case MP__CELL_I8:
		return mp_i64(cell->i8);
	case MP__CELL_U8:
		return mp_i64(cell->u8);
	case MP__CELL_I16:
		return mp_i64(cell->i16);
	case MP__CELL_U16:
		return mp_i64(cell->u16);
	case MP__CELL_I32:
		return mp_i64(cell->i32);
	case MP__CELL_U32:
		return mp_i64(cell->u32);
	case MP__CELL_I64:
		return mp_i64(cell->i64);
	case MP__CELL_U64:
		return cell->u64 > INT64_MAX ? mp_u64(cell->u64) : mp_i64((int64_t)cell->u64);
	case MP__CELL_F32:
		return mp_f64((double)cell->f32);
	default:
		return mp_f64(cell->f64);
	}
}

static struct serve_bytes encode(
	const struct mp__cell_type *type, const union cell *cell, uint8_t room[MD_NUMBER_MAX])
{
	mp_obj number = number_of(type, cell);
	ssize_t size = mp__obj_encode_into(&number, NULL, room, MD_NUMBER_MAX);

	return (struct serve_bytes){room, (size_t)size};
}

size_t md_array_len(const struct serve_object *array)
{
	return ((const struct array *)array->state)->n;
}

struct serve_bytes md_array_now(
	const struct serve_object *array, size_t i, uint8_t room[MD_NUMBER_MAX])
{
	struct array *a = array->state;
	union cell cell;

	memcpy(&cell, at(a, i), a->type->size);
	return encode(a->type, &cell, room);
}

/* An integer that is within the limits of the type. */
static bool cell_of_i64(enum mp__cell type, int64_t n, union cell *ret)
{
	switch (type) {
	case MP__CELL_I8:
		return !__builtin_add_overflow(n, 0, &ret->i8);
	case MP__CELL_U8:
		return !__builtin_add_overflow(n, 0, &ret->u8);
	case MP__CELL_I16:
		return !__builtin_add_overflow(n, 0, &ret->i16);
	case MP__CELL_U16:
		return !__builtin_add_overflow(n, 0, &ret->u16);
	case MP__CELL_I32:
		return !__builtin_add_overflow(n, 0, &ret->i32);
	case MP__CELL_U32:
		return !__builtin_add_overflow(n, 0, &ret->u32);
	case MP__CELL_I64:
		ret->i64 = n;
		return true;
	default:
		return !__builtin_add_overflow(n, 0, &ret->u64);
	}
}

static void cell_of_f64(enum mp__cell type, double n, union cell *ret)
{
	if (type == MP__CELL_F32)
		ret->f32 = (float)n;
	else
		ret->f64 = n;
}

/* Numbers need no memory. False: it is none. */
static bool read_number(struct serve_bytes value, mp_obj *ret)
{
	uint32_t type = serve_type_of(value);

	if (type != MP_TYPE_I64 && type != MP_TYPE_U64 && type != MP_TYPE_F64)
		return false;
	return mp_obj_decode(value.data, value.size, ret) == 0;
}

static double as_f64(const mp_obj *number)
{
	if (number->type == MP_TYPE_F64)
		return number->as.f64;
	return number->type == MP_TYPE_I64 ? (double)number->as.i64 : (double)number->as.u64;
}

/* 0, -EINVAL not a number of the type's kind, -EOVERFLOW more than the type holds. */
static int convert(const struct mp__cell_type *type, struct serve_bytes value, union cell *ret)
{
	mp_obj number;

	if (!read_number(value, &number) || (number.type == MP_TYPE_F64 && !is_float(type)))
		return -EINVAL;
	if (is_float(type)) {
		cell_of_f64(type->cell, as_f64(&number), ret);
		return 0;
	}
	if (number.type == MP_TYPE_I64 || number.as.u64 <= INT64_MAX) {
		int64_t n = number.type == MP_TYPE_I64 ? number.as.i64 : (int64_t)number.as.u64;
		return cell_of_i64(type->cell, n, ret) ? 0 : -EOVERFLOW;
	}
	if (type->cell != MP__CELL_U64)
		return -EOVERFLOW;
	ret->u64 = number.as.u64;
	return 0;
}

int md_array_fit(const struct serve_object *array, struct serve_bytes number,
	uint8_t room[MD_NUMBER_MAX], struct serve_bytes *ret_number)
{
	const struct mp__cell_type *type = ((const struct array *)array->state)->type;
	union cell cell;

	int r = convert(type, number, &cell);
	if (r == 0)
		*ret_number = encode(type, &cell, room);
	return r;
}

/* Of integers. False: more than a 64-bit type holds. */
static bool sum_of(
	const struct mp__cell_type *type, const mp_obj *a, const mp_obj *b, union cell *ret)
{
	bool is_u64 = type->cell == MP__CELL_U64;
	uint64_t left = a->type == MP_TYPE_U64 ? a->as.u64 : (uint64_t)a->as.i64;
	int64_t sum;

	/* The item is not negative where it is unsigned. */
	if (is_u64)
		return b->type == MP_TYPE_U64 ? !__builtin_add_overflow(left, b->as.u64, &ret->u64)
					      : !__builtin_add_overflow(left, b->as.i64, &ret->u64);
	bool wrong = b->type == MP_TYPE_U64 ? __builtin_add_overflow(a->as.i64, b->as.u64, &sum)
					    : __builtin_add_overflow(a->as.i64, b->as.i64, &sum);
	return !wrong && cell_of_i64(type->cell, sum, ret);
}

int md_array_sum(const struct serve_object *array, struct serve_bytes item,
	struct serve_bytes number, uint8_t room[MD_NUMBER_MAX], struct serve_bytes *ret_sum)
{
	const struct mp__cell_type *type = ((const struct array *)array->state)->type;
	union cell cell;
	mp_obj now;
	mp_obj more;

	if (!read_number(item, &now) || !read_number(number, &more) ||
		(more.type == MP_TYPE_F64 && !is_float(type)))
		return -EINVAL;
	if (is_float(type))
		cell_of_f64(type->cell, now.as.f64 + as_f64(&more), &cell);
	else if (!sum_of(type, &now, &more, &cell))
		return -EOVERFLOW;
	*ret_sum = encode(type, &cell, room);
	return 0;
}

void md_array_put(struct serve_object *array, size_t i, struct serve_bytes number)
{
	struct array *a = array->state;
	union cell cell;

	if (convert(a->type, number, &cell) == 0)
		memcpy(at(a, i), &cell, a->type->size);
}

static bool fail_conversion(struct serve_call *call, const struct mp__cell_type *type, int r)
{
	if (r == -EOVERFLOW)
		serve_fail(call, MP__CODE__OVERFLOW,
			"a number that is more, or less, than an item of type %c holds",
			type->letter);
	else
		serve_fail(call, MP__CODE__INVALID, "an item of type %c is %s", type->letter,
			is_float(type) ? "a number" : "an integer");
	return false;
}

/* The argument as bytes of an item. False: answered. */
static bool arg_cell(struct serve_call *call, size_t arg, union cell *ret)
{
	const struct mp__cell_type *type = array_of(call)->type;
	struct serve_bytes value;

	if (!serve_arg_value(call, arg, &value))
		return false;
	int r = convert(type, value, ret);
	return r == 0 || fail_conversion(call, type, r);
}

/* --- one item ----------------------------------------------------------------------------------- */

static int answer_item(struct serve_call *call, size_t i)
{
	uint8_t room[MD_NUMBER_MAX];

	return serve_answer_value(call, md_array_now(call->object, i, room));
}

static void replace(struct serve_call *call, size_t i, const union cell *cell)
{
	struct array *array = array_of(call);

	memcpy(at(array, i), cell, array->type->size);
	serve_changed(call->object);
}

static int get(struct serve_call *call)
{
	size_t i;

	if (!md_arg_place(call, 0, array_of(call)->n, &i))
		return call->failed;
	return answer_item(call, i);
}

static int set(struct serve_call *call)
{
	union cell cell;
	size_t i;

	if (!md_arg_place(call, 0, array_of(call)->n, &i) || !arg_cell(call, 1, &cell))
		return call->failed;
	replace(call, i, &cell);
	return serve_answer_nil(call);
}

static int add(struct serve_call *call)
{
	uint8_t room[MD_NUMBER_MAX];
	uint8_t sum_room[MD_NUMBER_MAX];
	struct serve_bytes value;
	struct serve_bytes sum;
	size_t i;

	if (!md_arg_place(call, 0, array_of(call)->n, &i) || !serve_arg_value(call, 1, &value))
		return call->failed;
	int r = md_array_sum(
		call->object, md_array_now(call->object, i, room), value, sum_room, &sum);
	if (r < 0) {
		fail_conversion(call, array_of(call)->type, r);
		return call->failed;
	}
	md_array_put(call->object, i, sum);
	serve_changed(call->object);
	return serve_answer_value(call, sum);
}

/* Items are compared by their bytes, as those in shared memory are. */
static int compare_and_swap(struct serve_call *call)
{
	struct array *array = array_of(call);
	struct serve_bytes value;
	union cell expected;
	union cell cell;
	size_t i;

	if (!md_arg_place(call, 0, array->n, &i) || !serve_arg_value(call, 1, &value) ||
		!arg_cell(call, 2, &cell))
		return call->failed;
	int r = convert(array->type, value, &expected);
	if (r == -EINVAL) {
		fail_conversion(call, array->type, r);
		return call->failed;
	}
	/* What no item can hold, this one does not. */
	bool equal = r == 0 && memcmp(at(array, i), &expected, array->type->size) == 0;
	if (equal)
		replace(call, i, &cell);
	return serve_answer_bool(call, equal);
}

/* --- many --------------------------------------------------------------------------------------- */

static int answer_slice(struct serve_call *call, const struct md_slice *slice)
{
	uint8_t room[MD_NUMBER_MAX];

	serve_effort(call, slice->n / 8);
	for (size_t i = 0; i < slice->n; i++) {
		if (!serve_assemble(call, md_array_now(call->object, md_slice_at(slice, i), room)))
			return call->failed;
	}
	return serve_answer_list(call);
}

static int items(struct serve_call *call)
{
	return answer_slice(call, &(struct md_slice){.step = 1, .n = array_of(call)->n});
}

static int slice(struct serve_call *call)
{
	struct md_slice slice;

	if (!md_arg_slice(call, 0, array_of(call)->n, &slice))
		return call->failed;
	return answer_slice(call, &slice);
}

/* The argument, a list, as items side by side, to be freed. False: answered. */
static bool arg_cells(struct serve_call *call, size_t arg, const struct mp__cell_type *type,
	struct array **ret_array)
{
	struct mp__items given;
	union cell cell;
	uint8_t *data;
	size_t size;
	size_t n;

	if (!md_arg_list(call, arg, &given, &n))
		return false;
	serve_effort(call, n / 8);
	struct array *array = malloc(sizeof(*array) + n * type->size);
	if (!array) {
		serve_fail_no_memory(call);
		return false;
	}
	*array = (struct array){.type = type, .n = n};
	for (size_t i = 0; mp__items_next(&given, &data, &size); i++) {
		int r = convert(type, (struct serve_bytes){data, size}, &cell);
		if (r < 0) {
			free(array);
			return fail_conversion(call, type, r);
		}
		memcpy(at(array, i), &cell, type->size);
	}
	*ret_array = array;
	return true;
}

static int set_slice(struct serve_call *call)
{
	struct array *array = array_of(call);
	struct array *given;
	struct md_slice slice;

	if (!md_arg_slice(call, 0, array->n, &slice) || !arg_cells(call, 3, array->type, &given))
		return call->failed;
	if (given->n != slice.n) {
		serve_fail(
			call, MP__CODE__INVALID, "%zu items for a slice of %zu", given->n, slice.n);
		free(given);
		return call->failed;
	}
	for (size_t i = 0; i < slice.n; i++)
		memcpy(at(array, md_slice_at(&slice, i)), at(given, i), array->type->size);
	free(given);
	serve_changed(call->object);
	return serve_answer_nil(call);
}

static int len(struct serve_call *call)
{
	return serve_answer_i64(call, (int64_t)array_of(call)->n);
}

static int type(struct serve_call *call)
{
	const uint8_t letter[] = {MP__TAG_STR, 1, (uint8_t)array_of(call)->type->letter};

	return serve_answer_value(call, (struct serve_bytes){letter, sizeof(letter)});
}

/* --- the class ---------------------------------------------------------------------------------- */

/* So many zeros. */
static bool make_zeros(struct serve_call *call, const struct mp__cell_type *type)
{
	int64_t n;

	if (!serve_arg_i64(call, 1, &n))
		return false;
	if (n < 0 || (uint64_t)n > MP__PAYLOAD_MAX / type->size) {
		serve_fail(call, n < 0 ? MP__CODE__INVALID : MP__CODE__TOO_LARGE,
			"an array of %lld items of type %c: it may have %zu bytes", (long long)n,
			type->letter, MP__PAYLOAD_MAX);
		return false;
	}
	size_t size = sizeof(struct array) + (size_t)n * type->size;
	struct array *array = serve_may_grow(call, size) ? calloc(1, size) : NULL;
	if (!array && !call->refused)
		serve_fail_no_memory(call);
	if (!array)
		return false;
	array->type = type;
	array->n = (size_t)n;
	call->object->state = array;
	return true;
}

static uint64_t bytes(const struct serve_object *object)
{
	const struct array *array = object->state;

	return sizeof(*array) + array->n * array->type->size;
}

static bool make(struct serve_call *call)
{
	const struct mp__cell_type *type;
	struct serve_bytes letter;
	struct array *array;

	if (!serve_arg_str(call, 0, &letter))
		return false;
	type = mp__cell_type(letter.size == 1 ? *(const uint8_t *)letter.data : 0);
	if (type->size == 0) {
		serve_fail(call, MP__CODE__INVALID,
			"the type of an array is one of c u b B h H i I l L q Q f d");
		return false;
	}
	if (serve_arg_type(call, 1) != MP_TYPE_LIST)
		return make_zeros(call, type);
	if (!arg_cells(call, 1, type, &array))
		return false;
	call->object->state = array; /* drop() frees it */
	return serve_may_grow(call, bytes(call->object));
}

static void drop(struct serve_object *object)
{
	free(object->state);
}

static const struct serve_method methods[] = {
	{"add", add, 2, 2},
	{"compare_and_swap", compare_and_swap, 3, 3},
	{"get", get, 1, 1},
	{"items", items, 0, 0},
	{"len", len, 0, 0},
	{"set", set, 2, 2},
	{"set_slice", set_slice, 4, 4},
	{"slice", slice, 0, 3},
	{"type", type, 0, 0},
};

const struct serve_class md_array_class = {
	.name = "array",
	.min_args = 2,
	.max_args = 2,
	.make = make,
	.drop = drop,
	.bytes = bytes,
	.methods = methods,
	.n_methods = MP__COUNT_OF(methods),
};
