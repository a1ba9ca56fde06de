/* SPDX-License-Identifier: MIT */
/* Putting into a store. */
#include <config.h>

#include "queue/store_order.h"

#include "base/error.h"
#include "base/testpoint.h"

#include <inttypes.h>
#include <limits.h>
#include <string.h>

/* --- limits --------------------------------------------------------------------------------------- */

int mp__store_check_size(struct mp_queue *q, uint64_t size)
{
	if (mp__store_need(size) > q->max_bytes)
		return mp_error_set(-EMSGSIZE,
			"putting a message of %" PRIu64 " bytes: the queue holds %" PRIu64
			" at most, with %u for each message",
			size, q->max_bytes, MP__STORE_OVERHEAD);
	return 0;
}

static bool has_room(struct mp_queue *q, uint64_t need)
{
	uint64_t bytes = atomic_load_explicit(&q->store->root->bytes, memory_order_acquire);

	return mp__store_ready(q->store) < q->maxsize && bytes <= q->max_bytes &&
	       need <= q->max_bytes - bytes;
}

static bool may_have_room(struct mp_queue *q, const void *need)
{
	return atomic_load_explicit(&q->control->shutdown, memory_order_acquire) != 0 ||
	       has_room(q, *(const uint64_t *)need);
}

/* Inside. */
static int check_room(struct mp_queue *q, uint64_t need)
{
	struct mp__store *s = q->store;

	if (atomic_load_explicit(&q->control->shutdown, memory_order_relaxed) != 0)
		return mp_error_set(-EPIPE, "putting a message: the queue is shut down");
	if (has_room(q, need))
		return 0;
	/* Impossible counts would keep everybody waiting for ever. */
	if (mp__store_ready(s) > s->capacity ||
		atomic_load_explicit(&s->root->bytes, memory_order_relaxed) > q->max_bytes) {
		int r = mp__store_repair(q);
		if (r < 0)
			return r;
	}
	return has_room(q, need) ? 0 : -EAGAIN;
}

static int report_full(struct mp_queue *q, int result)
{
	return mp_error_set(result, "putting a message: the queue %s (%u messages)",
		result == -EAGAIN ? "is full" : "has been full all the time",
		mp__store_ready(q->store));
}

/* --- blocks --------------------------------------------------------------------------------------- */

/* The blocks of the dead are in the way only when memory is short. */
static int free_of_the_dead(struct mp_queue *q, struct mp__queue_wait *wait)
{
	int r = mp__store_enter(q, wait);

	if (r < 0)
		return r;
	r = mp__store_sweep(q);
	mp__guard_leave(&q->control->get_guard);
	return r;
}

/* Outside: a block with the message, which no entry names yet. */
static int make_block(struct mp_queue *q, const void *data, size_t size,
	struct mp__queue_wait *wait, struct mp__store_block **ret_block)
{
	struct mp__store_block *block;

	int r = mp_heap_alloc(q->store->heap, sizeof(*block) + size, &block);
	if (r == -ENOSPC && free_of_the_dead(q, wait) >= 0)
		r = mp_heap_alloc(q->store->heap, sizeof(*block) + size, &block);
	if (r < 0)
		return r;
	MP__TEST_POINT("store.put.allocated");
	block->entry = block->reserved = 0;
	if (size > 0)
		memcpy(block->data, data, size);
	MP__TEST_POINT("store.put.copied");
	*ret_block = block;
	return 0;
}

/* --- putting -------------------------------------------------------------------------------------- */

/* Inside, with room: the message comes in, and *block, set to NULL, is the entry's from then on. */
static int commit(
	struct mp_queue *q, struct mp__store_block **block, uint64_t header, int64_t priority)
{
	struct mp__store *s = q->store;
	uint32_t e;

	int r = mp__store_free_entry(q, &e);
	if (r < 0)
		return r;
	struct mp__store_entry *entry = mp__store_entry(s, e);
	entry->block = mp_heap_offset(s->heap, *block);
	entry->size = header;
	entry->priority = priority;
	entry->sequence =
		atomic_fetch_add_explicit(&s->root->next_sequence, 1, memory_order_relaxed);
	(*block)->entry = (uint64_t)e + 1;
	MP__TEST_POINT("store.put.written");
	mp__store_set_state(entry, MP__STORE_READY, 0);
	*block = NULL;
	MP__TEST_POINT("store.put.committed");
	if (!mp__order_add(s, e))
		return mp__store_repair(q);
	mp__store_count(s, 0, 0, (int64_t)mp__store_need(header & MP__RECORD_SIZE_MASK));
	MP__TEST_POINT("store.put.counted");
	return 0;
}

static void put_done(struct mp_queue *q, const struct mp__queue_wait *wait)
{
	struct mp__queue_control *c = q->control;

	mp__queue_leave(&c->get_guard, &c->items_bell, 1);
	MP__TEST_POINT("store.put.rung");
	/* Who was woken wakes the next one, if there may be room for two. */
	if (wait->slept && mp__bell_has_sleepers(&c->room_bell.bell) &&
		has_room(q, MP__STORE_OVERHEAD))
		mp__watched_bell_ring(&c->room_bell, 1);
}

int mp__store_put(struct mp_queue *q, enum mp__record_kind kind, const void *data, size_t size,
	int64_t priority, struct mp__queue_wait *wait)
{
	const uint64_t need = mp__store_need(size);
	const uint64_t header = size | (uint64_t)kind << MP__RECORD_KIND_SHIFT;
	struct mp__store_block *block = NULL;

	int r = mp__store_check_size(q, size);
	/* What will have to wait, or will fail, need not be copied before. */
	while (r == 0) {
		if (!block && has_room(q, need))
			r = make_block(q, data, size, wait, &block);
		if (r == 0)
			r = mp__store_enter(q, wait);
		if (r < 0)
			break;
		r = check_room(q, need);
		if (r == 0 && block) {
			r = commit(q, &block, header, priority);
			if (r == 0) {
				put_done(q, wait);
				return 0;
			}
		}
		mp__guard_leave(&q->control->get_guard);
		if (r == -EAGAIN) {
			r = mp__queue_wait_for(
				q, &q->control->room_bell, wait, may_have_room, &need);
			if (r < 0)
				report_full(q, r);
		}
	}
	if (block)
		(void)mp_heap_free(q->store->heap, block);
	return r;
}

int mp__store_put_many(struct mp_queue *q, enum mp__record_kind kind, const struct iovec *messages,
	size_t n, struct mp__queue_wait *wait)
{
	size_t done = 0;
	int r = 0;

	while (done < n && r == 0) {
		r = mp__store_put(
			q, kind, messages[done].iov_base, messages[done].iov_len, 0, wait);
		done += r == 0;
	}
	return done > 0 || r == 0 ? (int)done : r;
}
