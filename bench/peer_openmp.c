/* SPDX-License-Identifier: MIT */
/* The same loop as mp_pool_for() runs, by two threads of OpenMP. */
#include <config.h>

#include "bench/bench.h"
#include "bench/work.h"

static uint64_t cells[BENCH_LOOP];

static int loop(void *unused)
{
	(void)unused;
#pragma omp parallel for schedule(dynamic, 312) num_threads(2)
	for (int i = 0; i < BENCH_LOOP; i++)
		cells[i] = bench_work(cells[i]);
	return 0;
}

static int run(struct bench *b, double *ret_value)
{
	(void)b;
	return bench_rate(loop, NULL, BENCH_LOOP, ret_value);
}

int main(int argc, char **argv)
{
	static const struct bench benches[] = {
		{"parallel_for", "openmp", NULL, run, NULL, 0, NULL},
		{NULL, NULL, NULL, NULL, NULL, 0, NULL},
	};

	return bench_peer_main(argc, argv, benches);
}
