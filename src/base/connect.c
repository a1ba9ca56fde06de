/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "base/connect.h"

#include "base/error.h"

#include <errno.h>
#include <string.h>
#include <sys/time.h>

#define SCHEME "unix:"

int mp__unix_address(const char *text, const char *whose, struct sockaddr_un *ret_address)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	const char *path = text;

	if (path && strncmp(path, SCHEME, strlen(SCHEME)) == 0)
		path += strlen(SCHEME);
	if (!path || *path != '/')
		return mp_error_set(-EINVAL, "the address of %s is unix:/PATH, not %s", whose,
			text ? text : "NULL");
	if (strlen(path) >= sizeof(address.sun_path))
		return mp_error_set(-ENAMETOOLONG, "the path of a socket has at most %zu bytes: %s",
			sizeof(address.sun_path) - 1, path);
	strcpy(address.sun_path, path);
	*ret_address = address;
	return 0;
}

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

int mp__connect_unix(int fd, const struct sockaddr *to, socklen_t size, mp__deadline deadline)
{
	int r;

	do {
		set_send_timeout(fd, deadline);
		r = connect(fd, to, size);
	} while (r < 0 && errno == EINTR);
	if (r < 0)
		return errno == EAGAIN ? -ETIMEDOUT : -errno;
	set_send_timeout(fd, MP__DEADLINE_NEVER);
	return 0;
}
