/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "conn/socket.h"

#include "base/error.h"
#include "base/fds.h"

#include <fcntl.h>
#include <limits.h>
#include <sys/socket.h>
#include <sys/un.h>

int mp__socket_gone(void)
{
	return mp_error_set(-EPIPE, "the other side of the connection is closed or dead");
}

int mp__socket_error(const char *what)
{
	switch (errno) {
	case EPIPE:
	case ECONNRESET:
	case ECONNREFUSED:
	case ENOTCONN:
	case ETIMEDOUT: /* TCP: the other machine does not answer any more */
	case EHOSTUNREACH:
		return mp__socket_gone();
	case ENOBUFS:
		return mp_error_set(-ENOMEM, "%s: the kernel has no memory", what);
	default:
		return mp__error_errno(what);
	}
}

/* --- kinds of sockets ------------------------------------------------------------------------- */

static int option(int fd, int name, int *ret_value)
{
	socklen_t size = sizeof(*ret_value);

	return getsockopt(fd, SOL_SOCKET, name, ret_value, &size) < 0
		       ? mp__error_errno("looking at a socket")
		       : 0;
}

int mp__socket_is_packet(int fd)
{
	int domain;
	int type;

	int r = option(fd, SO_TYPE, &type);
	if (r == 0)
		r = option(fd, SO_DOMAIN, &domain);
	if (r < 0)
		return r;
	if (type == SOCK_STREAM)
		return 0;
	if (type == SOCK_SEQPACKET && domain == AF_UNIX)
		return 1;
	return mp_error_set(
		-EPROTOTYPE, "a connection needs a stream socket or a SOCK_SEQPACKET Unix socket");
}

int mp__socket_connection(
	int fd, int direction, size_t max_message, struct mp_connection **ret_connection)
{
	int packet = mp__socket_is_packet(fd);

	if (packet < 0)
		return packet;
	return packet ? mp__packet_new(fd, direction, max_message, ret_connection)
		      : mp__stream_new(fd, direction, max_message, ret_connection);
}

int mp_connection_from_fd(
	int fd, const mp_connection_options *options, mp_connection **ret_connection)
{
	mp_connection_options o;

	struct sockaddr_storage peer;
	socklen_t size = sizeof(peer);

	if (!ret_connection)
		return mp__conn_no_place();
	int r = mp__conn_options(options, false, &o);
	if (r < 0)
		return r;
	if (getpeername(fd, (struct sockaddr *)&peer, &size) < 0)
		return mp__error_errno("the other end of a socket");
	if (fcntl(fd, F_SETFD, FD_CLOEXEC) < 0)
		return mp__error_errno("a socket");
	return mp__socket_connection(fd, o.direction, o.max_message, ret_connection);
}

int mp_connection_pair(
	const mp_connection_options *options, mp_connection **ret_first, mp_connection **ret_second)
{
	mp_connection_options o;
	mp_connection *first;
	int ends[2] = {-1, -1};

	if (!ret_first || !ret_second)
		return mp__conn_no_place();
	int r = mp__conn_options(options, false, &o);
	if (r == 0)
		r = mp__socket_pair(SOCK_SEQPACKET, ends);
	if (r < 0)
		return r;
	r = mp__packet_new(ends[0], o.direction, o.max_message, &first);
	if (r < 0) {
		mp__fds_close(ends, 2);
		return r;
	}
	r = mp__packet_new(ends[1], mp__conn_opposite(o.direction), o.max_message, ret_second);
	if (r < 0) {
		mp_connection_close(first);
		close(ends[1]);
		return r;
	}
	*ret_first = first;
	return 0;
}

/* --- travelling ------------------------------------------------------------------------------- */

/* What stands in a struct mp__handle_wire. Between processes of one machine and one libmp. */
struct travel {
	uint8_t form; /* MP__TRAVEL_SOCKET */
	uint8_t direction;
	uint8_t zero[6];
	uint64_t max_message;
};

int mp__socket_export(struct mp_connection *c, int fd, struct mp__handle_wire *ret_wire)
{
	struct travel travel = {
		.form = MP__TRAVEL_SOCKET,
		.direction = (uint8_t)c->direction,
		.max_message = c->max_message,
	};

	memcpy(ret_wire->data, &travel, sizeof(travel));
	ret_wire->size = sizeof(travel);
	ret_wire->fds[0] = fd;
	ret_wire->n_fds = 1;
	return 0;
}

int mp__socket_import(struct mp__handle_wire *wire, struct mp_connection **ret_connection)
{
	struct travel travel;

	if (wire->size != sizeof(travel) || wire->n_fds != 1)
		return mp_error_set(-EBADMSG, "the handle of a connection is damaged");
	memcpy(&travel, wire->data, sizeof(travel));
	if (travel.form != MP__TRAVEL_SOCKET || travel.direction > MP_CONNECTION_WRITE ||
		travel.max_message == 0 || travel.max_message > SSIZE_MAX)
		return mp_error_set(-EBADMSG, "the handle of a connection is damaged");
	int r = mp__socket_connection(
		wire->fds[0], travel.direction, travel.max_message, ret_connection);
	/* The peer may have left in the meantime: that is for who receives from it to see. */
	if (r < 0 && r != -ENOMEM)
		return mp_error_set(-EBADMSG, "the handle of a connection holds something else");
	if (r == 0)
		wire->fds[0] = -1;
	return r;
}

/* --- the other side --------------------------------------------------------------------------- */

int mp__socket_credentials(int fd, pid_t *pid, uid_t *uid, gid_t *gid)
{
	struct ucred peer;
	socklen_t size = sizeof(peer);
	int domain;

	int r = option(fd, SO_DOMAIN, &domain);
	if (r < 0)
		return r;
	if (domain != AF_UNIX)
		return mp_error_set(
			-ENOTSUP, "credentials: only Unix sockets know who is on the other side");
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0)
		return mp__error_errno("the other side's credentials");
	*pid = peer.pid;
	*uid = peer.uid;
	*gid = peer.gid;
	return 0;
}
