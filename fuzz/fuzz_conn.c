/* SPDX-License-Identifier: MIT */
/*
 * Fuzz target: whatever comes over a socket, a connection takes whole messages or refuses, and a
 * handshake never ends well for who does not know the key. The first byte says which of the two
 * back ends it is for, and how the rest is cut into pieces; few, since each is a system call or two.
 */
#include <config.h>

#include "fuzz/fuzz.h"

#include "base/fds.h"
#include "conn/handshake.h"

#include <errno.h>
#include <mp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define LONGEST 4096
#define PIECES_MAX 12
#define FAILURES_MAX 8

/* Everything that can be received, in each of the ways. */
static void receive_all(mp_connection *c, unsigned way)
{
	char buffer[64];
	size_t size;
	void *data;
	mp_obj value;
	int failures = 0;
	int r;

	/* Each round takes a message or ends: as many as there are bytes at most. */
	for (int i = 0; i < LONGEST + 1; i++) {
		r = -ENOMSG;
		if (way % 3 == 1) {
			r = mp_connection_recv_bytes(c, MP_NOWAIT, &data, &size);
			if (r == 0) {
				expect(size <= LONGEST);
				free(data);
			}
		} else if (way % 3 == 2) {
			r = mp_connection_recv_bytes_into(
				c, buffer, sizeof(buffer), MP_NOWAIT, &size);
			expect(r != 0 || size <= sizeof(buffer));
			expect(r != -EMSGSIZE || (size > sizeof(buffer) && size <= LONGEST));
		}
		if (r == -ENOMSG || r == -EMSGSIZE) {
			r = mp_connection_recv(c, MP_NOWAIT, &value);
			if (r == 0)
				mp_obj_free(&value);
		}
		if (r == -EAGAIN || r == -EPIPE)
			return;
		/* What is no message stays in the way. */
		failures = r < 0 ? failures + 1 : 0;
		if (failures == FAILURES_MAX)
			return;
	}
}

static void feed_connection(const uint8_t *data, size_t size, bool packet, size_t step)
{
	mp_connection *c;
	int ends[2];

	expect(mp__socket_pair(packet ? SOCK_SEQPACKET : SOCK_STREAM, ends) == 0);
	expect(mp_connection_from_fd(ends[0], MP_CONNECTION_OPTIONS(.max_message = LONGEST), &c) ==
		0);
	for (size_t at = 0; at < size; at += step) {
		size_t n = size - at < step ? size - at : step;
		expect(mp__socket_send(ends[1], data + at, n, (int[]){2, 2}, at % 3) == 0);
		receive_all(c, (unsigned)at);
	}
	close(ends[1]);
	receive_all(c, 0);
	mp_connection_close(c);
}

static void feed_handshake(
	const uint8_t *data, size_t size, bool packet, size_t step, enum mp__auth_role role)
{
	struct mp__handshake handshake;
	int ends[2];

	expect(mp__socket_pair(packet ? SOCK_SEQPACKET : SOCK_STREAM, ends) == 0);
	int r = mp__handshake_start(&handshake, ends[0], packet, role, "key", 3);
	for (size_t at = 0; at < size && r == 0; at += step) {
		size_t n = size - at < step ? size - at : step;
		expect(mp__socket_send(ends[1], data + at, n, NULL, 0) == 0);
		r = mp__handshake_step(&handshake, ends[0]);
		expect(r < 0);
		if (r == -EAGAIN)
			r = 0;
	}
	mp__fds_close(ends, 2);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size == 0)
		return 0;
	bool packet = data[0] & 0x80;
	size_t step = (data[0] & 0x3f) * 4 + 4u;
	if (step < size / PIECES_MAX)
		step = size / PIECES_MAX;
	if (data[0] & 0x40) {
		feed_handshake(data + 1, size - 1, packet, step, MP__AUTH_LISTENER);
		feed_handshake(data + 1, size - 1, packet, step, MP__AUTH_CLIENT);
	} else {
		feed_connection(data + 1, size - 1, packet, step);
	}
	return 0;
}
