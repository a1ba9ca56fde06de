/* SPDX-License-Identifier: MIT */
/*
 * managerd/obj_list.h - the served list: Python's list, one method a call, each of them atomic.
 *
 * Places count from 0; negative ones from the end. get(i), set(i, v), append(v), extend(list),
 * insert(i, v), pop([i]), remove(v), index(v[, start[, stop]]), count(v), contains(v), reverse(),
 * sort([descending]), clear(), len(), items(), slice([start[, stop[, step]]]),
 * set_slice(start, stop, step, list), delete(i), delete_slice([start[, stop[, step]]]),
 * multiply(n), add(i, number), compare_and_swap(i, old, new). Made with nothing, or with a list of what
 * is in it.
 */
#ifndef MANAGERD_OBJ_LIST_H
#define MANAGERD_OBJ_LIST_H

#include "managerd/items.h"
#include "serve/registry.h"

extern const struct serve_class md_list_class;

static inline struct md_items *md_list_items(const struct serve_object *list)
{
	return list->state;
}

#endif
