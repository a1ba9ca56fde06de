/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "tests/support/pool.h"

#include "base/fds.h"
#include "pool/pool.h"

#include <mp/handle.h>

int t_square(int argc, const mp_obj *argv, mp_obj *ret)
{
	int64_t x = argc > 0 ? mp_obj_i64(&argv[0]) : 0;

	*ret = mp_i64(x * x);
	return 0;
}

int t_count_args(int argc, const mp_obj *argv, mp_obj *ret)
{
	(void)argv;
	*ret = mp_i64(argc);
	return 7; /* any success */
}

int t_echo(int argc, const mp_obj *argv, mp_obj *ret)
{
	(void)argc;
	*ret = argv[0];
	return 0;
}

int t_fail_at_13(int argc, const mp_obj *argv, mp_obj *ret)
{
	if (mp_obj_i64(&argv[0]) % 13 == 12)
		return mp_error_set(-EDOM, "item %d is bad", (int)mp_obj_i64(&argv[0]));
	return t_square(argc, argv, ret);
}

/* Waits until it can read a byte of the descriptor, and gives that. */
int t_read_byte(int argc, const mp_obj *argv, mp_obj *ret)
{
	char byte;

	if (argc < 1 || t_read_full(mp_obj_fd(&argv[0]), &byte, 1) < 0)
		return -EIO;
	*ret = mp_i64(byte);
	return 0;
}

int t_write_pid(int argc, const mp_obj *argv, mp_obj *ret)
{
	pid_t pid = getpid();

	(void)argc, (void)ret;
	return mp__write_full(mp_obj_fd(&argv[0]), &pid, sizeof(pid));
}

mp_pool *t_pool(int workers)
{
	mp_pool *pool;

	T_OK(mp_pool_new(MP_POOL_OPTIONS(.workers = workers), &pool));
	return pool;
}

const int t_methods[T_ALL] = {MP_START_FORK, MP_START_SPAWN, MP_START_FORKSERVER, MP_START_THREAD};

mp_pool *t_pool_by(int m, int workers)
{
	mp_pool *pool;

	T_OK(mp_pool_new(MP_POOL_OPTIONS(.workers = workers, .start_method = t_methods[m]), &pool));
	return pool;
}

mp_future *t_submit(mp_pool *pool, mp_task *task, mp_obj args)
{
	mp_future *f;

	T_OK(mp_pool_submit(pool, task, args, &f));
	return f;
}

void t_expect_i64(mp_future *f, int64_t expected)
{
	mp_obj result;

	T_OK(mp_future_result(f, T_TIMEOUT_MS, &result));
	cr_assert(mp_obj_i64(&result) == expected, "result %lld, not %lld",
		(long long)mp_obj_i64(&result), (long long)expected);
	mp_obj_free(&result);
	T_RESULT(mp_future_state(f), MP_FUTURE_DONE);
	mp_future_close(f);
}

void t_expect_error(mp_future *f, int error, int state, const char *detail)
{
	mp_obj result = mp_i64(77);

	T_RESULT(mp_future_result(f, T_TIMEOUT_MS, &result), error);
	cr_assert(strstr(mp_error_detail(), detail), "detail: %s", mp_error_detail());
	cr_assert_eq(mp_obj_i64(&result), 77);
	T_RESULT(mp_future_state(f), state);
	mp_future_close(f);
}

void t_pool_stop_first(mp_pool *pool)
{
	int pidfd = mp__pidfd_open(mp_process_pid(pool->places[0].process));

	cr_assert(pidfd >= 0);
	t_stop_pidfd(pidfd);
	close(pidfd);
}

void t_pool_end(mp_pool *pool)
{
	T_OK(mp_pool_join(pool, T_TIMEOUT_MS));
	T_OK(mp_pool_close(pool));
}
