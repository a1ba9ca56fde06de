/* SPDX-License-Identifier: MIT */
/* What managerd remarks: where it goes, and that clients cannot make it a flood. */
#include <config.h>

#include "base/deadline.h"
#include "base/fds.h"
#include "managerd/journal.h"
#include "managerd/log.h"
#include "tests/support/daemon.h"
#include "tests/support/place.h"

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

T_SUITE(log);

#define PERIOD ((int64_t)MD_LOG_PERIOD_MS * 1000 * 1000)
#define BEGIN (PERIOD * 100)

/* --- floods ----------------------------------------------------------------------------------------- */

static int count_admitted(const char *event, uid_t uid, int n, int64_t now)
{
	int admitted = 0;

	for (int i = 0; i < n; i++)
		admitted += md_log_admit(event, uid, now + i);
	return admitted;
}

Test(log, the_first_remarks_of_a_period_are_said_the_others_counted)
{
	T_RESULT(count_admitted("denied", 5, 1000, BEGIN), MD_LOG_PER_PERIOD);
	T_RESULT(count_admitted("denied", 5, 1000, BEGIN + PERIOD - 1000), 0);
	/* A new period. */
	T_RESULT(count_admitted("denied", 5, 1000, BEGIN + PERIOD), MD_LOG_PER_PERIOD);
}

Test(log, one_flood_hides_no_other)
{
	count_admitted("denied", 5, 1000, BEGIN);
	T_RESULT(count_admitted("denied", 6, 1, BEGIN), 1);
	T_RESULT(count_admitted("violation", 5, 1, BEGIN), 1);
}

Test(log, many_users_are_as_bounded_as_one)
{
	int admitted = 0;

	for (uid_t uid = 0; uid < 10000; uid++)
		admitted += count_admitted("denied", uid, 10, BEGIN);
	cr_assert(admitted <= 64 * MD_LOG_PER_PERIOD, "%d", admitted);
	/* When the period is over, there is room for others. */
	T_RESULT(count_admitted("denied", 12345, 10, BEGIN + 2 * PERIOD), MD_LOG_PER_PERIOD);
}

Test(log, counts_are_due_when_their_period_is_over)
{
	T_RESULT(md_log_sum_up(BEGIN), 0);
	count_admitted("a", 1, 10, BEGIN + 5);
	count_admitted("b", 1, 10, BEGIN + 9);
	cr_assert(md_log_sum_up(BEGIN + 10) == BEGIN + 5 + PERIOD);
	cr_assert(md_log_sum_up(BEGIN + 5 + PERIOD) == BEGIN + 9 + PERIOD);
	T_RESULT(md_log_sum_up(BEGIN + 9 + PERIOD), 0);
}

/* --- the journal ------------------------------------------------------------------------------------ */

static int make_journal(const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	strcpy(address.sun_path, path);
	return fd >= 0 && bind(fd, (struct sockaddr *)&address, sizeof(address)) == 0 ? fd : -1;
}

Test(log, a_record_has_fields_and_no_client_can_add_one)
{
	char directory[T_PLACE_SIZE];
	char path[64];
	char got[2 * MD_JOURNAL_RECORD_SIZE];
	static char long_text[5000];
	struct md_journal journal;

	t_place_make(directory);
	snprintf(path, sizeof(path), "%s/journal", directory);
	T_RESULT(md_journal_open(&journal, path), -ENOENT);
	int fd = make_journal(path);
	cr_assert(fd >= 0);
	T_OK(md_journal_open(&journal, path));
	md_journal_begin(&journal);
	md_journal_number(&journal, "PRIORITY", 4);
	md_journal_field(&journal, "MESSAGE", "a\nPRIORITY=0\x7f\x01 caf\xc3\xa9");
	T_OK(md_journal_send(&journal));
	ssize_t n = recv(fd, got, sizeof(got) - 1, MSG_DONTWAIT);
	got[n < 0 ? 0 : n] = '\0';
	cr_assert(strcmp(got, "PRIORITY=4\nMESSAGE=a?PRIORITY=0?? caf\xc3\xa9\n") == 0, "%s", got);

	memset(long_text, 'x', sizeof(long_text) - 1);
	md_journal_begin(&journal);
	md_journal_field(&journal, "MESSAGE", long_text);
	md_journal_field(&journal, "MORE", "x");
	T_OK(md_journal_send(&journal));
	n = recv(fd, got, sizeof(got), MSG_DONTWAIT);
	cr_assert(n == MD_JOURNAL_RECORD_SIZE && got[n - 1] == '\n', "%zd", n);

	/* A journal that does not read. */
	int r;
	do
		r = md_journal_send(&journal);
	while (r == 0);
	T_RESULT(r, -EAGAIN);
	close(fd);
	T_RESULT(md_journal_send(&journal), -ECONNREFUSED);
	md_journal_close(&journal);
	unlink(path);
	cr_assert(rmdir(directory) == 0);
}

/* --- the daemon ------------------------------------------------------------------------------------- */

static void misbehave(const struct t_daemon *daemon)
{
	char answer[256];
	int fd = t_daemon_connect(daemon);

	cr_assert(send(fd, "\xff\xff\xff\xff", 4, MSG_NOSIGNAL) == 4);
	do
		T_OK(mp__fd_wait(fd, POLLIN, mp__deadline_in(T_TIMEOUT_MS / 2)));
	while (read(fd, answer, sizeof(answer)) > 0);
	close(fd);
}

Test(log, a_flood_of_remarks_is_some_and_a_count)
{
	static char said[16384];
	int remarks;
	struct t_daemon daemon = t_daemon_start_heard(NULL, &remarks);

	int64_t began = mp__now_ns();

	for (int i = 0; i < 100; i++)
		misbehave(&daemon);
	t_daemon_stop(&daemon);
	int periods = 1 + (int)((mp__now_ns() - began) / PERIOD);
	ssize_t n = read(remarks, said, sizeof(said) - 1);
	said[n < 0 ? 0 : n] = '\0';
	int told = 0;
	int counted = 0;
	for (char *line = strtok(said, "\n"); line; line = strtok(NULL, "\n")) {
		int more;
		if (sscanf(line, "managerd: %d more remarks", &more) == 1)
			counted += more;
		else
			told++;
	}
	cr_assert(told >= MD_LOG_PER_PERIOD && told <= periods * MD_LOG_PER_PERIOD, "%d in %d",
		told, periods);
	cr_assert(told + counted == 100, "%d and %d", told, counted);
	close(remarks);
}

Test(log, is_quiet_in_good_times)
{
	char byte;
	int remarks;
	mp_manager *m;
	mp_dict *d;
	struct t_daemon daemon = t_daemon_start_heard(NULL, &remarks);

	T_OK(mp_manager_connect(daemon.path, T_PATIENT, &m));
	T_OK(mp_manager_dict(m, "d", &d));
	T_OK(mp_dict_set(d, mp_i64(1), mp_i64(2)));
	mp_dict_close(d);
	mp_manager_close(m);
	t_daemon_stop(&daemon);
	cr_assert(read(remarks, &byte, 1) == 0, "it said something");
	close(remarks);
}

/* A start that fails, with a standard error that is said to be the journal's: what is written there. */
static void fail_under_journal(char *ret_stderr, size_t size)
{
	char variable[64];
	struct stat st;
	int remarks[2];
	int status;

	T_CHECK(pipe(remarks) == 0 && fstat(remarks[1], &st) == 0);
	snprintf(variable, sizeof(variable), "%llu:%llu", (unsigned long long)st.st_dev,
		(unsigned long long)st.st_ino);
	pid_t pid = fork();
	T_CHECK(pid >= 0);
	if (pid == 0) {
		setenv("JOURNAL_STREAM", variable, 1);
		dup2(remarks[1], STDERR_FILENO);
		execl(getenv("MP_MANAGERD"), "managerd", "--listen", "/nowhere/at/all/s", NULL);
		_exit(127);
	}
	close(remarks[1]);
	T_CHECK(waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 1);
	ssize_t n = read(remarks[0], ret_stderr, size - 1);
	T_CHECK(n >= 0);
	ret_stderr[n] = '\0';
	close(remarks[0]);
}

/* In a mount namespace of its own, where /run is empty: 77 without the right to make one. */
static int run_under_journal(void *unused)
{
	static const char record[] = "PRIORITY=3\nSYSLOG_IDENTIFIER=managerd\n"
				     "MANAGERD_EVENT=managerd\n"
				     "MESSAGE=making the directory /nowhere/at/all";
	char got[MD_JOURNAL_RECORD_SIZE + 1];

	(void)unused;
	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
		mount("none", "/run", "tmpfs", 0, NULL) < 0)
		return 77;
	T_CHECK(mkdir("/run/systemd", 0700) == 0 && mkdir("/run/systemd/journal", 0700) == 0);
	int fd = make_journal(MD_JOURNAL_PATH);
	T_CHECK(fd >= 0);
	fail_under_journal(got, sizeof(got));
	T_CHECK(got[0] == '\0');
	ssize_t n = recv(fd, got, sizeof(got) - 1, MSG_DONTWAIT);
	T_CHECK(n >= (ssize_t)sizeof(record) - 1);
	T_CHECK(memcmp(got, record, sizeof(record) - 1) == 0);

	/* Without its socket, the stream has to do; systemd reads the level in front. */
	unlink(MD_JOURNAL_PATH);
	fail_under_journal(got, sizeof(got));
	T_CHECK(strncmp(got, "<3>managerd: making the directory", 33) == 0);
	return 0;
}

Test(log, goes_to_the_journal_with_fields)
{
#ifndef HAVE_SYSTEMD
	cr_skip_test("built without libsystemd");
#endif
	if (!getenv("MP_MANAGERD"))
		cr_skip_test("MP_MANAGERD is not set");
	struct t_child child = t_spawn(run_under_journal, NULL);
	siginfo_t info = {0};
	t_wait_pidfd(child.pidfd);
	cr_assert(waitid(P_PIDFD, (id_t)child.pidfd, &info, WEXITED | WNOWAIT) == 0);
	bool may_not = info.si_code == CLD_EXITED && info.si_status == 77;
	t_expect_exit(&child, may_not ? 77 : 0);
	if (may_not)
		cr_skip_test("no right to make a mount namespace");
}
