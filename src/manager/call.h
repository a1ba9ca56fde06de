/* SPDX-License-Identifier: MIT */
/*
 * manager/call.h - calls of methods by name: one and its answer, or many that are sent before the first
 * answer is waited for.
 */
#ifndef MP_MANAGER_CALL_H
#define MP_MANAGER_CALL_H

#include "manager/argument.h"
#include "manager/connection.h"
#include "manager/proxy.h"

/* One call. It points into itself: it stays where it was prepared, and is cleaned up there. */
struct mp__method {
	struct mp_proxy *proxy; /* the caller's */
	Mp__Request request;
	Mp__Call op;
	mp_obj given; /* the arguments, the caller's */
	struct mp__argument args;
	mp__deadline deadline;
	struct mp__reply reply;
	uint64_t serial; /* of the connection that it went over */
};

/* What mp_proxy_call() says of its arguments. To be cleaned up also when it fails. */
int mp__method_prepare(
	struct mp__method *method, mp_proxy *proxy, const char *name, mp_obj args, int timeout_ms);
static inline void mp__method_cleanup(struct mp__method *method)
{
	mp__argument_cleanup(&method->args);
}

/* A reference to the connection over which it is to go. */
int mp__method_connect(struct mp__method *method, struct mp__connection **ret_connection);

/*
 * `r` is what sending and waiting have come to: a call that will not be answered in time is given up,
 * an answer becomes a value. ret_result NULL: it is not wanted.
 */
int mp__method_finish(struct mp__method *method, int r, mp_obj *ret_result);

#endif
