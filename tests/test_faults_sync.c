/* SPDX-License-Identifier: MIT */
/* What fails below the calls on locks and the like while others wait, or hold them. */
#include <config.h>

#include "tests/support/waits.h"

#include <sys/mman.h>

FAULTS_SUITE(faults_sync);

static int passed(int result)
{
	return result < 0 ? result : 0;
}

/* --- locks ------------------------------------------------------------------------------------- */

static mp_lock *lock;
static mp_rlock *rlock;

static int lock_taken(void)
{
	T_STEP(mp_lock_new(NULL, &lock));
	return mp_lock_acquire(lock, MP_NOWAIT);
}

WAKES(faults_sync, lock_release, lock_taken(), mp_lock_acquire(lock, T_TIMEOUT_MS),
	mp_lock_release(lock), mp_lock_release(lock), mp_lock_close(lock))

WAITS(faults_sync, rlock_acquire, mp_rlock_new(NULL, &rlock), mp_rlock_acquire(rlock, MP_NOWAIT),
	mp_rlock_release(rlock), mp_rlock_acquire(rlock, T_TIMEOUT_MS), mp_rlock_release(rlock),
	mp_rlock_close(rlock))

static int rlock_taken(void)
{
	T_STEP(mp_rlock_new(NULL, &rlock));
	return mp_rlock_acquire(rlock, MP_NOWAIT);
}

WAKES(faults_sync, rlock_release, rlock_taken(), mp_rlock_acquire(rlock, T_TIMEOUT_MS),
	mp_rlock_release(rlock), mp_rlock_release(rlock), mp_rlock_close(rlock))

/* --- locks of readers and writers ---------------------------------------------------------------- */

static mp_rwlock *rwlock;

WAITS(faults_sync, rwlock_acquire_read, mp_rwlock_new(NULL, &rwlock),
	mp_rwlock_acquire_write(rwlock, MP_NOWAIT), mp_rwlock_release_write(rwlock),
	mp_rwlock_acquire_read(rwlock, T_TIMEOUT_MS), mp_rwlock_release_read(rwlock),
	mp_rwlock_close(rwlock))
WAITS(faults_sync, rwlock_acquire_write, mp_rwlock_new(NULL, &rwlock),
	mp_rwlock_acquire_read(rwlock, MP_NOWAIT), mp_rwlock_release_read(rwlock),
	mp_rwlock_acquire_write(rwlock, T_TIMEOUT_MS), mp_rwlock_release_write(rwlock),
	mp_rwlock_close(rwlock))

static int rwlock_written(void)
{
	T_STEP(mp_rwlock_new(NULL, &rwlock));
	return mp_rwlock_acquire_write(rwlock, MP_NOWAIT);
}

static int rwlock_read(void)
{
	T_STEP(mp_rwlock_new(NULL, &rwlock));
	return mp_rwlock_acquire_read(rwlock, MP_NOWAIT);
}

WAKES(faults_sync, rwlock_release_write, rwlock_written(),
	mp_rwlock_acquire_read(rwlock, T_TIMEOUT_MS), mp_rwlock_release_read(rwlock),
	mp_rwlock_release_write(rwlock), mp_rwlock_close(rwlock))
WAKES(faults_sync, rwlock_release_read, rwlock_read(),
	mp_rwlock_acquire_write(rwlock, T_TIMEOUT_MS), mp_rwlock_release_write(rwlock),
	mp_rwlock_release_read(rwlock), mp_rwlock_close(rwlock))
WAKES(faults_sync, rwlock_downgrade, rwlock_written(), mp_rwlock_acquire_read(rwlock, T_TIMEOUT_MS),
	mp_rwlock_release_read(rwlock), mp_rwlock_downgrade(rwlock),
	(mp_rwlock_release_read(rwlock), mp_rwlock_close(rwlock)))

/* --- semaphores ---------------------------------------------------------------------------------- */

static mp_semaphore *semaphore;

WAITS(faults_sync, semaphore_acquire, mp_semaphore_new(1, NULL, &semaphore),
	mp_semaphore_acquire(semaphore, MP_NOWAIT), mp_semaphore_release(semaphore),
	mp_semaphore_acquire(semaphore, T_TIMEOUT_MS), mp_semaphore_release(semaphore),
	mp_semaphore_close(semaphore))
WAKES(faults_sync, semaphore_release, mp_semaphore_new(0, NULL, &semaphore),
	mp_semaphore_acquire(semaphore, T_TIMEOUT_MS), 0, mp_semaphore_release(semaphore),
	mp_semaphore_close(semaphore))
WAKES(faults_sync, semaphore_release_n, mp_semaphore_new(0, NULL, &semaphore),
	mp_semaphore_acquire(semaphore, T_TIMEOUT_MS), 0, mp_semaphore_release_n(semaphore, 2),
	mp_semaphore_close(semaphore))

/* --- events ---------------------------------------------------------------------------------------- */

static mp_event *event;

WAITS(faults_sync, event_wait, mp_event_new(NULL, &event), 0, mp_event_set(event),
	mp_event_wait(event, T_TIMEOUT_MS), 0, mp_event_close(event))
WAKES(faults_sync, event_set, mp_event_new(NULL, &event), mp_event_wait(event, T_TIMEOUT_MS), 0,
	mp_event_set(event), mp_event_close(event))

/* --- barriers -------------------------------------------------------------------------------------- */

static mp_barrier *barrier;

static int act(void *argument)
{
	(void)argument;
	return 0;
}

static int broken_or_passed(int result)
{
	return result == -EPIPE || result == -ECANCELED ? 0 : result;
}

WAITS(faults_sync, barrier_wait, mp_barrier_new(2, NULL, &barrier), 0,
	passed(mp_barrier_wait(barrier, T_TIMEOUT_MS)), mp_barrier_wait(barrier, T_TIMEOUT_MS), 0,
	mp_barrier_close(barrier))
WAKES(faults_sync, barrier_open, mp_barrier_new(2, NULL, &barrier),
	mp_barrier_wait(barrier, T_TIMEOUT_MS), 0, mp_barrier_wait(barrier, T_TIMEOUT_MS),
	mp_barrier_close(barrier))
WAITS(faults_sync, barrier_wait_action, mp_barrier_new(2, NULL, &barrier), 0,
	passed(mp_barrier_wait_action(barrier, act, NULL, T_TIMEOUT_MS)),
	mp_barrier_wait_action(barrier, act, NULL, T_TIMEOUT_MS), 0, mp_barrier_close(barrier))
WAKES(faults_sync, barrier_abort, mp_barrier_new(2, NULL, &barrier),
	broken_or_passed(mp_barrier_wait(barrier, T_TIMEOUT_MS)), 0, mp_barrier_abort(barrier),
	mp_barrier_close(barrier))
WAKES(faults_sync, barrier_reset, mp_barrier_new(2, NULL, &barrier),
	broken_or_passed(mp_barrier_wait(barrier, T_TIMEOUT_MS)), 0, mp_barrier_reset(barrier),
	mp_barrier_close(barrier))

static void barrier_made(void)
{
	T_CHECK(mp_barrier_new(2, NULL, &barrier) == 0);
}

static int be_expected(void)
{
	T_STEP(mp_barrier_join(barrier));
	return mp_barrier_leave(barrier);
}

static void barrier_closed(void)
{
	mp_barrier_close(barrier);
}

FAULTS(faults_sync, barrier_join, barrier_made, be_expected, barrier_closed)

/* --- conditions ------------------------------------------------------------------------------------ */

static mp_condition *condition;
static _Atomic bool *truth;

static int is_true(void *argument)
{
	(void)argument;
	return *truth;
}

static int condition_new(void)
{
	T_CHECK(mp_lock_new(NULL, &lock) == 0 && mp_rlock_new(NULL, &rlock) == 0);
	truth = t_shared(sizeof(*truth));
	return mp_condition_new(NULL, &condition);
}

static void condition_closed(void)
{
	mp_condition_close(condition);
	mp_lock_close(lock);
	mp_rlock_close(rlock);
	munmap((void *)truth, sizeof(*truth));
}

/* Again and again, for a notification finds only who waits already. */
static int notify_until(int (*acquire)(void), int (*release)(void))
{
	do {
		t_moment();
		T_CHECK(acquire() >= 0);
		T_CHECK(mp_condition_notify_all(condition) >= 0);
		T_CHECK(release() == 0);
	} while (!*truth);
	return 0;
}

static int with_lock(void)
{
	return mp_lock_acquire(lock, T_TIMEOUT_MS);
}

static int without_lock(void)
{
	return mp_lock_release(lock);
}

static int with_rlock(void)
{
	return mp_rlock_acquire(rlock, T_TIMEOUT_MS);
}

static int without_rlock(void)
{
	return mp_rlock_release(rlock);
}

static int set_true(void)
{
	*truth = true;
	return 0;
}

#define CONDITION_WAITS(id, kind, wait)                                                       \
	static int id##_once(void)                                                            \
	{                                                                                     \
		T_STEP(mp_##kind##_acquire(kind, T_TIMEOUT_MS));                              \
		int r = (wait);                                                               \
		T_CHECK(mp_##kind##_release(kind) == 0);                                      \
		return r;                                                                     \
	}                                                                                     \
	WAITS(faults_sync, id, condition_new(), 0, notify_until(with_##kind, without_##kind), \
		id##_once(), set_true(), condition_closed())

CONDITION_WAITS(condition_wait_lock, lock, mp_condition_wait_lock(condition, lock, T_TIMEOUT_MS))
CONDITION_WAITS(
	condition_wait_rlock, rlock, mp_condition_wait_rlock(condition, rlock, T_TIMEOUT_MS))

#define CONDITION_WAITS_FOR(id, kind, wait)                                                       \
	static int id##_once(void)                                                                \
	{                                                                                         \
		T_STEP(mp_##kind##_acquire(kind, T_TIMEOUT_MS));                                  \
		int r = (wait);                                                                   \
		T_CHECK(mp_##kind##_release(kind) == 0);                                          \
		return r;                                                                         \
	}                                                                                         \
	WAITS(faults_sync, id, condition_new(), 0,                                                \
		(t_moment(), set_true(), notify_until(with_##kind, without_##kind)), id##_once(), \
		0, condition_closed())

CONDITION_WAITS_FOR(condition_wait_for_lock, lock,
	mp_condition_wait_for_lock(condition, lock, is_true, NULL, T_TIMEOUT_MS))
CONDITION_WAITS_FOR(condition_wait_for_rlock, rlock,
	mp_condition_wait_for_rlock(condition, rlock, is_true, NULL, T_TIMEOUT_MS))

static int wait_with_lock(void)
{
	T_CHECK(mp_lock_acquire(lock, T_TIMEOUT_MS) >= 0);
	T_CHECK(mp_condition_wait_for_lock(condition, lock, is_true, NULL, T_TIMEOUT_MS) >= 0);
	return mp_lock_release(lock);
}

static int notify(int all)
{
	T_STEP(mp_lock_acquire(lock, T_TIMEOUT_MS));
	*truth = true;
	int r = all ? mp_condition_notify_all(condition) : mp_condition_notify(condition, 1);
	T_CHECK(mp_lock_release(lock) == 0);
	return r;
}

WAKES(faults_sync, condition_notify, condition_new(), wait_with_lock(), 0, notify(false),
	condition_closed())
WAKES(faults_sync, condition_notify_all, condition_new(), wait_with_lock(), 0, notify(true),
	condition_closed())

/* --- that look, or stand in the memory of the caller ------------------------------------------------- */

static void semaphore_made(void)
{
	T_CHECK(mp_semaphore_new(1, NULL, &semaphore) == 0);
}

static int semaphore_value(void)
{
	return mp_semaphore_value(semaphore);
}

static void semaphore_closed(void)
{
	mp_semaphore_close(semaphore);
}

FAULTS(faults_sync, semaphore_value, semaphore_made, semaphore_value, semaphore_closed)

/* In the memory of who calls. */
static int init_and_destroy(void)
{
	static mp_lock own_lock;
	static mp_rlock own_rlock;
	static mp_rwlock own_rwlock;
	static mp_semaphore own_semaphore;
	static mp_event own_event;
	static mp_condition own_condition;
	static mp_barrier own_barrier;

	T_STEP(mp_lock_init(&own_lock, NULL));
	T_STEP(mp_lock_destroy(&own_lock));
	T_STEP(mp_rlock_init(&own_rlock, NULL));
	T_STEP(mp_rlock_destroy(&own_rlock));
	T_STEP(mp_rwlock_init(&own_rwlock, NULL));
	T_STEP(mp_rwlock_destroy(&own_rwlock));
	T_STEP(mp_semaphore_init(&own_semaphore, 1, NULL));
	T_STEP(mp_semaphore_destroy(&own_semaphore));
	T_STEP(mp_event_init(&own_event, NULL));
	T_STEP(mp_event_clear(&own_event));
	T_STEP(mp_event_destroy(&own_event));
	T_STEP(mp_condition_init(&own_condition, NULL));
	T_STEP(mp_condition_destroy(&own_condition));
	T_STEP(mp_barrier_init(&own_barrier, 2, NULL));
	return mp_barrier_destroy(&own_barrier);
}

FAULTS(faults_sync, init_and_destroy, NULL, init_and_destroy)

/* --- what has a lock of its own ----------------------------------------------------------------------- */

static mp_value *value;
static mp_value *value_copy;
static int64_t number;

static int value_new(void)
{
	return mp_value_new('q', NULL, NULL, &value);
}

#define VALUE_WAITS(id, call, undo, closed)                                     \
	WAITS(faults_sync, id, value_new(), mp_value_acquire(value, MP_NOWAIT), \
		mp_value_release(value), call, undo,                            \
		((void)(closed), (void)mp_value_close(value)))

VALUE_WAITS(
	value_acquire, mp_value_acquire(value, T_TIMEOUT_MS), mp_value_release(value), nothing())
VALUE_WAITS(value_get, mp_value_get(value, &number, sizeof(number), T_TIMEOUT_MS), 0, nothing())
VALUE_WAITS(value_set, mp_value_set(value, &number, sizeof(number), T_TIMEOUT_MS), 0, nothing())
VALUE_WAITS(
	value_copy, mp_value_copy(value, T_TIMEOUT_MS, &value_copy), 0, mp_value_close(value_copy))

static int value_taken(void)
{
	T_STEP(value_new());
	return mp_value_acquire(value, MP_NOWAIT);
}

WAKES(faults_sync, value_release, value_taken(), mp_value_acquire(value, T_TIMEOUT_MS),
	mp_value_release(value), mp_value_release(value), mp_value_close(value))

static mp_array *array;
static mp_array *array_copy;
static char text[8];
static size_t n_items;

static int array_new(void)
{
	return mp_array_new('c', sizeof(text), NULL, NULL, &array);
}

#define ARRAY_WAITS(id, call, undo, closed)                                     \
	WAITS(faults_sync, id, array_new(), mp_array_acquire(array, MP_NOWAIT), \
		mp_array_release(array), call, undo,                            \
		((void)(closed), (void)mp_array_close(array)))

ARRAY_WAITS(
	array_acquire, mp_array_acquire(array, T_TIMEOUT_MS), mp_array_release(array), nothing())
ARRAY_WAITS(array_get, mp_array_get(array, 1, text, 1, T_TIMEOUT_MS), 0, nothing())
ARRAY_WAITS(array_set, mp_array_set(array, 1, text, 1, T_TIMEOUT_MS), 0, nothing())
ARRAY_WAITS(array_get_slice,
	mp_array_get_slice(array, MP_SLICE_ALL, text, sizeof(text), T_TIMEOUT_MS, &n_items), 0,
	nothing())
ARRAY_WAITS(array_set_slice,
	mp_array_set_slice(array, MP_SLICE_ALL, text, sizeof(text), T_TIMEOUT_MS), 0, nothing())
ARRAY_WAITS(array_get_str, mp_array_get_str(array, text, sizeof(text), T_TIMEOUT_MS), 0, nothing())
ARRAY_WAITS(array_set_str, mp_array_set_str(array, "text", T_TIMEOUT_MS), 0, nothing())
ARRAY_WAITS(
	array_copy, mp_array_copy(array, T_TIMEOUT_MS, &array_copy), 0, mp_array_close(array_copy))

static int array_taken(void)
{
	T_STEP(array_new());
	return mp_array_acquire(array, MP_NOWAIT);
}

WAKES(faults_sync, array_release, array_taken(), mp_array_acquire(array, T_TIMEOUT_MS),
	mp_array_release(array), mp_array_release(array), mp_array_close(array))
