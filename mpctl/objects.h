/* SPDX-License-Identifier: MIT */
/*
 * mpctl/objects.h - what the commands about objects have in common.
 *
 * Objects are known by name, and the daemon says of which class they are. A table in objects.c says
 * what a class has under its keys: get, set, del and add mean the same of all of them.
 */
#ifndef MPCTL_OBJECTS_H
#define MPCTL_OBJECTS_H

#include "mpctl/line.h"

#include <mp/obj.h>
#include <mp/proxy.h>

/*
 * The object of that name, of --type if that was given. If there is none it is made as a `type`, or is
 * NOT_THERE if that is NULL. MPCTL_OK, or what went wrong, which has been said.
 */
int object_open(struct line *line, const char *name, const char *type, mp_proxy **ret);

/* "NAME is a CLASS, which WHY": MPCTL_USAGE. */
int object_usage(struct line *line, const mp_proxy *object, const char *why);

/* What stands under the key, or without one the whole. *ret_r is the result of the request. */
int object_get(struct line *line, mp_proxy *object, const char *key, int *ret_r, mp_obj *ret);

#endif
