/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "obj/arena.h"

#include <stdint.h>
#include <stdlib.h>

#define ALIGNMENT _Alignof(max_align_t)
#define FIRST_CHUNK ((size_t)4096)
#define LARGEST_CHUNK ((size_t)1024 * 1024)

struct mp__arena_chunk {
	_Alignas(max_align_t) struct mp__arena_chunk *next;
};

static void *allocate(void *arena, size_t size)
{
	return mp__arena_alloc(arena, size);
}

static void forget(void *arena, void *piece)
{
	(void)arena;
	(void)piece;
}

void mp__arena_init(struct mp__arena *arena, void *space, size_t size)
{
	*arena = (struct mp__arena){
		.allocator = {allocate, forget, arena},
		.space = space,
		.space_size = size,
		.at = space,
		.end = (char *)space + size,
		.next_size = FIRST_CHUNK,
		.budget = SIZE_MAX,
	};
}

void mp__arena_release(struct mp__arena *arena)
{
	while (arena->chunks) {
		struct mp__arena_chunk *next = arena->chunks->next;
		free(arena->chunks);
		arena->chunks = next;
	}
	arena->at = arena->end = NULL;
	arena->budget = 0;
}

void mp__arena_reset(struct mp__arena *arena, size_t budget)
{
	mp__arena_release(arena);
	arena->at = arena->space;
	arena->end = arena->at + arena->space_size;
	arena->next_size = FIRST_CHUNK;
	arena->budget = budget;
	arena->refused = false;
}

/* A large piece gets a chunk of its own, so that the rest of the current one stays in use. */
static void *alloc_chunk(struct mp__arena *arena, size_t size)
{
	size_t room = size < arena->next_size ? arena->next_size : size;

	if (room > arena->budget)
		room = size;
	if (room > arena->budget || room > SIZE_MAX - sizeof(struct mp__arena_chunk))
		return NULL;
	struct mp__arena_chunk *chunk = malloc(sizeof(*chunk) + room);
	if (!chunk) {
		arena->refused = true;
		return NULL;
	}
	chunk->next = arena->chunks;
	arena->chunks = chunk;
	arena->budget -= room;
	if (size < room) {
		arena->at = (char *)(chunk + 1) + size;
		arena->end = (char *)(chunk + 1) + room;
		if (arena->next_size < LARGEST_CHUNK)
			arena->next_size *= 2;
	}
	return chunk + 1;
}

void *mp__arena_alloc(struct mp__arena *arena, size_t size)
{
	if (size > SIZE_MAX - ALIGNMENT)
		return NULL;
	size = (size + ALIGNMENT - 1) & ~(ALIGNMENT - 1);
	if (size > (size_t)(arena->end - arena->at))
		return alloc_chunk(arena, size);
	void *piece = arena->at;
	arena->at += size;
	return piece;
}

void *mp__arena_array(struct mp__arena *arena, size_t count, size_t size)
{
	size_t total;

	if (__builtin_mul_overflow(count, size, &total))
		return NULL;
	return mp__arena_alloc(arena, total);
}
