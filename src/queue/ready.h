/* SPDX-License-Identifier: MIT */
/*
 * queue/ready.h - would a get, a put have something to do? For who waits for several things; the
 * bells of the queue say when to look. Of all kinds of queues.
 *
 * `suspicious`: somebody who is in the way for a while may be dead, and then is in nobody's way.
 */
#ifndef MP_QUEUE_READY_H
#define MP_QUEUE_READY_H

#include "queue/queue.h"

/* There is a message, or it is shut down. */
bool mp__queue_ready_to_get(struct mp_queue *q, bool suspicious);
/* An empty message would find room, or it is shut down. */
bool mp__queue_ready_to_put(struct mp_queue *q, bool suspicious);

#endif
