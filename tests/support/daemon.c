/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "tests/support/daemon.h"
#include "tests/support/place.h"

#include "base/cleanup.h"
#include "base/fds.h"
#include "base/launch.h"
#include "manager/manager.h"
#include "proto/manager.pb-c.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

#define READY_FD 3
#define ARGUMENTS_MAX 16

static const char *program(void)
{
	const char *path = getenv("MP_MANAGERD");

	if (!path)
		cr_skip_test("MP_MANAGERD is not set");
	return path;
}

static void launch(struct t_daemon *daemon, const char *const *options)
{
	char *argv[ARGUMENTS_MAX + 6] = {(char *)"managerd", (char *)"--listen", daemon->address,
		(char *)"--ready-fd", (char *)"3"};
	size_t n = 5;
	int ready[2];

	for (; options && *options; options++) {
		cr_assert(n < MP__COUNT_OF(argv) - 1);
		argv[n++] = (char *)*options;
	}
	cr_assert(pipe2(ready, O_CLOEXEC) == 0);
	struct mp__launch_fd fds[] = {{ready[1], READY_FD}};
	struct mp__launch l = {.path = program(), .argv = argv, .fds = fds, .n_fds = 1};
	T_OK(mp__launch(&l, &daemon->pid, &daemon->pidfd));
	close(ready[1]);
	char byte;
	cr_assert(mp__fd_wait(ready[0], POLLIN, mp__deadline_in(T_TIMEOUT_MS / 2)) == 0);
	cr_assert(read(ready[0], &byte, 1) == 1, "managerd ended before it was ready");
	close(ready[0]);
}

void t_daemon_start_in(struct t_daemon *daemon, const char *const *options)
{
	snprintf(daemon->path, sizeof(daemon->path), "%s/sock", daemon->directory);
	snprintf(daemon->address, sizeof(daemon->address), "unix:%s", daemon->path);
	launch(daemon, options);
}

struct t_daemon t_daemon_start(const char *const *options)
{
	struct t_daemon daemon;

	t_place_make(daemon.directory);
	t_daemon_start_in(&daemon, options);
	return daemon;
}

struct t_daemon t_daemon_start_heard(const char *const *options, int *ret_remarks)
{
	int remarks[2];
	int ours = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);

	cr_assert(ours >= 0 && pipe2(remarks, O_CLOEXEC) == 0);
	cr_assert(dup2(remarks[1], STDERR_FILENO) == STDERR_FILENO);
	struct t_daemon daemon = t_daemon_start(options);
	cr_assert(dup2(ours, STDERR_FILENO) == STDERR_FILENO);
	mp__fds_close((int[]){ours, remarks[1]}, 2);
	*ret_remarks = remarks[0];
	return daemon;
}

void t_daemon_expect_remark(int remarks, const char *text, char *buffer, size_t size)
{
	size_t n = 0;

	buffer[0] = '\0';
	while (!strstr(buffer, text)) {
		cr_assert(mp__fd_wait(remarks, POLLIN, mp__deadline_in(T_TIMEOUT_MS / 2)) == 0,
			"no remark \"%s\" but: %s", text, buffer);
		ssize_t r = read(remarks, buffer + n, size - n - 1);
		cr_assert(r > 0, "managerd ended before the remark \"%s\": %s", text, buffer);
		n += (size_t)r;
		buffer[n] = '\0';
	}
}

void t_daemon_restart(struct t_daemon *daemon)
{
	launch(daemon, NULL);
}

static void reap(struct t_daemon *daemon, int code, int status)
{
	siginfo_t info = {0};

	t_wait_pidfd(daemon->pidfd);
	cr_assert(waitid(P_PIDFD, (id_t)daemon->pidfd, &info, WEXITED) == 0);
	cr_assert(info.si_code == code && info.si_status == status,
		"managerd ended with code %d, status %d", info.si_code, info.si_status);
	close(daemon->pidfd);
}

void t_daemon_stop(struct t_daemon *daemon)
{
	T_OK(mp__pidfd_signal(daemon->pidfd, SIGTERM));
	reap(daemon, CLD_EXITED, 0);
	cr_assert(access(daemon->path, F_OK) < 0, "managerd left its socket behind");
	t_daemon_remove_directory(daemon);
}

void t_daemon_kill(struct t_daemon *daemon)
{
	T_OK(mp__pidfd_signal(daemon->pidfd, SIGKILL));
	reap(daemon, CLD_KILLED, SIGKILL);
}

void t_daemon_remove_directory(struct t_daemon *daemon)
{
	unlink(daemon->path);
	cr_assert(rmdir(daemon->directory) == 0, "managerd left something in its directory");
}

int t_daemon_run(const char *const *arguments)
{
	char *argv[ARGUMENTS_MAX] = {(char *)"managerd"};
	struct t_daemon daemon;
	siginfo_t info = {0};
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	for (size_t n = 1; *arguments; arguments++) {
		cr_assert(n < MP__COUNT_OF(argv) - 1);
		argv[n++] = (char *)*arguments;
	}
	struct mp__launch_fd fds[] = {{null, 1}, {null, 2}};
	struct mp__launch l = {.path = program(), .argv = argv, .fds = fds, .n_fds = 2};
	T_OK(mp__launch(&l, &daemon.pid, &daemon.pidfd));
	close(null);
	t_wait_pidfd(daemon.pidfd);
	cr_assert(waitid(P_PIDFD, (id_t)daemon.pidfd, &info, WEXITED) == 0);
	close(daemon.pidfd);
	return info.si_code == CLD_EXITED ? info.si_status : -info.si_status;
}

int t_daemon_connect(const struct t_daemon *daemon)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	cr_assert(fd >= 0);
	strcpy(address.sun_path, daemon->path);
	cr_assert(connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0);
	return fd;
}

mp_manager *t_manager(void)
{
	mp_manager *m;

	if (!getenv("MP_MANAGERD"))
		cr_skip_test("MP_MANAGERD is not set");
	T_OK(mp_manager_start(T_PATIENT, &m));
	return m;
}

mp_dict *t_dict(mp_manager *manager, const char *name)
{
	mp_dict *d;

	T_OK(mp_manager_dict(manager, name, &d));
	return d;
}

void t_wait_for_waiters(mp_manager *manager, int n)
{
	static const char name[] = "\nmanagerd_waiters ";
	Mp__Request request = MP__REQUEST__INIT;
	Mp__Stats op = MP__STATS__INIT;
	int waiters;

	request.op_case = MP__REQUEST__OP_STATS;
	request.stats = &op;
	do {
		mp_obj text;
		T_OK(mp__manager_ask(manager, &request, mp__deadline_in(T_TIMEOUT_MS / 2), &text));
		const char *line = strstr(mp_obj_str(&text), name);
		cr_assert_not_null(line, "no number of waiters in the stats of managerd");
		waiters = atoi(line + strlen(name));
		mp_obj_free(&text);
	} while (waiters < n);
}

void t_expect_value(mp_obj *value, mp_obj expected)
{
	char got[256];
	char want[256];

	mp_obj_format(value, got, sizeof(got));
	mp_obj_format(&expected, want, sizeof(want));
	cr_assert(mp_obj_equal(value, &expected), "%s, not %s", got, want);
	mp_obj_free(value);
}

void t_expect_get(mp_dict *dict, mp_obj key, mp_obj expected)
{
	mp_obj value;

	T_OK(mp_dict_get(dict, key, &value));
	t_expect_value(&value, expected);
}
