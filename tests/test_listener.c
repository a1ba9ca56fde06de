/* SPDX-License-Identifier: MIT */
/* Listeners: addresses, keys, and guests who behave badly. */
#include <config.h>

#include "tests/support/place.h"
#include "tests/support/support.h"

#include "base/fds.h"
#include "conn/address.h"
#include "conn/auth.h"
#include "conn/connection.h"
#include "conn/hmac.h"
#include "conn/message.h"

#include <fcntl.h>
#include <mp.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <sys/resource.h>
#include <sys/stat.h>

T_SUITE(listener);

#define KEY(text) .authkey = (text), .authkey_size = strlen(text)

static char directory[T_PLACE_SIZE];

/* A path of this test. */
static const char *unix_path(void)
{
	static char address[96];

	t_place_make(directory);
	snprintf(address, sizeof(address), "unix:%s/s", directory);
	return address;
}

static const char *abstract_name(void)
{
	static char address[64];

	snprintf(address, sizeof(address), "unix:@libmp-test-%d", (int)getpid());
	return address;
}

/* Each family: private directory, path, abstract, TCP of both versions. */
#define FAMILIES 5
static const char *family(int i)
{
	switch (i) {
	case 1:
		return unix_path();
	case 2:
		return abstract_name();
	case 3:
		return "tcp:127.0.0.1:0";
	case 4:
		return "tcp:[::1]:0";
	default:
		return NULL;
	}
}

static void end_family(int i)
{
	if (i == 1)
		cr_assert_eq(rmdir(directory), 0, "%s is not empty", directory);
}

/* Not every machine has IPv6. */
static mp_listener *listen_at(int i, const mp_listener_options *options)
{
	mp_listener *l = NULL;

	int r = mp_listener_new(family(i), options, &l);
	if (i == 4 && (r == -EADDRNOTAVAIL || r == -EAFNOSUPPORT))
		return NULL;
	T_OK(r);
	return l;
}

static mp_listener_stats stats(mp_listener *l)
{
	mp_listener_stats s = {.size = sizeof(s)};

	T_OK(mp_listener_get_stats(l, &s));
	return s;
}

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
	T_RESULT(mp_listener_accept(NULL, 0, &c), -EINVAL);
	T_RESULT(mp_listener_fileno(NULL), -EINVAL);
	T_RESULT(mp_listener_get_stats(NULL, &(mp_listener_stats){.size = sizeof(s)}), -EINVAL);
	T_RESULT(mp_connection_peer_address(NULL, NULL, 0), -EINVAL);
	cr_assert_null(mp_listener_address(NULL));
	T_OK(mp_listener_close(NULL));
	l = listen_at(0, NULL);
	T_RESULT(mp_listener_get_stats(l, &s), -EINVAL);
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

/* --- guests who behave badly ------------------------------------------------------------------ */

static int bare_connect(mp_listener *l)
{
	struct mp__endpoint ends[MP__ENDPOINTS_MAX];

	cr_assert_geq(mp__endpoint_parse(mp_listener_address(l), false, ends), 1);
	int fd = socket(ends[0].at.any.sa_family, ends[0].type | SOCK_CLOEXEC, 0);
	cr_assert_geq(fd, 0);
	T_OK(connect(fd, &ends[0].at.any, ends[0].size));
	return fd;
}

static void expect_works(mp_listener *l)
{
	mp_connection *a, *b;

	T_OK(mp_connection_open(mp_listener_address(l), NULL, T_TIMEOUT_MS, &a));
	T_OK(mp_listener_accept(l, T_TIMEOUT_MS, &b));
	mp_connection_close(a);
	mp_connection_close(b);
}

/* Those who connect and say nothing hold up nobody, however many they are. */
Test(listener, a_thousand_silent_guests)
{
	enum { N = 300, ROUNDS = 4 };
	const int families[] = {0, 3};

	for (size_t f = 0; f < 2; f++) {
		mp_listener *l = listen_at(families[f], MP_LISTENER_OPTIONS(.max_handshakes = 20));
		mp_connection *c;
		int fds[N];
		for (int round = 0; round < ROUNDS; round++) {
			for (int i = 0; i < N; i++) {
				fds[i] = bare_connect(l);
				if (i % 50 == 49)
					T_RESULT(mp_listener_accept(l, MP_NOWAIT, &c), -EAGAIN);
			}
			expect_works(l);
			cr_assert_leq(stats(l).pending, 20);
			mp__fds_close(fds, N);
		}
		while (stats(l).late + stats(l).broken < N * ROUNDS)
			cr_assert_lt(mp_listener_accept(l, 20, &c), 0);
		cr_assert_eq(stats(l).accepted, ROUNDS);
		cr_assert_eq(stats(l).late + stats(l).broken, N * ROUNDS);
		mp_listener_close(l);
	}
}

Test(listener, silence_has_its_deadline)
{
	mp_listener *l = listen_at(0, MP_LISTENER_OPTIONS(.handshake_ms = 10));
	mp_connection *c;
	char byte;

	/* The second one finds it as the first did. An honest one might need longer than that. */
	for (int i = 0; i < 2; i++) {
		int fd = bare_connect(l);
		while (stats(l).late == (uint64_t)i)
			cr_assert_lt(mp_listener_accept(l, 20, &c), 0);
		cr_assert_eq(read(fd, &byte, 1), 0);
		close(fd);
	}
	mp_listener_close(l);
}

Test(listener, guests_who_talk_nonsense)
{
	const int families[] = {0, 3};

	for (size_t f = 0; f < 2; f++) {
		mp_listener *l = listen_at(families[f], NULL);
		uint8_t hello[MP__HEAD_SIZE + MP__AUTH_SIZE];
		const struct mp__head head = {MP__AUTH_SIZE, MP__MESSAGE_HANDSHAKE, 0, 0};
		struct mp__auth auth;
		mp_connection *c;
		mp__head_write(hello, &head);
		T_RESULT(mp__auth_start(&auth, MP__AUTH_CLIENT, NULL, 0, hello + MP__HEAD_SIZE), 1);
		/* Each byte but those of the random number and the reason must be right. */
		for (size_t i = 0; i < MP__HEAD_SIZE + 6; i++) {
			uint8_t bad[sizeof(hello)];
			memcpy(bad, hello, sizeof(hello));
			bad[i] ^= 0x40;
			int fd = bare_connect(l);
			T_OK(mp__socket_send(fd, bad, sizeof(bad), NULL, 0));
			/* TCP takes its time even here. */
			while (stats(l).broken <= i)
				cr_assert_lt(mp_listener_accept(l, 20, &c), 0, "byte %zu", i);
			close(fd);
			cr_assert_eq(stats(l).broken, i + 1, "byte %zu", i);
		}
		/* Half a hello and the end; and one byte at a time, which is fine over TCP. */
		int fd = bare_connect(l);
		T_OK(mp__socket_send(fd, hello, 30, NULL, 0));
		close(fd);
		while (stats(l).broken < MP__HEAD_SIZE + 7)
			cr_assert_lt(mp_listener_accept(l, 20, &c), 0);
		expect_works(l);
		mp_listener_close(l);
	}
}

Test(listener, a_slow_guest_is_served_beside_others)
{
	mp_listener *l = listen_at(3, NULL);
	uint8_t hello[MP__HEAD_SIZE + MP__AUTH_SIZE];
	const struct mp__head head = {MP__AUTH_SIZE, MP__MESSAGE_HANDSHAKE, 0, 0};
	struct mp__auth auth;
	mp_connection *c;

	mp__head_write(hello, &head);
	T_RESULT(mp__auth_start(&auth, MP__AUTH_CLIENT, NULL, 0, hello + MP__HEAD_SIZE), 1);
	int fd = bare_connect(l);
	for (size_t i = 0; i < sizeof(hello) - 1; i++) {
		T_OK(mp__socket_send(fd, hello + i, 1, NULL, 0));
		T_RESULT(mp_listener_accept(l, MP_NOWAIT, &c), -EAGAIN);
		if (i % 10 == 0)
			expect_works(l);
	}
	T_OK(mp__socket_send(fd, hello + sizeof(hello) - 1, 1, NULL, 0));
	T_OK(mp_listener_accept(l, T_TIMEOUT_MS, &c));
	mp_connection_close(c);
	close(fd);
	mp_listener_close(l);
}

Test(listener, the_other_side_has_no_address_any_more)
{
	const struct linger at_once = {1, 0};
	mp_listener *l = listen_at(3, NULL);
	mp_connection *a, *b;
	char text[64];
	mp_obj got;

	T_OK(mp_connection_open(mp_listener_address(l), NULL, T_TIMEOUT_MS, &a));
	T_OK(mp_listener_accept(l, T_TIMEOUT_MS, &b));
	setsockopt(mp_connection_fileno(a), SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
	mp_connection_close(a); /* a reset */
	T_RESULT(mp_connection_recv(b, T_TIMEOUT_MS, &got), -EPIPE);
	T_RESULT(mp_connection_peer_address(b, text, sizeof(text)), -ENOTCONN);
	mp_connection_close(b);
	mp_listener_close(l);
}

#ifdef HAVE_NETTLE
static int speak_nonsense(void *argument)
{
	int fd = accept(*(int *)argument, NULL, NULL);
	uint8_t bytes[200];

	T_CHECK(fd >= 0 && read(fd, bytes, sizeof(bytes)) > 0);
	T_CHECK(write(fd, "220 mail.example ESMTP is no answer to what you have just said", 62) ==
		62);
	T_CHECK(read(fd, bytes, sizeof(bytes)) <= 0);
	return 0;
}

Test(listener, a_server_of_another_kind)
{
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t size = sizeof(at);
	char address[64];
	mp_connection *c;

	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	T_OK(bind(fd, (struct sockaddr *)&at, sizeof(at)));
	T_OK(listen(fd, 1));
	T_OK(getsockname(fd, (struct sockaddr *)&at, &size));
	struct t_child child = t_spawn(speak_nonsense, &fd);
	snprintf(address, sizeof(address), "tcp:127.0.0.1:%d", ntohs(at.sin_port));
	T_RESULT(mp_connection_open(address, MP_CONNECTION_OPTIONS(KEY("key")), T_TIMEOUT_MS, &c),
		-EPROTO);
	t_expect_exit(&child, 0);
	close(fd);
}

static int hang_up(void *argument)
{
	uint8_t bytes[200];
	int fd = accept(*(int *)argument, NULL, NULL);

	T_CHECK(fd >= 0 && read(fd, bytes, sizeof(bytes)) > 0);
	return 0;
}

Test(listener, a_server_that_hangs_up)
{
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t size = sizeof(at);
	char address[64];
	mp_connection *c;

	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	T_OK(bind(fd, (struct sockaddr *)&at, sizeof(at)));
	T_OK(listen(fd, 1));
	T_OK(getsockname(fd, (struct sockaddr *)&at, &size));
	struct t_child child = t_spawn(hang_up, &fd);
	snprintf(address, sizeof(address), "tcp:127.0.0.1:%d", ntohs(at.sin_port));
	T_RESULT(mp_connection_open(address, MP_CONNECTION_OPTIONS(KEY("key")), T_TIMEOUT_MS, &c),
		-EPIPE);
	t_expect_exit(&child, 0);
	close(fd);
}
#endif

Test(listener, no_descriptor_costs_one_guest)
{
	mp_listener *l = listen_at(0, NULL);
	struct rlimit old, none;
	mp_connection *a, *b;

	T_OK(mp_connection_open(mp_listener_address(l), NULL, T_TIMEOUT_MS, &a));
	getrlimit(RLIMIT_NOFILE, &old);
	none = old;
	int next = dup(0);
	none.rlim_cur = (rlim_t)next;
	close(next);
	setrlimit(RLIMIT_NOFILE, &none);
	int r = mp_listener_accept(l, MP_NOWAIT, &b);
	int opened = mp_connection_open(mp_listener_address(l), NULL, MP_NOWAIT, &b);
	mp_listener *second;
	int listened = mp_listener_new(NULL, NULL, &second);
	setrlimit(RLIMIT_NOFILE, &old);
	T_RESULT(r, -EAGAIN);
	T_RESULT(opened, -EMFILE);
	T_RESULT(listened, -EMFILE);
	cr_assert_eq(stats(l).dropped, 1);
	mp_connection_close(a);
	expect_works(l);
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
