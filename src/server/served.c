/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "server/served.h"

#include "base/error.h"

#include <stdlib.h>
#include <string.h>

struct mp__served {
	struct mp__handle handle; /* first */
	unsigned int references;
	struct serve_object *object; /* NULL: the server has ended */
	struct mp__served_list *list;
	struct mp__served *next;
	struct mp__served *previous;
};

static void ref(struct mp__handle *handle)
{
	((struct mp__served *)handle)->references++;
}

static void leave(struct mp__served *served)
{
	if (served->previous)
		served->previous->next = served->next;
	else
		served->list->first = served->next;
	if (served->next)
		served->next->previous = served->previous;
}

/* The object may go with it, and with that other handles. */
static void unref(struct mp__handle *handle)
{
	struct mp__served *served = (struct mp__served *)handle;
	struct serve_object *object = served->object;

	if (--served->references > 0)
		return;
	if (object)
		leave(served);
	free(served);
	serve_object_unref(object);
}

static int export(struct mp__handle *handle, struct mp__handle_wire *ret_wire)
{
	(void)handle;
	(void)ret_wire;
	return mp_error_set(-ENOTSUP, "a served object leaves its server only in a result");
}

static int import(struct mp__handle_wire *wire, struct mp__handle **ret_handle)
{
	(void)wire;
	(void)ret_handle;
	return mp_error_set(-EBADMSG, "a served object that is no reference");
}

const struct mp__handle_class mp__served_class = {
	MP__HANDLE_SERVED, "served", ref, unref, export, import};

struct serve_object *mp__served_object(const struct mp__handle *handle)
{
	return handle && handle->class == &mp__served_class
		       ? ((const struct mp__served *)handle)->object
		       : NULL;
}

struct mp__handle *mp__served_new(struct mp__served_list *list, struct serve_object *object)
{
	struct mp__served *served = malloc(sizeof(*served));

	if (!served)
		return NULL;
	*served = (struct mp__served){
		.handle = {&mp__served_class},
		.references = 1,
		.object = object,
		.list = list,
		.next = list->first,
	};
	if (list->first)
		list->first->previous = served;
	list->first = served;
	return &served->handle;
}

void mp__served_forget(struct mp__handle *handle)
{
	if (handle)
		leave((struct mp__served *)handle);
	free(handle);
}

void mp__served_let_go(struct mp__served_list *list)
{
	struct mp__served *served;

	while ((served = list->first)) {
		struct serve_object *object = served->object;
		leave(served);
		served->object = NULL;
		serve_object_unref(object);
	}
}

/* --- values ------------------------------------------------------------------------------------- */

static int refer(struct mp__referrer *referrer, struct mp__handle *handle,
	struct mp__reference *ret_reference)
{
	struct mp__served_referrer *r = (struct mp__served_referrer *)referrer;
	const struct serve_object *object = mp__served_object(handle);

	if (!object)
		return mp_error_set(-ENOTSUP, "a %s in a result, where only served objects can be",
			handle->class->name);
	if (object->registry != &r->call->session->context->registry)
		return mp_error_set(-ENOTSUP, "an object of another server in a result");
	memcpy(ret_reference->token, object->token, sizeof(ret_reference->token));
	strcpy(ret_reference->class_name, object->class->name);
	r->referred++;
	return 0;
}

static int resolve(struct mp__referrer *referrer, const struct mp__reference *reference,
	struct mp__handle **ret_handle)
{
	const struct mp__served_referrer *r = (const struct mp__served_referrer *)referrer;
	struct serve_object *object =
		serve_registry_find_token(&r->call->session->context->registry, reference->token);

	if (!object)
		return mp_error_set(-EPIPE, "an argument is of an object that is gone");
	if (strcmp(object->class->name, reference->class_name) != 0)
		return mp_error_set(-EINVAL, "an argument is a %s, and said to be a %s",
			object->class->name, reference->class_name);
	*ret_handle = mp__served_new(r->list, object);
	if (!*ret_handle)
		return mp_error_set(-ENOMEM, "no memory for an object in an argument");
	serve_object_ref(object);
	return 0;
}

void mp__served_referrer_init(
	struct mp__served_referrer *referrer, struct serve_call *call, struct mp__served_list *list)
{
	*referrer = (struct mp__served_referrer){
		.base = {.refer = refer, .resolve = resolve}, .call = call, .list = list};
}
