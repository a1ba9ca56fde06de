/* SPDX-License-Identifier: MIT */
/*
 * shm/heap_blocks.h - the blocks of a shared heap: taking, giving back, walking, repairing.
 *
 * All of these run under the heap's guard, and know nothing of handles and descriptors. The story of
 * each store stands in shm/heap_layout.h.
 */
#ifndef MP_SHM_HEAP_BLOCKS_H
#define MP_SHM_HEAP_BLOCKS_H

#include "base/stamp.h"
#include "shm/heap_chain.h"

/* The block's place for the user's bytes, and back. */
static inline uint64_t mp__heap_bytes_of(uint64_t block)
{
	return block + MP__HEAP_BLOCK_HEAD;
}

/* What a block needs for that many bytes of the user's; 0: more than any heap can have. */
uint64_t mp__heap_block_size(uint64_t bytes);

/* One free block from the header to the segment's size. Not under the guard: nobody else has it. */
void mp__heap_format(struct mp__heap_view *view);

/*
 * A block of `size` bytes (of mp__heap_block_size()) whose user's bytes are aligned to `align`, a
 * power of two from 16. -ENOSPC: none without growing; -ENOMEM: there is one, and the system has no
 * memory for it; -EBADMSG.
 */
int mp__heap_take(struct mp__heap_view *view, uint64_t size, uint64_t align, mp__stamp owner,
	uint64_t *ret_block);

/* -EINVAL no block in use begins there; -EBADMSG the block behind it is damaged: nothing is done. */
int mp__heap_give(struct mp__heap_view *view, uint64_t block);

/*
 * What size the segment needs so that a block of `size` and `align` fits. -ENOSPC: more than it may
 * have.
 */
int mp__heap_plan(struct mp__heap_view *view, uint64_t size, uint64_t align, uint64_t *ret_size);
/* Make a block of what the segment has grown by. -EBADMSG. */
int mp__heap_extend(struct mp__heap_view *view);

/* Make all that follows from the chain anew. -EBADMSG the chain is broken. */
int mp__heap_rebuild(struct mp__heap_view *view);

/* Is everything as it should be, down to the last link? -EBADMSG. */
int mp__heap_verify(struct mp__heap_view *view);

/*
 * The block at `at`, which must be one (-EBADMSG). A walk: begin at MP__HEAP_FIRST, go on at
 * at + size, until size is 0.
 */
int mp__heap_see(struct mp__heap_view *view, uint64_t at, struct mp__heap_seen *ret_seen);

/* --- for shm/heap_released.c ------------------------------------------------------------------- */

/*
 * A block has become free, or of another kind, and is linked nowhere: unite it with neighbours of its
 * kind, mark the next one, link it. `block` is what it has become. MP__HEAP_STALE.
 */
int mp__heap_settle(struct mp__heap_view *view, struct mp__heap_seen *block);
/*
 * `block` becomes the part behind `gap` bytes of it, still linked nowhere, the other one is in its bin;
 * both are free. MP__HEAP_STALE.
 */
int mp__heap_cut_front(struct mp__heap_view *view, struct mp__heap_seen *block, uint64_t gap);

#endif
