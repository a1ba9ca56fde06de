/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "shm/guard.h"

#include "base/error.h"
#include "base/spin.h"

#include <errno.h>
#include <sched.h>

#define SPINS 200
#define YIELDS 20
#define NAP_FIRST_NS 50000
#define NAP_MAX_NS 2000000

static void nap(long ns, mp__deadline deadline)
{
	int64_t left = deadline.ns == INT64_MAX ? ns : deadline.ns - mp__now_ns();
	struct timespec t = {.tv_nsec = left < ns ? (left > 0 ? (long)left : 0) : ns};

	nanosleep(&t, NULL);
}

/* The owner, if it is dead, gives way to us. 0 no; 1 entered. */
static int take_over(mp__guard *guard, uint64_t owner)
{
	if (owner == 0 || !mp__stamp_thread_dead(owner))
		return 0;
	return atomic_compare_exchange_strong_explicit(
		guard, &owner, mp__stamp_self(), memory_order_acquire, memory_order_relaxed);
}

int mp__guard_enter_slowly(mp__guard *guard, mp__deadline deadline)
{
	uint64_t self = mp__stamp_self();
	long nap_ns = NAP_FIRST_NS;

	for (unsigned tries = 0;; tries++) {
		uint64_t owner = atomic_load_explicit(guard, memory_order_relaxed);
		if (owner == 0 && atomic_compare_exchange_strong_explicit(guard, &owner, self,
					  memory_order_acquire, memory_order_relaxed))
			return 0;
		if (owner == self)
			return mp_error_set(-EDEADLK,
				"this thread is inside the library on the same object already: a "
				"signal handler must not call it");
		if (tries < SPINS) {
			mp__spin_relax();
			continue;
		}
		if (tries < SPINS + YIELDS) {
			sched_yield();
			continue;
		}
		if (take_over(guard, owner))
			return MP_OWNER_DIED;
		if (mp__deadline_passed(deadline))
			return mp_error_set(-ETIMEDOUT,
				"thread %d stands still in the middle of a change of this object",
				(int)mp__stamp_tid(owner));
		nap(nap_ns, deadline);
		nap_ns = nap_ns * 2 < NAP_MAX_NS ? nap_ns * 2 : NAP_MAX_NS;
	}
}
