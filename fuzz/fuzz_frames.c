/* SPDX-License-Identifier: MIT */
/*
 * Any bytes as what a client sends to managerd, in pieces: the session takes whole frames, answers
 * each with a whole frame, and leaves no wait and no hold behind when it ends. The first byte says how the
 * rest is cut; a second session then finds the daemon in order.
 */
#include <config.h>

#include "fuzz/fuzz.h"

#include "managerd/classes.h"
#include "obj/handle.h"
#include "serve/session.h"
#include "proto/manager.pb-c.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/*
 * What is random anywhere repeats a byte here, another one each time, so that an input can name an object
 * that it has made.
 */
static uint8_t n_random;

ssize_t __wrap_getrandom(void *buffer, size_t length, unsigned flags);
ssize_t __wrap_getrandom(void *buffer, size_t length, unsigned flags)
{
	(void)flags;
	if (length == MP__REFERENCE_TOKEN)
		n_random++;
	memset(buffer, n_random, length);
	return (ssize_t)length;
}

static const uint8_t hello[] = {6, 0, 0, 0, 0x08, 1, 0x12, 2, 0x08, 1};
static const uint8_t ping[] = {4, 0, 0, 0, 0x08, 7, 0x1a, 0};

#define expect(condition)                                                                       \
	do {                                                                                    \
		if (!(condition)) {                                                             \
			fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition); \
			abort();                                                                \
		}                                                                               \
	} while (0)

/* What the session says must be frames with responses. */
static size_t read_answers(struct serve_session *session)
{
	size_t n = 0;

	while (mp__buffer_size(&session->out) > 0) {
		size_t length;
		expect(mp__frame_next(mp__buffer_at(&session->out), mp__buffer_size(&session->out),
			       MP__FRAME_MAX, &length) == 1);
		Mp__Response *response =
			mp__response__unpack(NULL, length, mp__buffer_at(&session->out) + 4);
		expect(response != NULL);
		expect(protobuf_c_enum_descriptor_get_value(
			&mp__code__descriptor, (int)response->code));
		bool done =
			response->code == MP__CODE__OK || response->code == MP__CODE__OWNER_DIED;
		expect(done == (response->detail[0] == '\0'));
		mp__response__free_unpacked(response, NULL);
		mp__buffer_consume(&session->out, MP__FRAME_HEADER + length);
		n++;
	}
	return n;
}

static int feed(struct serve_session *session, const uint8_t *data, size_t size, size_t step)
{
	int r = 0;

	for (size_t at = 0; at < size && r == 0; at += step) {
		size_t piece = size - at < step ? size - at : step;
		r = serve_session_feed(session, data + at, piece);
		expect(r == 0 || r == SERVE_SESSION_E_END);
		while (r == 0 && session->paused) {
			read_answers(session);
			serve_context_turn(session->context);
			r = serve_session_feed(session, NULL, 0);
		}
	}
	read_answers(session);
	return r;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct serve_limits limits = SERVE_LIMITS_DEFAULT;
	struct serve_context context;
	struct serve_session session;

	if (size == 0)
		return 0;
	limits.max_frame = 1 << 16;
	limits.max_output = 256;
	limits.max_objects = 16;
	limits.max_references = 8;
	n_random = 0;
	expect(serve_context_init(&context, &md_served, &limits) == 0);
	serve_session_init(&session, &context, -1);
	/* Half of the inputs start behind the hello, so that the fuzzer need not find it. */
	if (data[0] & 0x80)
		feed(&session, hello, sizeof(hello), sizeof(hello));
	feed(&session, data + 1, size - 1, (data[0] & 0x7f) + 1u);
	serve_session_deinit(&session);
	expect(context.actors.count == 0 && context.n_waiters == 0 && !context.dirty);

	serve_session_init(&session, &context, -1);
	expect(serve_session_feed(&session, hello, sizeof(hello)) == 0);
	expect(serve_session_feed(&session, ping, sizeof(ping)) == 0);
	expect(read_answers(&session) == 2);
	serve_session_deinit(&session);
	serve_context_deinit(&context);
	return 0;
}
