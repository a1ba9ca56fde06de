/* SPDX-License-Identifier: MIT */
/*
 * serve/item.h - answers about the server itself: lists of small dicts, whose keys are words.
 *
 * An item is filled, then appended to the answer (serve/assemble.h), which serve_answer_list() ends.
 */
#ifndef SERVE_ITEM_H
#define SERVE_ITEM_H

#include "serve/assemble.h"

#include <mp/obj.h>

#define SERVE_ITEM_PAIRS_MAX 16

/* All zero is empty. */
struct serve_item {
	mp_obj pairs[2 * SERVE_ITEM_PAIRS_MAX];
	size_t n;
};

static inline void serve_item_add(struct serve_item *item, const char *key, mp_obj value)
{
	item->pairs[item->n++] = mp_str(key);
	item->pairs[item->n++] = value;
}

/* False: it is answered that it cannot be. */
bool serve_item_append(struct serve_call *call, const struct serve_item *item);
/* Some other value between the items. */
bool serve_item_append_value(struct serve_call *call, mp_obj value);

#endif
