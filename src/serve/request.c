/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "serve/request.h"

#include "base/error.h"
#include "base/testpoint.h"
#include "managerd/log.h"
#include "managerd/obj_dict.h"
#include "obj/codec.h"
#include "obj/utf8.h"
#include "proto/manager.pb-c.h"
#include "wire/quick.h"
#include "wire/value.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* --- answers ---------------------------------------------------------------------------------- */

static int reply_error(struct serve_session *session, uint64_t id, Mp__Code code,
	const char *format, ...) MP__PRINTF(4, 5);

static int reply_error(
	struct serve_session *session, uint64_t id, Mp__Code code, const char *format, ...)
{
	Mp__Response response = MP__RESPONSE__INIT;
	char text[MP__DETAIL_SIZE];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	response.id = id;
	response.code = code;
	response.detail = text;
	/* Before the hello the limit is what the answer to it needs. */
	if (mp__frame_append(&session->out, &response.base, MP__FRAME_FIRST_MAX) < 0)
		return SERVE_SESSION_E_END;
	return 0;
}

/* The answer has been appended, or why not. */
static int appended(struct serve_session *session, uint64_t id, int r)
{
	if (r == -EMSGSIZE)
		return reply_error(session, id, MP__CODE__TOO_LARGE,
			"the answer does not fit in a frame of %" PRIu32 " bytes",
			session->context->limits.max_frame);
	return r < 0 ? SERVE_SESSION_E_END : 0;
}

static int reply(struct serve_session *session, uint64_t id, Mp__Response *response)
{
	response->id = id;
	return appended(session, id,
		mp__frame_append(
			&session->out, &response->base, session->context->limits.max_frame));
}

static int reply_ok(struct serve_session *session, uint64_t id)
{
	return appended(session, id, mp__quick_ok(&session->out, id));
}

static int reply_count(struct serve_session *session, uint64_t id, uint64_t count)
{
	return appended(session, id, mp__quick_count(&session->out, id, count));
}

static int reply_value(struct serve_session *session, uint64_t id, struct serve_bytes value)
{
	return appended(session, id,
		mp__quick_value(&session->out, id, value.data, value.size,
			session->context->limits.max_frame));
}

int serve_request_refuse(struct serve_session *session, const char *why)
{
	md_log("pid %d of uid %u: %s", (int)session->pid, (unsigned)session->uid, why);
	(void)reply_error(session, 0, MP__CODE__VIOLATION, "%s", why);
	return SERVE_SESSION_E_END;
}

size_t serve_request_denial(int code, const char *why, void *frame, size_t room)
{
	Mp__Response response = MP__RESPONSE__INIT;
	struct mp__buffer buffer = {0};
	size_t size = 0;

	response.code = (Mp__Code)code;
	response.detail = (char *)why;
	if (mp__frame_append(&buffer, &response.base, MP__FRAME_FIRST_MAX) == 0 &&
		mp__buffer_size(&buffer) <= room) {
		size = mp__buffer_size(&buffer);
		memcpy(frame, mp__buffer_at(&buffer), size);
	}
	mp__buffer_free(&buffer);
	return size;
}

/* --- arguments: false means that the error is answered, and *ret_r is what to return ---------- */

static bool dict_of(struct serve_session *session, uint64_t id, uint64_t reference,
	struct serve_store **ret_dict, int *ret_r)
{
	struct serve_object *object = serve_session_object(session, reference);

	if (!object) {
		*ret_r = reply_error(session, id, MP__CODE__BAD_REFERENCE,
			"reference %" PRIu64 " is none of this connection", reference);
		return false;
	}
	if (object->type != MP__OBJECT_TYPE__DICT) {
		*ret_r = reply_error(session, id, MP__CODE__WRONG_TYPE,
			"reference %" PRIu64 " is not a dict", reference);
		return false;
	}
	*ret_dict = object->store;
	return true;
}

static Mp__Code code_of(int result)
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
	default:
		return MP__CODE__INTERNAL;
	}
}

static bool key_of(struct serve_session *session, uint64_t id, ProtobufCBinaryData field,
	struct mp__key *ret_key, int *ret_r)
{
	int r = mp__key_canonical(field.data, field.len, ret_key);

	if (r < 0)
		*ret_r = reply_error(session, id, code_of(r), "%s", mp_error_detail());
	return r == 0;
}

static struct serve_bytes bytes_of(const struct mp__key *key)
{
	return (struct serve_bytes){key->data, key->size};
}

static bool value_of(struct serve_session *session, uint64_t id, ProtobufCBinaryData field,
	size_t key_size, struct serve_bytes *ret_value, int *ret_r)
{
	struct mp__value_info info;
	int r = mp__value_check_stored(field.data, field.len, &info);

	if (r == 0 && field.len + key_size > MP__PAYLOAD_MAX)
		r = mp_error_set(-EMSGSIZE, "key and value have %zu bytes, at most %zu may be",
			field.len + key_size, MP__PAYLOAD_MAX);
	if (r < 0) {
		*ret_r = reply_error(session, id, code_of(r), "%s", mp_error_detail());
		return false;
	}
	*ret_value = (struct serve_bytes){field.data, field.len};
	return true;
}

/* The answer to what a dict operation gave, if that was no success. */
static int reply_dict_error(struct serve_session *session, uint64_t id, int r)
{
	switch (r) {
	case MD_DICT_E_NO_KEY:
		return reply_error(session, id, MP__CODE__NOT_FOUND, "no such key");
	case MD_DICT_E_NO_MEMORY:
		return reply_error(session, id, MP__CODE__NO_MEMORY, "the daemon is out of memory");
	case MD_DICT_E_TOO_LARGE:
		return reply_error(session, id, MP__CODE__TOO_LARGE,
			"the dict does not fit in a frame of %" PRIu32 " bytes",
			session->context->limits.max_frame);
	case MD_DICT_E_BAD_KEY:
		return reply_error(session, id, MP__CODE__INVALID, "%s", mp_error_detail());
	case MD_DICT_E_BAD_VALUE:
		return reply_error(session, id, MP__CODE__TOO_LARGE, "%s", mp_error_detail());
	default:
		return r; /* fatal */
	}
}

/* Work that grows with the dict, see session.h. */
static void count_effort(struct serve_session *session, size_t entries)
{
	session->context->effort += entries;
}

/* --- operations ------------------------------------------------------------------------------- */

static int run_hello(struct serve_session *session, uint64_t id, const Mp__Hello *hello)
{
	Mp__Response response = MP__RESPONSE__INIT;
	Mp__HelloReply answer = MP__HELLO_REPLY__INIT;

	if (session->greeted)
		return reply_error(session, id, MP__CODE__INVALID, "a second hello");
	if (hello->version < MP__PROTOCOL_VERSION) {
		(void)reply_error(session, id, MP__CODE__BAD_VERSION,
			"managerd %s speaks version %d, not %" PRIu32, PACKAGE_VERSION,
			MP__PROTOCOL_VERSION, hello->version);
		return SERVE_SESSION_E_END;
	}
	answer.version = MP__PROTOCOL_VERSION;
	answer.max_frame = session->context->limits.max_frame;
	answer.program = (char *)("managerd " PACKAGE_VERSION);
	response.result_case = MP__RESPONSE__RESULT_HELLO;
	response.hello = &answer;
	session->greeted = true;
	return reply(session, id, &response);
}

static int reply_registry_error(struct serve_session *session, uint64_t id, int r)
{
	switch (r) {
	case SERVE_REGISTRY_E_WRONG_TYPE:
		return reply_error(
			session, id, MP__CODE__WRONG_TYPE, "the object is of another type");
	case SERVE_REGISTRY_E_GONE:
		return reply_error(session, id, MP__CODE__GONE,
			"nobody had the object open any more, and it went");
	case SERVE_REGISTRY_E_LIMIT:
		return reply_error(
			session, id, MP__CODE__LIMIT, "the daemon holds as many objects as it may");
	case SERVE_REGISTRY_E_NO_MEMORY:
		return reply_error(session, id, MP__CODE__NO_MEMORY, "the daemon is out of memory");
	default:
		return r; /* fatal */
	}
}

static int open_object(struct serve_session *session, uint64_t id, const Mp__Open *open,
	struct serve_object **ret, bool *ret_created, int *ret_r)
{
	struct serve_registry *registry = &session->context->registry;
	int r;

	if (open->token.len > 0) {
		r = serve_registry_open_token(registry, (int)open->type, open->token.data, ret);
		*ret_created = false;
	} else {
		r = serve_registry_open(registry, (int)open->type,
			open->name.len ? open->name.data : NULL, open->name.len, ret_created, ret);
	}
	if (r != 0)
		*ret_r = reply_registry_error(session, id, r);
	return r;
}

/* Whether the fields of an open go together; the mistake is answered. */
static bool check_open(struct serve_session *session, uint64_t id, const Mp__Open *open, int *ret_r)
{
	const char *why = NULL;
	Mp__Code code = MP__CODE__INVALID;

	if (open->type != MP__OBJECT_TYPE__DICT)
		why = "an object of a type that this daemon does not know";
	else if (open->name.len > 0 && open->token.len > 0)
		why = "an open with a name and a token";
	else if (open->name.len > SERVE_NAME_MAX)
		why = "a name of more than 255 bytes";
	else if (open->token.len > 0 && open->token.len != SERVE_TOKEN_SIZE)
		why = "a token that has not 16 bytes";
	else if (!mp__utf8_valid((const char *)open->name.data, open->name.len)) {
		why = "a name that is not UTF-8 or has a NUL inside";
		code = MP__CODE__BAD_TEXT;
	}
	if (why)
		*ret_r = reply_error(session, id, code, "%s", why);
	return !why;
}

static int run_open(struct serve_session *session, uint64_t id, const Mp__Open *open)
{
	Mp__Response response = MP__RESPONSE__INIT;
	Mp__Opened opened = MP__OPENED__INIT;
	struct serve_object *object;
	bool created;
	int r;

	if (!check_open(session, id, open, &r) ||
		open_object(session, id, open, &object, &created, &r) != 0)
		return r;
	if (!serve_session_add_reference(session, object, &opened.reference)) {
		serve_object_unref(object);
		return reply_error(session, id, MP__CODE__LIMIT,
			"a connection may have %" PRIu32 " objects open",
			session->context->limits.max_references);
	}
	opened.token = (ProtobufCBinaryData){sizeof(object->token), object->token};
	opened.created = created;
	response.result_case = MP__RESPONSE__RESULT_OPENED;
	response.opened = &opened;
	return reply(session, id, &response);
}

static int run_close(struct serve_session *session, uint64_t id, const Mp__Close *op)
{
	if (serve_session_drop_reference(session, op->reference))
		return reply_ok(session, id);
	return reply_error(session, id, MP__CODE__BAD_REFERENCE,
		"reference %" PRIu64 " is none of this connection", op->reference);
}

static int run_set(struct serve_session *session, uint64_t id, const Mp__DictSet *op)
{
	struct serve_store *dict;
	struct mp__key key;
	struct serve_bytes value;
	int r = 0;

	if (!dict_of(session, id, op->reference, &dict, &r) ||
		!key_of(session, id, op->key, &key, &r) ||
		!value_of(session, id, op->value, key.size, &value, &r))
		return r;
	MP__TEST_POINT("managerd.set.checked");
	r = md_dict_set(dict, bytes_of(&key), value);
	MP__TEST_POINT("managerd.set.done");
	return r == 0 ? reply_ok(session, id) : reply_dict_error(session, id, r);
}

static int run_get(struct serve_session *session, uint64_t id, const Mp__DictGet *op)
{
	struct serve_store *dict;
	struct mp__key key;
	struct serve_bytes value;
	int r = 0;

	if (!dict_of(session, id, op->reference, &dict, &r) ||
		!key_of(session, id, op->key, &key, &r))
		return r;
	r = md_dict_get(dict, bytes_of(&key), &value);
	return r == 0 ? reply_value(session, id, value) : reply_dict_error(session, id, r);
}

static int run_pop(struct serve_session *session, uint64_t id, const Mp__DictPop *op)
{
	struct mp__buffer *assembled = &session->context->assembled;
	struct serve_store *dict;
	struct mp__key key;
	int r = 0;

	if (!dict_of(session, id, op->reference, &dict, &r) ||
		!key_of(session, id, op->key, &key, &r))
		return r;
	r = md_dict_pop(dict, bytes_of(&key), op->quiet ? NULL : assembled);
	if (r != 0)
		return reply_dict_error(session, id, r);
	if (op->quiet)
		return reply_ok(session, id);
	r = reply_value(session, id,
		(struct serve_bytes){mp__buffer_at(assembled), mp__buffer_size(assembled)});
	mp__buffer_consume(assembled, mp__buffer_size(assembled));
	return r;
}

static int run_contains(struct serve_session *session, uint64_t id, const Mp__DictContains *op)
{
	struct serve_store *dict;
	struct mp__key key;
	struct serve_bytes value;
	int r = 0;

	if (!dict_of(session, id, op->reference, &dict, &r) ||
		!key_of(session, id, op->key, &key, &r))
		return r;
	r = md_dict_get(dict, bytes_of(&key), &value);
	if (r == 0 || r == MD_DICT_E_NO_KEY)
		return reply_count(session, id, r == 0);
	return reply_dict_error(session, id, r);
}

static int run_setdefault(struct serve_session *session, uint64_t id, const Mp__DictSetdefault *op)
{
	Mp__Response response = MP__RESPONSE__INIT;
	Mp__Stored stored = MP__STORED__INIT;
	struct serve_store *dict;
	struct mp__key key;
	struct serve_bytes value;
	struct serve_bytes now;
	bool inserted;
	int r = 0;

	if (!dict_of(session, id, op->reference, &dict, &r) ||
		!key_of(session, id, op->key, &key, &r) ||
		!value_of(session, id, op->value, key.size, &value, &r))
		return r;
	r = md_dict_setdefault(dict, bytes_of(&key), value, &inserted, &now);
	if (r != 0)
		return reply_dict_error(session, id, r);
	stored.value = (ProtobufCBinaryData){now.size, (uint8_t *)now.data};
	stored.inserted = inserted;
	response.result_case = MP__RESPONSE__RESULT_STORED;
	response.stored = &stored;
	return reply(session, id, &response);
}

static int run_update(struct serve_session *session, uint64_t id, const Mp__DictUpdate *op)
{
	struct mp__value_info info;
	struct serve_store *dict;
	int r = 0;

	if (!dict_of(session, id, op->reference, &dict, &r))
		return r;
	r = mp__value_check(op->pairs.data, op->pairs.len, &info);
	if (r == 0 && info.handles > 0)
		r = mp_error_set(-ENOTSUP, "a handle in a value for managerd");
	if (r == 0 && info.type != MP_TYPE_DICT)
		r = mp_error_set(-EINVAL, "an update with something that is not a dict");
	if (r < 0)
		return reply_error(session, id, code_of(r), "%s", mp_error_detail());
	count_effort(session, info.nodes);
	r = md_dict_update(dict, op->pairs.data, op->pairs.len);
	return r == 0 ? reply_ok(session, id) : reply_dict_error(session, id, r);
}

static int run_clear(struct serve_session *session, uint64_t id, const Mp__DictClear *op)
{
	struct serve_store *dict;
	int r = 0;

	if (!dict_of(session, id, op->reference, &dict, &r))
		return r;
	count_effort(session, md_dict_len(dict));
	r = md_dict_clear(dict);
	return r == 0 ? reply_ok(session, id) : reply_dict_error(session, id, r);
}

static int run_len(struct serve_session *session, uint64_t id, const Mp__DictLen *op)
{
	struct serve_store *dict;
	int r = 0;

	if (!dict_of(session, id, op->reference, &dict, &r))
		return r;
	return reply_count(session, id, md_dict_len(dict));
}

static int run_list(struct serve_session *session, uint64_t id, const Mp__DictList *op)
{
	struct mp__buffer *assembled = &session->context->assembled;
	struct serve_store *dict;
	int r = 0;

	if (!dict_of(session, id, op->reference, &dict, &r))
		return r;
	if ((int)op->part < MD_DICT_KEYS || (int)op->part > MD_DICT_ITEMS)
		return reply_error(session, id, MP__CODE__INVALID, "an unknown part of a dict");
	count_effort(session, md_dict_len(dict));
	r = md_dict_list(
		dict, (enum md_dict_part)op->part, session->context->limits.max_frame, assembled);
	if (r != 0)
		return reply_dict_error(session, id, r);
	r = reply_value(session, id,
		(struct serve_bytes){mp__buffer_at(assembled), mp__buffer_size(assembled)});
	mp__buffer_consume(assembled, mp__buffer_size(assembled));
	return r;
}

static int dispatch(struct serve_session *session, const Mp__Request *request)
{
	uint64_t id = request->id;

	switch (request->op_case) {
	case MP__REQUEST__OP_HELLO:
		return run_hello(session, id, request->hello);
	case MP__REQUEST__OP_PING:
		return reply_ok(session, id);
	case MP__REQUEST__OP_OPEN:
		return run_open(session, id, request->open);
	case MP__REQUEST__OP_CLOSE:
		return run_close(session, id, request->close);
	case MP__REQUEST__OP_DICT_SET:
		return run_set(session, id, request->dict_set);
	case MP__REQUEST__OP_DICT_GET:
		return run_get(session, id, request->dict_get);
	case MP__REQUEST__OP_DICT_POP:
		return run_pop(session, id, request->dict_pop);
	case MP__REQUEST__OP_DICT_CONTAINS:
		return run_contains(session, id, request->dict_contains);
	case MP__REQUEST__OP_DICT_SETDEFAULT:
		return run_setdefault(session, id, request->dict_setdefault);
	case MP__REQUEST__OP_DICT_UPDATE:
		return run_update(session, id, request->dict_update);
	case MP__REQUEST__OP_DICT_CLEAR:
		return run_clear(session, id, request->dict_clear);
	case MP__REQUEST__OP_DICT_LEN:
		return run_len(session, id, request->dict_len);
	case MP__REQUEST__OP_DICT_LIST:
		return run_list(session, id, request->dict_list);
	default:
		return reply_error(session, id, MP__CODE__UNKNOWN_OPERATION,
			"managerd %s does not know this operation", PACKAGE_VERSION);
	}
}

static int dispatch_quick(struct serve_session *session, const struct mp__quick *q)
{
	switch (q->op) {
	case MP__REQUEST__OP_DICT_SET:
		return run_set(session, q->id,
			&(Mp__DictSet){
				.reference = q->reference, .key = q->key, .value = q->value});
	case MP__REQUEST__OP_DICT_GET:
		return run_get(
			session, q->id, &(Mp__DictGet){.reference = q->reference, .key = q->key});
	case MP__REQUEST__OP_DICT_POP:
		return run_pop(
			session, q->id, &(Mp__DictPop){.reference = q->reference, .key = q->key});
	case MP__REQUEST__OP_DICT_CONTAINS:
		return run_contains(session, q->id,
			&(Mp__DictContains){.reference = q->reference, .key = q->key});
	default:
		return run_setdefault(session, q->id,
			&(Mp__DictSetdefault){
				.reference = q->reference, .key = q->key, .value = q->value});
	}
}

int serve_request_run(struct serve_session *session, const uint8_t *message, size_t size)
{
	struct mp__arena *arena = &session->context->unpacked;
	struct mp__quick quick;

	if (session->greeted && !session->context->draining &&
		mp__quick_read(message, size, &quick))
		return dispatch_quick(session, &quick);
	mp__arena_reset(arena, MP__UNPACK_BUDGET(size));
	Mp__Request *request = mp__request__unpack(&arena->allocator, size, message);
	if (!request)
		return serve_request_refuse(session, "a message that is no request");
	if (request->id == 0)
		return serve_request_refuse(session, "a request without an id");
	if (!session->greeted && request->op_case != MP__REQUEST__OP_HELLO)
		return serve_request_refuse(session, "a request before the hello");
	if (session->context->draining) {
		(void)reply_error(
			session, request->id, MP__CODE__SHUTTING_DOWN, "managerd is about to end");
		return SERVE_SESSION_E_END;
	}
	return dispatch(session, request);
}
