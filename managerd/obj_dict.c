/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "managerd/obj_dict.h"

#include "base/error.h"
#include "managerd/dict_expiry.h"
#include "managerd/dict_methods.h"
#include "serve/call.h"
#include "wire/value.h"

#include <stdlib.h>

static int from_store(int r)
{
	if (r == SERVE_STORE_E_NOT_FOUND)
		return MD_DICT_E_NO_KEY;
	return r > 0 ? MD_DICT_E_NO_MEMORY : r;
}

int md_dict_set_until(struct serve_store *dict, struct serve_bytes key, struct serve_bytes value,
	int64_t expires_ns)
{
	struct serve_change change = {.key = key, .value = value, .expires_ns = expires_ns};

	return from_store(dict->class->apply(dict, &change, 1));
}

int md_dict_set(struct serve_store *dict, struct serve_bytes key, struct serve_bytes value)
{
	return md_dict_set_until(dict, key, value, 0);
}

int md_dict_get(struct serve_store *dict, struct serve_bytes key, struct serve_bytes *ret_value)
{
	return from_store(dict->class->find(dict, key, ret_value));
}

int md_dict_remove(struct serve_store *dict, struct serve_bytes key)
{
	struct serve_change change = {.key = key, .remove = true};
	struct serve_bytes value;

	int r = dict->class->find(dict, key, &value);
	if (r == 0)
		r = dict->class->apply(dict, &change, 1);
	return from_store(r);
}

int md_dict_setdefault(struct serve_store *dict, struct serve_bytes key, struct serve_bytes value,
	bool *ret_inserted, struct serve_bytes *ret_value)
{
	int r = md_dict_get(dict, key, ret_value);

	if (r == 0)
		*ret_inserted = false;
	if (r != MD_DICT_E_NO_KEY)
		return r;
	r = md_dict_set(dict, key, value);
	if (r == 0) {
		*ret_value = value;
		*ret_inserted = true;
	}
	return r;
}

/* A pair on its way: the canonical key may need a place of its own. */
struct pair {
	struct mp__key key;
	struct serve_bytes value;
};

static int read_pair(struct mp__items *items, struct pair *pair)
{
	uint8_t *key;
	uint8_t *value;
	size_t size;

	mp__items_next(items, &key, &size);
	if (mp__key_canonical(key, size, &pair->key) < 0)
		return MD_DICT_E_BAD_KEY;
	mp__items_next(items, &value, &size);
	pair->value = (struct serve_bytes){value, size};
	if (pair->key.size + size > MP__PAYLOAD_MAX) {
		mp_error_set(-EMSGSIZE,
			"key and value have %zu bytes, at most %zu may be: split the value",
			pair->key.size + size, MP__PAYLOAD_MAX);
		return MD_DICT_E_BAD_VALUE;
	}
	return 0;
}

static int apply_pairs(struct serve_store *dict, struct mp__items items, struct pair *pairs,
	struct serve_change *changes, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		int r = read_pair(&items, &pairs[i]);
		if (r != 0)
			return r;
		changes[i] = (struct serve_change){
			.key = {pairs[i].key.data, pairs[i].key.size},
			.value = pairs[i].value,
		};
	}
	return n ? from_store(dict->class->apply(dict, changes, n)) : 0;
}

int md_dict_update(struct serve_store *dict, uint8_t *pairs, size_t size)
{
	struct mp__items items = mp__items_of(pairs, size);
	struct mp__items counted = items;
	uint8_t *data;
	size_t n = 0;
	int r;

	while (mp__items_next(&counted, &data, &size))
		n++;
	n /= 2;
	struct pair *array = calloc(n ? n : 1, sizeof(*array));
	struct serve_change *changes = calloc(n ? n : 1, sizeof(*changes));
	r = array && changes ? apply_pairs(dict, items, array, changes, n) : MD_DICT_E_NO_MEMORY;
	free(changes);
	free(array);
	return r;
}

int md_dict_clear(struct serve_store *dict)
{
	return from_store(dict->class->clear(dict));
}

size_t md_dict_len(struct serve_store *dict)
{
	return dict->class->count(dict);
}

/* --- the class -------------------------------------------------------------------------------- */

bool md_dict_make(struct serve_call *call)
{
	struct serve_store *store;

	if (serve_store_memory_new(&store) != 0) {
		serve_fail_no_memory(call);
		return false;
	}
	call->object->state = store;
	return true;
}

void md_dict_drop(struct serve_object *object)
{
	struct serve_store *store = object->state;

	if (!store)
		return;
	md_dict_drop_alarm(store);
	store->class->free(store);
}

uint64_t md_dict_bytes(const struct serve_object *object)
{
	struct serve_store *store = object->state;

	return store->class->bytes(store);
}

const struct serve_class md_dict_class = {
	.name = "dict",
	.make = md_dict_make,
	.drop = md_dict_drop,
	.refresh = md_dict_refresh,
	.methods = md_dict_methods,
	.n_methods = MD_DICT_METHODS,
	.bytes = md_dict_bytes,
};
