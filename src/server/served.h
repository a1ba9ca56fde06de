/* SPDX-License-Identifier: MIT */
/*
 * server/served.h - objects of a server as its own functions see them: handles in values.
 *
 * A proxy in an argument is a handle here, of the object itself; a handle in a result is a proxy for the
 * caller. A handle keeps its object, as an open proxy does. When the server ends, all handles let go: one
 * that the program has kept is then of no object. They belong to the thread that runs the server.
 */
#ifndef MP_SERVER_SERVED_H
#define MP_SERVER_SERVED_H

#include "obj/codec.h"
#include "obj/handle.h"
#include "serve/call.h"

/* All handles of one server. */
struct mp__served_list {
	struct mp__served *first;
	struct mp__served_list *outer; /* of a server in whose method this one runs */
};

extern const struct mp__handle_class mp__served_class;

/* What a handle is of; NULL: of nothing, or no such handle. */
struct serve_object *mp__served_object(const struct mp__handle *handle);
/* A new one, which takes the caller's reference to the object. NULL: no memory. */
struct mp__handle *mp__served_new(struct mp__served_list *list, struct serve_object *object);
/* It was not used: free it, and leave the reference to the caller. NULL is allowed. */
void mp__served_forget(struct mp__handle *handle);
/* The server ends. */
void mp__served_let_go(struct mp__served_list *list);

/* Carries the objects in the arguments and in the result of a call; its `base` goes into a mp__cargo. */
struct mp__served_referrer {
	struct mp__referrer base; /* first */
	struct serve_call *call;
	struct mp__served_list *list;
	size_t referred; /* handles that have become references */
};

void mp__served_referrer_init(struct mp__served_referrer *referrer, struct serve_call *call,
	struct mp__served_list *list);

#endif
