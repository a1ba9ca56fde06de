/* SPDX-License-Identifier: MIT */
/*
 * conn/handshake.h - carry the messages of auth.h over a socket, without ever waiting.
 *
 * Each is a message of kind MP__MESSAGE_HANDSHAKE. Nothing behind it is read: the first message of
 * the user may have come already.
 */
#ifndef MP_CONN_HANDSHAKE_H
#define MP_CONN_HANDSHAKE_H

#include "conn/auth.h"
#include "conn/message.h"

struct mp__handshake {
	struct mp__auth auth;
	bool packet; /* does the socket keep boundaries? */
	size_t size; /* what has come of the other side's message */
	uint8_t in[MP__HEAD_SIZE + MP__AUTH_SIZE];
};

/* Begin, and say what is to be said first: 1 that was all, 0 go on with steps, or below 0. */
int mp__handshake_start(struct mp__handshake *handshake, int fd, bool packet,
	enum mp__auth_role role, const void *key, size_t key_size);

/*
 * Go on as far as possible. 1 both sides are satisfied, -EAGAIN the other side has to say more;
 * -EKEYREJECTED, -EPROTO, -EPIPE it left.
 */
int mp__handshake_step(struct mp__handshake *handshake, int fd);

#endif
