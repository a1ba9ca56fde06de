/* SPDX-License-Identifier: MIT */
/*
 * process/await.h - wait until a child has reached its target; if it is one of this very process, see
 * to it that nothing of it stays otherwise.
 */
#ifndef MP_PROCESS_AWAIT_H
#define MP_PROCESS_AWAIT_H

#include "base/deadline.h"

/*
 * Until there is a report (1), or the process behind the pidfd has ended (0). -ETIMEDOUT, and the
 * sentence for a start.
 */
int mp__await_report(int report, int pidfd, mp__deadline deadline);

/*
 * Wait for its READY. Otherwise the child is killed and reaped: what it said, -ETIMEDOUT, or
 * -EOWNERDEAD and how it ended.
 */
int mp__await_ready(int report, int pidfd, mp__deadline deadline);

#endif
