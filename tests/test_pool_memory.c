/* SPDX-License-Identifier: MIT */
/*
 * Every allocation of the owner fails once: nothing leaks, the error is -ENOMEM, and the pool goes
 * on. The linker puts __wrap_malloc in place of malloc in all of libmp that is linked here
 * (--wrap).
 */
#include <config.h>

#include "tests/support/pool.h"

#include <fcntl.h>
#include <mp/handle.h>

T_SUITE(pool_memory);

void *__real_malloc(size_t size);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t size);

/* Allocations until one fails; below 0 none does. Of this process alone. */
static int left = -1;
static pid_t owner;

static bool fails(void)
{
	if (left < 0 || getpid() != owner)
		return false;
	if (left == 0)
		return true;
	left--;
	return false;
}

void *__wrap_malloc(size_t size)
{
	return fails() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t n, size_t size)
{
	return fails() ? NULL : __real_calloc(n, size);
}

void *__wrap_realloc(void *p, size_t size)
{
	return fails() ? NULL : __real_realloc(p, size);
}

/* Run `call` with its first, second, ... allocation failing, until it makes no more of them. */
#define EACH_FAILS(call, release)                                                           \
	do {                                                                                \
		int code = -ENOMEM;                                                         \
		int n = 0;                                                                  \
		owner = getpid();                                                           \
		for (; code == -ENOMEM; n++) {                                              \
			int fds = t_count_fds();                                            \
			left = n;                                                           \
			code = (call);                                                      \
			left = -1;                                                          \
			cr_assert(code == 0 || t_count_fds() == fds, "%d leaves an fd", n); \
		}                                                                           \
		T_OK(code);                                                                 \
		release;                                                                    \
		cr_assert_gt(n, 1, #call " allocates nothing");                             \
	} while (0)

Test(pool_memory, new_survives_each_failure)
{
	mp_pool *pool;

	EACH_FAILS(mp_pool_new(
			   MP_POOL_OPTIONS(.workers = 2, .max_pending = 10, .initializer = t_square,
				   .initializer_args = MP_ARGS(mp_str("argument"))),
			   &pool),
		T_OK(mp_pool_close(pool)));
}

Test(pool_memory, submit_survives_each_failure)
{
	mp_pool *pool = t_pool(1);
	static char data[10000];
	mp_future *f;

	EACH_FAILS(mp_pool_submit(pool, t_square, MP_ARGS(mp_i64(3)), &f), t_expect_i64(f, 9));
	EACH_FAILS(mp_pool_submit(
			   pool, t_square, MP_ARGS(mp_i64(3), mp_bytes(data, sizeof(data))), &f),
		t_expect_i64(f, 9));
	t_pool_end(pool);
}

Test(pool_memory, descriptors_survive_each_failure)
{
	mp_pool *pool = t_pool(1);
	int fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
	mp_future *f;

	EACH_FAILS(mp_pool_submit(pool, t_write_pid, MP_ARGS(mp_fd(fd)), &f),
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
	owner = getpid();
	left = 0;
	int r = mp_future_result(f, T_TIMEOUT_MS, &value);
	left = -1;
	T_RESULT(r, -ENOMEM);
	T_RESULT(mp_future_state(f), MP_FUTURE_FAILED);
	mp_future_close(f);

	/* When it is decoded, it may be asked for again. */
	f = t_submit(pool, t_echo, MP_ARGS(mp_bytes(data, sizeof(data))));
	T_OK(mp_future_result(f, T_TIMEOUT_MS, NULL));
	EACH_FAILS(mp_future_result(f, T_TIMEOUT_MS, &value), mp_obj_free(&value));
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
	EACH_FAILS(mp_pool_map(pool, t_echo, items, 20, 3, results), );
	for (int i = 0; i < 20; i++)
		mp_obj_free(&results[i]);
	t_pool_end(pool);
}
