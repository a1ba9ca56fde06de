/* SPDX-License-Identifier: MIT */
/*
 * managerd/users.h - what each user may have: the sections [user NAME] of managerd.conf(5).
 *
 * [user *] is for everybody; the section of a user stands above it, option by option.
 */
#ifndef MANAGERD_USERS_H
#define MANAGERD_USERS_H

#include "serve/account.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define MD_USERS_MAX 64
#define MD_USER_ANY ((uid_t)-1)

struct md_user {
	uid_t uid;      /* MD_USER_ANY: everybody */
	uint32_t given; /* a bit for each option that stands there */
	struct serve_quota quota;
};

/* All zero is none. Plain bytes, to be compared as such. */
struct md_users {
	uint32_t n;
	uint32_t unused;
	struct md_user users[MD_USERS_MAX];
};

/* The number of a user or group, from a name or that. -EINVAL, with its sentence. */
int md_user_parse(const char *text, uid_t *ret_uid);
int md_group_parse(const char *text, gid_t *ret_gid);

/* Begin the section: "*", a name or a number. -EINVAL; -E2BIG too many. */
int md_users_begin(struct md_users *users, const char *who);
/* An option in the section begun last. -EINVAL; -ENOENT there is no such option; -EEXIST twice. */
int md_users_set(struct md_users *users, const char *name, const char *value);

void md_users_quota(const struct md_users *users, uid_t uid, struct serve_quota *ret_quota);

#endif
