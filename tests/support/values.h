/* SPDX-License-Identifier: MIT */
/*
 * tests/support/values.h - values for tests: random ones from a seed, and one with every kind.
 */
#ifndef TESTS_VALUES_H
#define TESTS_VALUES_H

#include "obj/arena.h"

#include <mp/obj.h>

/* splitmix64: the next number of the sequence that *state names. */
uint64_t t_random(uint64_t *state);

/* Any value without handles, up to `depth` levels deep; it borrows from the arena. */
mp_obj t_random_value(uint64_t *state, struct mp__arena *arena, unsigned int depth);

/* The same value with the pairs of all dicts in another order, and some pairs hidden by later ones. */
mp_obj t_shuffled_value(uint64_t *state, struct mp__arena *arena, const mp_obj *value);

/* Something of every kind except handles, nested; static. */
mp_obj t_rich_value(void);

#endif
