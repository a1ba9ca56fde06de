/* SPDX-License-Identifier: MIT */
/*
 * mp/served.h - what programs share through a managerd to go on together: locks, values, counters, arrays.
 *
 *	mp_manager_lock(m, "jobs", &lock);
 *	int r = mp_served_lock_acquire(lock, MP_FOREVER, NULL);
 *	if (r == MP_OWNER_DIED)
 *		repair();	// yours, but the holder before you died with it
 *
 * Each object is an mp_proxy (mp/proxy.h): mp_proxy_close() ends it, mp_handle() sends it. A function
 * for another type than the proxy's is -EINVAL. The errors of mp/proxy.h are common to all.
 */
#ifndef MP_SERVED_H
#define MP_SERVED_H

#include <mp/proxy.h>
#include <mp/value.h>

MP__BEGIN_DECLS

/* --- lock, rlock: mp_served_lock(3) ----------------------------------------------------------- */

/*
 * Open the lock, or recursive lock, of that name; with NULL a new one that nobody else can name. A
 * lock belongs to the thread that acquired it, and to its process' connection with the daemon: when
 * the process ends, or its connection does, the next one gets the lock with MP_OWNER_DIED.
 */
int mp_manager_lock(mp_manager *manager, const char *name, mp_proxy **ret_lock);
int mp_manager_rlock(mp_manager *manager, const char *name, mp_proxy **ret_rlock);

/*
 * Take it. 0 or MP_OWNER_DIED: it is this thread's. *ret_fence (may be NULL) is a number that grows
 * with every holder: who is given it along with an order can refuse those of earlier holders. -EAGAIN
 * it is taken (MP_NOWAIT); -ETIMEDOUT; -EDEADLK this thread has it already, or to wait would be for
 * ever: mp_error_detail() says who waits for whom. First come, first served.
 */
int mp_served_lock_acquire(mp_proxy *lock, int timeout_ms, int64_t *ret_fence);
/* Give it back. -EPERM this thread does not have it (any more: the connection was lost). */
int mp_served_lock_release(mp_proxy *lock);
/* Has anybody got it? 1 or 0. */
int mp_served_lock_locked(mp_proxy *lock);

/* The same of an rlock, which its holder may acquire again, and releases as often. */
int mp_served_rlock_acquire(mp_proxy *rlock, int timeout_ms, int64_t *ret_fence);
int mp_served_rlock_release(mp_proxy *rlock);
int mp_served_rlock_locked(mp_proxy *rlock);

/* --- value, counter: mp_served_value(3) ------------------------------------------------------- */

/*
 * Open the value, or counter, of that name; if there is none it is made with `initial`. A value is any
 * mp_obj, with proxies of this managerd inside: these live as long as they stand there. Nested at most
 * 63 deep (-EOVERFLOW), at most 64 MiB (-EMSGSIZE); -ENOTSUP another kind of handle.
 */
int mp_manager_value(mp_manager *manager, const char *name, mp_obj initial, mp_proxy **ret_value);
int mp_served_value_get(mp_proxy *value, mp_obj *ret_content);
int mp_served_value_set(mp_proxy *value, mp_obj content);
/* Both in one: what was there before (ret_old may be NULL). */
int mp_served_value_exchange(mp_proxy *value, mp_obj content, mp_obj *ret_old);

int mp_manager_counter(
	mp_manager *manager, const char *name, int64_t initial, mp_proxy **ret_counter);
int mp_counter_get(mp_proxy *counter, int64_t *ret_number);
int mp_counter_set(mp_proxy *counter, int64_t number);
/* *ret_number (may be NULL) is the sum. -EOVERFLOW it is beyond an int64_t; nothing was changed. */
int mp_counter_add(mp_proxy *counter, int64_t number, int64_t *ret_number);
/*
 * Set it to `number` if it is `expected`: 1 done, 0 it was something else. *ret_before (may be NULL)
 * is what it was.
 */
int mp_counter_compare_and_swap(
	mp_proxy *counter, int64_t expected, int64_t number, int64_t *ret_before);

/* --- array: mp_served_array(3) ---------------------------------------------------------------- */

/*
 * Open the array of that name; if there is none it is made of items of that type, a letter as in
 * mp/value.h, with what is in the list `initial`, or as many zeros as it says if it is an integer. Its
 * length never changes. -EINVAL no such type, `initial` is neither; -EOVERFLOW a number that is more
 * than an item holds; -EMSGSIZE more than 64 MiB.
 */
int mp_manager_array(
	mp_manager *manager, const char *name, int type, mp_obj initial, mp_proxy **ret_array);

/*
 * Items come as i64, as u64 if they are more than that holds, or as f64. Indexes count from 0, negative
 * ones from the end (-ERANGE). What is stored is a number, of integer types an integer (-EINVAL), within
 * the type's limits (-EOVERFLOW), and rounded to float in type f. *ret_sum may be NULL.
 */
int mp_served_array_get(mp_proxy *array, int64_t index, mp_obj *ret_number);
int mp_served_array_set(mp_proxy *array, int64_t index, mp_obj number);
int mp_served_array_add(mp_proxy *array, int64_t index, mp_obj number, mp_obj *ret_sum);
/* Replace it if it is `expected`, by its bytes as mp/value.h says: 1 it was, 0 not. */
int mp_served_array_compare_and_swap(
	mp_proxy *array, int64_t index, mp_obj expected, mp_obj number);

/* Slices as in mp/value.h. The list of numbers must have as many as the slice (-EINVAL). */
int mp_served_array_get_slice(mp_proxy *array, mp_slice slice, mp_obj *ret_numbers);
int mp_served_array_set_slice(mp_proxy *array, mp_slice slice, mp_obj numbers);
int mp_served_array_items(mp_proxy *array, mp_obj *ret_numbers); /* all, at one instant */
int mp_served_array_len(mp_proxy *array, size_t *ret_len);
int mp_served_array_type(mp_proxy *array); /* its letter */

/* --- event: mp_served_event(3) ---------------------------------------------------------------- */

/* Open the event of that name, not set if it is made. */
int mp_manager_event(mp_manager *manager, const char *name, mp_proxy **ret_event);
/* All who wait go on, also when a clear follows at once. */
int mp_served_event_set(mp_proxy *event);
int mp_served_event_clear(mp_proxy *event);
/* 1 or 0. */
int mp_served_event_is_set(mp_proxy *event);
/* 0 it is set, or was since; -EAGAIN it is not (MP_NOWAIT); -ETIMEDOUT. */
int mp_served_event_wait(mp_proxy *event, int timeout_ms);

/* --- semaphore: mp_served_semaphore(3) -------------------------------------------------------- */

/*
 * Open the semaphore of that name, with `value` permits if it is made. A process holds the permits that
 * its threads have acquired; when it ends they come back. -EINVAL a value below 0, -EOVERFLOW above
 * INT32_MAX.
 */
int mp_manager_semaphore(
	mp_manager *manager, const char *name, int64_t value, mp_proxy **ret_semaphore);
/* One that never has more permits than at first. The functions below are for both. */
int mp_manager_bounded_semaphore(
	mp_manager *manager, const char *name, int64_t value, mp_proxy **ret_semaphore);
/* -EAGAIN there is none (MP_NOWAIT); -ETIMEDOUT. */
int mp_served_semaphore_acquire(mp_proxy *semaphore, int timeout_ms);
/*
 * Give one back, or n: first what this process holds, then what others do. -EOVERFLOW there would be
 * more than may be; -EINVAL n below 1.
 */
int mp_served_semaphore_release(mp_proxy *semaphore);
int mp_served_semaphore_release_n(mp_proxy *semaphore, int64_t n);
/* How many are there to take. */
int mp_served_semaphore_value(mp_proxy *semaphore);

/* --- barrier: mp_served_barrier(3) ------------------------------------------------------------ */

/* Open the barrier of that name, for so many parties if it is made. -EINVAL none, or above 1000000. */
int mp_manager_barrier(mp_manager *manager, const char *name, int parties, mp_proxy **ret_barrier);
/*
 * Wait until all parties do: the order of arrival, 0 to parties - 1. -EPIPE the barrier is broken, or
 * was broken meanwhile: somebody's wait timed out or was aborted, or its process ended; -ECANCELED it
 * was reset; -ETIMEDOUT not all came, and now it is broken; -EAGAIN (MP_NOWAIT) nothing is broken.
 */
int mp_served_barrier_wait(mp_proxy *barrier, int timeout_ms);
/* Break it; mend it. */
int mp_served_barrier_abort(mp_proxy *barrier);
int mp_served_barrier_reset(mp_proxy *barrier);
/* For how many it is; how many wait; is it broken, 1 or 0. */
int mp_served_barrier_parties(mp_proxy *barrier);
int mp_served_barrier_waiting(mp_proxy *barrier);
int mp_served_barrier_broken(mp_proxy *barrier);

/* --- condition: mp_served_condition(3) -------------------------------------------------------- */

/*
 * Open the condition of that name; if it is made, with that lock or rlock, or with NULL an rlock of its
 * own.
 */
int mp_manager_condition(
	mp_manager *manager, const char *name, mp_proxy *lock, mp_proxy **ret_condition);
/* Its lock: as mp_served_lock_acquire(), mp_served_lock_release(). */
int mp_served_condition_acquire(mp_proxy *condition, int timeout_ms);
int mp_served_condition_release(mp_proxy *condition);
/*
 * Let go of the lock, however deep, wait to be notified, and take it back. 0; MP_OWNER_DIED who had the
 * lock meanwhile died with it; -ETIMEDOUT, -EAGAIN (MP_NOWAIT) nobody has notified. In all these cases
 * the lock is held again; the timeout is for the notification alone. -EPERM this thread does not have
 * the lock; -EDEADLK it can't be had any more: its holder waits for something of this thread's.
 */
int mp_served_condition_wait(mp_proxy *condition, int timeout_ms);
/* > 0 it is so, 0 not yet, a negative errno ends the wait. Called with the lock held. */
typedef int mp_served_predicate(void *arg);
/* Wait until predicate(arg) is > 0, within one timeout: as above, or what it returned below 0. */
int mp_served_condition_wait_for(
	mp_proxy *condition, mp_served_predicate *predicate, void *arg, int timeout_ms);
/* Wake n of those who wait, or all. Needs no lock. -EINVAL n below 0. */
int mp_served_condition_notify(mp_proxy *condition, int n);
int mp_served_condition_notify_all(mp_proxy *condition);

MP__END_DECLS

#endif
