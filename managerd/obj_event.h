/* SPDX-License-Identifier: MIT */
/*
 * managerd/obj_event.h - the served type event: something that happens once, or again after a clear.
 *
 *	set()    clear()    is_set() -> bool    wait() *
 *
 * A set lets all go on who wait at that time, also when it is followed at once by a clear.
 */
#ifndef MANAGERD_OBJ_EVENT_H
#define MANAGERD_OBJ_EVENT_H

#include "serve/class.h"

extern const struct serve_class md_event_class;

#endif
