/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "serve/listener.h"

#include "base/cleanup.h"
#include "base/deadline.h"
#include "base/error.h"

#include <fcntl.h>
#include <libgen.h>
#include <poll.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>

#define BACKLOG 512
/*
 * Another managerd holds the lock for a moment; a stranger, who needs no more than to be able to
 * open the directory, for as long as he likes.
 */
#define LOCK_MS 1000
#define LOCK_STEP_MS 10

static int spare_open(void)
{
	return open("/dev/null", O_RDONLY | O_CLOEXEC);
}

/* The kernel has no flock(2) with a deadline. */
static int lock_in_time(int fd)
{
	mp__deadline deadline = mp__deadline_in(LOCK_MS);

	while (flock(fd, LOCK_EX | LOCK_NB) < 0) {
		if (errno != EWOULDBLOCK && errno != EINTR)
			return -errno;
		if (mp__deadline_passed(deadline))
			return -ETIMEDOUT;
		poll(NULL, 0, LOCK_STEP_MS);
	}
	return 0;
}

static int make_directory(const char *name, gid_t group)
{
	if (mkdir(name, 0700) < 0)
		return errno == EEXIST ? 0
				       : mp_error_set(-errno, "making the directory %s: %s", name,
						 strerror(errno));
	/* Through it, to a name that they know; but what else is there, they need not see. */
	if (group != SERVE_GROUP_NONE &&
		(chown(name, (uid_t)-1, group) < 0 || chmod(name, 0710) < 0)) {
		int r = mp_error_set(-errno, "giving the directory %s to group %u: %s", name,
			(unsigned)group, strerror(errno));
		rmdir(name);
		return r;
	}
	return 0;
}

/* The directory of the socket, made if it is missing, and locked while the descriptor is open. */
static int lock_directory(const char *path, gid_t group)
{
	char copy[sizeof(((struct sockaddr_un *)0)->sun_path)];
	struct stat st;

	snprintf(copy, sizeof(copy), "%s", path);
	const char *name = dirname(copy);
	int made = make_directory(name, group);
	if (made < 0)
		return made;
	MP__AUTO_CLOSE int fd = open(name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0)
		return mp_error_set(-errno, "opening the directory %s: %s", name, strerror(errno));
	/* Whoever can write there can put a socket of his own in the place of ours. */
	if (st.st_mode & 022 && !(st.st_mode & S_ISVTX))
		return mp_error_set(-EPERM, "others may write to the directory %s (mode %04o)",
			name, (unsigned)st.st_mode & 07777);
	int r = lock_in_time(fd);
	if (r == -ETIMEDOUT)
		return mp_error_set(r, "somebody else has locked the directory %s", name);
	if (r < 0)
		return mp_error_set(r, "locking the directory %s: %s", name, mp_strerror(r));
	return MP__TAKE_FD(fd);
}

/* Make the name free, unless somebody answers there. */
static int clear_name(const struct sockaddr_un *address)
{
	struct stat st;

	if (lstat(address->sun_path, &st) < 0)
		return errno == ENOENT ? 0
				       : mp_error_set(-errno, "looking at %s: %s",
						 address->sun_path, strerror(errno));
	if (!S_ISSOCK(st.st_mode))
		return mp_error_set(
			-EEXIST, "listening on %s: what is there is no socket", address->sun_path);
	MP__AUTO_CLOSE int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return mp__error_errno("socket");
	/* A full backlog (EAGAIN) is an answer too. */
	if (connect(fd, (const struct sockaddr *)address, sizeof(*address)) == 0 || errno == EAGAIN)
		return mp_error_set(
			-EADDRINUSE, "somebody already listens on %s", address->sun_path);
	if (errno != ECONNREFUSED)
		return mp_error_set(-errno, "looking who listens on %s: %s", address->sun_path,
			strerror(errno));
	if (unlink(address->sun_path) < 0)
		return mp_error_set(-errno, "removing the old socket %s: %s", address->sun_path,
			strerror(errno));
	return 0;
}

static int bind_and_listen(
	int fd, const struct sockaddr_un *address, mode_t socket_mode, gid_t group)
{
	const char *path = address->sun_path;
	/* Nobody else lives in this process, so the mask is ours: 0600 from birth, then what is asked. */
	mode_t mask = umask(0177);
	int r = bind(fd, (const struct sockaddr *)address, sizeof(*address));
	int err = errno;

	umask(mask);
	if (r < 0)
		return mp_error_set(-err, "binding to %s: %s", address->sun_path, strerror(err));
	if (group != SERVE_GROUP_NONE && chown(path, (uid_t)-1, group) < 0)
		r = mp_error_set(-errno, "giving %s to group %u: %s", path, (unsigned)group,
			strerror(errno));
	else if (socket_mode != 0600 && chmod(path, socket_mode) < 0)
		r = mp_error_set(-errno, "giving %s the mode %04o: %s", path, (unsigned)socket_mode,
			strerror(errno));
	else if (listen(fd, BACKLOG) < 0)
		r = mp__error_errno("listen");
	if (r < 0)
		unlink(path);
	return r;
}

int serve_listener_open(struct serve_listener *listener, const char *path, mode_t mode, gid_t group)
{
	struct serve_listener l = {.fd = -1, .spare = -1, .address = {.sun_family = AF_UNIX}};
	struct stat st;

	if (strlen(path) >= sizeof(l.address.sun_path))
		return mp_error_set(-ENAMETOOLONG, "the path of a socket has at most %zu bytes: %s",
			sizeof(l.address.sun_path) - 1, path);
	strcpy(l.address.sun_path, path);
	MP__AUTO_CLOSE int directory = lock_directory(path, group);
	if (directory < 0)
		return directory;
	int r = clear_name(&l.address);
	if (r < 0)
		return r;
	MP__AUTO_CLOSE int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return mp__error_errno("socket");
	r = bind_and_listen(fd, &l.address, mode, group);
	if (r < 0)
		return r;
	if (lstat(path, &st) < 0)
		return mp__error_errno("looking at the new socket");
	l.device = st.st_dev;
	l.inode = st.st_ino;
	l.spare = spare_open();
	l.fd = MP__TAKE_FD(fd);
	*listener = l;
	return 0;
}

void serve_listener_adopt(struct serve_listener *listener, int fd)
{
	*listener = (struct serve_listener){.fd = fd, .spare = spare_open()};
}

void serve_listener_close(struct serve_listener *listener)
{
	struct stat st;

	if (listener->fd < 0)
		return;
	if (*listener->address.sun_path && lstat(listener->address.sun_path, &st) == 0 &&
		st.st_dev == listener->device && st.st_ino == listener->inode)
		unlink(listener->address.sun_path);
	close(listener->fd);
	if (listener->spare >= 0)
		close(listener->spare);
	listener->fd = listener->spare = -1;
}

int serve_listener_accept(struct serve_listener *listener)
{
	int fd = accept4(listener->fd, NULL, NULL, SOCK_CLOEXEC);

	if (fd >= 0)
		return fd;
	if (errno != EMFILE && errno != ENFILE)
		return errno == EINTR || errno == ECONNABORTED ? -EAGAIN : -errno;
	/* In the backlog it would wake us for ever: take it with the spare one, and close it. */
	if (listener->spare >= 0)
		close(listener->spare);
	fd = accept4(listener->fd, NULL, NULL, SOCK_CLOEXEC);
	int r = fd >= 0 ? -EMFILE : errno == EAGAIN ? -EAGAIN : -ENFILE;
	if (fd >= 0)
		close(fd);
	listener->spare = spare_open();
	return r;
}
