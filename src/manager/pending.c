/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "manager/pending.h"

#include <stdlib.h>

void mp__pending_init(struct mp__pending *pending)
{
	*pending = (struct mp__pending){.table = pending->small, .table_size = MP__PENDING_SMALL};
}

void mp__pending_free(struct mp__pending *pending)
{
	if (pending->table != pending->small)
		free(pending->table);
}

static struct mp__call **place_of(struct mp__pending *pending, uint64_t id)
{
	return &pending->table[id & (pending->table_size - 1)];
}

static void put_in_table(struct mp__pending *pending, struct mp__call *call)
{
	struct mp__call **place = place_of(pending, call->id);

	call->chain = *place;
	*place = call;
}

/* Twice as large; without memory the chains get longer. */
static void grow_table(struct mp__pending *pending)
{
	struct mp__call **old = pending->table;
	struct mp__call **table = calloc(pending->table_size * 2, sizeof(struct mp__call *));

	if (!table)
		return;
	pending->table = table;
	pending->table_size *= 2;
	for (struct mp__call *call = pending->first; call; call = call->next)
		put_in_table(pending, call);
	if (old != pending->small)
		free(old);
}

void mp__pending_add(struct mp__pending *pending, struct mp__call *call)
{
	if (pending->n == pending->table_size)
		grow_table(pending);
	call->id = ++pending->latest_id;
	call->next = NULL;
	call->previous = pending->last;
	if (pending->last)
		pending->last->next = call;
	else
		pending->first = call;
	pending->last = call;
	pending->n++;
	put_in_table(pending, call);
}

struct mp__call *mp__pending_take(struct mp__pending *pending, uint64_t id)
{
	struct mp__call **at = place_of(pending, id);

	while (*at && (*at)->id != id)
		at = &(*at)->chain;
	struct mp__call *call = *at;
	if (!call)
		return NULL;
	*at = call->chain;
	if (call->previous)
		call->previous->next = call->next;
	else
		pending->first = call->next;
	if (call->next)
		call->next->previous = call->previous;
	else
		pending->last = call->previous;
	pending->n--;
	return call;
}
