/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "process/kin.h"

#include "base/cleanup.h"
#include "base/error.h"
#include "base/fds.h"
#include "base/origin.h"
#include "process/process.h"
#include "process/thread.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* Written before the target runs and never again. */
static struct mp__kin kin = {
	.name = "MainProcess",
	.lineage = "",
	.parent_fd = -1,
};

/* A process that the user forks has a parent that libmp knows nothing of. */
static mp__origin origin;

/* With and without a name of their own: no two have the same lineage. */
static _Atomic unsigned children_described;

/*
 * By what the parent is watched: kin.parent_fd, or what the first who asked has opened. The target may
 * close descriptors that are not its own, and the number be something else by now: the file is
 * compared. The lock guards these two; nothing under it waits.
 */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int watched = -1;
static struct stat watched_file;

static void lock_for_fork(void)
{
	pthread_mutex_lock(&lock);
}

static void unlock_after_fork(void)
{
	pthread_mutex_unlock(&lock);
}

__attribute__((constructor)) static void keep_lock_sane_over_fork(void)
{
	pthread_atfork(lock_for_fork, unlock_after_fork, unlock_after_fork);
}

static bool is_same_file(int fd)
{
	struct stat st;

	return fd >= 0 && fstat(fd, &st) == 0 && st.st_dev == watched_file.st_dev &&
	       st.st_ino == watched_file.st_ino;
}

static void watch(int fd)
{
	watched = fd;
	if (fd >= 0)
		fstat(fd, &watched_file);
}

void mp__kin_become(const struct mp__kin *new)
{
	/* What was inherited watches the parent's parent, but for children of a fork server. */
	if (watched != new->parent_fd && is_same_file(watched))
		close(watched);
	kin = *new;
	origin = mp__origin_here();
	children_described = 0;
	watch(kin.parent_fd);
}

const struct mp__kin *mp__kin_here(void)
{
	return &kin;
}

char *mp__kin_child_lineage(void)
{
	unsigned n = atomic_fetch_add_explicit(&children_described, 1, memory_order_relaxed) + 1;
	char number[11];
	char *digits = number + sizeof(number);
	size_t length = strlen(kin.lineage);

	/* By hand: printf(3) goes deep, and each page of stack that is touched is a fault after a fork. */
	for (*--digits = '\0'; n > 0; n /= 10)
		*--digits = (char)('0' + n % 10);
	size_t size = (size_t)(number + sizeof(number) - digits);
	char *lineage = malloc(length + 1 + size);
	if (!lineage)
		return NULL;
	memcpy(lineage, kin.lineage, length);
	if (length > 0)
		lineage[length++] = ':';
	memcpy(lineage + length, digits, size);
	return lineage;
}

int mp__kin_ended_fd(void)
{
	int ends[2];

	if (pipe2(ends, O_CLOEXEC) < 0)
		return mp__error_errno("pipe in place of a pidfd");
	close(ends[1]);
	return ends[0];
}

/* A pidfd of the kernel's parent, if that still is this process. */
static int open_parent(pid_t pid)
{
	if (getppid() != pid)
		return -EOWNERDEAD;
	MP__AUTO_CLOSE int fd = mp__pidfd_open(pid);
	if (fd < 0 && fd != -ESRCH)
		return fd;
	/* It was our parent before and is after: in between nobody else can have had that pid. */
	return getppid() == pid ? MP__TAKE_FD(fd) : -EOWNERDEAD;
}

int mp__kin_adopt(pid_t owner)
{
	int fd = open_parent(owner);

	if (fd < 0)
		return fd;
	kin.parent_fd = fd;
	watch(fd);
	return 0;
}

/* --- the parent ---------------------------------------------------------------------------------- */

static int check_parent(const char *what)
{
	if (!kin.parent_name || !mp__origin_is_here(origin))
		return mp_error_set(-ENOENT, "%s: this process was not started by libmp", what);
	return 0;
}

static int watch_with_lock_held(const char *what)
{
	if (is_same_file(watched))
		return watched;
	if (kin.parent_fd >= 0)
		return mp_error_set(-EBADF, "%s: descriptor %d was closed, by which it is watched",
			what, kin.parent_fd);
	int fd = open_parent(kin.parent_pid);
	if (fd == -EOWNERDEAD)
		fd = mp__kin_ended_fd();
	watch(fd);
	return fd;
}

/* A descriptor that tells its end. */
static int watch_parent(const char *what)
{
	int r = check_parent(what);

	if (r < 0)
		return r;
	pthread_mutex_lock(&lock);
	int fd = watch_with_lock_held(what);
	pthread_mutex_unlock(&lock);
	return fd;
}

int mp_parent_pid(void)
{
	int r = check_parent("parent_pid");

	return r < 0 ? r : kin.parent_pid;
}

const char *mp_parent_name(void)
{
	return check_parent("parent_name") < 0 ? NULL : kin.parent_name;
}

int mp_parent_sentinel(void)
{
	return watch_parent("parent_sentinel");
}

int mp_parent_is_alive(void)
{
	int fd = watch_parent("parent_is_alive");

	return fd < 0 ? fd : mp__fd_wait(fd, POLLIN, mp__deadline_in(0)) == -ETIMEDOUT;
}

int mp_parent_join(int timeout_ms)
{
	mp__deadline deadline = mp__deadline_in(timeout_ms);

	int fd = watch_parent("parent_join");
	if (fd < 0)
		return fd;
	int r = mp__fd_wait(fd, POLLIN, deadline);
	if (r == -ETIMEDOUT)
		return mp_error_set(r, "parent_join: %s (pid %d) has not ended within %d ms",
			kin.parent_name, kin.parent_pid, timeout_ms);
	return r;
}

/* --- this process -------------------------------------------------------------------------------- */

const char *mp_process_current_name(void)
{
	const struct mp_process *thread = mp__thread_current();

	return thread ? thread->name : kin.name;
}

int mp_process_current_daemon(void)
{
	const struct mp_process *thread = mp__thread_current();

	return thread ? thread->daemon : kin.daemon;
}
