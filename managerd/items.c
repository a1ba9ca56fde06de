/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "managerd/items.h"

#include <stdlib.h>
#include <string.h>

#define ROOM_FIRST 8
/* Less than a quarter in use: half of the places go. */
#define ROOM_SPARSE 4

struct md_item *md_item_new(struct serve_bytes value)
{
	struct md_item *item = malloc(sizeof(*item) + value.size);

	if (!item)
		return NULL;
	item->size = (uint32_t)value.size; /* less than a frame */
	memcpy(item->data, value.data, value.size);
	return item;
}

static void move(struct md_items *items, size_t to, size_t from, size_t n)
{
	if (n > 0)
		memmove(&items->room[to], &items->room[from], n * sizeof(items->room[0]));
}

/* Into new memory with so many places, the items in the middle of what is free. */
static bool resize(struct md_items *items, size_t n_room)
{
	struct md_item **room = malloc(n_room * sizeof(struct md_item *));
	size_t begin = (n_room - items->n) / 4;

	if (!room)
		return false;
	if (items->n > 0)
		memcpy(room + begin, items->room + items->begin, items->n * sizeof(room[0]));
	free(items->room);
	items->room = room;
	items->n_room = n_room;
	items->begin = begin;
	return true;
}

bool md_items_reserve(struct md_items *items, size_t more)
{
	size_t n_room = items->n_room > ROOM_FIRST ? items->n_room : ROOM_FIRST;

	if (items->n_room - items->n >= more && items->n_room > 0)
		return true;
	if (more > SIZE_MAX / 4 / sizeof(struct md_item *) - items->n)
		return false;
	while (n_room < (items->n + more) + (items->n + more) / 4)
		n_room *= 2;
	return resize(items, n_room);
}

bool md_items_open(struct md_items *items, size_t index, size_t n)
{
	size_t behind = items->n - index;

	if (!md_items_reserve(items, n))
		return false;
	size_t free_behind = items->n_room - items->begin - items->n;
	/* The shorter part moves, if there is room on its side. */
	if ((index < behind || free_behind < n) && items->begin >= n) {
		move(items, items->begin - n, items->begin, index);
		items->begin -= n;
	} else if (free_behind >= n) {
		move(items, items->begin + index + n, items->begin + index, behind);
	} else {
		/* Neither side alone is enough: all to the front, then the part behind back. */
		move(items, 0, items->begin, items->n);
		items->begin = 0;
		move(items, index + n, index, behind);
	}
	items->n += n;
	return true;
}

void md_items_take(struct md_items *items, size_t index, size_t n)
{
	size_t behind = items->n - index - n;

	if (index < behind) {
		move(items, items->begin + n, items->begin, index);
		items->begin += n;
	} else {
		move(items, items->begin + index, items->begin + index + n, behind);
	}
	items->n -= n;
}

void md_items_trim(struct md_items *items)
{
	if (items->n_room > ROOM_FIRST && items->n < items->n_room / ROOM_SPARSE)
		(void)resize(items, items->n_room / 2); /* without memory it stays as it is */
}

void md_items_shut(struct md_items *items, size_t index, size_t n)
{
	md_items_take(items, index, n);
	md_items_trim(items);
}

bool md_items_move(struct md_items *items, size_t index, struct md_items *more)
{
	if (!md_items_open(items, index, more->n))
		return false;
	if (more->n > 0)
		memcpy(md_items_at(items, index), md_items_at(more, 0),
			more->n * sizeof(more->room[0]));
	more->n = 0;
	md_items_clear(more);
	return true;
}

void md_items_clear(struct md_items *items)
{
	for (size_t i = 0; i < items->n; i++)
		free(*md_items_at(items, i));
	free(items->room);
	*items = (struct md_items){0};
}
