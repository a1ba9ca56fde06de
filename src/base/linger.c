/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "base/linger.h"

#include "base/deadline.h"
#include "base/hot.h"
#include "base/spin.h"

#include <sched.h>

/* About what a sleep and a wake-up take: so staying awake in vain at most doubles that. */
#define LINGER_NS 50000
/* Others of the same traffic give the CPU back before this. Who has not has work of his own. */
#define GIVEN_NS 1000000
/* A CPU that was away for a millisecond is kept for a thousand waits, which then pay one us each. */
#define ALONE_PER_NS 1000
#define ALONE_MAX 4096
/* Every two misses double the number of waits that sleep at once. */
#define MISSES_MAX 24
/* Between two looks, while the CPU is kept. */
#define BREATHS 8

MP__HOT bool mp__linger_begin(struct mp__linger *linger)
{
	linger->alone -= linger->alone > 0;
	if (linger->asleep == 0)
		return true;
	linger->asleep--;
	return false;
}

/* How did others treat us, to whom the CPU was given? */
static void take_back(struct mp__linger *linger, int64_t now)
{
	int64_t away = linger->given_ns ? now - linger->given_ns : 0;

	if (away > GIVEN_NS)
		linger->alone = away / ALONE_PER_NS < ALONE_MAX ? (unsigned)(away / ALONE_PER_NS)
								: ALONE_MAX;
}

MP__HOT bool mp__linger_on(struct mp__linger *linger)
{
	int64_t now = mp__now_ns();

	if (linger->began_ns == 0)
		linger->began_ns = now;
	else
		take_back(linger, now);
	if (now - linger->began_ns >= LINGER_NS)
		return false;
	linger->given_ns = linger->alone > 0 ? 0 : now;
	if (linger->alone == 0)
		sched_yield();
	for (int i = 0; linger->alone > 0 && i < BREATHS; i++)
		mp__spin_relax();
	return true;
}

MP__HOT void mp__linger_end(struct mp__linger *linger, bool rewarded)
{
	if (linger->began_ns == 0)
		return;
	int64_t now = mp__now_ns();
	take_back(linger, now);
	if (rewarded && now - linger->began_ns < (linger->given_ns ? GIVEN_NS : LINGER_NS)) {
		linger->misses -= linger->misses > 0;
	} else {
		linger->misses += linger->misses < MISSES_MAX ? 2 : 0;
		linger->asleep = 1U << linger->misses / 2;
	}
	linger->began_ns = 0;
	linger->given_ns = 0;
}
