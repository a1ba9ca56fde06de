/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "tests/storm/served.h"

#include <string.h>

#define SHORT_MS 5
#define PARTIES 2

int storm_served_open(mp_manager *manager, struct storm_served *served)
{
	memset(served, 0, sizeof(*served));
	int r = mp_manager_event(manager, "event", &served->event);
	if (r == 0)
		r = mp_manager_bounded_semaphore(
			manager, "permits", STORM_SERVED_PERMITS, &served->semaphore);
	if (r == 0)
		r = mp_manager_condition(manager, "condition", NULL, &served->condition);
	if (r == 0)
		r = mp_manager_barrier(manager, "barrier", PARTIES, &served->barrier);
	return r;
}

void storm_served_close(struct storm_served *served)
{
	(void)mp_proxy_close(served->event);
	(void)mp_proxy_close(served->semaphore);
	(void)mp_proxy_close(served->condition);
	(void)mp_proxy_close(served->barrier);
}

static int step_event(mp_proxy *event, uint64_t random)
{
	int r;

	switch (random % 3) {
	case 0:
		return mp_served_event_set(event);
	case 1:
		return mp_served_event_clear(event);
	default:
		r = mp_served_event_wait(event, SHORT_MS);
		return r == -ETIMEDOUT ? 0 : r;
	}
}

static int step_semaphore(mp_proxy *semaphore, uint64_t random)
{
	int r = mp_served_semaphore_acquire(semaphore, STORM_TIMEOUT_MS);

	storm_dawdle(random);
	return r < 0 ? r : mp_served_semaphore_release(semaphore);
}

static int step_condition(mp_proxy *condition, uint64_t random)
{
	int r = mp_served_condition_acquire(condition, STORM_TIMEOUT_MS);

	if (r < 0)
		return r;
	r = random % 2 ? mp_served_condition_notify(condition, 1)
		       : mp_served_condition_wait(condition, SHORT_MS);
	if (r < 0 && r != -ETIMEDOUT)
		return r;
	return mp_served_condition_release(condition);
}

static int step_barrier(mp_proxy *barrier)
{
	int r = mp_served_barrier_wait(barrier, SHORT_MS);

	if (r == -ETIMEDOUT || mp_served_barrier_broken(barrier) == 1)
		return mp_served_barrier_reset(barrier);
	/* Reset by another one, or broken and mended meanwhile. */
	return r == -ECANCELED || r == -EPIPE ? mp_served_barrier_waiting(barrier) : r;
}

int storm_served_step(struct storm_served *served, uint64_t random)
{
	int64_t began = storm_now_ms();
	int r;

	switch (random % 4) {
	case 0:
		r = step_event(served->event, random >> 8);
		break;
	case 1:
		return step_semaphore(served->semaphore, random >> 8);
	case 2:
		return step_condition(served->condition, random >> 8);
	default:
		r = step_barrier(served->barrier);
	}
	STORM_IN_TIME(began, SHORT_MS);
	return r < 0 ? r : 0;
}
