/* SPDX-License-Identifier: MIT */
/* The functions of a dict: a proxy whose operations have messages of their own. */
#include <config.h>

#include "base/error.h"
#include "manager/argument.h"
#include "manager/proxy.h"
#include "wire/frame.h"
#include "wire/value.h"

#include <mp/manager.h>
#include <string.h>

int mp_manager_dict(mp_manager *manager, const char *name, mp_dict **ret_dict)
{
	struct mp_proxy *proxy;

	if (!manager || !ret_dict)
		return mp_error_set(
			-EINVAL, "opening a dict: no manager, or no place for the dict");
	int r = mp__proxy_open(manager, "dict", name, mp_nil(), &proxy);
	if (r == 0)
		*ret_dict = (mp_dict *)proxy;
	return r;
}

mp_dict *mp_dict_ref(mp_dict *dict)
{
	return (mp_dict *)mp_proxy_ref(mp__proxy_of_dict(dict));
}

int mp_dict_close(mp_dict *dict)
{
	return mp_proxy_close(mp__proxy_of_dict(dict));
}

/* --- arguments and results -------------------------------------------------------------------- */

static int encode_key(struct mp__argument *argument, mp_dict *dict, mp_obj key)
{
	mp_obj normal;

	int r = mp__key_normal(key, &normal);
	return r < 0 ? r : mp__argument_encode(argument, mp__proxy_of_dict(dict)->manager, &normal);
}

static int encode_pair(struct mp__argument *k, mp_obj key, struct mp__argument *v,
	const mp_obj *value, mp_dict *dict)
{
	int r = encode_key(k, dict, key);

	if (r == 0)
		r = mp__argument_encode(v, mp__proxy_of_dict(dict)->manager, value);
	if (r == 0 && k->size + v->size > MP__PAYLOAD_MAX)
		r = mp_error_set(-EMSGSIZE,
			"a key and value of %zu bytes for a dict; at most %zu may be",
			k->size + v->size, MP__PAYLOAD_MAX);
	return r;
}

/* --- a call ----------------------------------------------------------------------------------- */

/* `sent`: what may have objects in it, or NULL. */
static int call(mp_dict *dict, Mp__Request *request, uint64_t *reference, struct mp__argument *sent,
	struct mp__reply *reply, uint64_t *ret_serial)
{
	struct mp_proxy *proxy = mp__proxy_of_dict(dict);

	return mp__proxy_request(proxy, request, reference, sent,
		mp__manager_deadline(proxy->manager), reply, ret_serial);
}

/* The same, when nothing but success or failure comes back. */
static int call_plain(
	mp_dict *dict, Mp__Request *request, uint64_t *reference, struct mp__argument *sent)
{
	struct mp__reply reply;
	uint64_t serial;

	int r = call(dict, request, reference, sent, &reply, &serial);
	if (r >= 0)
		mp__reply_free(&reply);
	return r;
}

static int call_value(mp_dict *dict, Mp__Request *request, uint64_t *reference, mp_obj *ret_value)
{
	struct mp__reply reply;
	uint64_t serial;

	int r = call(dict, request, reference, NULL, &reply, &serial);
	if (r != 0)
		return r;
	r = reply.response->result_case == MP__RESPONSE__RESULT_VALUE
		    ? mp__argument_decode(mp__proxy_of_dict(dict)->manager, serial, reply.response,
			      reply.response->value, ret_value)
		    : mp__argument_unexpected();
	mp__reply_free(&reply);
	return r;
}

static int call_count(mp_dict *dict, Mp__Request *request, uint64_t *reference, uint64_t *ret_count)
{
	struct mp__reply reply;
	uint64_t serial;

	int r = call(dict, request, reference, NULL, &reply, &serial);
	if (r != 0)
		return r;
	if (reply.response->result_case == MP__RESPONSE__RESULT_COUNT)
		*ret_count = reply.response->count;
	else
		r = mp__argument_unexpected();
	mp__reply_free(&reply);
	return r;
}

static int no_dict(void)
{
	return mp_error_set(
		-EINVAL, "a call on a dict: the dict, or the place for the result, is NULL");
}

/* --- operations ------------------------------------------------------------------------------- */

int mp_dict_set(mp_dict *dict, mp_obj key, mp_obj value)
{
	Mp__DictSet op = MP__DICT_SET__INIT;
	MP__ARGUMENT(k);
	MP__ARGUMENT(v);

	if (!dict)
		return no_dict();
	int r = encode_pair(&k, key, &v, &value, dict);
	if (r < 0)
		return r;
	mp__argument_stand_in(&k, &op.key);
	mp__argument_stand_in(&v, &op.value);
	Mp__Request request = MP__REQUEST(DICT_SET, dict_set, &op);
	return call_plain(dict, &request, &op.reference, &v);
}

int mp_dict_get(mp_dict *dict, mp_obj key, mp_obj *ret_value)
{
	Mp__DictGet op = MP__DICT_GET__INIT;
	MP__ARGUMENT(k);

	if (!dict || !ret_value)
		return no_dict();
	int r = encode_key(&k, dict, key);
	if (r < 0)
		return r;
	mp__argument_stand_in(&k, &op.key);
	Mp__Request request = MP__REQUEST(DICT_GET, dict_get, &op);
	return call_value(dict, &request, &op.reference, ret_value);
}

int mp_dict_pop(mp_dict *dict, mp_obj key, mp_obj *ret_value)
{
	Mp__DictPop op = MP__DICT_POP__INIT;
	MP__ARGUMENT(k);

	if (!dict)
		return no_dict();
	int r = encode_key(&k, dict, key);
	if (r < 0)
		return r;
	mp__argument_stand_in(&k, &op.key);
	op.quiet = !ret_value;
	Mp__Request request = MP__REQUEST(DICT_POP, dict_pop, &op);
	return ret_value ? call_value(dict, &request, &op.reference, ret_value)
			 : call_plain(dict, &request, &op.reference, NULL);
}

int mp_dict_contains(mp_dict *dict, mp_obj key)
{
	Mp__DictContains op = MP__DICT_CONTAINS__INIT;
	uint64_t count = 0;
	MP__ARGUMENT(k);

	if (!dict)
		return no_dict();
	int r = encode_key(&k, dict, key);
	if (r < 0)
		return r;
	mp__argument_stand_in(&k, &op.key);
	Mp__Request request = MP__REQUEST(DICT_CONTAINS, dict_contains, &op);
	r = call_count(dict, &request, &op.reference, &count);
	return r < 0 ? r : count > 0;
}

int mp_dict_setdefault(mp_dict *dict, mp_obj key, mp_obj value, mp_obj *ret_value)
{
	Mp__DictSetdefault op = MP__DICT_SETDEFAULT__INIT;
	struct mp__reply reply;
	uint64_t serial;
	MP__ARGUMENT(k);
	MP__ARGUMENT(v);

	if (!dict || !ret_value)
		return no_dict();
	int r = encode_pair(&k, key, &v, &value, dict);
	if (r < 0)
		return r;
	mp__argument_stand_in(&k, &op.key);
	mp__argument_stand_in(&v, &op.value);
	Mp__Request request = MP__REQUEST(DICT_SETDEFAULT, dict_setdefault, &op);
	r = call(dict, &request, &op.reference, &v, &reply, &serial);
	if (r != 0)
		return r;
	if (reply.response->result_case != MP__RESPONSE__RESULT_STORED) {
		r = mp__argument_unexpected();
	} else {
		r = mp__argument_decode(mp__proxy_of_dict(dict)->manager, serial, reply.response,
			reply.response->stored->value, ret_value);
		if (r == 0)
			r = reply.response->stored->inserted;
	}
	mp__reply_free(&reply);
	return r;
}

int mp_dict_update(mp_dict *dict, mp_obj pairs)
{
	Mp__DictUpdate op = MP__DICT_UPDATE__INIT;
	MP__ARGUMENT(p);

	if (!dict)
		return no_dict();
	if (pairs.type != MP_TYPE_DICT)
		return mp_error_set(
			-EINVAL, "updating a dict with something that is not one; use MP_DICT()");
	int r = mp__argument_encode(&p, mp__proxy_of_dict(dict)->manager, &pairs);
	if (r < 0)
		return r;
	mp__argument_stand_in(&p, &op.pairs);
	Mp__Request request = MP__REQUEST(DICT_UPDATE, dict_update, &op);
	return call_plain(dict, &request, &op.reference, &p);
}

int mp_dict_clear(mp_dict *dict)
{
	Mp__DictClear op = MP__DICT_CLEAR__INIT;

	if (!dict)
		return no_dict();
	Mp__Request request = MP__REQUEST(DICT_CLEAR, dict_clear, &op);
	return call_plain(dict, &request, &op.reference, NULL);
}

int mp_dict_len(mp_dict *dict, size_t *ret_len)
{
	Mp__DictLen op = MP__DICT_LEN__INIT;
	uint64_t count = 0;

	if (!dict || !ret_len)
		return no_dict();
	Mp__Request request = MP__REQUEST(DICT_LEN, dict_len, &op);
	int r = call_count(dict, &request, &op.reference, &count);
	if (r == 0)
		*ret_len = (size_t)count;
	return r;
}

static int list(mp_dict *dict, Mp__DictList__Part part, mp_obj *ret_value)
{
	Mp__DictList op = MP__DICT_LIST__INIT;

	if (!dict || !ret_value)
		return no_dict();
	op.part = part;
	Mp__Request request = MP__REQUEST(DICT_LIST, dict_list, &op);
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

/* --- as a handle ------------------------------------------------------------------------------ */

mp_obj mp_dict_handle(mp_dict *dict)
{
	return mp_proxy_handle(mp__proxy_of_dict(dict));
}

mp_dict *mp_obj_dict(const mp_obj *value)
{
	return (mp_dict *)mp__obj_handle(value, MP__HANDLE_DICT);
}
