/* SPDX-License-Identifier: MIT */
/*
 * mp/connection.h - messages between two processes, over sockets.
 *
 *	mp_connection *here, *there;
 *
 *	mp_connection_pair(NULL, &here, &there);
 *	mp_connection_send(here, MP_LIST(mp_str("total"), mp_i64(1632)), MP_FOREVER);
 *	mp_connection_recv(there, MP_FOREVER, &message);
 *
 * A message is a value or plain bytes, of any size up to a limit, and arrives as it was sent: never
 * cut, never merged with another. The end of the other side is exact: the kernel counts who holds
 * it. Programs that are not related meet by mp/listener.h.
 *
 * An end may be used from any thread, and by several threads at once. In a forked child it works as
 * it is; the other side sees the end of file when the last process has closed it. As an argument,
 * and inside messages, it travels as mp_handle(connection).
 *
 * Common errors: -EINVAL no handle, or NULL for a result; -EBADF the end goes in the other direction
 * only; -EAGAIN a timeout of MP_NOWAIT would have to wait; -ETIMEDOUT; -ENOMEM. A deadline covers the
 * whole call.
 */
#ifndef MP_CONNECTION_H
#define MP_CONNECTION_H

#include <mp/handle.h>
#include <sys/types.h>

MP__BEGIN_DECLS

enum mp_connection_direction {
	MP_CONNECTION_DUPLEX, /* sends and receives */
	MP_CONNECTION_READ,   /* only receives */
	MP_CONNECTION_WRITE,  /* only sends */
};

typedef struct mp_connection_options {
	size_t size;         /* set by MP_CONNECTION_OPTIONS() */
	uint64_t flags;      /* none yet: others than 0 are -EINVAL */
	size_t max_message;  /* longest message, sent or received, in bytes. 0: 64 MiB */
	int direction;       /* pair: of the first end, the second is its opposite. Not for open */
	const void *authkey; /* open: both sides prove that they know it. NULL: no key */
	size_t authkey_size; /* may be 0: an empty key is a key */
} mp_connection_options;

#define MP_CONNECTION_OPTIONS(...) \
	(&(const mp_connection_options){.size = sizeof(mp_connection_options), __VA_ARGS__})

/*
 * Two ends that are connected, over a pair of Unix sockets. -EINVAL unknown direction, options that
 * are not for this call; -E2BIG; -EMFILE.
 */
int mp_connection_pair(const mp_connection_options *options, mp_connection **ret_first,
	mp_connection **ret_second);

/*
 * The same between processes of one tree, over shared memory: while both sides run, a message of up
 * to 16 KiB without handles costs no system call. An end has two descriptors, and both share some
 * 140 KiB of memory. Errors as mp_connection_pair(), and -ENOSPC.
 */
int mp_pipe(const mp_connection_options *options, mp_connection **ret_first,
	mp_connection **ret_second);

/*
 * Make an end of a connected socket that the program has: a Unix socket of type SOCK_SEQPACKET,
 * over which handles can travel, or any stream socket, over which they cannot. The connection
 * takes the descriptor if it succeeds. -EBADF not open, -ENOTSOCK no socket, -ENOTCONN not
 * connected, -EPROTOTYPE a socket of another type; -EINVAL, -E2BIG.
 */
int mp_connection_from_fd(
	int fd, const mp_connection_options *options, mp_connection **ret_connection);

/*
 * Send one message; it may wait until the other side has taken earlier ones. -EMSGSIZE longer than
 * max_message, -EPIPE the other side is closed or dead. A message is sent whole or not at all; only
 * over a stream, and with -ETIMEDOUT, may a part have left: the rest stays in the connection, goes
 * out before the next message, and -EINPROGRESS says so instead of -ETIMEDOUT. Values: errors of
 * mp_obj_copy(); -ENOTSUP a handle, over a stream; what the handle's own travel says.
 */
int mp_connection_send(mp_connection *connection, mp_obj value, int timeout_ms);
int mp_connection_send_bytes(
	mp_connection *connection, const void *data, size_t size, int timeout_ms);

/*
 * Receive the next message as a value that owns its content; plain bytes come as MP_TYPE_BYTES.
 * -EPIPE the other side is closed or dead, and everything that it sent was received; -EBADMSG what
 * came is no message, or longer than max_message: it is dropped (over a stream nothing can be
 * received afterwards); -EMFILE no room for its descriptors, it is lost;
 * -EKEYREJECTED the listener wants a key, and this end has shown none; -ENOTSUP, -EOVERFLOW as
 * mp_obj_decode().
 */
int mp_connection_recv(mp_connection *connection, int timeout_ms, mp_obj *ret_value);

/*
 * Receive the next message as plain bytes. *ret_data is malloc'ed: free() it; an empty message is
 * not NULL either. -ENOMSG the next message is a value: it stays. Others as mp_connection_recv().
 */
int mp_connection_recv_bytes(
	mp_connection *connection, int timeout_ms, void **ret_data, size_t *ret_size);

/*
 * The same into memory of the caller's. -EMSGSIZE the message is longer than `size`: it stays, and
 * *ret_size is its length.
 */
int mp_connection_recv_bytes_into(
	mp_connection *connection, void *buffer, size_t size, int timeout_ms, size_t *ret_size);

/*
 * Is there something to receive, the end of the other side included? 1, or 0 when it did not come
 * in time. Takes nothing.
 */
int mp_connection_poll(mp_connection *connection, int timeout_ms);

/*
 * A descriptor that polls readable (POLLIN) when something arrived. It belongs to the connection:
 * do not read, write or close it. A message that stayed after -EMSGSIZE or -ENOMSG does not show
 * there, only in mp_connection_poll().
 */
int mp_connection_fileno(mp_connection *connection);

/* MP_CONNECTION_DUPLEX, _READ, _WRITE. */
int mp_connection_direction(mp_connection *connection);

/*
 * Nothing more will be sent from this end, by no process that holds it: the other side receives
 * what is under way, and then -EPIPE. Receiving goes on. -EPIPE a pipe that was shut down before, a
 * stream that has broken; -EBUSY over a stream a part of a message is still to be sent.
 */
int mp_connection_shutdown(mp_connection *connection);

/*
 * Who is on the other side: the process that connected, listened, or made the pair, as the kernel
 * noted it then. Each place may be NULL. -ENOTSUP not over Unix sockets.
 */
int mp_connection_peer_credentials(
	mp_connection *connection, pid_t *ret_pid, uid_t *ret_uid, gid_t *ret_gid);

/* One more reference; NULL gives NULL. */
mp_connection *mp_connection_ref(mp_connection *connection);

/*
 * Drop one reference; with the last one this process has left the connection. Copies of values with
 * its handle hold one too. NULL is allowed. Returns 0.
 */
int mp_connection_close(mp_connection *connection);

MP__END_DECLS

#endif
