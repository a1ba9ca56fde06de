/* SPDX-License-Identifier: MIT */
/*
 * managerd/obj_barrier.h - the served type barrier: all wait until all are there.
 *
 *	(parties)
 *	wait() * -> order of arrival    abort()    reset()
 *	parties() -> number    waiting() -> number    broken() -> bool
 *
 * A wait that ends without the others (by its timeout, by a Cancel, by the end of its client) breaks the
 * barrier: all others get BROKEN until it is reset.
 */
#ifndef MANAGERD_OBJ_BARRIER_H
#define MANAGERD_OBJ_BARRIER_H

#include "serve/class.h"

extern const struct serve_class md_barrier_class;

#endif
