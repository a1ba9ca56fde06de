/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "queue/put.h"
#include "queue/store.h"

#include "base/error.h"
#include "base/testpoint.h"
#include "obj/codec.h"

#include <inttypes.h>
#include <stdlib.h>

/* Values up to this size are encoded on the stack. */
#define VALUE_SMALL 1024

/* --- waiting for room ----------------------------------------------------------------------------- */

/* What a putter waits for. */
struct wanted {
	uint64_t need;
	uint64_t head; /* as it was when there was no room */
	bool limit;    /* the limits of the queue, not its ring, are in the way */
};

static bool may_have_room(struct mp_queue *q, const void *argument)
{
	const struct wanted *wanted = argument;
	struct mp__queue_control *c = q->control;

	if (atomic_load_explicit(&c->shutdown, memory_order_acquire) != 0)
		return true;
	if (atomic_load_explicit(&c->reserved, memory_order_acquire) != 0)
		return false;
	return wanted->head == 0 ||
	       atomic_load_explicit(&c->head, memory_order_acquire) != wanted->head;
}

static int report_full(struct mp_queue *q, int result)
{
	if (result == -EAGAIN)
		return mp_error_set(result, "putting a message: the queue is full (%zu messages)",
			mp_queue_size(q));
	return mp_error_set(result,
		"putting a message: the queue has been full all the time (%zu messages)",
		mp_queue_size(q));
}

/* --- entering ------------------------------------------------------------------------------------- */

/* Somebody writes in place. 0 not any more; 1 still. */
static int check_reserved(struct mp_queue *q, struct mp__queue_wait *wait)
{
	struct mp__queue_control *c = q->control;
	uint64_t who = atomic_load_explicit(&c->reserved, memory_order_relaxed);

	if (who == mp__stamp_self())
		return mp_error_set(-EDEADLK,
			"this thread writes a message in place: commit or abandon it first");
	if (mp__queue_in_place(wait, who))
		return 1;
	atomic_store_explicit(&c->reserved, 0, memory_order_relaxed);
	return 0;
}

int mp__queue_place(struct mp_queue *q, uint64_t need, struct mp__queue_wait *wait,
	struct mp__ring_place *place)
{
	struct mp__queue_control *c = q->control;
	bool grow = false;

	place->paced = wait->timeout_ms != 0;
	for (;;) {
		int r = mp__queue_enter(q, &c->put_guard, wait);
		if (r < 0)
			return r;
		struct wanted wanted = {.need = need};
		if (__builtin_expect(
			    atomic_load_explicit(&c->shutdown, memory_order_relaxed) != 0, 0))
			r = mp_error_set(-EPIPE, "putting a message: the queue is shut down");
		else if (__builtin_expect(
				 atomic_load_explicit(&c->reserved, memory_order_relaxed) != 0, 0))
			r = check_reserved(q, wait);
		if (r == 0) {
			r = mp__ring_place(q, need, grow, place);
			if (__builtin_expect(r == 0, 1))
				return 0;
			wanted.head = atomic_load_explicit(&c->head_seen, memory_order_relaxed);
			grow = r == MP__RING_GROW;
		} else if (r > 0) {
			r = -EAGAIN;
		}
		mp__guard_leave(&c->put_guard);
		if (r == MP__RING_GROW) {
			/* Room that getters make just now is better than new memory. */
			mp__queue_spin_for(q, may_have_room, &wanted);
			continue;
		}
		if (r != -EAGAIN)
			return r;
		r = mp__queue_wait_for(q, &c->room_bell, wait, may_have_room, &wanted);
		if (r < 0)
			return report_full(q, r);
	}
}

void mp__queue_put_done(struct mp_queue *q, const struct mp__queue_wait *wait, int count)
{
	struct mp__queue_control *c = q->control;

	mp__queue_leave(&c->put_guard, &c->items_bell, count);
	MP__TEST_POINT("queue.put.rung");
	/* Who was woken wakes the next one, if there may be room for two. */
	if (wait->slept && mp__bell_has_sleepers(&c->room_bell.bell) && !mp_queue_full(q))
		mp__watched_bell_ring(&c->room_bell, 1);
}

int mp__queue_check_size(struct mp_queue *q, uint64_t size)
{
	if (__builtin_expect(q->store != NULL, 0))
		return mp__store_check_size(q, size);
	if (size > q->max_bytes || mp__ring_need(size) > q->max_bytes)
		return mp_error_set(-EMSGSIZE,
			"putting a message of %" PRIu64 " bytes: the queue holds %" PRIu64
			" at most, with 8 for each message",
			size, q->max_bytes);
	return 0;
}

/* --- putting -------------------------------------------------------------------------------------- */

/* `priority` is for a store. */
static int put(struct mp_queue *q, enum mp__record_kind kind, const void *data, size_t size,
	int64_t priority, int timeout_ms)
{
	struct mp__queue_wait wait = mp__queue_wait_of(timeout_ms);
	struct mp__ring_place place = {0};

	if (__builtin_expect(q->store != NULL, 0))
		return mp__store_put(q, kind, data, size, priority, &wait);
	int r = mp__queue_check_size(q, size);
	if (r == 0)
		r = mp__queue_place(q, mp__ring_need(size), &wait, &place);
	if (r < 0)
		return r;
	MP__TEST_POINT("queue.put.placed");
	memcpy(mp__ring_data(q, &place), data, size);
	MP__TEST_POINT("queue.put.copied");
	mp__ring_commit(q, &place, size, kind);
	MP__TEST_POINT("queue.put.committed");
	mp__queue_put_done(q, &wait, 1);
	return 0;
}

int mp_queue_put_bytes(mp_queue *queue, const void *data, size_t size, int timeout_ms)
{
	if (!queue || (!data && size > 0))
		return mp_error_set(-EINVAL, "putting bytes: no queue, or no data");
	return put(queue, MP__RECORD_BYTES, size > 0 ? data : "", size, 0, timeout_ms);
}

static int put_value(mp_queue *queue, mp_obj value, int64_t priority, int timeout_ms)
{
	char small[VALUE_SMALL];

	ssize_t size = mp__obj_encode_into(&value, NULL, small, sizeof(small));
	if (size < 0)
		return (int)size;
	if ((size_t)size <= sizeof(small))
		return put(queue, MP__RECORD_VALUE, small, (size_t)size, priority, timeout_ms);
	void *data;
	size_t encoded;
	int r = mp__queue_check_size(queue, (size_t)size);
	if (r == 0)
		r = mp__obj_encode(&value, 0, NULL, &data, &encoded);
	if (r != 0)
		return r;
	r = put(queue, MP__RECORD_VALUE, data, encoded, priority, timeout_ms);
	free(data);
	return r;
}

int mp_queue_put(mp_queue *queue, mp_obj value, int timeout_ms)
{
	if (!queue)
		return mp_error_set(-EINVAL, "putting a value: no queue");
	return put_value(queue, value, 0, timeout_ms);
}

/* --- with a priority ------------------------------------------------------------------------------ */

static int check_priority(const mp_queue *queue)
{
	if (!queue || !queue->store || queue->store->order != MP_QUEUE_PRIORITY)
		return mp_error_set(-EINVAL,
			"putting with a priority: no queue, or it is not in order of priority");
	return 0;
}

int mp_queue_put_priority(mp_queue *queue, mp_obj value, int64_t priority, int timeout_ms)
{
	int r = check_priority(queue);

	return r < 0 ? r : put_value(queue, value, priority, timeout_ms);
}

int mp_queue_put_priority_bytes(
	mp_queue *queue, const void *data, size_t size, int64_t priority, int timeout_ms)
{
	int r = check_priority(queue);

	if (r == 0 && !data && size > 0)
		r = mp_error_set(-EINVAL, "putting bytes: no data");
	return r < 0 ? r : put(queue, MP__RECORD_BYTES, data, size, priority, timeout_ms);
}
