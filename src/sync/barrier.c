/* SPDX-License-Identifier: MIT */
#include <config.h>

#include <mp/barrier.h>
#include <mp/handle.h>

#include "base/error.h"
#include "base/options.h"
#include "base/spin.h"
#include "base/testpoint.h"
#include "shm/slab.h"
#include "sync/barrier_round.h"
#include "sync/waiting.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

/* For calls that do not wait for others, but need the guard. */
#define GUARD_MS 5000
/* For what must be done although the deadline has passed, or there is none to wait for. */
#define GRACE_MS 100
/* How long destroy waits for those who have not left yet. */
#define LEAVE_MS 1000
/* To look at one cell costs some 10 us: a waiter looks at so many at a time, and not more often. */
#define LOOK_CELLS 16
#define LOOK_NS INT64_C(40000000)
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

/* " NAME" of a barrier that has one, for sentences. */
static const char *label(mp__barrier *b, char buffer[MP__SYNC_NAME_SIZE + 1])
{
	buffer[0] = ' ';
	mp__sync_name(&b->at->head, buffer + 1);
	return buffer[1] ? buffer : "";
}

/* --- make and destroy ------------------------------------------------------------------------- */

static int load_options(int parties, const mp_barrier_options *options, mp_barrier_options *known)
{
	int r = mp__options_load(known, sizeof(*known), 0, options);

	if (r < 0)
		return r;
	if (parties < 1)
		return mp_error_set(-EINVAL, "a barrier for %d parties: give 1 or more", parties);
	if (known->timeout_ms < 0)
		return mp_error_set(-EINVAL,
			"barrier: timeout_ms is %d; give 0 for no limit, or 1 and more",
			known->timeout_ms);
	return 0;
}

static void make(struct mp__barrier_layout *at, int parties, const mp_barrier_options *options)
{
	mp__sync_prepare(&at->head, options->name, 0);
	memset((char *)at + sizeof(at->head), 0,
		mp__barrier_size((unsigned)parties) - sizeof(at->head));
	atomic_init(&at->parties, (uint32_t)parties);
	atomic_init(&at->limit_ms, options->timeout_ms);
	atomic_init(&at->era, 1);
	mp__sync_publish(&at->head, MP__MAGIC_BARRIER);
}

static int too_many(int parties, int room)
{
	return mp_error_set(
		-ENOSPC, "a barrier for %d parties: there is room for %d", parties, room);
}

int mp_barrier_init(mp_barrier *barrier, int parties, const mp_barrier_options *options)
{
	mp_barrier_options known;
	int r = load_options(parties, options, &known);

	if (r < 0)
		return r;
	if (!barrier || (uintptr_t)barrier & 7)
		return mp_error_set(-EINVAL, "no barrier can stand at %p: %s", (void *)barrier,
			barrier ? "not aligned to 8 bytes" : "no memory");
	if (parties > MP_BARRIER_PARTIES_MAX)
		return too_many(parties, MP_BARRIER_PARTIES_MAX);
	make((struct mp__barrier_layout *)(void *)barrier, parties, &known);
	return 0;
}

int mp_barrier_new(int parties, const mp_barrier_options *options, mp_barrier **ret_barrier)
{
	mp_barrier_options known;
	void *at;
	int r = load_options(parties, options, &known);

	if (r < 0)
		return r;
	if (!ret_barrier)
		return mp_error_set(-EINVAL, "a new barrier: nowhere to put it");
	if (parties > MP__BARRIER_PARTIES_LIMIT)
		return too_many(parties, MP__BARRIER_PARTIES_LIMIT);
	size_t size = mp__barrier_size((unsigned)parties);
	r = mp__slab_alloc(
		size > sizeof(mp_barrier) ? size : sizeof(mp_barrier), MP__HANDLE_BARRIER, &at);
	if (r < 0)
		return r;
	make(at, parties, &known);
	*ret_barrier = at;
	return 0;
}

mp_barrier *mp_barrier_ref(mp_barrier *barrier)
{
	if (barrier)
		mp__slab_ref(barrier);
	return barrier;
}

void mp_barrier_close(mp_barrier *barrier)
{
	if (barrier)
		mp__slab_unref(barrier);
}

mp_obj mp_barrier_handle(mp_barrier *barrier)
{
	return mp__slab_handle(barrier, MP__HANDLE_BARRIER);
}

mp_barrier *mp_obj_barrier(const mp_obj *value)
{
	return mp__slab_object(value, MP__HANDLE_BARRIER);
}

static int check_imported(const void *object, size_t size)
{
	const struct mp__barrier_layout *at = object;
	uint32_t n;

	if (size < sizeof(mp_barrier) ||
		atomic_load_explicit(&at->head.magic, memory_order_acquire) != MP__MAGIC_BARRIER)
		return mp_error_set(-EBADMSG, "what arrived as a barrier is none");
	n = atomic_load_explicit(&at->parties, memory_order_relaxed);
	if (n < 1 || n > MP__BARRIER_PARTIES_LIMIT || mp__barrier_size(n) > size)
		return mp_error_set(
			-EBADMSG, "a barrier for %u parties arrived in %zu bytes", n, size);
	return 0;
}

MP__SLAB_TYPE(mp__barrier_type, MP__HANDLE_BARRIER, "barrier", check_imported)

/* A cell in whose barrier somebody lives: inside, or on the way out. */
static mp__cell *find_user(mp__barrier *b, bool inside)
{
	unsigned n = b->parties;

	for (unsigned i = 0; i < n; i++) {
		mp__cell *c = &b->at->cells[i];
		unsigned state = mp__cell_state(c);
		if (state == MP__CELL_EMPTY || state == MP__CELL_OUTSIDE)
			continue;
		if ((state == MP__CELL_INSIDE) == inside && !mp__barrier_owner_dead(c))
			return c;
	}
	return NULL;
}

static int busy(mp__barrier *b, mp__cell *c, const char *how)
{
	uint64_t stamp = atomic_load_explicit(&c->who.stamp, memory_order_relaxed);
	char name[MP__SYNC_NAME_SIZE + 1];

	return mp_error_set(
		-EBUSY, "barrier%s: thread %d %s", label(b, name), (int)mp__stamp_tid(stamp), how);
}

int mp_barrier_destroy(mp_barrier *barrier)
{
	mp__barrier view;
	mp__barrier *b = &view;
	mp__deadline deadline = mp__deadline_in(LEAVE_MS);
	mp__cell *c;
	int r = mp__barrier_of(barrier, b);

	while (r == 0) {
		uint32_t heard = mp__bell_listen(&b->at->door);
		mp__barrier_want_cells(b);
		if ((c = find_user(b, true)))
			return busy(b, c, "waits at it");
		if (!(c = find_user(b, false)))
			break;
		if (mp__bell_sleep(&b->at->door, heard, deadline) == -ETIMEDOUT)
			return busy(b, c, "was let go, but has not left it for a second");
	}
	if (r == 0)
		r = mp__barrier_enter(b, mp__deadline_in(GUARD_MS));
	if (r < 0)
		return r;
	c = find_user(b, true);
	if (c)
		r = busy(b, c, "waits at it");
	else
		atomic_store_explicit(&b->at->head.magic, 0, memory_order_relaxed);
	mp__guard_leave(&b->at->guard);
	return r;
}

/* --- errors ------------------------------------------------------------------------------------ */

static void copy_party(mp__barrier *b, mp_barrier_party *party)
{
	struct mp__barrier_who *who = &b->at->breaker;

	memset(party, 0, sizeof(*party));
	party->tid = mp__stamp_tid(atomic_load_explicit(&who->stamp, memory_order_relaxed));
	party->pid = mp__stamp_tid(atomic_load_explicit(&who->process, memory_order_relaxed));
	for (size_t i = 0; i < 2; i++) {
		uint64_t part = atomic_load_explicit(&who->name[i], memory_order_relaxed);
		memcpy(party->name + i * sizeof(part), &part, sizeof(part));
	}
	party->name[sizeof(party->name) - 1] = '\0';
	/* Anybody may have written it. */
	for (char *c = party->name; *c; c++) {
		if (!isprint((unsigned char)*c))
			*c = '?';
	}
}

static int broken_error(mp__barrier *b)
{
	static const char *const causes[] = {
		[MP_BARRIER_ABORTED] = "aborted it",
		[MP_BARRIER_TIMED_OUT] = "waited in vain until its deadline",
		[MP_BARRIER_DIED] = "has died",
		[MP_BARRIER_ACTION_FAILED] = "ran the action, which failed",
	};
	uint32_t cause = atomic_load_explicit(&b->at->cause, memory_order_acquire);
	mp_barrier_party by;
	char name[MP__SYNC_NAME_SIZE + 1];

	if (cause < 1 || cause > MP_BARRIER_ACTION_FAILED)
		return mp_error_set(-EPIPE, "barrier%s was broken", label(b, name));
	copy_party(b, &by);
	return mp_error_set(-EPIPE, "barrier%s is broken: thread %d of process %d (%s) %s",
		label(b, name), by.tid, by.pid, by.name, causes[cause]);
}

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
			label(b, name));
	if (own && mp__cell_state(own) == MP__CELL_GONE)
		mp__barrier_break(b, MP_BARRIER_TIMED_OUT, &own->who);
	if (atomic_load_explicit(&b->at->cause, memory_order_relaxed) != MP_BARRIER_WHOLE)
		return broken_error(b);
	bool full = arrived >= parties || mp__barrier_acting(b);
	if (v->nowait && (full || arrived + 1 < parties))
		return mp_error_set(-EAGAIN, "barrier%s: %u of %u parties wait", label(b, name),
			arrived, parties);
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

	for (unsigned look = 0;; look += LOOK_CELLS) {
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
		mp__barrier_look(b, look, LOOK_CELLS);
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
		r = mp_error_set(-ECANCELED, "barrier%s was reset", label(v->b, name));
		break;
	default:
		r = broken_error(v->b);
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
	const char *called = label(b, name);

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
	unsigned look = (unsigned)(v->own - b->at->cells) + 1;
	int64_t looked = mp__now_ns();

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
		if (inside(v) && mp__now_ns() - looked >= LOOK_NS) {
			mp__barrier_look(b, look, LOOK_CELLS);
			look += LOOK_CELLS;
			looked = mp__now_ns();
		}
	}
	mp__waiting_end();
	return learn_outcome(v);
}

/*
 * The last one, without the guard and with nobody else coming in: sees whether all still live, when
 * they have waited for long, and runs the action. >= 0 or the action's error, inside the guard
 * again; -ETIMEDOUT and not inside it.
 */
static int run_action(struct visit *v, mp_barrier_action *action, void *arg, bool look)
{
	mp__barrier *b = v->b;
	unsigned own = (unsigned)(v->own - b->at->cells);
	int r = 0;

	atomic_store_explicit(&b->at->acting, own + 1, memory_order_relaxed);
	MP__TEST_POINT("barrier.before_action");
	mp__guard_leave(&b->at->guard);
	if (look)
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
	bool look = mp__now_ns() - since > (int64_t)b->parties * LOOK_ALL_NS;
	mp__cell *gone;
	int r = 0;

	if (look || action) {
		r = run_action(v, action, arg, look);
		if (mp__barrier_enter(b, mp__deadline_in(GUARD_MS)) < 0) {
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

int mp_barrier_abort(mp_barrier *barrier)
{
	mp__barrier view;
	mp__barrier *b = &view;
	struct mp__barrier_who self;
	int r = mp__barrier_of(barrier, b);

	if (r == 0)
		r = mp__barrier_enter(b, mp__deadline_in(GUARD_MS));
	if (r < 0)
		return r;
	mp__barrier_who_am_i(&self);
	mp__barrier_break(b, MP_BARRIER_ABORTED, &self);
	mp__barrier_leave_and_wake(b);
	return 0;
}

int mp_barrier_reset(mp_barrier *barrier)
{
	mp__barrier view;
	mp__barrier *b = &view;
	int r = mp__barrier_of(barrier, b);

	if (r == 0)
		r = mp__barrier_enter(b, mp__deadline_in(GUARD_MS));
	if (r < 0)
		return r;
	mp__barrier_end_round(b, MP__CELL_RESET);
	MP__TEST_POINT("barrier.sent_away");
	mp__barrier_forget_members(b);
	MP__TEST_POINT("barrier.forgotten");
	atomic_store_explicit(&b->at->cause, MP_BARRIER_WHOLE, memory_order_release);
	mp__barrier_leave_and_wake(b);
	return 0;
}

/* --- membership ---------------------------------------------------------------------------------- */

static int take_membership(mp__barrier *b)
{
	char name[MP__SYNC_NAME_SIZE + 1];
	mp__cell *own = mp__barrier_own(b);

	if (atomic_load_explicit(&b->at->cause, memory_order_relaxed) != MP_BARRIER_WHOLE)
		return broken_error(b);
	if (own)
		return 0;
	mp__cell *c = mp__barrier_find(b, MP__CELL_EMPTY);
	if (!c)
		return mp_error_set(-ENOSPC, "barrier%s: all its %u parties are there already",
			label(b, name), b->parties);
	mp__barrier_claim(c, MP__CELL_OUTSIDE);
	return 0;
}

int mp_barrier_join(mp_barrier *barrier)
{
	mp__barrier view;
	mp__barrier *b = &view;
	int r = mp__barrier_of(barrier, b);

	if (r == 0)
		r = mp__barrier_enter(b, mp__deadline_in(GUARD_MS));
	if (r < 0)
		return r;
	r = take_membership(b);
	mp__guard_leave(&b->at->guard);
	return r;
}

static int give_membership(mp__barrier *b)
{
	char name[MP__SYNC_NAME_SIZE + 1];
	mp__cell *own = mp__barrier_own(b);

	if (!own)
		return mp_error_set(
			-EPERM, "barrier%s: this thread is none of its parties", label(b, name));
	if (mp__cell_state(own) == MP__CELL_INSIDE)
		return mp_error_set(-EDEADLK,
			"barrier%s: this thread is inside; it can't leave before its wait ends",
			label(b, name));
	atomic_store(&own->state, MP__CELL_EMPTY);
	return 0;
}

int mp_barrier_leave(mp_barrier *barrier)
{
	mp__barrier view;
	mp__barrier *b = &view;
	int r = mp__barrier_of(barrier, b);

	if (r == 0)
		r = mp__barrier_enter(b, mp__deadline_in(GUARD_MS));
	if (r < 0)
		return r;
	r = give_membership(b);
	mp__guard_leave(&b->at->guard);
	return r;
}

int mp_barrier_parties(mp_barrier *barrier)
{
	mp__barrier view;
	int r = mp__barrier_of(barrier, &view);

	return r < 0 ? r : (int)view.parties;
}

int mp_barrier_waiting(mp_barrier *barrier)
{
	mp__barrier view;
	mp__barrier *b = &view;
	int r = mp__barrier_of(barrier, b);

	if (r < 0)
		return r;
	unsigned arrived = atomic_load_explicit(&b->at->arrived, memory_order_relaxed);
	unsigned parties = b->parties;
	return (int)(arrived < parties ? arrived : parties);
}

int mp_barrier_broken(mp_barrier *barrier, mp_barrier_party *ret_by)
{
	mp__barrier view;
	mp__barrier *b = &view;
	int r = mp__barrier_of(barrier, b);

	if (r < 0)
		return r;
	uint32_t cause = atomic_load_explicit(&b->at->cause, memory_order_acquire);
	if (cause == MP_BARRIER_WHOLE)
		return 0;
	if (ret_by)
		copy_party(b, ret_by);
	return cause <= MP_BARRIER_ACTION_FAILED ? (int)cause : MP_BARRIER_ABORTED;
}
