/* SPDX-License-Identifier: MIT */
/*
 * manager/argument.h - values on their way to and from a managerd.
 *
 * Proxies in a value travel as references to their objects, and come back as proxies. A reference is a
 * token, which is another one in a daemon that was started anew: so each proxy in an argument is first
 * made known to the connection that there is, as for a call of its own, and the argument remembers which
 * connection that was. If the request goes over another one after all, it is encoded again.
 */
#ifndef MP_MANAGER_ARGUMENT_H
#define MP_MANAGER_ARGUMENT_H

#include "base/cleanup.h"
#include "base/error.h"
#include "manager/manager.h"

#include <stdlib.h>

/* Up to this size they are encoded on the stack. */
#define MP__ARGUMENT_SMALL 512

struct mp__argument {
	void *data;
	size_t size;
	struct mp_manager *manager;
	const mp_obj *value; /* the caller's, as long as the argument is in use */
	uint64_t serial;     /* of the connection that knows the objects in it; 0: none are */
	ProtobufCBinaryData *field; /* where in the request it stands; NULL: nowhere yet */
	uint8_t small[MP__ARGUMENT_SMALL];
};

static inline void mp__argument_cleanup(struct mp__argument *argument)
{
	if (argument->data != argument->small)
		free(argument->data);
}

#define MP__ARGUMENT(name) MP__AUTO(mp__argument_cleanup) struct mp__argument name = {.data = NULL}

/*
 * Errors of mp_obj_encode(); -ENOTSUP a handle that is no object of this managerd; -EPIPE an object in it
 * is gone, and what else opening it says.
 */
int mp__argument_encode(
	struct mp__argument *argument, struct mp_manager *manager, const mp_obj *value);
/* The same for this connection, under the manager's lock. `depth`: see mp__proxy_know(). */
int mp__argument_encode_for(struct mp__argument *argument, struct mp_manager *manager,
	const mp_obj *value, struct mp__connection *connection, mp__deadline deadline, int depth);

/* It stands in this field of a request from now on. */
static inline void mp__argument_stand_in(struct mp__argument *argument, ProtobufCBinaryData *field)
{
	argument->field = field;
	*field = (ProtobufCBinaryData){argument->size, argument->data};
}

/* May it go over the connection of that serial? Else it is to be renewed, and that found out again. */
static inline bool mp__argument_is_for(const struct mp__argument *argument, uint64_t serial)
{
	return !argument || argument->serial == 0 || argument->serial == serial;
}
int mp__argument_renew(struct mp__argument *argument);

/* The value in a response that came over the connection of that serial. -EPROTO, -ENOMEM. */
int mp__argument_decode(struct mp_manager *manager, uint64_t serial, const Mp__Response *response,
	ProtobufCBinaryData bytes, mp_obj *ret_value);

/* The answer is of another kind than the request's: -EPROTO. */
static inline int mp__argument_unexpected(void)
{
	return mp_error_set(-EPROTO, "managerd answered with something else");
}

#endif
