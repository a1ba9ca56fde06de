/* SPDX-License-Identifier: MIT */
/*
 * conn/socket.h - connections over sockets of all kinds: which back end one gets, how it travels,
 * and what the back ends have in common.
 *
 * All work is done with MSG_DONTWAIT and poll(2), whatever mode the socket is in: the descriptor
 * may be shared with other processes, and its mode with them.
 */
#ifndef MP_CONN_SOCKET_H
#define MP_CONN_SOCKET_H

#include "conn/connection.h"

/*
 * The connection of a connected socket; takes the descriptor if it succeeds. -ENOTSOCK,
 * -EPROTOTYPE, -ENOTCONN, -EBADF, -ENOMEM.
 */
int mp__socket_connection(
	int fd, int direction, size_t max_message, struct mp_connection **ret_connection);

/* The two back ends. They take the descriptor if they succeed. */
int mp__packet_new(
	int fd, int direction, size_t max_message, struct mp_connection **ret_connection);
/* The socket of a pipe: messages have tags, and some say nothing (pipe_layout.h). */
int mp__packet_beside_pipe(int fd, size_t max_message, struct mp_connection **ret_connection);
int mp__stream_new(
	int fd, int direction, size_t max_message, struct mp_connection **ret_connection);

/* Does it keep the boundaries of messages? 1, 0, or the errors of mp__socket_connection(). */
int mp__socket_is_packet(int fd);

/* How it travels: first byte of the handle's data. */
#define MP__TRAVEL_SOCKET 1
int mp__socket_export(struct mp_connection *c, int fd, struct mp__handle_wire *ret_wire);
int mp__socket_import(struct mp__handle_wire *wire, struct mp_connection **ret_connection);

int mp__socket_credentials(int fd, pid_t *pid, uid_t *uid, gid_t *gid);

/* errno of a failed send or receive as a result: the many names of "gone" are -EPIPE. */
int mp__socket_error(const char *what);
int mp__socket_gone(void);

#endif
