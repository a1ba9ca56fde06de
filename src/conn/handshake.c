/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "conn/handshake.h"

#include "base/error.h"
#include "conn/socket.h"

#include <sys/socket.h>

static int say(int fd, const uint8_t *message)
{
	const struct mp__head head = {.length = MP__AUTH_SIZE, .kind = MP__MESSAGE_HANDSHAKE};
	uint8_t bytes[MP__HEAD_SIZE + MP__AUTH_SIZE];
	ssize_t n;

	mp__head_write(bytes, &head);
	memcpy(bytes + MP__HEAD_SIZE, message, MP__AUTH_SIZE);
	do
		n = send(fd, bytes, sizeof(bytes), MSG_DONTWAIT | MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	if (n == (ssize_t)sizeof(bytes))
		return 0;
	/* The buffer of a new socket has room for this few, unless the other side plays tricks. */
	return n < 0 && errno != EAGAIN
		       ? mp__socket_error("sending a handshake")
		       : mp_error_set(
				 -EPROTO, "sending a handshake: the new socket has no room for it");
}

/* 0 a whole message is there, -EAGAIN. */
static int hear(struct mp__handshake *h, int fd)
{
	while (h->size < sizeof(h->in)) {
		/* Without room for control data, descriptors that somebody sends never get here. */
		ssize_t n = recv(fd, h->in + h->size, sizeof(h->in) - h->size,
			MSG_DONTWAIT | (h->packet ? MSG_TRUNC : 0));
		/* A packet socket tells first that its peer closed without reading all, once. */
		if (n < 0 && (errno == EINTR || (h->packet && errno == ECONNRESET)))
			continue;
		if (n < 0 && errno == EAGAIN)
			return -EAGAIN;
		if (n < 0)
			return mp__socket_error("receiving a handshake");
		if (n == 0)
			return mp_error_set(
				-EPIPE, "the other side left in the middle of the handshake");
		if (h->packet && n != sizeof(h->in))
			return mp_error_set(
				-EPROTO, "what the other side sends is no handshake of libmp");
		h->size += (size_t)n;
	}
	return 0;
}

int mp__handshake_start(struct mp__handshake *h, int fd, bool packet, enum mp__auth_role role,
	const void *key, size_t key_size)
{
	uint8_t out[MP__AUTH_SIZE];

	h->packet = packet;
	h->size = 0;
	int r = mp__auth_start(&h->auth, role, key, key_size, out);
	if (r < 0 || role == MP__AUTH_LISTENER)
		return r;
	int said = say(fd, out);
	return said < 0 ? said : r;
}

int mp__handshake_step(struct mp__handshake *h, int fd)
{
	uint8_t out[MP__AUTH_SIZE];
	struct mp__head head;
	bool answers;
	int r;

	do {
		r = hear(h, fd);
		if (r < 0)
			return r;
		h->size = 0;
		if (mp__head_read(h->in, MP__AUTH_SIZE, false, &head) < 0 ||
			head.kind != MP__MESSAGE_HANDSHAKE || head.length != MP__AUTH_SIZE ||
			head.flags != 0)
			return mp_error_set(
				-EPROTO, "what the other side sends is no handshake of libmp");
		r = mp__auth_feed(&h->auth, h->in + MP__HEAD_SIZE, MP__AUTH_SIZE, out, &answers);
		if (answers) {
			/* A refusal that cannot be told is one all the same. */
			int said = say(fd, out);
			if (said < 0 && r >= 0)
				r = said;
		}
	} while (r == 0);
	return r;
}
