/* SPDX-License-Identifier: MIT */
/*
 * managerd/registry.h - all objects, by name and by token.
 *
 * An object lives as long as somebody refers to it: sessions that have it open, and for a named one
 * the registry itself. The token, 16 random bytes, names an object for a client that has no name
 * for it and opens it once more in another connection.
 */
#ifndef MANAGERD_REGISTRY_H
#define MANAGERD_REGISTRY_H

#include "managerd/map.h"
#include "managerd/store.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MD_NAME_MAX 255
#define MD_TOKEN_SIZE 16

enum {
	MD_REGISTRY_E_WRONG_TYPE = 1,
	MD_REGISTRY_E_GONE = 2,
	MD_REGISTRY_E_LIMIT = 3,
	MD_REGISTRY_E_NO_MEMORY = 4,
};

struct md_registry {
	struct md_map names;
	struct md_map tokens;
	uint32_t max_objects;
};

struct md_object {
	int type; /* mp.ObjectType */
	uint32_t references;
	bool named;
	uint8_t token[MD_TOKEN_SIZE];
	struct md_store *store;
	struct md_registry *registry;
};

int md_registry_init(struct md_registry *registry, uint32_t max_objects);
/* No session may be left. */
void md_registry_deinit(struct md_registry *registry);

/* The object of that name, made if there is none; name == NULL: a new one without. Referenced. */
int md_registry_open(struct md_registry *registry, int type, const void *name, size_t name_size,
	bool *ret_created, struct md_object **ret_object);
/* MD_REGISTRY_E_GONE: none has this token. Referenced. */
int md_registry_open_token(
	struct md_registry *registry, int type, const void *token, struct md_object **ret_object);

/* Drop a reference, and the object with the last one. NULL is allowed. */
void md_object_unref(struct md_object *object);

static inline uint32_t md_registry_count(const struct md_registry *registry)
{
	return registry->tokens.live;
}

#endif
