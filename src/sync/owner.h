/* SPDX-License-Identifier: MIT */
/*
 * sync/owner.h - a word that has one owner: the heart of locks.
 *
 * The word is 0 (free) or its owner's stamp (base/stamp.h), with MARK0 set while somebody sleeps for
 * it. Taking it is one compare-and-swap, which is also what names the owner: at no instant is it
 * taken by nobody knows whom. Giving it back is one exchange, which says whether to wake.
 *
 *	free 0  --take-->  S  --a waiter marks-->  S|MARK0  --give: exchange, wake one-->  0
 *	                                             | S is dead, seen by a waiter
 *	                                             +--take over: compare-and-swap-->  W|MARK0
 *
 * What a death leaves behind, at any instant:
 *  - of the owner: its stamp. Waiters ask whether it lives before they sleep, after 10 ms, then
 *    every MP__BELL_RECHECK_MS; one of them takes over, and has MP_OWNER_DIED. If that one dies
 *    before it could tell anybody, its own stamp stands there, and the next one gets the same news.
 *  - between give's exchange and its wake-up, or of the waiter that was woken: a free word, and
 *    sleepers. They look again when their slice is over.
 *  - of a waiter that had marked: a mark, which costs the next give one wake-up in vain.
 * Nothing is linked, counted or queued, so nothing needs repair.
 *
 * Who has slept takes the word with the mark, because others may sleep yet; so the last of several
 * waiters pays one wake-up in vain.
 *
 * The futex is the lower half of the word, where the thread's number and the marks are: it differs
 * for any two owners that live at the same time, so nobody falls asleep on an outdated owner.
 */
#ifndef MP_SYNC_OWNER_H
#define MP_SYNC_OWNER_H

#include "base/deadline.h"
#include "base/stamp.h"
#include "sync/head.h"

#include <mp/error.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define MP__OWNER_SLEEPERS MP__STAMP_MARK0
#define MP__OWNER_GONE MP__STAMP_MARK1 /* destroyed: nobody's, and not to be taken */
/*
 * Free, but the next one shall have MP_OWNER_DIED. It looks like a stamp, and no thread has number 0:
 * mp__stamp_thread_dead() says dead, so it is taken over as from a dead owner.
 */
#define MP__OWNER_NEWS (UINT64_C(1) << 32)

typedef _Atomic uint64_t mp__owner_word;

/* Whose it is, 0: nobody's. */
static inline mp__stamp mp__owner_of(const mp__owner_word *word)
{
	return atomic_load_explicit(word, memory_order_relaxed) & ~MP__STAMP_MARKS;
}

static inline bool mp__owner_is_self(const mp__owner_word *word)
{
	return mp__owner_of(word) == mp__stamp_self();
}

/* Take it if it is free. */
static inline bool mp__owner_try(mp__owner_word *word)
{
	uint64_t nobody = 0;

	/*
	 * Partner: the release in mp__owner_give(). Sequentially consistent for objects that look at
	 * another word next, as the writer of an rwlock does.
	 */
	return __builtin_expect(
		atomic_compare_exchange_strong_explicit(word, &nobody, mp__stamp_self(),
			memory_order_seq_cst, memory_order_relaxed),
		1);
}

/*
 * After mp__owner_try() failed: 0 or MP_OWNER_DIED, it is the caller's. -EAGAIN (timeout_ms is
 * MP_NOWAIT), -ETIMEDOUT, -EDEADLK it is the caller's already, -EINVAL it was destroyed.
 * `head` is of the object that the word is in.
 */
int mp__owner_wait(mp__owner_word *word, const struct mp__sync_head *head, int timeout_ms);
int mp__owner_wait_until(
	mp__owner_word *word, const struct mp__sync_head *head, mp__deadline deadline);

void mp__owner_wake(mp__owner_word *word);

/* The caller, who must be the owner, destroys it: who waits has -EINVAL, and nobody takes it again. */
void mp__owner_destroy(mp__owner_word *word);

static inline void mp__owner_leave(mp__owner_word *word, uint64_t what)
{
	/* An exchange: between a load and a store somebody could set the mark. */
	uint64_t was = atomic_exchange_explicit(word, what, memory_order_release);

	if (__builtin_expect((was & MP__OWNER_SLEEPERS) != 0, 0))
		mp__owner_wake(word);
}

/* Give it back. The caller must be the owner. */
static inline void mp__owner_give(mp__owner_word *word)
{
	mp__owner_leave(word, 0);
}

/* The same, when the caller had MP_OWNER_DIED and could not make use of it: the next one has it. */
static inline void mp__owner_give_news(mp__owner_word *word)
{
	mp__owner_leave(word, MP__OWNER_NEWS);
}

/*
 * Is this thread dead, as in mp__stamp_thread_dead()? One that was alive less than a millisecond ago
 * counts as alive, so that who only ever tries does not read /proc each time.
 */
bool mp__owner_dead(mp__stamp owner);

#endif
