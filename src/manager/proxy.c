/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "manager/proxy.h"

#include "base/error.h"
#include "manager/argument.h"
#include "manager/failure.h"
#include "manager/share.h"
#include "obj/utf8.h"
#include "wire/frame.h"

#include <string.h>

/* How long closing may wait for other threads that are sending. */
#define CLOSE_MS 1000
/* Objects that were made with objects that were made with objects. */
#define MADE_DEPTH_MAX 64

/* --- the handle ------------------------------------------------------------------------------- */

/* With one reference, which takes the one to the manager. */
static int proxy_new(
	struct mp_manager *manager, const void *name, size_t length, struct mp_proxy **ret_proxy)
{
	struct mp_proxy *proxy = calloc(1, sizeof(*proxy));

	if (!proxy)
		return mp_error_set(-ENOMEM, "no memory for a proxy");
	proxy->references = 1;
	proxy->manager = manager;
	proxy->name_length = length;
	if (length > 0)
		memcpy(proxy->name, name, length);
	*ret_proxy = proxy;
	return 0;
}

static bool is_class_name(const char *name)
{
	size_t length = strlen(name);

	return length > 0 && length <= MP__REFERENCE_CLASS_MAX && mp__utf8_valid(name, length);
}

/* What it is, is known now: dicts have functions, and handles, of their own. */
static void set_class(struct mp_proxy *proxy, const char *class_name)
{
	strcpy(proxy->object.class_name, class_name);
	proxy->handle.class = strcmp(class_name, "dict") == 0 ? &mp__dict_class : &mp__proxy_class;
}

static void proxy_free(struct mp_proxy *proxy)
{
	mp_obj_free(&proxy->made_with);
	free(proxy);
}

/* --- opening and closing ---------------------------------------------------------------------- */

/* A daemon that does not say what it has opened, opened what was asked for. */
static int take_opened(struct mp_proxy *proxy, const struct mp__connection *connection,
	const Mp__Opened *opened, const char *asked)
{
	const char *class_name = opened->class_name[0] != '\0' ? opened->class_name : asked;

	if (opened->token.len != sizeof(proxy->object.token) || !is_class_name(class_name))
		return mp__argument_unexpected();
	if (proxy->object.class_name[0] == '\0')
		set_class(proxy, class_name);
	else if (strcmp(proxy->object.class_name, class_name) != 0)
		return mp_error_set(-EEXIST, "the object is a %s now, and was a %s", class_name,
			proxy->object.class_name);
	memcpy(proxy->object.token, opened->token.data, sizeof(proxy->object.token));
	proxy->reference = opened->reference;
	proxy->serial = mp__connection_serial(connection);
	return 0;
}

static int send_open(struct mp_proxy *proxy, struct mp__connection *connection, Mp__Open *open,
	mp__deadline deadline)
{
	struct mp__reply reply;

	Mp__Request request = MP__REQUEST(OPEN, open, open);
	int r = mp__connection_call(connection, &request, deadline, &reply);
	if (r < 0)
		return mp__failure_said(proxy, &request, &reply, r);
	if (reply.response->result_case == MP__RESPONSE__RESULT_OPENED)
		r = take_opened(proxy, connection, reply.response->opened, open->class_name);
	else
		r = mp__argument_unexpected();
	mp__reply_free(&reply);
	return r;
}

/* A daemon that was started anew makes it again, if we know how, and what it was made with is there. */
static int know_how_to_make(struct mp_proxy *proxy, struct mp__connection *connection,
	mp__deadline deadline, int depth, struct mp__argument *args, Mp__Open *open)
{
	int r = 0;

	if (proxy->made_with.type == MP_TYPE_NIL && proxy->made_with_args)
		return 0;
	if (proxy->made_with.type != MP_TYPE_NIL)
		r = mp__argument_encode_for(
			args, proxy->manager, &proxy->made_with, connection, deadline, depth + 1);
	if (r == 0) {
		open->class_name = proxy->object.class_name;
		mp__argument_stand_in(args, &open->args);
	}
	return r == -EPIPE && !mp__connection_is_broken(connection) ? 0 : r;
}

/* Make it known to another connection. Under the manager's lock. */
static int open_again(
	struct mp_proxy *proxy, struct mp__connection *connection, mp__deadline deadline, int depth)
{
	Mp__Open open = MP__OPEN__INIT;
	MP__ARGUMENT(args);
	int r = 0;

	if (depth > MADE_DEPTH_MAX)
		return mp_error_set(-EOVERFLOW,
			"the %s was made with an object that was made with an object, and so on, "
			"more than %d",
			proxy->object.class_name, MADE_DEPTH_MAX);
	if (proxy->name_length > 0) {
		open.name = (ProtobufCBinaryData){proxy->name_length, (uint8_t *)proxy->name};
		r = know_how_to_make(proxy, connection, deadline, depth, &args, &open);
	} else {
		open.token =
			(ProtobufCBinaryData){sizeof(proxy->object.token), proxy->object.token};
	}
	if (r == 0)
		r = send_open(proxy, connection, &open, deadline);
	return r == -ENOENT ? mp_error_set(-EPIPE,
				      "the %s is gone: nobody had it open any more, or managerd "
				      "was started anew",
				      proxy->object.class_name)
			    : r;
}

/* A connection that knows the object, if there is one already, under the lock meanwhile. */
static int connect_once(struct mp_manager *manager, struct mp_proxy *proxy, mp__deadline deadline,
	struct mp__connection **ret_connection)
{
	int r = mp__manager_lock(manager, deadline, ret_connection);

	if (r < 0)
		return r;
	if (proxy && proxy->serial != mp__connection_serial(*ret_connection))
		r = open_again(proxy, *ret_connection, deadline, 0);
	if (r < 0) {
		mp__manager_unlock(manager);
		mp__connection_unref(*ret_connection);
	}
	return r;
}

/* The same, and it knows all objects in what is about to be sent: it may be another one each time. */
static int connect_with(struct mp_manager *manager, struct mp_proxy *proxy, mp__deadline deadline,
	struct mp__argument *sent, struct mp__connection **ret_connection, uint64_t *ret_reference)
{
	for (;;) {
		struct mp__connection *connection;
		int r = connect_once(manager, proxy, deadline, &connection);
		if (r < 0)
			return r;
		if (proxy)
			*ret_reference = proxy->reference;
		mp__manager_unlock(manager);
		if (mp__argument_is_for(sent, mp__connection_serial(connection))) {
			*ret_connection = connection;
			return 0;
		}
		mp__connection_unref(connection);
		r = mp__argument_renew(sent);
		if (r < 0)
			return r;
	}
}

static int open_first(struct mp_proxy *proxy, const char *class_name, mp_obj args)
{
	struct mp_manager *manager = proxy->manager;
	mp__deadline deadline = mp__manager_deadline(manager);
	struct mp__connection *connection;
	Mp__Open open = MP__OPEN__INIT;
	MP__ARGUMENT(a);
	int r = 0;

	if (args.type != MP_TYPE_NIL)
		r = mp__argument_encode(&a, manager, &args);
	if (r == 0 && a.size > 0 && proxy->name_length > 0)
		r = mp_obj_copy(args, &proxy->made_with);
	if (r < 0)
		return r;
	open.name = (ProtobufCBinaryData){proxy->name_length, (uint8_t *)proxy->name};
	open.class_name = (char *)(class_name ? class_name : "");
	mp__argument_stand_in(&a, &open.args);
	proxy->made_with_args = a.size > 0;
	r = connect_with(manager, NULL, deadline, &a, &connection, NULL);
	if (r < 0)
		return r;
	r = send_open(proxy, connection, &open, deadline);
	mp__connection_unref(connection);
	return r;
}

int mp__proxy_open(struct mp_manager *manager, const char *class_name, const char *name,
	mp_obj args, struct mp_proxy **ret_proxy)
{
	size_t length = name ? strlen(name) : 0;
	struct mp_proxy *proxy;

	if (name && (length == 0 || length > MP__NAME_MAX_BYTES))
		return mp_error_set(-EINVAL, "the name of an object has 1 to %d bytes, not %zu",
			MP__NAME_MAX_BYTES, length);
	if (!mp__utf8_valid(name, length))
		return mp_error_set(-EILSEQ, "the name of an object is not UTF-8");
	if (args.type != MP_TYPE_NIL && args.type != MP_TYPE_LIST)
		return mp_error_set(-EINVAL,
			"opening an object with arguments that are no list; use MP_LIST()");
	int r = proxy_new(manager, name, length, &proxy);
	if (r < 0)
		return r;
	r = open_first(proxy, class_name, args);
	if (r < 0) {
		proxy_free(proxy);
		return r;
	}
	mp_manager_ref(manager);
	*ret_proxy = proxy;
	return 0;
}

int mp_manager_open(
	mp_manager *manager, const char *type, const char *name, mp_obj args, mp_proxy **ret_proxy)
{
	if (!manager || !ret_proxy)
		return mp_error_set(
			-EINVAL, "opening an object: no manager, or no place for the proxy");
	if (!type && !name)
		return mp_error_set(-EINVAL, "opening an object: neither a type nor a name");
	if (type && !is_class_name(type))
		return mp_error_set(-EINVAL, "opening an object: that is no name of a type");
	return mp__proxy_open(manager, type, name, args, ret_proxy);
}

mp_proxy *mp_proxy_ref(mp_proxy *proxy)
{
	if (proxy)
		atomic_fetch_add_explicit(&proxy->references, 1, memory_order_relaxed);
	return proxy;
}

/*
 * Tell the daemon, if it still knows the object; an end of the connection says the same. Closing
 * waits for nobody: not for the answer, and not for a daemon that takes nothing any more.
 */
static void forget(struct mp_proxy *proxy)
{
	Mp__Close close = MP__CLOSE__INIT;
	struct mp__connection *connection;
	mp__deadline deadline = mp__deadline_in(CLOSE_MS);

	if (mp__manager_lock_as_is(proxy->manager, deadline, &connection) < 0)
		return;
	mp__manager_unlock(proxy->manager);
	if (!connection)
		return;
	if (proxy->serial == mp__connection_serial(connection)) {
		close.reference = proxy->reference;
		Mp__Request request = MP__REQUEST(CLOSE, close, &close);
		mp__connection_post(connection, &request, deadline);
	}
	mp__connection_unref(connection);
}

int mp_proxy_close(mp_proxy *proxy)
{
	if (!proxy || atomic_fetch_sub_explicit(&proxy->references, 1, memory_order_acq_rel) > 1)
		return 0;
	forget(proxy);
	mp_manager_close(proxy->manager);
	proxy_free(proxy);
	return 0;
}

const char *mp_proxy_type(const mp_proxy *proxy)
{
	return proxy ? proxy->object.class_name : NULL;
}

int mp_proxy_equal(const mp_proxy *a, const mp_proxy *b)
{
	return a == b ||
	       (a && b && memcmp(a->object.token, b->object.token, sizeof(a->object.token)) == 0);
}

mp_dict *mp_proxy_dict(mp_proxy *proxy)
{
	if (!proxy || proxy->handle.class != &mp__dict_class)
		return NULL;
	return (mp_dict *)mp_proxy_ref(proxy);
}

/* --- requests --------------------------------------------------------------------------------- */

int mp__proxy_connection(struct mp_proxy *proxy, mp__deadline deadline, struct mp__argument *sent,
	struct mp__connection **ret_connection, uint64_t *ret_reference)
{
	return connect_with(proxy->manager, proxy, deadline, sent, ret_connection, ret_reference);
}

int mp__proxy_find(struct mp_proxy *proxy, struct mp__reference *ret_object, uint64_t *ret_serial)
{
	mp__deadline deadline = mp__manager_deadline(proxy->manager);
	struct mp__connection *connection;

	int r = connect_once(proxy->manager, proxy, deadline, &connection);
	if (r < 0)
		return r;
	*ret_object = proxy->object;
	*ret_serial = proxy->serial;
	mp__manager_unlock(proxy->manager);
	mp__connection_unref(connection);
	return 0;
}

int mp__proxy_know(struct mp_proxy *proxy, struct mp__connection *connection, mp__deadline deadline,
	int depth, struct mp__reference *ret_object)
{
	int r = 0;

	if (proxy->serial != mp__connection_serial(connection))
		r = open_again(proxy, connection, deadline, depth);
	if (r == 0)
		*ret_object = proxy->object;
	return r;
}

int mp__proxy_request(struct mp_proxy *proxy, Mp__Request *request, uint64_t *reference,
	struct mp__argument *sent, mp__deadline deadline, struct mp__reply *reply,
	uint64_t *ret_serial)
{
	struct mp__connection *connection;

	int r = mp__proxy_connection(proxy, deadline, sent, &connection, reference);
	if (r < 0)
		return r;
	*ret_serial = mp__connection_serial(connection);
	r = mp__failure_said(
		proxy, request, reply, mp__connection_call(connection, request, deadline, reply));
	mp__connection_unref(connection);
	return r;
}

/* --- the class -------------------------------------------------------------------------------- */

int mp__proxy_of_reference(struct mp_manager *manager, const struct mp__reference *object,
	uint64_t serial, uint64_t reference, struct mp__handle **ret_handle)
{
	struct mp_proxy *proxy;

	int r = proxy_new(manager, NULL, 0, &proxy);
	if (r < 0)
		return r;
	memcpy(proxy->object.token, object->token, sizeof(object->token));
	set_class(proxy, object->class_name);
	proxy->serial = serial;
	proxy->reference = reference;
	mp_manager_ref(manager);
	*ret_handle = &proxy->handle;
	return 0;
}

static void class_ref(struct mp__handle *handle)
{
	mp_proxy_ref((mp_proxy *)handle);
}

static void class_unref(struct mp__handle *handle)
{
	mp_proxy_close((mp_proxy *)handle);
}

/* What stands behind the manager; then the name, if there is one. */
struct travel {
	struct mp__reference object;
	uint8_t made_with_args;
};

int mp__proxy_export(struct mp__handle *handle, struct mp__handle_wire *ret_wire)
{
	const struct mp_proxy *proxy = (const struct mp_proxy *)handle;
	struct travel travel = {.object = proxy->object, .made_with_args = proxy->made_with_args};

	int r = mp__share_export(proxy->manager, ret_wire);
	if (r < 0)
		return r;
	if (ret_wire->size + sizeof(travel) + proxy->name_length > sizeof(ret_wire->data))
		return mp_error_set(
			-EMSGSIZE, "the name and the address of an object are too long");
	uint8_t *at = ret_wire->data + ret_wire->size;
	memcpy(at, &travel, sizeof(travel));
	memcpy(at + sizeof(travel), proxy->name, proxy->name_length);
	ret_wire->size += sizeof(travel) + proxy->name_length;
	return 0;
}

static bool is_travel(const struct travel *travel, const void *name, size_t name_length)
{
	return memchr(travel->object.class_name, '\0', sizeof(travel->object.class_name)) &&
	       is_class_name(travel->object.class_name) && name_length <= MP__NAME_MAX_BYTES &&
	       mp__utf8_valid(name, name_length);
}

int mp__proxy_import(struct mp__handle_wire *wire, struct mp__handle **ret_handle)
{
	struct mp_manager *manager;
	struct mp_proxy *proxy = NULL;
	struct travel travel;
	size_t at = 0;

	int r = mp__share_import(wire, &at, &manager);
	if (r < 0)
		return r;
	size_t left = wire->size - at;
	const uint8_t *name = wire->data + at + sizeof(travel);
	if (left >= sizeof(travel))
		memcpy(&travel, wire->data + at, sizeof(travel));
	if (left < sizeof(travel) || !is_travel(&travel, name, left - sizeof(travel)))
		r = mp_error_set(-EBADMSG, "the handle of a proxy is damaged");
	else
		r = proxy_new(manager, name, left - sizeof(travel), &proxy);
	if (r < 0) {
		mp_manager_close(manager);
		return r;
	}
	memcpy(proxy->object.token, travel.object.token, sizeof(proxy->object.token));
	set_class(proxy, travel.object.class_name);
	proxy->made_with_args = travel.made_with_args != 0;
	*ret_handle = &proxy->handle;
	return 0;
}

const struct mp__handle_class mp__proxy_class = {
	.kind = MP__HANDLE_PROXY,
	.name = "proxy",
	.ref = class_ref,
	.unref = class_unref,
	.export = mp__proxy_export,
	.import = mp__proxy_import,
};

const struct mp__handle_class mp__dict_class = {
	.kind = MP__HANDLE_DICT,
	.name = "dict",
	.ref = class_ref,
	.unref = class_unref,
	.export = mp__proxy_export,
	.import = mp__proxy_import,
};

mp_obj mp_proxy_handle(mp_proxy *proxy)
{
	return mp__handle_obj(proxy ? &proxy->handle : NULL);
}

mp_proxy *mp_obj_proxy(const mp_obj *value)
{
	struct mp__handle *handle = mp__obj_handle(value, MP__HANDLE_PROXY);

	return (mp_proxy *)(handle ? handle : mp__obj_handle(value, MP__HANDLE_DICT));
}
