/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "serve/store.h"

#include "serve/expiry.h"
#include "serve/map.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Batches of this size need no memory of their own. */
#define PREPARED_ON_STACK 8

struct memory {
	struct serve_store store;
	struct serve_map map;        /* of struct blob */
	uint64_t bytes;              /* of its entries */
	struct serve_expiry *expiry; /* NULL: no key has ever had an end */
};

struct blob {
	size_t size;
	size_t room;
	uint8_t data[];
};

/* What a change needs, got before anything is changed. */
struct prepared {
	void *key;
	struct blob *blob;
	struct serve_expiring *expiring;
};

/* What there is of an entry besides key and value: its place in the map, and what malloc adds. */
#define ENTRY_BYTES \
	(sizeof(struct serve_map_entry) + sizeof(struct blob) + 2 * sizeof(uint64_t) + 16)

static uint64_t weight(size_t key_size, const struct blob *blob)
{
	return ENTRY_BYTES + key_size + blob->room;
}

static struct memory *memory_of(struct serve_store *store)
{
	return (struct memory *)store;
}

static void tell(struct memory *memory, const struct blob *blob)
{
	if (memory->store.gone)
		memory->store.gone(
			memory->store.data, (struct serve_bytes){blob->data, blob->size});
}

static void let_go(struct memory *memory, struct blob *blob)
{
	tell(memory, blob);
	free(blob);
}

static void memory_clear(struct memory *memory)
{
	struct serve_map_entry *e;

	for (uint64_t cursor = 0; (e = serve_map_next(&memory->map, &cursor));)
		let_go(memory, e->value);
	serve_map_clear(&memory->map);
	memory->bytes = 0;
	if (memory->expiry)
		serve_expiry_clear(memory->expiry);
}

static void free_store(struct serve_store *store)
{
	struct memory *memory = memory_of(store);

	memory_clear(memory);
	serve_map_deinit(&memory->map);
	serve_expiry_free(memory->expiry);
	free(memory);
}

static int find(struct serve_store *store, struct serve_bytes key, struct serve_bytes *ret_value)
{
	struct serve_map_entry *e = serve_map_find(&memory_of(store)->map, key.data, key.size);

	if (!e)
		return SERVE_STORE_E_NOT_FOUND;
	struct blob *blob = e->value;
	*ret_value = (struct serve_bytes){blob->data, blob->size};
	return 0;
}

static void *copy_key(struct serve_bytes key)
{
	void *copy = malloc(key.size ? key.size : 1);

	if (copy && key.size > 0)
		memcpy(copy, key.data, key.size);
	return copy;
}

static struct blob *make_blob(struct serve_bytes value)
{
	struct blob *blob = malloc(sizeof(*blob) + value.size);

	if (!blob)
		return NULL;
	blob->size = blob->room = value.size;
	if (value.size > 0)
		memcpy(blob->data, value.data, value.size);
	return blob;
}

/* --- keys that expire --------------------------------------------------------------------------- */

/* What it takes that this key will go. */
static int prepare_expiry(
	struct memory *memory, struct serve_bytes key, struct serve_expiring **ret_expiring)
{
	if (!memory->expiry)
		memory->expiry = serve_expiry_new();
	if (!memory->expiry)
		return SERVE_STORE_E_NO_MEMORY;
	*ret_expiring = serve_expiring_new(key);
	return *ret_expiring ? 0 : SERVE_STORE_E_NO_MEMORY;
}

/* The key is there now, and goes at that time. Takes *expiring if it did not before. */
static void commit_expiry(struct memory *memory, struct serve_bytes key, int64_t at_ns,
	struct serve_expiring **expiring)
{
	struct serve_expiring *known;

	if (!memory->expiry || at_ns == SERVE_STORE_AS_BEFORE)
		return;
	if (at_ns == 0) {
		serve_expiry_forget(memory->expiry, key);
	} else if ((known = serve_expiry_find(memory->expiry, key))) {
		serve_expiry_move(memory->expiry, known, at_ns);
	} else {
		serve_expiry_put(memory->expiry, *expiring, at_ns);
		*expiring = NULL;
	}
}

static int expires(struct serve_store *store, struct serve_bytes key, int64_t *ret_ns)
{
	struct memory *memory = memory_of(store);
	struct serve_expiring *known =
		memory->expiry ? serve_expiry_find(memory->expiry, key) : NULL;

	if (!serve_map_find(&memory->map, key.data, key.size))
		return SERVE_STORE_E_NOT_FOUND;
	*ret_ns = known ? known->timer.at_ns : 0;
	return 0;
}

static int64_t next_expiry(struct serve_store *store)
{
	const struct memory *memory = memory_of(store);

	return memory->expiry ? serve_timers_next(&memory->expiry->heap) : SERVE_NEVER;
}

/* --- changes ------------------------------------------------------------------------------------ */

/* The common case: one key that is there, with a value that fits and does not waste much. */
static bool overwrite(struct memory *memory, const struct serve_change *change)
{
	struct serve_map_entry *e =
		serve_map_find(&memory->map, change->key.data, change->key.size);
	struct blob *blob = e ? e->value : NULL;
	size_t size = change->value.size;

	if (!blob || size > blob->room || size < blob->room / 2)
		return false;
	tell(memory, blob);
	if (size > 0)
		memcpy(blob->data, change->value.data, size);
	blob->size = size;
	if (memory->expiry && change->expires_ns == 0)
		serve_expiry_forget(memory->expiry, change->key);
	return true;
}

static int prepare_one(
	struct memory *memory, const struct serve_change *change, struct prepared *prepared)
{
	if (change->remove)
		return 0;
	if (change->expires_ns > 0 && prepare_expiry(memory, change->key, &prepared->expiring) != 0)
		return SERVE_STORE_E_NO_MEMORY;
	if (change->keep_value)
		return 0;
	prepared->blob = make_blob(change->value);
	if (!prepared->blob)
		return SERVE_STORE_E_NO_MEMORY;
	if (serve_map_find(&memory->map, change->key.data, change->key.size))
		return 0;
	prepared->key = copy_key(change->key);
	return prepared->key ? 0 : SERVE_STORE_E_NO_MEMORY;
}

/* The key may be lent by the entry itself, or by its twin in the expiry, and goes with them. */
static void remove_entry(struct memory *memory, struct serve_bytes key, struct serve_map_entry *e)
{
	memory->bytes -= weight(e->key_size, e->value);
	let_go(memory, e->value);
	if (memory->expiry)
		serve_expiry_forget(memory->expiry, key);
	serve_map_remove(&memory->map, e);
}

/* Cannot fail. What it uses of `prepared` it takes out. */
static void commit_one(
	struct memory *memory, const struct serve_change *change, struct prepared *prepared)
{
	struct serve_map_entry *e =
		serve_map_find(&memory->map, change->key.data, change->key.size);

	if (change->remove) {
		if (e)
			remove_entry(memory, change->key, e);
		return;
	}
	if (change->keep_value) {
		if (!e)
			return;
	} else if (e) {
		memory->bytes -= weight(e->key_size, e->value);
		memory->bytes += weight(e->key_size, prepared->blob);
		let_go(memory, e->value);
		e->value = prepared->blob;
		prepared->blob = NULL;
	} else {
		memory->bytes += weight(change->key.size, prepared->blob);
		serve_map_insert(&memory->map, prepared->key, change->key.size, prepared->blob);
		prepared->key = NULL;
		prepared->blob = NULL;
	}
	commit_expiry(memory, change->key, change->expires_ns, &prepared->expiring);
}

/* Get all that the changes take; what was got until a failure is for finish(). */
static int prepare_all(struct memory *memory, const struct serve_change *changes, size_t n,
	struct prepared *prepared)
{
	size_t puts = 0;
	size_t ends = 0;
	int r = 0;

	for (size_t i = 0; i < n && r == 0; i++) {
		puts += !changes[i].remove && !changes[i].keep_value;
		r = prepare_one(memory, &changes[i], &prepared[i]);
		ends += prepared[i].expiring != NULL;
	}
	if (r == 0 && serve_map_reserve(&memory->map, puts) < 0)
		r = SERVE_STORE_E_NO_MEMORY;
	if (r == 0 && ends > 0 && !serve_expiry_reserve(memory->expiry, ends))
		r = SERVE_STORE_E_NO_MEMORY;
	return r;
}

/* Make the changes, or not. */
static void finish(struct memory *memory, const struct serve_change *changes, size_t n,
	struct prepared *prepared, bool good)
{
	for (size_t i = 0; i < n; i++) {
		if (good)
			commit_one(memory, &changes[i], &prepared[i]);
		free(prepared[i].key);
		free(prepared[i].blob);
		serve_expiring_free(prepared[i].expiring);
	}
}

struct serve_batch {
	const struct serve_change *changes;
	size_t n;
	struct prepared prepared[];
};

static void abandon(struct serve_store *store, struct serve_batch *batch)
{
	finish(memory_of(store), batch->changes, batch->n, batch->prepared, false);
	free(batch);
}

static void commit(struct serve_store *store, struct serve_batch *batch)
{
	finish(memory_of(store), batch->changes, batch->n, batch->prepared, true);
	free(batch);
}

static int prepare(struct serve_store *store, const struct serve_change *changes, size_t n,
	struct serve_batch **ret_batch)
{
	struct serve_batch *batch = calloc(1, sizeof(*batch) + n * sizeof(batch->prepared[0]));

	if (!batch)
		return SERVE_STORE_E_NO_MEMORY;
	batch->changes = changes;
	batch->n = n;
	int r = prepare_all(memory_of(store), changes, n, batch->prepared);
	if (r == 0)
		*ret_batch = batch;
	else
		abandon(store, batch);
	return r;
}

/* Those that put come first: removing the last entry gives up the room that was reserved for them. */
static int apply(struct serve_store *store, const struct serve_change *changes, size_t n)
{
	struct memory *memory = memory_of(store);
	struct prepared on_stack[PREPARED_ON_STACK] = {0};
	struct serve_batch *batch;
	int r;

	if (n == 1 && !changes->remove && !changes->keep_value && changes->expires_ns <= 0 &&
		overwrite(memory, changes))
		return 0;
	if (n <= PREPARED_ON_STACK) {
		r = prepare_all(memory, changes, n, on_stack);
		finish(memory, changes, n, on_stack, r == 0);
		return r;
	}
	r = prepare(store, changes, n, &batch);
	if (r == 0)
		commit(store, batch);
	return r;
}

static int expire_at(struct serve_store *store, struct serve_bytes key, int64_t at_ns)
{
	const struct serve_change change = {.key = key, .keep_value = true, .expires_ns = at_ns};

	if (!serve_map_find(&memory_of(store)->map, key.data, key.size))
		return SERVE_STORE_E_NOT_FOUND;
	return apply(store, &change, 1);
}

static int clear(struct serve_store *store)
{
	memory_clear(memory_of(store));
	return 0;
}

static size_t count(struct serve_store *store)
{
	return memory_of(store)->map.live;
}

static uint64_t bytes(struct serve_store *store)
{
	const struct memory *memory = memory_of(store);

	return memory->bytes + (memory->expiry ? memory->expiry->bytes : 0);
}

static size_t expire(struct serve_store *store, int64_t now_ns, size_t max)
{
	struct memory *memory = memory_of(store);
	struct serve_expiring *first;
	size_t n = 0;

	while (n < max && memory->expiry && (first = serve_expiry_first(memory->expiry)) &&
		first->timer.at_ns <= now_ns) {
		remove_entry(memory, first->key,
			serve_map_find(&memory->map, first->key.data, first->key.size));
		n++;
	}
	return n;
}

static int next(struct serve_store *store, uint64_t *cursor, struct serve_bytes *ret_key,
	struct serve_bytes *ret_value)
{
	struct serve_map_entry *e = serve_map_next(&memory_of(store)->map, cursor);

	if (!e)
		return SERVE_STORE_E_NOT_FOUND;
	struct blob *blob = e->value;
	*ret_key = (struct serve_bytes){e->key, e->key_size};
	*ret_value = (struct serve_bytes){blob->data, blob->size};
	return 0;
}

static int last(
	struct serve_store *store, struct serve_bytes *ret_key, struct serve_bytes *ret_value)
{
	struct serve_map_entry *e = serve_map_last(&memory_of(store)->map);

	if (!e)
		return SERVE_STORE_E_NOT_FOUND;
	struct blob *blob = e->value;
	*ret_key = (struct serve_bytes){e->key, e->key_size};
	*ret_value = (struct serve_bytes){blob->data, blob->size};
	return 0;
}

static const struct serve_store_class class = {
	.free = free_store,
	.find = find,
	.apply = apply,
	.prepare = prepare,
	.commit = commit,
	.abandon = abandon,
	.clear = clear,
	.count = count,
	.last = last,
	.bytes = bytes,
	.next = next,
	.expires = expires,
	.expire_at = expire_at,
	.next_expiry = next_expiry,
	.expire = expire,
};

int serve_store_memory_new(struct serve_store **ret_store)
{
	struct memory *memory = calloc(1, sizeof(*memory));

	if (!memory)
		return SERVE_STORE_E_NO_MEMORY;
	int r = serve_map_init(&memory->map);
	if (r < 0) {
		free(memory);
		return r;
	}
	memory->store.class = &class;
	*ret_store = &memory->store;
	return 0;
}
