/* SPDX-License-Identifier: MIT */
/*
 * shm/heap_chain.h - the chain of a shared heap's blocks: reading and writing the word before each.
 *
 * Key idea: whatever a word says is checked here, once, against its own check and what is mapped; all
 * else of the heap works with what mp__chain_see() has seen. Under the heap's guard.
 */
#ifndef MP_SHM_HEAP_CHAIN_H
#define MP_SHM_HEAP_CHAIN_H

#include "shm/heap_layout.h"
#include "shm/segment.h"

#include <stdbool.h>

/* Private to a process: what may not change under it, though it stands in shared memory too. */
struct mp__heap_view {
	unsigned char *base;
	struct mp__heap_header *header; /* = base */
	uint64_t limit;                 /* max_size of the segment: so much is mapped */
	uint64_t seed;                  /* its id */
	uint64_t kept;                  /* the memory before this stays */
	const struct mp__segment *segment;
	/* So much the file has: the kernel has said so, and it never shrinks. */
	_Atomic uint64_t *known;
};

/* One block, as a walk sees it. */
struct mp__heap_seen {
	uint64_t at;
	uint64_t size; /* with its head; 0: the end mark */
	bool used;
	bool before_free;
	bool released; /* free, and its inside may have no memory */
};

/* Internal to the blocks: what follows from the chain is wrong; the chain may be right. */
#define MP__HEAP_STALE (-ESTALE)

/* Is there a block, the end mark included, that ends by `end`? */
bool mp__chain_see(const struct mp__heap_view *view, uint64_t at, uint64_t end,
	struct mp__heap_seen *ret_seen);
/* The word that says so: one store, the change. */
void mp__chain_write(struct mp__heap_view *view, const struct mp__heap_seen *block);
/* The block's word, should it say anything else about the block before it. */
void mp__chain_mark_before(
	struct mp__heap_view *view, const struct mp__heap_seen *block, bool before_free);

/* How much memory there is: what the header says, as far as it is true. */
uint64_t mp__chain_allocated(const struct mp__heap_view *view);
/* The last offset where an end mark may stand; where the header says it does. */
uint64_t mp__chain_last(const struct mp__heap_view *view);
uint64_t mp__chain_end(const struct mp__heap_view *view);

int mp__chain_damaged(uint64_t at);

static inline struct mp__heap_block *mp__heap_block_at(
	const struct mp__heap_view *view, uint64_t at)
{
	return (struct mp__heap_block *)(view->base + at);
}

/* Of the free block that ends there. */
static inline uint64_t *mp__chain_size_before(const struct mp__heap_view *view, uint64_t behind)
{
	return (uint64_t *)(view->base + behind - sizeof(uint64_t));
}

#endif
