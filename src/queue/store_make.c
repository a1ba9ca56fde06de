/* SPDX-License-Identifier: MIT */
/* Stores made and attached: a heap behind the control page of the queue, in the same file. */
#include <config.h>

#include "queue/store.h"

#include "base/error.h"
#include "shm/heap.h"

#include <stdlib.h>
#include <string.h>

/*
 * So much of a heap's largest size to a byte of the limit, which may be in pieces: it is address
 * space, and sparse.
 */
#define HEAP_FACTOR 4u
#define HEAP_SLACK (UINT64_C(1) << 20)
/* The heap's own head, the root, the first chunk and some messages. */
#define HEAP_FIRST 16384u
#define PAGE 4096u

uint64_t mp__store_geometry(uint64_t max_bytes)
{
	return MP__STORE_AT + (max_bytes * HEAP_FACTOR + HEAP_SLACK) / PAGE * PAGE;
}

int mp__store_check_options(const mp_queue_options *o)
{
	if (o->order < MP_QUEUE_FIFO || o->order > MP_QUEUE_PRIORITY)
		return mp_error_set(-EINVAL, "a new queue: there is no order %d", o->order);
	if (o->max_deliveries != 0 && !o->leases)
		return mp_error_set(-EINVAL, "a new queue: max_deliveries without leases");
	if (o->max_bytes > 0 && o->max_bytes < MP__STORE_OVERHEAD)
		return mp_error_set(-EINVAL,
			"a new queue: max_bytes is %llu, but an empty message takes %u",
			(unsigned long long)o->max_bytes, MP__STORE_OVERHEAD);
	return 0;
}

static int fill_heap(mp_heap *heap, const mp_queue_options *o)
{
	struct mp__store_root *root;
	char *chunk = NULL;
	int r = mp_heap_alloc_aligned(heap, 64, sizeof(*root), &root);

	if (r == 0)
		r = mp_heap_calloc(heap, MP__STORE_CHUNK_FIRST,
			sizeof(struct mp__store_entry) + sizeof(uint32_t), &chunk);
	if (r < 0)
		return r;
	*root = (struct mp__store_root){
		.magic = MP__STORE_MAGIC,
		.version = MP__STORE_VERSION,
		.order = (uint32_t)o->order,
		.leases = o->leases,
		.max_deliveries = o->max_deliveries,
		.n_chunks = 1,
		.chunks = {mp_heap_offset(heap, chunk)},
		.next_sequence = 1,
		.next_lease = 1,
		/* The free list is made by the first who enters, as after a death. */
		.repair = 1,
	};
	return mp_heap_set_root(heap, root);
}

/* From a copy of the root: what stands there could change after it was checked. */
static int store_of(mp_heap *heap, struct mp__store **ret_store)
{
	void *root = mp_heap_root(heap);
	uint64_t offset = mp_heap_offset(heap, root);
	struct mp__store_root seen;
	struct mp__store *s;

	if (root && offset % 64 == 0 && mp_heap_pointer(heap, offset, sizeof(seen)))
		memcpy(&seen, root, sizeof(seen));
	else
		seen.magic = 0;
	if (seen.magic != MP__STORE_MAGIC || seen.version != MP__STORE_VERSION ||
		seen.order > MP_QUEUE_PRIORITY)
		return mp_error_set(-EBADMSG, "the memory of a queue: no table of messages");
	s = calloc(1, sizeof(*s));
	if (!s)
		return mp_error_set(-ENOMEM, "no memory for a queue");
	s->heap = heap;
	s->root = root;
	s->order = (enum mp_queue_order)seen.order;
	s->leases = seen.leases != 0;
	s->max_deliveries = seen.max_deliveries;
	*ret_store = s;
	return 0;
}

int mp__store_make(struct mp_queue *q, const mp_queue_options *options)
{
	mp_heap *heap;

	int r = mp__heap_format_part(&q->segment, MP__STORE_AT, HEAP_FIRST, &heap);
	if (r < 0)
		return r;
	r = fill_heap(heap, options);
	if (r == 0)
		r = store_of(heap, &q->store);
	if (r < 0)
		(void)mp_heap_close(heap);
	return r;
}

int mp__store_attach(struct mp_queue *q)
{
	mp_heap *heap;

	int r = mp__heap_attach_part(&q->segment, MP__STORE_AT, &heap);
	if (r < 0)
		return r;
	r = store_of(heap, &q->store);
	if (r < 0)
		(void)mp_heap_close(heap);
	return r;
}

void mp__store_close(struct mp__store *store)
{
	if (!store)
		return;
	(void)mp_heap_close(store->heap);
	free(store);
}
