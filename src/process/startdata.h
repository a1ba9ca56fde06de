/* SPDX-License-Identifier: MIT */
/*
 * process/startdata.h - all that a child by spawn or forkserver starts from.
 *
 * One sealed memfd, complete before the child exists, so that nobody ever waits for a reader:
 *
 *	0      4      8                8+size
 *	+------+------+----------------+----------------------------+
 *	| magic| size | mp.ProcessStart| arguments, one mp.Value    |
 *	+------+------+----------------+----------------------------+
 *
 * (numbers little-endian), and beside it descriptors: memfd, report socket; if the child is to hear of
 * its parent's end the read end of the life pipe; if one was named the directory; then those that
 * become certain numbers, and those that handles in the arguments need.
 */
#ifndef MP_PROCESS_STARTDATA_H
#define MP_PROCESS_STARTDATA_H

#include "base/fds.h"

#include <stddef.h>
#include <stdint.h>

struct mp_process;
struct mp__child;

enum {
	MP__START_MEMFD,
	MP__START_REPORT,
	MP__START_LIFE,
};

/*
 * More than that many are not handed over at the start itself: they wait, in messages, in the report
 * socket, from which the child takes them. So there is no limit but those of the kernel, and a child
 * that has no room for them is the one who says so, also under the fork server.
 */
#define MP__START_FDS_MAX 32

/* Descriptors for one start. The first `n_own` are to be closed by whoever made this. */
struct mp__startdata {
	int fds[MP__START_FDS_MAX];
	size_t n_fds;
	size_t n_own;
	int report; /* the starter's end of the report socket */
};

/*
 * Gather what this process needs in a child. Errors of mp__target_describe(), of encoding its
 * arguments, of opening the directory, of making descriptors; -EMSGSIZE more of them than fit into
 * a socket, -ETOOMANYREFS more than this user may have under way.
 */
int mp__startdata_make(struct mp_process *process, struct mp__startdata *ret_data);
/* Close the child's half. The starter's report end is closed too unless it was taken (-1). */
void mp__startdata_close(struct mp__startdata *data);

/*
 * Check it all and take it; of fds[] only the report socket remains open. 0, -EBADMSG, -ENOEXEC,
 * errors of decoding the arguments.
 */
int mp__startdata_take(
	int *fds, size_t n_fds, struct mp__child *ret_child, uint64_t *ret_blocked_signals);

/*
 * In the child: take it, run the target, leave. Failures are reported to the starter and end
 * the process. Returns only when the descriptors cannot be start data: -EBADMSG.
 */
int mp__child_start(int *fds, size_t n_fds);

#endif
