/* SPDX-License-Identifier: MIT */
/*
 * What fails below the calls that open and use what a managerd serves, below transactions and below
 * servers of a program's own. Some failures end the connection: then a new one has to work.
 */
#include <config.h>

#include "tests/support/daemon.h"
#include "tests/support/faults.h"

#include <mp.h>

T_SUITE(faults_served);

/* --- a private managerd ----------------------------------------------------------------------------- */

static mp_manager *manager;

static void open_manager(void)
{
	T_CHECK(mp_manager_start(T_PATIENT, &manager) == 0);
}

static void close_manager(void)
{
	T_CHECK(mp_manager_close(manager) == 0);
}

/* Opens one, does something with it, closes it; on the connection there is. */
#define SERVED(name, pages, call)                       \
	static int again_##name(void)                   \
	{                                               \
		mp_manager *broken = manager;           \
		open_manager();                         \
		T_CHECK(mp_manager_close(broken) == 0); \
		return call();                          \
	}                                               \
	FAULTS(faults_served, name, pages, open_manager, call, close_manager, again_##name)

static int first_of(int first, int second)
{
	return first < 0 ? first : second;
}

static int use_dict(void)
{
	mp_dict *dict;
	mp_obj value;
	int r = mp_manager_dict(manager, NULL, &dict);

	if (r < 0)
		return r;
	r = mp_dict_set(dict, mp_str("key"), MP_LIST(mp_i64(1), mp_str("text")));
	if (r >= 0)
		r = mp_dict_get(dict, mp_str("key"), &value);
	if (r >= 0)
		mp_obj_free(&value);
	mp_dict_close(dict);
	return r;
}

SERVED(dict, "mp_dict mp_manager_start mp_obj_encode", use_dict)

static int transact(void)
{
	const mp_dict_step steps[] = {
		{MP_DICT_ABSENT, mp_str("a"), mp_nil()}, {MP_DICT_SET, mp_str("a"), mp_i64(1)}};
	int64_t version;
	mp_dict *dict;
	int r = mp_manager_dict(manager, NULL, &dict);

	if (r < 0)
		return r;
	r = mp_dict_version(dict, &version);
	if (r >= 0)
		r = mp_dict_transact(dict, version, steps, 2);
	mp_dict_close(dict);
	return r;
}

SERVED(transact, "mp_dict mp_dict_transact mp_manager_start mp_obj_encode", transact)

static int use_list(void)
{
	mp_proxy *list;
	mp_obj value;
	int r = mp_manager_list(manager, NULL, &list);

	if (r < 0)
		return r;
	r = mp_list_append(list, mp_str("text"));
	if (r >= 0)
		r = mp_list_get(list, 0, &value);
	if (r >= 0)
		mp_obj_free(&value);
	mp_proxy_close(list);
	return r;
}

SERVED(list, "mp_list mp_manager_start mp_proxy mp_obj_encode", use_list)

static int use_namespace(void)
{
	mp_proxy *space;
	mp_obj all;
	int r = mp_manager_namespace(manager, NULL, &space);

	if (r < 0)
		return r;
	r = mp_namespace_set(space, "attribute", mp_i64(1));
	if (r >= 0)
		r = mp_namespace_items(space, &all);
	if (r >= 0)
		mp_obj_free(&all);
	mp_proxy_close(space);
	return r;
}

SERVED(namespace, "mp_namespace mp_manager_start mp_proxy mp_obj_encode", use_namespace)

static int use_queue(void)
{
	mp_proxy *queue;
	mp_obj value;
	int r = mp_manager_queue(manager, NULL, MP_QUEUE_OPTIONS(.maxsize = 3), &queue);

	if (r < 0)
		return r;
	r = mp_served_queue_put(queue, mp_str("text"), T_TIMEOUT_MS);
	if (r >= 0)
		r = mp_served_queue_get(queue, T_TIMEOUT_MS, &value);
	if (r >= 0)
		mp_obj_free(&value);
	mp_proxy_close(queue);
	return r;
}

SERVED(queue, "mp_served_queue mp_manager_start mp_proxy mp_obj_encode", use_queue)

static int use_lock(void)
{
	mp_proxy *lock;
	int r = mp_manager_lock(manager, NULL, &lock);

	if (r < 0)
		return r;
	r = mp_served_lock_acquire(lock, T_TIMEOUT_MS, NULL);
	r = r < 0 ? r : mp_served_lock_release(lock);
	mp_proxy_close(lock);
	return r;
}

SERVED(lock, "mp_served_lock mp_manager_start mp_proxy", use_lock)

static int use_counter(void)
{
	mp_proxy *counter;
	int64_t number;
	int r = mp_manager_counter(manager, NULL, 7, &counter);

	if (r < 0)
		return r;
	r = mp_counter_add(counter, 1, &number);
	r = r < 0 || number == 8 ? r : -1;
	mp_proxy_close(counter);
	return r;
}

SERVED(counter, "mp_served_value mp_manager_start mp_proxy", use_counter)

/* --- a server of one's own ---------------------------------------------------------------------------- */

static mp_server *server;
static char address[64];

static int make(int argc, const mp_obj *argv, void **ret_object)
{
	(void)argc;
	(void)argv;
	*ret_object = NULL;
	return 0;
}

static int nothing(void *object, int argc, const mp_obj *argv, mp_obj *ret_result)
{
	(void)object;
	(void)argv;
	*ret_result = mp_i64(argc);
	return 0;
}

static const mp_method methods[] = {{"nothing", nothing}, {NULL, NULL}};
static const mp_served_type type = {.name = "nothing", .make = make, .methods = methods};

static void choose_address(void)
{
	snprintf(address, sizeof(address), "unix:/tmp/mp-test-faults-%d/socket", getpid());
}

static int server_new(void)
{
	return first_of(mp_server_new(address, NULL, &server), 0);
}

static void server_closed(void)
{
	mp_server_close(server);
	*strrchr(address, '/') = '\0';
	(void)rmdir(address + sizeof("unix:") - 1);
	choose_address();
}

FAULTS(faults_served, server_new, "mp_server", choose_address, server_new, server_closed)

static void server_made(void)
{
	choose_address();
	T_CHECK(server_new() == 0);
}

static int server_register(void)
{
	return mp_server_register(server, &type);
}

FAULTS(faults_served, server_register, "mp_server", server_made, server_register, server_closed)
