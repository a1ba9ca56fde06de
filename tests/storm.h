/* SPDX-License-Identifier: MIT */
/*
 * tests/storm.h - what an object of sync needs to be part of the kill storm (storm_sync.c).
 *
 * Some processes, two threads in each, take steps with all objects at random, while the storm kills one
 * after the other at any instant and starts another in its place. Nothing may hang, get lost or be
 * corrupt without news. To add an object: an array entry with four functions, in a file
 * storm_OBJECT.c, and its name in storm_sync.c's table of tables.
 */
#ifndef TESTS_STORM_H
#define TESTS_STORM_H

#include <errno.h>
#include <mp.h>
#include <stddef.h>
#include <stdint.h>

/* A step that takes so long hangs. Longer than any machine needs. */
#define STORM_TIMEOUT_MS 60000

struct storm_object {
	const char *name;
	size_t size; /* of what stands in shared memory, zeroed, at a cache line */
	/* By the storm, before there is anybody else. */
	void (*make)(void *object);
	/* By workers, until they are killed: acquire, check, work, release. `random` is fresh. */
	void (*step)(void *object, uint64_t random);
	/* By the storm, when all workers have ended: is everything there, free and consistent? */
	void (*finish)(void *object);
};

/* Each ended by an entry without a name. */
extern const struct storm_object storm_barriers[];
extern const struct storm_object storm_locks[];
extern const struct storm_object storm_semaphores[];

/* What a lock guards: equal, unless somebody died in between. */
struct storm_pair {
	volatile uint64_t first;
	volatile uint64_t second;
};

/* Holding it alone, after `result` of the acquire: check, or repair after MP_OWNER_DIED; then work. */
void storm_pair_work(struct storm_pair *pair, int result, uint64_t random);
/* Holding it to read. */
void storm_pair_look(struct storm_pair *pair, int result, uint64_t random);

/* The end of the storm, with what was found. */
void storm_fail(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));
#define STORM_CHECK(condition)                                                       \
	do {                                                                         \
		if (!(condition))                                                    \
			storm_fail("%s:%d: %s (%s)", __FILE__, __LINE__, #condition, \
				mp_error_detail());                                  \
	} while (0)

#endif
