/* SPDX-License-Identifier: MIT */
/*
 * managerd/obj_value.h - the served types value and counter: one value of any kind, one number.
 *
 *	value(initial = nil)     get() -> value     set(value)     exchange(value) -> the old one
 *	counter(initial = 0)     get() -> number    set(number)    add(number) -> the new one
 *	                         compare_and_swap(expected, number) -> the one before
 */
#ifndef MANAGERD_OBJ_VALUE_H
#define MANAGERD_OBJ_VALUE_H

#include "serve/class.h"

extern const struct serve_class md_value_class;
extern const struct serve_class md_counter_class;

#endif
