/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "managerd/obj_barrier.h"

#include "base/testpoint.h"
#include "serve/hold.h"
#include "serve/waiter.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define PARTIES_MAX 1000000
#define WHY_SIZE 128

struct barrier {
	int64_t parties;
	struct serve_queue queue;
	char why[WHY_SIZE]; /* it is broken; empty: it is not */
};

static bool make(struct serve_call *call)
{
	int64_t parties;

	if (!serve_arg_i64(call, 0, &parties))
		return false;
	if (parties < 1 || parties > PARTIES_MAX) {
		serve_fail(call, MP__CODE__INVALID,
			"a barrier for %" PRId64 " parties, 1 to %d may be", parties, PARTIES_MAX);
		return false;
	}
	struct barrier *b = calloc(1, sizeof(*b));
	if (!b) {
		serve_fail_no_memory(call);
		return false;
	}
	b->parties = parties;
	call->object->state = b;
	return true;
}

static void drop(struct serve_object *object)
{
	free(object->state);
}

/* All who wait go, empty-handed. */
static void turn_away(struct barrier *b, Mp__Code code, const char *why)
{
	struct serve_waiter *w;

	while ((w = serve_queue_first(&b->queue))) {
		serve_fail(&w->call, code, "%s", why);
		serve_unpark(w);
	}
}

static bool ended(struct serve_waiter *w, enum serve_end why)
{
	static const char *const reasons[] = {
		[SERVE_END_TIMEOUT] = "has waited for the others in vain",
		[SERVE_END_CANCELLED] = "does not wait any more",
		[SERVE_END_SHUTDOWN] = "",
		[SERVE_END_SESSION] = "has ended",
	};
	struct barrier *b = w->call.object->state;
	char text[SERVE_ACTOR_TEXT];

	serve_answer_end(w, why);
	if (why == SERVE_END_SHUTDOWN)
		return false;
	MP__TEST_POINT("managerd.barrier.breaks");
	snprintf(b->why, sizeof(b->why), "the barrier is broken: %s, %s",
		serve_actor_text(w->actor, text), reasons[why]);
	turn_away(b, MP__CODE__BROKEN, b->why);
	return false;
}

static const struct serve_wait waits = {.ended = ended};

static int wait(struct serve_call *call)
{
	struct barrier *b = call->object->state;
	int64_t order = (int64_t)b->queue.count;
	struct serve_waiter *w;

	if (*b->why)
		return serve_fail(call, MP__CODE__BROKEN, "%s", b->why);
	if (order + 1 < b->parties) {
		int r = serve_park(call, &b->queue, &waits, &w);
		if (w)
			w->number = order;
		return r;
	}
	serve_effort(call, b->queue.count);
	while ((w = serve_queue_first(&b->queue))) {
		MP__TEST_POINT("managerd.barrier.opens");
		serve_answer_i64(&w->call, w->number);
		serve_unpark(w);
	}
	return serve_answer_i64(call, order);
}

static int abort_barrier(struct serve_call *call)
{
	struct barrier *b = call->object->state;

	snprintf(b->why, sizeof(b->why), "the barrier is broken: pid %d, thread %u, has aborted it",
		(int)call->session->pid, (unsigned)call->thread);
	turn_away(b, MP__CODE__BROKEN, b->why);
	return serve_answer_nil(call);
}

static int reset(struct serve_call *call)
{
	struct barrier *b = call->object->state;

	b->why[0] = '\0';
	turn_away(b, MP__CODE__CANCELLED, "the barrier was reset meanwhile");
	return serve_answer_nil(call);
}

static int parties(struct serve_call *call)
{
	const struct barrier *b = call->object->state;

	return serve_answer_i64(call, b->parties);
}

static int waiting(struct serve_call *call)
{
	const struct barrier *b = call->object->state;

	return serve_answer_i64(call, (int64_t)b->queue.count);
}

static int broken(struct serve_call *call)
{
	const struct barrier *b = call->object->state;

	return serve_answer_bool(call, *b->why);
}

static const struct serve_method methods[] = {
	{"abort", abort_barrier, 0, 0},
	{"broken", broken, 0, 0},
	{"parties", parties, 0, 0},
	{"reset", reset, 0, 0},
	{"wait", wait, 0, 0},
	{"waiting", waiting, 0, 0},
};

const struct serve_class md_barrier_class = {
	.name = "barrier",
	.min_args = 1,
	.max_args = 1,
	.make = make,
	.drop = drop,
	.methods = methods,
	.n_methods = 6,
};
