/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "tests/storm/report.h"

#include <stdio.h>

struct storm_totals storm_totals;

void storm_report_round(const char *replay)
{
	bool bad = false;

	storm_totals.rounds++;
	storm_totals.timers += storm_board->timers;
	for (int i = 0; i < STORM_FINDINGS; i++) {
		storm_totals.found[i] += storm_board->found[i];
		bad = bad || storm_board->found[i] > 0;
	}
	if (!bad)
		return;
	printf("# %s\n# again: %s\n", storm_board->failure, replay);
	(void)fflush(stdout);
}

void storm_report_point(const char *point, const char *action, int times)
{
	storm_totals.points += times > 0;
	storm_totals.not_reached += times == 0;
	if (times == 0)
		printf("# nobody came to %s\n", point);
	(void)action;
}

int storm_report_end(void)
{
	const struct storm_totals *t = &storm_totals;
	bool good = true;

	for (int i = 0; i < STORM_FINDINGS; i++)
		good = good && t->found[i] == 0;
	printf("# %llu rounds; %llu stopped and continued; %llu of the kills at %llu points, %llu "
	       "not "
	       "reached; %llu more ends by timers\n",
		(unsigned long long)t->rounds, (unsigned long long)t->stops,
		(unsigned long long)t->at_points, (unsigned long long)t->points,
		(unsigned long long)t->not_reached, (unsigned long long)t->timers);
	printf("kills %llu hung %u lost %u duplicated %u leaked %u\n", (unsigned long long)t->kills,
		t->found[STORM_HUNG], t->found[STORM_LOST], t->found[STORM_DUPLICATED],
		t->found[STORM_LEAKED]);
	return good ? 0 : 1;
}
