/* SPDX-License-Identifier: MIT */
/*
 * serve/store.h - where the contents of objects are kept.
 *
 * The narrow waist of the daemon: served types know this interface, the protocol knows the served
 * types. A change is a batch that happens whole or not at all, and has happened (for a durable
 * store: is on disk) when apply returns. Keys are canonical, keys and values valid; the store
 * looks into neither.
 *
 * Results: 0 or a positive SERVE_STORE_E_ of the call; negative is fatal to the daemon.
 */
#ifndef SERVE_STORE_H
#define SERVE_STORE_H

#include "serve/bytes.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	SERVE_STORE_E_NOT_FOUND = 1,
	SERVE_STORE_E_NO_MEMORY = 2,
};

struct serve_change {
	struct serve_bytes key;
	struct serve_bytes value;
	bool remove;     /* of a key that is there */
	bool keep_value; /* the same: only its end is another */
	/* When the key goes, of the monotonic clock; 0: it stays; SERVE_STORE_AS_BEFORE. */
	int64_t expires_ns;
};

#define SERVE_STORE_AS_BEFORE (-1)

struct serve_store {
	const struct serve_store_class *class;
	/* Told of each value that goes, while it is still there. NULL: nobody wants to know. */
	void (*gone)(void *data, struct serve_bytes value);
	void *data;
	/* The type's own, for keys that expire. NULL: there never were any. */
	void *alarm;
};

/* Changes that are made ready. */
struct serve_batch;

struct serve_store_class {
	void (*free)(struct serve_store *store);
	/* The value is lent until the next change. SERVE_STORE_E_NOT_FOUND. */
	int (*find)(
		struct serve_store *store, struct serve_bytes key, struct serve_bytes *ret_value);
	/*
	 * In order, so that of equal keys the last one counts; first those that put with an end, then
	 * others that put, then those that remove. SERVE_STORE_E_NO_MEMORY.
	 */
	int (*apply)(struct serve_store *store, const struct serve_change *changes, size_t n);
	/*
	 * The same in two steps, for changes of several stores at once: get all that it takes; then
	 * change, which cannot fail, or give it back. The batch borrows the changes, and nothing else
	 * may change the store in between.
	 */
	int (*prepare)(struct serve_store *store, const struct serve_change *changes, size_t n,
		struct serve_batch **ret_batch);
	void (*commit)(struct serve_store *store, struct serve_batch *batch);
	void (*abandon)(struct serve_store *store, struct serve_batch *batch);
	int (*clear)(struct serve_store *store);
	size_t (*count)(struct serve_store *store);
	/* The pair that was inserted last. SERVE_STORE_E_NOT_FOUND. */
	int (*last)(struct serve_store *store, struct serve_bytes *ret_key,
		struct serve_bytes *ret_value);
	/* About how much memory all of it takes. */
	uint64_t (*bytes)(struct serve_store *store);
	/* Pairs by first insertion; *cursor starts at 0. SERVE_STORE_E_NOT_FOUND at the end. */
	int (*next)(struct serve_store *store, uint64_t *cursor, struct serve_bytes *ret_key,
		struct serve_bytes *ret_value);
	/* When the key goes; 0: it stays. SERVE_STORE_E_NOT_FOUND. */
	int (*expires)(struct serve_store *store, struct serve_bytes key, int64_t *ret_ns);
	/* The same, another time. SERVE_STORE_E_NOT_FOUND, SERVE_STORE_E_NO_MEMORY. */
	int (*expire_at)(struct serve_store *store, struct serve_bytes key, int64_t at_ns);
	/* When the first key goes, or SERVE_NEVER. Until `expire` is called, it is there. */
	int64_t (*next_expiry)(struct serve_store *store);
	/* Remove those that were to go at this time, but no more than `max`: how many. */
	size_t (*expire)(struct serve_store *store, int64_t now_ns, size_t max);
};

/* A store that lives and dies with the process: SERVE_STORE_E_NO_MEMORY, or -errno. */
int serve_store_memory_new(struct serve_store **ret_store);

#endif
