/* SPDX-License-Identifier: MIT */
/* shm/heap_handle.h - the handle of a heap, for what makes it (heap_make.c) and what uses it (heap.c). */
#ifndef MP_SHM_HEAP_HANDLE_H
#define MP_SHM_HEAP_HANDLE_H

#include "shm/heap.h"
#include "shm/heap_blocks.h"

struct mp_heap {
	struct mp__handle handle;
	_Atomic int references;
	struct mp__segment segment;
	struct mp__heap_view view;
	_Atomic uint64_t known; /* see there */
};

/* How often others may be faster before it is a lie that there is room; tests make it less. */
extern int mp__heap_in_vain_max;

#endif
