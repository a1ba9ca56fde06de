/* SPDX-License-Identifier: MIT */
/* Pools: submit, futures, map, join, close, limits, misuse. Deaths are in test_pool_crash.c. */
#include <config.h>

#include "tests/support/support.h"

#include "base/fds.h"
#include "pool/future.h"
#include "pool/pool.h"

#include <fcntl.h>
#include <mp/handle.h>
#include <mp/pool.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>

T_SUITE(pool);

/* --- tasks ------------------------------------------------------------------------------------ */

static int square(int argc, const mp_obj *argv, mp_obj *ret)
{
	int64_t x = argc > 0 ? mp_obj_i64(&argv[0]) : 0;

	*ret = mp_i64(x * x);
	return 0;
}

static int count_args(int argc, const mp_obj *argv, mp_obj *ret)
{
	(void)argv;
	*ret = mp_i64(argc);
	return 7; /* any success */
}

static int echo(int argc, const mp_obj *argv, mp_obj *ret)
{
	(void)argc;
	*ret = argv[0];
	return 0;
}

static int fail_at_13(int argc, const mp_obj *argv, mp_obj *ret)
{
	if (mp_obj_i64(&argv[0]) % 13 == 12)
		return mp_error_set(-EDOM, "item %d is bad", (int)mp_obj_i64(&argv[0]));
	return square(argc, argv, ret);
}

static int fail_silently(int argc, const mp_obj *argv, mp_obj *ret)
{
	(void)argc, (void)argv, (void)ret;
	return -EXDEV;
}

static int fail_with_handle(int argc, const mp_obj *argv, mp_obj *ret)
{
	(void)argc, (void)argv;
	*ret = mp_fd(0);
	return 0;
}

static int fail_with_rubbish(int argc, const mp_obj *argv, mp_obj *ret)
{
	(void)argc, (void)argv;
	*ret = mp_str("\xff");
	return 0;
}

static int zeros(int argc, const mp_obj *argv, mp_obj *ret)
{
	size_t size = (size_t)mp_obj_i64(&argv[0]);
	char *data = calloc(1, size + 1);

	(void)argc;
	int r = mp_obj_copy(mp_bytes(data, size), ret);
	free(data);
	return r;
}

static int length(int argc, const mp_obj *argv, mp_obj *ret)
{
	const uint8_t *bytes = argv[0].as.bytes;
	uint64_t sum = 0;

	(void)argc;
	for (size_t i = 0; i < argv[0].count; i++)
		sum += bytes[i];
	*ret = mp_u64(sum);
	return 0;
}

/* Waits until it can read a byte of the descriptor, and gives that. */
static int read_byte(int argc, const mp_obj *argv, mp_obj *ret)
{
	char byte;

	if (argc < 1 || mp__read_full(mp_obj_fd(&argv[0]), &byte, 1) < 0)
		return -EIO;
	*ret = mp_i64(byte);
	return 0;
}

static int write_pid(int argc, const mp_obj *argv, mp_obj *ret)
{
	pid_t pid = getpid();

	(void)argc, (void)ret;
	return mp__write_full(mp_obj_fd(&argv[0]), &pid, sizeof(pid));
}

static int initialized_with;

static int initializer(int argc, const mp_obj *argv, mp_obj *ret)
{
	(void)argc, (void)ret;
	initialized_with = (int)mp_obj_i64(&argv[0]);
	return 0;
}

static int get_initialized(int argc, const mp_obj *argv, mp_obj *ret)
{
	(void)argc, (void)argv;
	*ret = mp_i64(initialized_with);
	return 0;
}

/* --- helpers ---------------------------------------------------------------------------------- */

static mp_pool *new_pool(int workers)
{
	mp_pool *pool;

	T_OK(mp_pool_new(MP_POOL_OPTIONS(.workers = workers), &pool));
	return pool;
}

static mp_future *submit(mp_pool *pool, mp_task *task, mp_obj args)
{
	mp_future *f;

	T_OK(mp_pool_submit(pool, task, args, &f));
	return f;
}

static void expect_i64(mp_future *f, int64_t expected)
{
	mp_obj result;

	T_OK(mp_future_result(f, T_TIMEOUT_MS, &result));
	cr_assert(mp_obj_i64(&result) == expected, "result %lld, not %lld",
		(long long)mp_obj_i64(&result), (long long)expected);
	mp_obj_free(&result);
	T_RESULT(mp_future_state(f), MP_FUTURE_DONE);
	mp_future_close(f);
}

static void expect_error(mp_future *f, int error, int state, const char *detail)
{
	mp_obj result = mp_i64(77);

	T_RESULT(mp_future_result(f, T_TIMEOUT_MS, &result), error);
	cr_assert(strstr(mp_error_detail(), detail), "detail: %s", mp_error_detail());
	cr_assert_eq(mp_obj_i64(&result), 77);
	T_RESULT(mp_future_state(f), state);
	mp_future_close(f);
}

static void end(mp_pool *pool)
{
	T_OK(mp_pool_join(pool, T_TIMEOUT_MS));
	T_OK(mp_pool_close(pool));
}

/* --- apply and results ------------------------------------------------------------------------ */

Test(pool, test_apply)
{
	mp_pool *pool = new_pool(2);

	expect_i64(submit(pool, square, MP_ARGS(mp_i64(12))), 144);
	expect_i64(submit(pool, square, MP_ARGS(mp_i64(-3))), 9);
	end(pool);
}

Test(pool, test_make_pool)
{
	mp_pool *pool = new_pool(3);

	T_RESULT(mp_pool_workers(pool), 3);
	end(pool);
}

Test(pool, workers_default_to_usable_cpus)
{
	mp_pool *pool;
	cpu_set_t set;

	T_OK(sched_getaffinity(0, sizeof(set), &set));
	T_OK(mp_pool_new(NULL, &pool));
	T_RESULT(mp_pool_workers(pool), CPU_COUNT(&set));
	end(pool);
}

Test(pool, options_are_checked)
{
	mp_pool *pool = (mp_pool *)&pool;
	mp_pool *before = pool;
	struct {
		mp_pool_options options;
		int future_field;
	} newer = {.options = {.size = sizeof(newer)}, .future_field = 1};

	T_RESULT(mp_pool_new(MP_POOL_OPTIONS(.workers = -1), &pool), -EINVAL);
	T_RESULT(mp_pool_new(MP_POOL_OPTIONS(.workers = 1001), &pool), -EINVAL);
	T_RESULT(mp_pool_new(MP_POOL_OPTIONS(.max_pending = -1), &pool), -EINVAL);
	T_RESULT(mp_pool_new(MP_POOL_OPTIONS(.max_pending = 1048577), &pool), -EINVAL);
	T_RESULT(mp_pool_new(MP_POOL_OPTIONS(.start_method = 99), &pool), -EINVAL);
	T_RESULT(mp_pool_new(MP_POOL_OPTIONS(.start_method = -1), &pool), -EINVAL);
	T_RESULT(mp_pool_new(MP_POOL_OPTIONS(.flags = 1), &pool), -EINVAL);
	T_RESULT(mp_pool_new(MP_POOL_OPTIONS(.initializer_args = mp_i64(1)), &pool), -EINVAL);
	T_RESULT(mp_pool_new(MP_POOL_OPTIONS(.initializer_args = MP_LIST(mp_str("\xff"))), &pool),
		-EILSEQ);
	T_RESULT(mp_pool_new(&newer.options, &pool), -E2BIG);
	T_RESULT(mp_pool_new(NULL, NULL), -EINVAL);
	cr_assert_eq(pool, before);
}

Test(pool, handles_are_checked)
{
	mp_pool *pool = new_pool(1);
	mp_obj item = mp_nil();
	mp_future *f;

	T_RESULT(mp_pool_submit(NULL, square, mp_nil(), &f), -EINVAL);
	T_RESULT(mp_pool_submit(pool, NULL, mp_nil(), &f), -EINVAL);
	T_RESULT(mp_pool_submit(pool, square, mp_i64(1), &f), -EINVAL);
	T_RESULT(mp_pool_map(NULL, square, &item, 1, 0, &item), -EINVAL);
	T_RESULT(mp_pool_map(pool, NULL, &item, 1, 0, &item), -EINVAL);
	T_RESULT(mp_pool_map(pool, square, NULL, 1, 0, &item), -EINVAL);
	T_RESULT(mp_pool_map(pool, square, &item, 1, 0, NULL), -EINVAL);
	T_RESULT(mp_pool_workers(NULL), -EINVAL);
	T_RESULT(mp_pool_join(NULL, 0), -EINVAL);
	T_OK(mp_pool_close(NULL));
	T_RESULT(mp_future_result(NULL, 0, NULL), -EINVAL);
	T_RESULT(mp_future_state(NULL), -EINVAL);
	T_OK(mp_future_close(NULL));
	end(pool);
}

Test(pool, nil_and_empty_arguments_are_no_arguments)
{
	mp_pool *pool = new_pool(1);

	expect_i64(submit(pool, count_args, mp_nil()), 0);
	expect_i64(submit(pool, count_args, MP_ARGS()), 0);
	expect_i64(submit(pool, count_args, MP_ARGS(mp_nil(), mp_nil())), 2);
	end(pool);
}

Test(pool, result_may_be_asked_many_times)
{
	mp_pool *pool = new_pool(1);
	mp_obj value = MP_DICT(mp_str("a"), MP_LIST(mp_i64(1), mp_f64(0.5)), mp_str("b"), mp_nil());
	mp_future *f = submit(pool, echo, MP_ARGS(value));

	for (int i = 0; i < 3; i++) {
		mp_obj result;
		T_OK(mp_future_result(f, T_TIMEOUT_MS, &result));
		cr_assert(mp_obj_equal(&result, &value));
		mp_obj_free(&result);
	}
	T_OK(mp_future_result(f, MP_NOWAIT, NULL));
	mp_future_close(f);
	end(pool);
}

Test(pool, test_error_during_func_exec_on_worker)
{
	mp_pool *pool = new_pool(1);

	expect_error(submit(pool, fail_at_13, MP_ARGS(mp_i64(12))), -EDOM, MP_FUTURE_FAILED,
		"item 12 is bad");
	expect_error(submit(pool, fail_silently, mp_nil()), -EXDEV, MP_FUTURE_FAILED,
		"the task returned -18");
	expect_i64(submit(pool, square, MP_ARGS(mp_i64(2))), 4);
	end(pool);
}

Test(pool, test_unpickleable_result)
{
	mp_pool *pool = new_pool(2);

	for (int i = 0; i < 20; i++) {
		expect_error(
			submit(pool, fail_with_rubbish, mp_nil()), -EILSEQ, MP_FUTURE_FAILED, "");
		expect_error(submit(pool, fail_with_handle, mp_nil()), -ENOTSUP, MP_FUTURE_FAILED,
			"cannot hold handles");
	}
	end(pool);
}

Test(pool, test_error_at_task_pickle)
{
	mp_pool *pool = new_pool(1);
	mp_future *f;

	T_RESULT(mp_pool_submit(pool, square, MP_ARGS(mp_str("\xff")), &f), -EILSEQ);
	T_RESULT(mp_pool_submit(pool, square, MP_ARGS((mp_obj){.type = 99}), &f), -EINVAL);
	expect_i64(submit(pool, square, MP_ARGS(mp_i64(2))), 4);
	end(pool);
}

Test(pool, code_outside_of_any_file_is_refused)
{
	mp_pool *pool = new_pool(1);
	void *code = mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	mp_future *f;

	T_RESULT(mp_pool_submit(pool, (mp_task *)code, mp_nil(), &f), -ENOEXEC);
	T_RESULT(mp_pool_new(MP_POOL_OPTIONS(.initializer = (mp_task *)code), &pool), -ENOEXEC);
	munmap(code, 4096);
	end(pool);
}

Test(pool, test_async_timeout)
{
	mp_pool *pool = new_pool(1);
	int ends[2];

	T_OK(pipe2(ends, O_CLOEXEC));
	mp_future *f = submit(pool, read_byte, MP_ARGS(mp_fd(ends[0])));
	T_RESULT(mp_future_result(f, 20, NULL), -ETIMEDOUT);
	T_RESULT(mp_future_result(f, MP_NOWAIT, NULL), -ETIMEDOUT);
	/* It runs, sooner or later. */
	while (mp_future_state(f) == MP_FUTURE_PENDING)
		sched_yield();
	T_RESULT(mp_future_state(f), MP_FUTURE_RUNNING);
	mp_future *next = submit(pool, square, MP_ARGS(mp_i64(3)));
	T_RESULT(mp_future_state(next), MP_FUTURE_PENDING);
	T_RESULT(mp_pool_join(pool, 20), -ETIMEDOUT);
	T_RESULT(mp_pool_submit(pool, square, mp_nil(), NULL), -EPIPE);
	cr_assert_eq(write(ends[1], "x", 1), 1);
	expect_i64(f, 'x');
	expect_i64(next, 9);
	close(ends[0]);
	close(ends[1]);
	end(pool);
}

Test(pool, futures_outlive_the_pool)
{
	mp_pool *pool = new_pool(2);
	mp_future *done = submit(pool, square, MP_ARGS(mp_i64(5)));
	mp_future *failed = submit(pool, fail_at_13, MP_ARGS(mp_i64(25)));

	T_OK(mp_pool_join(pool, T_TIMEOUT_MS));
	T_OK(mp_pool_join(pool, MP_NOWAIT));
	T_OK(mp_pool_close(pool));
	expect_i64(done, 25);
	expect_error(failed, -EDOM, MP_FUTURE_FAILED, "item 25");
}

Test(pool, test_terminate)
{
	mp_pool *pool = new_pool(2);
	enum { N = 10000 };
	static mp_future *futures[N];
	int ends[2];

	T_OK(pipe2(ends, O_CLOEXEC));
	T_OK(mp_pool_close(pool));
	T_OK(mp_pool_new(MP_POOL_OPTIONS(.workers = 2, .initializer = initializer,
				 .initializer_args = MP_ARGS(mp_fd(ends[0]))),
		&pool));
	mp_future *a = submit(pool, read_byte, MP_ARGS(mp_fd(ends[0])));
	mp_future *b = submit(pool, read_byte, MP_ARGS(mp_fd(ends[0])));
	while (mp_future_state(a) != MP_FUTURE_RUNNING || mp_future_state(b) != MP_FUTURE_RUNNING)
		sched_yield();
	for (int i = 0; i < N; i++)
		futures[i] = submit(pool, square, MP_ARGS(mp_i64(i)));
	T_OK(mp_pool_close(pool));
	for (int i = 0; i < N; i++)
		expect_error(futures[i], -ECANCELED, MP_FUTURE_CANCELLED, "closed before");
	expect_error(a, -ECANCELED, MP_FUTURE_CANCELLED, "closed before");
	expect_error(b, -ECANCELED, MP_FUTURE_CANCELLED, "closed before");
	close(ends[0]);
	close(ends[1]);
}

static void *wait_cancelled(void *future)
{
	return (void *)(intptr_t)mp_future_result(future, T_TIMEOUT_MS, NULL);
}

Test(pool, close_wakes_who_waits_for_a_result)
{
	mp_pool *pool = new_pool(1);
	pthread_t threads[4];
	mp_future *f;
	int ends[2];

	T_OK(pipe2(ends, O_CLOEXEC));
	f = submit(pool, read_byte, MP_ARGS(mp_fd(ends[0])));
	for (int i = 0; i < 4; i++)
		T_OK(pthread_create(&threads[i], NULL, wait_cancelled, f));
	while (mp_future_state(f) != MP_FUTURE_RUNNING)
		sched_yield();
	T_OK(mp_pool_close(pool));
	for (int i = 0; i < 4; i++) {
		void *result;
		T_OK(pthread_join(threads[i], &result));
		cr_assert_eq((intptr_t)result, -ECANCELED);
	}
	mp_future_close(f);
	close(ends[0]);
	close(ends[1]);
}

Test(pool, nobody_needs_to_keep_the_future)
{
	mp_pool *pool = new_pool(2);
	int ends[2];
	char byte;

	T_OK(pipe2(ends, O_CLOEXEC));
	for (int i = 0; i < 1000; i++)
		T_OK(mp_pool_submit(pool, square, MP_ARGS(mp_i64(i)), NULL));
	for (int i = 0; i < 1000; i++)
		T_OK(mp_future_close(submit(pool, zeros, MP_ARGS(mp_i64(1000)))));
	T_OK(mp_pool_submit(pool, write_pid, MP_ARGS(mp_fd(ends[1])), NULL));
	T_OK(mp__read_full(ends[0], &byte, 1));
	end(pool);
	close(ends[0]);
	close(ends[1]);
}

/* --- limits ----------------------------------------------------------------------------------- */

Test(pool, max_pending_of_one_makes_submit_wait)
{
	mp_pool *pool;
	mp_future *futures[100];

	T_OK(mp_pool_new(MP_POOL_OPTIONS(.workers = 2, .max_pending = 1), &pool));
	for (int i = 0; i < 100; i++)
		futures[i] = submit(pool, square, MP_ARGS(mp_i64(i)));
	for (int i = 0; i < 100; i++)
		expect_i64(futures[i], (int64_t)i * i);
	end(pool);
}

Test(pool, more_tasks_than_slots_and_ring)
{
	mp_pool *pool;
	static mp_future *futures[5000];

	T_OK(mp_pool_new(MP_POOL_OPTIONS(.workers = 3, .max_pending = 67), &pool));
	for (int i = 0; i < 5000; i++)
		futures[i] = submit(pool, square, MP_ARGS(mp_i64(i)));
	for (int i = 0; i < 5000; i++)
		expect_i64(futures[i], (int64_t)i * i);
	end(pool);
}

Test(pool, arguments_and_results_of_any_size)
{
	static const size_t sizes[] = {
		0, 1, 100, 180, 190, 200, 240, 250, 260, 4096, 65537, 1 << 20, 64 << 20};
	mp_pool *pool = new_pool(2);
	uint8_t *data = malloc(64 << 20);

	memset(data, 1, 64 << 20);
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		mp_obj result;
		mp_obj bytes = mp_bytes(data, sizes[i]);
		mp_future *f = submit(pool, length, MP_ARGS(bytes));
		expect_i64(f, (int64_t)sizes[i]);
		f = submit(pool, echo, MP_ARGS(bytes));
		T_OK(mp_future_result(f, T_TIMEOUT_MS, &result));
		cr_assert(mp_obj_equal(&result, &bytes), "%zu bytes came back wrong", sizes[i]);
		mp_obj_free(&result);
		mp_future_close(f);
	}
	/* What was long is given back. */
	struct stat st;
	T_OK(fstat(pool->seg.payload_fd, &st));
	cr_assert(st.st_blocks < 16, "%ld blocks of payload are left", (long)st.st_blocks);
	free(data);
	end(pool);
}

Test(pool, full_payload_memory_is_an_error)
{
	mp_pool *pool = new_pool(1);
	static const char data[1000];
	mp_future *f;
	int full = open("/dev/full", O_RDWR | O_CLOEXEC);

	cr_assert(full >= 0);
	T_OK(mp_future_result(f = submit(pool, square, MP_ARGS(mp_i64(1))), T_TIMEOUT_MS, NULL));
	mp_future_close(f);
	cr_assert(dup3(full, pool->seg.payload_fd, O_CLOEXEC) >= 0);
	close(full);
	T_RESULT(mp_pool_submit(pool, echo, MP_ARGS(mp_bytes(data, sizeof(data))), &f), -ENOSPC);
	expect_i64(submit(pool, square, MP_ARGS(mp_i64(2))), 4);
	end(pool);
}

static int limited(void *unused)
{
	struct rlimit limit = {.rlim_cur = 8 << 20, .rlim_max = 8 << 20};
	static char data[1 << 20];
	mp_pool *pool;
	mp_future *f;

	(void)unused;
	/* A signal would end us: SIGXFSZ. */
	T_CHECK(setrlimit(RLIMIT_FSIZE, &limit) == 0);
	T_CHECK(mp_pool_new(MP_POOL_OPTIONS(.workers = 1), &pool) == -ENOSPC);
	T_CHECK(mp_pool_new(MP_POOL_OPTIONS(.workers = 1, .max_pending = 10), &pool) == 0);
	T_CHECK(mp_pool_submit(pool, echo, MP_ARGS(mp_bytes(data, sizeof(data))), &f) == 0);
	/* The second half of the slot's range, where the result would go, lies beyond the limit. */
	T_CHECK(mp_future_result(f, T_TIMEOUT_MS, NULL) == -EMSGSIZE);
	T_CHECK(strstr(mp_error_detail(), "RLIMIT_FSIZE") != NULL);
	mp_future_close(f);
	char *big = calloc(1, 9 << 20);
	T_CHECK(mp_pool_submit(pool, echo, MP_ARGS(mp_bytes(big, 9 << 20)), &f) == -EMSGSIZE);
	free(big);
	T_CHECK(mp_pool_close(pool) == 0);
	return 0;
}

Test(pool, file_size_limit_is_an_error_not_a_signal)
{
	struct t_child child = t_spawn(limited, NULL);

	t_expect_exit(&child, 0);
}

static int without_descriptors(void *unused)
{
	struct rlimit limit;
	mp_pool *pool;
	int r;

	(void)unused;
	for (int n = t_count_fds();; n++) {
		limit = (struct rlimit){.rlim_cur = (rlim_t)n, .rlim_max = (rlim_t)4096};
		T_CHECK(setrlimit(RLIMIT_NOFILE, &limit) == 0);
		r = mp_pool_new(MP_POOL_OPTIONS(.workers = 2), &pool);
		if (r == 0)
			break;
		T_CHECK(r == -EMFILE);
		T_CHECK(n < 1000);
	}
	T_CHECK(mp_pool_close(pool) == 0);
	return 0;
}

Test(pool, running_out_of_descriptors_at_any_point_of_the_start)
{
	struct t_child child = t_spawn(without_descriptors, NULL);

	t_expect_exit(&child, 0);
}

/* --- descriptors ------------------------------------------------------------------------------ */

Test(pool, descriptors_travel_with_arguments)
{
	mp_pool *pool = new_pool(3);
	mp_future *futures[300];
	int ends[2];

	T_OK(pipe2(ends, O_CLOEXEC));
	for (int i = 0; i < 300; i++) {
		if (i % 3 == 0)
			futures[i] = submit(pool, square, MP_ARGS(mp_i64(i)));
		else
			futures[i] = submit(pool, write_pid, MP_ARGS(mp_fd(ends[1])));
	}
	for (int i = 0; i < 300; i++) {
		if (i % 3 == 0) {
			expect_i64(futures[i], (int64_t)i * i);
			continue;
		}
		T_OK(mp_future_result(futures[i], T_TIMEOUT_MS, NULL));
		mp_future_close(futures[i]);
		pid_t pid;
		T_OK(mp__read_full(ends[0], &pid, sizeof(pid)));
		cr_assert(pid > 0 && pid != getpid());
	}
	end(pool);
	close(ends[1]);
	/* Nobody kept one. */
	pid_t pid;
	T_RESULT(mp__read_full(ends[0], &pid, sizeof(pid)), -EPIPE);
	close(ends[0]);
}

Test(pool, more_descriptors_than_fit_into_the_socket)
{
	mp_pool *pool = new_pool(2);
	enum { N = 3000 };
	static mp_future *futures[N];
	int ends[2];
	pid_t pid;

	T_OK(pipe2(ends, O_CLOEXEC));
	for (int i = 0; i < N; i++)
		futures[i] = submit(pool, write_pid, MP_ARGS(mp_fd(ends[1])));
	for (int i = 0; i < N; i++) {
		T_OK(mp_future_result(futures[i], T_TIMEOUT_MS, NULL));
		mp_future_close(futures[i]);
		T_OK(mp__read_full(ends[0], &pid, sizeof(pid)));
	}
	end(pool);
	close(ends[0]);
	close(ends[1]);
}

Test(pool, descriptors_of_a_map_and_of_the_initializer)
{
	mp_pool *pool;
	int ends[2];
	mp_obj items[10];
	mp_obj results[10];
	pid_t pid;

	T_OK(pipe2(ends, O_CLOEXEC));
	T_OK(mp_pool_new(MP_POOL_OPTIONS(.workers = 2, .initializer = write_pid,
				 .initializer_args = MP_ARGS(mp_fd(ends[1]))),
		&pool));
	for (int i = 0; i < 10; i++)
		items[i] = mp_fd(ends[1]);
	T_OK(mp_pool_map(pool, write_pid, items, 10, 4, results));
	for (int i = 0; i < 12; i++)
		T_OK(mp__read_full(ends[0], &pid, sizeof(pid)));
	end(pool);
	close(ends[0]);
	close(ends[1]);
}

/* --- map -------------------------------------------------------------------------------------- */

static void check_map(mp_pool *pool, size_t n, size_t chunk)
{
	mp_obj *items = calloc(n + 1, sizeof(*items));
	mp_obj *results = calloc(n + 1, sizeof(*results));

	for (size_t i = 0; i < n; i++)
		items[i] = mp_i64((int64_t)i);
	results[n] = mp_i64(77);
	T_OK(mp_pool_map(pool, square, items, n, chunk, results));
	for (size_t i = 0; i < n; i++) {
		cr_assert_eq(mp_obj_i64(&results[i]), (int64_t)(i * i));
		mp_obj_free(&results[i]);
	}
	cr_assert_eq(mp_obj_i64(&results[n]), 77);
	free(items);
	free(results);
}

Test(pool, test_map)
{
	mp_pool *pool = new_pool(3);

	check_map(pool, 10, 0);
	check_map(pool, 100, 20);
	end(pool);
}

Test(pool, test_map_chunksize)
{
	mp_pool *pool = new_pool(2);
	static const size_t chunks[] = {0, 1, 2, 6, 40, 49, 50, 51, SIZE_MAX};

	for (size_t i = 0; i < sizeof(chunks) / sizeof(chunks[0]); i++) {
		check_map(pool, 50, chunks[i]);
		check_map(pool, 1, chunks[i]);
		check_map(pool, 0, chunks[i]);
	}
	check_map(pool, 20000, 1);
	check_map(pool, 20000, 0);
	end(pool);
}

Test(pool, test_empty_iterable)
{
	mp_pool *pool = new_pool(1);

	T_OK(mp_pool_map(pool, square, NULL, 0, 0, NULL));
	end(pool);
}

Test(pool, test_map_exception)
{
	mp_pool *pool = new_pool(2);
	static const size_t chunks[] = {0, 1, 7, 100};
	mp_obj items[100];
	mp_obj results[100];

	for (size_t c = 0; c < 4; c++) {
		for (int i = 0; i < 100; i++) {
			items[i] = mp_i64(i);
			results[i] = mp_i64(77);
		}
		T_RESULT(mp_pool_map(pool, fail_at_13, items, 100, chunks[c], results), -EDOM);
		cr_assert_str_eq(mp_error_detail(), "item 12 is bad");
		for (int i = 0; i < 100; i++)
			cr_assert_eq(mp_obj_i64(&results[i]), 77);
	}
	check_map(pool, 10, 0);
	end(pool);
}

Test(pool, test_map_unplicklable)
{
	mp_pool *pool = new_pool(2);
	mp_obj items[20];
	mp_obj results[20];

	for (int i = 0; i < 20; i++)
		items[i] = mp_i64(i);
	items[5] = mp_str("\xff");
	T_RESULT(mp_pool_map(pool, square, items, 20, 1, results), -EILSEQ);
	/* The first error in the order of items, whoever found it. */
	items[5] = mp_i64(5);
	items[15] = mp_str("\xff");
	T_RESULT(mp_pool_map(pool, fail_at_13, items, 20, 1, results), -EDOM);
	check_map(pool, 10, 0);
	end(pool);
}

Test(pool, map_of_big_items)
{
	mp_pool *pool = new_pool(2);
	static char data[300000];
	mp_obj items[20];
	mp_obj results[20];

	for (int i = 0; i < 20; i++)
		items[i] = mp_bytes(data, sizeof(data) - (size_t)i);
	T_OK(mp_pool_map(pool, echo, items, 20, 0, results));
	for (int i = 0; i < 20; i++) {
		cr_assert(mp_obj_equal(&items[i], &results[i]));
		mp_obj_free(&results[i]);
	}
	end(pool);
}

/* --- threads, fork, initializer --------------------------------------------------------------- */

static void *submit_many(void *pool)
{
	mp_future *futures[500];

	for (int i = 0; i < 500; i++) {
		if (mp_pool_submit(pool, square, MP_ARGS(mp_i64(i)), &futures[i]) < 0)
			return NULL;
	}
	for (int i = 499; i >= 0; i--) {
		mp_obj result;
		if (mp_future_result(futures[i], T_TIMEOUT_MS, &result) < 0 ||
			mp_obj_i64(&result) != (int64_t)i * i)
			return NULL;
		mp_future_close(futures[i]);
	}
	return pool;
}

Test(pool, many_threads_submit_and_wait)
{
	mp_pool *pool;
	pthread_t threads[8];

	T_OK(mp_pool_new(MP_POOL_OPTIONS(.workers = 2, .max_pending = 50), &pool));
	for (int i = 0; i < 8; i++)
		T_OK(pthread_create(&threads[i], NULL, submit_many, pool));
	for (int i = 0; i < 8; i++) {
		void *result;
		T_OK(pthread_join(threads[i], &result));
		cr_assert_eq(result, pool);
	}
	end(pool);
}

static void *make_pool(void *unused)
{
	(void)unused;
	return new_pool(2);
}

Test(pool, workers_outlive_the_thread_that_started_them)
{
	pthread_t thread;
	void *pool;

	T_OK(pthread_create(&thread, NULL, make_pool, NULL));
	T_OK(pthread_join(thread, &pool));
	check_map(pool, 1000, 1);
	end(pool);
}

struct inherited {
	mp_pool *pool;
	mp_future *future;
};

static int use_in_child(void *argument)
{
	struct inherited *i = argument;
	mp_future *f;
	mp_obj item = mp_nil();

	T_CHECK(mp_pool_submit(i->pool, square, mp_nil(), &f) == -ECHILD);
	T_CHECK(mp_pool_map(i->pool, square, &item, 1, 0, &item) == -ECHILD);
	T_CHECK(mp_pool_workers(i->pool) == -ECHILD);
	T_CHECK(mp_pool_join(i->pool, 0) == -ECHILD);
	T_CHECK(mp_future_result(i->future, 0, NULL) == -ECHILD);
	T_CHECK(mp_future_state(i->future) == -ECHILD);
	T_CHECK(mp_future_close(i->future) == 0);
	T_CHECK(mp_pool_close(i->pool) == -ECHILD);
	return 0;
}

Test(pool, forked_child_may_only_close)
{
	struct inherited i = {.pool = new_pool(2)};

	i.future = submit(i.pool, square, MP_ARGS(mp_i64(4)));
	struct t_child child = t_spawn(use_in_child, &i);
	t_expect_exit(&child, 0);
	expect_i64(i.future, 16);
	end(i.pool);
}

static int pool_in_child(void *unused)
{
	mp_pool *pool = new_pool(2);
	mp_obj result;
	mp_future *f;

	(void)unused;
	T_CHECK(mp_pool_submit(pool, square, MP_ARGS(mp_i64(7)), &f) == 0);
	T_CHECK(mp_future_result(f, T_TIMEOUT_MS, &result) == 0 && mp_obj_i64(&result) == 49);
	return 0; /* left open: the workers end with this process */
}

Test(pool, test_pool_in_process)
{
	struct t_child child = t_spawn(pool_in_child, NULL);

	t_expect_exit(&child, 0);
}

Test(pool, test_initializer)
{
	mp_pool *pool;

	T_OK(mp_pool_new(MP_POOL_OPTIONS(.workers = 2, .initializer = initializer,
				 .initializer_args = MP_ARGS(mp_i64(42))),
		&pool));
	for (int i = 0; i < 10; i++)
		expect_i64(submit(pool, get_initialized, mp_nil()), 42);
	end(pool);
}

Test(pool, test_large_pool)
{
	mp_pool *pool = new_pool(200);
	mp_obj items[1000];
	mp_obj results[1000];
	int64_t sum = 0;

	for (int i = 0; i < 1000; i++)
		items[i] = mp_i64(i);
	T_OK(mp_pool_map(pool, square, items, 1000, 0, results));
	for (int i = 0; i < 1000; i++)
		sum += mp_obj_i64(&results[i]);
	cr_assert_eq(sum, 332833500);
	end(pool);
}
