/* SPDX-License-Identifier: MIT */
/* managerd with a key: both sides prove it, files with keys are looked at, guessing gets slow. */
#include <config.h>

#include "base/authkey.h"
#include "conn/hmac.h"
#include "tests/support/daemon.h"
#include "tests/support/place.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>

T_SUITE(key);

#define KEY "a key that nobody knows"
#define OTHER "a key of somebody else"

static char directory[T_PLACE_SIZE];
static char key_path[64];

static void write_key(const char *text, mode_t mode)
{
	(void)unlink(key_path);
	int fd = open(key_path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);

	cr_assert(fd >= 0 && fchmod(fd, mode) == 0);
	cr_assert(write(fd, text, strlen(text)) == (ssize_t)strlen(text));
	close(fd);
}

static void begin(void)
{
	if (mp__hmac_available() < 0)
		cr_skip_test("built without keys");
	t_place_make(directory);
	snprintf(key_path, sizeof(key_path), "%s/key", directory);
}

static void end(void)
{
	unsetenv("MP_AUTHKEY_FILE");
	(void)unlink(key_path);
	cr_assert(rmdir(directory) == 0);
}

static struct t_daemon start(void)
{
	begin();
	write_key(KEY "\n", 0600);
	return t_daemon_start((const char *[]){"--authkey-file", key_path, NULL});
}

static int connect_with(const struct t_daemon *daemon, const char *key, mp_manager **ret)
{
	return mp_manager_connect(daemon->path,
		MP_MANAGER_OPTIONS(.timeout_ms = T_TIMEOUT_MS / 2, .authkey = key,
			.authkey_size = key ? strlen(key) : 0),
		ret);
}

static void expect_refused(const struct t_daemon *daemon, const char *key, const char *why)
{
	mp_manager *m;

	T_RESULT(connect_with(daemon, key, &m), -EKEYREJECTED);
	cr_assert(strstr(mp_error_detail(), why), "%s", mp_error_detail());
}

Test(key, who_knows_the_key_is_served_and_nobody_else)
{
	struct t_daemon daemon = start();
	mp_manager *m;

	T_OK(connect_with(&daemon, KEY, &m));
	T_OK(mp_manager_ping(m));
	expect_refused(&daemon, OTHER, "the keys of the two sides differ");
	expect_refused(&daemon, NULL, "wants a key");
	T_OK(mp_manager_ping(m));
	mp_manager_close(m);
	t_daemon_stop(&daemon);
	end();
}

Test(key, a_daemon_without_a_key_is_not_trusted_by_who_has_one)
{
	begin();
	struct t_daemon daemon = t_daemon_start(NULL);
	mp_manager *m;

	expect_refused(&daemon, KEY, "has no key");
	T_OK(connect_with(&daemon, NULL, &m));
	mp_manager_close(m);
	t_daemon_stop(&daemon);
	end();
}

Test(key, comes_from_a_file_that_the_environment_names)
{
	struct t_daemon daemon = start();
	mp_manager *m;

	cr_assert(setenv("MP_AUTHKEY_FILE", key_path, 1) == 0);
	T_OK(connect_with(&daemon, NULL, &m));
	T_OK(mp_manager_ping(m));
	mp_manager_close(m);
	/* One in the options is the one that counts. */
	expect_refused(&daemon, OTHER, "differ");
	cr_assert(chmod(key_path, 0640) == 0);
	T_RESULT(connect_with(&daemon, NULL, &m), -EPERM);
	cr_assert(chmod(key_path, 0600) == 0);
	t_daemon_stop(&daemon);
	end();
}

static int ping(void *argument)
{
	T_CHECK(mp_manager_ping(argument) == 0);
	return 0;
}

/* A child has a connection of its own, and whoever lost his makes another: both prove the key again. */
Test(key, is_proved_again_after_fork_and_after_a_restart)
{
	struct t_daemon daemon = start();
	mp_manager *m;
	int r;

	T_OK(connect_with(&daemon, KEY, &m));
	struct t_child child = t_spawn(ping, m);
	t_expect_exit(&child, 0);
	t_daemon_kill(&daemon);
	t_daemon_start_in(&daemon, (const char *[]){"--authkey-file", key_path, NULL});
	while ((r = mp_manager_ping(m)) == -EPIPE)
		;
	T_OK(r);
	mp_manager_close(m);
	t_daemon_stop(&daemon);
	end();
}

Test(key, another_one_holds_from_the_next_reading_on)
{
	struct t_daemon daemon;
	mp_manager *before;
	mp_manager *after;
	char config[80];
	int r;

	begin();
	write_key(KEY, 0600);
	snprintf(config, sizeof(config), "%s/conf", directory);
	FILE *file = fopen(config, "we");
	cr_assert(file != NULL);
	fprintf(file, "[daemon]\nauthkey-file = %s\n", key_path);
	fclose(file);
	daemon = t_daemon_start((const char *[]){"--config", config, NULL});
	T_OK(connect_with(&daemon, KEY, &before));
	write_key(OTHER, 0600);
	cr_assert(kill(daemon.pid, SIGHUP) == 0);
	while ((r = connect_with(&daemon, OTHER, &after)) == -EKEYREJECTED || r == -ENOSPC)
		;
	T_OK(r);
	T_OK(mp_manager_ping(before));
	mp_manager_close(after);
	/* A file that cannot be used changes nothing. */
	write_key("short", 0600);
	cr_assert(kill(daemon.pid, SIGHUP) == 0);
	T_OK(connect_with(&daemon, OTHER, &after));
	mp_manager_close(after);
	mp_manager_close(before);
	t_daemon_stop(&daemon);
	unlink(config);
	end();
}

/* However long each takes here: ten wrong ones in a row make the user wait for a minute. */
Test(key, guessing_gets_slow)
{
	struct t_daemon daemon = start();
	mp_manager *m;
	int r = 0;

	for (int i = 0; i < 20 && r != -ENOSPC; i++) {
		r = connect_with(&daemon, OTHER, &m);
		cr_assert(r == -EKEYREJECTED || r == -ENOSPC);
		cr_assert(r == -EKEYREJECTED || i >= 3, "only %d guesses", i);
	}
	T_RESULT(r, -ENOSPC);
	cr_assert(strstr(mp_error_detail(), "has to wait"), "%s", mp_error_detail());
	while ((r = connect_with(&daemon, KEY, &m)) == -ENOSPC)
		;
	T_OK(r);
	mp_manager_close(m);
	t_daemon_stop(&daemon);
	end();
}

Test(key, wrong_options_and_files)
{
	char large[MP__KEY_MAX + 1];
	struct mp__authkey key;
	mp_manager *m;

	begin();
	memset(large, 'k', sizeof(large));
	T_RESULT(mp_manager_connect("/nowhere",
			 MP_MANAGER_OPTIONS(.authkey = large, .authkey_size = sizeof(large)), &m),
		-EINVAL);
	T_RESULT(mp_manager_connect(
			 "/nowhere", MP_MANAGER_OPTIONS(.authkey = "", .authkey_size = 0), &m),
		-EINVAL);
	T_RESULT(mp_manager_start(MP_MANAGER_OPTIONS(.authkey = KEY, .authkey_size = 9), &m),
		-EINVAL);
	T_RESULT(mp__authkey_read(&key, key_path), -ENOENT);
	T_RESULT(mp__authkey_read(&key, directory), -EINVAL);
	write_key("0123456789abcde\n", 0600);
	T_RESULT(mp__authkey_read(&key, key_path), -EINVAL);
	write_key("0123456789abcdef\n", 0600);
	T_OK(mp__authkey_read(&key, key_path));
	cr_assert(key.size == 16 && memcmp(key.bytes, "0123456789abcdef", 16) == 0);
	cr_assert(chmod(key_path, 0604) == 0);
	T_RESULT(mp__authkey_read(&key, key_path), -EPERM);
	cr_assert(t_daemon_run((const char *[]){"--listen", "unix:/nowhere/sock", "--authkey-file",
			  key_path, NULL}) == 1);
	cr_assert(t_daemon_run((const char *[]){"--listen", "unix:/nowhere/sock", "--authkey-file",
			  "relative", NULL}) == 2);
	end();
}

/* The other half of the page: without nettle nobody gets as far as a connection. */
Test(key, a_build_without_keys_says_so)
{
	mp_manager *m;

	if (mp__hmac_available() == 0)
		cr_skip_test("built with keys");
	struct t_daemon daemon = t_daemon_start(NULL);
	T_RESULT(connect_with(&daemon, KEY, &m), -ENOTSUP);
	t_daemon_stop(&daemon);
}
