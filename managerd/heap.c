/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "managerd/heap.h"

#include <stdlib.h>

#define ROOM_FIRST 8
#define ROOM_SPARSE 4

static bool is_before(const struct md_ranked *a, const struct md_ranked *b)
{
	return a->rank != b->rank ? a->rank < b->rank : a->turn < b->turn;
}

static bool resize(struct md_heap *heap, size_t room)
{
	struct md_ranked *entries = realloc(heap->entries, room * sizeof(*entries));

	if (!entries)
		return false;
	heap->entries = entries;
	heap->room = room;
	return true;
}

bool md_heap_put(struct md_heap *heap, struct md_ranked entry)
{
	if (heap->n == heap->room && !resize(heap, heap->room ? 2 * heap->room : ROOM_FIRST))
		return false;
	size_t at = heap->n++;
	while (at > 0 && is_before(&entry, &heap->entries[(at - 1) / 2])) {
		heap->entries[at] = heap->entries[(at - 1) / 2];
		at = (at - 1) / 2;
	}
	heap->entries[at] = entry;
	return true;
}

/* The last entry goes to where the first was, and down from there. */
static void close_top(struct md_heap *heap)
{
	struct md_ranked last = heap->entries[--heap->n];
	size_t at = 0;

	for (size_t child; (child = 2 * at + 1) < heap->n; at = child) {
		if (child + 1 < heap->n &&
			is_before(&heap->entries[child + 1], &heap->entries[child]))
			child++;
		if (!is_before(&heap->entries[child], &last))
			break;
		heap->entries[at] = heap->entries[child];
	}
	if (heap->n > 0)
		heap->entries[at] = last;
}

void md_heap_take(struct md_heap *heap)
{
	close_top(heap);
	if (heap->room > ROOM_FIRST && heap->n < heap->room / ROOM_SPARSE)
		(void)resize(heap, heap->room / 2);
}

void md_heap_deinit(struct md_heap *heap)
{
	free(heap->entries);
	*heap = (struct md_heap){0};
}
