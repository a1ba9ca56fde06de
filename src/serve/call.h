/* SPDX-License-Identifier: MIT */
/*
 * serve/call.h - one call of a method: its arguments, and the ways to answer it.
 *
 * Every call is answered exactly once: by its method before that returns, or later if it was parked
 * (serve/waiter.h). The functions that read an argument answer a wrong one themselves, so that a method
 * reads
 *
 *	if (!serve_arg_i64(call, 0, &n))
 *		return call->failed;
 */
#ifndef SERVE_CALL_H
#define SERVE_CALL_H

#include "proto/manager.pb-c.h"
#include "serve/bytes.h"
#include "serve/class.h"
#include "serve/registry.h"
#include "serve/session.h"
#include "wire/value.h"

#include <mp/cdefs.h>
#include <stdbool.h>
#include <stdint.h>

#define SERVE_FOREVER UINT64_MAX

struct serve_call {
	struct serve_session *session;
	struct serve_object *object;
	const struct serve_method *method; /* NULL: the object is being made */
	uint64_t id;
	uint64_t thread;
	uint64_t timeout_ms; /* SERVE_FOREVER; 0: not at all */
	int failed;          /* what serve_fail() returned: the result of the method */
	bool refused;        /* it was called, or the answer did not fit or found no memory */
};

/* Look the method up, check the arguments, run it. The request's errors are answered. */
int serve_call_run(struct serve_session *session, uint64_t id, Mp__Call *request);
/* Take `args` apart into context->args, as `what` with so many arguments. False: it is answered. */
bool serve_call_args(struct serve_call *call, const char *what, ProtobufCBinaryData args,
	unsigned int min, unsigned int max);

/* --- arguments; only while the method runs ---------------------------------------------------- */

/* How many there are. */
size_t serve_args(const struct serve_call *call);
/* There is such an argument, and it is not nil. */
bool serve_arg_given(const struct serve_call *call, size_t index);
/* MP_TYPE_; nil if it is not there. */
uint32_t serve_arg_type(const struct serve_call *call, size_t index);

bool serve_arg_bool(struct serve_call *call, size_t index, bool *ret);
bool serve_arg_i64(struct serve_call *call, size_t index, int64_t *ret);
bool serve_arg_f64(struct serve_call *call, size_t index, double *ret);
bool serve_arg_str(struct serve_call *call, size_t index, struct serve_bytes *ret);
/* Any value, encoded and checked. It may be stored; what refers to objects is serve/refer.h's. */
bool serve_arg_value(struct serve_call *call, size_t index, struct serve_bytes *ret);
/* The canonical form of a key, in *key or the argument itself. */
bool serve_arg_key(struct serve_call *call, size_t index, struct mp__key *key);

/* Of an encoded value that has been checked, such as a part of an argument. False: it is no text. */
uint32_t serve_type_of(struct serve_bytes value);
bool serve_text_of(struct serve_bytes value, struct serve_bytes *ret);

/* Work that grows with the object: so that one call does not keep the others waiting for long. */
void serve_effort(struct serve_call *call, size_t entries);

/*
 * May the object become so much larger? False: its user has as many bytes as he may, and that is
 * answered.
 */
bool serve_may_grow(struct serve_call *call, size_t bytes);

/* A number for the object on the caller's connection, as serve_session_add_reference(). False: that is answered. */
bool serve_open_for_caller(struct serve_call *call, struct serve_object *object, uint64_t *ret);

/* --- answers ---------------------------------------------------------------------------------- */

int serve_answer_nil(struct serve_call *call);
int serve_answer_bool(struct serve_call *call, bool value);
int serve_answer_i64(struct serve_call *call, int64_t value);
int serve_answer_f64(struct serve_call *call, double value);
/* An encoded value; what stands around it in the frame takes at most so many bytes. */
#define SERVE_AROUND_VALUE 32
int serve_answer_value(struct serve_call *call, struct serve_bytes value);
/* Any other response of code OK. */
int serve_answer_response(struct serve_call *call, Mp__Response *response);
/* A number with OWNER_DIED instead of OK. */
int serve_answer_owner_died(struct serve_call *call, int64_t value);
/* An error, with what was attempted and why it cannot be. */
int serve_fail(struct serve_call *call, Mp__Code code, const char *format, ...) MP__PRINTF(3, 4);
int serve_fail_no_memory(struct serve_call *call);
/* FAILED: an error number of the program's own, with the sentence in mp_error_detail(). */
int serve_fail_errno(struct serve_call *call, int result);
/* `result` is of this library, with its sentence in mp_error_detail(). */
int serve_fail_result(struct serve_call *call, int result);

#endif
