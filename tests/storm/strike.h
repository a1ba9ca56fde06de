/* SPDX-License-Identifier: MIT */
/*
 * tests/storm/strike.h - whom it hits, and how.
 *
 * Any process that descends from the storm may be hit, at any depth, whoever started it. A pid may
 * be used again between looking and hitting: therefore a pidfd is opened first, then it is looked
 * whether that process still descends from here, and the signal goes to the pidfd.
 */
#ifndef TESTS_STORM_STRIKE_H
#define TESTS_STORM_STRIKE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define STORM_PROCESSES_MAX 512

/* All who descend from this process and have not ended. How many. */
int storm_descendants(pid_t pids[STORM_PROCESSES_MAX]);
/* Hit one of them. True: it has been made to end. */
bool storm_strike(uint64_t random);
/* Kill those that stand still. How many. */
unsigned storm_end_stopped(void);

/*
 * Let whoever passes this test point act: kill, stop, exit; but not this process. It is done by the
 * environment, so that all that are started from now on are concerned.
 */
void storm_arm(const char *point, const char *action);
/* Has somebody acted? Then the next one may: true once for each. */
bool storm_fired(void);
void storm_disarm(void);

#endif
