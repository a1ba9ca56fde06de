/* SPDX-License-Identifier: MIT */
/* managerd.conf(5): what is read, what is wrong in it, and reading it again. */
#include <config.h>

#include "base/fds.h"
#include "managerd/config.h"
#include "tests/support/daemon.h"
#include "tests/support/place.h"

#include <fcntl.h>
#include <sys/stat.h>

T_SUITE(config);

static char directory[T_PLACE_SIZE];
static char path[T_PLACE_SIZE + 16];
static char complaints[8192];
static int n_complaints;

static void make_directory(void)
{
	t_place_make(directory);
	snprintf(path, sizeof(path), "%s/conf", directory);
}

static void remove_directory(void)
{
	unlink(path);
	cr_assert(rmdir(directory) == 0);
}

static void write_bytes(const void *data, size_t size)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	cr_assert(fd >= 0);
	T_OK(mp__write_full(fd, data, size));
	close(fd);
}

static void write_text(const char *text)
{
	write_bytes(text, strlen(text));
}

static void note(const char *sentence, void *data)
{
	size_t n = strlen(complaints);

	cr_assert(data == complaints);
	cr_assert(strncmp(sentence, path, strlen(path)) == 0, "%s", sentence);
	snprintf(complaints + n, sizeof(complaints) - n, "%s\n", sentence + strlen(path) + 1);
	n_complaints++;
}

static int read_config(struct md_settings *settings)
{
	complaints[0] = '\0';
	n_complaints = 0;
	md_settings_init(settings);
	return md_config_read(path, settings, note, complaints);
}

/* The file has exactly this error, and changes nothing. */
static void expect_wrong(const char *text, const char *complaint)
{
	struct md_settings before;
	struct md_settings s;

	md_settings_init(&before);
	write_text(text);
	T_RESULT(read_config(&s), -EINVAL);
	cr_assert(n_complaints == 1 && strstr(complaints, complaint) == complaints, "%s: %s", text,
		complaints);
	cr_assert(memcmp(&s, &before, sizeof(s)) == 0);
}

Test(config, every_option_of_the_file_is_read)
{
	struct md_settings s;

	make_directory();
	write_text("\xef\xbb\xbf# a comment\n"
		   "\n"
		   "[daemon] ; the first section\n"
		   "listen = unix:/run/m/sock\r\n"
		   "\t[limits]\n"
		   "  max-frame=1M ; inline\n"
		   "max-connections : 12\n"
		   "max-objects=13\n"
		   "max-references=14\n"
		   "max-output=15K\n"
		   "stall-ms=16");
	T_OK(read_config(&s));
	cr_assert(strcmp(s.listen, "/run/m/sock") == 0);
	cr_assert(s.limits.max_frame == 1 << 20 && s.limits.max_connections == 12);
	cr_assert(s.limits.max_objects == 13 && s.limits.max_references == 14);
	cr_assert(s.limits.max_output == 15 << 10 && s.limits.stall_ms == 16);
	remove_directory();
}

Test(config, an_error_is_told_with_its_line)
{
	char text[512];

	make_directory();
	expect_wrong("[limits]\n\nmax-conections = 1\n", "3: there is no option max-conections");
	expect_wrong("stall-ms = 1\n", "1: stall-ms stands before any section");
	expect_wrong("[nonsense]\na = 1\nb = 2\n[limits]\nstall-ms = 1\n",
		"1: there is no section [nonsense]");
	expect_wrong("[limits]\n[empty]\n", "2: there is no section [empty]");
	expect_wrong("[limits\nstall-ms = 1\n", "1: this is no [SECTION]");
	expect_wrong("[limits] stall-ms = 1\n", "1: this is no [SECTION]");
	expect_wrong("[limits]\nstall-ms\n", "2: this is neither [SECTION] nor NAME = VALUE");
	expect_wrong("[limits]\nlisten = /x\n", "2: listen belongs to [daemon]");
	expect_wrong("[limits]\nready-fd = 3\n", "2: ready-fd is for the command line only");
	expect_wrong(
		"[limits]\nstall-ms = 5\nstall-ms = 5\n", "3: stall-ms has been set in line 2");
	/* What looks to inih as the value going on is a line of its own. */
	expect_wrong("[limits]\nstall-ms = 5\n  6\n", "3: this is neither");
	memset(text, 'x', sizeof(text));
	memcpy(text, "[limits]\nstall-ms = 5\n#", 23);
	text[sizeof(text) - 1] = '\0';
	expect_wrong(text, "3: the line is longer than");
	remove_directory();
}

Test(config, a_value_has_to_be_one)
{
	char text[256];

	make_directory();
	expect_wrong("[limits]\nstall-ms =\n", "2: stall-ms:  is not a number from 1 to");
	expect_wrong("[limits]\nstall-ms = -1\n", "2: stall-ms: -1 is not a number");
	expect_wrong("[limits]\nstall-ms = 1s\n", "2: stall-ms: 1s is not a number");
	expect_wrong("[limits]\nstall-ms = 1K\n", "2: stall-ms: 1K is not a number");
	expect_wrong("[limits]\nmax-frame = 65G\n", "2: max-frame: 65G is not a number");
	expect_wrong("[limits]\nmax-frame = 99999999999999999999\n", "2: max-frame: 9999");
	expect_wrong("[limits]\nmax-frame = 17179869184G\n", "2: max-frame: 17179869184G is");
	expect_wrong("[limits]\nmax-frame = 1KB\n", "2: max-frame: 1KB is not a number");
	expect_wrong("[daemon]\nlisten = tcp:1\n", "2: listen: tcp:1 is no address");
	snprintf(text, sizeof(text), "[daemon]\nlisten = /%0120d\n", 0);
	expect_wrong(text, "2: listen: the path of a socket has at most 107 bytes");
	remove_directory();
}

Test(config, all_errors_are_told_not_only_the_first)
{
	struct md_settings s;

	make_directory();
	write_bytes("[a]\n[limits]\nb\nc = 1\nd\0e\nstall-ms = 0\n", 38);
	T_RESULT(read_config(&s), -EINVAL);
	cr_assert(n_complaints == 5, "%s", complaints);
	cr_assert(strstr(complaints, "5: there is a zero byte in it") != NULL, "%s", complaints);
	remove_directory();
}

Test(config, what_is_no_file_is_an_error)
{
	struct md_settings s;

	make_directory();
	T_RESULT(read_config(&s), -ENOENT);
	cr_assert(n_complaints == 1);
	cr_assert(mkfifo(path, 0600) == 0);
	T_RESULT(read_config(&s), -EINVAL);
	cr_assert(unlink(path) == 0 && mkdir(path, 0700) == 0);
	T_RESULT(read_config(&s), -EISDIR);
	cr_assert(rmdir(path) == 0);
	remove_directory();
}

/* --- the daemon ------------------------------------------------------------------------------------- */

Test(config, check_config_tells_by_its_exit_code)
{
	make_directory();
	write_text("[limits]\nmax-objects = 5\n");
	T_RESULT(t_daemon_run((const char *[]){"--check-config", "--config", path, NULL}), 0);
	T_RESULT(t_daemon_run((const char *[]){
			 "--check-config", "--config", path, "--stall-ms", "x", NULL}),
		2);
	/* Without --check-config there is nothing to listen on. */
	T_RESULT(t_daemon_run((const char *[]){"--config", path, NULL}), 2);
	write_text("[limits]\nmax-object = 5\n");
	T_RESULT(t_daemon_run((const char *[]){"--check-config", "--config", path, NULL}), 2);
	T_RESULT(t_daemon_run(
			 (const char *[]){"--config", path, "--listen", "unix:/nowhere/s", NULL}),
		2);
	cr_assert(unlink(path) == 0);
	T_RESULT(t_daemon_run((const char *[]){"--check-config", "--config", path, NULL}), 2);
	remove_directory();
}

static bool can_open(mp_manager *m, int n)
{
	char name[16];
	mp_dict *d;

	snprintf(name, sizeof(name), "d%d", n);
	int r = mp_manager_dict(m, name, &d);
	if (r == 0)
		mp_dict_close(d);
	return r == 0;
}

static void hang_up(const struct t_daemon *daemon)
{
	T_OK(mp__pidfd_signal(daemon->pidfd, SIGHUP));
}

Test(config, sighup_reads_it_again_and_says_what_cannot_change)
{
	char said[4096];
	int remarks;
	mp_manager *m;

	make_directory();
	write_text("[limits]\nmax-objects = 2\n");
	struct t_daemon daemon =
		t_daemon_start_heard((const char *[]){"--config", path, NULL}, &remarks);
	T_OK(mp_manager_connect(daemon.path, T_PATIENT, &m));
	cr_assert(can_open(m, 1) && can_open(m, 2) && !can_open(m, 3));

	write_text("[limits]\nmax-objects = 3\nmax-output = 5000\n[daemon]\nlisten = /other\n");
	hang_up(&daemon);
	/* The command line is above the file, so that listen is as before. */
	t_daemon_expect_remark(remarks, "read again: 2 options changed", said, sizeof(said));
	cr_assert(!strstr(said, "listen"), "%s", said);
	cr_assert(can_open(m, 3) && !can_open(m, 4));

	write_text("[limits]\nmax-objects = 9\nmax-output = x\n");
	hang_up(&daemon);
	t_daemon_expect_remark(remarks, "stays as it was", said, sizeof(said));
	cr_assert(strstr(said, "conf:3: max-output: x is not"), "%s", said);
	cr_assert(!can_open(m, 4));
	mp_manager_close(m);
	close(remarks);
	t_daemon_stop(&daemon);
	remove_directory();
}

Test(config, sighup_when_the_file_has_gone_changes_nothing_either)
{
	char said[4096];
	int remarks;

	make_directory();
	write_text("[limits]\nmax-objects = 2\n");
	struct t_daemon daemon =
		t_daemon_start_heard((const char *[]){"--config", path, NULL}, &remarks);
	cr_assert(unlink(path) == 0);
	hang_up(&daemon);
	t_daemon_expect_remark(remarks, "stays as it was", said, sizeof(said));
	cr_assert(strstr(said, path), "%s", said);
	close(remarks);
	t_daemon_stop(&daemon);
	remove_directory();
}

Test(config, sighup_without_a_file_changes_nothing)
{
	char said[4096];
	int remarks;

	struct t_daemon daemon = t_daemon_start_heard(NULL, &remarks);
	hang_up(&daemon);
	t_daemon_expect_remark(remarks, "no --config to read again", said, sizeof(said));
	close(remarks);
	t_daemon_stop(&daemon);
}
