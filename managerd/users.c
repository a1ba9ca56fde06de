/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "managerd/users.h"

#include "base/error.h"
#include "managerd/number.h"

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

int md_user_parse(const char *text, uid_t *ret_uid)
{
	struct passwd user;
	struct passwd *found = NULL;
	char names[NAMES_SIZE];
	uint64_t number;

	if (md_number_scan(text, false, &number) && number < MD_USER_ANY) {
		*ret_uid = (uid_t)number;
		return 0;
	}
	int error = getpwnam_r(text, &user, names, sizeof(names), &found);
	if (!found)
		return mp_error_set(-EINVAL, "there is no user %s%s%s", text, error ? ": " : "",
			error ? strerrordesc_np(error) : "");
	*ret_uid = found->pw_uid;
	return 0;
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
