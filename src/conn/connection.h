/* SPDX-License-Identifier: MIT */
/*
 * conn/connection.h - what a connection is inside, and what a back end of one must offer.
 *
 * connection.c is the front: it checks arguments, encodes and decodes values, counts references.
 * A back end moves whole messages. It is thread-safe by itself, keeps deadlines, and never shows a
 * part of a message. Receiving is in two steps, look and release, so that the front can decode
 * where the message lies, and leave one where it is that the caller has no room for.
 *
 * struct mp_connection stands first in the back end's own struct. Back ends: packet.c (Unix sockets
 * that keep boundaries), stream.c (everything else that is a socket).
 */
#ifndef MP_CONN_CONNECTION_H
#define MP_CONN_CONNECTION_H

#include "base/deadline.h"
#include "obj/codec.h"
#include "obj/handle.h"

#include "shm/watch.h"

#include <mp/connection.h>
#include <stdatomic.h>
#include <stdbool.h>

#define MP__CONN_MAX_MESSAGE ((size_t)64 << 20)

/* What a message is; on the wire too. */
enum mp__message_kind {
	MP__MESSAGE_VALUE = 1,     /* an encoded mp.Value, with descriptors perhaps */
	MP__MESSAGE_BYTES = 2,     /* the user's bytes */
	MP__MESSAGE_HANDSHAKE = 3, /* never seen by the front: how connections begin */
	MP__MESSAGE_WAKE = 4,      /* likewise: makes the socket of a pipe readable */
};

/* One to send: all of it is the caller's. */
struct mp__outgoing {
	enum mp__message_kind kind;
	const void *data;
	size_t size;
	const int *fds;
	size_t n_fds;
	uint16_t tag; /* 0 but in the socket of a pipe */
};

/* One that came: all of it is the back end's, until it is released. */
struct mp__incoming {
	enum mp__message_kind kind;
	const uint8_t *data; /* NULL: it is not in memory, ask `read` */
	size_t size;
	uint16_t tag;
	struct mp__cargo *cargo; /* descriptors; decoding takes them out of there */
};

struct mp__conn_ops {
	/*
	 * Send all of it or nothing: 0, -ETIMEDOUT, -EPIPE, -EINPROGRESS (a part has left, the rest
	 * will follow by itself), -ENOTSUP descriptors, -ENOMEM, -EMFILE. The size was checked.
	 */
	int (*send)(
		struct mp_connection *c, const struct mp__outgoing *message, mp__deadline deadline);

	/*
	 * Wait for the next message and show it. After 0 the receiving side belongs to this thread
	 * until release(). -ETIMEDOUT, -EPIPE, -EBADMSG, ...: then there is nothing to release.
	 */
	int (*look)(struct mp_connection *c, mp__deadline deadline, struct mp__incoming *ret);
	/* Copy the message that look() shows; used if it gave no data. 0, -EBADMSG. */
	int (*read)(struct mp_connection *c, void *buffer);
	/* Done with it: taken, or left to be seen again. */
	void (*release)(struct mp_connection *c, bool taken);

	/* 1 look() would show something or fail, 0 not in time. */
	int (*poll)(struct mp_connection *c, mp__deadline deadline);
	/* Is there something that this descriptor does not show: in memory, or looked at? */
	bool (*holds)(struct mp_connection *c);
	/*
	 * For who waits for this and others: the descriptor that says the rest, for these events; the
	 * bell that is rung for messages, if they come by memory, else NULL.
	 */
	int (*watch)(
		struct mp_connection *c, short *ret_events, struct mp__watched_bell **ret_bell);
	int (*fileno)(struct mp_connection *c);
	int (*shutdown)(struct mp_connection *c);
	/* The last reference in this process is gone: release everything, the struct too. */
	void (*destroy)(struct mp_connection *c);

	/* As in struct mp__handle_class. -EBUSY something of a message is in this process's memory. */
	int (*export)(struct mp_connection *c, struct mp__handle_wire *ret_wire);
	/* NULL: no socket */
	int (*credentials)(struct mp_connection *c, pid_t *pid, uid_t *uid, gid_t *gid);
};

struct mp_connection {
	struct mp__handle handle;
	const struct mp__conn_ops *ops;
	_Atomic unsigned int references;
	_Atomic bool
		may_hold; /* a message was left, or an error, and ops->holds() has to be asked */
	int direction;    /* enum mp_connection_direction */
	size_t max_message;
};

extern const struct mp__handle_class mp__connection_class;

/* Counts how often a message or an error was left, in this process: who waits looks again. */
extern _Atomic unsigned mp__conn_kept;

/* Fill in the front's part: one reference, the defaults of options that were loaded. */
void mp__conn_init(
	struct mp_connection *c, const struct mp__conn_ops *ops, int direction, size_t max_message);

/* -EINVAL: a call is given NULL for its result. */
int mp__conn_no_place(void);

/*
 * Load the options of a call; `with_key`: they may have a key, and no direction; without, the other
 * way round. -EINVAL, -E2BIG.
 */
int mp__conn_options(
	const mp_connection_options *options, bool with_key, mp_connection_options *ret_options);

/* The direction of the other end. */
int mp__conn_opposite(int direction);

#endif
