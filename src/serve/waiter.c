/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "serve/waiter.h"

#include "base/deadline.h"
#include "base/error.h"
#include "base/testpoint.h"
#include "serve/hold.h"
#include "serve/reply.h"

#include <inttypes.h>
#include <stdlib.h>

#define NS_PER_MS 1000000

/* --- the lists -------------------------------------------------------------------------------- */

static void enqueue(struct serve_waiter *w, struct serve_queue *queue)
{
	w->queue = queue;
	w->next = NULL;
	w->previous = queue->last;
	if (queue->last)
		queue->last->next = w;
	else
		queue->first = w;
	queue->last = w;
	queue->count++;
}

static void dequeue(struct serve_waiter *w)
{
	struct serve_queue *queue = w->queue;

	if (!queue)
		return;
	if (w->previous)
		w->previous->next = w->next;
	else
		queue->first = w->next;
	if (w->next)
		w->next->previous = w->previous;
	else
		queue->last = w->previous;
	queue->count--;
	w->queue = NULL;
}

static void enter_session(struct serve_waiter *w)
{
	struct serve_session *session = w->call.session;

	w->previous_of_session = NULL;
	w->next_of_session = session->waiters;
	if (session->waiters)
		session->waiters->previous_of_session = w;
	session->waiters = w;
	session->n_waiters++;
	session->context->n_waiters++;
	session->context->stats.waited++;
	serve_account_charge(session->account, SERVE_WAITERS, 1);
}

static void leave_session(struct serve_waiter *w)
{
	struct serve_session *session = w->call.session;

	if (w->previous_of_session)
		w->previous_of_session->next_of_session = w->next_of_session;
	else
		session->waiters = w->next_of_session;
	if (w->next_of_session)
		w->next_of_session->previous_of_session = w->previous_of_session;
	session->n_waiters--;
	session->context->n_waiters--;
	serve_account_credit(session->account, SERVE_WAITERS, 1);
}

static void enter_actor(struct serve_waiter *w)
{
	w->previous_of_actor = NULL;
	w->next_of_actor = w->actor->waiters;
	if (w->next_of_actor)
		w->next_of_actor->previous_of_actor = w;
	w->actor->waiters = w;
}

static void leave_actor(struct serve_waiter *w)
{
	if (w->previous_of_actor)
		w->previous_of_actor->next_of_actor = w->next_of_actor;
	else
		w->actor->waiters = w->next_of_actor;
	if (w->next_of_actor)
		w->next_of_actor->previous_of_actor = w->previous_of_actor;
	serve_actor_put(w->actor);
}

void serve_unpark(struct serve_waiter *w)
{
	struct serve_object *object = w->call.object;

	serve_timer_stop(&w->call.session->context->timers, &w->timer);
	dequeue(w);
	leave_session(w);
	leave_actor(w);
	if (w->wait && w->wait->free)
		w->wait->free(w);
	free(w);
	serve_object_unref(object);
}

/* --- the end of a wait ------------------------------------------------------------------------ */

void serve_answer_end(struct serve_waiter *w, enum serve_end why)
{
	if (why == SERVE_END_TIMEOUT)
		serve_fail(&w->call, MP__CODE__TIMEOUT, "it did not come about in %" PRIu64 " ms",
			w->call.timeout_ms);
	else if (why == SERVE_END_CANCELLED)
		serve_fail(&w->call, MP__CODE__CANCELLED, "the call was taken back");
	else if (why == SERVE_END_SHUTDOWN)
		serve_fail(&w->call, MP__CODE__SHUTTING_DOWN, "the server is about to end");
}

static void end_wait(struct serve_waiter *w, enum serve_end why)
{
	MP__TEST_POINT("serve.wait.end");
	dequeue(w);
	serve_timer_stop(&w->call.session->context->timers, &w->timer);
	if (!w->wait || !w->wait->ended)
		serve_answer_end(w, why);
	else if (w->wait->ended(w, why))
		return;
	serve_unpark(w);
}

static void timed_out(struct serve_timer *timer)
{
	end_wait((struct serve_waiter *)((char *)timer - offsetof(struct serve_waiter, timer)),
		SERVE_END_TIMEOUT);
}

void serve_end_waits(struct serve_session *session, enum serve_end why)
{
	while (session->waiters)
		end_wait(session->waiters, why);
}

bool serve_cancel(struct serve_session *session, uint64_t id)
{
	for (struct serve_waiter *w = session->waiters; w; w = w->next_of_session) {
		if (w->call.id == id) {
			end_wait(w, SERVE_END_CANCELLED);
			return true;
		}
	}
	return false;
}

/* --- parking ---------------------------------------------------------------------------------- */

static bool may_wait(struct serve_call *call, const struct serve_queue *queue)
{
	const struct serve_limits *limits = &call->session->context->limits;
	char text[MP__DETAIL_SIZE];

	/* To try is how deadlocks are avoided; but trying one's own is a mistake too. */
	bool own = queue->holder && serve_hold_is_of(queue->holder, call);
	if (call->timeout_ms == 0 && !own)
		serve_fail(call, MP__CODE__WOULD_BLOCK, "it cannot be had at once");
	else if (serve_deadlock(call, queue, text, sizeof(text)))
		serve_fail(call, MP__CODE__DEADLOCK, "%s", text);
	else if (call->session->n_waiters >= limits->max_waiters)
		serve_fail(call, MP__CODE__LIMIT, "a connection may have %" PRIu32 " calls waiting",
			limits->max_waiters);
	else if (!serve_account_may(call->session->account, SERVE_WAITERS, 1))
		serve_fail(call, MP__CODE__LIMIT,
			"this user has as many calls waiting as he may: see max-waiters of "
			"managerd.conf(5)");
	else
		return true;
	return false;
}

static bool start_timer(struct serve_waiter *w)
{
	uint64_t ms = w->call.timeout_ms;

	/* As good as for ever: 292 years. */
	if (ms >= (uint64_t)INT64_MAX / NS_PER_MS / 2)
		return true;
	w->timer.fire = timed_out;
	return serve_timer_set(&w->call.session->context->timers, &w->timer,
		w->since_ns + (int64_t)ms * NS_PER_MS);
}

int serve_park(struct serve_call *call, struct serve_queue *queue, const struct serve_wait *wait,
	struct serve_waiter **ret_waiter)
{
	if (ret_waiter)
		*ret_waiter = NULL;
	if (!may_wait(call, queue))
		return call->failed;
	struct serve_waiter *w = calloc(1, sizeof(*w));
	struct serve_actor *actor = w ? serve_actor_get(call) : NULL;
	if (!actor) {
		free(w);
		return serve_fail_no_memory(call);
	}
	w->call = *call;
	w->actor = actor;
	w->since_ns = mp__now_ns();
	if (!start_timer(w)) {
		serve_actor_put(actor);
		free(w);
		return serve_fail_no_memory(call);
	}
	w->wait = wait;
	enter_actor(w);
	if (call->object) /* or it waits for something of the server's own */
		serve_object_ref(call->object);
	enter_session(w);
	enqueue(w, queue);
	serve_session_is_bound(call->session);
	if (ret_waiter)
		*ret_waiter = w;
	return 0;
}

void serve_requeue(
	struct serve_waiter *waiter, struct serve_queue *queue, const struct serve_wait *wait)
{
	dequeue(waiter);
	serve_timer_stop(&waiter->call.session->context->timers, &waiter->timer);
	waiter->wait = wait;
	enqueue(waiter, queue);
}
