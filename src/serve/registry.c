/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "serve/registry.h"

#include "base/cleanup.h"
#include "base/random.h"
#include "serve/lifetime.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* How much of a name is shown: sentences are cut as a whole, and there is more to say. */
#define NAME_SHOWN 40

int serve_registry_init(struct serve_registry *registry, uint32_t max_objects)
{
	*registry = (struct serve_registry){.max_objects = max_objects};
	int r = serve_map_init(&registry->names);
	return r == 0 ? serve_map_init(&registry->tokens) : r;
}

/* Let go of what stands in objects that are left because they refer to each other in circles. */
static bool break_circles(struct serve_registry *registry)
{
	struct serve_map_entry *e;
	bool found = false;

	/* Entries move when others go: some may be missed, and are found the next time. */
	for (uint64_t cursor = 0; (e = serve_map_next(&registry->tokens, &cursor));) {
		struct serve_object *object = e->value;
		if (object->n_refers == 0)
			continue;
		found = true;
		serve_object_ref(object);
		object->class->drop(object);
		object->state = NULL;
		serve_object_unref(object);
	}
	return found;
}

void serve_registry_deinit(struct serve_registry *registry)
{
	struct serve_map_entry *e;

	for (uint64_t cursor = 0; (e = serve_map_next(&registry->names, &cursor));)
		serve_object_unref(e->value);
	while (break_circles(registry))
		;
	serve_map_deinit(&registry->names);
	serve_map_deinit(&registry->tokens);
}

struct serve_object *serve_registry_find(
	struct serve_registry *registry, const void *name, size_t size)
{
	struct serve_map_entry *e = serve_map_find(&registry->names, name, size);

	return e ? e->value : NULL;
}

struct serve_object *serve_registry_find_token(struct serve_registry *registry, const void *token)
{
	struct serve_map_entry *e = serve_map_find(&registry->tokens, token, SERVE_TOKEN_SIZE);

	return e ? e->value : NULL;
}

/* The entries stand in the order of insertion, which is that of the numbers. */
struct serve_object *serve_registry_after(struct serve_registry *registry, uint64_t number)
{
	uint64_t low = 0;
	struct serve_map_entry *e;

	for (uint64_t high = registry->tokens.used; low < high;) {
		uint64_t middle = low + (high - low) / 2;
		uint64_t at = middle;
		e = serve_map_next(&registry->tokens, &at);
		if (e && ((const struct serve_object *)e->value)->number <= number)
			low = at;
		else
			high = middle;
	}
	e = serve_map_next(&registry->tokens, &low);
	return e ? e->value : NULL;
}

/* --- the end ---------------------------------------------------------------------------------- */

void serve_object_charge(struct serve_object *object, struct serve_account *account)
{
	if (!account)
		return;
	object->account = account;
	serve_account_ref(account);
	serve_account_charge(account, SERVE_OBJECTS, 1);
}

void serve_object_grow(struct serve_object *object, uint64_t bytes)
{
	object->charged += bytes;
	serve_account_charge(object->account, SERVE_BYTES, bytes);
}

void serve_object_shrink(struct serve_object *object, uint64_t bytes)
{
	if (bytes > object->charged)
		bytes = object->charged;
	object->charged -= bytes;
	serve_account_credit(object->account, SERVE_BYTES, bytes);
}

void serve_object_weigh(struct serve_object *object)
{
	if (!object->account || !object->class->bytes)
		return;
	uint64_t bytes = object->class->bytes(object);
	serve_account_charge(object->account, SERVE_BYTES, bytes);
	serve_account_credit(object->account, SERVE_BYTES, object->charged);
	object->charged = bytes;
}

static void bury(struct serve_object *object)
{
	struct serve_registry *registry = object->registry;
	struct serve_map_entry *e =
		serve_map_find(&registry->tokens, object->token, sizeof(object->token));

	if (e)
		serve_map_remove(&registry->tokens, e);
	object->class->drop(object);
	free(object->watchers);
	serve_lifetime_free(object->lifetime);
	serve_account_credit(object->account, SERVE_OBJECTS, 1);
	serve_account_credit(object->account, SERVE_BYTES, object->charged);
	serve_account_unref(object->account);
	free(object);
}

void serve_object_unref(struct serve_object *object)
{
	if (!object || --object->references > 0)
		return;
	struct serve_registry *registry = object->registry;
	object->next_dead = registry->dead;
	registry->dead = object;
	if (registry->burying)
		return;
	registry->burying = true;
	while (registry->dead) {
		object = registry->dead;
		registry->dead = object->next_dead;
		bury(object);
	}
	registry->burying = false;
}

void serve_registry_unname(struct serve_object *object)
{
	struct serve_map *names = &object->registry->names;
	struct serve_map_entry *e =
		object->name.size > 0 ? serve_map_find(names, object->name.data, object->name.size)
				      : NULL;

	object->name = (struct serve_bytes){0};
	if (!e)
		return;
	serve_map_remove(names, e);
	serve_object_unref(object);
}

/* --- the beginning ---------------------------------------------------------------------------- */

static int object_new(struct serve_registry *registry, const struct serve_class *class,
	struct serve_object **ret_object)
{
	MP__AUTO_FREE struct serve_object *object = calloc(1, sizeof(*object));
	MP__AUTO_FREE void *key = malloc(SERVE_TOKEN_SIZE);

	if (!object || !key || serve_map_reserve(&registry->tokens, 1) < 0)
		return SERVE_REGISTRY_E_NO_MEMORY;
	object->class = class;
	object->references = 1;
	object->registry = registry;
	object->number = ++registry->latest;
	int r = mp__random(object->token, sizeof(object->token));
	if (r < 0)
		return r;
	/* A version of an earlier server, or of an object of the same name before, is not this one's. */
	memcpy(&object->version, object->token, sizeof(object->version));
	object->version &= INT64_MAX;
	memcpy(key, object->token, SERVE_TOKEN_SIZE);
	serve_map_insert(&registry->tokens, MP__TAKE_PTR(key), SERVE_TOKEN_SIZE, object);
	*ret_object = MP__TAKE_PTR(object);
	return 0;
}

/* A new object under this name, which nobody has. */
static int named_new(struct serve_registry *registry, const struct serve_class *class,
	const void *name, size_t size, struct serve_object **ret_object)
{
	MP__AUTO_FREE void *key = malloc(size);

	if (!key || serve_map_reserve(&registry->names, 1) < 0)
		return SERVE_REGISTRY_E_NO_MEMORY;
	memcpy(key, name, size);
	int r = object_new(registry, class, ret_object);
	if (r != 0)
		return r;
	(*ret_object)->name = (struct serve_bytes){key, size};
	(*ret_object)->references++;
	serve_map_insert(&registry->names, MP__TAKE_PTR(key), size, *ret_object);
	return 0;
}

int serve_registry_add(struct serve_registry *registry, const struct serve_class *class,
	const void *name, size_t size, struct serve_object **ret_object)
{
	if (serve_registry_count(registry) >= registry->max_objects)
		return SERVE_REGISTRY_E_LIMIT;
	return size > 0 ? named_new(registry, class, name, size, ret_object)
			: object_new(registry, class, ret_object);
}

const char *serve_object_text(const struct serve_object *object, char *text, size_t room)
{
	if (object->name.size == 0)
		snprintf(text, room, "a %s without a name", object->class->name);
	else
		snprintf(text, room, "the %s '%.*s'", object->class->name,
			object->name.size < NAME_SHOWN ? (int)object->name.size : NAME_SHOWN,
			(const char *)object->name.data);
	return text;
}
