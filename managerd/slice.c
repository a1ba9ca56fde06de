/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "managerd/slice.h"

#include <inttypes.h>

bool md_place_of(int64_t i, size_t n, size_t *ret)
{
	int64_t at = i < 0 ? i + (int64_t)n : i;

	if (at < 0 || at >= (int64_t)n)
		return false;
	*ret = (size_t)at;
	return true;
}

bool md_arg_place(struct serve_call *call, size_t arg, size_t n, size_t *ret)
{
	int64_t i;

	if (!serve_arg_i64(call, arg, &i))
		return false;
	if (md_place_of(i, n, ret))
		return true;
	serve_fail(call, MP__CODE__OUT_OF_RANGE, "index %" PRId64 " of %zu items", i, n);
	return false;
}

/* From the end if negative, and no further out than low and high. */
static int64_t clamp(int64_t i, int64_t n, int64_t low, int64_t high)
{
	if (i < 0)
		i += n;
	return i < low ? low : i > high ? high : i;
}

size_t md_gap_of(int64_t i, size_t n)
{
	return (size_t)clamp(i, (int64_t)n, 0, (int64_t)n);
}

bool md_arg_gap(struct serve_call *call, size_t arg, size_t n, size_t *ret)
{
	int64_t i;

	if (!serve_arg_i64(call, arg, &i))
		return false;
	*ret = md_gap_of(i, n);
	return true;
}

/* The argument within the limits, or `missing`. */
static bool bound(struct serve_call *call, size_t arg, int64_t n, const int64_t limits[2],
	int64_t missing, int64_t *ret)
{
	int64_t i;

	if (!serve_arg_given(call, arg)) {
		*ret = missing;
		return true;
	}
	if (!serve_arg_i64(call, arg, &i))
		return false;
	*ret = clamp(i, n, limits[0], limits[1]);
	return true;
}

bool md_arg_slice(struct serve_call *call, size_t arg, size_t n, struct md_slice *ret)
{
	int64_t length = (int64_t)n;
	int64_t step = 1;
	int64_t stop;

	if (serve_arg_given(call, arg + 2) && !serve_arg_i64(call, arg + 2, &step))
		return false;
	if (step == 0 || step == INT64_MIN) {
		serve_fail(call, MP__CODE__INVALID, "a slice with a step of %" PRId64, step);
		return false;
	}
	bool up = step > 0;
	/* Downwards the place before the first is where it ends at the latest. */
	const int64_t limits[2] = {up ? 0 : -1, up ? length : length - 1};
	if (!bound(call, arg, length, limits, up ? 0 : length - 1, &ret->start) ||
		!bound(call, arg + 1, length, limits, up ? length : -1, &stop))
		return false;
	int64_t far = up ? stop - ret->start : ret->start - stop;
	int64_t stride = up ? step : -step;
	ret->step = step;
	ret->n = far > 0 ? (size_t)((far - 1) / stride + 1) : 0;
	return true;
}
