/* SPDX-License-Identifier: MIT */
/*
 * shm/heap_released.h - memory that a heap does not need goes back to the system, and comes again.
 *
 * A large free block is released: its inside has no memory, which its word says. That is taken back
 * before any of it is used, so a full system is -ENOSPC there and never SIGBUS in who writes. Under
 * the heap's guard; the story of each store stands in shm/heap_layout.h.
 */
#ifndef MP_SHM_HEAP_RELEASED_H
#define MP_SHM_HEAP_RELEASED_H

#include "shm/heap_chain.h"

/* After a block was given back and settled as `block`: release it, if it is large. MP__HEAP_STALE. */
int mp__heap_release(struct mp__heap_view *view, struct mp__heap_seen *block);

/* The inside of a released block, as a repair finds it: who released it may have died at it. */
void mp__heap_release_again(struct mp__heap_view *view, const struct mp__heap_seen *block);

/*
 * Let there be a free block of `size` bytes, aligned, with memory, of released ones and their
 * neighbours. -ENOSPC: they are too small; -ENOMEM: the system has no memory; MP__HEAP_STALE.
 */
int mp__heap_restore(struct mp__heap_view *view, uint64_t size, uint64_t align);

#endif
