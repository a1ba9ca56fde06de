/* SPDX-License-Identifier: MIT */
/*
 * serve/lifetime.h - named objects whose name goes by itself.
 *
 * object_expire(ms), object_persist(), object_ttl(), of every object that has a name. When its time is
 * over the name is free again, as if no object had ever had it; those who have the object open keep it,
 * and it goes with the last of them. A timer in the server's heap does it; who opens the name in the same
 * instant, before that, does not find it either.
 */
#ifndef SERVE_LIFETIME_H
#define SERVE_LIFETIME_H

#include "serve/call.h"

struct serve_lifetime;

int serve_object_expire(struct serve_call *call);
int serve_object_persist(struct serve_call *call);
int serve_object_ttl(struct serve_call *call);

/* The object, or NULL if its time is over, which it may not survive. NULL is allowed. */
struct serve_object *serve_lifetime_look(struct serve_object *object);
/* The object goes, or is to stay. NULL is allowed. */
void serve_lifetime_free(struct serve_lifetime *lifetime);

#endif
