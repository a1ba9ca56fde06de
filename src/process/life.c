/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "process/life.h"

#include "base/cleanup.h"
#include "base/error.h"
#include "base/fds.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

/*
 * The write end of this process, shared by all of its daemonic children. A forked child must not
 * hold it, or it would keep its siblings alive: the handler below closes it in every fork, ours and
 * the user's. The lock guards these two words and is held over nothing that waits.
 */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int write_end = -1;
static unsigned n_children;

static void before_fork(void)
{
	pthread_mutex_lock(&lock);
}

static void after_fork_in_parent(void)
{
	pthread_mutex_unlock(&lock);
}

static void after_fork_in_child(void)
{
	if (write_end >= 0)
		close(write_end);
	write_end = -1;
	n_children = 0;
	pthread_mutex_unlock(&lock);
}

__attribute__((constructor)) static void watch_forks(void)
{
	pthread_atfork(before_fork, after_fork_in_parent, after_fork_in_child);
}

/* With the lock held. */
static int open_reader(void)
{
	char path[64];
	int ends[2];

	if (write_end < 0) {
		if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) < 0)
			return mp__error_errno("pipe for daemonic children");
		close(ends[0]);
		write_end = mp__fd_above_std(ends[1]);
		if (write_end < 0)
			return mp__error_errno("pipe for daemonic children");
	}
	/*
	 * Each child gets an open file description of its own: whom a description sends signals to
	 * is one setting of the description, and duplicates would share it.
	 */
	snprintf(path, sizeof(path), "/proc/self/fd/%d", write_end);
	int fd = mp__fd_above_std(open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK));
	return fd < 0 ? mp__error_errno("opening a pipe for a daemonic child") : fd;
}

static void close_if_unused(void)
{
	if (n_children == 0 && write_end >= 0) {
		close(write_end);
		write_end = -1;
	}
}

int mp__life_acquire(void)
{
	pthread_mutex_lock(&lock);
	int fd = open_reader();
	if (fd >= 0)
		n_children++;
	close_if_unused();
	pthread_mutex_unlock(&lock);
	return fd;
}

void mp__life_release(void)
{
	pthread_mutex_lock(&lock);
	if (n_children > 0)
		n_children--;
	close_if_unused();
	pthread_mutex_unlock(&lock);
}

/*
 * The descriptor stays open as long as the child does not execute another program. What the child
 * forks shares it and is none the worse: the signal goes to the process that asked for it.
 */
int mp__life_arm(int fd, int signal)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};

	if (fcntl(fd, F_SETOWN, getpid()) < 0 || fcntl(fd, F_SETSIG, signal) < 0 ||
		fcntl(fd, F_SETFL, O_NONBLOCK | O_ASYNC) < 0)
		return mp__error_errno("asking to end with the parent");
	/* It may have gone before the kernel watched: nothing more will happen on the pipe then. */
	if (poll(&p, 1, 0) > 0)
		kill(getpid(), signal);
	return 0;
}
