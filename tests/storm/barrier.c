/* SPDX-License-Identifier: MIT */
/* Barriers and conditions in the kill storm. */
#include <config.h>

#include "tests/storm/storm.h"

#include <stdatomic.h>

/* --- barrier: two meet, if nobody is killed ---------------------------------------------------------- */

#define PARTIES 2
/* Not long: when the storm is over, nobody may come any more. */
#define MEET_MS 30

struct meeting {
	mp_barrier barrier;
	_Atomic uint64_t acted;
};

static void make_meeting(void *object)
{
	struct meeting *o = object;

	STORM_CHECK(
		mp_barrier_init(&o->barrier, PARTIES, MP_BARRIER_OPTIONS(.name = "storm")) == 0);
}

static int act(void *arg)
{
	struct meeting *o = arg;

	o->acted++;
	return 0;
}

static void step_meeting(void *object, uint64_t random)
{
	struct meeting *o = object;
	mp_barrier_action *action = random % 4 ? NULL : act;
	int timeout_ms = random % 16 == 1 ? MP_NOWAIT : MEET_MS;
	int r = mp_barrier_wait_action(&o->barrier, action, o, timeout_ms);

	STORM_CHECK((r >= 0 && r < PARTIES) || r == -ETIMEDOUT || r == -EPIPE || r == -ECANCELED ||
		    (timeout_ms == MP_NOWAIT && r == -EAGAIN));
	if (r == -EPIPE || r == -ETIMEDOUT)
		STORM_CHECK(mp_barrier_reset(&o->barrier) == 0);
	else if (random % 32 == 2)
		STORM_CHECK(mp_barrier_abort(&o->barrier) == 0);
	if (random % 64 == 3) {
		r = mp_barrier_leave(&o->barrier);
		STORM_CHECK(r == 0 || r == -EPERM);
	}
}

static void finish_meeting(void *object)
{
	struct meeting *o = object;

	STORM_CHECK(mp_barrier_reset(&o->barrier) == 0);
	STORM_CHECK(mp_barrier_waiting(&o->barrier) == 0);
	STORM_CHECK(mp_barrier_broken(&o->barrier, NULL) == 0);
	STORM_CHECK(mp_barrier_wait(&o->barrier, MP_NOWAIT) == -EAGAIN);
	STORM_CHECK(mp_barrier_destroy(&o->barrier) == 0);
}

/* --- condition: no wake-up is lost ------------------------------------------------------------------- */

#define ITEMS_MAX 50
#define WAIT_MS 20

struct store {
	mp_lock lock;
	mp_condition more;
	uint64_t items;
};

static void make_store(void *object)
{
	struct store *o = object;

	STORM_CHECK(mp_lock_init(&o->lock, NULL) == 0);
	STORM_CHECK(mp_condition_init(&o->more, MP_CONDITION_OPTIONS(.name = "storm")) == 0);
}

/* The dead one may have put something here without saying so, or taken a wake-up and nothing else. */
static void hear_of_death(struct store *o, int result)
{
	if (result == MP_OWNER_DIED)
		STORM_CHECK(mp_condition_notify_all(&o->more) == 0);
}

static void take_item(struct store *o)
{
	while (o->items == 0) {
		int r = mp_condition_wait(&o->more, &o->lock, WAIT_MS);
		STORM_CHECK(r >= 0 || r == -ETIMEDOUT);
		hear_of_death(o, r);
		if (r == -ETIMEDOUT) {
			/* Who puts something here wakes somebody: it was not this one's to take. */
			STORM_CHECK(o->items == 0);
			return;
		}
	}
	o->items--;
}

static void step_store(void *object, uint64_t random)
{
	struct store *o = object;
	int r = mp_lock_acquire(&o->lock, STORM_TIMEOUT_MS);

	STORM_CALL(r);
	hear_of_death(o, r);
	if (random % 2 && o->items < ITEMS_MAX) {
		o->items++;
		if (random % 8 == 1)
			STORM_CHECK(mp_condition_notify_all(&o->more) == 0);
		else
			STORM_CHECK(mp_condition_notify(&o->more, 1) == 0);
	} else {
		take_item(o);
	}
	STORM_CHECK(mp_lock_release(&o->lock) == 0);
}

static void finish_store(void *object)
{
	struct store *o = object;
	int r = mp_lock_acquire(&o->lock, STORM_TIMEOUT_MS);

	STORM_CALL(r);
	STORM_CHECK(o->items <= ITEMS_MAX);
	STORM_CHECK(mp_lock_release(&o->lock) == 0);
	STORM_CHECK(mp_condition_destroy(&o->more) == 0);
	STORM_CHECK(mp_lock_destroy(&o->lock) == 0);
}

const struct storm_capability storm_barrier = {
	.name = "barrier",
	.points = "barrier. ",
	.size = sizeof(struct meeting),
	.make = make_meeting,
	.step = step_meeting,
	.finish = finish_meeting,
};

const struct storm_capability storm_condition = {
	.name = "condition",
	.points = "condition. lock. ",
	.size = sizeof(struct store),
	.make = make_store,
	.step = step_store,
	.finish = finish_store,
};
