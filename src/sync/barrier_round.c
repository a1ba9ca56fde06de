/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "sync/barrier_round.h"

#include "base/error.h"
#include "base/futex.h"
#include "base/testpoint.h"
#include "sync/object.h"

#include <limits.h>
#include <string.h>
#include <sys/prctl.h>

/* For what must be cleaned up after a deadline: who holds the guard is stopped or dying. */
#define GRACE_MS 100

int mp__barrier_of(const mp_barrier *barrier, mp__barrier *ret)
{
	struct mp__barrier_layout *at = (struct mp__barrier_layout *)(uintptr_t)barrier;
	int r = mp__sync_check(
		(const struct mp__sync_head *)(const void *)barrier, MP__MAGIC_BARRIER);

	if (r < 0)
		return r;
	uint32_t n = atomic_load_explicit(&at->parties, memory_order_relaxed);
	bool fits = n >= 1 && (n <= MP_BARRIER_PARTIES_MAX ||
				      (n <= MP__BARRIER_PARTIES_LIMIT &&
					      mp__object_room(at, 0) >= mp__barrier_size(n)));
	if (!fits)
		return mp_error_set(-EINVAL, "barrier at %p: its memory is damaged: %u parties",
			(const void *)barrier, n);
	ret->at = at;
	ret->parties = n;
	return 0;
}

/* --- cells ------------------------------------------------------------------------------------ */

void mp__barrier_who_am_i(struct mp__barrier_who *ret_who)
{
	uint64_t name[2] = {0};

	prctl(PR_GET_NAME, (char *)name);
	atomic_store_explicit(&ret_who->stamp, mp__stamp_self(), memory_order_relaxed);
	atomic_store_explicit(&ret_who->process, mp__stamp_process(), memory_order_relaxed);
	for (int i = 0; i < 2; i++)
		atomic_store_explicit(&ret_who->name[i], name[i], memory_order_relaxed);
}

static void copy_who(struct mp__barrier_who *to, const struct mp__barrier_who *from)
{
	const _Atomic uint64_t *f = &from->stamp;
	_Atomic uint64_t *t = &to->stamp;

	for (size_t i = 0; i < sizeof(*to) / sizeof(*t); i++)
		atomic_store_explicit(&t[i], atomic_load_explicit(&f[i], memory_order_relaxed),
			memory_order_relaxed);
}

mp__cell *mp__barrier_own(mp__barrier *b)
{
	/* Where this thread was found last: most use one barrier for long. */
	static __thread unsigned hint __attribute__((tls_model("initial-exec")));
	unsigned n = b->parties;
	uint64_t self = mp__stamp_self();

	for (unsigned i = 0, at = hint < n ? hint : 0; i < n; i++, at = at + 1 < n ? at + 1 : 0) {
		mp__cell *c = &b->at->cells[at];
		if (atomic_load_explicit(&c->who.stamp, memory_order_relaxed) == self &&
			mp__cell_state(c) != MP__CELL_EMPTY) {
			hint = at;
			return c;
		}
	}
	return NULL;
}

mp__cell *mp__barrier_find(mp__barrier *b, unsigned state)
{
	unsigned n = b->parties;

	for (unsigned i = 0; i < n; i++) {
		if (mp__cell_state(&b->at->cells[i]) == state)
			return &b->at->cells[i];
	}
	return NULL;
}

void mp__barrier_claim(mp__cell *c, uint32_t state)
{
	/* Empty until all of it is written. */
	atomic_store_explicit(&c->state, MP__CELL_EMPTY, memory_order_relaxed);
	MP__TEST_POINT("barrier.emptied");
	mp__barrier_who_am_i(&c->who);
	MP__TEST_POINT("barrier.named");
	atomic_store_explicit(&c->state, state, memory_order_release);
}

void mp__barrier_acknowledge(mp__barrier *b, mp__cell *c)
{
	uint32_t seen = atomic_load_explicit(&c->state, memory_order_acquire);
	mp__bell *door = &b->at->door; /* an address: the barrier may be gone below */
	uint32_t left;

	do {
		bool member =
			(seen & MP__CELL_STATES) == MP__CELL_PASSED && !(seen & MP__CELL_FORGET);
		left = member ? MP__CELL_OUTSIDE : MP__CELL_EMPTY;
	} while (!atomic_compare_exchange_weak(&c->state, &seen, left));
	if (seen & MP__CELL_WANTED)
		mp__futex_wake(door, INT_MAX);
}

/* A state that tells the end of a wait, which its owner has not seen. */
static bool is_outcome(unsigned state)
{
	return state == MP__CELL_PASSED || state == MP__CELL_BROKEN || state == MP__CELL_RESET;
}

void mp__barrier_want_cells(mp__barrier *b)
{
	unsigned n = b->parties;

	for (unsigned i = 0; i < n; i++) {
		uint32_t seen = atomic_load_explicit(&b->at->cells[i].state, memory_order_relaxed);
		if (is_outcome(seen & MP__CELL_STATES))
			atomic_compare_exchange_strong(
				&b->at->cells[i].state, &seen, seen | MP__CELL_WANTED);
	}
}

/* --- how a round ends -------------------------------------------------------------------------- */

static void finish_round(mp__barrier *b)
{
	uint64_t last = atomic_load_explicit(&b->at->last, memory_order_relaxed);
	uint32_t outcome = last & MP__CELL_STATES;
	unsigned n = b->parties;

	if (!is_outcome(outcome)) /* damaged */
		outcome = MP__CELL_BROKEN;
	for (unsigned i = 0; i < n; i++) {
		uint32_t inside = MP__CELL_INSIDE;
		/* Its owner may be giving up at this very moment: one of the two comes first. */
		if (!atomic_compare_exchange_strong(&b->at->cells[i].state, &inside, outcome) &&
			(inside & MP__CELL_STATES) == MP__CELL_GONE)
			atomic_store(&b->at->cells[i].state, MP__CELL_EMPTY);
		MP__TEST_POINT("barrier.told");
	}
	atomic_store_explicit(&b->at->arrived, 0, memory_order_relaxed);
	atomic_store_explicit(&b->at->acting, 0, memory_order_relaxed);
	MP__TEST_POINT("barrier.emptied_round");
	atomic_store_explicit(&b->at->era, (last >> 4) + 1, memory_order_relaxed);
}

void mp__barrier_end_round(mp__barrier *b, uint32_t outcome)
{
	uint64_t era = atomic_load_explicit(&b->at->era, memory_order_relaxed);

	atomic_store_explicit(&b->at->last, era << 4 | outcome, memory_order_relaxed);
	MP__TEST_POINT("barrier.decided");
	finish_round(b);
}

void mp__barrier_break(mp__barrier *b, uint32_t cause, const struct mp__barrier_who *by)
{
	if (atomic_load_explicit(&b->at->cause, memory_order_relaxed) == MP_BARRIER_WHOLE) {
		copy_who(&b->at->breaker, by);
		MP__TEST_POINT("barrier.blamed");
		atomic_store_explicit(&b->at->cause, cause, memory_order_release);
		MP__TEST_POINT("barrier.broken");
	}
	mp__barrier_end_round(b, MP__CELL_BROKEN);
}

void mp__barrier_forget_members(mp__barrier *b)
{
	for (unsigned i = 0; i < b->parties; i++) {
		mp__cell *c = &b->at->cells[i];
		uint32_t seen = atomic_load_explicit(&c->state, memory_order_relaxed);
		uint32_t state = seen & MP__CELL_STATES;
		bool empty = state == MP__CELL_OUTSIDE || state == MP__CELL_GONE;
		/* It fails when the owner has just left. */
		if (state == MP__CELL_PASSED)
			empty = !atomic_compare_exchange_strong(
				&c->state, &seen, seen | MP__CELL_FORGET);
		if (empty)
			atomic_store(&c->state, MP__CELL_EMPTY);
	}
}

bool mp__barrier_complete(mp__barrier *b, mp__cell **ret_gone)
{
	unsigned n = b->parties;

	for (unsigned i = 0; i < n; i++) {
		if (mp__cell_state(&b->at->cells[i]) != MP__CELL_INSIDE) {
			*ret_gone = &b->at->cells[i];
			return false;
		}
	}
	return true;
}

/* --- the dead ---------------------------------------------------------------------------------- */

static unsigned count_arrived(mp__barrier *b)
{
	unsigned n = b->parties;
	unsigned arrived = 0;

	for (unsigned i = 0; i < n; i++) {
		unsigned state = mp__cell_state(&b->at->cells[i]);
		arrived += state == MP__CELL_INSIDE || state == MP__CELL_GONE;
	}
	atomic_store_explicit(&b->at->arrived, arrived, memory_order_relaxed);
	return arrived;
}

unsigned mp__barrier_arrived(mp__barrier *b)
{
	uint32_t arrived = atomic_load_explicit(&b->at->arrived, memory_order_relaxed);

	return arrived < b->parties ? arrived : count_arrived(b);
}

bool mp__barrier_acting(mp__barrier *b)
{
	uint32_t acting = atomic_load_explicit(&b->at->acting, memory_order_relaxed);

	return acting >= 1 && acting <= b->parties &&
	       mp__cell_state(&b->at->cells[acting - 1]) == MP__CELL_INSIDE;
}

/* May be repeated from its beginning, like all that it calls. */
static void repair(mp__barrier *b)
{
	uint64_t era = atomic_load_explicit(&b->at->era, memory_order_relaxed);
	uint64_t last = atomic_load_explicit(&b->at->last, memory_order_relaxed);

	if (last >> 4 == era)
		finish_round(b);
	else if (atomic_load_explicit(&b->at->cause, memory_order_relaxed) != MP_BARRIER_WHOLE)
		mp__barrier_end_round(b, MP__CELL_BROKEN);
	count_arrived(b);
}

int mp__barrier_enter(mp__barrier *b, mp__deadline deadline)
{
	const struct mp__guard_signs signs = {
		&b->at->era, offsetof(struct mp__barrier_layout, bell) -
				     offsetof(struct mp__barrier_layout, era)};
	int r = mp__guard_enter_seeing(&b->at->guard, deadline, signs);

	if (r == MP_OWNER_DIED) {
		repair(b);
		r = 0;
	}
	return r;
}

void mp__barrier_leave_and_wake(mp__barrier *b)
{
	MP__TEST_POINT("barrier.inside_guard");
	mp__guard_leave_and_look(&b->at->guard);
	MP__TEST_POINT("barrier.before_bell");
	mp__bell_ring(&b->at->bell, INT_MAX);
	mp__bell_ring(&b->at->door, INT_MAX);
}

bool mp__barrier_owner_dead(mp__cell *c)
{
	uint64_t stamp = atomic_load_explicit(&c->who.stamp, memory_order_relaxed);

	switch (mp__cell_state(c)) {
	case MP__CELL_EMPTY:
		return false;
	case MP__CELL_GONE:
		return true;
	default:
		return mp__stamp_thread_dead(stamp);
	}
}

/*
 * The owner of this cell is dead: what does that mean for the others? Inside the guard. A thread
 * that ended outside, while its process lives, has left in order: nobody kills threads.
 */
static void bury(mp__barrier *b, mp__cell *c)
{
	uint32_t seen = atomic_load_explicit(&c->state, memory_order_relaxed);
	unsigned state = seen & MP__CELL_STATES;
	uint64_t process = atomic_load_explicit(&c->who.process, memory_order_relaxed);

	if (state == MP__CELL_INSIDE || state == MP__CELL_GONE) {
		mp__barrier_break(b,
			state == MP__CELL_GONE ? MP_BARRIER_TIMED_OUT : MP_BARRIER_DIED, &c->who);
		return;
	}
	bool expected = state == MP__CELL_OUTSIDE ||
			(state == MP__CELL_PASSED && !(seen & MP__CELL_FORGET));
	if (expected && mp__stamp_process_dead(process) &&
		atomic_load_explicit(&b->at->cause, memory_order_relaxed) == MP_BARRIER_WHOLE)
		mp__barrier_break(b, MP_BARRIER_DIED, &c->who);
	MP__TEST_POINT("barrier.buried");
	atomic_store(&c->state, MP__CELL_EMPTY);
}

void mp__barrier_look(mp__barrier *b, unsigned first, unsigned n)
{
	unsigned parties = b->parties;

	for (unsigned i = 0; i < n && i < parties; i++) {
		mp__cell *c = &b->at->cells[(first + i) % parties];
		uint64_t stamp = atomic_load_explicit(&c->who.stamp, memory_order_relaxed);

		if (!mp__barrier_owner_dead(c))
			continue;
		if (mp__barrier_enter(b, mp__deadline_in(GRACE_MS)) < 0)
			return;
		/* Still the same, and still dead? */
		if (atomic_load_explicit(&c->who.stamp, memory_order_relaxed) == stamp &&
			mp__barrier_owner_dead(c))
			bury(b, c);
		mp__barrier_leave_and_wake(b);
	}
	/* In any case once: who died inside the guard is noticed here. */
	uint64_t owner = atomic_load_explicit(&b->at->guard, memory_order_relaxed);
	if (owner != 0 && mp__stamp_thread_dead(owner) &&
		mp__barrier_enter(b, mp__deadline_in(GRACE_MS)) == 0)
		mp__barrier_leave_and_wake(b);
}
