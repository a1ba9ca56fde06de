/* SPDX-License-Identifier: MIT */
/*
 * conn/auth.h - how two programs that meet prove to each other that they know the same key.
 *
 * A state machine on messages of a fixed size; it knows no sockets. Whoever carries the messages
 * feeds it what came, and sends what it says.
 *
 *	client					listener
 *	HELLO(has a key?, random c)	  ->
 *					  <-	CHALLENGE(random l)
 *	PROOF(HMAC(key, "C" HELLO CHALLENGE))	->
 *					  <-	WELCOME(HMAC(key, "L" HELLO CHALLENGE PROOF))
 *
 * Without a key on either side HELLO is all: the client does not wait. In all other cases the
 * listener says REFUSAL and why. The client proves first, so that only who can pose as the listener
 * gets something to try keys on. Each proof covers all that was said, and says whose it is: neither
 * an old one, nor the other side's own, nor one for other terms (version, key or none) is of use.
 */
#ifndef MP_CONN_AUTH_H
#define MP_CONN_AUTH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MP__AUTH_VERSION 1
/* Of each message: "MPCA", version, type, key, reason, and 32 bytes that depend on the type. */
#define MP__AUTH_SIZE 40

enum mp__auth_role { MP__AUTH_CLIENT, MP__AUTH_LISTENER };

struct mp__auth {
	enum mp__auth_role role;
	int state;
	const void *key; /* the caller's; NULL: none */
	size_t key_size;
	/* A byte for the role, and HELLO, CHALLENGE, PROOF as they were said. */
	uint8_t said[1 + 3 * MP__AUTH_SIZE];
};

/*
 * Begin. Client: 1 `out` is to be sent, and that is all; 0 it is to be sent, and an answer comes.
 * Listener: 0, nothing to send yet. -ENOTSUP a key, in a build without; -EIO no random numbers.
 */
int mp__auth_start(struct mp__auth *auth, enum mp__auth_role role, const void *key, size_t key_size,
	uint8_t *out);

/*
 * The other side said `in` (`size` bytes, hostile). *ret_say: `out` is to be sent, also after a
 * failure. 1 both sides are satisfied; 0 go on; -EKEYREJECTED a key is wrong, missing, or not
 * wanted; -EPROTO that was no word of this language, or one of another version.
 */
int mp__auth_feed(
	struct mp__auth *auth, const uint8_t *in, size_t size, uint8_t *out, bool *ret_say);

/* What a message means that comes when none is expected any more: as mp__auth_feed(), below 0. */
int mp__auth_refusal(const uint8_t *in, size_t size);

#endif
