/* SPDX-License-Identifier: MIT */
/* Handles of queues: made, shared, sent; and what they say without waiting. */
#include <config.h>

#include "queue/ring.h"
#include "queue/store.h"

#include "base/cleanup.h"
#include "base/error.h"
#include "base/fds.h"
#include "base/options.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

static struct mp_queue *handle_new(void)
{
	struct mp_queue *q = calloc(1, sizeof(*q));

	if (!q) {
		(void)mp_error_set(-ENOMEM, "no memory for a queue");
		return NULL;
	}
	q->handle.class = &mp__queue_class;
	q->segment.fd = -1;
	q->references = 1;
	return q;
}

/* Of options that are loaded. */
static int make(const char *name, bool named, const mp_queue_options *options, mp_queue **ret_queue)
{
	struct mp_queue *q = handle_new();

	if (!q)
		return -ENOMEM;
	int r = named ? mp__queue_file_create(name, options, q) : mp__queue_file_new(options, q);
	if (r < 0) {
		free(q);
		return r;
	}
	*ret_queue = q;
	return 0;
}

static int load(mp_queue_options *known, const mp_queue_options *options, mp_queue **ret_queue)
{
	if (!ret_queue)
		return mp_error_set(-EINVAL, "a new queue: no place for it");
	return mp__options_load(known, sizeof(*known), 0, options);
}

int mp_queue_new(const mp_queue_options *options, mp_queue **ret_queue)
{
	mp_queue_options known;
	int r = load(&known, options, ret_queue);

	return r < 0 ? r : make(NULL, false, &known, ret_queue);
}

int mp_queue_create(const char *name, const mp_queue_options *options, mp_queue **ret_queue)
{
	mp_queue_options known;
	int r = load(&known, options, ret_queue);

	return r < 0 ? r : make(name, true, &known, ret_queue);
}

int mp_queue_open(const char *name, mp_queue **ret_queue)
{
	if (!ret_queue)
		return mp_error_set(-EINVAL, "opening a queue: no place for it");
	struct mp_queue *q = handle_new();
	if (!q)
		return -ENOMEM;
	int r = mp__queue_file_open(name, q);
	if (r < 0) {
		free(q);
		return r;
	}
	*ret_queue = q;
	return 0;
}

int mp_queue_unlink(const char *name)
{
	char path[MP__NAMED_PATH_SIZE];
	int r = mp__named_path(name, path, NULL);

	return r < 0 ? r : mp__named_unlink(path);
}

const char *mp_queue_name(const mp_queue *queue)
{
	return queue ? queue->name.text : NULL;
}

mp_queue *mp_queue_ref(mp_queue *queue)
{
	if (queue)
		atomic_fetch_add_explicit(&queue->references, 1, memory_order_relaxed);
	return queue;
}

void mp_queue_close(mp_queue *queue)
{
	/* acq_rel: what other threads did through the handle comes before the unmapping. */
	if (!queue || atomic_fetch_sub_explicit(&queue->references, 1, memory_order_acq_rel) != 1)
		return;
	mp__queue_file_close(queue);
	free(queue);
}

/* --- handles that travel -------------------------------------------------------------------------- */

static void class_ref(struct mp__handle *handle)
{
	(void)mp_queue_ref((mp_queue *)handle);
}

static void class_unref(struct mp__handle *handle)
{
	mp_queue_close((mp_queue *)handle);
}

static int class_export(struct mp__handle *handle, struct mp__handle_wire *ret_wire)
{
	const struct mp_queue *q = (const struct mp_queue *)handle;

	ret_wire->size = q->name.text ? strlen(q->name.text) : 0;
	memcpy(ret_wire->data, q->name.text ? q->name.text : "", ret_wire->size);
	ret_wire->fds[0] = q->segment.fd;
	ret_wire->n_fds = 1;
	return 0;
}

static int class_import(struct mp__handle_wire *wire, struct mp__handle **ret_handle)
{
	/* Of memory, if not sealed: a named one has no seals. */
	if (wire->n_fds != 1 || fcntl(wire->fds[0], F_GET_SEALS) < 0)
		return mp_error_set(-EBADMSG, "the handle of a queue is damaged");
	struct mp_queue *q = handle_new();
	if (!q)
		return -ENOMEM;
	int r = wire->size > 0 ? mp__name_import(&q->name, wire->data, wire->size) : 0;
	if (r == 0)
		r = mp__queue_file_attach(wire->fds[0], q);
	if (r < 0) {
		free(q);
		return r;
	}
	wire->fds[0] = -1;
	*ret_handle = &q->handle;
	return 0;
}

const struct mp__handle_class mp__queue_class = {
	.kind = MP__HANDLE_QUEUE,
	.name = "queue",
	.ref = class_ref,
	.unref = class_unref,
	.export = class_export,
	.import = class_import,
};

mp_obj mp_queue_handle(mp_queue *queue)
{
	return mp__handle_obj(queue ? &queue->handle : NULL);
}

mp_queue *mp_obj_queue(const mp_obj *value)
{
	return (mp_queue *)mp__obj_handle(value, MP__HANDLE_QUEUE);
}

/* --- state ---------------------------------------------------------------------------------------- */

/* Both words of one instant: while head stays, tail is what it was then. */
static void snapshot(struct mp_queue *q, uint64_t *ret_tail, uint64_t *ret_head)
{
	struct mp__queue_control *c = q->control;

	for (int tries = 0; tries < 1000; tries++) {
		*ret_head = atomic_load_explicit(&c->head, memory_order_acquire);
		*ret_tail = atomic_load_explicit(&c->tail, memory_order_acquire);
		if (atomic_load_explicit(&c->head, memory_order_relaxed) == *ret_head)
			return;
	}
}

size_t mp_queue_size(mp_queue *queue)
{
	uint64_t tail;
	uint64_t head;

	if (!queue)
		return 0;
	if (queue->store)
		return mp__store_size(queue);
	snapshot(queue, &tail, &head);
	return mp__ring_items(tail, head);
}

bool mp_queue_empty(mp_queue *queue)
{
	return mp_queue_size(queue) == 0;
}

uint64_t mp_queue_bytes(mp_queue *queue)
{
	uint64_t bytes = 0;
	uint64_t tail;
	uint64_t head;

	if (!queue)
		return 0;
	if (queue->store)
		return mp__store_bytes(queue);
	struct mp__queue_control *c = queue->control;
	for (int tries = 0; tries < 1000; tries++) {
		snapshot(queue, &tail, &head);
		bytes = atomic_load_explicit(&c->put_bytes[(tail >> MP__QUEUE_POS_BITS) & 1],
				memory_order_acquire) -
			atomic_load_explicit(&c->get_bytes[(head >> MP__QUEUE_POS_BITS) & 1],
				memory_order_acquire);
		if (atomic_load_explicit(&c->tail, memory_order_acquire) == tail &&
			atomic_load_explicit(&c->head, memory_order_relaxed) == head)
			break;
	}
	return bytes;
}

bool mp_queue_full(mp_queue *queue)
{
	if (queue && queue->store)
		return mp__store_full(queue);
	return queue && (mp_queue_size(queue) >= queue->maxsize ||
				mp_queue_bytes(queue) + MP__QUEUE_UNIT > queue->max_bytes);
}
