/* SPDX-License-Identifier: MIT */
/*
 * manager/address.h - where a managerd is, and how to get a connected socket from there.
 *
 * Either a path, with a key or without, or a connector: the descriptor over which a private daemon
 * takes sockets.
 */
#ifndef MP_MANAGER_ADDRESS_H
#define MP_MANAGER_ADDRESS_H

#include "base/deadline.h"
#include "base/authkey.h"

#include <sys/un.h>

struct mp__address {
	int connector; /* -1: `at` counts */
	struct sockaddr_un at;
	struct mp__authkey key; /* to be proved there; of size 0: none */
};

/* "unix:/path" or "/path". -EINVAL, -ENAMETOOLONG. */
int mp__address_parse(const char *text, struct mp__address *ret_address);

/* A connected stream socket, blocking, close-on-exec. What connect(2) says; -EPIPE; -ETIMEDOUT. */
int mp__address_connect(const struct mp__address *address, mp__deadline deadline);

#endif
