/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "conn/auth.h"

#include "base/error.h"
#include "base/random.h"
#include "conn/hmac.h"

static const uint8_t magic[4] = {'M', 'P', 'C', 'A'};

enum { AT_VERSION = 4, AT_TYPE = 5, AT_KEY = 6, AT_REASON = 7, AT_BODY = 8 };
enum { HELLO = 1, CHALLENGE, PROOF, WELCOME, REFUSAL };
enum { WRONG_KEY = 1, KEY_WANTED, NO_KEY_HERE, OTHER_VERSION };
enum { WAIT_HELLO, WAIT_CHALLENGE, WAIT_PROOF, WAIT_WELCOME, ENDED };

_Static_assert(AT_BODY + MP__HMAC_SIZE == MP__AUTH_SIZE, "the body is a digest or a random number");

static void word(uint8_t *out, int type)
{
	memset(out, 0, MP__AUTH_SIZE);
	memcpy(out, magic, sizeof(magic));
	out[AT_VERSION] = MP__AUTH_VERSION;
	out[AT_TYPE] = (uint8_t)type;
}

static int random_body(uint8_t *out)
{
	if (mp__random(out + AT_BODY, MP__HMAC_SIZE) < 0)
		return mp_error_set(-EIO, "proving a key: getrandom(2) gives no random numbers");
	return 0;
}

static uint8_t *said(struct mp__auth *auth, int type)
{
	return auth->said + 1 + (size_t)(type - HELLO) * MP__AUTH_SIZE;
}

static void note(struct mp__auth *auth, int type, const uint8_t *message)
{
	memcpy(said(auth, type), message, MP__AUTH_SIZE);
}

/* The proof of a side: over its letter and everything up to the message `last`. */
static void prove(struct mp__auth *auth, char side, int last, uint8_t *ret_digest)
{
	size_t size = (size_t)(said(auth, last + 1) - auth->said);

	auth->said[0] = (uint8_t)side;
	mp__hmac_sha256(auth->key, auth->key_size, auth->said, size, ret_digest);
}

static bool proved(struct mp__auth *auth, char side, int last, const uint8_t *message)
{
	uint8_t digest[MP__HMAC_SIZE];

	prove(auth, side, last, digest);
	return mp__hmac_equal(digest, message + AT_BODY);
}

int mp__auth_start(struct mp__auth *auth, enum mp__auth_role role, const void *key, size_t key_size,
	uint8_t *out)
{
	int r = key ? mp__hmac_available() : 0;

	if (r < 0)
		return r;
	memset(auth, 0, sizeof(*auth));
	auth->role = role;
	auth->key = key;
	auth->key_size = key_size;
	auth->state = role == MP__AUTH_CLIENT ? WAIT_CHALLENGE : WAIT_HELLO;
	if (role == MP__AUTH_LISTENER)
		return 0;
	word(out, HELLO);
	out[AT_KEY] = key != NULL;
	if (!key) {
		auth->state = ENDED;
		return 1;
	}
	r = random_body(out);
	note(auth, HELLO, out);
	return r;
}

/* --- what can go wrong ------------------------------------------------------------------------ */

static int nonsense(void)
{
	return mp_error_set(
		-EPROTO, "the other side does not speak libmp's protocol of connections");
}

static int meaning(int reason)
{
	switch (reason) {
	case WRONG_KEY:
		return mp_error_set(
			-EKEYREJECTED, "the handshake failed: the keys of the two sides differ");
	case KEY_WANTED:
		return mp_error_set(-EKEYREJECTED,
			"the listener wants a key: open the connection with the option authkey");
	case NO_KEY_HERE:
		return mp_error_set(-EKEYREJECTED, "the listener has no key to prove: open the "
						   "connection without the option authkey");
	case OTHER_VERSION:
		return mp_error_set(-EPROTO, "the handshake failed: the two sides speak different "
					     "versions of the protocol");
	default:
		return nonsense();
	}
}

static bool is_word(const uint8_t *in, size_t size)
{
	return size == MP__AUTH_SIZE && memcmp(in, magic, sizeof(magic)) == 0;
}

static int refuse(struct mp__auth *auth, int reason, uint8_t *out, bool *ret_say)
{
	auth->state = ENDED;
	word(out, REFUSAL);
	out[AT_REASON] = (uint8_t)reason;
	*ret_say = true;
	return meaning(reason);
}

int mp__auth_refusal(const uint8_t *in, size_t size)
{
	return is_word(in, size) && in[AT_TYPE] == REFUSAL ? meaning(in[AT_REASON]) : nonsense();
}

/* --- the four steps --------------------------------------------------------------------------- */

static int hear_hello(struct mp__auth *auth, const uint8_t *in, uint8_t *out, bool *ret_say)
{
	bool has_key = in[AT_KEY] != 0;

	if (in[AT_VERSION] != MP__AUTH_VERSION)
		return refuse(auth, OTHER_VERSION, out, ret_say);
	if (has_key != (auth->key != NULL))
		return refuse(auth, auth->key ? KEY_WANTED : NO_KEY_HERE, out, ret_say);
	note(auth, HELLO, in);
	if (!has_key) {
		auth->state = ENDED;
		return 1;
	}
	word(out, CHALLENGE);
	out[AT_KEY] = 1;
	int r = random_body(out);
	if (r < 0)
		return r;
	note(auth, CHALLENGE, out);
	auth->state = WAIT_PROOF;
	*ret_say = true;
	return 0;
}

static int hear_challenge(struct mp__auth *auth, const uint8_t *in, uint8_t *out, bool *ret_say)
{
	note(auth, CHALLENGE, in);
	word(out, PROOF);
	prove(auth, 'C', CHALLENGE, out + AT_BODY);
	note(auth, PROOF, out);
	auth->state = WAIT_WELCOME;
	*ret_say = true;
	return 0;
}

static int hear_proof(struct mp__auth *auth, const uint8_t *in, uint8_t *out, bool *ret_say)
{
	if (!proved(auth, 'C', CHALLENGE, in))
		return refuse(auth, WRONG_KEY, out, ret_say);
	note(auth, PROOF, in);
	word(out, WELCOME);
	prove(auth, 'L', PROOF, out + AT_BODY);
	auth->state = ENDED;
	*ret_say = true;
	return 1;
}

static int hear_welcome(struct mp__auth *auth, const uint8_t *in)
{
	auth->state = ENDED;
	return proved(auth, 'L', PROOF, in) ? 1 : meaning(WRONG_KEY);
}

int mp__auth_feed(
	struct mp__auth *auth, const uint8_t *in, size_t size, uint8_t *out, bool *ret_say)
{
	*ret_say = false;
	if (!is_word(in, size))
		return nonsense();
	if (in[AT_TYPE] == REFUSAL && auth->role == MP__AUTH_CLIENT)
		return mp__auth_refusal(in, size);
	if (auth->state == WAIT_HELLO && in[AT_TYPE] == HELLO)
		return hear_hello(auth, in, out, ret_say);
	/* Only who has heard the hello may see another version of a message: both said theirs. */
	if (in[AT_VERSION] != MP__AUTH_VERSION)
		return meaning(OTHER_VERSION);
	if (auth->state == WAIT_CHALLENGE && in[AT_TYPE] == CHALLENGE)
		return hear_challenge(auth, in, out, ret_say);
	if (auth->state == WAIT_PROOF && in[AT_TYPE] == PROOF)
		return hear_proof(auth, in, out, ret_say);
	if (auth->state == WAIT_WELCOME && in[AT_TYPE] == WELCOME)
		return hear_welcome(auth, in);
	return nonsense();
}
