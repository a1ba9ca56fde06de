/* SPDX-License-Identifier: MIT */
/*
 * tests/support/asleep.h - children that sleep in a call, or keep others waiting for a moment.
 */
#ifndef TESTS_SUPPORT_ASLEEP_H
#define TESTS_SUPPORT_ASLEEP_H

#include "tests/support/support.h"

#include <sched.h>
#include <time.h>

/* Is this thread of a child asleep in the kernel? Then it surely waits. */
static inline bool t_sleeps(pid_t tid)
{
	char state;

	return t_stat(tid, &state, NULL) && state == 'S';
}

/* A child that says t_ready() and then falls asleep. */
static inline struct t_child t_spawn_sleeper(int (*function)(void *argument))
{
	struct t_child child = t_spawn(function, NULL);

	t_wait_ready(&child);
	while (!t_sleeps(child.pid))
		sched_yield();
	return child;
}

/* Long enough that who waits for it sleeps; nothing is wrong when he does not. */
static inline void t_moment(void)
{
	struct timespec moment = {.tv_nsec = 20 * 1000 * 1000};

	nanosleep(&moment, NULL);
}

#endif
