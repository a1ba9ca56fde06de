/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "manager/argument.h"

#include "base/error.h"
#include "manager/proxy.h"
#include "obj/codec.h"

#include <stdio.h>

struct referrer {
	struct mp__referrer base;
	struct mp_manager *manager;
	uint64_t serial;
	const Mp__Response *response;
	size_t next;
	struct mp__connection *connection; /* to be known to this one, under the lock; or NULL */
	mp__deadline deadline;
	int depth;
};

/* Some objects in it are known to one connection, and some to another one: to none that there is. */
#define MIXED UINT64_MAX

static bool is_proxy(const struct mp__handle *handle)
{
	return handle->class == &mp__proxy_class || handle->class == &mp__dict_class;
}

/* Another handle of the same managerd, in a forked child, has a connection of its own. */
static bool is_of_connection(const struct referrer *r, const struct mp_proxy *proxy)
{
	return proxy->manager == r->manager;
}

static int not_found(const struct mp_proxy *proxy, int result)
{
	char why[256];

	snprintf(why, sizeof(why), "%s", mp_error_detail());
	return mp_error_set(result, "a %s in an argument: %s", proxy->object.class_name, why);
}

/* On the connection that its manager has now: which one that was is noted. */
static int find(struct referrer *r, struct mp_proxy *proxy, struct mp__reference *ret_reference)
{
	uint64_t serial;

	int result = mp__proxy_find(proxy, ret_reference, &serial);
	if (result == 0 && is_of_connection(r, proxy))
		r->serial = r->serial == 0 || r->serial == serial ? serial : MIXED;
	return result;
}

static int refer(struct mp__referrer *referrer, struct mp__handle *handle,
	struct mp__reference *ret_reference)
{
	struct referrer *r = (struct referrer *)referrer;
	struct mp_proxy *proxy = (struct mp_proxy *)handle;
	int result = 0;

	if (!is_proxy(handle))
		return mp_error_set(-ENOTSUP,
			"a %s in a value for managerd, which cannot keep it: only its own objects "
			"can stand there",
			handle->class->name);
	/* Copies of a handle may be several in a forked child, but all have its id. */
	if (memcmp(proxy->manager->id, r->manager->id, sizeof(r->manager->id)) != 0)
		return mp_error_set(-ENOTSUP, "a %s of another managerd in a value for this one",
			proxy->object.class_name);
	if (!r->connection)
		result = find(r, proxy, ret_reference);
	else if (is_of_connection(r, proxy))
		result = mp__proxy_know(proxy, r->connection, r->deadline, r->depth, ret_reference);
	else /* under one lock, others are not waited for */
		*ret_reference = proxy->object;
	return result < 0 ? not_found(proxy, result) : 0;
}

static int resolve(struct mp__referrer *referrer, const struct mp__reference *reference,
	struct mp__handle **ret_handle)
{
	struct referrer *r = (struct referrer *)referrer;

	if (r->next >= r->response->n_references)
		return mp_error_set(-EPROTO, "a reference that is not open");
	return mp__proxy_of_reference(
		r->manager, reference, r->serial, r->response->references[r->next++], ret_handle);
}

static int encode(struct mp__argument *argument, const mp_obj *value, struct referrer *referrer)
{
	struct mp__cargo cargo = {.referrer = &referrer->base};
	ssize_t size = mp__obj_encode_into(value, &cargo, argument->small, sizeof(argument->small));
	int r = 0;

	argument->manager = referrer->manager;
	argument->value = value;
	if (size < 0)
		return (int)size;
	if ((size_t)size > sizeof(argument->small)) {
		r = mp__obj_encode(value, 0, &cargo, &argument->data, &argument->size);
	} else {
		argument->data = argument->small;
		argument->size = (size_t)size;
	}
	argument->serial = referrer->serial;
	return r;
}

int mp__argument_encode(
	struct mp__argument *argument, struct mp_manager *manager, const mp_obj *value)
{
	struct referrer referrer = {.base = {.refer = refer}, .manager = manager};

	return encode(argument, value, &referrer);
}

int mp__argument_encode_for(struct mp__argument *argument, struct mp_manager *manager,
	const mp_obj *value, struct mp__connection *connection, mp__deadline deadline, int depth)
{
	struct referrer referrer = {
		.base = {.refer = refer},
		.manager = manager,
		.connection = connection,
		.deadline = deadline,
		.depth = depth,
	};

	return encode(argument, value, &referrer);
}

int mp__argument_renew(struct mp__argument *argument)
{
	mp__argument_cleanup(argument);
	argument->data = argument->small;
	argument->size = 0;
	int r = mp__argument_encode(argument, argument->manager, argument->value);
	if (r == 0 && argument->field)
		mp__argument_stand_in(argument, argument->field);
	return r;
}

int mp__argument_decode(struct mp_manager *manager, uint64_t serial, const Mp__Response *response,
	ProtobufCBinaryData bytes, mp_obj *ret_value)
{
	struct referrer referrer = {
		.base = {.resolve = resolve},
		.manager = manager,
		.serial = serial,
		.response = response,
	};
	struct mp__cargo cargo = {.referrer = &referrer.base};
	int r = mp__obj_decode(bytes.data, bytes.len, &cargo, ret_value);

	if (r < 0 && r != -ENOMEM)
		return mp_error_set(-EPROTO, "managerd sent %s", mp_error_detail());
	return r;
}
