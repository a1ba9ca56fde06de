/* SPDX-License-Identifier: MIT */
/* shm/heap.h - the class of shared heaps, for src/handles.c, and what other modules need of one. */
#ifndef MP_SHM_HEAP_H
#define MP_SHM_HEAP_H

#include "obj/handle.h"

#include <mp/heap.h>

extern const struct mp__handle_class mp__heap_class;

/*
 * As mp_heap_reclaim(), of blocks for which `filter` says true. It is called inside the guard of the
 * heap, with the offset and the place of the block's bytes, and calls nothing of the heap.
 */
typedef bool mp__heap_filter(void *argument, uint64_t offset, const void *data);
int mp__heap_reclaim_if(mp_heap *heap, mp__heap_filter *filter, void *argument);

#endif
