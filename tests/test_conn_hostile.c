/* SPDX-License-Identifier: MIT */
/* What a bad peer sends over a connection costs that peer its message, and nobody anything else. */
#include <config.h>

#include "tests/support/conns.h"

#include "conn/auth.h"
#include "conn/connection.h"
#include "conn/descriptors.h"
#include "conn/message.h"
#include "obj/wireformat.h"

#include <fcntl.h>
#include <mp.h>
#include <sys/mman.h>
#include <sys/resource.h>

T_SUITE(conn_hostile);

/* A connection, and the bare socket on the other side. */
struct bare {
	mp_connection *c;
	int fd;
};

static struct bare bare(int kind, const mp_connection_options *options)
{
	struct bare b;
	int ends[2];

	T_OK(mp__socket_pair(kind, ends));
	T_OK(mp_connection_from_fd(ends[0], options, &b.c));
	b.fd = ends[1];
	return b;
}

static void bare_close(struct bare *b)
{
	close(b->fd);
	mp_connection_close(b->c);
}

static void say(const struct bare *b, struct mp__head head, const void *data, size_t size,
	const int *fds, size_t n_fds)
{
	uint8_t packet[MP__HEAD_SIZE + 2048];

	mp__head_write(packet, &head);
	if (size > 0)
		memcpy(packet + MP__HEAD_SIZE, data, size);
	T_OK(mp__socket_send(b->fd, packet, MP__HEAD_SIZE + size, fds, n_fds));
}

static void expect(const struct bare *b, int result)
{
	mp_obj got = mp_nil();

	T_RESULT(mp_connection_recv(b->c, T_TIMEOUT_MS, &got), result);
	mp_obj_free(&got);
}

/* The connection works still. */
static void expect_fine(const struct bare *b)
{
	mp_obj got;

	say(b, (struct mp__head){5, MP__MESSAGE_BYTES, 0, 0, 0}, "hello", 5, NULL, 0);
	T_OK(mp_connection_recv(b->c, T_TIMEOUT_MS, &got));
	cr_assert_eq(mp_obj_len(&got), 5);
	mp_obj_free(&got);
}

Test(conn_hostile, packets_that_are_no_messages)
{
	static const struct mp__head heads[] = {
		{4, 0, 0, 0, 0},                 /* no kind */
		{4, MP__MESSAGE_WAKE, 0, 0, 0},  /* an unknown kind */
		{4, MP__MESSAGE_BYTES, 4, 0, 0}, /* an unknown flag */
		{3, MP__MESSAGE_BYTES, 0, 0, 0}, /* shorter than it is */
		{5, MP__MESSAGE_BYTES, 0, 0, 0}, /* longer than it is */
		{UINT64_MAX, MP__MESSAGE_BYTES, 0, 0, 0},
		{4, MP__MESSAGE_BYTES, 0, 1, 0}, /* bytes with a descriptor */
		{4, MP__MESSAGE_VALUE, 0, 1, 0}, /* which did not come */
		{4, MP__MESSAGE_VALUE, 0, UINT32_MAX, 0},
		{9, MP__MESSAGE_BYTES, MP__HEAD_LONG, 0, 0},
		{4, MP__MESSAGE_VALUE, MP__HEAD_ENVELOPE, 300, 0},
		{4, MP__MESSAGE_VALUE, 0, 0, 0}, /* whose bytes are no value */
	};
	struct bare b = bare(SOCK_SEQPACKET, NULL);

	for (size_t i = 0; i < sizeof(heads) / sizeof(heads[0]); i++) {
		say(&b, heads[i], "\xff\xff\xff\xff", 4, NULL, 0);
		expect(&b, -EBADMSG);
		expect_fine(&b);
	}
	bare_close(&b);
}

Test(conn_hostile, packets_that_are_too_short_or_empty)
{
	struct bare b = bare(SOCK_SEQPACKET, NULL);
	uint8_t zeros[MP__HEAD_SIZE] = {0};

	for (size_t size = 0; size <= sizeof(zeros); size++) {
		T_OK(mp__socket_send(b.fd, zeros, size, NULL, 0));
		expect(&b, -EBADMSG);
		expect_fine(&b);
	}
	zeros[8] = MP__MESSAGE_BYTES;
	zeros[11] = 1;
	T_OK(mp__socket_send(b.fd, zeros, sizeof(zeros), NULL, 0));
	expect(&b, -EBADMSG);
	expect_fine(&b);
	bare_close(&b);
}

Test(conn_hostile, a_packet_longer_than_any)
{
	struct bare b = bare(SOCK_SEQPACKET, NULL);
	static uint8_t packet[100000];
	const struct mp__head head = {sizeof(packet) - MP__HEAD_SIZE, MP__MESSAGE_BYTES, 0, 0};

	mp__head_write(packet, &head);
	T_OK(mp__socket_send(b.fd, packet, sizeof(packet), NULL, 0));
	expect(&b, -EBADMSG);
	expect_fine(&b);
	bare_close(&b);
}

Test(conn_hostile, longer_than_the_receiver_wants)
{
	struct bare b = bare(SOCK_SEQPACKET, MP_CONNECTION_OPTIONS(.max_message = 7));

	say(&b, (struct mp__head){8, MP__MESSAGE_BYTES, 0, 0, 0}, "12345678", 8, NULL, 0);
	expect(&b, -EBADMSG);
	expect_fine(&b);
	bare_close(&b);
}

/* The end of a long message must be a memfd of the right size that nobody can change. */
Test(conn_hostile, ends_of_long_messages_that_are_none)
{
	struct bare b = bare(SOCK_SEQPACKET, NULL);
	const struct mp__head head = {4 + 100, MP__MESSAGE_BYTES, MP__HEAD_LONG, 0};
	char content[100] = "";
	int fds[8];
	int pipes[2];

	T_OK(pipe(pipes));
	fds[0] = pipes[0];
	fds[1] = pipes[1];
	fds[2] = open("/dev/zero", O_RDWR);
	fds[3] = open("/proc/self/exe", O_RDONLY);
	fds[4] = memfd_create("plain", 0);
	fds[5] = memfd_create("open", MFD_ALLOW_SEALING);
	fds[6] = mp__memfd_sealed("short", content, 99);
	fds[7] = mp__memfd_sealed("right", content, 100);
	cr_assert_eq(write(fds[4], content, 100), 100);
	cr_assert_eq(write(fds[5], content, 100), 100);
	for (size_t i = 0; i < 7; i++) {
		say(&b, head, "1234", 4, &fds[i], 1);
		expect(&b, -EBADMSG);
	}
	say(&b, head, "1234", 4, fds, 2);
	expect(&b, -EBADMSG);
	say(&b, head, "1234", 4, (int[]){fds[7], fds[7]}, 2); /* one more than it says */
	expect(&b, -EBADMSG);
	say(&b, head, "1234", 4, &fds[7], 1);
	expect(&b, 0);
	mp__fds_close(fds, 8);
	bare_close(&b);
}

Test(conn_hostile, envelopes_that_are_none)
{
	struct bare b = bare(SOCK_SEQPACKET, NULL);
	const struct mp__head head = {2, MP__MESSAGE_VALUE, MP__HEAD_ENVELOPE, 300};
	int zero = open("/dev/zero", O_RDWR | O_CLOEXEC);
	int ends[2];

	say(&b, head, "\x08", 2, &zero, 1);
	expect(&b, -EBADMSG);
	/* Empty, with too few, with bytes in place of descriptors, with too many. */
	for (int n = 0; n < 4; n++) {
		T_OK(mp__socket_pair(SOCK_SEQPACKET, ends));
		for (int i = 0; i < n * 2; i++) {
			int fds[100];
			for (int k = 0; k < 100; k++)
				fds[k] = zero;
			T_OK(mp__socket_send(ends[0], "", 1, fds, n == 2 ? 0 : 100));
		}
		say(&b, head, "\x08", 2, &ends[1], 1);
		mp__fds_close(ends, 2);
		/* More than it says stay where they are, and go with it. */
		expect(&b, n == 3 ? 0 : -EBADMSG);
		expect_fine(&b);
	}
	close(zero);
	bare_close(&b);
}

Test(conn_hostile, descriptors_that_nobody_asked_for_are_closed)
{
	struct bare b = bare(SOCK_SEQPACKET, NULL);
	int fds[MP__FDS_MAX];

	for (size_t i = 0; i < MP__FDS_MAX; i++)
		fds[i] = b.fd;
	say(&b, (struct mp__head){2, MP__MESSAGE_VALUE, 0, 0, 0}, "\x08", 2, fds, MP__FDS_MAX);
	expect(&b, -EBADMSG);
	say(&b, (struct mp__head){2, MP__MESSAGE_BYTES, 0, 0, 0}, "\x08", 2, fds, 1);
	expect(&b, -EBADMSG);
	/* The value does not mention them: they are closed with the message. */
	say(&b, (struct mp__head){2, MP__MESSAGE_VALUE, 0, 3, 0}, "\x08", 2, fds, 3);
	expect(&b, 0);
	expect_fine(&b);
	bare_close(&b);
}

Test(conn_hostile, no_room_for_descriptors_costs_the_message)
{
	struct bare b = bare(SOCK_SEQPACKET, NULL);
	const int fds[3] = {b.fd, b.fd, b.fd};
	struct rlimit old, none;
	mp_obj got;

	getrlimit(RLIMIT_NOFILE, &old);
	say(&b, (struct mp__head){2, MP__MESSAGE_VALUE, 0, 3, 0}, "\x08", 2, fds, 3);
	int next = dup(b.fd);
	none = old;
	none.rlim_cur = (rlim_t)next + 2; /* room for two */
	close(next);
	setrlimit(RLIMIT_NOFILE, &none);
	int r = mp_connection_recv(b.c, T_TIMEOUT_MS, &got);
	setrlimit(RLIMIT_NOFILE, &old);
	T_RESULT(r, -EMFILE);
	expect_fine(&b);
	bare_close(&b);
}

/* mp.Value as bytes: lists in lists, `depth` of them around nil. */
static size_t nest(uint8_t *out, int depth)
{
	uint8_t inner[1024];
	size_t size = 0;

	if (depth == 0) {
		out[0] = MP__TAG_NIL;
		out[1] = 0;
		return 2;
	}
	size_t inner_size = nest(inner, depth - 1);
	out[size++] = MP__TAG_LIST;
	size = (size_t)(mp__varint_put(out + size, 1 + mp__varint_size(inner_size) + inner_size) -
			out);
	out[size++] = MP__TAG_ITEM;
	size = (size_t)(mp__varint_put(out + size, inner_size) - out);
	memcpy(out + size, inner, inner_size);
	return size + inner_size;
}

EACH_BARE(conn_hostile, values_that_cannot_be)
{
	struct bare b = bare(kind, NULL);
	uint8_t deep[1024];
	size_t size = nest(deep, MP_OBJ_MAX_DEPTH + 1);

	say(&b, (struct mp__head){size, MP__MESSAGE_VALUE, 0, 0, 0}, deep, size, NULL, 0);
	expect(&b, -EOVERFLOW);
	/* A handle of kind 999. */
	say(&b, (struct mp__head){5, MP__MESSAGE_VALUE, 0, 0, 0}, "\x52\x03\x08\xe7\x07", 5, NULL,
		0);
	expect(&b, -ENOTSUP);
	/* A descriptor that did not come. */
	say(&b, (struct mp__head){6, MP__MESSAGE_VALUE, 0, 0, 0}, "\x52\x04\x08\x01\x18\x01", 6,
		NULL, 0);
	expect(&b, -EBADMSG);
	expect_fine(&b);
	bare_close(&b);
}

/* Handles of connections that are none: data that is damaged, descriptors of other things. */
Test(conn_hostile, handles_of_connections_that_are_none)
{
	struct bare b = bare(SOCK_SEQPACKET, NULL);
	int zero = open("/dev/zero", O_RDWR | O_CLOEXEC);
	uint8_t value[64];

	for (int i = 0; i < 6; i++) {
		uint8_t data[16] = {1, 0};
		data[8] = 100; /* the longest message */
		int fd = i == 4 ? zero : b.fd;
		uint8_t size = 16;
		if (i == 0)
			data[0] = 9;
		if (i == 1)
			data[1] = 3;
		if (i == 2)
			data[8] = 0;
		if (i == 3)
			size = 15;
		uint8_t *at = value;
		*at++ = MP__TAG_HANDLE;
		*at++ = (uint8_t)(2 + 2 + size + 2);
		*at++ = MP__TAG_HANDLE_KIND;
		*at++ = 16;
		*at++ = MP__TAG_HANDLE_DATA;
		*at++ = size;
		memcpy(at, data, size);
		at += size;
		*at++ = MP__TAG_HANDLE_DESCRIPTORS;
		*at++ = 1;
		size_t n = (size_t)(at - value);
		mp_obj got;
		say(&b, (struct mp__head){n, MP__MESSAGE_VALUE, 0, 1, 0}, value, n, &fd, 1);
		T_RESULT(mp_connection_recv(b.c, T_TIMEOUT_MS, &got), i < 5 ? -EBADMSG : 0);
		if (i == 5)
			mp_obj_free(&got);
	}
	close(zero);
	bare_close(&b);
}

/* --- streams ---------------------------------------------------------------------------------- */

Test(conn_hostile, a_stream_of_garbage_ends)
{
	struct bare b = bare(SOCK_STREAM, NULL);

	T_OK(mp__socket_send(b.fd, "GET / HTTP/1.0\r\n\r\n", 18, NULL, 0));
	expect(&b, -EBADMSG);
	expect(&b, -EBADMSG);
	cr_assert_eq(mp_connection_poll(b.c, MP_NOWAIT), 1);
	/* The other direction works still. */
	T_OK(mp_connection_send_bytes(b.c, "what?", 5, MP_NOWAIT));
	bare_close(&b);
}

Test(conn_hostile, a_stream_with_descriptors)
{
	struct bare b = bare(SOCK_STREAM, NULL);

	say(&b, (struct mp__head){2, MP__MESSAGE_VALUE, 0, 1, 0}, "\x08", 2, &b.fd, 1);
	expect(&b, -EBADMSG);
	bare_close(&b);
}

Test(conn_hostile, a_head_that_lies_gets_no_memory)
{
	struct bare b = bare(SOCK_STREAM, MP_CONNECTION_OPTIONS(.max_message = SIZE_MAX / 2));
	mp_obj got;

	/* An exabyte, of which five bytes come. */
	say(&b, (struct mp__head){UINT64_C(1) << 60, MP__MESSAGE_BYTES, 0, 0, 0}, "hello", 5, NULL,
		0);
	T_RESULT(mp_connection_recv(b.c, 20, &got), -ETIMEDOUT);
	bare_close(&b);
}

Test(conn_hostile, half_a_message_and_stop)
{
	struct bare b = bare(SOCK_STREAM, NULL);
	uint8_t message[MP__HEAD_SIZE + 5];
	mp_obj got;

	mp__head_write(message, &(struct mp__head){5, MP__MESSAGE_BYTES, 0, 0, 0});
	memcpy(message + MP__HEAD_SIZE, "hello", 5);
	/* A byte at a time, and each time somebody who does not wait any longer. */
	for (size_t i = 0; i < sizeof(message) - 1; i++) {
		T_OK(mp__socket_send(b.fd, message + i, 1, NULL, 0));
		T_RESULT(mp_connection_recv(b.c, i % 7 ? MP_NOWAIT : 1, &got),
			i % 7 ? -EAGAIN : -ETIMEDOUT);
	}
	T_RESULT(mp_connection_send(b.c, mp_handle(b.c), MP_NOWAIT), -EBUSY);
	T_OK(mp__socket_send(b.fd, message + sizeof(message) - 1, 1, NULL, 0));
	expect(&b, 0);
	T_OK(mp__socket_send(b.fd, message, sizeof(message) - 1, NULL, 0));
	shutdown(b.fd, SHUT_WR);
	expect(&b, -EPIPE);
	bare_close(&b);
}

/* --- a listener that refuses, after the client has begun -------------------------------------- */

#ifdef HAVE_NETTLE
EACH_BARE(conn_hostile, a_refusal_is_told)
{
	struct bare b = bare(kind, NULL);
	struct mp__auth auth;
	uint8_t hello[MP__AUTH_SIZE], answer[MP__AUTH_SIZE];
	bool answers;

	T_RESULT(mp__auth_start(&auth, MP__AUTH_CLIENT, NULL, 0, hello), 1);
	T_OK(mp__auth_start(&auth, MP__AUTH_LISTENER, "key", 3, answer));
	T_RESULT(mp__auth_feed(&auth, hello, sizeof(hello), answer, &answers), -EKEYREJECTED);
	cr_assert(answers);
	say(&b, (struct mp__head){MP__AUTH_SIZE, MP__MESSAGE_HANDSHAKE, 0, 0, 0}, answer,
		MP__AUTH_SIZE, NULL, 0);
	expect(&b, -EKEYREJECTED);
	bare_close(&b);
	b = bare(kind, NULL);
	say(&b, (struct mp__head){MP__AUTH_SIZE, MP__MESSAGE_HANDSHAKE, 0, 0, 0}, hello,
		MP__AUTH_SIZE, NULL, 0);
	expect(&b, -EPROTO);
	bare_close(&b);
	b = bare(kind, NULL);
	say(&b, (struct mp__head){2, MP__MESSAGE_HANDSHAKE, 0, 0, 0}, "hi", 2, NULL, 0);
	expect(&b, kind == SOCK_STREAM ? -EBADMSG : -EPROTO);
	bare_close(&b);
}
#endif
