/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "process/forkserver.h"

#include "base/cleanup.h"
#include "base/error.h"
#include "base/fds.h"
#include "base/testpoint.h"
#include "process/await.h"
#include "process/begin.h"
#include "process/exitinfo.h"
#include "process/life.h"
#include "process/process.h"
#include "process/report.h"
#include "process/server.h"
#include "process/startdata.h"
#include "process/target.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>

/* Before an orderly end of the server becomes SIGKILL. */
#define STOP_MS 5000

/*
 * Handles of its children hold a reference, so that they can see whether it lives. Immutable but
 * for the count.
 */
struct mp__server {
	_Atomic unsigned refs;
	int pidfd;
	int socket;
	/* The current directory that it was launched in and stays in; 0, 0 not known. */
	dev_t device;
	ino_t directory;
};

/*
 * The one that takes requests. The lock guards the pointer; it is held while a server is launched
 * (that waits for nobody but exec) so that two threads do not launch two. A forked child must drop
 * the socket, or the server would outlive its owner.
 */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct mp__server *current;

/* What a server runs before it serves, in the form of a child to be started; NULL nothing. */
static struct mp_process *preload;

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
	if (current) {
		close(current->socket);
		close(current->pidfd);
		free(current); /* the handles that point to it are dead in this process */
	}
	current = NULL;
	pthread_mutex_unlock(&lock);
}

__attribute__((constructor)) static void watch_forks(void)
{
	pthread_atfork(before_fork, after_fork_in_parent, after_fork_in_child);
}

/* --- the server's life ---------------------------------------------------------------------------- */

static bool is_dead(const struct mp__server *server)
{
	return mp__fd_wait(server->pidfd, POLLIN, mp__deadline_in(0)) == 0;
}

static bool is_in_our_directory(const struct mp__server *server)
{
	struct stat here;

	return server->directory != 0 && stat(".", &here) == 0 && here.st_dev == server->device &&
	       here.st_ino == server->directory;
}

/* A preload function may have taken it elsewhere, or another thread us at this moment. */
static void note_directory(struct mp__server *server, const struct stat *before)
{
	server->device = before->st_dev;
	server->directory = before->st_ino;
	if (preload || !is_in_our_directory(server))
		server->directory = 0;
}

/*
 * With its end of the socket, and start data for what it preloads: that stays in the socket when our
 * end of it is closed.
 */
static int execute(int socket, int *ret_pidfd)
{
	struct mp__startdata data = {.child = -1, .report = -1};
	pid_t pid;

	int r = preload ? mp__startdata_make(preload, true, &data) : 0;
	if (r < 0)
		return r;
	r = mp__begin_again(MP__BEGIN_SERVER, (int[]){socket, data.child}, preload ? 2 : 1, NULL,
		&pid, ret_pidfd);
	mp__startdata_close(&data);
	return r;
}

static int launch(struct mp__server **ret_server)
{
	struct stat directory = {.st_ino = 0};
	int ends[2];

	MP__AUTO_FREE struct mp__server *server = calloc(1, sizeof(*server));
	if (!server)
		return mp_error_set(-ENOMEM, "fork server: out of memory");
	int r = mp__socket_pair(SOCK_SEQPACKET, ends);
	if (r < 0)
		return r;
	stat(".", &directory);
	r = execute(ends[1], &server->pidfd);
	close(ends[1]);
	if (r < 0) {
		close(ends[0]);
		return r;
	}
	fcntl(ends[0], F_SETFL, O_NONBLOCK); /* waiting for room has a deadline */
	note_directory(server, &directory);
	server->socket = ends[0];
	server->refs = 1;
	*ret_server = MP__TAKE_PTR(server);
	return 0;
}

/* The current server, launched if there is none, with one more reference. */
static int acquire(struct mp__server **ret_server)
{
	int r = 0;

	pthread_mutex_lock(&lock);
	if (!current)
		r = launch(&current);
	if (r == 0) {
		current->refs++;
		*ret_server = current;
	}
	pthread_mutex_unlock(&lock);
	return r;
}

void mp__forkserver_unref(struct mp__server *server)
{
	if (!server || --server->refs > 0)
		return;
	/* Nobody has its socket any more, or it is dead: it ends by itself, and is ours to reap. */
	close(server->socket);
	mp__fd_wait(server->pidfd, POLLIN, mp__deadline_in(STOP_MS));
	mp__pidfd_signal(server->pidfd, SIGKILL);
	mp__pidfd_reap(server->pidfd);
	close(server->pidfd);
	free(server);
}

/* It takes no more requests from this process. */
static void retire(struct mp__server *server)
{
	pthread_mutex_lock(&lock);
	bool was_current = current == server;
	if (was_current)
		current = NULL;
	pthread_mutex_unlock(&lock);
	if (was_current)
		mp__forkserver_unref(server);
}

void mp__forkserver_stop(void)
{
	pthread_mutex_lock(&lock);
	struct mp__server *server = current;
	current = NULL;
	pthread_mutex_unlock(&lock);
	if (!server)
		return;
	shutdown(server->socket, SHUT_RDWR);
	mp__fd_wait(server->pidfd, POLLIN, mp__deadline_in(STOP_MS));
	mp__forkserver_unref(server);
}

/* --- preload -------------------------------------------------------------------------------------- */

static void free_preload(struct mp_process *process)
{
	if (process)
		mp_obj_free(&process->args);
	free(process);
}

static int make_preload(mp_target *target, mp_obj args, struct mp_process **ret_process)
{
	struct mp__target_ref ref;

	if (args.type != MP_TYPE_LIST && args.type != MP_TYPE_NIL)
		return mp_error_set(-EINVAL, "preload: the arguments are neither list nor nil");
	int r = mp__target_describe((mp__any_function *)target, &ref);
	if (r < 0)
		return r;
	MP__AUTO_FREE struct mp_process *process = calloc(1, sizeof(*process));
	if (!process)
		return mp_error_set(-ENOMEM, "preload: out of memory");
	process->origin = mp__origin_here();
	process->target = target;
	process->name = (char *)"mp-forkserver";
	process->lineage = (char *)"";
	process->method = MP_START_FORKSERVER;
	r = mp_obj_copy(args, &process->args);
	if (r < 0)
		return r;
	*ret_process = MP__TAKE_PTR(process);
	return 0;
}

int mp_forkserver_preload(mp_target *target, mp_obj args)
{
	struct mp_process *new = NULL;

	int r = target ? make_preload(target, args, &new) : 0;
	if (r < 0)
		return r;
	pthread_mutex_lock(&lock);
	struct mp_process *old = preload;
	struct mp__server *server = current;
	preload = new;
	current = NULL;
	pthread_mutex_unlock(&lock);
	free_preload(old);
	/* It serves its children on; the next start launches another. */
	mp__forkserver_unref(server);
	return 0;
}

/* --- start ---------------------------------------------------------------------------------------- */

/*
 * Until there is something to read: a message, or the end of file that comes when server and child
 * are both dead. A foreign fork in another thread can have inherited the other end and keep it from
 * coming; so when the server is dead, a child that it may have left gets a while to speak up. If it
 * does so later, it finds this end closed and leaves.
 */
static int await_word(int report, const struct mp__server *server, mp__deadline deadline)
{
	int r = mp__await_report(report, server->pidfd, deadline);

	/* Decided once for both: what it says after this does not get through, what it said counts. */
	if (r == 0 && mp__fd_wait(report, POLLIN, mp__deadline_in(STOP_MS)) < 0)
		shutdown(report, SHUT_RDWR);
	return r;
}

/* What it says from now on does not get through, and it leaves; it may just have said it. */
static void give_up(int report)
{
	struct mp__report said;
	int pidfd = -1;

	shutdown(report, SHUT_RDWR);
	if (mp__report_next(report, &said, &pidfd) == 0 && pidfd >= 0)
		mp__pidfd_signal(pidfd, SIGKILL);
	mp__fds_close(&pidfd, 1);
}

/* 0 started, -EPIPE the server died and the child never ran, or why it could not be started. */
static int await_ready(int report, const struct mp__server *server, mp__deadline deadline,
	struct mp__started *ret_started)
{
	struct mp__report said;
	int pidfd = -1;

	int late = await_word(report, server, deadline);
	int r = mp__report_next(report, &said, &pidfd);
	if (r == -EAGAIN && late < 0) {
		give_up(report);
		return late;
	}
	if (r != 0)
		return r;
	if (said.kind == MP__REPORT_READY && pidfd >= 0) {
		ret_started->pid = said.value;
		ret_started->pidfd = pidfd;
		return 0;
	}
	mp__fds_close(&pidfd, 1);
	if (said.kind == MP__REPORT_FAILED)
		return mp_error_set(said.value < 0 ? said.value : -EPROTO, "%s", said.text);
	int code = said.kind == MP__REPORT_EXIT ? mp__exit_code_of(said.value) : 0;
	return mp_error_set(-EOWNERDEAD,
		"start: the child ended with %s %d before it reached its target",
		code < 0 ? "signal" : "exit code", code < 0 ? -code : code);
}

/* A server that is stopped, or busy preloading, may have its queue full. */
static int send_request(const struct mp__server *server, const struct mp__server_request *request,
	int child, mp__deadline deadline)
{
	for (;;) {
		int r = mp__socket_send(server->socket, request, sizeof(*request), &child, 1);
		if (r != -EAGAIN)
			return r;
		r = mp__fd_wait(server->socket, POLLOUT, deadline);
		if (r < 0)
			return mp_error_set(r, "start: the fork server does not take requests");
	}
}

/*
 * A child that was given up is killed, if the server has made it by the time it reads this. Otherwise,
 * or if this does not get through, it finds its starter's end closed and leaves by itself.
 */
static void cancel(const struct mp__server *server, uint64_t id)
{
	struct mp__server_request request = {.magic = MP__SERVER_MAGIC, .id = id};

	mp__socket_send(server->socket, &request, sizeof(request), NULL, 0);
}

/* One try with one server. */
static int request(struct mp__server *server, struct mp_process *process, mp__deadline deadline,
	struct mp__started *ret_started)
{
	static _Atomic uint64_t last_id;
	struct mp__server_request request = {
		.magic = MP__SERVER_MAGIC,
		.daemon = process->setting.death == SIGKILL,
		.id = ++last_id,
	};
	struct mp__startdata data;

	int r = mp__startdata_make(process, is_in_our_directory(server), &data);
	if (r != 0)
		return r;
	r = send_request(server, &request, data.child, deadline);
	/* From here on only server and child hold the child's end. */
	mp__fds_close(&data.child, 1);
	MP__TEST_POINT("process.forkserver.requested");
	if (r == 0)
		r = await_ready(data.report, server, deadline, ret_started);
	if (r == -ETIMEDOUT)
		cancel(server, request.id);
	if (r == 0)
		ret_started->report = MP__TAKE_FD(data.report);
	else if (process->setting.death)
		mp__life_release();
	mp__startdata_close(&data);
	return r;
}

int mp__start_forkserver(
	struct mp_process *process, mp__deadline deadline, struct mp__started *ret_started)
{
	for (int attempt = 0;; attempt++) {
		struct mp__server *server = NULL;
		int r = acquire(&server);
		if (r != 0)
			return r;
		r = request(server, process, deadline, ret_started);
		if (r == 0) {
			ret_started->server = server;
			return 0;
		}
		bool gone = r == -EPIPE || r == -ECONNRESET;
		if (gone && mp__fd_wait(server->pidfd, POLLIN, mp__deadline_in(STOP_MS)) < 0)
			r = mp_error_set(
				-EMFILE, "start: the fork server could not take the descriptors");
		else if (gone)
			retire(server);
		mp__forkserver_unref(server);
		if (!gone || r == -EMFILE)
			return r;
		/* The target never ran: trying once more with a new server does nothing twice. */
		if (attempt > 0)
			return mp_error_set(-EOWNERDEAD, "start: the fork server ended twice in a "
							 "row; does something kill it?");
	}
}

/* --- exit status ----------------------------------------------------------------------------------- */

/* How long the server, and then whoever reaps orphans, may take before we look elsewhere. */
#define COLLECT_MS 1000

/* A server that has not told within that time is not waited for so long again. */
#define RECHECK_MS 10

/* A new pidfd says when its process was reaped (POLLHUP), an old one does not: look again. */
#define REAPED_RECHECK_MS 10

static void know(struct mp_process *process, int code)
{
	process->code = code;
	process->code_known = true;
}

static void know_usage(struct mp_process *process, const struct rusage *usage)
{
	memcpy(&process->usage, usage, sizeof(*usage));
	process->usage_known = true;
}

/* Read what was said so far: 0 the server told its end, -EAGAIN not yet, -EPIPE it never will. */
static int read_reports(struct mp_process *process)
{
	struct mp__report said;
	int pidfd;

	for (;;) {
		int r = mp__report_next(process->report, &said, &pidfd);
		if (r == -EBADMSG || r == -EMSGSIZE)
			continue; /* the target wrote to a descriptor that is not its own */
		if (r < 0)
			return r;
		mp__fds_close(&pidfd, 1);
		if (said.kind == MP__REPORT_LEFT)
			process->left = said.value;
		if (said.kind == MP__REPORT_EXIT) {
			know(process, mp__exit_code_of(said.value));
			know_usage(process, &said.usage);
			return 0;
		}
	}
}

/* The kernel remembers (once somebody reaped it), or this process inherited it as a subreaper. */
static int ask_kernel(struct mp_process *process)
{
	struct rusage usage;
	int status;

	if (mp__reap(process->pidfd, &status, &usage) == 0) {
		know(process, mp__exit_code_of(status));
		know_usage(process, &usage);
		return 0;
	}
	int r = mp__exit_info(process->pidfd, &status);
	if (r == 0)
		know(process, mp__exit_code_of(status));
	return r;
}

/*
 * The server died before it could tell. If the kernel does not know either, what the child said of
 * itself on leaving counts; a death by signal remains unknown then.
 */
static void collect_orphan(struct mp_process *process)
{
	mp__deadline limit = mp__deadline_in(COLLECT_MS);
	struct pollfd reaped = {.fd = process->pidfd, .events = 0};

	while (ask_kernel(process) == -EAGAIN && !mp__deadline_passed(limit))
		poll(&reaped, 1, REAPED_RECHECK_MS);
	if (!process->code_known && process->left >= 0)
		know(process, process->left);
}

int mp__forkserver_collect(struct mp_process *process)
{
	mp__deadline limit = mp__deadline_in(process->server_is_slow ? RECHECK_MS : COLLECT_MS);
	struct pollfd p[] = {
		{.fd = process->report, .events = POLLIN},
		{.fd = process->server->pidfd, .events = POLLIN},
	};

	for (;;) {
		/* In this order: what it said before it died is there when its death is seen. */
		bool dead = is_dead(process->server);
		int r = read_reports(process);
		if (r == 0)
			return 0;
		if (dead || r != -EAGAIN)
			break;
		if (mp__deadline_passed(limit)) {
			if (process->left < 0) {
				process->server_is_slow = true; /* stopped, perhaps */
				return -EAGAIN;
			}
			know(process, process->left);
			return 0;
		}
		poll(p, 2, mp__deadline_poll_ms(limit));
	}
	collect_orphan(process);
	return 0;
}
