/* SPDX-License-Identifier: MIT */
/*
 * What fails below the calls on what a managerd serves: dicts, lists, namespaces, queues, counters,
 * values, arrays, expiry, versions, transactions, many calls at once. Some failures end the
 * connection: then a new one has to work. The daemon is the same for all tries of a case.
 */
#include <config.h>

#include "tests/support/daemons.h"

FAULTS_SUITE(faults_served);

#define SERVED(id, setup, call, end) SERVED_IN(faults_served, id, setup, call, end)
#define PROXY(id, open, call) SERVED_PROXY_IN(faults_served, id, open, call)

/* --- dicts ------------------------------------------------------------------------------------------- */

static mp_dict *dict;

static void dict_opened(void)
{
	manager_opened();
	T_CHECK(mp_manager_dict(manager, NULL, &dict) == 0);
	T_CHECK(mp_dict_set(dict, mp_str("there"), mp_i64(1)) == 0);
}

static void dict_closed(void)
{
	T_CHECK(mp_dict_close(dict) == 0);
	manager_closed();
}

static int open_dict(void)
{
	mp_dict *d;

	T_STEP(mp_manager_dict(manager, NULL, &d));
	return mp_dict_close(d);
}

SERVED(open_dict, manager_opened, open_dict, manager_closed)

#define DICT(name, call) SERVED(name, dict_opened, call, dict_closed)

static mp_obj got;

static int and_free(int result)
{
	if (result >= 0)
		mp_obj_free(&got);
	return result;
}

static int set_and_get(void)
{
	T_STEP(mp_dict_set(dict, mp_str("key"), MP_LIST(mp_i64(1), mp_str("text"))));
	T_STEP(and_free(mp_dict_get(dict, mp_str("key"), &got)));
	T_STEP(mp_dict_contains(dict, mp_str("key")));
	T_STEP(and_free(mp_dict_setdefault(dict, mp_str("key"), mp_i64(1), &got)));
	return and_free(mp_dict_pop(dict, mp_str("key"), &got));
}

static int look_at_all(void)
{
	size_t n;

	T_STEP(mp_dict_len(dict, &n));
	T_STEP(and_free(mp_dict_keys(dict, &got)));
	T_STEP(and_free(mp_dict_values(dict, &got)));
	T_STEP(and_free(mp_dict_items(dict, &got)));
	return and_free(mp_dict_get_many(dict, MP_LIST(mp_str("there")), &got));
}

static int change_many(void)
{
	T_STEP(mp_dict_update(dict, MP_DICT(mp_str("a"), mp_i64(1), mp_str("n"), mp_i64(2))));
	T_STEP(and_free(mp_dict_add(dict, mp_str("n"), mp_i64(1), &got)));
	T_STEP(mp_dict_compare_and_swap(dict, mp_str("a"), mp_i64(1), mp_i64(1)));
	T_STEP(and_free(mp_dict_popitem(dict, &got)));
	return mp_dict_clear(dict);
}

static int expiry(void)
{
	int64_t ttl;

	T_STEP(mp_dict_set_for(dict, mp_str("key"), mp_i64(1), 100000));
	T_STEP(mp_dict_expire(dict, mp_str("key"), 200000));
	T_STEP(mp_dict_ttl(dict, mp_str("key"), &ttl));
	return mp_dict_persist(dict, mp_str("key"));
}

static int versions(void)
{
	int64_t version;

	T_STEP(mp_dict_version(dict, &version));
	return mp_dict_watch(dict, version - 1, T_TIMEOUT_MS, &version);
}

static int transact(void)
{
	const mp_dict_step steps[] = {
		{MP_DICT_SET, mp_str("a"), mp_i64(1)}, {MP_DICT_DELETE, mp_str("a"), mp_nil()}};

	return mp_dict_transact(dict, MP_DICT_ANY_VERSION, steps, 2);
}

static int transact_several(void)
{
	const mp_transact_step steps[] = {
		{mp_dict_handle(dict), MP_DICT_SET, mp_str("a"), mp_i64(1)},
		{mp_dict_handle(dict), MP_DICT_ADD, mp_str("a"), mp_i64(1)}};

	return mp_transact(steps, 2);
}

static int many_calls(void)
{
	mp_call calls[3] = {{.object = mp_dict_handle(dict),
				    .method = "set",
				    .args = MP_ARGS(mp_str("k"), mp_i64(1))},
		{.object = mp_dict_handle(dict), .method = "get", .args = MP_ARGS(mp_str("k"))},
		{.object = mp_dict_handle(dict), .method = "len", .args = mp_nil()}};
	int r = mp_call_many(calls, 3, T_TIMEOUT_MS);

	if (r < 0)
		return r;
	for (int i = 0; i < 3; i++) {
		r = r < 0 ? r : calls[i].result;
		mp_obj_free(&calls[i].value);
	}
	return r;
}

DICT(dict, set_and_get)
DICT(dict_looks, look_at_all)
DICT(dict_changes, change_many)
DICT(dict_expiry, expiry)
DICT(dict_versions, versions)
DICT(dict_transact, transact)
DICT(transact, transact_several)
DICT(call_many, many_calls)

static int look_at_the_daemon(void)
{
	uint64_t after = 0;

	T_STEP(and_free(mp_manager_objects(manager, NULL, &after, &got)));
	T_STEP(and_free(mp_manager_clients(manager, &got)));
	T_STEP(and_free(mp_manager_holds(manager, &got)));
	return and_free(mp_manager_stats(manager, &got));
}

static int name_and_unlink(void)
{
	mp_dict *d;

	T_STEP(mp_manager_dict(manager, "named", &d));
	T_STEP(mp_dict_close(d));
	int r = mp_manager_unlink(manager, "named");
	return r == -ENOENT ? 0 : r; /* by the try that lost its answer */
}

DICT(inspection, look_at_the_daemon)
DICT(unlink, name_and_unlink)

/* --- proxies --------------------------------------------------------------------------------------- */

static int any_proxy(void)
{
	int64_t n;
	int64_t version;

	T_STEP(and_free(mp_proxy_call(proxy, "len", mp_nil(), T_TIMEOUT_MS, &got)));
	T_STEP(mp_proxy_version(proxy, &version));
	T_STEP(mp_proxy_watch(proxy, version - 1, T_TIMEOUT_MS, &version));
	T_STEP(mp_proxy_expire(proxy, 100000));
	T_STEP(mp_proxy_ttl(proxy, &n));
	return mp_proxy_persist(proxy);
}

PROXY(proxy, mp_manager_open(manager, "list", "name", mp_nil(), &proxy), any_proxy)

static int ask_proxy(void)
{
	T_CHECK(strcmp(mp_proxy_type(proxy), "list") == 0 && mp_proxy_equal(proxy, proxy) == 1);
	T_CHECK(mp_proxy_dict(proxy) == NULL);
	return 0;
}

#define QUIET_SERVED(id, setup, call, end)                     \
	static const struct t_fault_case case_##id = {         \
		"faults_served/" #id, setup, call, end, NULL}; \
	Test(faults_served, id)                                \
	{                                                      \
		its_daemon = t_daemon_start(NULL);             \
		t_quiet(&case_##id);                           \
		t_daemon_stop(&its_daemon);                    \
	}

QUIET_SERVED(reads_what_a_proxy_knows, proxy_opened, ask_proxy, proxy_closed)

/* --- lists ------------------------------------------------------------------------------------------ */

static int list_items(void)
{
	T_STEP(mp_list_append(proxy, mp_str("text")));
	T_STEP(mp_list_insert(proxy, 0, mp_i64(7)));
	T_STEP(mp_list_set(proxy, 0, mp_i64(8)));
	T_STEP(and_free(mp_list_get(proxy, 0, &got)));
	T_STEP(and_free(mp_list_add(proxy, 0, mp_i64(1), &got)));
	T_STEP(mp_list_compare_and_swap(proxy, 0, mp_i64(9), mp_i64(7)));
	T_STEP(and_free(mp_list_pop(proxy, 0, &got)));
	return mp_list_delete(proxy, 0);
}

static int list_looks(void)
{
	size_t n;

	T_STEP(mp_list_extend(proxy, MP_LIST(mp_i64(3), mp_i64(1), mp_i64(2))));
	T_STEP(mp_list_index(proxy, mp_i64(1), &n));
	T_STEP(mp_list_index_in(proxy, mp_i64(1), 0, MP_LIST_END, &n));
	T_STEP(mp_list_count(proxy, mp_i64(1), &n));
	T_STEP(mp_list_contains(proxy, mp_i64(1)));
	T_STEP(mp_list_len(proxy, &n));
	T_STEP(and_free(mp_list_items(proxy, &got)));
	return mp_list_remove(proxy, mp_i64(3));
}

static int list_whole(void)
{
	T_STEP(mp_list_clear(proxy));
	T_STEP(mp_list_extend(proxy, MP_LIST(mp_i64(3), mp_i64(1), mp_i64(2))));
	T_STEP(mp_list_reverse(proxy));
	T_STEP(mp_list_sort(proxy, true));
	T_STEP(mp_list_multiply(proxy, 2));
	T_STEP(and_free(mp_list_slice(proxy, 0, 3, 1, &got)));
	T_STEP(mp_list_set_slice(proxy, 0, 1, 1, MP_LIST(mp_i64(3))));
	return mp_list_delete_slice(proxy, 0, 2, 1);
}

PROXY(list, mp_manager_list(manager, NULL, &proxy), list_items)
SERVED(list_looks, list_opened, list_looks, proxy_closed)
SERVED(list_whole, list_opened, list_whole, proxy_closed)

/* --- namespaces ---------------------------------------------------------------------------------------- */

static int namespace(void)
{
	T_STEP(mp_namespace_set(proxy, "attribute", mp_i64(1)));
	T_STEP(and_free(mp_namespace_get(proxy, "attribute", &got)));
	T_STEP(mp_namespace_has(proxy, "attribute"));
	T_STEP(and_free(mp_namespace_items(proxy, &got)));
	return mp_namespace_delete(proxy, "attribute");
}

PROXY(namespace, mp_manager_namespace(manager, NULL, &proxy), namespace)

/* --- numbers and values --------------------------------------------------------------------------------- */

static int counter(void)
{
	int64_t n;

	T_STEP(mp_counter_set(proxy, 1));
	T_STEP(mp_counter_add(proxy, 1, &n));
	T_STEP(mp_counter_compare_and_swap(proxy, 2, 3, &n));
	return mp_counter_get(proxy, &n);
}

PROXY(counter, mp_manager_counter(manager, NULL, 7, &proxy), counter)

static int value(void)
{
	T_STEP(mp_served_value_set(proxy, mp_str("text")));
	T_STEP(and_free(mp_served_value_exchange(proxy, mp_i64(1), &got)));
	return and_free(mp_served_value_get(proxy, &got));
}

PROXY(value, mp_manager_value(manager, NULL, mp_nil(), &proxy), value)

static int array(void)
{
	size_t n;

	T_STEP(mp_served_array_set(proxy, 0, mp_i64(1)));
	T_STEP(and_free(mp_served_array_get(proxy, 0, &got)));
	T_STEP(and_free(mp_served_array_add(proxy, 0, mp_i64(1), &got)));
	T_STEP(mp_served_array_compare_and_swap(proxy, 0, mp_i64(2), mp_i64(3)));
	T_STEP(mp_served_array_len(proxy, &n));
	return mp_served_array_type(proxy);
}

static int array_slices(void)
{
	T_STEP(mp_served_array_set_slice(proxy, MP_SLICE(0, 2), MP_LIST(mp_i64(1), mp_i64(2))));
	T_STEP(and_free(mp_served_array_get_slice(proxy, MP_SLICE_ALL, &got)));
	return and_free(mp_served_array_items(proxy, &got));
}

PROXY(array, mp_manager_array(manager, NULL, 'i', mp_i64(5), &proxy), array)
SERVED(array_slices, array_opened, array_slices, proxy_closed)

/* --- queues -------------------------------------------------------------------------------------------- */

static int queue(void)
{
	size_t n;

	T_STEP(mp_served_queue_put(proxy, mp_str("text"), T_TIMEOUT_MS));
	T_STEP(mp_served_queue_put_priority(proxy, mp_str("text"), 3, T_TIMEOUT_MS));
	T_STEP(and_free(mp_served_queue_get(proxy, T_TIMEOUT_MS, &got)));
	T_STEP(mp_served_queue_size(proxy, &n));
	T_STEP(mp_served_queue_empty(proxy));
	T_STEP(mp_served_queue_full(proxy));
	return mp_served_queue_clear(proxy);
}

static int queue_end(void)
{
	T_STEP(mp_served_queue_put(proxy, mp_str("text"), T_TIMEOUT_MS));
	T_STEP(and_free(mp_served_queue_get(proxy, T_TIMEOUT_MS, &got)));
	T_STEP(mp_served_queue_task_done(proxy));
	T_STEP(mp_served_queue_join(proxy, T_TIMEOUT_MS));
	T_STEP(mp_served_queue_is_shutdown(proxy));
	return mp_served_queue_shutdown(proxy, MP_QUEUE_IMMEDIATE);
}

PROXY(queue,
	mp_manager_queue(manager, NULL,
		MP_QUEUE_OPTIONS(.maxsize = 30, .joinable = true, .order = MP_QUEUE_PRIORITY),
		&proxy),
	queue)
SERVED(queue_end, queue_opened, queue_end, proxy_closed)
