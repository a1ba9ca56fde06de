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

#include "serve/class.h"

extern const struct serve_class md_array_class;

#endif
