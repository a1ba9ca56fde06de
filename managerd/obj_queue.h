/* SPDX-License-Identifier: MIT */
/*
 * managerd/obj_queue.h - the served queue: first in first out, last in first out, or by priority.
 *
 * Made with nothing or [order, maxsize, joinable]: "fifo" (default), "lifo" or "priority"; 0 for no
 * limit; a bool. put(value[, priority]) and get() wait; len(), full(), shutdown([at_once]), clear(),
 * is_shutdown(), and of a joinable one task_done() and join().
 *
 * All orders are one heap: what differs is the number that an item is ordered by. A getter that waits
 * gets what is put without its ever being in the queue; so there are never both items and getters
 * that wait, nor room and putters that wait.
 *
 * Of a joinable queue each actor that got something has a share, a hold: how much it has got and not
 * done. When its client ends, what it had counts as done, so that nobody joins for ever.
 */
#ifndef MANAGERD_OBJ_QUEUE_H
#define MANAGERD_OBJ_QUEUE_H

#include "serve/class.h"

extern const struct serve_class md_queue_class;

#endif
