/* SPDX-License-Identifier: MIT */
/*
 * mp/served_queue.h - queues that many programs share through a managerd.
 *
 *	mp_manager_queue(m, "orders", MP_QUEUE_OPTIONS(.maxsize = 100), &q);
 *	mp_served_queue_put(q, MP_LIST(mp_str("bolts"), mp_i64(500)), MP_FOREVER);
 *
 * They have the orders, limits and errors of mp_queue (mp/queue.h), which is many times faster
 * between processes of one user; these live in the daemon, by name, and programs may come and go.
 * Who waits is served in the order of coming. A value that somebody got is out of the queue: when it
 * dies before it has used it, that value is gone, as in Python; in a joinable queue it counts as done.
 *
 * Each is an mp_proxy (mp/proxy.h); a function for another type than the proxy's is -EINVAL. The errors of
 * mp/proxy.h are common to all.
 */
#ifndef MP_SERVED_QUEUE_H
#define MP_SERVED_QUEUE_H

#include <mp/proxy.h>
#include <mp/queue.h>

MP__BEGIN_DECLS

/*
 * Open the queue of that name, or with NULL a new one that nobody else can name. Of the options count
 * order, maxsize (0: none) and joinable, and only when it is made; others are -EINVAL.
 */
int mp_manager_queue(mp_manager *manager, const char *name, const mp_queue_options *options,
	mp_proxy **ret_queue);

/*
 * Put a value in: waits while the queue is full. -EAGAIN, -ETIMEDOUT it is full; -EPIPE it has been
 * shut down. A priority is for queues of that order (-EINVAL); without one it is 0.
 */
int mp_served_queue_put(mp_proxy *queue, mp_obj value, int timeout_ms);
int mp_served_queue_put_priority(mp_proxy *queue, mp_obj value, int64_t priority, int timeout_ms);

/* Get the next one: waits while there is none. -EAGAIN, -ETIMEDOUT; -EPIPE and there never will be. */
int mp_served_queue_get(mp_proxy *queue, int timeout_ms, mp_obj *ret_value);

/* At this instant. 1 or 0; without a limit it is never full. */
int mp_served_queue_size(mp_proxy *queue, size_t *ret_size);
int mp_served_queue_empty(mp_proxy *queue);
int mp_served_queue_full(mp_proxy *queue);

/* Drop what is in it. */
int mp_served_queue_clear(mp_proxy *queue);
/* `how` is MP_QUEUE_DRAIN or MP_QUEUE_IMMEDIATE: see mp_queue_shutdown(). 1 or 0. */
int mp_served_queue_shutdown(mp_proxy *queue, int how);
int mp_served_queue_is_shutdown(mp_proxy *queue);

/*
 * Of a joinable queue (-EINVAL): what was got is done, once for each. -ERANGE none is out. Join waits
 * until every value has been got and is done.
 */
int mp_served_queue_task_done(mp_proxy *queue);
int mp_served_queue_join(mp_proxy *queue, int timeout_ms);

MP__END_DECLS

#endif
