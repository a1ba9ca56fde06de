/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "serve/prove.h"

#include "base/deadline.h"
#include "base/error.h"
#include "conn/auth.h"
#include "proto/manager.pb-c.h"
#include "serve/log.h"
#include "serve/reply.h"

#include <inttypes.h>
#include <stdlib.h>

#define NS_PER_SECOND INT64_C(1000000000)
/* Who mistypes a key does not wait; then it is one second, two, four, and so on to a minute. */
#define WRONG_FREE 3
#define WAIT_MAX_S 64

bool serve_proved(const struct serve_session *session)
{
	return session->context->key->size == 0 || session->proved;
}

void serve_prove_forget(struct serve_session *session)
{
	free(session->auth);
	session->auth = NULL;
}

static int refuse(struct serve_session *session, uint64_t id, Mp__Code code, const char *why)
{
	serve_log("key", session->pid, session->uid, "pid %d of uid %u: %s", (int)session->pid,
		(unsigned)session->uid, why);
	(void)serve_reply_error(session, id, code, "%s", why);
	return SERVE_SESSION_E_END;
}

int serve_prove_missing(struct serve_session *session, uint64_t id)
{
	return refuse(session, id, MP__CODE__WRONG_KEY,
		"this server wants a key: connect with the option authkey, or name its file in "
		"MP_AUTHKEY_FILE");
}

/* So much later the next proof of this user is looked at. */
static int64_t penalty_ns(uint32_t wrong)
{
	uint32_t more = wrong - WRONG_FREE;

	if (wrong < WRONG_FREE)
		return 0;
	return (more < 6 ? INT64_C(1) << more : WAIT_MAX_S) * NS_PER_SECOND;
}

static void count_wrong(struct serve_account *account)
{
	if (!account)
		return;
	account->wrong_keys += account->wrong_keys < UINT32_MAX;
	account->next_proof_ns = mp__now_ns() + penalty_ns(account->wrong_keys);
}

static bool must_wait(const struct serve_account *account)
{
	return account && account->next_proof_ns > 0 && mp__now_ns() < account->next_proof_ns;
}

static int answer(struct serve_session *session, uint64_t id, uint8_t *word)
{
	Mp__Response response = MP__RESPONSE__INIT;

	response.result_case = MP__RESPONSE__RESULT_AUTH;
	response.auth = (ProtobufCBinaryData){MP__AUTH_SIZE, word};
	return serve_reply(session, id, &response);
}

static int begin(struct serve_session *session)
{
	const struct mp__authkey *key = session->context->key;
	uint8_t unused[MP__AUTH_SIZE];

	session->auth = malloc(sizeof(*session->auth));
	if (!session->auth)
		return mp_error_set(-ENOMEM, "no memory to prove a key");
	return mp__auth_start(session->auth, MP__AUTH_LISTENER, key->size > 0 ? key->bytes : NULL,
		key->size, unused);
}

int serve_prove(struct serve_session *session, uint64_t id, const Mp__Auth *op)
{
	uint8_t word[MP__AUTH_SIZE];
	bool first = !session->auth;
	bool say;

	if (session->greeted || session->proved)
		return serve_reply_error(
			session, id, MP__CODE__INVALID, "a key proved already, or after the hello");
	if (must_wait(session->account))
		return refuse(session, id, MP__CODE__LIMIT,
			"this user has proved too many wrong keys, and has to wait");
	int r = first ? begin(session) : 0;
	if (r < 0)
		return refuse(session, id, serve_code_of(r), mp_error_detail());
	r = mp__auth_feed(session->auth, op->word.data, op->word.len, word, &say);
	if (r == -EKEYREJECTED) {
		if (!first)
			count_wrong(session->account);
		return refuse(session, id, MP__CODE__WRONG_KEY, mp_error_detail());
	}
	if (r < 0)
		return refuse(session, id, MP__CODE__VIOLATION, mp_error_detail());
	if (r > 0) {
		if (session->account)
			session->account->wrong_keys = 0;
		session->proved = true;
		serve_prove_forget(session);
	}
	return say ? answer(session, id, word) : serve_reply_ok(session, id);
}
