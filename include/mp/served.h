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

MP__END_DECLS

#endif
