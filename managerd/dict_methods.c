/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "managerd/dict_methods.h"

#include "base/error.h"
#include "base/testpoint.h"
#include "managerd/dict_expiry.h"
#include "managerd/obj_dict.h"
#include "managerd/obj_namespace.h"
#include "managerd/transaction.h"
#include "managerd/values.h"
#include "obj/wireformat.h"
#include "serve/assemble.h"
#include "serve/refer.h"

#include <inttypes.h>
#include <stdlib.h>

/* The value goes from the dict, and so does what it refers to. */
static void value_gone(void *data, struct serve_bytes value)
{
	serve_unrefer(data, value);
}

bool md_dict_refer(struct serve_call *call, struct serve_bytes value)
{
	struct serve_store *dict = md_dict_of(call);

	if (!serve_may_grow(call, value.size))
		return false;
	if (call->session->context->args_references == 0)
		return true;
	dict->gone = value_gone;
	dict->data = call->object;
	return serve_refer(call, value);
}

int md_dict_fail(struct serve_call *call, int r)
{
	switch (r) {
	case MD_DICT_E_NO_KEY:
		return serve_fail(call, MP__CODE__NOT_FOUND,
			call->object->class == &md_namespace_class
				? "it has no attribute of that name"
				: "no such key");
	case MD_DICT_E_NO_MEMORY:
		return serve_fail_no_memory(call);
	case MD_DICT_E_BAD_KEY:
		return serve_fail(call, MP__CODE__INVALID, "%s", mp_error_detail());
	case MD_DICT_E_BAD_VALUE:
		return serve_fail(call, MP__CODE__TOO_LARGE, "%s", mp_error_detail());
	default: /* fatal */
		call->refused = true;
		call->failed = r;
		return r;
	}
}

bool md_dict_look(struct serve_call *call, struct serve_bytes key, struct serve_bytes *ret_value)
{
	int r = md_dict_get(md_dict_of(call), key, ret_value);

	if (r != 0)
		md_dict_fail(call, r);
	return r == 0;
}

bool md_dict_has(struct serve_call *call, struct serve_bytes key, bool *ret_has)
{
	struct serve_bytes value;

	int r = md_dict_get(md_dict_of(call), key, &value);
	if (r != 0 && r != MD_DICT_E_NO_KEY) {
		md_dict_fail(call, r);
		return false;
	}
	*ret_has = r == 0;
	return true;
}

bool md_dict_put(struct serve_call *call, struct serve_bytes key, struct serve_bytes value)
{
	MP__TEST_POINT("managerd.set.checked");
	int r = md_dict_set(md_dict_of(call), key, value);
	MP__TEST_POINT("managerd.set.done");
	if (r != 0) {
		serve_unrefer(call->object, value);
		md_dict_fail(call, r);
		return false;
	}
	serve_changed(call->object);
	return true;
}

bool md_dict_take_out(struct serve_call *call, struct serve_bytes key)
{
	int r = md_dict_remove(md_dict_of(call), key);

	if (r != 0) {
		md_dict_fail(call, r);
		return false;
	}
	serve_changed(call->object);
	return true;
}

/* As if it were 0 that is not there yet. */
static int add(struct serve_call *call)
{
	static const uint8_t zero[] = {MP__TAG_I64, 0};
	struct serve_bytes old = {zero, sizeof(zero)};
	struct md_item *sum;
	struct mp__key key;

	if (!serve_arg_key(call, 0, &key))
		return call->failed;
	int r = md_dict_get(md_dict_of(call), md_key_bytes(&key), &old);
	if (r != 0 && r != MD_DICT_E_NO_KEY)
		return md_dict_fail(call, r);
	if (!md_arg_sum(call, 1, old, &sum))
		return call->failed;
	r = md_dict_replace(md_dict_of(call), md_key_bytes(&key), md_item_bytes(sum));
	if (r == 0) {
		serve_changed(call->object);
		r = serve_answer_value(call, md_item_bytes(sum));
	} else {
		r = md_dict_fail(call, r);
	}
	free(sum);
	return r;
}

static int compare_and_swap(struct serve_call *call)
{
	struct serve_bytes value;
	struct serve_bytes old;
	struct mp__key key;
	bool equal = false;

	if (!serve_arg_key(call, 0, &key) || !serve_arg_value(call, 2, &value) ||
		!md_dict_look(call, md_key_bytes(&key), &old) ||
		!md_arg_equals(call, 1, old, &equal))
		return call->failed;
	if (!equal)
		return serve_answer_bool(call, false);
	if (!md_dict_refer(call, value))
		return call->failed;
	int r = md_dict_replace(md_dict_of(call), md_key_bytes(&key), value);
	if (r != 0) {
		serve_unrefer(call->object, value);
		return md_dict_fail(call, r);
	}
	serve_changed(call->object);
	return serve_answer_bool(call, true);
}

int md_dict_answer_all(struct serve_call *call, bool keys, bool values)
{
	struct serve_store *dict = md_dict_of(call);
	struct serve_bytes key;
	struct serve_bytes value;
	uint64_t cursor = 0;

	serve_effort(call, md_dict_len(dict));
	while (dict->class->next(dict, &cursor, &key, &value) == 0) {
		if ((keys && !serve_assemble(call, key)) ||
			(values && !serve_assemble(call, value)))
			return call->failed;
	}
	return keys && values ? serve_answer_dict(call) : serve_answer_list(call);
}

/* --- as the requests of dicts do, for who calls methods by name ---------------------------------- */

int md_dict_call_get(struct serve_call *call)
{
	struct serve_bytes value;
	struct mp__key key;

	if (!serve_arg_key(call, 0, &key) || !md_dict_look(call, md_key_bytes(&key), &value))
		return call->failed;
	return serve_answer_stored(call, value);
}

int md_dict_call_contains(struct serve_call *call)
{
	struct mp__key key;
	bool has;

	if (!serve_arg_key(call, 0, &key) || !md_dict_has(call, md_key_bytes(&key), &has))
		return call->failed;
	return serve_answer_bool(call, has);
}

int md_dict_call_set(struct serve_call *call)
{
	struct serve_bytes value;
	struct mp__key key;

	if (!serve_arg_key(call, 0, &key) || !serve_arg_value(call, 1, &value) ||
		!md_dict_refer(call, value) || !md_dict_put(call, md_key_bytes(&key), value))
		return call->failed;
	return serve_answer_nil(call);
}

int md_dict_call_delete(struct serve_call *call)
{
	struct mp__key key;

	if (!serve_arg_key(call, 0, &key) || !md_dict_take_out(call, md_key_bytes(&key)))
		return call->failed;
	return serve_answer_nil(call);
}

static int len(struct serve_call *call)
{
	return serve_answer_i64(call, (int64_t)md_dict_len(md_dict_of(call)));
}

/* --- many ------------------------------------------------------------------------------------- */

/* A dict of those that are there. */
static int get_many(struct serve_call *call)
{
	struct serve_bytes value;
	struct mp__items keys;
	struct mp__key key;
	uint8_t *data;
	size_t length;

	if (!md_arg_list(call, 0, &keys, &length))
		return call->failed;
	while (mp__items_next(&keys, &data, &length)) {
		int r = mp__key_canonical(data, length, &key);
		if (r < 0) {
			serve_assemble_nothing(call);
			return serve_fail_result(call, r);
		}
		if (md_dict_get(md_dict_of(call), md_key_bytes(&key), &value) == 0 &&
			(!serve_assemble(call, md_key_bytes(&key)) || !serve_assemble(call, value)))
			return call->failed;
	}
	return serve_answer_dict(call);
}

/* The one that was put there last, as Python does. */
static int popitem(struct serve_call *call)
{
	struct serve_store *dict = md_dict_of(call);
	struct serve_bytes key;
	struct serve_bytes value;

	if (dict->class->last(dict, &key, &value) != 0)
		return serve_fail(call, MP__CODE__NOT_FOUND, "it is empty");
	if (!serve_assemble(call, key) || !serve_assemble(call, value))
		return call->failed;
	int r = serve_answer_list(call);
	if (!call->refused) {
		(void)md_dict_remove(dict, key);
		serve_changed(call->object);
	}
	return r;
}

const struct serve_method md_dict_methods[MD_DICT_METHODS] = {
	{"add", add, 2, 2},
	{"compare_and_swap", compare_and_swap, 3, 3},
	{"contains", md_dict_call_contains, 1, 1},
	{"delete", md_dict_call_delete, 1, 1},
	{"expire", md_dict_expire, 2, 2},
	{"get", md_dict_call_get, 1, 1},
	{"get_many", get_many, 1, 1},
	{"len", len, 0, 0},
	{"persist", md_dict_persist, 1, 1},
	{"popitem", popitem, 0, 0},
	{"set", md_dict_call_set, 2, 2},
	{"set_for", md_dict_set_for, 3, 3},
	{"transact", md_dict_transact, 2, 2},
	{"ttl", md_dict_ttl, 1, 1},
};
