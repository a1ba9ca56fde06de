/* SPDX-License-Identifier: MIT */
/*
 * base/spin.h - wait a moment without sleeping, when that can pay.
 *
 * Going to sleep and being woken costs some 30 us, a hand-over between two CPUs 0.1 us. So a wait
 * begins with a short spin, where there is more than one CPU. How short is learnt by each thread: a
 * spin that was rewarded may be longer the next time, one in vain shorter. A thread that is bound to
 * one CPU may learn not to spin at all, but for a try now and then.
 *
 *	struct mp__spin spin = mp__spin_begin();
 *	while (!(done = condition()) && mp__spin_on(&spin))
 *		;
 *	mp__spin_end(&spin, done);
 */
#ifndef MP_BASE_SPIN_H
#define MP_BASE_SPIN_H

#include <stdbool.h>

/* A breath while spinning. */
static inline void mp__spin_relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
	__builtin_ia32_pause();
#elif defined(__aarch64__)
	__asm__ __volatile__("yield");
#endif
}

struct mp__spin {
	unsigned left;
	unsigned budget;
};

/* 0 breaths where there is one CPU. */
struct mp__spin mp__spin_begin(void);
/* Adapt the budget of this thread; `rewarded`: what was waited for came during the spin. */
void mp__spin_end(const struct mp__spin *spin, bool rewarded);

/* Take a breath; false: enough. */
static inline bool mp__spin_on(struct mp__spin *spin)
{
	if (spin->left == 0)
		return false;
	spin->left--;
	mp__spin_relax();
	return true;
}

#endif
