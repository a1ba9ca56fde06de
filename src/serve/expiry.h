/* SPDX-License-Identifier: MIT */
/*
 * serve/expiry.h - which keys of a store go at which time.
 *
 * It stands beside a store that has such keys: each of them once more, with a timer in a heap of the
 * store's own, so that to find those that are due costs nothing per key that is not. A store without
 * has none of this.
 *
 * What a key needs is made first and put in when nothing can fail any more, as in serve/map.h.
 */
#ifndef SERVE_EXPIRY_H
#define SERVE_EXPIRY_H

#include "serve/bytes.h"
#include "serve/map.h"
#include "serve/timer.h"

struct serve_expiry {
	struct serve_map keys; /* of struct serve_expiring */
	struct serve_timers heap;
	uint64_t bytes; /* about what all of it takes */
};

struct serve_expiring {
	struct serve_timer timer; /* first */
	struct serve_bytes key;   /* the one in the map, once it is there */
};

/* NULL: no memory, or no random numbers. */
struct serve_expiry *serve_expiry_new(void);
/* NULL is allowed. */
void serve_expiry_free(struct serve_expiry *expiry);
void serve_expiry_clear(struct serve_expiry *expiry);

/* Room for so many more. False: no memory. */
bool serve_expiry_reserve(struct serve_expiry *expiry, size_t more);
/* A copy of the key; NULL: no memory. To be put in, or freed. */
struct serve_expiring *serve_expiring_new(struct serve_bytes key);
void serve_expiring_free(struct serve_expiring *expiring);
/* Takes it. There is room, and the key is not in yet. */
void serve_expiry_put(struct serve_expiry *expiry, struct serve_expiring *expiring, int64_t at_ns);

/* NULL: the key stays. */
struct serve_expiring *serve_expiry_find(struct serve_expiry *expiry, struct serve_bytes key);
void serve_expiry_move(struct serve_expiry *expiry, struct serve_expiring *expiring, int64_t at_ns);
/* The key stays, or is no more. */
void serve_expiry_forget(struct serve_expiry *expiry, struct serve_bytes key);

/* The one that goes first, NULL: none does. */
static inline struct serve_expiring *serve_expiry_first(const struct serve_expiry *expiry)
{
	return expiry->heap.count > 0 ? (struct serve_expiring *)expiry->heap.heap[1] : NULL;
}

#endif
