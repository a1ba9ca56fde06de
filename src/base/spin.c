/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "base/spin.h"

#include <sched.h>
#include <sys/sysinfo.h>

/* In breaths; one takes 10 to 50 ns. The most costs about what a sleep and a wake-up do. */
#define BUDGET_MIN 16
#define BUDGET_FIRST 500
#define BUDGET_MAX 2000
/*
 * Two that hand over to each other both sleep once both have given up spinning, and neither finds out
 * that the other one could run. So every so often who has given up tries it at full length.
 */
#define TRY_AGAIN 256
#define TRY_AGAIN_BOUND 1024 /* who is bound to a CPU: mostly it is for nothing */
/* The affinity of a process may change while it runs: asked again after so many waits. */
#define ASK_AGAIN 4096

static __thread unsigned budget __attribute__((tls_model("initial-exec"))) = BUDGET_FIRST;
static __thread unsigned waits __attribute__((tls_model("initial-exec")));

/* Who may be running while this thread spins? */
enum cpus {
	ONE,    /* nobody */
	OTHERS, /* this thread stays on one CPU, and those that it waits for may be on another */
	SEVERAL,
};

static enum cpus count_cpus(void)
{
	cpu_set_t set;

	/* A mask that does not fit has many CPUs. */
	if (sched_getaffinity(0, sizeof(set), &set) < 0 || CPU_COUNT(&set) > 1)
		return SEVERAL;
	return get_nprocs() > 1 ? OTHERS : ONE;
}

/* Who is bound to a CPU gives up altogether, but for the tries: all others may be bound to the same. */
static unsigned least(enum cpus cpus)
{
	return cpus == SEVERAL ? BUDGET_MIN : 0;
}

static __thread enum cpus cpus __attribute__((tls_model("initial-exec")));

struct mp__spin mp__spin_begin(void)
{
	if (waits++ % ASK_AGAIN == 0)
		cpus = count_cpus();
	unsigned n = cpus == ONE ? 0 : budget;
	unsigned every = cpus == SEVERAL ? TRY_AGAIN : TRY_AGAIN_BOUND;
	if (cpus != ONE && n <= least(cpus) && waits % every == 0)
		n = BUDGET_MAX;
	return (struct mp__spin){.left = n, .budget = n};
}

void mp__spin_end(const struct mp__spin *spin, bool rewarded)
{
	unsigned used = spin->budget - spin->left;

	if (spin->budget == 0)
		return;
	if (!rewarded) {
		budget = budget / 2 > least(cpus) ? budget / 2 : least(cpus);
	} else if (used > 0) { /* it did not come at once: some more may be needed */
		unsigned more = used > budget ? used : budget;
		budget = more * 2 < BUDGET_MAX ? more * 2 : BUDGET_MAX;
	}
}
