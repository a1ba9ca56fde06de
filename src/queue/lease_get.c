/* SPDX-License-Identifier: MIT */
/* What consumers of a queue with leases get: leased messages, and those that were set aside. */
#include <config.h>

#include "queue/get.h"
#include "queue/store.h"

#include "base/error.h"
#include "base/testpoint.h"

static int check(const mp_queue *queue, bool places)
{
	if (!queue || !queue->store || !queue->store->leases || !places)
		return mp_error_set(
			-EINVAL, "leases: no queue, it has none, or no place for what is got");
	return 0;
}

int mp_queue_lease(mp_queue *queue, int timeout_ms, mp_obj *ret_value, mp_lease *ret_lease)
{
	int r = check(queue, ret_value && ret_lease);

	return r < 0 ? r : mp__store_get_value(queue, timeout_ms, ret_value, ret_lease);
}

int mp_queue_lease_bytes(
	mp_queue *queue, int timeout_ms, void **ret_data, size_t *ret_size, mp_lease *ret_lease)
{
	int r = check(queue, ret_data && ret_size && ret_lease);

	return r < 0 ? r : mp__store_get_bytes(queue, timeout_ms, ret_data, ret_size, ret_lease);
}

/* --- what is set aside ---------------------------------------------------------------------------- */

size_t mp_queue_leased(mp_queue *queue)
{
	if (!queue || !queue->store)
		return 0;
	(void)mp__store_size(queue);
	return mp__store_leased(queue->store);
}

size_t mp_queue_poison_count(mp_queue *queue)
{
	if (!queue || !queue->store)
		return 0;
	(void)mp__store_size(queue);
	return atomic_load_explicit(&queue->store->root->poisoned, memory_order_acquire);
}

/* Inside: -EAGAIN there is none; -EBADMSG. */
static int find_poison(struct mp_queue *q, uint32_t *ret_entry, struct mp__ring_record *record)
{
	struct mp__store *s = q->store;
	struct mp__store_block *block;

	for (int tries = 0;; tries++) {
		uint32_t first = __atomic_load_n(&s->root->poison, __ATOMIC_RELAXED);
		if (first == 0)
			return mp_error_set(-EAGAIN, "getting a poison message: there is none");
		*ret_entry = first - 1;
		if (first <= s->capacity &&
			mp__store_kind_of(mp__store_state(mp__store_entry(s, first - 1))) ==
				MP__STORE_POISON &&
			mp__store_message(q, first - 1, record, &block))
			return 0;
		int r = tries == 0 ? mp__store_repair(q)
				   : mp_error_set(-EBADMSG, "the shared memory of the queue is "
							    "damaged: its poison messages");
		if (r < 0)
			return r;
	}
}

int mp_queue_poison_get(mp_queue *queue, mp_obj *ret_value)
{
	struct mp__queue_wait wait = mp__queue_wait_patiently();
	struct mp__store_block *block = NULL;
	struct mp__ring_record record;
	mp_obj value = mp_nil();
	uint32_t e;

	int r = check(queue, ret_value);
	if (r == 0)
		r = mp__store_enter(queue, &wait);
	if (r < 0)
		return r;
	r = find_poison(queue, &e, &record);
	int received = r < 0 ? r : mp__queue_decode(&record, &value);
	if (r == 0 && mp__store_goes(received))
		r = mp__store_take(queue, e, false, &block);
	mp__queue_leave(&queue->control->get_guard, &queue->control->room_bell, 1);
	MP__TEST_POINT("lease.poison.rung");
	mp__store_forget(queue, block);
	if (r < 0 || received < 0) {
		mp_obj_free(&value);
		return r < 0 ? r : received;
	}
	*ret_value = value;
	return 0;
}
