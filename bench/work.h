/* SPDX-License-Identifier: MIT */
/* bench/work.h - an iteration of a loop that takes about a microsecond and cannot be vectorised. */
#ifndef BENCH_WORK_H
#define BENCH_WORK_H

#include <stdint.h>

#define BENCH_LOOP 20000

static inline uint64_t bench_work(uint64_t seed)
{
	for (int i = 0; i < 700; i++)
		seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return seed;
}

#endif
