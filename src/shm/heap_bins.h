/* SPDX-License-Identifier: MIT */
/*
 * shm/heap_bins.h - the free blocks of a shared heap by size: into their lists, out, and found there.
 *
 * Those that are released have bins of their own, behind those of the others. Under the heap's guard;
 * MP__HEAP_STALE: a list or a bitmap does not fit the chain, and all of them have to be made anew.
 */
#ifndef MP_SHM_HEAP_BINS_H
#define MP_SHM_HEAP_BINS_H

#include "shm/heap_chain.h"

/* Of a free block with the links and the size at its end: it has been linked, or is no more. */
int mp__bins_push(struct mp__heap_view *view, const struct mp__heap_seen *block);
int mp__bins_remove(struct mp__heap_view *view, const struct mp__heap_seen *block);
void mp__bins_clear(struct mp__heap_view *view);

/* How much has to be cut off before a block, so that its bytes are aligned. */
uint64_t mp__heap_gap(uint64_t at, uint64_t align);

/* What a free block has, wherever it begins, if it has room for one of `size`, aligned. */
uint64_t mp__heap_wanted(uint64_t size, uint64_t align);

/* A free block with room for one of `size`, aligned; among the released ones or the others. -ENOSPC. */
int mp__bins_find(struct mp__heap_view *view, uint64_t size, uint64_t align, bool released,
	struct mp__heap_seen *ret_found);

/* A free block of any kind that stands there. */
bool mp__bins_see_free(
	const struct mp__heap_view *view, uint64_t at, struct mp__heap_seen *ret_seen);

/* The free block that ends where this one begins, which says that there is one. False: there is none. */
bool mp__bins_see_before(const struct mp__heap_view *view, const struct mp__heap_seen *behind,
	struct mp__heap_seen *ret_before);

/*
 * The released block behind `*at` in the order of the lists; 0: the first one. 1 there is one, 0
 * there is no further one.
 */
int mp__bins_next_released(const struct mp__heap_view *view, uint64_t *at);

/* Does every free block hang in its bin, and only there? -EBADMSG. */
int mp__bins_verify(const struct mp__heap_view *view, uint64_t n_free);

#endif
