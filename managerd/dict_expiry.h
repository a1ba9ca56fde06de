/* SPDX-License-Identifier: MIT */
/*
 * managerd/dict_expiry.h - keys of a dict that go by themselves.
 *
 * set_for(key, value, ms), expire(key, ms), persist(key), ttl(key). The store knows when each key goes
 * (serve/expiry.h); here is what makes it happen: an alarm among the timers of the server, set for the
 * key that goes first, tells those who watch the dict. What is called in the same instant, before the
 * alarm, does not see such keys either: each call on a dict lets go of them first (md_dict_refresh()).
 * set and update make a key stay; add, compare_and_swap and setdefault leave its time as it was.
 *
 * In one turn of the loop no more than some keys go, of all dicts (serve_context_turn()): if a million are
 * due at once, the alarm goes off in one turn after the other, and calls on the dict wait for the last of
 * them, while all others are served.
 *
 * A dict without such keys has no alarm, and looks at no clock.
 */
#ifndef MANAGERD_DICT_EXPIRY_H
#define MANAGERD_DICT_EXPIRY_H

#include "serve/call.h"
#include "serve/store.h"

/* 31 years: more is a mistake. */
#define MD_TTL_MAX_MS ((int64_t)1000 * 1000 * 1000 * 1000)

/* The time that is so many milliseconds from now. False: that is less than 1, or too many. */
bool md_ttl_end(int64_t ms, int64_t *ret_ns);
/* The dict of the call can have keys that go. False: no memory, which is answered. */
bool md_dict_need_alarm(struct serve_call *call);
/* It may have others now that go first. Namespaces, which have none, are left alone. */
void md_dict_set_alarm(struct serve_object *object);

int md_dict_set_for(struct serve_call *call);
int md_dict_expire(struct serve_call *call);
int md_dict_persist(struct serve_call *call);
int md_dict_ttl(struct serve_call *call);

/* All keys that are due go now. False: they are more than may go in this turn, and the rest is there. */
bool md_dict_refresh(struct serve_object *object);
/* The dict goes. */
void md_dict_drop_alarm(struct serve_store *dict);

#endif
