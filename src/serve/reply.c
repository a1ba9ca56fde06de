/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "serve/reply.h"

#include "base/error.h"
#include "wire/quick.h"

#include <inttypes.h>
#include <stdio.h>

/* Whoever is not at work just now has to be told to send. */
static void touched(struct serve_session *session)
{
	if (session->context->current != session)
		serve_session_make_dirty(session);
}

static int beyond_help(struct serve_session *session)
{
	session->failed = true;
	touched(session);
	return SERVE_SESSION_E_END;
}

static int reply_error(struct serve_session *session, uint64_t id, Mp__Code code, int32_t error,
	const char *detail)
{
	Mp__Response response = MP__RESPONSE__INIT;

	serve_count_code(&session->context->stats, (unsigned int)code);
	response.id = id;
	response.code = code;
	response.error = error;
	response.detail = (char *)detail;
	/* Before the hello the limit is what the answer to it needs. */
	if (mp__frame_append(&session->out, &response.base, MP__FRAME_FIRST_MAX) < 0)
		return beyond_help(session);
	touched(session);
	return 0;
}

int serve_reply_verror(
	struct serve_session *session, uint64_t id, Mp__Code code, const char *format, va_list args)
{
	char text[MP__DETAIL_SIZE];

	vsnprintf(text, sizeof(text), format, args);
	return reply_error(session, id, code, 0, text);
}

int serve_reply_failed(
	struct serve_session *session, uint64_t id, int32_t error, const char *detail)
{
	return reply_error(session, id, MP__CODE__FAILED, error, detail);
}

int serve_reply_error(
	struct serve_session *session, uint64_t id, Mp__Code code, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	int r = serve_reply_verror(session, id, code, format, args);
	va_end(args);
	return r;
}

/* The answer has been appended, or why not. */
static int appended(struct serve_session *session, uint64_t id, int r)
{
	if (r == -EMSGSIZE)
		return serve_reply_error(session, id, MP__CODE__TOO_LARGE,
			"the answer does not fit in a frame of %" PRIu32 " bytes",
			session->context->limits.max_frame);
	if (r < 0)
		return beyond_help(session);
	touched(session);
	return 0;
}

int serve_reply(struct serve_session *session, uint64_t id, Mp__Response *response)
{
	response->id = id;
	return appended(session, id,
		mp__frame_append(
			&session->out, &response->base, session->context->limits.max_frame));
}

int serve_reply_ok(struct serve_session *session, uint64_t id)
{
	return appended(session, id, mp__quick_ok(&session->out, id));
}

int serve_reply_count(struct serve_session *session, uint64_t id, uint64_t count)
{
	return appended(session, id, mp__quick_count(&session->out, id, count));
}

int serve_reply_value(struct serve_session *session, uint64_t id, struct serve_bytes value)
{
	return appended(session, id,
		mp__quick_value(&session->out, id, value.data, value.size,
			session->context->limits.max_frame));
}

Mp__Code serve_code_of(int result)
{
	switch (result) {
	case -ENOMEM:
		return MP__CODE__NO_MEMORY;
	case -EINVAL:
		return MP__CODE__INVALID;
	case -ENOTSUP:
		return MP__CODE__UNSUPPORTED;
	case -EOVERFLOW:
		return MP__CODE__TOO_DEEP;
	case -EBADMSG:
		return MP__CODE__BAD_VALUE;
	case -EMSGSIZE:
		return MP__CODE__TOO_LARGE;
	case -EPIPE:
		return MP__CODE__GONE;
	default:
		return MP__CODE__INTERNAL;
	}
}
