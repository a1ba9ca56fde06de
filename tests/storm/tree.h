/* SPDX-License-Identifier: MIT */
/*
 * tests/storm/tree.h - the processes of a round: who runs what, who has ended, who comes instead.
 *
 * Each place of the tree has a role. The process in it may come from any start method, changes with
 * each death, and tells nothing but what stands in shared memory. What it starts itself (children,
 * workers of a pool, a daemon) are victims too, but only their parents know what they are for.
 */
#ifndef TESTS_STORM_TREE_H
#define TESTS_STORM_TREE_H

#include "tests/storm/storm.h"

#include <sys/types.h>

/* Take part: all for NULL. False: no such capability. */
bool storm_choose(const char *name);
/* Those that pass points of this prefix only, e.g. "queue.put.copied"; false: none of them. */
bool storm_choose_for_point(const char *point);
void storm_print_capabilities(void);

/* In a process of the tree: what those that it starts find the memory of a capability by. */
mp_obj storm_tree_memory(void);
void *storm_tree_find(const mp_obj *memory, const struct storm_capability *capability);

/* Make the objects, start everybody. */
void storm_tree_begin(uint64_t seed);
/*
 * Wait up to so long for an end, then put others in the places of all who ended. How many.
 */
int storm_tree_tend(long wait_ns);
/* Ask all to leave, wait for that, check and drop the objects. */
void storm_tree_end(void);
/* Drop the board, which outlives the objects: what was found stands there. */
void storm_tree_forget(void);
/* This one must live, as the daemon that serves dicts to all; 0: nobody. */
void storm_spare(pid_t pid);
bool storm_spares(pid_t pid);

#endif
