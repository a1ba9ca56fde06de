/* SPDX-License-Identifier: MIT */
/*
 * process/begin.h - a fresh execution of this program that is a child, and knows it.
 *
 * Such an execution finds MP_START in its environment: what it is, and how many descriptors wait at
 * number 3 and up. mp_begin() looks there, removes it, and takes the execution over.
 */
#ifndef MP_PROCESS_BEGIN_H
#define MP_PROCESS_BEGIN_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

enum mp__begin_role {
	MP__BEGIN_CHILD = 1,  /* run one target and leave */
	MP__BEGIN_SERVER = 2, /* be the fork server */
};

/*
 * Execute this program again in that role, with these one or two descriptors and this environment (NULL: that of
 * this process). -ENOTCONN it did not call
 * mp_begin(); errors of mp__launch().
 */
int mp__begin_again(enum mp__begin_role role, const int *fds, size_t n_fds, char *const *env,
	pid_t *ret_pid, int *ret_pidfd);

#endif
