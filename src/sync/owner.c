/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "sync/owner.h"

#include "base/error.h"
#include "base/futex.h"
#include "base/spin.h"
#include "base/testpoint.h"
#include "shm/bell.h"
#include "sync/waiting.h"

#include <errno.h>
#include <limits.h>

/* The first sleep is shorter: an owner may die just after it was asked. */
#define FIRST_RECHECK_MS 10
#define ALIVE_NS 1000000
/* While spinning, in breaths. */
#define LOOK_EVERY_MAX 64

bool mp__owner_dead(mp__stamp owner)
{
	static __thread struct {
		mp__stamp owner;
		int64_t until;
	} alive __attribute__((tls_model("initial-exec")));
	int64_t now = mp__now_ns();

	if (alive.owner == owner && now < alive.until)
		return false;
	if (mp__stamp_thread_dead(owner))
		return true;
	alive.owner = owner;
	alive.until = now + ALIVE_NS;
	return false;
}

static _Atomic uint32_t *lower_half(mp__owner_word *word)
{
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
	return (_Atomic uint32_t *)word + 1;
#else
	return (_Atomic uint32_t *)word;
#endif
}

void mp__owner_wake(mp__owner_word *word)
{
	MP__TEST_POINT("lock.given");
	mp__futex_wake(lower_half(word), 1);
}

void mp__owner_destroy(mp__owner_word *word)
{
	atomic_store_explicit(word, MP__OWNER_GONE, memory_order_release);
	mp__futex_wake(lower_half(word), INT_MAX);
}

static int mine_already(const struct mp__sync_head *head)
{
	char label[MP__SYNC_LABEL_SIZE];

	return mp_error_set(-EDEADLK,
		"acquire of %s %p%s: this thread holds it already, and would wait for itself",
		mp__sync_kind(head), (const void *)head, mp__sync_label(head, label));
}

static int too_late(const struct mp__sync_head *head, int result, mp__stamp owner)
{
	char label[MP__SYNC_LABEL_SIZE];

	return mp_error_set(result, "acquire of %s %p%s: thread %d holds it", mp__sync_kind(head),
		(const void *)head, mp__sync_label(head, label), (int)mp__stamp_tid(owner));
}

/*
 * Free, or its owner is dead: take it. 0, MP_OWNER_DIED, -EBUSY (also when somebody was quicker),
 * -EINVAL.
 */
static int take(mp__owner_word *word, uint64_t seen, uint64_t mark)
{
	mp__stamp owner = seen & ~MP__STAMP_MARKS;

	if (seen & MP__OWNER_GONE)
		return mp_error_set(
			-EINVAL, "waiting: what this thread waited for was destroyed meanwhile");
	if (owner != 0 && !mp__owner_dead(owner))
		return -EBUSY;
	MP__TEST_POINT("lock.take");
	if (!atomic_compare_exchange_strong_explicit(word, &seen, mp__stamp_self() | mark,
		    memory_order_seq_cst, memory_order_relaxed))
		return -EBUSY;
	MP__TEST_POINT("lock.taken");
	return owner != 0 ? MP_OWNER_DIED : 0;
}

/*
 * Looks become rarer as it goes on: each takes the cache line from the owner, who has the word in its
 * cache otherwise and gets much done meanwhile.
 */
static bool spin(mp__owner_word *word)
{
	struct mp__spin spin = mp__spin_begin();
	unsigned breaths = 1;

	for (;;) {
		if (mp__owner_of(word) == 0 && mp__owner_try(word)) {
			mp__spin_end(&spin, true);
			return true;
		}
		for (unsigned i = 0; i < breaths; i++)
			if (!mp__spin_on(&spin)) {
				mp__spin_end(&spin, false);
				return false;
			}
		if (breaths < LOOK_EVERY_MAX)
			breaths *= 2;
	}
}

static int sleep_for(mp__owner_word *word, const struct mp__sync_head *head, mp__deadline deadline)
{
	int slice_ms = FIRST_RECHECK_MS;

	for (;;) {
		uint64_t seen = atomic_load_explicit(word, memory_order_relaxed);
		int r = take(word, seen, MP__OWNER_SLEEPERS);
		if (r != -EBUSY)
			return r;
		if (mp__deadline_passed(deadline))
			return too_late(head, -ETIMEDOUT, seen & ~MP__STAMP_MARKS);
		if ((seen & ~MP__STAMP_MARKS) == 0)
			continue; /* it came free, and somebody was quicker */
		if (!(seen & MP__OWNER_SLEEPERS) &&
			!atomic_compare_exchange_strong_explicit(word, &seen,
				seen | MP__OWNER_SLEEPERS, memory_order_relaxed,
				memory_order_relaxed))
			continue;
		MP__TEST_POINT("lock.marked");
		mp__waiting_update(seen & ~MP__STAMP_MARKS);
		mp__futex_wait(lower_half(word), (uint32_t)(seen | MP__OWNER_SLEEPERS),
			mp__deadline_slice(deadline, slice_ms));
		MP__TEST_POINT("lock.woken");
		slice_ms = MP__BELL_RECHECK_MS;
	}
}

int mp__owner_wait_until(
	mp__owner_word *word, const struct mp__sync_head *head, mp__deadline deadline)
{
	if (mp__owner_is_self(word))
		return mine_already(head);
	if (spin(word))
		return 0;
	mp__waiting_begin(head, mp__owner_of(word));
	int r = sleep_for(word, head, deadline);
	mp__waiting_end();
	return r;
}

int mp__owner_wait(mp__owner_word *word, const struct mp__sync_head *head, int timeout_ms)
{
	if (timeout_ms != MP_NOWAIT)
		return mp__owner_wait_until(word, head, mp__deadline_in(timeout_ms));
	if (mp__owner_is_self(word))
		return mine_already(head);
	uint64_t seen = atomic_load_explicit(word, memory_order_relaxed);
	int r = take(word, seen, seen & MP__OWNER_SLEEPERS);
	return r != -EBUSY ? r : too_late(head, -EAGAIN, seen & ~MP__STAMP_MARKS);
}
