/* SPDX-License-Identifier: MIT */
/*
 * mp/heap.h - allocate and free in memory that processes share.
 *
 *	struct job *job;
 *
 *	mp_heap_new(1 << 20, MP_HEAP_OPTIONS(.max_size = 1 << 30), &heap);
 *	mp_heap_alloc(heap, sizeof(*job), &job);
 *	mp_heap_set_root(heap, job);		// another process: job = mp_heap_root(heap)
 *	...
 *	mp_heap_free(heap, job);		// by whom does not matter
 *
 * A heap is an argument for other processes like any object (mp_handle()), and works in forked
 * children as it is. It may lie at another address in each process: what stands inside it refers to
 * other blocks by offsets (mp_heap_offset(), mp_heap_pointer()), not by pointers.
 *
 * A process that is killed in one of these calls leaves the heap whole: the next caller finishes or
 * undoes what it was at. What it had allocated stays, until somebody frees it or calls
 * mp_heap_reclaim(). Any thread may call. The page is mp_heap(3).
 */
#ifndef MP_HEAP_H
#define MP_HEAP_H

#include <mp/cdefs.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

MP__BEGIN_DECLS

typedef struct mp_heap mp_heap;

#define MP_HEAP_PREFAULT 1u   /* touch all of `size` now, so that no first use is slow */
#define MP_HEAP_HUGE_PAGES 2u /* ask for huge pages; the kernel may have none: then as without */

typedef struct mp_heap_options {
	size_t size;       /* set by MP_HEAP_OPTIONS() */
	uint64_t flags;    /* MP_HEAP_PREFAULT, MP_HEAP_HUGE_PAGES; others are -EINVAL */
	uint64_t max_size; /* it grows up to so many bytes by itself; 0: it does not grow */
} mp_heap_options;

#define MP_HEAP_OPTIONS(...) \
	(&(const mp_heap_options){.size = sizeof(mp_heap_options), __VA_ARGS__})

/*
 * A heap in which a block of `size` bytes fits. Its memory is allocated now; what it grows by later,
 * when it does. -EINVAL size 0 or more than max_size, more than half a TiB, unknown flag; -E2BIG;
 * -ENOSPC there is not so much memory; -EMFILE, -ENOMEM.
 */
int mp_heap_new(uint64_t size, const mp_heap_options *options, mp_heap **ret_heap);

/* One reference of this process more; NULL is NULL. Drop one: with the last one it is unmapped. */
mp_heap *mp_heap_ref(mp_heap *heap);
int mp_heap_close(mp_heap *heap);

/*
 * All calls below: -EINVAL no heap; -EBADMSG the heap is damaged, by somebody who wrote beyond the
 * end of a block; -ETIMEDOUT a process that was stopped in the middle of a change keeps it so for
 * ten seconds, or others change it for a minute, and we never come to it; -EDEADLK from a signal
 * handler that interrupted one of these calls.
 */

/*
 * Allocate. `ret_pointer` is the address of a pointer of any type. Aligned to 16; 0 bytes are a block
 * of its own, too. The bytes are not zeroed. -ENOSPC.
 */
int mp_heap_alloc(mp_heap *heap, size_t size, void *ret_pointer);
/* `count` items of `size` bytes, zeroed. -EOVERFLOW: their product. */
int mp_heap_calloc(mp_heap *heap, size_t count, size_t size, void *ret_pointer);
/* Aligned to a power of two up to 4096 (-EINVAL): beyond, addresses differ between processes. */
int mp_heap_alloc_aligned(mp_heap *heap, size_t alignment, size_t size, void *ret_pointer);

/*
 * Free a block, whoever allocated it. NULL is allowed. -EINVAL no block begins at this pointer, or it
 * was freed already; -EBADMSG it was written beyond its end. Nothing is done then.
 */
int mp_heap_free(mp_heap *heap, void *pointer);

/* The offset of any place inside the heap; 0 for NULL and for what lies elsewhere. */
uint64_t mp_heap_offset(const mp_heap *heap, const void *pointer);
/* The place of `size` bytes at that offset, or NULL: offset 0, or they don't lie within the heap. */
void *mp_heap_pointer(const mp_heap *heap, uint64_t offset, size_t size);

/*
 * One pointer for everybody, from where the rest is found; NULL at first. Setting it publishes what
 * was written before. -EINVAL it lies elsewhere.
 */
int mp_heap_set_root(mp_heap *heap, const void *pointer);
void *mp_heap_root(const mp_heap *heap);

/* A block in use, as mp_heap_next() shows it. */
typedef struct mp_heap_block {
	void *data;
	size_t size;     /* at least what was asked for */
	int owner;       /* process that allocated or adopted it */
	bool owner_died; /* that process has ended */
} mp_heap_block;

/* The block in use behind `after`, or the first for NULL. -ENOENT none; -EINVAL `after` is no block. */
int mp_heap_next(mp_heap *heap, const void *after, mp_heap_block *ret_block);

/* From now on the block counts as the caller's. -EINVAL as for mp_heap_free(). */
int mp_heap_adopt(mp_heap *heap, void *pointer);

/* Free all blocks whose owners have ended. How many (no more than INT_MAX are told). */
int mp_heap_reclaim(mp_heap *heap);

typedef struct mp_heap_stats {
	uint64_t size;         /* bytes of memory that it has, all included */
	uint64_t max_size;     /* up to which it may grow */
	uint64_t used;         /* bytes of blocks in use, with 16 of each block for its head */
	uint64_t free;         /* bytes of free blocks, the same */
	uint64_t largest_free; /* so many bytes can be allocated in one piece without growing */
	uint64_t n_used;       /* blocks */
	uint64_t n_free;       /* one that is partly released counts once */
	uint64_t released;     /* of `free`: what the system has got back, but for some pages */
	uint64_t reserved[8];  /* 0 */
} mp_heap_stats;

/* Count; takes time in proportion to the number of blocks, in which no other call proceeds. */
int mp_heap_stat(mp_heap *heap, mp_heap_stats *ret_stats);

/* Look at every block and every list. -EBADMSG, and the detail says where and what. */
int mp_heap_check(mp_heap *heap);

MP__END_DECLS

#endif
