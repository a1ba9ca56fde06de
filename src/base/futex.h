/* SPDX-License-Identifier: MIT */
/*
 * base/futex.h - sleep on a word in shared memory, and wake who sleeps there.
 *
 * A wait is never a matter of correctness: callers re-check their condition after every return.
 */
#ifndef MP_BASE_FUTEX_H
#define MP_BASE_FUTEX_H

#include "base/deadline.h"

#include <stdatomic.h>
#include <stdint.h>

/*
 * Sleep while *word == expected. 0 woken (or for no reason), -EAGAIN *word was different,
 * -EINTR a signal handler ran, -ETIMEDOUT.
 */
int mp__futex_wait(_Atomic uint32_t *word, uint32_t expected, mp__deadline deadline);

/* Wake up to `count` sleepers; how many were woken. */
int mp__futex_wake(_Atomic uint32_t *word, int count);

/*
 * Have the kernel wake one sleeper of *word when the calling thread ends, however it ends, if the word
 * is 0 then. One word for each thread, which stays mapped until its end. This is lost when the thread
 * uses a robust pthread mutex, and may be asked for again at no cost; and the kernel may refuse it:
 * so it makes news of a death fast, but never certain.
 */
void mp__futex_wake_at_end(_Atomic uint32_t *word);

#endif
