/* SPDX-License-Identifier: MIT */
/* Guests and servers who behave badly: listeners go on, and who connects is told. */
#include <config.h>

#include "tests/support/listeners.h"

#include "base/fds.h"
#include "conn/auth.h"
#include "conn/connection.h"
#include "conn/message.h"

#include <netinet/in.h>
#include <sys/resource.h>

T_SUITE(listener_guests);

/* Those who connect and say nothing hold up nobody, however many they are. */
Test(listener_guests, a_thousand_silent_guests)
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

Test(listener_guests, silence_has_its_deadline)
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

Test(listener_guests, guests_who_talk_nonsense)
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

Test(listener_guests, a_slow_guest_is_served_beside_others)
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

Test(listener_guests, the_other_side_has_no_address_any_more)
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
/* What a client with a key gets from a server, which is given the socket that it accepts at. */
static void expect_from_server(int (*server)(void *socket), int expected)
{
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t size = sizeof(at);
	char address[64];
	mp_connection *c;

	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	T_OK(bind(fd, (struct sockaddr *)&at, sizeof(at)));
	T_OK(listen(fd, 1));
	T_OK(getsockname(fd, (struct sockaddr *)&at, &size));
	struct t_child child = t_spawn(server, &fd);
	snprintf(address, sizeof(address), "tcp:127.0.0.1:%d", ntohs(at.sin_port));
	T_RESULT(mp_connection_open(address, MP_CONNECTION_OPTIONS(KEY("key")), T_TIMEOUT_MS, &c),
		expected);
	t_expect_exit(&child, 0);
	close(fd);
}

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

Test(listener_guests, a_server_of_another_kind)
{
	expect_from_server(speak_nonsense, -EPROTO);
}

static int hang_up(void *argument)
{
	uint8_t bytes[200];
	int fd = accept(*(int *)argument, NULL, NULL);

	T_CHECK(fd >= 0 && read(fd, bytes, sizeof(bytes)) > 0);
	return 0;
}

Test(listener_guests, a_server_that_hangs_up)
{
	expect_from_server(hang_up, -EPIPE);
}
#endif

Test(listener_guests, no_descriptor_costs_one_guest)
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
