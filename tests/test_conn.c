/* SPDX-License-Identifier: MIT */
/* Connections: what goes in comes out, in both directions, and what is wrong is told apart. */
#include <config.h>

#include "tests/support/conns.h"

#include <fcntl.h>
#include <mp.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/resource.h>

T_SUITE(conn);

static void expect_bytes(mp_connection *c, const void *data, size_t size)
{
	void *got;
	size_t n;

	T_OK(mp_connection_recv_bytes(c, T_TIMEOUT_MS, &got, &n));
	cr_assert_eq(n, size);
	cr_assert(size == 0 || memcmp(got, data, size) == 0);
	free(got);
}

EACH_SOCKET(conn, values_come_as_they_went)
{
	struct conn_pair p = conn_pair(kind, NULL);
	mp_obj got;

	T_OK(mp_connection_send(
		p.a, MP_LIST(mp_str("hits"), mp_i64(-5), MP_DICT(mp_nil(), mp_f64(0.5))), 0));
	T_OK(mp_connection_recv(p.b, T_TIMEOUT_MS, &got));
	cr_assert_eq(mp_obj_len(&got), 3);
	cr_assert_str_eq(mp_obj_str(mp_obj_at(&got, 0)), "hits");
	cr_assert_eq(mp_obj_i64(mp_obj_at(&got, 1)), -5);
	mp_obj_free(&got);
	T_OK(mp_connection_send(p.b, mp_nil(), MP_NOWAIT));
	T_OK(mp_connection_recv(p.a, T_TIMEOUT_MS, &got));
	cr_assert_eq(got.type, MP_TYPE_NIL);
	conn_close(&p);
}

/* Sizes around every border: the packet's, the first room of a stream, and above. */
EACH_SOCKET(conn, sizes)
{
	static const size_t sizes[] = {
		0, 1, 15, 16, 17, 65519, 65520, 65521, 65536, 65537, 131072, 150000};
	struct conn_pair p = conn_pair(kind, NULL);
	unsigned char data[150000];
	mp_obj got;

	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (unsigned char)(i * 7 + i / 251);
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		T_OK(mp_connection_send_bytes(p.a, data, sizes[i], MP_NOWAIT));
		expect_bytes(p.b, data, sizes[i]);
		T_OK(mp_connection_send(p.a, mp_bytes(data, sizes[i]), MP_NOWAIT));
		T_OK(mp_connection_recv(p.b, T_TIMEOUT_MS, &got));
		cr_assert_eq(mp_obj_len(&got), sizes[i]);
		cr_assert(sizes[i] == 0 || memcmp(got.as.bytes, data, sizes[i]) == 0);
		mp_obj_free(&got);
	}
	conn_close(&p);
}

EACH_SOCKET(conn, bytes_are_received_as_a_value_too)
{
	struct conn_pair p = conn_pair(kind, NULL);
	mp_obj got;

	T_OK(mp_connection_send_bytes(p.a, "plain", 5, MP_NOWAIT));
	T_OK(mp_connection_recv(p.b, T_TIMEOUT_MS, &got));
	cr_assert_eq(got.type, MP_TYPE_BYTES);
	cr_assert_eq(mp_obj_len(&got), 5);
	mp_obj_free(&got);
	conn_close(&p);
}

EACH_SOCKET(conn, a_value_is_not_received_as_bytes_and_stays)
{
	struct conn_pair p = conn_pair(kind, NULL);
	mp_obj got;
	void *data;
	size_t size;

	T_OK(mp_connection_send(p.a, mp_i64(7), MP_NOWAIT));
	T_RESULT(mp_connection_recv_bytes(p.b, T_TIMEOUT_MS, &data, &size), -ENOMSG);
	cr_assert_eq(mp_connection_poll(p.b, MP_NOWAIT), 1);
	T_OK(mp_connection_recv(p.b, T_TIMEOUT_MS, &got));
	cr_assert_eq(mp_obj_i64(&got), 7);
	conn_close(&p);
}

/* CPython: test_connection's recv_bytes_into and BufferTooShort. */
EACH_SOCKET(conn, a_message_without_room_stays)
{
	struct conn_pair p = conn_pair(kind, NULL);
	static char big[200000];
	static char room[200000];
	size_t size = 77;

	memset(big, 'x', sizeof(big));
	T_OK(mp_connection_send_bytes(p.a, "0123456789", 10, MP_NOWAIT));
	T_RESULT(mp_connection_recv_bytes_into(p.b, room, 9, T_TIMEOUT_MS, &size), -EMSGSIZE);
	cr_assert_eq(size, 10);
	cr_assert_eq(mp_connection_poll(p.b, MP_NOWAIT), 1);
	T_RESULT(mp_connection_recv_bytes_into(p.b, NULL, 0, T_TIMEOUT_MS, &size), -EMSGSIZE);
	T_OK(mp_connection_recv_bytes_into(p.b, room + 3, 10, T_TIMEOUT_MS, &size));
	cr_assert_eq(size, 10);
	cr_assert_eq(memcmp(room,
			     "\0\0\0"
			     "0123456789",
			     14),
		0);
	T_RESULT(mp_connection_recv_bytes_into(p.b, room, 1, MP_NOWAIT, &size), -EAGAIN);
	T_OK(mp_connection_send_bytes(p.a, "", 0, MP_NOWAIT));
	T_OK(mp_connection_recv_bytes_into(p.b, NULL, 0, T_TIMEOUT_MS, &size));
	cr_assert_eq(size, 0);
	T_OK(mp_connection_send_bytes(p.a, big, 150000, MP_NOWAIT));
	T_RESULT(mp_connection_recv_bytes_into(p.b, room, 149999, T_TIMEOUT_MS, &size), -EMSGSIZE);
	cr_assert_eq(size, 150000);
	T_OK(mp_connection_recv_bytes_into(p.b, room, sizeof(room), T_TIMEOUT_MS, &size));
	cr_assert(size == 150000 && memcmp(room, big, size) == 0);
	T_RESULT(mp_connection_recv_bytes_into(p.b, NULL, 1, MP_NOWAIT, &size), -EINVAL);
	conn_close(&p);
}

EACH_SOCKET(conn, end_of_file_comes_after_all_messages)
{
	struct conn_pair p = conn_pair(kind, NULL);
	mp_obj got;

	T_OK(mp_connection_send_bytes(p.a, "last", 4, MP_NOWAIT));
	/* Something that the other side will never have read must not take the last away. */
	T_OK(mp_connection_send_bytes(p.b, "unread", 6, MP_NOWAIT));
	mp_connection_close(p.a);
	cr_assert_eq(mp_connection_poll(p.b, T_TIMEOUT_MS), 1);
	expect_bytes(p.b, "last", 4);
	cr_assert_eq(mp_connection_poll(p.b, T_TIMEOUT_MS), 1);
	T_RESULT(mp_connection_recv(p.b, T_TIMEOUT_MS, &got), -EPIPE);
	T_RESULT(mp_connection_recv(p.b, MP_NOWAIT, &got), -EPIPE);
	T_RESULT(mp_connection_send(p.b, mp_nil(), MP_NOWAIT), -EPIPE);
	mp_connection_close(p.b);
}

EACH_SOCKET(conn, shutdown_ends_one_direction)
{
	struct conn_pair p = conn_pair(kind, NULL);
	void *data;
	size_t size;

	T_OK(mp_connection_send_bytes(p.a, "1", 1, MP_NOWAIT));
	T_OK(mp_connection_shutdown(p.a));
	T_RESULT(mp_connection_send_bytes(p.a, "2", 1, MP_NOWAIT), -EPIPE);
	expect_bytes(p.b, "1", 1);
	T_RESULT(mp_connection_recv_bytes(p.b, T_TIMEOUT_MS, &data, &size), -EPIPE);
	T_OK(mp_connection_send_bytes(p.b, "3", 1, MP_NOWAIT));
	expect_bytes(p.a, "3", 1);
	conn_close(&p);
}

/* CPython: test_duplex_false. */
EACH_SOCKET(conn, one_way_ends_refuse_the_other_way)
{
	struct conn_pair p =
		conn_pair(kind, MP_CONNECTION_OPTIONS(.direction = MP_CONNECTION_READ));
	mp_obj got;
	void *data;
	size_t size;

	cr_assert_eq(mp_connection_direction(p.a), MP_CONNECTION_READ);
	cr_assert_eq(mp_connection_direction(p.b), MP_CONNECTION_WRITE);
	T_OK(mp_connection_send(p.b, mp_i64(1), MP_NOWAIT));
	T_OK(mp_connection_recv(p.a, T_TIMEOUT_MS, &got));
	T_RESULT(mp_connection_send(p.a, mp_i64(2), MP_NOWAIT), -EBADF);
	T_RESULT(mp_connection_send_bytes(p.a, "", 0, MP_NOWAIT), -EBADF);
	T_RESULT(mp_connection_shutdown(p.a), -EBADF);
	T_RESULT(mp_connection_recv(p.b, MP_NOWAIT, &got), -EBADF);
	T_RESULT(mp_connection_recv_bytes(p.b, MP_NOWAIT, &data, &size), -EBADF);
	T_RESULT(mp_connection_recv_bytes_into(p.b, NULL, 0, MP_NOWAIT, &size), -EBADF);
	T_RESULT(mp_connection_poll(p.b, MP_NOWAIT), -EBADF);
	conn_close(&p);
}

EACH_SOCKET(conn, what_is_too_long_is_the_senders_error)
{
	struct conn_pair p = conn_pair(kind, MP_CONNECTION_OPTIONS(.max_message = 100));
	char data[101] = "";

	T_RESULT(mp_connection_send_bytes(p.a, data, 101, MP_NOWAIT), -EMSGSIZE);
	T_RESULT(mp_connection_send(p.a, mp_bytes(data, 100), MP_NOWAIT), -EMSGSIZE);
	T_OK(mp_connection_send_bytes(p.a, data, 100, MP_NOWAIT));
	expect_bytes(p.b, data, 100);
	conn_close(&p);
}

EACH_SOCKET(conn, deadlines)
{
	struct conn_pair p = conn_pair(kind, NULL);
	static char data[60000];
	mp_obj got;
	int n = 0;
	int r;

	T_RESULT(mp_connection_recv(p.b, MP_NOWAIT, &got), -EAGAIN);
	T_RESULT(mp_connection_recv(p.b, 20, &got), -ETIMEDOUT);
	cr_assert_eq(mp_connection_poll(p.b, MP_NOWAIT), 0);
	cr_assert_eq(mp_connection_poll(p.b, 20), 0);
	while ((r = mp_connection_send_bytes(p.a, data, sizeof(data), MP_NOWAIT)) == 0)
		n++;
	cr_assert(r == -EAGAIN || (kind == SOCK_STREAM && r == -EINPROGRESS));
	n += r == -EINPROGRESS;
	cr_assert(n > 0 && n < 1000);
	T_RESULT(mp_connection_send_bytes(p.a, data, sizeof(data), 20), -ETIMEDOUT);
	for (int i = 0; i < n; i++) {
		size_t size;
		/* What had left in part follows while its sender waits for something else. */
		T_RESULT(mp_connection_recv(p.a, MP_NOWAIT, &got), -EAGAIN);
		T_OK(mp_connection_recv_bytes_into(p.b, data, sizeof(data), T_TIMEOUT_MS, &size));
		cr_assert_eq(size, sizeof(data));
	}
	T_RESULT(mp_connection_recv(p.b, MP_NOWAIT, &got), -EAGAIN);
	T_OK(mp_connection_send_bytes(p.a, "next", 4, MP_NOWAIT));
	expect_bytes(p.b, "next", 4);
	conn_close(&p);
}

EACH_SOCKET(conn, wrong_arguments)
{
	struct conn_pair p = conn_pair(kind, NULL);
	mp_connection *c;
	mp_obj got;
	void *data;
	size_t size;

	T_RESULT(mp_connection_send(NULL, mp_nil(), 0), -EINVAL);
	T_RESULT(mp_connection_send_bytes(NULL, "", 0, 0), -EINVAL);
	T_RESULT(mp_connection_send_bytes(p.a, NULL, 1, 0), -EINVAL);
	T_RESULT(mp_connection_recv(NULL, 0, &got), -EINVAL);
	T_RESULT(mp_connection_recv_bytes(NULL, 0, &data, &size), -EINVAL);
	T_RESULT(mp_connection_recv(p.b, 0, NULL), -EINVAL);
	T_RESULT(mp_connection_recv_bytes(p.b, 0, NULL, &size), -EINVAL);
	T_RESULT(mp_connection_recv_bytes(p.b, 0, &data, NULL), -EINVAL);
	T_RESULT(mp_connection_recv_bytes_into(p.b, &got, sizeof(got), 0, NULL), -EINVAL);
	T_RESULT(mp_connection_poll(NULL, 0), -EINVAL);
	T_RESULT(mp_connection_fileno(NULL), -EINVAL);
	T_RESULT(mp_connection_direction(NULL), -EINVAL);
	T_RESULT(mp_connection_shutdown(NULL), -EINVAL);
	T_RESULT(mp_connection_peer_credentials(NULL, NULL, NULL, NULL), -EINVAL);
	cr_assert_null(mp_connection_ref(NULL));
	T_OK(mp_connection_close(NULL));
	T_RESULT(mp_connection_send(p.a, (mp_obj){.type = 99}, 0), -EINVAL);
	T_RESULT(mp_connection_send(p.a, mp_str("\xff"), 0), -EILSEQ);
	T_RESULT(mp_connection_pair(NULL, NULL, &c), -EINVAL);
	T_RESULT(mp_connection_pair(NULL, &c, NULL), -EINVAL);
	T_RESULT(mp_pipe(NULL, NULL, &c), -EINVAL);
	T_RESULT(mp_pipe(NULL, &c, NULL), -EINVAL);
	T_RESULT(mp_connection_from_fd(0, NULL, NULL), -EINVAL);
	T_RESULT(mp_connection_pair(MP_CONNECTION_OPTIONS(.direction = 3), &c, &c), -EINVAL);
	T_RESULT(mp_connection_pair(MP_CONNECTION_OPTIONS(.flags = 1), &c, &c), -EINVAL);
	T_RESULT(mp_connection_pair(MP_CONNECTION_OPTIONS(.authkey = ""), &c, &c), -EINVAL);
	T_RESULT(mp_connection_pair(MP_CONNECTION_OPTIONS(.max_message = (size_t)-1), &c, &c),
		-EINVAL);
	struct {
		mp_connection_options known;
		int more;
	} newer = {.known = {.size = sizeof(newer)}, .more = 1};
	T_RESULT(mp_connection_pair(&newer.known, &c, &c), -E2BIG);
	conn_close(&p);
}

Test(conn, from_fd_takes_connected_sockets_only)
{
	mp_connection *c;
	int ends[2];

	T_RESULT(mp_connection_from_fd(-1, NULL, &c), -EBADF);
	int fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	T_RESULT(mp_connection_from_fd(fd, NULL, &c), -ENOTSOCK);
	close(fd);
	fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	T_RESULT(mp_connection_from_fd(fd, NULL, &c), -ENOTCONN);
	close(fd);
	T_OK(mp__socket_pair(SOCK_DGRAM, ends));
	T_RESULT(mp_connection_from_fd(ends[0], NULL, &c), -EPROTOTYPE);
	mp__fds_close(ends, 2);
}

Test(conn, no_descriptor_for_a_pair)
{
	struct rlimit old, none;
	mp_connection *a, *b;

	getrlimit(RLIMIT_NOFILE, &old);
	none = old;
	int free_number = dup(0);
	none.rlim_cur = (rlim_t)free_number;
	close(free_number);
	setrlimit(RLIMIT_NOFILE, &none);
	int r = mp_connection_pair(NULL, &a, &b);
	setrlimit(RLIMIT_NOFILE, &old);
	T_RESULT(r, -EMFILE);
}

Test(conn, credentials_are_those_of_the_maker)
{
	struct conn_pair p = conn_pair(SOCK_SEQPACKET, NULL);
	pid_t pid;
	uid_t uid;
	gid_t gid;

	T_OK(mp_connection_peer_credentials(p.a, &pid, &uid, &gid));
	cr_assert(pid == getpid() && uid == geteuid() && gid == getegid());
	T_OK(mp_connection_peer_credentials(p.a, NULL, NULL, NULL));
	conn_close(&p);
}

EACH_SOCKET(conn, close_leaves_references_alone)
{
	struct conn_pair p = conn_pair(kind, NULL);
	mp_obj copy;

	T_OK(mp_obj_copy(mp_handle(p.a), &copy));
	cr_assert_eq(mp_connection_ref(p.b), p.b);
	mp_connection_close(p.a);
	mp_connection_close(p.b);
	T_OK(mp_connection_send_bytes(mp_obj_connection(&copy), "still", 5, MP_NOWAIT));
	expect_bytes(p.b, "still", 5);
	mp_obj_free(&copy);
	cr_assert_null(mp_obj_connection(&copy));
	cr_assert_eq(mp_handle((mp_connection *)NULL).type, MP_TYPE_NIL);
	T_RESULT(mp_connection_send_bytes(p.b, "x", 1, MP_NOWAIT), -EPIPE);
	mp_connection_close(p.b);
}

Test(conn, fileno_polls_readable_with_a_message)
{
	struct conn_pair p = conn_pair(SOCK_SEQPACKET, NULL);
	struct pollfd poll_b = {.fd = mp_connection_fileno(p.b), .events = POLLIN};

	cr_assert_eq(poll(&poll_b, 1, 0), 0);
	T_OK(mp_connection_send_bytes(p.a, "", 0, MP_NOWAIT));
	cr_assert_eq(poll(&poll_b, 1, 0), 1);
	cr_assert(fcntl(poll_b.fd, F_GETFD) & FD_CLOEXEC);
	conn_close(&p);
}
