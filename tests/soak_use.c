/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "tests/soak_use.h"

#include <dirent.h>
#include <stdio.h>

bool soak_use_of(pid_t pid, struct soak_use *ret_use)
{
	unsigned long size;
	unsigned long resident;
	unsigned long in_files;
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/statm", (int)pid);
	FILE *file = fopen(path, "re");
	int n = file ? fscanf(file, "%lu %lu %lu", &size, &resident, &in_files) : 0;
	if (file)
		fclose(file);
	snprintf(path, sizeof(path), "/proc/%d/fd", (int)pid);
	DIR *dir = opendir(path);
	if (!dir)
		return false;
	ret_use->rss = (uint64_t)(resident - in_files) * 4096;
	ret_use->fds = 0;
	while (readdir(dir))
		ret_use->fds++;
	closedir(dir);
	return n == 3;
}
