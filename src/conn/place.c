/* SPDX-License-Identifier: MIT */
/*
 * The address of a listener: bound, and cleaned up.
 *
 * The file of a Unix socket outlives a program that was killed. It is removed only when connecting
 * to it is refused, which proves that nobody listens. Between that look and the new bind
 * another process may do the same; so those who replace hold a lock on the directory, and
 * so does whoever binds, until it listens: before that it would look dead to the others.
 */
#include <config.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/fds.h"
#include "conn/listener.h"

#include <fcntl.h>
#include <libgen.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>

/* How long to wait for somebody else who binds in the same directory. */
#define LOCK_MS 1000
#define LOCK_STEP_MS 5

#define ADDRESS_MAX 320

/* --- the file of a Unix socket ---------------------------------------------------------------- */

/*
 * The lock, or -1: the directory cannot be read, or a stranger keeps it locked. Binding works
 * without, replacing does not.
 */
static int lock_directory(const char *path)
{
	mp__deadline deadline = mp__deadline_in(LOCK_MS);
	char copy[sizeof(((struct sockaddr_un *)0)->sun_path)];

	snprintf(copy, sizeof(copy), "%s", path);
	int fd = mp__fd_above_std(open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
	if (fd < 0)
		return -1;
	while (flock(fd, LOCK_EX | LOCK_NB) < 0) {
		if ((errno != EWOULDBLOCK && errno != EINTR) || mp__deadline_passed(deadline)) {
			close(fd);
			return -1;
		}
		poll(NULL, 0, LOCK_STEP_MS);
	}
	return fd;
}

static int in_use(const char *path)
{
	return mp_error_set(-EADDRINUSE, "listening on %s: somebody listens there already", path);
}

/* A file stands at the address. Remove it if it is a socket on which nobody listens. */
static int replace(const struct mp__endpoint *at, bool locked)
{
	const char *path = at->at.un.sun_path;
	struct stat st;

	if (lstat(path, &st) < 0)
		return errno == ENOENT ? 0 : mp__error_errno(path);
	if (!S_ISSOCK(st.st_mode))
		return mp_error_set(-EEXIST, "listening on %s: what is there is no socket", path);
	MP__AUTO_CLOSE int fd =
		mp__fd_above_std(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
	if (fd < 0)
		return mp__error_errno("socket");
	/* All but a refusal is an answer: a full backlog, a socket of another type. */
	if (connect(fd, &at->at.any, at->size) == 0 || errno != ECONNREFUSED)
		return in_use(path);
	if (!locked)
		return mp_error_set(-EADDRINUSE,
			"%s is left over, but its directory cannot be locked to remove it", path);
	if (unlink(path) < 0 && errno != ENOENT)
		return mp__error_errno("removing a socket that was left over");
	return 0;
}

/* The file's permissions: the socket's own, less the umask, from birth; exact afterwards. */
static int set_mode(const char *path, unsigned int mode, struct mp__place *place)
{
	struct stat st;

	if (lstat(path, &st) < 0)
		return mp__error_errno("looking at the new socket");
	place->device = st.st_dev;
	place->inode = st.st_ino;
	if ((st.st_mode & 07777) != mode && chmod(path, mode) < 0)
		return mp__error_errno("setting the mode of the new socket");
	return 0;
}

/* --- binding ---------------------------------------------------------------------------------- */

static int bind_error(const struct mp__endpoint *at)
{
	char text[ADDRESS_MAX];
	int err = errno;

	if (mp__endpoint_format(at, text, sizeof(text)) < 0)
		text[0] = '\0';
	return mp_error_set(-err, "listening on %s: %s", text, strerrordesc_np(err));
}

static int open_file(struct mp__place *place, int backlog, unsigned int mode)
{
	const char *path = place->at.at.un.sun_path;
	MP__AUTO_CLOSE int lock = lock_directory(path);

	if (fchmod(place->fd, mode) < 0)
		return mp__error_errno("setting the mode of a socket");
	for (int tries = 0; bind(place->fd, &place->at.at.any, place->at.size) < 0; tries++) {
		if (errno != EADDRINUSE || tries > 0)
			return bind_error(&place->at);
		int r = replace(&place->at, lock >= 0);
		if (r < 0)
			return r;
	}
	int r = set_mode(path, mode, place);
	if (r < 0)
		return r;
	return listen(place->fd, backlog) < 0 ? bind_error(&place->at) : 0;
}

static int open_plain(struct mp__place *place, int backlog)
{
	const int on = 1;

	/* Connections of an earlier listener that are not forgotten yet are in nobody's way. */
	if (place->at.at.any.sa_family != AF_UNIX)
		(void)setsockopt(place->fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(place->fd, &place->at.at.any, place->at.size) < 0 ||
		listen(place->fd, backlog) < 0)
		return bind_error(&place->at);
	return 0;
}

static int open_endpoint(struct mp__place *place, int backlog, unsigned int mode)
{
	char text[ADDRESS_MAX];

	place->fd = mp__fd_above_std(socket(
		place->at.at.any.sa_family, place->at.type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
	if (place->fd < 0)
		return mp__error_errno("socket");
	int r = mp__endpoint_has_file(&place->at) ? open_file(place, backlog, mode)
						  : open_plain(place, backlog);
	if (r < 0)
		return r;
	place->at.size = sizeof(place->at.at);
	if (getsockname(place->fd, &place->at.at.any, &place->at.size) < 0)
		return mp__error_errno("asking for the address of a listener");
	r = mp__endpoint_format(&place->at, text, sizeof(text));
	if (r < 0)
		return r;
	place->text = strdup(text);
	return place->text ? 0 : mp_error_set(-ENOMEM, "no memory for a listener");
}

/* Somewhere of its own. */
static int private_directory(char **ret_directory)
{
	const char *base = secure_getenv("XDG_RUNTIME_DIR");
	char *directory;

	if (!base || *base != '/')
		base = secure_getenv("TMPDIR");
	if (!base || *base != '/')
		base = "/tmp";
	if (asprintf(&directory, "%s/libmp-XXXXXX", base) < 0)
		return mp_error_set(-ENOMEM, "no memory for a listener");
	if (!mkdtemp(directory)) {
		int r = mp__error_errno("making a directory for a socket");
		free(directory);
		return r;
	}
	*ret_directory = directory;
	return 0;
}

static int open_private(struct mp__place *place, int backlog, unsigned int mode)
{
	char text[ADDRESS_MAX];

	int r = private_directory(&place->directory);
	if (r < 0)
		return r;
	if ((size_t)snprintf(text, sizeof(text), "unix:%s/listener", place->directory) >=
		sizeof(text))
		return mp_error_set(-ENAMETOOLONG, "%s is too long for a socket", place->directory);
	struct mp__endpoint ends[MP__ENDPOINTS_MAX];
	r = mp__endpoint_parse(text, true, ends);
	if (r < 0)
		return r;
	place->at = ends[0];
	return open_endpoint(place, backlog, mode);
}

static int open_named(const char *address, struct mp__place *place, int backlog, unsigned int mode)
{
	struct mp__endpoint ends[MP__ENDPOINTS_MAX];

	/* Of several addresses of a host the first is taken, as a client would try it first. */
	int r = mp__endpoint_parse(address, true, ends);
	if (r < 0)
		return r;
	place->at = ends[0];
	return open_endpoint(place, backlog, mode);
}

int mp__place_open(const char *address, int backlog, unsigned int mode, struct mp__place *ret)
{
	struct mp__place place = {.fd = -1};

	int r = address ? open_named(address, &place, backlog, mode)
			: open_private(&place, backlog, mode);
	if (r < 0) {
		mp__place_close(&place, true);
		return r;
	}
	*ret = place;
	return 0;
}

void mp__place_close(struct mp__place *place, bool remove)
{
	const char *path = place->at.at.un.sun_path;
	struct stat st;

	/* Whatever else stands there by now is somebody else's. */
	if (remove && place->inode != 0 && lstat(path, &st) == 0 && st.st_dev == place->device &&
		st.st_ino == place->inode)
		unlink(path);
	if (remove && place->directory)
		rmdir(place->directory);
	if (place->fd >= 0)
		close(place->fd);
	free(place->directory);
	free(place->text);
}
