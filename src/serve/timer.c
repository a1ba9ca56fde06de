/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "serve/timer.h"

#include <stdlib.h>

#define ROOM_MIN 16
/* The others are served in between. */
#define FIRED_PER_RUN 1000

void serve_timers_deinit(struct serve_timers *timers)
{
	free(timers->heap);
	*timers = (struct serve_timers){0};
}

static void put(struct serve_timers *timers, size_t place, struct serve_timer *timer)
{
	timers->heap[place] = timer;
	timer->place = place;
}

static void rise(struct serve_timers *timers, struct serve_timer *timer)
{
	size_t place = timer->place;

	for (; place > 1 && timers->heap[place / 2]->at_ns > timer->at_ns; place /= 2)
		put(timers, place, timers->heap[place / 2]);
	put(timers, place, timer);
}

static void sink(struct serve_timers *timers, struct serve_timer *timer)
{
	size_t place = timer->place;

	for (;;) {
		size_t child = place * 2;
		if (child > timers->count)
			break;
		if (child < timers->count &&
			timers->heap[child + 1]->at_ns < timers->heap[child]->at_ns)
			child++;
		if (timers->heap[child]->at_ns >= timer->at_ns)
			break;
		put(timers, place, timers->heap[child]);
		place = child;
	}
	put(timers, place, timer);
}

bool serve_timers_reserve(struct serve_timers *timers, size_t more)
{
	size_t room = timers->room ? timers->room : ROOM_MIN;

	if (timers->count + more < timers->room)
		return true;
	while (room <= timers->count + more)
		room *= 2;
	struct serve_timer **heap = realloc(timers->heap, room * sizeof(struct serve_timer *));
	if (!heap)
		return false;
	timers->heap = heap;
	timers->room = room;
	return true;
}

bool serve_timer_set(struct serve_timers *timers, struct serve_timer *timer, int64_t at_ns)
{
	if (timer->place == 0) {
		if (!serve_timers_reserve(timers, 1))
			return false;
		timer->at_ns = at_ns;
		put(timers, ++timers->count, timer);
		rise(timers, timer);
		return true;
	}
	timer->at_ns = at_ns;
	rise(timers, timer);
	sink(timers, timer);
	return true;
}

void serve_timer_stop(struct serve_timers *timers, struct serve_timer *timer)
{
	if (timer->place == 0)
		return;
	struct serve_timer *last = timers->heap[timers->count--];
	if (last != timer) {
		put(timers, timer->place, last);
		rise(timers, last);
		sink(timers, last);
	}
	timer->place = 0;
}

int64_t serve_timers_next(const struct serve_timers *timers)
{
	return timers->count ? timers->heap[1]->at_ns : SERVE_NEVER;
}

void serve_timers_run(struct serve_timers *timers, int64_t now_ns)
{
	size_t left = timers->count < FIRED_PER_RUN ? timers->count : FIRED_PER_RUN;

	for (; left > 0 && serve_timers_next(timers) <= now_ns; left--) {
		struct serve_timer *timer = timers->heap[1];
		serve_timer_stop(timers, timer);
		timer->fire(timer);
	}
}
