/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "base/libc.h"

#ifdef __GLIBC__

int mp__spawn_close_from(posix_spawn_file_actions_t *actions, int first)
{
	return posix_spawn_file_actions_addclosefrom_np(actions, first);
}

#else

#include <dirent.h>
#include <stdlib.h>

int mp__spawn_close_from(posix_spawn_file_actions_t *actions, int first)
{
	DIR *open_ones = opendir("/proc/self/fd");
	const struct dirent *entry;
	int r = 0;

	if (!open_ones)
		return errno;
	while (r == 0 && (entry = readdir(open_ones)) != NULL) {
		int fd = atoi(entry->d_name); /* "." and "..": 0 */
		if (fd >= first && fd != dirfd(open_ones))
			r = posix_spawn_file_actions_addclose(actions, fd);
	}
	closedir(open_ones);
	return r;
}

#endif
