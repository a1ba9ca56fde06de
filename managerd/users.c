/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "managerd/users.h"

#include "base/error.h"
#include "managerd/number.h"

#include <grp.h>
#include <inttypes.h>
#include <pwd.h>
#include <stddef.h>

#define NAMES_SIZE 16384

struct user_option {
	const char *name;
	size_t offset; /* in struct serve_quota */
	size_t size;
	bool bytes;
	uint64_t max;
};

#define AT(member) offsetof(struct serve_quota, member), sizeof(((struct serve_quota *)0)->member)

static const struct user_option options[] = {
	{"max-connections", AT(max[SERVE_CONNECTIONS]), false, UINT32_MAX},
	{"max-objects", AT(max[SERVE_OBJECTS]), false, UINT32_MAX},
	{"max-bytes", AT(max[SERVE_BYTES]), true, INT64_MAX},
	{"max-waiters", AT(max[SERVE_WAITERS]), false, UINT32_MAX},
	{"max-output", AT(max[SERVE_OUTPUT]), true, INT64_MAX},
	{"connection-rate", AT(connections_per_second), false, 1000000},
};
#define N_OPTIONS (sizeof(options) / sizeof(options[0]))

/* By name: an error number, or 0; *ret_found is set either way. */
static int find_user(const char *name, id_t *ret_id, bool *ret_found)
{
	struct passwd user;
	struct passwd *found = NULL;
	char names[NAMES_SIZE];

	int error = getpwnam_r(name, &user, names, sizeof(names), &found);
	*ret_found = found;
	*ret_id = found ? found->pw_uid : 0;
	return error;
}

static int find_group(const char *name, id_t *ret_id, bool *ret_found)
{
	struct group group;
	struct group *found = NULL;
	char names[NAMES_SIZE];

	int error = getgrnam_r(name, &group, names, sizeof(names), &found);
	*ret_found = found;
	*ret_id = found ? found->gr_gid : 0;
	return error;
}

/* A number, or a name that `find` knows; the highest number stands for nobody in particular. */
static int parse_id(const char *what, const char *text,
	int (*find)(const char *name, id_t *ret_id, bool *ret_found), id_t *ret_id)
{
	uint64_t number;
	bool found;
	id_t id;

	if (md_number_scan(text, false, &number) && number < (id_t)-1) {
		*ret_id = (id_t)number;
		return 0;
	}
	int error = find(text, &id, &found);
	if (!found)
		return mp_error_set(-EINVAL, "there is no %s %s%s%s", what, text, error ? ": " : "",
			error ? strerrordesc_np(error) : "");
	*ret_id = id;
	return 0;
}

int md_user_parse(const char *text, uid_t *ret_uid)
{
	return parse_id("user", text, find_user, ret_uid);
}

int md_group_parse(const char *text, gid_t *ret_gid)
{
	return parse_id("group", text, find_group, ret_gid);
}

int md_users_begin(struct md_users *users, const char *who)
{
	uid_t uid = MD_USER_ANY;

	if (strcmp(who, "*") != 0) {
		int r = md_user_parse(who, &uid);
		if (r < 0)
			return r;
	}
	for (uint32_t i = 0; i < users->n; i++) {
		if (users->users[i].uid == uid)
			return mp_error_set(-EINVAL, "user %s has had a section before", who);
	}
	if (users->n == MD_USERS_MAX)
		return mp_error_set(-E2BIG, "there may be %d sections of users", MD_USERS_MAX);
	users->users[users->n].uid = uid;
	users->users[users->n].given = 0;
	users->n++;
	return 0;
}

int md_users_set(struct md_users *users, const char *name, const char *value)
{
	struct md_user *user = &users->users[users->n - 1];
	uint64_t number;
	size_t i = 0;

	while (i < N_OPTIONS && strcmp(options[i].name, name) != 0)
		i++;
	if (i == N_OPTIONS)
		return mp_error_set(-ENOENT, "there is no option %s of a user", name);
	const struct user_option *o = &options[i];
	if (user->given & 1u << i)
		return mp_error_set(-EEXIST, "%s has been set before", name);
	if (!md_number_scan(value, o->bytes, &number) || number > o->max)
		return mp_error_set(
			-EINVAL, "%s: %s is not a number from 0 to %" PRIu64, name, value, o->max);
	uint32_t small = (uint32_t)number;
	memcpy((char *)&user->quota + o->offset,
		o->size == sizeof(small) ? (const void *)&small : &number, o->size);
	user->given |= 1u << i;
	return 0;
}

static void apply(const struct md_user *user, struct serve_quota *quota)
{
	for (size_t i = 0; i < N_OPTIONS; i++) {
		if (user->given & 1u << i)
			memcpy((char *)quota + options[i].offset,
				(const char *)&user->quota + options[i].offset, options[i].size);
	}
}

void md_users_quota(const struct md_users *users, uid_t uid, struct serve_quota *ret_quota)
{
	*ret_quota = SERVE_QUOTA_NONE;
	for (int own = 0; own <= 1; own++) {
		for (uint32_t i = 0; i < users->n; i++) {
			if (users->users[i].uid == (own ? uid : MD_USER_ANY))
				apply(&users->users[i], ret_quota);
		}
	}
}
