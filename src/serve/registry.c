/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "serve/registry.h"

#include "base/cleanup.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

int serve_registry_init(struct serve_registry *registry, uint32_t max_objects)
{
	int r = serve_map_init(&registry->names);

	if (r == 0)
		r = serve_map_init(&registry->tokens);
	registry->max_objects = max_objects;
	return r;
}

void serve_registry_deinit(struct serve_registry *registry)
{
	struct serve_map_entry *e;

	for (uint64_t cursor = 0; (e = serve_map_next(&registry->names, &cursor));)
		serve_object_unref(e->value);
	serve_map_deinit(&registry->names);
	serve_map_deinit(&registry->tokens);
}

void serve_object_unref(struct serve_object *object)
{
	if (!object || --object->references > 0)
		return;
	struct serve_registry *registry = object->registry;
	struct serve_map_entry *e =
		serve_map_find(&registry->tokens, object->token, sizeof(object->token));
	if (e)
		serve_map_remove(&registry->tokens, e);
	if (object->store)
		object->store->class->free(object->store);
	free(object);
}

static void object_cleanup(struct serve_object **object)
{
	serve_object_unref(*object);
}

static int object_new(struct serve_registry *registry, int type, struct serve_object **ret_object)
{
	MP__AUTO(object_cleanup) struct serve_object *object = calloc(1, sizeof(*object));
	MP__AUTO_FREE void *key = malloc(SERVE_TOKEN_SIZE);

	if (!object)
		return SERVE_REGISTRY_E_NO_MEMORY;
	object->type = type;
	object->references = 1;
	object->registry = registry;
	if (!key || serve_map_reserve(&registry->tokens, 1) < 0)
		return SERVE_REGISTRY_E_NO_MEMORY;
	if (getrandom(object->token, sizeof(object->token), 0) != sizeof(object->token))
		return -errno;
	int r = serve_store_memory_new(&object->store);
	if (r != 0)
		return r < 0 ? r : SERVE_REGISTRY_E_NO_MEMORY;
	memcpy(key, object->token, SERVE_TOKEN_SIZE);
	serve_map_insert(&registry->tokens, MP__TAKE_PTR(key), SERVE_TOKEN_SIZE, object);
	*ret_object = MP__TAKE_PTR(object);
	return 0;
}

/* A new object under this name, which nobody has. */
static int named_new(struct serve_registry *registry, int type, const void *name, size_t name_size,
	struct serve_object **ret_object)
{
	MP__AUTO_FREE void *key = malloc(name_size);

	if (!key || serve_map_reserve(&registry->names, 1) < 0)
		return SERVE_REGISTRY_E_NO_MEMORY;
	memcpy(key, name, name_size);
	int r = object_new(registry, type, ret_object);
	if (r != 0)
		return r;
	(*ret_object)->named = true;
	(*ret_object)->references++;
	serve_map_insert(&registry->names, MP__TAKE_PTR(key), name_size, *ret_object);
	return 0;
}

static int take(struct serve_map_entry *entry, int type, struct serve_object **ret_object)
{
	struct serve_object *object = entry->value;

	if (type != 0 && type != object->type)
		return SERVE_REGISTRY_E_WRONG_TYPE;
	object->references++;
	*ret_object = object;
	return 0;
}

int serve_registry_open(struct serve_registry *registry, int type, const void *name,
	size_t name_size, bool *ret_created, struct serve_object **ret_object)
{
	struct serve_map_entry *e = name ? serve_map_find(&registry->names, name, name_size) : NULL;
	int r;

	if (e) {
		r = take(e, type, ret_object);
		if (r == 0)
			*ret_created = false;
		return r;
	}
	if (serve_registry_count(registry) >= registry->max_objects)
		return SERVE_REGISTRY_E_LIMIT;
	r = name ? named_new(registry, type, name, name_size, ret_object)
		 : object_new(registry, type, ret_object);
	if (r == 0)
		*ret_created = true;
	return r;
}

int serve_registry_open_token(struct serve_registry *registry, int type, const void *token,
	struct serve_object **ret_object)
{
	struct serve_map_entry *e = serve_map_find(&registry->tokens, token, SERVE_TOKEN_SIZE);

	return e ? take(e, type, ret_object) : SERVE_REGISTRY_E_GONE;
}
