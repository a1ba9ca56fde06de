/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "shm/heap_released.h"

#include "base/testpoint.h"
#include "shm/heap_bins.h"
#include "shm/heap_blocks.h"

#include <errno.h>

/* So much comes back at least, or blocks would come one by one. */
#define RESTORE_MIN (UINT64_C(1) << 20)
/* Where two released blocks meet, pages were kept for their ends: none is larger. */
#define PAGE_MAX (UINT64_C(1) << 16)

/* --- back to the system ------------------------------------------------------------------------ */

/* What lies from `from` to `to` within a released block; its links and its size at the end stay. */
static void punch(const struct mp__heap_view *v, const struct mp__heap_seen *block, uint64_t from,
	uint64_t to)
{
	uint64_t begin = block->at + sizeof(struct mp__heap_block);
	uint64_t end = block->at + block->size - sizeof(uint64_t);

	begin = from > begin ? from : begin;
	end = to < end ? to : end;
	/* It is a matter of memory only: if the kernel can't, all is well without. */
	mp__segment_release(v->segment, begin, end - begin);
}

void mp__heap_release_again(struct mp__heap_view *v, const struct mp__heap_seen *block)
{
	punch(v, block, block->at, block->at + block->size);
}

/* What has to stay in front of a block, so that it begins behind the memory that is kept. */
static uint64_t kept_of(const struct mp__heap_view *v, uint64_t at)
{
	if (at >= v->kept)
		return 0;
	uint64_t gap = (v->kept - at + MP__HEAP_UNIT - 1) & ~(MP__HEAP_UNIT - 1);
	return gap < MP__HEAP_BLOCK_MIN ? MP__HEAP_BLOCK_MIN : gap;
}

int mp__heap_release(struct mp__heap_view *v, struct mp__heap_seen *block)
{
	uint64_t gap = kept_of(v, block->at);

	if (block->released || block->size < gap + MP__HEAP_RELEASED_MIN)
		return 0;
	if (mp__bins_remove(v, block) < 0 || (gap != 0 && mp__heap_cut_front(v, block, gap) < 0))
		return MP__HEAP_STALE;
	MP__TEST_POINT("heap.release");
	block->released = true;
	mp__chain_write(v, block);
	MP__TEST_POINT("heap.released");
	uint64_t from = block->at;
	uint64_t to = block->at + block->size;
	int r = mp__heap_settle(v, block);
	MP__TEST_POINT("heap.release_settled");
	if (r == 0)
		punch(v, block, from < PAGE_MAX ? 0 : from - PAGE_MAX, to + PAGE_MAX);
	MP__TEST_POINT("heap.punched");
	return r;
}

/* --- and again ----------------------------------------------------------------------------------- */

/*
 * Its first `size` bytes at least, or all of it if less would be left than is worth releasing. What
 * it has become, with its neighbours, is in `block`.
 */
static int restore(struct mp__heap_view *v, struct mp__heap_seen *block, uint64_t size)
{
	struct mp__heap_seen rest = *block;

	if (size < RESTORE_MIN)
		size = RESTORE_MIN;
	if (block->size < size + MP__HEAP_RELEASED_MIN)
		size = block->size;
	rest.at += size;
	rest.size -= size;
	rest.before_free = true;
	/* With the links of the rest, which are written next. */
	uint64_t needed = rest.size ? size + sizeof(struct mp__heap_block) : size;
	if (mp__segment_restore(v->segment, block->at, needed, "a heap") < 0)
		return -ENOMEM;
	MP__TEST_POINT("heap.restore");
	if (mp__bins_remove(v, block) < 0)
		return MP__HEAP_STALE;
	if (rest.size)
		mp__chain_write(v, &rest);
	MP__TEST_POINT("heap.restore_rest");
	block->size = size;
	block->released = false;
	mp__chain_write(v, block);
	MP__TEST_POINT("heap.restored");
	if (rest.size && mp__bins_push(v, &rest) < 0)
		return MP__HEAP_STALE;
	return mp__heap_settle(v, block);
}

/* The first of the free blocks side by side of which this is one, and the bytes of all. */
static int see_run(
	struct mp__heap_view *v, uint64_t at, struct mp__heap_seen *ret_first, uint64_t *ret_size)
{
	struct mp__heap_seen next;

	if (!mp__bins_see_free(v, at, ret_first))
		return MP__HEAP_STALE;
	for (next = *ret_first; next.before_free; next = *ret_first) {
		if (!mp__bins_see_before(v, &next, ret_first))
			return MP__HEAP_STALE;
	}
	*ret_size = 0;
	for (next = *ret_first; !next.used;) {
		*ret_size += next.size;
		if (!mp__chain_see(v, next.at + next.size, mp__chain_end(v), &next))
			return MP__HEAP_STALE;
	}
	return 0;
}

/* One after another, until they are one block of that size. */
static int restore_run(struct mp__heap_view *v, struct mp__heap_seen *block, uint64_t size)
{
	uint64_t have = 0; /* in front of *block, with memory */

	for (;;) {
		if (block->released) {
			int r = restore(v, block, size - have);
			if (r < 0)
				return r;
		}
		if (block->size >= size)
			return 0;
		have = block->size;
		if (!mp__bins_see_free(v, block->at + block->size, block))
			return MP__HEAP_STALE;
	}
}

int mp__heap_restore(struct mp__heap_view *v, uint64_t size, uint64_t align)
{
	struct mp__heap_seen block;
	uint64_t left = v->limit / MP__HEAP_RELEASED_MIN; /* there are no more */
	uint64_t at = 0;
	uint64_t run, wanted;
	int r = mp__bins_find(v, size, align, true, &block);

	if (r == 0)
		return restore(v, &block, mp__heap_wanted(size, align));
	if (r != -ENOSPC)
		return r;
	while ((r = mp__bins_next_released(v, &at)) > 0) {
		r = see_run(v, at, &block, &run);
		if (r < 0)
			return r;
		wanted = size + mp__heap_gap(block.at, align);
		if (run >= wanted)
			return restore_run(v, &block, wanted);
		if (left-- == 0)
			return MP__HEAP_STALE;
	}
	return r < 0 ? r : -ENOSPC;
}
