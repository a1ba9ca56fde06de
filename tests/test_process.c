/* SPDX-License-Identifier: MIT */
/* Process handles, with fork: options, start, end, exit codes, signals. */
#include <config.h>

#include "tests/support/support.h"

#include "base/fds.h"

#include <fcntl.h>
#include <mp/handle.h>
#include <mp/process.h>
#include <poll.h>
#include <pthread.h>
#include <sys/prctl.h>
#include <sys/wait.h>

T_SUITE(process);

static int return_code(int argc, const mp_obj *argv)
{
	return argc > 0 ? (int)mp_obj_i64(&argv[0]) : 0;
}

static int hang(int argc, const mp_obj *argv)
{
	(void)argc;
	(void)argv;
	t_hang();
}

static mp_process *started(mp_target *target, mp_obj args, const mp_process_options *options)
{
	mp_process *p;

	T_OK(mp_process_new(target, args, options, &p));
	T_OK(mp_process_start(p));
	return p;
}

static void expect_code(mp_process *p, int expected)
{
	int code = 12345;

	T_OK(mp_process_join(p, T_TIMEOUT_MS));
	T_OK(mp_process_exit_code(p, &code));
	cr_assert(code == expected, "exit code %d, not %d", code, expected);
	T_OK(mp_process_close(p));
}

Test(process, test_process)
{
	mp_process *p;
	int code = 77;

	T_OK(mp_process_new(return_code, MP_ARGS(mp_i64(7)), NULL, &p));
	T_RESULT(mp_process_is_alive(p), 0);
	T_RESULT(mp_process_exit_code(p, &code), -EINVAL);
	T_RESULT(mp_process_pid(p), -EINVAL);
	T_OK(mp_process_start(p));
	cr_assert(mp_process_pid(p) > 0 && mp_process_pid(p) != getpid());
	T_OK(mp_process_join(p, T_TIMEOUT_MS));
	T_OK(mp_process_join(p, MP_NOWAIT));
	T_RESULT(mp_process_is_alive(p), 0);
	T_OK(mp_process_exit_code(p, &code));
	cr_assert_eq(code, 7);
	cr_assert(mp_process_pid(p) > 0);
	T_OK(mp_process_close(p));
}

Test(process, test_kill)
{
	mp_process *p = started(hang, mp_nil(), MP_PROCESS_OPTIONS(.daemon = true));

	T_RESULT(mp_process_join(p, MP_NOWAIT), -ETIMEDOUT);
	T_RESULT(mp_process_is_alive(p), 1);
	T_OK(mp_process_kill(p));
	expect_code(p, -SIGKILL);
}
