/* SPDX-License-Identifier: MIT */
/*
 * mp/condition.h - wait until somebody says that something has changed.
 *
 *	mp_lock_acquire(&s->lock, MP_FOREVER);
 *	while (r >= 0 && s->n_items == 0)
 *		r = mp_condition_wait(&s->changed, &s->lock, MP_FOREVER);
 *	...				// s->lock is held, whatever r is
 *	mp_lock_release(&s->lock);
 *
 * and elsewhere, with s->n_items changed under the lock: mp_condition_notify(&s->changed, 1).
 *
 * It works with any lock or recursive lock, which is given at each wait, between the threads of all
 * processes that have both in their memory. A notify never waits for those it wakes: one that was
 * killed costs nobody anything, and the wake-up that it did not live to take goes to another.
 */
#ifndef MP_CONDITION_H
#define MP_CONDITION_H

#include <mp/cdefs.h>
#include <mp/lock.h>
#include <stddef.h>
#include <stdint.h>

MP__BEGIN_DECLS

/* For placing into shared memory; nothing in it is public. Aligned to 8 bytes; zero: never made. */
typedef struct mp_condition {
	uint64_t mp__private[12];
} mp_condition;

typedef struct mp_condition_options {
	size_t size;      /* set by MP_CONDITION_OPTIONS() */
	uint64_t flags;   /* none yet: others than 0 are -EINVAL */
	const char *name; /* for people; cut at 23 bytes. NULL: none */
} mp_condition_options;

#define MP_CONDITION_OPTIONS(...) \
	(&(const mp_condition_options){.size = sizeof(mp_condition_options), __VA_ARGS__})

/* > 0 it is so, 0 not yet, a negative errno ends the wait. Called with the lock held. */
typedef int mp_condition_predicate(void *arg);

/* Make one in memory of the caller's. -EINVAL NULL, misaligned, unknown flag; -E2BIG. */
int mp_condition_init(mp_condition *condition, const mp_condition_options *options);

/*
 * End its use: from now on every call is -EINVAL. -EBUSY somebody waits. When only waiters that were
 * killed are left over, it takes half a second to be sure of that.
 */
int mp_condition_destroy(mp_condition *condition);

/*
 * Make one that is an object of its own: it travels as an argument (mp_handle()). As above; -ENOSPC,
 * -EMFILE, -ENOMEM. ref and close: one reference of this process more or less; they leave alone what
 * mp_condition_init() made, and NULL.
 */
int mp_condition_new(const mp_condition_options *options, mp_condition **ret_condition);
mp_condition *mp_condition_ref(mp_condition *condition);
void mp_condition_close(mp_condition *condition);

/*
 * mp_condition_wait(condition, lock, timeout_ms), lock being an mp_lock or an mp_rlock:
 * let go of the lock, however deep, wait to be notified, and take it back as deep as it was. 0 it
 * was notified; MP_OWNER_DIED who held the lock meanwhile died with it, notified or not; -ETIMEDOUT,
 * -EAGAIN (MP_NOWAIT) not notified. In all these cases the lock is held again; the timeout covers the
 * wait to be notified, not the wait for the lock. -EPERM the lock is not held by this thread; -EINVAL
 * no condition or no lock, or destroyed meanwhile.
 * When waiters were killed, a wait may end without a notify: look at the data.
 */
int mp_condition_wait_lock(mp_condition *condition, mp_lock *lock, int timeout_ms);
int mp_condition_wait_rlock(mp_condition *condition, mp_rlock *lock, int timeout_ms);

/*
 * mp_condition_wait_for(condition, lock, predicate, arg, timeout_ms): wait until predicate(arg) is
 * > 0, within one timeout for all. 0 it is; MP_OWNER_DIED as above, the predicate was not asked since:
 * repair, and call again; -ETIMEDOUT or -EAGAIN it is not; what the predicate returned below 0.
 */
int mp_condition_wait_for_lock(mp_condition *condition, mp_lock *lock,
	mp_condition_predicate *predicate, void *arg, int timeout_ms);
int mp_condition_wait_for_rlock(mp_condition *condition, mp_rlock *lock,
	mp_condition_predicate *predicate, void *arg, int timeout_ms);

/*
 * Wake n of those who wait now, or all. Needs no lock; but who changes the data without the lock can
 * do so, and notify, after a waiter has looked and before it waits: then nobody wakes it. -EINVAL no
 * condition, n below 0; -ETIMEDOUT a process was stopped in the middle of a change of the condition,
 * and did not go on for ten seconds; -EDEADLK from a signal handler that interrupted such a change.
 */
int mp_condition_notify(mp_condition *condition, int n);
int mp_condition_notify_all(mp_condition *condition);

MP__END_DECLS

#ifdef __cplusplus
static inline int mp_condition_wait(mp_condition *condition, mp_lock *lock, int timeout_ms)
{
	return mp_condition_wait_lock(condition, lock, timeout_ms);
}
static inline int mp_condition_wait(mp_condition *condition, mp_rlock *lock, int timeout_ms)
{
	return mp_condition_wait_rlock(condition, lock, timeout_ms);
}
static inline int mp_condition_wait_for(mp_condition *condition, mp_lock *lock,
	mp_condition_predicate *predicate, void *arg, int timeout_ms)
{
	return mp_condition_wait_for_lock(condition, lock, predicate, arg, timeout_ms);
}
static inline int mp_condition_wait_for(mp_condition *condition, mp_rlock *lock,
	mp_condition_predicate *predicate, void *arg, int timeout_ms)
{
	return mp_condition_wait_for_rlock(condition, lock, predicate, arg, timeout_ms);
}
#else
/* clang-format off */
#define mp_condition_wait(condition, lock, timeout_ms) _Generic((lock), \
	mp_lock *: mp_condition_wait_lock, \
	mp_rlock *: mp_condition_wait_rlock)(condition, lock, timeout_ms)
#define mp_condition_wait_for(condition, lock, predicate, arg, timeout_ms) _Generic((lock), \
	mp_lock *: mp_condition_wait_for_lock, \
	mp_rlock *: mp_condition_wait_for_rlock)(condition, lock, predicate, arg, timeout_ms)
/* clang-format on */
#endif

#endif
