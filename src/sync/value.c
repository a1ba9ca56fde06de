/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "sync/cells.h"

#include "base/error.h"

#include <mp/handle.h>
#include <string.h>

static int missing(void)
{
	return mp__cells_missing("value");
}

static int make(const struct mp__cells_plan *plan, const void *initial, mp_value **ret_value)
{
	struct mp__cells *cells;

	if (!ret_value)
		return mp_error_set(-EINVAL, "a new shared value: nowhere to put it");
	int r = mp__cells_new(plan, initial, &cells);
	if (r == 0)
		*ret_value = (mp_value *)cells;
	return r;
}

int mp_value_new(
	int type, const void *initial, const mp_value_options *options, mp_value **ret_value)
{
	struct mp__cells_plan plan;
	/* 0 is what says "a struct" further down. */
	int r = mp__cells_plan(MP__HANDLE_VALUE, type ? type : -1, 0, 1, options, &plan);

	return r < 0 ? r : make(&plan, initial, ret_value);
}

int mp_value_new_sized(
	size_t size, const void *initial, const mp_value_options *options, mp_value **ret_value)
{
	struct mp__cells_plan plan;
	int r = mp__cells_plan(MP__HANDLE_VALUE, 0, size, 1, options, &plan);

	return r < 0 ? r : make(&plan, initial, ret_value);
}

int mp_value_copy(mp_value *value, int timeout_ms, mp_value **ret_copy)
{
	struct mp__cells *copy;

	if (!value)
		return missing();
	if (!ret_copy)
		return mp_error_set(-EINVAL, "a copy of a shared value: nowhere to put it");
	int r = mp__cells_copy(&value->cells, timeout_ms, &copy);
	if (r >= 0)
		*ret_copy = (mp_value *)copy;
	return r;
}

mp_value *mp_value_ref(mp_value *value)
{
	return value ? (mp_value *)mp__cells_ref(&value->cells) : NULL;
}

int mp_value_close(mp_value *value)
{
	if (value)
		mp__cells_close(&value->cells);
	return 0;
}

mp_obj mp_value_handle(mp_value *value)
{
	return mp__handle_obj(value ? &value->cells.handle : NULL);
}

mp_value *mp_obj_value(const mp_obj *value)
{
	return (mp_value *)mp__obj_handle(value, MP__HANDLE_VALUE);
}

void *mp_value_data(const mp_value *value)
{
	return value ? value->cells.items : NULL;
}

size_t mp_value_size(const mp_value *value)
{
	return value ? value->cells.item_size : 0;
}

int mp_value_type(const mp_value *value)
{
	return value ? value->cells.type : missing();
}

/* --- under the lock ---------------------------------------------------------------------------- */

int mp_value_acquire(mp_value *value, int timeout_ms)
{
	return value ? mp__cells_acquire(&value->cells, timeout_ms) : missing();
}

int mp_value_release(mp_value *value)
{
	return value ? mp__cells_release(&value->cells) : missing();
}

static int check_copy(const mp_value *value, const void *data, size_t size)
{
	if (!value)
		return missing();
	if (!data || size != value->cells.item_size)
		return mp_error_set(-EINVAL, "a shared value of %zu bytes is not copied with %zu",
			value->cells.item_size, data ? size : 0);
	return 0;
}

int mp_value_get(mp_value *value, void *ret_data, size_t size, int timeout_ms)
{
	int r = check_copy(value, ret_data, size);

	if (r == 0)
		r = mp__cells_enter(&value->cells, timeout_ms);
	if (r < 0)
		return r;
	mp__cells_read(&value->cells, 0, ret_data);
	mp__cells_leave(&value->cells);
	return r;
}

int mp_value_set(mp_value *value, const void *data, size_t size, int timeout_ms)
{
	int r = check_copy(value, data, size);

	if (r == 0)
		r = mp__cells_enter(&value->cells, timeout_ms);
	if (r < 0)
		return r;
	mp__cells_write(&value->cells, 0, data);
	mp__cells_leave(&value->cells);
	return r;
}

/* --- atomic, integers -------------------------------------------------------------------------- */

enum op { LOAD, ADD, EXCHANGE, COMPARE_EXCHANGE };

static int too_large(const mp_value *value, int64_t n)
{
	return mp_error_set(-EOVERFLOW, "a shared value of type %c cannot be %lld",
		value->cells.type, (long long)n);
}

/* `a` is what to add, to store, or what is expected; `b` what is stored then. */
#define INTEGER_OP(type)                                                                        \
	static int do_##type(const mp_value *v, enum op op, int64_t a, int64_t b, int64_t *ret) \
	{                                                                                       \
		_Atomic type *p = (_Atomic type *)v->cells.items;                               \
		type old = (type)a;                                                             \
		int r = 0;                                                                      \
                                                                                                \
		switch (op) {                                                                   \
		case ADD:                                                                       \
			old = atomic_fetch_add(p, (type)a);                                     \
			break;                                                                  \
		case EXCHANGE:                                                                  \
			if ((int64_t)(type)a != a)                                              \
				return too_large(v, a);                                         \
			old = atomic_exchange(p, (type)a);                                      \
			break;                                                                  \
		case COMPARE_EXCHANGE:                                                          \
			if ((int64_t)(type)b != b)                                              \
				return too_large(v, b);                                         \
			if ((int64_t)(type)a == a) {                                            \
				r = atomic_compare_exchange_strong(p, &old, (type)b);           \
				break;                                                          \
			}                                                                       \
			old = atomic_load(p);                                                   \
			break;                                                                  \
		default:                                                                        \
			old = atomic_load(p);                                                   \
		}                                                                               \
		if (ret)                                                                        \
			*ret = (int64_t)old;                                                    \
		return r;                                                                       \
	}
INTEGER_OP(int8_t)
INTEGER_OP(uint8_t)
INTEGER_OP(int16_t)
INTEGER_OP(uint16_t)
INTEGER_OP(int32_t)
INTEGER_OP(uint32_t)
INTEGER_OP(int64_t)
INTEGER_OP(uint64_t)

static int integer(const mp_value *value, enum op op, int64_t a, int64_t b, int64_t *ret_old)
{
	static int (*const ops[])(const mp_value *, enum op, int64_t, int64_t, int64_t *) = {
		[MP__CELL_I8] = do_int8_t,
		[MP__CELL_U8] = do_uint8_t,
		[MP__CELL_I16] = do_int16_t,
		[MP__CELL_U16] = do_uint16_t,
		[MP__CELL_I32] = do_int32_t,
		[MP__CELL_U32] = do_uint32_t,
		[MP__CELL_I64] = do_int64_t,
		[MP__CELL_U64] = do_uint64_t,
		[MP__CELL_F64] = NULL,
	};

	if (!value)
		return missing();
	if (!ops[value->cells.cell])
		return mp_error_set(-EINVAL, "an operation on integers: this shared value is none");
	return ops[value->cells.cell](value, op, a, b, ret_old);
}

int mp_value_load_i64(mp_value *value, int64_t *ret_now)
{
	if (!ret_now)
		return mp_error_set(-EINVAL, "loading a shared value: nowhere to put it");
	return integer(value, LOAD, 0, 0, ret_now);
}

int mp_value_add_i64(mp_value *value, int64_t n, int64_t *ret_old)
{
	/* The short way of the types that counters have. */
	if (value && value->cells.cell == MP__CELL_I64) {
		int64_t old = atomic_fetch_add((_Atomic int64_t *)value->cells.items, n);
		if (ret_old)
			*ret_old = old;
		return 0;
	}
	return integer(value, ADD, n, 0, ret_old);
}

int mp_value_exchange_i64(mp_value *value, int64_t n, int64_t *ret_old)
{
	return integer(value, EXCHANGE, n, 0, ret_old);
}

int mp_value_compare_exchange_i64(
	mp_value *value, int64_t expected, int64_t desired, int64_t *ret_old)
{
	return integer(value, COMPARE_EXCHANGE, expected, desired, ret_old);
}

/* --- atomic, floating point -------------------------------------------------------------------- */

/* A number as the bits of its type, and back. */
static uint64_t bits_of(const mp_value *v, double n)
{
	uint64_t wide;
	uint32_t narrow;
	float f = (float)n;

	memcpy(&wide, &n, sizeof(wide));
	memcpy(&narrow, &f, sizeof(narrow));
	return v->cells.cell == MP__CELL_F64 ? wide : narrow;
}

static double number_of(const mp_value *v, uint64_t bits)
{
	double wide;
	float narrow;
	uint32_t low = (uint32_t)bits;

	memcpy(&wide, &bits, sizeof(wide));
	memcpy(&narrow, &low, sizeof(narrow));
	return v->cells.cell == MP__CELL_F64 ? wide : (double)narrow;
}

static uint64_t load_bits(const mp_value *v)
{
	return v->cells.cell == MP__CELL_F64 ? atomic_load((_Atomic uint64_t *)v->cells.items)
					     : atomic_load((_Atomic uint32_t *)v->cells.items);
}

/* *old is what was there, in any case. */
static bool swap_bits(const mp_value *v, uint64_t *old, uint64_t bits)
{
	if (v->cells.cell == MP__CELL_F64)
		return atomic_compare_exchange_strong(
			(_Atomic uint64_t *)v->cells.items, old, bits);
	uint32_t narrow = (uint32_t)*old;
	bool same = atomic_compare_exchange_strong(
		(_Atomic uint32_t *)v->cells.items, &narrow, (uint32_t)bits);
	*old = narrow;
	return same;
}

static int floating(const mp_value *value, enum op op, double a, double b, double *ret_old)
{
	int r = 0;

	if (!value)
		return missing();
	if (value->cells.cell != MP__CELL_F64 && value->cells.cell != MP__CELL_F32)
		return mp_error_set(-EINVAL,
			"an operation on floating point numbers: this shared value is none");
	uint64_t old = load_bits(value);
	if (op == COMPARE_EXCHANGE) {
		old = bits_of(value, a);
		r = swap_bits(value, &old, bits_of(value, b));
	} else if (op == ADD) {
		while (!swap_bits(value, &old, bits_of(value, number_of(value, old) + a)))
			;
	} else if (op == EXCHANGE) {
		while (!swap_bits(value, &old, bits_of(value, a)))
			;
	}
	if (ret_old)
		*ret_old = number_of(value, old);
	return r;
}

int mp_value_load_f64(mp_value *value, double *ret_now)
{
	if (!ret_now)
		return mp_error_set(-EINVAL, "loading a shared value: nowhere to put it");
	return floating(value, LOAD, 0, 0, ret_now);
}

int mp_value_add_f64(mp_value *value, double n, double *ret_old)
{
	return floating(value, ADD, n, 0, ret_old);
}

int mp_value_exchange_f64(mp_value *value, double n, double *ret_old)
{
	return floating(value, EXCHANGE, n, 0, ret_old);
}

int mp_value_compare_exchange_f64(mp_value *value, double expected, double desired, double *ret_old)
{
	return floating(value, COMPARE_EXCHANGE, expected, desired, ret_old);
}
