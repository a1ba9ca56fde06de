/* SPDX-License-Identifier: MIT */
/* Semaphores and events in the kill storm. */
#include <config.h>

#include "tests/storm/storm.h"

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

	if (timeout == MP_NOWAIT && r == -EAGAIN)
		return;
	STORM_CALL(r);
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

/* --- permits that are counted, not held: each death may cost or give one ------------------------------ */

struct counted {
	mp_semaphore semaphore;
};

static void make_counted(void *object)
{
	struct counted *o = object;

	STORM_CHECK(mp_semaphore_init(
			    &o->semaphore, PERMITS, MP_SEMAPHORE_OPTIONS(.ownerless = true)) == 0);
}

static void step_counted(void *object, uint64_t random)
{
	struct counted *o = object;

	STORM_CHECK(mp_semaphore_release(&o->semaphore) == 0);
	storm_dawdle(random);
	STORM_CALL(mp_semaphore_acquire(&o->semaphore, STORM_TIMEOUT_MS));
}

static void finish_counted(void *object)
{
	struct counted *o = object;
	int deaths = 2 * (int)storm_board->ended;
	int value = mp_semaphore_value(&o->semaphore);

	STORM_CHECK(value >= PERMITS);
	STORM_IS(STORM_DUPLICATED, value <= PERMITS + deaths);
	STORM_CHECK(mp_semaphore_destroy(&o->semaphore) == 0);
}

const struct storm_capability storm_counted = {
	.name = "counted",
	.points = "semaphore. ",
	.size = sizeof(struct counted),
	.make = make_counted,
	.step = step_counted,
	.finish = finish_counted,
};

/* --- one permit: what it guards is changed by one at a time ----------------------------------------- */

struct single {
	mp_semaphore semaphore;
	mp_semaphore brief;
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
	if (random % 16 == 9) {
		STORM_CHECK(mp_semaphore_init(&o->brief, 1, NULL) == 0);
		STORM_CHECK(mp_semaphore_acquire(&o->brief, MP_NOWAIT) == 0);
		STORM_CHECK(mp_semaphore_release(&o->brief) == 0);
		STORM_CHECK(mp_semaphore_destroy(&o->brief) == 0);
	}
	STORM_CHECK(mp_semaphore_release(&o->semaphore) == 0);
}

static void finish_single(void *object)
{
	struct single *o = object;

	STORM_CHECK(mp_semaphore_value(&o->semaphore) == 1);
	step_single(object, 0);
	storm_pair_finish(&o->pair);
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

const struct storm_capability storm_permits = {
	.name = "semaphore",
	.points = "semaphore. ",
	.size = sizeof(mp_semaphore),
	.make = make_permits,
	.step = step_permits,
	.finish = finish_permits,
};

const struct storm_capability storm_single = {
	.name = "permit",
	.points = "semaphore. ",
	.size = sizeof(struct single),
	.make = make_single,
	.step = step_single,
	.finish = finish_single,
};

const struct storm_capability storm_event = {
	.name = "event",
	.points = "event. bell. ",
	.size = sizeof(mp_event),
	.make = make_event,
	.step = step_event,
	.finish = finish_event,
};
