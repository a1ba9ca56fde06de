/* SPDX-License-Identifier: MIT */
/*
 * Messages written and read in place. What belongs to them (where, how long) stands in the handle,
 * where no other process can change it; the word in shared memory says only whose turn it is.
 */
#include <config.h>

#include "queue/get.h"
#include "queue/put.h"

#include "base/error.h"
#include "base/testpoint.h"

static int not_in_a_store(void)
{
	return mp_error_set(-ENOTSUP,
		"in place: only a queue that is first in, first out and has no "
		"leases can do that");
}

/* --- writing -------------------------------------------------------------------------------------- */

int mp_queue_reserve(mp_queue *queue, size_t size, int timeout_ms, void **ret_data)
{
	struct mp__queue_wait wait = mp__queue_wait_of(timeout_ms);
	struct mp__ring_place place = {0};

	if (!queue || !ret_data)
		return mp_error_set(-EINVAL, "reserving: no queue, or no place for the pointer");
	if (queue->store)
		return not_in_a_store();
	int r = mp__queue_check_size(queue, size);
	if (r == 0)
		r = mp__queue_place(queue, mp__ring_need(size), &wait, &place);
	if (r < 0)
		return r;
	queue->place = place;
	queue->place_size = size;
	atomic_store_explicit(&queue->control->reserved, mp__stamp_self(), memory_order_relaxed);
	MP__TEST_POINT("queue.reserve.set");
	mp__guard_leave(&queue->control->put_guard);
	*ret_data = mp__ring_data(queue, &place);
	return 0;
}

/* Inside put_guard if 0. */
static int enter_reserved(struct mp_queue *q)
{
	struct mp__queue_wait wait = mp__queue_wait_patiently();
	struct mp__queue_control *c = q->control;

	if (atomic_load_explicit(&c->reserved, memory_order_relaxed) != mp__stamp_self())
		return mp_error_set(-EPERM, "this thread has reserved no message in this queue");
	return mp__queue_enter(q, &c->put_guard, &wait);
}

/* Outside, and others may go on. */
static void end_reserved(struct mp_queue *q)
{
	struct mp__queue_control *c = q->control;

	atomic_store_explicit(&c->reserved, 0, memory_order_release);
	mp__queue_leave(&c->put_guard, &c->room_bell, 1);
}

int mp_queue_commit(mp_queue *queue, size_t size)
{
	if (!queue)
		return mp_error_set(-EINVAL, "committing: no queue");
	int r = enter_reserved(queue);
	if (r < 0)
		return r;
	struct mp__queue_control *c = queue->control;
	if (size > queue->place_size) {
		mp__guard_leave(&c->put_guard);
		return mp_error_set(-EMSGSIZE, "committing %zu bytes: %zu were reserved", size,
			queue->place_size);
	}
	if (atomic_load_explicit(&c->shutdown, memory_order_relaxed) != 0) {
		r = mp_error_set(-EPIPE, "committing a message: the queue is shut down");
	} else if (atomic_load_explicit(&c->tail, memory_order_relaxed) != queue->place.tail) {
		r = mp_error_set(-EBADMSG, "the shared memory of the queue is damaged: somebody "
					   "has put beside a reserved message");
	} else {
		queue->place.need = mp__ring_need(size);
		mp__ring_commit(queue, &queue->place, size, MP__RECORD_BYTES);
		MP__TEST_POINT("queue.reserve.committed");
	}
	end_reserved(queue);
	if (r == 0)
		mp__watched_bell_ring(&c->items_bell, 1);
	return r;
}

int mp_queue_abandon(mp_queue *queue)
{
	if (!queue)
		return mp_error_set(-EINVAL, "abandoning: no queue");
	int r = enter_reserved(queue);
	if (r < 0)
		return r;
	end_reserved(queue);
	return 0;
}

/* --- reading -------------------------------------------------------------------------------------- */

int mp_queue_peek(mp_queue *queue, int timeout_ms, const void **ret_data, size_t *ret_size)
{
	struct mp__queue_wait wait = mp__queue_wait_of(timeout_ms);
	struct mp__ring_record record;

	if (!queue || !ret_data || !ret_size)
		return mp_error_set(-EINVAL, "peeking: no queue, or no place for the message");
	if (queue->store)
		return not_in_a_store();
	int r = mp__queue_find(queue, &wait, &record);
	if (r < 0)
		return r;
	queue->peeked = record;
	atomic_store_explicit(&queue->control->lent, mp__stamp_self(), memory_order_relaxed);
	MP__TEST_POINT("queue.peek.set");
	mp__guard_leave(&queue->control->get_guard);
	*ret_data = record.data;
	*ret_size = record.size;
	return 0;
}

/* `consume` it, or leave it for the next one. */
static int end_peek(struct mp_queue *q, bool consume)
{
	struct mp__queue_wait wait = mp__queue_wait_patiently();
	struct mp__queue_control *c = q->control;

	if (atomic_load_explicit(&c->lent, memory_order_relaxed) != mp__stamp_self())
		return mp_error_set(-EPERM, "this thread has peeked at no message of this queue");
	int r = mp__queue_enter(q, &c->get_guard, &wait);
	if (r < 0)
		return r;
	if (atomic_load_explicit(&c->shutdown, memory_order_relaxed) & MP__QUEUE_NO_GETS)
		r = mp_error_set(-EPIPE, "consuming a message: the queue is shut down");
	else if (mp__ring_unpack(atomic_load_explicit(&c->head, memory_order_relaxed)).count !=
		 q->peeked.count)
		r = mp_error_set(-EBADMSG, "the shared memory of the queue is damaged: somebody "
					   "has got a message that another one reads");
	else if (consume)
		r = mp__queue_take(q, &q->peeked);
	bool taken = r == 0 && consume;
	/* -EUSERS leaves it peeked: consuming may be tried again. */
	if (r != -EUSERS)
		atomic_store_explicit(&c->lent, 0, memory_order_release);
	MP__TEST_POINT("queue.peek.cleared");
	mp__queue_get_done(q, &wait, taken);
	atomic_thread_fence(memory_order_seq_cst);
	if (r != -EUSERS)
		mp__watched_bell_ring(&c->items_bell, 1);
	return r;
}

int mp_queue_consume(mp_queue *queue)
{
	return queue ? end_peek(queue, true) : mp_error_set(-EINVAL, "consuming: no queue");
}

int mp_queue_unpeek(mp_queue *queue)
{
	return queue ? end_peek(queue, false) : mp_error_set(-EINVAL, "unpeeking: no queue");
}
