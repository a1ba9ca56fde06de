/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "serve/request.h"

#include "obj/utf8.h"
#include "proto/manager.pb-c.h"
#include "serve/call.h"
#include "serve/inspect.h"
#include "serve/lifetime.h"
#include "serve/log.h"
#include "serve/monitor.h"
#include "serve/prove.h"
#include "serve/reply.h"
#include "serve/waiter.h"
#include "wire/quick.h"

#include <inttypes.h>
#include <string.h>

int serve_request_refuse(struct serve_session *session, const char *why)
{
	session->context->stats.violations++;
	serve_log("violation", session->pid, session->uid, "pid %d of uid %u: %s",
		(int)session->pid, (unsigned)session->uid, why);
	(void)serve_reply_error(session, 0, MP__CODE__VIOLATION, "%s", why);
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

/* --- operations ------------------------------------------------------------------------------- */

static int run_hello(struct serve_session *session, uint64_t id, const Mp__Hello *hello)
{
	Mp__Response response = MP__RESPONSE__INIT;
	Mp__HelloReply answer = MP__HELLO_REPLY__INIT;

	if (session->greeted)
		return serve_reply_error(session, id, MP__CODE__INVALID, "a second hello");
	if (!serve_proved(session))
		return serve_prove_missing(session, id);
	if (hello->version < MP__PROTOCOL_VERSION) {
		(void)serve_reply_error(session, id, MP__CODE__BAD_VERSION,
			"%s speaks version %d, not %" PRIu32, session->context->service->program,
			MP__PROTOCOL_VERSION, hello->version);
		return SERVE_SESSION_E_END;
	}
	answer.version = MP__PROTOCOL_VERSION;
	answer.max_frame = session->context->limits.max_frame;
	answer.program = (char *)session->context->service->program;
	response.result_case = MP__RESPONSE__RESULT_HELLO;
	response.hello = &answer;
	session->greeted = true;
	return serve_reply(session, id, &response);
}

/* The class that an open asks for; NULL: any. False: there is none such, and that is answered. */
static bool class_of(struct serve_call *call, const Mp__Open *open, const struct serve_class **ret)
{
	const char *name = open->class_name;

	*ret = NULL;
	if (open->type == MP__OBJECT_TYPE__DICT && *name == '\0')
		name = "dict";
	else if (open->type != MP__OBJECT_TYPE__ANY) {
		serve_fail(call, MP__CODE__INVALID,
			"an open with a type that this server does not know, or with two");
		return false;
	}
	if (*name == '\0')
		return true;
	*ret = serve_class_find(call->session->context->service->classes, name, strlen(name));
	if (!*ret)
		serve_fail(call, MP__CODE__UNKNOWN_CLASS, "this server has no class %.64s", name);
	return *ret;
}

/* Whether the fields of an open go together; the mistake is answered. */
static bool check_open(
	struct serve_call *call, const Mp__Open *open, const struct serve_class *class)
{
	const char *why = NULL;
	Mp__Code code = MP__CODE__INVALID;

	if (open->name.len > 0 && open->token.len > 0)
		why = "an open with a name and a token";
	else if (!class && open->name.len == 0 && open->token.len == 0)
		why = "an open with neither a class nor a name nor a token";
	else if (open->name.len > SERVE_NAME_MAX)
		why = "a name of more than 255 bytes";
	else if (open->token.len > 0 && open->token.len != SERVE_TOKEN_SIZE)
		why = "a token that has not 16 bytes";
	else if (!mp__utf8_valid((const char *)open->name.data, open->name.len)) {
		why = "a name that is not UTF-8 or has a NUL inside";
		code = MP__CODE__BAD_TEXT;
	}
	if (why)
		serve_fail(call, code, "%s", why);
	return !why;
}

/* Whether it may be done; a refusal is answered. */
static bool may_open(struct serve_call *call, const Mp__Open *open)
{
	if (serve_session_allows(call->session, open->name.data, open->name.len))
		return true;
	serve_fail(call, MP__CODE__DENIED, "this user may not open an object of that name");
	return false;
}

static bool may_make(struct serve_call *call)
{
	if (serve_account_may(call->session->account, SERVE_OBJECTS, 1))
		return true;
	serve_fail(call, MP__CODE__LIMIT,
		"this user has as many objects as he may: see max-objects of managerd.conf(5)");
	return false;
}

/* The object that is there, NULL if none is. False: the failure is answered. */
static bool find_object(struct serve_call *call, const Mp__Open *open)
{
	struct serve_registry *registry = &call->session->context->registry;

	if (open->name.len > 0)
		call->object = serve_lifetime_look(
			serve_registry_find(registry, open->name.data, open->name.len));
	if (open->token.len == 0)
		return true;
	call->object = serve_registry_find_token(registry, open->token.data);
	if (!call->object)
		serve_fail(
			call, MP__CODE__GONE, "nobody had the object open any more, and it went");
	return call->object;
}

/* False: the failure is answered, and nothing is left of the object. */
static bool make_object(
	struct serve_call *call, const Mp__Open *open, const struct serve_class *class)
{
	if (!may_make(call))
		return false;
	int r = serve_registry_add(&call->session->context->registry, class, open->name.data,
		open->name.len, &call->object);
	if (r == 0)
		serve_object_charge(call->object, call->session->account);

	if (r < 0) {
		serve_fail(call, MP__CODE__INTERNAL, "the server has no random numbers");
	} else if (r == SERVE_REGISTRY_E_LIMIT) {
		serve_fail(call, MP__CODE__LIMIT,
			"the server holds as many objects as it may: see its option max-objects");
	} else if (r != 0) {
		serve_fail_no_memory(call);
	} else if (serve_call_args(
			   call, class->name, open->args, class->min_args, class->max_args) &&
		   class->make(call)) {
		serve_object_weigh(call->object);
		return true;
	} else {
		serve_registry_unname(call->object);
		serve_object_unref(call->object);
	}
	return false;
}

/* call->object is the object that was asked for, referenced. False: the failure is answered. */
static bool open_object(struct serve_call *call, const Mp__Open *open, bool *ret_created)
{
	const struct serve_class *class;

	if (!class_of(call, open, &class) || !check_open(call, open, class) ||
		!may_open(call, open) || !find_object(call, open))
		return false;
	*ret_created = !call->object;
	if (!call->object && !class) {
		serve_fail(call, MP__CODE__NOT_FOUND, "there is no object of that name");
		return false;
	}
	if (!call->object)
		return make_object(call, open, class);
	if (class && class != call->object->class) {
		serve_fail(call, MP__CODE__WRONG_TYPE, "the object is a %s, not a %s",
			call->object->class->name, class->name);
		return false;
	}
	serve_object_ref(call->object);
	return true;
}

static int run_open(struct serve_session *session, uint64_t id, const Mp__Open *open)
{
	Mp__Response response = MP__RESPONSE__INIT;
	Mp__Opened opened = MP__OPENED__INIT;
	struct serve_call call = {.session = session, .id = id};
	bool created;

	if (!open_object(&call, open, &created))
		return call.failed;
	struct serve_object *object = call.object;
	if (!serve_open_for_caller(&call, object, &opened.reference)) {
		if (created)
			serve_registry_unname(object);
		serve_object_unref(object);
		return call.failed;
	}
	opened.token = (ProtobufCBinaryData){sizeof(object->token), object->token};
	opened.created = created;
	opened.class_name = (char *)object->class->name;
	response.result_case = MP__RESPONSE__RESULT_OPENED;
	response.opened = &opened;
	return serve_reply(session, id, &response);
}

static int run_close(struct serve_session *session, uint64_t id, const Mp__Close *op)
{
	if (serve_session_drop_reference(session, op->reference))
		return serve_reply_ok(session, id);
	return serve_reply_error(session, id, MP__CODE__BAD_REFERENCE,
		"reference %" PRIu64 " is none of this connection", op->reference);
}

/* `again`: it was put off before. */
static int dispatch(struct serve_session *session, const Mp__Request *request, bool again)
{
	const struct serve_service *service = session->context->service;
	uint64_t id = request->id;
	int r;

	if (!again)
		serve_count_operation(&session->context->stats, (unsigned int)request->op_case);
	if (!again && session->context->monitor)
		serve_monitor_note(session, request);
	switch (request->op_case) {
	case MP__REQUEST__OP_HELLO:
		return run_hello(session, id, request->hello);
	case MP__REQUEST__OP_AUTH:
		return serve_prove(session, id, request->auth);
	case MP__REQUEST__OP_PING:
		return serve_reply_ok(session, id);
	case MP__REQUEST__OP_OPEN:
		return run_open(session, id, request->open);
	case MP__REQUEST__OP_CLOSE:
		return run_close(session, id, request->close);
	case MP__REQUEST__OP_CALL:
		return serve_call_run(session, id, request->call);
	case MP__REQUEST__OP_CANCEL:
		return serve_reply_count(session, id, serve_cancel(session, request->cancel->id));
	default:
		if (serve_inspect(session, request, &r))
			return r;
		if (service->run && service->run(session, request, &r))
			return r;
		return serve_reply_error(session, id, MP__CODE__UNKNOWN_OPERATION,
			"%s does not know this operation", service->program);
	}
}

static int run(struct serve_session *session, const uint8_t *message, size_t size, bool again)
{
	struct mp__arena *arena = &session->context->unpacked;
	struct mp__quick quick;

	const struct serve_service *service = session->context->service;
	if (!again)
		session->n_requests++;
	if (session->greeted && !session->context->draining && service->run_quick &&
		mp__quick_read(message, size, &quick)) {
		if (!again)
			serve_count_operation(&session->context->stats, (unsigned int)quick.op);
		if (!again && session->context->monitor)
			serve_monitor_note_quick(session, &quick);
		return service->run_quick(session, &quick);
	}
	mp__arena_reset(arena, MP__UNPACK_BUDGET(size));
	Mp__Request *request = mp__request__unpack(&arena->allocator, size, message);
	if (!request && arena->refused)
		return serve_reply_error(session, mp__frame_id(message, size), MP__CODE__NO_MEMORY,
			"the server is out of memory");
	if (!request)
		return serve_request_refuse(session, "a message that is no request");
	if (request->id == 0)
		return serve_request_refuse(session, "a request without an id");
	if (!session->greeted && request->op_case != MP__REQUEST__OP_HELLO &&
		request->op_case != MP__REQUEST__OP_AUTH)
		return serve_request_refuse(session, "a request before the hello");
	if (session->context->draining) {
		(void)serve_reply_error(session, request->id, MP__CODE__SHUTTING_DOWN,
			"the server is about to end");
		return SERVE_SESSION_E_END;
	}
	return dispatch(session, request, again);
}

int serve_request_run(struct serve_session *session, const uint8_t *message, size_t size)
{
	int r = run(session, message, size, session->is_late);

	session->is_late = r == SERVE_SESSION_E_LATER;
	return r;
}
