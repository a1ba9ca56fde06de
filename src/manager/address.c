/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "manager/address.h"

#include "base/cleanup.h"
#include "base/error.h"
#include "base/fds.h"
#include "base/testpoint.h"

#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>

#define SCHEME "unix:"

int mp__address_parse(const char *text, struct mp__address *ret_address)
{
	const char *path = text;

	if (path && strncmp(path, SCHEME, strlen(SCHEME)) == 0)
		path += strlen(SCHEME);
	if (!path || *path != '/')
		return mp_error_set(-EINVAL, "the address of a managerd is unix:/PATH, not %s",
			text ? text : "NULL");
	if (strlen(path) >= sizeof(ret_address->path))
		return mp_error_set(-ENAMETOOLONG, "the path of a socket has at most %zu bytes: %s",
			sizeof(ret_address->path) - 1, path);
	memset(ret_address, 0, sizeof(*ret_address));
	ret_address->connector = -1;
	strcpy(ret_address->path, path);
	return 0;
}

/* The kernel counts this time for connect(2) too, when the backlog is full. */
static void set_send_timeout(int fd, mp__deadline deadline)
{
	int ms = mp__deadline_poll_ms(deadline);
	struct timeval time = {0};

	if (ms >= 0) {
		time.tv_sec = ms / 1000;
		time.tv_usec = ms % 1000 * 1000 + 1; /* 0 would be for ever */
	}
	(void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &time, sizeof(time));
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

static int connect_path(const char *path, mp__deadline deadline)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	MP__AUTO_CLOSE int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int r;

	if (fd < 0)
		return mp__error_errno("a socket to managerd");
	strcpy(address.sun_path, path);
	do {
		set_send_timeout(fd, deadline);
		r = connect(fd, (struct sockaddr *)&address, sizeof(address));
	} while (r < 0 && errno == EINTR);
	if (r < 0 && errno == EAGAIN)
		return mp_error_set(-ETIMEDOUT, "connecting to %s: nobody accepts", path);
	if (r < 0)
		return mp_error_set(
			-errno, "connecting to %s: %s%s", path, strerror(errno), hint(errno));
	set_send_timeout(fd, MP__DEADLINE_NEVER);
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
	return connect_path(address->path, deadline);
}
