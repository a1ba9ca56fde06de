/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "base/deadline.h"

#include "base/hot.h"

#include <limits.h>

#define NS_PER_MS INT64_C(1000000)
#define NS_PER_S INT64_C(1000000000)

MP__HOT int64_t mp__now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * NS_PER_S + now.tv_nsec;
}

MP__HOT mp__deadline mp__deadline_in(int timeout_ms)
{
	if (timeout_ms < 0)
		return MP__DEADLINE_NEVER;
	if (timeout_ms == 0)
		return (mp__deadline){0};
	return (mp__deadline){mp__now_ns() + timeout_ms * NS_PER_MS};
}

MP__HOT bool mp__deadline_passed(mp__deadline deadline)
{
	return deadline.ns != INT64_MAX && mp__now_ns() >= deadline.ns;
}

int mp__deadline_poll_ms(mp__deadline deadline)
{
	if (deadline.ns == INT64_MAX)
		return -1;
	int64_t left = deadline.ns - mp__now_ns();
	if (left <= 0)
		return 0;
	int64_t ms = (left + NS_PER_MS - 1) / NS_PER_MS;
	return ms > INT_MAX ? INT_MAX : (int)ms;
}

MP__HOT mp__deadline mp__deadline_slice(mp__deadline deadline, int ms)
{
	int64_t slice = mp__now_ns() + ms * NS_PER_MS;

	return deadline.ns < slice ? deadline : (mp__deadline){slice};
}

MP__HOT mp__deadline mp__deadline_slice_about(mp__deadline deadline, int ms)
{
	struct timespec tick;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &tick);
	int64_t slice = tick.tv_sec * NS_PER_S + tick.tv_nsec + ms * NS_PER_MS;
	return deadline.ns < slice ? deadline : (mp__deadline){slice};
}

struct timespec mp__deadline_timespec(mp__deadline deadline)
{
	return (struct timespec){
		.tv_sec = deadline.ns / NS_PER_S,
		.tv_nsec = deadline.ns % NS_PER_S,
	};
}
