/* SPDX-License-Identifier: MIT */
/*
 * managerd/slice.h - places and slices of a list, by Python's rules.
 *
 * A slice is start, stop and step, any of which may be nil; what lies outside is left out, so that it is `n` places from
 * `start` on, each `step` behind the one before.
 */
#ifndef MANAGERD_SLICE_H
#define MANAGERD_SLICE_H

#include "serve/call.h"

struct md_slice {
	int64_t start;
	int64_t step;
	size_t n;
};

/* The place of an index among n, from the end if it is negative. False: there is none. */
bool md_place_of(int64_t i, size_t n, size_t *ret);
/* The place to insert at: what lies outside is moved to the end that it lies behind. */
size_t md_gap_of(int64_t i, size_t n);
/* A place that exists among n. False: answered with OUT_OF_RANGE or INVALID. */
bool md_arg_place(struct serve_call *call, size_t arg, size_t n, size_t *ret);
/* A place to insert at. False: answered. */
bool md_arg_gap(struct serve_call *call, size_t arg, size_t n, size_t *ret);
/* The slice in three arguments from `arg` on, of n items. False: answered. */
bool md_arg_slice(struct serve_call *call, size_t arg, size_t n, struct md_slice *ret);

static inline size_t md_slice_at(const struct md_slice *slice, size_t i)
{
	return (size_t)(slice->start + (int64_t)i * slice->step);
}

#endif
