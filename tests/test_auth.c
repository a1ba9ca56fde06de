/* SPDX-License-Identifier: MIT */
/* The handshake as messages, without sockets: both sides in one hand, and somebody in between. */
#include <config.h>

#include "tests/support/support.h"

#include "conn/auth.h"
#include "conn/hmac.h"

T_SUITE(auth);

#ifdef HAVE_NETTLE

enum { AT_VERSION = 4, AT_TYPE = 5, AT_KEY = 6, AT_REASON = 7, AT_BODY = 8 };
enum { WELCOME = 4, REFUSAL = 5 };

struct meeting {
	struct mp__auth client, listener;
	uint8_t hello[MP__AUTH_SIZE], challenge[MP__AUTH_SIZE], proof[MP__AUTH_SIZE];
	uint8_t welcome[MP__AUTH_SIZE], refusal[MP__AUTH_SIZE];
	bool says;
};

static void begin(struct meeting *m, const char *client_key, const char *listener_key)
{
	T_OK(mp__auth_start(&m->client, MP__AUTH_CLIENT, client_key, strlen(client_key), m->hello));
	T_OK(mp__auth_start(
		&m->listener, MP__AUTH_LISTENER, listener_key, strlen(listener_key), m->challenge));
}

/* Up to the client's proof. */
static void meet(struct meeting *m, const char *client_key, const char *listener_key)
{
	begin(m, client_key, listener_key);
	T_OK(mp__auth_feed(&m->listener, m->hello, MP__AUTH_SIZE, m->challenge, &m->says));
	cr_assert(m->says);
	T_OK(mp__auth_feed(&m->client, m->challenge, MP__AUTH_SIZE, m->proof, &m->says));
	cr_assert(m->says);
}

Test(auth, both_sides_know_the_key)
{
	struct meeting m;

	meet(&m, "key", "key");
	T_RESULT(mp__auth_feed(&m.listener, m.proof, MP__AUTH_SIZE, m.welcome, &m.says), 1);
	cr_assert(m.says);
	T_RESULT(mp__auth_feed(&m.client, m.welcome, MP__AUTH_SIZE, m.refusal, &m.says), 1);
	cr_assert_not(m.says);
	/* Nothing is expected any more. */
	T_RESULT(mp__auth_feed(&m.client, m.welcome, MP__AUTH_SIZE, m.refusal, &m.says), -EPROTO);
	T_RESULT(mp__auth_feed(&m.listener, m.proof, MP__AUTH_SIZE, m.refusal, &m.says), -EPROTO);
}

/* CPython: test_deliver_challenge_auth_failure. Every byte of a proof counts. */
Test(auth, deliver_challenge_auth_failure)
{
	for (int i = AT_BODY; i < MP__AUTH_SIZE; i++) {
		struct meeting m;
		meet(&m, "key", "key");
		m.proof[i] ^= 1;
		T_RESULT(mp__auth_feed(&m.listener, m.proof, MP__AUTH_SIZE, m.refusal, &m.says),
			-EKEYREJECTED);
		cr_assert(m.says && m.refusal[AT_TYPE] == REFUSAL);
		T_RESULT(mp__auth_feed(&m.client, m.refusal, MP__AUTH_SIZE, m.welcome, &m.says),
			-EKEYREJECTED);
		cr_assert_not(m.says);
	}
}

/* CPython: test_answer_challenge_auth_failure. */
Test(auth, answer_challenge_auth_failure)
{
	for (int i = AT_BODY; i < MP__AUTH_SIZE; i++) {
		struct meeting m;
		meet(&m, "key", "key");
		T_RESULT(mp__auth_feed(&m.listener, m.proof, MP__AUTH_SIZE, m.welcome, &m.says), 1);
		m.welcome[i] ^= 1;
		T_RESULT(mp__auth_feed(&m.client, m.welcome, MP__AUTH_SIZE, m.refusal, &m.says),
			-EKEYREJECTED);
	}
}

/* Who does not know the key sends back what the client itself has said. */
Test(auth, a_proof_is_of_no_use_to_the_other_side)
{
	struct meeting m;

	meet(&m, "key", "key");
	memcpy(m.welcome, m.proof, MP__AUTH_SIZE);
	m.welcome[AT_TYPE] = WELCOME;
	T_RESULT(mp__auth_feed(&m.client, m.welcome, MP__AUTH_SIZE, m.refusal, &m.says),
		-EKEYREJECTED);
}

Test(auth, a_proof_is_of_no_use_another_time)
{
	struct meeting first, second;

	meet(&first, "key", "key");
	meet(&second, "key", "key");
	cr_assert_neq(memcmp(first.hello + AT_BODY, second.hello + AT_BODY, MP__HMAC_SIZE), 0);
	cr_assert_neq(
		memcmp(first.challenge + AT_BODY, second.challenge + AT_BODY, MP__HMAC_SIZE), 0);
	T_RESULT(mp__auth_feed(&second.listener, first.proof, MP__AUTH_SIZE, second.refusal,
			 &second.says),
		-EKEYREJECTED);
}

/* Somebody in between changes what was said: the proofs cover it. */
Test(auth, what_was_said_is_proved_too)
{
	struct meeting m;

	begin(&m, "key", "key");
	m.hello[AT_REASON] = 1;
	T_OK(mp__auth_feed(&m.listener, m.hello, MP__AUTH_SIZE, m.challenge, &m.says));
	T_OK(mp__auth_feed(&m.client, m.challenge, MP__AUTH_SIZE, m.proof, &m.says));
	T_RESULT(mp__auth_feed(&m.listener, m.proof, MP__AUTH_SIZE, m.refusal, &m.says),
		-EKEYREJECTED);
}

Test(auth, versions_and_keys_that_do_not_match)
{
	struct meeting m;

	begin(&m, "key", "key");
	m.hello[AT_VERSION] = 2;
	T_RESULT(mp__auth_feed(&m.listener, m.hello, MP__AUTH_SIZE, m.refusal, &m.says), -EPROTO);
	cr_assert(m.says);
	T_RESULT(mp__auth_feed(&m.client, m.refusal, MP__AUTH_SIZE, m.proof, &m.says), -EPROTO);

	begin(&m, "key", "key");
	m.hello[AT_KEY] = 0;
	T_RESULT(mp__auth_feed(&m.listener, m.hello, MP__AUTH_SIZE, m.refusal, &m.says),
		-EKEYREJECTED);
	T_RESULT(mp__auth_refusal(m.refusal, MP__AUTH_SIZE), -EKEYREJECTED);
	T_RESULT(mp__auth_refusal(m.refusal, MP__AUTH_SIZE - 1), -EPROTO);
	m.refusal[AT_REASON] = 99;
	T_RESULT(mp__auth_refusal(m.refusal, MP__AUTH_SIZE), -EPROTO);

	/* Out of turn, cut, or to the wrong side. */
	begin(&m, "key", "key");
	T_RESULT(mp__auth_feed(&m.client, m.hello, MP__AUTH_SIZE, m.proof, &m.says), -EPROTO);
	T_RESULT(mp__auth_feed(&m.listener, m.hello, MP__AUTH_SIZE - 1, m.proof, &m.says), -EPROTO);
	T_RESULT(mp__auth_feed(&m.listener, m.refusal, MP__AUTH_SIZE, m.proof, &m.says), -EPROTO);
}

/* RFC 4231, test case 2. */
Test(auth, the_digest_is_hmac_sha256)
{
	static const uint8_t expected[] = {0x5b, 0xdc, 0xc1, 0x46, 0xbf, 0x60, 0x75, 0x4e, 0x6a,
		0x04, 0x24, 0x26, 0x08, 0x95, 0x75, 0xc7, 0x5a, 0x00, 0x3f, 0x08, 0x9d, 0x27, 0x39,
		0x83, 0x9d, 0xec, 0x58, 0xb9, 0x64, 0xec, 0x38, 0x43};
	uint8_t digest[MP__HMAC_SIZE];

	mp__hmac_sha256("Jefe", 4, "what do ya want for nothing?", 28, digest);
	cr_assert_eq(memcmp(digest, expected, sizeof(expected)), 0);
}

#else

Test(auth, keys_need_a_library)
{
	uint8_t out[MP__AUTH_SIZE];
	struct mp__auth auth;

	T_RESULT(mp__auth_start(&auth, MP__AUTH_CLIENT, "key", 3, out), -ENOTSUP);
	T_RESULT(mp__auth_start(&auth, MP__AUTH_CLIENT, NULL, 0, out), 1);
}

#endif
