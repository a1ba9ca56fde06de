/* SPDX-License-Identifier: MIT */
/*
 * obj/measure.h - is this mp_obj a value, and how large is it?
 *
 * Values that a program makes borrow what they consist of, and may be wrong in every way that C
 * allows. They are measured once before they are copied or encoded; whoever walks them afterwards
 * has nothing left to check, and may recurse, because the depth is known to be bounded.
 */
#ifndef MP_OBJ_MEASURE_H
#define MP_OBJ_MEASURE_H

#include "obj/block.h"

/* Errors as mp_obj_copy() documents them. */
int mp__obj_measure(const mp_obj *value, struct mp__block_plan *ret_plan);

/* "list", "i64", ...; "invalid" for what is no type. */
const char *mp__type_name(uint32_t type);

#endif
