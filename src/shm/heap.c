/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "shm/heap_handle.h"

#include "base/cleanup.h"
#include "base/error.h"
#include "base/testpoint.h"

#include <limits.h>
#include <mp/heap.h>
#include <stdlib.h>
#include <string.h>

#define ALIGN_MAX 4096u
/* So often others may be faster before it is a lie that there is room. */
int mp__heap_in_vain_max = 1000;

/* --- in and out -------------------------------------------------------------------------------- */

static int no_heap(void)
{
	return mp_error_set(-EINVAL, "no heap: the pointer is NULL");
}

static void leave(mp_heap *heap)
{
	struct mp__heap_header *h = heap->view.header;
	uint32_t changes = atomic_load_explicit(&h->changes, memory_order_relaxed);

	atomic_store_explicit(&h->changes, changes + 1, memory_order_relaxed);
	mp__guard_leave(&h->guard);
}

static int enter_and_repair(mp_heap *heap)
{
	struct mp__heap_header *h = heap->view.header;

	/* Set before anything else: should the repair fail, everybody tries, and says so. */
	atomic_store_explicit(&h->repair, 1, memory_order_release);
	MP__TEST_POINT("heap.taken_over");
	int r = mp__heap_rebuild(&heap->view);
	if (r < 0)
		leave(heap);
	return r;
}

/* Entered, and all is well; or an error. */
static inline int enter(mp_heap *heap)
{
	struct mp__heap_header *h = heap->view.header;
	int r = mp__guard_enter_seeing(&h->guard, MP__GUARD_PATIENTLY,
		(struct mp__guard_signs){&h->changes, sizeof(h->changes)});

	if (r < 0)
		return r;
	if (r == MP_OWNER_DIED || atomic_load_explicit(&h->repair, memory_order_relaxed) != 0)
		return enter_and_repair(heap);
	return 0;
}

/* The block whose bytes begin there: its offset, or 0. */
static uint64_t block_of(const mp_heap *heap, const void *pointer)
{
	uint64_t offset = (uint64_t)((uintptr_t)pointer - (uintptr_t)heap->view.base);

	if (offset < mp__heap_bytes_of(MP__HEAP_FIRST) || offset >= heap->view.limit ||
		offset % MP__HEAP_UNIT != 0)
		return 0;
	return offset - MP__HEAP_BLOCK_HEAD;
}

static int not_a_block(const void *pointer)
{
	return mp_error_set(-EINVAL, "no block of this heap begins at %p", pointer);
}

/* --- allocating -------------------------------------------------------------------------------- */

/*
 * Let the segment have what a block of that size needs. Outside the guard: giving memory to a file
 * can take long. Two who do it at once ask for the same. 1: the heap is larger now; 0: another was
 * faster, or there is enough.
 */
static int grow(mp_heap *heap, uint64_t size, uint64_t align)
{
	struct mp__segment segment = heap->segment;
	uint64_t wanted;
	uint64_t end;
	int r = enter(heap);

	if (r < 0)
		return r;
	r = mp__heap_plan(&heap->view, size, align, &wanted);
	leave(heap);
	if (r < 0)
		return r;
	r = mp__segment_grow(&segment, wanted, "a heap");
	if (r < 0)
		return r;
	MP__TEST_POINT("heap.allocated");
	r = enter(heap);
	if (r < 0)
		return r;
	end = heap->view.header->end;
	r = mp__heap_extend(&heap->view);
	if (r == 0)
		r = heap->view.header->end != end;
	leave(heap);
	return r;
}

static int take(mp_heap *heap, uint64_t align, uint64_t bytes, void **ret_pointer)
{
	uint64_t size = mp__heap_block_size(bytes);
	uint64_t block;
	int in_vain = 0;

	if (size == 0)
		return mp_error_set(-ENOSPC, "%llu bytes are more than any heap has",
			(unsigned long long)bytes);
	for (;;) {
		int r = enter(heap);
		if (r < 0)
			return r;
		r = mp__heap_take(&heap->view, size, align, mp__stamp_process(), &block);
		leave(heap);
		if (r == 0)
			break;
		if (r == -ENOMEM)
			return mp_error_set(-ENOSPC,
				"allocating %llu bytes from a heap: the system has no memory for "
				"them",
				(unsigned long long)bytes);
		if (r != -ENOSPC)
			return r;
		/* Others may take what was added before we come back: then once more. */
		r = grow(heap, size, align);
		if (r < 0)
			return r;
		in_vain = r > 0 ? 0 : in_vain + 1;
		if (in_vain > mp__heap_in_vain_max)
			return mp_error_set(-EBADMSG,
				"the heap is damaged: there is room for %llu bytes, and no list of "
				"free blocks has it",
				(unsigned long long)bytes);
	}
	*ret_pointer = heap->view.base + mp__heap_bytes_of(block);
	return 0;
}

static int alloc(mp_heap *heap, uint64_t align, uint64_t bytes, void *ret_pointer)
{
	void *pointer;

	if (!heap)
		return no_heap();
	if (!ret_pointer)
		return mp_error_set(-EINVAL, "allocating: no place for the pointer");
	int r = take(heap, align, bytes, &pointer);
	if (r < 0)
		return r;
	/* The user's pointer may be of any type. */
	memcpy(ret_pointer, &pointer, sizeof(pointer));
	return 0;
}

int mp_heap_alloc(mp_heap *heap, size_t size, void *ret_pointer)
{
	return alloc(heap, MP__HEAP_UNIT, size, ret_pointer);
}

int mp_heap_alloc_aligned(mp_heap *heap, size_t alignment, size_t size, void *ret_pointer)
{
	if (alignment == 0 || alignment > ALIGN_MAX || (alignment & (alignment - 1)) != 0)
		return mp_error_set(-EINVAL,
			"allocating with an alignment of %zu: it must be a power of two up to %u",
			alignment, ALIGN_MAX);
	return alloc(
		heap, alignment < MP__HEAP_UNIT ? MP__HEAP_UNIT : alignment, size, ret_pointer);
}

int mp_heap_calloc(mp_heap *heap, size_t count, size_t size, void *ret_pointer)
{
	size_t bytes;

	if (__builtin_mul_overflow(count, size, &bytes))
		return mp_error_set(-EOVERFLOW,
			"allocating %zu items of %zu bytes: more than there can be", count, size);
	int r = alloc(heap, MP__HEAP_UNIT, bytes, ret_pointer);
	if (r == 0) {
		void *pointer;
		memcpy(&pointer, ret_pointer, sizeof(pointer));
		memset(pointer, 0, bytes);
	}
	return r;
}

int mp_heap_free(mp_heap *heap, void *pointer)
{
	if (!heap)
		return no_heap();
	if (!pointer)
		return 0;
	uint64_t block = block_of(heap, pointer);
	if (block == 0)
		return not_a_block(pointer);
	int r = enter(heap);
	if (r < 0)
		return r;
	r = mp__heap_give(&heap->view, block);
	leave(heap);
	return r;
}

/* --- offsets ----------------------------------------------------------------------------------- */

static bool within(const mp_heap *heap, uint64_t offset, uint64_t size)
{
	uint64_t end = mp__chain_allocated(&heap->view);

	return offset >= mp__heap_bytes_of(MP__HEAP_FIRST) && offset <= end && size <= end - offset;
}

uint64_t mp_heap_offset(const mp_heap *heap, const void *pointer)
{
	if (!heap)
		return 0;
	uint64_t offset = (uint64_t)((uintptr_t)pointer - (uintptr_t)heap->view.base);
	return within(heap, offset, 0) ? offset : 0;
}

void *mp_heap_pointer(const mp_heap *heap, uint64_t offset, size_t size)
{
	return heap && within(heap, offset, size) ? heap->view.base + offset : NULL;
}

int mp_heap_set_root(mp_heap *heap, const void *pointer)
{
	if (!heap)
		return no_heap();
	uint64_t offset = mp_heap_offset(heap, pointer);
	if (pointer && offset == 0)
		return mp_error_set(-EINVAL, "the root of a heap: %p is not inside it", pointer);
	/* Partner: the acquire in mp_heap_root(). */
	atomic_store_explicit(&heap->view.header->root, offset, memory_order_release);
	return 0;
}

void *mp_heap_root(const mp_heap *heap)
{
	if (!heap)
		return NULL;
	return mp_heap_pointer(
		heap, atomic_load_explicit(&heap->view.header->root, memory_order_acquire), 0);
}

/* --- walks ------------------------------------------------------------------------------------- */

int mp_heap_check(mp_heap *heap)
{
	if (!heap)
		return no_heap();
	int r = enter(heap);
	if (r < 0)
		return r;
	r = mp__heap_verify(&heap->view);
	leave(heap);
	return r;
}

int mp_heap_stat(mp_heap *heap, mp_heap_stats *ret_stats)
{
	mp_heap_stats stats = {0};
	struct mp__heap_seen seen;
	uint64_t run = 0; /* bytes of free blocks side by side, which count as one */

	if (!heap)
		return no_heap();
	if (!ret_stats)
		return mp_error_set(-EINVAL, "statistics of a heap: nowhere to put them");
	int r = enter(heap);
	if (r < 0)
		return r;
	for (uint64_t at = MP__HEAP_FIRST;; at += seen.size) {
		r = mp__heap_see(&heap->view, at, &seen);
		if (r < 0 || seen.size == 0)
			break;
		if (seen.used) {
			stats.n_used++;
			stats.used += seen.size;
			run = 0;
			continue;
		}
		stats.n_free += run == 0;
		stats.free += seen.size;
		stats.released += seen.released ? seen.size : 0;
		run += seen.size;
		if (run - MP__HEAP_BLOCK_HEAD > stats.largest_free)
			stats.largest_free = run - MP__HEAP_BLOCK_HEAD;
	}
	leave(heap);
	if (r < 0)
		return r;
	stats.size = seen.at + MP__HEAP_BLOCK_HEAD;
	stats.max_size = heap->view.limit;
	*ret_stats = stats;
	return 0;
}

/* The block in use that begins at `at`. */
static int see_used(mp_heap *heap, uint64_t at, struct mp__heap_seen *ret_seen)
{
	int r = mp__heap_see(&heap->view, at, ret_seen);

	return r == 0 && ret_seen->used && ret_seen->size != 0 ? 0 : -EINVAL;
}

int mp_heap_next(mp_heap *heap, const void *after, mp_heap_block *ret_block)
{
	struct mp__heap_seen seen = {.at = MP__HEAP_FIRST};
	mp__stamp owner = 0;

	if (!heap)
		return no_heap();
	if (!ret_block)
		return mp_error_set(-EINVAL, "the next block of a heap: nowhere to put it");
	uint64_t from = after ? block_of(heap, after) : MP__HEAP_FIRST;
	if (from == 0)
		return not_a_block(after);
	int r = enter(heap);
	if (r < 0)
		return r;
	if (after && see_used(heap, from, &seen) < 0) {
		leave(heap);
		return not_a_block(after);
	}
	do
		r = mp__heap_see(&heap->view, seen.at + seen.size, &seen);
	while (r == 0 && !seen.used);
	if (r == 0)
		owner = mp__heap_block_at(&heap->view, seen.at)->owner;
	leave(heap);
	if (r < 0)
		return r;
	if (seen.size == 0)
		return mp_error_set(-ENOENT, "there is no further block in the heap");
	*ret_block = (mp_heap_block){
		.data = heap->view.base + mp__heap_bytes_of(seen.at),
		.size = seen.size - MP__HEAP_BLOCK_HEAD,
		.owner = mp__stamp_tid(owner),
		.owner_died = mp__stamp_process_dead(owner),
	};
	return 0;
}

int mp_heap_adopt(mp_heap *heap, void *pointer)
{
	struct mp__heap_seen seen;

	if (!heap)
		return no_heap();
	uint64_t block = block_of(heap, pointer);
	if (block == 0)
		return not_a_block(pointer);
	int r = enter(heap);
	if (r < 0)
		return r;
	r = see_used(heap, block, &seen);
	if (r == 0)
		mp__heap_block_at(&heap->view, block)->owner = mp__stamp_process();
	leave(heap);
	return r < 0 ? not_a_block(pointer) : 0;
}

/* --- what the dead had --------------------------------------------------------------------------- */

/* All owners of blocks: whether they live is asked outside the guard. */
struct owners {
	mp__stamp *stamps;
	size_t n;
	size_t room;
};

static bool is_among(const struct owners *owners, mp__stamp stamp)
{
	for (size_t i = owners->n; i > 0; i--) {
		if (owners->stamps[i - 1] == stamp)
			return true;
	}
	return false;
}

/* 1: there are more than there is room for. */
static int collect_owners(mp_heap *heap, struct owners *owners)
{
	struct mp__heap_seen seen;
	int r = enter(heap);

	if (r < 0)
		return r;
	owners->n = 0;
	for (uint64_t at = MP__HEAP_FIRST;; at += seen.size) {
		r = mp__heap_see(&heap->view, at, &seen);
		if (r < 0 || seen.size == 0)
			break;
		mp__stamp owner = mp__heap_block_at(&heap->view, at)->owner;
		if (!seen.used || is_among(owners, owner))
			continue;
		if (owners->n == owners->room) {
			r = 1;
			break;
		}
		owners->stamps[owners->n++] = owner;
	}
	leave(heap);
	return r;
}

struct garbage {
	const struct owners *dead;
	mp__heap_filter *filter;
	void *argument;
};

static bool is_garbage(mp_heap *heap, uint64_t at, const struct garbage *garbage)
{
	uint64_t bytes = mp__heap_bytes_of(at);

	return is_among(garbage->dead, mp__heap_block_at(&heap->view, at)->owner) &&
	       (!garbage->filter ||
		       garbage->filter(garbage->argument, bytes, heap->view.base + bytes));
}

static int free_all_of(mp_heap *heap, const struct garbage *garbage, int *freed)
{
	struct mp__heap_seen seen;
	uint64_t at = MP__HEAP_FIRST;
	uint64_t before = 0; /* the first of the free blocks that this one may be united with */
	int r = enter(heap);

	if (r < 0)
		return r;
	for (;;) {
		r = mp__heap_see(&heap->view, at, &seen);
		if (r < 0 || seen.size == 0)
			break;
		if (seen.used && is_garbage(heap, at, garbage)) {
			r = mp__heap_give(&heap->view, at);
			if (r < 0)
				break;
			if (*freed < INT_MAX)
				++*freed;
			MP__TEST_POINT("heap.reclaimed");
			/* Where it has become part of something larger: go on from the begin of
			 * that. */
			if (before)
				at = before;
			continue;
		}
		if (seen.used)
			before = 0;
		else if (before == 0)
			before = at;
		at += seen.size;
	}
	leave(heap);
	return r;
}

int mp__heap_reclaim_if(mp_heap *heap, mp__heap_filter *filter, void *argument)
{
	MP__AUTO_FREE mp__stamp *stamps = NULL;
	struct owners owners = {.room = 16};
	const struct garbage garbage = {&owners, filter, argument};
	int freed = 0;
	int r = 1;

	if (!heap)
		return no_heap();
	while (r == 1) {
		owners.room *= 2;
		mp__stamp *more = realloc(stamps, owners.room * sizeof(*stamps));
		if (!more)
			return mp_error_set(-ENOMEM, "no memory for the owners of a heap's blocks");
		owners.stamps = stamps = more;
		r = collect_owners(heap, &owners);
		if (r < 0)
			return r;
	}
	size_t n = owners.n;
	owners.n = 0;
	for (size_t i = 0; i < n; i++) {
		if (mp__stamp_process_dead(stamps[i]))
			stamps[owners.n++] = stamps[i];
	}
	r = owners.n > 0 ? free_all_of(heap, &garbage, &freed) : 0;
	return r < 0 ? r : freed;
}

int mp_heap_reclaim(mp_heap *heap)
{
	return mp__heap_reclaim_if(heap, NULL, NULL);
}
