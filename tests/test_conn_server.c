/* SPDX-License-Identifier: MIT */
/*
 * A server in one thread, and clients of every bad kind beside honest ones: what they do costs
 * nobody but themselves. And what else CPython's tests of connections have.
 */
#include <config.h>

#include "tests/support/conns.h"

#include "conn/connection.h"
#include "conn/message.h"

#include <mp.h>
#include <sys/mman.h>
#include <sys/socket.h>

T_SUITE(conn_server);

#define HONEST 4
#define TALKS 50

static const char *address;

static mp_connection *client(void)
{
	mp_connection *c = NULL;

	T_CHECK(mp_connection_open(address, NULL, T_TIMEOUT_MS / 2, &c) == 0);
	return c;
}

/* --- clients ----------------------------------------------------------------------------------- */

static int honest(void *argument)
{
	mp_connection *c = client();
	char sent[300];
	char got[300];
	size_t size;

	(void)argument;
	for (int i = 0; i < TALKS; i++) {
		memset(sent, i, sizeof(sent));
		size_t length = (size_t)i * 6;
		T_CHECK(mp_connection_send_bytes(c, sent, length, T_TIMEOUT_MS / 2) == 0);
		T_CHECK(mp_connection_recv_bytes_into(
				c, got, sizeof(got), T_TIMEOUT_MS / 2, &size) == 0);
		T_CHECK(size == length && memcmp(sent, got, size) == 0);
	}
	return 0;
}

/* Messages without end, and no answer is ever read. */
static int floods(void *argument)
{
	static char block[10000];
	mp_connection *c = client();

	(void)argument;
	t_ready();
	while (mp_connection_send_bytes(c, block, sizeof(block), MP_FOREVER) == 0)
		;
	t_hang();
}

static int says(const void *data, size_t size)
{
	mp_connection *c = client();

	T_CHECK(send(mp_connection_fileno(c), data, size, MSG_NOSIGNAL) == (ssize_t)size);
	t_ready();
	t_hang();
}

static int says_half(void *argument)
{
	uint8_t part[MP__HEAD_SIZE + 10] = {0};
	const struct mp__head head = {.length = 100000, .kind = MP__MESSAGE_BYTES};

	(void)argument;
	mp__head_write(part, &head);
	return says(part, sizeof(part));
}

static int says_half_a_head(void *argument)
{
	uint8_t part[MP__HEAD_SIZE] = {0};
	const struct mp__head head = {.length = 5, .kind = MP__MESSAGE_BYTES};

	(void)argument;
	mp__head_write(part, &head);
	return says(part, MP__HEAD_SIZE - 1);
}

static int lies(void *argument)
{
	(void)argument;
	static const char request[] = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";
	return says(request, sizeof(request));
}

static int promises_too_much(void *argument)
{
	uint8_t head[MP__HEAD_SIZE];
	const struct mp__head huge = {.length = UINT64_C(1) << 40, .kind = MP__MESSAGE_BYTES};

	(void)argument;
	mp__head_write(head, &huge);
	return says(head, sizeof(head));
}

static int is_silent(void *argument)
{
	mp_connection *c = client();

	(void)argument;
	(void)c;
	t_ready();
	t_hang();
}

/* Has not even said hello. */
static int is_a_stranger(void *argument)
{
	mp_connection *c = client();

	(void)argument;
	T_CHECK(shutdown(mp_connection_fileno(c), SHUT_WR) == 0);
	t_ready();
	t_hang();
}

static int (*const bad[])(void *) = {floods, floods, says_half, says_half_a_head, lies,
	promises_too_much, is_silent, is_a_stranger};
#define BAD (sizeof(bad) / sizeof(bad[0]))

/* --- the server -------------------------------------------------------------------------------- */

struct server {
	mp_waiter *waiter;
	mp_listener *listener;
	mp_connection *clients[HONEST + BAD];
	int n;
};

static void welcome(struct server *s)
{
	mp_connection *c;

	while (mp_listener_accept(s->listener, MP_NOWAIT, &c) == 0) {
		T_OK(mp_waiter_add(s->waiter, MP_WAIT(c), c));
		cr_assert_lt(s->n, (int)(HONEST + BAD));
		s->clients[s->n++] = c;
	}
}

static void drop(struct server *s, mp_connection *c)
{
	int i = 0;

	T_OK(mp_waiter_remove(s->waiter, MP_WAIT(c)));
	while (s->clients[i] != c)
		i++;
	s->clients[i] = NULL;
	T_OK(mp_connection_close(c));
}

/* Never waits for a client: whoever does not take his answer is dropped. */
static void serve(struct server *s, mp_connection *c)
{
	void *data;
	size_t size;

	int r = mp_connection_recv_bytes(c, MP_NOWAIT, &data, &size);
	if (r == -EAGAIN)
		return;
	if (r == 0) {
		r = mp_connection_send_bytes(c, data, size, MP_NOWAIT);
		free(data);
	}
	if (r < 0)
		drop(s, c);
}

static void serve_until_ended(struct server *s, struct t_child *children, int n)
{
	mp_ready ready[4];
	int ended = 0;

	for (int i = 0; i < n; i++)
		T_OK(mp_waiter_add(s->waiter, MP_WAIT(children[i].pidfd), &children[i]));
	while (ended < n) {
		int k = mp_waiter_wait(s->waiter, ready, 4, T_TIMEOUT_MS);
		cr_assert_gt(k, 0);
		for (int i = 0; i < k; i++) {
			struct t_child *child = ready[i].data;
			if (ready[i].data == s->listener) {
				welcome(s);
			} else if (child >= children && child < children + n) {
				T_OK(mp_waiter_remove(s->waiter, MP_WAIT(child->pidfd)));
				t_expect_exit(child, 0);
				ended++;
			} else {
				serve(s, ready[i].data);
			}
		}
	}
}

static void bad_ones_cost_themselves(const char *where)
{
	struct t_child villains[BAD];
	struct t_child children[HONEST];
	struct server s = {.n = 0};

	T_OK(mp_listener_new(where, NULL, &s.listener));
	address = mp_listener_address(s.listener);
	T_OK(mp_waiter_new(&s.waiter));
	T_OK(mp_waiter_add(s.waiter, MP_WAIT(s.listener), s.listener));
	for (size_t i = 0; i < BAD; i++) {
		villains[i] = t_spawn(bad[i], NULL);
		t_wait_ready(&villains[i]);
	}
	for (int i = 0; i < HONEST; i++)
		children[i] = t_spawn(honest, NULL);
	serve_until_ended(&s, children, HONEST);
	for (size_t i = 0; i < BAD; i++)
		t_kill(&villains[i], SIGKILL);
	T_OK(mp_waiter_close(s.waiter));
	for (int i = 0; i < s.n; i++)
		T_OK(mp_connection_close(s.clients[i]));
	T_OK(mp_listener_close(s.listener));
}

Test(conn_server, bad_clients_over_tcp)
{
	bad_ones_cost_themselves("tcp:127.0.0.1:0");
}

Test(conn_server, bad_clients_over_a_unix_socket)
{
	bad_ones_cost_themselves(NULL);
}

/* --- CPython ----------------------------------------------------------------------------------- */

/* Offset and size are a pointer and a size. */
EACH_SOCKET(conn_server, test_sendbytes)
{
	static const char text[] = "abcdefghijklmnopqrstuvwxyz";
	const struct {
		size_t offset, size;
	} legal[] = {{0, 26}, {5, 21}, {7, 8}, {20, 6}, {26, 0}};
	struct conn_pair p = conn_pair(kind, MP_CONNECTION_OPTIONS(.max_message = 26));
	char got[26];
	size_t size;

	for (size_t i = 0; i < 5; i++) {
		T_OK(mp_connection_send_bytes(
			p.a, text + legal[i].offset, legal[i].size, T_TIMEOUT_MS));
		T_OK(mp_connection_recv_bytes_into(p.b, got, sizeof(got), T_TIMEOUT_MS, &size));
		cr_assert_eq(size, legal[i].size);
		cr_assert(memcmp(got, text + legal[i].offset, size) == 0);
	}
	T_RESULT(mp_connection_send_bytes(p.a, text, 27, MP_NOWAIT), -EMSGSIZE);
	T_RESULT(mp_connection_send_bytes(p.a, text, SIZE_MAX, MP_NOWAIT), -EMSGSIZE);
	T_RESULT(mp_connection_send_bytes(p.a, text, (size_t)-1 / 2, MP_NOWAIT), -EMSGSIZE);
	T_RESULT(mp_connection_send_bytes(p.a, NULL, 4, MP_NOWAIT), -EINVAL);
	T_RESULT(mp_connection_poll(p.b, MP_NOWAIT), 0);
	conn_close(&p);
}

EACH_SOCKET(conn_server, test_missing_fd_transfer)
{
	struct conn_pair p = conn_pair(kind, NULL);
	mp_obj got;

	T_OK(mp_connection_send(p.a, MP_LIST(mp_str("no descriptor")), T_TIMEOUT_MS));
	T_OK(mp_connection_recv(p.b, T_TIMEOUT_MS, &got));
	T_RESULT(mp_obj_fd(mp_obj_at(&got, 0)), -EINVAL);
	T_RESULT(mp_obj_take_fd(mp_obj_at(&got, 0)), -EINVAL);
	mp_obj_free(&got);
	conn_close(&p);
}

EACH_SOCKET(conn_server, test_dont_merge)
{
	struct conn_pair p = conn_pair(kind, NULL);
	char got[4];
	size_t size;

	for (int i = 0; i < 3; i++)
		T_OK(mp_connection_send_bytes(p.a, &"abc"[i], 1, T_TIMEOUT_MS));
	for (int i = 0; i < 3; i++) {
		T_RESULT(mp_connection_poll(p.b, T_TIMEOUT_MS), 1);
		T_RESULT(mp_connection_poll(p.b, MP_NOWAIT), 1);
		T_OK(mp_connection_recv_bytes_into(p.b, got, sizeof(got), T_TIMEOUT_MS, &size));
		cr_assert(size == 1 && got[0] == "abc"[i]);
	}
	T_RESULT(mp_connection_poll(p.b, MP_NOWAIT), 0);
	conn_close(&p);
}

/* Sends what lives in this process alone, and ends. */
static int send_and_end(void *argument)
{
	int file = memfd_create("file", MFD_CLOEXEC);
	struct conn_pair inner;
	mp_queue *q;

	T_CHECK(mp_connection_pair(NULL, &inner.a, &inner.b) == 0);
	T_CHECK(mp_queue_create(NULL, NULL, &q) == 0);
	T_CHECK(mp_queue_put(q, mp_i64(1), MP_NOWAIT) == 0);
	T_CHECK(mp_connection_send_bytes(inner.a, "inner", 5, MP_NOWAIT) == 0);
	T_CHECK(write(file, "file", 4) == 4);
	T_CHECK(mp_connection_send(argument,
			MP_LIST(mp_handle(q), mp_handle(inner.b), mp_fd(file), mp_handle(q)),
			T_TIMEOUT_MS) == 0);
	return 0;
}

/* Where CPython's receiver would ask the sender for it, which is no more. */
static void what_the_dead_sent_is_whole(int kind)
{
	struct conn_pair p = conn_pair(kind, NULL);
	struct t_child sender = t_spawn(send_and_end, p.a);
	char text[8] = "";
	mp_obj got;
	mp_obj value;
	size_t size;

	t_expect_exit(&sender, 0);
	T_OK(mp_connection_recv(p.b, T_TIMEOUT_MS, &got));
	mp_queue *q = mp_obj_queue(mp_obj_at(&got, 0));
	mp_connection *inner = mp_obj_connection(mp_obj_at(&got, 1));
	cr_assert(q && inner && mp_queue_name(q), "a queue keeps its name");
	T_OK(mp_queue_get(q, MP_NOWAIT, &value));
	cr_assert_eq(mp_obj_i64(&value), 1);
	T_OK(mp_connection_recv_bytes_into(inner, text, sizeof(text), T_TIMEOUT_MS, &size));
	cr_assert(size == 5 && memcmp(text, "inner", 5) == 0);
	T_RESULT(mp_connection_recv_bytes_into(inner, text, sizeof(text), T_TIMEOUT_MS, &size),
		-EPIPE);
	cr_assert_eq(pread(mp_obj_fd(mp_obj_at(&got, 2)), text, 4, 0), 4);
	cr_assert_eq(memcmp(text, "file", 4), 0);
	/* The message was a user of the name meanwhile; the value is the last one. */
	mp_queue *again;
	char name[MP_BLOCK_NAME_MAX + 1];
	snprintf(name, sizeof(name), "%s", mp_queue_name(q));
	T_OK(mp_queue_open(name, &again));
	mp_queue_close(again);
	mp_obj_free(&got);
	T_RESULT(mp_queue_open(name, &again), -ENOENT);
	conn_close(&p);
}

Test(conn_server, packet_what_the_dead_sent_is_whole)
{
	what_the_dead_sent_is_whole(SOCK_SEQPACKET);
}

Test(conn_server, pipe_what_the_dead_sent_is_whole)
{
	what_the_dead_sent_is_whole(CONN_PIPE);
}
