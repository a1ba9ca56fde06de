/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "conn/connection.h"

#include "base/cleanup.h"
#include "base/error.h"
#include "base/options.h"
#include "conn/pipe.h"
#include "conn/socket.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

/* Values up to this size are encoded on the stack. */
#define VALUE_SMALL 1024

/* --- making ----------------------------------------------------------------------------------- */

int mp__conn_options(
	const mp_connection_options *options, bool with_key, mp_connection_options *ret_options)
{
	mp_connection_options o;

	int r = mp__options_load(&o, sizeof(o), 0, options);
	if (r < 0)
		return r;
	if (o.direction < MP_CONNECTION_DUPLEX || o.direction > MP_CONNECTION_WRITE)
		return mp_error_set(
			-EINVAL, "a new connection: there is no direction %d", o.direction);
	if (with_key && o.direction != MP_CONNECTION_DUPLEX)
		return mp_error_set(-EINVAL, "opening a connection: to a listener it has both "
					     "directions, leave the option away");
	if (!with_key && (o.authkey || o.authkey_size > 0))
		return mp_error_set(-EINVAL,
			"a new pair: a key is for mp_connection_open() and listeners only");
	if (!o.authkey && o.authkey_size > 0)
		return mp_error_set(-EINVAL, "a key of %zu bytes at NULL", o.authkey_size);
	if (o.max_message > SSIZE_MAX)
		return mp_error_set(-EINVAL, "a longest message of %zu bytes", o.max_message);
	*ret_options = o;
	return 0;
}

void mp__conn_init(
	struct mp_connection *c, const struct mp__conn_ops *ops, int direction, size_t max_message)
{
	c->handle.class = &mp__connection_class;
	c->ops = ops;
	atomic_init(&c->references, 1);
	c->direction = direction;
	c->max_message = max_message > 0 ? max_message : MP__CONN_MAX_MESSAGE;
}

int mp__conn_opposite(int direction)
{
	switch (direction) {
	case MP_CONNECTION_READ:
		return MP_CONNECTION_WRITE;
	case MP_CONNECTION_WRITE:
		return MP_CONNECTION_READ;
	default:
		return MP_CONNECTION_DUPLEX;
	}
}

int mp__conn_no_place(void)
{
	return mp_error_set(-EINVAL, "no place for the result: the pointer is NULL");
}

/* --- sending ---------------------------------------------------------------------------------- */

static int no_handle(void)
{
	return mp_error_set(-EINVAL, "no connection: the pointer is NULL");
}

static int check_direction(const mp_connection *c, int wrong)
{
	if (!c)
		return no_handle();
	if (c->direction == wrong)
		return mp_error_set(
			-EBADF, wrong == MP_CONNECTION_READ
					? "sending: this end of the connection only receives"
					: "receiving: this end of the connection only sends");
	return 0;
}

/* MP_NOWAIT asks whether it would block, and is told so. */
static int in_time(int result, int timeout_ms)
{
	return result == -ETIMEDOUT && timeout_ms == MP_NOWAIT ? -EAGAIN : result;
}

static int send_message(mp_connection *c, const struct mp__outgoing *message, int timeout_ms)
{
	if (message->size > c->max_message)
		return mp_error_set(-EMSGSIZE,
			"a message of %zu bytes; the connection takes at most %zu (option "
			"max_message)",
			message->size, c->max_message);
	return in_time(c->ops->send(c, message, mp__deadline_in(timeout_ms)), timeout_ms);
}

int mp_connection_send_bytes(mp_connection *c, const void *data, size_t size, int timeout_ms)
{
	int r = check_direction(c, MP_CONNECTION_READ);

	if (r < 0)
		return r;
	if (!data && size > 0)
		return mp_error_set(-EINVAL, "sending %zu bytes at NULL", size);
	const struct mp__outgoing message = {.kind = MP__MESSAGE_BYTES, .data = data, .size = size};
	return send_message(c, &message, timeout_ms);
}

int mp_connection_send(mp_connection *c, mp_obj value, int timeout_ms)
{
	struct mp__outgoing message = {.kind = MP__MESSAGE_VALUE};
	struct mp__cargo cargo = {.grows = true};
	MP__AUTO_FREE void *large = NULL;
	uint8_t small[VALUE_SMALL];

	int r = check_direction(c, MP_CONNECTION_READ);
	if (r < 0)
		return r;
	ssize_t size = mp__obj_encode_into(&value, &cargo, small, sizeof(small));
	message.size = (size_t)size;
	message.data = small;
	if (size > (ssize_t)sizeof(small)) {
		r = mp__obj_encode(&value, 0, &cargo, &large, &message.size);
		message.data = large;
	} else if (size < 0) {
		r = (int)size;
	}
	message.fds = cargo.fds;
	message.n_fds = cargo.n_fds;
	if (r == 0)
		r = send_message(c, &message, timeout_ms);
	free(cargo.fds);
	return r;
}

/* --- receiving -------------------------------------------------------------------------------- */

_Atomic unsigned mp__conn_kept;

static void note_that_it_may_hold(mp_connection *c)
{
	atomic_store_explicit(&c->may_hold, true, memory_order_relaxed);
	/* After it: who sees another count asks this connection. */
	atomic_fetch_add_explicit(&mp__conn_kept, 1, memory_order_release);
}

static void release(mp_connection *c, bool taken)
{
	c->ops->release(c, taken);
	if (!taken)
		note_that_it_may_hold(c);
}

static int look(mp_connection *c, int timeout_ms, struct mp__incoming *ret)
{
	int r = c->ops->look(c, mp__deadline_in(timeout_ms), ret);

	if (r < 0 && r != -ETIMEDOUT)
		note_that_it_may_hold(c);
	return in_time(r, timeout_ms);
}

/* All of it, to where the caller wants it. */
static int copy_out(mp_connection *c, const struct mp__incoming *message, void *buffer)
{
	if (!message->data)
		return c->ops->read(c, buffer);
	if (message->size > 0)
		memcpy(buffer, message->data, message->size);
	return 0;
}

static int decode(mp_connection *c, const struct mp__incoming *message, mp_obj *ret_value)
{
	MP__AUTO_FREE void *copy = NULL;
	const void *data = message->data;

	if (!data) {
		copy = malloc(message->size ? message->size : 1);
		if (!copy)
			return mp_error_set(
				-ENOMEM, "no memory for a message of %zu bytes", message->size);
		int r = c->ops->read(c, copy);
		if (r < 0)
			return r;
		data = copy;
	}
	if (message->kind == MP__MESSAGE_BYTES)
		return mp_obj_copy(mp_bytes(data, message->size), ret_value);
	return mp__obj_decode(data, message->size, message->cargo, ret_value);
}

int mp_connection_recv(mp_connection *c, int timeout_ms, mp_obj *ret_value)
{
	struct mp__incoming message;

	if (!ret_value)
		return mp__conn_no_place();
	int r = check_direction(c, MP_CONNECTION_WRITE);
	if (r == 0)
		r = look(c, timeout_ms, &message);
	if (r < 0)
		return r;
	r = decode(c, &message, ret_value);
	/* Descriptors may be gone from the cargo already: such a message cannot be decoded twice. */
	release(c, r != -ENOMEM || message.cargo->n_fds > 0);
	return r;
}

/* The next one, if it is of bytes. */
static int look_bytes(mp_connection *c, int timeout_ms, struct mp__incoming *ret)
{
	int r = check_direction(c, MP_CONNECTION_WRITE);

	if (r == 0)
		r = look(c, timeout_ms, ret);
	if (r < 0)
		return r;
	if (ret->kind == MP__MESSAGE_BYTES)
		return 0;
	release(c, false);
	return mp_error_set(-ENOMSG, "the next message is a value; mp_connection_recv() takes it");
}

int mp_connection_recv_bytes(mp_connection *c, int timeout_ms, void **ret_data, size_t *ret_size)
{
	struct mp__incoming message;

	if (!ret_data || !ret_size)
		return mp__conn_no_place();
	int r = look_bytes(c, timeout_ms, &message);
	if (r < 0)
		return r;
	void *data = malloc(message.size ? message.size : 1);
	r = data ? copy_out(c, &message, data)
		 : mp_error_set(-ENOMEM, "no memory for a message of %zu bytes", message.size);
	release(c, data != NULL);
	if (r < 0) {
		free(data);
		return r;
	}
	*ret_data = data;
	*ret_size = message.size;
	return 0;
}

int mp_connection_recv_bytes_into(
	mp_connection *c, void *buffer, size_t size, int timeout_ms, size_t *ret_size)
{
	struct mp__incoming message;

	if (!buffer && size > 0)
		return mp_error_set(-EINVAL, "receiving: room for %zu bytes at NULL", size);
	if (!ret_size)
		return mp__conn_no_place();
	int r = look_bytes(c, timeout_ms, &message);
	if (r < 0)
		return r;
	if (message.size > size) {
		release(c, false);
		*ret_size = message.size;
		return mp_error_set(-EMSGSIZE,
			"receiving a message of %zu bytes: there is room for %zu; it stays",
			message.size, size);
	}
	r = copy_out(c, &message, buffer);
	release(c, true);
	if (r == 0)
		*ret_size = message.size;
	return r;
}

int mp_connection_poll(mp_connection *c, int timeout_ms)
{
	int r = check_direction(c, MP_CONNECTION_WRITE);

	return r < 0 ? r : c->ops->poll(c, mp__deadline_in(timeout_ms));
}

/* --- the rest --------------------------------------------------------------------------------- */

int mp_connection_fileno(mp_connection *c)
{
	return c ? c->ops->fileno(c) : no_handle();
}

int mp_connection_direction(mp_connection *c)
{
	return c ? c->direction : no_handle();
}

int mp_connection_shutdown(mp_connection *c)
{
	int r = check_direction(c, MP_CONNECTION_READ);

	return r < 0 ? r : c->ops->shutdown(c);
}

int mp_connection_peer_credentials(mp_connection *c, pid_t *ret_pid, uid_t *ret_uid, gid_t *ret_gid)
{
	pid_t pid;
	uid_t uid;
	gid_t gid;

	if (!c)
		return no_handle();
	int r = c->ops->credentials
			? c->ops->credentials(c, &pid, &uid, &gid)
			: mp_error_set(-ENOTSUP,
				  "credentials: only Unix sockets know who is on the other side");
	if (r < 0)
		return r;
	if (ret_pid)
		*ret_pid = pid;
	if (ret_uid)
		*ret_uid = uid;
	if (ret_gid)
		*ret_gid = gid;
	return 0;
}

mp_connection *mp_connection_ref(mp_connection *c)
{
	if (c)
		atomic_fetch_add_explicit(&c->references, 1, memory_order_relaxed);
	return c;
}

int mp_connection_close(mp_connection *c)
{
	/* Release and acquire: all use of the handle comes before its end. */
	if (c && atomic_fetch_sub_explicit(&c->references, 1, memory_order_acq_rel) == 1)
		c->ops->destroy(c);
	return 0;
}

/* --- the class -------------------------------------------------------------------------------- */

static void class_ref(struct mp__handle *handle)
{
	mp_connection_ref((mp_connection *)handle);
}

static void class_unref(struct mp__handle *handle)
{
	mp_connection_close((mp_connection *)handle);
}

static int class_export(struct mp__handle *handle, struct mp__handle_wire *ret_wire)
{
	mp_connection *c = (mp_connection *)handle;

	return c->ops->export(c, ret_wire);
}

static int class_import(struct mp__handle_wire *wire, struct mp__handle **ret_handle)
{
	mp_connection *c;
	int r;

	/* The first byte says which back end it is. */
	if (wire->size > 0 && wire->data[0] == MP__TRAVEL_SOCKET)
		r = mp__socket_import(wire, &c);
	else if (wire->size > 0 && wire->data[0] == MP__TRAVEL_PIPE)
		r = mp__pipe_import(wire, &c);
	else
		r = mp_error_set(-EBADMSG, "the handle of a connection is damaged");
	if (r == 0)
		*ret_handle = &c->handle;
	return r;
}

const struct mp__handle_class mp__connection_class = {
	.kind = MP__HANDLE_CONNECTION,
	.name = "connection",
	.ref = class_ref,
	.unref = class_unref,
	.export = class_export,
	.import = class_import,
};

mp_obj mp_connection_handle(mp_connection *c)
{
	return mp__handle_obj(c ? &c->handle : NULL);
}

mp_connection *mp_obj_connection(const mp_obj *value)
{
	return (mp_connection *)mp__obj_handle(value, MP__HANDLE_CONNECTION);
}
