/* SPDX-License-Identifier: MIT */
/*
 * managerd/access.h - who may use the daemon, by what the kernel says of the other end of a socket.
 *
 * Nothing that a client says about itself counts: user and groups are those that its process had when
 * it connected. The mode of the socket is a second fence, not this one.
 */
#ifndef MANAGERD_ACCESS_H
#define MANAGERD_ACCESS_H

#include <stdbool.h>
#include <sys/socket.h>
#include <sys/types.h>

/* Our own user, root, and members of the group, if it is not SERVE_GROUP_NONE. */
bool md_access_admits(int fd, const struct ucred *peer, gid_t group);

#endif
