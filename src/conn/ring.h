/* SPDX-License-Identifier: MIT */
/*
 * conn/ring.h - one direction of a pipe: records in a ring of bytes (pipe_layout.h).
 *
 * Knows neither sockets nor waiting. Its callers hold the guard of their side.
 */
#ifndef MP_CONN_RING_H
#define MP_CONN_RING_H

#include "conn/pipe_layout.h"

#include <stdbool.h>

struct mp__record {
	uint64_t size; /* of the message */
	uint8_t kind;  /* enum mp__message_kind */
	bool outside;  /* in the socket, as the message of this tag */
	uint16_t tag;
};

/* A direction as one process sees it. */
struct mp__ring {
	struct mp__pipe_ring *words;
	uint8_t *bytes;
};

/* Is there a record? By anybody; a hint. */
static inline bool mp__ring_is_empty(const struct mp__ring *ring)
{
	/* Partner: the release of tail in mp__ring_commit(). */
	return atomic_load_explicit(&ring->words->tail, memory_order_acquire) ==
	       atomic_load_explicit(&ring->words->head, memory_order_acquire);
}

/*
 * Sender: write the record and its bytes behind tail, unseen. -EAGAIN there is no room; -EBADMSG
 * head or tail are what they cannot be.
 */
int mp__ring_put(struct mp__ring *ring, const struct mp__record *record, const void *data);
/* Sender: show what was put. */
void mp__ring_commit(struct mp__ring *ring, const struct mp__record *record);

/* Receiver: the record at head. -EAGAIN there is none; -EBADMSG; `max` bounds its size. */
int mp__ring_look(struct mp__ring *ring, uint64_t max, struct mp__record *ret_record);
/* Receiver: copy its bytes; it was looked at. */
void mp__ring_read(struct mp__ring *ring, const struct mp__record *record, void *buffer);
/* Receiver: it is taken. */
void mp__ring_take(struct mp__ring *ring, const struct mp__record *record);

#endif
