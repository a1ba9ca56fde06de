/* SPDX-License-Identifier: MIT */
/*
 * managerd/compare.h - equality, order and sums of encoded values, as mp_obj_equal(3) and
 * mp_obj_compare(3) say them.
 */
#ifndef MANAGERD_COMPARE_H
#define MANAGERD_COMPARE_H

#include "managerd/items.h"

#include <mp/obj.h>

/*
 * A value that others are compared with. References are equal when they name the same object; what
 * has them inside is equal when its bytes are.
 */
struct md_needle {
	struct serve_bytes bytes;
	mp_obj value; /* NIL: to be compared by bytes */
	bool by_value;
};

/* Lends the bytes. False: no memory. */
bool md_needle_init(struct md_needle *needle, struct serve_bytes bytes);
void md_needle_deinit(struct md_needle *needle);
/* 1, 0, or -ENOMEM. */
int md_needle_equals(const struct md_needle *needle, struct serve_bytes other);

/* Stable. 0, -ENOMEM, -ENOTSUP a reference among them. Nothing has changed if it fails. */
int md_items_sort(struct md_items *items, bool descending);

/*
 * The sum of two numbers, encoded in `room`. Integers give an integer; with an f64 among them, an f64.
 * 0, -EINVAL not numbers, -ERANGE more than an i64 holds.
 */
#define MD_NUMBER_MAX 16
int md_number_add(struct serve_bytes a, struct serve_bytes b, uint8_t room[MD_NUMBER_MAX],
	struct serve_bytes *ret_sum);

bool md_is_number(struct serve_bytes value);
/* 0, or -EINVAL not numbers. */
int md_number_less(struct serve_bytes a, struct serve_bytes b, bool *ret_less);

#endif
