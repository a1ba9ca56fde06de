/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "queue/get.h"
#include "queue/store.h"

#include "base/error.h"
#include "base/testpoint.h"
#include "obj/codec.h"

#include <stdlib.h>

/* Values up to this size are decoded from the stack. */
#define VALUE_SMALL 1024
/* An empty queue in a grown ring gives its memory back after so long. */
#define IDLE_NS INT64_C(50000000)

/* --- waiting for messages ------------------------------------------------------------------------- */

static bool may_have_items(struct mp_queue *q, const void *argument)
{
	struct mp__queue_control *c = q->control;

	(void)argument;
	uint32_t shutdown = atomic_load_explicit(&c->shutdown, memory_order_acquire);
	if (shutdown & MP__QUEUE_NO_GETS)
		return true;
	if (atomic_load_explicit(&c->lent, memory_order_acquire) != 0)
		return false;
	return shutdown != 0 || mp__ring_items(atomic_load_explicit(&c->tail, memory_order_acquire),
					atomic_load_explicit(&c->head, memory_order_relaxed)) != 0;
}

static int report_empty(int result)
{
	return mp_error_set(result,
		result == -EAGAIN ? "getting a message: the queue is empty"
				  : "getting a message: the queue has been empty all the time");
}

/* Inside get_guard, and nothing is there: is it time to give memory back? */
static void consider_trimming(struct mp_queue *q)
{
	struct mp__queue_control *c = q->control;
	uint64_t tail = atomic_load_explicit(&c->tail, memory_order_relaxed);
	uint64_t now = (uint64_t)mp__now_ns();

	if (atomic_load_explicit(&c->empty_tail, memory_order_relaxed) != tail) {
		atomic_store_explicit(&c->empty_tail, tail, memory_order_relaxed);
		atomic_store_explicit(&c->empty_ns, now, memory_order_relaxed);
	} else if (now - atomic_load_explicit(&c->empty_ns, memory_order_relaxed) >= IDLE_NS) {
		mp__ring_trim(q);
	}
}

/* --- entering ------------------------------------------------------------------------------------- */

/* Somebody reads in place. 0 not any more; 1 still. */
static int check_lent(struct mp_queue *q, struct mp__queue_wait *wait)
{
	struct mp__queue_control *c = q->control;
	uint64_t who = atomic_load_explicit(&c->lent, memory_order_relaxed);

	if (who == mp__stamp_self())
		return mp_error_set(
			-EDEADLK, "this thread reads a message in place: consume it first");
	if (mp__queue_in_place(wait, who))
		return 1;
	atomic_store_explicit(&c->lent, 0, memory_order_relaxed);
	return 0;
}

/* Inside get_guard: 0 there is a message; -EAGAIN not now; others are final. */
static int look(struct mp_queue *q, struct mp__queue_wait *wait, struct mp__ring_record *record)
{
	struct mp__queue_control *c = q->control;

	/* Before the look at tail: no message comes after NO_PUTS is set. */
	uint32_t shutdown = atomic_load_explicit(&c->shutdown, memory_order_acquire);
	if (__builtin_expect(shutdown & MP__QUEUE_NO_GETS, 0))
		return mp_error_set(-EPIPE, "getting a message: the queue is shut down");
	if (__builtin_expect(atomic_load_explicit(&c->lent, memory_order_relaxed) != 0, 0)) {
		int l = check_lent(q, wait);
		if (l != 0)
			return l < 0 ? l : -EAGAIN;
	}
	int r = mp__ring_next(q, record, wait->timeout_ms != 0);
	if (__builtin_expect(r > 0, 1))
		return 0;
	if (r < 0)
		return r;
	if (shutdown)
		return mp_error_set(
			-EPIPE, "getting a message: the queue is shut down, and nothing is left");
	if (mp__ring_is_grown(q))
		consider_trimming(q);
	return -EAGAIN;
}

int mp__queue_find(struct mp_queue *q, struct mp__queue_wait *wait, struct mp__ring_record *record)
{
	struct mp__queue_control *c = q->control;

	for (;;) {
		int r = mp__queue_enter(q, &c->get_guard, wait);
		if (r < 0)
			return r;
		r = look(q, wait, record);
		if (__builtin_expect(r == 0, 1))
			return 0;
		mp__guard_leave(&c->get_guard);
		if (r != -EAGAIN)
			return r;
		r = mp__queue_wait_for(q, &c->items_bell, wait, may_have_items, NULL);
		if (r < 0)
			return report_empty(r);
	}
}

int mp__queue_take(struct mp_queue *q, const struct mp__ring_record *record)
{
	MP__TEST_POINT("queue.get.copied");
	if (q->flags & MP__QUEUE_JOINABLE) {
		int r = mp__queue_note_taken(q);
		if (r < 0)
			return r;
	}
	mp__ring_consume(q, record);
	MP__TEST_POINT("queue.get.consumed");
	return 0;
}

void mp__queue_get_done(struct mp_queue *q, const struct mp__queue_wait *wait, bool taken)
{
	struct mp__queue_control *c = q->control;

	if (!taken) {
		mp__guard_leave(&c->get_guard);
		return;
	}
	if (__builtin_expect(mp__ring_is_grown(q) && mp__ring_is_large(q), 0) && mp_queue_empty(q))
		mp__ring_trim(q);
	mp__queue_leave(&c->get_guard, &c->room_bell, 1);
	MP__TEST_POINT("queue.get.rung");
	/* Who was woken wakes the next one, if there is more. */
	if (wait->slept && mp__bell_has_sleepers(&c->items_bell.bell) && !mp_queue_empty(q))
		mp__watched_bell_ring(&c->items_bell, 1);
}

/* --- getting -------------------------------------------------------------------------------------- */

int mp_queue_get_bytes_into(
	mp_queue *queue, void *buffer, size_t size, int timeout_ms, size_t *ret_size)
{
	struct mp__queue_wait wait = mp__queue_wait_of(timeout_ms);
	struct mp__ring_record record;

	if (!queue || (!buffer && size > 0) || !ret_size)
		return mp_error_set(
			-EINVAL, "getting bytes: no queue, no buffer, or no place for the size");
	if (__builtin_expect(queue->store != NULL, 0))
		return mp__store_get_into(queue, buffer, size, timeout_ms, ret_size);
	int r = mp__queue_find(queue, &wait, &record);
	if (r < 0)
		return r;
	MP__TEST_POINT("queue.get.found");
	if (__builtin_expect(record.size > size, 0)) {
		r = mp_error_set(-EMSGSIZE,
			"getting a message of %zu bytes into a buffer of %zu; it stays",
			(size_t)record.size, size);
	} else {
		if (record.size > 0)
			memcpy(buffer, record.data, record.size);
		r = mp__queue_take(queue, &record);
	}
	mp__queue_get_done(queue, &wait, r == 0);
	if (r == 0 || r == -EMSGSIZE)
		*ret_size = record.size;
	return r;
}

int mp_queue_get_bytes(mp_queue *queue, int timeout_ms, void **ret_data, size_t *ret_size)
{
	struct mp__queue_wait wait = mp__queue_wait_of(timeout_ms);
	struct mp__ring_record record;

	if (!queue || !ret_data || !ret_size)
		return mp_error_set(-EINVAL, "getting bytes: no queue, or no place for them");
	if (queue->store)
		return mp__store_get_bytes(queue, timeout_ms, ret_data, ret_size, NULL);
	int r = mp__queue_find(queue, &wait, &record);
	if (r < 0)
		return r;
	char *data = malloc(record.size + 1);
	if (data) {
		memcpy(data, record.data, record.size);
		data[record.size] = '\0';
		r = mp__queue_take(queue, &record);
	} else {
		r = mp_error_set(-ENOMEM,
			"getting a message: no memory for its %zu bytes; it stays",
			(size_t)record.size);
	}
	mp__queue_get_done(queue, &wait, r == 0);
	if (r < 0) {
		free(data);
		return r;
	}
	*ret_data = data;
	*ret_size = record.size;
	return 0;
}

int mp__queue_decode(const struct mp__ring_record *record, mp_obj *ret_value)
{
	char small[VALUE_SMALL];
	void *copy = record->size <= sizeof(small) ? small : malloc(record->size);
	int r;

	if (!copy)
		return mp_error_set(-ENOMEM,
			"getting a message: no memory for its %zu bytes; it stays",
			(size_t)record->size);
	/* What lies in shared memory could change while it is looked at. */
	memcpy(copy, record->data, record->size);
	if (record->kind == MP__RECORD_VALUE)
		r = mp__obj_decode(copy, record->size, NULL, ret_value);
	else
		r = mp_obj_copy(mp_bytes(copy, record->size), ret_value);
	if (copy != small)
		free(copy);
	return r;
}

int mp__queue_take_value(struct mp_queue *q, const struct mp__ring_record *record, bool keep,
	mp_obj *ret_value, bool *ret_taken)
{
	mp_obj value;
	int r = mp__queue_decode(record, &value);

	/* What is no value never becomes one: it goes, so that others come to theirs. */
	if (r == 0 || (!keep && (r == -EBADMSG || r == -EOVERFLOW || r == -ENOTSUP))) {
		int t = mp__queue_take(q, record);
		if (t < 0 && r == 0)
			mp_obj_free(&value);
		*ret_taken = *ret_taken || t == 0;
		r = t < 0 ? t : r;
	}
	if (r == 0)
		*ret_value = value;
	return r;
}

int mp_queue_get(mp_queue *queue, int timeout_ms, mp_obj *ret_value)
{
	struct mp__queue_wait wait = mp__queue_wait_of(timeout_ms);
	struct mp__ring_record record;
	bool taken = false;

	if (!queue || !ret_value)
		return mp_error_set(-EINVAL, "getting a value: no queue, or no place for it");
	if (queue->store)
		return mp__store_get_value(queue, timeout_ms, ret_value, NULL);
	int r = mp__queue_find(queue, &wait, &record);
	if (r < 0)
		return r;
	r = mp__queue_take_value(queue, &record, false, ret_value, &taken);
	mp__queue_get_done(queue, &wait, taken);
	return r;
}
