/* SPDX-License-Identifier: MIT */
/*
 * base/stamp.h - the name of a thread, for words in shared memory.
 *
 * Whoever takes something in shared memory writes its stamp into it with the same compare-and-swap,
 * so that there is no instant in which a thing is taken and nobody knows by whom. A stamp outlives
 * its thread: it holds the start time beside the number, so that a thread that got the same number
 * later is not mistaken for it, and it says in which PID namespace the number means something.
 *
 *	63            32 31 30 29        22 21             0
 *	+---------------+--+--+------------+---------------+
 *	| start, ticks  | marks| namespace  | thread number |
 *	+---------------+--+--+------------+---------------+
 *	 low 32 bits of   for  8 bits of a   the kernel's limit
 *	 /proc/.../stat   words hash         is 2^22 (PID_MAX_LIMIT)
 *
 * The lower half changes with every owner that can be alive at the same time, so a futex may wait
 * on it. The marks are 0 in a stamp; a word may keep two bits of its own there.
 *
 * Death is proved, never guessed: the kernel knows no such thread, or it is a zombie, or it started
 * at another time. What can't be judged from here (another namespace) counts as alive: a wrong
 * "dead" would corrupt what the living one works on.
 */
#ifndef MP_BASE_STAMP_H
#define MP_BASE_STAMP_H

#include "base/origin.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef uint64_t mp__stamp; /* 0: nobody */

#define MP__STAMP_MARK0 (UINT64_C(1) << 30)
#define MP__STAMP_MARK1 (UINT64_C(1) << 31)
#define MP__STAMP_MARKS (MP__STAMP_MARK0 | MP__STAMP_MARK1)

/* Each thread's own, made at its first use. Use mp__stamps(). */
struct mp__stamps {
	mp__origin origin; /* of the process that it was made in: a forked child has another */
	mp__stamp thread;
	mp__stamp process;
};
extern __thread struct mp__stamps mp__stamp_cache
	__attribute__((tls_model("initial-exec"), visibility("hidden")));

const struct mp__stamps *mp__stamps_make(void);

/* Both at once, at the cost of one. Async-signal-safe. */
static inline const struct mp__stamps *mp__stamps(void)
{
	if (__builtin_expect(mp__stamp_cache.origin == mp__origin_here(), 1))
		return &mp__stamp_cache;
	return mp__stamps_make();
}

/* Of the calling thread; never 0. Async-signal-safe. */
static inline mp__stamp mp__stamp_self(void)
{
	return mp__stamps()->thread;
}

/*
 * Of the process, that is of its first thread; for what all of its threads hold together. Never 0.
 * Async-signal-safe.
 */
static inline mp__stamp mp__stamp_process(void)
{
	return mp__stamps()->process;
}

/* Of any thread, or of any process by its first: for who looks from outside. */
mp__stamp mp__stamp_of(int32_t tid);

/* The thread's number, or the process's for mp__stamp_process(). */
static inline int32_t mp__stamp_tid(mp__stamp stamp)
{
	return (int32_t)(stamp & 0x3fffff);
}

/*
 * Has the thread of this stamp ended? Marks are ignored; nobody (0) is dead. Costs some 10 us while
 * it is alive: for slow paths. Keeps errno; async-signal-safe.
 */
bool mp__stamp_thread_dead(mp__stamp stamp);

/* Has the whole process of this stamp (of mp__stamp_process()) ended? As above. */
bool mp__stamp_process_dead(mp__stamp stamp);

/* Is it of this PID namespace, so that its number means something here? */
bool mp__stamp_is_of_here(mp__stamp stamp);

#endif
