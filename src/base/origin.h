/* SPDX-License-Identifier: MIT */
/*
 * base/origin.h - which process made this handle?
 *
 * An origin is a number that differs between a process and its forked children, without the cost of
 * getpid(2) and without pid reuse. It lives in a page that the kernel empties in every child
 * (MADV_WIPEONFORK), so that children of vfork-less raw clone(2) are noticed too.
 */
#ifndef MP_BASE_ORIGIN_H
#define MP_BASE_ORIGIN_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

typedef uint64_t mp__origin;

/* Of mp__origin_here() alone: the word in that page, 0 as long as nobody asked. */
extern _Atomic uint64_t *mp__origin_word __attribute__((visibility("hidden")));
mp__origin mp__origin_make(void);

/* The number of this process; never 0. Inline, because each use of a lock asks. */
static inline mp__origin mp__origin_here(void)
{
	uint64_t number = atomic_load_explicit(mp__origin_word, memory_order_relaxed);

	return __builtin_expect(number != 0, 1) ? number : mp__origin_make();
}

static inline bool mp__origin_is_here(mp__origin origin)
{
	return origin == mp__origin_here();
}

#endif
