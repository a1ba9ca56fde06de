/* SPDX-License-Identifier: MIT */
/*
 * process/life.h - children that hear of the end of their parent, however it ends: the daemonic
 * ones by SIGKILL.
 *
 * The parent holds the only write end of a pipe and never writes. Each such child has a read end for
 * which it asked the kernel to be sent a signal when something happens (O_ASYNC, F_SETSIG), and
 * the only thing that can happen is that the last write end goes: with the parent. No thread, no
 * handler, nothing that the child has to run; and unlike PR_SET_PDEATHSIG the end of the thread that
 * started the child changes nothing.
 */
#ifndef MP_PROCESS_LIFE_H
#define MP_PROCESS_LIFE_H

/*
 * Parent: a read end for one child, to be handed over and then closed here; -errno. The pipe exists
 * while such children do: mp__life_release() when the child has ended, or was not started.
 */
int mp__life_acquire(void);
void mp__life_release(void);

/* Child: get the signal when the parent of this read end is gone; at once if it is gone already. */
int mp__life_arm(int fd, int signal);

#endif
