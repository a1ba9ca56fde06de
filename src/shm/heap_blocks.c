/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "shm/heap_blocks.h"

#include "base/error.h"
#include "base/testpoint.h"

#include <string.h>

/* Internal: what follows from the chain is wrong; the chain may be right. */
#define STALE (-ESTALE)

/* How many blocks of the one bin that may or may not fit are looked at. */
#define SCAN_MAX 32

/* --- words ------------------------------------------------------------------------------------- */

static uint64_t word_of(const struct mp__heap_view *v, uint64_t at, uint64_t low)
{
	uint64_t mixed = ((low ^ v->seed) + at * UINT64_C(0x9e3779b97f4a7c15)) ^ (at >> 7);

	mixed *= UINT64_C(0xd6e8feb86659fd93);
	return (mixed & ~MP__HEAP_LOW_MASK) | low;
}

static void set_word(struct mp__heap_view *v, uint64_t at, uint64_t low)
{
	atomic_store_explicit(
		&mp__heap_block_at(v, at)->word, word_of(v, at, low), memory_order_release);
}

/* Is there a block, the end mark included, that ends by `end`? */
static bool see(const struct mp__heap_view *v, uint64_t at, uint64_t end, struct mp__heap_seen *ret)
{
	if (at < MP__HEAP_FIRST || at > end || at % MP__HEAP_UNIT != 0)
		return false;
	const struct mp__heap_block *block = (const struct mp__heap_block *)(v->base + at);
	uint64_t word = atomic_load_explicit(&block->word, memory_order_relaxed);
	uint64_t low = word & MP__HEAP_LOW_MASK;
	*ret = (struct mp__heap_seen){
		.at = at,
		.size = low & MP__HEAP_SIZE_MASK,
		.used = low & MP__HEAP_USED,
		.before_free = low & MP__HEAP_BEFORE_FREE,
	};
	if (word != word_of(v, at, low))
		return false;
	if (ret->size == 0)
		return ret->used;
	return ret->size >= MP__HEAP_BLOCK_MIN && ret->size <= end - at;
}

/* The last offset where an end mark may stand. */
static uint64_t last_of(const struct mp__heap_view *v)
{
	/* Partner: the release in mp__segment_grow(). */
	uint64_t allocated = atomic_load_explicit(&v->header->segment.size, memory_order_acquire);

	if (allocated > v->limit)
		allocated = v->limit;
	return allocated < MP__HEAP_BLOCK_HEAD ? 0 : allocated - MP__HEAP_BLOCK_HEAD;
}

/* `end` as the header has it, never beyond what is mapped. */
static uint64_t end_of(const struct mp__heap_view *v)
{
	uint64_t end = v->header->end;
	uint64_t last = last_of(v);

	return end < last ? end : last;
}

static int damaged(uint64_t at)
{
	return mp_error_set(-EBADMSG,
		"the heap is damaged at offset %llu: bytes were written beyond the end of the "
		"block "
		"before it",
		(unsigned long long)at);
}

int mp__heap_see(struct mp__heap_view *v, uint64_t at, struct mp__heap_seen *ret_seen)
{
	return see(v, at, last_of(v), ret_seen) ? 0 : damaged(at);
}

static uint64_t *size_at_end(struct mp__heap_view *v, uint64_t behind)
{
	return (uint64_t *)(v->base + behind - sizeof(uint64_t));
}

uint64_t mp__heap_block_size(uint64_t bytes)
{
	if (bytes >= MP__HEAP_SIZE_MAX - 2 * MP__HEAP_BLOCK_MIN)
		return 0;
	uint64_t size = (bytes + MP__HEAP_BLOCK_HEAD + MP__HEAP_UNIT - 1) & ~(MP__HEAP_UNIT - 1);
	return size < MP__HEAP_BLOCK_MIN ? MP__HEAP_BLOCK_MIN : size;
}

/* --- bins -------------------------------------------------------------------------------------- */

struct bin {
	unsigned row;
	unsigned column;
};

static unsigned log2_of(uint64_t size)
{
	return 63u - (unsigned)__builtin_clzll(size);
}

/* Where a block of that size belongs. */
static struct bin bin_of(uint64_t size)
{
	if (size < 256)
		return (struct bin){0, (unsigned)(size / MP__HEAP_UNIT)};
	unsigned log2 = log2_of(size);
	return (struct bin){log2 - 7, (unsigned)(size >> (log2 - 4)) & 15};
}

/* The first bin whose blocks are all of at least that size; may lie behind the last row. */
static struct bin bin_above(uint64_t size)
{
	if (size >= 256)
		size += (UINT64_C(1) << (log2_of(size) - 4)) - 1;
	return bin_of(size);
}

/* The first bin from `from` on that holds something. */
static bool bin_next(const struct mp__heap_header *h, struct bin from, struct bin *ret_bin)
{
	if (from.row >= MP__HEAP_ROWS)
		return false;
	uint32_t columns = h->bins[from.row] & (UINT32_MAX << from.column);
	if (columns == 0) {
		uint64_t rows = h->rows & (UINT64_MAX << from.row << 1);
		if (rows == 0)
			return false;
		from.row = (unsigned)__builtin_ctzll(rows);
		if (from.row >= MP__HEAP_ROWS)
			return false;
		columns = h->bins[from.row];
	}
	unsigned column = columns ? (unsigned)__builtin_ctz(columns) : MP__HEAP_COLUMNS;
	if (column >= MP__HEAP_COLUMNS)
		return false;
	*ret_bin = (struct bin){from.row, column};
	return true;
}

/* A free block that a link leads to. */
static bool see_linked(const struct mp__heap_view *v, uint64_t at, struct mp__heap_seen *ret)
{
	return see(v, at, end_of(v), ret) && !ret->used;
}

/* STALE: the head of the bin is no free block. */
static int bin_push(struct mp__heap_view *v, uint64_t at, uint64_t size)
{
	struct mp__heap_header *h = v->header;
	struct mp__heap_block *block = mp__heap_block_at(v, at);
	struct bin bin = bin_of(size);
	uint64_t head = h->heads[bin.row][bin.column];
	struct mp__heap_seen seen;

	if (head != 0 && !see_linked(v, head, &seen))
		return STALE;
	block->owner = head;
	block->prev = 0;
	if (head != 0)
		mp__heap_block_at(v, head)->prev = at;
	h->heads[bin.row][bin.column] = at;
	h->bins[bin.row] |= 1u << bin.column;
	h->rows |= UINT64_C(1) << bin.row;
	return 0;
}

/* STALE: it is not linked as it should be. */
static int bin_remove(struct mp__heap_view *v, uint64_t at, uint64_t size)
{
	struct mp__heap_header *h = v->header;
	struct mp__heap_block *block = mp__heap_block_at(v, at);
	struct bin bin = bin_of(size);
	uint64_t *head = &h->heads[bin.row][bin.column];
	uint64_t next = block->owner;
	uint64_t prev = block->prev;
	struct mp__heap_seen seen;

	if (next != 0 && (!see_linked(v, next, &seen) || mp__heap_block_at(v, next)->prev != at))
		return STALE;
	if (prev == 0) {
		if (*head != at)
			return STALE;
		*head = next;
		MP__TEST_POINT("heap.unlink");
		if (next == 0) {
			h->bins[bin.row] &= ~(1u << bin.column);
			if (h->bins[bin.row] == 0)
				h->rows &= ~(UINT64_C(1) << bin.row);
		}
	} else {
		if (!see_linked(v, prev, &seen) || mp__heap_block_at(v, prev)->owner != at)
			return STALE;
		mp__heap_block_at(v, prev)->owner = next;
		MP__TEST_POINT("heap.unlink");
	}
	if (next != 0)
		mp__heap_block_at(v, next)->prev = prev;
	return 0;
}

/* --- what follows from the chain ----------------------------------------------------------------- */

static void mark_before(struct mp__heap_view *v, const struct mp__heap_seen *seen, bool before_free)
{
	if (seen->before_free != before_free)
		set_word(v, seen->at,
			seen->size | (seen->used ? MP__HEAP_USED : 0) |
				(before_free ? MP__HEAP_BEFORE_FREE : 0));
}

/* For a free block whose neighbours are in use: its size at its end, and into its bin. */
static int file_free(struct mp__heap_view *v, uint64_t at, uint64_t size)
{
	*size_at_end(v, at + size) = size;
	return bin_push(v, at, size);
}

/*
 * A block has become free, and is linked nowhere: unite it with free neighbours, mark, link.
 * STALE: something did not fit, rebuild.
 */
static int settle(struct mp__heap_view *v, struct mp__heap_seen block)
{
	struct mp__heap_seen next, before;
	uint64_t end = end_of(v);

	if (!see(v, block.at + block.size, end, &next))
		return STALE;
	if (!next.used) {
		if (bin_remove(v, next.at, next.size) < 0)
			return STALE;
		block.size += next.size;
		set_word(v, block.at, block.size | (block.before_free ? MP__HEAP_BEFORE_FREE : 0));
		MP__TEST_POINT("heap.join_next");
		if (!see(v, block.at + block.size, end, &next))
			return STALE;
	}
	if (block.before_free) {
		uint64_t size = *size_at_end(v, block.at);
		if (size > block.at || !see_linked(v, block.at - size, &before) ||
			before.size != size || bin_remove(v, before.at, size) < 0)
			return STALE;
		MP__TEST_POINT("heap.join_before");
		before.size += block.size;
		set_word(v, before.at, before.size);
		MP__TEST_POINT("heap.joined_before");
		block = before;
	}
	mark_before(v, &next, true);
	MP__TEST_POINT("heap.marked");
	return file_free(v, block.at, block.size);
}

/* Neighbours that are both free become one. */
static bool unite_run(struct mp__heap_view *v, struct mp__heap_seen *run, uint64_t last)
{
	struct mp__heap_seen next;
	uint64_t size = run->size;

	for (;;) {
		if (!see(v, run->at + size, last, &next))
			return false;
		if (next.used)
			break;
		size += next.size;
	}
	if (size != run->size || run->before_free)
		set_word(v, run->at, size);
	run->size = size;
	return true;
}

int mp__heap_rebuild(struct mp__heap_view *v)
{
	struct mp__heap_header *h = v->header;
	uint64_t last = last_of(v);
	uint64_t at = MP__HEAP_FIRST;
	struct mp__heap_seen seen;
	bool before_free = false;

	atomic_store_explicit(&h->repair, 1, memory_order_release);
	h->rows = 0;
	memset(h->bins, 0, sizeof(h->bins));
	memset(h->heads, 0, sizeof(h->heads));
	h->end = last; /* links made below may lead anywhere; the walk finds the true one */
	for (;; at += seen.size) {
		if (!see(v, at, last, &seen))
			return damaged(at);
		if (seen.used)
			mark_before(v, &seen, before_free);
		if (seen.size == 0)
			break;
		if (!seen.used) {
			if (!unite_run(v, &seen, last))
				return damaged(seen.at + seen.size);
			MP__TEST_POINT("heap.rebuild");
			file_free(v, seen.at, seen.size);
		}
		before_free = !seen.used;
	}
	h->end = at;
	MP__TEST_POINT("heap.rebuilt");
	atomic_store_explicit(&h->repair, 0, memory_order_release);
	return 0;
}

/* --- taking ------------------------------------------------------------------------------------ */

/* How much has to be cut off before a block, so that its bytes are aligned. */
static uint64_t gap_at(uint64_t at, uint64_t align)
{
	uint64_t gap = -mp__heap_bytes_of(at) & (align - 1);

	return gap == 0 || gap >= MP__HEAP_BLOCK_MIN ? gap : gap + align;
}

/* In a bin that holds smaller ones, too. */
static int scan_bin(
	struct mp__heap_view *v, uint64_t size, uint64_t align, struct mp__heap_seen *ret_found)
{
	struct bin bin = bin_of(size);
	uint64_t at = bin.row < MP__HEAP_ROWS ? v->header->heads[bin.row][bin.column] : 0;

	for (int i = 0; i < SCAN_MAX && at != 0; i++) {
		if (!see_linked(v, at, ret_found))
			return STALE;
		if (ret_found->size >= size + gap_at(at, align))
			return 0;
		at = mp__heap_block_at(v, at)->owner;
	}
	return -ENOSPC;
}

/* A free block with room. */
static int find(
	struct mp__heap_view *v, uint64_t size, uint64_t align, struct mp__heap_seen *ret_found)
{
	uint64_t wanted = align > MP__HEAP_UNIT ? size + align + MP__HEAP_BLOCK_MIN : size;
	struct bin bin;

	if (bin_next(v->header, bin_above(wanted), &bin)) {
		if (!see_linked(v, v->header->heads[bin.row][bin.column], ret_found) ||
			ret_found->size < wanted)
			return STALE;
		return 0;
	}
	int r = scan_bin(v, wanted, align, ret_found);
	if (r == -ENOSPC && wanted != size)
		r = scan_bin(v, size, align, ret_found); /* one that happens to be aligned */
	return r;
}

/* The part behind `gap` bytes of a free block; both parts are free, the first in its bin. */
static int cut_front(struct mp__heap_view *v, struct mp__heap_seen *block, uint64_t gap)
{
	struct mp__heap_seen behind = {
		.at = block->at + gap,
		.size = block->size - gap,
		.before_free = true,
	};

	set_word(v, behind.at, behind.size | MP__HEAP_BEFORE_FREE);
	MP__TEST_POINT("heap.cut");
	set_word(v, block->at, gap);
	MP__TEST_POINT("heap.cut_front");
	int r = file_free(v, block->at, gap);
	*block = behind;
	return r;
}

static int try_take(struct mp__heap_view *v, uint64_t size, uint64_t align, mp__stamp owner,
	uint64_t *ret_block)
{
	struct mp__heap_seen block, next;
	int r = find(v, size, align, &block);

	if (r < 0)
		return r;
	uint64_t gap = gap_at(block.at, align);
	if (block.size < gap + size || !see(v, block.at + block.size, end_of(v), &next) ||
		bin_remove(v, block.at, block.size) < 0)
		return STALE;
	MP__TEST_POINT("heap.unlinked");
	if (gap != 0 && cut_front(v, &block, gap) < 0)
		return STALE;

	uint64_t rest = block.size - size;
	if (rest < MP__HEAP_BLOCK_MIN) {
		size += rest;
		rest = 0;
	} else {
		set_word(v, block.at + size, rest);
	}
	mp__heap_block_at(v, block.at)->owner = owner;
	MP__TEST_POINT("heap.split");
	set_word(
		v, block.at, size | MP__HEAP_USED | (block.before_free ? MP__HEAP_BEFORE_FREE : 0));
	MP__TEST_POINT("heap.taken");
	*ret_block = block.at;
	if (rest == 0)
		mark_before(v, &next, false);
	else if (file_free(v, block.at + size, rest) < 0)
		/* It is taken all the same. */
		return mp__heap_rebuild(v);
	return 0;
}

int mp__heap_take(struct mp__heap_view *v, uint64_t size, uint64_t align, mp__stamp owner,
	uint64_t *ret_block)
{
	int r = try_take(v, size, align, owner, ret_block);

	if (r != STALE)
		return r;
	r = mp__heap_rebuild(v);
	if (r < 0)
		return r;
	r = try_take(v, size, align, owner, ret_block);
	return r == STALE ? mp_error_set(-EBADMSG, "the heap's lists change under the guard") : r;
}

/* --- giving back ------------------------------------------------------------------------------- */

int mp__heap_give(struct mp__heap_view *v, uint64_t at)
{
	struct mp__heap_seen block, next;
	uint64_t end = end_of(v);

	if (!see(v, at, end, &block) || block.size == 0)
		return mp_error_set(-EINVAL,
			"no block of this heap begins at offset %llu, or what stands before it was "
			"overwritten",
			(unsigned long long)mp__heap_bytes_of(at));
	if (!block.used)
		return mp_error_set(-EINVAL,
			"freeing the block of a heap at offset %llu: it is free already",
			(unsigned long long)mp__heap_bytes_of(at));
	if (!see(v, at + block.size, end, &next))
		return damaged(at + block.size);

	set_word(v, at, block.size | (block.before_free ? MP__HEAP_BEFORE_FREE : 0));
	MP__TEST_POINT("heap.given");
	block.used = false;
	return settle(v, block) == STALE ? mp__heap_rebuild(v) : 0;
}

/* --- growing ----------------------------------------------------------------------------------- */

#define CHUNK (UINT64_C(1) << 20)

int mp__heap_plan(struct mp__heap_view *v, uint64_t size, uint64_t align, uint64_t *ret_size)
{
	struct mp__heap_seen mark, tail;
	uint64_t end = end_of(v);
	uint64_t from = end;

	if (!see(v, end, end, &mark))
		return damaged(end);
	if (mark.before_free) {
		uint64_t tail_size = *size_at_end(v, end);
		if (tail_size <= end && see_linked(v, end - tail_size, &tail) &&
			tail.size == tail_size)
			from = tail.at;
	}
	uint64_t needed = from + gap_at(from, align) + size + MP__HEAP_BLOCK_HEAD;
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
	uint64_t old = end_of(v);
	uint64_t end = last_of(v) & ~(MP__HEAP_UNIT - 1);

	if (!see(v, old, old, &mark))
		return damaged(old);
	if (end < old + MP__HEAP_BLOCK_MIN)
		return 0; /* another was faster */
	set_word(v, end, MP__HEAP_USED);
	MP__TEST_POINT("heap.new_end");
	mark.size = end - old;
	mark.used = false;
	set_word(v, old, mark.size | (mark.before_free ? MP__HEAP_BEFORE_FREE : 0));
	MP__TEST_POINT("heap.grown");
	h->end = end;
	return settle(v, mark) == STALE ? mp__heap_rebuild(v) : 0;
}

/* --- new, and checked -------------------------------------------------------------------------- */

void mp__heap_format(struct mp__heap_view *v)
{
	uint64_t end = last_of(v) & ~(MP__HEAP_UNIT - 1);

	v->header->end = end;
	set_word(v, end, MP__HEAP_USED | MP__HEAP_BEFORE_FREE);
	set_word(v, MP__HEAP_FIRST, end - MP__HEAP_FIRST);
	file_free(v, MP__HEAP_FIRST, end - MP__HEAP_FIRST);
}

/* How many blocks hang in the bins, each of them free and in the right one; -EBADMSG. */
static int count_binned(struct mp__heap_view *v, uint64_t n_free, uint64_t *ret_count)
{
	const struct mp__heap_header *h = v->header;
	uint64_t count = 0;

	for (unsigned i = 0; i < MP__HEAP_ROWS * MP__HEAP_COLUMNS; i++) {
		struct bin bin = {i / MP__HEAP_COLUMNS, i % MP__HEAP_COLUMNS};
		uint64_t at = h->heads[bin.row][bin.column];
		uint64_t prev = 0;
		struct mp__heap_seen seen;

		if ((at != 0) != ((h->bins[bin.row] >> bin.column & 1) != 0) ||
			(h->bins[bin.row] != 0) != ((h->rows >> bin.row & 1) != 0))
			return mp_error_set(-EBADMSG, "the heap's bitmaps do not fit its bins");
		for (; at != 0; at = mp__heap_block_at(v, at)->owner) {
			if (!see_linked(v, at, &seen) || bin_of(seen.size).row != bin.row ||
				bin_of(seen.size).column != bin.column ||
				mp__heap_block_at(v, at)->prev != prev || ++count > n_free)
				return mp_error_set(-EBADMSG,
					"the heap's list of free blocks is damaged at offset %llu",
					(unsigned long long)at);
			prev = at;
		}
	}
	*ret_count = count;
	return 0;
}

int mp__heap_verify(struct mp__heap_view *v)
{
	uint64_t last = last_of(v);
	uint64_t at = MP__HEAP_FIRST;
	uint64_t n_free = 0;
	uint64_t n_binned;
	struct mp__heap_seen seen;
	bool before_free = false;

	for (;; at += seen.size) {
		if (!see(v, at, last, &seen))
			return damaged(at);
		if (seen.before_free != before_free || (before_free && !seen.used))
			return mp_error_set(-EBADMSG,
				"the heap's block at offset %llu is wrong about the one before it",
				(unsigned long long)at);
		if (seen.size == 0)
			break;
		before_free = !seen.used;
		n_free += !seen.used;
		if (!seen.used && *size_at_end(v, at + seen.size) != seen.size)
			return mp_error_set(-EBADMSG,
				"the heap's free block at offset %llu was written to",
				(unsigned long long)at);
	}
	if (at != v->header->end)
		return mp_error_set(-EBADMSG, "the heap ends elsewhere than it says");
	int r = count_binned(v, n_free, &n_binned);
	if (r < 0)
		return r;
	if (n_binned != n_free)
		return mp_error_set(-EBADMSG, "the heap has %llu free blocks, its lists %llu",
			(unsigned long long)n_free, (unsigned long long)n_binned);
	return 0;
}
