/* SPDX-License-Identifier: MIT */
/*
 * sync/waiting.h - what this thread waits for, as long as it does.
 *
 * Each slow path of each object of sync keeps one record here, so that a person can ask who waits
 * for whom. A thread waits for one thing at a time; a wait inside a wait (a condition that takes its
 * lock back) replaces the record and ends with it. Nothing is done on fast paths.
 *
 * begin: `head` is the object; `owner` is who has it as far as the waiter knows, 0 unknown or many.
 * update: it has another owner now. end: the wait is over, however it went.
 */
#ifndef MP_SYNC_WAITING_H
#define MP_SYNC_WAITING_H

#include "base/stamp.h"
#include "sync/head.h"

void mp__waiting_begin(const struct mp__sync_head *head, mp__stamp owner);
void mp__waiting_update(mp__stamp owner);
void mp__waiting_end(void);

/* The record of the calling thread. */
struct mp__waiting {
	const struct mp__sync_head *head; /* NULL: it does not wait */
	mp__stamp owner;
	int64_t since_ns;
};
const struct mp__waiting *mp__waiting_self(void);

#endif
