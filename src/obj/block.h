/* SPDX-License-Identifier: MIT */
/*
 * obj/block.h - the one block of memory behind an owning mp_obj.
 *
 *	+--------+----------------+----------------------+--------------------------+
 *	| n_held | held[n_held]   | nodes: mp_obj[]      | strings and bytes        |
 *	+--------+----------------+----------------------+--------------------------+
 *
 * The outermost value is the struct that the caller has; `block` of it points here, and is NULL in
 * all values inside. The nodes are the items of lists and dicts. A string has a NUL behind it.
 *
 * `held` is what has to be released besides the memory: references to libmp objects, and
 * descriptors. A descriptor in an owning value is marked by count == 1, and as.handle points to its
 * mp__held, so that copies of the struct, which all speak of one descriptor, see it taken as soon
 * as one of them has given it away (fd is -1 then). In a value made by mp_fd() count is 0 and as.i64
 * the descriptor itself: nobody's to give.
 *
 * A block is made in two steps: its parts are counted, then filled in. What is held enters one by
 * one, so that a block which is given up half-way releases just what it holds.
 */
#ifndef MP_OBJ_BLOCK_H
#define MP_OBJ_BLOCK_H

#include "obj/handle.h"

#include <stdatomic.h>

struct mp__held {
	struct mp__handle *handle; /* NULL: it is a descriptor */
	_Atomic int fd;            /* -1: taken */
};

struct mp__block {
	size_t n_held;
	struct mp__held held[];
};

/* What has to go in. */
struct mp__block_plan {
	size_t nodes; /* without the outermost value */
	size_t text;  /* bytes, with the NUL of each string */
	size_t held;
};

struct mp__builder {
	struct mp__block *block; /* NULL: nothing to own */
	mp_obj *nodes;           /* the next free one */
	char *text;              /* the next free byte */
};

/* 0 or -ENOMEM. A plan of nothing gives no block. */
int mp__block_new(const struct mp__block_plan *plan, struct mp__builder *ret_builder);

/* Release everything; NULL is fine. */
void mp__block_free(struct mp__block *block);

/* Parts, as many as planned. */
mp_obj *mp__block_items(struct mp__builder *builder, size_t count);
const char *mp__block_str(struct mp__builder *builder, const char *text, size_t length);
const void *mp__block_bytes(struct mp__builder *builder, const void *data, size_t length);

/* The value of a handle or descriptor which from now on belongs to the block. */
mp_obj mp__block_handle(struct mp__builder *builder, struct mp__handle *handle);
mp_obj mp__block_fd(struct mp__builder *builder, int fd);

/* Where the descriptor of an owning value is recorded; NULL for every other value. */
static inline struct mp__held *mp__held_fd(const mp_obj *value)
{
	if (value->type != MP_TYPE_HANDLE || value->kind != MP__HANDLE_FD || value->count != 1)
		return NULL;
	return value->as.handle;
}

#endif
