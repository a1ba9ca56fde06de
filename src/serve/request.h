/* SPDX-License-Identifier: MIT */
/*
 * serve/request.h - one message from a client: unpacked, checked, carried out, answered.
 *
 * This is where the protocol meets the served types; nothing else in the daemon knows protobuf. A
 * client's mistake is an answer with a code, at worst the end of its session, never more.
 */
#ifndef SERVE_REQUEST_H
#define SERVE_REQUEST_H

#include "serve/session.h"

/*
 * The message of one frame. The answer stands in the session's output. SERVE_SESSION_E_END;
 * SERVE_SESSION_E_LATER: the same message again in the next turn.
 */
int serve_request_run(struct serve_session *session, const uint8_t *message, size_t size);

/* Say why the session ends, and SERVE_SESSION_E_END. */
int serve_request_refuse(struct serve_session *session, const char *why);

/* A frame that refuses a connection before anything was read from it; *ret_size of `frame`. */
size_t serve_request_denial(int code, const char *why, void *frame, size_t room);

#endif
