/* SPDX-License-Identifier: MIT */
/* A type of one's own in a server of one's own: accounts, by name, for whoever may connect. */
#include <errno.h>
#include <mp.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* --- the server --- */

static int make_account(int argc, const mp_obj *argv, void **ret_object)
{
	(void)argc;
	(void)argv;
	*ret_object = calloc(1, sizeof(int64_t));
	return *ret_object ? 0 : -ENOMEM;
}

static int deposit(void *object, int argc, const mp_obj *argv, mp_obj *ret_result)
{
	int64_t *balance = object;

	if (argc != 1 || argv[0].type != MP_TYPE_I64)
		return mp_error_set(-EINVAL, "deposit takes a number");
	*balance += mp_obj_i64(&argv[0]);
	*ret_result = mp_i64(*balance);
	return 0;
}

static const mp_method methods[] = {{"deposit", deposit}, {NULL, NULL}};
static const mp_served_type account = {"account", make_account, free, methods};

/* (address, an event that is set when clients can come) */
static int serve(int argc, const mp_obj *argv)
{
	mp_server *server;

	int r = argc == 2 ? mp_server_new(mp_obj_str(&argv[0]), NULL, &server) : -EINVAL;
	if (r == 0)
		r = mp_server_register(server, &account);
	if (r == 0)
		r = mp_event_set(mp_obj_event(&argv[1]));
	if (r == 0)
		r = mp_server_run(server); /* until it is killed here; see mp_server_stop() */
	return r < 0;
}

/* --- a client --- */

static int use(mp_manager *m)
{
	mp_proxy *bob;
	mp_obj balance;

	int r = mp_manager_open(m, "account", "Bob", mp_nil(), &bob);
	for (int i = 1; i <= 2 && r == 0; i++) {
		r = mp_proxy_call(bob, "deposit", MP_LIST(mp_i64(50)), MP_FOREVER, &balance);
		if (r == 0)
			printf("Bob has %lld\n", (long long)mp_obj_i64(&balance));
	}
	if (mp_proxy_call(bob, "deposit", MP_LIST(mp_str("a lot")), MP_FOREVER, NULL) == -EINVAL)
		printf("%s\n", mp_error_detail());
	mp_proxy_close(bob);
	return r;
}

int main(int argc, char **argv)
{
	char directory[] = "/tmp/mp-bank-XXXXXX";
	char address[64];
	mp_process *server;
	mp_event *ready;
	mp_manager *m;

	mp_begin(&argc, &argv);
	if (!mkdtemp(directory))
		return 1;
	snprintf(address, sizeof(address), "%s/socket", directory);
	if (mp_event_new(NULL, &ready) < 0)
		return 1;
	int r = mp_process_new(serve, MP_ARGS(mp_str(address), mp_handle(ready)), NULL, &server);
	if (r == 0)
		r = mp_process_start(server);
	if (r == 0)
		r = mp_event_wait(ready, 60000);
	if (r == 0)
		r = mp_manager_connect(address, NULL, &m);
	if (r == 0) {
		r = use(m);
		mp_manager_close(m);
	}
	mp_process_kill(server);
	mp_process_join(server, MP_FOREVER);
	mp_process_close(server);
	mp_event_close(ready);
	unlink(address);
	rmdir(directory);
	if (r < 0)
		fprintf(stderr, "%s: %s\n", mp_strerror(r), mp_error_detail());
	return r < 0;
}
