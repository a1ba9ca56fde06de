/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "serve/refer.h"

#include "obj/measure.h"
#include "obj/wireformat.h"
#include "serve/reply.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* --- the references in a value ---------------------------------------------------------------- */

struct found {
	const uint8_t *token;
	struct serve_bytes class_name;
};

/* A Reference that has been checked: a token of 16 bytes, then a name. */
static struct found found_in(const uint8_t *data, size_t size)
{
	const uint8_t *end = data + size;
	const uint8_t *at = data + 1;
	uint64_t length = 0;
	struct found found;

	mp__varint_get(&at, end, &length); /* of the message */
	at++;
	mp__varint_get(&at, end, &length); /* of the token */
	found.token = at;
	at += length + 1;
	mp__varint_get(&at, end, &length);
	found.class_name = (struct serve_bytes){at, length};
	return found;
}

/* Call `visit` for each, in order, until it returns false. Values are not nested deeply. */
static bool each(
	struct serve_bytes value, bool (*visit)(const struct found *found, void *data), void *data)
{
	const uint8_t *bytes = value.data;
	uint8_t *item;
	size_t size;

	if (*bytes == MP__TAG_REFERENCE) {
		struct found found = found_in(bytes, value.size);
		return visit(&found, data);
	}
	if (*bytes != MP__TAG_LIST && *bytes != MP__TAG_DICT)
		return true;
	struct mp__items items = mp__items_of((uint8_t *)bytes, value.size);
	while (mp__items_next(&items, &item, &size)) {
		if (!each((struct serve_bytes){item, size}, visit, data))
			return false;
	}
	return true;
}

/* --- stored values ---------------------------------------------------------------------------- */

struct referring {
	struct serve_call *call;
	size_t done;
};

/* What it refers to. NULL: that is gone, or something else; which is answered. */
static struct serve_object *object_of(struct serve_call *call, const struct found *found)
{
	struct serve_object *object =
		serve_registry_find_token(&call->session->context->registry, found->token);

	if (!object) {
		serve_fail(call, MP__CODE__GONE,
			"the value refers to an object that nobody had open any more");
		return NULL;
	}
	if (strlen(object->class->name) == found->class_name.size &&
		memcmp(object->class->name, found->class_name.data, found->class_name.size) == 0)
		return object;
	serve_fail(call, MP__CODE__INVALID, "the value refers to a %s as something else",
		object->class->name);
	return NULL;
}

bool serve_object_in(struct serve_call *call, struct serve_bytes value, struct serve_object **ret)
{
	const uint8_t *data = value.data;

	if (*data != MP__TAG_REFERENCE) {
		serve_fail(call, MP__CODE__INVALID, "an argument is a %s, not an object",
			mp__type_name(serve_type_of(value)));
		return false;
	}
	struct found found = found_in(data, value.size);
	*ret = object_of(call, &found);
	return *ret;
}

bool serve_arg_object(struct serve_call *call, size_t index, struct serve_object **ret)
{
	struct serve_bytes bytes;

	return serve_arg_value(call, index, &bytes) && serve_object_in(call, bytes, ret);
}

static bool keep(const struct found *found, void *data)
{
	struct referring *r = data;
	struct serve_object *object = object_of(r->call, found);

	if (!object)
		return false;
	serve_object_ref(object);
	r->call->object->n_refers++;
	r->done++;
	return true;
}

struct unreferring {
	struct serve_object *object;
	size_t left;
};

static bool let_go(const struct found *found, void *data)
{
	struct unreferring *u = data;

	if (u->left == 0)
		return false;
	u->left--;
	u->object->n_refers--;
	serve_object_unref(serve_registry_find_token(u->object->registry, found->token));
	return true;
}

bool serve_refer(struct serve_call *call, struct serve_bytes value)
{
	struct referring r = {.call = call};

	if (call->session->context->args_references == 0 || each(value, keep, &r))
		return true;
	struct unreferring u = {call->object, r.done};
	each(value, let_go, &u);
	return false;
}

void serve_unrefer(struct serve_object *object, struct serve_bytes value)
{
	struct unreferring u = {object, SIZE_MAX};

	if (object->n_refers > 0)
		each(value, let_go, &u);
}

/* --- answers ---------------------------------------------------------------------------------- */

struct opening {
	struct serve_call *call;
	uint64_t *references;
	size_t count;
	size_t room;
};

static bool open_for_client(const struct found *found, void *data)
{
	struct opening *o = data;
	struct serve_object *object =
		serve_registry_find_token(&o->call->session->context->registry, found->token);

	if (o->count == o->room) {
		size_t room = o->room ? o->room * 2 : 8;
		uint64_t *more = realloc(o->references, room * sizeof(*more));
		if (!more) {
			serve_fail_no_memory(o->call);
			return false;
		}
		o->references = more;
		o->room = room;
	}
	if (!serve_open_for_caller(o->call, object, &o->references[o->count]))
		return false;
	serve_object_ref(object);
	o->count++;
	return true;
}

/* What is inside is opened for the client. */
static int answer_opening(struct serve_call *call, struct serve_bytes value, Mp__Response *response)
{
	struct opening o = {.call = call};
	int r = 0;

	if (each(value, open_for_client, &o)) {
		response->n_references = o.count;
		response->references = o.references;
		r = serve_answer_response(call, response);
	}
	while (call->refused && o.count > 0)
		serve_session_drop_reference(call->session, o.references[--o.count]);
	free(o.references);
	return call->refused ? call->failed : r;
}

int serve_answer_referring(
	struct serve_call *call, struct serve_bytes value, Mp__Response *response)
{
	return call->object->n_refers == 0 ? serve_answer_response(call, response)
					   : answer_opening(call, value, response);
}

int serve_answer_objects(struct serve_call *call, struct serve_bytes value)
{
	Mp__Response response = MP__RESPONSE__INIT;

	response.result_case = MP__RESPONSE__RESULT_VALUE;
	response.value = (ProtobufCBinaryData){value.size, (uint8_t *)value.data};
	return answer_opening(call, value, &response);
}

int serve_answer_stored(struct serve_call *call, struct serve_bytes value)
{
	/* Nothing has been changed so far, so that this can be said. */
	if (!mp__buffer_reserve(&call->session->out, value.size + SERVE_AROUND_VALUE))
		return serve_fail_no_memory(call);
	/* What is told about the server itself refers to nothing. */
	if (!call->object || call->object->n_refers == 0)
		return serve_answer_value(call, value);
	return serve_answer_objects(call, value);
}
