/* SPDX-License-Identifier: MIT */
/* The kill storm's locks: lock, rlock, rwlock. */
#include <config.h>

#include "tests/storm/storm.h"

/* --- lock --------------------------------------------------------------------------------------------- */

#define SHORT_MS 3

struct locked {
	mp_lock lock;
	mp_lock brief; /* made and destroyed by who holds the first */
	struct storm_pair pair;
};

static void make_lock(void *object)
{
	struct locked *o = object;

	STORM_CHECK(mp_lock_init(&o->lock, MP_LOCK_OPTIONS(.name = "storm")) == 0);
}

static void step_lock(void *object, uint64_t random)
{
	struct locked *o = object;
	int timeout_ms = random % 8 == 0   ? MP_NOWAIT
			 : random % 8 == 1 ? SHORT_MS
					   : STORM_TIMEOUT_MS;
	int64_t began = storm_now_ms();
	int r = mp_lock_acquire(&o->lock, timeout_ms);

	if (timeout_ms == SHORT_MS)
		STORM_IN_TIME(began, SHORT_MS);
	if ((r == -EAGAIN && timeout_ms == MP_NOWAIT) ||
		(r == -ETIMEDOUT && timeout_ms == SHORT_MS))
		return;
	STORM_CALL(r);
	storm_pair_work(&o->pair, r, random >> 8);
	if (random % 16 == 9) {
		STORM_CHECK(mp_lock_init(&o->brief, NULL) == 0);
		STORM_CHECK(mp_lock_acquire(&o->brief, MP_NOWAIT) == 0);
		STORM_CHECK(mp_lock_release(&o->brief) == 0);
		STORM_CHECK(mp_lock_destroy(&o->brief) == 0);
	}
	STORM_CHECK(mp_lock_release(&o->lock) == 0);
}

static void finish_lock(void *object)
{
	struct locked *o = object;
	int r = mp_lock_acquire(&o->lock, STORM_TIMEOUT_MS);

	STORM_CALL(r);
	storm_pair_work(&o->pair, r, 0);
	STORM_CHECK(mp_lock_release(&o->lock) == 0);
	storm_pair_finish(&o->pair);
	STORM_CHECK(mp_lock_destroy(&o->lock) == 0);
}

/* --- rlock -------------------------------------------------------------------------------------------- */

struct rlocked {
	mp_rlock lock;
	struct storm_pair pair;
};

static void make_rlock(void *object)
{
	struct rlocked *o = object;

	STORM_CHECK(mp_rlock_init(&o->lock, MP_LOCK_OPTIONS(.name = "storm")) == 0);
}

static void step_rlock(void *object, uint64_t random)
{
	struct rlocked *o = object;
	int deeper = (int)(random % 3);
	int r = mp_rlock_acquire(&o->lock, STORM_TIMEOUT_MS);

	STORM_CALL(r);
	for (int i = 0; i < deeper; i++)
		STORM_CHECK(mp_rlock_acquire(&o->lock, MP_NOWAIT) == 0);
	storm_pair_work(&o->pair, r, random >> 8);
	for (int i = 0; i <= deeper; i++)
		STORM_CHECK(mp_rlock_release(&o->lock) == 0);
	STORM_CHECK(mp_rlock_release(&o->lock) == -EPERM);
}

static void finish_rlock(void *object)
{
	struct rlocked *o = object;
	int r = mp_rlock_acquire(&o->lock, STORM_TIMEOUT_MS);

	STORM_CALL(r);
	storm_pair_work(&o->pair, r, 0);
	STORM_CHECK(mp_rlock_release(&o->lock) == 0);
	storm_pair_finish(&o->pair);
	STORM_CHECK(mp_rlock_destroy(&o->lock) == 0);
}

/* --- rwlock ------------------------------------------------------------------------------------------- */

struct rwlocked {
	mp_rwlock lock;
	mp_rwlock brief;
	struct storm_pair pair;
};

static void make_rwlock(void *object)
{
	struct rwlocked *o = object;

	STORM_CHECK(mp_rwlock_init(&o->lock, MP_RWLOCK_OPTIONS(.name = "storm")) == 0);
}

static void read_it(struct rwlocked *o, uint64_t random)
{
	int r = mp_rwlock_acquire_read(&o->lock, STORM_TIMEOUT_MS);

	STORM_CALL(r);
	storm_pair_look(&o->pair, r, random >> 8);
	if (random % 3 == 0) {
		int again = mp_rwlock_acquire_read(&o->lock, MP_NOWAIT);
		STORM_CALL(again);
		STORM_CHECK(mp_rwlock_release_read(&o->lock) == 0);
	}
	STORM_CHECK(mp_rwlock_release_read(&o->lock) == 0);
}

static void write_it(struct rwlocked *o, uint64_t random)
{
	int r = mp_rwlock_acquire_write(&o->lock, STORM_TIMEOUT_MS);

	STORM_CALL(r);
	storm_pair_work(&o->pair, r, random >> 8);
	if (random % 16 == 9) {
		STORM_CHECK(mp_rwlock_init(&o->brief, NULL) == 0);
		STORM_CHECK(mp_rwlock_acquire_read(&o->brief, MP_NOWAIT) == 0);
		STORM_CHECK(mp_rwlock_release_read(&o->brief) == 0);
		STORM_CHECK(mp_rwlock_destroy(&o->brief) == 0);
	}
	if (random % 4 != 0) {
		STORM_CHECK(mp_rwlock_release_write(&o->lock) == 0);
		return;
	}
	STORM_CHECK(mp_rwlock_downgrade(&o->lock) == 0);
	storm_pair_look(&o->pair, 0, random >> 8);
	STORM_CHECK(mp_rwlock_release_read(&o->lock) == 0);
}

static void step_rwlock(void *object, uint64_t random)
{
	if (random % 5 == 0)
		write_it(object, random >> 4);
	else
		read_it(object, random >> 4);
}

static void finish_rwlock(void *object)
{
	struct rwlocked *o = object;

	write_it(o, 0);
	read_it(o, 0);
	storm_pair_finish(&o->pair);
	STORM_CHECK(mp_rwlock_destroy(&o->lock) == 0);
}

const struct storm_capability storm_lock = {
	.name = "lock",
	.points = "lock. waiting. ",
	.size = sizeof(struct locked),
	.make = make_lock,
	.step = step_lock,
	.finish = finish_lock,
};

const struct storm_capability storm_rlock = {
	.name = "rlock",
	.points = "rlock. lock. ",
	.size = sizeof(struct rlocked),
	.make = make_rlock,
	.step = step_rlock,
	.finish = finish_rlock,
};

const struct storm_capability storm_rwlock = {
	.name = "rwlock",
	.points = "rwlock. ",
	.size = sizeof(struct rwlocked),
	.make = make_rwlock,
	.step = step_rwlock,
	.finish = finish_rwlock,
};
