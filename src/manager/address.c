/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "manager/address.h"

#include "base/cleanup.h"
#include "base/connect.h"
#include "base/error.h"
#include "base/fds.h"
#include "base/testpoint.h"

#include <poll.h>
#include <string.h>
#include <sys/socket.h>

int mp__address_parse(const char *text, struct mp__address *ret_address)
{
	struct mp__address address = {.connector = -1};
	int r = mp__unix_address(text, "a managerd", &address.at);

	if (r == 0)
		*ret_address = address;
	return r;
}

/* What to look at when nobody is reached. */
static const char *hint(int error)
{
	switch (error) {
	case ENOENT:
	case ECONNREFUSED:
		return "; is managerd running there?";
	case EACCES:
		return "; its user, root, and members of the socket's group may";
	default:
		return "";
	}
}

static int connect_path(const struct sockaddr_un *at, mp__deadline deadline)
{
	const char *path = at->sun_path;
	MP__AUTO_CLOSE int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return mp__error_errno("a socket to managerd");
	int r = mp__connect_unix(fd, (const struct sockaddr *)at, sizeof(*at), deadline);
	if (r == -ETIMEDOUT)
		return mp_error_set(r, "connecting to %s: nobody accepts", path);
	if (r < 0)
		return mp_error_set(r, "connecting to %s: %s%s", path, strerror(-r), hint(-r));
	return MP__TAKE_FD(fd);
}

/* Make a pair, and send the daemon one end. */
static int connect_connector(int connector, mp__deadline deadline)
{
	int pair[2];
	int r;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return mp__error_errno("sockets for the private managerd");
	MP__AUTO_CLOSE int ours = pair[0];
	MP__AUTO_CLOSE int theirs = pair[1];
	do {
		/* The connector does not block, and others may be quicker to fill it again. */
		r = mp__fd_wait(connector, POLLOUT, deadline);
		if (r == 0)
			r = mp__socket_send(connector, "", 1, &theirs, 1);
	} while (r == -EAGAIN);
	MP__TEST_POINT("manager.connector.sent");
	if (r == -EPIPE || r == -ECONNRESET || r == -ECONNREFUSED || r == -ENOTCONN)
		return mp_error_set(-EPIPE, "the private managerd has ended");
	if (r < 0)
		return mp_error_set(
			r, "sending a socket to the private managerd: %s", mp_strerror(r));
	return MP__TAKE_FD(ours);
}

int mp__address_connect(const struct mp__address *address, mp__deadline deadline)
{
	if (address->connector >= 0)
		return connect_connector(address->connector, deadline);
	return connect_path(&address->at, deadline);
}
