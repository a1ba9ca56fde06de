/* SPDX-License-Identifier: MIT */
/* The daemon as a program: options, its socket, and clients that are not what they should be. */
#include <config.h>

#include "base/fds.h"
#include "tests/support/daemon.h"
#include "tests/support/place.h"

#include <fcntl.h>
#include <mp.h>
#include <poll.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>

T_SUITE(daemon);

static const char greeting[] = "\6\0\0\0\x08\1\x12\2\x08\1";

/* The rest of what the daemon says until it hangs up. */
static size_t read_to_end(int fd, char *buffer, size_t size)
{
	size_t n = 0;

	for (;;) {
		T_OK(mp__fd_wait(fd, POLLIN, mp__deadline_in(T_TIMEOUT_MS / 2)));
		ssize_t r = read(fd, buffer + n, size - n);
		if (r <= 0)
			return n;
		n += (size_t)r;
	}
}

static void expect_alive(const struct t_daemon *daemon)
{
	mp_manager *m;

	T_OK(mp_manager_connect(
		daemon->path, MP_MANAGER_OPTIONS(.timeout_ms = T_TIMEOUT_MS / 2), &m));
	T_OK(mp_manager_ping(m));
	mp_manager_close(m);
}

/*
 * With the patience of these daemons one who is not quick enough here is dropped, too, and comes once
 * more.
 */
#define STALL_MS "50"

static mp_manager *connect_in_time(const struct t_daemon *daemon)
{
	mp_manager *m;
	int r;

	do
		r = mp_manager_connect(daemon->path, NULL, &m);
	while (r == -EPIPE);
	T_OK(r);
	return m;
}

/* A connection, and these bytes said in it. */
static int say_in_time(const struct t_daemon *daemon, const void *data, size_t size)
{
	int fd;

	for (;;) {
		fd = t_daemon_connect(daemon);
		if (send(fd, data, size, MSG_NOSIGNAL) == (ssize_t)size)
			return fd;
		cr_assert(errno == EPIPE || errno == ECONNRESET);
		close(fd);
	}
}

static void expect_alive_in_time(const struct t_daemon *daemon)
{
	mp_manager *m = connect_in_time(daemon);

	T_OK(mp_manager_ping(m));
	mp_manager_close(m);
}

Test(daemon, options_and_exit_codes)
{
	struct t_daemon daemon = t_daemon_start(NULL);
	char fifo[128];

	T_RESULT(t_daemon_run((const char *[]){"--help", NULL}), 0);
	T_RESULT(t_daemon_run((const char *[]){"--version", NULL}), 0);
	T_RESULT(t_daemon_run((const char *[]){NULL}), 2);
	T_RESULT(t_daemon_run((const char *[]){"--what", NULL}), 2);
	T_RESULT(t_daemon_run((const char *[]){"--listen", "tcp:1", NULL}), 2);
	T_RESULT(t_daemon_run((const char *[]){"--listen", daemon.path, "more", NULL}), 2);
	T_RESULT(t_daemon_run((const char *[]){"--max-frame", "1", NULL}), 2);
	T_RESULT(t_daemon_run((const char *[]){"--private-fd", "7", NULL}), 2);
	/* Somebody answers there. */
	T_RESULT(t_daemon_run((const char *[]){"--listen", daemon.path, NULL}), 3);
	expect_alive(&daemon);
	/* Something else is there. */
	snprintf(fifo, sizeof(fifo), "%s/fifo", daemon.directory);
	cr_assert(mkfifo(fifo, 0600) == 0);
	T_RESULT(t_daemon_run((const char *[]){"--listen", fifo, NULL}), 1);
	unlink(fifo);
	T_RESULT(t_daemon_run((const char *[]){"--listen", "/nowhere/at/all/sock", NULL}), 1);
	t_daemon_stop(&daemon);
}

Test(daemon, socket_is_for_its_user_alone_and_a_dead_one_is_taken_over)
{
	struct t_daemon daemon = t_daemon_start(NULL);
	struct stat st;

	cr_assert(stat(daemon.path, &st) == 0 && S_ISSOCK(st.st_mode));
	cr_assert((st.st_mode & 0777) == 0600, "%o", st.st_mode);
	t_daemon_kill(&daemon);
	cr_assert(access(daemon.path, F_OK) == 0);
	t_daemon_restart(&daemon);
	expect_alive(&daemon);
	t_daemon_stop(&daemon);
}

Test(daemon, a_directory_that_others_may_write_is_refused_and_a_missing_one_is_made)
{
	char directory[T_PLACE_SIZE];
	char path[64];
	struct stat st;

	t_place_make(directory);
	cr_assert(chmod(directory, 0777) == 0);
	snprintf(path, sizeof(path), "%s/sock", directory);
	T_RESULT(t_daemon_run((const char *[]){"--listen", path, NULL}), 1);
	cr_assert(rmdir(directory) == 0);
	/* It cannot say that it is ready on a descriptor that it cannot write to: it ends again. */
	T_RESULT(t_daemon_run((const char *[]){"--listen", path, "--max-objects", "x", NULL}), 2);
	cr_assert(stat(directory, &st) < 0);
}

Test(daemon, survives_garbage_and_frames_without_end)
{
	struct t_daemon daemon = t_daemon_start(NULL);
	char garbage[5000];
	char answer[256];

	memset(garbage, 0xa5, sizeof(garbage));
	for (size_t size = 1; size < sizeof(garbage); size = size * 3 + 1) {
		int fd = t_daemon_connect(&daemon);
		cr_assert(send(fd, garbage, size, MSG_NOSIGNAL) == (ssize_t)size);
		shutdown(fd, SHUT_WR);
		read_to_end(fd, answer, sizeof(answer));
		close(fd);
	}
	/* A large frame is announced and never comes; the client goes. */
	int fd = t_daemon_connect(&daemon);
	cr_assert(send(fd, "\xff\x0f\0\0abc", 7, 0) == 7);
	close(fd);
	expect_alive(&daemon);
	t_daemon_stop(&daemon);
}

Test(daemon, answers_a_client_that_has_closed_its_half)
{
	struct t_daemon daemon = t_daemon_start(NULL);
	static const char requests[] = "\6\0\0\0\x08\1\x12\2\x08\1"
				       "\4\0\0\0\x08\2\x1a\0";
	char answer[256];

	int fd = t_daemon_connect(&daemon);
	cr_assert(send(fd, requests, sizeof(requests) - 1, 0) == sizeof(requests) - 1);
	shutdown(fd, SHUT_WR);
	size_t n = read_to_end(fd, answer, sizeof(answer));
	cr_assert(n > 6 && memcmp(answer + n - 6, "\2\0\0\0\x08\2", 6) == 0);
	close(fd);
	t_daemon_stop(&daemon);
}

Test(daemon, drops_who_says_no_hello_and_who_does_not_read)
{
	const char *options[] = {"--stall-ms", STALL_MS, "--max-output", "1000", NULL};
	struct t_daemon daemon = t_daemon_start(options);
	static const char ping[] = "\4\0\0\0\x08\2\x1a\0";
	char answer[256];

	int silent = t_daemon_connect(&daemon);
	cr_assert(read_to_end(silent, answer, sizeof(answer)) == 0);
	close(silent);

	int deaf = say_in_time(&daemon, greeting, sizeof(greeting) - 1);
	int r;
	/* Until the daemon has hung up on us: it takes no more, and then nothing at all. */
	do
		r = mp__fd_wait(deaf, POLLOUT, mp__deadline_in(T_TIMEOUT_MS / 2));
	while (r == 0 && send(deaf, ping, sizeof(ping) - 1, MSG_NOSIGNAL | MSG_DONTWAIT) > 0);
	T_OK(r);
	cr_assert(errno == EPIPE || errno == ECONNRESET || errno == EAGAIN);
	if (errno == EAGAIN) {
		struct pollfd p = {.fd = deaf, .events = 0};
		cr_assert(poll(&p, 1, T_TIMEOUT_MS / 2) == 1 && p.revents & POLLHUP);
	}
	close(deaf);
	expect_alive_in_time(&daemon);
	t_daemon_stop(&daemon);
}

Test(daemon, out_of_descriptors_it_turns_away_and_goes_on)
{
	const struct rlimit few = {.rlim_cur = 24, .rlim_max = 24};
	int fds[40];
	char byte;

	/* When it has started: at its start it gets itself as many as max-connections takes. */
	struct t_daemon daemon = t_daemon_start(NULL);
	cr_assert(prlimit(daemon.pid, RLIMIT_NOFILE, &few, NULL) == 0);
	for (size_t i = 0; i < sizeof(fds) / sizeof(fds[0]); i++)
		fds[i] = t_daemon_connect(&daemon);
	/* The last of them is closed by the daemon, which lives. */
	T_OK(mp__fd_wait(fds[39], POLLIN, mp__deadline_in(T_TIMEOUT_MS / 2)));
	cr_assert(read(fds[39], &byte, 1) <= 0);
	for (size_t i = 0; i < sizeof(fds) / sizeof(fds[0]); i++)
		close(fds[i]);
	/* Once it has seen that those went, there is room again. */
	mp_manager *m;
	while (mp_manager_connect(daemon.path, NULL, &m) < 0)
		;
	mp_manager_close(m);
	t_daemon_stop(&daemon);
}

/* --- whoever means harm ----------------------------------------------------------------------------- */

static void send_all(int fd, const void *data, size_t size)
{
	cr_assert(send(fd, data, size, MSG_NOSIGNAL) == (ssize_t)size);
}

Test(daemon, outlives_whoever_reads_its_remarks)
{
	int remarks[2];
	char answer[256];

	cr_assert(pipe2(remarks, O_CLOEXEC) == 0);
	int ours = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
	cr_assert(ours >= 0 && dup2(remarks[1], STDERR_FILENO) == STDERR_FILENO);
	struct t_daemon daemon = t_daemon_start(NULL);
	cr_assert(dup2(ours, STDERR_FILENO) == STDERR_FILENO);
	mp__fds_close((int[]){ours, remarks[0], remarks[1]}, 3);
	int fd = t_daemon_connect(&daemon);
	send_all(fd, "\xff\xff\xff\xff", 4);
	read_to_end(fd, answer, sizeof(answer));
	close(fd);
	expect_alive(&daemon);
	t_daemon_stop(&daemon);
}

Test(daemon, a_directory_that_somebody_keeps_locked_is_an_error)
{
	char directory[T_PLACE_SIZE];
	char path[64];

	t_place_make(directory);
	int fd = open(directory, O_RDONLY | O_CLOEXEC);
	cr_assert(fd >= 0 && flock(fd, LOCK_EX) == 0);
	snprintf(path, sizeof(path), "%s/sock", directory);
	T_RESULT(t_daemon_run((const char *[]){"--listen", path, NULL}), 1);
	close(fd);
	cr_assert(rmdir(directory) == 0);
}

/* Not even one to close a connection with. */
Test(daemon, without_any_descriptor_it_waits_for_better_times)
{
	const char *options[] = {"--stall-ms", STALL_MS, NULL};
	struct t_daemon daemon = t_daemon_start(options);
	struct rlimit before;
	struct rlimit none = {0};

	mp_manager *m = connect_in_time(&daemon);
	cr_assert(prlimit(daemon.pid, RLIMIT_NOFILE, NULL, &before) == 0);
	none.rlim_max = before.rlim_max;
	cr_assert(prlimit(daemon.pid, RLIMIT_NOFILE, &none, NULL) == 0);
	int fd = t_daemon_connect(&daemon);
	send_all(fd, greeting, sizeof(greeting) - 1);
	for (int i = 0; i < 100; i++)
		T_OK(mp_manager_ping(m));
	cr_assert(prlimit(daemon.pid, RLIMIT_NOFILE, &before, NULL) == 0);
	T_OK(mp__fd_wait(fd, POLLIN, mp__deadline_in(T_TIMEOUT_MS / 2)));
	char byte;
	cr_assert(read(fd, &byte, 1) == 1, "it was not served");
	close(fd);
	mp_manager_close(m);
	t_daemon_stop(&daemon);
}

Test(daemon, drops_who_stops_in_the_middle_of_a_request)
{
	const char *options[] = {"--stall-ms", STALL_MS, NULL};
	struct t_daemon daemon = t_daemon_start(options);
	static const char half[] = "\6\0\0\0\x08\1\x12\2\x08\1"
				   "\xff\xff\xff\3abc";
	char answer[256];
	size_t n;

	do {
		int fd = say_in_time(&daemon, half, sizeof(half) - 1);
		n = read_to_end(fd, answer, sizeof(answer));
		close(fd);
	} while (n == 0); /* dropped before it had said hello */
	t_daemon_stop(&daemon);
}

/* More than a socket holds, so that the replies are still in the daemon when the end is decided. */
Test(daemon, replies_that_are_due_go_out_before_it_hangs_up)
{
	enum { SIZE = 300000, GETS = 3 };
	struct t_daemon daemon = t_daemon_start(NULL);
	static char value[SIZE];
	static char answers[(GETS + 1) * (SIZE + 100)];
	static const char open_and_get[] = "\x0a\0\0\0\x08\2\x22\6\x08\1\x12\2ab";
	mp_manager *m;
	mp_dict *d;

	T_OK(mp_manager_connect(daemon.path, T_PATIENT, &m));
	T_OK(mp_manager_dict(m, "ab", &d));
	T_OK(mp_dict_set(d, mp_i64(1), mp_bytes(value, SIZE)));
	int fd = t_daemon_connect(&daemon);
	send_all(fd, greeting, sizeof(greeting) - 1);
	send_all(fd, open_and_get, sizeof(open_and_get) - 1);
	/* The first reference of a connection is 1 << 32. */
	for (int i = 0; i < GETS; i++)
		send_all(fd, "\x0f\0\0\0\x08\3\x8a\1\x0a\x08\x80\x80\x80\x80\x10\x12\2\x18\2", 19);
	send_all(fd, "\xff\xff\xff\xff", 4);
	size_t n = read_to_end(fd, answers, sizeof(answers));
	cr_assert(n > (size_t)GETS * SIZE, "%zu bytes", n);
	cr_assert(memmem(answers + n - 60, 60, "longer than allowed", 19) != NULL);
	close(fd);
	mp_dict_close(d);
	mp_manager_close(m);
	t_daemon_stop(&daemon);
}
