/* SPDX-License-Identifier: MIT */
/*
 * serve/inspect.h - operations for those who look after a server: what is there, who is there, who has
 * and waits for what, and the end.
 *
 * Each walks over what others have and changes nothing of it; how long that takes is counted as effort
 * of the session that asks. The server's own user and root see everything, others what is theirs.
 */
#ifndef SERVE_INSPECT_H
#define SERVE_INSPECT_H

#include "serve/session.h"

/* Objects of one answer. */
#define SERVE_INSPECT_MAX 1000

/* False: the request is none of these. *ret_r is what the functions of serve/reply.h return. */
bool serve_inspect(struct serve_session *session, const struct Mp__Request *request, int *ret_r);

/* Is it the server's own user, or root? */
bool serve_is_keeper(const struct serve_session *session);

#endif
