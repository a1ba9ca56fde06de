/* SPDX-License-Identifier: MIT */
/*
 * process/startdata.h - all that a child by spawn or forkserver starts from.
 *
 * It waits in the report socket, complete before the child exists, so that nobody ever waits for a
 * reader, and the child's end of that socket is all that has to be handed over. The first message is
 *
 *	0      4      8      12               12+size
 *	+------+------+------+----------------+----------------------------+
 *	| magic| size | fds  | mp.ProcessStart| arguments, one mp.Value    |
 *	+------+------+------+----------------+----------------------------+
 *
 * (numbers little-endian), or of something large the first 12 bytes alone, and the whole is in a sealed
 * memfd, the first of `fds` descriptors. They come with this message, and with more of one byte if
 * there are more than the kernel lets travel in one: memfd if there is one; if the child is to hear of
 * its parent's end the read end of the life pipe; if one was named the directory; then those that become
 * certain numbers, and those that handles in the arguments need.
 *
 * What is not taken out of the socket goes with it.
 */
#ifndef MP_PROCESS_STARTDATA_H
#define MP_PROCESS_STARTDATA_H

#include <stdbool.h>
#include <stdint.h>

struct mp_process;

struct mp__start_head {
	uint32_t magic;
	uint32_t size; /* of the mp.ProcessStart that follows */
	uint32_t n_fds;
};
#define MP__START_MAGIC UINT32_C(0x53504d02) /* 2, "MPS" */

/* More than that is written to a memfd; less is sooner copied than mapped. */
#define MP__START_MESSAGE_MAX 2048

/* Of mp.ProcessStart: more than a path, a name, an environment and some numbers come to. */
#define MP__START_SIZE_MAX (16 << 20)

/* The two ends of the report socket, for one start. */
struct mp__startdata {
	int child; /* the child's, to be handed over */
	int report;
};

/*
 * Gather what this process needs in a child. `there`: it begins in this process's current directory as it
 * is. Errors of mp__target_describe(), of encoding its arguments, of opening the directory, of making
 * descriptors; -EMSGSIZE more of them than fit into a socket, -ETOOMANYREFS more than this user may
 * have under way.
 */
int mp__startdata_make(struct mp_process *process, bool there, struct mp__startdata *ret_data);
/* Close what was not taken (-1). */
void mp__startdata_close(struct mp__startdata *data);

#endif
