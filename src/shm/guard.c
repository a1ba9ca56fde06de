/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "shm/guard.h"

#include "base/error.h"
#include "base/log.h"
#include "base/spin.h"

#include <errno.h>
#include <sched.h>
#include <unistd.h>

#define SPINS 200
#define YIELDS 20
#define NAP_FIRST_NS 50000
#define NAP_MAX_NS 2000000
/* Who has been in the way for so long is worth a remark. */
#define REMARK_NS INT64_C(1000000000)

int64_t mp__guard_foreign_ns = INT64_C(10000000000);

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

/* Who is in the way, and since when. */
struct obstacle {
	uint64_t owner;
	int64_t since;
	bool told;
};

static int too_long(uint64_t owner)
{
	if (mp__stamp_is_of_here(owner))
		return mp_error_set(-ETIMEDOUT,
			"thread %d is stopped in the middle of a change of this object; let it go "
			"on, or kill it",
			(int)mp__stamp_tid(owner));
	return mp_error_set(-ETIMEDOUT,
		"thread %d of another PID namespace stands still in the middle of a change of this "
		"object: whether it lives cannot be seen from here",
		(int)mp__stamp_tid(owner));
}

/*
 * 0 wait on; -ETIMEDOUT. Nobody is inside for longer than microseconds, unless it is stopped; what
 * cannot be judged from here (it may be dead in its namespace, or garbage) is not waited for without
 * end.
 */
static int judge(struct obstacle *o, uint64_t owner, mp__deadline deadline)
{
	int64_t now = mp__now_ns();

	if (o->owner != owner)
		*o = (struct obstacle){.owner = owner, .since = now};
	if (mp__deadline_passed(deadline))
		return too_long(owner);
	if (owner == 0)
		return 0;
	if (now - o->since >= REMARK_NS && !o->told) {
		o->told = true;
		mp__log(MP_LOG_WARNING, "shm",
			"thread %d%s has been standing in the middle of a change of a shared "
			"object for a second: process %d waits for it",
			(int)mp__stamp_tid(owner),
			mp__stamp_is_of_here(owner) ? "" : " of another PID namespace",
			(int)getpid());
	}
	bool foreign = !mp__stamp_is_of_here(owner);
	return foreign && now - o->since >= mp__guard_foreign_ns ? too_long(owner) : 0;
}

int mp__guard_enter_slowly(mp__guard *guard, mp__deadline deadline)
{
	uint64_t self = mp__stamp_self();
	struct obstacle obstacle = {0};
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
		int r = judge(&obstacle, owner, deadline);
		if (r < 0)
			return r;
		nap(nap_ns, deadline);
		nap_ns = nap_ns * 2 < NAP_MAX_NS ? nap_ns * 2 : NAP_MAX_NS;
	}
}
