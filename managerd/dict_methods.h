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

extern const struct serve_method md_dict_methods[];
#define MD_DICT_METHODS 14

/*
 * The argument, or a part of one, is about to be stored: what it refers to is kept from now on. False:
 * answered.
 */
bool md_dict_refer(struct serve_call *call, struct serve_bytes value);
/* The answer to a positive result of managerd/obj_dict.h. */
int md_dict_fail(struct serve_call *call, int r);

#endif
