/* SPDX-License-Identifier: MIT */
/* Getting from a store: the next message is shown to who asks for it, and goes or becomes a lease. */
#include <config.h>

#include "queue/get.h"
#include "queue/lease.h"
#include "queue/store_order.h"

#include "base/error.h"
#include "base/testpoint.h"

/* --- messages that go ----------------------------------------------------------------------------- */

/* Inside: what follows from an entry that is FREE now and was of this kind. */
static bool forget_entry(struct mp__store *s, uint32_t e, enum mp__store_kind kind, uint64_t size)
{
	struct mp__store_root *root = s->root;
	bool whole = true;

	switch (kind) {
	case MP__STORE_READY:
		whole = mp__order_remove_first(s);
		break;
	case MP__STORE_LEASED:
		whole = mp__list_remove(s, &root->leased, e);
		mp__store_count(s, 0, -1, 0);
		break;
	case MP__STORE_POISON:
		whole = mp__list_remove(s, &root->poison, e);
		atomic_fetch_sub_explicit(&root->poisoned, 1, memory_order_relaxed);
		break;
	default:
		break;
	}
	mp__store_count(s, 0, 0, -(int64_t)mp__store_need(size));
	return whole && mp__list_add(s, &root->free, e);
}

int mp__store_take(struct mp_queue *q, uint32_t e, bool is_got, struct mp__store_block **ret_block)
{
	struct mp__store *s = q->store;
	struct mp__store_entry *entry = mp__store_entry(s, e);
	enum mp__store_kind kind = mp__store_kind_of(mp__store_state(entry));
	struct mp__ring_record record;
	struct mp__store_block *block;

	if (!mp__store_message(q, e, &record, &block)) {
		int r = mp__store_repair(q);
		return r < 0 ? r : mp_error_set(-EBADMSG, "a message of the queue is damaged");
	}
	int r = mp_heap_adopt(s->heap, block);
	/* Not a block: it goes as it is. */
	if (r < 0 && r != -EINVAL)
		return r;
	MP__TEST_POINT("store.get.adopted");
	if (is_got && q->flags & MP__QUEUE_JOINABLE) {
		int n = mp__queue_note_taken(q);
		if (n < 0)
			return n;
	}
	mp__store_set_state(entry, MP__STORE_FREE, 0);
	MP__TEST_POINT("store.get.committed");
	*ret_block = r == 0 ? block : NULL;
	/* The message is this process's: what is lost of others is for the next call to tell. */
	if (!forget_entry(s, e, kind, record.size))
		mp__store_taken_over(q);
	MP__TEST_POINT("store.get.counted");
	return 0;
}

void mp__store_forget(struct mp_queue *q, struct mp__store_block *block)
{
	if (block)
		(void)mp_heap_free(q->store->heap, block);
	MP__TEST_POINT("store.get.freed");
}

/* --- waiting -------------------------------------------------------------------------------------- */

static bool may_have_messages(struct mp_queue *q, const void *argument)
{
	uint32_t shutdown = atomic_load_explicit(&q->control->shutdown, memory_order_acquire);

	(void)argument;
	if (mp__store_ready(q->store) != 0 || shutdown & MP__QUEUE_NO_GETS)
		return true;
	/* What others have leased may come back: who drains waits for the end of that too. */
	return shutdown != 0 && mp__store_leased(q->store) == 0;
}

static int report_empty(int result)
{
	return mp_error_set(result,
		result == -EAGAIN ? "getting a message: the queue is empty"
				  : "getting a message: the queue has been empty all the time");
}

/*
 * Inside, with nothing there, and a while has been waited: memory that nobody needs goes. A process that
 * was killed over a message that it was about to put, or had just got, has left its block; that is
 * asked once after the last put.
 */
static void tidy_up(struct mp_queue *q, const struct mp__queue_wait *wait)
{
	struct mp__store_root *root = q->store->root;

	if (!wait->suspicious || atomic_load_explicit(&root->bytes, memory_order_relaxed) != 0)
		return;
	mp__store_shrink(q);
	if (atomic_load_explicit(&root->swept, memory_order_relaxed) !=
		atomic_load_explicit(&root->next_sequence, memory_order_relaxed))
		(void)mp__store_sweep(q);
}

/* Inside: 0 `e` is next; -EAGAIN nothing; others are final. */
static int look(struct mp_queue *q, const struct mp__queue_wait *wait, uint32_t *ret_entry,
	struct mp__ring_record *record)
{
	struct mp__store *s = q->store;
	struct mp__store_block *block;
	/* Nothing is put after NO_PUTS is set, which is done inside. */
	uint32_t shutdown = atomic_load_explicit(&q->control->shutdown, memory_order_relaxed);

	if (shutdown & MP__QUEUE_NO_GETS)
		return mp_error_set(-EPIPE, "getting a message: the queue is shut down");
	for (int tries = 0; mp__store_ready(s) != 0; tries++) {
		if (mp__order_first(s, ret_entry) &&
			mp__store_message(q, *ret_entry, record, &block))
			return 0;
		int r = tries == 0 ? mp__store_repair(q)
				   : mp_error_set(-EBADMSG, "the shared memory of the queue is "
							    "damaged: its order");
		if (r < 0)
			return r;
	}
	if (shutdown && !mp__lease_has_others(q))
		return mp_error_set(
			-EPIPE, "getting a message: the queue is shut down, and nothing is left");
	tidy_up(q, wait);
	return -EAGAIN;
}

/* 0: inside, with a message. Otherwise outside. */
static int find(struct mp_queue *q, struct mp__queue_wait *wait, uint32_t *ret_entry,
	struct mp__ring_record *record)
{
	struct mp__queue_control *c = q->control;

	int r = mp__lease_return_dead_at_times(q, wait);
	if (r < 0)
		return r;
	for (;;) {
		r = mp__store_enter(q, wait);
		if (r < 0)
			return r;
		r = look(q, wait, ret_entry, record);
		if (r == 0)
			return 0;
		mp__guard_leave(&c->get_guard);
		if (r != -EAGAIN)
			return r;
		r = mp__lease_return_dead(q, wait);
		if (r < 0)
			return r;
		if (r > 0)
			continue;
		r = mp__queue_wait_for(q, &c->items_bell, wait, may_have_messages, NULL);
		if (r < 0)
			return report_empty(r);
	}
}

/* --- getting -------------------------------------------------------------------------------------- */

bool mp__store_goes(int received)
{
	return received == 0 || received == -EBADMSG || received == -EOVERFLOW ||
	       received == -ENOTSUP;
}

static void get_done(struct mp_queue *q, const struct mp__queue_wait *wait)
{
	struct mp__queue_control *c = q->control;

	mp__queue_leave(&c->get_guard, &c->room_bell, 1);
	MP__TEST_POINT("store.get.rung");
	/* Who was woken wakes the next one, if there is more. */
	if (wait->slept && mp__bell_has_sleepers(&c->items_bell.bell) &&
		mp__store_ready(q->store) != 0)
		mp__watched_bell_ring(&c->items_bell, 1);
}

int mp__store_get(struct mp_queue *q, struct mp__queue_wait *wait, mp__store_receive *receive,
	void *argument, mp_lease *ret_lease)
{
	struct mp__ring_record record;
	struct mp__store_block *block = NULL;
	uint32_t e;

	int r = find(q, wait, &e, &record);
	if (r < 0)
		return r;
	MP__TEST_POINT("store.get.found");
	int received = receive(argument, &record);
	MP__TEST_POINT("store.get.copied");
	if (received == 0 && ret_lease)
		mp__lease_begin(q, e, ret_lease);
	else if (mp__store_goes(received))
		r = mp__store_take(q, e, !ret_lease, &block);
	if (!mp__store_goes(received) || r < 0) {
		mp__guard_leave(&q->control->get_guard);
		return r < 0 ? r : received;
	}
	get_done(q, wait);
	mp__store_forget(q, block);
	return received;
}

int mp__store_drop_all(struct mp_queue *q)
{
	struct mp__store *s = q->store;
	struct mp__store_block *block = NULL;
	uint32_t e;

	for (uint32_t n = mp__store_ready(s); n > 0 && mp__store_ready(s) > 0; n--) {
		int r = mp__order_first(s, &e) ? mp__store_take(q, e, false, &block)
					       : mp__store_repair(q);
		if (r < 0)
			return r;
		mp__store_forget(q, block);
		block = NULL;
	}
	return 0;
}
