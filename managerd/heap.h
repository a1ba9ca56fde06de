/* SPDX-License-Identifier: MIT */
/*
 * managerd/heap.h - stored values of which the one with the least rank comes out first.
 *
 * Of equal ranks the one with the smaller turn. A binary heap in an array.
 */
#ifndef MANAGERD_HEAP_H
#define MANAGERD_HEAP_H

#include "managerd/items.h"

struct md_ranked {
	int64_t rank;
	int64_t turn;
	struct md_item *item;
};

/* All zero is empty. */
struct md_heap {
	struct md_ranked *entries;
	size_t n;
	size_t room;
};

/* Takes the item. False without memory. */
bool md_heap_put(struct md_heap *heap, struct md_ranked entry);
/* The first is taken out, and the caller's; the heap is not empty. */
void md_heap_take(struct md_heap *heap);
/* Free it; the items are the caller's. */
void md_heap_deinit(struct md_heap *heap);

#endif
