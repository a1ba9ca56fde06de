/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "sync/cells.h"

#include "base/error.h"
#include "base/testpoint.h"

#include <mp/handle.h>
#include <string.h>

static int missing(void)
{
	return mp__cells_missing("array");
}

static int make(const struct mp__cells_plan *plan, const void *initial, mp_array **ret_array)
{
	struct mp__cells *cells;

	if (!ret_array)
		return mp_error_set(-EINVAL, "a new shared array: nowhere to put it");
	int r = mp__cells_new(plan, initial, &cells);
	if (r == 0)
		*ret_array = (mp_array *)cells;
	return r;
}

int mp_array_new(int type, size_t length, const void *initial, const mp_value_options *options,
	mp_array **ret_array)
{
	struct mp__cells_plan plan;
	int r = mp__cells_plan(MP__HANDLE_ARRAY, type ? type : -1, 0, length, options, &plan);

	return r < 0 ? r : make(&plan, initial, ret_array);
}

int mp_array_new_sized(size_t item_size, size_t length, const void *initial,
	const mp_value_options *options, mp_array **ret_array)
{
	struct mp__cells_plan plan;
	int r = mp__cells_plan(MP__HANDLE_ARRAY, 0, item_size, length, options, &plan);

	return r < 0 ? r : make(&plan, initial, ret_array);
}

int mp_array_copy(mp_array *array, int timeout_ms, mp_array **ret_copy)
{
	struct mp__cells *copy;

	if (!array)
		return missing();
	if (!ret_copy)
		return mp_error_set(-EINVAL, "a copy of a shared array: nowhere to put it");
	int r = mp__cells_copy(&array->cells, timeout_ms, &copy);
	if (r >= 0)
		*ret_copy = (mp_array *)copy;
	return r;
}

mp_array *mp_array_ref(mp_array *array)
{
	return array ? (mp_array *)mp__cells_ref(&array->cells) : NULL;
}

int mp_array_close(mp_array *array)
{
	if (array)
		mp__cells_close(&array->cells);
	return 0;
}

mp_obj mp_array_handle(mp_array *array)
{
	return mp__handle_obj(array ? &array->cells.handle : NULL);
}

mp_array *mp_obj_array(const mp_obj *value)
{
	return (mp_array *)mp__obj_handle(value, MP__HANDLE_ARRAY);
}

void *mp_array_data(const mp_array *array)
{
	return array ? array->cells.items : NULL;
}

size_t mp_array_length(const mp_array *array)
{
	return array ? array->cells.length : 0;
}

size_t mp_array_item_size(const mp_array *array)
{
	return array ? array->cells.item_size : 0;
}

int mp_array_type(const mp_array *array)
{
	return array ? array->cells.type : missing();
}

int mp_array_acquire(mp_array *array, int timeout_ms)
{
	return array ? mp__cells_acquire(&array->cells, timeout_ms) : missing();
}

int mp_array_release(mp_array *array)
{
	return array ? mp__cells_release(&array->cells) : missing();
}

/* --- items ------------------------------------------------------------------------------------- */

/* Lengths are at most PTRDIFF_MAX, so these sums stay in range. */
static int place(const mp_array *array, int64_t index, size_t *ret_place)
{
	int64_t length;

	if (!array)
		return missing();
	length = (int64_t)array->cells.length;
	if (index >= length || index < -length)
		return mp_error_set(-ERANGE, "a shared array of %lld items has no item %lld",
			(long long)length, (long long)index);
	*ret_place = (size_t)(index < 0 ? index + length : index);
	return 0;
}

int mp_array_at(mp_array *array, int64_t index, void *ret_pointer)
{
	size_t i = 0;
	int r = place(array, index, &i);

	if (r < 0)
		return r;
	if (!ret_pointer)
		return mp_error_set(-EINVAL, "an item of a shared array: no place for the pointer");
	/* The user's pointer may be of any type. */
	void *item = array->cells.items + i * array->cells.item_size;
	memcpy(ret_pointer, &item, sizeof(item));
	return 0;
}

static int place_of_copy(
	const mp_array *array, int64_t index, const void *item, size_t size, size_t *ret_place)
{
	int r = place(array, index, ret_place);

	if (r == 0 && (!item || size != array->cells.item_size))
		return mp_error_set(-EINVAL,
			"items of %zu bytes of a shared array are not copied with %zu",
			array->cells.item_size, item ? size : 0);
	return r;
}

int mp_array_get(mp_array *array, int64_t index, void *ret_item, size_t size, int timeout_ms)
{
	size_t i = 0;
	int r = place_of_copy(array, index, ret_item, size, &i);

	if (r == 0)
		r = mp__cells_enter(&array->cells, timeout_ms);
	if (r < 0)
		return r;
	mp__cells_read(&array->cells, i, ret_item);
	mp__cells_leave(&array->cells);
	return r;
}

int mp_array_set(mp_array *array, int64_t index, const void *item, size_t size, int timeout_ms)
{
	size_t i = 0;
	int r = place_of_copy(array, index, item, size, &i);

	if (r == 0)
		r = mp__cells_enter(&array->cells, timeout_ms);
	if (r < 0)
		return r;
	mp__cells_write(&array->cells, i, item);
	mp__cells_leave(&array->cells);
	return r;
}

/* --- slices ------------------------------------------------------------------------------------ */

/* An end of a slice as Python has it: counted from the end if negative, and cut to what there is. */
static int64_t cut(int64_t at, int64_t length, int64_t lowest, int64_t highest)
{
	if (at < 0)
		at += length;
	return at < lowest ? lowest : at > highest ? highest : at;
}

/* Which items: the first, how many, and how far apart. */
struct range {
	int64_t first;
	size_t count;
	int64_t step;
};

static int range_of(const mp_array *array, mp_slice slice, struct range *ret_range)
{
	if (!array)
		return missing();
	int64_t length = (int64_t)array->cells.length;
	int64_t step = slice.step < -INT64_MAX ? -INT64_MAX : slice.step;
	int64_t lowest = step < 0 ? -1 : 0;
	int64_t highest = step < 0 ? length - 1 : length;
	int64_t start = step < 0 ? highest : lowest;
	int64_t stop = step < 0 ? lowest : highest;

	if (step == 0)
		return mp_error_set(-EINVAL, "a slice of a shared array: its step is 0");
	if (slice.start != MP_SLICE_OPEN)
		start = cut(slice.start, length, lowest, highest);
	if (slice.stop != MP_SLICE_OPEN)
		stop = cut(slice.stop, length, lowest, highest);
	int64_t distance = step < 0 ? start - stop : stop - start;
	int64_t stride = step < 0 ? -step : step;
	*ret_range = (struct range){
		.first = start,
		.count = distance > 0 ? (size_t)((distance - 1) / stride + 1) : 0,
		.step = step,
	};
	return 0;
}

static size_t nth(const struct range *range, size_t i)
{
	return (size_t)(range->first + (int64_t)i * range->step);
}

int mp_array_get_slice(mp_array *array, mp_slice slice, void *ret_items, size_t size,
	int timeout_ms, size_t *ret_count)
{
	struct range range;
	unsigned char *to = ret_items;
	int r = range_of(array, slice, &range);

	if (r < 0)
		return r;
	size_t item = array->cells.item_size;
	if (ret_items && range.count * item > size)
		return mp_error_set(-EMSGSIZE, "a slice of %zu items of %zu bytes, into %zu",
			range.count, item, size);
	if (ret_items) {
		r = mp__cells_enter(&array->cells, timeout_ms);
		if (r < 0)
			return r;
		for (size_t i = 0; i < range.count; i++)
			mp__cells_read(&array->cells, nth(&range, i), to + i * item);
		mp__cells_leave(&array->cells);
	}
	if (ret_count)
		*ret_count = range.count;
	return r;
}

int mp_array_set_slice(
	mp_array *array, mp_slice slice, const void *items, size_t size, int timeout_ms)
{
	struct range range;
	const unsigned char *from = items;
	int r = range_of(array, slice, &range);

	if (r < 0)
		return r;
	size_t item = array->cells.item_size;
	if (range.count * item != size || (!items && size > 0))
		return mp_error_set(-EINVAL, "a slice of %zu items of %zu bytes, from %zu",
			range.count, item, items ? size : 0);
	r = mp__cells_enter(&array->cells, timeout_ms);
	if (r < 0)
		return r;
	for (size_t i = 0; i < range.count; i++) {
		mp__cells_write(&array->cells, nth(&range, i), from + i * item);
		MP__TEST_POINT("array.written");
	}
	mp__cells_leave(&array->cells);
	return r;
}

/* --- text -------------------------------------------------------------------------------------- */

static int check_text(const mp_array *array, const void *text)
{
	if (!array)
		return missing();
	if (array->cells.type != 'c')
		return mp_error_set(-EINVAL, "a shared array that is not of type c holds no text");
	if (!text)
		return mp_error_set(-EINVAL, "text of a shared array: the pointer is NULL");
	return 0;
}

int mp_array_get_str(mp_array *array, char *ret_text, size_t size, int timeout_ms)
{
	size_t length = 0;
	char c = 0;
	int r = check_text(array, ret_text);

	if (r == 0)
		r = mp__cells_enter(&array->cells, timeout_ms);
	if (r < 0)
		return r;
	for (; length < array->cells.length; length++) {
		mp__cells_read(&array->cells, length, &c);
		if (c == '\0')
			break;
	}
	if (length >= size) {
		mp__cells_leave_undone(&array->cells, r);
		return mp_error_set(-EMSGSIZE,
			"a text of %zu bytes does not fit in %zu with its NUL", length, size);
	}
	for (size_t i = 0; i < length; i++)
		mp__cells_read(&array->cells, i, ret_text + i);
	ret_text[length] = '\0';
	mp__cells_leave(&array->cells);
	return r;
}

int mp_array_set_str(mp_array *array, const char *text, int timeout_ms)
{
	int r = check_text(array, text);

	if (r < 0)
		return r;
	size_t length = strlen(text);
	if (length > array->cells.length)
		return mp_error_set(-EMSGSIZE,
			"a text of %zu bytes does not fit in a shared array of %zu", length,
			array->cells.length);
	r = mp__cells_enter(&array->cells, timeout_ms);
	if (r < 0)
		return r;
	for (size_t i = 0; i < length; i++)
		mp__cells_write(&array->cells, i, text + i);
	if (length < array->cells.length)
		mp__cells_write(&array->cells, length, "");
	mp__cells_leave(&array->cells);
	return r;
}
