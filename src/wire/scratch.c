/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "wire/scratch.h"

#include <stdalign.h>
#include <stdint.h>
#include <stdlib.h>

#define CHUNK_SIZE ((size_t)16 << 10)

struct mp__scratch_chunk {
	struct mp__scratch_chunk *next;
	alignas(max_align_t) char data[];
};

static void *allocate(void *data, size_t size)
{
	return mp__scratch_alloc(data, size);
}

static void release(void *data, void *pointer)
{
	(void)data;
	(void)pointer;
}

void mp__scratch_init(struct mp__scratch *scratch, void *first, size_t first_size)
{
	*scratch = (struct mp__scratch){
		.allocator = {.alloc = allocate, .free = release, .allocator_data = scratch},
		.first = first,
		.first_size = first_size,
	};
	mp__scratch_reset(scratch, 0);
}

void mp__scratch_reset(struct mp__scratch *scratch, size_t budget)
{
	while (scratch->chunks) {
		struct mp__scratch_chunk *next = scratch->chunks->next;
		free(scratch->chunks);
		scratch->chunks = next;
	}
	scratch->at = scratch->first;
	scratch->left = scratch->first_size;
	scratch->budget = budget;
}

void *mp__scratch_alloc(struct mp__scratch *scratch, size_t size)
{
	if (size > SIZE_MAX / 2)
		return NULL;
	size = (size + alignof(max_align_t) - 1) & ~(alignof(max_align_t) - 1);
	if (size > scratch->left) {
		size_t room = size > CHUNK_SIZE ? size : CHUNK_SIZE;
		if (room > scratch->budget)
			return NULL;
		struct mp__scratch_chunk *chunk = malloc(sizeof(*chunk) + room);
		if (!chunk)
			return NULL;
		chunk->next = scratch->chunks;
		scratch->chunks = chunk;
		scratch->budget -= room;
		/* A large piece has a chunk of its own; the last one stays in use. */
		if (room > CHUNK_SIZE)
			return chunk->data;
		scratch->at = chunk->data;
		scratch->left = room;
	}
	void *piece = scratch->at;
	scratch->at += size;
	scratch->left -= size;
	return piece;
}
