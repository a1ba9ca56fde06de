/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "sync/condition.h"

#include "base/error.h"
#include "base/options.h"
#include "base/spin.h"
#include "base/testpoint.h"
#include "sync/condition_layout.h"
#include "sync/lock.h"
#include "sync/object.h"
#include "sync/waiting.h"

#include <limits.h>
#include <stdbool.h>
#include <string.h>

/* For the guard, by who has no time left. */
#define GRACE_MS 100
/* How long destroy waits for a sign of life; waiters give one every 50 ms. */
#define BEAT_MS 500
#define BEAT_LOOK_NS 1000000

static struct mp__condition *layout(mp_condition *condition)
{
	return (struct mp__condition *)(void *)condition;
}

static int check(struct mp__condition *c)
{
	return mp__sync_check((const struct mp__sync_head *)(const void *)c, MP__MAGIC_CONDITION);
}

/* --- make and destroy ------------------------------------------------------------------------- */

int mp_condition_init(mp_condition *condition, const mp_condition_options *options)
{
	struct mp__condition *c = layout(condition);
	mp_condition_options known;
	int r = mp__options_load(&known, sizeof(known), 0, options);

	if (r < 0)
		return r;
	r = mp__sync_place((const struct mp__sync_head *)(const void *)c, MP__MAGIC_CONDITION);
	if (r < 0)
		return r;
	mp__sync_prepare(&c->head, known.name, 0);
	memset((char *)c + sizeof(c->head), 0, sizeof(*c) - sizeof(c->head));
	mp__sync_publish(&c->head, MP__MAGIC_CONDITION);
	return 0;
}

MP__SYNC_OBJECT(condition, CONDITION)

int mp_condition_new(const mp_condition_options *options, mp_condition **ret_condition)
{
	void *object = NULL;
	int r = mp__object_place(&mp__condition_type, sizeof(mp_condition), ret_condition, &object);

	if (r == 0)
		r = mp__object_keep(object, mp_condition_init(object, options));
	if (r == 0)
		*ret_condition = object;
	return r;
}

/* Nothing is repaired after a death: see the layout. */
static int enter_slowly(struct mp__condition *c, mp__deadline deadline)
{
	const struct mp__guard_signs signs = {&c->next,
		offsetof(struct mp__condition, bell) - offsetof(struct mp__condition, next)};
	int r = mp__guard_enter_slowly(&c->guard, deadline, signs);

	return r == MP_OWNER_DIED ? 0 : r;
}

static inline int enter(struct mp__condition *c, mp__deadline deadline)
{
	return mp__guard_try(&c->guard) ? 0 : enter_slowly(c, deadline);
}

/* Not for long; only who finds it taken looks at the clock. */
static int enter_soon(struct mp__condition *c)
{
	int r = mp__guard_enter_within(&c->guard, GRACE_MS);

	return r == MP_OWNER_DIED ? 0 : r;
}

/* Nobody waits, or has shown life since `beat`: then it is destroyed. */
static bool unmake(struct mp__condition *c, bool dead)
{
	bool unused = dead || atomic_load_explicit(&c->waiters, memory_order_relaxed) == 0;

	if (unused)
		atomic_store_explicit(&c->head.magic, 0, memory_order_relaxed);
	mp__guard_leave(&c->guard);
	return unused;
}

int mp_condition_destroy(mp_condition *condition)
{
	struct mp__condition *c = layout(condition);
	mp__deadline deadline = mp__deadline_in(BEAT_MS);
	const struct timespec nap = {.tv_nsec = BEAT_LOOK_NS};
	int r = check(c);

	if (r < 0)
		return r;
	uint32_t beat = atomic_load(&c->beat);
	for (bool first = true;; first = false) {
		bool dead = mp__deadline_passed(deadline);
		r = enter(c, MP__GUARD_PATIENTLY);
		if (r < 0 || unmake(c, dead))
			return r;
		if (first)
			mp__bell_ring(&c->bell, INT_MAX);
		nanosleep(&nap, NULL);
		if (atomic_load(&c->beat) != beat)
			return mp_error_set(
				-EBUSY, "condition %p: somebody waits for it", (void *)condition);
	}
}

/* --- wait ---------------------------------------------------------------------------------------- */

/* One wait of one thread. */
struct wait {
	struct mp__condition *c;
	void *lock;
	uint64_t depth; /* of the lock */
	uint64_t ticket;
	mp__deadline deadline;
};

/* Is there a permit for this ticket? Without the guard it is a hint. */
static bool has_permit(const struct wait *w)
{
	/* Sequentially consistent, because it is read after the bell was told. */
	return atomic_load(&w->c->permits) > 0 && w->ticket < atomic_load(&w->c->limit);
}

static int take_ticket(struct wait *w)
{
	struct mp__condition *c = w->c;
	mp__deadline deadline = w->deadline;

	if (deadline.ns != INT64_MAX && mp__deadline_passed(deadline))
		deadline = mp__deadline_in(GRACE_MS);
	int r = enter(c, deadline);
	if (r < 0)
		return r;
	uint32_t waiters = atomic_load_explicit(&c->waiters, memory_order_relaxed);
	w->ticket = atomic_load_explicit(&c->next, memory_order_relaxed);
	if (waiters < UINT32_MAX)
		atomic_store_explicit(&c->waiters, waiters + 1, memory_order_relaxed);
	MP__TEST_POINT("condition.counted");
	atomic_store_explicit(&c->next, w->ticket + 1, memory_order_relaxed);
	MP__TEST_POINT("condition.ticket");
	mp__guard_leave(&c->guard);
	return 0;
}

/* In the guard: one waiter less; it leaves no permit behind that nobody could take. */
static void leave_waiters(struct mp__condition *c)
{
	uint32_t waiters = atomic_load_explicit(&c->waiters, memory_order_relaxed);
	uint32_t permits = atomic_load_explicit(&c->permits, memory_order_relaxed);

	if (waiters > 0)
		atomic_store_explicit(&c->waiters, --waiters, memory_order_relaxed);
	if (permits > waiters)
		atomic_store_explicit(&c->permits, waiters, memory_order_relaxed);
}

/*
 * With the lock held: take the permit, if it is there still. 0 taken; -EAGAIN there is none, and
 * this thread waits on, or, if it shall not (`last`), has withdrawn.
 */
static int take_permit(struct wait *w, bool last)
{
	struct mp__condition *c = w->c;

	if (check(c) < 0)
		return -EINVAL;
	/* Who is stopped in the guard leaves us counted, as if we had been killed. */
	if ((last ? enter_soon(c) : enter(c, MP__GUARD_PATIENTLY)) < 0)
		return -EAGAIN;
	bool mine = has_permit(w);
	if (mine) {
		uint32_t permits = atomic_load_explicit(&c->permits, memory_order_relaxed);
		atomic_store_explicit(&c->permits, permits - 1, memory_order_relaxed);
		MP__TEST_POINT("condition.took");
	}
	if (mine || last)
		leave_waiters(c);
	mp__guard_leave(&c->guard);
	MP__TEST_POINT("condition.left");
	return mine ? 0 : -EAGAIN;
}

/* 0 there is, or was, a permit for us; -ETIMEDOUT; -EINVAL destroyed. */
static int sleep_for_permit(struct wait *w)
{
	struct mp__condition *c = w->c;
	struct mp__spin spin = mp__spin_begin();
	int r = 0;

	while (!has_permit(w) && mp__spin_on(&spin))
		;
	mp__spin_end(&spin, has_permit(w));
	if (has_permit(w))
		return 0;
	mp__waiting_begin(&c->head, 0);
	while (r == 0) {
		uint32_t heard = mp__bell_listen(&c->bell);
		if (has_permit(w))
			break;
		r = check(c);
		if (r < 0)
			break;
		atomic_fetch_add_explicit(&c->beat, 1, memory_order_relaxed);
		MP__TEST_POINT("condition.before_sleep");
		r = mp__bell_sleep(&c->bell, heard, w->deadline);
	}
	mp__waiting_end();
	MP__TEST_POINT("condition.woken");
	return r;
}

/* The lock is let go. Whatever comes of it, the lock is taken back, unless it is no more. */
static int wait_until_notified(struct wait *w)
{
	bool died = false;
	int r;

	for (;;) {
		int slept = sleep_for_permit(w);
		r = mp__lock_take_back(w->lock, w->depth, MP__DEADLINE_NEVER);
		if (r < 0)
			slept = slept < 0 ? slept : -ECANCELED; /* withdraw, but without it */
		died = r == MP_OWNER_DIED;
		MP__TEST_POINT("condition.retaken");
		int taken = take_permit(w, slept < 0 || died);
		if (r < 0)
			return r;
		if (died)
			return MP_OWNER_DIED;
		if (taken == 0)
			return 0;
		if (slept == -EINVAL || taken == -EINVAL)
			return mp_error_set(-EINVAL,
				"condition %p was destroyed during a wait for it", (void *)w->c);
		if (slept < 0)
			return slept;
		/* Another one was quicker. */
		r = mp__lock_let_go(w->lock, &w->depth);
		if (r < 0)
			return r;
	}
}

static int wait_with(struct wait *w)
{
	int r = take_ticket(w);

	if (r < 0)
		return r;
	MP__TEST_POINT("condition.queued");
	r = mp__lock_let_go(w->lock, &w->depth);
	MP__TEST_POINT("condition.released");
	if (r < 0) {
		take_permit(w, true);
		return r;
	}
	return wait_until_notified(w);
}

static int prepare(struct wait *w)
{
	char label[MP__SYNC_LABEL_SIZE];
	int r = check(w->c);

	if (r == 0)
		r = mp__lock_check(w->lock);
	if (r < 0)
		return r;
	if (!mp__lock_is_mine(w->lock))
		return mp_error_set(-EPERM,
			"wait for condition %p%s: this thread does not hold the lock %p",
			(void *)w->c, mp__sync_label(&w->c->head, label), w->lock);
	return 0;
}

static int not_notified(struct mp__condition *c, int timeout_ms)
{
	char label[MP__SYNC_LABEL_SIZE];

	return mp_error_set(timeout_ms == MP_NOWAIT ? -EAGAIN : -ETIMEDOUT,
		"wait for condition %p%s: not notified", (void *)c,
		mp__sync_label(&c->head, label));
}

static int wait_one(mp_condition *condition, void *lock, int timeout_ms)
{
	struct wait w = {.c = layout(condition), .lock = lock};
	int r = prepare(&w);

	if (r < 0)
		return r;
	w.deadline = mp__deadline_in(timeout_ms);
	r = wait_with(&w);
	return r == -ETIMEDOUT ? not_notified(w.c, timeout_ms) : r;
}

static int wait_predicate(mp_condition *condition, void *lock, mp_condition_predicate *predicate,
	void *arg, int timeout_ms)
{
	struct wait w = {.c = layout(condition), .lock = lock};
	int r = prepare(&w);

	if (r < 0)
		return r;
	if (!predicate)
		return mp_error_set(-EINVAL, "wait for condition %p: no predicate", (void *)w.c);
	w.deadline = mp__deadline_in(timeout_ms);
	for (;;) {
		int so = predicate(arg);
		if (so != 0)
			return so < 0 ? so : 0;
		if (r == -ETIMEDOUT)
			return not_notified(w.c, timeout_ms);
		r = wait_with(&w);
		if (r != 0 && r != -ETIMEDOUT)
			return r;
		/* Notified again and again, each time too early: the deadline counts. */
		if (r == 0 && mp__deadline_passed(w.deadline))
			r = -ETIMEDOUT;
	}
}

int mp_condition_wait_lock(mp_condition *condition, mp_lock *lock, int timeout_ms)
{
	return wait_one(condition, lock, timeout_ms);
}

int mp_condition_wait_rlock(mp_condition *condition, mp_rlock *lock, int timeout_ms)
{
	return wait_one(condition, lock, timeout_ms);
}

int mp_condition_wait_for_lock(mp_condition *condition, mp_lock *lock,
	mp_condition_predicate *predicate, void *arg, int timeout_ms)
{
	return wait_predicate(condition, lock, predicate, arg, timeout_ms);
}

int mp_condition_wait_for_rlock(mp_condition *condition, mp_rlock *lock,
	mp_condition_predicate *predicate, void *arg, int timeout_ms)
{
	return wait_predicate(condition, lock, predicate, arg, timeout_ms);
}

/* --- notify -------------------------------------------------------------------------------------- */

static int notify(mp_condition *condition, uint32_t n)
{
	struct mp__condition *c = layout(condition);
	int r = check(c);

	if (r == 0)
		r = enter(c, MP__GUARD_PATIENTLY);
	if (r < 0)
		return r;
	uint32_t waiters = atomic_load_explicit(&c->waiters, memory_order_relaxed);
	uint32_t permits = atomic_load_explicit(&c->permits, memory_order_relaxed);
	uint32_t room = waiters > permits ? waiters - permits : 0;
	uint32_t added = n < room ? n : room;

	if (added > 0) {
		atomic_store_explicit(&c->limit,
			atomic_load_explicit(&c->next, memory_order_relaxed), memory_order_release);
		MP__TEST_POINT("condition.limited");
		/* Partner: has_permit(), which reads the two in the other order. */
		atomic_store_explicit(&c->permits, permits + added, memory_order_release);
	}
	MP__TEST_POINT("condition.notified");
	if (n == 0 || waiters == 0) {
		mp__guard_leave(&c->guard);
		return 0;
	}
	mp__guard_leave_and_look(&c->guard);
	MP__TEST_POINT("condition.before_bell");
	/* Also when no permit was added: who should take those there are may have been killed. */
	mp__bell_ring(&c->bell, n < INT_MAX ? (int)n : INT_MAX);
	return 0;
}

int mp_condition_notify(mp_condition *condition, int n)
{
	if (n < 0 && check(layout(condition)) == 0)
		return mp_error_set(-EINVAL, "condition %p: notifying %d; it must be 0 or more",
			(void *)condition, n);
	return notify(condition, n < 0 ? 0 : (uint32_t)n);
}

int mp_condition_notify_all(mp_condition *condition)
{
	return notify(condition, UINT32_MAX);
}
