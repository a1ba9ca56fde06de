/* SPDX-License-Identifier: MIT */
/*
 * tests/support/sessions.h - a server without sockets: sessions are fed by hand, their answers read from
 * their output, and turns of the loop and the clock are what the test says.
 */
#ifndef TESTS_SUPPORT_SESSIONS_H
#define TESTS_SUPPORT_SESSIONS_H

#include "proto/manager.pb-c.h"
#include "serve/session.h"

enum { T_SESSIONS = 3 };

struct t_sessions {
	struct serve_context context;
	struct serve_session sessions[T_SESSIONS];
	uint32_t inner; /* anonymous objects inside of named ones */
};

/* What the calls of a test wait with: no limit. */
#define T_CALL_FOREVER (-1)

/* Each has said hello. limits NULL: those of everybody. */
void t_setup_sessions(struct t_sessions *f, const struct serve_service *service,
	const struct serve_limits *limits);
/* Nothing of them may be left: objects without names, timers, who holds or waits. */
void t_teardown_sessions(struct t_sessions *f);

void t_send_request(struct serve_session *s, Mp__Request *request, uint64_t id);
/* The next answer, to be freed; NULL: there is none. */
Mp__Response *t_next_answer(struct serve_session *s);
/* The next answer is to this request, with this code; its result, or -1. */
int64_t t_expect_answer(struct serve_session *s, uint64_t id, Mp__Code code);
void t_expect_silence(struct serve_session *s);

/* The reference. */
uint64_t t_open_named(struct serve_session *s, const char *class_name, const char *name);
void t_call_with(struct serve_session *s, uint64_t id, uint64_t reference, const char *method,
	uint64_t thread, int64_t timeout_ms, ProtobufCBinaryData args);
void t_call(struct serve_session *s, uint64_t id, uint64_t reference, const char *method,
	uint64_t thread, int64_t timeout_ms);
/* One that is answered at once. */
void t_call_ok(struct serve_session *s, uint64_t id, uint64_t reference, const char *method,
	uint64_t thread, int64_t timeout_ms);
void t_cancel(struct serve_session *s, uint64_t id, uint64_t which);
void t_close_reference(struct serve_session *s, uint64_t id, uint64_t reference);

#endif
