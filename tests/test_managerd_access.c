/* SPDX-License-Identifier: MIT */
/* Who gets to managerd: its socket, its directory, other users and groups, other managerds. */
#include <config.h>

#include "base/cleanup.h"
#include "base/fds.h"
#include "base/launch.h"
#include "tests/support/daemon.h"

#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

T_SUITE(access);

/* Nobody's: no user of the machine is meant. */
#define USER 60111
#define GROUP 60222
#define OTHER_GROUP 60333

static const char greeting[] = "\6\0\0\0\x08\1\x12\2\x08\1";

struct visitor {
	const struct t_daemon *daemon;
	gid_t group; /* a supplementary one */
};

enum { ANSWERED = 0, DENIED = 1, NO_WAY_IN = 2 };

/* Another user says hello. */
static int visit(void *argument)
{
	const struct visitor *visitor = argument;
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	char answer[256];
	ssize_t n = 0;

	T_CHECK(setgroups(1, &visitor->group) == 0);
	T_CHECK(setresgid(USER, USER, USER) == 0 && setresuid(USER, USER, USER) == 0);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	T_CHECK(fd >= 0);
	strcpy(address.sun_path, visitor->daemon->path);
	if (connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		return errno == EACCES ? NO_WAY_IN : T_CHILD_FAILED;
	(void)!send(fd, greeting, sizeof(greeting) - 1, MSG_NOSIGNAL);
	shutdown(fd, SHUT_WR);
	for (ssize_t r; (r = read(fd, answer + n, sizeof(answer) - (size_t)n)) > 0;)
		n += r;
	T_CHECK(n > 0);
	return memmem(answer, (size_t)n, "may not use", 11) ? DENIED : ANSWERED;
}

static void expect_visit(const struct t_daemon *daemon, gid_t group, int outcome)
{
	struct visitor visitor = {daemon, group};
	struct t_child child = t_spawn(visit, &visitor);

	t_expect_exit(&child, outcome);
}

static struct t_daemon start_open(const char *const *options)
{
	if (geteuid() != 0)
		cr_skip_test("only root can be somebody else");
	struct t_daemon daemon = t_daemon_start(options);
	cr_assert(chmod(daemon.directory, 0711) == 0);
	return daemon;
}

Test(access, other_users_are_kept_out)
{
	struct t_daemon daemon = start_open(NULL);

	expect_visit(&daemon, GROUP, NO_WAY_IN);
	t_daemon_stop(&daemon);
}

/* The mode lets them in, the kernel tells who they are. */
Test(access, other_users_are_denied_whatever_the_mode)
{
	struct t_daemon daemon = start_open((const char *[]){"--socket-mode", "0666", NULL});
	struct stat st;

	cr_assert(stat(daemon.path, &st) == 0 && (st.st_mode & 0777) == 0666);
	expect_visit(&daemon, GROUP, DENIED);
	t_daemon_stop(&daemon);
}

Test(access, members_of_the_group_may)
{
	struct t_daemon daemon = start_open((const char *[]){"--socket-group", "60222", NULL});
	struct stat st;

	cr_assert(stat(daemon.path, &st) == 0 && (st.st_mode & 0777) == 0660);
	cr_assert(st.st_gid == GROUP);
	expect_visit(&daemon, GROUP, ANSWERED);
	expect_visit(&daemon, OTHER_GROUP, NO_WAY_IN);
	t_daemon_stop(&daemon);
}

Test(access, members_are_told_from_others_by_more_than_the_mode)
{
	struct t_daemon daemon = start_open(
		(const char *[]){"--socket-group", "60222", "--socket-mode", "666", NULL});

	expect_visit(&daemon, GROUP, ANSWERED);
	expect_visit(&daemon, OTHER_GROUP, DENIED);
	t_daemon_stop(&daemon);
}

/* --- names ------------------------------------------------------------------------------------------ */

/* Another user opens two names: what may be seen of each in the exit code. */
static int open_names(void *argument)
{
	const struct visitor *visitor = argument;
	mp_manager *m;
	mp_dict *d;

	T_CHECK(setgroups(1, &visitor->group) == 0);
	T_CHECK(setresgid(USER, USER, USER) == 0 && setresuid(USER, USER, USER) == 0);
	int r = mp_manager_connect(visitor->daemon->path, NULL, &m);
	if (r < 0)
		return r == -EACCES ? NO_WAY_IN : DENIED;
	T_CHECK(mp_manager_dict(m, "app.x", &d) == 0);
	mp_dict_close(d);
	T_CHECK(mp_manager_dict(m, NULL, &d) == 0);
	mp_dict_close(d);
	r = mp_manager_dict(m, "other", &d);
	T_CHECK(r == -EACCES || r == -EPERM);
	T_CHECK(strstr(mp_error_detail(), "may not open") != NULL);
	r = mp_manager_dict(m, "app.secret", &d);
	T_CHECK(r == -EACCES || r == -EPERM);
	/* Names go by who has made the object, and others are not seen. */
	T_CHECK(mp_manager_unlink(m, "app.ours") == -EACCES);
	T_CHECK(mp_manager_unlink(m, "app.x") == 0);
	mp_obj clients;
	T_CHECK(mp_manager_clients(m, &clients) == 0);
	T_CHECK(mp_obj_len(&clients) == 1);
	mp_obj_free(&clients);
	mp_manager_close(m);
	return ANSWERED;
}

Test(access, rules_say_who_may_open_which_names)
{
	char config[] = "/tmp/mp-test-conf-XXXXXX";
	static const char text[] = "[daemon]\nsocket-mode = 0666\n[access]\ndeny = * app.secret\n"
				   "allow = group:60222 app.*\n";
	int fd = mkstemp(config);

	cr_assert(fd >= 0 && write(fd, text, sizeof(text) - 1) == sizeof(text) - 1);
	close(fd);
	struct t_daemon daemon = start_open((const char *[]){"--config", config, NULL});
	struct visitor visitor = {&daemon, GROUP};
	/* Ours is the user of the daemon, which may open all names. */
	mp_manager *m;
	mp_dict *d;
	T_OK(mp_manager_connect(daemon.path, T_PATIENT, &m));
	T_OK(mp_manager_dict(m, "app.ours", &d));
	mp_dict_close(d);
	struct t_child child = t_spawn(open_names, &visitor);
	t_expect_exit(&child, ANSWERED);
	expect_visit(&daemon, OTHER_GROUP, DENIED);
	T_OK(mp_manager_dict(m, "app.secret", &d));
	mp_dict_close(d);
	mp_manager_close(m);
	t_daemon_stop(&daemon);
	unlink(config);
}

/* --- other managerds -------------------------------------------------------------------------------- */

#define RIVALS 8

/* All at once, on the socket of one that was killed: one gets it, the others say that it is in use. */
Test(access, of_many_that_start_on_a_dead_socket_one_gets_it)
{
	struct t_daemon daemon = t_daemon_start(NULL);
	char *argv[] = {(char *)"managerd", (char *)"--listen", daemon.address, NULL};
	pid_t pids[RIVALS];
	struct pollfd ends[RIVALS];
	int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
	int left = RIVALS;

	t_daemon_kill(&daemon);
	struct mp__launch_fd fds[] = {{null, 2}};
	struct mp__launch l = {.path = getenv("MP_MANAGERD"), .argv = argv, .fds = fds, .n_fds = 1};
	for (int i = 0; i < RIVALS; i++) {
		ends[i].events = POLLIN;
		T_OK(mp__launch(&l, &pids[i], &ends[i].fd));
	}
	close(null);
	while (left > 1) {
		cr_assert(poll(ends, RIVALS, T_TIMEOUT_MS / 2) > 0, "%d still run", left);
		for (int i = 0; i < RIVALS; i++) {
			siginfo_t info = {0};
			if (ends[i].fd < 0 || !(ends[i].revents & POLLIN))
				continue;
			cr_assert(waitid(P_PIDFD, (id_t)ends[i].fd, &info, WEXITED) == 0);
			cr_assert(info.si_code == CLD_EXITED && info.si_status == 3,
				"a loser ended with %d", info.si_status);
			close(ends[i].fd);
			ends[i].fd = -1;
			left--;
		}
	}
	for (int i = 0; i < RIVALS; i++) {
		if (ends[i].fd >= 0) {
			daemon.pid = pids[i];
			daemon.pidfd = ends[i].fd;
		}
	}
	mp_manager *m;
	T_OK(mp_manager_connect(daemon.path, T_PATIENT, &m));
	mp_manager_close(m);
	t_daemon_stop(&daemon);
}

Test(access, a_directory_that_is_missing_is_made_for_those_who_may)
{
	const char *group = geteuid() == 0 ? "60222" : NULL;
	struct t_daemon outer = t_daemon_start(NULL);
	struct t_daemon inner = outer;
	struct stat st;

	snprintf(inner.directory, sizeof(inner.directory), "%.50s/in", outer.directory);
	for (int with_group = 0; with_group <= (group ? 1 : 0); with_group++) {
		const char *options[] = {with_group ? "--socket-group" : NULL, group, NULL};
		t_daemon_start_in(&inner, options);
		cr_assert(stat(inner.directory, &st) == 0);
		cr_assert((st.st_mode & 0777) == (with_group ? 0710 : 0700), "%o", st.st_mode);
		cr_assert(st.st_gid == (with_group ? GROUP : getegid()));
		t_daemon_stop(&inner);
	}
	t_daemon_stop(&outer);
}

Test(access, a_mode_is_octal_and_a_group_has_to_exist)
{
	T_RESULT(t_daemon_run((const char *[]){"--check-config", "--socket-mode", "660", NULL}), 0);
	T_RESULT(
		t_daemon_run((const char *[]){"--check-config", "--socket-mode", "0668", NULL}), 2);
	T_RESULT(
		t_daemon_run((const char *[]){"--check-config", "--socket-mode", "1777", NULL}), 2);
	T_RESULT(t_daemon_run((const char *[]){"--check-config", "--socket-mode", "", NULL}), 2);
	T_RESULT(t_daemon_run((const char *[]){"--check-config", "--socket-group", "root", NULL}),
		0);
	T_RESULT(t_daemon_run(
			 (const char *[]){"--check-config", "--socket-group", "no group", NULL}),
		2);
	T_RESULT(t_daemon_run(
			 (const char *[]){"--check-config", "--socket-group", "4294967295", NULL}),
		2);
}
