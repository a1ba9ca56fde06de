/* SPDX-License-Identifier: MIT */
/*
 * shm/block_layout.h - a block, and what is built on one (a shared list).
 *
 *	0         64                        4096
 *	+---------+------------------+------+----------------------------
 *	| segment | about it         | 0    | data
 *	+---------+------------------+------+----------------------------
 *
 * The head has a page of its own, so that data begins at a page and no overrun of it reaches back.
 * Everything below is written once before the segment is published and never changes: who opens a
 * block for looking only maps it without the right to write.
 *
 * Who uses a named block is not written anywhere: it is what the kernel knows (shm/named.h). What
 * stands here about the creator is for people.
 */
#ifndef MP_SHM_BLOCK_LAYOUT_H
#define MP_SHM_BLOCK_LAYOUT_H

#include "shm/segment_layout.h"

#define MP__BLOCK_DATA_AT 4096u
#define MP__BLOCK_PERSIST UINT64_C(1)
#define MP__BLOCK_PROGRAM_SIZE 16

struct mp__block_header {
	struct mp__segment_header segment;
	uint64_t flags;                       /* MP__BLOCK_PERSIST */
	int64_t created_ns;                   /* CLOCK_REALTIME */
	int32_t creator;                      /* its pid, in its namespace */
	uint32_t reserved;                    /* 0 */
	char program[MP__BLOCK_PROGRAM_SIZE]; /* of the creator; need not end in NUL */
};

_Static_assert(offsetof(struct mp__block_header, flags) == 64, "as drawn, in every version");
_Static_assert(sizeof(struct mp__block_header) == 104, "as drawn, in every version");

#endif
