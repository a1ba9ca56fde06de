/* SPDX-License-Identifier: MIT */
/* tests/storm/hands.h - a process of two threads that takes steps with everything that has steps. */
#ifndef TESTS_STORM_HANDS_H
#define TESTS_STORM_HANDS_H

#include "tests/storm/storm.h"

/* Until the storm is over. `memory` of those that do not take part is NULL. */
void storm_hands(const struct storm_capability *const *capabilities, char *const *memory, size_t n,
	uint64_t random);

#endif
