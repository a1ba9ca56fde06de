/* SPDX-License-Identifier: MIT */
/* Listeners: addresses, keys, deadlines; a fork. */
#include <config.h>

#include "tests/support/listeners.h"

#include <poll.h>
#include <pthread.h>
#include <sys/stat.h>

T_SUITE(listener);

struct client {
	const char *address;
	const mp_connection_options *options;
	int result;
};

static void *open_thread(void *argument)
{
	struct client *client = argument;
	mp_connection *c;

	client->result = mp_connection_open(client->address, client->options, T_TIMEOUT_MS, &c);
	if (client->result == 0) {
		client->result = mp_connection_send(c, mp_str("hello"), T_TIMEOUT_MS);
		mp_connection_close(c);
	}
	return NULL;
}

/* --- CPython: _TestListener, _TestListenerClient ---------------------------------------------- */

static int say_hello(void *address)
{
	struct client client = {address, NULL, 1};

	open_thread(&client);
	return client.result == 0 ? 0 : 1;
}

Test(listener, listener_client)
{
	for (int i = 0; i < FAMILIES; i++) {
		mp_listener *l = listen_at(i, NULL);
		mp_connection *c;
		mp_obj got;
		if (!l)
			continue;
		struct t_child child = t_spawn(say_hello, (void *)mp_listener_address(l));
		T_OK(mp_listener_accept(l, T_TIMEOUT_MS, &c));
		T_OK(mp_connection_recv(c, T_TIMEOUT_MS, &got));
		cr_assert_str_eq(mp_obj_str(&got), "hello");
		mp_obj_free(&got);
		T_RESULT(mp_connection_recv(c, T_TIMEOUT_MS, &got), -EPIPE);
		t_expect_exit(&child, 0);
		mp_connection_close(c);
		cr_assert_eq(stats(l).accepted, 1);
		T_OK(mp_listener_close(l));
		end_family(i);
	}
}

/* CPython: test_issue14725; one thread does all, in the order that Python allows. */
Test(listener, a_client_that_has_gone_before_accept)
{
	for (int i = 0; i < FAMILIES; i++) {
		mp_listener *l = listen_at(i, NULL);
		mp_connection *c;
		mp_obj got;
		if (!l)
			continue;
		T_RESULT(mp_listener_accept(l, MP_NOWAIT, &c), -EAGAIN);
		T_RESULT(mp_listener_accept(l, 20, &c), -ETIMEDOUT);
		struct client client = {mp_listener_address(l), NULL, 1};
		open_thread(&client);
		T_OK(client.result);
		T_OK(mp_listener_accept(l, T_TIMEOUT_MS, &c));
		T_OK(mp_connection_recv(c, T_TIMEOUT_MS, &got));
		mp_obj_free(&got);
		mp_connection_close(c);
		mp_listener_close(l);
		end_family(i);
	}
}

/* CPython: test_issue16955. */
Test(listener, poll_after_the_peer_has_sent)
{
	mp_listener *l = listen_at(0, NULL);
	mp_connection *a, *b;

	T_OK(mp_connection_open(mp_listener_address(l), NULL, T_TIMEOUT_MS, &a));
	T_OK(mp_listener_accept(l, T_TIMEOUT_MS, &b));
	T_OK(mp_connection_send_bytes(b, "hello", 5, MP_NOWAIT));
	cr_assert_eq(mp_connection_poll(a, T_TIMEOUT_MS), 1);
	mp_connection_close(a);
	mp_connection_close(b);
	mp_listener_close(l);
}

Test(listener, multiple_bind)
{
	for (int i = 0; i < FAMILIES; i++) {
		mp_listener *l = listen_at(i, NULL);
		mp_listener *second;
		if (!l)
			continue;
		T_RESULT(mp_listener_new(mp_listener_address(l), NULL, &second), -EADDRINUSE);
		mp_listener_close(l);
		end_family(i);
	}
}

static void with_key(int i, const char *key, const char *other, int expected)
{
	mp_listener *l = listen_at(i, MP_LISTENER_OPTIONS(KEY(key)));
	mp_connection *c;
	mp_obj got;
	pthread_t thread;

	if (!l)
		return;
	const mp_connection_options options = *MP_CONNECTION_OPTIONS(KEY(other));
	struct client client = {mp_listener_address(l), &options, 1};
	pthread_create(&thread, NULL, open_thread, &client);
	if (expected == 0) {
		T_OK(mp_listener_accept(l, T_TIMEOUT_MS, &c));
		T_OK(mp_connection_recv(c, T_TIMEOUT_MS, &got));
		mp_obj_free(&got);
		mp_connection_close(c);
	} else {
		while (stats(l).refused == 0)
			cr_assert_lt(mp_listener_accept(l, 20, &c), 0);
	}
	pthread_join(thread, NULL);
	T_RESULT(client.result, expected);
	mp_listener_close(l);
	end_family(i);
}

#ifdef HAVE_NETTLE
Test(listener, keys_that_agree)
{
	for (int i = 0; i < FAMILIES; i++)
		with_key(i, "the same secret", "the same secret", 0);
}

/* CPython: test_empty_authkey. */
Test(listener, empty_authkey)
{
	with_key(0, "", "", 0);
}

Test(listener, keys_that_differ)
{
	with_key(0, "one", "another", -EKEYREJECTED);
	with_key(3, "one", "", -EKEYREJECTED);
}

Test(listener, a_key_where_none_is_wanted)
{
	mp_listener *l = listen_at(0, NULL);
	mp_connection *c;
	pthread_t thread;
	const mp_connection_options options = *MP_CONNECTION_OPTIONS(KEY("key"));
	struct client client = {mp_listener_address(l), &options, 1};

	pthread_create(&thread, NULL, open_thread, &client);
	while (stats(l).refused == 0)
		cr_assert_lt(mp_listener_accept(l, 20, &c), 0);
	pthread_join(thread, NULL);
	T_RESULT(client.result, -EKEYREJECTED);
	mp_listener_close(l);
}

Test(listener, no_key_where_one_is_wanted)
{
	for (int i = 0; i < FAMILIES; i++) {
		mp_listener *l = listen_at(i, MP_LISTENER_OPTIONS(KEY("key")));
		mp_connection *a, *b;
		mp_obj got;
		if (!l)
			continue;
		T_OK(mp_connection_open(mp_listener_address(l), NULL, T_TIMEOUT_MS, &a));
		while (stats(l).refused == 0)
			cr_assert_lt(mp_listener_accept(l, 20, &b), 0);
		T_RESULT(mp_connection_recv(a, T_TIMEOUT_MS, &got), -EKEYREJECTED);
		mp_connection_close(a);
		mp_listener_close(l);
		end_family(i);
	}
}

/* A listener that never answers costs the client its deadline, no more. */
Test(listener, a_client_with_a_key_waits_for_its_deadline_only)
{
	mp_listener *l = listen_at(0, MP_LISTENER_OPTIONS(KEY("key")));
	mp_connection *c;

	T_RESULT(mp_connection_open(
			 mp_listener_address(l), MP_CONNECTION_OPTIONS(KEY("key")), 20, &c),
		-ETIMEDOUT);
	T_RESULT(mp_connection_open(
			 mp_listener_address(l), MP_CONNECTION_OPTIONS(KEY("key")), MP_NOWAIT, &c),
		-EAGAIN);
	mp_listener_close(l);
}
#else
Test(listener, keys_need_a_library)
{
	mp_listener *l;
	mp_connection *c;

	T_RESULT(mp_listener_new(NULL, MP_LISTENER_OPTIONS(KEY("key")), &l), -ENOTSUP);
	l = listen_at(0, NULL);
	T_RESULT(mp_connection_open(mp_listener_address(l), MP_CONNECTION_OPTIONS(KEY("key")),
			 T_TIMEOUT_MS, &c),
		-ENOTSUP);
	mp_listener_close(l);
	(void)with_key;
}
#endif

/* --- addresses -------------------------------------------------------------------------------- */

Test(listener, addresses_that_are_none)
{
	static const char *const bad[] = {"", "unix:", "unix:@", "unix:relative", "tcp:", "tcp:1",
		"tcp::80", "tcp:127.0.0.1:", "tcp:127.0.0.1:65536", "tcp:127.0.0.1:x", "tcp:::1:80",
		"tcp:[::1]80", "tcp:[::1:80", "/path", "\\\\.\\pipe\\name", "http://x", "tcp:[]:1"};
	char path[256] = "unix:/";
	mp_connection *c;
	mp_listener *l;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		T_RESULT(mp_listener_new(bad[i], NULL, &l), -EINVAL);
		T_RESULT(mp_connection_open(bad[i], NULL, MP_NOWAIT, &c), -EINVAL);
	}
	T_RESULT(mp_connection_open(NULL, NULL, MP_NOWAIT, &c), -EINVAL);
	memset(path + 6, 'x', 120);
	T_RESULT(mp_listener_new(path, NULL, &l), -ENAMETOOLONG);
	T_RESULT(mp_connection_open(path, NULL, MP_NOWAIT, &c), -ENAMETOOLONG);
	T_RESULT(mp_listener_new("tcp:host.invalid:1", NULL, &l), -EADDRNOTAVAIL);
	T_RESULT(mp_connection_open("tcp:host.invalid:1", NULL, 1, &c), -EADDRNOTAVAIL);
	T_RESULT(mp_listener_new("unix:/nowhere/at/all", NULL, &l), -ENOENT);
	T_RESULT(mp_connection_open("unix:/nowhere/at/all", NULL, MP_NOWAIT, &c), -ENOENT);
	T_RESULT(mp_connection_open("unix:@nobody-listens-here", NULL, 1, &c), -ECONNREFUSED);
}

Test(listener, wrong_options)
{
	mp_listener_stats s = {.size = 3};
	mp_connection *c;
	mp_listener *l;

	T_RESULT(mp_listener_new(NULL, MP_LISTENER_OPTIONS(.flags = 1), &l), -EINVAL);
	T_RESULT(mp_listener_new(NULL, MP_LISTENER_OPTIONS(.authkey_size = 1), &l), -EINVAL);
	T_RESULT(mp_listener_new(NULL, MP_LISTENER_OPTIONS(.mode = 01000), &l), -EINVAL);
	T_RESULT(mp_listener_new(NULL, MP_LISTENER_OPTIONS(.backlog = -1), &l), -EINVAL);
	T_RESULT(mp_listener_new(NULL, MP_LISTENER_OPTIONS(.handshake_ms = -1), &l), -EINVAL);
	T_RESULT(mp_listener_new(NULL, MP_LISTENER_OPTIONS(.max_handshakes = -1), &l), -EINVAL);
	struct {
		mp_listener_options known;
		int more;
	} newer = {.known = {.size = sizeof(newer)}, .more = 1};
	T_RESULT(mp_listener_new(NULL, &newer.known, &l), -E2BIG);
	T_RESULT(mp_connection_open(
			 "unix:@x", MP_CONNECTION_OPTIONS(.direction = MP_CONNECTION_READ), 0, &c),
		-EINVAL);
	T_RESULT(mp_connection_open("unix:@x", MP_CONNECTION_OPTIONS(.authkey_size = 1), 0, &c),
		-EINVAL);
	T_RESULT(mp_connection_open("unix:@x", NULL, 0, NULL), -EINVAL);
	T_RESULT(mp_listener_new(NULL, NULL, NULL), -EINVAL);
	T_RESULT(mp_listener_accept(NULL, 0, &c), -EINVAL);
	T_RESULT(mp_listener_fileno(NULL), -EINVAL);
	T_RESULT(mp_listener_get_stats(NULL, &(mp_listener_stats){.size = sizeof(s)}), -EINVAL);
	T_RESULT(mp_connection_peer_address(NULL, NULL, 0), -EINVAL);
	cr_assert_null(mp_listener_address(NULL));
	T_OK(mp_listener_close(NULL));
	l = listen_at(0, NULL);
	T_RESULT(mp_listener_get_stats(l, &s), -EINVAL);
	T_RESULT(mp_listener_accept(l, 0, NULL), -EINVAL);
	mp_listener_close(l);
}

Test(listener, the_file_has_its_mode_and_goes_at_the_end)
{
	const char *address = unix_path();
	const char *path = address + 5;
	mp_listener *l;
	struct stat st;

	mode_t old = umask(077);
	T_OK(mp_listener_new(address, MP_LISTENER_OPTIONS(.mode = 0660), &l));
	umask(old);
	T_OK(stat(path, &st));
	cr_assert_eq(st.st_mode & 07777, 0660);
	/* What somebody else has put there in the meantime is not ours to remove. */
	T_OK(unlink(path));
	T_OK(mknod(path, S_IFREG | 0600, 0));
	mp_listener_close(l);
	T_OK(stat(path, &st));
	T_RESULT(mp_listener_new(address, NULL, &l), -EEXIST);
	T_OK(unlink(path));
	T_OK(mp_listener_new(address, NULL, &l));
	T_OK(stat(path, &st));
	cr_assert_eq(st.st_mode & 07777, 0600);
	mp_listener_close(l);
	end_family(1);
}

static int listen_and_hang(void *address)
{
	mp_listener *l;

	T_CHECK(mp_listener_new(address, NULL, &l) == 0);
	t_ready();
	t_hang();
}

Test(listener, a_socket_of_the_dead_is_replaced)
{
	const char *address = unix_path();
	struct t_child child = t_spawn(listen_and_hang, (void *)address);
	mp_connection *c;
	mp_listener *l;

	t_wait_ready(&child);
	T_RESULT(mp_listener_new(address, NULL, &l), -EADDRINUSE);
	t_kill(&child, SIGKILL);
	T_RESULT(mp_connection_open(address, NULL, T_TIMEOUT_MS, &c), -ECONNREFUSED);
	T_OK(mp_listener_new(address, NULL, &l));
	T_OK(mp_connection_open(address, NULL, T_TIMEOUT_MS, &c));
	mp_connection_close(c);
	mp_listener_close(l);
	end_family(1);
}

static int no_access(void *argument)
{
	char **addresses = argument;
	mp_connection *c;
	mp_listener *l;

	T_CHECK(geteuid() != 0 || setresuid(65534, 65534, 65534) == 0);
	T_CHECK(mp_connection_open(addresses[0], NULL, 1, &c) == -EACCES);
	T_CHECK(mp_listener_new("unix:/no-such-place", NULL, &l) == -EACCES);
	return 0;
}

Test(listener, others_have_no_access)
{
	if (geteuid() != 0)
		cr_skip_test("needs another user");
	const char *address = unix_path();
	mp_listener *l;

	T_OK(mp_listener_new(address, NULL, &l));
	chmod(directory, 0755);
	struct t_child child = t_spawn(no_access, &address);
	t_expect_exit(&child, 0);
	mp_listener_close(l);
	end_family(1);
}

Test(listener, addresses_of_both_sides)
{
	char text[128];
	mp_listener *l = listen_at(3, NULL);
	mp_connection *a, *b;
	pid_t pid;

	cr_assert_eq(strncmp(mp_listener_address(l), "tcp:127.0.0.1:", 14), 0);
	T_OK(mp_connection_open(mp_listener_address(l), NULL, T_TIMEOUT_MS, &a));
	T_OK(mp_listener_accept(l, T_TIMEOUT_MS, &b));
	int n = mp_connection_peer_address(a, text, sizeof(text));
	cr_assert_eq(n, (int)strlen(mp_listener_address(l)));
	cr_assert_str_eq(text, mp_listener_address(l));
	cr_assert_gt(mp_connection_peer_address(b, NULL, 0), 14);
	T_RESULT(mp_connection_peer_address(b, NULL, 1), -EINVAL);
	T_RESULT(mp_connection_peer_credentials(a, &pid, NULL, NULL), -ENOTSUP);
	mp_connection_close(a);
	mp_connection_close(b);
	mp_listener_close(l);

	l = listen_at(2, NULL);
	T_OK(mp_connection_open(mp_listener_address(l), NULL, T_TIMEOUT_MS, &a));
	T_OK(mp_listener_accept(l, T_TIMEOUT_MS, &b));
	cr_assert_gt(mp_connection_peer_address(a, text, sizeof(text)), 0);
	cr_assert_str_eq(text, abstract_name());
	cr_assert_eq(mp_connection_peer_address(b, text, sizeof(text)), 5);
	T_OK(mp_connection_peer_credentials(b, &pid, NULL, NULL));
	cr_assert_eq(pid, getpid());
	mp_connection_close(a);
	mp_connection_close(b);
	mp_listener_close(l);
}

Test(listener, fileno_is_readable_when_somebody_comes)
{
	mp_listener *l = listen_at(0, NULL);
	struct pollfd p = {.fd = mp_listener_fileno(l), .events = POLLIN};
	mp_connection *a, *b;

	cr_assert_eq(poll(&p, 1, 0), 0);
	T_OK(mp_connection_open(mp_listener_address(l), NULL, T_TIMEOUT_MS, &a));
	cr_assert_eq(poll(&p, 1, T_TIMEOUT_MS), 1);
	T_OK(mp_listener_accept(l, MP_NOWAIT, &b));
	cr_assert_eq(poll(&p, 1, 0), 0);
	mp_connection_close(a);
	mp_connection_close(b);
	mp_listener_close(l);
}

/* --- a fork ----------------------------------------------------------------------------------- */

static int accept_one(void *l)
{
	mp_connection *c;

	t_ready();
	T_CHECK(mp_listener_accept(l, T_TIMEOUT_MS, &c) == 0);
	T_CHECK(mp_connection_send(c, mp_i64(getpid()), MP_NOWAIT) == 0);
	mp_connection_close(c);
	mp_listener_close(l); /* the file stays: it is the parent's */
	return 0;
}

Test(listener, forked_children_accept_too)
{
	mp_listener *l = listen_at(1, NULL);
	struct t_child children[3];
	mp_connection *c;
	mp_obj got;

	int silent = bare_connect(l); /* at its handshake in the parent */
	T_RESULT(mp_listener_accept(l, MP_NOWAIT, &c), -EAGAIN);
	for (int i = 0; i < 3; i++)
		children[i] = t_spawn(accept_one, l);
	for (int i = 0; i < 3; i++)
		t_wait_ready(&children[i]);
	for (int i = 0; i < 3; i++) {
		T_OK(mp_connection_open(mp_listener_address(l), NULL, T_TIMEOUT_MS, &c));
		T_OK(mp_connection_recv(c, T_TIMEOUT_MS, &got));
		cr_assert_neq(mp_obj_i64(&got), getpid());
		mp_connection_close(c);
	}
	for (int i = 0; i < 3; i++)
		t_expect_exit(&children[i], 0);
	cr_assert_eq(stats(l).pending, 1);
	expect_works(l);
	close(silent);
	mp_listener_close(l);
	end_family(1);
}
