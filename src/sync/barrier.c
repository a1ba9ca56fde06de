/* SPDX-License-Identifier: MIT */
#include <config.h>

#include <mp/barrier.h>

#include "base/error.h"
#include "base/options.h"
#include "base/testpoint.h"
#include "sync/barrier_round.h"
#include "sync/object.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

/* How long destroy waits for those who have not left yet. */
#define LEAVE_MS 1000

const char *mp__barrier_label(mp__barrier *b, char buffer[MP__SYNC_NAME_SIZE + 1])
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

	if (r == 0)
		r = mp__sync_place(
			(const struct mp__sync_head *)(const void *)barrier, MP__MAGIC_BARRIER);
	if (r < 0)
		return r;
	if (parties > MP_BARRIER_PARTIES_MAX)
		return too_many(parties, MP_BARRIER_PARTIES_MAX);
	make((struct mp__barrier_layout *)(void *)barrier, parties, &known);
	return 0;
}

static int check_arrived(const void *object, size_t size)
{
	const struct mp__barrier_layout *at = object;
	int r = mp__object_check(object, size, sizeof(mp_barrier), MP__MAGIC_BARRIER);

	if (r < 0)
		return r;
	uint32_t n = atomic_load_explicit(&at->parties, memory_order_relaxed);
	if (n < 1 || n > MP__BARRIER_PARTIES_LIMIT || mp__barrier_size(n) > size)
		return mp_error_set(
			-EBADMSG, "a barrier for %u parties arrived in %zu bytes", n, size);
	return 0;
}

MP__SYNC_OBJECT_CHECKED(barrier, BARRIER, check_arrived)

int mp_barrier_new(int parties, const mp_barrier_options *options, mp_barrier **ret_barrier)
{
	mp_barrier_options known;
	void *object = NULL;
	int r = load_options(parties, options, &known);

	if (r < 0)
		return r;
	if (parties > MP__BARRIER_PARTIES_LIMIT)
		return too_many(parties, MP__BARRIER_PARTIES_LIMIT);
	size_t size = mp__barrier_size((unsigned)parties);
	r = mp__object_place(&mp__barrier_type,
		size > sizeof(mp_barrier) ? size : sizeof(mp_barrier), ret_barrier, &object);
	if (r < 0)
		return r;
	make(object, parties, &known);
	*ret_barrier = object;
	return 0;
}

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

	return mp_error_set(-EBUSY, "barrier%s: thread %d %s", mp__barrier_label(b, name),
		(int)mp__stamp_tid(stamp), how);
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
		r = mp__barrier_enter(b, MP__GUARD_PATIENTLY);
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

int mp__barrier_broken_error(mp__barrier *b)
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
		return mp_error_set(-EPIPE, "barrier%s was broken", mp__barrier_label(b, name));
	copy_party(b, &by);
	return mp_error_set(-EPIPE, "barrier%s is broken: thread %d of process %d (%s) %s",
		mp__barrier_label(b, name), by.tid, by.pid, by.name, causes[cause]);
}

/* --- the other calls ---------------------------------------------------------------------------- */

int mp_barrier_abort(mp_barrier *barrier)
{
	mp__barrier view;
	mp__barrier *b = &view;
	struct mp__barrier_who self;
	int r = mp__barrier_of(barrier, b);

	if (r == 0)
		r = mp__barrier_enter(b, MP__GUARD_PATIENTLY);
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
		r = mp__barrier_enter(b, MP__GUARD_PATIENTLY);
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
		return mp__barrier_broken_error(b);
	if (own)
		return 0;
	mp__cell *c = mp__barrier_find(b, MP__CELL_EMPTY);
	if (!c)
		return mp_error_set(-ENOSPC, "barrier%s: all its %u parties are there already",
			mp__barrier_label(b, name), b->parties);
	mp__barrier_claim(c, MP__CELL_OUTSIDE);
	return 0;
}

int mp_barrier_join(mp_barrier *barrier)
{
	mp__barrier view;
	mp__barrier *b = &view;
	int r = mp__barrier_of(barrier, b);

	if (r == 0)
		r = mp__barrier_enter(b, MP__GUARD_PATIENTLY);
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
		return mp_error_set(-EPERM, "barrier%s: this thread is none of its parties",
			mp__barrier_label(b, name));
	if (mp__cell_state(own) == MP__CELL_INSIDE)
		return mp_error_set(-EDEADLK,
			"barrier%s: this thread is inside; it can't leave before its wait ends",
			mp__barrier_label(b, name));
	atomic_store(&own->state, MP__CELL_EMPTY);
	return 0;
}

int mp_barrier_leave(mp_barrier *barrier)
{
	mp__barrier view;
	mp__barrier *b = &view;
	int r = mp__barrier_of(barrier, b);

	if (r == 0)
		r = mp__barrier_enter(b, MP__GUARD_PATIENTLY);
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
