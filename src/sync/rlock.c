/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "sync/lock.h"

#include "base/error.h"
#include "base/testpoint.h"
#include "sync/object.h"
#include "sync/order.h"

#include <errno.h>

/* Far above what a program means, far below where a count in a damaged object wraps. */
#define DEPTH_MAX INT32_MAX

static struct mp__lock *layout(const mp_rlock *lock)
{
	return (struct mp__lock *)lock;
}

static int check(const mp_rlock *lock)
{
	return mp__sync_check((const struct mp__sync_head *)lock, MP__MAGIC_RLOCK);
}

int mp_rlock_init(mp_rlock *lock, const mp_lock_options *options)
{
	return mp__lock_make(layout(lock), MP__MAGIC_RLOCK, options);
}

int mp_rlock_destroy(mp_rlock *lock)
{
	return mp__lock_unmake(layout(lock), MP__MAGIC_RLOCK);
}

static int deeper(struct mp__lock *lock)
{
	if (lock->depth >= DEPTH_MAX)
		return mp_error_set(-EOVERFLOW, "acquire of rlock %p: this thread has it %d times",
			(void *)lock, DEPTH_MAX);
	lock->depth++;
	return 0;
}

int mp_rlock_acquire(mp_rlock *lock, int timeout_ms)
{
	struct mp__lock *l = layout(lock);
	int r = check(lock);

	if (r < 0)
		return r;
	if (__builtin_expect(mp__order_on, 0) && timeout_ms != MP_NOWAIT &&
		!mp__owner_is_self(&l->word))
		mp__order_note_wanted(&l->head, &l->order_id);
	if (!mp__owner_try(&l->word)) {
		if (mp__owner_is_self(&l->word))
			return deeper(l);
		r = mp__owner_wait(&l->word, &l->head, timeout_ms);
		if (r < 0)
			return r;
	}
	mp__order_taken(&l->head, &l->order_id);
	MP__TEST_POINT("rlock.taken");
	l->depth = 1;
	return r;
}

int mp_rlock_release(mp_rlock *lock)
{
	struct mp__lock *l = layout(lock);
	int r = check(lock);

	if (r < 0)
		return r;
	if (!mp__owner_is_self(&l->word))
		return mp__lock_not_mine(l);
	if (l->depth > 1) {
		l->depth--;
		return 0;
	}
	mp__order_given(&l->order_id);
	l->depth = 0;
	MP__TEST_POINT("rlock.shallow");
	mp__owner_give(&l->word);
	return 0;
}

void mp__rlock_release_with_news(mp_rlock *lock)
{
	struct mp__lock *l = layout(lock);

	if (check(lock) == 0 && mp__owner_is_self(&l->word)) {
		mp__order_given(&l->order_id);
		l->depth = 0;
		mp__owner_give_news(&l->word);
	}
}

int mp_rlock_locked(const mp_rlock *lock)
{
	const struct mp__lock *l = layout(lock);
	int r = check(lock);

	return r < 0 ? r : mp__owner_of(&l->word) != 0;
}

int mp_rlock_owner(const mp_rlock *lock)
{
	const struct mp__lock *l = layout(lock);
	int r = check(lock);

	return r < 0 ? r : (int)mp__stamp_tid(mp__owner_of(&l->word));
}

/* --- as an object of its own ---------------------------------------------------------------------------- */

MP__SYNC_OBJECT(rlock, RLOCK)

int mp_rlock_new(const mp_lock_options *options, mp_rlock **ret_lock)
{
	void *object = NULL;
	int r = mp__object_place(&mp__rlock_type, sizeof(mp_rlock), ret_lock, &object);

	if (r == 0)
		r = mp__object_keep(object, mp_rlock_init(object, options));
	if (r == 0)
		*ret_lock = object;
	return r;
}
