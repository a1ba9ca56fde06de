/* SPDX-License-Identifier: MIT */
/*
 * process/kin.h - who this process is among those that libmp started: its name, and its parent.
 *
 * The parent is the process that called mp_process_start(), also under forkserver, where the kernel's
 * parent is another. It is watched by pidfd. A child by fork or spawn opens that when it is first asked
 * for, and no reused pid can fool it: as long as getppid(2) gives the number that was told, that very
 * process is there. The fork server does the same once, and its children inherit the descriptor.
 */
#ifndef MP_PROCESS_KIN_H
#define MP_PROCESS_KIN_H

#include <stdbool.h>
#include <sys/types.h>

struct mp__kin {
	const char *name;
	const char *lineage;     /* "1:2", the second child of the first child; "" nobody's child */
	const char *parent_name; /* NULL: not started by libmp */
	pid_t parent_pid;
	int parent_fd; /* a pidfd of it, or -1: it is the kernel's parent of this process too */
	bool daemon;
};

/* In a child, before its target: be this. The strings are borrowed for good. */
void mp__kin_become(const struct mp__kin *kin);

/* What this process is. */
const struct mp__kin *mp__kin_here(void);

/* The lineage of the next child, for free(); NULL no memory. */
char *mp__kin_child_lineage(void);

/*
 * In the fork server: its children are its owner's. -EOWNERDEAD the owner, whose pid this is, is not
 * the parent of this process (any more).
 */
int mp__kin_adopt(pid_t owner);

/* A descriptor at its end, in place of the pidfd of a process that is gone. */
int mp__kin_ended_fd(void);

#endif
