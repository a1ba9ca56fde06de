/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "process/server.h"

#include "base/cleanup.h"
#include "base/error.h"
#include "base/fds.h"
#include "base/origin.h"
#include "base/testpoint.h"
#include "process/arrival.h"
#include "process/kin.h"
#include "process/process.h"
#include "process/report.h"

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>

#define RECHECK_MS 50

/* A child that runs; its place in the table is the number of its report socket. */
struct child {
	pid_t pid;
	int next; /* of those whose pids fall into the same bucket; -1 the last */
	bool live;
	bool daemon;
	uint64_t id; /* the owner's for it */
};

/*
 * Nothing here is gone through as a whole while children run: from a pid the way leads over its bucket.
 * The numbers of descriptors are the lowest that are free, so that the table has few holes.
 */
static struct {
	int socket;
	int signals;              /* tells SIGCHLD */
	struct sigaction sigchld; /* what the program had set for it */
	int recheck_ms; /* -1 never: a thread that the preload function left may swallow SIGCHLD */
	struct child *children;
	int *buckets; /* as many as there are places, a power of two; -1 empty */
	int room;
} server = {.socket = -1, .signals = -1};

static int *bucket_of(pid_t pid)
{
	return &server.buckets[pid & (server.room - 1)];
}

static void link_child(int place)
{
	int *bucket = bucket_of(server.children[place].pid);

	server.children[place].next = *bucket;
	*bucket = place;
}

/* So that this place exists. */
static int make_room(int place)
{
	int room = server.room ? server.room : 64;

	if (place < server.room)
		return 0;
	while (room <= place)
		room *= 2;
	struct child *children = realloc(server.children, (size_t)room * sizeof(*children));
	if (children)
		server.children = children;
	int *buckets = realloc(server.buckets, (size_t)room * sizeof(*buckets));
	if (buckets)
		server.buckets = buckets;
	if (!children || !buckets)
		return mp_error_set(-ENOMEM, "fork server: out of memory");
	memset(children + server.room, 0, (size_t)(room - server.room) * sizeof(*children));
	memset(buckets, 0xff, (size_t)room * sizeof(*buckets));
	server.room = room;
	for (int i = 0; i < room; i++) {
		if (children[i].live)
			link_child(i);
	}
	return 0;
}

static void add(int report, pid_t pid, const struct mp__server_request *request)
{
	server.children[report] = (struct child){
		.pid = pid, .live = true, .daemon = request->daemon != 0, .id = request->id};
	link_child(report);
}

/* In the child: nothing of the server stays open, above all not the reports of other children. */
static void forget_all(void)
{
	close(server.socket);
	close(server.signals);
	for (int first = 0; first < server.room; first++) {
		int end = first;
		while (end < server.room && server.children[end].live)
			end++;
		if (end > first)
			close_range((unsigned)first, (unsigned)end - 1, 0);
		first = end;
	}
}

/* --- starting ------------------------------------------------------------------------------------ */

static _Noreturn void be_child(struct mp__arrival *arrival, int report)
{
	mp__origin_make(); /* asking would be a page fault more: to read, and then to write */
	forget_all();
	signal(SIGINT, SIG_DFL);
	sigaction(SIGCHLD, &server.sigchld, NULL);
	/* The mask is emptied right before the target, as for spawn. */
	MP__TEST_POINT("process.child.entered");
	mp__arrival_run(arrival, report);
}

static int fork_child(
	struct mp__arrival *arrival, int report, const struct mp__server_request *request)
{
	sigset_t all;
	sigset_t before;

	int r = make_room(report);
	if (r < 0)
		return r;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	pid_t pid = fork();
	if (pid == 0)
		be_child(arrival, report);
	r = pid < 0 ? mp__error_errno("fork in the fork server") : 0;
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	MP__TEST_POINT("process.server.forked");
	if (r == 0)
		add(report, pid, request);
	return r;
}

/* --- preloading ----------------------------------------------------------------------------------- */

static int preload_result;
static char preload_why[MP__DETAIL_SIZE];

static int preload(int report)
{
	struct mp__arrival arrival;
	struct mp__child child;

	int r = mp__arrival_receive(report, &arrival);
	if (r == 0)
		r = mp__arrival_settle(&arrival, &report, &child);
	mp__arrival_release(&arrival);
	close(report);
	if (r != 0)
		return r;
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
static _Noreturn void refuse(int report)
{
	struct mp__report_end end = mp__report_end_of(report);

	MP__TEST_POINT("process.server.refusing");
	mp_error_set(preload_result, "%s", preload_why);
	mp__report_failed(&end, preload_result);
	_exit(EXIT_FAILURE);
}

/* --- serving --------------------------------------------------------------------------------------- */

/* A child with everything that it needs waiting in its report socket, or the report why there is none. */
static void start(int report, const struct mp__server_request *request)
{
	struct mp__arrival arrival;

	if (preload_result < 0)
		refuse(report);
	int r = mp__arrival_receive(report, &arrival);
	if (r == 0)
		r = fork_child(&arrival, report, request);
	mp__arrival_release(&arrival);
	if (r == 0)
		return;
	struct mp__report_end end = mp__report_end_of(report);
	mp__report_failed(&end, r);
	close(report);
}

/* It has not ended, or its place would be free: the pid is its. */
static void cancel(uint64_t id)
{
	for (int i = 0; i < server.room; i++) {
		if (server.children[i].live && server.children[i].id == id)
			kill(server.children[i].pid, SIGKILL);
	}
}

/* Whether the owner is still there. */
static bool serve_request(void)
{
	struct mp__server_request request;
	int report = -1;
	size_t n_fds = 1;

	ssize_t n = mp__socket_receive(server.socket, &request, sizeof(request), &report, &n_fds);
	if (n == 0 || n == -ECONNRESET)
		return false;
	if (n < 0)
		return true; /* no room for it: the owner sees its report socket end */
	MP__TEST_POINT("process.server.received");
	bool valid = n == sizeof(request) && request.magic == MP__SERVER_MAGIC;
	if (valid && n_fds == 1)
		start(report, &request);
	else if (valid)
		cancel(request.id);
	else
		mp__fds_close(&report, 1);
	return true;
}

/* --- ending --------------------------------------------------------------------------------------- */

/* Its report socket, taken out of the table; -1 it is none of the server's own. */
static int remove_child(pid_t pid)
{
	int *link = bucket_of(pid);

	while (*link >= 0 && server.children[*link].pid != pid)
		link = &server.children[*link].next;
	int place = *link;
	if (place >= 0) {
		*link = server.children[place].next;
		server.children[place].live = false;
	}
	return place;
}

/* Those that a preload function has started by itself, and left, too. */
static void reap_all(void)
{
	struct signalfd_siginfo one; /* SIGCHLD waits once, for however many */
	struct rusage usage;
	pid_t pid;
	int status;

	while (read(server.signals, &one, sizeof(one)) < 0 && errno == EINTR)
		;
	MP__TEST_POINT("process.server.reaping");
	while (mp__reap_any(&pid, &status, &usage) == 0) {
		MP__TEST_POINT("process.server.reaped");
		int report = server.room > 0 ? remove_child(pid) : -1;
		if (report >= 0) {
			mp__report_exit(report, status, &usage);
			close(report);
		}
	}
}

/* The owner is gone, and with it everybody who could want them. None can have been reaped unseen. */
static _Noreturn void leave(void)
{
	for (int i = 0; i < server.room; i++) {
		if (server.children[i].live && server.children[i].daemon)
			kill(server.children[i].pid, SIGKILL);
	}
	_exit(0);
}

static _Noreturn void loop(void)
{
	struct pollfd polled[] = {
		{.fd = server.socket, .events = POLLIN},
		{.fd = server.signals, .events = POLLIN},
	};

	for (;;) {
		int n = poll(polled, MP__COUNT_OF(polled), server.recheck_ms);
		if (n < 0 && errno != EINTR)
			leave();
		if (n < 0)
			continue;
		if (polled[1].revents || n == 0)
			reap_all();
		if (polled[0].revents && !serve_request())
			leave();
	}
}

/* By a descriptor, whatever the program had in mind for the signal; its children get that back. */
static int watch_children(void)
{
	struct sigaction as_ever = {.sa_handler = SIG_DFL};
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	sigaction(SIGCHLD, &as_ever, &server.sigchld);
	server.signals = mp__fd_above_std(signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
	return server.signals < 0 ? mp__error_errno("fork server: signalfd") : 0;
}

int mp__server_run(int socket, int preload_report)
{
	struct ucred owner;
	socklen_t owner_size = sizeof(owner);
	int type = 0;
	socklen_t size = sizeof(type);

	if (getsockopt(socket, SOL_SOCKET, SO_TYPE, &type, &size) < 0 || type != SOCK_SEQPACKET ||
		getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &owner, &owner_size) < 0)
		return mp_error_set(-EBADMSG, "fork server: no socket");
	/* Ctrl-C in the terminal is for the program and its children, not for their helper. */
	signal(SIGINT, SIG_IGN);
	prctl(PR_SET_NAME, "mp-forkserver");
	MP__TEST_POINT("process.server.begun");
	/* Who made the pair of sockets is the parent of every child, and of the server too. */
	if (mp__kin_adopt(owner.pid) < 0)
		_exit(EXIT_FAILURE);
	if (preload_report >= 0)
		preload_result = preload(preload_report);
	snprintf(preload_why, sizeof(preload_why), "%s", mp_error_detail());
	MP__TEST_POINT("process.server.preloaded");
	server.socket = socket;
	server.recheck_ms = mp__single_threaded() ? -1 : RECHECK_MS;
	if (watch_children() < 0)
		_exit(EXIT_FAILURE);
	loop();
}
