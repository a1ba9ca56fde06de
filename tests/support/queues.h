/* SPDX-License-Identifier: MIT */
/*
 * tests/support/queues.h - what tests of queues do again and again.
 */
#ifndef TESTS_QUEUES_H
#define TESTS_QUEUES_H

#include "tests/support/support.h"

#include <mp.h>
#include <pthread.h>

#include "queue/queue.h"

static inline mp_queue *make(const mp_queue_options *options)
{
	mp_queue *q = NULL;

	T_OK(mp_queue_new(options, &q));
	return q;
}

static inline int64_t get_i64(mp_queue *q)
{
	mp_obj value;

	T_OK(mp_queue_get(q, T_TIMEOUT_MS, &value));
	int64_t n = mp_obj_i64(&value);
	mp_obj_free(&value);
	return n;
}

/* A thread that gets an integer: that, or the error. */
__attribute__((unused)) static void *get_in_thread(void *argument)
{
	mp_obj value;
	int r = mp_queue_get(argument, T_TIMEOUT_MS, &value);

	return (void *)(intptr_t)(r == 0 ? mp_obj_i64(&value) : r);
}

/* What the thread returned. */
static inline long joined(pthread_t thread)
{
	void *result;

	cr_assert_eq(pthread_join(thread, &result), 0);
	return (long)(intptr_t)result;
}

static inline void wait_for_sleeper(struct mp__watched_bell *bell)
{
	while (!mp__bell_has_sleepers(&bell->bell))
		;
}

#endif
