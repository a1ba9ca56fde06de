/* SPDX-License-Identifier: MIT */
/* What a managerd tells about itself: objects, clients, who waits for whom, figures. */
#include <config.h>

#include "tests/support/daemon.h"

#include <mp.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

T_SUITE(manager_look);

#define S(text) mp_str(text)

static const char *text_in(const mp_obj *item, const char *key)
{
	return mp_obj_str(mp_obj_get(item, S(key)));
}

static int64_t number_in(const mp_obj *item, const char *key)
{
	return mp_obj_i64(mp_obj_get(item, S(key)));
}

Test(manager_look, objects_by_name_type_and_beginning)
{
	mp_manager *m = t_manager();
	mp_dict *dict = t_dict(m, "house.dict");
	mp_dict *nameless = t_dict(m, NULL);
	mp_proxy *counter;
	uint64_t after = 0;
	mp_obj list;

	T_OK(mp_manager_counter(m, "garden.counter", 1, &counter));
	T_OK(mp_manager_objects(m, NULL, &after, &list));
	cr_assert(after == 0 && mp_obj_len(&list) == 2);
	cr_assert_str_eq(text_in(mp_obj_at(&list, 0), "name"), "house.dict");
	cr_assert_str_eq(text_in(mp_obj_at(&list, 0), "class"), "dict");
	cr_assert_str_eq(text_in(mp_obj_at(&list, 1), "class"), "counter");
	cr_assert_eq(number_in(mp_obj_at(&list, 1), "uid"), geteuid());
	mp_obj_free(&list);
	T_OK(mp_manager_objects(m, MP_OBJECTS_OPTIONS(.prefix = "gar"), &after, &list));
	cr_assert(mp_obj_len(&list) == 1);
	cr_assert_str_eq(text_in(mp_obj_at(&list, 0), "name"), "garden.counter");
	mp_obj_free(&list);
	T_OK(mp_manager_objects(
		m, MP_OBJECTS_OPTIONS(.type = "dict", .nameless = true), &after, &list));
	cr_assert(mp_obj_len(&list) == 2);
	cr_assert(mp_obj_get(mp_obj_at(&list, 1), S("name")) == NULL);
	mp_obj_free(&list);
	mp_proxy_close(counter);
	mp_dict_close(nameless);
	mp_dict_close(dict);
	mp_manager_close(m);
}

#define MANY 2500

Test(manager_look, many_objects_come_page_by_page_each_once)
{
	mp_manager *m = t_manager();
	static bool seen[MANY];
	uint64_t after = 0;
	size_t n = 0;
	char name[16];
	mp_obj list;

	for (int i = 0; i < MANY; i++) {
		mp_dict *dict;
		snprintf(name, sizeof(name), "d%d", i);
		T_OK(mp_manager_dict(m, name, &dict));
		mp_dict_close(dict);
	}
	do {
		T_OK(mp_manager_objects(m, NULL, &after, &list));
		for (size_t i = 0; i < mp_obj_len(&list); i++) {
			int at = atoi(text_in(mp_obj_at(&list, i), "name") + 1);
			cr_assert(at >= 0 && at < MANY && !seen[at]);
			seen[at] = true;
			n++;
		}
		mp_obj_free(&list);
	} while (after != 0);
	cr_assert_eq(n, MANY);
	mp_manager_close(m);
}

Test(manager_look, clients_holds_and_figures)
{
	mp_manager *m = t_manager();
	mp_proxy *lock;
	mp_obj list, text;

	T_OK(mp_manager_lock(m, "door", &lock));
	T_OK(mp_manager_holds(m, &list));
	cr_assert_eq(mp_obj_len(&list), 0);
	mp_obj_free(&list);
	T_OK(mp_served_lock_acquire(lock, MP_FOREVER, NULL));
	T_OK(mp_manager_holds(m, &list));
	cr_assert_eq(mp_obj_len(&list), 1);
	cr_assert_str_eq(text_in(mp_obj_at(&list, 0), "name"), "door");
	cr_assert_eq(number_in(mp_obj_at(&list, 0), "pid"), getpid());
	mp_obj_free(&list);
	T_OK(mp_manager_clients(m, &list));
	cr_assert_eq(mp_obj_len(&list), 1);
	cr_assert_eq(number_in(mp_obj_at(&list, 0), "pid"), getpid());
	cr_assert_eq(number_in(mp_obj_at(&list, 0), "held"), 1);
	mp_obj_free(&list);
	T_OK(mp_served_lock_release(lock));
	T_OK(mp_manager_stats(m, &text));
	cr_assert(strstr(mp_obj_str(&text), "managerd_objects 1\n"), "%s", mp_obj_str(&text));
	mp_obj_free(&text);
	mp_proxy_close(lock);
	mp_manager_close(m);
}

Test(manager_look, a_name_is_taken_away)
{
	mp_manager *m = t_manager();
	mp_dict *dict = t_dict(m, "d");
	mp_dict *other;

	T_OK(mp_dict_set(dict, S("k"), mp_i64(1)));
	T_OK(mp_manager_unlink(m, "d"));
	T_RESULT(mp_manager_unlink(m, "d"), -ENOENT);
	other = t_dict(m, "d");
	cr_assert_eq(mp_dict_contains(other, S("k")), 0);
	t_expect_get(dict, S("k"), mp_i64(1));
	mp_dict_close(other);
	mp_dict_close(dict);
	mp_manager_close(m);
}

Test(manager_look, wrong_use_is_an_error)
{
	mp_manager *m = t_manager();
	uint64_t after = 0;
	mp_obj list;

	T_RESULT(mp_manager_objects(NULL, NULL, &after, &list), -EINVAL);
	T_RESULT(mp_manager_objects(m, NULL, NULL, &list), -EINVAL);
	T_RESULT(mp_manager_objects(m, NULL, &after, NULL), -EINVAL);
	T_RESULT(mp_manager_objects(m, MP_OBJECTS_OPTIONS(.flags = 1), &after, &list), -EINVAL);
	T_RESULT(mp_manager_objects(m, MP_OBJECTS_OPTIONS(.prefix = "\xff"), &after, &list),
		-EILSEQ);
	T_RESULT(mp_manager_objects(m, MP_OBJECTS_OPTIONS(.type = "\xff"), &after, &list), -EILSEQ);
	struct {
		mp_objects_options known;
		uint64_t later;
	} options = {.known.size = sizeof(options), .later = 1};
	T_RESULT(mp_manager_objects(m, &options.known, &after, &list), -E2BIG);
	T_RESULT(mp_manager_clients(NULL, &list), -EINVAL);
	T_RESULT(mp_manager_clients(m, NULL), -EINVAL);
	T_RESULT(mp_manager_holds(NULL, &list), -EINVAL);
	T_RESULT(mp_manager_holds(m, NULL), -EINVAL);
	T_RESULT(mp_manager_stats(NULL, &list), -EINVAL);
	T_RESULT(mp_manager_stats(m, NULL), -EINVAL);
	T_RESULT(mp_manager_unlink(NULL, "d"), -EINVAL);
	T_RESULT(mp_manager_unlink(m, NULL), -EINVAL);
	mp_manager_close(m);
}

/* As all others: what is lost is said, and the next one connects again. */
Test(manager_look, a_daemon_that_is_gone_is_said)
{
	struct t_daemon daemon = t_daemon_start(NULL);
	mp_manager *m;
	uint64_t after = 0;
	mp_obj list;

	T_OK(mp_manager_connect(daemon.address, T_PATIENT, &m));
	t_daemon_kill(&daemon);
	T_RESULT(mp_manager_objects(m, NULL, &after, &list), -EPIPE);
	t_daemon_restart(&daemon);
	int r;
	while ((r = mp_manager_clients(m, &list)) == -EPIPE)
		;
	T_OK(r);
	mp_obj_free(&list);
	mp_manager_close(m);
	t_daemon_stop(&daemon);
}
