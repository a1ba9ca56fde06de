/* SPDX-License-Identifier: MIT */
/*
 * serve/hold.h - who has what: holds, the actors that have them, and deadlocks.
 *
 * An actor is a thread of a client: a session and the number that came with the call. There is one
 * as long as that thread holds or waits for something. A hold is what an actor has of an object: a
 * lock, some permits. It is embedded in the object's state (or made by its type), and it stands in
 * a list of its session: when that ends, the type is told (`abandoned`) and passes things on.
 *
 * Deadlocks. What can have one holder only says so in its queue (serve_queue.holder). Before a
 * call is parked there, the chain is followed: who holds it, what that one waits for, who
 * holds that. If it comes back to the caller, to wait would be for ever, and the call is answered with
 * DEADLOCK and the chain in words. Every wait was checked so when it began; thus a chain has no
 * circle but through the newcomer, and ends. An actor that waits for several things at once (a
 * client that gives all its threads one number) is left out: it may go on when any of them comes.
 */
#ifndef SERVE_HOLD_H
#define SERVE_HOLD_H

#include "serve/call.h"

struct serve_waiter;
struct serve_queue;

struct serve_actor {
	struct serve_session *session;
	uint64_t thread;
	uint32_t references; /* holds and waiters */
	struct serve_waiter *waiters;
	struct serve_actor *next; /* in its bucket */
};

/* All zero is no hold. */
struct serve_hold {
	struct serve_actor *actor; /* NULL: nobody */
	struct serve_object *object;
	struct serve_hold *next; /* of the session */
	struct serve_hold *previous;
};

/* The caller has it from now on. False: no memory. The object is kept as long as it is held. */
bool serve_hold_take(struct serve_hold *hold, struct serve_call *call);
/*
 * The same for a waiter that gets what it waited for, before it is unparked: cannot fail. `object` is
 * what is held.
 */
void serve_hold_pass(
	struct serve_hold *hold, struct serve_waiter *waiter, struct serve_object *object);
void serve_hold_drop(struct serve_hold *hold);

/* Has the caller got it? */
static inline bool serve_hold_is_of(const struct serve_hold *hold, const struct serve_call *call)
{
	return hold->actor && hold->actor->session == call->session &&
	       hold->actor->thread == call->thread;
}

/* "pid 12, thread 14", for sentences. */
#define SERVE_ACTOR_TEXT 64
const char *serve_actor_text(const struct serve_actor *actor, char text[SERVE_ACTOR_TEXT]);

/* --- for the server --------------------------------------------------------------------------- */

/* Dissolve all holds of a session that ends. */
void serve_abandon_holds(struct serve_session *session);

/* One more reference to the actor of this call, made if need be; NULL without memory. */
struct serve_actor *serve_actor_get(struct serve_call *call);
void serve_actor_put(struct serve_actor *actor);

/* Would the call wait for ever in that queue? Then the chain is in `text`. */
bool serve_deadlock(
	const struct serve_call *call, const struct serve_queue *queue, char *text, size_t room);

#endif
