/* SPDX-License-Identifier: MIT */
/* What a handle does when its managerd has gone: the option reconnect_ms. */
#include <config.h>

#include "tests/support/daemon.h"

#include <errno.h>
#include <mp.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <time.h>

T_SUITE(reconnect);

static struct t_daemon daemon_;
static mp_manager *m;

static void begin(const mp_manager_options *options)
{
	daemon_ = t_daemon_start(NULL);
	T_OK(mp_manager_connect(daemon_.address, options, &m));
	T_OK(mp_manager_ping(m));
}

static void end(void)
{
	mp_manager_close(m);
	t_daemon_stop(&daemon_);
}

/* It is gone, and the handle knows it. */
static void lose(void)
{
	t_daemon_kill(&daemon_);
	T_RESULT(mp_manager_ping(m), -EPIPE);
}

static int64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

Test(reconnect, by_default_each_call_tries_once)
{
	begin(T_PATIENT);
	lose();
	T_RESULT(mp_manager_ping(m), -EPIPE);
	T_RESULT(mp_manager_ping(m), -EPIPE);
	t_daemon_restart(&daemon_);
	T_OK(mp_manager_ping(m));
	end();
}

Test(reconnect, a_call_tries_for_as_long_as_the_option_says)
{
	begin(MP_MANAGER_OPTIONS(.timeout_ms = MP_FOREVER, .reconnect_ms = 150));
	lose();
	int64_t began = now_ms();
	T_RESULT(mp_manager_ping(m), -EPIPE);
	cr_assert_geq(now_ms() - began, 149);
	cr_assert(strstr(mp_error_detail(), "managerd is gone"), "%s", mp_error_detail());
	t_daemon_restart(&daemon_);
	T_OK(mp_manager_ping(m));
	end();
}

/* On a machine that is busy, 150 ms may be over before anything has been asked. */
Test(reconnect, no_longer_than_the_request_may_take)
{
	const mp_manager_options *options =
		MP_MANAGER_OPTIONS(.timeout_ms = 150, .reconnect_ms = MP_FOREVER);
	int r;

	daemon_ = t_daemon_start(NULL);
	while ((r = mp_manager_connect(daemon_.address, options, &m)) == -ETIMEDOUT)
		;
	T_OK(r);
	while ((r = mp_manager_ping(m)) == -ETIMEDOUT)
		;
	T_OK(r);
	t_daemon_kill(&daemon_);
	(void)mp_manager_ping(m);
	int64_t began = now_ms();
	r = mp_manager_ping(m);
	cr_assert(r == -EPIPE || r == -ETIMEDOUT);
	cr_assert_geq(now_ms() - began, 149);
	mp_manager_close(m);
	t_daemon_remove_directory(&daemon_);
}

static void *set(void *dict)
{
	return (void *)(intptr_t)mp_dict_set(dict, mp_i64(1), mp_i64(10));
}

/* Whether it is there when the call comes, or later. */
Test(reconnect, a_daemon_that_is_started_anew_is_found)
{
	mp_dict *dict;
	pthread_t thread;
	void *result;

	begin(MP_MANAGER_OPTIONS(.timeout_ms = MP_FOREVER, .reconnect_ms = MP_FOREVER));
	T_OK(mp_manager_dict(m, "dict", &dict));
	for (int i = 0; i < 5; i++) {
		lose();
		cr_assert(pthread_create(&thread, NULL, set, dict) == 0);
		t_daemon_restart(&daemon_);
		cr_assert(pthread_join(thread, &result) == 0);
		cr_assert_eq((intptr_t)result, 0);
		t_expect_get(dict, mp_i64(1), mp_i64(10));
	}
	mp_dict_close(dict);
	end();
}

static int ask_from_child(void *argument)
{
	(void)argument;
	T_CHECK(mp_manager_ping(m) == 0);
	return 0;
}

/* For who would rather end than go on with a daemon that has forgotten everything. */
Test(reconnect, never_is_never)
{
	mp_dict *dict;
	size_t n;

	begin(MP_MANAGER_OPTIONS(.timeout_ms = MP_FOREVER, .reconnect_ms = MP_RECONNECT_NEVER));
	T_OK(mp_manager_dict(m, "dict", &dict));
	lose();
	t_daemon_restart(&daemon_);
	T_RESULT(mp_manager_ping(m), -EPIPE);
	cr_assert(strstr(mp_error_detail(), "never"), "%s", mp_error_detail());
	T_RESULT(mp_dict_len(dict, &n), -EPIPE);
	T_RESULT(mp_dict_len(dict, &n), -EPIPE);
	/* The first connection of a child is none that was lost. */
	struct t_child child = t_spawn(ask_from_child, NULL);
	t_expect_exit(&child, 0);
	mp_dict_close(dict);
	end();
}

static int lose_in_process(int argc, const mp_obj *argv)
{
	mp_manager *manager = argc == 3 ? mp_obj_manager(&argv[0]) : NULL;

	if (mp_manager_ping(manager) < 0)
		return 1;
	mp_event_set(mp_obj_event(&argv[1]));
	if (mp_event_wait(mp_obj_event(&argv[2]), MP_FOREVER) < 0)
		return 2;
	if (mp_manager_ping(manager) != -EPIPE)
		return 3;
	return mp_manager_ping(manager) == -EPIPE ? 0 : 4;
}

Test(reconnect, the_option_goes_with_the_handle)
{
	mp_event *connected, *restarted;
	mp_process *p;
	int code = -1;

	begin(MP_MANAGER_OPTIONS(.timeout_ms = MP_FOREVER, .reconnect_ms = MP_RECONNECT_NEVER));
	T_OK(mp_event_new(NULL, &connected));
	T_OK(mp_event_new(NULL, &restarted));
	T_OK(mp_process_new(lose_in_process,
		MP_ARGS(mp_handle(m), mp_handle(connected), mp_handle(restarted)),
		MP_PROCESS_OPTIONS(.start_method = MP_START_SPAWN), &p));
	T_OK(mp_process_start(p));
	T_OK(mp_event_wait(connected, T_TIMEOUT_MS / 2));
	t_daemon_kill(&daemon_);
	t_daemon_restart(&daemon_);
	T_OK(mp_event_set(restarted));
	T_OK(mp_process_join(p, T_TIMEOUT_MS / 2));
	T_OK(mp_process_exit_code(p, &code));
	cr_assert(code == 0, "the child failed at step %d", code);
	T_OK(mp_process_close(p));
	mp_event_close(connected);
	mp_event_close(restarted);
	end();
}

/* What a private daemon was is gone with it: nobody waits for another one. */
Test(reconnect, a_private_daemon_does_not_come_back)
{
	mp_manager *private;
	int r;

	T_OK(mp_manager_start(MP_MANAGER_OPTIONS(.reconnect_ms = MP_FOREVER), &private));
	cr_assert(kill(mp_manager_pid(private), SIGKILL) == 0);
	do
		r = mp_manager_ping(private);
	while (r == 0);
	T_RESULT(r, -EPIPE);
	T_RESULT(mp_manager_ping(private), -EPIPE);
	mp_manager_close(private);
}

Test(reconnect, a_wrong_option_is_refused)
{
	mp_manager *none = NULL;

	T_RESULT(mp_manager_connect("/nowhere", MP_MANAGER_OPTIONS(.reconnect_ms = -3), &none),
		-EINVAL);
	T_RESULT(mp_manager_start(MP_MANAGER_OPTIONS(.reconnect_ms = -3), &none), -EINVAL);
	cr_assert(none == NULL);
}
