/* SPDX-License-Identifier: MIT */
/*
 * serve/waiter.h - calls that wait for others: parked, until somebody answers them.
 *
 * A waiter is the call that waits. It stands in the queue of what it waits for, first come first
 * served; in its session, to vanish with it; among the timers, if it has a deadline; and with its
 * actor, for the search of deadlocks. serve_unpark() takes it out of all of them: there is no other
 * way for a waiter to end, so that no list can be forgotten.
 *
 * Whoever makes something free takes the first of the queue, answers its call, and unparks it:
 *
 *	struct serve_waiter *w = serve_queue_first(&object->queue);
 *	if (w) {
 *		serve_answer_nil(&w->call);
 *		serve_unpark(w);
 *	}
 */
#ifndef SERVE_WAITER_H
#define SERVE_WAITER_H

#include "serve/call.h"
#include "serve/timer.h"

struct serve_actor;
struct serve_hold;

/* All zero is empty. */
struct serve_queue {
	struct serve_waiter *first;
	struct serve_waiter *last;
	size_t count;
	struct serve_hold *holder; /* of what all here wait for, if it is one: for deadlocks */
};

/* Why a wait ends that nobody has answered. */
enum serve_end {
	SERVE_END_TIMEOUT,
	SERVE_END_CANCELLED,
	SERVE_END_SHUTDOWN, /* the server ends */
	SERVE_END_SESSION,  /* the client is gone: there is nobody to answer */
};

/* What a type wants done with its waiters. */
struct serve_wait {
	/*
	 * The wait is over; the waiter is in no queue any more. Answer it, unless the session is
	 * gone, and return; it is freed. NULL: TIMEOUT, CANCELLED, SHUTTING_DOWN.
	 * True: it has been put into another queue (serve_requeue()) and goes on waiting, without a
	 * deadline. Only for TIMEOUT and CANCELLED.
	 */
	bool (*ended)(struct serve_waiter *waiter, enum serve_end why);
	/* Free what the waiter has in `data`; NULL: nothing. */
	void (*free)(struct serve_waiter *waiter);
};

struct serve_waiter {
	struct serve_call call;
	const struct serve_wait *wait;
	struct serve_queue *queue;
	struct serve_waiter *next;
	struct serve_waiter *previous;
	struct serve_waiter *next_of_session;
	struct serve_waiter *previous_of_session;
	struct serve_timer timer;
	int64_t since_ns;
	struct serve_actor *actor;
	struct serve_waiter *next_of_actor;
	struct serve_waiter *previous_of_actor;
	/* The type's own. */
	union {
		int64_t number;
		void *data;
	};
	int64_t number2;
};

/*
 * Park the call. Fails, answered, when it may not wait (WOULD_BLOCK), when to wait would be for ever
 * (DEADLOCK, see serve/hold.h), or when the session has too many (LIMIT, NO_MEMORY): then *ret_waiter
 * is NULL. ret_waiter may be NULL.
 */
int serve_park(struct serve_call *call, struct serve_queue *queue, const struct serve_wait *wait,
	struct serve_waiter **ret_waiter);
/* Answered, or not to be: take it out of everything and free it. */
void serve_unpark(struct serve_waiter *waiter);
/* Into another queue, at its end, as another kind of wait; its deadline is taken away. */
void serve_requeue(
	struct serve_waiter *waiter, struct serve_queue *queue, const struct serve_wait *wait);

/* What the end of a wait is answered with, if the type has nothing better to say. */
void serve_answer_end(struct serve_waiter *waiter, enum serve_end why);

static inline struct serve_waiter *serve_queue_first(const struct serve_queue *queue)
{
	return queue->first;
}

/* --- for the server --------------------------------------------------------------------------- */

/* The waiting call of that id is cancelled; false: there is none. */
bool serve_cancel(struct serve_session *session, uint64_t id);
/* End all waits of the session. */
void serve_end_waits(struct serve_session *session, enum serve_end why);

#endif
