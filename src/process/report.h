/* SPDX-License-Identifier: MIT */
/*
 * process/report.h - what a child by spawn or forkserver tells the process that started it.
 *
 * One SOCK_SEQPACKET pair per child. To the child it brings all that it starts from
 * (process/startdata.h). The other way messages are queued in the kernel, so that what was said is
 * read even after everybody who said it is dead:
 *
 *	READY	from the child, with its pidfd: arguments decoded, the target runs next
 *	FAILED	from the child or the fork server: it will not run, and why
 *	LEFT	from the child: the exit code it is about to leave with
 *	EXIT	from the fork server: the wait status, and what it used
 *
 * End of file before READY or FAILED: everybody died.
 */
#ifndef MP_PROCESS_REPORT_H
#define MP_PROCESS_REPORT_H

#include "base/deadline.h"
#include "base/error.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/types.h>

enum mp__report_kind {
	MP__REPORT_READY = 1,
	MP__REPORT_FAILED,
	MP__REPORT_LEFT,
	MP__REPORT_EXIT,
};

struct mp__report {
	uint32_t kind;
	int32_t value; /* READY: pid; FAILED: -errno; LEFT: exit code; EXIT: wait status */
	union {
		char text[MP__DETAIL_SIZE]; /* FAILED: the sentence */
		struct rusage usage;        /* EXIT */
	};
};

/* A pair: [0] for the one who starts, [1] for the child. Reading and writing never wait. */
int mp__report_pair(int *ret_ends);

/*
 * The next message: 0, -EAGAIN none yet, -EPIPE end of file, -EBADMSG. *ret_pidfd is the descriptor
 * that came with it, or -1.
 */
int mp__report_next(int fd, struct mp__report *ret_report, int *ret_pidfd);

/*
 * The child's end. Between start and end of the target the user's code may have closed it and used
 * the number for something else: it is compared before the last word is written.
 */
struct mp__report_end {
	int fd; /* -1 none */
	uint64_t device;
	uint64_t inode;
};

struct mp__report_end mp__report_end_of(int fd);
int mp__report_ready(const struct mp__report_end *end);
void mp__report_failed(const struct mp__report_end *end, int result);
void mp__report_left(const struct mp__report_end *end, int code);

/* Fork server: it has ended so. */
void mp__report_exit(int fd, int wait_status, const struct rusage *usage);

#endif
