/* SPDX-License-Identifier: MIT */
/*
 * mp/lock.h - one at a time, between the threads of any processes: lock and recursive lock.
 *
 *	int r = mp_lock_acquire(&shared->lock, MP_FOREVER);
 *	if (r == MP_OWNER_DIED)
 *		repair(shared);		// yours, but the holder before you died with it
 *	if (r < 0)
 *		return r;
 *	...
 *	mp_lock_release(&shared->lock);
 *
 * A lock lives where you put it: in a struct of your own in shared memory (mp_lock_init()), or as an
 * object of its own that travels to other processes as an argument (mp_lock_new(), mp_handle()). It
 * belongs to the thread that acquired it. When that thread ends or its process is killed, the next
 * one gets the lock with MP_OWNER_DIED within some ten milliseconds; nobody waits for ever. A forked
 * child holds nothing of what its parent holds. The page is mp_lock(3).
 */
#ifndef MP_LOCK_H
#define MP_LOCK_H

#include <mp/cdefs.h>
#include <stddef.h>
#include <stdint.h>

MP__BEGIN_DECLS

/* In shared memory as they are: no pointers inside, aligned to 8 bytes. Zero bytes are no lock yet. */
typedef struct mp_lock {
	uint64_t mp__private[8];
} mp_lock;

typedef struct mp_rlock {
	uint64_t mp__private[8];
} mp_rlock;

typedef struct mp_lock_options {
	size_t size;      /* set by MP_LOCK_OPTIONS() */
	uint64_t flags;   /* none yet: others than 0 are -EINVAL */
	const char *name; /* for people: mpctl, reports of deadlocks; cut at 23 bytes. NULL: none */
} mp_lock_options;

#define MP_LOCK_OPTIONS(...) \
	(&(const mp_lock_options){.size = sizeof(mp_lock_options), __VA_ARGS__})

/*
 * Make a lock in memory of yours. What stood there is lost: not while somebody uses it. -EINVAL NULL,
 * not aligned, unknown flag; -E2BIG options of a newer libmp.
 */
int mp_lock_init(mp_lock *lock, const mp_lock_options *options);

/*
 * No lock any more: each further call is -EINVAL, also for threads that wait just now. -EBUSY
 * somebody who lives holds it; -EINVAL no lock.
 */
int mp_lock_destroy(mp_lock *lock);

/*
 * A lock that is an object of its own, in shared memory of the library: works in forked children as it
 * is, and travels to others as an argument (mp_handle()). -EINVAL, -E2BIG as above; -ENOMEM, -ENOSPC,
 * -EMFILE, -ENFILE.
 */
int mp_lock_new(const mp_lock_options *options, mp_lock **ret_lock);

/*
 * One more reference, or one less, of this process, to what mp_lock_new() or mp_obj_lock() gave. With
 * the last one the lock goes here; it stays a lock for other processes. For a lock in memory of
 * yours, and for NULL, both do nothing. ref returns `lock`.
 */
mp_lock *mp_lock_ref(mp_lock *lock);
void mp_lock_close(mp_lock *lock);

/*
 * Take it. 0 or MP_OWNER_DIED: it is this thread's. -EAGAIN it is taken (MP_NOWAIT); -ETIMEDOUT;
 * -EDEADLK this thread has it already; -EINVAL no lock.
 */
int mp_lock_acquire(mp_lock *lock, int timeout_ms);

/* Give it back. -EPERM this thread does not have it; -EINVAL no lock. */
int mp_lock_release(mp_lock *lock);

/* Is it taken, at this instant? 1, 0, -EINVAL no lock. */
int mp_lock_locked(const mp_lock *lock);

/* The number of the thread (gettid(2)) that has it, dead or alive; 0 nobody; -EINVAL. For people. */
int mp_lock_owner(const mp_lock *lock);

/*
 * The recursive lock: its holder may acquire it again, and must release it as often. After
 * MP_OWNER_DIED it is held once. -EOVERFLOW acquired too often; there is no -EDEADLK. All else is as
 * above.
 */
int mp_rlock_init(mp_rlock *lock, const mp_lock_options *options);
int mp_rlock_destroy(mp_rlock *lock);
int mp_rlock_new(const mp_lock_options *options, mp_rlock **ret_lock);
mp_rlock *mp_rlock_ref(mp_rlock *lock);
void mp_rlock_close(mp_rlock *lock);
int mp_rlock_acquire(mp_rlock *lock, int timeout_ms);
int mp_rlock_release(mp_rlock *lock);
int mp_rlock_locked(const mp_rlock *lock);
int mp_rlock_owner(const mp_rlock *lock);

MP__END_DECLS

#endif
