/* SPDX-License-Identifier: MIT */
/* tests/support/pool.h - tasks and short forms that the tests of pools share. */
#ifndef TESTS_SUPPORT_POOL_H
#define TESTS_SUPPORT_POOL_H

#include "tests/support/support.h"

#include <mp/pool.h>

/* Tasks: x * x; the argument itself; x * x, but -EDOM for every x with x % 13 == 12. */
mp_task t_square, t_echo, t_fail_at_13;
/* How many arguments; returns 7, any success. */
mp_task t_count_args;
/* Waits until it can read a byte of the descriptor, and gives that. */
mp_task t_read_byte;
/* Writes its pid to the descriptor. */
mp_task t_write_pid;

mp_pool *t_pool(int workers);
/* For tests with workers of each kind: the first T_PROCESSES are processes, the last is threads. */
#define T_PROCESSES 3
#define T_ALL 4
extern const int t_methods[T_ALL];
mp_pool *t_pool_by(int m, int workers);
mp_future *t_submit(mp_pool *pool, mp_task *task, mp_obj args);
/* The task must end so; the future is closed. */
void t_expect_i64(mp_future *f, int64_t expected);
void t_expect_error(mp_future *f, int error, int state, const char *detail);
/* SIGSTOP to its first worker, a child of this process; it stands still when this returns. */
void t_pool_stop_first(mp_pool *pool);
/* Join and close. */
void t_pool_end(mp_pool *pool);

#endif
