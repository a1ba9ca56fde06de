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

#include "managerd/items.h"
#include "serve/registry.h"

extern const struct serve_class md_value_class;
extern const struct serve_class md_counter_class;

/* What is in a value, lent until it changes. */
struct serve_bytes md_value_now(const struct serve_object *value);
/* The item takes the place of what was there, which goes. The caller says serve_changed(). */
void md_value_become(struct serve_object *value, struct md_item *item);
/* The number of a counter. */
int64_t *md_counter_of(const struct serve_object *counter);

#endif
