/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "base/spin.h"

#include <sched.h>
#include <stdatomic.h>

/* In breaths; one takes 10 to 50 ns. The most costs about what a sleep and a wake-up do. */
#define BUDGET_MIN 16
#define BUDGET_FIRST 500
#define BUDGET_MAX 2000
/*
 * Two that hand over to each other both sleep once both have given up spinning, and neither finds out
 * that the other one could run. So every so often who has given up tries it at full length.
 */
#define TRY_AGAIN 256
/* The affinity of a process may change while it runs: asked again after so many waits. */
#define ASK_AGAIN 4096

static __thread unsigned budget __attribute__((tls_model("initial-exec"))) = BUDGET_FIRST;
static __thread unsigned waits __attribute__((tls_model("initial-exec")));

static bool several_cpus(void)
{
	static atomic_int several = -1;

	if (atomic_load_explicit(&several, memory_order_relaxed) < 0 || waits++ % ASK_AGAIN == 0) {
		cpu_set_t set;
		/* A mask that does not fit has many CPUs. */
		bool many = sched_getaffinity(0, sizeof(set), &set) < 0 || CPU_COUNT(&set) > 1;
		atomic_store_explicit(&several, many, memory_order_relaxed);
	}
	return atomic_load_explicit(&several, memory_order_relaxed);
}

struct mp__spin mp__spin_begin(void)
{
	unsigned n = several_cpus() ? budget : 0;

	if (n == BUDGET_MIN && waits % TRY_AGAIN == 0)
		n = BUDGET_MAX;
	return (struct mp__spin){.left = n, .budget = n};
}

void mp__spin_end(const struct mp__spin *spin, bool rewarded)
{
	unsigned used = spin->budget - spin->left;

	if (spin->budget == 0)
		return;
	if (!rewarded) {
		budget = budget / 2 > BUDGET_MIN ? budget / 2 : BUDGET_MIN;
	} else if (used > 0) { /* it did not come at once: some more may be needed */
		unsigned more = used > budget ? used : budget;
		budget = more * 2 < BUDGET_MAX ? more * 2 : BUDGET_MAX;
	}
}
