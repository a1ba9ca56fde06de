/* SPDX-License-Identifier: MIT */
/*
 * tests/support/stores.h - has a queue with an order or leases, when it is empty, lost no memory?
 *
 * Then its heap has the root and the pieces of the table, and no other block.
 */
#ifndef TESTS_STORES_H
#define TESTS_STORES_H

#include <stdio.h>

#include "queue/store.h"

static inline bool store_has_no_messages(const mp_queue *q)
{
	mp_heap_stats stats = {0};

	return mp_heap_stat(q->store->heap, &stats) == 0 && stats.n_used == 1 + q->store->n_chunks;
}

/* For who finds the contrary: each block with its owner, and the entry that it says it is of. */
static inline const char *describe_blocks(const mp_queue *q)
{
	static char text[400];
	mp_heap_block block = {0};
	size_t length = 0;

	text[0] = '\0';
	while (mp_heap_next(q->store->heap, block.data, &block) == 0 && length < sizeof(text))
		length += (size_t)snprintf(text + length, sizeof(text) - length,
			"%zu bytes of %s %d, entry %lld; ", (size_t)block.size,
			block.owner_died ? "dead" : "living", (int)block.owner,
			(long long)((const struct mp__store_block *)block.data)->entry - 1);
	return text;
}

#endif
