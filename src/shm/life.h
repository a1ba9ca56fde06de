/* SPDX-License-Identifier: MIT */
/*
 * shm/life.h - that a process lives, for those who are in another PID namespace.
 *
 * A stamp (base/stamp.h) says there whose it is, but not whether that one lives: its number means
 * nothing. Key idea: a lock that only its death can end. The process locks one byte of the shared
 * file, far behind its end, whose offset is its stamp; anybody who has the file can ask whether
 * somebody has that lock, in whichever namespace.
 *
 * Which kind of lock? That of fcntl(2) goes as soon as the process closes any descriptor of the file.
 * That of an open file (F_OFD_SETLK) is shared with forked children, who would keep it after the
 * death of their parent. But an open file lives for as long as something refers to it, and a mapping
 * does. So: the file is opened once more, locked, mapped with MADV_DONTFORK, and the descriptor closed.
 * What is left of it is the mapping, which no child inherits, and which goes with the process or the
 * program it runs, however that ends.
 *
 * Without /proc, or without the right to open the file again, there is no such lock: the stamp is not
 * marked then, and what cannot be said counts as alive.
 */
#ifndef MP_SHM_LIFE_H
#define MP_SHM_LIFE_H

#include "base/origin.h"
#include "base/stamp.h"

#include <stdbool.h>

/* In a stamp: there is a lock on the file where it stands. */
#define MP__LIFE_SHOWN MP__STAMP_MARK0

/* Private to a process; zeroed: not begun. */
struct mp__life {
	mp__origin origin; /* of the process that began it */
	mp__stamp stamp;   /* of that process, marked if it is shown */
	void *page;        /* or NULL */
};

mp__stamp mp__life_begin(struct mp__life *life, int fd);

/* This process's stamp, for words in this file. One thread at a time. */
static inline mp__stamp mp__life_stamp(struct mp__life *life, int fd)
{
	return __builtin_expect(life->origin == mp__origin_here(), 1) ? life->stamp
								      : mp__life_begin(life, fd);
}

/* It uses the file no more; others take it for dead who are elsewhere. */
void mp__life_end(struct mp__life *life);

/* Is this the stamp of this process? */
static inline bool mp__life_is_own(mp__stamp stamp)
{
	return (stamp & ~MP__STAMP_MARKS) == mp__stamp_process();
}

/* Has the process of a stamp that stands in this file ended? Takes some microseconds. */
bool mp__life_ended(int fd, mp__stamp stamp);

/* Can that be said from here? */
bool mp__life_can_be_seen(mp__stamp stamp);

#endif
