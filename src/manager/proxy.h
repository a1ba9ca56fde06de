/* SPDX-License-Identifier: MIT */
/*
 * manager/proxy.h - the handle of one object of a managerd, whatever its type.
 *
 * A proxy knows how to open its object again, by name or by token, and does so when it is used over
 * another connection than the last time: after a reconnection, and in a forked child. All typed
 * handles are proxies with functions of their own.
 */
#ifndef MP_MANAGER_PROXY_H
#define MP_MANAGER_PROXY_H

#include "manager/manager.h"

#include <mp/handle.h>
#include <mp/proxy.h>

#define MP__NAME_MAX_BYTES 255

struct mp_proxy {
	struct mp__handle handle;
	_Atomic unsigned int references;
	struct mp_manager *manager;
	struct mp__reference object; /* token and class */
	mp_obj made_with;            /* a list for making a named one anew; or nil */
	bool made_with_args;         /* but if that is nil, only another process knows with which */
	size_t name_length;          /* 0: it has none */
	char name[MP__NAME_MAX_BYTES];
	/* Under the manager's lock: the connection that knows the object, and as what. */
	uint64_t serial;
	uint64_t reference;
};

extern const struct mp__handle_class mp__proxy_class;

/* A dict is a proxy by another name, which only keeps callers from mixing them up. */
static inline struct mp_proxy *mp__proxy_of_dict(mp_dict *dict)
{
	return (struct mp_proxy *)dict;
}

/*
 * Open the object of that class (NULL: whatever it is) and name (NULL: a new one without). `args` is a
 * list, or nil. The errors of mp_manager_open().
 */
int mp__proxy_open(struct mp_manager *manager, const char *class_name, const char *name,
	mp_obj args, struct mp_proxy **ret_proxy);

/* A handle of what an answer has opened for the connection of that serial, under that number. */
int mp__proxy_of_reference(struct mp_manager *manager, const struct mp__reference *object,
	uint64_t serial, uint64_t reference, struct mp__handle **ret_handle);

struct mp__argument;

/*
 * A reference to the connection, which knows the object as *ret_reference if the result is 0, and the
 * objects in what is about to be sent over it (NULL: there are none).
 */
int mp__proxy_connection(struct mp_proxy *proxy, mp__deadline deadline, struct mp__argument *sent,
	struct mp__connection **ret_connection, uint64_t *ret_reference);

/*
 * One request about the object. `reference` is the field of the operation in which the daemon's
 * number belongs: it is known only when the connection is. `sent` as above. The reply is to be freed
 * unless the result is negative.
 */
int mp__proxy_request(struct mp_proxy *proxy, Mp__Request *request, uint64_t *reference,
	struct mp__argument *sent, mp__deadline deadline, struct mp__reply *reply,
	uint64_t *ret_serial);

/* What names the object in the daemon that there is, and the connection that knows it. */
int mp__proxy_find(struct mp_proxy *proxy, struct mp__reference *ret_object, uint64_t *ret_serial);
/*
 * The same for this connection, under the manager's lock. An object that is made anew may have been made
 * with others, and these as well: `depth` says how many there are around this one.
 */
int mp__proxy_know(struct mp_proxy *proxy, struct mp__connection *connection, mp__deadline deadline,
	int depth, struct mp__reference *ret_object);

/* For the classes of handles that are proxies. */
int mp__proxy_export(struct mp__handle *handle, struct mp__handle_wire *ret_wire);
int mp__proxy_import(struct mp__handle_wire *wire, struct mp__handle **ret_handle);

/*
 * mp_proxy_call() for typed functions: is the object of that class (-EINVAL), and then the call.
 * ret_result NULL: it is not wanted.
 */
int mp__proxy_call(struct mp_proxy *proxy, const char *class_name, const char *method, mp_obj args,
	int timeout_ms, mp_obj *ret_result);
/* The same where the result is a number or a bool; *ret_number may be set by a positive result too. */
int mp__proxy_call_i64(struct mp_proxy *proxy, const char *class_name, const char *method,
	mp_obj args, int timeout_ms, int64_t *ret_number);
/* The same where the result is a time in milliseconds, or nil: then *ret_ttl_ms is MP_FOREVER. */
int mp__proxy_call_ttl(struct mp_proxy *proxy, const char *class_name, const char *method,
	mp_obj args, int64_t *ret_ttl_ms);
/* 1 or 0. */
int mp__proxy_call_bool(struct mp_proxy *proxy, const char *class_name, const char *method,
	mp_obj args, int timeout_ms);

#endif
