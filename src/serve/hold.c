/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "serve/hold.h"

#include "base/testpoint.h"
#include "serve/siphash.h"
#include "serve/waiter.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define BUCKETS_MIN 16
#define OBJECT_TEXT 96

/* --- actors ----------------------------------------------------------------------------------- */

static size_t bucket_of(
	const struct serve_actors *actors, const struct serve_session *session, uint64_t thread)
{
	const uint64_t key[] = {(uint64_t)(uintptr_t)session, thread};

	return serve_siphash(&actors->seed, key, sizeof(key)) & (actors->n_buckets - 1);
}

/* Without memory the buckets just get fuller. */
static void grow(struct serve_actors *actors)
{
	struct serve_actors more = *actors;

	if (actors->count < actors->n_buckets)
		return;
	more.n_buckets = actors->n_buckets ? actors->n_buckets * 2 : BUCKETS_MIN;
	more.buckets = calloc(more.n_buckets, sizeof(*more.buckets));
	if (!more.buckets)
		return;
	for (size_t i = 0; i < actors->n_buckets; i++) {
		while (actors->buckets[i]) {
			struct serve_actor *a = actors->buckets[i];
			size_t to = bucket_of(&more, a->session, a->thread);
			actors->buckets[i] = a->next;
			a->next = more.buckets[to];
			more.buckets[to] = a;
		}
	}
	free(actors->buckets);
	*actors = more;
}

struct serve_actor *serve_actor_get(struct serve_call *call)
{
	struct serve_actors *actors = &call->session->context->actors;

	grow(actors);
	if (actors->n_buckets == 0)
		return NULL;
	size_t bucket = bucket_of(actors, call->session, call->thread);
	struct serve_actor *a = actors->buckets[bucket];
	while (a && (a->session != call->session || a->thread != call->thread))
		a = a->next;
	if (!a) {
		a = calloc(1, sizeof(*a));
		if (!a)
			return NULL;
		a->session = call->session;
		a->thread = call->thread;
		a->next = actors->buckets[bucket];
		actors->buckets[bucket] = a;
		actors->count++;
	}
	a->references++;
	return a;
}

void serve_actor_put(struct serve_actor *actor)
{
	struct serve_actors *actors = &actor->session->context->actors;

	if (--actor->references > 0)
		return;
	struct serve_actor **at =
		&actors->buckets[bucket_of(actors, actor->session, actor->thread)];
	while (*at != actor)
		at = &(*at)->next;
	*at = actor->next;
	actors->count--;
	free(actor);
}

const char *serve_actor_text(const struct serve_actor *actor, char text[SERVE_ACTOR_TEXT])
{
	snprintf(text, SERVE_ACTOR_TEXT, "pid %d, thread %u", (int)actor->session->pid,
		(unsigned)actor->thread);
	return text;
}

/* --- holds ------------------------------------------------------------------------------------ */

static void hold_begin(
	struct serve_hold *hold, struct serve_actor *actor, struct serve_object *object)
{
	struct serve_session *session = actor->session;

	hold->actor = actor;
	hold->object = object;
	hold->previous = NULL;
	hold->next = session->holds;
	if (session->holds)
		session->holds->previous = hold;
	session->holds = hold;
	serve_object_ref(object);
	serve_session_is_bound(session);
}

bool serve_hold_take(struct serve_hold *hold, struct serve_call *call)
{
	struct serve_actor *actor = serve_actor_get(call);

	if (!actor)
		return false;
	hold_begin(hold, actor, call->object);
	return true;
}

void serve_hold_pass(
	struct serve_hold *hold, struct serve_waiter *waiter, struct serve_object *object)
{
	waiter->actor->references++;
	hold_begin(hold, waiter->actor, object);
}

void serve_hold_drop(struct serve_hold *hold)
{
	struct serve_actor *actor = hold->actor;
	struct serve_object *object = hold->object;

	if (!actor)
		return;
	if (hold->previous)
		hold->previous->next = hold->next;
	else
		actor->session->holds = hold->next;
	if (hold->next)
		hold->next->previous = hold->previous;
	*hold = (struct serve_hold){0};
	serve_actor_put(actor);
	serve_object_unref(object);
}

void serve_abandon_holds(struct serve_session *session)
{
	while (session->holds) {
		struct serve_hold *hold = session->holds;
		struct serve_object *object = hold->object;
		/* The class may still look at it, when the last reference is gone. */
		serve_object_ref(object);
		serve_hold_drop(hold);
		MP__TEST_POINT("serve.hold.abandoned");
		object->class->abandoned(object, hold);
		serve_object_unref(object);
	}
}

/* --- deadlocks -------------------------------------------------------------------------------- */

struct text {
	char *at;
	size_t room;
};

static void say(struct text *t, const char *format, ...) MP__PRINTF(2, 3);

static void say(struct text *t, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	int n = vsnprintf(t->at, t->room, format, args);
	va_end(args);
	if (n > 0 && (size_t)n < t->room) {
		t->at += n;
		t->room -= (size_t)n;
	} else {
		t->room = 0;
	}
}

static bool is_caller(const struct serve_actor *actor, const struct serve_call *call)
{
	return actor->session == call->session && actor->thread == call->thread;
}

/* The one thing that the actor waits for. */
static const struct serve_waiter *only_wait(const struct serve_actor *actor)
{
	const struct serve_waiter *w = actor->waiters;

	return w && !w->next_of_actor ? w : NULL;
}

static void describe(
	const struct serve_call *call, const struct serve_hold *holder, char *text, size_t room)
{
	struct text t = {text, room};
	char object[OBJECT_TEXT];
	char actor[SERVE_ACTOR_TEXT];

	say(&t, "deadlock: the caller waits for %s",
		serve_object_text(holder->object, object, sizeof(object)));
	while (!is_caller(holder->actor, call)) {
		const struct serve_waiter *w = only_wait(holder->actor);
		say(&t, ", which %s has, who waits for %s", serve_actor_text(holder->actor, actor),
			serve_object_text(w->call.object, object, sizeof(object)));
		holder = w->queue->holder;
	}
	say(&t, ", which the caller has");
}

bool serve_deadlock(
	const struct serve_call *call, const struct serve_queue *queue, char *text, size_t room)
{
	const struct serve_hold *holder = queue->holder;
	/* No chain is longer, unless it is a circle of actors that wait for several things at once. */
	size_t left = call->session->context->actors.count;

	while (holder && !is_caller(holder->actor, call) && left-- > 0) {
		const struct serve_waiter *w = only_wait(holder->actor);
		holder = w && w->queue ? w->queue->holder : NULL;
		call->session->context->effort++;
	}
	if (!holder || !is_caller(holder->actor, call))
		return false;
	describe(call, queue->holder, text, room);
	return true;
}
