/* SPDX-License-Identifier: MIT */
/* sync/event.h - events for the table of handles, and for who waits for other things too. */
#ifndef MP_SYNC_EVENT_H
#define MP_SYNC_EVENT_H

#include "shm/slab.h"

#include <mp/event.h>

extern const struct mp__slab_type mp__event_type;

/* A point in the life of an event. */
uint32_t mp__event_now(mp_event *event);
/* 1 it is set, or was set since then; 0; -EINVAL it is no event any more. */
int mp__event_happened(mp_event *event, uint32_t since);
/* As mp__watch_arm(), then announced; the next is to look. */
bool mp__event_arm(mp_event *event, uint32_t id);
void mp__event_disarm(mp_event *event, uint32_t id);

#endif
