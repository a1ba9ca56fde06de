/* SPDX-License-Identifier: MIT */
/*
 * server/type.h - a program's own type as a class of the server library (serve/class.h).
 *
 * Values are decoded for the program's functions, and what they give is encoded; objects of the server
 * are handles there.
 */
#ifndef MP_SERVER_TYPE_H
#define MP_SERVER_TYPE_H

#include "serve/class.h"

#include <mp/server.h>

/* -EINVAL the type is not complete, or its names are none; -ENOMEM. */
int mp__type_new(const mp_served_type *type, struct serve_class **ret_class);
void mp__type_free(struct serve_class *class);

/* A server begins, and ends, in this thread: its handles (server/served.h). */
struct mp__served_list;
void mp__type_enter(struct mp__served_list *list);
void mp__type_leave(struct mp__served_list *list);

#endif
