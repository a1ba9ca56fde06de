/* SPDX-License-Identifier: MIT */
/* managerd under a service manager, whose part the test plays: sockets, notifications, the watchdog. */
#include <config.h>

#include "base/cleanup.h"
#include "base/fds.h"
#include "base/launch.h"
#include "tests/support/daemon.h"
#include "tests/support/place.h"

#include <poll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

T_SUITE(service);

#define SAID_SIZE 8192

/* The side of systemd: where notifications arrive, and everything that has arrived. */
struct manager {
	struct t_daemon daemon;
	char notify_path[96];
	int notify;
	char said[SAID_SIZE];
};

static int make_socket(int type, const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);

	cr_assert(fd >= 0);
	strcpy(address.sun_path, path);
	cr_assert(bind(fd, (struct sockaddr *)&address, sizeof(address)) == 0);
	return fd;
}

static void begin(struct manager *m)
{
#ifndef HAVE_SYSTEMD
	cr_skip_test("built without libsystemd");
#endif
	memset(m, 0, sizeof(*m));
	if (!getenv("MP_MANAGERD"))
		cr_skip_test("MP_MANAGERD is not set");
	t_place_make(m->daemon.directory);
	snprintf(m->daemon.path, sizeof(m->daemon.path), "%s/sock", m->daemon.directory);
	snprintf(m->daemon.address, sizeof(m->daemon.address), "unix:%s", m->daemon.path);
	snprintf(m->notify_path, sizeof(m->notify_path), "%s/notify", m->daemon.directory);
	m->notify = make_socket(SOCK_DGRAM, m->notify_path);
}

/*
 * As systemd does: variables, and sockets from descriptor 3 on. The shell is there for LISTEN_PID
 * alone, which is the pid of what it turns into.
 */
static void start(struct manager *m, const char *variables, const int *sockets, size_t n_sockets,
	const char *arguments)
{
	char script[1024];
	struct mp__launch_fd fds[8];
	char *argv[] = {(char *)"sh", (char *)"-c", script, NULL};
	char listen[64] = "";

	if (n_sockets > 0)
		snprintf(listen, sizeof(listen), "LISTEN_PID=$$ LISTEN_FDS=%zu", n_sockets);
	snprintf(script, sizeof(script), "NOTIFY_SOCKET=%s %s %s exec \"$MP_MANAGERD\" %s",
		m->notify_path, listen, variables, arguments);
	for (size_t i = 0; i < n_sockets; i++)
		fds[i] = (struct mp__launch_fd){sockets[i], 3 + (int)i};
	struct mp__launch l = {.path = "/bin/sh", .argv = argv, .fds = fds, .n_fds = n_sockets};
	T_OK(mp__launch(&l, &m->daemon.pid, &m->daemon.pidfd));
}

/* Wait until it has said that; all of it is in m->said. */
static void expect(struct manager *m, const char *text)
{
	m->said[0] = '\0';
	while (!strstr(m->said, text)) {
		size_t n = strlen(m->said);
		cr_assert(mp__fd_wait(m->notify, POLLIN, mp__deadline_in(T_TIMEOUT_MS / 2)) == 0,
			"it does not say %s, but: %s", text, m->said);
		ssize_t r = recv(m->notify, m->said + n, SAID_SIZE - n - 2, 0);
		cr_assert(r > 0);
		m->said[n + (size_t)r] = '\n';
		m->said[n + (size_t)r + 1] = '\0';
	}
}

static int reap(struct manager *m)
{
	siginfo_t info = {0};

	t_wait_pidfd(m->daemon.pidfd);
	cr_assert(waitid(P_PIDFD, (id_t)m->daemon.pidfd, &info, WEXITED) == 0);
	close(m->daemon.pidfd);
	return info.si_code == CLD_EXITED ? info.si_status : -info.si_status;
}

static void end(struct manager *m)
{
	close(m->notify);
	unlink(m->notify_path);
	t_daemon_remove_directory(&m->daemon);
}

static void stop(struct manager *m)
{
	T_OK(mp__pidfd_signal(m->daemon.pidfd, SIGTERM));
	T_RESULT(reap(m), 0);
	end(m);
}

static void expect_served(const struct manager *m)
{
	mp_manager *client;

	T_OK(mp_manager_connect(
		m->daemon.path, MP_MANAGER_OPTIONS(.timeout_ms = T_TIMEOUT_MS / 2), &client));
	T_OK(mp_manager_ping(client));
	mp_manager_close(client);
}

Test(service, says_ready_when_it_can_be_reached_and_stopping_at_the_end)
{
	struct manager m;
	char arguments[128];

	begin(&m);
	snprintf(arguments, sizeof(arguments), "--listen %s", m.daemon.path);
	start(&m, "", NULL, 0, arguments);
	expect(&m, "READY=1");
	cr_assert(strstr(m.said, "STATUS=0 connections, 0 objects"), "%s", m.said);
	expect_served(&m);
	T_OK(mp__pidfd_signal(m.daemon.pidfd, SIGTERM));
	expect(&m, "STOPPING=1");
	T_RESULT(reap(&m), 0);
	end(&m);
}

Test(service, says_reloading_and_ready_again)
{
	struct manager m;
	char arguments[128];

	begin(&m);
	snprintf(arguments, sizeof(arguments), "--listen %s", m.daemon.path);
	start(&m, "", NULL, 0, arguments);
	expect(&m, "READY=1");
	T_OK(mp__pidfd_signal(m.daemon.pidfd, SIGHUP));
	expect(&m, "READY=1");
	char *reloading = strstr(m.said, "RELOADING=1\nMONOTONIC_USEC=");
	cr_assert(reloading && reloading < strstr(m.said, "READY=1"), "%s", m.said);
	stop(&m);
}

/* The loop itself feeds it: while it is stopped nothing comes, and when it goes on it comes again. */
Test(service, feeds_the_watchdog_from_its_loop)
{
	struct manager m;
	char arguments[128];

	begin(&m);
	snprintf(arguments, sizeof(arguments), "--listen %s", m.daemon.path);
	start(&m, "WATCHDOG_USEC=20000", NULL, 0, arguments);
	for (int i = 0; i < 5; i++)
		expect(&m, "WATCHDOG=1");
	stop(&m);
}

/* When clients have taken all descriptors, that is no reason to be thought dead. */
Test(service, feeds_the_watchdog_without_a_descriptor_to_spare)
{
	enum { CLIENTS = 64 };
	struct manager m;
	int clients[CLIENTS];
	char arguments[128];

	begin(&m);
	/* They keep what they have. */
	snprintf(arguments, sizeof(arguments), "--listen %s --stall-ms 600000", m.daemon.path);
	start(&m, "WATCHDOG_USEC=20000", NULL, 0, arguments);
	expect(&m, "READY=1");
	struct rlimit few = {CLIENTS, CLIENTS};
	cr_assert(prlimit(m.daemon.pid, RLIMIT_NOFILE, &few, NULL) == 0);
	for (int i = 0; i < CLIENTS; i++)
		clients[i] = t_daemon_connect(&m.daemon);
	/* The last one is turned away, since there is no descriptor for it: from here on there is none. */
	struct pollfd last = {.fd = clients[CLIENTS - 1], .events = POLLIN};
	cr_assert(poll(&last, 1, T_TIMEOUT_MS / 2) == 1);
	while (recv(m.notify, m.said, SAID_SIZE, MSG_DONTWAIT) > 0)
		; /* from before */
	for (int i = 0; i < 5; i++)
		expect(&m, "WATCHDOG=1");
	mp__fds_close(clients, CLIENTS);
	stop(&m);
}

Test(service, has_no_watchdog_that_is_meant_for_another_process)
{
	struct manager m;
	char arguments[128];

	begin(&m);
	snprintf(arguments, sizeof(arguments), "--listen %s", m.daemon.path);
	start(&m, "WATCHDOG_PID=1 WATCHDOG_USEC=20000", NULL, 0, arguments);
	expect(&m, "READY=1");
	T_OK(mp__pidfd_signal(m.daemon.pidfd, SIGTERM));
	expect(&m, "STOPPING=1");
	cr_assert(!strstr(m.said, "WATCHDOG"), "%s", m.said);
	T_RESULT(reap(&m), 0);
	end(&m);
}

/* Connections may come before it runs; and the socket outlives it, so that none is refused. */
Test(service, serves_the_socket_that_it_is_given)
{
	struct manager m;

	begin(&m);
	int fd = make_socket(SOCK_STREAM, m.daemon.path);
	cr_assert(listen(fd, 5) == 0);
	for (int i = 0; i < 2; i++) {
		start(&m, "LISTEN_FDNAMES=managerd", &fd, 1, "");
		expect_served(&m);
		T_OK(mp__pidfd_signal(m.daemon.pidfd, SIGTERM));
		T_RESULT(reap(&m), 0);
		cr_assert(access(m.daemon.path, F_OK) == 0, "a socket of systemd's was removed");
	}
	close(fd);
	end(&m);
}

Test(service, drains_with_a_socket_of_systemd_that_stays_open)
{
	struct manager m;

	begin(&m);
	int fd = make_socket(SOCK_STREAM, m.daemon.path);
	cr_assert(listen(fd, 5) == 0);
	start(&m, "LISTEN_FDNAMES=managerd", &fd, 1, "--drain-ms 200");
	/* A client that does not read keeps it draining; one that comes now has to wait. */
	int deaf = t_daemon_connect(&m.daemon);
	static const char greeting[] = "\6\0\0\0\x08\1\x12\2\x08\1";
	static const char ping[] = "\4\0\0\0\x08\2\x1a\0";
	cr_assert(send(deaf, greeting, sizeof(greeting) - 1, 0) == sizeof(greeting) - 1);
	struct pollfd readable = {.fd = deaf, .events = POLLIN};
	cr_assert(poll(&readable, 1, T_TIMEOUT_MS / 2) == 1);
	while (send(deaf, ping, sizeof(ping) - 1, MSG_NOSIGNAL | MSG_DONTWAIT) > 0)
		;
	T_OK(mp__pidfd_signal(m.daemon.pidfd, SIGTERM));
	expect(&m, "STOPPING=1");
	int late = t_daemon_connect(&m.daemon);
	T_RESULT(reap(&m), 0);
	struct pollfd waits = {.fd = late, .events = POLLIN};
	cr_assert(poll(&waits, 1, 0) == 0, "a connection was taken that could not be served");
	mp__fds_close((int[]){deaf, late, fd}, 3);
	end(&m);
}

Test(service, what_it_cannot_listen_on_is_an_error)
{
	struct manager m;

	begin(&m);
	int fd = make_socket(SOCK_DGRAM, m.daemon.path);
	start(&m, "LISTEN_FDNAMES=managerd", &fd, 1, "");
	T_RESULT(reap(&m), 1);
	/* One of another name is not ours: then there is nothing to listen on. */
	start(&m, "LISTEN_FDNAMES=other", &fd, 1, "");
	T_RESULT(reap(&m), 2);
	close(fd);
	end(&m);
}
