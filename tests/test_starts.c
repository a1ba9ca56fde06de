/* SPDX-License-Identifier: MIT */
/* What can go wrong while a child starts: it dies at every step, its server does, the file is gone. */
#include <config.h>

#include "tests/support/place.h"
#include "tests/support/starts.h"

#include "base/cleanup.h"
#include "process/forkserver.h"
#include "process/report.h"
#include "process/arrival.h"
#include "process/startdata.h"

#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>

T_SUITE(starts);

static int start_armed(int method, const char *point, const char *action, mp_process **ret)
{
	T_OK(mp_process_new(return_it, MP_ARGS(mp_i64(5)),
		MP_PROCESS_OPTIONS(.start_method = method, .daemon = true), ret));
	t_arm(point, action);
	int r = mp_process_start(*ret);
	cr_assert(t_fired(), "%s was not reached", point);
	t_disarm();
	return r;
}

/* A start that fails leaves nothing, and may be tried again. */
static void expect_failed_start(int method, const char *point, const char *action, const char *how)
{
	mp_process *p;

	T_RESULT(start_armed(method, point, action, &p), -EOWNERDEAD);
	cr_assert_not_null(strstr(mp_error_detail(), how), "%s", mp_error_detail());
	T_RESULT(mp_process_pid(p), -EINVAL);
	T_RESULT(mp_process_join(p, MP_NOWAIT), -EINVAL);
	T_OK(mp_process_start(p));
	finish(p, 5);
}

Test(starts, spawned_child_dies_before_it_is_ready)
{
	expect_failed_start(MP_START_SPAWN, "process.child.entered", "kill", "signal 9");
	expect_failed_start(MP_START_SPAWN, "process.child.prepared", "kill", "signal 9");
	expect_failed_start(MP_START_SPAWN, "process.child.prepared", "exit", "exit code 86");
}

Test(starts, forkserver_child_dies_before_it_is_ready)
{
	static const char *const points[] = {"process.child.entered", "process.child.prepared"};

	for (int i = 0; i < 4; i++) {
		expect_failed_start(MP_START_FORKSERVER, points[i / 2], i & 1 ? "exit" : "kill",
			i & 1 ? "exit code 86" : "signal 9");
		mp__forkserver_stop(); /* the next one shall see the new environment */
	}
}

static void expect_started(int method, const char *point, const char *action, int code)
{
	mp_process *p;

	T_OK(mp_process_new(return_it, MP_ARGS(mp_i64(5)), BY(method), &p));
	t_arm(point, action);
	T_OK(mp_process_start(p));
	finish(p, code);
	t_wait_fired(point); /* a server may be slower than what the child itself has told */
	t_disarm();
	mp__forkserver_stop();
}

EACH_METHOD(starts, child_dies_when_it_is_ready)
{
	expect_started(method, "process.child.ready", "kill", -SIGKILL);
	expect_started(method, "process.child.ready", "exit", 86);
	expect_started(method, "process.child.done", "kill", -SIGKILL);
}

/* A new server takes over; the target runs once. The last two: who tells how the child ended? */
Test(starts, server_dies_before_the_child_exists)
{
	expect_started(MP_START_FORKSERVER, "process.server.begun", "kill", 5);
	expect_started(MP_START_FORKSERVER, "process.server.received", "kill", 5);
}

Test(starts, server_dies_while_the_child_runs)
{
	expect_started(MP_START_FORKSERVER, "process.server.forked", "kill", 5);
	expect_started(MP_START_FORKSERVER, "process.server.reaping", "kill", 5);
}

Test(starts, server_dies_with_the_status_in_its_hands)
{
	expect_started(MP_START_FORKSERVER, "process.server.reaped", "kill", 5);
}

static int start_two_and_join(void *method)
{
	mp_process *daemon;
	mp_process *child;

	T_CHECK(mp_process_new(hang, mp_nil(),
			MP_PROCESS_OPTIONS(.start_method = *(int *)method, .daemon = true),
			&daemon) == 0);
	T_CHECK(mp_process_start(daemon) == 0);
	T_CHECK(mp_process_new(return_it, MP_ARGS(mp_i64(5)), BY(*(int *)method), &child) == 0);
	T_CHECK(mp_process_start(child) == 0);
	T_CHECK(mp_process_join(child, T_TIMEOUT_MS) == 0);
	return 0;
}

/* The daemon ends with it, and nobody is left: t_end() looks. */
EACH_METHOD(starts, parent_dies_while_it_reaps)
{
	t_arm("process.reaping", "kill");
	struct t_child parent = t_spawn(start_two_and_join, &method);
	t_expect_signal(&parent, SIGKILL);
	cr_assert(t_fired(), "process.reaping was not reached");
	t_disarm();
}

static pid_t server_of(mp_process *child)
{
	pid_t server;

	cr_assert(t_stat(mp_process_pid(child), NULL, &server));
	return server;
}

static int return_when_told(int argc, const mp_obj *argv)
{
	char byte;

	T_CHECK(argc == 2 && read(mp_obj_fd(&argv[0]), &byte, 1) == 1);
	return (int)mp_obj_i64(&argv[1]);
}

Test(starts, test_forkserver_sigkill)
{
	int go[2];

	cr_assert(pipe2(go, O_CLOEXEC) == 0);
	mp_process *first =
		start(return_when_told, MP_ARGS(mp_fd(go[0]), mp_i64(6)), BY(MP_START_FORKSERVER));
	mp_process *hanging = start(hang, mp_nil(), BY(MP_START_FORKSERVER));
	pid_t server = server_of(first);
	int pidfd = mp__pidfd_open(server);
	kill(server, SIGKILL);
	t_wait_pidfd(pidfd);
	close(pidfd);

	/* The next start brings another one; the earlier children are as they were. */
	mp_process *second = start(return_it, MP_ARGS(mp_i64(7)), BY(MP_START_FORKSERVER));
	finish(second, 7);
	T_RESULT(mp_process_is_alive(first), 1);
	cr_assert(write(go[1], "g", 1) == 1);
	finish(first, 6);
	T_OK(mp_process_kill(hanging));
	finish(hanging, -SIGKILL);
	close(go[0]);
	close(go[1]);
}

Test(starts, test_forkserver_sigint)
{
	mp_process *p = start(hang, mp_nil(), BY(MP_START_FORKSERVER));
	pid_t server = server_of(p);

	kill(server, SIGINT);
	mp_process *q = start(hang, mp_nil(), BY(MP_START_FORKSERVER));
	cr_assert_eq(server_of(q), server);
	/* Its children do not ignore it. */
	T_OK(mp_process_signal(p, SIGINT));
	finish(p, -SIGINT);
	T_OK(mp_process_terminate(q));
	finish(q, -SIGTERM);
}

Test(starts, stopped_server_does_not_keep_a_join)
{
	int go_on[2];

	cr_assert(pipe2(go_on, O_CLOEXEC) == 0);
	mp_process *p = start(
		return_when_told, MP_ARGS(mp_fd(go_on[0]), mp_i64(6)), BY(MP_START_FORKSERVER));
	mp_process *killed = start(hang, mp_nil(), BY(MP_START_FORKSERVER));
	pid_t server = server_of(p);
	int code;

	kill(server, SIGSTOP);
	cr_assert(write(go_on[1], "g", 1) == 1);
	T_OK(mp_process_kill(killed));
	finish(p, 6);
	/* How the other ended only the server can tell. */
	T_OK(mp__fd_wait(mp_process_sentinel(killed), 1, mp__deadline_in(T_TIMEOUT_MS / 2)));
	T_RESULT(mp_process_is_alive(killed), 0);
	T_RESULT(mp_process_exit_code(killed, &code), -EAGAIN);
	kill(server, SIGCONT);
	finish(killed, -SIGKILL);
	mp__fds_close(go_on, 2);
}

/* Somebody else reaps the orphan, as init does: only the kernel or the child itself can tell. */
static int told[2];
static int go[2];

static int ask_for_orphan(void *arg)
{
	mp_process *p;
	int code = 0;
	char byte;
	pid_t pid;

	(void)arg;
	T_CHECK(mp_process_new(return_when_told, MP_ARGS(mp_fd(go[0]), mp_i64(6)),
			BY(MP_START_FORKSERVER), &p) == 0);
	T_CHECK(mp_process_start(p) == 0);
	pid = mp_process_pid(p);
	T_CHECK(write(told[1], &pid, sizeof(pid)) == sizeof(pid));
	/* The test has killed the server by now, and then reaped the child. */
	T_CHECK(mp_process_join(p, T_TIMEOUT_MS / 2) == 0);
	T_CHECK(mp_process_exit_code(p, &code) == 0);
	T_CHECK(code == 6);
	(void)byte;
	return 0;
}

Test(starts, orphan_of_a_dead_server_reaped_by_init)
{
	pid_t pid, server;

	cr_assert(pipe2(told, O_CLOEXEC) == 0 && pipe2(go, O_CLOEXEC) == 0);
	struct t_child asker = t_spawn(ask_for_orphan, NULL);
	T_OK(t_read_full(told[0], &pid, sizeof(pid)));
	cr_assert(t_stat(pid, NULL, &server));
	kill(server, SIGKILL);
	/* This test is a subreaper: the orphan comes here. */
	int pidfd = mp__pidfd_open(pid);
	siginfo_t info;
	while (waitid(P_PIDFD, (id_t)pidfd, &info, WEXITED | WNOHANG) < 0 && errno == ECHILD)
		sched_yield();
	cr_assert(write(go[1], "g", 1) == 1);
	cr_assert(waitid(P_PIDFD, (id_t)pidfd, &info, WEXITED) == 0 && info.si_status == 6);
	close(pidfd);
	t_expect_exit(&asker, 0);
	mp__fds_close(told, 2);
	mp__fds_close(go, 2);
}

/* --- limits ---------------------------------------------------------------------------------------- */

/* With fewer and fewer descriptors to be had, start fails cleanly or works. */
EACH_METHOD(starts, without_descriptors)
{
	struct rlimit all;
	mp_process *p;
	int failed = 0;
	int worked = 0;

	cr_assert(getrlimit(RLIMIT_NOFILE, &all) == 0);
	T_OK(mp_process_new(return_it, MP_ARGS(mp_i64(5)),
		MP_PROCESS_OPTIONS(.start_method = method, .daemon = true), &p));
	int used = t_count_fds();
	for (int room = 0; room < 24 && !worked; room++) {
		struct rlimit few = {.rlim_cur = (rlim_t)(used + room), .rlim_max = all.rlim_max};
		cr_assert(setrlimit(RLIMIT_NOFILE, &few) == 0);
		int r = mp_process_start(p);
		cr_assert(setrlimit(RLIMIT_NOFILE, &all) == 0);
		if (r == 0)
			worked++;
		else
			failed++;
		cr_assert(r == 0 || r == -EMFILE || r == -EOWNERDEAD || r == -EBADF, "%d: %s", r,
			mp_error_detail());
		mp__forkserver_stop();
		cr_assert(r == 0 || t_count_fds() == used, "%d descriptors, %d before; %s",
			t_count_fds(), used, mp_error_detail());
	}
	cr_assert(failed > 0 && worked > 0);
	int code;
	T_OK(mp_process_join(p, T_TIMEOUT_MS / 2));
	/* The server was stopped, which ends daemonic children. */
	T_OK(mp_process_exit_code(p, &code));
	cr_assert(code == 5 || (method == MP_START_FORKSERVER && code == -SIGKILL), "%d", code);
	T_OK(mp_process_close(p));
}

static int fd_is_open(int argc, const mp_obj *argv)
{
	T_CHECK(argc == 1);
	return fcntl((int)mp_obj_i64(&argv[0]), F_GETFD) >= 0;
}

EACH_METHOD(starts, test_closefd)
{
	int fd = fcntl(0, F_DUPFD, 300); /* not close-on-exec */

	cr_assert(fd >= 300);
	finish(start(fd_is_open, MP_ARGS(mp_i64(fd)), BY(method)), method == MP_START_FORK);
	close(fd);
}

static int count_own_fds(int argc, const mp_obj *argv)
{
	(void)argc;
	(void)argv;
	return t_count_fds();
}

EACH_METHOD(starts, test_child_fd_inflation)
{
	mp_process *hanging[5];
	int first = 0;

	if (method == MP_START_FORK)
		return; /* inherits all, by definition */
	for (int i = 0; i < 5; i++) {
		int code;
		mp_process *p = start(count_own_fds, mp_nil(), BY(method));
		T_OK(mp_process_join(p, T_TIMEOUT_MS / 2));
		T_OK(mp_process_exit_code(p, &code));
		T_OK(mp_process_close(p));
		if (i == 0)
			first = code;
		cr_assert(code == first && code <= 6, "%d descriptors, %d at first", code, first);
		hanging[i] = start(hang, mp_nil(), BY(method));
	}
	for (int i = 0; i < 5; i++) {
		T_OK(mp_process_kill(hanging[i]));
		finish(hanging[i], -SIGKILL);
	}
}

static int directory_is(int argc, const mp_obj *argv)
{
	char path[4096];

	T_CHECK(argc == 1 && getcwd(path, sizeof(path)));
	return strcmp(path, mp_obj_str(&argv[0])) != 0;
}

EACH_METHOD(starts, current_directory_is_the_parents)
{
	char directory[T_PLACE_SIZE];
	mp_process *p;

	finish(start(return_it, MP_ARGS(mp_i64(1)), BY(method)), 1); /* the server is there */
	t_place_make(directory);
	cr_assert(chdir(directory) == 0);
	finish(start(directory_is, MP_ARGS(mp_str(directory)), BY(method)), 0);
	/* One that is no more. */
	cr_assert(rmdir(directory) == 0);
	T_OK(mp_process_new(return_it, MP_ARGS(mp_i64(2)), BY(method), &p));
	T_OK(mp_process_start(p));
	finish(p, 2);
	cr_assert(chdir("/") == 0);
}

/* --- start methods ----------------------------------------------------------------------------------- */

Test(starts, test_set_get)
{
	cr_assert_eq(mp_start_method_get(), MP_START_FORK);
	for (int m = MP_START_FORK; m <= MP_START_THREAD; m++) {
		T_OK(mp_start_method_set(m));
		cr_assert_eq(mp_start_method_get(), m);
		cr_assert_eq(mp_start_method_parse(mp_start_method_name(m)), m);
	}
	T_OK(mp_start_method_set(MP_START_DEFAULT));
	cr_assert_eq(mp_start_method_get(), MP_START_FORK);
	T_RESULT(mp_start_method_set(5), -EINVAL);
	T_RESULT(mp_start_method_set(-1), -EINVAL);
	T_RESULT(mp_start_method_parse("threads"), -EINVAL);
	T_RESULT(mp_start_method_parse(NULL), -EINVAL);
	cr_assert_null(mp_start_method_name(MP_START_DEFAULT));
	cr_assert_null(mp_start_method_name(5));
	cr_assert_str_eq(mp_start_method_name(MP_START_SPAWN), "spawn");
}

static int default_method(int argc, const mp_obj *argv)
{
	(void)argc;
	(void)argv;
	T_CHECK(getenv("MP_START") == NULL);
	return mp_start_method_get();
}

/* Starts a child of its own by the default method; that one reports what its default is. */
static int nested(int argc, const mp_obj *argv)
{
	mp_process *p;
	int code = 0;

	(void)argc;
	(void)argv;
	T_CHECK(mp_process_new(default_method, mp_nil(), NULL, &p) == 0);
	T_CHECK(mp_process_start(p) == 0);
	T_CHECK(mp_process_join(p, T_TIMEOUT_MS / 2) == 0);
	T_CHECK(mp_process_exit_code(p, &code) == 0);
	T_CHECK(mp_process_close(p) == 0);
	return code;
}

EACH_METHOD(starts, test_nested_startmethod)
{
	T_OK(mp_start_method_set(method));
	finish(start(default_method, mp_nil(), NULL), method);
	finish(start(nested, mp_nil(), NULL), method);
}

static int start_in_forked_child(void *arg)
{
	int method = (int)(intptr_t)arg;
	mp_process *p;
	int code;

	T_CHECK(mp_process_new(return_it, MP_ARGS(mp_i64(4)), BY(method), &p) == 0);
	T_CHECK(mp_process_start(p) == 0);
	T_CHECK(mp_process_join(p, T_TIMEOUT_MS / 2) == 0);
	T_CHECK(mp_process_exit_code(p, &code) == 0 && code == 4);
	T_CHECK(mp_process_close(p) == 0);
	return 0;
}

EACH_METHOD(starts, forked_child_starts_its_own)
{
	/* The parent's server is not the child's. */
	mp_process *p = start(hang, mp_nil(), BY(method));
	struct t_child child = t_spawn(start_in_forked_child, (void *)(intptr_t)method);

	t_expect_exit(&child, 0);
	T_OK(mp_process_kill(p));
	finish(p, -SIGKILL);
}

/* --- start data ------------------------------------------------------------------------------------ */

static int be_started(void *arg)
{
	mp__arrival_start(*(const int *)arg);
}

/* With this as the first message and a descriptor, or -1; it must report this error, or run. */
static void start_from(const void *bytes, size_t size, int fd, int expected_error)
{
	struct mp__report said;
	int pidfd;
	int ends[2];

	T_OK(mp__report_pair(ends));
	if (size > 0)
		T_OK(mp__socket_send(ends[0], bytes, size, &fd, fd >= 0));
	struct t_child child = t_spawn(be_started, &ends[1]);
	close(ends[1]);
	t_expect_exit(&child, expected_error ? 126 : 5);
	T_OK(mp__report_next(ends[0], &said, &pidfd));
	if (expected_error) {
		cr_assert(said.kind == MP__REPORT_FAILED && said.value == expected_error,
			"%zu bytes: kind %u, %d, %s", size, said.kind, said.value, said.text);
	} else {
		cr_assert(said.kind == MP__REPORT_READY && pidfd >= 0);
		close(pidfd);
		T_OK(mp__report_next(ends[0], &said, &pidfd));
		cr_assert(said.kind == MP__REPORT_LEFT && said.value == 5);
	}
	T_RESULT(mp__report_next(ends[0], &said, &pidfd), -EPIPE);
	close(ends[0]);
}

/* From a memfd that holds this, sealed or not. */
static void start_from_memfd(const char *bytes, size_t size, bool sealed, int expected_error)
{
	char head[12];
	int memfd = memfd_create("start", MFD_CLOEXEC);

	if (sealed) {
		close(memfd);
		memfd = mp__memfd_sealed("start", bytes, size);
	} else {
		T_OK(mp__write_full(memfd, bytes, size));
	}
	memcpy(head, bytes, sizeof(head));
	head[8] = 1; /* descriptor */
	start_from(head, sizeof(head), memfd, expected_error);
	close(memfd);
}

Test(starts, damaged_start_data_is_refused)
{
	struct mp__startdata data;
	mp_process *p;
	char bytes[1024];

	T_OK(mp_process_new(return_it, MP_ARGS(mp_i64(5)), BY(MP_START_SPAWN), &p));
	T_OK(mp__startdata_make(p, true, &data));
	ssize_t size = read(data.child, bytes, sizeof(bytes));
	cr_assert(size > 16 && size < (ssize_t)sizeof(bytes));
	mp__startdata_close(&data);
	T_OK(mp_process_close(p));

	start_from(bytes, (size_t)size, -1, 0);
	start_from(bytes, (size_t)size, 0, -EBADMSG);
	start_from_memfd(bytes, (size_t)size, true, 0);
	start_from_memfd(bytes, (size_t)size, false, -EBADMSG);
	for (size_t cut = 0; cut < (size_t)size; cut++) {
		start_from(bytes, cut, -1, -EBADMSG);
		if (cut >= 12)
			start_from_memfd(bytes, cut, true, -EBADMSG);
	}
	bytes[0] ^= 1;
	start_from(bytes, (size_t)size, -1, -EBADMSG);
	start_from_memfd(bytes, (size_t)size, true, -EBADMSG);
	bytes[0] ^= 1;
	bytes[8] = 1; /* a descriptor that does not come */
	start_from(bytes, (size_t)size, -1, -EBADMSG);
	bytes[8] = 0;
	memset(bytes + 4, 0xff, 4);
	start_from(bytes, (size_t)size, -1, -EBADMSG);
	start_from_memfd(bytes, (size_t)size, true, -EBADMSG);
}

/* Writes rubbish to every socket that it finds, its report among them. */
static int babble(int argc, const mp_obj *argv)
{
	char rubbish[1000];

	(void)argc;
	(void)argv;
	memset(rubbish, 'x', sizeof(rubbish));
	for (int fd = 3; fd < 64; fd++) {
		send(fd, rubbish, 3, MSG_NOSIGNAL);
		send(fd, rubbish, sizeof(rubbish), MSG_NOSIGNAL);
	}
	return 4;
}

/* Another socket stands at the number where its report was: nothing may be written there. */
static int replace_all(int argc, const mp_obj *argv)
{
	T_CHECK(argc == 1);
	int out = fcntl(mp_obj_fd(&argv[0]), F_DUPFD, 64);
	T_CHECK(out >= 64);
	for (int fd = 3; fd < 64; fd++)
		T_CHECK(dup2(out, fd) == fd);
	return 4;
}

EACH_METHOD(starts, target_that_meddles_with_descriptors)
{
	int pair[2];
	char byte;

	if (method == MP_START_FORK)
		return; /* has no report, but the sockets of the test runner */
	finish(start(babble, mp_nil(), BY(method)), 4);
	cr_assert(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) == 0);
	finish(start(replace_all, MP_ARGS(mp_fd(pair[1])), BY(method)), 4);
	close(pair[1]);
	cr_assert(recv(pair[0], &byte, 1, 0) == 0, "a report reached another socket");
	close(pair[0]);
}

/* --- threads ----------------------------------------------------------------------------------------- */

static void *start_many(void *arg)
{
	int first = (int)(intptr_t)arg;

	for (int i = 0; i < 12; i++) {
		mp_process *p;
		int code = -1;
		if (mp_process_new(return_it, MP_ARGS(mp_i64(i)),
			    MP_PROCESS_OPTIONS(.start_method = 1 + (first + i) % 3,
				    .daemon = i & 1),
			    &p) < 0 ||
			mp_process_start(p) < 0 || mp_process_join(p, T_TIMEOUT_MS / 2) < 0 ||
			mp_process_exit_code(p, &code) < 0 || code != i || mp_process_close(p) < 0)
			return (void *)1;
	}
	return NULL;
}

Test(starts, many_threads_start_by_all_methods)
{
	pthread_t threads[8];
	void *result;

	for (int i = 0; i < 8; i++)
		cr_assert(pthread_create(&threads[i], NULL, start_many, (void *)(intptr_t)i) == 0);
	for (int i = 0; i < 8; i++) {
		pthread_join(threads[i], &result);
		cr_assert_null(result);
	}
}

/* Its server is killed again and again meanwhile: every start works or says -EOWNERDEAD. */
static _Atomic bool enough;

static void *kill_servers(void *arg)
{
	(void)arg;
	while (!enough) {
		mp_process *p;
		if (mp_process_new(hang, mp_nil(), BY(MP_START_FORKSERVER), &p) < 0)
			return (void *)1;
		if (mp_process_start(p) == 0) {
			kill(server_of(p), SIGKILL);
			mp_process_kill(p);
			if (mp_process_join(p, T_TIMEOUT_MS / 2) < 0)
				return (void *)2;
		}
		mp_process_close(p);
	}
	return NULL;
}

Test(starts, servers_are_killed_while_children_start)
{
	pthread_t killer;
	void *result;
	int lost = 0;

	cr_assert(pthread_create(&killer, NULL, kill_servers, NULL) == 0);
	for (int i = 0; t_again(i, 200); i++) {
		mp_process *p;
		int code = -1;
		T_OK(mp_process_new(return_it, MP_ARGS(mp_i64(i)), BY(MP_START_FORKSERVER), &p));
		int r = mp_process_start(p);
		cr_assert(r == 0 || r == -EOWNERDEAD, "%d: %s", r, mp_error_detail());
		if (r == 0) {
			T_OK(mp_process_join(p, T_TIMEOUT_MS / 2));
			r = mp_process_exit_code(p, &code);
			cr_assert((r == 0 && code == (i & 0xff)) || r == -ESRCH, "%d, code %d", r,
				code);
			lost += r < 0;
		}
		T_OK(mp_process_close(p));
	}
	enough = true;
	pthread_join(killer, &result);
	cr_assert_null(result);
	cr_assert_eq(lost, 0);
}
