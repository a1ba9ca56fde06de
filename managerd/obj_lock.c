/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "managerd/obj_lock.h"

#include "base/error.h"
#include "base/testpoint.h"
#include "serve/hold.h"
#include "serve/waiter.h"

#include <stdlib.h>

struct lock {
	struct serve_queue queue;
	struct serve_hold hold;
	uint64_t depth; /* of an rlock: how often its holder has acquired it */
	int64_t fence;  /* of the latest holder */
	bool orphaned;  /* the latest holder died, and nobody has been told yet */
};

static bool make(struct serve_call *call)
{
	call->object->state = calloc(1, sizeof(struct lock));
	if (!call->object->state)
		serve_fail_no_memory(call);
	return call->object->state;
}

static void drop(struct serve_object *object)
{
	free(object->state);
}

/* It has a holder from now on, or a new one. */
static void begin(struct lock *lock)
{
	lock->queue.holder = &lock->hold;
	lock->depth = 1;
	lock->fence++;
}

/* Tell the new holder. */
static int answer(struct lock *lock, struct serve_call *call)
{
	bool orphaned = lock->orphaned;

	lock->orphaned = false;
	return orphaned ? serve_answer_owner_died(call, lock->fence)
			: serve_answer_i64(call, lock->fence);
}

/* Those who have waited for a condition, and take their lock back. */
static const struct serve_wait back = {0};

static void answer_back(struct lock *lock, struct serve_waiter *w)
{
	lock->depth = (uint64_t)w->number;
	if (lock->orphaned)
		answer(lock, &w->call);
	else if (w->number2 != MP__CODE__OK)
		serve_fail(&w->call, (Mp__Code)w->number2,
			"nobody has notified the condition in time");
	else
		serve_answer_nil(&w->call);
}

/* It is free: the first of those who wait gets it. */
static void pass(struct serve_object *object)
{
	struct lock *lock = object->state;
	struct serve_waiter *w = serve_queue_first(&lock->queue);

	lock->queue.holder = NULL;
	if (!w)
		return;
	MP__TEST_POINT("managerd.lock.pass");
	serve_hold_pass(&lock->hold, w, object);
	begin(lock);
	if (w->wait == &back)
		answer_back(lock, w);
	else
		answer(lock, &w->call);
	serve_unpark(w);
}

static int take(struct serve_call *call, struct lock *lock)
{
	if (!serve_hold_take(&lock->hold, call))
		return serve_fail_no_memory(call);
	begin(lock);
	MP__TEST_POINT("managerd.lock.taken");
	return answer(lock, call);
}

static int acquire(struct serve_call *call)
{
	struct lock *lock = call->object->state;

	return lock->hold.actor ? serve_park(call, &lock->queue, NULL, NULL) : take(call, lock);
}

static int acquire_again(struct serve_call *call)
{
	struct lock *lock = call->object->state;

	if (!serve_hold_is_of(&lock->hold, call))
		return acquire(call);
	lock->depth++;
	return serve_answer_i64(call, lock->fence);
}

static int release(struct serve_call *call)
{
	struct lock *lock = call->object->state;
	char text[SERVE_ACTOR_TEXT];

	if (!lock->hold.actor)
		return serve_fail(call, MP__CODE__NOT_OWNER, "nobody has it");
	if (!serve_hold_is_of(&lock->hold, call))
		return serve_fail(call, MP__CODE__NOT_OWNER, "%s has it",
			serve_actor_text(lock->hold.actor, text));
	if (--lock->depth == 0) {
		serve_hold_drop(&lock->hold);
		pass(call->object);
	}
	return serve_answer_nil(call);
}

static int locked(struct serve_call *call)
{
	const struct lock *lock = call->object->state;

	return serve_answer_bool(call, lock->hold.actor);
}

static void abandoned(struct serve_object *object, struct serve_hold *hold)
{
	struct lock *lock = object->state;

	(void)hold;
	lock->orphaned = true;
	pass(object);
}

/* --- for conditions --------------------------------------------------------------------------- */

bool md_lock_is_of(const struct serve_object *object, const struct serve_call *call)
{
	const struct lock *lock = object->state;

	return serve_hold_is_of(&lock->hold, call);
}

int64_t md_lock_let_go(struct serve_object *object)
{
	struct lock *lock = object->state;
	uint64_t depth = lock->depth;

	serve_hold_drop(&lock->hold);
	pass(object);
	return (int64_t)depth;
}

void md_lock_take_back(struct serve_object *object, struct serve_waiter *waiter, Mp__Code code)
{
	struct lock *lock = object->state;
	char text[MP__DETAIL_SIZE];

	/* The wait for the condition was none for somebody in particular; this one is. */
	if (serve_deadlock(&waiter->call, &lock->queue, text, sizeof(text))) {
		serve_fail(&waiter->call, MP__CODE__DEADLOCK, "%s", text);
		serve_unpark(waiter);
		return;
	}
	waiter->number2 = code;
	serve_requeue(waiter, &lock->queue, &back);
	if (!lock->hold.actor)
		pass(object);
}

/* --- the classes ------------------------------------------------------------------------------ */

static const struct serve_method lock_methods[] = {
	{"acquire", acquire, 0, 0},
	{"locked", locked, 0, 0},
	{"release", release, 0, 0},
};

const struct serve_class md_lock_class = {
	.name = "lock",
	.make = make,
	.drop = drop,
	.abandoned = abandoned,
	.methods = lock_methods,
	.n_methods = 3,
};

static const struct serve_method rlock_methods[] = {
	{"acquire", acquire_again, 0, 0},
	{"locked", locked, 0, 0},
	{"release", release, 0, 0},
};

const struct serve_class md_rlock_class = {
	.name = "rlock",
	.make = make,
	.drop = drop,
	.abandoned = abandoned,
	.methods = rlock_methods,
	.n_methods = 3,
};
