/* SPDX-License-Identifier: MIT */
/*
 * base/connect.h - Unix sockets: how people write where they are, and connecting with a deadline.
 *
 * Such a connection is there at once, or not at all; but while the other side's backlog is full, connect(2)
 * waits, and poll(2) knows nothing of it. The kernel counts that wait like one for room to send, so that is
 * where it gets its end.
 */
#ifndef MP_BASE_CONNECT_H
#define MP_BASE_CONNECT_H

#include "base/deadline.h"

#include <sys/socket.h>
#include <sys/un.h>

/* "unix:/PATH" or "/PATH"; `whose` stands in the sentence of -EINVAL, -ENAMETOOLONG. */
int mp__unix_address(const char *text, const char *whose, struct sockaddr_un *ret_address);

/* The socket is one that blocks. 0; -ETIMEDOUT nobody accepts; -errno of connect(2), without a sentence. */
int mp__connect_unix(int fd, const struct sockaddr *to, socklen_t size, mp__deadline deadline);

#endif
