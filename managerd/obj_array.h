/* SPDX-License-Identifier: MIT */
/*
 * managerd/obj_array.h - the served type array: numbers of one type, as many as at first.
 *
 * (type, items or length): the type is a letter, as in sync/cell.h. add(index, number),
 * compare_and_swap(index, expected, number), get(index), items(), len(), set(index, number),
 * set_slice(start, stop, step, items), slice(start, stop, step), type(). Numbers are i64, u64 where they
 * need it, or f64; inside there is what the type has, side by side.
 */
#ifndef MANAGERD_OBJ_ARRAY_H
#define MANAGERD_OBJ_ARRAY_H

#include "managerd/compare.h"
#include "serve/registry.h"

extern const struct serve_class md_array_class;

size_t md_array_len(const struct serve_object *array);
/* The number at an index that is less than the length, encoded in `room`. */
struct serve_bytes md_array_now(
	const struct serve_object *array, size_t i, uint8_t room[MD_NUMBER_MAX]);
/* A number as it would be as an item. -EINVAL not of the type's kind, -EOVERFLOW more than it holds. */
int md_array_fit(const struct serve_object *array, struct serve_bytes number,
	uint8_t room[MD_NUMBER_MAX], struct serve_bytes *ret_number);
/* The sum of an item and a number, as an item. The same errors. */
int md_array_sum(const struct serve_object *array, struct serve_bytes item,
	struct serve_bytes number, uint8_t room[MD_NUMBER_MAX], struct serve_bytes *ret_sum);
/* A number that fits is there from now on. The caller says serve_changed(). */
void md_array_put(struct serve_object *array, size_t i, struct serve_bytes number);

#endif
