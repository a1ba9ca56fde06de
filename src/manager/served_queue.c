/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "base/error.h"
#include "base/options.h"
#include "manager/proxy.h"

#include <mp/served_queue.h>

static int call(mp_proxy *queue, const char *method, mp_obj args, int timeout_ms, mp_obj *ret)
{
	return mp__proxy_call(queue, "queue", method, args, timeout_ms, ret);
}

static const char *order_name(int order)
{
	return order == MP_QUEUE_FIFO       ? "fifo"
	       : order == MP_QUEUE_LIFO     ? "lifo"
	       : order == MP_QUEUE_PRIORITY ? "priority"
					    : NULL;
}

int mp_manager_queue(mp_manager *manager, const char *name, const mp_queue_options *options,
	mp_proxy **ret_queue)
{
	mp_queue_options o;

	if (!manager || !ret_queue)
		return mp_error_set(
			-EINVAL, "opening a queue: no manager, or no place for the queue");
	int r = mp__options_load(&o, sizeof(o), 0, options);
	if (r < 0)
		return r;
	if (!order_name(o.order) || o.maxsize > INT64_MAX)
		return mp_error_set(-EINVAL, "a queue of order %d, for %llu values", o.order,
			(unsigned long long)o.maxsize);
	if (o.name || o.max_bytes || o.mode || o.persist)
		return mp_error_set(-EINVAL, "a served queue takes no name, max_bytes, mode or "
					     "persist among its options");
	return mp__proxy_open(manager, "queue", name,
		MP_LIST(mp_str(order_name(o.order)), mp_i64((int64_t)o.maxsize),
			mp_bool(o.joinable)),
		ret_queue);
}

int mp_served_queue_put(mp_proxy *queue, mp_obj value, int timeout_ms)
{
	return call(queue, "put", MP_LIST(value), timeout_ms, NULL);
}

int mp_served_queue_put_priority(mp_proxy *queue, mp_obj value, int64_t priority, int timeout_ms)
{
	return call(queue, "put", MP_LIST(value, mp_i64(priority)), timeout_ms, NULL);
}

int mp_served_queue_get(mp_proxy *queue, int timeout_ms, mp_obj *ret_value)
{
	if (!ret_value)
		return mp_error_set(-EINVAL, "get of a queue: no place for the value");
	return call(queue, "get", mp_nil(), timeout_ms, ret_value);
}

int mp_served_queue_size(mp_proxy *queue, size_t *ret_size)
{
	int64_t size;

	if (!ret_size)
		return mp_error_set(-EINVAL, "size of a queue: no place for it");
	int r = mp__proxy_call_i64(queue, "queue", "len", mp_nil(), MP_NOWAIT, &size);
	if (r >= 0)
		*ret_size = (size_t)size;
	return r;
}

int mp_served_queue_empty(mp_proxy *queue)
{
	size_t size;
	int r = mp_served_queue_size(queue, &size);

	return r < 0 ? r : size == 0;
}

int mp_served_queue_full(mp_proxy *queue)
{
	return mp__proxy_call_bool(queue, "queue", "full", mp_nil(), MP_NOWAIT);
}

int mp_served_queue_clear(mp_proxy *queue)
{
	return call(queue, "clear", mp_nil(), MP_NOWAIT, NULL);
}

int mp_served_queue_shutdown(mp_proxy *queue, int how)
{
	if (how != MP_QUEUE_DRAIN && how != MP_QUEUE_IMMEDIATE)
		return mp_error_set(-EINVAL, "shutdown of a queue: %d is no way to do it", how);
	return call(
		queue, "shutdown", MP_LIST(mp_bool(how == MP_QUEUE_IMMEDIATE)), MP_NOWAIT, NULL);
}

int mp_served_queue_is_shutdown(mp_proxy *queue)
{
	return mp__proxy_call_bool(queue, "queue", "is_shutdown", mp_nil(), MP_NOWAIT);
}

int mp_served_queue_task_done(mp_proxy *queue)
{
	return call(queue, "task_done", mp_nil(), MP_NOWAIT, NULL);
}

int mp_served_queue_join(mp_proxy *queue, int timeout_ms)
{
	return call(queue, "join", mp_nil(), timeout_ms, NULL);
}
