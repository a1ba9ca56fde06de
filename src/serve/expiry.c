/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "serve/expiry.h"

#include "base/cleanup.h"

#include <stdlib.h>
#include <string.h>

struct serve_expiry *serve_expiry_new(void)
{
	struct serve_expiry *expiry = calloc(1, sizeof(*expiry));

	if (expiry && serve_map_init(&expiry->keys) < 0) {
		free(expiry);
		return NULL;
	}
	return expiry;
}

void serve_expiry_clear(struct serve_expiry *expiry)
{
	struct serve_map_entry *e;

	for (uint64_t cursor = 0; (e = serve_map_next(&expiry->keys, &cursor));)
		free(e->value);
	serve_map_clear(&expiry->keys);
	serve_timers_deinit(&expiry->heap);
	expiry->bytes = 0;
}

void serve_expiry_free(struct serve_expiry *expiry)
{
	if (!expiry)
		return;
	serve_expiry_clear(expiry);
	serve_map_deinit(&expiry->keys);
	free(expiry);
}

bool serve_expiry_reserve(struct serve_expiry *expiry, size_t more)
{
	return serve_map_reserve(&expiry->keys, more) == 0 &&
	       serve_timers_reserve(&expiry->heap, more);
}

struct serve_expiring *serve_expiring_new(struct serve_bytes key)
{
	MP__AUTO_FREE struct serve_expiring *expiring = calloc(1, sizeof(*expiring));
	void *copy = malloc(key.size ? key.size : 1);

	if (!expiring || !copy) {
		free(copy);
		return NULL;
	}
	memcpy(copy, key.data, key.size);
	expiring->key = (struct serve_bytes){copy, key.size};
	return MP__TAKE_PTR(expiring);
}

void serve_expiring_free(struct serve_expiring *expiring)
{
	if (expiring)
		free((void *)expiring->key.data);
	free(expiring);
}

/* Itself, its places in the map and in the heap, and what malloc adds. */
static size_t weight(const struct serve_expiring *expiring)
{
	return sizeof(*expiring) + expiring->key.size + sizeof(struct serve_map_entry) +
	       sizeof(uint64_t) + sizeof(struct serve_timer *) + 32;
}

void serve_expiry_put(struct serve_expiry *expiry, struct serve_expiring *expiring, int64_t at_ns)
{
	expiry->bytes += weight(expiring);
	serve_map_insert(&expiry->keys, (void *)expiring->key.data, expiring->key.size, expiring);
	serve_expiry_move(expiry, expiring, at_ns);
}

struct serve_expiring *serve_expiry_find(struct serve_expiry *expiry, struct serve_bytes key)
{
	struct serve_map_entry *e = serve_map_find(&expiry->keys, key.data, key.size);

	return e ? e->value : NULL;
}

void serve_expiry_move(struct serve_expiry *expiry, struct serve_expiring *expiring, int64_t at_ns)
{
	(void)serve_timer_set(&expiry->heap, &expiring->timer, at_ns); /* there is room */
}

void serve_expiry_forget(struct serve_expiry *expiry, struct serve_bytes key)
{
	struct serve_map_entry *e = serve_map_find(&expiry->keys, key.data, key.size);

	if (!e)
		return;
	struct serve_expiring *expiring = e->value;
	expiry->bytes -= weight(expiring);
	serve_timer_stop(&expiry->heap, &expiring->timer);
	serve_map_remove(&expiry->keys, e); /* with the key */
	free(expiring);
}
