/* SPDX-License-Identifier: MIT */
/* Types of a program's own, with objects in arguments, results, and in each other. */
#include <config.h>

#include "tests/support/place.h"
#include "tests/support/support.h"

#include <errno.h>
#include <mp.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

T_SUITE(server_objects);

#define I(n) mp_i64(n)

/* --- types --------------------------------------------------------------------------------------- */

static int alive; /* objects of all types, in the process of the server */

struct account {
	int64_t balance;
};

struct bank {
	mp_obj kept;
};

static const mp_served_type account_type;

static struct account *new_account(int64_t balance)
{
	struct account *account = malloc(sizeof(*account));

	if (account) {
		account->balance = balance;
		alive++;
	}
	return account;
}

static int make_account(int argc, const mp_obj *argv, void **ret_object)
{
	*ret_object = new_account(argc > 0 ? mp_obj_i64(&argv[0]) : 0);
	return *ret_object ? 0 : -ENOMEM;
}

static void free_account(void *object)
{
	alive--;
	free(object);
}

static int balance(void *object, int argc, const mp_obj *argv, mp_obj *ret_result)
{
	(void)argc;
	(void)argv;
	*ret_result = I(((struct account *)object)->balance);
	return 0;
}

static const mp_method account_methods[] = {{"balance", balance}, {NULL, NULL}};
static const mp_served_type account_type = {"account", make_account, free_account, account_methods};

/* With a bank, or something else, in it. */
static int make_bank(int argc, const mp_obj *argv, void **ret_object)
{
	struct bank *bank = malloc(sizeof(*bank));

	if (!bank)
		return -ENOMEM;
	bank->kept = mp_nil();
	if (argc > 0 && mp_obj_copy(argv[0], &bank->kept) < 0) {
		free(bank);
		return -ENOMEM;
	}
	alive++;
	*ret_object = bank;
	return 0;
}

static void free_bank(void *object)
{
	struct bank *bank = object;

	mp_obj_free(&bank->kept);
	alive--;
	free(bank);
}

/* A new account, inside a list. */
static int open_account(void *object, int argc, const mp_obj *argv, mp_obj *ret_result)
{
	struct account *account = new_account(argc > 0 ? mp_obj_i64(&argv[0]) : 0);
	mp_obj value;

	(void)object;
	int r = account ? mp_served_new(&account_type, account, &value) : -ENOMEM;
	if (r < 0) {
		if (account)
			free_account(account);
		return r;
	}
	r = mp_obj_copy(MP_LIST(mp_str("new"), value), ret_result);
	mp_obj_free(&value);
	return r;
}

static int transfer(void *object, int argc, const mp_obj *argv, mp_obj *ret_result)
{
	struct account *from = argc == 3 ? mp_obj_served(&argv[0], &account_type) : NULL;
	struct account *to = argc == 3 ? mp_obj_served(&argv[1], &account_type) : NULL;

	(void)object;
	(void)ret_result;
	if (!from || !to)
		return mp_error_set(-EINVAL, "transfer takes two accounts and a sum");
	from->balance -= mp_obj_i64(&argv[2]);
	to->balance += mp_obj_i64(&argv[2]);
	return 0;
}

/* Put a value into the bank, and get what was there. */
static int swap(void *object, int argc, const mp_obj *argv, mp_obj *ret_result)
{
	struct bank *bank = object;
	mp_obj value;

	int r = mp_obj_copy(argc > 0 ? argv[0] : mp_nil(), &value);
	if (r < 0)
		return r;
	*ret_result = bank->kept;
	bank->kept = value;
	return 0;
}

static int count(void *object, int argc, const mp_obj *argv, mp_obj *ret_result)
{
	(void)object;
	(void)argc;
	(void)argv;
	*ret_result = I(alive);
	return 0;
}

static mp_obj souvenir;

static int lend(void *object, int argc, const mp_obj *argv, mp_obj *ret_result)
{
	(void)object;
	(void)ret_result;
	mp_obj_free(&souvenir);
	return argc > 0 ? mp_obj_copy(argv[0], &souvenir) : -EINVAL;
}

static int wrong_type(void *object, int argc, const mp_obj *argv, mp_obj *ret_result)
{
	static const mp_served_type unknown = {"unknown", make_bank, free_bank, account_methods};

	(void)argc;
	(void)argv;
	if (mp_served_new(NULL, object, ret_result) != -EINVAL ||
		mp_served_new(&account_type, object, NULL) != -EINVAL)
		return -EPROTO;
	return mp_served_new(&unknown, object, ret_result);
}

static int give_file(void *object, int argc, const mp_obj *argv, mp_obj *ret_result)
{
	(void)object;
	(void)argc;
	(void)argv;
	return mp_obj_copy(mp_fd(0), ret_result);
}

static const mp_method bank_methods[] = {{"open", open_account}, {"transfer", transfer},
	{"swap", swap}, {"count", count}, {"lend", lend}, {"wrong_type", wrong_type},
	{"give_file", give_file}, {NULL, NULL}};
static const mp_served_type bank_type = {"bank", make_bank, free_bank, bank_methods};

/* --- a server in a process of its own ------------------------------------------------------------ */

static char directory[T_PLACE_SIZE];
static char address[96];
static mp_server *server;
static struct t_child child;
static mp_manager *m;
static mp_proxy *bank;

static int serve(void *argument)
{
	mp_server *s = argument;

	T_CHECK(mp_server_run(s) == 0);
	mp_server_close(s);
	/* Whatever was in what. */
	T_CHECK(alive == 0);
	return 0;
}

static void open_server(const mp_server_options *options)
{
	t_place_make(directory);
	snprintf(address, sizeof(address), "unix:%s/socket", directory);
	T_OK(mp_server_new(address, options, &server));
	T_OK(mp_server_register(server, &account_type));
	T_OK(mp_server_register(server, &bank_type));
}

static void start_with(const mp_server_options *options)
{
	open_server(options);
	child = t_spawn(serve, server);
	T_OK(mp_manager_connect(address, T_PATIENT, &m));
	T_OK(mp_manager_open(m, "bank", "bank", mp_nil(), &bank));
}

static void end(void)
{
	mp_proxy_close(bank);
	T_OK(mp_server_stop(server));
	t_expect_exit(&child, 0);
	mp_manager_close(m);
	mp_server_close(server);
	cr_assert_eq(rmdir(directory), 0, "the server has left something behind");
}

static mp_obj call(mp_proxy *proxy, const char *method, mp_obj args)
{
	mp_obj result;

	T_OK(mp_proxy_call(proxy, method, args, MP_NOWAIT, &result));
	return result;
}

static void expect_number(mp_proxy *proxy, const char *method, int64_t wanted)
{
	mp_obj result = call(proxy, method, mp_nil());

	cr_assert_eq(
		mp_obj_i64(&result), wanted, "%s: %lld", method, (long long)mp_obj_i64(&result));
}

static mp_proxy *account_with(int64_t balance)
{
	mp_obj result = call(bank, "open", MP_LIST(I(balance)));
	mp_proxy *account = mp_proxy_ref(mp_obj_proxy(mp_obj_at(&result, 1)));

	cr_assert_not_null(account);
	mp_obj_free(&result);
	return account;
}

Test(server_objects, results_are_proxies)
{
	start_with(NULL);
	mp_proxy *account = account_with(7);
	cr_assert_str_eq(mp_proxy_type(account), "account");
	expect_number(account, "balance", 7);
	expect_number(bank, "count", 2);
	mp_proxy_close(account);
	expect_number(bank, "count", 1);
	end();
}

Test(server_objects, arguments_are_the_objects_themselves)
{
	start_with(NULL);
	mp_proxy *a = account_with(100);
	mp_proxy *b;
	T_OK(mp_manager_open(m, "account", "b", mp_nil(), &b));
	T_OK(mp_proxy_call(
		bank, "transfer", MP_LIST(mp_handle(a), mp_handle(b), I(30)), MP_NOWAIT, NULL));
	expect_number(a, "balance", 70);
	expect_number(b, "balance", 30);
	/* Of another type, or nothing of the kind. */
	T_RESULT(mp_proxy_call(bank, "transfer", MP_LIST(mp_handle(a), mp_handle(bank), I(1)),
			 MP_NOWAIT, NULL),
		-EINVAL);
	T_RESULT(
		mp_proxy_call(bank, "transfer", MP_LIST(mp_handle(a), I(5), I(1)), MP_NOWAIT, NULL),
		-EINVAL);
	expect_number(a, "balance", 70);
	mp_proxy_close(a);
	mp_proxy_close(b);
	end();
}

Test(server_objects, what_an_object_keeps_lives_with_it)
{
	start_with(NULL);
	mp_proxy *account = account_with(5);
	mp_obj result =
		call(bank, "swap", MP_LIST(MP_DICT(mp_str("mine"), MP_LIST(mp_handle(account)))));
	mp_obj_free(&result);
	mp_proxy_close(account);
	expect_number(bank, "count", 2);
	/* It comes back as the same, and goes with the last who has it. */
	result = call(bank, "swap", mp_nil());
	account = mp_proxy_ref(mp_obj_proxy(mp_obj_at(mp_obj_get(&result, mp_str("mine")), 0)));
	mp_obj_free(&result);
	expect_number(account, "balance", 5);
	mp_proxy_close(account);
	expect_number(bank, "count", 1);
	end();
}

/* At its end the server frees all, whatever refers to what: serve() counts. */
Test(server_objects, a_server_ends_with_circles_and_chains)
{
	mp_proxy *chain = NULL;

	start_with(NULL);
	mp_obj result = call(bank, "swap", MP_LIST(mp_handle(bank)));
	mp_obj_free(&result);
	for (int i = 0; i < 1000; i++) {
		mp_proxy *next;
		T_OK(mp_manager_open(
			m, "bank", NULL, MP_LIST(chain ? mp_handle(chain) : mp_nil()), &next));
		mp_proxy_close(chain);
		chain = next;
	}
	expect_number(bank, "count", 1001);
	mp_proxy_close(chain);
	expect_number(bank, "count", 1);
	T_OK(mp_manager_open(m, "bank", "chain", MP_LIST(mp_handle(bank)), &chain));
	mp_proxy_close(chain);
	end();
}

static void *run_in_thread(void *argument)
{
	T_OK(mp_server_run(argument));
	/* Kept from a server that has ended: of no object. */
	cr_assert_null(mp_obj_served(&souvenir, &account_type));
	mp_obj_free(&souvenir);
	souvenir = mp_nil();
	return NULL;
}

Test(server_objects, what_is_kept_from_an_earlier_run_is_of_nothing)
{
	mp_proxy *old = NULL;
	pthread_t thread;

	open_server(NULL);
	for (int i = 0; i < 2; i++) {
		pthread_create(&thread, NULL, run_in_thread, server);
		T_OK(mp_manager_connect(address, T_PATIENT, &m));
		T_OK(mp_manager_open(m, "bank", "bank", mp_nil(), &bank));
		mp_proxy *account = account_with(1);
		T_OK(mp_proxy_call(bank, "lend", MP_LIST(mp_handle(account)), MP_NOWAIT, NULL));
		mp_proxy_close(account);
		expect_number(bank, "count", 2);
		mp_proxy_close(bank);
		mp_manager_close(m);
		T_OK(mp_server_stop(server));
		pthread_join(thread, NULL);
		cr_assert_eq(alive, 0);
	}
	/* A proxy outlives its object, which another run does not have. */
	pthread_create(&thread, NULL, run_in_thread, server);
	T_OK(mp_manager_connect(address, T_PATIENT, &m));
	T_OK(mp_manager_open(m, "account", NULL, mp_nil(), &old));
	T_OK(mp_server_stop(server));
	pthread_join(thread, NULL);
	pthread_create(&thread, NULL, run_in_thread, server);
	int r;
	do
		r = mp_manager_open(m, "bank", "bank", mp_nil(), &bank);
	while (r == -EPIPE);
	T_OK(r);
	T_RESULT(mp_proxy_call(bank, "swap", MP_LIST(mp_handle(old)), MP_NOWAIT, NULL), -EPIPE);
	expect_number(bank, "count", 1);
	mp_proxy_close(old);
	mp_proxy_close(bank);
	mp_manager_close(m);
	T_OK(mp_server_stop(server));
	pthread_join(thread, NULL);
	mp_server_close(server);
	cr_assert_eq(rmdir(directory), 0);
}

static int hoard(void *ready)
{
	for (int n = 0; n < 10; n++)
		(void)account_with(n);
	T_CHECK(write(*(int *)ready, "x", 1) == 1);
	for (;;)
		pause();
}

Test(server_objects, clients_that_are_killed_leave_no_objects)
{
	int ready[2];
	char c;

	start_with(NULL);
	cr_assert_eq(pipe(ready), 0);
	mp_proxy *own = account_with(1);
	for (int i = 0; i < 5; i++) {
		struct t_child client = t_spawn(hoard, &ready[1]);
		cr_assert_eq(read(ready[0], &c, 1), 1);
		t_kill(&client, SIGKILL);
	}
	mp_obj result;
	do
		result = call(bank, "count", mp_nil());
	while (mp_obj_i64(&result) > 2);
	mp_proxy_close(own);
	expect_number(bank, "count", 1);
	close(ready[0]);
	close(ready[1]);
	end();
}

Test(server_objects, mistakes_have_their_errors)
{
	struct account outside = {0};
	mp_manager *other;
	mp_proxy *foreign;
	mp_obj value = I(1);

	T_RESULT(mp_served_new(&account_type, &outside, &value), -EINVAL);
	cr_assert_null(mp_obj_served(&value, &account_type));
	cr_assert_null(mp_obj_served(NULL, &account_type));
	start_with(MP_SERVER_OPTIONS(.max_objects = 3));
	T_RESULT(mp_proxy_call(bank, "wrong_type", mp_nil(), MP_NOWAIT, NULL), -EINVAL);
	T_RESULT(mp_proxy_call(bank, "give_file", mp_nil(), MP_NOWAIT, NULL), -ENOTSUP);
	T_RESULT(mp_proxy_call(bank, "swap", MP_LIST(mp_fd(0)), MP_NOWAIT, NULL), -ENOTSUP);
	mp_proxy *a = account_with(1);
	mp_proxy *b = account_with(1);
	T_RESULT(mp_proxy_call(bank, "open", MP_LIST(I(1)), MP_NOWAIT, NULL), -ENOSPC);
	expect_number(bank, "count", 3);
	/* Objects of one server are nothing to another one. */
	char elsewhere[128];
	mp_server *second;
	snprintf(elsewhere, sizeof(elsewhere), "%s2", address);
	T_OK(mp_server_new(elsewhere, NULL, &second));
	T_OK(mp_server_register(second, &account_type));
	struct t_child second_child = t_spawn(serve, second);
	T_OK(mp_manager_connect(elsewhere, T_PATIENT, &other));
	T_OK(mp_manager_open(other, "account", NULL, mp_nil(), &foreign));
	T_RESULT(mp_proxy_call(bank, "swap", MP_LIST(mp_handle(foreign)), MP_NOWAIT, NULL),
		-ENOTSUP);
	mp_proxy_close(foreign);
	mp_manager_close(other);
	T_OK(mp_server_stop(second));
	t_expect_exit(&second_child, 0);
	mp_server_close(second);
	mp_proxy_close(a);
	mp_proxy_close(b);
	end();
}
