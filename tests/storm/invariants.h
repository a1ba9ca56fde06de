/* SPDX-License-Identifier: MIT */
/*
 * tests/storm/invariants.h - is there anything left of a round?
 *
 * Counted before and after: descriptors and mappings of shared memory of the storm itself, which has
 * had a handle of everything; names in /dev/shm, of its own where that could be arranged; files and
 * sockets with names; and processes, all of which come back to it when their parents die.
 */
#ifndef TESTS_STORM_INVARIANTS_H
#define TESTS_STORM_INVARIANTS_H

/* Once: become the one to whom orphans come; a /dev/shm of its own, if that is allowed. */
void storm_watch_leaks(void);
/* Before a round. */
void storm_count_before(void);
/* After it: whatever there is more now is a finding. */
void storm_check_leaks(void);

#endif
