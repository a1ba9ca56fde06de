/* SPDX-License-Identifier: MIT */
/* What fails below the calls that wait for several things. */
#include <config.h>

#include "tests/support/faults.h"

FAULTS_SUITE(faults_wait);

#define MANY 40

static mp_event *event;
static mp_queue *queue;
static mp_connection *here;
static mp_connection *there;
static mp_waiter *waiter;

static void made(void)
{
	T_CHECK(mp_event_new(NULL, &event) == 0);
	T_CHECK(mp_queue_new(NULL, &queue) == 0);
	T_CHECK(mp_pipe(NULL, &here, &there) == 0);
}

static void closed(void)
{
	mp_event_close(event);
	mp_queue_close(queue);
	T_CHECK(mp_connection_close(here) == 0);
	T_CHECK(mp_connection_close(there) == 0);
}

/* --- mp_wait ----------------------------------------------------------------------------------- */

/* It sleeps, for nothing is ready. */
static int sleep_a_little(void)
{
	mp_waitable items[] = {MP_WAIT(event), MP_WAIT(queue), MP_WAIT(here)};

	return mp_wait(items, 3, 3);
}

FAULTS(faults_wait, wait, made, sleep_a_little, closed)

static void made_and_ready(void)
{
	made();
	T_CHECK(mp_connection_send(there, mp_nil(), MP_NOWAIT) == 0);
}

static int find_among_many(void)
{
	mp_waitable items[MANY];

	for (int i = 0; i < MANY; i++)
		items[i] = i == 7 ? MP_WAIT(here) : MP_WAIT(there);
	int r = mp_wait(items, MANY, T_TIMEOUT_MS);
	return r == 1 && items[7].ready ? 0 : r < 0 ? r : -1;
}

FAULTS(faults_wait, wait_many, made_and_ready, find_among_many, closed)

/* --- mp_waiter --------------------------------------------------------------------------------- */

static int waiter_new(void)
{
	return mp_waiter_new(&waiter);
}

static void waiter_closed(void)
{
	T_CHECK(mp_waiter_close(waiter) == 0);
}

FAULTS(faults_wait, waiter_new, NULL, waiter_new, waiter_closed)

static int waiter_life(void)
{
	T_STEP(waiter_new());
	return mp_waiter_close(waiter);
}

FAULTS(faults_wait, waiter_life, NULL, waiter_life)

static void with_waiter(void)
{
	made();
	T_CHECK(waiter_new() == 0);
}

/* What was added is there; what was not can be added again. */
static int add_all(void)
{
	const mp_waitable items[] = {
		MP_WAIT(event), MP_WAIT(queue), MP_WAIT_ROOM(queue), MP_WAIT(here), MP_WAIT(0)};

	for (int i = 0; i < 5; i++) {
		int r = mp_waiter_add(waiter, items[i], NULL);
		if (r < 0 && r != -EEXIST)
			return r;
	}
	for (int i = 0; i < 5; i++) {
		T_STEP(mp_waiter_modify(waiter, items[i], &waiter));
	}
	for (int i = 0; i < 5; i++)
		T_CHECK(mp_waiter_remove(waiter, items[i]) == 0);
	return 0;
}

static void all_closed(void)
{
	waiter_closed();
	closed();
}

FAULTS(faults_wait, waiter_add, with_waiter, add_all, all_closed)

static void with_all(void)
{
	with_waiter();
	T_CHECK(mp_waiter_add(waiter, MP_WAIT(event), event) == 0);
	T_CHECK(mp_waiter_add(waiter, MP_WAIT(queue), queue) == 0);
	T_CHECK(mp_waiter_add(waiter, MP_WAIT(here), here) == 0);
}

static int wait_a_little(void)
{
	mp_ready ready[4];

	return mp_waiter_wait(waiter, ready, 4, 3);
}

FAULTS(faults_wait, waiter_wait, with_all, wait_a_little, all_closed)

/* --- who rings --------------------------------------------------------------------------------- */

static void watched(void)
{
	with_all();
	T_CHECK(wait_a_little() == 0);
}

/* Whatever fails, it has happened. */
static int ring(void)
{
	mp_ready ready[4];

	int r = mp_event_set(event);
	if (r < 0)
		return r;
	return mp_waiter_wait(waiter, ready, 4, T_TIMEOUT_MS) == 1 ? 0 : -1;
}

FAULTS(faults_wait, ring, watched, ring, all_closed)
