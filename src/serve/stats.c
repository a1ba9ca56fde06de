/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "serve/stats.h"

void serve_count_method(struct serve_stats *stats, const struct serve_class *class,
	const struct serve_method *method)
{
	/* Methods stand in tables: neighbours differ in some middle bits. */
	size_t at = (size_t)((uintptr_t)method >> 3) * 0x9e3779b97f4a7c15u >> 32;

	for (size_t i = 0; i < SERVE_STATS_METHODS; i++, at++) {
		struct serve_method_count *count = &stats->methods[at & (SERVE_STATS_METHODS - 1)];
		if (!count->class) {
			count->class = class;
			count->method = method;
		}
		if (count->method == method && count->class == class) {
			count->n++;
			return;
		}
	}
}

void serve_count_turn(struct serve_stats *stats, int64_t ns)
{
	int64_t limit = SERVE_STATS_TURN_FIRST_NS;
	size_t i = 0;

	for (; i < SERVE_STATS_TURNS - 1 && ns > limit; i++)
		limit *= 10;
	stats->turns[i]++;
	stats->turn_ns += (uint64_t)ns;
}
