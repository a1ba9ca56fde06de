/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "managerd/obj_namespace.h"

#include "managerd/values.h"
#include "serve/assemble.h"
#include "serve/map.h"

#include <stdlib.h>
#include <string.h>

/* Keys are encoded strings, values items. */
static struct serve_map *map_of(const struct serve_call *call)
{
	return call->object->state;
}

static bool make(struct serve_call *call)
{
	struct serve_map *map = calloc(1, sizeof(*map));

	if (map && serve_map_init(map) == 0) {
		call->object->state = map;
		return true;
	}
	free(map);
	serve_fail_no_memory(call);
	return false;
}

static void drop(struct serve_object *object)
{
	struct serve_map *map = object->state;
	struct serve_map_entry *entry;
	uint64_t cursor = 0;

	if (!map)
		return;
	while ((entry = serve_map_next(map, &cursor)))
		md_item_drop(object, entry->value);
	serve_map_deinit(map);
	free(map);
}

/* Argument 0, which names an attribute. False: answered. */
static bool name_of(struct serve_call *call, struct mp__key *name)
{
	struct serve_bytes text;

	return serve_arg_str(call, 0, &text) && serve_arg_key(call, 0, name);
}

/* The attribute that argument 0 names. NULL: answered. */
static struct serve_map_entry *attribute_of(struct serve_call *call)
{
	struct mp__key name;

	if (!name_of(call, &name))
		return NULL;
	struct serve_map_entry *entry = serve_map_find(map_of(call), name.data, name.size);
	if (!entry)
		serve_fail(call, MP__CODE__NOT_FOUND, "it has no attribute of that name");
	return entry;
}

static int get(struct serve_call *call)
{
	const struct serve_map_entry *entry = attribute_of(call);

	return entry ? md_answer_item(call, entry->value) : call->failed;
}

/* Under a name that is not there yet. False: no memory. */
static bool add(struct serve_map *map, const struct mp__key *name, struct md_item *item)
{
	void *key = malloc(name->size);

	if (!key || serve_map_reserve(map, 1) < 0) {
		free(key);
		return false;
	}
	memcpy(key, name->data, name->size);
	serve_map_insert(map, key, name->size, item);
	return true;
}

static int set(struct serve_call *call)
{
	struct md_item *item;
	struct mp__key name;

	if (!name_of(call, &name) || !md_arg_item(call, 1, &item))
		return call->failed;
	struct serve_map_entry *entry = serve_map_find(map_of(call), name.data, name.size);
	if (entry) {
		md_item_drop(call->object, entry->value);
		entry->value = item;
	} else if (!add(map_of(call), &name, item)) {
		md_item_drop(call->object, item);
		return serve_fail_no_memory(call);
	}
	serve_changed(call->object);
	return serve_answer_nil(call);
}

static int delete (struct serve_call *call)
{
	struct serve_map_entry *entry = attribute_of(call);

	if (!entry)
		return call->failed;
	md_item_drop(call->object, entry->value);
	serve_map_remove(map_of(call), entry);
	serve_changed(call->object);
	return serve_answer_nil(call);
}

static int has(struct serve_call *call)
{
	struct mp__key name;

	if (!name_of(call, &name))
		return call->failed;
	return serve_answer_bool(call, serve_map_find(map_of(call), name.data, name.size));
}

static int items(struct serve_call *call)
{
	struct serve_map_entry *entry;
	uint64_t cursor = 0;

	serve_effort(call, map_of(call)->live);
	while ((entry = serve_map_next(map_of(call), &cursor))) {
		if (!serve_assemble(call, (struct serve_bytes){entry->key, entry->key_size}) ||
			!serve_assemble(call, md_item_bytes(entry->value)))
			return call->failed;
	}
	return serve_answer_dict(call);
}

static const struct serve_method methods[] = {
	{"delete", delete, 1, 1},
	{"get", get, 1, 1},
	{"has", has, 1, 1},
	{"items", items, 0, 0},
	{"set", set, 2, 2},
};

const struct serve_class md_namespace_class = {
	.name = "namespace",
	.make = make,
	.drop = drop,
	.methods = methods,
	.n_methods = sizeof(methods) / sizeof(methods[0]),
};
