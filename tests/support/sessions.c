/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "tests/support/sessions.h"

#include "manager/message.h"
#include "obj/wireformat.h"
#include "tests/support/support.h"
#include "wire/frame.h"

#include <mp.h>
#include <string.h>

void t_send_request(struct serve_session *s, Mp__Request *request, uint64_t id)
{
	struct mp__buffer frame = {0};

	request->id = id;
	T_OK(mp__frame_append(&frame, &request->base, MP__FRAME_MAX));
	T_OK(serve_session_feed(s, mp__buffer_at(&frame), mp__buffer_size(&frame)));
	mp__buffer_free(&frame);
}

/* The next answer, to be freed; NULL: there is none. */
Mp__Response *t_next_answer(struct serve_session *s)
{
	size_t length;

	if (mp__frame_next(mp__buffer_at(&s->out), mp__buffer_size(&s->out), SIZE_MAX, &length) !=
		1)
		return NULL;
	Mp__Response *r =
		mp__response__unpack(NULL, length, mp__buffer_at(&s->out) + MP__FRAME_HEADER);
	cr_assert_not_null(r);
	mp__buffer_consume(&s->out, MP__FRAME_HEADER + length);
	return r;
}

/* The next answer is to this request, with this code; its result, or -1. */
int64_t t_expect_answer(struct serve_session *s, uint64_t id, Mp__Code code)
{
	Mp__Response *r = t_next_answer(s);
	int64_t number = -1;
	mp_obj value;

	cr_assert_not_null(r, "no answer to %d", (int)id);
	cr_assert(r->id == id && r->code == code, "id %d, code %d: %s", (int)r->id, (int)r->code,
		r->detail);
	if (r->result_case == MP__RESPONSE__RESULT_VALUE) {
		T_OK(mp_obj_decode(r->value.data, r->value.len, &value));
		number = value.type == MP_TYPE_I64 ? mp_obj_i64(&value) : 0;
		mp_obj_free(&value);
	} else if (r->result_case == MP__RESPONSE__RESULT_COUNT) {
		number = (int64_t)r->count;
	} else if (r->result_case == MP__RESPONSE__RESULT_OPENED) {
		number = (int64_t)r->opened->reference;
	}
	mp__response__free_unpacked(r, NULL);
	return number;
}

void t_expect_silence(struct serve_session *s)
{
	cr_assert(mp__buffer_size(&s->out) == 0);
}

void t_setup_sessions(struct t_sessions *f, const struct serve_service *service,
	const struct serve_limits *limits)
{
	const struct serve_limits defaults = SERVE_LIMITS_DEFAULT;

	f->inner = 0;
	T_OK(serve_context_init(&f->context, service, limits ? limits : &defaults));
	for (int i = 0; i < T_SESSIONS; i++) {
		Mp__Hello hello = MP__HELLO__INIT;
		serve_session_init(&f->sessions[i], &f->context, -1);
		f->sessions[i].pid = 100 + i;
		hello.version = 1;
		Mp__Request request = MP__REQUEST(HELLO, hello, &hello);
		t_send_request(&f->sessions[i], &request, 1);
		t_expect_answer(&f->sessions[i], 1, MP__CODE__OK);
	}
}

void t_teardown_sessions(struct t_sessions *f)
{
	for (int i = 0; i < T_SESSIONS; i++)
		serve_session_deinit(&f->sessions[i]);
	cr_assert(f->context.actors.count == 0, "an actor outlived its session");
	cr_assert(f->context.timers.count == 0, "a timer outlived its session");
	cr_assert(f->context.registry.tokens.live == f->context.registry.names.live + f->inner,
		"an anonymous object outlived its session");
	serve_context_deinit(&f->context);
}

uint64_t t_open_named(struct serve_session *s, const char *class_name, const char *name)
{
	Mp__Open open = MP__OPEN__INIT;

	open.class_name = (char *)class_name;
	open.name = (ProtobufCBinaryData){strlen(name), (uint8_t *)name};
	Mp__Request request = MP__REQUEST(OPEN, open, &open);
	t_send_request(s, &request, 2);
	return (uint64_t)t_expect_answer(s, 2, MP__CODE__OK);
}

void t_call_with(struct serve_session *s, uint64_t id, uint64_t reference, const char *method,
	uint64_t thread, int64_t timeout_ms, ProtobufCBinaryData args)
{
	Mp__Call call = MP__CALL__INIT;

	call.reference = reference;
	call.method = (char *)method;
	call.thread = thread;
	call.args = args;
	if (timeout_ms >= 0) {
		call.patience_case = MP__CALL__PATIENCE_TIMEOUT_MS;
		call.timeout_ms = (uint64_t)timeout_ms;
	}
	Mp__Request request = MP__REQUEST(CALL, call, &call);
	t_send_request(s, &request, id);
}

void t_call(struct serve_session *s, uint64_t id, uint64_t reference, const char *method,
	uint64_t thread, int64_t timeout_ms)
{
	t_call_with(s, id, reference, method, thread, timeout_ms, (ProtobufCBinaryData){0});
}

/* One that is answered at once. */
void t_call_ok(struct serve_session *s, uint64_t id, uint64_t reference, const char *method,
	uint64_t thread, int64_t timeout_ms)
{
	t_call(s, id, reference, method, thread, timeout_ms);
	t_expect_answer(s, id, MP__CODE__OK);
}

void t_cancel(struct serve_session *s, uint64_t id, uint64_t which)
{
	Mp__Cancel op = MP__CANCEL__INIT;

	op.id = which;
	Mp__Request request = MP__REQUEST(CANCEL, cancel, &op);
	t_send_request(s, &request, id);
}

void t_close_reference(struct serve_session *s, uint64_t id, uint64_t reference)
{
	Mp__Close op = MP__CLOSE__INIT;

	op.reference = reference;
	Mp__Request request = MP__REQUEST(CLOSE, close, &op);
	t_send_request(s, &request, id);
	t_expect_answer(s, id, MP__CODE__OK);
}
