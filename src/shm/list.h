/* SPDX-License-Identifier: MIT */
/*
 * shm/list.h - the shared list, for the table of handles. It is a block (shm/block.h) whose data
 * list_layout.h describes.
 */
#ifndef MP_SHM_LIST_H
#define MP_SHM_LIST_H

#include "shm/block.h"

extern const struct mp__handle_class mp__shared_list_class;

#endif
