/* SPDX-License-Identifier: MIT */
/* sync/condition.h - conditions, for the table of types whose handles travel. */
#ifndef MP_SYNC_CONDITION_H
#define MP_SYNC_CONDITION_H

#include "shm/slab.h"

extern const struct mp__slab_type mp__condition_type;

#endif
