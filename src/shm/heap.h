/* SPDX-License-Identifier: MIT */
/* shm/heap.h - the class of shared heaps, for src/handles.c. */
#ifndef MP_SHM_HEAP_H
#define MP_SHM_HEAP_H

#include "obj/handle.h"

extern const struct mp__handle_class mp__heap_class;

#endif
