/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "managerd/obj_queue.h"

#include "base/testpoint.h"
#include "managerd/heap.h"
#include "managerd/values.h"
#include "serve/hold.h"
#include "serve/waiter.h"

#include <stdlib.h>
#include <string.h>

enum order { FIFO, LIFO, PRIORITY };

/* What one actor has got and not done. */
struct share {
	struct serve_hold hold; /* first: abandoned() gets it */
	struct share *next;
	uint64_t n;
};

struct queue {
	enum order order;
	size_t maxsize; /* 0: none */
	bool joinable;
	bool shut;
	int64_t turns; /* given out */
	struct md_heap items;
	struct serve_queue getters;
	struct serve_queue putters; /* data: the item, number2: its priority */
	struct serve_queue joiners;
	uint64_t unfinished;  /* put, and not done */
	struct share *shares; /* of a joinable one; who got something lately is in front */
};

/* --- making ------------------------------------------------------------------------------------- */

static bool order_of(struct serve_call *call, enum order *ret)
{
	static const char *const names[] = {"fifo", "lifo", "priority"};
	struct serve_bytes name;

	if (!serve_arg_given(call, 0))
		return true;
	if (!serve_arg_str(call, 0, &name))
		return false;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (name.size == strlen(names[i]) && memcmp(name.data, names[i], name.size) == 0) {
			*ret = (enum order)i;
			return true;
		}
	}
	serve_fail(call, MP__CODE__INVALID, "the order of a queue is fifo, lifo or priority");
	return false;
}

static bool make(struct serve_call *call)
{
	struct queue *q = calloc(1, sizeof(*q));
	int64_t maxsize = 0;

	call->object->state = q;
	if (!q) {
		serve_fail_no_memory(call);
		return false;
	}
	if (!order_of(call, &q->order) ||
		(serve_arg_given(call, 1) && !serve_arg_i64(call, 1, &maxsize)) ||
		(serve_arg_given(call, 2) && !serve_arg_bool(call, 2, &q->joinable)))
		return false;
	/* As in Python: 0 and less is without a limit. */
	q->maxsize = maxsize > 0 ? (size_t)maxsize : 0;
	return true;
}

static void drop_items(struct serve_object *object)
{
	struct queue *q = object->state;

	for (size_t i = 0; i < q->items.n; i++)
		md_item_drop(object, q->items.entries[i].item);
	md_heap_deinit(&q->items);
}

static void drop(struct serve_object *object)
{
	struct queue *q = object->state;

	if (!q)
		return;
	drop_items(object);
	while (q->shares) {
		struct share *share = q->shares;
		q->shares = share->next;
		free(share);
	}
	free(q);
}

/* --- what was got and is not done --------------------------------------------------------------- */

static void answer_joiners(struct queue *q)
{
	struct serve_waiter *w;

	while (q->unfinished == 0 && (w = serve_queue_first(&q->joiners))) {
		serve_answer_nil(&w->call);
		serve_unpark(w);
	}
}

static void done(struct queue *q, uint64_t n)
{
	q->unfinished -= n;
	answer_joiners(q);
}

/* The caller's share, in front of all; NULL. */
static struct share *share_of(struct queue *q, const struct serve_call *call)
{
	for (struct share **at = &q->shares; *at; at = &(*at)->next) {
		struct share *share = *at;
		if (!serve_hold_is_of(&share->hold, call))
			continue;
		*at = share->next;
		share->next = q->shares;
		q->shares = share;
		return share;
	}
	return NULL;
}

static void forget(struct queue *q, struct share *share)
{
	struct share **at = &q->shares;

	while (*at != share)
		at = &(*at)->next;
	*at = share->next;
	free(share);
}

/* What the caller gets, counted; for one that waited, `w`. False: no memory for it. */
static bool count_in(struct queue *q, struct serve_call *call, struct serve_waiter *w)
{
	struct share *share = q->joinable ? share_of(q, call) : NULL;

	if (!q->joinable || share) {
		if (share)
			share->n++;
		return true;
	}
	share = calloc(1, sizeof(*share));
	if (share && w)
		serve_hold_pass(&share->hold, w, call->object);
	if (!share || (!w && !serve_hold_take(&share->hold, call))) {
		free(share);
		return false;
	}
	share->n = 1;
	share->next = q->shares;
	q->shares = share;
	return true;
}

/* One less; NULL if nobody counts. */
static void count_out(struct queue *q, struct share *share)
{
	if (!share || --share->n > 0)
		return;
	serve_hold_drop(&share->hold);
	forget(q, share);
}

/* Its client is gone. */
static void abandoned(struct serve_object *object, struct serve_hold *hold)
{
	struct queue *q = object->state;
	struct share *share = (struct share *)hold;
	uint64_t n = share->n;

	forget(q, share);
	done(q, n);
}

static int task_done(struct serve_call *call)
{
	struct queue *q = call->object->state;
	struct share *share;

	if (!q->joinable)
		return serve_fail(call, MP__CODE__INVALID, "the queue is not joinable");
	share = share_of(q, call);
	if (!share)
		share = q->shares; /* got by one, done by another */
	if (!share)
		return serve_fail(
			call, MP__CODE__OUT_OF_RANGE, "it was called more often than get");
	count_out(q, share);
	done(q, 1);
	return serve_answer_nil(call);
}

static int join(struct serve_call *call)
{
	struct queue *q = call->object->state;

	if (!q->joinable)
		return serve_fail(call, MP__CODE__INVALID, "the queue is not joinable");
	return q->unfinished == 0 ? serve_answer_nil(call)
				  : serve_park(call, &q->joiners, NULL, NULL);
}

/* --- put and get -------------------------------------------------------------------------------- */

static bool is_full(const struct queue *q)
{
	return q->maxsize > 0 && q->items.n >= q->maxsize;
}

static int is_closed(struct serve_call *call)
{
	return serve_fail(call, MP__CODE__CLOSED, "the queue has been shut down");
}

/* The item as the answer of a get. False: it stays, and the answer is an error. */
static bool hand_over(struct serve_call *call, struct serve_waiter *w, struct md_item *item)
{
	struct queue *q = call->object->state;

	if (!count_in(q, call, w)) {
		serve_fail_no_memory(call);
		return false;
	}
	md_answer_item(call, item);
	if (call->refused)
		count_out(q, share_of(q, call));
	else
		md_item_drop(call->object, item);
	return !call->refused;
}

/* To the first who waits for it. False: nobody does. */
static bool give(struct queue *q, struct md_item *item)
{
	struct serve_waiter *w;
	bool given = false;

	while (!given && (w = serve_queue_first(&q->getters))) {
		MP__TEST_POINT("managerd.queue.give");
		given = hand_over(&w->call, w, item);
		serve_unpark(w);
	}
	return given;
}

/* Into the queue, or to the first who waits. False without memory. */
static bool add(struct queue *q, int64_t priority, struct md_item *item)
{
	struct md_ranked entry = {.rank = q->order == PRIORITY ? priority : 0,
		.turn = q->order == LIFO ? -q->turns : q->turns,
		.item = item};

	if (!give(q, item) && !md_heap_put(&q->items, entry))
		return false;
	q->turns++;
	q->unfinished += q->joinable;
	return true;
}

static void free_item(struct serve_waiter *w)
{
	md_item_drop(w->call.object, w->data);
}

static const struct serve_wait put_wait = {.free = free_item};

static int put(struct serve_call *call)
{
	struct queue *q = call->object->state;
	struct serve_waiter *w;
	struct md_item *item;
	int64_t priority = 0;

	if (serve_arg_given(call, 1) && q->order != PRIORITY)
		return serve_fail(
			call, MP__CODE__INVALID, "a priority, for a queue that has no such order");
	if ((serve_arg_given(call, 1) && !serve_arg_i64(call, 1, &priority)) ||
		!md_arg_item(call, 0, &item))
		return call->failed;
	int r = 0;
	if (q->shut) {
		r = is_closed(call);
	} else if (is_full(q)) {
		r = serve_park(call, &q->putters, &put_wait, &w);
		if (w) {
			w->data = item;
			w->number2 = priority;
			return r;
		}
	} else if (add(q, priority, item)) {
		serve_changed(call->object);
		return serve_answer_nil(call);
	} else {
		r = serve_fail_no_memory(call);
	}
	md_item_drop(call->object, item);
	return r;
}

/* There is room: for the first of those who wait to put. */
static void let_in(struct queue *q)
{
	struct serve_waiter *w;

	while (!is_full(q) && (w = serve_queue_first(&q->putters))) {
		if (add(q, w->number2, w->data)) {
			w->data = NULL;
			serve_answer_nil(&w->call);
		} else {
			serve_fail_no_memory(&w->call);
		}
		serve_unpark(w);
	}
}

static int get(struct serve_call *call)
{
	struct queue *q = call->object->state;

	if (q->items.n == 0)
		return q->shut ? is_closed(call) : serve_park(call, &q->getters, NULL, NULL);
	if (!hand_over(call, NULL, q->items.entries[0].item))
		return call->failed;
	md_heap_take(&q->items);
	MP__TEST_POINT("managerd.queue.got");
	serve_changed(call->object);
	let_in(q);
	return 0;
}

/* --- the rest ----------------------------------------------------------------------------------- */

static int length(struct serve_call *call)
{
	const struct queue *q = call->object->state;

	return serve_answer_i64(call, (int64_t)q->items.n);
}

static int full(struct serve_call *call)
{
	return serve_answer_bool(call, is_full(call->object->state));
}

static void empty(struct serve_call *call, struct queue *q)
{
	size_t n = q->items.n;

	serve_effort(call, n);
	drop_items(call->object);
	if (q->joinable)
		done(q, n);
	serve_changed(call->object);
}

static int clear(struct serve_call *call)
{
	struct queue *q = call->object->state;

	empty(call, q);
	let_in(q);
	return serve_answer_nil(call);
}

static void refuse_all(struct serve_queue *queue)
{
	struct serve_waiter *w;

	while ((w = serve_queue_first(queue))) {
		is_closed(&w->call);
		serve_unpark(w);
	}
}

static int shutdown(struct serve_call *call)
{
	struct queue *q = call->object->state;
	bool at_once = false;

	if (serve_arg_given(call, 0) && !serve_arg_bool(call, 0, &at_once))
		return call->failed;
	q->shut = true;
	refuse_all(&q->putters);
	refuse_all(&q->getters);
	if (at_once)
		empty(call, q);
	serve_changed(call->object);
	return serve_answer_nil(call);
}

static int is_shutdown(struct serve_call *call)
{
	const struct queue *q = call->object->state;

	return serve_answer_bool(call, q->shut);
}

static const struct serve_method methods[] = {
	{"clear", clear, 0, 0},
	{"full", full, 0, 0},
	{"get", get, 0, 0},
	{"is_shutdown", is_shutdown, 0, 0},
	{"join", join, 0, 0},
	{"len", length, 0, 0},
	{"put", put, 1, 2},
	{"shutdown", shutdown, 0, 1},
	{"task_done", task_done, 0, 0},
};

const struct serve_class md_queue_class = {
	.name = "queue",
	.max_args = 3,
	.make = make,
	.drop = drop,
	.abandoned = abandoned,
	.methods = methods,
	.n_methods = sizeof(methods) / sizeof(methods[0]),
};
