/* SPDX-License-Identifier: MIT */
/*
 * serve/peer.h - the process at the other end of a connection, beyond its socket.
 *
 * A connection belongs to the process that made it. When that dies, its forked children may still
 * hold the socket open; what it held has to pass on all the same. So the process itself is watched,
 * by a pidfd, as soon as its connection holds or waits for something.
 */
#ifndef SERVE_PEER_H
#define SERVE_PEER_H

#include <stdint.h>
#include <sys/types.h>

/* Since the start of the system, the clock of process start times. */
int64_t serve_peer_clock_ns(void);

/*
 * A pidfd of the process that connected `socket`: `pid` by its credentials, at `met_ns` of
 * serve_peer_clock_ns(). -ESRCH: it has ended. Other errors: it cannot be watched.
 */
int serve_peer_open(int socket, pid_t pid, int64_t met_ns);
/* The same as it is done where the kernel does not keep the peer's process itself (before 6.5). */
int serve_peer_open_by_pid(pid_t pid, int64_t met_ns);

#endif
