/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "queue/ready.h"

#include "queue/lease.h"

#include "base/stamp.h"

/* Is another thread at a message in place? Its own is an error that get and put will tell. */
static bool is_busy(_Atomic uint64_t *whose, bool suspicious)
{
	uint64_t who = atomic_load_explicit(whose, memory_order_acquire);

	return who != 0 && who != mp__stamp_self() && !(suspicious && mp__stamp_thread_dead(who));
}

bool mp__queue_ready_to_get(struct mp_queue *q, bool suspicious)
{
	if (q->store)
		return mp__lease_ready_to_get(q, suspicious);
	if (atomic_load_explicit(&q->control->shutdown, memory_order_acquire) != 0)
		return true;
	return !mp_queue_empty(q) && !is_busy(&q->control->lent, suspicious);
}

bool mp__queue_ready_to_put(struct mp_queue *q, bool suspicious)
{
	if (atomic_load_explicit(&q->control->shutdown, memory_order_acquire) != 0)
		return true;
	return !mp_queue_full(q) && !is_busy(&q->control->reserved, suspicious);
}
