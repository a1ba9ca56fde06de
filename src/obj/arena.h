/* SPDX-License-Identifier: MIT */
/*
 * obj/arena.h - memory that is given out piece by piece and released all at once.
 *
 * It starts in space that its user provides, on the stack as a rule, so that small values cost no
 * malloc; what does not fit comes from chunks that grow with the use. Nothing is returned singly.
 *
 * protobuf-c takes its memory from here too, message by message and field by field. A budget then
 * stops messages that would grow: a frame of two-byte unknown fields takes thirty times its size
 * when unpacked.
 */
#ifndef MP_OBJ_ARENA_H
#define MP_OBJ_ARENA_H

#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>
#include <stddef.h>

struct mp__arena_chunk;

struct mp__arena {
	ProtobufCAllocator
		allocator; /* for protobuf_c_message_unpack(): gives pieces of this arena */
	void *space;       /* the user's: never freed */
	size_t space_size;
	char *at;
	char *end;
	struct mp__arena_chunk *chunks; /* malloc'ed, newest first */
	size_t next_size;               /* of the next chunk */
	size_t budget;                  /* what may still be asked of malloc() */
	bool refused;                   /* malloc() has had none */
};

/* `space` must be aligned for max_align_t and live as long as the arena, which must not move. */
void mp__arena_init(struct mp__arena *arena, void *space, size_t size);
void mp__arena_release(struct mp__arena *arena);
/* Release everything and begin anew in the user's space, with `budget` bytes beyond it. */
void mp__arena_reset(struct mp__arena *arena, size_t budget);

/* Aligned for every type, not initialised; NULL when there is no memory, or the budget is spent. */
void *mp__arena_alloc(struct mp__arena *arena, size_t size);
void *mp__arena_array(struct mp__arena *arena, size_t count, size_t size);

/* An arena with `size` bytes on the stack, released when the variable leaves scope. */
#define MP__ARENA(name, size)                                              \
	_Alignas(max_align_t) char name##_space[size];                     \
	struct mp__arena name __attribute__((cleanup(mp__arena_release))); \
	mp__arena_init(&name, name##_space, sizeof(name##_space))

#endif
