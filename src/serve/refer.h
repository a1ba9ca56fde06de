/* SPDX-License-Identifier: MIT */
/*
 * serve/refer.h - objects inside the values of other objects.
 *
 * A value may hold mp.References. While it is stored, the objects that it refers to are kept, each
 * reference counted; in an answer each comes with a reference of the connection, so that the object
 * cannot go before the client has it. An object counts what is referred to from inside it: those
 * without, which is nearly all, never look into their values.
 *
 * Objects that refer to each other in a circle keep each other until the server ends, as named ones
 * do; the limit of objects bounds them.
 */
#ifndef SERVE_REFER_H
#define SERVE_REFER_H

#include "serve/call.h"

/*
 * The value (an argument of the call, or a part of one) is about to be stored in call->object. False:
 * one of its objects is gone; that is answered, and nothing changed.
 */
bool serve_refer(struct serve_call *call, struct serve_bytes value);
/* The object that an argument is; not referenced. False: it is none, and that is answered. */
bool serve_arg_object(struct serve_call *call, size_t index, struct serve_object **ret);
/* The same of a part of an argument. */
bool serve_object_in(struct serve_call *call, struct serve_bytes value, struct serve_object **ret);

/* It is stored there no more. */
void serve_unrefer(struct serve_object *object, struct serve_bytes value);

/*
 * Answer with a value that is, or was until now, stored in call->object; also one put together of such
 * values. Change what is to be changed, and let go of what is taken out (serve_unrefer()), after this,
 * and only if it was not refused: call->refused, when the connection has too many objects open, the
 * answer is too large, or there is no memory for it.
 */
int serve_answer_stored(struct serve_call *call, struct serve_bytes value);
/* The same with a value that is not stored, and may have any objects inside. */
int serve_answer_objects(struct serve_call *call, struct serve_bytes value);
/* As serve_answer_stored(), where the value stands somewhere in this response. */
int serve_answer_referring(
	struct serve_call *call, struct serve_bytes value, Mp__Response *response);

#endif
