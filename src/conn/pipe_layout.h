/* SPDX-License-Identifier: MIT */
/*
 * conn/pipe_layout.h - what the two ends of a pipe share in memory.
 *
 * One segment with two rings of bytes, one for each direction, and beside it a pair of Unix sockets.
 * Messages of up to MP__PIPE_INLINE bytes lie in the ring; the socket carries what memory cannot:
 * descriptors, long messages (conn/packet.c puts those into a memfd), the news that an end is gone,
 * which the kernel tells when its last holder has closed it or died, and a descriptor to poll.
 *
 *	+---------+-----------+-----------+----------------+----------------+
 *	| segment | ring 0    | ring 1    | bytes of ring 0| bytes of ring 1|
 *	| header  | (a to b)  | (b to a)  | 64 KiB         | 64 KiB         |
 *	| 64      | 256       | 256       |                |                |
 *	+---------+-----------+-----------+----------------+----------------+
 *
 * A record is eight bytes, {size:40, flags:8 + kind:8 (below), tag:16}, and `size` bytes of message,
 * padded to eight; it may wrap around the end. head and tail count bytes from the beginning of time,
 * multiples of eight: tail - head are in the ring.
 *
 * Sending, inside `sending` (a guard: one thread of one process at a time):
 *	1. copy the record behind tail           death: nobody sees it, the next overwrites it
 *	2. store tail (release): the commit      death: sent; a sleeper looks again by itself
 *	3. leave the guard, ring `data`
 * with descriptors or longer than MP__PIPE_INLINE, before 1:
 *	0. the message goes into the socket with the tag next_tag; next_tag + 1
 *						 death: a message in the socket that no record
 *						 names; who enters the guard after a dead one moves
 *						 next_tag on, so that no later one has its tag, and
 *						 the receiver drops what it finds before the tag
 *						 that the record names
 *
 * Receiving, inside `receiving`:
 *	1. look at the record at head, copy it out   death: it is still there
 *	2. store head (release): taken               death: taken by the dead one
 *	3. leave the guard, ring `space`
 * A record whose message has left the socket with a process that died before 2 is passed over: it
 * had been received, by the dead one.
 *
 * Polling (a descriptor that is readable while there is something to receive) costs system calls, and
 * only once somebody has asked for the descriptor (`watched`). A sender then puts an empty packet, a
 * wake, into the socket before it commits its message, and counts it in `wakes` after the commit.
 * Who empties the ring takes out of the socket as many as had been counted before it moved head: the
 * messages of all those are received. A wake too many (of a sender that died before the commit, or
 * before it counted) makes the descriptor readable in vain; who then finds nothing enters both
 * guards and, if the ring is empty, takes all wakes out.
 *
 * Nothing here is believed: each side reads a word once, checks it against the sizes above, and says
 * -EBADMSG to what cannot be.
 */
#ifndef MP_CONN_PIPE_LAYOUT_H
#define MP_CONN_PIPE_LAYOUT_H

#include "shm/guard.h"
#include "shm/segment_layout.h"
#include "shm/watch.h"

#define MP__PIPE_RING ((uint64_t)64 << 10)
#define MP__PIPE_INLINE (MP__PIPE_RING / 4)
#define MP__PIPE_LINE 64

struct mp__pipe_ring {
	/* Written by who sends, under the guard. */
	_Alignas(MP__PIPE_LINE) mp__guard sending;
	_Atomic uint64_t tail;
	_Atomic uint32_t wakes;
	_Atomic uint32_t next_tag;
	/* 1: nothing more will be sent. Once, by shutdown. */
	_Atomic uint32_t closed;

	/* Written by who receives, under the guard. */
	_Alignas(MP__PIPE_LINE) mp__guard receiving;
	_Atomic uint64_t head;
	_Atomic uint32_t heard;

	/* Sleepers: receivers on data, senders on space. */
	_Alignas(MP__PIPE_LINE) struct mp__watched_bell data;
	mp__bell space;
	/* 1: a receiver polls, and so the socket has to be readable when the ring is not empty. */
	_Atomic uint32_t watched;
	/* A receiving process has left: whether it was the last one, the kernel knows. A hint. */
	_Atomic uint32_t departures;
	_Alignas(MP__PIPE_LINE) char reserved[MP__PIPE_LINE];
};

struct mp__pipe_layout {
	struct mp__segment_header header;
	struct mp__pipe_ring rings[2];
	uint8_t bytes[2][MP__PIPE_RING];
};

#define MP__PIPE_RECORD 8
#define MP__PIPE_OUTSIDE 0x80u /* flag: the message is in the socket */

_Static_assert(sizeof(struct mp__pipe_ring) == 256, "a ring's words are four lines");
_Static_assert(offsetof(struct mp__pipe_layout, bytes) == 576, "as drawn");

#endif
