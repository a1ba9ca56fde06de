/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "manager/argument.h"

#include "base/error.h"
#include "manager/proxy.h"
#include "obj/codec.h"

struct referrer {
	struct mp__referrer base;
	struct mp_manager *manager;
	uint64_t serial;
	const Mp__Response *response;
	size_t next;
};

static bool is_proxy(const struct mp__handle *handle)
{
	return handle->class == &mp__proxy_class || handle->class == &mp__dict_class;
}

static int refer(struct mp__referrer *referrer, struct mp__handle *handle,
	struct mp__reference *ret_reference)
{
	const struct referrer *r = (const struct referrer *)referrer;
	const struct mp_proxy *proxy = (const struct mp_proxy *)handle;

	if (!is_proxy(handle))
		return mp_error_set(-ENOTSUP,
			"a %s in a value for managerd, which cannot keep it: only its own objects "
			"can stand there",
			handle->class->name);
	/* Copies of a handle may be several in a forked child, but all have its id. */
	if (memcmp(proxy->manager->id, r->manager->id, sizeof(r->manager->id)) != 0)
		return mp_error_set(-ENOTSUP, "a %s of another managerd in a value for this one",
			proxy->object.class_name);
	*ret_reference = proxy->object;
	return 0;
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

int mp__argument_encode(
	struct mp__argument *argument, struct mp_manager *manager, const mp_obj *value)
{
	struct referrer referrer = {.base = {.refer = refer}, .manager = manager};
	struct mp__cargo cargo = {.referrer = &referrer.base};
	ssize_t size = mp__obj_encode_into(value, &cargo, argument->small, sizeof(argument->small));

	if (size < 0)
		return (int)size;
	if ((size_t)size > sizeof(argument->small))
		return mp__obj_encode(value, 0, &cargo, &argument->data, &argument->size);
	argument->data = argument->small;
	argument->size = (size_t)size;
	return 0;
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
