/* SPDX-License-Identifier: MIT */
/*
 * base/linger.h - look some more times before sleeping in the kernel, where each look is a system call.
 *
 * While requests and replies go to and fro, the next one comes sooner than a sleep and a wake-up take.
 * So whoever waits for one stays awake for about that long. Between two looks the CPU is given to
 * others, since who is waited for may need this very one; but on a machine with other work to do they
 * may keep it for milliseconds, and when that has happened, it is kept for some thousand waits. Waits
 * that were in vain make others sleep at once, more of them each time. So neither slow traffic nor a
 * busy machine pays for it, and nothing is done while nobody waits.
 *
 *	bool awake = mp__linger_begin(&linger);
 *	while ((n = look(awake ? MSG_DONTWAIT : 0)) is nothing && awake)
 *		awake = mp__linger_on(&linger);
 *	mp__linger_end(&linger, awake && n is something);
 */
#ifndef MP_BASE_LINGER_H
#define MP_BASE_LINGER_H

#include <stdbool.h>
#include <stdint.h>

/* What the waits of one kind have learnt; all zero is a good beginning. One thread at a time. */
struct mp__linger {
	int64_t began_ns; /* the wait in hand; 0: it has not lingered */
	int64_t given_ns; /* when the CPU was given away; 0: it was not */
	unsigned misses;  /* two for each one in vain, less one for each rewarded */
	unsigned asleep;  /* so many waits sleep at once */
	unsigned alone;   /* so many waits give the CPU to nobody */
};

/* False: sleep at once. */
bool mp__linger_begin(struct mp__linger *linger);
/* Nothing has come. Look again at once? False: sleep. */
bool mp__linger_on(struct mp__linger *linger);
/* After each wait. `rewarded`: what was waited for came before a sleep. */
void mp__linger_end(struct mp__linger *linger, bool rewarded);

#endif
