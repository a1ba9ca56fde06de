/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "shm/heap_bins.h"

#include "base/error.h"
#include "base/testpoint.h"

#include <string.h>

/* How many blocks of the one bin that may or may not fit are looked at. */
#define SCAN_MAX 32

struct bin {
	unsigned row;
	unsigned column;
};

static unsigned log2_of(uint64_t size)
{
	return 63u - (unsigned)__builtin_clzll(size);
}

/* Where a block of that size belongs. */
static struct bin bin_of(uint64_t size, bool released)
{
	if (size < 256)
		return (struct bin){0, (unsigned)(size / MP__HEAP_UNIT)};
	unsigned log2 = log2_of(size);
	unsigned row = log2 - 7 + (released ? MP__HEAP_ROWS_APART : 0);
	return (struct bin){row, (unsigned)(size >> (log2 - 4)) & 15};
}

/* The first bin whose blocks are all of at least that size; may lie behind the last row. */
static struct bin bin_above(uint64_t size, bool released)
{
	if (released && size < MP__HEAP_RELEASED_MIN)
		size = MP__HEAP_RELEASED_MIN;
	if (size >= 256)
		size += (UINT64_C(1) << (log2_of(size) - 4)) - 1;
	return bin_of(size, released);
}

/* The first bin from `from` on that holds something, up to a row. */
static bool bin_next(
	const struct mp__heap_header *h, struct bin from, unsigned end_row, struct bin *ret_bin)
{
	if (from.row >= end_row)
		return false;
	uint32_t columns = h->bins[from.row] & (UINT32_MAX << from.column);
	if (columns == 0) {
		uint64_t rows = h->rows & (UINT64_MAX << from.row << 1);
		if (rows == 0)
			return false;
		from.row = (unsigned)__builtin_ctzll(rows);
		if (from.row >= end_row)
			return false;
		columns = h->bins[from.row];
	}
	unsigned column = columns ? (unsigned)__builtin_ctz(columns) : MP__HEAP_COLUMNS;
	if (column >= MP__HEAP_COLUMNS)
		return false;
	*ret_bin = (struct bin){from.row, column};
	return true;
}

static bool next_of_kind(
	const struct mp__heap_header *h, struct bin from, bool released, struct bin *ret_bin)
{
	return bin_next(h, from, released ? MP__HEAP_ROWS : MP__HEAP_ROWS_PLAIN, ret_bin);
}

bool mp__bins_see_free(const struct mp__heap_view *v, uint64_t at, struct mp__heap_seen *ret)
{
	return mp__chain_see(v, at, mp__chain_end(v), ret) && !ret->used;
}

bool mp__bins_see_before(const struct mp__heap_view *v, const struct mp__heap_seen *behind,
	struct mp__heap_seen *ret_before)
{
	uint64_t size = *mp__chain_size_before(v, behind->at);

	return size <= behind->at && mp__bins_see_free(v, behind->at - size, ret_before) &&
	       ret_before->size == size;
}

/* A free block that a link leads to. */
static bool see_linked(
	const struct mp__heap_view *v, uint64_t at, bool released, struct mp__heap_seen *ret)
{
	return mp__bins_see_free(v, at, ret) && ret->released == released;
}

/* --- in and out -------------------------------------------------------------------------------- */

void mp__bins_clear(struct mp__heap_view *v)
{
	struct mp__heap_header *h = v->header;

	h->rows = 0;
	memset(h->bins, 0, sizeof(h->bins));
	memset(h->heads, 0, sizeof(h->heads));
}

int mp__bins_push(struct mp__heap_view *v, const struct mp__heap_seen *seen)
{
	struct mp__heap_header *h = v->header;
	struct mp__heap_block *block = mp__heap_block_at(v, seen->at);
	struct bin bin = bin_of(seen->size, seen->released);
	uint64_t head = h->heads[bin.row][bin.column];
	struct mp__heap_seen first;

	*mp__chain_size_before(v, seen->at + seen->size) = seen->size;
	if (head != 0 && !see_linked(v, head, seen->released, &first))
		return MP__HEAP_STALE;
	block->owner = head;
	block->prev = 0;
	if (head != 0)
		mp__heap_block_at(v, head)->prev = seen->at;
	h->heads[bin.row][bin.column] = seen->at;
	h->bins[bin.row] |= 1u << bin.column;
	h->rows |= UINT64_C(1) << bin.row;
	return 0;
}

static void clear_bit(struct mp__heap_header *h, struct bin bin)
{
	h->bins[bin.row] &= ~(1u << bin.column);
	if (h->bins[bin.row] == 0)
		h->rows &= ~(UINT64_C(1) << bin.row);
}

int mp__bins_remove(struct mp__heap_view *v, const struct mp__heap_seen *seen)
{
	struct mp__heap_header *h = v->header;
	struct mp__heap_block *block = mp__heap_block_at(v, seen->at);
	struct bin bin = bin_of(seen->size, seen->released);
	uint64_t *head = &h->heads[bin.row][bin.column];
	uint64_t next = block->owner;
	uint64_t prev = block->prev;
	struct mp__heap_seen other;

	if (next != 0 && (!see_linked(v, next, seen->released, &other) ||
				 mp__heap_block_at(v, next)->prev != seen->at))
		return MP__HEAP_STALE;
	if (prev == 0) {
		if (*head != seen->at)
			return MP__HEAP_STALE;
		*head = next;
		MP__TEST_POINT("heap.unlink");
		if (next == 0)
			clear_bit(h, bin);
	} else {
		if (!see_linked(v, prev, seen->released, &other) ||
			mp__heap_block_at(v, prev)->owner != seen->at)
			return MP__HEAP_STALE;
		mp__heap_block_at(v, prev)->owner = next;
		MP__TEST_POINT("heap.unlink");
	}
	if (next != 0)
		mp__heap_block_at(v, next)->prev = prev;
	return 0;
}

/* --- looking ----------------------------------------------------------------------------------- */

uint64_t mp__heap_gap(uint64_t at, uint64_t align)
{
	uint64_t gap = -(at + MP__HEAP_BLOCK_HEAD) & (align - 1);

	return gap == 0 || gap >= MP__HEAP_BLOCK_MIN ? gap : gap + align;
}

uint64_t mp__heap_wanted(uint64_t size, uint64_t align)
{
	return align > MP__HEAP_UNIT ? size + align + MP__HEAP_BLOCK_MIN : size;
}

/* In a bin that holds smaller ones, too. */
static int scan_bin(struct mp__heap_view *v, struct bin bin, uint64_t size, uint64_t align,
	bool released, struct mp__heap_seen *ret_found)
{
	uint64_t at = bin.row < MP__HEAP_ROWS ? v->header->heads[bin.row][bin.column] : 0;

	for (int i = 0; i < SCAN_MAX && at != 0; i++) {
		if (!see_linked(v, at, released, ret_found))
			return MP__HEAP_STALE;
		if (ret_found->size >= size + mp__heap_gap(at, align))
			return 0;
		at = mp__heap_block_at(v, at)->owner;
	}
	return -ENOSPC;
}

int mp__bins_find(struct mp__heap_view *v, uint64_t size, uint64_t align, bool released,
	struct mp__heap_seen *ret_found)
{
	uint64_t wanted = mp__heap_wanted(size, align);
	struct bin bin;

	if (next_of_kind(v->header, bin_above(wanted, released), released, &bin)) {
		uint64_t head = v->header->heads[bin.row][bin.column];
		return see_linked(v, head, released, ret_found) && ret_found->size >= wanted
			       ? 0
			       : MP__HEAP_STALE;
	}
	if (released && wanted < MP__HEAP_RELEASED_MIN)
		return -ENOSPC;
	int r = scan_bin(v, bin_of(wanted, released), wanted, align, released, ret_found);
	if (r == -ENOSPC && wanted != size && !released)
		/* One that happens to be aligned. */
		r = scan_bin(v, bin_of(size, false), size, align, false, ret_found);
	return r;
}

int mp__bins_next_released(const struct mp__heap_view *v, uint64_t *at)
{
	const struct mp__heap_header *h = v->header;
	struct bin bin = {MP__HEAP_ROWS_PLAIN, 0};
	struct mp__heap_seen seen;

	if (*at != 0) {
		if (!see_linked(v, *at, true, &seen))
			return MP__HEAP_STALE;
		*at = mp__heap_block_at(v, *at)->owner;
		if (*at != 0)
			return 1;
		bin = bin_of(seen.size, true);
		bin.row += ++bin.column == MP__HEAP_COLUMNS;
		bin.column %= MP__HEAP_COLUMNS;
	}
	if (!next_of_kind(h, bin, true, &bin))
		return 0;
	*at = h->heads[bin.row][bin.column];
	return 1;
}

/* --- checked ----------------------------------------------------------------------------------- */

/* How many blocks hang in a bin, each of them free and in the right one; -EBADMSG. */
static int count_bin(
	const struct mp__heap_view *v, struct bin bin, uint64_t n_free, uint64_t *count)
{
	const struct mp__heap_header *h = v->header;
	uint64_t at = h->heads[bin.row][bin.column];
	uint64_t prev = 0;
	struct mp__heap_seen seen;

	if ((at != 0) != ((h->bins[bin.row] >> bin.column & 1) != 0) ||
		(h->bins[bin.row] != 0) != ((h->rows >> bin.row & 1) != 0))
		return mp_error_set(-EBADMSG, "the heap's bitmaps do not fit its bins");
	for (; at != 0; at = mp__heap_block_at(v, at)->owner) {
		bool found = mp__bins_see_free(v, at, &seen);
		struct bin right = found ? bin_of(seen.size, seen.released) : bin;
		if (!found || right.row != bin.row || right.column != bin.column ||
			mp__heap_block_at(v, at)->prev != prev || ++*count > n_free)
			return mp_error_set(-EBADMSG,
				"the heap's list of free blocks is damaged at offset %llu",
				(unsigned long long)at);
		prev = at;
	}
	return 0;
}

int mp__bins_verify(const struct mp__heap_view *v, uint64_t n_free)
{
	uint64_t count = 0;

	for (unsigned i = 0; i < MP__HEAP_ROWS * MP__HEAP_COLUMNS; i++) {
		int r = count_bin(v, (struct bin){i / MP__HEAP_COLUMNS, i % MP__HEAP_COLUMNS},
			n_free, &count);
		if (r < 0)
			return r;
	}
	return count == n_free
		       ? 0
		       : mp_error_set(-EBADMSG, "the heap has %llu free blocks, its lists %llu",
				 (unsigned long long)n_free, (unsigned long long)count);
}
