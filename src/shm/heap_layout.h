/* SPDX-License-Identifier: MIT */
/*
 * shm/heap_layout.h - what the users of a shared heap share in memory.
 *
 * Key idea: one word in front of each block is the whole truth. The blocks lie side by side from
 * MP__HEAP_FIRST to the end mark, so the words form a chain that can be walked, and every change that
 * matters is one store to one word: the chain is right before it and right after it. All else (the
 * lists of free blocks, the marks about a neighbour, the position of the end) follows from the
 * chain; when somebody dies between two stores, the next one makes it anew by one walk. So there is
 * nothing to undo, and nothing to log.
 *
 * The segment (shm/segment_layout.h) has memory up to `size` of its header; the rest, up to the
 * heap's largest size, gets it chunk by chunk when it is needed, so that a full memory is -ENOSPC,
 * never SIGBUS. What large free blocks have goes back to the system, but for what the heap had from
 * the beginning, `kept`.
 *
 *	+--------+-------+-------+-----+-------+----------+ - - - - - - - -+
 *	| header | block | block | ... | block | end mark | no memory yet  |
 *	+--------+-------+-------+-----+-------+----------+ - - - - - - - -+
 *	0        MP__HEAP_FIRST                end        size             max_size
 *
 * A block, at a multiple of 16, at least 32 bytes long:
 *
 *	in use   | word | owner | the user's bytes ...                     |
 *	free     | word | next  | prev | ...                        | size |
 *	          0      8       16                                  size-8
 *
 * The word:
 *
 *	63      40 39                     4  3     2        1       0
 *	+---------+------------------------+---+----------+--------+------+
 *	| check   | size, multiple of 16   | 0 | released | before | used |
 *	+---------+------------------------+---+----------+--------+------+
 *
 * `before`: the block before is free, its size stands right before this word (follows from the
 * chain). `check` mixes the rest of the word with the block's place and the segment's id: bytes that
 * were written beyond the end of a block, or a pointer to anything else than a block, show. The end
 * mark has size 0 and is used. `released`: the block is free, MP__HEAP_RELEASED_MIN bytes or more,
 * and what lies between its links and the size at its end may have no memory. Released blocks and
 * other free ones lie side by side; neighbours of one kind are united. The owner is the stamp of the
 * process that took the block, for mp_heap_next() and mp_heap_reclaim().
 *
 * Everything behind the segment's header but `root` is written under the guard only (shm/guard.h),
 * and but `changes` read there, too.
 * Stores of words are releases, so that the compiler keeps their order; a killed process has done
 * all its stores up to some point of the program and none after it.
 *
 * Taking a block of n bytes from a free one of s, which `next` and `prev` link:
 *	1. unlink it: neighbours in the list, head of the bin, bitmaps     [follows]
 *	2. owner into it; behind the n bytes, the word of what is left: free, s-n
 *	   (both lie in the inside of a free block: nobody reads them)
 *	3. its word: used, n                                               [the change]
 *	4. the rest: its size at its end, into its bin; or, without a rest,
 *	   the mark `before` of the next block goes                        [follows]
 * An aligned one first cuts off what lies before it: the word of the later part, free, then
 * that of the earlier part, shorter [a change]; both are free, which the chain may be.
 *
 * Giving a block back:
 *	1. its word: free. From here on it is given back, and another free of it is an error
 *	                                                                   [the change]
 *	2. if the block behind is free: unlink that [follows], then its word: both sizes
 *	                                                                   [a change]
 *	3. if the block before is free: unlink that [follows], then that one's word: both sizes
 *	                                                                   [a change]
 *	4. the size at the end, the mark of the block behind, into a bin   [follows]
 * The words that a merger swallows stay behind in the free bytes, and say "free": so a second free
 * of the same pointer is told apart until somebody's bytes lie there.
 *
 * Releasing, when what was given back has become a large block:
 *	1. its word: released                                              [the change]
 *	2. released neighbours are united with it, as above                [follows]
 *	3. a hole into the file                                            [follows]
 * Who dies before 3. leaves memory that a repair gives back. Where some of the block is `kept`, that
 * is cut off first, as for an aligned one.
 *
 * Restoring `n` bytes of a released block of s:
 *	1. memory for them, and for the links behind them
 *	2. unlink it [follows]; behind the n bytes the word of the rest: free, released, s-n
 *	   (in the inside of a free block)
 *	3. its word: n, not released                                       [the change]
 *	4. the rest into its bin; united with neighbours, as above         [follows]
 * Who dies before 3. leaves a released block that has memory, which the next restoring takes.
 *
 * Growing to a new end (after the segment has grown, outside the guard):
 *	1. the new end mark, where nobody reads
 *	2. the word of the old one: a free block up to the new one         [the change]
 *	3. `end`, then as giving back from 2. on                           [follows]
 *
 * A death before [the change] leaves the chain as it was, one after it as it shall be. Who takes
 * the guard over sets `repair` and walks (mp__heap_rebuild): neighbours that are both free become
 * one, by one store; marks, sizes at ends, bins and `end` are written anew. `repair` goes when that
 * is complete; who dies in it leaves it set, and the guard to be taken over again. A block that was
 * taken (3.) by a process that died before it could tell anybody is that process's: it stays until
 * mp_heap_reclaim().
 *
 * The same walk is done when what follows from the chain is found wrong, which happens when somebody
 * writes into a block that he gave back. When the chain itself is broken (a word does not fit its
 * check), calls say -EBADMSG: nothing is guessed.
 *
 * Hostile: offsets and sizes are copied to locals and checked against what is mapped before each use;
 * what never changes (max_size, id, kept) is copied at the attach.
 */
#ifndef MP_SHM_HEAP_LAYOUT_H
#define MP_SHM_HEAP_LAYOUT_H

#include "shm/guard.h"
#include "shm/segment_layout.h"

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#define MP__HEAP_UNIT UINT64_C(16)
#define MP__HEAP_BLOCK_MIN UINT64_C(32)
#define MP__HEAP_BLOCK_HEAD UINT64_C(16)
#define MP__HEAP_SIZE_MAX (UINT64_C(1) << 40) /* of the segment */

#define MP__HEAP_USED UINT64_C(1)
#define MP__HEAP_BEFORE_FREE UINT64_C(2)
#define MP__HEAP_RELEASED UINT64_C(4)
#define MP__HEAP_SIZE_MASK ((MP__HEAP_SIZE_MAX - 1) & ~(MP__HEAP_UNIT - 1))
#define MP__HEAP_LOW_MASK (MP__HEAP_SIZE_MAX - 1)

/*
 * What is released at least: so the system is asked once for many blocks, and a heap that goes on
 * being used keeps what it needs.
 */
#define MP__HEAP_RELEASED_MIN (UINT64_C(4) << 20)

/*
 * Free blocks by size. Row 0: below 256 bytes, a bin for each size. Row r > 0: sizes from 2^(r+7),
 * in 16 bins of equal width. A bit in bins[row] for each bin that holds something, a bit in `rows`
 * for each row: so the smallest bin that surely fits is found without a search. Released blocks have
 * rows of their own behind those, of which there is none for what is smaller.
 */
#define MP__HEAP_ROWS_PLAIN 33u
#define MP__HEAP_ROWS_APART 18u /* from the row of a plain block to that of a released one */
#define MP__HEAP_ROWS 51u
#define MP__HEAP_COLUMNS 16u

struct mp__heap_header {
	struct mp__segment_header segment;

	_Alignas(64) mp__guard guard;
	/* Not 0: what follows from the chain has to be made anew. */
	_Atomic uint32_t repair;
	/* One more whenever somebody leaves the guard: a hint that it does not stand still. */
	_Atomic uint32_t changes;
	uint64_t end; /* offset of the end mark */
	/* The user's: an offset or 0. Any time, by anybody, without the guard (release, acquire). */
	_Atomic uint64_t root;

	char name[24]; /* for people; written before the publication, need not end in NUL */

	_Alignas(64) uint64_t rows;
	uint32_t bins[MP__HEAP_ROWS];
	uint64_t kept; /* offset; never changes */
	/* Offset of the first block of each bin, 0: none. */
	uint64_t heads[MP__HEAP_ROWS][MP__HEAP_COLUMNS];
};

struct mp__heap_block {
	_Atomic uint64_t word;
	uint64_t owner; /* in use: stamp; free: offset of the next in its bin, 0: none */
	uint64_t prev;  /* free: offset of the one before in its bin, 0: it is the first */
};

#define MP__HEAP_FIRST sizeof(struct mp__heap_header)

_Static_assert(ATOMIC_LLONG_LOCK_FREE == 2, "words are shared");
_Static_assert(offsetof(struct mp__heap_header, guard) == 64, "the guard begins a line");
_Static_assert(offsetof(struct mp__heap_header, rows) == 128, "bins begin a line");
_Static_assert(sizeof(struct mp__heap_header) % 64 == 0, "blocks begin a line");
_Static_assert(
	MP__HEAP_RELEASED_MIN == UINT64_C(1) << (MP__HEAP_ROWS_PLAIN + 7 - MP__HEAP_ROWS_APART),
	"the first row of released blocks is the one behind the others");
_Static_assert(offsetof(struct mp__heap_block, prev) == MP__HEAP_BLOCK_HEAD, "head of a block");

#endif
