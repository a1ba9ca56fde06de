/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "managerd/compare.h"

#include "base/error.h"
#include "obj/codec.h"
#include "obj/wireformat.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* --- equality ----------------------------------------------------------------------------------- */

static uint8_t tag_of(struct serve_bytes bytes)
{
	return *(const uint8_t *)bytes.data;
}

static bool is_integer(uint8_t tag)
{
	return tag == MP__TAG_I64 || tag == MP__TAG_U64;
}

bool md_needle_init(struct md_needle *needle, struct serve_bytes bytes)
{
	*needle = (struct md_needle){.bytes = bytes};
	int r = mp_obj_decode(bytes.data, bytes.size, &needle->value);
	needle->by_value = r == 0;
	return r != -ENOMEM;
}

void md_needle_deinit(struct md_needle *needle)
{
	if (needle->by_value)
		mp_obj_free(&needle->value);
}

int md_needle_equals(const struct md_needle *needle, struct serve_bytes other)
{
	uint8_t mine = tag_of(needle->bytes);
	uint8_t its = tag_of(other);
	mp_obj value;

	if (needle->bytes.size == other.size &&
		memcmp(needle->bytes.data, other.data, other.size) == 0)
		return 1;
	if (!needle->by_value || (mine != its && !(is_integer(mine) && is_integer(its))))
		return 0;
	int r = mp_obj_decode(other.data, other.size, &value);
	if (r < 0)
		return r == -ENOMEM ? r : 0;
	r = mp_obj_equal(&needle->value, &value);
	mp_obj_free(&value);
	return r;
}

/* --- order -------------------------------------------------------------------------------------- */

struct sorted {
	mp_obj value;
	struct md_item *item;
	size_t place; /* before: equal ones keep their order */
};

static int by_place(const struct sorted *a, const struct sorted *b)
{
	return (a->place > b->place) - (a->place < b->place);
}

static int ascending(const void *left, const void *right)
{
	const struct sorted *a = left;
	const struct sorted *b = right;
	int r = mp_obj_compare(&a->value, &b->value);

	return r ? r : by_place(a, b);
}

static int descending(const void *left, const void *right)
{
	const struct sorted *a = left;
	const struct sorted *b = right;
	int r = mp_obj_compare(&b->value, &a->value);

	return r ? r : by_place(a, b);
}

int md_items_sort(struct md_items *items, bool downwards)
{
	struct sorted *all = calloc(items->n ? items->n : 1, sizeof(*all));
	size_t n = 0;
	int r = all ? 0 : -ENOMEM;

	while (r == 0 && n < items->n) {
		struct md_item *item = *md_items_at(items, n);
		r = mp_obj_decode(item->data, item->size, &all[n].value);
		if (r == 0) {
			all[n].item = item;
			all[n].place = n;
			n++;
		}
	}
	if (r == 0 && n > 0)
		qsort(all, n, sizeof(*all), downwards ? descending : ascending);
	for (size_t i = 0; i < n; i++) {
		if (r == 0)
			*md_items_at(items, i) = all[i].item;
		mp_obj_free(&all[i].value);
	}
	free(all);
	return r;
}

/* --- sums --------------------------------------------------------------------------------------- */

static double as_f64(const mp_obj *value)
{
	if (value->type == MP_TYPE_F64)
		return value->as.f64;
	return value->type == MP_TYPE_I64 ? (double)value->as.i64 : (double)value->as.u64;
}

static int add(const mp_obj *a, const mp_obj *b, mp_obj *ret)
{
	int64_t left, right, sum;

	if (a->type == MP_TYPE_F64 || b->type == MP_TYPE_F64) {
		*ret = mp_f64(as_f64(a) + as_f64(b));
		return 0;
	}
	if (mp_obj_to_i64(a, &left) < 0 || mp_obj_to_i64(b, &right) < 0 ||
		__builtin_add_overflow(left, right, &sum))
		return mp_error_set(-ERANGE, "the sum is more than an i64 holds");
	*ret = mp_i64(sum);
	return 0;
}

bool md_is_number(struct serve_bytes value)
{
	return is_integer(tag_of(value)) || tag_of(value) == MP__TAG_F64;
}

/* Numbers need no memory. */
static void decode(struct serve_bytes value, mp_obj *ret)
{
	(void)mp_obj_decode(value.data, value.size, ret);
}

int md_number_less(struct serve_bytes a, struct serve_bytes b, bool *ret_less)
{
	mp_obj left, right;

	if (!md_is_number(a) || !md_is_number(b))
		return -EINVAL;
	decode(a, &left);
	decode(b, &right);
	*ret_less = left.type == MP_TYPE_F64 || right.type == MP_TYPE_F64
			    ? as_f64(&left) < as_f64(&right)
			    : mp_obj_compare(&left, &right) < 0;
	return 0;
}

int md_number_add(struct serve_bytes a, struct serve_bytes b, uint8_t room[MD_NUMBER_MAX],
	struct serve_bytes *ret_sum)
{
	mp_obj left, right, sum;

	if (!md_is_number(a) || !md_is_number(b))
		return mp_error_set(-EINVAL, "what is there, or what is added, is no number");
	decode(a, &left);
	decode(b, &right);
	int r = add(&left, &right, &sum);
	if (r < 0)
		return r;
	ssize_t size = mp__obj_encode_into(&sum, NULL, room, MD_NUMBER_MAX);
	*ret_sum = (struct serve_bytes){room, (size_t)size};
	return 0;
}
