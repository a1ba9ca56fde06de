/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "tests/storm/invariants.h"

#include "base/deadline.h"
#include "sync/waiting.h"
#include "tests/storm/storm.h"
#include "tests/storm/strike.h"

#include <dirent.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* Orphans that know that their parent has died leave by themselves, and at once. */
#define LEAVE_MS 30000

static struct census {
	int descriptors;
	int mappings;
	int sockets;
} before;
static bool own_shm;

/* --- counting ------------------------------------------------------------------------------------------- */

static int count_descriptors(void)
{
	DIR *dir = opendir("/proc/self/fd");
	int n = 0;

	while (dir && readdir(dir))
		n++;
	if (dir)
		closedir(dir);
	return n;
}

static int count_lines(const char *path, const char *with)
{
	char line[512];
	int n = 0;
	FILE *f = fopen(path, "re");

	while (f && fgets(line, sizeof(line), f))
		n += strstr(line, with) != NULL;
	if (f)
		(void)fclose(f);
	return n;
}

/* Names of files; those of this storm only, where others have theirs beside them. */
static int count_names(char *first, size_t size)
{
	char mine[32];
	DIR *dir = opendir("/dev/shm");
	int n = 0;

	(void)snprintf(mine, sizeof(mine), "storm-%d-", (int)storm_pid);
	for (struct dirent *e = dir ? readdir(dir) : NULL; e; e = readdir(dir)) {
		if (e->d_name[0] == '.' || (!own_shm && !strstr(e->d_name, mine)))
			continue;
		(void)snprintf(first, size, "%s", e->d_name);
		n++;
	}
	if (dir)
		closedir(dir);
	return n;
}

static struct census take(void)
{
	char with[32];

	/* Sockets with a file that this storm has made. */
	(void)snprintf(with, sizeof(with), "storm-%d-", (int)storm_pid);
	return (struct census){
		.descriptors = count_descriptors(),
		.mappings = count_lines("/proc/self/maps", "/memfd:") -
			    count_lines("/proc/self/maps", "/memfd:storm"),
		.sockets = count_lines("/proc/net/unix", with),
	};
}

/* --- before and after ---------------------------------------------------------------------------------- */

void storm_watch_leaks(void)
{
	(void)prctl(PR_SET_CHILD_SUBREAPER, 1);
	own_shm = unshare(CLONE_NEWNS) == 0 &&
		  mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
		  mount("shm", "/dev/shm", "tmpfs", MS_NOSUID | MS_NODEV, NULL) == 0;
	/* The first wait makes it, for good: it is nothing that is left behind. */
	(void)mp__waiting_board();
}

void storm_count_before(void)
{
	before = take();
}

static void check_processes(void)
{
	mp__deadline deadline = mp__deadline_in(LEAVE_MS);
	struct timespec slice = {.tv_nsec = 2000000};
	pid_t pids[STORM_PROCESSES_MAX];

	for (;;) {
		pid_t pid = waitpid(-1, NULL, WNOHANG | __WALL);
		if (pid < 0)
			return;
		if (pid > 0)
			continue;
		if (mp__deadline_passed(deadline))
			break;
		nanosleep(&slice, NULL);
	}
	int n = storm_descendants(pids);
	storm_fail(
		STORM_LEAKED, "%d processes are left, one of them is %d", n, n > 0 ? pids[0] : 0);
	for (int i = 0; i < n; i++)
		(void)kill(pids[i], SIGKILL);
	while (waitpid(-1, NULL, __WALL) > 0)
		;
}

void storm_check_leaks(void)
{
	char name[300] = "";

	check_processes();
	/* What killed ones leave with a name goes when somebody looks for such. */
	STORM_CHECK(mp_shm_gc(MP_SHM_REMOVE, NULL, NULL) >= 0);
	int names = count_names(name, sizeof(name));
	if (names > 0)
		storm_fail(STORM_LEAKED, "%d names are left in /dev/shm, one is %s", names, name);
	struct census after = take();
	if (after.descriptors != before.descriptors)
		storm_fail(STORM_LEAKED, "%d descriptors before, %d after", before.descriptors,
			after.descriptors);
	if (after.mappings > before.mappings)
		storm_fail(STORM_LEAKED, "%d mappings of shared memory before, %d after",
			before.mappings, after.mappings);
	if (after.sockets > before.sockets)
		storm_fail(STORM_LEAKED, "%d sockets are left", after.sockets - before.sockets);
}
