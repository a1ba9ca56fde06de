/* SPDX-License-Identifier: MIT */
/* What a server tells those who look after it, and whom it tells what. */
#include <config.h>

#include "manager/manager.h"
#include "tests/support/daemon.h"

#include <fcntl.h>
#include <grp.h>
#include <mp/served.h>
#include <sys/stat.h>

T_SUITE(inspect);

#define USER 60111
#define MANY 2500

static int ask(mp_manager *m, Mp__Request *request, mp_obj *ret)
{
	return mp__manager_ask(m, request, mp__deadline_in(T_TIMEOUT_MS), ret);
}

static int list_objects(mp_manager *m, Mp__ListObjects *op, mp_obj *ret)
{
	return ask(m, &MP__REQUEST(LIST_OBJECTS, list_objects, op), ret);
}

static int list_clients(mp_manager *m, mp_obj *ret)
{
	Mp__ListClients op = MP__LIST_CLIENTS__INIT;

	return ask(m, &MP__REQUEST(LIST_CLIENTS, list_clients, &op), ret);
}

static int list_holds(mp_manager *m, mp_obj *ret)
{
	Mp__ListHolds op = MP__LIST_HOLDS__INIT;

	return ask(m, &MP__REQUEST(LIST_HOLDS, list_holds, &op), ret);
}

static int unlink_name(mp_manager *m, const char *name)
{
	Mp__Unlink op = MP__UNLINK__INIT;

	op.name = (ProtobufCBinaryData){strlen(name), (uint8_t *)name};
	return ask(m, &MP__REQUEST(UNLINK, unlink, &op), NULL);
}

static int get_stats(mp_manager *m, mp_obj *ret)
{
	Mp__Stats op = MP__STATS__INIT;

	return ask(m, &MP__REQUEST(STATS, stats, &op), ret);
}

static int end_server(mp_manager *m)
{
	Mp__Shutdown op = MP__SHUTDOWN__INIT;

	return ask(m, &MP__REQUEST(SHUTDOWN, shutdown, &op), NULL);
}

static const char *text_of(const mp_obj *item, const char *key)
{
	return mp_obj_str(mp_obj_get(item, mp_str(key)));
}

static int64_t number_of(const mp_obj *item, const char *key)
{
	return mp_obj_i64(mp_obj_get(item, mp_str(key)));
}

static void make_counter(mp_manager *m, const char *name)
{
	mp_proxy *counter;

	T_OK(mp_manager_counter(m, name, 0, &counter));
	mp_proxy_close(counter);
}

/* --- objects -------------------------------------------------------------------------------------- */

/* Objects that come and go between the pages do not hide those that stay. */
Test(inspect, each_object_that_stays_is_told_once)
{
	mp_manager *m = t_manager();
	Mp__ListObjects op = MP__LIST_OBJECTS__INIT;
	char name[32];
	int told = 0;
	int pages = 0;

	for (int i = 0; i < MANY; i++) {
		snprintf(name, sizeof(name), "%c.%d", i % 5 == 0 ? 'k' : 'x', i);
		make_counter(m, name);
	}
	op.max = 100;
	for (uint64_t next = 1; next != 0; pages++) {
		mp_obj page;
		T_OK(list_objects(m, &op, &page));
		next = 0;
		for (size_t i = 0; i < page.count; i++) {
			const mp_obj *item = &page.as.items[i];
			if (item->type == MP_TYPE_I64) {
				cr_assert(i == page.count - 1);
				next = (uint64_t)item->as.i64;
			} else if (text_of(item, "name")[0] == 'k') {
				snprintf(name, sizeof(name), "k.%d", told++ * 5);
				cr_assert_str_eq(text_of(item, "name"), name);
			} else if (text_of(item, "name")[0] == 'x') {
				T_OK(unlink_name(m, text_of(item, "name")));
			}
		}
		snprintf(name, sizeof(name), "y.%d", pages);
		make_counter(m, name);
		cr_assert(next == 0 || next > op.after);
		op.after = next;
		mp_obj_free(&page);
	}
	cr_assert(told == MANY / 5, "%d", told);
	cr_assert(pages >= MANY / 100, "%d", pages);
	mp_manager_close(m);
}

Test(inspect, objects_by_class_and_prefix_and_without_a_name)
{
	mp_manager *m = t_manager();
	Mp__ListObjects op = MP__LIST_OBJECTS__INIT;
	mp_proxy *nameless;
	mp_obj list;

	make_counter(m, "a.1");
	make_counter(m, "b.1");
	mp_dict *dict = t_dict(m, "a.2");
	T_OK(mp_manager_value(m, NULL, mp_i64(5), &nameless));

	T_OK(list_objects(m, &op, &list));
	cr_assert(list.count == 3);
	mp_obj_free(&list);
	op.nameless = true;
	T_OK(list_objects(m, &op, &list));
	cr_assert(list.count == 4);
	const mp_obj *last = &list.as.items[3];
	cr_assert(!text_of(last, "name") && strcmp(text_of(last, "class"), "value") == 0);
	cr_assert(number_of(last, "uid") == (int64_t)geteuid() && number_of(last, "bytes") > 0 &&
		  number_of(last, "references") == 1);
	mp_obj_free(&list);
	op.prefix = (ProtobufCBinaryData){2, (uint8_t *)"a."};
	T_OK(list_objects(m, &op, &list));
	cr_assert(list.count == 2);
	mp_obj_free(&list);
	op.class_name = (char *)"dict";
	T_OK(list_objects(m, &op, &list));
	cr_assert(list.count == 1 && strcmp(text_of(&list.as.items[0], "name"), "a.2") == 0);
	mp_obj_free(&list);
	op.class_name = (char *)"nonsense";
	T_OK(list_objects(m, &op, &list));
	cr_assert(list.count == 0);
	mp_obj_free(&list);
	mp_proxy_close(nameless);
	mp_dict_close(dict);
	mp_manager_close(m);
}

Test(inspect, unlinked_an_object_stays_with_those_who_have_it)
{
	mp_manager *m = t_manager();
	mp_proxy *old;
	mp_proxy *other;
	int64_t n;

	T_OK(mp_manager_counter(m, "c", 5, &old));
	T_OK(unlink_name(m, "c"));
	T_OK(mp_counter_get(old, &n));
	cr_assert(n == 5);
	T_RESULT(unlink_name(m, "c"), -ENOENT);
	T_RESULT(unlink_name(m, ""), -ENOENT);
	T_OK(mp_manager_counter(m, "c", 7, &other));
	cr_assert(!mp_proxy_equal(old, other));
	T_OK(mp_counter_get(other, &n));
	cr_assert(n == 7);
	mp_proxy_close(old);
	mp_proxy_close(other);
	mp_manager_close(m);
}

/* --- clients, holds, the end ------------------------------------------------------------------------ */

static int wait_for_lock(void *argument)
{
	mp_proxy *lock = argument;

	t_ready();
	return mp_served_lock_acquire(lock, MP_FOREVER, NULL) == 0 ? 0 : T_CHILD_FAILED;
}

static const mp_obj *item_of(const mp_obj *list, pid_t pid, bool waits)
{
	for (size_t i = 0; i < list->count; i++) {
		const mp_obj *item = &list->as.items[i];
		if (number_of(item, "pid") == pid && (text_of(item, "method") != NULL) == waits)
			return item;
	}
	return NULL;
}

Test(inspect, who_holds_and_who_waits)
{
	struct t_daemon daemon = t_daemon_start(NULL);
	mp_manager *m;
	mp_proxy *lock;
	mp_obj list;

	T_OK(mp_manager_connect(daemon.address, T_PATIENT, &m));
	T_OK(mp_manager_lock(m, "jobs", &lock));
	T_OK(mp_served_lock_acquire(lock, MP_NOWAIT, NULL));
	struct t_child child = t_spawn(wait_for_lock, lock);
	t_wait_ready(&child);
	for (;;) { /* it is on its way */
		T_OK(list_holds(m, &list));
		if (list.count == 2)
			break;
		mp_obj_free(&list);
	}
	const mp_obj *holds = item_of(&list, getpid(), false);
	const mp_obj *waits = item_of(&list, child.pid, true);
	cr_assert(holds && waits);
	cr_assert_str_eq(text_of(holds, "name"), "jobs");
	cr_assert_str_eq(text_of(waits, "class"), "lock");
	cr_assert_str_eq(text_of(waits, "method"), "acquire");
	cr_assert(number_of(holds, "number") == number_of(waits, "number"));
	cr_assert((pid_t)(uint32_t)number_of(waits, "thread") == child.pid);
	mp_obj_free(&list);

	T_OK(list_clients(m, &list));
	cr_assert(list.count == 2);
	holds = item_of(&list, getpid(), false);
	waits = item_of(&list, child.pid, false);
	cr_assert(number_of(holds, "held") == 1 && number_of(waits, "waiting") == 1);
	cr_assert(number_of(holds, "objects") == 1 && number_of(holds, "requests") > 3);
	cr_assert(mp_obj_get(holds, mp_str("self"))->as.boolean);
	cr_assert(!mp_obj_get(waits, mp_str("self"))->as.boolean);
	mp_obj_free(&list);
	T_OK(mp_served_lock_release(lock));
	t_expect_exit(&child, 0);

	T_OK(get_stats(m, &list));
	cr_assert_not_null(strstr(mp_obj_str(&list), "managerd_requests_total{"));
	mp_obj_free(&list);
	T_OK(end_server(m));
	mp_proxy_close(lock);
	mp_manager_close(m);
	t_wait_pidfd(daemon.pidfd);
	t_daemon_stop(&daemon);
}

/* --- monitor ---------------------------------------------------------------------------------------- */

static int monitor(mp_manager *m, uint64_t after, int timeout_ms, mp_obj *ret)
{
	Mp__Monitor op = MP__MONITOR__INIT;

	op.after = after;
	op.timeout_ms = (uint64_t)timeout_ms;
	return ask(m, &MP__REQUEST(MONITOR, monitor, &op), ret);
}

static uint64_t next_of(const mp_obj *list)
{
	return (uint64_t)mp_obj_i64(&list->as.items[list->count - 1]);
}

Test(inspect, monitor_tells_of_each_request)
{
	mp_manager *m = t_manager();
	mp_dict *d = t_dict(m, "stock");
	char key[100];
	mp_obj list;

	T_OK(mp_dict_set(d, mp_str("before"), mp_i64(1)));
	T_OK(monitor(m, 0, 0, &list));
	cr_assert(list.count == 1);
	uint64_t after = next_of(&list);
	mp_obj_free(&list);
	memset(key, 'k', sizeof(key));
	T_OK(mp_dict_set(d, mp_str("bolts"), mp_str("a secret value")));
	T_OK(mp_dict_set(d, mp_strn(key, sizeof(key)), mp_nil()));
	T_OK(mp_dict_add(d, mp_str("nuts"), mp_i64(1), NULL));
	T_OK(monitor(m, after, T_TIMEOUT_MS, &list));
	cr_assert(list.count == 4 && next_of(&list) == after + 3);
	const mp_obj *e = list.as.items;
	cr_assert_str_eq(text_of(&e[0], "operation"), "dict_set");
	cr_assert_str_eq(text_of(&e[0], "class"), "dict");
	cr_assert_str_eq(text_of(&e[0], "name"), "stock");
	cr_assert_str_eq(text_of(&e[0], "key"), "bolts");
	cr_assert(number_of(&e[0], "pid") == getpid() && number_of(&e[0], "object") == 1);
	cr_assert_null(mp_obj_get(&e[1], mp_str("key")));
	cr_assert_str_eq(text_of(&e[2], "operation"), "call");
	cr_assert_str_eq(text_of(&e[2], "method"), "add");
	cr_assert_null(mp_obj_get(&e[2], mp_str("key")));
	mp_obj_free(&list);
	/* Nothing came, and looking is not shown. */
	T_OK(monitor(m, after + 3, 1, &list));
	cr_assert(list.count == 1 && next_of(&list) == after + 3);
	mp_obj_free(&list);
	T_OK(monitor(m, after + 1000, 1, &list)); /* of an earlier server */
	cr_assert(list.count == 1 && next_of(&list) == after + 3);
	mp_obj_free(&list);
	mp_dict_close(d);
	mp_manager_close(m);
}

#define PINGS 6000

Test(inspect, monitor_leaves_a_gap_for_who_is_too_slow)
{
	mp_manager *m = t_manager();
	mp_obj list;

	T_OK(monitor(m, 0, 0, &list));
	uint64_t begin = next_of(&list);
	mp_obj_free(&list);
	for (int i = 0; i < PINGS; i++) {
		/* It is not to think, on a slow machine, that nobody looks any more. */
		if (i % 100 == 0) {
			T_OK(monitor(m, 0, 0, &list));
			mp_obj_free(&list);
		}
		T_OK(mp_manager_ping(m));
	}
	T_OK(monitor(m, begin, 0, &list));
	uint64_t first = (uint64_t)number_of(&list.as.items[0], "number");
	cr_assert(first > begin + 1 && first < begin + PINGS, "%ju", (uintmax_t)first);
	cr_assert(list.count > 1 && list.count < PINGS);
	uint64_t after = next_of(&list);
	cr_assert(after == first + list.count - 2);
	mp_obj_free(&list);
	uint64_t told = after - first + 1;
	for (size_t n = 1; n > 0; told += n) {
		T_OK(monitor(m, after, 0, &list));
		n = list.count - 1;
		cr_assert(n == 0 || (uint64_t)number_of(&list.as.items[0], "number") == after + 1);
		after = next_of(&list);
		mp_obj_free(&list);
	}
	cr_assert(first + told == begin + 1 + PINGS);
	mp_manager_close(m);
}

static int monitor_until_the_end(void *argument)
{
	mp_manager *m = argument;
	mp_obj list;

	T_CHECK(monitor(m, 0, 0, &list) == 0);
	uint64_t after = next_of(&list);
	mp_obj_free(&list);
	t_ready();
	for (int r = 0; r != -EPIPE;) {
		r = monitor(m, after, T_TIMEOUT_MS, &list);
		T_CHECK(r == 0 || r == -EPIPE);
		if (r == 0) {
			after = next_of(&list);
			mp_obj_free(&list);
		}
	}
	return 0;
}

Test(inspect, monitor_ends_with_its_server_and_not_with_others)
{
	struct t_daemon daemon = t_daemon_start(NULL);
	mp_manager *m;
	mp_obj list;

	T_OK(mp_manager_connect(daemon.address, T_PATIENT, &m));
	struct t_child a = t_spawn(monitor_until_the_end, m);
	struct t_child b = t_spawn(monitor_until_the_end, m);
	t_wait_ready(&a);
	t_wait_ready(&b);
	T_OK(list_holds(m, &list));
	cr_assert(list.count == 0);
	mp_obj_free(&list);
	t_kill(&a, SIGKILL);
	for (int i = 0; i < 100; i++)
		T_OK(mp_manager_ping(m));
	T_OK(end_server(m));
	t_expect_exit(&b, 0);
	mp_manager_close(m);
	t_daemon_stop(&daemon);
}

/* --- other users ------------------------------------------------------------------------------------ */

static int be_another(void *argument)
{
	const struct t_daemon *daemon = argument;
	Mp__ListObjects op = MP__LIST_OBJECTS__INIT;
	mp_manager *m;
	mp_proxy *nameless;
	mp_proxy *mine;
	mp_obj list;

	T_CHECK(setgroups(0, NULL) == 0);
	T_CHECK(setresgid(USER, USER, USER) == 0 && setresuid(USER, USER, USER) == 0);
	T_CHECK(mp_manager_connect(daemon->address, T_PATIENT, &m) == 0);
	T_CHECK(mp_manager_value(m, NULL, mp_i64(1), &nameless) == 0);
	T_CHECK(mp_manager_counter(m, "app.mine", 0, &mine) == 0);

	/* Its own, and what it may open. */
	op.nameless = true;
	T_CHECK(list_objects(m, &op, &list) == 0 && list.count == 3);
	T_CHECK(strcmp(text_of(&list.as.items[0], "name"), "app.theirs") == 0);
	mp_obj_free(&list);
	T_CHECK(list_clients(m, &list) == 0 && list.count == 1);
	T_CHECK(number_of(&list.as.items[0], "pid") == getpid());
	mp_obj_free(&list);
	T_CHECK(list_holds(m, &list) == 0 && list.count == 0);
	mp_obj_free(&list);

	T_CHECK(get_stats(m, &list) == -EACCES);
	T_CHECK(end_server(m) == -EACCES);
	T_CHECK(monitor(m, 0, 0, &list) == -EACCES);
	T_CHECK(unlink_name(m, "app.theirs") == -EACCES);
	T_CHECK(unlink_name(m, "secret") == -EACCES);
	T_CHECK(unlink_name(m, "app.mine") == 0);
	mp_proxy_close(mine);
	mp_proxy_close(nameless);
	mp_manager_close(m);
	return 0;
}

Test(inspect, others_see_what_is_theirs)
{
	char config[] = "/tmp/mp-test-conf-XXXXXX";
	static const char text[] = "[daemon]\nsocket-mode = 0666\n[access]\nallow = * app.*\n";
	mp_manager *m;
	mp_proxy *lock;
	mp_proxy *nameless;

	if (geteuid() != 0)
		cr_skip_test("only root can be somebody else");
	int fd = mkstemp(config);
	cr_assert(fd >= 0 && write(fd, text, sizeof(text) - 1) == sizeof(text) - 1);
	close(fd);
	struct t_daemon daemon = t_daemon_start((const char *const[]){"--config", config, NULL});
	cr_assert(chmod(daemon.directory, 0711) == 0);
	T_OK(mp_manager_connect(daemon.address, T_PATIENT, &m));
	make_counter(m, "app.theirs");
	T_OK(mp_manager_lock(m, "secret", &lock));
	T_OK(mp_served_lock_acquire(lock, MP_NOWAIT, NULL));
	T_OK(mp_manager_value(m, NULL, mp_i64(1), &nameless));

	struct t_child child = t_spawn(be_another, &daemon);
	t_expect_exit(&child, 0);
	mp_proxy_close(nameless);
	mp_proxy_close(lock);
	mp_manager_close(m);
	t_daemon_stop(&daemon);
	unlink(config);
}
