/* SPDX-License-Identifier: MIT */
/*
 * serve/map.h - byte strings to pointers, in the order of insertion.
 *
 * Entries stand in an array in the order in which they came; a table of 32-bit numbers, open
 * addressing, finds them by hash. Removing leaves a hole in the array; holes go when the map is
 * built anew, that is when it grows or is mostly holes. Making room is apart from inserting, so
 * that whoever changes several entries can first get all memory and then cannot fail.
 */
#ifndef SERVE_MAP_H
#define SERVE_MAP_H

#include <stddef.h>
#include <stdint.h>

#include "serve/siphash.h"

struct serve_map_entry {
	uint64_t hash;
	void *key; /* malloc'ed, belongs to the map; NULL in a hole */
	size_t key_size;
	void *value; /* belongs to the user of the map */
};

struct serve_map {
	struct serve_hash_seed seed;
	struct serve_map_entry *entries;
	uint32_t *table;
	uint32_t table_size; /* a power of two, or 0 */
	uint32_t room;       /* of entries */
	uint32_t used;       /* entries and holes */
	uint32_t live;       /* entries */
	uint32_t tail;       /* from here on there are only holes */
};

/* Fails only when the kernel has no random numbers: -errno. */
int serve_map_init(struct serve_map *map);
/* Frees the keys; the values are the caller's. */
void serve_map_deinit(struct serve_map *map);

struct serve_map_entry *serve_map_find(struct serve_map *map, const void *key, size_t size);

/* Get the memory for `more` insertions: 0 or -ENOMEM. Moves entries. */
int serve_map_reserve(struct serve_map *map, size_t more);
/* After serve_map_reserve(). Takes the key, which must not be in the map. */
struct serve_map_entry *serve_map_insert(
	struct serve_map *map, void *key, size_t size, void *value);
/* Frees the key. Moves entries. */
void serve_map_remove(struct serve_map *map, struct serve_map_entry *entry);
/* Remove and free all, keys too. */
void serve_map_clear(struct serve_map *map);

/* The entry that was inserted last; NULL. Each hole behind it is looked at once. */
struct serve_map_entry *serve_map_last(struct serve_map *map);
/* The first entry at or behind *cursor, which starts at 0 and moves behind it; NULL at the end. */
struct serve_map_entry *serve_map_next(struct serve_map *map, uint64_t *cursor);

#endif
