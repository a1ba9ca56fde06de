/* SPDX-License-Identifier: MIT */
/*
 * queue/put.h - the putters' side: enter it with room for a message, leave it with a message there.
 */
#ifndef MP_QUEUE_PUT_H
#define MP_QUEUE_PUT_H

#include "queue/ring.h"

/* -EMSGSIZE it can never fit. */
int mp__queue_check_size(struct mp_queue *q, uint64_t size);

/* 0: inside put_guard, with a place. Otherwise outside: all errors of mp_queue_put_bytes(). */
int mp__queue_place(struct mp_queue *q, uint64_t need, struct mp__queue_wait *wait,
	struct mp__ring_place *place);

/* Leave put_guard, after `count` messages were committed, and wake getters. */
void mp__queue_put_done(struct mp_queue *q, const struct mp__queue_wait *wait, int count);

#endif
