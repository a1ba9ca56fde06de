/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "queue/lease.h"

#include "queue/get.h"
#include "queue/store_order.h"

#include "base/cleanup.h"
#include "base/error.h"
#include "base/testpoint.h"

#include <limits.h>
#include <stdlib.h>

/* Somebody who waits looks for the dead so often; a little less than the pace of sleepers. */
#define LOOK_NS (MP__BELL_RECHECK_MS * INT64_C(900000))
/* Somebody who finds messages does too, lest a queue that is never empty keep what the dead had. */
#define LOOK_BUSY_NS INT64_C(250000000)

#define ENTRY_MASK ((UINT64_C(1) << MP__STORE_LEASE_BITS) - 1)

_Static_assert(MP__STORE_ENTRIES_MAX < (uint32_t)ENTRY_MASK, "a lease names its entry");

/* --- one lease ------------------------------------------------------------------------------------ */

void mp__lease_begin(struct mp_queue *q, uint32_t e, mp_lease *ret_lease)
{
	struct mp__store *s = q->store;
	struct mp__store_entry *entry = mp__store_entry(s, e);
	uint32_t deliveries = mp__store_deliveries(mp__store_state(entry));
	uint64_t number = atomic_fetch_add_explicit(&s->root->next_lease, 1, memory_order_relaxed);
	uint64_t id = number << MP__STORE_LEASE_BITS | (e + 1);

	deliveries += deliveries < UINT32_MAX;
	entry->lease = id;
	entry->owner = mp__life_stamp(&q->life, q->segment.fd);
	MP__TEST_POINT("lease.written");
	mp__store_set_state(entry, MP__STORE_LEASED, deliveries);
	MP__TEST_POINT("lease.committed");
	*ret_lease = (mp_lease){.id = id, .deliveries = deliveries, .redelivered = deliveries > 1};
	bool whole = mp__order_remove_first(s) && mp__list_add(s, &s->root->leased, e);
	mp__store_count(s, 0, 1, 0);
	if (!whole)
		mp__store_taken_over(q);
	MP__TEST_POINT("lease.counted");
}

/* Inside: the entry of a lease that this process has. */
static int find_lease(struct mp_queue *q, mp_lease lease, uint32_t *ret_entry)
{
	struct mp__store *s = q->store;
	const uint32_t entries_max = MP__STORE_ENTRIES_MAX;
	uint64_t number = lease.id >> MP__STORE_LEASE_BITS;
	uint64_t e = (lease.id & ENTRY_MASK) - 1;

	/* The table may have been larger when it began. */
	if (e >= s->capacity &&
		(e >= entries_max || number == 0 ||
			number >= atomic_load_explicit(&s->root->next_lease, memory_order_relaxed)))
		return mp_error_set(-EINVAL, "a lease: it is none of this queue");
	const struct mp__store_entry *entry =
		e < s->capacity ? mp__store_entry(s, (uint32_t)e) : NULL;
	if (!entry || mp__store_kind_of(mp__store_state(entry)) != MP__STORE_LEASED ||
		entry->lease != lease.id)
		return mp_error_set(-ESTALE, "a lease: it has ended already");
	if (!mp__life_is_own(entry->owner))
		return mp_error_set(-EPERM, "a lease: it is that of process %d",
			(int)mp__stamp_tid(entry->owner));
	*ret_entry = (uint32_t)e;
	return 0;
}

/* Inside get_guard if 0. */
static int enter_with(struct mp_queue *q, mp_lease lease, uint32_t *ret_entry)
{
	struct mp__queue_wait wait = mp__queue_wait_patiently();

	if (!q || !q->store || !q->store->leases)
		return mp_error_set(-EINVAL, "a lease: no queue, or it has no leases");
	int r = mp__store_enter(q, &wait);
	if (r < 0)
		return r;
	r = find_lease(q, lease, ret_entry);
	if (r < 0)
		mp__guard_leave(&q->control->get_guard);
	return r;
}

/* Outside, after a lease has ended and its message did not become ready: who may wait for that? */
static void ring_for_the_end(struct mp_queue *q)
{
	struct mp__queue_control *c = q->control;

	if (q->flags & MP__QUEUE_JOINABLE)
		mp__watched_bell_ring(&c->done_bell, INT_MAX);
	/* Getters of a queue that drains wait for what may come back. */
	if (atomic_load_explicit(&c->shutdown, memory_order_relaxed) != 0)
		mp__watched_bell_ring(&c->items_bell, INT_MAX);
}

int mp_queue_ack(mp_queue *queue, mp_lease lease)
{
	struct mp__store_block *block = NULL;
	uint32_t e;

	int r = enter_with(queue, lease, &e);
	if (r < 0)
		return r;
	r = mp__store_take(queue, e, false, &block);
	mp__queue_leave(&queue->control->get_guard, &queue->control->room_bell, 1);
	MP__TEST_POINT("lease.ack.rung");
	if (r < 0)
		return r;
	ring_for_the_end(queue);
	mp__store_forget(queue, block);
	return 0;
}

/* --- coming back ---------------------------------------------------------------------------------- */

/* Inside: a leased entry is ready again, set aside, or gone with the end of the queue. */
static int give_back(struct mp_queue *q, uint32_t e)
{
	struct mp__store *s = q->store;
	struct mp__store_entry *entry = mp__store_entry(s, e);
	uint32_t deliveries = mp__store_deliveries(mp__store_state(entry));
	struct mp__store_block *block = NULL;

	if (atomic_load_explicit(&q->control->shutdown, memory_order_relaxed) & MP__QUEUE_NO_GETS) {
		int r = mp__store_take(q, e, false, &block);
		if (r == 0)
			mp__store_forget(q, block);
		return r;
	}
	bool poison = s->max_deliveries != 0 && deliveries >= s->max_deliveries;
	mp__store_set_state(entry, poison ? MP__STORE_POISON : MP__STORE_READY, deliveries);
	MP__TEST_POINT("lease.back.committed");
	bool whole = mp__list_remove(s, &s->root->leased, e);
	mp__store_count(s, 0, -1, 0);
	if (poison) {
		whole = mp__list_add(s, &s->root->poison, e) && whole;
		atomic_fetch_add_explicit(&s->root->poisoned, 1, memory_order_relaxed);
	} else {
		whole = mp__order_add(s, e) && whole;
	}
	if (!whole)
		mp__store_taken_over(q);
	MP__TEST_POINT("lease.back.counted");
	return 0;
}

int mp_queue_nack(mp_queue *queue, mp_lease lease)
{
	uint32_t e;

	int r = enter_with(queue, lease, &e);
	if (r < 0)
		return r;
	r = give_back(queue, e);
	mp__queue_leave(&queue->control->get_guard, &queue->control->items_bell, 1);
	MP__TEST_POINT("lease.back.rung");
	ring_for_the_end(queue);
	return r;
}

/* --- the leases of the dead ----------------------------------------------------------------------- */

static int compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a;
	uint64_t y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

/* Inside: a walk through the leased ones, no longer than the table. Starts with *at = 0. */
static bool next_leased(
	const struct mp__store *s, uint32_t *at, uint32_t *steps, uint32_t *ret_entry)
{
	uint32_t next = *steps == 0 ? __atomic_load_n(&s->root->leased, __ATOMIC_RELAXED) : *at;

	if (next == 0 || next > s->capacity || ++*steps > s->capacity)
		return false;
	*ret_entry = next - 1;
	*at = __atomic_load_n(&mp__store_entry(s, next - 1)->next, __ATOMIC_RELAXED);
	return mp__store_kind_of(mp__store_state(mp__store_entry(s, next - 1))) == MP__STORE_LEASED;
}

bool mp__lease_has_others(struct mp_queue *q)
{
	const struct mp__store *s = q->store;
	uint32_t steps = 0;
	uint32_t at = 0;
	uint32_t e;

	while (next_leased(s, &at, &steps, &e)) {
		if (!mp__life_is_own(mp__store_entry(s, e)->owner))
			return true;
	}
	return false;
}

/* At most; no more than the table has entries, whatever the count says. */
static int count_leases(struct mp_queue *q, struct mp__queue_wait *wait)
{
	int r = mp__store_enter(q, wait);

	if (r < 0)
		return r;
	uint32_t n = mp__store_leased(q->store);
	if (n > q->store->capacity)
		n = q->store->capacity;
	mp__guard_leave(&q->control->get_guard);
	return (int)n;
}

/* The owners of all leases, each once. How many; < 0 an error. */
static int collect_owners(
	struct mp_queue *q, struct mp__queue_wait *wait, uint64_t *owners, size_t room)
{
	struct mp__store *s = q->store;
	uint32_t steps = 0;
	uint32_t at = 0;
	size_t n = 0;
	size_t kept = 0;
	uint32_t e;

	int r = mp__store_enter(q, wait);
	if (r < 0)
		return r;
	atomic_store_explicit(&s->root->looked_ns, (uint64_t)mp__now_ns(), memory_order_relaxed);
	while (n < room && next_leased(s, &at, &steps, &e))
		owners[n++] = mp__store_entry(s, e)->owner;
	mp__guard_leave(&q->control->get_guard);
	qsort(owners, n, sizeof(*owners), compare);
	for (size_t i = 0; i < n; i++) {
		if (i == 0 || owners[i] != owners[i - 1])
			owners[kept++] = owners[i];
	}
	return (int)kept;
}

/* What these have comes back. How many. */
static int return_all_of(
	struct mp_queue *q, struct mp__queue_wait *wait, const uint64_t *dead, size_t n)
{
	struct mp__store *s = q->store;
	uint32_t steps = 0;
	uint32_t at = 0;
	int count = 0;
	uint32_t e;

	int r = mp__store_enter(q, wait);
	if (r < 0)
		return r;
	while (r == 0 && next_leased(s, &at, &steps, &e)) {
		uint64_t owner = mp__store_entry(s, e)->owner;
		if (!bsearch(&owner, dead, n, sizeof(*dead), compare))
			continue;
		r = give_back(q, e);
		count += r == 0;
	}
	mp__queue_leave(&q->control->get_guard, &q->control->items_bell, count);
	if (count > 0)
		ring_for_the_end(q);
	return r < 0 ? r : count;
}

/* Should this call look, or has another one done so within this time? */
static bool is_time(const struct mp__store *s, int64_t pace_ns)
{
	if (!s->leases || mp__store_leased(s) == 0)
		return false;
	int64_t looked = (int64_t)atomic_load_explicit(&s->root->looked_ns, memory_order_relaxed);
	int64_t now = mp__now_ns();
	return looked > now || now - looked >= pace_ns;
}

static int return_dead(struct mp_queue *q, struct mp__queue_wait *wait)
{
	size_t dead = 0;

	int room = count_leases(q, wait);
	if (room <= 0)
		return room;
	MP__AUTO_FREE uint64_t *owners = malloc((size_t)room * sizeof(*owners));
	/* Without memory for that it is for somebody else, or for the next time. */
	if (!owners)
		return 0;
	int n = collect_owners(q, wait, owners, (size_t)room);
	if (n < 0)
		return n;
	/* Outside the guard: to ask about each takes time. Those who live have stamps nobody else gets. */
	for (int i = 0; i < n; i++) {
		if (mp__life_ended(q->segment.fd, owners[i]))
			owners[dead++] = owners[i];
	}
	return dead > 0 ? return_all_of(q, wait, owners, dead) : 0;
}

int mp__lease_return_dead(struct mp_queue *q, struct mp__queue_wait *wait)
{
	return is_time(q->store, wait->timeout_ms == 0 ? 0 : LOOK_NS) ? return_dead(q, wait) : 0;
}

int mp__lease_return_dead_at_times(struct mp_queue *q, struct mp__queue_wait *wait)
{
	return is_time(q->store, LOOK_BUSY_NS) ? return_dead(q, wait) : 0;
}

bool mp__lease_ready_to_get(struct mp_queue *q, bool suspicious)
{
	struct mp__queue_wait wait = mp__queue_wait_of(0);
	uint32_t shutdown = atomic_load_explicit(&q->control->shutdown, memory_order_acquire);

	if (suspicious)
		(void)mp__lease_return_dead(q, &wait);
	if (mp__store_size(q) != 0 || shutdown & MP__QUEUE_NO_GETS)
		return true;
	if (shutdown == 0)
		return false;
	if (mp__store_enter(q, &wait) < 0)
		return true; /* a get will tell */
	bool others = mp__lease_has_others(q);
	mp__guard_leave(&q->control->get_guard);
	return !others;
}
