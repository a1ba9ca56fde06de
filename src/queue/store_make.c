/* SPDX-License-Identifier: MIT */
/* Stores made, sent and attached: a heap beside the control page of the queue. */
#include <config.h>

#include "queue/store.h"

#include "base/cleanup.h"
#include "base/error.h"
#include "base/fds.h"
#include "shm/heap.h"
#include "shm/segment_layout.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#define BYTES_DEFAULT ((UINT64_C(1) << 30) - 65536)
/*
 * So much of a heap's largest size to a byte of the limit, which may be in pieces: it is address
 * space, and sparse.
 */
#define HEAP_FACTOR 4u
#define HEAP_SLACK (UINT64_C(1) << 20)
/* The root, the first chunk and some messages; with the heap's own, four pages. */
#define HEAP_FIRST 10000u

static uint64_t heap_size(uint64_t max_bytes)
{
	return max_bytes * HEAP_FACTOR + HEAP_SLACK;
}

/* --- new ------------------------------------------------------------------------------------------ */

static int check_options(const mp_queue_options *o)
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

/* An explicit limit must be possible; the default is made to fit RLIMIT_FSIZE. */
static int choose_bytes(const mp_queue_options *o, uint64_t *ret_max_bytes)
{
	uint64_t allowed = mp__file_size_limit();
	uint64_t max_bytes = o->max_bytes ? o->max_bytes : BYTES_DEFAULT;

	while (heap_size(max_bytes) + HEAP_SLACK > allowed) {
		if (o->max_bytes || max_bytes < HEAP_SLACK)
			return mp_error_set(-ENOSPC,
				"a new queue of up to %llu bytes needs a file of %llu, "
				"RLIMIT_FSIZE allows %llu",
				(unsigned long long)max_bytes,
				(unsigned long long)(heap_size(max_bytes) + HEAP_SLACK),
				(unsigned long long)allowed);
		max_bytes /= 2;
	}
	*ret_max_bytes = max_bytes;
	return 0;
}

static int heap_fd(mp_heap *heap, int *ret_fd)
{
	struct mp__handle_wire wire;
	int r = mp__heap_class.export((struct mp__handle *)heap, &wire);

	if (r == 0)
		*ret_fd = wire.fds[0];
	return r;
}

/*
 * The file gets its largest size at once, without memory: so whatever a hostile peer writes where the
 * heap's size stands, what is mapped can be read.
 */
static int make_heap(uint64_t max_bytes, mp_heap **ret_heap)
{
	uint64_t size = heap_size(max_bytes);
	mp_heap *heap;
	int fd = -1;

	int r = mp_heap_new(HEAP_FIRST, MP_HEAP_OPTIONS(.max_size = size), &heap);
	if (r < 0)
		return r;
	r = heap_fd(heap, &fd);
	if (r == 0 && TEMP_FAILURE_RETRY(ftruncate(fd, (off_t)(size + HEAP_SLACK))) < 0)
		r = mp__error_errno("sizing the memory of a queue");
	if (r < 0)
		(void)mp_heap_close(heap);
	else
		*ret_heap = heap;
	return r;
}

static int fill_heap(mp_heap *heap, const mp_queue_options *o, uint64_t max_bytes)
{
	struct mp__store_root *root;
	char *chunk;
	int r = mp_heap_alloc_aligned(heap, 64, sizeof(*root), &root);

	if (r == 0)
		r = mp_heap_calloc(heap, MP__STORE_CHUNK_FIRST,
			sizeof(struct mp__store_entry) + sizeof(uint32_t), &chunk);
	if (r != 0)
		return r;
	*root = (struct mp__store_root){
		.magic = MP__STORE_MAGIC,
		.version = MP__STORE_VERSION,
		.order = (uint32_t)o->order,
		.leases = o->leases,
		.max_deliveries = o->max_deliveries,
		.max_bytes = max_bytes,
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
		seen.order > MP_QUEUE_PRIORITY || seen.max_bytes < MP__STORE_OVERHEAD ||
		seen.max_bytes > MP__QUEUE_BYTES_MAX)
		return mp_error_set(-EBADMSG, "the memory of a queue: no table of messages");
	s = calloc(1, sizeof(*s));
	if (!s)
		return mp_error_set(-ENOMEM, "no memory for a queue");
	s->heap = heap;
	s->root = root;
	s->max_bytes = seen.max_bytes;
	s->order = (enum mp_queue_order)seen.order;
	s->leases = seen.leases != 0;
	s->max_deliveries = seen.max_deliveries;
	*ret_store = s;
	return 0;
}

static void adopt(struct mp_queue *q, struct mp__store *s)
{
	char *base = (char *)s->root - mp_heap_offset(s->heap, s->root);

	q->store = s;
	q->max_bytes = s->max_bytes;
	/* Dumps of core would hold what is in the queue, of all processes, again and again. */
	(void)madvise(base, heap_size(s->max_bytes), MADV_DONTDUMP);
}

static int make_store(const mp_queue_options *o, struct mp__store **ret_store)
{
	uint64_t max_bytes;
	mp_heap *heap;

	int r = choose_bytes(o, &max_bytes);
	if (r == 0)
		r = make_heap(max_bytes, &heap);
	if (r != 0)
		return r;
	r = fill_heap(heap, o, max_bytes);
	if (r == 0)
		r = store_of(heap, ret_store);
	if (r < 0)
		(void)mp_heap_close(heap);
	return r;
}

int mp__store_new(const mp_queue_options *options, struct mp_queue *q)
{
	mp_queue_options small = *options;
	struct mp__store *s = NULL;

	int r = check_options(options);
	if (r < 0)
		return r;
	/* The smallest ring there is; what is out of range is for the file to refuse. */
	if (small.max_bytes <= MP__QUEUE_BYTES_MAX)
		small.max_bytes = MP__QUEUE_UNIT;
	r = mp__queue_file_new(&small, q);
	if (r < 0)
		return r;
	r = make_store(options, &s);
	if (r != 0) {
		mp__queue_file_close(q);
		return r;
	}
	/* Nobody else has the queue yet. The memory of the ring goes: nobody will write there. */
	q->flags = q->control->flags |= MP__QUEUE_STORE;
	(void)madvise(q->base + MP__QUEUE_REGION, MP__QUEUE_REGION, MADV_REMOVE);
	adopt(q, s);
	return 0;
}

/* --- handles -------------------------------------------------------------------------------------- */

int mp__store_export(const struct mp_queue *q, int *ret_fd)
{
	return heap_fd(q->store->heap, ret_fd);
}

/* All that will be mapped must be there: see make_heap(). */
static int check_file(int fd, uint64_t *ret_size)
{
	struct mp__segment_header h;
	struct stat st;

	if (fstat(fd, &st) < 0 || pread(fd, &h, sizeof(h), 0) != (ssize_t)sizeof(h) ||
		h.max_size > (uint64_t)st.st_size)
		return mp_error_set(-EBADMSG, "the memory of a queue: its heap is too short");
	*ret_size = h.max_size;
	return 0;
}

int mp__store_attach(struct mp_queue *q, int *fd)
{
	struct mp__handle_wire wire = {.fds = {*fd}, .n_fds = 1};
	struct mp__handle *handle;
	struct mp__store *s;
	uint64_t size;

	int r = check_file(*fd, &size);
	if (r == 0)
		r = mp__heap_class.import(&wire, &handle);
	if (r < 0)
		return r;
	*fd = wire.fds[0];
	r = store_of((mp_heap *)handle, &s);
	if (r == 0 && heap_size(s->max_bytes) > size) {
		free(s);
		r = mp_error_set(-EBADMSG, "the memory of a queue: impossible limits");
	}
	if (r < 0)
		(void)mp_heap_close((mp_heap *)handle);
	else
		adopt(q, s);
	return r;
}

void mp__store_close(struct mp__store *store)
{
	if (!store)
		return;
	(void)mp_heap_close(store->heap);
	free(store);
}
