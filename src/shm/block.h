/* SPDX-License-Identifier: MIT */
/*
 * shm/block.h - blocks, and what other modules build on them.
 *
 * A shared list is a block whose data it interprets. It has a segment kind of its own, so that it is
 * not opened as a block, and the other way round; all else (names, options, growing, travelling) is
 * the block's, and the list's handle is a struct mp_block by another name.
 */
#ifndef MP_SHM_BLOCK_H
#define MP_SHM_BLOCK_H

#include "base/fork_lock.h"
#include "obj/handle.h"
#include "shm/names.h"
#include "shm/segment.h"

#include <mp/block.h>

struct mp_block {
	struct mp__handle handle; /* its class is that of the kind */
	_Atomic unsigned int refs;
	struct mp__segment seg;
	size_t data_at;      /* 0 for a plain one */
	_Atomic size_t size; /* of the data */
	bool plain;
	struct mp__fork_lock lock; /* guards seg.size */
	struct mp__name name;
};

struct mp__shm_kind {
	struct mp__segment_type type; /* first: a block's type is its kind */
	const struct mp__handle_class *class;
	/* Is this data whole? -EBADMSG. NULL: any is. */
	int (*check)(const void *data, size_t size);
};
extern const struct mp__shm_kind mp__block_kind;
extern const struct mp__handle_class mp__block_class;

/* Write the first contents: before anybody else sees the block. */
typedef void mp__shm_fill(void *data, const void *context);

/* As mp_block_new(), _create() and _open(). fill may be NULL. */
int mp__shm_new(const struct mp__shm_kind *kind, size_t size, const mp_block_options *options,
	mp__shm_fill *fill, const void *context, mp_block **ret_block);
int mp__shm_create(const struct mp__shm_kind *kind, const char *name, size_t size,
	const mp_block_options *options, mp__shm_fill *fill, const void *context,
	mp_block **ret_block);
int mp__shm_open(const struct mp__shm_kind *kind, const char *name, const mp_block_options *options,
	mp_block **ret_block);

/* For classes of handles. */
void mp__shm_ref(struct mp__handle *handle);
void mp__shm_unref(struct mp__handle *handle);
int mp__shm_export(struct mp__handle *handle, struct mp__handle_wire *ret_wire);
int mp__shm_import(const struct mp__shm_kind *kind, struct mp__handle_wire *wire,
	struct mp__handle **ret_handle);

#endif
