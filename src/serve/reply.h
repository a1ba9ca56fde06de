/* SPDX-License-Identifier: MIT */
/*
 * serve/reply.h - responses: appended to the output of a session, sent later.
 *
 * The answer to the request in hand goes out when its session's turn is over. One for another
 * session (somebody's release is somebody else's acquire) makes that session dirty: it is
 * flushed before the loop sleeps again.
 *
 * All return 0 or SERVE_SESSION_E_END: the session is beyond help, and will be ended.
 */
#ifndef SERVE_REPLY_H
#define SERVE_REPLY_H

#include "proto/manager.pb-c.h"
#include "serve/bytes.h"
#include "serve/session.h"

#include <mp/cdefs.h>
#include <stdarg.h>

int serve_reply(struct serve_session *session, uint64_t id, Mp__Response *response);
int serve_reply_ok(struct serve_session *session, uint64_t id);
int serve_reply_count(struct serve_session *session, uint64_t id, uint64_t count);
int serve_reply_value(struct serve_session *session, uint64_t id, struct serve_bytes value);
int serve_reply_error(struct serve_session *session, uint64_t id, Mp__Code code, const char *format,
	...) MP__PRINTF(4, 5);
int serve_reply_verror(struct serve_session *session, uint64_t id, Mp__Code code,
	const char *format, va_list args) MP__PRINTF(4, 0);

/* FAILED with this error number. */
int serve_reply_failed(
	struct serve_session *session, uint64_t id, int32_t error, const char *detail);

/* The code for a result of libmp. */
Mp__Code serve_code_of(int result);

#endif
