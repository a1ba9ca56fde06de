/* SPDX-License-Identifier: MIT */
/*
 * serve/server.h - the daemon put together: loop, signals, ways in, sessions.
 *
 * There are two ways in. A named socket, for whoever may open it. Or, for a private daemon, the
 * connector: a SOCK_SEQPACKET socket over which whoever has its other end sends sockets, and each
 * of these is a connection; so a private daemon has no name that anybody could find. A private daemon
 * ends when its owner's pidfd says that the owner has ended, or when nobody can reach it any more.
 */
#ifndef SERVE_SERVER_H
#define SERVE_SERVER_H

#include "serve/limits.h"

struct serve_config {
	const char *listen_path; /* or NULL */
	int connector_fd;        /* or -1; these are taken over */
	int owner_fd;            /* or -1 */
	int ready_fd;            /* or -1 */
	struct serve_limits limits;
	/* SIGHUP: the limits may be changed. NULL: there is nothing to read again. */
	void (*reload)(struct serve_limits *limits, void *data);
	void *data;
};

/* Serve until a signal or the end of the owner: 0. -errno: it could not start or go on. */
int serve_server_run(const struct serve_config *config);

#endif
