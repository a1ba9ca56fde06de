/* SPDX-License-Identifier: MIT */
/* How a side of a queue is entered, and how one waits for the other side. */
#include <config.h>

#include "queue/ring.h"
#include "queue/store.h"

#include "base/error.h"
#include "base/log.h"
#include "sync/waiting.h"

#include <unistd.h>

/* Even a call that does not wait gives a thread in the middle of a change so long. */
#define GRACE_MS 200
/* Breaths between two looks while spinning: few at first, then enough for some messages. */
#define PAUSE_MAX 32

static void start(struct mp__queue_wait *wait)
{
	if (!wait->started)
		wait->deadline = mp__deadline_in(wait->timeout_ms);
	wait->started = true;
}

/* Whoever changes something inside the guard changes one of these words. */
static struct mp__guard_signs signs_of(const struct mp_queue *q, const mp__guard *guard)
{
	const struct mp__queue_control *c = q->control;

	if (q->store) {
		const struct mp__store_root *root = q->store->root;
		return (struct mp__guard_signs){&root->next_sequence,
			offsetof(struct mp__store_root, free) -
				offsetof(struct mp__store_root, next_sequence)};
	}
	if (guard == &c->put_guard)
		return (struct mp__guard_signs){&c->tail, sizeof(c->tail) + sizeof(c->put_bytes)};
	return (struct mp__guard_signs){&c->head, sizeof(c->head) + sizeof(c->get_bytes)};
}

int mp__queue_enter_slowly(struct mp_queue *q, mp__guard *guard, struct mp__queue_wait *wait)
{
	struct mp__guard_signs signs = signs_of(q, guard);
	mp__deadline grace = mp__deadline_in(GRACE_MS);
	mp__deadline deadline = MP__GUARD_PATIENTLY;

	start(wait);
	if (!wait->patient)
		deadline = wait->deadline.ns > grace.ns ? wait->deadline : grace;
	int r = mp__guard_enter_slowly(guard, deadline, signs);
	if (r == MP_OWNER_DIED) {
		if (q->store)
			mp__store_taken_over(q);
		else if (guard == &q->control->get_guard)
			mp__ring_recover_getter(q);
		r = 0;
	}
	if (r == -ETIMEDOUT && wait->timeout_ms == MP_NOWAIT)
		r = mp_error_set(-EAGAIN, "%s", mp_error_detail());
	return r;
}

/*
 * Who finds nothing looks less and less often: each look takes the cache line away from the other
 * side, and it is faster to let that get ahead by some messages than to fight about each.
 */
bool mp__queue_spin_for(struct mp_queue *q, mp__queue_condition *condition, const void *argument)
{
	struct mp__spin spin = mp__spin_begin();
	unsigned pause = 1;
	bool done = false;
	bool on = true;

	while (on && !done) {
		for (unsigned i = 0; i < pause && on; i++)
			on = mp__spin_on(&spin);
		pause = pause < PAUSE_MAX ? pause * 2 : pause;
		done = condition(q, argument);
	}
	mp__spin_end(&spin, done);
	return done;
}

bool mp__queue_in_place(struct mp__queue_wait *wait, uint64_t who)
{
	if (!wait->suspicious && wait->timeout_ms != 0)
		return true;
	wait->foreign = mp__stamp_is_of_here(who) ? 0 : who;
	return !mp__stamp_thread_dead(who);
}

/* Outside of all guards. */
static void remark(struct mp__queue_wait *wait)
{
	if (wait->foreign == 0 || wait->told)
		return;
	wait->told = true;
	mp__log(MP_LOG_WARNING, "queue",
		"thread %d of another PID namespace works in place in a queue that process %d "
		"waits for: whether it lives cannot be seen from here",
		(int)mp__stamp_tid(wait->foreign), (int)getpid());
}

int mp__queue_wait_for(struct mp_queue *q, struct mp__watched_bell *bell,
	struct mp__queue_wait *wait, mp__queue_condition *condition, const void *argument)
{
	if (wait->timeout_ms == 0)
		return -EAGAIN;
	start(wait);
	remark(wait);
	if (mp__queue_spin_for(q, condition, argument))
		return 0;
	uint32_t heard = mp__bell_listen(&bell->bell);
	if (condition(q, argument))
		return 0;
	int64_t before = mp__now_ns();
	mp__waiting_begin_for(q->control, MP__MAGIC_QUEUE, q->control->name, wait->slept);
	wait->slept = true;
	int r = mp__bell_sleep(&bell->bell, heard, wait->deadline);
	mp__waiting_end();
	/*
	 * Whose time is over asks once too, however short it was: who only ever waits for a moment
	 * would wait for a dead one for ever.
	 */
	bool asked = wait->suspicious;
	wait->suspicious = r < 0 || mp__now_ns() - before >= MP__BELL_RECHECK_MS * INT64_C(900000);
	return asked ? r : 0;
}
