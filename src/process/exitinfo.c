/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "process/exitinfo.h"

#include <errno.h>
#include <stdint.h>
#include <sys/ioctl.h>

/*
 * Of <linux/pidfd.h> since 6.15; headers that we are built with may be older than the kernel. The
 * size is part of the request's number, and the kernel takes every size from the first on.
 */
struct info {
	uint64_t mask;
	uint64_t cgroupid;
	uint32_t ids[11]; /* pid, tgid, ppid, and uids and gids of all sorts */
	int32_t exit_code;
};
_Static_assert(sizeof(struct info) == 64, "PIDFD_INFO_SIZE_VER0");

#define GET_INFO _IOWR(0xff, 11, struct info)
#define INFO_EXIT (UINT64_C(1) << 3)

int mp__exit_info(int pidfd, int *ret_wait_status)
{
	struct info info = {.mask = INFO_EXIT};

	if (ioctl(pidfd, GET_INFO, &info) < 0)
		return -ENOTSUP; /* unknown request, or gone (ESRCH) and not remembered */
	if (!(info.mask & INFO_EXIT))
		return -EAGAIN;
	*ret_wait_status = info.exit_code;
	return 0;
}
