/* SPDX-License-Identifier: MIT */
/* sync/semaphore.h - semaphores for the table of handles. All else is in mp/semaphore.h. */
#ifndef MP_SYNC_SEMAPHORE_H
#define MP_SYNC_SEMAPHORE_H

#include "shm/slab.h"

extern const struct mp__slab_type mp__semaphore_type;

#endif
