/* SPDX-License-Identifier: MIT */
/*
 * Connections between processes and threads, under every start method: echoes, descriptors and
 * connections on the way, ends that many share, peers that die.
 */
#include <config.h>

#include "tests/support/conns.h"
#include "tests/support/starts.h"

#include <fcntl.h>
#include <mp.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/time.h>

T_SUITE(conn_process);

#define DIRECTION(d) MP_CONNECTION_OPTIONS(.direction = (d))

/* --- CPython: test_connection ----------------------------------------------------------------- */

/* Send everything back, until an empty message; bytes as bytes. */
static int echo(int argc, const mp_obj *argv)
{
	mp_connection *c = mp_obj_connection(&argv[0]);
	mp_obj got;
	int r;

	T_CHECK(argc == 1 && c);
	while ((r = mp_connection_recv(c, MP_FOREVER, &got)) == 0) {
		bool end = got.type == MP_TYPE_BYTES && got.count == 0;
		r = got.type == MP_TYPE_BYTES
			    ? mp_connection_send_bytes(c, got.as.bytes, got.count, MP_FOREVER)
			    : mp_connection_send(c, got, MP_FOREVER);
		mp_obj_free(&got);
		T_CHECK(r == 0);
		if (end)
			return 0;
	}
	return 1;
}

static void echo_over(int method, int kind)
{
	struct conn_pair p = conn_pair(kind, NULL);
	mp_process *child = start(echo, MP_ARGS(mp_handle(p.b)), BY(method));
	const size_t size = (size_t)16 << 20;
	char *big = malloc(size);
	void *data;
	size_t n;
	mp_obj got;

	mp_connection_close(p.b);
	cr_assert_eq(mp_connection_poll(p.a, 10), 0);
	T_OK(mp_connection_send(p.a, MP_LIST(mp_i64(1), mp_str("two"), mp_f64(3.0)), T_TIMEOUT_MS));
	cr_assert_eq(mp_connection_poll(p.a, T_TIMEOUT_MS), 1);
	T_OK(mp_connection_recv(p.a, T_TIMEOUT_MS, &got));
	cr_assert_eq(mp_obj_len(&got), 3);
	mp_obj_free(&got);
	memset(big, 'z', size);
	T_OK(mp_connection_send_bytes(p.a, big, size, T_TIMEOUT_MS));
	T_OK(mp_connection_recv_bytes(p.a, T_TIMEOUT_MS, &data, &n));
	cr_assert(n == size && memcmp(data, big, size) == 0);
	free(data);
	free(big);
	T_OK(mp_connection_send_bytes(p.a, NULL, 0, T_TIMEOUT_MS));
	T_OK(mp_connection_recv_bytes(p.a, T_TIMEOUT_MS, &data, &n));
	cr_assert_eq(n, 0);
	free(data);
	finish(child, 0);
	if (method != MP_START_THREAD)
		T_RESULT(mp_connection_recv(p.a, T_TIMEOUT_MS, &got), -EPIPE);
	mp_connection_close(p.a);
}

EACH_METHOD_AND_THREAD(conn_process, connection)
{
	echo_over(method, SOCK_SEQPACKET);
}

EACH_METHOD_AND_THREAD(conn_process, connection_over_a_pipe)
{
	echo_over(method, CONN_PIPE);
}

EACH_METHOD_AND_THREAD(conn_process, connection_over_a_stream)
{
	echo_over(method, SOCK_STREAM);
}

/* CPython: test_spawn_close. */
EACH_METHOD(conn_process, spawn_close)
{
	struct conn_pair p = conn_pair(SOCK_SEQPACKET, NULL);
	mp_process *child = start(echo, MP_ARGS(mp_handle(p.b)), BY(method));
	mp_obj got;

	mp_connection_close(p.b);
	T_OK(mp_connection_send_bytes(p.a, "", 0, T_TIMEOUT_MS));
	T_OK(mp_connection_recv(p.a, T_TIMEOUT_MS, &got));
	mp_obj_free(&got);
	finish(child, 0);
	mp_connection_close(p.a);
}

/* --- CPython: test_fd_transfer, test_large_fd_transfer ---------------------------------------- */

static int write_there(int argc, const mp_obj *argv)
{
	mp_connection *c = mp_obj_connection(&argv[0]);
	mp_obj got;

	T_CHECK(argc == 1);
	T_CHECK(mp_connection_recv(c, T_TIMEOUT_MS, &got) == 0);
	int fd = mp_obj_fd(mp_obj_at(&got, 1));
	T_CHECK(fd >= 0 && fcntl(fd, F_GETFD) & FD_CLOEXEC);
	T_CHECK(write(fd, "foo", 3) == 3);
	mp_obj_free(&got);
	return 0;
}

static void transfer(int method, int fd)
{
	struct conn_pair p = conn_pair(SOCK_SEQPACKET, NULL);
	mp_process *child = start(write_there, MP_ARGS(mp_handle(p.b)), BY(method));
	char text[4] = "";

	T_OK(mp_connection_send(p.a, MP_LIST(mp_nil(), mp_fd(fd)), T_TIMEOUT_MS));
	finish(child, 0);
	cr_assert_eq(pread(fd, text, 4, 0), 3);
	cr_assert_str_eq(text, "foo");
	conn_close(&p);
}

EACH_METHOD_AND_THREAD(conn_process, fd_transfer)
{
	int fd = memfd_create("file", MFD_CLOEXEC);

	transfer(method, fd);
	close(fd);
}

EACH_METHOD_AND_THREAD(conn_process, large_fd_transfer)
{
	int low = memfd_create("file", MFD_CLOEXEC);
	int fd = fcntl(low, F_DUPFD_CLOEXEC, 300);

	transfer(method, fd);
	close(low);
	close(fd);
}

Test(conn_process, descriptors_do_not_go_over_streams)
{
	struct conn_pair p = conn_pair(SOCK_STREAM, NULL);

	T_RESULT(mp_connection_send(p.a, mp_fd(0), MP_NOWAIT), -ENOTSUP);
	T_RESULT(mp_connection_send(p.a, mp_handle(p.b), MP_NOWAIT), -ENOTSUP);
	T_OK(mp_connection_send(p.a, mp_i64(1), MP_NOWAIT));
	conn_close(&p);
}

/* Around the 253 that one packet carries, alone and beside a long message. */
Test(conn_process, any_number_of_descriptors)
{
	static const size_t counts[] = {1, 2, 252, 253, 254, 506, 507, 900};
	struct conn_pair p = conn_pair(SOCK_SEQPACKET, NULL);
	static char text[100000];
	struct rlimit limit;
	mp_obj items[902];
	mp_obj got;

	getrlimit(RLIMIT_NOFILE, &limit);
	limit.rlim_cur = limit.rlim_max < 4096 ? limit.rlim_max : 4096;
	setrlimit(RLIMIT_NOFILE, &limit);
	int fd = memfd_create("file", MFD_CLOEXEC);
	for (size_t i = 0; i < 900; i++)
		items[i] = mp_fd(fd);
	for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
		size_t n = counts[i];
		for (int with_text = 0; with_text < 2; with_text++) {
			if (with_text)
				items[n] = mp_bytes(text, sizeof(text));
			T_OK(mp_connection_send(
				p.a, mp_list_of(items, n + (size_t)with_text), MP_NOWAIT));
			items[n] = mp_fd(fd);
			T_OK(mp_connection_recv(p.b, T_TIMEOUT_MS, &got));
			cr_assert_eq(mp_obj_len(&got), n + (size_t)with_text);
			for (size_t k = 0; k < n; k++)
				cr_assert_geq(mp_obj_fd(mp_obj_at(&got, k)), 3);
			mp_obj_free(&got);
		}
	}
	T_RESULT(mp_connection_send(p.a, mp_fd(2000), MP_NOWAIT), -EBADF);
	close(fd);
	conn_close(&p);
}

/* More under way than a user without privileges may have. */
static int too_many(void *unused)
{
	const struct rlimit limit = {20, 20};
	mp_connection *a, *b;
	int r = 0;

	(void)unused;
	T_CHECK(geteuid() != 0 || setresuid(65534, 65534, 65534) == 0);
	T_CHECK(mp_connection_pair(NULL, &a, &b) == 0);
	T_CHECK(setrlimit(RLIMIT_NOFILE, &limit) == 0);
	for (int i = 0; i < 100 && r == 0; i++)
		r = mp_connection_send(a, mp_fd(0), MP_NOWAIT);
	T_CHECK(r == -ETOOMANYREFS);
	T_CHECK(mp_connection_send(a, mp_i64(1), MP_NOWAIT) == 0);
	mp_connection_close(a);
	mp_connection_close(b);
	return 0;
}

Test(conn_process, too_many_descriptors_under_way)
{
	struct t_child child = t_spawn(too_many, NULL);

	t_expect_exit(&child, 0);
}

/* --- CPython: _TestPicklingConnections -------------------------------------------------------- */

/* Gets a connection over a connection and says so over that. */
static int answer_there(int argc, const mp_obj *argv)
{
	mp_connection *c = mp_obj_connection(&argv[0]);
	mp_obj got;

	T_CHECK(argc == 1);
	T_CHECK(mp_connection_recv(c, T_TIMEOUT_MS, &got) == 0);
	mp_connection *there = mp_connection_ref(mp_obj_connection(&got));
	mp_obj_free(&got);
	T_CHECK(there && mp_connection_send(there, mp_str("there"), MP_NOWAIT) == 0);
	mp_connection_close(there);
	return 0;
}

EACH_METHOD_AND_THREAD(conn_process, pickling)
{
	struct conn_pair way = conn_pair(SOCK_SEQPACKET, NULL);
	mp_obj got;

	for (int kind = SOCK_STREAM; kind <= SOCK_SEQPACKET; kind += SOCK_SEQPACKET - SOCK_STREAM) {
		struct conn_pair p = conn_pair(kind, NULL);
		mp_process *child = start(answer_there, MP_ARGS(mp_handle(way.b)), BY(method));
		T_OK(mp_connection_send(way.a, mp_handle(p.b), T_TIMEOUT_MS));
		mp_connection_close(p.b);
		T_OK(mp_connection_recv(p.a, T_TIMEOUT_MS, &got));
		cr_assert_str_eq(mp_obj_str(&got), "there");
		mp_obj_free(&got);
		finish(child, 0);
		T_RESULT(mp_connection_recv(p.a, T_TIMEOUT_MS, &got), -EPIPE);
		mp_connection_close(p.a);
	}
	conn_close(&way);
}

static int access_child(int argc, const mp_obj *argv)
{
	mp_connection *in = mp_obj_connection(&argv[0]);
	mp_connection *out = mp_obj_connection(&argv[1]);
	mp_obj got;

	T_CHECK(argc == 2);
	T_CHECK(mp_connection_direction(in) == MP_CONNECTION_READ);
	T_CHECK(mp_connection_direction(out) == MP_CONNECTION_WRITE);
	T_CHECK(mp_connection_send(in, mp_nil(), MP_NOWAIT) == -EBADF);
	T_CHECK(mp_connection_recv(out, MP_NOWAIT, &got) == -EBADF);
	T_CHECK(mp_connection_recv(in, T_TIMEOUT_MS, &got) == 0);
	return mp_connection_send(out, mp_i64(mp_obj_i64(&got) * 2), MP_NOWAIT) == 0 ? 0 : 1;
}

EACH_METHOD(conn_process, access)
{
	struct conn_pair in = conn_pair(SOCK_SEQPACKET, DIRECTION(MP_CONNECTION_READ));
	struct conn_pair out = conn_pair(SOCK_SEQPACKET, DIRECTION(MP_CONNECTION_READ));
	mp_process *child =
		start(access_child, MP_ARGS(mp_handle(in.a), mp_handle(out.b)), BY(method));
	mp_obj got;

	T_OK(mp_connection_send(in.b, mp_i64(21), MP_NOWAIT));
	T_OK(mp_connection_recv(out.a, T_TIMEOUT_MS, &got));
	cr_assert_eq(mp_obj_i64(&got), 42);
	finish(child, 0);
	conn_close(&in);
	conn_close(&out);
}

Test(conn_process, an_end_with_a_message_in_hand_does_not_travel)
{
	struct conn_pair p = conn_pair(SOCK_SEQPACKET, NULL);
	struct conn_pair way = conn_pair(SOCK_SEQPACKET, NULL);
	size_t size;

	T_OK(mp_connection_send_bytes(p.a, "12", 2, MP_NOWAIT));
	T_RESULT(mp_connection_recv_bytes_into(p.b, NULL, 0, T_TIMEOUT_MS, &size), -EMSGSIZE);
	T_RESULT(mp_connection_send(way.a, mp_handle(p.b), MP_NOWAIT), -EBUSY);
	conn_close(&way);
	conn_close(&p);
}

/* --- CPython: _TestPoll ----------------------------------------------------------------------- */

EACH_SOCKET(conn_process, empty_string)
{
	struct conn_pair p = conn_pair(kind, NULL);
	void *data;
	size_t size;

	cr_assert_eq(mp_connection_poll(p.b, MP_NOWAIT), 0);
	T_OK(mp_connection_send_bytes(p.a, "", 0, MP_NOWAIT));
	cr_assert_eq(mp_connection_poll(p.b, T_TIMEOUT_MS), 1);
	cr_assert_eq(mp_connection_poll(p.b, T_TIMEOUT_MS), 1);
	T_OK(mp_connection_recv_bytes(p.b, T_TIMEOUT_MS, &data, &size));
	cr_assert_eq(size, 0);
	free(data);
	conn_close(&p);
}

static int say_strings(void *c)
{
	static const char *const strings[] = {"hello", "", "a", "b", "", "bye", "", "lop"};

	for (size_t i = 0; i < 8; i++)
		T_CHECK(mp_connection_send_bytes(c, strings[i], strlen(strings[i]), T_TIMEOUT_MS) ==
			0);
	return 0;
}

/* CPython: test_strings, test_dont_merge. */
EACH_SOCKET(conn_process, strings)
{
	static const char *const strings[] = {"hello", "", "a", "b", "", "bye", "", "lop"};
	struct conn_pair p = conn_pair(kind, NULL);
	struct t_child child = t_spawn(say_strings, p.a);
	char text[8];
	size_t size;

	for (size_t i = 0; i < 8; i++) {
		cr_assert_eq(mp_connection_poll(p.b, T_TIMEOUT_MS), 1);
		T_OK(mp_connection_recv_bytes_into(p.b, text, sizeof(text), T_TIMEOUT_MS, &size));
		cr_assert(size == strlen(strings[i]) && memcmp(text, strings[i], size) == 0);
	}
	cr_assert_eq(mp_connection_poll(p.b, MP_NOWAIT), 0);
	t_expect_exit(&child, 0);
	conn_close(&p);
}

static int only_poll(void *c)
{
	T_CHECK(mp_connection_poll(c, T_TIMEOUT_MS) == 1);
	return 0;
}

/* CPython: test_boundaries. */
EACH_SOCKET(conn_process, boundaries)
{
	struct conn_pair p = conn_pair(kind, NULL);
	struct t_child child = t_spawn(only_poll, p.b);
	char text[8];
	size_t size;

	T_OK(mp_connection_send_bytes(p.a, "first", 5, MP_NOWAIT));
	t_expect_exit(&child, 0);
	T_OK(mp_connection_send_bytes(p.a, "second", 6, MP_NOWAIT));
	T_OK(mp_connection_recv_bytes_into(p.b, text, sizeof(text), T_TIMEOUT_MS, &size));
	cr_assert_eq(size, 5);
	T_OK(mp_connection_recv_bytes_into(p.b, text, sizeof(text), T_TIMEOUT_MS, &size));
	cr_assert_eq(size, 6);
	conn_close(&p);
}

/* --- ends that several processes share -------------------------------------------------------- */

#define SHARERS 4
#define EACH_SENDS 500
#define LENGTHS 5

static const size_t lengths[LENGTHS] = {1, 100, 9000, 65520, 70000};

/* Messages of all lengths, each full of its own byte. */
static int send_many(void *c)
{
	static char data[70000];

	for (int i = 0; i < EACH_SENDS; i++) {
		memset(data, i, sizeof(data));
		T_CHECK(mp_connection_send_bytes(c, data, lengths[i % LENGTHS], T_TIMEOUT_MS) == 0);
	}
	return 0;
}

/* Receive until the end; how many of each byte goes to the memory shared by all. */
static int receive_many(void *argument)
{
	void **arguments = argument;
	_Atomic unsigned int *counts = arguments[1];
	void *data;
	size_t size;
	int r;

	mp_connection_close(arguments[2]);
	while ((r = mp_connection_recv_bytes(arguments[0], T_TIMEOUT_MS, &data, &size)) == 0) {
		const unsigned char *bytes = data;
		for (size_t i = 1; i < size; i++)
			T_CHECK(bytes[i] == bytes[0]);
		atomic_fetch_add(&counts[bytes[0]], 1);
		free(data);
	}
	T_CHECK(r == -EPIPE);
	return 0;
}

Test(conn_process, processes_that_share_an_end_get_whole_messages)
{
	struct conn_pair p = conn_pair(SOCK_SEQPACKET, NULL);
	_Atomic unsigned int *counts = mmap(NULL, 256 * sizeof(*counts), PROT_READ | PROT_WRITE,
		MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	void *arguments[3] = {p.b, counts, p.a};
	struct t_child senders[SHARERS], receivers[SHARERS];
	unsigned int total = 0;

	for (int i = 0; i < SHARERS; i++)
		receivers[i] = t_spawn(receive_many, arguments);
	mp_connection_close(p.b);
	for (int i = 0; i < SHARERS; i++)
		senders[i] = t_spawn(send_many, p.a);
	mp_connection_close(p.a);
	for (int i = 0; i < SHARERS; i++)
		t_expect_exit(&senders[i], 0);
	for (int i = 0; i < SHARERS; i++)
		t_expect_exit(&receivers[i], 0);
	for (int i = 0; i < 256; i++)
		total += counts[i];
	cr_assert_eq(total, SHARERS * EACH_SENDS);
	munmap((void *)counts, 256 * sizeof(*counts));
}

/* What the parent has in hand, a child does not see. */
static int has_nothing(void *c)
{
	char text[8];
	size_t size;

	T_CHECK(mp_connection_poll(c, MP_NOWAIT) == 0);
	T_CHECK(mp_connection_recv_bytes_into(c, text, 8, MP_NOWAIT, &size) == -EAGAIN);
	return 0;
}

/* In a pipe it stays where both see it. */
EACH_SOCKET(conn_process, a_message_in_hand_is_not_the_childs)
{
	struct conn_pair p = conn_pair(kind == CONN_PIPE ? SOCK_STREAM : kind, NULL);
	char text[8];
	size_t size;

	T_OK(mp_connection_send_bytes(p.a, "12", 2, MP_NOWAIT));
	T_RESULT(mp_connection_recv_bytes_into(p.b, text, 1, T_TIMEOUT_MS, &size), -EMSGSIZE);
	struct t_child child = t_spawn(has_nothing, p.b);
	t_expect_exit(&child, 0);
	T_OK(mp_connection_recv_bytes_into(p.b, text, 8, MP_NOWAIT, &size));
	conn_close(&p);
}

/* Half of a message in the parent is in the way of everybody else. */
static int is_busy(void *argument)
{
	mp_connection **both = argument;
	mp_obj got;

	T_CHECK(mp_connection_send_bytes(both[0], "x", 1, MP_NOWAIT) == -EBUSY);
	T_CHECK(mp_connection_recv(both[1], MP_NOWAIT, &got) == -EBUSY);
	return 0;
}

Test(conn_process, half_a_message_of_the_parents)
{
	struct conn_pair p = conn_pair(SOCK_STREAM, NULL);
	const size_t size = (size_t)8 << 20;
	char *data = calloc(1, size);
	mp_obj got;

	T_RESULT(mp_connection_send_bytes(p.a, data, size, 1), -EINPROGRESS);
	T_RESULT(mp_connection_recv(p.b, 1, &got), -ETIMEDOUT);
	T_RESULT(mp_connection_shutdown(p.a), -EBUSY);
	mp_connection *both[2] = {p.a, p.b};
	struct t_child child = t_spawn(is_busy, both);
	t_expect_exit(&child, 0);
	free(data);
	conn_close(&p);
}

/* --- signals ---------------------------------------------------------------------------------- */

static void on_signal(int signal)
{
	(void)signal;
}

/* A signal each half millisecond, none of which restarts anything: nothing is cut or given up. */
EACH_SOCKET(conn_process, a_storm_of_signals)
{
	struct sigaction action = {.sa_handler = on_signal};
	struct itimerval often = {{0, 500}, {0, 500}};
	struct itimerval never = {{0, 0}, {0, 0}};
	struct conn_pair p = conn_pair(kind, NULL);
	mp_process *child = start(echo, MP_ARGS(mp_handle(p.b)), BY(MP_START_FORK));
	static char data[200000], got[200000];
	size_t size;
	mp_obj none;

	mp_connection_close(p.b);
	sigaction(SIGALRM, &action, NULL);
	setitimer(ITIMER_REAL, &often, NULL);
	for (int i = 1; i <= 100; i++) {
		memset(data, i, sizeof(data));
		T_OK(mp_connection_send_bytes(p.a, data, (size_t)i * 2000, T_TIMEOUT_MS));
		T_OK(mp_connection_recv_bytes_into(p.a, got, sizeof(got), T_TIMEOUT_MS, &size));
		cr_assert(size == (size_t)i * 2000 && memcmp(data, got, size) == 0);
	}
	T_RESULT(mp_connection_recv(p.a, 20, &none), -ETIMEDOUT);
	cr_assert_eq(mp_connection_poll(p.a, 20), 0);
	setitimer(ITIMER_REAL, &never, NULL);
	T_OK(mp_connection_send_bytes(p.a, "", 0, T_TIMEOUT_MS));
	finish(child, 0);
	mp_connection_close(p.a);
}

/* --- death ------------------------------------------------------------------------------------ */

static int send_long(void *c)
{
	static char data[100000];

	return mp_connection_send_bytes(c, data, sizeof(data), T_TIMEOUT_MS) == 0 ? 0 : 1;
}

/* Killed in the middle of a long message: the whole of it, or nothing and the end. */
static void killed_at(const char *point, bool arrived)
{
	struct conn_pair p = conn_pair(SOCK_SEQPACKET, NULL);
	void *data;
	size_t size;

	t_arm(point, "kill");
	struct t_child child = t_spawn(send_long, p.a);
	mp_connection_close(p.a);
	t_expect_signal(&child, SIGKILL);
	cr_assert(t_fired());
	t_disarm();
	if (arrived) {
		T_OK(mp_connection_recv_bytes(p.b, T_TIMEOUT_MS, &data, &size));
		cr_assert_eq(size, 100000);
		free(data);
	}
	T_RESULT(mp_connection_recv_bytes(p.b, T_TIMEOUT_MS, &data, &size), -EPIPE);
	mp_connection_close(p.b);
}

Test(conn_process, killed_before_the_message_left)
{
	killed_at("conn.send.rest", false);
}

Test(conn_process, killed_when_the_message_had_left)
{
	killed_at("conn.send.sent", true);
}

static int send_and_hang(void *c)
{
	static char data[60000];

	t_ready();
	while (mp_connection_send_bytes(c, data, sizeof(data), T_TIMEOUT_MS) == 0)
		;
	return 1;
}

EACH_SOCKET(conn_process, a_sender_killed_while_it_waits)
{
	struct conn_pair p = conn_pair(kind, NULL);
	struct t_child child = t_spawn(send_and_hang, p.a);
	static char data[60000];
	size_t size;
	int r;

	mp_connection_close(p.a);
	t_wait_ready(&child);
	T_OK(mp_connection_recv_bytes_into(p.b, data, sizeof(data), T_TIMEOUT_MS, &size));
	t_kill(&child, SIGKILL);
	while ((r = mp_connection_recv_bytes_into(p.b, data, sizeof(data), T_TIMEOUT_MS, &size)) ==
		0)
		cr_assert_eq(size, sizeof(data));
	T_RESULT(r, -EPIPE);
	mp_connection_close(p.b);
}

static int receive_and_hang(void *c)
{
	mp_obj got;

	t_ready();
	return mp_connection_recv(c, MP_FOREVER, &got);
}

EACH_SOCKET(conn_process, a_receiver_killed_while_the_other_sends)
{
	struct conn_pair p = conn_pair(kind, NULL);
	struct t_child child = t_spawn(receive_and_hang, p.b);
	static char data[60000];
	int r;

	mp_connection_close(p.b);
	t_wait_ready(&child);
	t_kill(&child, SIGKILL);
	while ((r = mp_connection_send_bytes(p.a, data, sizeof(data), T_TIMEOUT_MS)) == 0)
		;
	T_RESULT(r, -EPIPE);
	mp_connection_close(p.a);
}
