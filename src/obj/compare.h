/* SPDX-License-Identifier: MIT */
/*
 * obj/compare.h - order and equality of values.
 *
 * Order is a walk over both values side by side. Equality begins as that, and is done unless the
 * first difference lies inside a dict: then the order of pairs may be all that differs, and both
 * values are brought into a canonical form, every dict sorted by its keys and without pairs that a
 * later one hides, from the innermost outwards. That costs n log n, whoever made the values.
 */
#ifndef MP_OBJ_COMPARE_H
#define MP_OBJ_COMPARE_H

#include <mp/obj.h>

/*
 * Equality by looking every key up: without any memory, in quadratic time. It stands in when there
 * is no memory for canonical forms.
 */
bool mp__obj_equal_slowly(const mp_obj *a, const mp_obj *b);

#endif
