/* SPDX-License-Identifier: MIT */
/*
 * Every allocation of a call fails once: the error is -ENOMEM, nothing leaks, and the same call
 * works afterwards.
 */
#include <config.h>

#include "tests/support/starve.h"

#include <mp.h>
#ifdef ENABLE_MANAGER
#include "tests/support/daemon.h"
#endif

T_SUITE(memory);

/* --- timers ---------------------------------------------------------------------------------------- */

static void never(mp_timer *timer, uint64_t periods, void *data)
{
	(void)timer, (void)periods, (void)data;
}

Test(memory, timer_new)
{
	mp_timer *timer;

	T_EACH_FAILS(mp_timer_new(never, NULL, MP_TIMER_OPTIONS(.interval_ms = 1), &timer),
		T_OK(mp_timer_close(timer)));
	T_EACH_FAILS(mp_timer_new(never, NULL, MP_TIMER_OPTIONS(.interval_ms = 1, .thread = true),
			     &timer),
		T_OK(mp_timer_close(timer)));
}

/* --- processes ------------------------------------------------------------------------------------- */

static int five(int argc, const mp_obj *argv)
{
	(void)argv;
	return argc == 2 ? 5 : 6;
}

static mp_process *new_process(int method)
{
	mp_process *p = NULL;

	T_EACH_FAILS(mp_process_new(five, MP_ARGS(mp_str("some text"), mp_i64(2)),
			     MP_PROCESS_OPTIONS(.name = "p", .start_method = method), &p), );
	return p;
}

static void end_process(mp_process *p)
{
	int code;

	T_OK(mp_process_join(p, T_TIMEOUT_MS));
	T_OK(mp_process_exit_code(p, &code));
	cr_assert_eq(code, 5);
	T_OK(mp_process_close(p));
}

Test(memory, process_new)
{
	T_OK(mp_process_close(new_process(MP_START_FORK)));
}

Test(memory, spawn)
{
	mp_process *p = new_process(MP_START_SPAWN);

	T_EACH_FAILS(mp_process_start(p), end_process(p));
}

static void end_started(mp_process *p)
{
	T_OK(mp_process_start(p));
	end_process(p);
}

/* With a server that has to be started first, whose descriptors stay. */
static int start_with_server(mp_process *p)
{
	int r = -ENOMEM;

	for (int n = 0; r == -ENOMEM; n++) {
		t_starve(n);
		r = mp_process_start(p);
		t_starve(-1);
	}
	return r;
}

Test(memory, forkserver)
{
	mp_process *p = new_process(MP_START_FORKSERVER);

	T_OK(start_with_server(p));
	end_process(p);
	p = new_process(MP_START_FORKSERVER);
	T_EACH_FAILS(mp_process_start(p), end_process(p));
}

/* Everything that is copied, and the descriptors of the copies. */
static void with_options(int method)
{
	const mp_process_fd table[] = {{0, 40}, {1, 41}};
	char one[] = "ONE=1";
	char *env[] = {one, NULL};
	mp_process *p = NULL;

	T_EACH_FAILS(
		mp_process_new(five, MP_ARGS(mp_fd(0), mp_i64(2)),
			MP_PROCESS_OPTIONS(.start_method = method, .env = env, .cwd = "/",
				.out = MP_STREAM_FD(2), .fds = table, .n_fds = 2, .daemon = true),
			&p), );
	/* The fork server's own start, whose descriptors stay. */
	if (method == MP_START_FORKSERVER)
		end_started(new_process(method));
	if (method == MP_START_FORK)
		T_OK(mp_process_start(p)); /* allocates in the child alone */
	else
		T_EACH_FAILS(mp_process_start(p), );
	end_process(p);
}

Test(memory, options)
{
	with_options(MP_START_FORK);
	with_options(MP_START_SPAWN);
	with_options(MP_START_FORKSERVER);
}

Test(memory, forkserver_preload)
{
	T_EACH_FAILS(mp_forkserver_preload(five, MP_ARGS(mp_str("text"), mp_fd(0))), );
	T_OK(mp_forkserver_preload(NULL, mp_nil()));
}

Test(memory, children)
{
	mp_process *p = new_process(MP_START_FORK);
	mp_process *children[1];

	T_OK(mp_process_start(p));
	T_EACH_FAILS(mp_process_children(children, 1), );
	end_process(p);
}

/* --- manager --------------------------------------------------------------------------------------- */

#ifdef ENABLE_MANAGER
Test(memory, manager_start)
{
	mp_manager *m;

	T_EACH_FAILS(mp_manager_start(NULL, &m), T_OK(mp_manager_close(m)));
}

Test(memory, manager_connect)
{
	struct t_daemon daemon = t_daemon_start(NULL);
	mp_manager *m;

	T_EACH_FAILS(mp_manager_connect(daemon.address, NULL, &m), T_OK(mp_manager_close(m)));
	t_daemon_stop(&daemon);
}

Test(memory, dict)
{
	static char bytes[100000];
	mp_obj value;
	mp_manager *m;
	mp_dict *d;

	T_OK(mp_manager_start(T_PATIENT, &m));
	T_EACH_FAILS(mp_manager_dict(m, "name", &d), );
	T_EACH_FAILS(mp_dict_set(d, mp_str("k"), mp_bytes(bytes, sizeof(bytes))), );
	T_EACH_FAILS(mp_dict_get(d, mp_str("k"), &value), );
	cr_assert_eq(mp_obj_len(&value), sizeof(bytes));
	mp_obj_free(&value);
	T_EACH_FAILS(mp_dict_items(d, &value), mp_obj_free(&value));
	T_EACH_FAILS(mp_dict_update(d, MP_DICT(mp_i64(1), mp_bytes(bytes, sizeof(bytes)))), );
	T_OK(mp_dict_close(d));
	T_OK(mp_manager_close(m));
}
#endif
