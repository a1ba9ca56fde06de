/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "manager/prove.h"

#include "base/error.h"
#include "conn/auth.h"

#include <stdlib.h>

/* Names a file with the key of managers that are connected to without one. */
#define MP__AUTHKEY_VARIABLE "MP_AUTHKEY_FILE"

/* Say a word, hear one. */
static int exchange(struct mp__connection *c, struct mp__auth *auth, uint8_t *word, bool *ret_more,
	mp__deadline deadline)
{
	Mp__Auth op = MP__AUTH__INIT;
	struct mp__reply reply;

	op.word = (ProtobufCBinaryData){MP__AUTH_SIZE, word};
	Mp__Request request = MP__REQUEST(AUTH, auth, &op);
	int r = mp__connection_call(c, &request, deadline, &reply);
	if (r < 0)
		return r;
	/* Whoever answers otherwise has proved nothing. */
	if (reply.response->result_case != MP__RESPONSE__RESULT_AUTH)
		r = mp_error_set(-EPROTO, "managerd did not prove the key");
	else
		r = mp__auth_feed(
			auth, reply.response->auth.data, reply.response->auth.len, word, ret_more);
	mp__reply_free(&reply);
	return r;
}

static int prove_key(struct mp__connection *c, const struct mp__authkey *key, mp__deadline deadline)
{
	uint8_t word[MP__AUTH_SIZE];
	struct mp__auth auth;
	bool more = true;

	int r = mp__auth_start(&auth, MP__AUTH_CLIENT, key->bytes, key->size, word);
	while (r == 0 && more)
		r = exchange(c, &auth, word, &more, deadline);
	return r < 0 ? r : 0;
}

int mp__prove(struct mp__connection *c, const struct mp__address *address, mp__deadline deadline)
{
	const char *path = secure_getenv(MP__AUTHKEY_VARIABLE);
	struct mp__authkey key;

	if (address->key.size > 0)
		return prove_key(c, &address->key, deadline);
	if (address->connector >= 0 || !path || !*path)
		return 0;
	int r = mp__authkey_read(&key, path);
	if (r == 0)
		r = prove_key(c, &key, deadline);
	mp__authkey_wipe(&key);
	return r;
}
