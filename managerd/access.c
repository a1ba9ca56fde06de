/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "managerd/access.h"

#include "base/error.h"
#include "managerd/users.h"
#include "serve/listener.h"

#include <stdlib.h>
#include <unistd.h>

/* Few users are in more groups than that; who is, costs an allocation. */
#define GROUPS_ON_STACK 64

/* --- rules ------------------------------------------------------------------------------------ */

static int parse_whom(const char *text, struct md_rule *rule)
{
	if (strcmp(text, "*") == 0) {
		rule->whom = MD_EVERYBODY;
		return 0;
	}
	if (strncmp(text, "user:", 5) == 0) {
		rule->whom = MD_USER;
		return md_user_parse(text + 5, &rule->id);
	}
	if (strncmp(text, "group:", 6) == 0) {
		rule->whom = MD_GROUP;
		return md_group_parse(text + 6, &rule->id);
	}
	return mp_error_set(
		-EINVAL, "%s is neither user:NAME nor group:NAME nor * for everybody", text);
}

static int add_rule(struct md_rules *rules, const struct md_rule *rule, const char *name)
{
	size_t size = strlen(name);
	const char *star = strchr(name, '*');

	if (rules->n == MD_RULES_MAX)
		return mp_error_set(-E2BIG, "there may be %d rules", MD_RULES_MAX);
	if (star && star[1] != '\0')
		return mp_error_set(-EINVAL, "%s: a * may stand at the end of a name only", name);
	if (size >= MD_RULE_NAME_SIZE)
		return mp_error_set(
			-EINVAL, "a name in a rule has at most %d bytes", MD_RULE_NAME_SIZE - 1);
	struct md_rule *to = &rules->rules[rules->n++];
	*to = *rule;
	to->is_prefix = star ? 1 : 0;
	memcpy(to->name, name, star ? size - 1 : size);
	return 0;
}

int md_rules_add(struct md_rules *rules, bool allow, const char *text)
{
	struct md_rule rule = {.allow = allow};
	char copy[512];
	char *rest = NULL;

	if (strlen(text) >= sizeof(copy))
		return mp_error_set(-EINVAL, "the rule is too long");
	strcpy(copy, text);
	const char *whom = strtok_r(copy, " \t", &rest);
	if (!whom)
		return mp_error_set(-EINVAL, "a rule begins with whom it is about");
	int r = parse_whom(whom, &rule);
	const char *name = strtok_r(NULL, " \t", &rest);
	if (r == 0 && !name)
		return add_rule(rules, &rule, "*");
	for (; r == 0 && name; name = strtok_r(NULL, " \t", &rest))
		r = add_rule(rules, &rule, name);
	return r;
}

/* --- peers ------------------------------------------------------------------------------------ */

static bool contains(const gid_t *groups, size_t n, gid_t group)
{
	for (size_t i = 0; i < n; i++) {
		if (groups[i] == group)
			return true;
	}
	return false;
}

/* Also by supplementary groups, as they were when the peer connected. `in_doubt`: if they cannot be had. */
static bool is_member(int fd, const struct ucred *peer, gid_t group, bool in_doubt)
{
	gid_t few[GROUPS_ON_STACK];
	socklen_t size = sizeof(few);

	if (peer->gid == group)
		return true;
	if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, few, &size) == 0)
		return contains(few, size / sizeof(gid_t), group);
	if (errno != ERANGE)
		return in_doubt;
	gid_t *many = malloc(size); /* the kernel has said how many */
	bool found = many && getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, many, &size) == 0
			     ? contains(many, size / sizeof(gid_t), group)
			     : in_doubt;
	free(many);
	return found;
}

static bool is_about(const struct md_rule *rule, int fd, const struct ucred *peer)
{
	switch (rule->whom) {
	case MD_USER:
		return rule->id == peer->uid;
	case MD_GROUP:
		/* Without memory nobody gets what he would be denied with it. */
		return is_member(fd, peer, rule->id, !rule->allow);
	default:
		return true;
	}
}

static bool is_trusted(const struct ucred *peer)
{
	return peer->uid == 0 || peer->uid == geteuid();
}

bool md_access_admits(int fd, const struct ucred *peer, gid_t group, const struct md_rules *rules)
{
	if (is_trusted(peer) || (group != SERVE_GROUP_NONE && is_member(fd, peer, group, false)))
		return true;
	for (uint32_t i = 0; i < rules->n; i++) {
		if (rules->rules[i].allow && is_about(&rules->rules[i], fd, peer))
			return true;
	}
	return false;
}

static bool is_of(const struct md_rule *rule, const void *name, size_t size)
{
	size_t length = strlen(rule->name);

	return (rule->is_prefix ? size >= length : size == length) &&
	       memcmp(rule->name, name, length) == 0;
}

bool md_access_allows(int fd, const struct ucred *peer, const struct md_rules *rules,
	const void *name, size_t size)
{
	if (rules->n == 0 || is_trusted(peer))
		return true;
	for (uint32_t i = 0; i < rules->n; i++) {
		const struct md_rule *rule = &rules->rules[i];
		if (is_of(rule, name, size) && is_about(rule, fd, peer))
			return rule->allow;
	}
	return false;
}
