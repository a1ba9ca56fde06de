/* SPDX-License-Identifier: MIT */
/*
 * managerd/values.h - values on their way from arguments into objects, and from objects into answers.
 *
 * What takes an argument answers a wrong one itself and returns false, as in serve/call.h. An item that
 * comes from here belongs to the caller until it stands in an object; md_item_drop() lets it go, with
 * the objects that it refers to (serve/refer.h).
 */
#ifndef MANAGERD_VALUES_H
#define MANAGERD_VALUES_H

#include "managerd/items.h"
#include "managerd/slice.h"
#include "serve/call.h"

/* What one call may make of little: multiply(n). */
#define MD_MANY_MAX (1 << 20)

/* The argument as a new item. */
bool md_arg_item(struct serve_call *call, size_t arg, struct md_item **ret);
/* An argument that is a list: to go through, only to be looked at, and how long it is. */
bool md_arg_list(struct serve_call *call, size_t arg, struct mp__items *ret_items, size_t *ret_n);
/* The items of an argument that is a list, as new ones: all or none. */
bool md_arg_items(struct serve_call *call, size_t arg, struct md_items *ret);
/* The number in the argument and a stored one together, as a new item. */
bool md_arg_sum(
	struct serve_call *call, size_t arg, struct serve_bytes stored, struct md_item **ret);
/* Is the argument equal to a stored value? */
bool md_arg_equals(struct serve_call *call, size_t arg, struct serve_bytes stored, bool *ret);

/* Items that do not come from an argument: they are counted with the object from now on. */
void md_item_charge(struct serve_object *object, const struct md_item *item);
void md_items_charge(struct serve_object *object, const struct md_items *items);

/* NULL is allowed. */
void md_item_drop(struct serve_object *object, struct md_item *item);
void md_items_drop(struct serve_object *object, struct md_items *items);

/* See serve_answer_stored(). */
int md_answer_item(struct serve_call *call, const struct md_item *item);
/* The slice of the items as a list, or TOO_LARGE. */
int md_answer_slice(
	struct serve_call *call, const struct md_items *items, const struct md_slice *slice);

#endif
