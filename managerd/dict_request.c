/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "managerd/dict_request.h"

#include "base/error.h"
#include "base/testpoint.h"
#include "managerd/obj_dict.h"
#include "obj/codec.h"
#include "serve/reply.h"
#include "wire/value.h"

#include <inttypes.h>

/* --- arguments: false means that the error is answered, and *ret_r is what to return ---------- */

static bool dict_of(struct serve_session *session, uint64_t id, uint64_t reference,
	struct serve_store **ret_dict, int *ret_r)
{
	struct serve_object *object = serve_session_object(session, reference);

	if (!object) {
		*ret_r = serve_reply_error(session, id, MP__CODE__BAD_REFERENCE,
			"reference %" PRIu64 " is none of this connection", reference);
		return false;
	}
	if (object->class != &md_dict_class) {
		*ret_r = serve_reply_error(session, id, MP__CODE__WRONG_TYPE,
			"reference %" PRIu64 " is not a dict", reference);
		return false;
	}
	*ret_dict = object->state;
	return true;
}

static bool key_of(struct serve_session *session, uint64_t id, ProtobufCBinaryData field,
	struct mp__key *ret_key, int *ret_r)
{
	int r = mp__key_canonical(field.data, field.len, ret_key);

	if (r < 0)
		*ret_r = serve_reply_error(session, id, serve_code_of(r), "%s", mp_error_detail());
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
		*ret_r = serve_reply_error(session, id, serve_code_of(r), "%s", mp_error_detail());
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
		return serve_reply_error(session, id, MP__CODE__NOT_FOUND, "no such key");
	case MD_DICT_E_NO_MEMORY:
		return serve_reply_error(
			session, id, MP__CODE__NO_MEMORY, "the daemon is out of memory");
	case MD_DICT_E_TOO_LARGE:
		return serve_reply_error(session, id, MP__CODE__TOO_LARGE,
			"the dict does not fit in a frame of %" PRIu32 " bytes",
			session->context->limits.max_frame);
	case MD_DICT_E_BAD_KEY:
		return serve_reply_error(session, id, MP__CODE__INVALID, "%s", mp_error_detail());
	case MD_DICT_E_BAD_VALUE:
		return serve_reply_error(session, id, MP__CODE__TOO_LARGE, "%s", mp_error_detail());
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
	return r == 0 ? serve_reply_ok(session, id) : reply_dict_error(session, id, r);
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
	return r == 0 ? serve_reply_value(session, id, value) : reply_dict_error(session, id, r);
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
		return serve_reply_ok(session, id);
	r = serve_reply_value(session, id,
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
		return serve_reply_count(session, id, r == 0);
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
	return serve_reply(session, id, &response);
}

static int run_update(struct serve_session *session, uint64_t id, const Mp__DictUpdate *op)
{
	struct mp__value_info info;
	struct serve_store *dict;
	int r = 0;

	if (!dict_of(session, id, op->reference, &dict, &r))
		return r;
	r = mp__value_check(op->pairs.data, op->pairs.len, &info);
	if (r == 0 && info.handles + info.references > 0)
		r = mp_error_set(-ENOTSUP, "a handle in a value for managerd");
	if (r == 0 && info.type != MP_TYPE_DICT)
		r = mp_error_set(-EINVAL, "an update with something that is not a dict");
	if (r < 0)
		return serve_reply_error(session, id, serve_code_of(r), "%s", mp_error_detail());
	count_effort(session, info.nodes);
	r = md_dict_update(dict, op->pairs.data, op->pairs.len);
	return r == 0 ? serve_reply_ok(session, id) : reply_dict_error(session, id, r);
}

static int run_clear(struct serve_session *session, uint64_t id, const Mp__DictClear *op)
{
	struct serve_store *dict;
	int r = 0;

	if (!dict_of(session, id, op->reference, &dict, &r))
		return r;
	count_effort(session, md_dict_len(dict));
	r = md_dict_clear(dict);
	return r == 0 ? serve_reply_ok(session, id) : reply_dict_error(session, id, r);
}

static int run_len(struct serve_session *session, uint64_t id, const Mp__DictLen *op)
{
	struct serve_store *dict;
	int r = 0;

	if (!dict_of(session, id, op->reference, &dict, &r))
		return r;
	return serve_reply_count(session, id, md_dict_len(dict));
}

static int run_list(struct serve_session *session, uint64_t id, const Mp__DictList *op)
{
	struct mp__buffer *assembled = &session->context->assembled;
	struct serve_store *dict;
	int r = 0;

	if (!dict_of(session, id, op->reference, &dict, &r))
		return r;
	if ((int)op->part < MD_DICT_KEYS || (int)op->part > MD_DICT_ITEMS)
		return serve_reply_error(
			session, id, MP__CODE__INVALID, "an unknown part of a dict");
	count_effort(session, md_dict_len(dict));
	r = md_dict_list(
		dict, (enum md_dict_part)op->part, session->context->limits.max_frame, assembled);
	if (r != 0)
		return reply_dict_error(session, id, r);
	r = serve_reply_value(session, id,
		(struct serve_bytes){mp__buffer_at(assembled), mp__buffer_size(assembled)});
	mp__buffer_consume(assembled, mp__buffer_size(assembled));
	return r;
}

/* --- the whole -------------------------------------------------------------------------------- */

bool md_dict_request(struct serve_session *session, const Mp__Request *request, int *ret_r)
{
	uint64_t id = request->id;

	switch (request->op_case) {
	case MP__REQUEST__OP_DICT_SET:
		*ret_r = run_set(session, id, request->dict_set);
		return true;
	case MP__REQUEST__OP_DICT_GET:
		*ret_r = run_get(session, id, request->dict_get);
		return true;
	case MP__REQUEST__OP_DICT_POP:
		*ret_r = run_pop(session, id, request->dict_pop);
		return true;
	case MP__REQUEST__OP_DICT_CONTAINS:
		*ret_r = run_contains(session, id, request->dict_contains);
		return true;
	case MP__REQUEST__OP_DICT_SETDEFAULT:
		*ret_r = run_setdefault(session, id, request->dict_setdefault);
		return true;
	case MP__REQUEST__OP_DICT_UPDATE:
		*ret_r = run_update(session, id, request->dict_update);
		return true;
	case MP__REQUEST__OP_DICT_CLEAR:
		*ret_r = run_clear(session, id, request->dict_clear);
		return true;
	case MP__REQUEST__OP_DICT_LEN:
		*ret_r = run_len(session, id, request->dict_len);
		return true;
	case MP__REQUEST__OP_DICT_LIST:
		*ret_r = run_list(session, id, request->dict_list);
		return true;
	default:
		return false;
	}
}

int md_dict_quick(struct serve_session *session, const struct mp__quick *q)
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
