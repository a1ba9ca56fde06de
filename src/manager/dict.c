/* SPDX-License-Identifier: MIT */
/*
 * The proxy of a dict. It knows how to open its dict again, by name or by token, and does so when
 * it is used over another connection than the last time.
 */
#include <config.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "manager/manager.h"
#include "manager/share.h"
#include "obj/utf8.h"
#include "wire/frame.h"
#include "wire/value.h"

#include <mp/manager.h>
#include <string.h>

#define NAME_MAX_BYTES 255
#define TOKEN_SIZE 16
/* Keys and values up to this size are encoded on the stack. */
#define ARGUMENT_SMALL 512
/* How long closing may wait for other threads that are sending. */
#define CLOSE_MS 1000

struct mp_dict {
	struct mp__handle handle;
	_Atomic unsigned int references;
	struct mp_manager *manager;
	uint8_t token[TOKEN_SIZE];
	size_t name_length; /* 0: it has none */
	char name[NAME_MAX_BYTES];
	/* Under the manager's lock: the connection that knows the dict, and as what. */
	uint64_t serial;
	uint64_t reference;
};

/* --- opening and closing ---------------------------------------------------------------------- */

/* With one reference, which takes the one to the manager. */
static int dict_new(struct mp_manager *manager, const void *name, size_t length, mp_dict **ret_dict)
{
	mp_dict *dict = calloc(1, sizeof(*dict));

	if (!dict)
		return mp_error_set(-ENOMEM, "no memory for a dict");
	dict->handle.class = &mp__dict_class;
	dict->references = 1;
	dict->manager = manager;
	dict->name_length = length;
	if (length > 0)
		memcpy(dict->name, name, length);
	*ret_dict = dict;
	return 0;
}

/* Make it known to the connection. Under the manager's lock, or before others know the dict. */
static int dict_open(
	mp_dict *dict, struct mp__connection *connection, bool again, mp__deadline deadline)
{
	Mp__Request request = MP__REQUEST__INIT;
	Mp__Open open = MP__OPEN__INIT;
	struct mp__reply reply;

	open.type = MP__OBJECT_TYPE__DICT;
	if (dict->name_length > 0)
		open.name = (ProtobufCBinaryData){dict->name_length, (uint8_t *)dict->name};
	else if (again)
		open.token = (ProtobufCBinaryData){sizeof(dict->token), dict->token};
	request.op_case = MP__REQUEST__OP_OPEN;
	request.open = &open;
	int r = mp__connection_call(connection, &request, deadline, &reply);
	if (r < 0)
		return r;
	const Mp__Response *response = reply.response;
	if (response->result_case == MP__RESPONSE__RESULT_OPENED &&
		response->opened->token.len == sizeof(dict->token)) {
		dict->reference = response->opened->reference;
		dict->serial = mp__connection_serial(connection);
		memcpy(dict->token, response->opened->token.data, sizeof(dict->token));
	} else {
		r = mp_error_set(-EPROTO, "managerd answered the opening with something else");
	}
	mp__reply_free(&reply);
	return r;
}

int mp_manager_dict(mp_manager *manager, const char *name, mp_dict **ret_dict)
{
	struct mp__connection *connection;
	size_t length = name ? strlen(name) : 0;
	mp_dict *dict;

	if (!manager || !ret_dict)
		return mp_error_set(
			-EINVAL, "opening a dict: no manager, or no place for the dict");
	if (name && (length == 0 || length > NAME_MAX_BYTES))
		return mp_error_set(-EINVAL, "the name of a dict has 1 to %d bytes, not %zu",
			NAME_MAX_BYTES, length);
	if (!mp__utf8_valid(name, length))
		return mp_error_set(-EILSEQ, "the name of a dict is not UTF-8");
	mp__deadline deadline = mp__manager_deadline(manager);
	int r = mp__manager_lock(manager, deadline, &connection);
	if (r < 0)
		return r;
	mp__manager_unlock(manager);
	r = dict_new(manager, name, length, &dict);
	if (r == 0) {
		r = dict_open(dict, connection, false, deadline);
		if (r < 0)
			free(dict);
	}
	mp__connection_unref(connection);
	if (r < 0)
		return r;
	mp_manager_ref(manager);
	*ret_dict = dict;
	return 0;
}

mp_dict *mp_dict_ref(mp_dict *dict)
{
	if (dict)
		atomic_fetch_add_explicit(&dict->references, 1, memory_order_relaxed);
	return dict;
}

/*
 * Tell the daemon, if it still knows the dict; an end of the connection says the same. Closing
 * waits for nobody: not for the answer, and not for a daemon that takes nothing any more.
 */
static void dict_forget(mp_dict *dict)
{
	Mp__Request request = MP__REQUEST__INIT;
	Mp__Close close = MP__CLOSE__INIT;
	struct mp__connection *connection;
	mp__deadline deadline = mp__deadline_in(CLOSE_MS);

	if (mp__manager_lock_as_is(dict->manager, deadline, &connection) < 0)
		return;
	mp__manager_unlock(dict->manager);
	if (!connection)
		return;
	if (dict->serial == mp__connection_serial(connection)) {
		close.reference = dict->reference;
		request.op_case = MP__REQUEST__OP_CLOSE;
		request.close = &close;
		mp__connection_post(connection, &request, deadline);
	}
	mp__connection_unref(connection);
}

int mp_dict_close(mp_dict *dict)
{
	if (!dict || atomic_fetch_sub_explicit(&dict->references, 1, memory_order_acq_rel) > 1)
		return 0;
	dict_forget(dict);
	mp_manager_close(dict->manager);
	free(dict);
	return 0;
}

/* --- arguments and results -------------------------------------------------------------------- */

struct argument {
	void *data;
	size_t size;
	uint8_t small[ARGUMENT_SMALL];
};

static void argument_cleanup(struct argument *argument)
{
	if (argument->data != argument->small)
		free(argument->data);
}

#define ARGUMENT(name) MP__AUTO(argument_cleanup) struct argument name = {.data = NULL}

static int encode(struct argument *argument, const mp_obj *value)
{
	ssize_t size = mp__obj_encode_into(value, NULL, argument->small, sizeof(argument->small));

	if (size < 0)
		return (int)size;
	if ((size_t)size > sizeof(argument->small))
		return mp__obj_encode(value, 0, NULL, &argument->data, &argument->size);
	argument->data = argument->small;
	argument->size = (size_t)size;
	return 0;
}

static int encode_key(struct argument *argument, mp_obj key)
{
	mp_obj normal;

	int r = mp__key_normal(key, &normal);
	return r < 0 ? r : encode(argument, &normal);
}

static int encode_pair(struct argument *k, mp_obj key, struct argument *v, mp_obj value)
{
	int r = encode_key(k, key);

	if (r == 0)
		r = encode(v, &value);
	if (r == 0 && k->size + v->size > MP__PAYLOAD_MAX)
		r = mp_error_set(-EMSGSIZE, "key and value have %zu bytes, at most %zu may be",
			k->size + v->size, MP__PAYLOAD_MAX);
	return r;
}

static ProtobufCBinaryData field(const struct argument *argument)
{
	return (ProtobufCBinaryData){argument->size, argument->data};
}

static int decode(ProtobufCBinaryData bytes, mp_obj *ret_value)
{
	int r = mp__obj_decode(bytes.data, bytes.len, NULL, ret_value);

	if (r < 0 && r != -ENOMEM)
		return mp_error_set(-EPROTO, "managerd sent %s", mp_error_detail());
	return r;
}

static int unexpected(void)
{
	return mp_error_set(-EPROTO, "managerd answered with something else");
}

/* --- a call ----------------------------------------------------------------------------------- */

/*
 * One request about the dict. `reference` is the field of the operation in which the daemon's
 * number belongs: it is known only when the connection is.
 */
static int call(mp_dict *dict, Mp__Request *request, uint64_t *reference, struct mp__reply *reply)
{
	struct mp__connection *connection;
	mp__deadline deadline = mp__manager_deadline(dict->manager);

	int r = mp__manager_lock(dict->manager, deadline, &connection);
	if (r < 0)
		return r;
	if (dict->serial != mp__connection_serial(connection))
		r = dict_open(dict, connection, true, deadline);
	*reference = dict->reference;
	mp__manager_unlock(dict->manager);
	if (r == 0)
		r = mp__connection_call(connection, request, deadline, reply);
	mp__connection_unref(connection);
	return r;
}

/* The same, when nothing but success or failure comes back. */
static int call_plain(mp_dict *dict, Mp__Request *request, uint64_t *reference)
{
	struct mp__reply reply;

	int r = call(dict, request, reference, &reply);
	if (r >= 0)
		mp__reply_free(&reply);
	return r;
}

static int call_value(mp_dict *dict, Mp__Request *request, uint64_t *reference, mp_obj *ret_value)
{
	struct mp__reply reply;

	int r = call(dict, request, reference, &reply);
	if (r != 0)
		return r;
	r = reply.response->result_case == MP__RESPONSE__RESULT_VALUE
		    ? decode(reply.response->value, ret_value)
		    : unexpected();
	mp__reply_free(&reply);
	return r;
}

static int call_count(mp_dict *dict, Mp__Request *request, uint64_t *reference, uint64_t *ret_count)
{
	struct mp__reply reply;

	int r = call(dict, request, reference, &reply);
	if (r != 0)
		return r;
	if (reply.response->result_case == MP__RESPONSE__RESULT_COUNT)
		*ret_count = reply.response->count;
	else
		r = unexpected();
	mp__reply_free(&reply);
	return r;
}

static int no_dict(void)
{
	return mp_error_set(-EINVAL, "no dict, or no place for the result");
}

/* --- operations ------------------------------------------------------------------------------- */

int mp_dict_set(mp_dict *dict, mp_obj key, mp_obj value)
{
	Mp__Request request = MP__REQUEST__INIT;
	Mp__DictSet op = MP__DICT_SET__INIT;
	ARGUMENT(k);
	ARGUMENT(v);

	if (!dict)
		return no_dict();
	int r = encode_pair(&k, key, &v, value);
	if (r < 0)
		return r;
	op.key = field(&k);
	op.value = field(&v);
	request.op_case = MP__REQUEST__OP_DICT_SET;
	request.dict_set = &op;
	return call_plain(dict, &request, &op.reference);
}

int mp_dict_get(mp_dict *dict, mp_obj key, mp_obj *ret_value)
{
	Mp__Request request = MP__REQUEST__INIT;
	Mp__DictGet op = MP__DICT_GET__INIT;
	ARGUMENT(k);

	if (!dict || !ret_value)
		return no_dict();
	int r = encode_key(&k, key);
	if (r < 0)
		return r;
	op.key = field(&k);
	request.op_case = MP__REQUEST__OP_DICT_GET;
	request.dict_get = &op;
	return call_value(dict, &request, &op.reference, ret_value);
}

int mp_dict_pop(mp_dict *dict, mp_obj key, mp_obj *ret_value)
{
	Mp__Request request = MP__REQUEST__INIT;
	Mp__DictPop op = MP__DICT_POP__INIT;
	ARGUMENT(k);

	if (!dict)
		return no_dict();
	int r = encode_key(&k, key);
	if (r < 0)
		return r;
	op.key = field(&k);
	op.quiet = !ret_value;
	request.op_case = MP__REQUEST__OP_DICT_POP;
	request.dict_pop = &op;
	return ret_value ? call_value(dict, &request, &op.reference, ret_value)
			 : call_plain(dict, &request, &op.reference);
}

int mp_dict_contains(mp_dict *dict, mp_obj key)
{
	Mp__Request request = MP__REQUEST__INIT;
	Mp__DictContains op = MP__DICT_CONTAINS__INIT;
	uint64_t count = 0;
	ARGUMENT(k);

	if (!dict)
		return no_dict();
	int r = encode_key(&k, key);
	if (r < 0)
		return r;
	op.key = field(&k);
	request.op_case = MP__REQUEST__OP_DICT_CONTAINS;
	request.dict_contains = &op;
	r = call_count(dict, &request, &op.reference, &count);
	return r < 0 ? r : count > 0;
}

int mp_dict_setdefault(mp_dict *dict, mp_obj key, mp_obj value, mp_obj *ret_value)
{
	Mp__Request request = MP__REQUEST__INIT;
	Mp__DictSetdefault op = MP__DICT_SETDEFAULT__INIT;
	struct mp__reply reply;
	ARGUMENT(k);
	ARGUMENT(v);

	if (!dict || !ret_value)
		return no_dict();
	int r = encode_pair(&k, key, &v, value);
	if (r < 0)
		return r;
	op.key = field(&k);
	op.value = field(&v);
	request.op_case = MP__REQUEST__OP_DICT_SETDEFAULT;
	request.dict_setdefault = &op;
	r = call(dict, &request, &op.reference, &reply);
	if (r != 0)
		return r;
	if (reply.response->result_case != MP__RESPONSE__RESULT_STORED) {
		r = unexpected();
	} else {
		r = decode(reply.response->stored->value, ret_value);
		if (r == 0)
			r = reply.response->stored->inserted;
	}
	mp__reply_free(&reply);
	return r;
}

int mp_dict_update(mp_dict *dict, mp_obj pairs)
{
	Mp__Request request = MP__REQUEST__INIT;
	Mp__DictUpdate op = MP__DICT_UPDATE__INIT;
	ARGUMENT(p);

	if (!dict)
		return no_dict();
	if (pairs.type != MP_TYPE_DICT)
		return mp_error_set(-EINVAL, "an update with something that is not a dict");
	int r = encode(&p, &pairs);
	if (r < 0)
		return r;
	op.pairs = field(&p);
	request.op_case = MP__REQUEST__OP_DICT_UPDATE;
	request.dict_update = &op;
	return call_plain(dict, &request, &op.reference);
}

int mp_dict_clear(mp_dict *dict)
{
	Mp__Request request = MP__REQUEST__INIT;
	Mp__DictClear op = MP__DICT_CLEAR__INIT;

	if (!dict)
		return no_dict();
	request.op_case = MP__REQUEST__OP_DICT_CLEAR;
	request.dict_clear = &op;
	return call_plain(dict, &request, &op.reference);
}

int mp_dict_len(mp_dict *dict, size_t *ret_len)
{
	Mp__Request request = MP__REQUEST__INIT;
	Mp__DictLen op = MP__DICT_LEN__INIT;
	uint64_t count = 0;

	if (!dict || !ret_len)
		return no_dict();
	request.op_case = MP__REQUEST__OP_DICT_LEN;
	request.dict_len = &op;
	int r = call_count(dict, &request, &op.reference, &count);
	if (r == 0)
		*ret_len = (size_t)count;
	return r;
}

static int list(mp_dict *dict, Mp__DictList__Part part, mp_obj *ret_value)
{
	Mp__Request request = MP__REQUEST__INIT;
	Mp__DictList op = MP__DICT_LIST__INIT;

	if (!dict || !ret_value)
		return no_dict();
	op.part = part;
	request.op_case = MP__REQUEST__OP_DICT_LIST;
	request.dict_list = &op;
	return call_value(dict, &request, &op.reference, ret_value);
}

int mp_dict_keys(mp_dict *dict, mp_obj *ret_list)
{
	return list(dict, MP__DICT_LIST__PART__KEYS, ret_list);
}

int mp_dict_values(mp_dict *dict, mp_obj *ret_list)
{
	return list(dict, MP__DICT_LIST__PART__VALUES, ret_list);
}

int mp_dict_items(mp_dict *dict, mp_obj *ret_dict)
{
	return list(dict, MP__DICT_LIST__PART__ITEMS, ret_dict);
}

/* --- the class -------------------------------------------------------------------------------- */

static void class_ref(struct mp__handle *handle)
{
	mp_dict_ref((mp_dict *)handle);
}

static void class_unref(struct mp__handle *handle)
{
	mp_dict_close((mp_dict *)handle);
}

/* Behind the manager: the token, and the name with its length if there is one. */
static int class_export(struct mp__handle *handle, struct mp__handle_wire *ret_wire)
{
	const mp_dict *dict = (const mp_dict *)handle;

	int r = mp__share_export(dict->manager, ret_wire);
	if (r < 0)
		return r;
	uint8_t *at = ret_wire->data + ret_wire->size;
	memcpy(at, dict->token, sizeof(dict->token));
	memcpy(at + sizeof(dict->token), dict->name, dict->name_length);
	ret_wire->size += sizeof(dict->token) + dict->name_length;
	return 0;
}

static int class_import(struct mp__handle_wire *wire, struct mp__handle **ret_handle)
{
	struct mp_manager *manager;
	mp_dict *dict = NULL;
	size_t at = 0;

	int r = mp__share_import(wire, &at, &manager);
	if (r < 0)
		return r;
	const uint8_t *name = wire->data + at + TOKEN_SIZE;
	size_t left = wire->size - at;
	if (left < TOKEN_SIZE || left - TOKEN_SIZE > NAME_MAX_BYTES ||
		!mp__utf8_valid((const char *)name, left - TOKEN_SIZE))
		r = mp_error_set(-EBADMSG, "the handle of a dict is damaged");
	else
		r = dict_new(manager, name, left - TOKEN_SIZE, &dict);
	if (r < 0) {
		mp_manager_close(manager);
		return r;
	}
	memcpy(dict->token, wire->data + at, TOKEN_SIZE);
	*ret_handle = &dict->handle;
	return 0;
}

const struct mp__handle_class mp__dict_class = {
	.kind = MP__HANDLE_DICT,
	.name = "dict",
	.ref = class_ref,
	.unref = class_unref,
	.export = class_export,
	.import = class_import,
};

mp_obj mp_dict_handle(mp_dict *dict)
{
	return mp__handle_obj(dict ? &dict->handle : NULL);
}

mp_dict *mp_obj_dict(const mp_obj *value)
{
	return (mp_dict *)mp__obj_handle(value, MP__HANDLE_DICT);
}
