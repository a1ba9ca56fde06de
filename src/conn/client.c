/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "base/cleanup.h"
#include "base/connect.h"
#include "base/error.h"
#include "base/fds.h"
#include "conn/address.h"
#include "conn/handshake.h"
#include "conn/socket.h"

#include <mp/listener.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>

static int failed(const char *address, int err)
{
	return mp_error_set(-err, "connecting to %s: %s", address, strerrordesc_np(err));
}

static int late(const char *address)
{
	return mp_error_set(-ETIMEDOUT, "connecting to %s: no answer in time", address);
}

static int connect_unix(
	int fd, const struct mp__endpoint *to, const char *address, mp__deadline deadline)
{
	int r = mp__connect_unix(fd, &to->at.any, to->size, deadline);

	if (r == -ETIMEDOUT)
		return late(address);
	return r < 0 ? failed(address, -r) : 0;
}

static int connect_tcp(
	int fd, const struct mp__endpoint *to, const char *address, mp__deadline deadline)
{
	const int on = 1;
	int error = 0;
	socklen_t size = sizeof(error);

	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	(void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
	if (connect(fd, &to->at.any, to->size) == 0)
		return 0;
	if (errno != EINPROGRESS && errno != EINTR)
		return failed(address, errno);
	int r = mp__fd_wait(fd, POLLOUT, deadline);
	if (r < 0)
		return r == -ETIMEDOUT ? late(address) : r;
	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) < 0)
		return mp__error_errno("connecting");
	return error ? failed(address, error) : 0;
}

static int connect_one(const struct mp__endpoint *to, const char *address, mp__deadline deadline)
{
	bool tcp = to->type == SOCK_STREAM;
	MP__AUTO_CLOSE int fd = mp__fd_above_std(socket(
		to->at.any.sa_family, to->type | SOCK_CLOEXEC | (tcp ? SOCK_NONBLOCK : 0), 0));

	if (fd < 0)
		return mp__error_errno("a socket to connect by");
	int r = tcp ? connect_tcp(fd, to, address, deadline)
		    : connect_unix(fd, to, address, deadline);
	return r < 0 ? r : MP__TAKE_FD(fd);
}

/* All addresses of a host in their order, until one answers. */
static int connect_any(const char *address, mp__deadline deadline)
{
	struct mp__endpoint ends[MP__ENDPOINTS_MAX];

	int n = mp__endpoint_parse(address, false, ends);
	if (n < 0)
		return n;
	int r = 0;
	for (int i = 0; i < n; i++) {
		r = connect_one(&ends[i], address, deadline);
		if (r >= 0 || r == -ETIMEDOUT)
			break;
	}
	return r;
}

static int shake_hands(int fd, const mp_connection_options *o, mp__deadline deadline)
{
	struct mp__handshake handshake;

	int packet = mp__socket_is_packet(fd);
	if (packet < 0)
		return packet;
	int r = mp__handshake_start(
		&handshake, fd, packet == 1, MP__AUTH_CLIENT, o->authkey, o->authkey_size);
	if (r != 0)
		return r < 0 ? r : 0;
	for (;;) {
		r = mp__handshake_step(&handshake, fd);
		if (r != -EAGAIN)
			return r < 0 ? r : 0;
		r = mp__fd_wait(fd, POLLIN, deadline);
		if (r == -ETIMEDOUT)
			return mp_error_set(r,
				"opening a connection: the listener did not prove the key in time");
		if (r < 0)
			return r;
	}
}

int mp_connection_open(const char *address, const mp_connection_options *options, int timeout_ms,
	mp_connection **ret_connection)
{
	mp__deadline deadline = mp__deadline_in(timeout_ms);
	mp_connection_options o;

	if (!ret_connection)
		return mp__conn_no_place();
	int r = mp__conn_options(options, true, &o);
	if (r < 0)
		return r;
	int fd = connect_any(address, deadline);
	r = fd < 0 ? fd : shake_hands(fd, &o, deadline);
	if (r == 0)
		r = mp__socket_connection(fd, MP_CONNECTION_DUPLEX, o.max_message, ret_connection);
	if (r < 0 && fd >= 0)
		close(fd);
	return r == -ETIMEDOUT && timeout_ms == MP_NOWAIT ? -EAGAIN : r;
}

int mp_connection_peer_address(mp_connection *connection, char *buffer, size_t size)
{
	struct mp__endpoint peer;

	int fd = mp_connection_fileno(connection);
	if (fd < 0)
		return fd;
	if (!buffer && size > 0)
		return mp_error_set(
			-EINVAL, "the address of the other side: room for %zu bytes at NULL", size);
	peer.size = sizeof(peer.at);
	if (getpeername(fd, &peer.at.any, &peer.size) < 0)
		return mp__error_errno("the address of the other side");
	return mp__endpoint_format(&peer, buffer, size);
}
