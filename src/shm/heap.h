/* SPDX-License-Identifier: MIT */
/* shm/heap.h - the class of shared heaps, for src/handles.c, and what other modules need of one. */
#ifndef MP_SHM_HEAP_H
#define MP_SHM_HEAP_H

#include "obj/handle.h"
#include "shm/segment.h"

#include <mp/heap.h>

extern const struct mp__handle_class mp__heap_class;

/*
 * A heap from `at` to the end of another object's segment, which has the whole size of its file; `size`
 * bytes of that get memory at once. It has no handle of its own, and goes before that object does.
 * -EBADMSG: there is none.
 */
int mp__heap_format_part(
	const struct mp__segment *whole, uint64_t at, uint64_t size, mp_heap **ret_heap);
int mp__heap_attach_part(const struct mp__segment *whole, uint64_t at, mp_heap **ret_heap);

/*
 * As mp_heap_reclaim(), of blocks for which `filter` says true. It is called inside the guard of the
 * heap, with the offset and the place of the block's bytes, and calls nothing of the heap.
 */
typedef bool mp__heap_filter(void *argument, uint64_t offset, const void *data);
int mp__heap_reclaim_if(mp_heap *heap, mp__heap_filter *filter, void *argument);

#endif
