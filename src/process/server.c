/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "process/server.h"

#include "base/cleanup.h"
#include "base/error.h"
#include "base/fds.h"
#include "base/testpoint.h"
#include "process/child.h"
#include "process/kin.h"
#include "process/process.h"
#include "process/report.h"
#include "process/startdata.h"

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>

struct child {
	int report; /* where its end is told; the child holds it too */
	bool daemon;
};

/*
 * Slot 0 is the owner's socket; slot n is child n. Both arrays always have the same length, so that
 * poll(2) takes the first as it is.
 */
static struct {
	struct pollfd *polled;
	struct child *children;
	size_t n;
	size_t room;
} server;

static int make_room(void)
{
	if (server.n < server.room)
		return 0;
	size_t room = server.room ? server.room * 2 : 16;
	struct pollfd *polled = realloc(server.polled, room * sizeof(*polled));
	if (polled)
		server.polled = polled;
	struct child *children = realloc(server.children, room * sizeof(*children));
	if (children)
		server.children = children;
	if (!polled || !children)
		return mp_error_set(-ENOMEM, "fork server: out of memory");
	server.room = room;
	return 0;
}

static void add(int fd, int report, bool daemon)
{
	server.polled[server.n] = (struct pollfd){.fd = fd, .events = POLLIN};
	server.children[server.n++] = (struct child){.report = report, .daemon = daemon};
}

/* In the child: nothing of the server stays open, above all not the reports of other children. */
static void forget_all(void)
{
	for (size_t i = 0; i < server.n; i++) {
		close(server.polled[i].fd);
		if (server.children[i].report >= 0)
			close(server.children[i].report);
	}
}

/* --- starting ------------------------------------------------------------------------------------ */

static _Noreturn void be_child(int *fds, size_t n_fds)
{
	forget_all();
	signal(SIGINT, SIG_DFL);
	/* The mask is emptied right before the target, as for spawn. */
	mp__child_start(fds, n_fds);
	_exit(EXIT_FAILURE);
}

static int fork_child(int *fds, size_t n_fds, bool daemon)
{
	sigset_t all;
	sigset_t before;

	int r = make_room();
	if (r < 0)
		return r;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	pid_t pid = fork();
	if (pid == 0)
		be_child(fds, n_fds);
	int err = errno;
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	errno = err;
	if (pid < 0)
		return mp__error_errno("fork in the fork server");
	MP__TEST_POINT("process.server.forked");
	int pidfd = mp__pidfd_open_child(pid);
	if (pidfd < 0)
		return pidfd;
	add(pidfd, MP__TAKE_FD(fds[MP__START_REPORT]), daemon);
	return 0;
}

/* --- preloading ----------------------------------------------------------------------------------- */

static int preload_result;
static char preload_why[MP__DETAIL_SIZE];

static int preload(int *fds, size_t n_fds)
{
	struct mp__child child;
	uint64_t blocked;

	int r = mp__startdata_take(fds, n_fds, &child, &blocked);
	if (r < 0)
		return r;
	close(child.report);
	/* What is said if the function says nothing itself. */
	mp_error_set(-ECANCELED, "start: the preload function failed");
	r = child.target((int)child.args.count, child.args.as.items);
	if (r > 0)
		r = mp_error_set(-ECANCELED, "start: the preload function returned %d", r);
	mp_obj_free(&child.args);
	/* Or each child would write it once more. */
	mp__stdio_flush();
	return r;
}

/* The owner hears why, and will try with another server. */
static _Noreturn void refuse(const struct mp__report_end *report)
{
	MP__TEST_POINT("process.server.refusing");
	mp_error_set(preload_result, "%s", preload_why);
	mp__report_failed(report, preload_result);
	_exit(EXIT_FAILURE);
}

/* --- serving --------------------------------------------------------------------------------------- */

/* Whether the owner is still there. */
static bool serve_request(void)
{
	struct mp__server_request request;
	int fds[MP__START_FDS_MAX];
	size_t n_fds = MP__COUNT_OF(fds);

	ssize_t n = mp__socket_receive(server.polled[0].fd, &request, sizeof(request), fds, &n_fds);
	if (n == 0 || n == -ECONNRESET)
		return false;
	if (n < 0)
		return true; /* descriptors were cut: the owner sees its report socket end */
	MP__TEST_POINT("process.server.received");
	if (n == sizeof(request) && request.magic == MP__SERVER_MAGIC && n_fds > MP__START_REPORT) {
		struct mp__report_end report = mp__report_end_of(fds[MP__START_REPORT]);
		if (preload_result < 0)
			refuse(&report);
		int r = fork_child(fds, n_fds, request.daemon != 0);
		if (r < 0)
			mp__report_failed(&report, r);
	}
	mp__fds_close(fds, n_fds);
	return true;
}

/* --- ending --------------------------------------------------------------------------------------- */

static void remove_child(size_t i)
{
	close(server.polled[i].fd);
	close(server.children[i].report);
	server.n--;
	server.polled[i] = server.polled[server.n];
	server.children[i] = server.children[server.n];
}

static void reap(size_t i)
{
	struct rusage usage;
	int status;

	MP__TEST_POINT("process.server.reaping");
	if (mp__reap(server.polled[i].fd, &status, &usage) < 0)
		return;
	MP__TEST_POINT("process.server.reaped");
	mp__report_exit(server.children[i].report, status, &usage);
	remove_child(i);
}

/* The owner is gone, and with it everybody who could want them. */
static _Noreturn void leave(void)
{
	for (size_t i = 1; i < server.n; i++) {
		if (server.children[i].daemon)
			mp__pidfd_signal(server.polled[i].fd, SIGKILL);
	}
	_exit(0);
}

static _Noreturn void loop(void)
{
	for (;;) {
		int n = poll(server.polled, server.n, -1);
		if (n < 0 && errno != EINTR)
			leave();
		if (n <= 0)
			continue;
		/* Downwards, so that what remove_child() moves was looked at already. */
		for (size_t i = server.n - 1; i > 0; i--) {
			if (server.polled[i].revents)
				reap(i);
		}
		if (server.polled[0].revents && !serve_request())
			leave();
	}
}

int mp__server_run(int *fds, size_t n_fds)
{
	struct ucred owner;
	socklen_t owner_size = sizeof(owner);
	int type = 0;
	socklen_t size = sizeof(type);

	if (n_fds < 1 || getsockopt(fds[0], SOL_SOCKET, SO_TYPE, &type, &size) < 0 ||
		type != SOCK_SEQPACKET ||
		getsockopt(fds[0], SOL_SOCKET, SO_PEERCRED, &owner, &owner_size) < 0)
		return mp_error_set(-EBADMSG, "fork server: no socket");
	/* Ctrl-C in the terminal is for the program and its children, not for their helper. */
	signal(SIGINT, SIG_IGN);
	prctl(PR_SET_NAME, "mp-forkserver");
	MP__TEST_POINT("process.server.begun");
	/* Who made the pair of sockets is the parent of every child, and of the server too. */
	if (make_room() < 0 || mp__kin_adopt(owner.pid) < 0)
		_exit(EXIT_FAILURE);
	if (n_fds > 1)
		preload_result = preload(fds + 1, n_fds - 1);
	snprintf(preload_why, sizeof(preload_why), "%s", mp_error_detail());
	MP__TEST_POINT("process.server.preloaded");
	add(fds[0], -1, false);
	loop();
}
