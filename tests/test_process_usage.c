/* SPDX-License-Identifier: MIT */
/* What a child used, told by the kernel or by its fork server; and who is left to tell. */
#include <config.h>

#include "tests/support/starts.h"

#include "process/forkserver.h"

#include <sys/wait.h>
#include <time.h>

T_SUITE(usage);

/* Of a child that has ended. */
static struct rusage usage_of(mp_process *p)
{
	struct rusage usage;

	T_OK(mp_process_join(p, T_TIMEOUT_MS / 2));
	T_OK(mp_process_usage(p, &usage));
	return usage;
}

static int64_t microseconds(struct timeval t)
{
	return (int64_t)t.tv_sec * 1000000 + t.tv_usec;
}

#define PROCESSOR_MS 30
#define MEMORY ((size_t)32 << 20)

static int use(int argc, const mp_obj *argv)
{
	static volatile char memory[MEMORY];

	(void)argc;
	(void)argv;
	do {
		for (size_t i = 0; i < sizeof(memory); i += 4096)
			memory[i]++;
	} while (clock() < (clock_t)PROCESSOR_MS * CLOCKS_PER_SEC / 1000);
	return 3;
}

EACH_METHOD(usage, tells_time_and_memory)
{
	mp_process *idle = start(return_it, mp_nil(), BY(method));
	mp_process *busy = start(use, mp_nil(), BY(method));
	struct rusage little = usage_of(idle);
	struct rusage much = usage_of(busy);

	cr_assert(microseconds(much.ru_utime) + microseconds(much.ru_stime) >=
		  (PROCESSOR_MS - 1) * INT64_C(1000));
	cr_assert(much.ru_maxrss >= (long)(MEMORY >> 10));
	cr_assert(much.ru_minflt > 0);
	cr_assert(little.ru_maxrss > 0 && little.ru_maxrss < much.ru_maxrss);
	/* The same every time, and the exit code with it. */
	struct rusage again = usage_of(busy);
	cr_assert(memcmp(&again, &much, sizeof(much)) == 0);
	finish(idle, 0);
	finish(busy, 3);
}

EACH_METHOD(usage, of_a_killed_child)
{
	mp_process *p;
	struct rusage usage = {.ru_maxrss = -7};

	T_RESULT(mp_process_usage(NULL, &usage), -EINVAL);
	T_OK(mp_process_new(hang, mp_nil(), BY(method), &p));
	T_RESULT(mp_process_usage(p, &usage), -EINVAL);
	T_OK(mp_process_start(p));
	T_RESULT(mp_process_usage(p, &usage), -EAGAIN);
	cr_assert_eq(usage.ru_maxrss, -7);
	T_OK(mp_process_kill(p));
	usage = usage_of(p);
	cr_assert(usage.ru_maxrss > 0);
	finish(p, -SIGKILL);
}

static int use_of_parents_handle(void *p)
{
	struct rusage usage;

	T_CHECK(mp_process_usage(p, &usage) == -ECHILD);
	return 0;
}

Test(usage, handle_is_not_the_childs)
{
	mp_process *p = start(return_it, mp_nil(), BY(MP_START_FORK));
	struct t_child child = t_spawn(use_of_parents_handle, p);

	t_expect_exit(&child, 0);
	finish(p, 0);
}

Test(usage, reaped_by_somebody_else_is_unknown)
{
	mp_process *p = start(return_it, mp_nil(), BY(MP_START_FORK));
	struct rusage usage = {.ru_maxrss = -7};

	cr_assert(waitpid(mp_process_pid(p), NULL, 0) == mp_process_pid(p));
	T_RESULT(mp_process_usage(p, &usage), -ESRCH);
	cr_assert_eq(usage.ru_maxrss, -7);
	T_OK(mp_process_close(p));
}

/*
 * The child is an orphan then, and this process, a subreaper, inherits it: the kernel tells. With
 * the status in the server's hands nobody can.
 */
static void expect_with_dead_server(const char *point, int expected)
{
	struct rusage usage;
	mp_process *p;
	int r;

	t_arm(point, "kill");
	T_OK(mp_process_new(return_it, MP_ARGS(mp_i64(5)), BY(MP_START_FORKSERVER), &p));
	T_OK(mp_process_start(p));
	T_OK(mp_process_join(p, T_TIMEOUT_MS / 2));
	t_wait_fired(point);
	/* The server may take its time to die, and lives until then. */
	do
		r = mp_process_usage(p, &usage);
	while (r == -EAGAIN);
	T_RESULT(r, expected);
	t_disarm();
	finish(p, 5);
	mp__forkserver_stop();
}

Test(usage, server_dies)
{
	expect_with_dead_server("process.server.reaping", 0);
	expect_with_dead_server("process.server.reaped", -ESRCH);
}

EACH_METHOD(usage, interrupt)
{
	mp_process *p;

	T_RESULT(mp_process_interrupt(NULL), -EINVAL);
	T_OK(mp_process_new(hang, mp_nil(), BY(method), &p));
	T_RESULT(mp_process_interrupt(p), -EINVAL);
	T_OK(mp_process_start(p));
	T_OK(mp_process_interrupt(p));
	finish(p, -SIGINT);
}

EACH_METHOD_AND_THREAD(usage, nowhere_to_put_it)
{
	mp_process *p = start(return_it, MP_ARGS(mp_i64(5)), BY(method));

	T_OK(mp_process_join(p, T_TIMEOUT_MS / 2));
	T_RESULT(mp_process_usage(p, NULL), -EINVAL);
	T_RESULT(mp_process_exit_code(p, NULL), -EINVAL);
	finish(p, 5);
}
