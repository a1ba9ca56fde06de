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

#include "serve/call.h"

struct serve_waiter;

extern const struct serve_class md_lock_class;
extern const struct serve_class md_rlock_class;

/* --- for conditions: the object is a lock or an rlock ----------------------------------------- */

bool md_lock_is_of(const struct serve_object *object, const struct serve_call *call);
/* Let go of it, however deep: how deep it was. */
int64_t md_lock_let_go(struct serve_object *object);
/*
 * Let the waiter, which is in no queue, have it again as deep as waiter->number says, now or when it is
 * its turn; its call is answered then, with OWNER_DIED, with `code` if that is an error, or with nil.
 */
void md_lock_take_back(struct serve_object *object, struct serve_waiter *waiter, Mp__Code code);

#endif
