/* SPDX-License-Identifier: MIT */
/*
 * managerd/access.h - who may use the daemon, and which names, by what the kernel says of the peer.
 *
 * Nothing that a client says about itself counts: user and groups are those that its process had when
 * it connected. The mode of the socket is a second fence, not this one. Our own user and root may do
 * everything: they could do so anyway.
 *
 * Rules are read from top to bottom, and the first that is about this user and this name decides. If
 * there are rules and none decides, the answer is no.
 */
#ifndef MANAGERD_ACCESS_H
#define MANAGERD_ACCESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>

#define MD_RULES_MAX 128
#define MD_RULE_NAME_SIZE 160

enum md_whom { MD_EVERYBODY, MD_USER, MD_GROUP };

struct md_rule {
	uint32_t allow;
	uint32_t whom; /* enum md_whom */
	uint32_t id;
	uint32_t is_prefix;
	char name[MD_RULE_NAME_SIZE]; /* "" and a prefix: all */
};

/* All zero is none. Plain bytes, to be compared as such. */
struct md_rules {
	uint32_t n;
	struct md_rule rules[MD_RULES_MAX];
};

/* "WHO [NAME...]", a rule for each name. -EINVAL, -E2BIG, with its sentence; some may be there then. */
int md_rules_add(struct md_rules *rules, bool allow, const char *text);

/* A member of the group, if it is not SERVE_GROUP_NONE; or somebody to whom a rule allows anything. */
bool md_access_admits(int fd, const struct ucred *peer, gid_t group, const struct md_rules *rules);
/* May he open the object of that name? */
bool md_access_allows(int fd, const struct ucred *peer, const struct md_rules *rules,
	const void *name, size_t size);

#endif
