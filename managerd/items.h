/* SPDX-License-Identifier: MIT */
/*
 * managerd/items.h - stored values in a row: what a list is made of, and a queue.
 *
 * Each value is one block of memory, so that those around it move by moving pointers. There may be
 * room at both ends, so that to take from the front costs no more than to take from the end. Places
 * for more are made first and filled then: a change that needs several never stops in the middle.
 */
#ifndef MANAGERD_ITEMS_H
#define MANAGERD_ITEMS_H

#include "serve/bytes.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct md_item {
	uint32_t size;
	uint8_t data[];
};

/* All zero is empty. */
struct md_items {
	struct md_item **room;
	size_t n_room;
	size_t begin; /* the first that is in use */
	size_t n;
};

/* A copy; NULL without memory. To be freed by free(3) if it is not put anywhere. */
struct md_item *md_item_new(struct serve_bytes value);

static inline struct serve_bytes md_item_bytes(const struct md_item *item)
{
	return (struct serve_bytes){item->data, item->size};
}

static inline struct md_item **md_items_at(const struct md_items *items, size_t index)
{
	return &items->room[items->begin + index];
}

/*
 * n empty places from `index` (0 to items->n) on, counted in items->n. False without memory, and
 * nothing has changed. The caller fills them.
 */
bool md_items_open(struct md_items *items, size_t index, size_t n);
/* Room for n more: md_items_open() of so many, at once or one by one, does not fail. False: no memory. */
bool md_items_reserve(struct md_items *items, size_t n);
/* Take n places out; what stands there is the caller's, or was. */
void md_items_shut(struct md_items *items, size_t index, size_t n);
/* The same in two steps, so that room that was reserved stays until all is done. */
void md_items_take(struct md_items *items, size_t index, size_t n);
void md_items_trim(struct md_items *items);
/* All of `more` in front of item `index`; it is empty then. False without memory: nothing changed. */
bool md_items_move(struct md_items *items, size_t index, struct md_items *more);
/* Free all, and the places. */
void md_items_clear(struct md_items *items);

#endif
