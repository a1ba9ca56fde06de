/* SPDX-License-Identifier: MIT */
/*
 * shm/segment_layout.h - what every segment of shared memory begins with.
 *
 *	0       8       12     16        20      24   32         40     48          64
 *	+-------+-------+------+---------+-------+----+----------+------+-----------+-----
 *	| magic |version| kind | finger- | state | id | max_size | size | reserved  | of
 *	|       |       |      | print   |       |    |          |      |           | the kind
 *	+-------+-------+------+---------+-------+----+----------+------+-----------+-----
 *
 * All but state and size is written once by who makes the segment, before anybody else can have it,
 * and never changes. `state` is the last store of the creation (release); who attaches loads it
 * first (acquire). A creator that dies before leaves memory that nobody can have, or (state not
 * READY) that nobody takes.
 *
 * `size` is how many bytes from the start may be used; the file has at least so many, all of them
 * allocated. It only grows, up to max_size: whoever grows it allocates first and stores the new size
 * afterwards (release), and readers load it (acquire). A death in between leaves a file that is
 * longer than needed, which the next growth uses up. Everybody maps max_size bytes from the start:
 * a mapping may reach beyond the end of its file, and so what grows never moves.
 *
 * Nothing here is believed: who attaches copies each number once, compares size with the file's, and
 * uses the copies from then on.
 */
#ifndef MP_SHM_SEGMENT_LAYOUT_H
#define MP_SHM_SEGMENT_LAYOUT_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#define MP__SEGMENT_MAGIC UINT64_C(0x6d67657332706d0a) /* "\nmp2segm" */
#define MP__SEGMENT_VERSION 1u
#define MP__SEGMENT_READY 0x79646572u /* "redy" */

struct mp__segment_header {
	uint64_t magic;
	uint32_t version;
	uint32_t kind;        /* enum mp__segment_kind */
	uint32_t fingerprint; /* of the kind's structs: two builds that differ never meet */
	_Atomic uint32_t state;
	uint64_t id; /* random: tells segments apart */
	uint64_t max_size;
	_Atomic uint64_t size;
	uint64_t reserved[2]; /* 0 */
};

_Static_assert(sizeof(struct mp__segment_header) == 64, "one cache line");
_Static_assert(offsetof(struct mp__segment_header, state) == 20, "as drawn");
_Static_assert(offsetof(struct mp__segment_header, size) == 40, "as drawn");

#endif
