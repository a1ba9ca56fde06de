/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "pool/dispatch.h"

#include "base/fds.h"
#include "base/futex.h"
#include "base/hot.h"
#include "base/testpoint.h"
#include "pool/collect.h"
#include "pool/crew.h"
#include "pool/future.h"
#include "pool/known.h"
#include "pool/trace.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define ROOM_CHECK_MS 20
/* Workers that were not rung for for so long are asleep, and their caches cold. */
#define PAUSE_NS INT64_C(500000)

/* --- slots ------------------------------------------------------------------------------------ */

static bool has_room(mp_pool *pool, void *unused)
{
	(void)unused;
	return pool->no_more || pool->broken || pool->n_free > 0 ||
	       pool->n_fresh < pool->seg.n_slots;
}

static int check_open(mp_pool *pool)
{
	if (pool->no_more)
		return mp_error_set(-EPIPE, "submitting: the pool takes no more tasks, it was "
					    "joined, shut down or terminated");
	if (pool->broken)
		return mp_error_set(-EPIPE, "the pool has no workers: %s", pool->failure);
	return 0;
}

static int reserve_slot(mp_pool *pool, uint32_t *ret_number)
{
	if (!has_room(pool, NULL))
		mp__pool_wait(pool, has_room, NULL, MP__DEADLINE_NEVER);
	int r = check_open(pool);
	if (r < 0)
		return r;
	if (pool->n_free > 0) {
		*ret_number = pool->free_slots[--pool->n_free];
	} else {
		r = mp__pool_segment_allocate_slot(&pool->seg, pool->n_fresh);
		if (r < 0)
			return r;
		*ret_number = pool->n_fresh++;
	}
	pool->n_pending++;
	return 0;
}

MP__HOT void mp__pool_release_slot(mp_pool *pool, uint32_t number)
{
	struct mp__pool_pending *p = &pool->pending[number];

	if (p->fds) {
		mp__fds_close(p->fds, p->n_fds);
		free(p->fds);
	}
	if (p->extra) {
		free(p->extra->work);
		free(p->extra);
	}
	p->extra = NULL;
	if (p->room != MP__POOL_NONE)
		pool->free_rooms[pool->n_free_rooms++] = p->room;
	p->room = MP__POOL_NONE;
	p->fds = NULL;
	p->n_fds = 0;
	p->args_paid = p->result_paid = false;
	pool->free_slots[pool->n_free++] = number;
	pool->n_pending--;
	pool->n_finished++;
}

/* Duplicates, so that they can be sent again whatever the caller does with his. */
static int keep_fds(struct mp__pool_pending *p, const struct mp__cargo *cargo)
{
	if (!cargo || cargo->n_fds == 0)
		return 0;
	p->fds = malloc(cargo->n_fds * sizeof(*p->fds));
	if (!p->fds)
		return mp_error_set(-ENOMEM, "no memory for %zu descriptors", cargo->n_fds);
	for (; p->n_fds < cargo->n_fds; p->n_fds++) {
		int fd = mp__fd_dup(cargo->fds[p->n_fds]);
		if (fd < 0)
			return fd;
		p->fds[p->n_fds] = fd;
	}
	return 0;
}

/* Arguments that are in the slot have to be written again; longer ones stay in their file. */
static struct mp__pool_work *copy_work(const struct mp__pool_work *work)
{
	size_t size = work->args_size <= MP__POOL_ROOM_BYTES ? work->args_size : 0;
	struct mp__pool_work *copy = malloc(sizeof(*copy) + size);

	if (!copy)
		return NULL;
	*copy = *work;
	copy->args = copy + 1;
	copy->cargo = NULL;
	copy->options = NULL;
	memcpy(copy + 1, work->args, size);
	return copy;
}

static int keep_options(struct mp__pool_pending *p, const struct mp__pool_work *work)
{
	const mp_task_options *o = work->options;

	if (!o || (!o->name && !o->retries && !o->timeout_ms && !o->cpu_ms && !o->memory))
		return 0;
	p->extra = calloc(1, sizeof(*p->extra));
	if (!p->extra)
		return mp_error_set(-ENOMEM, "no memory for the options of a task");
	if (o->name)
		snprintf(p->extra->name, sizeof(p->extra->name), "%s", o->name);
	p->extra->retries = o->retries;
	p->extra->timeout_ms = (uint32_t)o->timeout_ms;
	p->extra->cpu_ms = (uint32_t)o->cpu_ms;
	uint64_t kib = (o->memory + 1023) / 1024;
	p->extra->memory_kib = kib < UINT32_MAX ? (uint32_t)kib : UINT32_MAX;
	if (o->retries > 0) {
		p->extra->work = copy_work(work);
		if (!p->extra->work)
			return mp_error_set(-ENOMEM, "no memory for the arguments of a task");
	}
	return 0;
}

/* The stack of free rooms can always take all that there are. */
static int make_room(mp_pool *pool)
{
	if (pool->n_free_rooms > 0)
		return 0;
	if (pool->n_rooms == pool->rooms_size) {
		uint32_t size = pool->rooms_size ? pool->rooms_size * 2 : 64;
		uint32_t *rooms = realloc(pool->free_rooms, size * sizeof(*rooms));
		if (!rooms)
			return mp_error_set(-ENOMEM, "no memory for the rooms of a pool");
		pool->free_rooms = rooms;
		pool->rooms_size = size;
	}
	int r = mp__pool_segment_allocate_room(&pool->seg, pool->n_rooms);
	if (r == 0)
		pool->free_rooms[pool->n_free_rooms++] = pool->n_rooms++;
	return r;
}

/* If it needs one, or its result is likely to. */
static int give_room(mp_pool *pool, struct mp__pool_pending *p, size_t args_size)
{
	bool wanted = p->extra ||
		      (args_size > MP__POOL_INLINE && args_size <= MP__POOL_ROOM_BYTES) ||
		      (pool->wants_room[p->task / 8] & 1u << p->task % 8);

	if (!wanted)
		return 0;
	int r = make_room(pool);
	if (r < 0)
		return r;
	p->room = pool->free_rooms[--pool->n_free_rooms];
	struct mp__pool_room *room = &pool->seg.rooms[p->room];
	room->timeout_ms = p->extra ? p->extra->timeout_ms : 0;
	room->cpu_ms = p->extra ? p->extra->cpu_ms : 0;
	room->memory_kib = p->extra ? p->extra->memory_kib : 0;
	return 0;
}

/* Write the slot, which nobody else looks at yet. */
static int fill_slot(mp_pool *pool, uint32_t number, const struct mp__pool_work *work)
{
	struct mp__pool_pending *p = &pool->pending[number];
	struct mp__pool_slot *slot = &pool->seg.slots[number];

	int r;

	slot->room = p->room;
	slot->task = p->task;
	slot->kind = (uint8_t)work->kind;
	slot->n_items = work->n_items;
	slot->args_size = (uint32_t)work->args_size;
	uint8_t *near = mp__pool_segment_bytes(&pool->seg, number, p->room, work->args_size);
	if (near) {
		memcpy(near, work->args, work->args_size);
	} else if (!p->args_paid) {
		r = mp__pool_payload_write(
			&pool->seg, number, MP__POOL_PAYLOAD_ARGS, work->args, work->args_size);
		if (r < 0)
			return r;
		p->args_paid = true;
	}
	r = keep_fds(p, work->cargo);
	slot->n_fds = p->n_fds;
	return r;
}

/* --- publishing ------------------------------------------------------------------------------- */

/* Entries from head to tail. */
static uint64_t ring_used(mp_pool *pool)
{
	return pool->tail - atomic_load_explicit(&pool->seg.header->head, memory_order_acquire);
}

/*
 * A head that cannot be is the work of a worker gone mad: the whole ring is gone through again
 * then, which is no harm, since the claim decides. What tail should be we know.
 */
static void mend_ends(mp_pool *pool)
{
	uint64_t size = pool->seg.ring_mask + UINT64_C(1);

	atomic_store(&pool->seg.header->tail, pool->tail);
	if (ring_used(pool) > size || ring_used(pool) > pool->tail)
		atomic_store(&pool->seg.header->head, pool->tail > size ? pool->tail - size : 0);
}

/* Move head past entries that somebody has taken without saying so. */
static void help_head(mp_pool *pool)
{
	struct mp__pool_header *header = pool->seg.header;

	for (uint32_t i = 0; i <= pool->seg.ring_mask; i++) {
		uint64_t head = atomic_load_explicit(&header->head, memory_order_relaxed);
		if (head >= pool->tail)
			return;
		uint64_t entry = atomic_load_explicit(
			&pool->seg.ring[head & pool->seg.ring_mask], memory_order_relaxed);
		uint32_t number = (uint32_t)entry;
		if (entry == MP__POOL_TOKEN)
			return;
		uint64_t queued = mp__pool_state((uint32_t)(entry >> 32), 0, MP__POOL_QUEUED);
		if (number < pool->seg.n_slots &&
			atomic_load_explicit(
				&pool->seg.slots[number].state, memory_order_relaxed) == queued)
			return;
		atomic_compare_exchange_strong(&header->head, &head, head + 1);
	}
}

/* May an entry be written without running over one that counts? */
static bool ring_has_room(mp_pool *pool)
{
	uint64_t used = ring_used(pool);

	if (used <= pool->seg.ring_mask && used <= pool->tail)
		return true;
	mend_ends(pool);
	help_head(pool);
	return ring_used(pool) <= pool->seg.ring_mask;
}

static void push_entry(mp_pool *pool, uint64_t entry)
{
	struct mp__pool_header *header = pool->seg.header;

	atomic_store_explicit(
		&pool->seg.ring[pool->tail & pool->seg.ring_mask], entry, memory_order_release);
	/* Partner: the load of tail in the worker's claim; ordered before the look at the bell. */
	atomic_store(&header->tail, ++pool->tail);
}

/*
 * Not if the task just published is the only one and somebody spins, or it is gone already. head is
 * read first: a spinner that takes a task stops being the spinner before it moves head.
 */
static bool needs_wakeup(struct mp__pool_header *header)
{
	uint64_t head = atomic_load(&header->head);
	uint64_t tail = atomic_load(&header->tail);

	return head + 1 < tail || (head < tail && atomic_load(&header->spinner) == 0);
}

/*
 * Did anybody sleep? Partner: wait_for_work() in worker.c, which sets the bit and then looks at
 * tail.
 */
static bool ring(struct mp__pool_header *header, uint32_t count)
{
	uint32_t bell = atomic_load(&header->bell);
	int n = count < MP__POOL_WORKERS_MAX ? (int)count : (int)MP__POOL_WORKERS_MAX;

	if (!(bell & 1))
		return false;
	int woken = mp__futex_wake(&header->bell, n);
	if (woken < n)
		atomic_compare_exchange_strong(&header->bell, &bell, bell & ~1u);
	return woken > 0;
}

void mp__pool_ring_one(struct mp__pool_header *header)
{
	ring(header, 1);
}

MP__HOT void mp__pool_ring_some(mp_pool *pool, uint32_t count)
{
	struct mp__pool_header *header = pool->seg.header;

	if (!needs_wakeup(header))
		return;
	atomic_store_explicit(&pool->rung, atomic_load(&header->tail), memory_order_relaxed);
	if (!ring(header, count))
		return;
	int64_t now = mp__now_ns();
	if (now - atomic_load_explicit(&pool->rung_ns, memory_order_relaxed) > PAUSE_NS)
		atomic_store_explicit(&pool->rung_asleep, true, memory_order_relaxed);
	atomic_store_explicit(&pool->rung_ns, now, memory_order_relaxed);
}

void mp__pool_ring_all(mp_pool *pool)
{
	struct mp__pool_header *header = pool->seg.header;

	if (pool->stopping && !atomic_load(&header->stopping))
		atomic_store(&header->stopping, 1);
	/* Also for who is about to sleep: the word changes under him. */
	atomic_fetch_add(&header->bell, 2);
	mp__futex_wake(&header->bell, INT_MAX);
}

void mp__pool_tell_all(mp_pool *pool)
{
	pool->stopping = pool->told_all = true;
	atomic_store(&pool->seg.header->stopping, 2);
	mp__pool_ring_all(pool);
}

static int send_cargo(mp_pool *pool, uint32_t number)
{
	struct mp__pool_pending *p = &pool->pending[number];
	struct mp__pool_cargo_message message = {.slot = number, .generation = p->generation};

	return mp__socket_send(pool->cargo[0], &message, sizeof(message), p->fds, p->n_fds);
}

void mp__pool_resend(mp_pool *pool)
{
	pool->resend = false;
	mend_ends(pool);
	for (uint32_t i = 0; i < pool->n_fresh; i++) {
		struct mp__pool_pending *p = &pool->pending[i];
		if (p->requeue && ring_has_room(pool)) {
			p->requeue = false;
			push_entry(pool, (uint64_t)p->generation << 32 | i);
		}
		if (p->requeue)
			pool->resend = true;
		if (!p->active || p->n_fds == 0)
			continue;
		if (mp__pool_state_status(atomic_load_explicit(
			    &pool->seg.slots[i].state, memory_order_relaxed)) != MP__POOL_QUEUED)
			continue;
		/* No room: what is in the socket gets its token, the rest comes next time. */
		if (!ring_has_room(pool)) {
			pool->resend = true;
			break;
		}
		if (send_cargo(pool, i) < 0)
			pool->resend = true;
		push_entry(pool, MP__POOL_TOKEN);
	}
	mp__pool_ring_all(pool);
}

void mp__pool_requeue(mp_pool *pool, uint32_t number)
{
	struct mp__pool_pending *p = &pool->pending[number];

	p->generation += p->generation == UINT32_MAX ? 2 : 1;
	fill_slot(pool, number, p->extra->work);
	pool->seg.slots[number].n_fds = p->n_fds;
	atomic_store_explicit(&pool->seg.slots[number].state,
		mp__pool_state(p->generation, 0, MP__POOL_QUEUED), memory_order_release);
	p->requeue = p->n_fds == 0;
	pool->resend = true;
}

struct room_wanted {
	uint64_t n_finished;
};

/* Something finished since, which is when trying again makes sense. */
static bool has_moved(mp_pool *pool, void *argument)
{
	struct room_wanted *wanted = argument;

	return pool->no_more || pool->broken || pool->n_finished != wanted->n_finished;
}

/* Everything is written: the descriptors go ahead, then the entry. Waits for room for both. */
static int publish(mp_pool *pool, uint32_t number)
{
	struct mp__pool_pending *p = &pool->pending[number];
	struct mp__pool_slot *slot = &pool->seg.slots[number];
	uint64_t entry = (uint64_t)p->generation << 32 | number;

	if (p->n_fds > 0)
		entry = MP__POOL_TOKEN;
	for (;;) {
		int r = check_open(pool);
		if (r < 0)
			return r;
		if (ring_has_room(pool)) {
			/* Before the message: who receives it claims the slot at once. */
			p->active = true;
			atomic_store_explicit(&slot->state,
				mp__pool_state(p->generation, 0, MP__POOL_QUEUED),
				memory_order_release);
			r = p->n_fds > 0 ? send_cargo(pool, number) : 0;
			if (r == 0)
				break;
			p->active = false;
			atomic_store_explicit(&slot->state,
				mp__pool_state(p->generation, 0, MP__POOL_FREE),
				memory_order_relaxed);
			/* -EAGAIN: the socket is full; -ETOOMANYREFS: too many are on their way.
			 * Other tasks take theirs out of it; with no other task it is hopeless. */
			if ((r != -EAGAIN && r != -ETOOMANYREFS) || pool->n_pending == 1)
				return mp_error_set(r == -EAGAIN ? -EMSGSIZE : r,
					"sending %u descriptors to a worker: %s", p->n_fds,
					mp_strerror(r));
		}
		/* Now and then by the clock, since workers that take tokens tell nobody. */
		struct room_wanted wanted = {.n_finished = pool->n_finished};
		mp__pool_wait(pool, has_moved, &wanted, mp__deadline_in(ROOM_CHECK_MS));
	}
	push_entry(pool, entry);
	return 0;
}

/* A worker for it, if workers come on demand. Whoever leads does that already. */
static void add_staff(mp_pool *pool)
{
	uint32_t wanted = mp__pool_crew_wanted(pool);

	if (pool->n_alive >= wanted || pool->closing)
		return;
	if (pool->leading)
		mp__pool_nudge(pool);
	else
		mp__pool_turn(pool);
}

/* Dead workers are replaced even if nobody ever waits. */
static void look_around(mp_pool *pool)
{
	if (!mp__pool_has_looked(pool) && !pool->leading && !pool->closing && !pool->closed)
		mp__pool_turn(pool);
}

MP__HOT static int dispatch_locked(
	mp_pool *pool, const struct mp__pool_work *work, uint32_t *number, mp_future *future)
{
	uint32_t index;

	look_around(pool);
	int r = check_open(pool);
	if (r < 0)
		return r;
	r = mp__pool_task_index(pool, work->task, &index);
	if (r < 0)
		return r;
	r = reserve_slot(pool, number);
	if (r < 0)
		return r;
	struct mp__pool_pending *p = &pool->pending[*number];
	p->task = (uint16_t)index;
	p->room = MP__POOL_NONE;
	p->generation += p->generation == UINT32_MAX ? 2 : 1; /* never 0 */
	p->future = future;
	if (future)
		future->slot = *number;

	r = keep_options(p, work);
	if (r == 0)
		r = give_room(pool, p, work->args_size);
	/* Writing much takes long, and needs no lock. */
	bool much = work->args_size > MP__POOL_ROOM_BYTES;
	if (much)
		pthread_mutex_unlock(&pool->lock);
	if (r == 0)
		r = fill_slot(pool, *number, work);
	if (much)
		pthread_mutex_lock(&pool->lock);
	if (r == 0 && pool->trace_fd >= 0)
		mp__pool_trace(pool, *number,
			&(struct mp__trace_event){
				.phase = "i", .begin_ns = mp__now_ns(), .outcome = "submitted"});
	if (r == 0)
		r = publish(pool, *number);
	if (r == 0 && pool->on_demand)
		add_staff(pool);
	if (r < 0) {
		if (p->args_paid)
			mp__pool_payload_drop(&pool->seg, *number, MP__POOL_PAYLOAD_ARGS);
		p->future = NULL;
		mp__pool_release_slot(pool, *number);
		mp__pool_nudge(pool);
	}
	return r;
}

MP__HOT int mp__pool_dispatch(
	mp_pool *pool, const struct mp__pool_work *work, mp_future **ret_future)
{
	mp_future *future = NULL;
	uint32_t number;
	int r = ret_future ? mp__future_new(pool, &future) : 0;

	if (r < 0)
		return r;
	if (!future)
		mp__pool_ref(
			pool); /* as a future does: a callback may close the pool while we wait */
	pthread_mutex_lock(&pool->lock);
	r = dispatch_locked(pool, work, &number, future);
	pthread_mutex_unlock(&pool->lock);
	if (r < 0) {
		if (!future)
			mp__pool_unref(pool);
		for (int i = 0; i < 2 && future; i++)
			mp__future_unref(future);
		return r;
	}
	if (!work->more)
		mp__pool_ring_some(pool, 1);
	if (ret_future)
		*ret_future = future;
	else
		mp__pool_unref(pool);
	return 0;
}
