/* SPDX-License-Identifier: MIT */
/*
 * process/server.h - the fork server, seen from inside.
 *
 * A loop on one socket (its owner's requests) and the pidfds of its children. A request is a message
 * with descriptors: the child's start data, its report socket and what its arguments need. The
 * server forks, and the child reports for itself; when it has ended, the server adds how. When the
 * owner is gone, its daemonic children are killed and the server ends.
 */
#ifndef MP_PROCESS_SERVER_H
#define MP_PROCESS_SERVER_H

#include <stddef.h>
#include <stdint.h>

/* The request's bytes; the rest are descriptors. */
struct mp__server_request {
	uint32_t magic;
	uint32_t daemon; /* 0 or 1: killed when the server's owner is gone */
};
#define MP__SERVER_MAGIC UINT32_C(0x4d504653) /* "MPFS" */

/*
 * Be the server on the socket fds[0]; start data that may follow name the function to preload. What
 * goes wrong with that is the answer to the first request, and the server's end. Returns only if it
 * is no socket: -EBADMSG.
 */
int mp__server_run(int *fds, size_t n_fds);

#endif
