/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "serve/peer.h"

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#ifndef SO_PEERPIDFD
#define SO_PEERPIDFD 77
#endif

#define NS_PER_SECOND ((int64_t)1000 * 1000 * 1000)

int64_t serve_peer_clock_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_BOOTTIME, &now);
	return now.tv_sec * NS_PER_SECOND + now.tv_nsec;
}

/* The 22nd field of stat, in ticks since the start of the system. False: there is none to see. */
static bool start_ticks(pid_t pid, uint64_t *ret_ticks)
{
	char path[32];
	char text[1024];

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	FILE *file = fopen(path, "re");
	if (!file)
		return false;
	size_t n = fread(text, 1, sizeof(text) - 1, file);
	fclose(file);
	text[n] = '\0';
	/* The name of the program may hold anything, but its last parenthesis is the last of all. */
	const char *at = strrchr(text, ')');
	return at && sscanf(at + 1,
			     " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d "
			     "%*d %*d %*d %" SCNu64,
			     ret_ticks) == 1;
}

int serve_peer_open_by_pid(pid_t pid, int64_t met_ns)
{
	uint64_t ticks;

	if (pid <= 0) /* of a pid namespace that we do not see into */
		return -ENOTSUP;
	int fd = (int)syscall(SYS_pidfd_open, pid, 0);
	if (fd < 0)
		return -errno;
	/* One that started after we met is another, and ours has ended. */
	int64_t tick_ns = NS_PER_SECOND / sysconf(_SC_CLK_TCK);
	if (start_ticks(pid, &ticks) && (int64_t)ticks * tick_ns > met_ns) {
		close(fd);
		return -ESRCH;
	}
	return fd;
}

int serve_peer_open(int socket, pid_t pid, int64_t met_ns)
{
	int fd;
	socklen_t size = sizeof(fd);

	if (getsockopt(socket, SOL_SOCKET, SO_PEERPIDFD, &fd, &size) == 0)
		return fd;
	if (errno == EINVAL || errno == ESRCH) /* it has ended, and is reaped */
		return -ESRCH;
	if (errno != ENOPROTOOPT)
		return -errno;
	return serve_peer_open_by_pid(pid, met_ns);
}
