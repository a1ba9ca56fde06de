/* SPDX-License-Identifier: MIT */
/*
 * managerd/dict_methods.h - the methods of dicts that are called by name.
 *
 * get(key), set(key, value), delete(key), contains(key), len(), add(key, number),
 * compare_and_swap(key, expected, value), get_many(keys), popitem(), transact(version, steps), which
 * managerd/transaction.h tells about, and those of managerd/dict_expiry.h.
 */
#ifndef MANAGERD_DICT_METHODS_H
#define MANAGERD_DICT_METHODS_H

#include "serve/call.h"
#include "serve/store.h"

extern const struct serve_method md_dict_methods[];
#define MD_DICT_METHODS 14

/*
 * The argument, or a part of one, is about to be stored: what it refers to is kept from now on. False:
 * answered.
 */
bool md_dict_refer(struct serve_call *call, struct serve_bytes value);
/* The answer to a result of managerd/obj_dict.h that is not 0, as that of a method. */
int md_dict_fail(struct serve_call *call, int r);

static inline struct serve_store *md_dict_of(const struct serve_call *call)
{
	return call->object->state;
}

/*
 * What the requests for dicts (managerd/dict_request.h) and the methods do alike, on call->object. False:
 * answered. A value that is put has been referred to, and is let go of if it cannot be stored.
 */
bool md_dict_look(struct serve_call *call, struct serve_bytes key, struct serve_bytes *ret_value);
bool md_dict_has(struct serve_call *call, struct serve_bytes key, bool *ret_has);
bool md_dict_put(struct serve_call *call, struct serve_bytes key, struct serve_bytes value);
bool md_dict_take_out(struct serve_call *call, struct serve_bytes key);
/* Answer with a list of all keys or values, or with a dict of both. */
int md_dict_answer_all(struct serve_call *call, bool keys, bool values);

/* Methods that namespaces have, too. */
int md_dict_call_get(struct serve_call *call);
int md_dict_call_set(struct serve_call *call);
int md_dict_call_delete(struct serve_call *call);
int md_dict_call_contains(struct serve_call *call);

#endif
