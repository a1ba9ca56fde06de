/* SPDX-License-Identifier: MIT */
/*
 * managerd/store.h - where the contents of objects are kept.
 *
 * The narrow waist of the daemon: served types know this interface, the protocol knows the served
 * types. A change is a batch that happens whole or not at all, and has happened (for a durable
 * store: is on disk) when apply returns. Keys are canonical, keys and values valid; the store
 * looks into neither.
 *
 * Results: 0 or a positive MD_STORE_E_ of the call; negative is fatal to the daemon.
 */
#ifndef MANAGERD_STORE_H
#define MANAGERD_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	MD_STORE_E_NOT_FOUND = 1,
	MD_STORE_E_NO_MEMORY = 2,
};

struct md_bytes {
	const void *data;
	size_t size;
};

struct md_change {
	struct md_bytes key;
	struct md_bytes value;
	bool remove; /* of a key that is there */
};

struct md_store {
	const struct md_store_class *class;
};

struct md_store_class {
	void (*free)(struct md_store *store);
	/* The value is lent until the next change. MD_STORE_E_NOT_FOUND. */
	int (*find)(struct md_store *store, struct md_bytes key, struct md_bytes *ret_value);
	/* In order, so that of equal keys the last one counts. MD_STORE_E_NO_MEMORY. */
	int (*apply)(struct md_store *store, const struct md_change *changes, size_t n);
	int (*clear)(struct md_store *store);
	size_t (*count)(struct md_store *store);
	/* Pairs by first insertion; *cursor starts at 0. MD_STORE_E_NOT_FOUND at the end. */
	int (*next)(struct md_store *store, uint64_t *cursor, struct md_bytes *ret_key,
		struct md_bytes *ret_value);
};

/* A store that lives and dies with the process: MD_STORE_E_NO_MEMORY, or -errno. */
int md_store_memory_new(struct md_store **ret_store);

#endif
