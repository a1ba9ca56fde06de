/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "serve/map.h"

#include "base/random.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define SLOT_EMPTY UINT32_MAX
#define SLOT_REMOVED (UINT32_MAX - 1)

#define TABLE_MIN 8
/* With half as many more there is still a table size for it. */
#define ENTRIES_MAX ((size_t)1 << 29)
/* Below this a map that is mostly holes is left alone. */
#define SHRINK_MIN 64

int serve_map_init(struct serve_map *map)
{
	memset(map, 0, sizeof(*map));
	return mp__random(&map->seed, sizeof(map->seed));
}

void serve_map_deinit(struct serve_map *map)
{
	serve_map_clear(map);
}

void serve_map_clear(struct serve_map *map)
{
	for (uint32_t i = 0; i < map->used; i++)
		free(map->entries[i].key);
	free(map->entries);
	free(map->table);
	map->entries = NULL;
	map->table = NULL;
	map->table_size = map->room = map->used = map->live = map->tail = 0;
}

/* The slot that holds this key, or SLOT_EMPTY. */
static uint32_t find_slot(const struct serve_map *map, uint64_t hash, const void *key, size_t size)
{
	uint32_t mask = map->table_size - 1;

	if (map->live == 0)
		return SLOT_EMPTY;
	for (uint32_t slot = (uint32_t)hash & mask;; slot = (slot + 1) & mask) {
		uint32_t n = map->table[slot];
		if (n == SLOT_EMPTY)
			return SLOT_EMPTY;
		if (n == SLOT_REMOVED)
			continue;
		const struct serve_map_entry *e = &map->entries[n];
		if (e->hash == hash && e->key_size == size && memcmp(e->key, key, size) == 0)
			return slot;
	}
}

struct serve_map_entry *serve_map_find(struct serve_map *map, const void *key, size_t size)
{
	if (map->live == 0)
		return NULL;
	uint32_t slot = find_slot(map, serve_siphash(&map->seed, key, size), key, size);
	return slot == SLOT_EMPTY ? NULL : &map->entries[map->table[slot]];
}

static void put_slot(struct serve_map *map, uint64_t hash, uint32_t n)
{
	uint32_t mask = map->table_size - 1;
	uint32_t slot = (uint32_t)hash & mask;

	while (map->table[slot] < SLOT_REMOVED)
		slot = (slot + 1) & mask;
	map->table[slot] = n;
}

/* At most two thirds of the table are in use, so that every search ends soon. */
static uint32_t usable(uint32_t table_size)
{
	return table_size / 3 * 2;
}

/* Without holes, with room for `count` entries and half as many more. */
static int rebuild(struct serve_map *map, size_t count)
{
	uint32_t table_size = TABLE_MIN;

	if (count > ENTRIES_MAX)
		return -ENOMEM;
	while (usable(table_size) < count + count / 2)
		table_size *= 2;
	uint32_t room = usable(table_size);
	struct serve_map_entry *entries = malloc(room * sizeof(*entries));
	uint32_t *table = malloc(table_size * sizeof(*table));
	if (!entries || !table) {
		free(entries);
		free(table);
		return -ENOMEM;
	}
	uint32_t n = 0;
	for (uint32_t i = 0; i < map->used; i++) {
		if (map->entries[i].key)
			entries[n++] = map->entries[i];
	}
	free(map->entries);
	free(map->table);
	memset(table, 0xff, table_size * sizeof(*table));
	map->entries = entries;
	map->table = table;
	map->table_size = table_size;
	map->room = room;
	map->used = map->tail = n;
	for (uint32_t i = 0; i < n; i++)
		put_slot(map, entries[i].hash, i);
	return 0;
}

int serve_map_reserve(struct serve_map *map, size_t more)
{
	/* Removed slots count too: each belongs to a hole, and holes count in `used`. */
	if (more <= map->room - map->used)
		return 0;
	if (more > ENTRIES_MAX)
		return -ENOMEM;
	return rebuild(map, map->live + more);
}

struct serve_map_entry *serve_map_insert(struct serve_map *map, void *key, size_t size, void *value)
{
	struct serve_map_entry *e = &map->entries[map->used];

	*e = (struct serve_map_entry){
		.hash = serve_siphash(&map->seed, key, size),
		.key = key,
		.key_size = size,
		.value = value,
	};
	put_slot(map, e->hash, map->used);
	map->used++;
	map->live++;
	map->tail = map->used;
	return e;
}

void serve_map_remove(struct serve_map *map, struct serve_map_entry *entry)
{
	uint32_t slot = find_slot(map, entry->hash, entry->key, entry->key_size);

	map->table[slot] = SLOT_REMOVED;
	free(entry->key);
	entry->key = NULL;
	map->live--;
	if (map->live == 0)
		serve_map_clear(map);
	else if (map->used > SHRINK_MIN && map->live < map->used / 4)
		(void)rebuild(map, map->live); /* without memory it just stays large */
}

struct serve_map_entry *serve_map_last(struct serve_map *map)
{
	while (map->tail > 0 && !map->entries[map->tail - 1].key)
		map->tail--;
	return map->tail > 0 ? &map->entries[map->tail - 1] : NULL;
}

struct serve_map_entry *serve_map_next(struct serve_map *map, uint64_t *cursor)
{
	while (*cursor < map->used) {
		struct serve_map_entry *e = &map->entries[(*cursor)++];
		if (e->key)
			return e;
	}
	return NULL;
}
