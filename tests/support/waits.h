/* SPDX-License-Identifier: MIT */
/*
 * tests/support/waits.h - cases of faults.h in which a call sleeps, or wakes somebody who does.
 */
#ifndef TESTS_SUPPORT_WAITS_H
#define TESTS_SUPPORT_WAITS_H

#include "tests/support/asleep.h"
#include "tests/support/faults.h"

static struct t_child other;

static inline int nothing(void)
{
	return 0;
}

static inline void other_ended(void)
{
	t_expect_exit(&other, 0);
}

/*
 * `call` waits while the other one holds the object for a moment; `give` is called while the other
 * one sleeps in `want`, and lets it go on.
 */
#define WAITS(suite, id, make, hold, let_go, call, undo, close) \
	static int id##_holds(void *argument)                   \
	{                                                       \
		(void)argument;                                 \
		T_CHECK((hold) >= 0);                           \
		t_ready();                                      \
		t_moment();                                     \
		return (let_go);                                \
	}                                                       \
	static void id##_held(void)                             \
	{                                                       \
		T_CHECK((make) == 0);                           \
		other = t_spawn(id##_holds, NULL);              \
		t_wait_ready(&other);                           \
	}                                                       \
	static int id##_call(void)                              \
	{                                                       \
		return (call);                                  \
	}                                                       \
	static void id##_end(void)                              \
	{                                                       \
		T_CHECK((undo) >= 0);                           \
		other_ended();                                  \
		close;                                          \
	}                                                       \
	FAULTS(suite, id, id##_held, id##_call, id##_end)

#define WAKES(suite, id, make, want, undo, give, close) \
	static int id##_wants(void *argument)           \
	{                                               \
		(void)argument;                         \
		t_ready();                              \
		T_CHECK((want) >= 0);                   \
		T_CHECK((undo) >= 0);                   \
		return 0;                               \
	}                                               \
	static void id##_wanted(void)                   \
	{                                               \
		T_CHECK((make) >= 0);                   \
		other = t_spawn_sleeper(id##_wants);    \
	}                                               \
	static int id##_give(void)                      \
	{                                               \
		return (give);                          \
	}                                               \
	static void id##_end(void)                      \
	{                                               \
		other_ended();                          \
		close;                                  \
	}                                               \
	FAULTS(suite, id, id##_wanted, id##_give, id##_end)

#endif
