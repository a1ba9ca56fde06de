/* SPDX-License-Identifier: MIT */
/*
 * managerd/obj_semaphore.h - the served types semaphore and bounded_semaphore: a number of permits.
 *
 *	(value = 1, ownerless = false)
 *	acquire() *    release(n = 1)    value() -> number
 *
 * A connection holds the permits that it has acquired, for all its threads together; when it ends they
 * come back. A release by one that holds none gives back the oldest that another holds. One that is
 * ownerless counts only: for signals.
 */
#ifndef MANAGERD_OBJ_SEMAPHORE_H
#define MANAGERD_OBJ_SEMAPHORE_H

#include "serve/class.h"

extern const struct serve_class md_semaphore_class;
extern const struct serve_class md_bounded_semaphore_class;

#endif
