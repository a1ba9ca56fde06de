/* SPDX-License-Identifier: MIT */
/*
 * managerd/transaction.h - several changes, of one dict or of several objects, made all or not at all.
 *
 * The request has them all, so that nobody else's comes in between and nothing is left half done,
 * whoever dies. It is a list of steps, each a list of a word, a key and, where it needs one, a value:
 *
 *	["equal", key, value]  ["at_least", key, number]  ["present", key]  ["absent", key]
 *	["version", nil, number]
 *	["set", key, value]    ["add", key, number]       ["delete", key]
 *	["append", nil, value] ["insert", index, value]
 *	["expire", key, ms]    ["persist", key]
 *
 * Those of the first two lines must hold, else the answer is CONFLICT and nothing has changed. A step
 * sees what those before it did. What is to be is worked out beside the objects (managerd/plan.h).
 *
 * With several objects each step begins with the number of its object. What can be changed of which
 * objects is said in managerd/places.h; "version" is for every object.
 */
#ifndef MANAGERD_TRANSACTION_H
#define MANAGERD_TRANSACTION_H

#include "serve/call.h"

/* transact(version, steps) of a dict: a version that is not nil must be the dict's. */
int md_dict_transact(struct serve_call *call);
/* transact_all(objects, steps), of any object, which need not be one of them. */
int md_transact_all(struct serve_call *call);

#endif
