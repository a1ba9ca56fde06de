/* SPDX-License-Identifier: MIT */
/*
 * managerd/obj_condition.h - the served type condition: wait until somebody says that something has
 * changed.
 *
 *	(lock = a new rlock)
 *	acquire() *, release(), locked()    of its lock
 *	wait() *    notify(n = 1)    notify_all()
 *
 * A wait lets go of the lock, and whoever is notified, or out of time, takes its turn at the lock again,
 * as deep as it had it: only then its wait is answered.
 */
#ifndef MANAGERD_OBJ_CONDITION_H
#define MANAGERD_OBJ_CONDITION_H

#include "serve/class.h"

extern const struct serve_class md_condition_class;

#endif
