/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "base/authkey.h"

#include "base/cleanup.h"
#include "base/error.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int mp__authkey_set(struct mp__authkey *ret_key, const void *bytes, size_t size)
{
	if (!bytes || size == 0 || size > MP__KEY_MAX)
		return mp_error_set(-EINVAL, "a key has 1 to %d bytes, not %zu", MP__KEY_MAX, size);
	memcpy(ret_key->bytes, bytes, size);
	ret_key->size = size;
	return 0;
}

/* Of what is open, not of the name: that may be another file a moment later. */
static int check_file(int fd, const char *path)
{
	struct stat status;

	if (fstat(fd, &status) < 0)
		return mp__error_errno(path);
	if (!S_ISREG(status.st_mode))
		return mp_error_set(-EINVAL, "the key in %s: that is no file", path);
	if (status.st_uid != geteuid() && status.st_uid != 0)
		return mp_error_set(-EPERM, "the key in %s: the file belongs to another user, %u",
			path, (unsigned)status.st_uid);
	if (status.st_mode & (S_IRWXG | S_IRWXO))
		return mp_error_set(-EPERM,
			"the key in %s: others may use the file too, its mode is %04o; 0600 it "
			"must be",
			path, (unsigned)status.st_mode & 07777);
	return 0;
}

static int read_key(int fd, const char *path, struct mp__authkey *key)
{
	uint8_t more[MP__KEY_MAX + 2];
	size_t size = 0;
	ssize_t n;

	while (size < sizeof(more) && (n = read(fd, more + size, sizeof(more) - size)) != 0) {
		if (n < 0 && errno != EINTR)
			return mp__error_errno(path);
		size += n > 0 ? (size_t)n : 0;
	}
	if (size > 0 && more[size - 1] == '\n')
		size--;
	int r = size < MP__KEY_FILE_MIN || size > MP__KEY_MAX
			? mp_error_set(-EINVAL, "the key in %s has %s than %d bytes", path,
				  size > MP__KEY_MAX ? "more" : "less",
				  size > MP__KEY_MAX ? MP__KEY_MAX : MP__KEY_FILE_MIN)
			: mp__authkey_set(key, more, size);
	explicit_bzero(more, sizeof(more));
	return r;
}

int mp__authkey_read(struct mp__authkey *ret_key, const char *path)
{
	/* Whatever waits for somebody on its other side is not waited for. */
	MP__AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);

	if (fd < 0)
		return mp_error_set(-errno, "the key in %s: %s", path, strerror(errno));
	int r = check_file(fd, path);
	return r < 0 ? r : read_key(fd, path, ret_key);
}

void mp__authkey_wipe(struct mp__authkey *key)
{
	explicit_bzero(key, sizeof(*key));
}
