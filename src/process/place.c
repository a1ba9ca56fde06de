/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "process/place.h"

#include "base/error.h"
#include "process/setting.h"

#include <fcntl.h>
#include <unistd.h>

static bool is_place(const int *places, size_t n_places, int fd)
{
	for (size_t i = 0; i < n_places; i++) {
		if (places[i] == fd)
			return true;
	}
	return false;
}

int mp__places_clear(const int *places, size_t n_places, int *fds, size_t n_fds)
{
	for (size_t i = 0; i < n_fds; i++) {
		int from = STDERR_FILENO + 1;

		while (fds[i] >= 0 && is_place(places, n_places, fds[i])) {
			int fd = fcntl(fds[i], F_DUPFD_CLOEXEC, from);
			if (fd < 0)
				return mp__error_errno("start: moving a descriptor");
			from = fd + 1;
			if (is_place(places, n_places, fd)) {
				close(fd);
				continue;
			}
			close(fds[i]);
			fds[i] = fd;
		}
	}
	return 0;
}

int mp__places_take(const int *places, size_t n_places, int *fds, bool only_free)
{
	for (size_t i = 0; i < n_places; i++) {
		if (fds[i] < 0 || (only_free && fcntl(places[i], F_GETFD) >= 0))
			continue;
		if (dup2(fds[i], places[i]) < 0)
			return mp_error_set(-errno, "start: descriptor %d as %d: %s", fds[i],
				places[i], strerrordesc_np(errno));
		close(fds[i]);
		fds[i] = -1;
	}
	return 0;
}

int mp__places_null(unsigned nulls, int null)
{
	if (nulls == 0)
		return 0;
	if (null < 0)
		null = open("/dev/null", O_RDWR | O_CLOEXEC);
	/* A chroot without /dev: no input is no input either way. */
	if (null < 0)
		return nulls == MP__NULLS_DEFAULT ? 0 : mp__error_errno("/dev/null");
	for (int fd = 0; fd < MP__N_STREAMS; fd++) {
		if (nulls & (1U << fd) && (fd == null ? fcntl(fd, F_SETFD, 0) : dup2(null, fd)) < 0)
			return mp__error_errno("/dev/null");
	}
	/* The first number that was free can be one that it is to stay at. */
	if (null >= MP__N_STREAMS || !(nulls & (1U << null)))
		close(null);
	return 0;
}
