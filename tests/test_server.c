/* SPDX-License-Identifier: MIT */
/* Types of a program's own, served to others. Where CPython tests the same, the test has its name. */
#include <config.h>

#include "tests/support/place.h"
#include "tests/support/support.h"

#include <mp.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

T_SUITE(server);

#define LONG_MS 60000
#define I(n) mp_i64(n)

/* --- a type ------------------------------------------------------------------------------------- */

struct account {
	int64_t balance;
};

static int make_account(int argc, const mp_obj *argv, void **ret_object)
{
	struct account *account;

	if (argc > 1 || (argc == 1 && argv[0].type != MP_TYPE_I64))
		return mp_error_set(-EINVAL, "an account is opened with a number");
	account = malloc(sizeof(*account));
	if (!account)
		return -ENOMEM;
	account->balance = argc == 1 ? mp_obj_i64(&argv[0]) : 0;
	*ret_object = account;
	return 0;
}

static int deposit(void *object, int argc, const mp_obj *argv, mp_obj *ret_result)
{
	struct account *account = object;

	if (argc != 1)
		return mp_error_set(-EINVAL, "deposit takes one number, not %d", argc);
	account->balance += mp_obj_i64(&argv[0]);
	*ret_result = I(account->balance);
	return 0;
}

static int withdraw(void *object, int argc, const mp_obj *argv, mp_obj *ret_result)
{
	struct account *account = object;

	(void)ret_result;
	(void)argc;
	if (account->balance < mp_obj_i64(&argv[0]))
		return mp_error_set(-EDQUOT, "there are only %lld", (long long)account->balance);
	account->balance -= mp_obj_i64(&argv[0]);
	return 0;
}

static int history(void *object, int argc, const mp_obj *argv, mp_obj *ret_result)
{
	(void)object;
	/* A value of its own: the arguments are lent. */
	mp_obj list = mp_list_of(argv, (size_t)argc);
	return mp_obj_copy(list, ret_result);
}

static mp_server *stopped;

static int stop(void *object, int argc, const mp_obj *argv, mp_obj *ret_result)
{
	(void)object;
	(void)argc;
	(void)argv;
	*ret_result = mp_str("good bye");
	return mp_server_stop(stopped);
}

static int fail_silently(void *object, int argc, const mp_obj *argv, mp_obj *ret_result)
{
	(void)object;
	(void)argc;
	(void)argv;
	(void)ret_result;
	return -EDOM;
}

static const mp_method methods[] = {{"withdraw", withdraw}, {"deposit", deposit},
	{"history", history}, {"stop", stop}, {"fail", fail_silently}, {NULL, NULL}};
static const mp_served_type account_type = {"account", make_account, free, methods};

/* --- a server in a process of its own ----------------------------------------------------------- */

static char directory[T_PLACE_SIZE];
static char address[96];
static mp_server *server;
static struct t_child child;
static mp_manager *m;

static int serve(void *argument)
{
	mp_server *s = argument;

	stopped = s;
	T_CHECK(mp_server_run(s) == 0);
	mp_server_close(s);
	return 0;
}

static void open_server(void)
{
	t_place_make(directory);
	snprintf(address, sizeof(address), "unix:%s/socket", directory);
	T_OK(mp_server_new(address, NULL, &server));
	T_OK(mp_server_register(server, &account_type));
}

static void start(void)
{
	open_server();
	child = t_spawn(serve, server);
	T_OK(mp_manager_connect(address, T_PATIENT, &m));
}

static void end(void)
{
	T_OK(mp_server_stop(server));
	t_expect_exit(&child, 0);
	mp_manager_close(m);
	mp_server_close(server);
	cr_assert_eq(rmdir(directory), 0, "the server has left something behind");
}

static mp_proxy *open_account(const char *name)
{
	mp_proxy *account;

	T_OK(mp_manager_open(m, "account", name, mp_nil(), &account));
	return account;
}

static int64_t call(mp_proxy *account, const char *method, int64_t n)
{
	mp_obj result;

	T_OK(mp_proxy_call(account, method, MP_LIST(I(n)), MP_NOWAIT, &result));
	return mp_obj_i64(&result);
}

/* CPython's test_mymanager, with other sums. */
Test(server, test_mymanager)
{
	mp_proxy *bob, *again, *other;
	mp_obj result;

	start();
	bob = open_account("Bob");
	cr_assert_eq(call(bob, "deposit", 100), 100);
	T_RESULT(mp_proxy_call(bob, "withdraw", MP_LIST(I(101)), MP_NOWAIT, NULL), -EDQUOT);
	cr_assert_str_eq(mp_error_detail(), "there are only 100");
	T_OK(mp_proxy_call(bob, "withdraw", MP_LIST(I(30)), MP_NOWAIT, &result));
	cr_assert_eq(result.type, MP_TYPE_NIL);
	again = open_account("Bob");
	cr_assert_eq(call(again, "deposit", 0), 70);
	T_RESULT(mp_proxy_equal(bob, again), 1);
	T_OK(mp_manager_open(m, "account", NULL, MP_LIST(I(5)), &other));
	cr_assert_eq(call(other, "deposit", 1), 6);
	T_OK(mp_proxy_call(
		bob, "history", MP_LIST(I(1), MP_LIST(mp_str("a"))), MP_NOWAIT, &result));
	mp_obj wanted = MP_LIST(I(1), MP_LIST(mp_str("a")));
	cr_assert(mp_obj_equal(&result, &wanted));
	mp_obj_free(&result);
	mp_proxy_close(bob);
	mp_proxy_close(again);
	mp_proxy_close(other);
	end();
}

Test(server, errors_of_methods_reach_the_caller)
{
	mp_proxy *bob;

	start();
	bob = open_account("Bob");
	T_RESULT(mp_proxy_call(bob, "deposit", mp_nil(), MP_NOWAIT, NULL), -EINVAL);
	cr_assert_str_eq(mp_error_detail(), "deposit takes one number, not 0");
	T_RESULT(mp_proxy_call(bob, "fail", mp_nil(), MP_NOWAIT, NULL), -EDOM);
	cr_assert_str_eq(mp_error_detail(), "fail failed");
	T_RESULT(mp_proxy_call(bob, "rob", mp_nil(), MP_NOWAIT, NULL), -ENOSYS);
	mp_proxy_close(bob);
	T_RESULT(mp_manager_open(m, "account", NULL, MP_LIST(mp_str("a lot")), &bob), -EINVAL);
	cr_assert_str_eq(mp_error_detail(), "an account is opened with a number");
	/* What was not made has no name. */
	T_RESULT(mp_manager_open(m, "account", "Eve", MP_LIST(mp_str("a lot")), &bob), -EINVAL);
	bob = open_account("Eve");
	mp_proxy_close(bob);
	T_RESULT(mp_manager_open(m, "lock", NULL, mp_nil(), &bob), -ENOSYS);
	bob = open_account("Bob");
	T_RESULT(mp_proxy_call(bob, "history", MP_LIST(mp_handle(m)), MP_NOWAIT, NULL), -ENOTSUP);
	mp_proxy_close(bob);
	end();
}

static int deposit_often(void *argument)
{
	mp_proxy *account = argument;

	for (int i = 0; i < 500; i++)
		T_CHECK(mp_proxy_call(account, "deposit", MP_LIST(I(1)), MP_NOWAIT, NULL) == 0);
	return 0;
}

Test(server, calls_are_atomic_and_clients_may_die)
{
	struct t_child clients[4];
	mp_proxy *bob;

	start();
	bob = open_account("Bob");
	for (int i = 0; i < 4; i++)
		clients[i] = t_spawn(deposit_often, bob);
	t_kill(&clients[3], SIGKILL);
	for (int i = 0; i < 3; i++)
		t_expect_exit(&clients[i], 0);
	int64_t sum = call(bob, "deposit", 0);
	cr_assert(sum >= 1500 && sum <= 2000);
	mp_proxy_close(bob);
	end();
}

Test(server, a_method_may_end_the_server)
{
	mp_proxy *bob;
	mp_obj result;

	start();
	bob = open_account("Bob");
	T_OK(mp_proxy_call(bob, "stop", mp_nil(), MP_NOWAIT, &result));
	cr_assert_str_eq(mp_obj_str(&result), "good bye");
	mp_obj_free(&result);
	t_expect_exit(&child, 0);
	mp_proxy_close(bob);
	mp_manager_close(m);
	mp_server_close(server);
	cr_assert_eq(rmdir(directory), 0);
}

static void *run_in_thread(void *argument)
{
	T_OK(mp_server_run(argument));
	return NULL;
}

Test(server, it_serves_in_a_thread_and_runs_again)
{
	pthread_t thread;
	mp_proxy *bob;

	open_server();
	for (int i = 0; i < 2; i++) {
		pthread_create(&thread, NULL, run_in_thread, server);
		T_OK(mp_manager_connect(address, T_PATIENT, &m));
		bob = open_account("Bob");
		cr_assert_eq(call(bob, "deposit", 1), 1);
		T_RESULT(mp_server_run(server), -EBUSY);
		T_RESULT(mp_server_register(server, &account_type), -EBUSY);
		mp_proxy_close(bob);
		mp_manager_close(m);
		T_OK(mp_server_stop(server));
		pthread_join(thread, NULL);
	}
	mp_server_close(server);
	cr_assert_eq(rmdir(directory), 0);
}

/* The name of a killed server is taken over; that of a living one is not. */
Test(server, names_of_the_dead_are_taken_over)
{
	mp_server *other;

	start();
	T_RESULT(mp_server_new(address, NULL, &other), -EADDRINUSE);
	t_kill(&child, SIGKILL);
	mp_manager_close(m);
	/* This process has the socket, too, so somebody is there still. */
	T_RESULT(mp_server_new(address, NULL, &other), -EADDRINUSE);
	mp_server_close(server);
	T_OK(mp_server_new(address, NULL, &other));
	mp_server_close(other);
	cr_assert_eq(rmdir(directory), 0);
}

/* As many as it may: new ones are refused, and nothing is left behind. */
static int poor(void *argument)
{
	const struct rlimit few = {.rlim_cur = 3, .rlim_max = 3};
	mp_server *other;

	T_CHECK(setrlimit(RLIMIT_NOFILE, &few) == 0);
	T_CHECK(mp_server_new(argument, NULL, &other) == -EMFILE);
	return 0;
}

Test(server, addresses_that_cannot_be_had)
{
	char path[160];
	mp_server *other;
	struct {
		mp_server_options known;
		uint64_t more;
	} newer = {.known = {.size = sizeof(newer)}, .more = 1};

	open_server();
	T_RESULT(mp_server_new(address, &newer.known, &other), -E2BIG);
	snprintf(path, sizeof(path), "/tmp/%0120d", 1);
	T_RESULT(mp_server_new(path, NULL, &other), -ENAMETOOLONG);
	T_RESULT(mp_server_new(directory, NULL, &other), -EEXIST);
	snprintf(path, sizeof(path), "%s/other", directory);
	struct t_child beggar = t_spawn(poor, path);
	t_expect_exit(&beggar, 0);
	cr_assert_eq(chmod(directory, 0777), 0);
	T_RESULT(mp_server_new(path, NULL, &other), -EPERM);
	mp_server_close(server);
	cr_assert_eq(rmdir(directory), 0);
}

Test(server, wrong_use_is_an_error)
{
	static const mp_method twice[] = {{"a", deposit}, {"a", deposit}, {NULL, NULL}};
	static const mp_method unnamed[] = {{"a b", deposit}, {NULL, NULL}};
	static const mp_method empty[] = {{"a", NULL}, {NULL, NULL}};
	mp_server *other;

	T_RESULT(mp_server_new(NULL, NULL, &other), -EINVAL);
	T_RESULT(mp_server_new("unix:/tmp/x", NULL, NULL), -EINVAL);
	T_RESULT(mp_server_new("tcp:x", NULL, &other), -EINVAL);
	T_RESULT(mp_server_new("unix:/tmp/x", MP_SERVER_OPTIONS(.mode = 01000), &other), -EINVAL);
	T_RESULT(mp_server_new("unix:/tmp/x", MP_SERVER_OPTIONS(.flags = 1), &other), -EINVAL);
	T_RESULT(mp_server_run(NULL), -EINVAL);
	T_RESULT(mp_server_stop(NULL), -EINVAL);
	T_RESULT(mp_server_register(NULL, &account_type), -EINVAL);
	mp_server_close(NULL);
	open_server();
	T_RESULT(mp_server_register(server, NULL), -EINVAL);
	T_RESULT(mp_server_register(server, &account_type), -EEXIST);
	T_RESULT(mp_server_register(server, &(mp_served_type){"x", NULL, NULL, methods}), -EINVAL);
	T_RESULT(mp_server_register(server, &(mp_served_type){"x", make_account, NULL, NULL}),
		-EINVAL);
	T_RESULT(mp_server_register(server, &(mp_served_type){"", make_account, NULL, methods}),
		-EINVAL);
	T_RESULT(mp_server_register(server, &(mp_served_type){"x", make_account, NULL, twice}),
		-EINVAL);
	T_RESULT(mp_server_register(server, &(mp_served_type){"x", make_account, NULL, unnamed}),
		-EINVAL);
	T_RESULT(mp_server_register(server, &(mp_served_type){"x", make_account, NULL, empty}),
		-EINVAL);
	mp_server_close(server);
	cr_assert_eq(rmdir(directory), 0);
}
