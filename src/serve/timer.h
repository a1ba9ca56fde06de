/* SPDX-License-Identifier: MIT */
/*
 * serve/timer.h - everything that happens at some time: a heap, the earliest on top.
 *
 * A timer is embedded in what it belongs to, and knows its place in the heap, so that setting and
 * taking it back costs the logarithm of how many there are, and nothing when there are none. The
 * loop sleeps until the earliest.
 */
#ifndef SERVE_TIMER_H
#define SERVE_TIMER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SERVE_NEVER INT64_MAX

struct serve_timer {
	int64_t at_ns; /* of the monotonic clock */
	size_t place;  /* in the heap, from 1; 0: not set */
	void (*fire)(struct serve_timer *timer);
};

struct serve_timers {
	struct serve_timer **heap; /* from 1 */
	size_t count;
	size_t room;
};

void serve_timers_deinit(struct serve_timers *timers);

/* Room for so many more: to set them cannot fail then. False: no memory. */
bool serve_timers_reserve(struct serve_timers *timers, size_t more);
/* timer->fire is set. Again for one that is set: moves it. False: no memory. */
bool serve_timer_set(struct serve_timers *timers, struct serve_timer *timer, int64_t at_ns);
/* Nothing happens if it is not set. */
void serve_timer_stop(struct serve_timers *timers, struct serve_timer *timer);

/* When the next one is due, or SERVE_NEVER. */
int64_t serve_timers_next(const struct serve_timers *timers);
/* Fire those that were due at this time. They may set and stop timers. */
void serve_timers_run(struct serve_timers *timers, int64_t now_ns);

#endif
