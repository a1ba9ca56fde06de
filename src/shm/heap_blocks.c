/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "shm/heap_blocks.h"

#include "base/error.h"
#include "base/testpoint.h"
#include "shm/heap_bins.h"
#include "shm/heap_released.h"

int mp__heap_see(struct mp__heap_view *v, uint64_t at, struct mp__heap_seen *ret_seen)
{
	return mp__chain_see(v, at, mp__chain_last(v), ret_seen) ? 0 : mp__chain_damaged(at);
}

uint64_t mp__heap_block_size(uint64_t bytes)
{
	if (bytes >= MP__HEAP_SIZE_MAX - 2 * MP__HEAP_BLOCK_MIN)
		return 0;
	uint64_t size = (bytes + MP__HEAP_BLOCK_HEAD + MP__HEAP_UNIT - 1) & ~(MP__HEAP_UNIT - 1);
	return size < MP__HEAP_BLOCK_MIN ? MP__HEAP_BLOCK_MIN : size;
}

/* --- what follows from the chain ----------------------------------------------------------------- */

static int unite_with_next(
	struct mp__heap_view *v, struct mp__heap_seen *block, struct mp__heap_seen *next)
{
	if (next->used || next->released != block->released)
		return 0;
	if (mp__bins_remove(v, next) < 0)
		return MP__HEAP_STALE;
	block->size += next->size;
	mp__chain_write(v, block);
	MP__TEST_POINT("heap.join_next");
	return mp__chain_see(v, block->at + block->size, mp__chain_end(v), next) ? 0
										 : MP__HEAP_STALE;
}

static int unite_with_before(struct mp__heap_view *v, struct mp__heap_seen *block)
{
	struct mp__heap_seen before;

	if (!block->before_free)
		return 0;
	if (!mp__bins_see_before(v, block, &before))
		return MP__HEAP_STALE;
	if (before.released != block->released)
		return 0;
	if (mp__bins_remove(v, &before) < 0)
		return MP__HEAP_STALE;
	MP__TEST_POINT("heap.join_before");
	before.size += block->size;
	mp__chain_write(v, &before);
	MP__TEST_POINT("heap.joined_before");
	*block = before;
	return 0;
}

int mp__heap_settle(struct mp__heap_view *v, struct mp__heap_seen *block)
{
	struct mp__heap_seen next;

	if (!mp__chain_see(v, block->at + block->size, mp__chain_end(v), &next) ||
		unite_with_next(v, block, &next) < 0 || unite_with_before(v, block) < 0)
		return MP__HEAP_STALE;
	mp__chain_mark_before(v, &next, true);
	MP__TEST_POINT("heap.marked");
	return mp__bins_push(v, block);
}

/* Neighbours that are free and of one kind become one. */
static bool unite_run(
	struct mp__heap_view *v, struct mp__heap_seen *run, bool before_free, uint64_t last)
{
	struct mp__heap_seen found = *run;
	struct mp__heap_seen next;

	for (;;) {
		if (!mp__chain_see(v, run->at + run->size, last, &next))
			return false;
		if (next.used || next.released != run->released)
			break;
		run->size += next.size;
	}
	run->before_free = before_free;
	if (run->size != found.size || before_free != found.before_free)
		mp__chain_write(v, run);
	return true;
}

int mp__heap_rebuild(struct mp__heap_view *v)
{
	struct mp__heap_header *h = v->header;
	uint64_t last = mp__chain_last(v);
	uint64_t at = MP__HEAP_FIRST;
	struct mp__heap_seen seen;
	bool before_free = false;

	atomic_store_explicit(&h->repair, 1, memory_order_release);
	mp__bins_clear(v);
	h->end = last; /* links made below may lead anywhere; the walk finds the true one */
	for (;; at += seen.size) {
		if (!mp__chain_see(v, at, last, &seen))
			return mp__chain_damaged(at);
		if (seen.used)
			mp__chain_mark_before(v, &seen, before_free);
		if (seen.size == 0)
			break;
		if (!seen.used) {
			if (!unite_run(v, &seen, before_free, last))
				return mp__chain_damaged(seen.at + seen.size);
			MP__TEST_POINT("heap.rebuild");
			mp__bins_push(v, &seen);
			if (seen.released)
				mp__heap_release_again(v, &seen);
		}
		before_free = !seen.used;
	}
	h->end = at;
	MP__TEST_POINT("heap.rebuilt");
	atomic_store_explicit(&h->repair, 0, memory_order_release);
	return 0;
}

/* --- taking ------------------------------------------------------------------------------------ */

int mp__heap_cut_front(struct mp__heap_view *v, struct mp__heap_seen *block, uint64_t gap)
{
	struct mp__heap_seen front = *block;

	block->at += gap;
	block->size -= gap;
	block->before_free = true;
	mp__chain_write(v, block);
	MP__TEST_POINT("heap.cut");
	front.size = gap;
	mp__chain_write(v, &front);
	MP__TEST_POINT("heap.cut_front");
	return mp__bins_push(v, &front);
}

static int try_take(struct mp__heap_view *v, uint64_t size, uint64_t align, mp__stamp owner,
	uint64_t *ret_block)
{
	struct mp__heap_seen block, next;
	int r = mp__bins_find(v, size, align, false, &block);

	if (r < 0)
		return r;
	uint64_t gap = mp__heap_gap(block.at, align);
	if (block.size < gap + size ||
		!mp__chain_see(v, block.at + block.size, mp__chain_end(v), &next) ||
		mp__bins_remove(v, &block) < 0)
		return MP__HEAP_STALE;
	MP__TEST_POINT("heap.unlinked");
	if (gap != 0 && mp__heap_cut_front(v, &block, gap) < 0)
		return MP__HEAP_STALE;

	struct mp__heap_seen rest = {.at = block.at + size, .size = block.size - size};
	if (rest.size < MP__HEAP_BLOCK_MIN) {
		rest.size = 0;
	} else {
		mp__chain_write(v, &rest);
		block.size = size;
	}
	mp__heap_block_at(v, block.at)->owner = owner;
	MP__TEST_POINT("heap.split");
	block.used = true;
	mp__chain_write(v, &block);
	MP__TEST_POINT("heap.taken");
	*ret_block = block.at;
	if (rest.size == 0)
		mp__chain_mark_before(v, &next, false);
	else if (mp__bins_push(v, &rest) < 0)
		/* It is taken all the same. */
		return mp__heap_rebuild(v);
	return 0;
}

static int restore_and_take(struct mp__heap_view *v, uint64_t size, uint64_t align, mp__stamp owner,
	uint64_t *ret_block)
{
	int r = try_take(v, size, align, owner, ret_block);

	if (r != -ENOSPC)
		return r;
	r = mp__heap_restore(v, size, align);
	return r < 0 ? r : try_take(v, size, align, owner, ret_block);
}

int mp__heap_take(struct mp__heap_view *v, uint64_t size, uint64_t align, mp__stamp owner,
	uint64_t *ret_block)
{
	int r = restore_and_take(v, size, align, owner, ret_block);

	if (r != MP__HEAP_STALE)
		return r;
	r = mp__heap_rebuild(v);
	if (r < 0)
		return r;
	r = restore_and_take(v, size, align, owner, ret_block);
	return r == MP__HEAP_STALE
		       ? mp_error_set(-EBADMSG, "the heap's lists change under the guard")
		       : r;
}

/* --- giving back ------------------------------------------------------------------------------- */

int mp__heap_give(struct mp__heap_view *v, uint64_t at)
{
	struct mp__heap_seen block, next;
	uint64_t end = mp__chain_end(v);

	if (!mp__chain_see(v, at, end, &block) || block.size == 0)
		return mp_error_set(-EINVAL,
			"no block of this heap begins at offset %llu, or what stands before it was "
			"overwritten",
			(unsigned long long)mp__heap_bytes_of(at));
	if (!block.used)
		return mp_error_set(-EINVAL,
			"freeing the block of a heap at offset %llu: it is free already",
			(unsigned long long)mp__heap_bytes_of(at));
	if (!mp__chain_see(v, at + block.size, end, &next))
		return mp__chain_damaged(at + block.size);

	block.used = false;
	mp__chain_write(v, &block);
	MP__TEST_POINT("heap.given");
	int r = mp__heap_settle(v, &block);
	if (r == 0)
		r = mp__heap_release(v, &block);
	return r == MP__HEAP_STALE ? mp__heap_rebuild(v) : r;
}

/* --- growing ----------------------------------------------------------------------------------- */

#define CHUNK (UINT64_C(1) << 20)

int mp__heap_plan(struct mp__heap_view *v, uint64_t size, uint64_t align, uint64_t *ret_size)
{
	struct mp__heap_seen mark, tail;
	uint64_t end = mp__chain_end(v);
	uint64_t from = end;

	if (!mp__chain_see(v, end, end, &mark))
		return mp__chain_damaged(end);
	if (mark.before_free && mp__bins_see_before(v, &mark, &tail))
		from = tail.at;
	uint64_t needed = from + mp__heap_gap(from, align) + size + MP__HEAP_BLOCK_HEAD;
	if (needed > v->limit)
		return mp_error_set(-ENOSPC,
			"the heap has no %llu bytes in one piece, and is as large as it may be "
			"(option max_size)",
			(unsigned long long)(size - MP__HEAP_BLOCK_HEAD));
	needed = (needed + CHUNK - 1) / CHUNK * CHUNK;
	*ret_size = needed < v->limit ? needed : v->limit;
	return 0;
}

int mp__heap_extend(struct mp__heap_view *v)
{
	struct mp__heap_header *h = v->header;
	struct mp__heap_seen mark;
	uint64_t old = mp__chain_end(v);
	const struct mp__heap_seen end = {
		.at = mp__chain_last(v) & ~(MP__HEAP_UNIT - 1), .used = true};

	if (!mp__chain_see(v, old, old, &mark))
		return mp__chain_damaged(old);
	if (end.at < old + MP__HEAP_BLOCK_MIN)
		return 0; /* another was faster */
	mp__chain_write(v, &end);
	MP__TEST_POINT("heap.new_end");
	mark.size = end.at - old;
	mark.used = false;
	mp__chain_write(v, &mark);
	MP__TEST_POINT("heap.grown");
	h->end = end.at;
	return mp__heap_settle(v, &mark) == MP__HEAP_STALE ? mp__heap_rebuild(v) : 0;
}

/* --- new, and checked -------------------------------------------------------------------------- */

void mp__heap_format(struct mp__heap_view *v)
{
	const struct mp__heap_seen end = {
		.at = mp__chain_last(v) & ~(MP__HEAP_UNIT - 1), .used = true, .before_free = true};
	const struct mp__heap_seen all = {.at = MP__HEAP_FIRST, .size = end.at - MP__HEAP_FIRST};

	v->header->end = end.at;
	v->header->kept = v->kept = end.at;
	mp__chain_write(v, &end);
	mp__chain_write(v, &all);
	mp__bins_push(v, &all);
}

int mp__heap_verify(struct mp__heap_view *v)
{
	struct mp__heap_seen seen = {.at = MP__HEAP_FIRST, .used = true};
	uint64_t n_free = 0;

	for (struct mp__heap_seen before = seen;; before = seen) {
		if (!mp__chain_see(v, before.at + before.size, mp__chain_last(v), &seen))
			return mp__chain_damaged(before.at + before.size);
		if (seen.before_free == before.used ||
			(!before.used && !seen.used && before.released == seen.released))
			return mp_error_set(-EBADMSG,
				"the heap's block at offset %llu is wrong about the one before it",
				(unsigned long long)seen.at);
		if (seen.size == 0)
			break;
		n_free += !seen.used;
		if (!seen.used && *mp__chain_size_before(v, seen.at + seen.size) != seen.size)
			return mp_error_set(-EBADMSG,
				"the heap's free block at offset %llu was written to",
				(unsigned long long)seen.at);
	}
	if (seen.at != v->header->end)
		return mp_error_set(-EBADMSG, "the heap ends elsewhere than it says");
	return mp__bins_verify(v, n_free);
}
