/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "tests/storm/strike.h"

#include "base/deadline.h"
#include "base/fds.h"
#include "tests/storm/report.h"
#include "tests/storm/storm.h"
#include "tests/storm/tree.h"

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define STOP_MAX_NS 5000000

/* --- who there is -------------------------------------------------------------------------------------- */

/* Its parent; -1: it has ended, or is about to be collected. */
static pid_t parent_of(pid_t pid, bool *ret_stopped)
{
	char path[64];
	char text[512];
	char state = 0;
	int parent = -1;

	(void)snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -1;
	ssize_t n = read(fd, text, sizeof(text) - 1);
	close(fd);
	if (n <= 0)
		return -1;
	text[n] = '\0';
	/* Names may hold anything but end at the last bracket. */
	char *at = strrchr(text, ')');
	if (!at || sscanf(at, ") %c %d", &state, &parent) != 2 || state == 'Z' || state == 'X')
		return -1;
	if (ret_stopped)
		*ret_stopped = state == 'T';
	return parent;
}

static bool descends(pid_t pid)
{
	pid_t self = getpid();

	for (int depth = 0; pid > 1 && depth < 16; depth++) {
		pid = parent_of(pid, NULL);
		if (pid == self)
			return true;
	}
	return false;
}

static int add_children(pid_t pid, pid_t *pids, int n)
{
	char path[64];
	int child;

	(void)snprintf(path, sizeof(path), "/proc/%d/task", (int)pid);
	DIR *dir = opendir(path);
	if (!dir)
		return n;
	for (struct dirent *e = readdir(dir); e; e = readdir(dir)) {
		char list[96];
		if (e->d_name[0] == '.')
			continue;
		(void)snprintf(
			list, sizeof(list), "/proc/%d/task/%.20s/children", (int)pid, e->d_name);
		FILE *f = fopen(list, "re");
		while (f && fscanf(f, "%d", &child) == 1 && n < STORM_PROCESSES_MAX)
			if (parent_of(child, NULL) > 0)
				pids[n++] = child;
		if (f)
			(void)fclose(f);
	}
	closedir(dir);
	return n;
}

int storm_descendants(pid_t pids[STORM_PROCESSES_MAX])
{
	int n = add_children(getpid(), pids, 0);

	for (int i = 0; i < n; i++)
		n = add_children(pids[i], pids, n);
	return n;
}

/* --- the blow -------------------------------------------------------------------------------------------- */

static void pause_ns(uint64_t ns)
{
	struct timespec t = {.tv_nsec = (long)ns};

	nanosleep(&t, NULL);
}

static bool end_it(int pidfd, int signal)
{
	if (mp__pidfd_signal(pidfd, signal) < 0)
		return false;
	/* It may stand still at a point. */
	(void)mp__pidfd_signal(pidfd, SIGCONT);
	if (mp__fd_wait(pidfd, POLLIN, mp__deadline_in(STORM_TIMEOUT_MS)) < 0) {
		storm_fail(STORM_HUNG, "a process does not end by signal %d", signal);
		(void)mp__pidfd_signal(pidfd, SIGKILL);
		return false;
	}
	return true;
}

static bool hit(int pidfd, uint64_t random)
{
	switch (random % 8) {
	case 0: /* stands still for a while, and goes on */
		if (mp__pidfd_signal(pidfd, SIGSTOP) < 0)
			return false;
		pause_ns((random >> 8) % STOP_MAX_NS);
		(void)mp__pidfd_signal(pidfd, SIGCONT);
		storm_totals.stops++;
		return false;
	case 1: /* stands still, and never moves again */
	case 2:
		if (mp__pidfd_signal(pidfd, SIGSTOP) < 0)
			return false;
		pause_ns((random >> 8) % STOP_MAX_NS);
		return end_it(pidfd, SIGKILL);
	case 3: /* the storm's own leave by _exit in the handler, others as they do */
		return end_it(pidfd, SIGTERM);
	default:
		return end_it(pidfd, SIGKILL);
	}
}

bool storm_strike(uint64_t random)
{
	pid_t pids[STORM_PROCESSES_MAX];
	int n = storm_descendants(pids);

	if (n == 0)
		return false;
	pid_t pid = pids[random % (unsigned)n];
	if (storm_spares(pid))
		return false;
	int pidfd = mp__pidfd_open(pid);
	if (pidfd < 0)
		return false;
	bool ended = descends(pid) && hit(pidfd, random >> 16);
	close(pidfd);
	return ended;
}

unsigned storm_end_stopped(void)
{
	pid_t pids[STORM_PROCESSES_MAX];
	int n = storm_descendants(pids);
	unsigned ended = 0;

	for (int i = 0; i < n; i++) {
		bool stopped = false;
		int pidfd = mp__pidfd_open(pids[i]);
		if (pidfd >= 0 && descends(pids[i]) && parent_of(pids[i], &stopped) > 0 && stopped)
			ended += end_it(pidfd, SIGKILL);
		if (pidfd >= 0)
			close(pidfd);
	}
	return ended;
}

/* --- at points --------------------------------------------------------------------------------------------- */

static char token[64];

static void lay_token(void)
{
	int fd = open(token, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);

	if (fd >= 0)
		close(fd);
}

void storm_arm(const char *point, const char *action)
{
	char text[128];
	char self[16];

	(void)snprintf(token, sizeof(token), "/tmp/mp-storm-%d", (int)getpid());
	(void)snprintf(text, sizeof(text), "%s:%s", point, action);
	(void)snprintf(self, sizeof(self), "%d", (int)getpid());
	lay_token();
	setenv("MP_TEST_POINT_TOKEN", token, 1);
	setenv("MP_TEST_POINT_SPARES", self, 1);
	setenv("MP_TEST_POINT", text, 1);
}

bool storm_fired(void)
{
	if (access(token, F_OK) == 0)
		return false;
	lay_token();
	return true;
}

void storm_disarm(void)
{
	unsetenv("MP_TEST_POINT");
	unsetenv("MP_TEST_POINT_TOKEN");
	unsetenv("MP_TEST_POINT_SPARES");
	(void)unlink(token);
}
