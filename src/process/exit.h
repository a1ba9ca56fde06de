/* SPDX-License-Identifier: MIT */
/*
 * process/exit.h - what exit(3) does for the children, in a program that called mp_begin().
 *
 * Daemonic children are killed, the others waited for, as mp_exit_wait() says. This happens in the
 * process that armed it alone: what forked from it leaves without it.
 */
#ifndef MP_PROCESS_EXIT_H
#define MP_PROCESS_EXIT_H

/* Once. -ENOMEM. */
int mp__exit_arm(void);

#endif
