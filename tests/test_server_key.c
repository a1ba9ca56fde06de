/* SPDX-License-Identifier: MIT */
/* Servers of one's own that want a key, and keys that go with handles to other processes. */
#include <config.h>

#include "base/authkey.h"
#include "base/fds.h"
#include "conn/hmac.h"
#include "manager/manager.h"
#include "tests/support/daemon.h"
#include "tests/support/place.h"

#include <fcntl.h>
#include <mp.h>
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

T_SUITE(server_key);

#define KEY "a key that nobody knows"
#define OTHER "a key of somebody else"

/* --- a server, in a process of its own ------------------------------------------------------------ */

static int make(int argc, const mp_obj *argv, void **ret_object)
{
	(void)argc;
	(void)argv;
	*ret_object = malloc(1);
	return *ret_object ? 0 : -ENOMEM;
}

static int greet(void *object, int argc, const mp_obj *argv, mp_obj *ret_result)
{
	(void)object;
	(void)argc;
	(void)argv;
	*ret_result = mp_str("hello");
	return 0;
}

static const mp_method methods[] = {{"greet", greet}, {NULL, NULL}};
static const mp_served_type type = {"greeter", make, free, methods};

static char directory[T_PLACE_SIZE];
static char address[T_PLACE_SIZE + 16];
static mp_server *server;
static struct t_child child;

static int serve(void *argument)
{
	(void)argument;
	T_CHECK(mp_server_run(server) == 0);
	return 0;
}

static void serve_with(const char *key)
{
	T_OK(mp_server_new(address,
		MP_SERVER_OPTIONS(.authkey = key, .authkey_size = key ? strlen(key) : 0), &server));
	T_OK(mp_server_register(server, &type));
	child = t_spawn(serve, NULL);
}

static void begin(const char *key)
{
	if (mp__hmac_available() < 0)
		cr_skip_test("built without keys");
	t_place_make(directory);
	snprintf(address, sizeof(address), "unix:%s/socket", directory);
	serve_with(key);
}

static void stop(void)
{
	T_OK(mp_server_stop(server));
	t_expect_exit(&child, 0);
	mp_server_close(server);
}

static void end(void)
{
	stop();
	cr_assert_eq(rmdir(directory), 0);
}

static int connect_with(const char *key, mp_manager **ret)
{
	return mp_manager_connect(address,
		MP_MANAGER_OPTIONS(.timeout_ms = T_TIMEOUT_MS / 2, .authkey = key,
			.authkey_size = key ? strlen(key) : 0),
		ret);
}

static void expect_refused(const char *key, const char *why)
{
	mp_manager *m;

	T_RESULT(connect_with(key, &m), -EKEYREJECTED);
	cr_assert(strstr(mp_error_detail(), why), "%s", mp_error_detail());
}

static int greeted_by(mp_manager *m)
{
	mp_proxy *greeter;
	mp_obj result;

	int r = mp_manager_open(m, "greeter", "one", mp_nil(), &greeter);
	if (r < 0)
		return r;
	r = mp_proxy_call(greeter, "greet", mp_nil(), MP_NOWAIT, &result);
	if (r == 0)
		mp_obj_free(&result);
	mp_proxy_close(greeter);
	return r;
}

Test(server_key, who_knows_the_key_is_served_and_nobody_else)
{
	mp_manager *m;

	begin(KEY);
	T_OK(connect_with(KEY, &m));
	T_OK(greeted_by(m));
	expect_refused(OTHER, "the keys of the two sides differ");
	expect_refused(NULL, "wants a key");
	T_OK(greeted_by(m));
	mp_manager_close(m);
	end();
}

Test(server_key, a_server_without_a_key_is_not_trusted_by_who_has_one)
{
	mp_manager *m;

	begin(NULL);
	expect_refused(KEY, "has no key");
	T_OK(connect_with(NULL, &m));
	T_OK(greeted_by(m));
	mp_manager_close(m);
	end();
}

Test(server_key, is_proved_again_to_each_new_server)
{
	mp_manager *m;
	int r;

	begin(KEY);
	T_OK(connect_with(KEY, &m));
	stop();
	serve_with(OTHER);
	while ((r = greeted_by(m)) == -EPIPE)
		;
	T_RESULT(r, -EKEYREJECTED);
	stop();
	serve_with(KEY);
	while ((r = greeted_by(m)) == -EPIPE)
		;
	T_OK(r);
	mp_manager_close(m);
	end();
}

Test(server_key, guessing_gets_slow)
{
	mp_manager *m;
	int r = 0;

	begin(KEY);
	for (int i = 0; i < 20 && r != -ENOSPC; i++) {
		r = connect_with(OTHER, &m);
		cr_assert(r == -EKEYREJECTED || r == -ENOSPC);
	}
	T_RESULT(r, -ENOSPC);
	end();
}

Test(server_key, wrong_keys_are_errors_and_make_no_server)
{
	char large[MP__KEY_MAX + 1] = {0};

	t_place_make(directory);
	snprintf(address, sizeof(address), "unix:%s/socket", directory);
	const mp_server_options *wrong[] = {
		MP_SERVER_OPTIONS(.authkey = large, .authkey_size = sizeof(large)),
		MP_SERVER_OPTIONS(.authkey = large, .authkey_size = 0),
		MP_SERVER_OPTIONS(.authkey = NULL, .authkey_size = 5)};
	int expected = mp__hmac_available() < 0 ? -ENOTSUP : -EINVAL;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		T_RESULT(mp_server_new(address, wrong[i], &server), expected);
	cr_assert_eq(rmdir(directory), 0); /* it is empty */
}

/* --- handles -------------------------------------------------------------------------------------- */

static mp_connection *first;
static mp_connection *second;

/* Handles that come over a pipe: nothing here knows the key but what comes with them. */
static int use_what_comes(void *argument)
{
	mp_obj value;

	(void)argument;
	T_CHECK(mp_connection_recv(second, T_TIMEOUT_MS, &value) == 0);
	T_CHECK(greeted_by(mp_obj_manager(mp_obj_at(&value, 0))) == 0);
	mp_proxy *greeter = mp_obj_proxy(mp_obj_at(&value, 1));
	T_CHECK(mp_proxy_call(greeter, "greet", mp_nil(), MP_NOWAIT, NULL) == 0);
	/* And from here to the next. */
	T_CHECK(mp_connection_send(second, value, T_TIMEOUT_MS) == 0);
	mp_obj_free(&value);
	return 0;
}

Test(server_key, goes_with_handles_to_other_processes)
{
	mp_proxy *greeter;
	mp_manager *m;
	mp_obj value;

	begin(KEY);
	T_OK(connect_with(KEY, &m));
	T_OK(mp_manager_open(m, "greeter", "one", mp_nil(), &greeter));
	T_OK(mp_pipe(NULL, &first, &second));
	struct t_child other = t_spawn(use_what_comes, NULL);
	T_OK(mp_connection_send(first, MP_LIST(mp_handle(m), mp_handle(greeter)), T_TIMEOUT_MS));
	T_OK(mp_connection_recv(first, T_TIMEOUT_MS, &value));
	t_expect_exit(&other, 0);
	T_OK(greeted_by(mp_obj_manager(mp_obj_at(&value, 0))));
	mp_obj_free(&value);
	mp_connection_close(first);
	mp_connection_close(second);
	mp_proxy_close(greeter);
	mp_manager_close(m);
	end();
}

/* Not even the first bytes of it. */
Test(server_key, stands_in_no_message)
{
	struct mp__handle_wire wire = {0};
	mp_manager *m;

	begin(KEY);
	T_OK(connect_with(KEY, &m));
	T_OK(mp__manager_class.export(&m->handle, &wire));
	cr_assert_eq(wire.n_fds, 1);
	cr_assert(!memmem(wire.data, sizeof(wire.data), KEY, 4));
	int seals = fcntl(wire.fds[0], F_GET_SEALS);
	cr_assert(seals & F_SEAL_WRITE && seals & F_SEAL_SHRINK);
	cr_assert(fcntl(wire.fds[0], F_GETFD) & FD_CLOEXEC);
	mp_manager_close(m);
	end();
}

static int unsealed(const void *data, size_t size)
{
	int fd = memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	cr_assert(fd >= 0 && write(fd, data, size) == (ssize_t)size);
	return fd;
}

/* The handle of a manager at that address, as a stranger may write it. */
static int import_with(struct mp__handle_wire wire, const int *fds, size_t n)
{
	struct mp__handle *handle;

	wire.n_fds = n;
	for (size_t i = 0; i < n; i++)
		wire.fds[i] = fds[i];
	/* As if it came from another one, which this process does not know yet. */
	wire.data[0] ^= 1;
	int r = mp__manager_class.import(&wire, &handle);
	if (r == 0)
		mp__manager_class.unref(handle);
	return r;
}

Test(server_key, what_is_no_key_is_not_taken_for_one)
{
	static char large[MP__KEY_MAX + 1];
	struct mp__handle_wire wire = {0};
	mp_manager *m;
	int fds[2];

	begin(KEY);
	T_OK(connect_with(KEY, &m));
	T_OK(mp__manager_class.export(&m->handle, &wire));
	const int good = wire.fds[0];
	T_OK(import_with(wire, &good, 1));
	T_OK(import_with(wire, NULL, 0)); /* that has none, and is told so when it connects */
	T_RESULT(import_with(wire, (int[]){good, good}, 2), -EBADMSG);
	cr_assert_eq(pipe2(fds, O_CLOEXEC), 0);
	const int wrong[] = {fds[0], fds[1], open("/dev/zero", O_RDONLY | O_CLOEXEC),
		unsealed(KEY, sizeof(KEY)), mp__memfd_sealed("test", "", 0),
		mp__memfd_sealed("test", large, sizeof(large))};
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		cr_assert(wrong[i] >= 0);
		T_RESULT(import_with(wire, &wrong[i], 1), -EBADMSG);
		close(wrong[i]);
	}
	mp_manager_close(m);
	end();
}
