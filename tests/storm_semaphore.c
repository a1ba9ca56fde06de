/* SPDX-License-Identifier: MIT */
/* Semaphores and events in the kill storm. */
#include <config.h>

#include "tests/storm.h"

#include <sched.h>

/* --- permits: as many at the end as at the start, however many holders were killed ---------------- */

#define PERMITS 3

static void make_permits(void *object)
{
	STORM_CHECK(mp_semaphore_init(object, PERMITS,
			    MP_SEMAPHORE_OPTIONS(.name = "storm", .bounded = true)) == 0);
}

static void step_permits(void *object, uint64_t random)
{
	int timeout = random % 7 == 0 ? MP_NOWAIT : STORM_TIMEOUT_MS;
	int r = mp_semaphore_acquire(object, timeout);

	STORM_CHECK(r == 0 || (timeout == MP_NOWAIT && r == -EAGAIN));
	if (r < 0)
		return;
	if (random % 5 == 0)
		sched_yield();
	STORM_CHECK(mp_semaphore_release(object) == 0);
}

static void finish_permits(void *object)
{
	STORM_CHECK(mp_semaphore_value(object) == PERMITS);
	for (int i = 0; i < PERMITS; i++)
		STORM_CHECK(mp_semaphore_acquire(object, MP_NOWAIT) == 0);
	STORM_CHECK(mp_semaphore_acquire(object, MP_NOWAIT) == -EAGAIN);
	STORM_CHECK(mp_semaphore_release_n(object, PERMITS) == 0);
	STORM_CHECK(mp_semaphore_release(object) == -EOVERFLOW);
	STORM_CHECK(mp_semaphore_destroy(object) == 0);
}

/* --- one permit: what it guards is changed by one at a time ----------------------------------------- */

struct single {
	mp_semaphore semaphore;
	struct storm_pair pair;
};

static void make_single(void *object)
{
	struct single *o = object;

	STORM_CHECK(mp_semaphore_init(&o->semaphore, 1, NULL) == 0);
}

static void step_single(void *object, uint64_t random)
{
	struct single *o = object;

	STORM_CHECK(mp_semaphore_acquire(&o->semaphore, STORM_TIMEOUT_MS) == 0);
	/* No news of a death here: always repair. */
	storm_pair_work(&o->pair, MP_OWNER_DIED, random);
	STORM_CHECK(mp_semaphore_release(&o->semaphore) == 0);
}

static void finish_single(void *object)
{
	struct single *o = object;

	STORM_CHECK(mp_semaphore_value(&o->semaphore) == 1);
	step_single(object, 0);
	STORM_CHECK(mp_semaphore_destroy(&o->semaphore) == 0);
}

/* --- an event that some set and others wait for ------------------------------------------------------- */

static void make_event(void *object)
{
	STORM_CHECK(mp_event_init(object, MP_EVENT_OPTIONS(.name = "storm")) == 0);
}

static void step_event(void *object, uint64_t random)
{
	int r;

	switch (random % 4) {
	case 0:
		STORM_CHECK(mp_event_clear(object) == 0);
		break;
	case 1:
		/* Whoever could set it may have been killed. */
		r = mp_event_wait(object, (int)(random >> 8 & 3));
		STORM_CHECK(r == 0 || r == -ETIMEDOUT || r == -EAGAIN);
		break;
	default:
		STORM_CHECK(mp_event_set(object) == 0);
		break;
	}
}

static void finish_event(void *object)
{
	STORM_CHECK(mp_event_set(object) == 0);
	STORM_CHECK(mp_event_wait(object, MP_FOREVER) == 0);
	STORM_CHECK(mp_event_clear(object) == 0);
	STORM_CHECK(mp_event_wait(object, MP_NOWAIT) == -EAGAIN);
	STORM_CHECK(mp_event_destroy(object) == 0);
}

const struct storm_object storm_semaphores[] = {
	{"semaphore", sizeof(mp_semaphore), make_permits, step_permits, finish_permits},
	{"semaphore of one", sizeof(struct single), make_single, step_single, finish_single},
	{"event", sizeof(mp_event), make_event, step_event, finish_event},
	{NULL, 0, NULL, NULL, NULL},
};
