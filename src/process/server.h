/* SPDX-License-Identifier: MIT */
/*
 * process/server.h - the fork server, seen from inside.
 *
 * A loop on one socket (its owner's requests) and SIGCHLD. A request is a message with one
 * descriptor, the child's report socket, in which everything else waits for the child. The
 * server forks, and the child reports for itself; when it has ended, the server adds how. When the
 * owner is gone, its daemonic children are killed and the server ends.
 */
#ifndef MP_PROCESS_SERVER_H
#define MP_PROCESS_SERVER_H

#include <stdint.h>

/*
 * The request: start, when the child's end of the report socket comes with it; without, the child that
 * was asked for under this id is to be killed, which its owner gave up.
 */
struct mp__server_request {
	uint32_t magic;
	uint32_t daemon; /* 0 or 1: killed when the server's owner is gone */
	uint64_t id;
};
#define MP__SERVER_MAGIC UINT32_C(0x4d504654) /* "MPFT" */

/*
 * Be the server on this socket. Start data that may wait in the other one (or -1) name the function to
 * preload; what goes wrong with that is the answer to the first request, and the server's end.
 * Returns only if it is no socket: -EBADMSG.
 */
int mp__server_run(int socket, int preload_report);

#endif
