/* SPDX-License-Identifier: MIT */
/*
 * managerd/obj_dict.h - the served type dict: what its operations mean, over a store.
 *
 * Keys and values are encoded mp.Values that have been checked (keys canonical); results are
 * encoded ones too. Knows neither messages nor sockets. Positive results are MD_DICT_E_.
 */
#ifndef MANAGERD_OBJ_DICT_H
#define MANAGERD_OBJ_DICT_H

#include "serve/class.h"
#include "serve/store.h"
#include "wire/frame.h"
#include "wire/value.h"

enum {
	MD_DICT_E_NO_KEY = 1,
	MD_DICT_E_NO_MEMORY = 2,
	MD_DICT_E_BAD_KEY = 3,
	MD_DICT_E_BAD_VALUE = 4,
};

extern const struct serve_class md_dict_class;

/* For other classes that are kept as dicts are. */
bool md_dict_make(struct serve_call *call);
void md_dict_drop(struct serve_object *object);
uint64_t md_dict_bytes(const struct serve_object *object);

static inline struct serve_bytes md_key_bytes(const struct mp__key *key)
{
	return (struct serve_bytes){key->data, key->size};
}

int md_dict_set(struct serve_store *dict, struct serve_bytes key, struct serve_bytes value);
/* The same for a key that is to go at that time, as in serve_change. */
int md_dict_set_until(struct serve_store *dict, struct serve_bytes key, struct serve_bytes value,
	int64_t expires_ns);
/* The same, and a key that is to expire still is. */
static inline int md_dict_replace(
	struct serve_store *dict, struct serve_bytes key, struct serve_bytes value)
{
	return md_dict_set_until(dict, key, value, SERVE_STORE_AS_BEFORE);
}
/* Lent until the next change. MD_DICT_E_NO_KEY. */
int md_dict_get(struct serve_store *dict, struct serve_bytes key, struct serve_bytes *ret_value);
/* MD_DICT_E_NO_KEY. */
int md_dict_remove(struct serve_store *dict, struct serve_bytes key);
/* What is there now, lent. */
int md_dict_setdefault(struct serve_store *dict, struct serve_bytes key, struct serve_bytes value,
	bool *ret_inserted, struct serve_bytes *ret_value);
/*
 * All pairs of an encoded dict that has been checked. MD_DICT_E_BAD_KEY: a key is no key, the
 * sentence (mp_error_detail) says why; MD_DICT_E_BAD_VALUE: a pair is too large. The bytes
 * are written to: keys are made canonical in place.
 */
int md_dict_update(struct serve_store *dict, uint8_t *pairs, size_t size);
int md_dict_clear(struct serve_store *dict);
size_t md_dict_len(struct serve_store *dict);

#endif
