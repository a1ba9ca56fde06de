/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "pool/group.h"

#include "base/cleanup.h"
#include "base/error.h"
#include "base/fds.h"
#include "pool/limits.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define PERIOD_US 100000
#define EMPTY_TRIES 1000 /* milliseconds until killed processes are gone */

static void close_file(FILE **file)
{
	if (*file)
		fclose(*file);
}

static void close_directory(DIR **directory)
{
	if (*directory)
		closedir(*directory);
}

static int read_file(const char *directory, const char *name, char *text, size_t size)
{
	char path[PATH_MAX + 64];

	snprintf(path, sizeof(path), "%s/%s", directory, name);
	MP__AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, text, size - 1);
	if (n < 0)
		return -errno;
	text[n] = '\0';
	return 0;
}

static int write_file(const char *directory, const char *name, const char *text)
{
	char path[PATH_MAX + 64];

	snprintf(path, sizeof(path), "%s/%s", directory, name);
	MP__AUTO_CLOSE int fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0 || write(fd, text, strlen(text)) < 0)
		return mp_error_set(
			-errno, "writing %s of a control group: %s", name, strerrordesc_np(errno));
	return 0;
}

/* --- where -------------------------------------------------------------------------------------- */

static bool has_word(const char *text, const char *word)
{
	size_t length = strlen(word);

	for (;;) {
		size_t n = strcspn(text, " \n");
		if (n == length && memcmp(text, word, n) == 0)
			return true;
		if (text[n] == '\0')
			return false;
		text += n + 1;
	}
}

/* May groups be made here, and have they these limits? */
static bool serves(const char *directory, bool memory, bool cpu)
{
	char enabled[512] = "";

	return read_file(directory, "cgroup.subtree_control", enabled, sizeof(enabled)) == 0 &&
	       (!memory || has_word(enabled, "memory")) && (!cpu || has_word(enabled, "cpu")) &&
	       access(directory, W_OK) == 0;
}

/* From the group up to where groups are mounted. */
static bool find_on_path(
	const char *mount, const char *group, bool memory, bool cpu, char found[PATH_MAX])
{
	size_t mount_length = strlen(mount);

	if (strncmp(group, "/..", 3) == 0)
		group = "";
	if (snprintf(found, PATH_MAX, "%s%s", mount, group) >= PATH_MAX)
		return false;
	for (;;) {
		if (serves(found, memory, cpu))
			return true;
		char *slash = strrchr(found, '/');
		if (!slash || (size_t)(slash - found) < mount_length)
			return false;
		*slash = '\0';
	}
}

int mp__group_find(const char *membership, const char *root, bool memory, bool cpu,
	char ret_directory[PATH_MAX])
{
	MP__AUTO(close_file) FILE *file = fopen(membership, "re");
	MP__AUTO_FREE char *line = NULL;
	char mount[PATH_MAX];
	char found[PATH_MAX];
	size_t room = 0;

	while (file && getline(&line, &room, file) > 0) {
		line[strcspn(line, "\n")] = '\0';
		if (strncmp(line, "0::/", 4) != 0)
			continue;
		/* Beside version 1 it is mounted one level down. */
		snprintf(mount, sizeof(mount), "%s/unified", root);
		if (!find_on_path(root, line + 3, memory, cpu, found) &&
			!find_on_path(mount, line + 3, memory, cpu, found))
			break;
		memcpy(ret_directory, found, sizeof(found));
		return 0;
	}
	return mp_error_set(-ENOTSUP, "no control groups can be made here");
}

/* --- one ---------------------------------------------------------------------------------------- */

/* Pids mean something in one namespace only. */
static unsigned long long pid_namespace(void)
{
	struct stat st;

	return stat("/proc/self/ns/pid", &st) == 0 ? (unsigned long long)st.st_ino : 0;
}

static int limit(const char *path, uint64_t memory, int cpu)
{
	char text[64];
	int r = 0;

	if (memory > 0) {
		snprintf(text, sizeof(text), "%llu", (unsigned long long)memory);
		r = write_file(path, "memory.max", text);
		/* A limit that is swapped out is none; and its children go with a worker. Where the
		 * kernel has these. */
		write_file(path, "memory.swap.max", "0");
		write_file(path, "memory.oom.group", "1");
	}
	if (r == 0 && cpu > 0) {
		snprintf(text, sizeof(text), "%lld %d", (long long)cpu * (PERIOD_US / 100),
			PERIOD_US);
		r = write_file(path, "cpu.max", text);
	}
	return r;
}

static uint64_t count_killed(const char *path)
{
	char text[1024];

	if (read_file(path, "memory.events", text, sizeof(text)) < 0)
		return 0;
	const char *at = strstr(text, "oom_kill ");
	return at ? strtoull(at + strlen("oom_kill "), NULL, 10) : 0;
}

int mp__group_make(const char *directory, unsigned pool, unsigned worker, uint64_t memory, int cpu,
	struct mp__group *ret_group)
{
	struct mp__group group = {0};
	char list[PATH_MAX + 64];

	if (snprintf(group.path, sizeof(group.path), "%s/libmp-%llu-%d-%u-%u", directory,
		    pid_namespace(), getpid(), pool, worker) >= (int)sizeof(group.path))
		return mp_error_set(-ENAMETOOLONG, "the path of a control group is too long");
	if (mkdir(group.path, 0755) < 0 && errno != EEXIST)
		return mp__error_errno("making a control group");
	int r = limit(group.path, memory, cpu);
	snprintf(list, sizeof(list), "%s/cgroup.procs", group.path);
	int fd = r < 0 ? r : mp__fd_above_std(open(list, O_WRONLY | O_CLOEXEC));
	if (r == 0 && fd < 0)
		r = mp__error_errno("opening a control group");
	if (r < 0) {
		rmdir(group.path);
		return r;
	}
	group.killed = count_killed(group.path);
	*ret_group = group;
	return fd;
}

bool mp__group_has_killed(struct mp__group *group)
{
	uint64_t before = group->killed;

	if (!*group->path)
		return false;
	group->killed = count_killed(group->path);
	return group->killed > before;
}

void mp__group_remove(struct mp__group *group)
{
	static const struct timespec millisecond = {.tv_nsec = 1000000};

	if (!*group->path)
		return;
	for (int i = 0; i < EMPTY_TRIES && rmdir(group->path) < 0 && errno == EBUSY; i++) {
		write_file(group->path, "cgroup.kill", "1");
		nanosleep(&millisecond, NULL);
	}
	group->path[0] = '\0';
}

void mp__group_sweep(const char *directory)
{
	MP__AUTO(close_directory) DIR *dir = opendir(directory);
	struct dirent *entry;

	while (dir && (entry = readdir(dir))) {
		unsigned long long space;
		int pid;
		if (sscanf(entry->d_name, "libmp-%llu-%d-", &space, &pid) == 2 &&
			space == pid_namespace() && pid > 0 && kill(pid, 0) < 0 && errno == ESRCH)
			unlinkat(dirfd(dir), entry->d_name, AT_REMOVEDIR);
	}
}

/* --- in the worker ------------------------------------------------------------------------------ */

int mp__group_enter(int fd)
{
	if (write(fd, "0", 1) != 1)
		return mp__error_errno("entering a control group");
	return 0;
}

int mp__group_limit_self(uint64_t memory)
{
	struct rlimit before;

	return mp__limit_memory(memory / 1024 + (memory % 1024 > 0), &before) < 0
		       ? mp_error_set(-EACCES, "the memory of a worker cannot be limited here")
		       : 0;
}
