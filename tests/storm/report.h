/* SPDX-License-Identifier: MIT */
/* tests/storm/report.h - what the storm tells, and its last line. */
#ifndef TESTS_STORM_REPORT_H
#define TESTS_STORM_REPORT_H

#include "tests/storm/storm.h"

struct storm_totals {
	uint64_t kills; /* ends that the storm brought about, at random and at points */
	uint64_t stops; /* stopped for a while */
	uint64_t at_points;
	uint64_t timers; /* ends by timers in workers of pools; not among kills */
	uint64_t rounds;
	uint64_t points; /* that were reached */
	uint64_t not_reached;
	uint32_t found[STORM_FINDINGS];
};

extern struct storm_totals storm_totals;

/* Of a round: add what it has found, tell the first of it and how to see it again. */
void storm_report_round(const char *replay);
void storm_report_point(const char *point, const char *action, int times);
/* The last line; the exit status of the program. */
int storm_report_end(void);

#endif
