/* SPDX-License-Identifier: MIT */
/* managerd and clients that do nothing, or do not read, or stop: the others do not notice. */
#include <config.h>

#include "base/fds.h"
#include "tests/support/daemon.h"

#include <poll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>

T_SUITE(load);

static const char greeting[] = "\6\0\0\0\x08\1\x12\2\x08\1";
static const char ping[] = "\4\0\0\0\x08\2\x1a\0";

static long status_kib(pid_t pid, const char *field)
{
	char path[64];
	char line[256];
	long value = -1;

	snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
	FILE *file = fopen(path, "re");
	cr_assert(file != NULL);
	while (fgets(line, sizeof(line), file)) {
		if (strncmp(line, field, strlen(field)) == 0)
			value = strtol(line + strlen(field) + 1, NULL, 10);
	}
	fclose(file);
	return value;
}

static void work(mp_manager *m, int n)
{
	mp_dict *d = t_dict(m, "work");

	for (int i = 0; i < n; i++)
		T_OK(mp_dict_set(d, mp_i64(i), mp_i64(i)));
	t_expect_get(d, mp_i64(n - 1), mp_i64(n - 1));
	mp_dict_close(d);
}

static void wait_readable(int fd)
{
	T_OK(mp__fd_wait(fd, POLLIN, mp__deadline_in(T_TIMEOUT_MS / 2)));
}

/* One in four has not said hello, the others have, and have got an answer; and one more is one too many. */
Test(load, ten_thousand_silent_connections)
{
	enum { MANY = 10000 };
	const char *options[] = {"--max-connections", "10001", NULL};
	struct rlimit limit;
	char answer[256];
	mp_manager *m;

	cr_assert(getrlimit(RLIMIT_NOFILE, &limit) == 0);
	if (limit.rlim_max < MANY + 100)
		cr_skip_test("too few descriptors are allowed here");
	/* The daemon raises its own limit: it starts with few. */
	struct rlimit few = {.rlim_cur = 256, .rlim_max = limit.rlim_max};
	cr_assert(setrlimit(RLIMIT_NOFILE, &few) == 0);
	struct t_daemon daemon = t_daemon_start(options);
	limit.rlim_cur = limit.rlim_max;
	cr_assert(setrlimit(RLIMIT_NOFILE, &limit) == 0);
	int *fds = malloc(MANY * sizeof(*fds));
	cr_assert(fds != NULL);
	T_OK(mp_manager_connect(daemon.path, T_PATIENT, &m));
	work(m, 100);
	long before = status_kib(daemon.pid, "VmRSS:");
	for (int i = 0; i < MANY; i++) {
		fds[i] = t_daemon_connect(&daemon);
		if (i % 4 == 0)
			continue;
		cr_assert(send(fds[i], greeting, sizeof(greeting) - 1, 0) > 0);
		wait_readable(fds[i]);
		cr_assert(read(fds[i], answer, sizeof(answer)) > 0);
		cr_assert(send(fds[i], ping, sizeof(ping) - 1, 0) > 0);
		wait_readable(fds[i]);
		cr_assert(read(fds[i], answer, sizeof(answer)) > 0);
	}
	work(m, 100);
	long each = (status_kib(daemon.pid, "VmRSS:") - before) * 1024 / MANY;
#ifndef __SANITIZE_ADDRESS__
	cr_assert(each <= 2048, "%ld bytes for each silent connection", each);
#endif
	int late = t_daemon_connect(&daemon);
	wait_readable(late);
	cr_assert(read(late, answer, sizeof(answer)) > 0);
	wait_readable(late);
	cr_assert(read(late, answer, sizeof(answer)) == 0, "it was not turned away");
	close(late);
	mp__fds_close(fds, MANY);
	free(fds);
	work(m, 100);
	mp_manager_close(m);
	t_daemon_stop(&daemon);
}

/* Requests without end, replies never read: what is held for it is bounded, the others are served. */
Test(load, a_client_that_never_reads)
{
	struct t_daemon daemon = t_daemon_start(NULL);
	static char value[100000];
	mp_manager *m;
	mp_dict *d;

	T_OK(mp_manager_connect(daemon.path, T_PATIENT, &m));
	d = t_dict(m, "ab");
	T_OK(mp_dict_set(d, mp_i64(1), mp_bytes(value, sizeof(value))));
	long before = status_kib(daemon.pid, "VmRSS:");
	int deaf = t_daemon_connect(&daemon);
	cr_assert(send(deaf, greeting, sizeof(greeting) - 1, 0) > 0);
	struct pollfd writable = {.fd = deaf, .events = POLLOUT};
	/* Until it is read no further. */
	for (int quiet = 0; quiet < 20;) {
		ssize_t n = send(deaf, ping, sizeof(ping) - 1, MSG_DONTWAIT | MSG_NOSIGNAL);
		cr_assert(n > 0 || errno == EAGAIN);
		quiet = n > 0 || poll(&writable, 1, 10) > 0 ? 0 : quiet + 1;
		if (quiet > 0)
			work(m, 10);
	}
	long more = status_kib(daemon.pid, "VmRSS:") - before;
#ifndef __SANITIZE_ADDRESS__
	cr_assert(more < 8192, "%ld KiB for one that does not read", more);
#endif
	close(deaf);
	work(m, 10);
	mp_dict_close(d);
	mp_manager_close(m);
	t_daemon_stop(&daemon);
}

/* --- one that stops --------------------------------------------------------------------------------- */

static int use_and_hang(void *address)
{
	mp_manager *m;
	mp_dict *d;

	T_CHECK(mp_manager_connect(address, T_PATIENT, &m) == 0);
	T_CHECK(mp_manager_dict(m, "ab", &d) == 0);
	t_ready();
	for (int i = 0;; i++)
		T_CHECK(mp_dict_set(d, mp_i64(1), mp_i64(i)) == 0);
}

Test(load, a_client_that_is_stopped_and_then_killed)
{
	struct t_daemon daemon = t_daemon_start(NULL);
	mp_manager *m;

	T_OK(mp_manager_connect(daemon.path, T_PATIENT, &m));
	struct t_child child = t_spawn(use_and_hang, daemon.path);
	t_wait_ready(&child);
	t_kill(&child, SIGSTOP);
	work(m, 1000);
	t_kill(&child, SIGKILL);
	work(m, 1000);
	mp_manager_close(m);
	t_daemon_stop(&daemon);
}

/* In the middle of whatever they are at, again and again. */
Test(load, clients_that_are_killed_while_they_work)
{
	struct t_daemon daemon = t_daemon_start(NULL);
	mp_manager *m;

	T_OK(mp_manager_connect(daemon.path, T_PATIENT, &m));
	for (int i = 0; t_again(i, 100); i++) {
		struct t_child child = t_spawn(use_and_hang, daemon.path);
		t_wait_ready(&child);
		work(m, 1 + i % 7);
		t_kill(&child, SIGKILL);
	}
	work(m, 100);
	mp_manager_close(m);
	t_daemon_stop(&daemon);
}

/* --- nothing to do ---------------------------------------------------------------------------- */

static int64_t cpu_ns(clockid_t clock)
{
	struct timespec used;

	cr_assert(clock_gettime(clock, &used) == 0);
	return used.tv_sec * INT64_C(1000000000) + used.tv_nsec;
}

/* Both stay awake between requests that follow each other, and only there. */
Test(load, who_waits_for_long_uses_no_cpu)
{
	enum { LONG_MS = 500, LONG_NS = LONG_MS * 1000000 };
	struct t_daemon daemon = t_daemon_start(NULL);
	mp_proxy *event;
	clockid_t clock;
	mp_manager *m;

	cr_assert(clock_getcpuclockid(daemon.pid, &clock) == 0);
	T_OK(mp_manager_connect(daemon.path, T_PATIENT, &m));
	T_OK(mp_manager_event(m, NULL, &event));
	work(m, 2000);
	int64_t daemons = cpu_ns(clock);
	int64_t ours = cpu_ns(CLOCK_PROCESS_CPUTIME_ID);
	T_RESULT(mp_served_event_wait(event, LONG_MS), -ETIMEDOUT);
	ours = cpu_ns(CLOCK_PROCESS_CPUTIME_ID) - ours;
	daemons = cpu_ns(clock) - daemons;
	cr_assert(ours < LONG_NS / 4, "the client used %lld ns", (long long)ours);
	cr_assert(daemons < LONG_NS / 4, "the daemon used %lld ns", (long long)daemons);
	mp_proxy_close(event);
	mp_manager_close(m);
	t_daemon_stop(&daemon);
}
