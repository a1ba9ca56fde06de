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
/* While others get on we wait for so many times the patience that we have with one who stands still. */
#define PATIENCES 6
/* The part of it that goes by between two looks at most, however late the second one comes. */
#define LOOKS 8

int64_t mp__guard_patience_ns = INT64_C(10000000000);

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

/* A wait: how long it may be, who is in the way, and what was seen of that. */
struct wait {
	mp__deadline deadline;
	struct mp__guard_signs signs;
	bool patient; /* without a deadline */
	uint64_t owner;
	uint64_t print; /* of the signs */
	int64_t looked; /* when; 0: not yet */
	int64_t waited; /* ns in which we looked */
	int64_t stood;  /* and of those, since something has changed */
	bool moved;     /* something has changed */
	bool told;      /* of this owner */
};

static int stands_still(uint64_t owner)
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

static int too_late(const struct wait *w)
{
	if (!w->moved)
		return stands_still(w->owner);
	return mp_error_set(-ETIMEDOUT,
		"others, thread %d just now, change this object all the time: this thread has not "
		"come to it in time",
		(int)mp__stamp_tid(w->owner));
}

/* A part of a larger word too. */
typedef uint32_t __attribute__((may_alias)) sign;

/* A number that is another one, nearly for certain, once one of the signs is. */
static uint64_t print_of(struct mp__guard_signs signs)
{
	const sign *words = signs.words;
	uint64_t print = 0;

	for (size_t i = 0; i < signs.size / sizeof(*words); i++)
		print = (print ^ __atomic_load_n(&words[i], __ATOMIC_RELAXED)) *
			UINT64_C(0x9e3779b97f4a7c15);
	return print;
}

/* However late a look comes, it stands for a short time only: perhaps nobody ran in between. */
static void look(struct wait *w, uint64_t owner)
{
	int64_t now = mp__now_ns();
	int64_t most = mp__guard_patience_ns / LOOKS + 1;
	int64_t since = now - w->looked < most ? now - w->looked : most;
	uint64_t print = print_of(w->signs);

	if (w->looked != 0) {
		bool moved = owner != w->owner || print != w->print;
		w->waited += since;
		w->stood = moved ? 0 : w->stood + since;
		w->moved |= moved;
	}
	if (owner != w->owner)
		w->told = false;
	w->owner = owner;
	w->print = print;
	w->looked = now;
}

static void remark(struct wait *w)
{
	if (w->told || w->stood < REMARK_NS)
		return;
	w->told = true;
	mp__log(MP_LOG_WARNING, "shm",
		"thread %d%s has been standing in the middle of a change of a shared object for a "
		"second: process %d waits for it",
		(int)mp__stamp_tid(w->owner),
		mp__stamp_is_of_here(w->owner) ? "" : " of another PID namespace", (int)getpid());
}

/*
 * 0 wait on; -ETIMEDOUT. Who needs longer than microseconds inside is stopped, or does not get the CPU;
 * what cannot be judged from here (it may be dead in its namespace, or garbage) is not waited for
 * without end.
 */
static int judge(struct wait *w)
{
	remark(w);
	if ((w->patient || !mp__stamp_is_of_here(w->owner)) && w->stood >= mp__guard_patience_ns)
		return stands_still(w->owner);
	if (mp__deadline_passed(w->deadline) ||
		(w->patient && w->waited >= PATIENCES * mp__guard_patience_ns))
		return too_late(w);
	return 0;
}

int mp__guard_enter_slowly(mp__guard *guard, mp__deadline deadline, struct mp__guard_signs signs)
{
	bool patient = deadline.ns == MP__GUARD_PATIENTLY.ns;
	struct wait w = {patient ? MP__DEADLINE_NEVER : deadline, signs, .patient = patient};
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
		look(&w, owner);
		int r = judge(&w);
		if (r < 0)
			return r;
		nap(nap_ns, w.deadline);
		nap_ns = nap_ns * 2 < NAP_MAX_NS ? nap_ns * 2 : NAP_MAX_NS;
	}
}
