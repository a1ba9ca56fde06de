/* SPDX-License-Identifier: MIT */
/*
 * tests/support/starts.h - for tests of processes: targets, short ways to start and to end.
 *
 * EACH_METHOD(suite, name) { ... method ... } makes three tests of one body: fork_name, spawn_name
 * and forkserver_name. EACH_METHOD_AND_THREAD makes a fourth, thread_name.
 */
#ifndef TESTS_STARTS_H
#define TESTS_STARTS_H

#include "tests/support/support.h"

#include "base/fds.h"

#include <mp/handle.h>
#include <mp/process.h>

#define EACH_METHOD(suite, name)                  \
	static void each_##name(int method);      \
	Test(suite, fork_##name)                  \
	{                                         \
		each_##name(MP_START_FORK);       \
	}                                         \
	Test(suite, spawn_##name)                 \
	{                                         \
		each_##name(MP_START_SPAWN);      \
	}                                         \
	Test(suite, forkserver_##name)            \
	{                                         \
		each_##name(MP_START_FORKSERVER); \
	}                                         \
	static void each_##name(int method)

#define EACH_METHOD_AND_THREAD(suite, name)   \
	static void each_##name(int method);  \
	Test(suite, thread_##name)            \
	{                                     \
		each_##name(MP_START_THREAD); \
	}                                     \
	EACH_METHOD(suite, name)

/* Options that name just the method. */
#define BY(m) MP_PROCESS_OPTIONS(.start_method = (m))

static inline mp_process *start(mp_target *target, mp_obj args, const mp_process_options *options)
{
	mp_process *p = NULL;

	T_OK(mp_process_new(target, args, options, &p));
	T_OK(mp_process_start(p));
	return p;
}

/* Join; it must be this exit code; close. */
static inline void finish(mp_process *p, int expected)
{
	int code = 12345;

	T_OK(mp_process_join(p, T_TIMEOUT_MS / 2));
	T_OK(mp_process_exit_code(p, &code));
	cr_assert(code == expected, "exit code %d, not %d", code, expected);
	T_OK(mp_process_close(p));
}

/* --- targets ----------------------------------------------------------------------------------- */

/* Leaves with its first argument. */
__attribute__((unused)) static int return_it(int argc, const mp_obj *argv)
{
	return argc > 0 ? (int)mp_obj_i64(&argv[0]) : 0;
}

__attribute__((unused)) static int hang(int argc, const mp_obj *argv)
{
	(void)argc;
	(void)argv;
	t_hang();
}

/* Writes a byte to the descriptor that is its first argument, then hangs. */
__attribute__((unused)) static int tell_and_hang(int argc, const mp_obj *argv)
{
	T_CHECK(argc >= 1 && write(mp_obj_fd(&argv[0]), "x", 1) == 1);
	t_hang();
}

/* Read one byte, with a deadline. */
static inline char read_byte(int fd)
{
	char byte = 0;

	cr_assert(mp__fd_wait(fd, 1, mp__deadline_in(T_TIMEOUT_MS / 2)) == 0, "nothing to read");
	cr_assert(read(fd, &byte, 1) == 1, "end of file");
	return byte;
}

#endif
