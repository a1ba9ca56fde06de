/* SPDX-License-Identifier: MIT */
/* What fails below the calls on locks, events, semaphores, barriers and conditions of a managerd. */
#include <config.h>

#include "tests/support/daemons.h"

FAULTS_SUITE(faults_served_sync);

#define SYNC(id, open, call) SERVED_PROXY_IN(faults_served_sync, id, open, call)

/* Nobody lets it go on, which is no failure. */
static int in_time(int result)
{
	return result == -ETIMEDOUT ? 0 : result;
}

static int lock(void)
{
	int64_t fence;

	T_STEP(mp_served_lock_acquire(proxy, T_TIMEOUT_MS, &fence));
	T_STEP(mp_served_lock_locked(proxy));
	return mp_served_lock_release(proxy);
}

SYNC(lock, mp_manager_lock(manager, NULL, &proxy), lock)

static int rlock(void)
{
	int64_t fence;

	T_STEP(mp_served_rlock_acquire(proxy, T_TIMEOUT_MS, &fence));
	T_STEP(mp_served_rlock_locked(proxy));
	return mp_served_rlock_release(proxy);
}

SYNC(rlock, mp_manager_rlock(manager, NULL, &proxy), rlock)

static int event(void)
{
	T_STEP(mp_served_event_set(proxy));
	T_STEP(mp_served_event_is_set(proxy));
	T_STEP(mp_served_event_wait(proxy, T_TIMEOUT_MS));
	T_STEP(mp_served_event_clear(proxy));
	return in_time(mp_served_event_wait(proxy, 3));
}

SYNC(event, mp_manager_event(manager, NULL, &proxy), event)

static int semaphore(void)
{
	T_STEP(mp_served_semaphore_acquire(proxy, T_TIMEOUT_MS));
	T_STEP(mp_served_semaphore_value(proxy));
	T_STEP(mp_served_semaphore_release(proxy));
	T_STEP(mp_served_semaphore_acquire(proxy, T_TIMEOUT_MS));
	return mp_served_semaphore_release_n(proxy, 1);
}

SYNC(semaphore, mp_manager_semaphore(manager, NULL, 5, &proxy), semaphore)
SYNC(bounded_semaphore, mp_manager_bounded_semaphore(manager, NULL, 5, &proxy), semaphore)

static int barrier(void)
{
	T_STEP(mp_served_barrier_wait(proxy, T_TIMEOUT_MS));
	T_STEP(mp_served_barrier_parties(proxy));
	T_STEP(mp_served_barrier_waiting(proxy));
	T_STEP(mp_served_barrier_abort(proxy));
	T_STEP(mp_served_barrier_broken(proxy));
	return mp_served_barrier_reset(proxy);
}

SYNC(barrier, mp_manager_barrier(manager, NULL, 1, &proxy), barrier)

static int is_true(void *argument)
{
	return ++*(int *)argument > 1;
}

static int condition_steps(void)
{
	int looks = 0;

	T_STEP(in_time(mp_served_condition_wait(proxy, 3)));
	T_STEP(in_time(mp_served_condition_wait_for(proxy, is_true, &looks, 3)));
	T_STEP(mp_served_condition_notify(proxy, 1));
	return mp_served_condition_notify_all(proxy);
}

static int condition(void)
{
	T_STEP(mp_served_condition_acquire(proxy, T_TIMEOUT_MS));
	T_STEP(condition_steps());
	return mp_served_condition_release(proxy);
}

SYNC(condition, mp_manager_condition(manager, NULL, NULL, &proxy), condition)
