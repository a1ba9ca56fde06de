/* SPDX-License-Identifier: MIT */
/*
 * Every allocation of the owner fails once: nothing leaks, the error is -ENOMEM, and the pool goes
 * on.
 */
#include <config.h>

#include "tests/support/pool.h"
#include "tests/support/starve.h"

#include <fcntl.h>
#include <mp/handle.h>

T_SUITE(pool_memory);

Test(pool_memory, new_survives_each_failure)
{
	mp_pool *pool;

	T_EACH_FAILS(mp_pool_new(MP_POOL_OPTIONS(.workers = 2, .max_pending = 10,
					 .initializer = t_square,
					 .initializer_args = MP_ARGS(mp_str("argument"))),
			     &pool),
		T_OK(mp_pool_close(pool)));
}

Test(pool_memory, submit_survives_each_failure)
{
	mp_pool *pool = t_pool(1);
	static char data[10000];
	mp_future *f;

	T_EACH_FAILS(mp_pool_submit(pool, t_square, MP_ARGS(mp_i64(3)), &f), t_expect_i64(f, 9));
	T_EACH_FAILS(mp_pool_submit(
			     pool, t_square, MP_ARGS(mp_i64(3), mp_bytes(data, sizeof(data))), &f),
		t_expect_i64(f, 9));
	t_pool_end(pool);
}

Test(pool_memory, descriptors_survive_each_failure)
{
	mp_pool *pool = t_pool(1);
	int fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
	mp_future *f;

	T_EACH_FAILS(mp_pool_submit(pool, t_write_pid, MP_ARGS(mp_fd(fd)), &f),
		T_OK(mp_future_result(f, T_TIMEOUT_MS, NULL)));
	mp_future_close(f);
	t_pool_end(pool);
	close(fd);
}

Test(pool_memory, result_that_finds_no_memory)
{
	mp_pool *pool = t_pool(1);
	static char data[10000];
	mp_obj value = mp_nil();
	mp_future *f = t_submit(pool, t_echo, MP_ARGS(mp_bytes(data, sizeof(data))));

	/* When it is collected, it is lost for good. */
	t_starve(0);
	int r = mp_future_result(f, T_TIMEOUT_MS, &value);
	t_starve(-1);
	T_RESULT(r, -ENOMEM);
	T_RESULT(mp_future_state(f), MP_FUTURE_FAILED);
	mp_future_close(f);

	/* When it is decoded, it may be asked for again. */
	f = t_submit(pool, t_echo, MP_ARGS(mp_bytes(data, sizeof(data))));
	T_OK(mp_future_result(f, T_TIMEOUT_MS, NULL));
	T_EACH_FAILS(mp_future_result(f, T_TIMEOUT_MS, &value), mp_obj_free(&value));
	mp_future_close(f);
	t_pool_end(pool);
}

Test(pool_memory, map_survives_each_failure)
{
	mp_pool *pool = t_pool(1);
	mp_obj items[20];
	mp_obj results[20];

	for (int i = 0; i < 20; i++)
		items[i] = mp_str("some text");
	T_EACH_FAILS(mp_pool_map(pool, t_echo, items, 20, 3, results), );
	for (int i = 0; i < 20; i++)
		mp_obj_free(&results[i]);
	t_pool_end(pool);
}

static void ignore(mp_future *future, void *data)
{
	(void)future;
	++*(int *)data;
}

Test(pool_memory, waiting_survives_each_failure)
{
	mp_pool *pools[2] = {t_pool(1), t_pool(1)};
	mp_future *f[2] = {t_submit(pools[0], t_square, MP_ARGS(mp_i64(3))),
		t_submit(pools[1], t_fail_at_13, MP_ARGS(mp_i64(12)))};
	mp_as_completed *it;
	mp_failure failure;
	int called = 0;

	T_EACH_FAILS(mp_as_completed_new(f, 2, &it), T_OK(mp_as_completed_close(it)));
	T_EACH_FAILS(mp_future_add_done_callback(f[0], ignore, &called), );
	for (int i = 0; i < 2; i++)
		mp_future_done(f[i]);
	int r;
	t_starve(0);
	r = mp_future_wait(f, 2, MP_WAIT_ALL, MP_NOWAIT);
	t_starve(-1);
	cr_assert(r == -ENOMEM || r == 2);
	T_RESULT(mp_future_wait(f, 2, MP_WAIT_ALL, T_TIMEOUT_MS), 2);
	T_RESULT(mp_future_error(f[1], MP_NOWAIT, &failure), 1);
	cr_assert_eq(called, 1);
	for (int i = 0; i < 2; i++) {
		mp_future_close(f[i]);
		t_pool_end(pools[i]);
	}
}
