/* SPDX-License-Identifier: MIT */
/*
 * wire/scratch.h - the memory of one message while it is looked at.
 *
 * protobuf-c allocates each message and field apart. Here that is moving a pointer in a block of
 * the caller, and a budget stops messages that would grow: a frame of two-byte unknown fields takes
 * thirty times its size when unpacked. Everything goes at once.
 */
#ifndef MP_WIRE_SCRATCH_H
#define MP_WIRE_SCRATCH_H

#include <protobuf-c/protobuf-c.h>
#include <stddef.h>

struct mp__scratch_chunk;

struct mp__scratch {
	ProtobufCAllocator allocator; /* for protobuf_c_message_unpack() */
	void *first;                  /* the caller's block: used first, never freed */
	size_t first_size;
	char *at;
	size_t left;
	size_t budget; /* what may still be asked of malloc() */
	struct mp__scratch_chunk *chunks;
};

/* `first` is aligned as malloc's blocks are. The scratch must not move afterwards. */
void mp__scratch_init(struct mp__scratch *scratch, void *first, size_t first_size);

/* Forget everything, and allow `budget` bytes beyond the first block. */
void mp__scratch_reset(struct mp__scratch *scratch, size_t budget);

/* NULL when memory or budget is spent. */
void *mp__scratch_alloc(struct mp__scratch *scratch, size_t size);

/* What unpacking a message of this length may take beyond a first block. */
#define MP__SCRATCH_BUDGET(length) ((length) + ((size_t)128 << 10))

#endif
