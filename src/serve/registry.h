/* SPDX-License-Identifier: MIT */
/*
 * serve/registry.h - all objects, by name and by token.
 *
 * An object lives as long as somebody refers to it: sessions that have it open, calls that wait for
 * it, holds, values that are stored in others, and for a named one the registry itself. The token,
 * 16 random bytes, names an object for a client that has no name for it and opens it once more in
 * another connection.
 */
#ifndef SERVE_REGISTRY_H
#define SERVE_REGISTRY_H

#include "serve/bytes.h"
#include "serve/class.h"
#include "serve/account.h"
#include "serve/map.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct serve_lifetime;
struct serve_queue;

#define SERVE_NAME_MAX 255
#define SERVE_TOKEN_SIZE 16

enum {
	SERVE_REGISTRY_E_LIMIT = 1,
	SERVE_REGISTRY_E_NO_MEMORY = 2,
};

struct serve_registry {
	struct serve_map names;
	struct serve_map tokens;
	uint32_t max_objects;
	uint64_t latest; /* number given to an object */
	bool burying;
	struct serve_object *dead;
};

struct serve_object {
	const struct serve_class *class;
	void *state; /* the class's */
	uint32_t references;
	uint64_t number;         /* from 1, in the order in which they were made */
	struct serve_bytes name; /* size 0: none */
	uint8_t token[SERVE_TOKEN_SIZE];
	size_t n_refers;  /* references to objects in stored values, see serve/refer.h */
	uint64_t version; /* another one after each change; random at first */
	struct serve_queue *watchers;    /* NULL: there were none yet */
	struct serve_lifetime *lifetime; /* NULL: the name stays */
	struct serve_registry *registry;
	struct serve_account *account; /* of the user who made it; NULL: nothing is charged */
	uint64_t charged;              /* bytes */
	struct serve_object *next_dead;
};

int serve_registry_init(struct serve_registry *registry, uint32_t max_objects);
/* No session may be left. */
void serve_registry_deinit(struct serve_registry *registry);

/* NULL: there is none. Not referenced. */
struct serve_object *serve_registry_find(
	struct serve_registry *registry, const void *name, size_t size);
struct serve_object *serve_registry_find_token(struct serve_registry *registry, const void *token);

/* The first that was made after the one of this number; NULL. Not referenced. */
struct serve_object *serve_registry_after(struct serve_registry *registry, uint64_t number);

/*
 * A new object without a state; of a name that nobody has, or size 0. Referenced. Negative: the
 * kernel has no random numbers.
 */
int serve_registry_add(struct serve_registry *registry, const struct serve_class *class,
	const void *name, size_t size, struct serve_object **ret_object);
/* Its name is free again; the object goes with the last reference. */
void serve_registry_unname(struct serve_object *object);

static inline void serve_object_ref(struct serve_object *object)
{
	object->references++;
}

/* It belongs to this user's account, until it goes. NULL is allowed. */
void serve_object_charge(struct serve_object *object, struct serve_account *account);

/*
 * Drop a reference, and the object with the last one. NULL is allowed. Objects that refer to each
 * other in a long chain go one after the other, not inside each other.
 */
void serve_object_unref(struct serve_object *object);

/* All who wait for a change of it (serve/watch.h). */
void serve_tell_watchers(struct serve_object *object);
/* For types that count what comes and goes, instead of having serve_class.bytes. */
void serve_object_grow(struct serve_object *object, uint64_t bytes);
void serve_object_shrink(struct serve_object *object, uint64_t bytes);
/* Its contents have another size than before, see serve_class.bytes. */
void serve_object_weigh(struct serve_object *object);

/* To be called by methods that change what clients can see, after the change. */
static inline void serve_changed(struct serve_object *object)
{
	object->version = (object->version + 1) & INT64_MAX;
	if (object->watchers)
		serve_tell_watchers(object);
	serve_object_weigh(object);
}

/* "the lock 'jobs'", "a lock without a name", for sentences: at most `room` bytes. */
const char *serve_object_text(const struct serve_object *object, char *text, size_t room);

static inline uint32_t serve_registry_count(const struct serve_registry *registry)
{
	return registry->tokens.live;
}

#endif
