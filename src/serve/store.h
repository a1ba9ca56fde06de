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
	bool remove; /* of a key that is there */
};

struct serve_store {
	const struct serve_store_class *class;
	/* Told of each value that goes, while it is still there. NULL: nobody wants to know. */
	void (*gone)(void *data, struct serve_bytes value);
	void *data;
};

struct serve_store_class {
	void (*free)(struct serve_store *store);
	/* The value is lent until the next change. SERVE_STORE_E_NOT_FOUND. */
	int (*find)(
		struct serve_store *store, struct serve_bytes key, struct serve_bytes *ret_value);
	/*
	 * In order, so that of equal keys the last one counts; those that put before those that
	 * remove. SERVE_STORE_E_NO_MEMORY.
	 */
	int (*apply)(struct serve_store *store, const struct serve_change *changes, size_t n);
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
};

/* A store that lives and dies with the process: SERVE_STORE_E_NO_MEMORY, or -errno. */
int serve_store_memory_new(struct serve_store **ret_store);

#endif
