/* SPDX-License-Identifier: MIT */
/*
 * manager/argument.h - values on their way to and from a managerd.
 *
 * Proxies in a value travel as references to their objects, and come back as proxies.
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
	uint8_t small[MP__ARGUMENT_SMALL];
};

static inline void mp__argument_cleanup(struct mp__argument *argument)
{
	if (argument->data != argument->small)
		free(argument->data);
}

#define MP__ARGUMENT(name) MP__AUTO(mp__argument_cleanup) struct mp__argument name = {.data = NULL}

/* Errors of mp_obj_encode(); -ENOTSUP a handle that is no object of this managerd. */
int mp__argument_encode(
	struct mp__argument *argument, struct mp_manager *manager, const mp_obj *value);

static inline ProtobufCBinaryData mp__argument_field(const struct mp__argument *argument)
{
	return (ProtobufCBinaryData){argument->size, argument->data};
}

/* The value in a response that came over the connection of that serial. -EPROTO, -ENOMEM. */
int mp__argument_decode(struct mp_manager *manager, uint64_t serial, const Mp__Response *response,
	ProtobufCBinaryData bytes, mp_obj *ret_value);

/* The answer is of another kind than the request's: -EPROTO. */
static inline int mp__argument_unexpected(void)
{
	return mp_error_set(-EPROTO, "managerd answered with something else");
}

#endif
