/* SPDX-License-Identifier: MIT */
/*
 * What fails below the calls that start a managerd of one's own, connect to one and take leave; below
 * those of servers of a program's own; and below the travel of handles.
 */
#include <config.h>

#include "tests/support/daemons.h"

FAULTS_SUITE(faults_server);

/* --- managers ---------------------------------------------------------------------------------------- */

static int manager_start(void)
{
	return mp_manager_start(T_PATIENT, &manager);
}

FAULTS(faults_server, start, NULL, manager_start, manager_closed)

static int manager_connect(void)
{
	return mp_manager_connect(its_daemon.address, NULL, &manager);
}

static void nothing_made(void)
{
}

static void closed_again(void)
{
	if (manager)
		manager_closed();
	manager = NULL;
}

SERVED_IN(faults_server, connect, nothing_made, manager_connect, closed_again)

static int manager_use(void)
{
	return mp_manager_ping(manager);
}

SERVED_IN(faults_server, use, manager_opened, manager_use, manager_closed)

static int manager_close(void)
{
	return mp_manager_close(manager);
}

static void started(void)
{
	T_CHECK(manager_start() == 0);
}

static int manager_pid(void)
{
	T_STEP(mp_manager_pid(manager));
	return 0;
}

FAULTS(faults_server, close, started, manager_close)
QUIET(faults_server, reads_a_number, started, manager_pid, manager_closed)

/* --- handles of what is served, on their way to somebody else ------------------------------------------- */

static mp_connection *here;
static mp_connection *there;
static mp_dict *dict;
static mp_proxy *proxy;

static void with_a_pipe(void)
{
	manager_opened();
	T_CHECK(mp_manager_dict(manager, NULL, &dict) == 0);
	T_CHECK(mp_manager_list(manager, NULL, &proxy) == 0);
	T_CHECK(mp_connection_pair(NULL, &here, &there) == 0);
}

static void pipe_closed(void)
{
	T_CHECK(mp_connection_close(here) == 0 && mp_connection_close(there) == 0);
	T_CHECK(mp_dict_close(dict) == 0 && mp_proxy_close(proxy) == 0);
	manager_closed();
}

static int travel(void)
{
	mp_obj got;

	T_STEP(mp_connection_send(here,
		MP_LIST(mp_manager_handle(manager), mp_dict_handle(dict), mp_proxy_handle(proxy)),
		T_TIMEOUT_MS));
	T_STEP(mp_connection_recv(there, T_TIMEOUT_MS, &got));
	mp_manager *m = mp_obj_manager(mp_obj_at(&got, 0));
	mp_dict *d = mp_obj_dict(mp_obj_at(&got, 1));
	mp_proxy *p = mp_obj_proxy(mp_obj_at(&got, 2));
	T_CHECK(m && d && p);
	mp_manager_ref(m);
	T_CHECK(mp_manager_close(m) == 0);
	mp_dict_ref(d);
	T_CHECK(mp_dict_close(d) == 0);
	mp_proxy_ref(p);
	T_CHECK(mp_proxy_close(p) == 0);
	mp_obj_free(&got);
	return 0;
}

SERVED_IN(faults_server, travel, with_a_pipe, travel, pipe_closed)

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

static int stop(void *object, int argc, const mp_obj *argv, mp_obj *ret_result)
{
	(void)object;
	(void)argc;
	(void)argv;
	(void)ret_result;
	return mp_server_stop(server);
}

static int give(void *object, int argc, const mp_obj *argv, mp_obj *ret_result);
static int take(void *object, int argc, const mp_obj *argv, mp_obj *ret_result);

static const mp_method methods[] = {
	{"nothing", nothing}, {"give", give}, {"take", take}, {"stop", stop}, {NULL, NULL}};
static char some_object;
static const mp_served_type type = {.name = "nothing", .make = make, .methods = methods};

static int give(void *object, int argc, const mp_obj *argv, mp_obj *ret_result)
{
	(void)object;
	(void)argc;
	(void)argv;
	return mp_served_new(&type, &some_object, ret_result);
}

static int take(void *object, int argc, const mp_obj *argv, mp_obj *ret_result)
{
	(void)object;
	(void)ret_result;
	return argc == 1 && mp_obj_served(&argv[0], &type) == &some_object ? 0 : -EINVAL;
}

static void choose_address(void)
{
	snprintf(address, sizeof(address), "unix:/tmp/mp-test-faults-%d/socket", getpid());
}

static int server_new(void)
{
	return mp_server_new(address, NULL, &server);
}

static void directory_gone(void)
{
	*strrchr(address, '/') = '\0';
	(void)rmdir(address + sizeof("unix:") - 1);
	choose_address();
}

static void server_closed(void)
{
	mp_server_close(server);
	directory_gone();
}

FAULTS(faults_server, make, choose_address, server_new, server_closed)

static int server_life(void)
{
	T_STEP(server_new());
	mp_server_close(server);
	return 0;
}

FAULTS(faults_server, life, choose_address, server_life, directory_gone)

static void server_made(void)
{
	choose_address();
	T_CHECK(server_new() == 0);
}

static int server_register(void)
{
	return mp_server_register(server, &type);
}

FAULTS(faults_server, register_type, server_made, server_register, server_closed)

/* --- it serves: a failure costs a connection or a call, and the client comes again --------------------- */

static struct t_child client;

static int ask_server(mp_manager *m)
{
	mp_proxy *p;
	mp_obj result;
	mp_obj given;

	T_STEP(mp_manager_open(m, "nothing", NULL, mp_nil(), &p));
	int r = mp_proxy_call(p, "nothing", mp_nil(), T_TIMEOUT_MS, &result);
	if (r == 0)
		r = mp_proxy_call(p, "give", mp_nil(), T_TIMEOUT_MS, &given);
	if (r == 0) {
		r = mp_proxy_call(p, "take", MP_LIST(given), T_TIMEOUT_MS, &result);
		mp_obj_free(&given);
	}
	if (r == 0)
		r = mp_proxy_call(p, "stop", mp_nil(), T_TIMEOUT_MS, &result);
	T_CHECK(mp_proxy_close(p) == 0);
	return r;
}

/* Until it is killed: that it was the one who stopped the server it may never hear. */
static int ask_again_and_again(void *argument)
{
	mp_manager *m;

	(void)argument;
	for (;;) {
		if (mp_manager_connect(address, NULL, &m) < 0)
			continue;
		(void)ask_server(m);
		T_CHECK(mp_manager_close(m) == 0);
	}
}

static void server_awaited(void)
{
	server_made();
	T_CHECK(server_register() == 0);
	client = t_spawn(ask_again_and_again, NULL);
}

static int server_run(void)
{
	return mp_server_run(server);
}

static void client_killed(void)
{
	t_kill(&client, SIGKILL);
	server_closed();
}

FAULTS(faults_server, run, server_awaited, server_run, client_killed)
