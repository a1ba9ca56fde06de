/* SPDX-License-Identifier: MIT */
/*
 * base/deadline.h - timeouts become a point on the monotonic clock once, at the border, and every
 * wait inside counts against it: retries after EINTR do not stretch it.
 */
#ifndef MP_BASE_DEADLINE_H
#define MP_BASE_DEADLINE_H

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

/* Nanoseconds of CLOCK_MONOTONIC; INT64_MAX is never. */
typedef struct mp__deadline {
	int64_t ns;
} mp__deadline;

#define MP__DEADLINE_NEVER ((mp__deadline){INT64_MAX})

int64_t mp__now_ns(void);

/* Negative timeouts are never, as MP_FOREVER. */
mp__deadline mp__deadline_in(int timeout_ms);

bool mp__deadline_passed(mp__deadline deadline);

/* What is left as an argument for poll(2): rounded up, -1 for never, 0 when passed. */
int mp__deadline_poll_ms(mp__deadline deadline);

/* The earlier of the deadline and `ms` from now: for waits that look around now and then. */
mp__deadline mp__deadline_slice(mp__deadline deadline, int ms);

/*
 * The same counted from the last tick of the kernel's clock, some milliseconds ago at most: a fifth of
 * the cost, for waits that do not mind.
 */
mp__deadline mp__deadline_slice_about(mp__deadline deadline, int ms);

/* The absolute time, for FUTEX_WAIT_BITSET. Not for MP__DEADLINE_NEVER. */
struct timespec mp__deadline_timespec(mp__deadline deadline);

#endif
