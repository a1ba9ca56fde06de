/* SPDX-License-Identifier: MIT */
/* What the fork server runs before it serves, and who hears when that goes wrong. */
#include <config.h>

#include "tests/support/starts.h"

#include "process/forkserver.h"

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>

T_SUITE(preload);

static int preloaded; /* 0 in this process */

static int set_preloaded(int argc, const mp_obj *argv)
{
	char byte;

	T_CHECK(argc >= 1);
	preloaded = (int)mp_obj_i64(&argv[0]);
	if (preloaded == 8) /* to stdio, and not flushed */
		printf("preloaded %d\n", preloaded);
	if (argc > 1)
		T_CHECK(read(mp_obj_fd(&argv[1]), &byte, 1) == 1);
	return 0;
}

static int return_preloaded(int argc, const mp_obj *argv)
{
	(void)argc;
	(void)argv;
	return preloaded;
}

/* Leaves with what was preloaded in the server that it comes from. */
static void expect_preloaded(int expected)
{
	finish(start(return_preloaded, mp_nil(), BY(MP_START_FORKSERVER)), expected);
}

static void fail_to_start(int error, const char *sentence)
{
	mp_process *p;

	T_OK(mp_process_new(return_preloaded, mp_nil(),
		MP_PROCESS_OPTIONS(.start_method = MP_START_FORKSERVER, .daemon = true), &p));
	T_RESULT(mp_process_start(p), error);
	cr_assert(strstr(mp_error_detail(), sentence), "%s", mp_error_detail());
	T_RESULT(mp_process_pid(p), -EINVAL);
	T_OK(mp_process_close(p));
}

Test(preload, runs_once_in_the_server)
{
	T_OK(mp_forkserver_preload(set_preloaded, MP_ARGS(mp_i64(7))));
	expect_preloaded(7);
	expect_preloaded(7);
	cr_assert_eq(preloaded, 0);
	/* Other methods know nothing of it. */
	finish(start(return_preloaded, mp_nil(), BY(MP_START_FORK)), 0);
	finish(start(return_preloaded, mp_nil(), BY(MP_START_SPAWN)), 0);
	T_OK(mp_forkserver_preload(NULL, mp_nil()));
	expect_preloaded(0);
}

Test(preload, output_appears_once)
{
	char text[64] = "";
	int ends[2];
	int saved = fcntl(1, F_DUPFD_CLOEXEC, 3);

	cr_assert(pipe2(ends, O_CLOEXEC) == 0);
	fflush(NULL);
	T_OK(mp_forkserver_preload(set_preloaded, MP_ARGS(mp_i64(8))));
	cr_assert(dup2(ends[1], 1) == 1);
	expect_preloaded(8);
	expect_preloaded(8);
	mp__forkserver_stop();
	cr_assert(dup2(saved, 1) == 1);
	cr_assert(read(ends[0], text, sizeof(text) - 1) > 0);
	cr_assert_str_eq(text, "preloaded 8\n");
	mp__fds_close((int[]){ends[0], ends[1], saved}, 3);
	T_OK(mp_forkserver_preload(NULL, mp_nil()));
}

/* A running server keeps its children, and takes no more. */
Test(preload, holds_for_the_next_server)
{
	mp_process *old = start(hang, mp_nil(), BY(MP_START_FORKSERVER));

	for (int i = 1; i <= 3; i++) {
		T_OK(mp_forkserver_preload(set_preloaded, MP_ARGS(mp_i64(i))));
		expect_preloaded(i);
	}
	T_RESULT(mp_process_is_alive(old), 1);
	T_OK(mp_process_kill(old));
	finish(old, -SIGKILL);
	T_OK(mp_forkserver_preload(NULL, mp_nil()));
}

/* Descriptors in its arguments are there for the next server too. */
Test(preload, runs_again_in_a_new_server)
{
	int ends[2];

	cr_assert(pipe2(ends, O_CLOEXEC) == 0);
	T_OK(mp_forkserver_preload(set_preloaded, MP_ARGS(mp_i64(7), mp_fd(ends[0]))));
	close(ends[0]);
	for (int i = 0; i < 3; i++) {
		cr_assert(write(ends[1], "x", 1) == 1);
		expect_preloaded(7);
		mp__forkserver_stop();
	}
	close(ends[1]);
	T_OK(mp_forkserver_preload(NULL, mp_nil()));
}

static int start_after_fork(void *arg)
{
	(void)arg;
	mp_process *p;
	int code = 0;

	T_CHECK(mp_process_new(return_preloaded, mp_nil(), BY(MP_START_FORKSERVER), &p) == 0);
	T_CHECK(mp_process_start(p) == 0 && mp_process_join(p, T_TIMEOUT_MS / 2) == 0);
	T_CHECK(mp_process_exit_code(p, &code) == 0 && mp_process_close(p) == 0);
	return code;
}

Test(preload, a_forked_child_has_its_own_server)
{
	T_OK(mp_forkserver_preload(set_preloaded, MP_ARGS(mp_i64(7))));
	expect_preloaded(7);
	struct t_child child = t_spawn(start_after_fork, NULL);
	t_expect_exit(&child, 7);
	T_OK(mp_forkserver_preload(NULL, mp_nil()));
}

/* --- failures ------------------------------------------------------------------------------------- */

static int fail_with(int argc, const mp_obj *argv)
{
	int result = (int)mp_obj_i64(&argv[0]);

	return argc > 1 ? mp_error_set(result, "%s", mp_obj_str(&argv[1])) : result;
}

Test(preload, failure_is_the_error_of_the_start)
{
	T_OK(mp_forkserver_preload(fail_with, MP_ARGS(mp_i64(-EDOM), mp_str("no table today"))));
	for (int i = 0; i < 3; i++)
		fail_to_start(-EDOM, "no table today");
	T_OK(mp_forkserver_preload(fail_with, MP_ARGS(mp_i64(-ENOENT))));
	fail_to_start(-ENOENT, "preload");
	T_OK(mp_forkserver_preload(fail_with, MP_ARGS(mp_i64(3))));
	fail_to_start(-ECANCELED, "returned 3");
	T_OK(mp_forkserver_preload(set_preloaded, MP_ARGS(mp_i64(7))));
	expect_preloaded(7);
	T_OK(mp_forkserver_preload(NULL, mp_nil()));
}

static int crash(int argc, const mp_obj *argv)
{
	(void)argc;
	(void)argv;
	prctl(PR_SET_DUMPABLE, 0);
	raise(SIGKILL);
	return 0;
}

Test(preload, crash_is_the_error_of_the_start)
{
	T_OK(mp_forkserver_preload(crash, mp_nil()));
	fail_to_start(-EOWNERDEAD, "fork server ended");
	fail_to_start(-EOWNERDEAD, "fork server ended");
	T_OK(mp_forkserver_preload(NULL, mp_nil()));
	expect_preloaded(0);
}

Test(preload, bad_input_is_refused)
{
	char data[] = "no code";

	T_OK(mp_forkserver_preload(set_preloaded, MP_ARGS(mp_i64(7))));
	T_RESULT(mp_forkserver_preload(set_preloaded, mp_i64(7)), -EINVAL);
	T_RESULT(mp_forkserver_preload((mp_target *)(uintptr_t)data, mp_nil()), -ENOEXEC);
	T_RESULT(mp_forkserver_preload(set_preloaded, MP_ARGS(mp_strn("\xff", 1))), -EILSEQ);
	T_RESULT(mp_forkserver_preload(set_preloaded, MP_ARGS(mp_fd(9999))), -EBADF);
	mp_obj levels[MP_OBJ_MAX_DEPTH + 1];
	levels[0] = mp_list_of(NULL, 0);
	for (int i = 1; i <= MP_OBJ_MAX_DEPTH; i++)
		levels[i] = mp_list_of(&levels[i - 1], 1);
	T_RESULT(mp_forkserver_preload(set_preloaded, levels[MP_OBJ_MAX_DEPTH]), -EOVERFLOW);
	struct rlimit all;
	cr_assert(getrlimit(RLIMIT_NOFILE, &all) == 0);
	struct rlimit few = {.rlim_cur = 4, .rlim_max = all.rlim_max};
	cr_assert(setrlimit(RLIMIT_NOFILE, &few) == 0);
	int r = mp_forkserver_preload(set_preloaded, MP_ARGS(mp_i64(1), mp_fd(0)));
	cr_assert(setrlimit(RLIMIT_NOFILE, &all) == 0);
	T_RESULT(r, -EMFILE);
	/* As it was. */
	expect_preloaded(7);
	T_OK(mp_forkserver_preload(NULL, mp_nil()));
}

/* --- crashes --------------------------------------------------------------------------------------- */

/* The server is killed once; another takes over, and the caller sees nothing of it. */
static void survive(const char *point)
{
	T_OK(mp_forkserver_preload(set_preloaded, MP_ARGS(mp_i64(7))));
	t_arm(point, "kill");
	expect_preloaded(7);
	t_wait_fired(point);
	t_disarm();
	T_OK(mp_forkserver_preload(NULL, mp_nil()));
}

Test(preload, server_dies_before_it_serves)
{
	survive("process.server.begun");
	survive("process.server.preloaded");
}

Test(preload, server_dies_before_it_can_say_what_failed)
{
	T_OK(mp_forkserver_preload(fail_with, MP_ARGS(mp_i64(-EDOM), mp_str("no table today"))));
	t_arm("process.server.refusing", "kill");
	fail_to_start(-EDOM, "no table today");
	cr_assert(t_fired());
	t_disarm();
	T_OK(mp_forkserver_preload(NULL, mp_nil()));
}
