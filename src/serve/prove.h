/* SPDX-License-Identifier: MIT */
/*
 * serve/prove.h - a client and the server prove to each other that they know the same key.
 *
 * What they say is that of connections (conn/auth.h), carried in Auth requests before the hello.
 * Each user may be wrong a few times; then his proofs are not looked at for a while, which gets longer
 * with each wrong one, over however many connections they come. Other users do not notice.
 */
#ifndef SERVE_PROVE_H
#define SERVE_PROVE_H

#include "serve/session.h"

struct Mp__Auth;

/* True when a hello may come. */
bool serve_proved(const struct serve_session *session);

/* SERVE_SESSION_E_END with the last words: the key was wrong, missing, or not wanted. */
int serve_prove(struct serve_session *session, uint64_t id, const struct Mp__Auth *op);
/* A hello without a proof. */
int serve_prove_missing(struct serve_session *session, uint64_t id);
void serve_prove_forget(struct serve_session *session);

#endif
