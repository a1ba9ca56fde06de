/* SPDX-License-Identifier: MIT */
/*
 * queue/lease.h - messages that come back when their consumer dies.
 *
 * Key idea: a lease is the state of the message's entry, set by one store (queue/store_layout.h), and
 * carries the stamp of the process that has it. No one has to be told of a death, and nobody keeps
 * watch: who has nothing to get asks whether those who have leases live, and who has does now and then.
 */
#ifndef MP_QUEUE_LEASE_H
#define MP_QUEUE_LEASE_H

#include "queue/store.h"

/* Inside: entry `e`, the first of the ready ones, becomes a lease of this process. */
void mp__lease_begin(struct mp_queue *q, uint32_t e, mp_lease *ret_lease);

/* Inside: do other processes have leases, so that something may yet come back? */
bool mp__lease_has_others(struct mp_queue *q);

/*
 * Outside: what dead processes had comes back, unless somebody has just looked for it and this call
 * waits anyway. How many. Errors of mp__store_enter().
 */
int mp__lease_return_dead(struct mp_queue *q, struct mp__queue_wait *wait);

/* The same for who gets something, perhaps without ever finding the queue empty: at a slower pace. */
int mp__lease_return_dead_at_times(struct mp_queue *q, struct mp__queue_wait *wait);

/* For who waits for several things (queue/ready.h). */
bool mp__lease_ready_to_get(struct mp_queue *q, bool suspicious);

#endif
