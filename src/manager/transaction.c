/* SPDX-License-Identifier: MIT */
/* The functions of a dict that are calls by name. */
#include <config.h>

#include "base/error.h"
#include "manager/proxy.h"

#include <mp/manager.h>
#include <stdlib.h>

static int call(mp_dict *dict, const char *method, mp_obj args, mp_obj *ret)
{
	return mp__proxy_call(mp__proxy_of_dict(dict), "dict", method, args, MP_NOWAIT, ret);
}

int mp_dict_add(mp_dict *dict, mp_obj key, mp_obj number, mp_obj *ret_sum)
{
	return call(dict, "add", MP_LIST(key, number), ret_sum);
}

int mp_dict_compare_and_swap(mp_dict *dict, mp_obj key, mp_obj expected, mp_obj value)
{
	return mp__proxy_call_bool(mp__proxy_of_dict(dict), "dict", "compare_and_swap",
		MP_LIST(key, expected, value), MP_NOWAIT);
}

int mp_dict_get_many(mp_dict *dict, mp_obj keys, mp_obj *ret_dict)
{
	if (!ret_dict)
		return mp_error_set(-EINVAL, "get_many of a dict: no place for the values");
	return call(dict, "get_many", MP_LIST(keys), ret_dict);
}

int mp_dict_popitem(mp_dict *dict, mp_obj *ret_pair)
{
	if (!ret_pair)
		return mp_error_set(-EINVAL, "popitem of a dict: no place for the pair");
	return call(dict, "popitem", mp_nil(), ret_pair);
}

/* --- keys that expire --------------------------------------------------------------------------- */

int mp_dict_set_for(mp_dict *dict, mp_obj key, mp_obj value, int64_t ttl_ms)
{
	return call(dict, "set_for", MP_LIST(key, value, mp_i64(ttl_ms)), NULL);
}

int mp_dict_expire(mp_dict *dict, mp_obj key, int64_t ttl_ms)
{
	return call(dict, "expire", MP_LIST(key, mp_i64(ttl_ms)), NULL);
}

int mp_dict_persist(mp_dict *dict, mp_obj key)
{
	return mp__proxy_call_bool(
		mp__proxy_of_dict(dict), "dict", "persist", MP_LIST(key), MP_NOWAIT);
}

int mp_dict_ttl(mp_dict *dict, mp_obj key, int64_t *ret_ttl_ms)
{
	if (!ret_ttl_ms)
		return mp_error_set(-EINVAL, "ttl of a key of a dict: no place for it");
	return mp__proxy_call_ttl(mp__proxy_of_dict(dict), "dict", "ttl", MP_LIST(key), ret_ttl_ms);
}

/* --- transactions ------------------------------------------------------------------------------- */

static const struct {
	const char *word;
	bool has_value;
} words[] = {
	[MP_DICT_EQUAL] = {"equal", true},
	[MP_DICT_AT_LEAST] = {"at_least", true},
	[MP_DICT_PRESENT] = {"present", false},
	[MP_DICT_ABSENT] = {"absent", false},
	[MP_DICT_SET] = {"set", true},
	[MP_DICT_ADD] = {"add", true},
	[MP_DICT_DELETE] = {"delete", false},
	[MP_DICT_VERSION] = {"version", true},
	[MP_LIST_APPEND] = {"append", true},
	[MP_LIST_INSERT] = {"insert", true},
	[MP_DICT_EXPIRE] = {"expire", true},
	[MP_DICT_PERSIST] = {"persist", false},
};

/* A word, a key and, where it needs one, a value, in `parts`. How many they are. */
static int write_step(enum mp_dict_op op, mp_obj key, mp_obj value, mp_obj parts[3])
{
	if (op < MP_DICT_EQUAL || op > MP_DICT_PERSIST)
		return mp_error_set(
			-EINVAL, "a step of a transaction: %d is no operation", (int)op);
	parts[0] = mp_str(words[op].word);
	parts[1] = key;
	parts[2] = value;
	return words[op].has_value ? 3 : 2;
}

int mp_dict_transact(mp_dict *dict, int64_t version, const mp_dict_step *steps, size_t n)
{
	if ((!steps && n > 0) || n >= SIZE_MAX / 4 / sizeof(mp_obj))
		return mp_error_set(
			-EINVAL, "a transaction of %zu steps at NULL, or of more than can be", n);
	mp_obj *room = malloc((4 * n + 1) * sizeof(*room));
	int r = room ? 0 : mp_error_set(-ENOMEM, "no memory for a transaction");
	for (size_t i = 0; i < n && r >= 0; i++) {
		mp_obj *parts = &room[n + 3 * i];
		r = write_step(steps[i].op, steps[i].key, steps[i].value, parts);
		if (r >= 0)
			room[i] = mp_list_of(parts, (size_t)r);
	}
	if (r >= 0)
		r = call(dict, "transact",
			MP_LIST(version == MP_DICT_ANY_VERSION ? mp_nil() : mp_i64(version),
				mp_list_of(room, n)),
			NULL);
	free(room);
	return r;
}

/* The objects of a transaction, each once. */
struct objects {
	mp_proxy *proxies[MP_TRANSACT_OBJECTS];
	mp_obj handles[MP_TRANSACT_OBJECTS];
	size_t n;
};

/* The number of the object of a step, which the connection knows from now on. */
static int number_of(struct objects *objects, const mp_obj *object)
{
	mp_proxy *proxy = mp_obj_proxy(object);
	size_t i = 0;

	if (!proxy)
		return mp_error_set(-EINVAL, "a step of a transaction: it has no object");
	while (i < objects->n && !mp_proxy_equal(objects->proxies[i], proxy))
		i++;
	if (i < objects->n)
		return (int)i;
	if (i == MP_TRANSACT_OBJECTS)
		return mp_error_set(
			-EMSGSIZE, "a transaction of more than %d objects", MP_TRANSACT_OBJECTS);
	/* An object is named by its token, which is another one where a daemon was started anew. */
	struct mp__reference reference;
	uint64_t serial;
	int r = mp__proxy_find(proxy, &reference, &serial);
	if (r < 0)
		return r;
	objects->proxies[i] = proxy;
	objects->handles[i] = *object;
	objects->n++;
	return (int)i;
}

static int write_steps(
	const mp_transact_step *steps, size_t n, struct objects *objects, mp_obj *room)
{
	for (size_t i = 0; i < n; i++) {
		mp_obj *parts = &room[n + 4 * i];
		int number = number_of(objects, &steps[i].object);
		if (number < 0)
			return number;
		int r = write_step(steps[i].op, steps[i].key, steps[i].value, parts + 1);
		if (r < 0)
			return r;
		parts[0] = mp_i64(number);
		room[i] = mp_list_of(parts, 1 + (size_t)r);
	}
	return 0;
}

int mp_transact(const mp_transact_step *steps, size_t n)
{
	struct objects objects = {.n = 0};

	if (!steps || n == 0 || n > SIZE_MAX / 5 / sizeof(mp_obj))
		return mp_error_set(-EINVAL, "a transaction of %zu steps", n);
	mp_obj *room = malloc(5 * n * sizeof(*room));
	if (!room)
		return mp_error_set(-ENOMEM, "no memory for a transaction");
	int r = write_steps(steps, n, &objects, room);
	if (r == 0)
		r = mp_proxy_call(objects.proxies[0], "transact_all",
			MP_LIST(mp_list_of(objects.handles, objects.n), mp_list_of(room, n)),
			MP_NOWAIT, NULL);
	free(room);
	return r;
}

int mp_dict_version(mp_dict *dict, int64_t *ret_version)
{
	return mp_proxy_version(mp__proxy_of_dict(dict), ret_version);
}

int mp_dict_watch(mp_dict *dict, int64_t version, int timeout_ms, int64_t *ret_version)
{
	return mp_proxy_watch(mp__proxy_of_dict(dict), version, timeout_ms, ret_version);
}
