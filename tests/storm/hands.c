/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "tests/storm/hands.h"

#include "base/deadline.h"

#include <pthread.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#define STEPS_MAX 32

static const struct storm_capability *steps[STEPS_MAX];
static char *objects[STEPS_MAX];
static size_t n_steps;

/* --- what all use ------------------------------------------------------------------------------------- */

uint64_t storm_random(uint64_t *state)
{
	/* splitmix64: any seed is as good as any other */
	uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return z ^ z >> 31;
}

int64_t storm_now_ms(void)
{
	return mp__now_ns() / 1000000;
}

void storm_fail(enum storm_finding finding, const char *format, ...)
{
	va_list ap;

	storm_board->found[finding]++;
	if (!atomic_exchange(&storm_board->failed, 1)) {
		va_start(ap, format);
		(void)vsnprintf(storm_board->failure, sizeof(storm_board->failure), format, ap);
		va_end(ap);
	}
	if (getpid() != storm_pid)
		_exit(STORM_FAILED);
}

void storm_dawdle(uint64_t random)
{
	for (uint64_t i = 0; i < random % 64; i++)
		__asm__ __volatile__("" ::: "memory");
	if (random / 64 % 64 == 0)
		(void)sched_yield();
}

/* --- the guarded pair --------------------------------------------------------------------------------- */

void storm_pair_work(struct storm_pair *pair, int result, uint64_t random)
{
	if (result == MP_OWNER_DIED)
		pair->second = pair->first;
	STORM_CHECK(pair->first == pair->second);
	pair->first = pair->first + 1;
	storm_dawdle(random);
	STORM_CHECK(pair->first == pair->second + 1);
	pair->second = pair->second + 1;
	pair->made++;
}

void storm_pair_look(struct storm_pair *pair, int result, uint64_t random)
{
	uint64_t first = pair->first;

	storm_dawdle(random);
	STORM_CHECK(pair->first == first);
	if (result != MP_OWNER_DIED)
		STORM_CHECK(pair->second == first);
}

void storm_pair_finish(const struct storm_pair *pair)
{
	STORM_CHECK(pair->second >= pair->made);
	/* Who dies after the second number and before the count: one for each of its threads. */
	STORM_IS(STORM_DUPLICATED, pair->second - pair->made <= 2 * storm_board->ended);
}

/* --- hands ---------------------------------------------------------------------------------------------- */

static void *work(void *random)
{
	uint64_t state = *(uint64_t *)random;

	while (storm_blows()) {
		size_t i = storm_random(&state) % n_steps;
		steps[i]->step(objects[i], storm_random(&state));
	}
	return NULL;
}

void storm_hands(const struct storm_capability *const *capabilities, char *const *memory, size_t n,
	uint64_t random)
{
	uint64_t seeds[2] = {random, ~random};
	pthread_t other;

	n_steps = 0;
	for (size_t i = 0; i < n && n_steps < STEPS_MAX; i++)
		if (memory[i] && capabilities[i]->step) {
			steps[n_steps] = capabilities[i];
			objects[n_steps++] = memory[i];
		}
	STORM_CHECK(pthread_create(&other, NULL, work, &seeds[1]) == 0);
	(void)work(&seeds[0]);
	(void)pthread_join(other, NULL);
}
