/* SPDX-License-Identifier: MIT */
/*
 * sync/lock.h - what other objects need of locks and recursive locks.
 *
 * A condition works with either: it lets go of the lock entirely while it waits, however deep it is
 * held, and takes it back as deep. `lock` is an mp_lock or an mp_rlock; which one, its magic says.
 */
#ifndef MP_SYNC_LOCK_H
#define MP_SYNC_LOCK_H

#include "base/deadline.h"
#include "shm/slab.h"
#include "sync/lock_layout.h"

#include <stdbool.h>

/* 0: a lock or recursive lock stands here; -EINVAL. */
int mp__lock_check(const void *lock);

/* Does the calling thread hold it? False for what is no lock. */
bool mp__lock_is_mine(const void *lock);

/* Let go of it, however deep. -EPERM it is not the caller's; -EINVAL no lock. */
int mp__lock_let_go(void *lock, uint64_t *ret_depth);

/*
 * Take it as deep as it was. 0, MP_OWNER_DIED, -ETIMEDOUT, -EDEADLK, -EINVAL (destroyed meanwhile).
 * With MP__DEADLINE_NEVER only the last two can fail.
 */
int mp__lock_take_back(void *lock, uint64_t depth, mp__deadline deadline);

/*
 * Release an rlock that the caller has taken once and found left behind by a dead one, as if it had
 * not been: the next one has MP_OWNER_DIED.
 */
void mp__rlock_release_with_news(mp_rlock *lock);

extern const struct mp__slab_type mp__lock_type;
extern const struct mp__slab_type mp__rlock_type;

/* What lock and rlock have in common. */
int mp__lock_make(struct mp__lock *lock, uint32_t magic, const mp_lock_options *options);
int mp__lock_unmake(struct mp__lock *lock, uint32_t magic);
int mp__lock_not_mine(const struct mp__lock *lock);

#endif
