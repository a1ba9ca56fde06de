/* SPDX-License-Identifier: MIT */
/*
 * process/await.h - wait until a child has reached its target; if it is one of this very process, see
 * to it that nothing of it stays otherwise.
 */
#ifndef MP_PROCESS_AWAIT_H
#define MP_PROCESS_AWAIT_H

#include <stdbool.h>

/* Until there is a report, or the process behind the pidfd has ended: whether there is one. */
bool mp__await_report(int report, int pidfd);

/*
 * Wait for its READY. Otherwise the child is killed and reaped: what it said, or -EOWNERDEAD and how
 * it ended.
 */
int mp__await_ready(int report, int pidfd);

#endif
