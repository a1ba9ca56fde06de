/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "base/cpu.h"

#include "base/cleanup.h"

#include <mp/process.h>

#include <limits.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

/* CPUs that a mask is made for before it is given up; the kernel's own limit is 8192. */
#define MASK_MAX (1 << 18)

static void close_file(FILE **file)
{
	if (*file)
		fclose(*file);
}

/* --- control groups ----------------------------------------------------------------------------- */

/* The numbers that a file begins with, two at most: how many there are. */
static int read_numbers(const char *directory, const char *name, long long *numbers)
{
	char path[PATH_MAX];

	if (snprintf(path, sizeof(path), "%s/%s", directory, name) >= (int)sizeof(path))
		return 0;
	MP__AUTO(close_file) FILE *file = fopen(path, "re");
	return file ? fscanf(file, "%19lld %19lld", &numbers[0], &numbers[1]) : 0;
}

/* The limit of one group, in CPUs and rounded up; 0 none. */
static int limit_of(const char *directory, bool unified)
{
	long long numbers[3] = {0};
	bool known = false;

	/* "max 100000" when there is no limit; version 1 has two files and -1. */
	if (unified)
		known = read_numbers(directory, "cpu.max", numbers) == 2;
	else
		known = read_numbers(directory, "cpu.cfs_quota_us", numbers) >= 1 &&
			read_numbers(directory, "cpu.cfs_period_us", &numbers[1]) >= 1;
	long long quota = numbers[0];
	long long period = numbers[1];
	if (!known || quota <= 0 || period <= 0)
		return 0;
	long long cpus = quota / period + (quota % period != 0);
	return cpus > INT_MAX ? INT_MAX : (int)cpus;
}

static int tighter(int a, int b)
{
	return a == 0 || (b != 0 && b < a) ? b : a;
}

/*
 * From the group up to the root of what is mounted. A container often sees its own group as the root
 * and still the path that the host knows: then the directories on the way are not there.
 */
static int limit_on_path(const char *mount, const char *group, bool unified)
{
	char path[PATH_MAX];
	size_t mount_length = strlen(mount);

	/* "/../.." is outside of what this namespace shows: only the root is left to look at. */
	if (strncmp(group, "/..", 3) == 0)
		group = "";
	if (snprintf(path, sizeof(path), "%s%s", mount, group) >= (int)sizeof(path))
		return 0;
	int limit = 0;
	for (;;) {
		limit = tighter(limit, limit_of(path, unified));
		char *slash = strrchr(path, '/');
		if (!slash || (size_t)(slash - path) < mount_length)
			return limit;
		*slash = '\0';
	}
}

static bool has_cpu(const char *controllers)
{
	for (const char *at = controllers;; at++) {
		size_t length = strcspn(at, ",");
		if (length == 3 && memcmp(at, "cpu", 3) == 0)
			return true;
		at += length;
		if (*at == '\0')
			return false;
	}
}

/* One line of /proc/self/cgroup: "4:cpu,cpuacct:/group", or "0::/group" for version 2. */
static int limit_of_line(char *line, const char *root)
{
	char mount[PATH_MAX];

	line[strcspn(line, "\n")] = '\0';
	char *controllers = strchr(line, ':');
	char *group = controllers ? strchr(controllers + 1, ':') : NULL;
	if (!group || group[1] != '/')
		return 0;
	*group++ = '\0';
	controllers++;
	if (controllers[0] == '\0') {
		/* Beside version 1 it is mounted one level down. */
		snprintf(mount, sizeof(mount), "%s/unified", root);
		return tighter(limit_on_path(root, group, true), limit_on_path(mount, group, true));
	}
	if (!has_cpu(controllers))
		return 0;
	snprintf(mount, sizeof(mount), "%s/%s", root, controllers);
	return limit_on_path(mount, group, false);
}

int mp__cpu_quota(const char *membership, const char *root)
{
	MP__AUTO(close_file) FILE *file = fopen(membership, "re");
	MP__AUTO_FREE char *line = NULL;
	size_t room = 0;
	int limit = 0;

	while (file && getline(&line, &room, file) > 0)
		limit = tighter(limit, limit_of_line(line, root));
	return limit;
}

/* --- affinity ------------------------------------------------------------------------------------ */

static int cpus_allowed(void)
{
	for (int n = CPU_SETSIZE; n <= MASK_MAX; n *= 2) {
		cpu_set_t *set = CPU_ALLOC(n);
		if (!set)
			break;
		size_t size = CPU_ALLOC_SIZE(n);
		int count = sched_getaffinity(0, size, set) == 0 ? CPU_COUNT_S(size, set) : 0;
		CPU_FREE(set);
		if (count > 0)
			return count;
	}
	return 1;
}

int mp_cpu_count(void)
{
	int allowed = cpus_allowed();
	int quota = mp__cpu_quota("/proc/self/cgroup", "/sys/fs/cgroup");

	return quota > 0 && quota < allowed ? quota : allowed;
}
