/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "managerd/obj_condition.h"

#include "base/testpoint.h"
#include "managerd/obj_lock.h"
#include "serve/refer.h"
#include "serve/waiter.h"

#include <inttypes.h>
#include <stdlib.h>

struct condition {
	struct serve_queue queue;
	struct serve_object *lock; /* a lock or an rlock, which may have other conditions too */
};

/* A new rlock, referenced; NULL: the failure is answered. */
static struct serve_object *new_lock(struct serve_call *call)
{
	struct serve_call inner = *call;
	int r = serve_registry_add(
		&call->session->context->registry, &md_rlock_class, NULL, 0, &inner.object);

	if (r == SERVE_REGISTRY_E_LIMIT)
		serve_fail(call, MP__CODE__LIMIT, "the server holds as many objects as it may");
	else if (r != 0)
		serve_fail_no_memory(call);
	else if (md_rlock_class.make(&inner))
		return inner.object;
	else
		serve_object_unref(inner.object);
	return NULL;
}

static struct serve_object *given_lock(struct serve_call *call)
{
	struct serve_object *lock;

	if (!serve_arg_object(call, 0, &lock))
		return NULL;
	if (lock->class != &md_lock_class && lock->class != &md_rlock_class) {
		serve_fail(call, MP__CODE__INVALID, "a condition with a %s for a lock",
			lock->class->name);
		return NULL;
	}
	serve_object_ref(lock);
	return lock;
}

static bool make(struct serve_call *call)
{
	struct condition *c = calloc(1, sizeof(*c));

	call->object->state = c;
	if (!c) {
		serve_fail_no_memory(call);
		return false;
	}
	c->lock = serve_arg_given(call, 0) ? given_lock(call) : new_lock(call);
	return c->lock;
}

static void drop(struct serve_object *object)
{
	struct condition *c = object->state;

	if (c)
		serve_object_unref(c->lock);
	free(c);
}

/* --- the lock --------------------------------------------------------------------------------- */

static int on_lock(struct serve_call *call, const char *method)
{
	const struct condition *c = call->object->state;
	struct serve_call inner = *call;

	inner.object = c->lock;
	return serve_class_method(c->lock->class, method)->run(&inner);
}

static int acquire(struct serve_call *call)
{
	return on_lock(call, "acquire");
}

static int locked(struct serve_call *call)
{
	return on_lock(call, "locked");
}

static int release(struct serve_call *call)
{
	return on_lock(call, "release");
}

/* --- waiting and notifying -------------------------------------------------------------------- */

/* Out of time: not without the lock. */
static bool ended(struct serve_waiter *w, enum serve_end why)
{
	const struct condition *c = w->call.object->state;

	if (why != SERVE_END_TIMEOUT && why != SERVE_END_CANCELLED) {
		serve_answer_end(w, why);
		return false;
	}
	md_lock_take_back(
		c->lock, w, why == SERVE_END_TIMEOUT ? MP__CODE__TIMEOUT : MP__CODE__CANCELLED);
	return true;
}

static const struct serve_wait waits = {.ended = ended};

static int wait(struct serve_call *call)
{
	struct condition *c = call->object->state;
	struct serve_waiter *w;

	if (!md_lock_is_of(c->lock, call))
		return serve_fail(call, MP__CODE__NOT_OWNER,
			"the caller does not have the lock of the condition");
	int r = serve_park(call, &c->queue, &waits, &w);
	if (w) {
		MP__TEST_POINT("managerd.condition.parked");
		w->number = md_lock_let_go(c->lock);
	}
	return r;
}

static void notify_some(struct serve_call *call, struct condition *c, int64_t n)
{
	serve_effort(call, c->queue.count < (size_t)n ? c->queue.count : (size_t)n);
	for (struct serve_waiter *w; n > 0 && (w = serve_queue_first(&c->queue)); n--) {
		MP__TEST_POINT("managerd.condition.notify");
		md_lock_take_back(c->lock, w, MP__CODE__OK);
	}
}

static int notify(struct serve_call *call)
{
	int64_t n = 1;

	if (serve_arg_given(call, 0) && !serve_arg_i64(call, 0, &n))
		return call->failed;
	if (n < 0)
		return serve_fail(
			call, MP__CODE__INVALID, "a notification of %" PRId64 " waiters", n);
	notify_some(call, call->object->state, n);
	return serve_answer_nil(call);
}

static int notify_all(struct serve_call *call)
{
	notify_some(call, call->object->state, INT64_MAX);
	return serve_answer_nil(call);
}

static const struct serve_method methods[] = {
	{"acquire", acquire, 0, 0},
	{"locked", locked, 0, 0},
	{"notify", notify, 0, 1},
	{"notify_all", notify_all, 0, 0},
	{"release", release, 0, 0},
	{"wait", wait, 0, 0},
};

const struct serve_class md_condition_class = {
	.name = "condition",
	.max_args = 1,
	.make = make,
	.drop = drop,
	.methods = methods,
	.n_methods = 6,
};
