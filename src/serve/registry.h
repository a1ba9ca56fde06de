/* SPDX-License-Identifier: MIT */
/*
 * serve/registry.h - all objects, by name and by token.
 *
 * An object lives as long as somebody refers to it: sessions that have it open, and for a named one
 * the registry itself. The token, 16 random bytes, names an object for a client that has no name
 * for it and opens it once more in another connection.
 */
#ifndef SERVE_REGISTRY_H
#define SERVE_REGISTRY_H

#include "serve/map.h"
#include "serve/store.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SERVE_NAME_MAX 255
#define SERVE_TOKEN_SIZE 16

enum {
	SERVE_REGISTRY_E_WRONG_TYPE = 1,
	SERVE_REGISTRY_E_GONE = 2,
	SERVE_REGISTRY_E_LIMIT = 3,
	SERVE_REGISTRY_E_NO_MEMORY = 4,
};

struct serve_registry {
	struct serve_map names;
	struct serve_map tokens;
	uint32_t max_objects;
};

struct serve_object {
	int type; /* mp.ObjectType */
	uint32_t references;
	bool named;
	uint8_t token[SERVE_TOKEN_SIZE];
	struct serve_store *store;
	struct serve_registry *registry;
};

int serve_registry_init(struct serve_registry *registry, uint32_t max_objects);
/* No session may be left. */
void serve_registry_deinit(struct serve_registry *registry);

/* The object of that name, made if there is none; name == NULL: a new one without. Referenced. */
int serve_registry_open(struct serve_registry *registry, int type, const void *name,
	size_t name_size, bool *ret_created, struct serve_object **ret_object);
/* SERVE_REGISTRY_E_GONE: none has this token. Referenced. */
int serve_registry_open_token(struct serve_registry *registry, int type, const void *token,
	struct serve_object **ret_object);

/* Drop a reference, and the object with the last one. NULL is allowed. */
void serve_object_unref(struct serve_object *object);

static inline uint32_t serve_registry_count(const struct serve_registry *registry)
{
	return registry->tokens.live;
}

#endif
