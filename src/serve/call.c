/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "serve/call.h"

#include "base/error.h"
#include "obj/codec.h"
#include "obj/measure.h"
#include "obj/wireformat.h"
#include "serve/reply.h"
#include "serve/watch.h"

#include <endian.h>
#include <inttypes.h>
#include <string.h>

/* --- answers ---------------------------------------------------------------------------------- */

static bool fits(struct serve_call *call, size_t size)
{
	size_t max = call->session->context->limits.max_frame;

	if (size <= max)
		return true;
	serve_fail(
		call, MP__CODE__TOO_LARGE, "the answer does not fit in a frame of %zu bytes", max);
	return false;
}

/* An answer that found no memory never arrives: what it was to take out stays. */
static int written(struct serve_call *call, int r)
{
	if (r != 0) {
		call->refused = true;
		call->failed = r;
	}
	return r;
}

int serve_answer_value(struct serve_call *call, struct serve_bytes value)
{
	if (!fits(call, value.size + SERVE_AROUND_VALUE))
		return call->failed;
	return written(call, serve_reply_value(call->session, call->id, value));
}

int serve_answer_response(struct serve_call *call, Mp__Response *response)
{
	response->id = call->id;
	if (!fits(call, protobuf_c_message_get_packed_size(&response->base)))
		return call->failed;
	return written(call, serve_reply(call->session, call->id, response));
}

int serve_answer_nil(struct serve_call *call)
{
	static const uint8_t nil[] = {MP__TAG_NIL, 0};

	return serve_answer_value(call, (struct serve_bytes){nil, sizeof(nil)});
}

int serve_answer_bool(struct serve_call *call, bool value)
{
	const uint8_t bytes[] = {MP__TAG_BOOLEAN, value};

	return serve_answer_value(call, (struct serve_bytes){bytes, sizeof(bytes)});
}

static struct serve_bytes encode_i64(int64_t value, uint8_t bytes[1 + MP__VARINT64_BYTES])
{
	uint64_t zigzag = (uint64_t)value << 1 ^ (value < 0 ? UINT64_MAX : 0);

	bytes[0] = MP__TAG_I64;
	return (struct serve_bytes){bytes, (size_t)(mp__varint_put(bytes + 1, zigzag) - bytes)};
}

int serve_answer_i64(struct serve_call *call, int64_t value)
{
	uint8_t bytes[1 + MP__VARINT64_BYTES];

	return serve_answer_value(call, encode_i64(value, bytes));
}

int serve_answer_f64(struct serve_call *call, double value)
{
	uint8_t bytes[1 + sizeof(uint64_t)] = {MP__TAG_F64};
	uint64_t bits;

	memcpy(&bits, &value, sizeof(bits));
	bits = htole64(bits);
	memcpy(bytes + 1, &bits, sizeof(bits));
	return serve_answer_value(call, (struct serve_bytes){bytes, sizeof(bytes)});
}

int serve_answer_owner_died(struct serve_call *call, int64_t value)
{
	Mp__Response response = MP__RESPONSE__INIT;
	uint8_t bytes[1 + MP__VARINT64_BYTES];
	struct serve_bytes encoded = encode_i64(value, bytes);

	response.code = MP__CODE__OWNER_DIED;
	response.result_case = MP__RESPONSE__RESULT_VALUE;
	response.value = (ProtobufCBinaryData){encoded.size, (uint8_t *)encoded.data};
	return written(call, serve_reply(call->session, call->id, &response));
}

int serve_fail(struct serve_call *call, Mp__Code code, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	call->refused = true;
	call->failed = serve_reply_verror(call->session, call->id, code, format, args);
	va_end(args);
	return call->failed;
}

int serve_fail_no_memory(struct serve_call *call)
{
	return serve_fail(call, MP__CODE__NO_MEMORY, "the server is out of memory");
}

int serve_fail_errno(struct serve_call *call, int result)
{
	call->refused = true;
	call->failed = serve_reply_failed(call->session, call->id, -result, mp_error_detail());
	return call->failed;
}

int serve_fail_result(struct serve_call *call, int result)
{
	return serve_fail(call, serve_code_of(result), "%s", mp_error_detail());
}

/* --- arguments -------------------------------------------------------------------------------- */

static bool wrong_count(
	struct serve_call *call, const char *what, unsigned int min, unsigned int max, size_t given)
{
	if (min == max)
		serve_fail(call, MP__CODE__INVALID, "%s takes %u arguments, not %zu", what, min,
			given);
	else
		serve_fail(call, MP__CODE__INVALID, "%s takes %u to %u arguments, not %zu", what,
			min, max, given);
	return false;
}

bool serve_call_args(struct serve_call *call, const char *what, ProtobufCBinaryData args,
	unsigned int min, unsigned int max)
{
	struct serve_context *context = call->session->context;
	struct mp__value_info info;
	uint8_t *data;
	size_t size;
	size_t n = 0;

	context->n_args = 0;
	context->args_references = 0;
	if (args.len == 0)
		return min == 0 || wrong_count(call, what, min, max, 0);
	int r = mp__value_check(args.data, args.len, &info);
	if (r == 0 && info.handles > 0)
		r = mp_error_set(-ENOTSUP, "a handle in an argument for %s", what);
	if (r == 0 && info.type != MP_TYPE_LIST)
		r = mp_error_set(-EINVAL, "the arguments for %s are not a list", what);
	if (r < 0) {
		serve_fail_result(call, r);
		return false;
	}
	struct mp__items items = mp__items_of(args.data, args.len);
	while (mp__items_next(&items, &data, &size)) {
		if (n < SERVE_ARGS_MAX)
			context->args[n] = (struct serve_bytes){data, size};
		n++;
	}
	if (n < min || n > max)
		return wrong_count(call, what, min, max, n);
	context->n_args = n;
	context->args_references = info.references;
	context->effort += info.nodes / 16;
	return true;
}

size_t serve_args(const struct serve_call *call)
{
	return call->session->context->n_args;
}

static const uint8_t *arg(const struct serve_call *call, size_t index, size_t *ret_size)
{
	static const uint8_t nil[] = {MP__TAG_NIL, 0};
	const struct serve_context *context = call->session->context;

	if (index >= context->n_args) {
		*ret_size = sizeof(nil);
		return nil;
	}
	*ret_size = context->args[index].size;
	return context->args[index].data;
}

bool serve_arg_given(const struct serve_call *call, size_t index)
{
	return serve_arg_type(call, index) != MP_TYPE_NIL;
}

uint32_t serve_type_of(struct serve_bytes value)
{
	switch (*(const uint8_t *)value.data) {
	case MP__TAG_NIL:
		return MP_TYPE_NIL;
	case MP__TAG_BOOLEAN:
		return MP_TYPE_BOOL;
	case MP__TAG_I64:
		return MP_TYPE_I64;
	case MP__TAG_U64:
		return MP_TYPE_U64;
	case MP__TAG_F64:
		return MP_TYPE_F64;
	case MP__TAG_STR:
		return MP_TYPE_STR;
	case MP__TAG_BYTES:
		return MP_TYPE_BYTES;
	case MP__TAG_LIST:
		return MP_TYPE_LIST;
	case MP__TAG_DICT:
		return MP_TYPE_DICT;
	default:
		return MP_TYPE_HANDLE;
	}
}

uint32_t serve_arg_type(const struct serve_call *call, size_t index)
{
	size_t size;
	const uint8_t *data = arg(call, index, &size);

	return serve_type_of((struct serve_bytes){data, size});
}

static bool wrong_type(struct serve_call *call, size_t index, const char *wanted)
{
	serve_fail(call, MP__CODE__INVALID, "argument %zu is of type %s, not %s", index + 1,
		mp__type_name(serve_arg_type(call, index)), wanted);
	return false;
}

static uint64_t number_of(const uint8_t *data, size_t size)
{
	const uint8_t *at = data + 1;
	uint64_t number = 0;

	(void)mp__varint_get(&at, data + size, &number); /* it was checked */
	return number;
}

bool serve_arg_bool(struct serve_call *call, size_t index, bool *ret)
{
	size_t size;
	const uint8_t *data = arg(call, index, &size);

	if (data[0] != MP__TAG_BOOLEAN)
		return wrong_type(call, index, "bool");
	*ret = number_of(data, size) != 0;
	return true;
}

bool serve_arg_i64(struct serve_call *call, size_t index, int64_t *ret)
{
	size_t size;
	const uint8_t *data = arg(call, index, &size);
	uint64_t number = number_of(data, size);

	if (data[0] == MP__TAG_I64) {
		*ret = (int64_t)(number >> 1 ^ (0 - (number & 1)));
		return true;
	}
	if (data[0] != MP__TAG_U64)
		return wrong_type(call, index, "i64");
	if (number > INT64_MAX) {
		serve_fail(call, MP__CODE__OUT_OF_RANGE,
			"argument %zu is %" PRIu64 ", more than an i64 holds", index + 1, number);
		return false;
	}
	*ret = (int64_t)number;
	return true;
}

bool serve_arg_f64(struct serve_call *call, size_t index, double *ret)
{
	size_t size;
	const uint8_t *data = arg(call, index, &size);
	uint64_t bits;

	if (data[0] != MP__TAG_F64)
		return wrong_type(call, index, "f64");
	memcpy(&bits, data + 1, sizeof(bits));
	bits = le64toh(bits);
	memcpy(ret, &bits, sizeof(*ret));
	return true;
}

bool serve_text_of(struct serve_bytes value, struct serve_bytes *ret)
{
	const uint8_t *data = value.data;

	if (data[0] != MP__TAG_STR)
		return false;
	uint64_t length = number_of(data, value.size);
	*ret = (struct serve_bytes){data + value.size - length, length};
	return true;
}

bool serve_arg_str(struct serve_call *call, size_t index, struct serve_bytes *ret)
{
	size_t size;
	const uint8_t *data = arg(call, index, &size);

	return serve_text_of((struct serve_bytes){data, size}, ret) ||
	       wrong_type(call, index, "str");
}

bool serve_arg_value(struct serve_call *call, size_t index, struct serve_bytes *ret)
{
	size_t size;
	const uint8_t *data = arg(call, index, &size);

	if (size > MP__PAYLOAD_MAX) {
		serve_fail(call, MP__CODE__TOO_LARGE,
			"argument %zu has %zu bytes, at most %zu may be", index + 1, size,
			MP__PAYLOAD_MAX);
		return false;
	}
	*ret = (struct serve_bytes){data, size};
	return true;
}

bool serve_arg_key(struct serve_call *call, size_t index, struct mp__key *key)
{
	struct serve_context *context = call->session->context;

	if (index >= context->n_args)
		return wrong_type(call, index, "a key");
	/* The arguments stand in the unpacked request, which is ours. */
	int r = mp__key_canonical(
		(uint8_t *)context->args[index].data, context->args[index].size, key);
	if (r < 0)
		serve_fail_result(call, r);
	return r == 0;
}

bool serve_may_grow(struct serve_call *call, size_t bytes)
{
	if (serve_account_may(call->object->account, SERVE_BYTES, bytes))
		return true;
	serve_fail(call, MP__CODE__LIMIT,
		"the user who made the object has as many bytes in objects as he may: see "
		"max-bytes of managerd.conf(5)");
	return false;
}

bool serve_open_for_caller(struct serve_call *call, struct serve_object *object, uint64_t *ret)
{
	int r = serve_session_add_reference(call->session, object, ret);

	if (r == -ENOMEM)
		serve_fail_no_memory(call);
	else if (r < 0)
		serve_fail(call, MP__CODE__LIMIT, "a connection may have %" PRIu32 " objects open",
			call->session->context->limits.max_references);
	return r == 0;
}

void serve_effort(struct serve_call *call, size_t entries)
{
	call->session->context->effort += entries;
}

/* --- the call --------------------------------------------------------------------------------- */

int serve_call_run(struct serve_session *session, uint64_t id, Mp__Call *request)
{
	struct serve_call call = {
		.session = session,
		.id = id,
		.thread = request->thread,
		.timeout_ms = request->patience_case == MP__CALL__PATIENCE_TIMEOUT_MS
				      ? request->timeout_ms
				      : SERVE_FOREVER,
	};

	call.object = serve_session_object(session, request->reference);
	if (!call.object)
		return serve_fail(&call, MP__CODE__BAD_REFERENCE,
			"reference %" PRIu64 " is none of this connection", request->reference);
	if (call.object->class->refresh && !call.object->class->refresh(call.object))
		return SERVE_SESSION_E_LATER;
	const struct serve_method *method = serve_class_method(call.object->class, request->method);
	if (!method)
		method = serve_watch_method(request->method);
	if (!method)
		method = serve_method_find(session->context->service->methods,
			session->context->service->n_methods, request->method);
	if (!method)
		return serve_fail(&call, MP__CODE__UNKNOWN_METHOD, "a %s has no method %.64s",
			call.object->class->name, request->method);
	if (!serve_call_args(
		    &call, method->name, request->args, method->min_args, method->max_args))
		return call.failed;
	call.method = method;
	/* A method may give back the last reference of others, but not of what it runs on. */
	serve_object_ref(call.object);
	int r = method->run(&call);
	if (r != SERVE_SESSION_E_LATER)
		serve_count_method(&session->context->stats, call.object->class, method);
	serve_object_unref(call.object);
	return r;
}
