/* SPDX-License-Identifier: MIT */
/*
 * process/await.h - wait until a child of this very process has reached its target, or see to it that
 * nothing of it stays.
 */
#ifndef MP_PROCESS_AWAIT_H
#define MP_PROCESS_AWAIT_H

/*
 * Wait for its READY. Otherwise the child is killed and reaped: what it said, or -EOWNERDEAD and how
 * it ended.
 */
int mp__await_ready(int report, int pidfd);

#endif
