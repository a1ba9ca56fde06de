/* SPDX-License-Identifier: MIT */
/* Heaps made, sent, attached and closed. */
#include <config.h>

#include "shm/heap_handle.h"

#include "base/error.h"
#include "base/options.h"

#include <mp/handle.h>
#include <mp/heap.h>
#include <stdlib.h>
#include <sys/mman.h>

#define FLAGS (MP_HEAP_PREFAULT | MP_HEAP_HUGE_PAGES)

/* --- handles ----------------------------------------------------------------------------------- */

static const struct mp__segment_type segment_type = {
	.kind = MP__SEGMENT_HEAP,
	.fingerprint = (uint32_t)(MP__HEAP_FIRST << 12 | MP__HEAP_ROWS << 5 | MP__HEAP_COLUMNS),
	.name = "mp-heap",
	.what = "a heap",
};

static int heap_of(struct mp__segment *segment, mp_heap **ret_heap)
{
	mp_heap *heap = malloc(sizeof(*heap));

	if (!heap) {
		mp__segment_close(segment);
		return mp_error_set(-ENOMEM, "no memory for the handle of a heap");
	}
	*heap = (mp_heap){
		.handle = {&mp__heap_class},
		.references = 1,
		.segment = *segment,
		.view =
			{
				.base = (unsigned char *)segment->header,
				.header = (struct mp__heap_header *)segment->header,
				.limit = segment->max_size,
				.seed = segment->header->id,
				.kept = ((struct mp__heap_header *)segment->header)->kept,
			},
	};
	heap->view.segment = &heap->segment;
	atomic_store(&heap->known, segment->size);
	heap->view.known = &heap->known;
	*ret_heap = heap;
	return 0;
}

static void heap_ref(struct mp__handle *handle)
{
	mp_heap_ref((mp_heap *)handle);
}

static void heap_unref(struct mp__handle *handle)
{
	mp_heap_close((mp_heap *)handle);
}

static int heap_export(struct mp__handle *handle, struct mp__handle_wire *ret_wire)
{
	ret_wire->size = 0;
	ret_wire->fds[0] = ((mp_heap *)handle)->segment.fd;
	ret_wire->n_fds = 1;
	return 0;
}

/* In an attached segment, which is closed if this fails. */
static int attach(struct mp__segment *segment, mp_heap **ret_heap)
{
	if (segment->size < MP__HEAP_FIRST + MP__HEAP_BLOCK_MIN ||
		segment->max_size > MP__HEAP_SIZE_MAX) {
		mp__segment_close(segment);
		return mp_error_set(-EBADMSG, "a heap came with sizes that no heap has");
	}
	return heap_of(segment, ret_heap);
}

static int heap_import(struct mp__handle_wire *wire, struct mp__handle **ret_handle)
{
	struct mp__segment segment;
	mp_heap *heap;

	if (wire->n_fds != 1 || wire->size != 0)
		return mp_error_set(-EBADMSG, "a heap came without its memory");
	int r = mp__segment_attach(&segment_type, wire->fds[0], 0, &segment);
	if (r < 0)
		return r;
	wire->fds[0] = -1;
	r = attach(&segment, &heap);
	if (r == 0)
		*ret_handle = &heap->handle;
	return r;
}

int mp__heap_attach_part(const struct mp__segment *whole, uint64_t at, mp_heap **ret_heap)
{
	struct mp__segment segment;
	int r = mp__segment_attach_part(&segment_type, whole, at, &segment);

	return r < 0 ? r : attach(&segment, ret_heap);
}

const struct mp__handle_class mp__heap_class = {
	MP__HANDLE_HEAP, "heap", heap_ref, heap_unref, heap_export, heap_import};

mp_obj mp_heap_handle(mp_heap *heap)
{
	return mp__handle_obj(heap ? &heap->handle : NULL);
}

mp_heap *mp_obj_heap(const mp_obj *value)
{
	return (mp_heap *)mp__obj_handle(value, MP__HANDLE_HEAP);
}

mp_heap *mp_heap_ref(mp_heap *heap)
{
	if (heap)
		atomic_fetch_add_explicit(&heap->references, 1, memory_order_relaxed);
	return heap;
}

int mp_heap_close(mp_heap *heap)
{
	if (heap && atomic_fetch_sub_explicit(&heap->references, 1, memory_order_acq_rel) == 1) {
		mp__segment_close(&heap->segment);
		free(heap);
	}
	return 0;
}

/* --- new --------------------------------------------------------------------------------------- */

/* Best effort both: without huge pages, or with page faults later, everything works as well. */
static void prepare(struct mp__segment *segment, uint64_t flags)
{
	if (flags & MP_HEAP_HUGE_PAGES)
		(void)madvise(segment->header, segment->mapped, MADV_HUGEPAGE);
	if (flags & MP_HEAP_PREFAULT)
		(void)madvise(segment->header, segment->size, MADV_POPULATE_WRITE);
}

/* In a new segment, which is closed if this fails. */
static int format(struct mp__segment *segment, mp_heap **ret_heap)
{
	mp_heap *heap;
	int r = heap_of(segment, &heap);

	if (r < 0)
		return r;
	mp__heap_format(&heap->view);
	mp__segment_publish(&heap->segment);
	*ret_heap = heap;
	return 0;
}

int mp_heap_new(uint64_t size, const mp_heap_options *options, mp_heap **ret_heap)
{
	const uint64_t around = MP__HEAP_FIRST + 2 * MP__HEAP_BLOCK_HEAD;
	mp_heap_options o;
	struct mp__segment segment;
	int r = mp__options_load(&o, sizeof(o), FLAGS, options);

	if (r < 0)
		return r;
	if (!ret_heap)
		return mp_error_set(-EINVAL, "a new heap: nowhere to put it");
	uint64_t max_size = o.max_size ? o.max_size : size;
	if (size == 0 || max_size < size || max_size > MP__HEAP_SIZE_MAX / 2)
		return mp_error_set(-EINVAL,
			"a new heap of %llu bytes that grows up to %llu: out of range, or the "
			"other way round",
			(unsigned long long)size, (unsigned long long)max_size);
	uint64_t pages = (size + MP__HEAP_UNIT - 1 + around + 4095) & ~UINT64_C(4095);
	uint64_t max_pages = (max_size + MP__HEAP_UNIT - 1 + around + 4095) & ~UINT64_C(4095);
	r = mp__segment_create(&segment_type, pages, max_pages, 0, &segment);
	if (r < 0)
		return r;
	prepare(&segment, o.flags);
	return format(&segment, ret_heap);
}

int mp__heap_format_part(
	const struct mp__segment *whole, uint64_t at, uint64_t size, mp_heap **ret_heap)
{
	struct mp__segment segment;
	int r = mp__segment_format_part(&segment_type, whole, at, size, &segment);

	return r < 0 ? r : format(&segment, ret_heap);
}
