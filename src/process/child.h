/* SPDX-License-Identifier: MIT */
/*
 * process/child.h - what happens in the child, the same under every start method.
 *
 * Name for ps, environment, /dev/null, directory, tie to the parent's life; then the target; then
 * stdio is flushed and the process left by _exit(2): exit handlers that the parent registered are not the
 * child's to run.
 */
#ifndef MP_PROCESS_CHILD_H
#define MP_PROCESS_CHILD_H

#include "process/kin.h"

#include <mp/process.h>

#include <signal.h>

struct mp__child {
	struct mp__kin kin; /* who it is */
	mp_target *target;
	mp_obj args;
	int life;         /* read end for mp__life_arm(), or -1 */
	int death;        /* which signal that brings */
	unsigned nulls;   /* bit n: /dev/null becomes descriptor n */
	int null;         /* /dev/null if it is open already, above 2; or -1 */
	int directory;    /* to start in, closed then; or -1 */
	char **env;       /* the environment, or NULL: as it is */
	int report;       /* where "ready" and the exit code go, or -1 */
	sigset_t sigmask; /* what the target runs with */
};

/* It cannot be run: this result, with its sentence, is what the starter hears. */
_Noreturn void mp__child_failed(int report, int result);

/* Does not return. */
_Noreturn void mp__child_run(const struct mp__child *child);

/*
 * Write out what stdio holds, so that nothing is written twice after a fork, and nothing lost at an
 * end. Not fflush(NULL), which locks every stream: a thread that waits for input keeps its own
 * locked, and we would wait with it. Streams that were read from last are left out.
 */
void mp__stdio_flush(void);

#endif
