/* SPDX-License-Identifier: MIT */
/*
 * queue/ring.h - where in the file the next message goes, and where the next one is.
 *
 * The protocol stands in queue_layout.h. All of this is called inside the guard of its side.
 */
#ifndef MP_QUEUE_RING_H
#define MP_QUEUE_RING_H

#include "queue/queue.h"

#include <errno.h>
#include <string.h>

static inline struct mp__ring_word mp__ring_unpack(uint64_t word)
{
	return (struct mp__ring_word){
		.count = word >> MP__QUEUE_POS_BITS,
		.at = (word & MP__QUEUE_POS_MASK) * MP__QUEUE_UNIT,
	};
}

static inline uint64_t mp__ring_pack(uint64_t count, uint64_t at)
{
	return count << MP__QUEUE_POS_BITS | at / MP__QUEUE_UNIT;
}

/* How many messages lie between two words. */
static inline uint64_t mp__ring_items(uint64_t tail, uint64_t head)
{
	return ((tail >> MP__QUEUE_POS_BITS) - (head >> MP__QUEUE_POS_BITS)) & MP__QUEUE_COUNT_MASK;
}

/* What a message of this size takes. */
static inline uint64_t mp__ring_need(uint64_t size)
{
	return MP__QUEUE_UNIT + ((size + MP__QUEUE_UNIT - 1) & ~(uint64_t)(MP__QUEUE_UNIT - 1));
}

/* Is a header at this position inside of the file? Positions are multiples of 8 by their nature. */
static inline bool mp__ring_inside(const struct mp_queue *q, uint64_t at)
{
	return at >= MP__QUEUE_REGION && at < q->file_size;
}

/* Of a position that is inside. */
static inline unsigned mp__ring_region(uint64_t at)
{
	return 63u - (unsigned)__builtin_clzll(at / MP__QUEUE_REGION | 1);
}

static inline uint64_t mp__ring_region_start(unsigned region)
{
	return (uint64_t)MP__QUEUE_REGION << region;
}

static inline uint64_t mp__ring_region_end(const struct mp_queue *q, unsigned region)
{
	return region < q->last_region ? mp__ring_region_start(region + 1) : q->file_size;
}

/* --- the pace ------------------------------------------------------------------------------------- */

void mp__ring_pace(_Atomic uint64_t *looked_ns);

/* --- putting ------------------------------------------------------------------------------------ */

#define MP__RING_GROW 1

int mp__ring_place_slowly(
	struct mp_queue *q, uint64_t need, bool grow, struct mp__ring_place *place);

/*
 * 0; -EAGAIN the queue is full; MP__RING_GROW (1) its ring is full, but it may grow (only if not
 * `grow`); -ENOSPC; -EBADMSG.
 */
static inline int mp__ring_place(
	struct mp_queue *q, uint64_t need, bool grow, struct mp__ring_place *place)
{
	struct mp__queue_control *c = q->control;
	uint64_t tail_word = atomic_load_explicit(&c->tail, memory_order_relaxed);
	uint64_t head_word = atomic_load_explicit(&c->head_seen, memory_order_relaxed);
	struct mp__ring_word tail = mp__ring_unpack(tail_word);
	uint64_t head_at = (head_word & MP__QUEUE_POS_MASK) * MP__QUEUE_UNIT;
	uint64_t bytes = atomic_load_explicit(&c->put_bytes[tail.count & 1], memory_order_relaxed) -
			 atomic_load_explicit(&c->get_bytes_seen, memory_order_relaxed);
	/* Before what is unread, before the end of the region, and where that has its memory. */
	unsigned region = mp__ring_region(tail.at);
	uint64_t limit =
		region < MP__QUEUE_REGIONS
			? mp__ring_region_start(region) +
				  atomic_load_explicit(&c->allocated[region], memory_order_relaxed)
			: 0;
	uint64_t end = mp__ring_region_end(q, region);

	if (head_at > tail.at && head_at < end)
		end = head_at;
	limit = limit < end ? limit : end;
	place->tail = tail_word;
	place->at = tail.at;
	place->need = need;
	if (__builtin_expect(tail.at >= MP__QUEUE_REGION &&
				     tail.at + need + MP__QUEUE_UNIT <= limit &&
				     mp__ring_items(tail_word, head_word) < q->maxsize &&
				     bytes + need <= q->max_bytes && bytes <= q->max_bytes,
		    1))
		return 0;
	return mp__ring_place_slowly(q, need, grow, place);
}

static inline char *mp__ring_data(struct mp_queue *q, const struct mp__ring_place *place)
{
	return q->base + place->at + MP__QUEUE_UNIT;
}

static inline void mp__ring_write_header(
	struct mp_queue *q, uint64_t at, uint64_t size, enum mp__record_kind kind)
{
	uint64_t header = size | (uint64_t)kind << MP__RECORD_KIND_SHIFT;

	memcpy(q->base + at, &header, sizeof(header));
}

/* The message is written: now it is there. */
static inline void mp__ring_commit(struct mp_queue *q, const struct mp__ring_place *place,
	uint64_t size, enum mp__record_kind kind)
{
	struct mp__queue_control *c = q->control;
	uint64_t count = place->tail >> MP__QUEUE_POS_BITS;
	uint64_t bytes = atomic_load_explicit(&c->put_bytes[count & 1], memory_order_relaxed);

	mp__ring_write_header(q, place->at, size, kind);
	atomic_store_explicit(
		&c->put_bytes[(count + 1) & 1], bytes + place->need, memory_order_relaxed);
	/* Partner: the acquire in mp__ring_next(). */
	atomic_store_explicit(&c->tail,
		mp__ring_pack((count + 1) & MP__QUEUE_COUNT_MASK, place->at + place->need),
		memory_order_release);
}

/* --- getting ------------------------------------------------------------------------------------ */

int mp__ring_follow(struct mp_queue *q, struct mp__ring_record *record);

/* 1 there is one; 0 empty; -EBADMSG. `paced`: who waits anyway. */
static inline int mp__ring_next(struct mp_queue *q, struct mp__ring_record *record, bool paced)
{
	struct mp__queue_control *c = q->control;
	uint64_t head = atomic_load_explicit(&c->head, memory_order_relaxed);
	uint64_t tail = atomic_load_explicit(&c->tail_seen, memory_order_relaxed);
	uint64_t header;

	if (mp__ring_items(tail, head) == 0) {
		if (paced)
			mp__ring_pace(&c->tail_looked_ns);
		/* Partner: the release in mp__ring_commit(). */
		tail = atomic_load_explicit(&c->tail, memory_order_acquire);
		if (mp__ring_items(tail, head) == 0)
			return 0;
		atomic_store_explicit(&c->tail_seen, tail, memory_order_relaxed);
	}
	struct mp__ring_word at = mp__ring_unpack(head);
	record->count = at.count;
	record->at = at.at;
	if (__builtin_expect(!mp__ring_inside(q, at.at), 0))
		return mp__ring_follow(q, record);
	memcpy(&header, q->base + at.at, sizeof(header));
	record->kind = (enum mp__record_kind)(header >> MP__RECORD_KIND_SHIFT);
	record->size = header & MP__RECORD_SIZE_MASK;
	record->data = q->base + at.at + MP__QUEUE_UNIT;
	if (__builtin_expect(
		    (record->kind != MP__RECORD_BYTES && record->kind != MP__RECORD_VALUE) ||
			    mp__ring_need(record->size) >
				    mp__ring_region_end(q, mp__ring_region(at.at)) - at.at,
		    0))
		return mp__ring_follow(q, record);
	return 1;
}

/* The message is copied: now it is gone. */
static inline void mp__ring_consume(struct mp_queue *q, const struct mp__ring_record *record)
{
	struct mp__queue_control *c = q->control;
	uint64_t need = mp__ring_need(record->size);
	uint64_t next = record->count + 1;
	uint64_t bytes =
		atomic_load_explicit(&c->get_bytes[record->count & 1], memory_order_relaxed);

	atomic_store_explicit(&c->get_bytes[next & 1], bytes + need, memory_order_relaxed);
	/* Partner: the acquire in mp__ring_refresh(): what was read here may be written again. */
	atomic_store_explicit(&c->head,
		mp__ring_pack(next & MP__QUEUE_COUNT_MASK, record->at + need),
		memory_order_release);
}

/* After a death inside get_guard: finish, or call off, the freeing of a region. */
void mp__ring_recover_getter(struct mp_queue *q);

/*
 * A queue that holds nothing gives its memory back, but for the smallest region. Inside get_guard.
 * Does nothing if a putter is at work.
 */
void mp__ring_trim(struct mp_queue *q);
/* Does the region of head have more memory than an idle queue should keep for long, or at all? */
bool mp__ring_is_large(struct mp_queue *q);
bool mp__ring_is_grown(struct mp_queue *q);

#endif
