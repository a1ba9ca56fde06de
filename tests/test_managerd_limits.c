/* SPDX-License-Identifier: MIT */
/* Accounts of users, their limits and rules in the configuration, and what the daemon makes of them. */
#include <config.h>

#include "base/fds.h"
#include "managerd/access.h"
#include "managerd/users.h"
#include "serve/account.h"
#include "tests/support/daemon.h"
#include "tests/support/place.h"

#include <poll.h>
#include <sys/socket.h>

T_SUITE(limits);

#define SECOND ((int64_t)1000 * 1000 * 1000)

/* --- accounts --------------------------------------------------------------------------------------- */

static uint64_t rate;

static void quota_of(uid_t uid, struct serve_quota *ret_quota, void *data)
{
	(void)data;
	*ret_quota = SERVE_QUOTA_NONE;
	ret_quota->max[SERVE_OBJECTS] = uid;
	ret_quota->connections_per_second = (uint32_t)rate;
}

Test(limits, what_is_charged_is_found_again_and_bounded)
{
	struct serve_accounts accounts = {.quota_of = quota_of};
	struct serve_account *ten = serve_account_get(&accounts, 10);
	struct serve_account *eleven = serve_account_get(&accounts, 11);

	cr_assert(ten && eleven && ten != eleven);
	cr_assert(serve_account_may(ten, SERVE_OBJECTS, 10));
	cr_assert(!serve_account_may(ten, SERVE_OBJECTS, 11));
	serve_account_charge(ten, SERVE_OBJECTS, 10);
	cr_assert(!serve_account_may(ten, SERVE_OBJECTS, 1));
	cr_assert(serve_account_may(eleven, SERVE_OBJECTS, 11));
	cr_assert(serve_account_may(ten, SERVE_BYTES, UINT64_MAX));
	cr_assert(ten->refused[SERVE_OBJECTS] == 2);
	serve_account_unref(ten);
	cr_assert(serve_account_get(&accounts, 10) == ten);
	serve_account_credit(ten, SERVE_OBJECTS, 1);
	cr_assert(serve_account_may(ten, SERVE_OBJECTS, 1));
	serve_accounts_deinit(&accounts);
}

Test(limits, a_rate_lets_a_seconds_worth_come_at_once)
{
	struct serve_accounts accounts = {.quota_of = quota_of};
	int64_t now = 1000 * SECOND;
	int admitted = 0;

	rate = 10;
	struct serve_account *a = serve_account_get(&accounts, 1);
	for (int i = 0; i < 100; i++)
		admitted += serve_account_admit(a, now);
	cr_assert(admitted == 10 && a->refused_rate == 90, "%d", admitted);
	cr_assert(!serve_account_admit(a, now + SECOND / 20));
	cr_assert(serve_account_admit(a, now + SECOND / 10));
	cr_assert(!serve_account_admit(a, now + SECOND / 10));
	/* In a second as many as the rate says, however they come. */
	admitted = 0;
	for (int i = 0; i < 10000; i++)
		admitted += serve_account_admit(a, now + 10 * SECOND + i * SECOND / 1000);
	cr_assert(admitted >= 100 && admitted <= 111, "%d", admitted);
	rate = 0;
	serve_accounts_renew(&accounts);
	for (int i = 0; i < 100; i++)
		cr_assert(serve_account_admit(a, now));
	serve_accounts_deinit(&accounts);
}

Test(limits, accounts_of_users_that_left_are_not_kept_for_ever)
{
	struct serve_accounts accounts = {0};
	struct serve_account *kept = serve_account_get(&accounts, 7);
	const struct serve_account *at = NULL;
	size_t bucket = 0;
	size_t n = 0;

	serve_account_charge(kept, SERVE_BYTES, 5);
	for (uid_t uid = 1000; uid < 101000; uid++)
		serve_account_unref(serve_account_get(&accounts, uid));
	cr_assert(accounts.count <= 1025, "%zu", accounts.count);
	while ((at = serve_accounts_next(&accounts, &bucket, at)) != NULL)
		n++;
	cr_assert(n == accounts.count, "%zu", n);
	cr_assert(serve_account_get(&accounts, 7) == kept && kept->has[SERVE_BYTES] == 5);
	serve_accounts_deinit(&accounts);
}

/* --- the configuration ------------------------------------------------------------------------------ */

Test(limits, a_users_own_section_stands_above_that_of_everybody)
{
	static struct md_users users;
	struct serve_quota q;

	md_users_quota(&users, 5, &q);
	cr_assert(q.max[SERVE_BYTES] == SERVE_UNLIMITED && q.connections_per_second == 0);
	T_OK(md_users_begin(&users, "5"));
	T_OK(md_users_set(&users, "max-bytes", "2G"));
	T_OK(md_users_set(&users, "max-waiters", "0"));
	T_OK(md_users_begin(&users, "*"));
	T_OK(md_users_set(&users, "max-bytes", "1K"));
	T_OK(md_users_set(&users, "max-connections", "3"));
	T_OK(md_users_set(&users, "connection-rate", "4"));
	T_RESULT(md_users_set(&users, "max-bytes", "1"), -EEXIST);
	T_RESULT(md_users_set(&users, "max-byte", "1"), -ENOENT);
	T_RESULT(md_users_set(&users, "max-output", "x"), -EINVAL);
	T_RESULT(md_users_begin(&users, "5"), -EINVAL);
	T_RESULT(md_users_begin(&users, "no such user"), -EINVAL);
	T_RESULT(md_users_begin(&users, "4294967295"), -EINVAL);
	md_users_quota(&users, 5, &q);
	cr_assert(q.max[SERVE_BYTES] == (uint64_t)2 << 30 && q.max[SERVE_WAITERS] == 0);
	cr_assert(q.max[SERVE_CONNECTIONS] == 3 && q.connections_per_second == 4);
	md_users_quota(&users, 6, &q);
	cr_assert(q.max[SERVE_BYTES] == 1024 && q.max[SERVE_WAITERS] == SERVE_UNLIMITED);
	for (uid_t uid = 100; users.n < MD_USERS_MAX; uid++) {
		char text[16];
		snprintf(text, sizeof(text), "%u", uid);
		T_OK(md_users_begin(&users, text));
	}
	T_RESULT(md_users_begin(&users, "99"), -E2BIG);
}

static bool allows(const struct md_rules *rules, uid_t uid, gid_t gid, const char *name)
{
	return md_access_allows(
		-1, &(struct ucred){.uid = uid, .gid = gid}, rules, name, strlen(name));
}

Test(limits, the_first_rule_about_a_user_and_a_name_decides)
{
	static struct md_rules rules;

	cr_assert(allows(&rules, 60001, 60001, "anything"));
	T_OK(md_rules_add(&rules, false, "* secret"));
	T_OK(md_rules_add(&rules, true, "user:60001"));
	T_OK(md_rules_add(&rules, false, "group:60002  app.private.*"));
	T_OK(md_rules_add(&rules, true, "group:60002\tapp.* db"));
	cr_assert(allows(&rules, 60001, 60001, "app.x") && allows(&rules, 60001, 60001, ""));
	cr_assert(!allows(&rules, 60001, 60001, "secret"));
	cr_assert(allows(&rules, 60001, 60001, "secrets"));
	cr_assert(allows(&rules, 60003, 60002, "app.x") && allows(&rules, 60003, 60002, "app."));
	cr_assert(!allows(&rules, 60003, 60002, "app") && !allows(&rules, 60003, 60002, "dbx"));
	cr_assert(allows(&rules, 60003, 60002, "db"));
	cr_assert(!allows(&rules, 60003, 60002, "app.private.x"));
	/* Whom no rule is about; and whom none keeps out. */
	cr_assert(!allows(&rules, 60004, 60004, "app.x"));
	cr_assert(allows(&rules, 0, 0, "secret"));
	cr_assert(allows(&rules, geteuid(), 60004, "secret"));
}

Test(limits, whoever_may_use_any_name_may_connect)
{
	static struct md_rules rules;
	struct ucred peer = {.uid = 60001, .gid = 60001};

	cr_assert(!md_access_admits(-1, &peer, (gid_t)-1, &rules));
	cr_assert(md_access_admits(-1, &peer, 60001, &rules));
	T_OK(md_rules_add(&rules, false, "user:60001 a"));
	cr_assert(!md_access_admits(-1, &peer, (gid_t)-1, &rules));
	T_OK(md_rules_add(&rules, true, "user:60001 b"));
	cr_assert(md_access_admits(-1, &peer, (gid_t)-1, &rules));
	peer.uid = 60002;
	cr_assert(!md_access_admits(-1, &peer, (gid_t)-1, &rules));
}

Test(limits, what_is_no_rule)
{
	static struct md_rules rules;

	T_RESULT(md_rules_add(&rules, true, ""), -EINVAL);
	T_RESULT(md_rules_add(&rules, true, "root"), -EINVAL);
	T_RESULT(md_rules_add(&rules, true, "user: x"), -EINVAL);
	T_RESULT(md_rules_add(&rules, true, "group:no-such-group x"), -EINVAL);
	T_RESULT(md_rules_add(&rules, true, "* a*b"), -EINVAL);
	T_RESULT(md_rules_add(&rules, true, "* **"), -EINVAL);
	for (int i = 0; i < MD_RULES_MAX; i++)
		T_OK(md_rules_add(&rules, true, "* x"));
	T_RESULT(md_rules_add(&rules, true, "* x"), -E2BIG);
}

/* --- the daemon ------------------------------------------------------------------------------------- */

static char directory[T_PLACE_SIZE];
static char config[96];

static void write_config(const char *text)
{
	FILE *file = fopen(config, "we");

	cr_assert(file && fputs(text, file) >= 0 && fclose(file) == 0);
}

/* "%u" in the text is our uid. */
static struct t_daemon start(const char *text)
{
	char filled[1024];

	t_place_make(directory);
	snprintf(config, sizeof(config), "%s/conf", directory);
	const char *mark = strstr(text, "%u");
	if (mark)
		snprintf(filled, sizeof(filled), "%.*s%u%s", (int)(mark - text), text, geteuid(),
			mark + 2);
	else
		snprintf(filled, sizeof(filled), "%s", text);
	write_config(filled);
	return t_daemon_start((const char *[]){"--config", config, NULL});
}

static void stop(struct t_daemon *daemon)
{
	t_daemon_stop(daemon);
	cr_assert(unlink(config) == 0 && rmdir(directory) == 0);
}

static int connect_to(const struct t_daemon *daemon, mp_manager **ret)
{
	return mp_manager_connect(
		daemon->path, MP_MANAGER_OPTIONS(.timeout_ms = T_TIMEOUT_MS / 2), ret);
}

Test(limits, a_user_has_as_many_connections_as_he_may)
{
	struct t_daemon daemon =
		start("[user *]\nmax-connections = 0\n[user %u]\nmax-connections = 2\n");
	mp_manager *m[3];

	T_OK(connect_to(&daemon, &m[0]));
	T_OK(connect_to(&daemon, &m[1]));
	T_RESULT(connect_to(&daemon, &m[2]), -ENOSPC);
	cr_assert(strstr(mp_error_detail(), "this user has as many connections"), "%s",
		mp_error_detail());
	mp_manager_close(m[1]);
	/* It hears of the end when it hears of it. */
	while (connect_to(&daemon, &m[1]) == -ENOSPC)
		;
	T_OK(mp_manager_ping(m[1]));
	mp_manager_close(m[0]);
	mp_manager_close(m[1]);
	stop(&daemon);
}

Test(limits, connections_come_no_faster_than_they_may)
{
	struct t_daemon daemon = start("[user *]\nconnection-rate = 3\n");
	mp_manager *m;
	int fds[100];
	int r = 0;

	for (int i = 0; i < 3; i++) {
		T_OK(connect_to(&daemon, &m));
		mp_manager_close(m);
	}
	/* However slow this machine is. */
	for (int n = 0; r == 0 && n < 100; n++) {
		for (int i = 0; i < n; i++)
			fds[i] = t_daemon_connect(&daemon);
		r = connect_to(&daemon, &m);
		mp__fds_close(fds, (size_t)n);
		if (r == 0)
			mp_manager_close(m);
	}
	T_RESULT(r, -ENOSPC);
	cr_assert(strstr(mp_error_detail(), "faster than they may"), "%s", mp_error_detail());
	/* And then again, when time has gone. */
	while ((r = connect_to(&daemon, &m)) == -ENOSPC)
		;
	T_OK(r);
	mp_manager_close(m);
	stop(&daemon);
}

Test(limits, a_user_has_as_many_objects_as_he_may)
{
	struct t_daemon daemon = start("[user %u]\nmax-objects = 2\n");
	mp_manager *m;
	mp_dict *a;
	mp_dict *b;
	mp_dict *c;

	T_OK(connect_to(&daemon, &m));
	T_OK(mp_manager_dict(m, NULL, &a));
	T_OK(mp_manager_dict(m, "b", &b));
	T_RESULT(mp_manager_dict(m, "c", &c), -ENOSPC);
	cr_assert(strstr(mp_error_detail(), "this user has as many objects"), "%s",
		mp_error_detail());
	/* One that is there can be opened; and one without a name goes with its last user. */
	T_OK(mp_manager_dict(m, "b", &c));
	mp_dict_close(c);
	mp_dict_close(a);
	T_OK(mp_manager_ping(m));
	T_OK(mp_manager_dict(m, "c", &c));
	mp_dict_close(c);
	mp_dict_close(b);
	mp_manager_close(m);
	stop(&daemon);
}

Test(limits, a_user_has_as_many_bytes_as_he_may)
{
	struct t_daemon daemon = start("[user *]\nmax-bytes = 100K\n");
	static char value[60000];
	mp_manager *m;
	mp_dict *d;

	T_OK(connect_to(&daemon, &m));
	d = t_dict(m, "d");
	T_OK(mp_dict_set(d, mp_i64(1), mp_bytes(value, sizeof(value))));
	T_RESULT(mp_dict_set(d, mp_i64(2), mp_bytes(value, sizeof(value))), -ENOSPC);
	cr_assert(strstr(mp_error_detail(), "as many bytes"), "%s", mp_error_detail());
	T_RESULT(mp_dict_update(d, MP_DICT(mp_i64(2), mp_bytes(value, sizeof(value)))), -ENOSPC);
	mp_dict *e = t_dict(m, "e");
	T_RESULT(mp_dict_set(e, mp_i64(2), mp_bytes(value, sizeof(value))), -ENOSPC);
	mp_dict_close(e);
	/* Small ones still fit, and what goes makes room. */
	T_OK(mp_dict_set(d, mp_i64(2), mp_i64(2)));
	for (int i = 0; i < 10; i++) {
		T_OK(mp_dict_pop(d, mp_i64(1), NULL));
		T_OK(mp_dict_set(d, mp_i64(1), mp_bytes(value, sizeof(value))));
		T_OK(mp_dict_clear(d));
		T_OK(mp_dict_set(d, mp_i64(1), mp_bytes(value, sizeof(value))));
		T_OK(mp_dict_set(d, mp_i64(1), mp_bytes(value, 1)));
		T_OK(mp_dict_set(d, mp_i64(1), mp_bytes(value, sizeof(value))));
	}
	mp_dict_close(d);
	mp_manager_close(m);
	stop(&daemon);
}

/* None of these values is too large, and not both are. */
Test(limits, all_steps_of_a_transaction_count_together)
{
	struct t_daemon daemon = start("[user *]\nmax-bytes = 100K\n");
	static char text[60000];
	mp_manager *m;
	mp_proxy *space;
	mp_proxy *list;
	mp_obj found;

	T_OK(connect_to(&daemon, &m));
	T_OK(mp_manager_list(m, NULL, &list));
	T_OK(mp_manager_namespace(m, NULL, &space));
	const mp_obj big = mp_bytes(text, sizeof(text));
	const mp_transact_step append = {mp_handle(list), MP_LIST_APPEND, mp_nil(), big};
	const mp_transact_step set = {mp_handle(space), MP_DICT_SET, mp_str("a"), big};
	const mp_transact_step also = {mp_handle(space), MP_DICT_SET, mp_str("b"), big};
	T_RESULT(mp_transact((mp_transact_step[]){append, set}, 2), -ENOSPC);
	T_RESULT(mp_transact((mp_transact_step[]){append, append}, 2), -ENOSPC);
	T_RESULT(mp_transact((mp_transact_step[]){set, also}, 2), -ENOSPC);
	T_OK(mp_list_items(list, &found));
	t_expect_value(&found, MP_LIST());
	T_OK(mp_namespace_items(space, &found));
	t_expect_value(&found, MP_DICT());
	/* The same twice is one; what was put is counted, and what goes makes room. */
	T_OK(mp_transact((mp_transact_step[]){set, set}, 2));
	T_RESULT(mp_transact(&append, 1), -ENOSPC);
	T_OK(mp_namespace_delete(space, "a"));
	T_OK(mp_transact(&append, 1));
	T_RESULT(mp_transact(&set, 1), -ENOSPC);
	mp_proxy_close(space);
	mp_proxy_close(list);
	mp_manager_close(m);
	stop(&daemon);
}

/* The same for all that holds values, whatever the way in; and nothing is counted that is gone. */
Test(limits, bytes_of_lists_queues_and_values_count_too)
{
	struct t_daemon daemon = start("[user *]\nmax-bytes = 100K\n");
	static char text[60000];
	mp_manager *m;
	mp_obj big = mp_bytes(text, sizeof(text));
	mp_obj ignored;
	static const struct {
		const char *class;
		const char *put;
		const char *take;
	} types[] = {{"list", "append", "pop"}, {"queue", "put", "get"}};

	T_OK(connect_to(&daemon, &m));
	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		mp_proxy *p;
		T_OK(mp_manager_open(m, types[i].class, NULL, mp_nil(), &p));
		for (int k = 0; k < 10; k++) {
			T_OK(mp_proxy_call(p, types[i].put, MP_LIST(big), T_TIMEOUT_MS / 2, NULL));
			T_RESULT(mp_proxy_call(
					 p, types[i].put, MP_LIST(big), T_TIMEOUT_MS / 2, NULL),
				-ENOSPC);
			T_OK(mp_proxy_call(p, types[i].take, mp_nil(), T_TIMEOUT_MS / 2, &ignored));
			mp_obj_free(&ignored);
		}
		T_OK(mp_proxy_call(p, types[i].put, MP_LIST(big), T_TIMEOUT_MS / 2, NULL));
		mp_proxy_close(p);
	}
	mp_dict *d = t_dict(m, NULL);
	int r;
	/* What the last one had goes with it, as soon as the daemon has heard of it. */
	while ((r = mp_dict_set(d, mp_i64(1), big)) == -ENOSPC)
		;
	T_OK(r);
	mp_dict_close(d);
	mp_manager_close(m);
	stop(&daemon);
}

Test(limits, rules_hold_from_the_next_reading_on)
{
	struct t_daemon daemon = start("[user *]\nmax-objects = 1\n");
	mp_manager *m;
	mp_dict *d;
	int r;

	T_OK(connect_to(&daemon, &m));
	d = t_dict(m, "a");
	mp_dict_close(d);
	T_RESULT(mp_manager_dict(m, "b", &d), -ENOSPC);
	write_config("[user *]\nmax-objects = 2\n");
	T_OK(mp__pidfd_signal(daemon.pidfd, SIGHUP));
	while ((r = mp_manager_dict(m, "b", &d)) == -ENOSPC)
		;
	T_OK(r);
	mp_dict_close(d);
	mp_manager_close(m);
	stop(&daemon);
}

/* Replies that nobody reads, on many connections: all together are bounded by the user's limit. */
Test(limits, unread_replies_of_all_connections_count_together)
{
	enum { MANY = 20, VALUE = 300000 };
	struct t_daemon daemon = start("[user *]\nmax-output = 2M\n[limits]\nmax-output = 1M\n"
				       "[daemon]\ndrain-ms = 0\n");
	static const char greeting[] = "\6\0\0\0\x08\1\x12\2\x08\1";
	static const char open[] = "\x0a\0\0\0\x08\2\x22\6\x08\1\x12\2ab";
	static const char get[] = "\x0f\0\0\0\x08\3\x8a\1\x0a\x08\x80\x80\x80\x80\x10\x12\2\x18\2";
	static char value[VALUE];
	int fds[MANY];
	mp_manager *m;

	T_OK(connect_to(&daemon, &m));
	mp_dict *d = t_dict(m, "ab");
	T_OK(mp_dict_set(d, mp_i64(1), mp_bytes(value, sizeof(value))));
	for (int i = 0; i < MANY; i++) {
		fds[i] = t_daemon_connect(&daemon);
		cr_assert(send(fds[i], greeting, sizeof(greeting) - 1, 0) > 0);
		cr_assert(send(fds[i], open, sizeof(open) - 1, 0) > 0);
		for (int k = 0; k < 20; k++)
			cr_assert(send(fds[i], get, sizeof(get) - 1, 0) > 0);
	}
	/* Who reads is served all the same. */
	for (int i = 0; i < 5; i++)
		t_expect_get(d, mp_i64(1), mp_bytes(value, sizeof(value)));
	char path[64];
	char line[256];
	long rss = 0;
	snprintf(path, sizeof(path), "/proc/%d/status", (int)daemon.pid);
	FILE *status = fopen(path, "re");
	cr_assert(status != NULL);
	while (fgets(line, sizeof(line), status)) {
		if (strncmp(line, "VmRSS:", 6) == 0)
			rss = strtol(line + 6, NULL, 10);
	}
	fclose(status);
#ifndef __SANITIZE_ADDRESS__
	/* One reply of each, and two megabytes; not one megabyte of each. */
	cr_assert(rss < 17 * 1024, "%ld KiB", rss);
#endif
	mp__fds_close(fds, MANY);
	mp_dict_close(d);
	mp_manager_close(m);
	stop(&daemon);
}
