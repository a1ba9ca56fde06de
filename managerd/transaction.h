/* SPDX-License-Identifier: MIT */
/*
 * managerd/transaction.h - several changes of a dict that are made all or not at all.
 *
 * The request has them all, so that nobody else's comes in between and nothing is left half done,
 * whoever dies. It is a list of steps, each a list of a word, a key and, where it needs one, a value:
 *
 *	["equal", key, value]  ["at_least", key, number]  ["present", key]  ["absent", key]
 *	["set", key, value]    ["add", key, number]       ["delete", key]
 *
 * Those of the first line must hold, else the answer is CONFLICT and nothing has changed. A step sees
 * what those before it did. They are worked out beside the dict, each key once, and go in as one batch.
 */
#ifndef MANAGERD_TRANSACTION_H
#define MANAGERD_TRANSACTION_H

#include "serve/call.h"

/* transact(version, steps): a version that is not nil must be the dict's. */
int md_dict_transact(struct serve_call *call);

#endif
