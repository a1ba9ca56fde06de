/* SPDX-License-Identifier: MIT */
/*
 * process/exitinfo.h - how a process ended that was somebody else's child: Linux 6.15 remembers it
 * as long as a pidfd is open.
 */
#ifndef MP_PROCESS_EXITINFO_H
#define MP_PROCESS_EXITINFO_H

/* Its wait status: 0, -EAGAIN it was not reaped yet, -ENOTSUP this kernel does not remember. */
int mp__exit_info(int pidfd, int *ret_wait_status);

#endif
