/* SPDX-License-Identifier: MIT */
/* sync/rwlock.h - what the table of handles needs of rwlocks. */
#ifndef MP_SYNC_RWLOCK_H
#define MP_SYNC_RWLOCK_H

#include "shm/slab.h"

extern const struct mp__slab_type mp__rwlock_type;

#endif
