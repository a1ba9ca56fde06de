/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "managerd/dict_request.h"

#include "base/error.h"
#include "managerd/dict_expiry.h"
#include "managerd/dict_methods.h"
#include "managerd/obj_dict.h"
#include "obj/codec.h"
#include "serve/call.h"
#include "serve/refer.h"
#include "serve/reply.h"
#include "wire/value.h"

#include <inttypes.h>

/* --- arguments: false means that the mistake is answered -------------------------------------- */

static bool find_dict(struct serve_call *call, uint64_t reference)
{
	call->object = serve_session_object(call->session, reference);
	if (!call->object) {
		serve_fail(call, MP__CODE__BAD_REFERENCE,
			"reference %" PRIu64 " is none of this connection", reference);
		return false;
	}
	if (call->object->class != &md_dict_class) {
		serve_fail(call, MP__CODE__WRONG_TYPE, "reference %" PRIu64 " is not a dict",
			reference);
		return false;
	}
	if (!md_dict_refresh(call->object))
		call->failed = SERVE_SESSION_E_LATER;
	return call->failed == 0;
}

static bool read_key(struct serve_call *call, ProtobufCBinaryData field, struct mp__key *ret_key)
{
	int r = mp__key_canonical(field.data, field.len, ret_key);

	if (r < 0)
		serve_fail_result(call, r);
	return r == 0;
}

/* References in what is about to be stored are counted from now on. */
static bool refer(struct serve_call *call, struct serve_bytes value, size_t references)
{
	call->session->context->args_references = references;
	return md_dict_refer(call, value);
}

static bool read_value(struct serve_call *call, ProtobufCBinaryData field, size_t key_size,
	struct serve_bytes *ret_value)
{
	struct mp__value_info info;
	int r = mp__value_check_stored(field.data, field.len, &info);

	if (r == 0 && field.len + key_size > MP__PAYLOAD_MAX)
		r = mp_error_set(-EMSGSIZE,
			"key and value have %zu bytes, at most %zu may be: split the value",
			field.len + key_size, MP__PAYLOAD_MAX);
	if (r < 0) {
		serve_fail_result(call, r);
		return false;
	}
	if (!serve_may_grow(call, field.len + key_size))
		return false;
	*ret_value = (struct serve_bytes){field.data, field.len};
	return refer(call, *ret_value, info.references);
}

/* It could not be stored after all. */
static int fail_storing(struct serve_call *call, struct serve_bytes value, int r)
{
	serve_unrefer(call->object, value);
	return md_dict_fail(call, r);
}

static int answer_ok(struct serve_call *call)
{
	return serve_reply_ok(call->session, call->id);
}

/* --- operations ------------------------------------------------------------------------------- */

static int run_set(struct serve_call *call, const Mp__DictSet *op)
{
	struct mp__key key;
	struct serve_bytes value;

	if (!find_dict(call, op->reference) || !read_key(call, op->key, &key) ||
		!read_value(call, op->value, key.size, &value) ||
		!md_dict_put(call, md_key_bytes(&key), value))
		return call->failed;
	return answer_ok(call);
}

static int run_get(struct serve_call *call, const Mp__DictGet *op)
{
	struct mp__key key;
	struct serve_bytes value;

	if (!find_dict(call, op->reference) || !read_key(call, op->key, &key) ||
		!md_dict_look(call, md_key_bytes(&key), &value))
		return call->failed;
	return serve_answer_stored(call, value);
}

/* The value goes when the answer has it, with what it refers to, and not before. */
static int answer_and_remove(struct serve_call *call, struct serve_bytes key)
{
	struct serve_bytes value;

	if (!md_dict_look(call, key, &value))
		return call->failed;
	int r = serve_answer_stored(call, value);
	if (call->refused)
		return r;
	int removed = md_dict_remove(md_dict_of(call), key);
	serve_changed(call->object);
	return removed < 0 ? removed : r;
}

static int run_pop(struct serve_call *call, const Mp__DictPop *op)
{
	struct mp__key key;

	if (!find_dict(call, op->reference) || !read_key(call, op->key, &key))
		return call->failed;
	if (!op->quiet)
		return answer_and_remove(call, md_key_bytes(&key));
	return md_dict_take_out(call, md_key_bytes(&key)) ? answer_ok(call) : call->failed;
}

static int run_contains(struct serve_call *call, const Mp__DictContains *op)
{
	struct mp__key key;
	bool has;

	if (!find_dict(call, op->reference) || !read_key(call, op->key, &key) ||
		!md_dict_has(call, md_key_bytes(&key), &has))
		return call->failed;
	return serve_reply_count(call->session, call->id, has);
}

static int run_setdefault(struct serve_call *call, const Mp__DictSetdefault *op)
{
	Mp__Response response = MP__RESPONSE__INIT;
	Mp__Stored stored = MP__STORED__INIT;
	struct mp__key key;
	struct serve_bytes value;
	struct serve_bytes now;
	bool inserted;

	if (!find_dict(call, op->reference) || !read_key(call, op->key, &key) ||
		!read_value(call, op->value, key.size, &value))
		return call->failed;
	int r = md_dict_setdefault(md_dict_of(call), md_key_bytes(&key), value, &inserted, &now);
	if (r != 0)
		return fail_storing(call, value, r);
	if (inserted)
		serve_changed(call->object);
	else
		serve_unrefer(call->object, value);
	stored.value = (ProtobufCBinaryData){now.size, (uint8_t *)now.data};
	stored.inserted = inserted;
	response.result_case = MP__RESPONSE__RESULT_STORED;
	response.stored = &stored;
	return serve_answer_referring(call, now, &response);
}

static int run_update(struct serve_call *call, const Mp__DictUpdate *op)
{
	struct serve_bytes pairs = {op->pairs.data, op->pairs.len};
	struct mp__value_info info;

	if (!find_dict(call, op->reference))
		return call->failed;
	int r = mp__value_check(op->pairs.data, op->pairs.len, &info);
	if (r == 0 && info.handles > 0)
		r = mp_error_set(
			-ENOTSUP, "a handle in a value for managerd, which cannot keep it");
	if (r == 0 && info.type != MP_TYPE_DICT)
		r = mp_error_set(-EINVAL, "what it is updated with is not a dict");
	if (r < 0)
		return serve_fail_result(call, r);
	serve_effort(call, info.nodes);
	if (!serve_may_grow(call, pairs.size) || !refer(call, pairs, info.references))
		return call->failed;
	r = md_dict_update(md_dict_of(call), op->pairs.data, op->pairs.len);
	if (r != 0)
		return fail_storing(call, pairs, r);
	serve_changed(call->object);
	return answer_ok(call);
}

static int run_clear(struct serve_call *call, const Mp__DictClear *op)
{
	if (!find_dict(call, op->reference))
		return call->failed;
	serve_effort(call, md_dict_len(md_dict_of(call)));
	int r = md_dict_clear(md_dict_of(call));
	if (r != 0)
		return md_dict_fail(call, r);
	serve_changed(call->object);
	return answer_ok(call);
}

static int run_len(struct serve_call *call, const Mp__DictLen *op)
{
	if (!find_dict(call, op->reference))
		return call->failed;
	return serve_reply_count(call->session, call->id, md_dict_len(md_dict_of(call)));
}

static int run_list(struct serve_call *call, const Mp__DictList *op)
{
	if (!find_dict(call, op->reference))
		return call->failed;
	bool keys = op->part != MP__DICT_LIST__PART__VALUES;
	bool values = op->part != MP__DICT_LIST__PART__KEYS;
	if (keys && values && op->part != MP__DICT_LIST__PART__ITEMS)
		return serve_fail(call, MP__CODE__INVALID, "an unknown part of a dict");
	return md_dict_answer_all(call, keys, values);
}

/* --- the whole -------------------------------------------------------------------------------- */

bool md_dict_request(struct serve_session *session, const Mp__Request *request, int *ret_r)
{
	struct serve_call call = {.session = session, .id = request->id};

	switch (request->op_case) {
	case MP__REQUEST__OP_DICT_SET:
		*ret_r = run_set(&call, request->dict_set);
		return true;
	case MP__REQUEST__OP_DICT_GET:
		*ret_r = run_get(&call, request->dict_get);
		return true;
	case MP__REQUEST__OP_DICT_POP:
		*ret_r = run_pop(&call, request->dict_pop);
		return true;
	case MP__REQUEST__OP_DICT_CONTAINS:
		*ret_r = run_contains(&call, request->dict_contains);
		return true;
	case MP__REQUEST__OP_DICT_SETDEFAULT:
		*ret_r = run_setdefault(&call, request->dict_setdefault);
		return true;
	case MP__REQUEST__OP_DICT_UPDATE:
		*ret_r = run_update(&call, request->dict_update);
		return true;
	case MP__REQUEST__OP_DICT_CLEAR:
		*ret_r = run_clear(&call, request->dict_clear);
		return true;
	case MP__REQUEST__OP_DICT_LEN:
		*ret_r = run_len(&call, request->dict_len);
		return true;
	case MP__REQUEST__OP_DICT_LIST:
		*ret_r = run_list(&call, request->dict_list);
		return true;
	default:
		return false;
	}
}

int md_dict_quick(struct serve_session *session, const struct mp__quick *q)
{
	struct serve_call call = {.session = session, .id = q->id};

	switch (q->op) {
	case MP__REQUEST__OP_DICT_SET:
		return run_set(&call,
			&(Mp__DictSet){
				.reference = q->reference, .key = q->key, .value = q->value});
	case MP__REQUEST__OP_DICT_GET:
		return run_get(&call, &(Mp__DictGet){.reference = q->reference, .key = q->key});
	case MP__REQUEST__OP_DICT_POP:
		return run_pop(&call, &(Mp__DictPop){.reference = q->reference, .key = q->key});
	case MP__REQUEST__OP_DICT_CONTAINS:
		return run_contains(
			&call, &(Mp__DictContains){.reference = q->reference, .key = q->key});
	default:
		return run_setdefault(&call,
			&(Mp__DictSetdefault){
				.reference = q->reference, .key = q->key, .value = q->value});
	}
}
