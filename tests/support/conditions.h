/* SPDX-License-Identifier: MIT */
/* tests/support/conditions.h - a condition with its lock, and how many sleep at it and were woken. */
#ifndef TESTS_SUPPORT_CONDITIONS_H
#define TESTS_SUPPORT_CONDITIONS_H

#include "tests/support/world.h"

#include <mp/condition.h>
#include <sched.h>
#include <stdatomic.h>

struct world {
	mp_condition condition;
	mp_rlock lock;
	mp_lock plain;
	atomic_int sleeping;
	atomic_int woken;
	atomic_int timed_out;
	int state;
};

static struct world *w; /* in the test and in its forked children */

static inline void setup(void)
{
	w = new_world(sizeof(struct world));
	T_OK(mp_condition_init(&w->condition, MP_CONDITION_OPTIONS(.name = "changed")));
	T_OK(mp_rlock_init(&w->lock, NULL));
	T_OK(mp_lock_init(&w->plain, NULL));
}

static inline void teardown(void)
{
	T_OK(mp_condition_destroy(&w->condition));
	T_OK(mp_rlock_destroy(&w->lock));
	T_OK(mp_lock_destroy(&w->plain));
	free_world(w, sizeof(*w));
}

static inline void lock(void)
{
	int r = mp_rlock_acquire(&w->lock, T_TIMEOUT_MS / 2);

	cr_assert(r == 0 || r == MP_OWNER_DIED);
}

static inline void unlock(void)
{
	T_OK(mp_rlock_release(&w->lock));
}

static inline void until(atomic_int *counter, int n)
{
	while (*counter < n)
		sched_yield();
}

/*
 * Until n threads sleep. They say so with the lock held, which wait gives back only when they are
 * waiters: so who then has the lock knows it.
 */
static inline void until_sleeping(int n)
{
	until(&w->sleeping, n);
	lock();
	unlock();
}

static inline void notify(int n)
{
	lock();
	T_OK(mp_condition_notify(&w->condition, n));
	unlock();
}

static inline int sleep_once(struct world *v)
{
	T_CHECK(mp_rlock_acquire(&v->lock, T_TIMEOUT_MS / 2) == 0);
	T_CHECK(mp_rlock_acquire(&v->lock, T_TIMEOUT_MS / 2) == 0);
	v->sleeping++;
	T_CHECK(mp_condition_wait(&v->condition, &v->lock, T_TIMEOUT_MS / 2) == 0);
	v->woken++;
	T_CHECK(mp_rlock_release(&v->lock) == 0);
	T_CHECK(mp_rlock_release(&v->lock) == 0);
	T_CHECK(mp_rlock_release(&v->lock) == -EPERM);
	return 0;
}

static inline int state_is_4(void *arg)
{
	return ((struct world *)arg)->state == 4;
}

#endif
