/* SPDX-License-Identifier: MIT */
/*
 * mp/served.h - what programs share through a managerd to go on together: locks, values, counters.
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

MP__END_DECLS

#endif
