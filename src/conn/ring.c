/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "conn/ring.h"

#include "base/error.h"
#include "conn/connection.h"

#include <string.h>

#define SIZE_BITS 40

/* Bytes in the ring that a record takes. */
static uint64_t length_of(const struct mp__record *record)
{
	return MP__PIPE_RECORD + (record->outside ? 0 : (record->size + 7) / 8 * 8);
}

static uint64_t pack(const struct mp__record *record)
{
	uint64_t kind = record->kind | (record->outside ? MP__PIPE_OUTSIDE : 0);

	return record->size | kind << SIZE_BITS | (uint64_t)record->tag << 48;
}

static struct mp__record unpack(uint64_t word)
{
	uint8_t kind = (uint8_t)(word >> SIZE_BITS);

	return (struct mp__record){
		.size = word & ((UINT64_C(1) << SIZE_BITS) - 1),
		.kind = kind & (uint8_t)~MP__PIPE_OUTSIDE,
		.outside = kind & MP__PIPE_OUTSIDE,
		.tag = (uint16_t)(word >> 48),
	};
}

static int damaged(void)
{
	return mp_error_set(-EBADMSG, "the memory of the pipe is damaged: nothing more can be sent "
				      "or received in this direction");
}

/* How much is in it, by numbers that the other side may have written. */
static int used(uint64_t head, uint64_t tail, uint64_t *ret_used)
{
	if (tail - head > MP__PIPE_RING || ((tail | head) & 7))
		return damaged();
	*ret_used = tail - head;
	return 0;
}

static void copy_in(struct mp__ring *ring, uint64_t at, const void *data, uint64_t size)
{
	uint64_t from = at % MP__PIPE_RING;
	uint64_t first = size < MP__PIPE_RING - from ? size : MP__PIPE_RING - from;

	memcpy(ring->bytes + from, data, first);
	if (first < size)
		memcpy(ring->bytes, (const uint8_t *)data + first, size - first);
}

static void copy_out(struct mp__ring *ring, uint64_t at, void *data, uint64_t size)
{
	uint64_t from = at % MP__PIPE_RING;
	uint64_t first = size < MP__PIPE_RING - from ? size : MP__PIPE_RING - from;

	memcpy(data, ring->bytes + from, first);
	if (first < size)
		memcpy((uint8_t *)data + first, ring->bytes, size - first);
}

int mp__ring_put(struct mp__ring *ring, const struct mp__record *record, const void *data)
{
	struct mp__pipe_ring *w = ring->words;
	uint64_t tail = atomic_load_explicit(&w->tail, memory_order_relaxed);
	/* Partner: the release in mp__ring_take(): what was read there may be overwritten here. */
	uint64_t head = atomic_load_explicit(&w->head, memory_order_acquire);
	uint64_t word = pack(record);
	uint64_t in_use;

	int r = used(head, tail, &in_use);
	if (r < 0)
		return r;
	if (length_of(record) > MP__PIPE_RING - in_use)
		return -EAGAIN;
	memcpy(ring->bytes + tail % MP__PIPE_RING, &word, sizeof(word));
	if (!record->outside && record->size > 0)
		copy_in(ring, tail + MP__PIPE_RECORD, data, record->size);
	return 0;
}

void mp__ring_commit(struct mp__ring *ring, const struct mp__record *record)
{
	struct mp__pipe_ring *w = ring->words;
	uint64_t tail = atomic_load_explicit(&w->tail, memory_order_relaxed);

	/* Partners: the acquire loads of tail in mp__ring_look() and mp__ring_is_empty(). */
	atomic_store_explicit(&w->tail, tail + length_of(record), memory_order_release);
}

int mp__ring_look(struct mp__ring *ring, uint64_t max, struct mp__record *ret_record)
{
	struct mp__pipe_ring *w = ring->words;
	uint64_t head = atomic_load_explicit(&w->head, memory_order_relaxed);
	uint64_t tail = atomic_load_explicit(&w->tail, memory_order_acquire);
	uint64_t word;
	uint64_t in_use;

	int r = used(head, tail, &in_use);
	if (r < 0)
		return r;
	if (in_use == 0)
		return -EAGAIN;
	memcpy(&word, ring->bytes + head % MP__PIPE_RING, sizeof(word));
	struct mp__record record = unpack(word);
	if ((record.kind != MP__MESSAGE_VALUE && record.kind != MP__MESSAGE_BYTES) ||
		record.size > max || (!record.outside && record.size > MP__PIPE_INLINE) ||
		length_of(&record) > in_use)
		return damaged();
	*ret_record = record;
	return 0;
}

void mp__ring_read(struct mp__ring *ring, const struct mp__record *record, void *buffer)
{
	uint64_t head = atomic_load_explicit(&ring->words->head, memory_order_relaxed);

	if (record->size > 0)
		copy_out(ring, head + MP__PIPE_RECORD, buffer, record->size);
}

void mp__ring_take(struct mp__ring *ring, const struct mp__record *record)
{
	struct mp__pipe_ring *w = ring->words;
	uint64_t head = atomic_load_explicit(&w->head, memory_order_relaxed);

	/* Partner: the acquire load of head in mp__ring_put(). */
	atomic_store_explicit(&w->head, head + length_of(record), memory_order_release);
}
