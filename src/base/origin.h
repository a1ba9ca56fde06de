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

#include <stdbool.h>
#include <stdint.h>

typedef uint64_t mp__origin;

/* The number of this process; never 0. */
mp__origin mp__origin_here(void);

static inline bool mp__origin_is_here(mp__origin origin)
{
	return origin == mp__origin_here();
}

#endif
