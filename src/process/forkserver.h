/* SPDX-License-Identifier: MIT */
/*
 * process/forkserver.h - this process's fork server, seen from here.
 *
 * The server is a fresh execution of this program that never makes a thread and touches little
 * memory; it is launched at the first use, and again when it has died. It belongs to this process:
 * a forked child launches its own. process/server.h is its inside.
 */
#ifndef MP_PROCESS_FORKSERVER_H
#define MP_PROCESS_FORKSERVER_H

struct mp_process;
struct mp__server;

/*
 * The process has ended; how? Only in the state REAPING. 0 the status is there, or lost for good;
 * -EAGAIN the server has not told yet, but may. Takes a second at most.
 */
int mp__forkserver_collect(struct mp_process *process);

/* Drop a handle's hold on its server; NULL is allowed. */
void mp__forkserver_unref(struct mp__server *server);

/*
 * End the server of this process, if there is one, and wait for that. Children that are not daemonic
 * go on. For programs that want to end with nothing left behind, and for tests.
 */
void mp__forkserver_stop(void);

#endif
