/* SPDX-License-Identifier: MIT */
/* sync/event.h - events for the table of handles. All else is in mp/event.h. */
#ifndef MP_SYNC_EVENT_H
#define MP_SYNC_EVENT_H

#include "shm/slab.h"

extern const struct mp__slab_type mp__event_type;

#endif
