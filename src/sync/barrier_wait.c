/* SPDX-License-Identifier: MIT */
#include <config.h>

#include <mp/barrier.h>

#include "base/error.h"
#include "base/spin.h"
#include "base/testpoint.h"
#include "sync/barrier_round.h"
#include "sync/waiting.h"

/* For what must be done although the deadline has passed, or there is none to wait for. */
#define GRACE_MS 100
/* Cells that who finds no empty one looks at before anything else; some 10 us each. */
#define LOOK_CELLS 16
/* The last to come looks at all, when the round took so much longer that this costs little. */
#define LOOK_ALL_NS INT64_C(100000)

/* One call of wait. */
struct visit {
	mp__barrier *b;
	mp__cell *own;  /* once arrived */
	mp__cell *dead; /* may be taken, if it still has this stamp */
	uint64_t dead_stamp;
	bool looked; /* for a dead one */
	bool nowait;
	mp__deadline deadline;
	unsigned index;
};

/* --- arrive -------------------------------------------------------------------------------------- */

enum { WAITS, IS_LAST, NO_CELL };

/* A cell for a thread that has none. */
static mp__cell *find_place(struct visit *v)
{
	mp__cell *c = mp__barrier_find(v->b, MP__CELL_EMPTY);

	if (c)
		return c;
	if (v->dead && mp__cell_state(v->dead) == MP__CELL_OUTSIDE &&
		atomic_load_explicit(&v->dead->who.stamp, memory_order_relaxed) == v->dead_stamp)
		return v->dead;
	return v->looked ? mp__barrier_find(v->b, MP__CELL_OUTSIDE) : NULL;
}

/* With all who wait: is it our turn to ask who lives? */
static void look(mp__barrier *b)
{
	unsigned first;
	unsigned n = mp__look_due(&b->at->asked, b->parties, &first);

	if (n > 0)
		mp__barrier_look(b, first, n);
}

/* Inside the guard. */
static int arrive(struct visit *v)
{
	mp__barrier *b = v->b;
	unsigned parties = b->parties;
	unsigned arrived = mp__barrier_arrived(b);
	mp__cell *own = mp__barrier_own(b);
	char name[MP__SYNC_NAME_SIZE + 1];

	if (own && mp__cell_state(own) == MP__CELL_INSIDE)
		return mp_error_set(-EDEADLK,
			"barrier%s: this thread is inside already, in its action or below a "
			"signal handler",
			mp__barrier_label(b, name));
	if (own && mp__cell_state(own) == MP__CELL_GONE)
		mp__barrier_break(b, MP_BARRIER_TIMED_OUT, &own->who);
	if (atomic_load_explicit(&b->at->cause, memory_order_relaxed) != MP_BARRIER_WHOLE)
		return mp__barrier_broken_error(b);
	bool full = arrived >= parties || mp__barrier_acting(b);
	if (v->nowait && (full || arrived + 1 < parties))
		return mp_error_set(-EAGAIN, "barrier%s: %u of %u parties wait",
			mp__barrier_label(b, name), arrived, parties);
	mp__cell *place = full ? NULL : own ? own : find_place(v);
	if (!place)
		return NO_CELL;
	if (arrived == 0)
		atomic_store_explicit(&b->at->since, (uint64_t)mp__now_ns(), memory_order_relaxed);
	if (own)
		atomic_store(&own->state, MP__CELL_INSIDE);
	else
		mp__barrier_claim(place, MP__CELL_INSIDE);
	MP__TEST_POINT("barrier.entered");
	atomic_store_explicit(&b->at->arrived, arrived + 1, memory_order_relaxed);
	v->own = place;
	v->index = arrived;
	return arrived + 1 == parties ? IS_LAST : WAITS;
}

/* For a newcomer who found no empty cell: is there one whose owner has died outside? */
static void look_for_place(struct visit *v)
{
	unsigned n = v->b->parties;

	v->looked = true;
	v->dead = NULL;
	for (unsigned i = 0; i < n && i < LOOK_CELLS; i++) {
		mp__cell *c = &v->b->at->cells[(i + (unsigned)mp__stamp_tid(mp__stamp_self())) % n];
		uint64_t stamp = atomic_load_explicit(&c->who.stamp, memory_order_relaxed);
		if (mp__cell_state(c) == MP__CELL_OUTSIDE && mp__barrier_owner_dead(c)) {
			v->dead = c;
			v->dead_stamp = stamp;
			return;
		}
	}
}

/* A little more than the wait's own, so that it is a matter of the parties whether they came in time. */
static mp__deadline guard_deadline(const struct visit *v)
{
	mp__deadline later = v->deadline;

	if (v->nowait)
		return mp__deadline_in(GRACE_MS);
	if (later.ns != INT64_MAX)
		later.ns += GRACE_MS * INT64_C(1000000);
	return later;
}

/*
 * IS_LAST, still inside the guard; WAITS; or an error. Who finds no cell waits at the door: all are
 * taken by those who have been let go, but have not run since.
 */
static int come_in(struct visit *v)
{
	mp__barrier *b = v->b;

	for (;;) {
		uint32_t heard = 0;
		if (v->looked) {
			heard = mp__bell_listen(&b->at->door);
			mp__barrier_want_cells(b);
		}
		int r = mp__barrier_enter(b, guard_deadline(v));
		if (r < 0)
			return r == -ETIMEDOUT && v->nowait
				       ? mp_error_set(-EAGAIN, "%s", mp_error_detail())
				       : r;
		r = arrive(v);
		if (r == IS_LAST)
			return r;
		if (r == -EPIPE)
			mp__barrier_leave_and_wake(b);
		else
			mp__guard_leave(&b->at->guard);
		if (r != NO_CELL)
			return r;
		if (!v->looked) {
			look_for_place(v);
			continue;
		}
		mp__waiting_begin(&b->at->head, 0);
		r = mp__bell_sleep(&b->at->door, heard, v->deadline);
		mp__waiting_end();
		if (r == -ETIMEDOUT)
			return mp_error_set(
				-ETIMEDOUT, "barrier: those of the round before have not left it");
		look(b);
	}
}

/* --- leave ---------------------------------------------------------------------------------------- */

/* How the wait ended, which the own cell says. The last access to the barrier. */
static int learn_outcome(struct visit *v)
{
	char name[MP__SYNC_NAME_SIZE + 1];
	int r;

	switch (mp__cell_state(v->own)) {
	case MP__CELL_PASSED:
		r = (int)v->index;
		break;
	case MP__CELL_RESET:
		r = mp_error_set(-ECANCELED, "barrier%s was reset", mp__barrier_label(v->b, name));
		break;
	default:
		r = mp__barrier_broken_error(v->b);
	}
	MP__TEST_POINT("barrier.before_leaving");
	mp__barrier_acknowledge(v->b, v->own);
	return r;
}

/* The guard can't be had: say so in the cell. True: done; false: the round has ended meanwhile. */
static bool give_up(struct visit *v)
{
	uint32_t inside = MP__CELL_INSIDE;

	return atomic_compare_exchange_strong(&v->own->state, &inside, MP__CELL_GONE);
}

static int timed_out(struct visit *v)
{
	mp__barrier *b = v->b;
	bool in_vain = false;
	unsigned parties = b->parties;
	unsigned arrived = parties;
	char name[MP__SYNC_NAME_SIZE + 1];
	const char *called = mp__barrier_label(b, name);

	if (mp__barrier_enter(b, mp__deadline_in(GRACE_MS)) == 0) {
		if (mp__cell_state(v->own) == MP__CELL_INSIDE) {
			in_vain = true;
			arrived = atomic_load_explicit(&b->at->arrived, memory_order_relaxed);
			mp__barrier_break(b, MP_BARRIER_TIMED_OUT, &v->own->who);
		}
		mp__barrier_leave_and_wake(b);
	} else if (give_up(v)) {
		return mp_error_set(-ETIMEDOUT,
			"barrier%s: not all parties came in time, and thread %d is stopped in the "
			"middle of a change of it",
			called,
			(int)mp__stamp_tid(
				atomic_load_explicit(&b->at->guard, memory_order_relaxed)));
	}
	int r = learn_outcome(v);
	if (!in_vain)
		return r;
	return mp_error_set(-ETIMEDOUT,
		"barrier%s: %u of %u parties came in time; it is broken now", called, arrived,
		parties);
}

static bool inside(struct visit *v)
{
	return mp__cell_state(v->own) == MP__CELL_INSIDE;
}

static int wait_inside(struct visit *v)
{
	mp__barrier *b = v->b;
	struct mp__spin spin = mp__spin_begin();

	while (inside(v) && mp__spin_on(&spin))
		;
	mp__spin_end(&spin, !inside(v));
	mp__waiting_begin(&b->at->head, 0);
	while (inside(v)) {
		uint32_t heard = mp__bell_listen(&b->at->bell);
		if (!inside(v))
			break;
		MP__TEST_POINT("barrier.before_sleep");
		if (mp__bell_sleep(&b->at->bell, heard, v->deadline) == -ETIMEDOUT) {
			mp__waiting_end();
			return timed_out(v);
		}
		if (inside(v))
			look(b);
	}
	mp__waiting_end();
	return learn_outcome(v);
}

/*
 * The last one, without the guard and with nobody else coming in: sees whether all still live, when
 * they have waited for long, and runs the action. >= 0 or the action's error, inside the guard
 * again; -ETIMEDOUT and not inside it.
 */
static int run_action(struct visit *v, mp_barrier_action *action, void *arg, bool ask)
{
	mp__barrier *b = v->b;
	unsigned own = (unsigned)(v->own - b->at->cells);
	int r = 0;

	atomic_store_explicit(&b->at->acting, own + 1, memory_order_relaxed);
	MP__TEST_POINT("barrier.before_action");
	mp__guard_leave(&b->at->guard);
	if (ask)
		mp__barrier_look(b, own + 1, b->parties - 1);
	if (action && inside(v))
		r = action(arg);
	MP__TEST_POINT("barrier.after_action");
	return r;
}

static int conclude(struct visit *v, mp_barrier_action *action, void *arg)
{
	mp__barrier *b = v->b;
	int64_t since = (int64_t)atomic_load_explicit(&b->at->since, memory_order_relaxed);
	bool ask = mp__now_ns() - since > (int64_t)b->parties * LOOK_ALL_NS;
	mp__cell *gone;
	int r = 0;

	if (ask || action) {
		r = run_action(v, action, arg, ask);
		if (mp__barrier_enter(b, MP__GUARD_PATIENTLY) < 0) {
			if (give_up(v))
				return -ETIMEDOUT;
			return learn_outcome(v);
		}
	}
	bool open = inside(v); /* nobody has reset, aborted or left meanwhile */
	if (open && r < 0)
		mp__barrier_break(b, MP_BARRIER_ACTION_FAILED, &v->own->who);
	else if (open && mp__barrier_complete(b, &gone))
		mp__barrier_end_round(b, MP__CELL_PASSED);
	else if (open)
		mp__barrier_break(b, MP_BARRIER_TIMED_OUT, &gone->who);
	mp__barrier_leave_and_wake(b);
	if (r < 0) {
		mp__barrier_acknowledge(b, v->own);
		return r;
	}
	return learn_outcome(v);
}

/* --- the calls --------------------------------------------------------------------------------- */

int mp_barrier_wait_action(
	mp_barrier *barrier, mp_barrier_action *action, void *arg, int timeout_ms)
{
	mp__barrier view;
	struct visit v = {.b = &view, .nowait = timeout_ms == MP_NOWAIT};
	int r = mp__barrier_of(barrier, &view);

	if (r < 0)
		return r;
	int limit_ms = atomic_load_explicit(&v.b->at->limit_ms, memory_order_relaxed);
	if (limit_ms > 0 && (timeout_ms < 0 || timeout_ms > limit_ms))
		timeout_ms = limit_ms;
	v.deadline = mp__deadline_in(timeout_ms);
	r = come_in(&v);
	if (r == IS_LAST)
		return conclude(&v, action, arg);
	if (r == WAITS)
		return wait_inside(&v);
	return r;
}

int mp_barrier_wait(mp_barrier *barrier, int timeout_ms)
{
	return mp_barrier_wait_action(barrier, NULL, NULL, timeout_ms);
}
