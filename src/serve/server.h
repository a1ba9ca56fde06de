/* SPDX-License-Identifier: MIT */
/*
 * serve/server.h - the daemon put together: loop, signals, ways in, sessions.
 *
 * There are two ways in. A named socket, for whoever may open it; made here, or by whoever started us
 * and handed over. Or, for a private daemon, the
 * connector: a SOCK_SEQPACKET socket over which whoever has its other end sends sockets, and each
 * of these is a connection; so a private daemon has no name that anybody could find. A private daemon
 * ends when its owner's pidfd says that the owner has ended, or when nobody can reach it any more.
 */
#ifndef SERVE_SERVER_H
#define SERVE_SERVER_H

#include "serve/limits.h"
#include "serve/session.h"

#include <stdbool.h>
#include <sys/socket.h>
#include <sys/types.h>

/* What a program adds to its server; each may be NULL. They run in the loop, and nothing waits there. */
struct serve_hooks {
	/* May whoever is behind this socket be served? NULL: our own user and root. */
	bool (*admits)(int fd, const struct ucred *peer, void *data);
	/* Everything is there but the first connection: further sources may join. -errno ends it. */
	int (*started)(struct serve_loop *loop, struct serve_context *context, void *data);
	/* SIGHUP: the limits may be changed. */
	void (*reload)(struct serve_limits *limits, void *data);
	/* Nothing more is accepted. */
	void (*draining)(void *data);
	/* The loop does not turn any more: what has joined it leaves. */
	void (*ended)(void *data);
	void *data;
};

struct serve_config {
	const struct serve_service *service;
	const char *listen_path; /* or NULL */
	mode_t listen_mode;
	gid_t listen_group; /* or SERVE_GROUP_NONE */
	int listen_fd;      /* or -1: a listening socket that somebody else has made */
	int connector_fd;   /* or -1; these are taken over */
	int owner_fd;       /* or -1 */
	int ready_fd;       /* or -1 */
	int stop_fd;        /* or -1: it ends when this can be read, and no signal is touched */
	const struct mp__authkey *key; /* or NULL; may change with a reload */
	struct serve_limits limits;
	struct serve_hooks hooks;
};

/* Serve until a signal or the end of the owner: 0. -errno: it could not start or go on. */
int serve_server_run(const struct serve_config *config);

#endif
