/* SPDX-License-Identifier: MIT */
/*
 * process/process.h - the handle of a child, and how its end is found out.
 *
 * The handle holds a pidfd, never a bare pid, so that waiting and signalling cannot hit a stranger.
 * Exactly one thread collects the exit status: the one that moves the state from RUNNING to
 * REAPING; the others sleep on that word. A status that somebody else collected (a waitpid(-1) in
 * the program) is "ended, status unknown".
 *
 *	NEW -> STARTING -> RUNNING <-> REAPING -> DONE
 *	 ^________|
 */
#ifndef MP_PROCESS_PROCESS_H
#define MP_PROCESS_PROCESS_H

#include "base/deadline.h"
#include "base/origin.h"
#include "process/setting.h"

#include <mp/process.h>

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/types.h>

enum mp__process_state {
	MP__PROCESS_NEW,
	MP__PROCESS_STARTING,
	MP__PROCESS_RUNNING,
	MP__PROCESS_REAPING,
	MP__PROCESS_DONE,
};

struct mp__server;

struct mp_process {
	/* Never change after mp_process_new(). */
	mp__origin origin;
	mp_target *target;
	char *name;
	char *lineage; /* see process/kin.h */
	bool unlisted; /* no child of the user's: it is in no list of children */
	int method;    /* enum mp_start_method, not DEFAULT once it is STARTING */
	bool daemon;
	int start_timeout_ms;
	struct mp__setting setting; /* descriptors in it go with the arguments */

	/* enum mp__process_state; a futex word. */
	_Atomic uint32_t state;

	/* Threads that sleep on it while another one reaps. */
	_Atomic uint32_t sleepers;

	/* One is the user's; see process/children.h, whose the two links are. */
	_Atomic unsigned refs;
	struct mp_process *next;
	struct mp_process *previous;

	/* Written while STARTING, by the thread that starts; fixed from RUNNING on. */
	mp_obj args; /* nil again once it runs: descriptors in it would stay open here */
	pid_t pid;
	pthread_t thread; /* MP_START_THREAD only */
	int pidfd;        /* or, if the child was reaped at once, a pipe without a writer */
	int report;       /* forkserver: where the exit status comes from; else -1 */
	struct mp__server *server; /* forkserver: who will send it; else NULL */

	/* Written while REAPING, valid from DONE on. */
	bool server_is_slow; /* forkserver: it has been waited for already */
	int left;            /* forkserver: the exit code that the child announced, or -1 */
	bool code_known;
	bool usage_known;
	int code;
	struct rusage usage; /* of a thread: written by itself, before it is joined */
};

/* What a method must find out about the child it started. */
struct mp__started {
	pid_t pid;
	int pidfd;
	int report;
	struct mp__server *server;
};

/* One start method each: 0, or an error and no process is left. The deadline is for what they wait for. */
int mp__start_fork(
	struct mp_process *process, mp__deadline deadline, struct mp__started *ret_started);
int mp__start_spawn(
	struct mp_process *process, mp__deadline deadline, struct mp__started *ret_started);
int mp__start_forkserver(
	struct mp_process *process, mp__deadline deadline, struct mp__started *ret_started);
int mp__start_thread(struct mp_process *process, struct mp__started *ret_started);

/*
 * Wait until it has ended and its status is collected: 0, -ETIMEDOUT, or what poll says. Only from
 * RUNNING on.
 */
int mp__process_wait(struct mp_process *process, mp__deadline deadline);

/* The exit code of a wait status: n, or -N for signal N. */
int mp__exit_code_of(int wait_status);

/*
 * Collect a child of this process: its wait status and what it used. 0, -EAGAIN not yet, -ECHILD
 * no such child: it never was one, or somebody else was quicker.
 */
int mp__reap(int pidfd, int *ret_wait_status, struct rusage *ret_usage);
/* The same of whichever child has ended. */
int mp__reap_any(pid_t *ret_pid, int *ret_wait_status, struct rusage *ret_usage);

void mp__process_ref(struct mp_process *process);
void mp__process_unref(struct mp_process *process);

/*
 * For children that are part of another object, such as a pool's workers: the user does not see them
 * among the children. Before the start.
 */
void mp__process_unlist(struct mp_process *process);

/* Is this the handle through which this process itself was made (in its forked memory)? */
bool mp__process_is_self(const struct mp_process *process);

#endif
