/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "sync/lock.h"

#include "base/error.h"
#include "base/options.h"
#include "base/testpoint.h"
#include "sync/object.h"
#include "sync/order.h"

#include <errno.h>

static struct mp__lock *layout(const mp_lock *lock)
{
	return (struct mp__lock *)lock;
}

static int check(const mp_lock *lock)
{
	return mp__sync_check((const struct mp__sync_head *)lock, MP__MAGIC_LOCK);
}

/* --- made and unmade, of both kinds --------------------------------------------------------------- */

int mp__lock_make(struct mp__lock *lock, uint32_t magic, const mp_lock_options *options)
{
	mp_lock_options known;
	int r = mp__options_load(&known, sizeof(known), 0, options);

	if (r < 0)
		return r;
	r = mp__sync_place((struct mp__sync_head *)lock, magic);
	if (r < 0)
		return r;
	mp__sync_prepare(&lock->head, known.name, 0);
	atomic_store_explicit(&lock->word, 0, memory_order_relaxed);
	lock->depth = 0;
	atomic_store_explicit(&lock->order_id, 0, memory_order_relaxed);
	lock->reserved = 0;
	MP__TEST_POINT("lock.made");
	mp__sync_publish(&lock->head, magic);
	return 0;
}

int mp__lock_unmake(struct mp__lock *lock, uint32_t magic)
{
	int r = mp__sync_check((struct mp__sync_head *)lock, magic);

	if (r < 0)
		return r;
	/* As its owner, so that nobody has it, or gets it, while it goes. */
	r = mp__owner_try(&lock->word) ? 0 : mp__owner_wait(&lock->word, &lock->head, MP_NOWAIT);
	if (r == -EINVAL)
		return r;
	if (r < 0)
		return mp_error_set(-EBUSY, "destroy of %s %p: thread %d holds it",
			mp__sync_kind(&lock->head), (void *)lock,
			(int)mp__stamp_tid(mp__owner_of(&lock->word)));
	/* In this order: who dies in between leaves what nobody can take, not what it seems to hold. */
	mp__owner_destroy(&lock->word);
	MP__TEST_POINT("lock.unmade");
	mp__sync_publish(&lock->head, 0);
	return 0;
}

int mp__lock_not_mine(const struct mp__lock *lock)
{
	char label[MP__SYNC_LABEL_SIZE];
	mp__stamp owner = mp__owner_of(&lock->word);

	const char *name = mp__sync_label(&lock->head, label);

	if (owner == 0)
		return mp_error_set(-EPERM, "release of %s %p%s: nobody holds it",
			mp__sync_kind(&lock->head), (const void *)lock, name);
	return mp_error_set(-EPERM, "release of %s %p%s: thread %d holds it, not this one",
		mp__sync_kind(&lock->head), (const void *)lock, name, (int)mp__stamp_tid(owner));
}

/* --- the lock ---------------------------------------------------------------------------------------- */

int mp_lock_init(mp_lock *lock, const mp_lock_options *options)
{
	return mp__lock_make(layout(lock), MP__MAGIC_LOCK, options);
}

int mp_lock_destroy(mp_lock *lock)
{
	return mp__lock_unmake(layout(lock), MP__MAGIC_LOCK);
}

int mp_lock_acquire(mp_lock *lock, int timeout_ms)
{
	struct mp__lock *l = layout(lock);
	int r = check(lock);

	if (r < 0)
		return r;
	if (timeout_ms != MP_NOWAIT)
		mp__order_wanted(&l->head, &l->order_id);
	if (!mp__owner_try(&l->word)) {
		r = mp__owner_wait(&l->word, &l->head, timeout_ms);
		if (r < 0)
			return r;
	}
	mp__order_taken(&l->head, &l->order_id);
	return r;
}

int mp_lock_release(mp_lock *lock)
{
	struct mp__lock *l = layout(lock);
	int r = check(lock);

	if (r < 0)
		return r;
	if (!mp__owner_is_self(&l->word))
		return mp__lock_not_mine(l);
	mp__order_given(&l->order_id);
	mp__owner_give(&l->word);
	return 0;
}

int mp_lock_locked(const mp_lock *lock)
{
	const struct mp__lock *l = layout(lock);
	int r = check(lock);

	return r < 0 ? r : mp__owner_of(&l->word) != 0;
}

int mp_lock_owner(const mp_lock *lock)
{
	const struct mp__lock *l = layout(lock);
	int r = check(lock);

	return r < 0 ? r : (int)mp__stamp_tid(mp__owner_of(&l->word));
}

/* --- as an object of its own ---------------------------------------------------------------------------- */

MP__SYNC_OBJECT(lock, LOCK)

int mp_lock_new(const mp_lock_options *options, mp_lock **ret_lock)
{
	void *object = NULL;
	int r = mp__object_place(&mp__lock_type, sizeof(mp_lock), ret_lock, &object);

	if (r == 0)
		r = mp__object_keep(object, mp_lock_init(object, options));
	if (r == 0)
		*ret_lock = object;
	return r;
}

/* --- for conditions ----------------------------------------------------------------------------------- */

int mp__lock_check(const void *lock)
{
	const struct mp__lock *l = lock;

	if (l && ((uintptr_t)l & 7) == 0 &&
		atomic_load_explicit(&l->head.magic, memory_order_acquire) == MP__MAGIC_RLOCK)
		return 0;
	return mp__sync_check(lock, MP__MAGIC_LOCK);
}

bool mp__lock_is_mine(const void *lock)
{
	const struct mp__lock *l = lock;

	return mp__lock_check(lock) == 0 && mp__owner_is_self(&l->word);
}

int mp__lock_let_go(void *lock, uint64_t *ret_depth)
{
	struct mp__lock *l = lock;
	int r = mp__lock_check(lock);

	if (r < 0)
		return r;
	if (!mp__owner_is_self(&l->word))
		return mp__lock_not_mine(l);
	*ret_depth = l->depth;
	mp__order_given(&l->order_id);
	l->depth = 0;
	MP__TEST_POINT("lock.let_go");
	mp__owner_give(&l->word);
	return 0;
}

int mp__lock_take_back(void *lock, uint64_t depth, mp__deadline deadline)
{
	struct mp__lock *l = lock;
	int r = mp__lock_check(lock);

	if (r < 0)
		return r;
	mp__order_wanted(&l->head, &l->order_id);
	if (!mp__owner_try(&l->word)) {
		r = mp__owner_wait_until(&l->word, &l->head, deadline);
		if (r < 0)
			return r;
	}
	mp__order_taken(&l->head, &l->order_id);
	MP__TEST_POINT("lock.took_back");
	l->depth = depth;
	return r;
}
