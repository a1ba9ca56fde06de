/* SPDX-License-Identifier: MIT */
/*
 * mp/value.h - numbers, structs and arrays of them that processes share.
 *
 *	mp_value_new('i', &(int){7}, NULL, &counter);
 *	mp_value_add_i64(counter, 1, NULL);		// in any process
 *
 *	mp_array_new('d', 1000, NULL, NULL, &table);	// zeroed
 *	double *d = mp_array_data(table);
 *
 * The data is plain memory: mp_value_data() and mp_array_data() give a pointer to it, the same in
 * forked children, another one where it came as an argument (mp_handle()). Beside it stands a
 * recursive lock, taken by mp_value_acquire() and by each get and set. Typed values also have atomic
 * operations, which need no lock.
 *
 * A type is one character, as in Python: c char, u wchar_t, b B signed and unsigned char, h H short,
 * i I int, l L long, q Q long long, f float, d double. Structs have none: give their size.
 *
 * All may be used from any thread and in forked children. Pages: mp_value(3), mp_array(3).
 */
#ifndef MP_VALUE_H
#define MP_VALUE_H

#include <mp/cdefs.h>
#include <stddef.h>
#include <stdint.h>

MP__BEGIN_DECLS

typedef struct mp_value mp_value;
typedef struct mp_array mp_array;

#define MP_VALUE_RAW 1u /* without a lock */

/* Of values and of arrays. */
typedef struct mp_value_options {
	size_t size;      /* set by MP_VALUE_OPTIONS() */
	uint64_t flags;   /* MP_VALUE_RAW; others are -EINVAL */
	const char *name; /* of its lock, for people; cut at 23 bytes. NULL: none */
} mp_value_options;

#define MP_VALUE_OPTIONS(...) \
	(&(const mp_value_options){.size = sizeof(mp_value_options), __VA_ARGS__})

/* --- values ------------------------------------------------------------------------------------ */

/*
 * A value of that type, or of `size` bytes (aligned to 64): a copy of *initial, zero for NULL. -EINVAL
 * no such type, size 0 or more than PTRDIFF_MAX, unknown flag; -EOVERFLOW more than 2^39 bytes;
 * -E2BIG; -ENOSPC no shared memory; -EMFILE, -ENOMEM.
 */
int mp_value_new(
	int type, const void *initial, const mp_value_options *options, mp_value **ret_value);
int mp_value_new_sized(
	size_t size, const void *initial, const mp_value_options *options, mp_value **ret_value);

/* Another one of the same kind with the same contents. As mp_value_get(), and as mp_value_new(). */
int mp_value_copy(mp_value *value, int timeout_ms, mp_value **ret_copy);

/* One reference of this process more; NULL is NULL. Drop one. */
mp_value *mp_value_ref(mp_value *value);
int mp_value_close(mp_value *value);

/* Where it stands, NULL for NULL; its size; its type, 0 for one made by its size. */
void *mp_value_data(const mp_value *value);
size_t mp_value_size(const mp_value *value);
int mp_value_type(const mp_value *value);

/*
 * Its recursive lock, as mp_rlock_acquire() and mp_rlock_release(). MP_OWNER_DIED: yours, and the
 * holder before died with it. -ENOTSUP it has none (MP_VALUE_RAW); -EINVAL no value.
 */
int mp_value_acquire(mp_value *value, int timeout_ms);
int mp_value_release(mp_value *value);

/*
 * Copy it out or in, under its lock if it has one. `size` must be that of the value (-EINVAL).
 * MP_OWNER_DIED: done, but who held the lock before died with it; -EAGAIN, -ETIMEDOUT: the lock.
 */
int mp_value_get(mp_value *value, void *ret_data, size_t size, int timeout_ms);
int mp_value_set(mp_value *value, const void *data, size_t size, int timeout_ms);

/*
 * Atomic, whoever holds the lock: of every integer type. What was there before is stored in ret_old,
 * which may be NULL. A sum that the type cannot hold wraps around; a value to store that it cannot
 * hold is -EOVERFLOW. Of type Q, and L of 64 bits, the numbers are those of (uint64_t)n.
 * compare_exchange: 1 it was `expected` and is `desired`; 0 it was not. -EINVAL another type.
 */
int mp_value_load_i64(mp_value *value, int64_t *ret_now);
int mp_value_add_i64(mp_value *value, int64_t n, int64_t *ret_old);
int mp_value_exchange_i64(mp_value *value, int64_t n, int64_t *ret_old);
int mp_value_compare_exchange_i64(
	mp_value *value, int64_t expected, int64_t desired, int64_t *ret_old);

/*
 * The same of d and f, whose numbers are rounded to float. They are compared by their bits: a NaN
 * equals itself, -0.0 is not 0.0.
 */
int mp_value_load_f64(mp_value *value, double *ret_now);
int mp_value_add_f64(mp_value *value, double n, double *ret_old);
int mp_value_exchange_f64(mp_value *value, double n, double *ret_old);
int mp_value_compare_exchange_f64(
	mp_value *value, double expected, double desired, double *ret_old);

/* --- arrays ------------------------------------------------------------------------------------ */

/*
 * `length` items (0 is allowed) of that type or size: copies of what stands at `initial`, zero for
 * NULL. Errors as of mp_value_new(); length more than PTRDIFF_MAX is -EINVAL.
 */
int mp_array_new(int type, size_t length, const void *initial, const mp_value_options *options,
	mp_array **ret_array);
int mp_array_new_sized(size_t item_size, size_t length, const void *initial,
	const mp_value_options *options, mp_array **ret_array);

int mp_array_copy(mp_array *array, int timeout_ms, mp_array **ret_copy);

mp_array *mp_array_ref(mp_array *array);
int mp_array_close(mp_array *array);

void *mp_array_data(const mp_array *array);
size_t mp_array_length(const mp_array *array);
size_t mp_array_item_size(const mp_array *array);
int mp_array_type(const mp_array *array);

int mp_array_acquire(mp_array *array, int timeout_ms);
int mp_array_release(mp_array *array);

/*
 * A pointer to an item; ret_pointer is the address of a pointer of any type. Negative indexes count
 * from the end. -ERANGE there is no such item; -EINVAL no array.
 */
int mp_array_at(mp_array *array, int64_t index, void *ret_pointer);

/* Copy one item, under the lock. As mp_value_get() and mp_value_set(); -ERANGE. */
int mp_array_get(mp_array *array, int64_t index, void *ret_item, size_t size, int timeout_ms);
int mp_array_set(mp_array *array, int64_t index, const void *item, size_t size, int timeout_ms);

/* a[start:stop:step] as Python has it: negative from the end, cut to the array. */
typedef struct mp_slice {
	int64_t start;
	int64_t stop;
	int64_t step;
} mp_slice;

#define MP_SLICE_OPEN INT64_MIN /* start or stop is left out */
#ifdef __cplusplus
#define MP_SLICE_STEP(start, stop, step) (mp_slice{(start), (stop), (step)})
#else
#define MP_SLICE_STEP(start, stop, step) ((mp_slice){(start), (stop), (step)})
#endif
#define MP_SLICE(start, stop) MP_SLICE_STEP(start, stop, 1)
#define MP_SLICE_ALL MP_SLICE(MP_SLICE_OPEN, MP_SLICE_OPEN)

/*
 * Copy the items of a slice out, side by side, under the lock; `size` bytes are there for them
 * (-EMSGSIZE not enough). ret_items NULL: only count. ret_count may be NULL. -EINVAL step 0.
 */
int mp_array_get_slice(mp_array *array, mp_slice slice, void *ret_items, size_t size,
	int timeout_ms, size_t *ret_count);
/* Copy in; `size` must be exactly that of the slice's items (-EINVAL). */
int mp_array_set_slice(
	mp_array *array, mp_slice slice, const void *items, size_t size, int timeout_ms);

/*
 * Of type c: the text up to the first NUL, or to the end, with a NUL of its own behind. -EMSGSIZE it
 * does not fit in `size` bytes, or the text not in the array (a NUL needs no room there); -EINVAL
 * another type.
 */
int mp_array_get_str(mp_array *array, char *ret_text, size_t size, int timeout_ms);
int mp_array_set_str(mp_array *array, const char *text, int timeout_ms);

MP__END_DECLS

#endif
