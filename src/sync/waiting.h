/* SPDX-License-Identifier: MIT */
/*
 * sync/waiting.h - what this thread waits for, as long as it does.
 *
 * Each slow path of each object of sync keeps one record here, so that a person can ask who waits
 * for whom: `mpctl locks` reads the board that the records stand on (sync/board_layout.h). A thread
 * waits for one thing at a time; a wait inside a wait (a condition that takes its lock back) replaces
 * the record and ends with it. Nothing is done on fast paths.
 *
 * begin: `head` is the object; `owner` is who has it as far as the waiter knows, 0 unknown or many.
 * update: it has another owner now. end: the wait is over, however it went, or interrupted by a look
 * around: then `again` of the next begin keeps the time since when. All keep errno; without memory or
 * a descriptor for a board the wait is just not shown.
 */
#ifndef MP_SYNC_WAITING_H
#define MP_SYNC_WAITING_H

#include "base/stamp.h"
#include "sync/board_layout.h"

#include <stdbool.h>

void mp__waiting_begin(const struct mp__sync_head *head, mp__stamp owner);
void mp__waiting_update(mp__stamp owner);
void mp__waiting_end(void);

/* For objects that have no such head: `kind` is one of the magics, `name` may be NULL. */
void mp__waiting_begin_for(const void *object, uint32_t kind, const char *name, bool again);

/* The board of this process and its relatives by fork, made if there is none; NULL. */
struct mp__board *mp__waiting_board(void);

#endif
