/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "managerd/obj_semaphore.h"

#include "base/testpoint.h"
#include "serve/hold.h"
#include "serve/waiter.h"

#include <inttypes.h>
#include <stdlib.h>

/* As in shared memory: MP_SEMAPHORE_MAX. */
#define VALUE_MAX INT32_MAX

/* What one session has. */
struct permits {
	struct serve_hold hold; /* first */
	int64_t count;
	struct permits *next; /* of the semaphore, oldest first */
	struct permits *previous;
};

struct semaphore {
	int64_t value;
	int64_t initial;
	bool ownerless;
	struct serve_queue queue;
	struct permits *first;
	struct permits *last;
};

static bool make(struct serve_call *call)
{
	int64_t value = 1;
	bool ownerless = false;

	if ((serve_arg_given(call, 0) && !serve_arg_i64(call, 0, &value)) ||
		(serve_arg_given(call, 1) && !serve_arg_bool(call, 1, &ownerless)))
		return false;
	if (value < 0) {
		serve_fail(call, MP__CODE__INVALID, "a semaphore of %" PRId64 " permits", value);
		return false;
	}
	if (value > VALUE_MAX) {
		serve_fail(call, MP__CODE__OVERFLOW,
			"a semaphore of %" PRId64 " permits, at most %d may be", value, VALUE_MAX);
		return false;
	}
	struct semaphore *s = calloc(1, sizeof(*s));
	if (!s) {
		serve_fail_no_memory(call);
		return false;
	}
	s->value = s->initial = value;
	s->ownerless = ownerless;
	call->object->state = s;
	return true;
}

static void drop(struct serve_object *object)
{
	free(object->state);
}

/* --- who holds permits ------------------------------------------------------------------------ */

/* NULL: the session has none. */
static struct permits *permits_of(
	const struct serve_session *session, const struct serve_object *object)
{
	struct serve_hold *hold = session->holds;

	while (hold && hold->object != object)
		hold = hold->next;
	return (struct permits *)hold;
}

static void enlist(struct semaphore *s, struct permits *p)
{
	p->count = 1;
	p->next = NULL;
	p->previous = s->last;
	if (s->last)
		s->last->next = p;
	else
		s->first = p;
	s->last = p;
}

/* The hold is dropped, or will be. */
static void discard(struct semaphore *s, struct permits *p)
{
	if (p->previous)
		p->previous->next = p->next;
	else
		s->first = p->next;
	if (p->next)
		p->next->previous = p->previous;
	else
		s->last = p->previous;
	free(p);
}

static int64_t give_back(struct semaphore *s, struct permits *p, int64_t n)
{
	if (n < p->count) {
		p->count -= n;
		return n;
	}
	n = p->count;
	serve_hold_drop(&p->hold);
	discard(s, p);
	return n;
}

/* So many are held no more: first the caller's own, then the oldest of others. */
static void disown(struct serve_call *call, struct semaphore *s, int64_t n)
{
	struct permits *own = permits_of(call->session, call->object);

	if (own)
		n -= give_back(s, own, n);
	while (n > 0 && s->first)
		n -= give_back(s, s->first, n);
}

/* --- methods ---------------------------------------------------------------------------------- */

static void free_spare(struct serve_waiter *waiter)
{
	free(waiter->data);
}

/* It has brought what it needs to hold a permit, so that getting one cannot fail. */
static const struct serve_wait waits = {.free = free_spare};

static void grant(struct serve_object *object, struct serve_waiter *w)
{
	struct semaphore *s = object->state;
	struct permits *p = permits_of(w->call.session, object);

	MP__TEST_POINT("managerd.semaphore.grant");
	s->value--;
	if (p) {
		p->count++;
	} else if (!s->ownerless) {
		p = w->data;
		w->data = NULL;
		serve_hold_pass(&p->hold, w, object);
		enlist(s, p);
	}
	serve_answer_nil(&w->call);
	serve_unpark(w);
}

static void grant_all(struct serve_object *object)
{
	struct semaphore *s = object->state;

	while (s->value > 0 && serve_queue_first(&s->queue))
		grant(object, serve_queue_first(&s->queue));
}

/* What its session holds now may be gone by the time it is granted one. */
static int acquire_later(struct serve_call *call, struct semaphore *s)
{
	struct permits *spare = s->ownerless ? NULL : calloc(1, sizeof(*spare));
	struct serve_waiter *w;

	if (!spare && !s->ownerless)
		return serve_fail_no_memory(call);
	int r = serve_park(call, &s->queue, &waits, &w);
	if (w)
		w->data = spare;
	else
		free(spare);
	return r;
}

static int acquire(struct serve_call *call)
{
	struct semaphore *s = call->object->state;

	if (s->value == 0)
		return acquire_later(call, s);
	struct permits *p = s->ownerless ? NULL : permits_of(call->session, call->object);
	if (p) {
		p->count++;
	} else if (!s->ownerless) {
		p = calloc(1, sizeof(*p));
		if (!p || !serve_hold_take(&p->hold, call)) {
			free(p);
			return serve_fail_no_memory(call);
		}
		enlist(s, p);
	}
	s->value--;
	return serve_answer_nil(call);
}

static int release_up_to(struct serve_call *call, int64_t max)
{
	struct semaphore *s = call->object->state;
	int64_t n = 1;

	if (serve_arg_given(call, 0) && !serve_arg_i64(call, 0, &n))
		return call->failed;
	if (n < 1)
		return serve_fail(call, MP__CODE__INVALID, "a release of %" PRId64 " permits", n);
	if (n > max - s->value)
		return serve_fail(call, MP__CODE__OVERFLOW,
			"there are %" PRId64 " permits, and at most %" PRId64
			" may be: no room for %" PRId64 " more",
			s->value, max, n);
	if (!s->ownerless)
		disown(call, s, n);
	s->value += n;
	serve_effort(call, s->queue.count < (size_t)n ? s->queue.count : (size_t)n);
	grant_all(call->object);
	return serve_answer_nil(call);
}

static int release(struct serve_call *call)
{
	return release_up_to(call, VALUE_MAX);
}

static int release_bounded(struct serve_call *call)
{
	const struct semaphore *s = call->object->state;

	return release_up_to(call, s->initial);
}

static int value(struct serve_call *call)
{
	const struct semaphore *s = call->object->state;

	return serve_answer_i64(call, s->value);
}

static void abandoned(struct serve_object *object, struct serve_hold *hold)
{
	struct semaphore *s = object->state;
	struct permits *p = (struct permits *)hold;

	s->value += p->count;
	discard(s, p);
	grant_all(object);
}

static const struct serve_method methods[] = {
	{"acquire", acquire, 0, 0},
	{"release", release, 0, 1},
	{"value", value, 0, 0},
};

const struct serve_class md_semaphore_class = {
	.name = "semaphore",
	.max_args = 2,
	.make = make,
	.drop = drop,
	.abandoned = abandoned,
	.methods = methods,
	.n_methods = 3,
};

static const struct serve_method bounded_methods[] = {
	{"acquire", acquire, 0, 0},
	{"release", release_bounded, 0, 1},
	{"value", value, 0, 0},
};

const struct serve_class md_bounded_semaphore_class = {
	.name = "bounded_semaphore",
	.max_args = 2,
	.make = make,
	.drop = drop,
	.abandoned = abandoned,
	.methods = bounded_methods,
	.n_methods = 3,
};
