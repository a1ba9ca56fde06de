/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "base/fds.h"
#include "manager/manager.h"
#include "obj/codec.h"
#include "tests/support/daemon.h"
#include "tests/support/place.h"
#include "wire/frame.h"

#include <mp.h>
#include <pthread.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

T_SUITE(manager);

/* --- manager ---------------------------------------------------------------------------------- */

Test(manager, starts_a_daemon_that_has_ended_when_the_handle_is_closed)
{
	mp_manager *m = t_manager();
	int pid = mp_manager_pid(m);

	cr_assert(pid > 0);
	T_OK(mp_manager_ping(m));
	T_OK(mp_manager_close(m));
	cr_assert(kill(pid, 0) < 0 && errno == ESRCH, "it is still there");
}

Test(manager, lives_until_the_last_reference_and_proxy_are_closed)
{
	mp_manager *m = t_manager();
	mp_dict *d = t_dict(m, "d");

	cr_assert(mp_manager_ref(m) == m);
	T_OK(mp_manager_close(m));
	T_OK(mp_manager_close(m));
	T_OK(mp_dict_set(d, mp_i64(1), mp_i64(2)));
	cr_assert(mp_dict_ref(d) == d);
	T_OK(mp_dict_close(d));
	t_expect_get(d, mp_i64(1), mp_i64(2));
	T_OK(mp_dict_close(d));
}

Test(manager, null_handles_may_be_referenced_and_closed)
{
	cr_assert_null(mp_manager_ref(NULL));
	cr_assert_null(mp_dict_ref(NULL));
	T_OK(mp_manager_close(NULL));
	T_OK(mp_dict_close(NULL));
}

Test(manager, wrong_arguments_are_einval)
{
	mp_manager *m = t_manager();
	mp_dict *d = t_dict(m, NULL);
	mp_manager *other = NULL;
	mp_obj value;
	size_t n;

	T_RESULT(mp_manager_start(MP_MANAGER_OPTIONS(.flags = 1), &other), -EINVAL);
	T_RESULT(mp_manager_start(MP_MANAGER_OPTIONS(.timeout_ms = -2), &other), -EINVAL);
	T_RESULT(mp_manager_start(NULL, NULL), -EINVAL);
	T_RESULT(mp_manager_connect("tcp:localhost", NULL, &other), -EINVAL);
	T_RESULT(mp_manager_connect("relative", NULL, &other), -EINVAL);
	T_RESULT(mp_manager_connect(NULL, NULL, &other), -EINVAL);
	T_RESULT(mp_manager_connect("/nowhere", NULL, NULL), -EINVAL);
	T_RESULT(mp_manager_ping(NULL), -EINVAL);
	T_RESULT(mp_manager_pid(NULL), -EINVAL);
	T_RESULT(mp_manager_dict(NULL, "d", &d), -EINVAL);
	T_RESULT(mp_manager_dict(m, "d", NULL), -EINVAL);
	T_RESULT(mp_dict_set(NULL, mp_i64(1), mp_i64(1)), -EINVAL);
	T_RESULT(mp_dict_get(NULL, mp_i64(1), &value), -EINVAL);
	T_RESULT(mp_dict_get(d, mp_i64(1), NULL), -EINVAL);
	T_RESULT(mp_dict_pop(NULL, mp_i64(1), NULL), -EINVAL);
	T_RESULT(mp_dict_contains(NULL, mp_i64(1)), -EINVAL);
	T_RESULT(mp_dict_setdefault(d, mp_i64(1), mp_i64(1), NULL), -EINVAL);
	T_RESULT(mp_dict_update(NULL, MP_DICT()), -EINVAL);
	T_RESULT(mp_dict_update(d, mp_i64(1)), -EINVAL);
	T_RESULT(mp_dict_clear(NULL), -EINVAL);
	T_RESULT(mp_dict_len(NULL, &n), -EINVAL);
	T_RESULT(mp_dict_len(d, NULL), -EINVAL);
	T_RESULT(mp_dict_keys(d, NULL), -EINVAL);
	T_RESULT(mp_dict_values(NULL, &value), -EINVAL);
	T_RESULT(mp_dict_items(NULL, &value), -EINVAL);
	cr_assert_null(other);
	mp_dict_close(d);
	mp_manager_close(m);
}

Test(manager, options_of_a_newer_library_are_e2big)
{
	struct {
		mp_manager_options known;
		int unknown;
	} newer = {.known = {.size = sizeof(newer)}, .unknown = 1};
	mp_manager *m;

	T_RESULT(mp_manager_start(&newer.known, &m), -E2BIG);
}

Test(manager, a_program_that_cannot_be_executed_is_the_error_of_start)
{
	mp_manager *m;

	T_RESULT(mp_manager_start(MP_MANAGER_OPTIONS(.program = "/nowhere/managerd"), &m), -ENOENT);
	T_RESULT(mp_manager_start(MP_MANAGER_OPTIONS(.program = "/etc/passwd"), &m), -EACCES);
}

Test(manager, a_program_that_is_no_managerd_is_epipe_and_is_reaped)
{
	mp_manager *m;

	T_RESULT(mp_manager_start(MP_MANAGER_OPTIONS(.program = "/bin/true"), &m), -EPIPE);
	cr_assert(strstr(mp_error_detail(), "code 0"), "%s", mp_error_detail());
}

Test(manager, connects_to_a_running_daemon_by_name)
{
	struct t_daemon daemon = t_daemon_start(NULL);
	mp_manager *a;
	mp_manager *b;

	T_OK(mp_manager_connect(daemon.address, T_PATIENT, &a));
	T_OK(mp_manager_connect(daemon.path, MP_MANAGER_OPTIONS(.timeout_ms = T_TIMEOUT_MS), &b));
	T_RESULT(mp_manager_pid(a), -EINVAL);
	mp_dict *da = t_dict(a, "shared");
	mp_dict *db = t_dict(b, "shared");
	T_OK(mp_dict_set(da, mp_str("k"), mp_str("v")));
	t_expect_get(db, mp_str("k"), mp_str("v"));
	mp_dict_close(da);
	mp_dict_close(db);
	mp_manager_close(a);
	mp_manager_close(b);
	t_daemon_stop(&daemon);
}

Test(manager, connecting_where_nobody_is_says_so)
{
	struct t_daemon daemon = t_daemon_start(NULL);
	char path[200];
	mp_manager *m;

	t_daemon_kill(&daemon);
	T_RESULT(mp_manager_connect(daemon.path, NULL, &m), -ECONNREFUSED);
	t_daemon_remove_directory(&daemon);
	T_RESULT(mp_manager_connect(daemon.path, NULL, &m), -ENOENT);
	memset(path, 'x', sizeof(path));
	path[0] = '/';
	path[sizeof(path) - 1] = '\0';
	T_RESULT(mp_manager_connect(path, NULL, &m), -ENAMETOOLONG);
}

/* A daemon of the test's own making, that answers with these bytes. */
static int connect_to_liar(const void *answer, size_t size, int timeout_ms)
{
	char path[T_PLACE_SIZE];
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	mp_manager *m;

	t_place_make(path);
	snprintf(address.sun_path, sizeof(address.sun_path), "%s/s", path);
	cr_assert(bind(fd, (struct sockaddr *)&address, sizeof(address)) == 0);
	cr_assert(listen(fd, 1) == 0);
	pid_t pid = fork();
	if (pid == 0) {
		int client = accept(fd, NULL, NULL);
		char byte;
		T_CHECK(send(client, answer, size, MSG_NOSIGNAL) == (ssize_t)size);
		while (read(client, &byte, 1) > 0)
			;
		_exit(0);
	}
	close(fd);
	int r = mp_manager_connect(
		address.sun_path, MP_MANAGER_OPTIONS(.timeout_ms = timeout_ms), &m);
	cr_assert(waitpid(pid, NULL, 0) == pid);
	unlink(address.sun_path);
	rmdir(path);
	return r;
}

Test(manager, whoever_does_not_speak_the_protocol_is_eproto)
{
	T_RESULT(connect_to_liar("HTTP/1.1 400 Bad Request\r\n\r\n", 28, 0), -EPROTO);
	T_RESULT(connect_to_liar("\2\0\0\0\xff\xff", 6, 0), -EPROTO);
	/* Another operation's answer to the hello, and one that speaks another version. */
	T_RESULT(connect_to_liar("\2\0\0\0\x08\1", 6, 0), -EPROTO);
	T_RESULT(connect_to_liar("\4\0\0\0\x08\1\x10\x0c", 8, 0), -EPROTO);
	/* A code that only a newer daemon knows. */
	T_RESULT(connect_to_liar("\5\0\0\0\x08\1\x10\xe7\x07", 9, 0), -EPROTO);
}

Test(manager, whoever_does_not_answer_is_etimedout)
{
	T_RESULT(connect_to_liar("", 0, 50), -ETIMEDOUT);
}

Test(manager, calls_that_do_not_wait_for_others_have_the_time_of_a_request)
{
	struct t_daemon daemon = t_daemon_start(NULL);
	mp_manager *m;
	mp_proxy *event;

	T_OK(mp_manager_connect(
		daemon.path, MP_MANAGER_OPTIONS(.timeout_ms = T_TIMEOUT_MS / 2), &m));
	T_OK(mp_manager_event(m, NULL, &event));
	T_OK(mp_served_event_set(event));
	T_RESULT(mp_served_event_is_set(event), 1);
	T_OK(mp_served_event_wait(event, MP_NOWAIT));
	mp_proxy_close(event);
	mp_manager_close(m);
	t_daemon_stop(&daemon);
}

Test(manager, a_stopped_daemon_is_etimedout_and_works_again_when_it_goes_on)
{
	struct t_daemon daemon = t_daemon_start(NULL);
	mp_manager *m;

	T_OK(mp_manager_connect(
		daemon.path, MP_MANAGER_OPTIONS(.timeout_ms = T_TIMEOUT_MS / 2), &m));
	mp_dict *d = t_dict(m, "d");
	T_OK(mp_dict_set(d, mp_i64(1), mp_i64(1)));
	m->timeout_ms = 20;
	t_stop_pidfd(daemon.pidfd);
	T_RESULT(mp_dict_set(d, mp_i64(1), mp_i64(2)), -ETIMEDOUT);
	T_RESULT(mp_manager_ping(m), -ETIMEDOUT);
	m->timeout_ms = T_TIMEOUT_MS / 2;
	T_OK(mp__pidfd_signal(daemon.pidfd, SIGCONT));
	/* The request that timed out was under way, and comes before this one. */
	t_expect_get(d, mp_i64(1), mp_i64(2));
	mp_dict_close(d);
	mp_manager_close(m);
	t_daemon_stop(&daemon);
}

Test(manager, a_daemon_with_too_many_connections_is_enospc)
{
	const char *options[] = {"--max-connections", "1", NULL};
	struct t_daemon daemon = t_daemon_start(options);
	mp_manager *m;
	mp_manager *second;

	T_OK(mp_manager_connect(daemon.path, T_PATIENT, &m));
	T_RESULT(mp_manager_connect(daemon.path, NULL, &second), -ENOSPC);
	T_OK(mp_manager_ping(m));
	mp_manager_close(m);
	t_daemon_stop(&daemon);
}

static int child_without_descriptors(void *argument)
{
	struct rlimit none = {.rlim_cur = 3, .rlim_max = 3};
	mp_manager *m;

	(void)argument;
	T_CHECK(setrlimit(RLIMIT_NOFILE, &none) == 0);
	T_CHECK(mp_manager_start(NULL, &m) == -EMFILE);
	T_CHECK(mp_manager_connect("/tmp/nobody", NULL, &m) == -EMFILE);
	return 0;
}

Test(manager, without_descriptors_it_is_emfile)
{
	struct t_child child = t_spawn(child_without_descriptors, NULL);

	t_expect_exit(&child, 0);
}

static int child_is_somebody_else(void *path)
{
	mp_manager *m;

	T_CHECK(setgid(65534) == 0 && setuid(65534) == 0);
	T_CHECK(mp_manager_connect(path, NULL, &m) == -EACCES);
	T_CHECK(strstr(mp_error_detail(), "this user"));
	return 0;
}

/* Whatever the modes of socket and directory say: the daemon asks the kernel. */
Test(manager, another_user_is_denied)
{
	if (geteuid() != 0)
		cr_skip_test("needs root, to become another user");
	struct t_daemon daemon = t_daemon_start(NULL);

	cr_assert(chmod(daemon.directory, 0711) == 0 && chmod(daemon.path, 0666) == 0);
	struct t_child child = t_spawn(child_is_somebody_else, daemon.path);
	t_expect_exit(&child, 0);
	t_daemon_stop(&daemon);
}

Test(manager, the_daemons_limit_of_a_message_is_emsgsize)
{
	const char *options[] = {"--max-frame", "4096", NULL};
	struct t_daemon daemon = t_daemon_start(options);
	char text[5000] = "";
	mp_obj value;
	mp_manager *m;

	T_OK(mp_manager_connect(daemon.path, T_PATIENT, &m));
	mp_dict *d = t_dict(m, "d");
	T_RESULT(mp_dict_set(d, mp_i64(1), mp_bytes(text, sizeof(text))), -EMSGSIZE);
	T_RESULT(mp_dict_update(d, MP_DICT(mp_i64(1), mp_bytes(text, sizeof(text)))), -EMSGSIZE);
	for (int i = 0; i < 3; i++)
		T_OK(mp_dict_set(d, mp_i64(i), mp_bytes(text, 2000)));
	T_RESULT(mp_dict_values(d, &value), -EMSGSIZE);
	T_RESULT(mp_dict_items(d, &value), -EMSGSIZE);
	T_OK(mp_dict_keys(d, &value));
	t_expect_value(&value, MP_LIST(mp_i64(0), mp_i64(1), mp_i64(2)));
	mp_dict_close(d);
	mp_manager_close(m);
	t_daemon_stop(&daemon);
}

Test(manager, after_a_restart_one_call_is_epipe_and_the_next_finds_the_dict_by_name)
{
	struct t_daemon daemon = t_daemon_start(NULL);
	size_t n = 99;
	mp_manager *m;

	T_OK(mp_manager_connect(daemon.path, T_PATIENT, &m));
	mp_dict *d = t_dict(m, "d");
	mp_dict *anonymous = t_dict(m, NULL);
	T_OK(mp_dict_set(d, mp_i64(1), mp_i64(1)));
	t_daemon_kill(&daemon);
	T_RESULT(mp_dict_len(d, &n), -EPIPE);
	T_RESULT(mp_dict_len(d, &n), -EPIPE);
	t_daemon_restart(&daemon);
	T_OK(mp_dict_len(d, &n));
	cr_assert(n == 0);
	T_RESULT(mp_dict_len(anonymous, &n), -EPIPE);
	mp_dict_close(anonymous);
	mp_dict_close(d);
	mp_manager_close(m);
	t_daemon_stop(&daemon);
}

/* --- threads ---------------------------------------------------------------------------------- */

#define THREADS 100
#define ROUNDS 50

struct worker {
	mp_dict *dict;
	int number;
	int failed;
};

static void *set_and_get(void *argument)
{
	struct worker *w = argument;

	for (int i = 0; i < ROUNDS; i++) {
		mp_obj value;
		int64_t key = w->number * ROUNDS + i;
		if (mp_dict_set(w->dict, mp_i64(key), mp_i64(-key)) < 0 ||
			mp_dict_get(w->dict, mp_i64(key), &value) < 0) {
			w->failed++;
			continue;
		}
		w->failed += mp_obj_i64(&value) != -key;
		mp_obj_free(&value);
	}
	return NULL;
}

Test(manager, a_hundred_threads_use_one_handle)
{
	struct worker workers[THREADS];
	pthread_t threads[THREADS];
	mp_manager *m = t_manager();
	mp_dict *d = t_dict(m, "d");
	size_t n;

	m->timeout_ms = T_TIMEOUT_MS / 2;
	for (int i = 0; i < THREADS; i++) {
		workers[i] = (struct worker){d, i, 0};
		cr_assert(pthread_create(&threads[i], NULL, set_and_get, &workers[i]) == 0);
	}
	for (int i = 0; i < THREADS; i++) {
		cr_assert(pthread_join(threads[i], NULL) == 0);
		cr_assert(workers[i].failed == 0, "thread %d", i);
	}
	T_OK(mp_dict_len(d, &n));
	cr_assert(n == THREADS * ROUNDS);
	mp_dict_close(d);
	mp_manager_close(m);
}

/* Frames larger than the socket's buffer from many sides at once: who sends must also read. */
static void *set_and_get_large(void *argument)
{
	struct worker *w = argument;
	size_t size = 3 << 20;
	char *data = calloc(1, size);
	mp_obj value;

	for (int i = 0; i < 3; i++) {
		int r = mp_dict_set(w->dict, mp_i64(w->number), mp_bytes(data, size));
		if (r == 0)
			r = mp_dict_get(w->dict, mp_i64(w->number), &value);
		w->failed += r < 0 || value.count != size;
		if (r == 0)
			mp_obj_free(&value);
	}
	free(data);
	return NULL;
}

Test(manager, threads_pass_large_values_at_the_same_time)
{
	struct worker workers[8];
	pthread_t threads[8];
	mp_manager *m = t_manager();
	mp_dict *d = t_dict(m, "d");

	m->timeout_ms = T_TIMEOUT_MS / 2;
	for (int i = 0; i < 8; i++) {
		workers[i] = (struct worker){d, i, 0};
		cr_assert(pthread_create(&threads[i], NULL, set_and_get_large, &workers[i]) == 0);
	}
	for (int i = 0; i < 8; i++) {
		cr_assert(pthread_join(threads[i], NULL) == 0);
		cr_assert(workers[i].failed == 0, "thread %d: %s", i, mp_error_detail());
	}
	mp_dict_close(d);
	mp_manager_close(m);
}
