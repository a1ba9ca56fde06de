/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "managerd/access.h"

#include "serve/listener.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

/* Few users are in more groups than that; who is, costs an allocation. */
#define GROUPS_ON_STACK 64

static bool contains(const gid_t *groups, size_t n, gid_t group)
{
	for (size_t i = 0; i < n; i++) {
		if (groups[i] == group)
			return true;
	}
	return false;
}

/* Supplementary groups, as they were when the peer connected. */
static bool is_member(int fd, gid_t group)
{
	gid_t few[GROUPS_ON_STACK];
	socklen_t size = sizeof(few);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, few, &size) == 0)
		return contains(few, size / sizeof(gid_t), group);
	if (errno != ERANGE)
		return false;
	gid_t *many = malloc(size); /* the kernel has said how many */
	bool found = many && getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, many, &size) == 0 &&
		     contains(many, size / sizeof(gid_t), group);
	free(many);
	return found;
}

bool md_access_admits(int fd, const struct ucred *peer, gid_t group)
{
	if (peer->uid == 0 || peer->uid == geteuid())
		return true;
	return group != SERVE_GROUP_NONE && (peer->gid == group || is_member(fd, group));
}
