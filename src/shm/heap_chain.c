/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "shm/heap_chain.h"

#include "base/error.h"

#include <sys/stat.h>

static uint64_t word_of(const struct mp__heap_view *v, uint64_t at, uint64_t low)
{
	uint64_t mixed = ((low ^ v->seed) + at * UINT64_C(0x9e3779b97f4a7c15)) ^ (at >> 7);

	mixed *= UINT64_C(0xd6e8feb86659fd93);
	return (mixed & ~MP__HEAP_LOW_MASK) | low;
}

void mp__chain_write(struct mp__heap_view *v, const struct mp__heap_seen *block)
{
	uint64_t low = block->size;

	low |= block->used ? MP__HEAP_USED : 0;
	low |= block->before_free ? MP__HEAP_BEFORE_FREE : 0;
	low |= block->released ? MP__HEAP_RELEASED : 0;
	atomic_store_explicit(&mp__heap_block_at(v, block->at)->word, word_of(v, block->at, low),
		memory_order_release);
}

bool mp__chain_see(
	const struct mp__heap_view *v, uint64_t at, uint64_t end, struct mp__heap_seen *ret)
{
	if (at < MP__HEAP_FIRST || at > end || at % MP__HEAP_UNIT != 0)
		return false;
	uint64_t word = atomic_load_explicit(&mp__heap_block_at(v, at)->word, memory_order_relaxed);
	uint64_t low = word & MP__HEAP_LOW_MASK;
	*ret = (struct mp__heap_seen){
		.at = at,
		.size = low & MP__HEAP_SIZE_MASK,
		.used = low & MP__HEAP_USED,
		.before_free = low & MP__HEAP_BEFORE_FREE,
		.released = low & MP__HEAP_RELEASED,
	};
	if (word != word_of(v, at, low))
		return false;
	if (ret->released && (ret->used || ret->size < MP__HEAP_RELEASED_MIN))
		return false;
	if (ret->size == 0)
		return ret->used;
	return ret->size >= MP__HEAP_BLOCK_MIN && ret->size <= end - at;
}

void mp__chain_mark_before(
	struct mp__heap_view *v, const struct mp__heap_seen *block, bool before_free)
{
	struct mp__heap_seen marked = *block;

	marked.before_free = before_free;
	if (block->before_free != before_free)
		mp__chain_write(v, &marked);
}

uint64_t mp__chain_allocated(const struct mp__heap_view *v)
{
	/* Partner: the release in mp__segment_grow(). */
	uint64_t allocated = atomic_load_explicit(&v->header->segment.size, memory_order_acquire);
	uint64_t known = atomic_load_explicit(v->known, memory_order_relaxed);
	struct stat st;

	if (allocated > v->limit)
		allocated = v->limit;
	if (allocated <= known)
		return allocated;
	/* Behind the end of the file is nothing but SIGBUS. */
	if (fstat(v->segment->fd, &st) < 0 || (uint64_t)st.st_size < v->segment->at + allocated)
		return known;
	atomic_store_explicit(v->known, allocated, memory_order_relaxed);
	return allocated;
}

uint64_t mp__chain_last(const struct mp__heap_view *v)
{
	uint64_t allocated = mp__chain_allocated(v);

	return allocated < MP__HEAP_BLOCK_HEAD ? 0 : allocated - MP__HEAP_BLOCK_HEAD;
}

uint64_t mp__chain_end(const struct mp__heap_view *v)
{
	uint64_t end = v->header->end;
	uint64_t last = mp__chain_last(v);

	return end < last ? end : last;
}

int mp__chain_damaged(uint64_t at)
{
	return mp_error_set(-EBADMSG,
		"the heap is damaged at offset %llu: bytes were written beyond the end of the "
		"block "
		"before it",
		(unsigned long long)at);
}
