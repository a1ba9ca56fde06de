/* SPDX-License-Identifier: MIT */
/*
 * managerd/obj_lock.h - the served types lock and rlock.
 *
 * A lock belongs to a thread of a client, as does an rlock, which that thread may acquire several
 * times. The answer to an acquire is a fencing number: it grows with every new holder, so that
 * whoever is handed it, a store for example, can refuse one that has held the lock before and does
 * not know that it was taken from it.
 *
 *	acquire() -> number     release()     locked() -> bool
 */
#ifndef MANAGERD_OBJ_LOCK_H
#define MANAGERD_OBJ_LOCK_H

#include "serve/class.h"

extern const struct serve_class md_lock_class;
extern const struct serve_class md_rlock_class;

#endif
