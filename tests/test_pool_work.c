/* SPDX-License-Identifier: MIT */
/* Pools at work: map, sizes, limits, descriptors. */
#include <config.h>

#include "tests/support/pool.h"

#include "base/fds.h"
#include "pool/pool.h"

#include <fcntl.h>
#include <mp/handle.h>
#include <mp/manager.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>

T_SUITE(pool_work);

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

/* --- limits ----------------------------------------------------------------------------------- */

Test(pool_work, max_pending_of_one_makes_submit_wait)
{
	mp_pool *pool;
	mp_future *futures[100];

	T_OK(mp_pool_new(MP_POOL_OPTIONS(.workers = 2, .max_pending = 1), &pool));
	for (int i = 0; i < 100; i++)
		futures[i] = t_submit(pool, t_square, MP_ARGS(mp_i64(i)));
	for (int i = 0; i < 100; i++)
		t_expect_i64(futures[i], (int64_t)i * i);
	t_pool_end(pool);
}

Test(pool_work, more_tasks_than_slots_and_ring)
{
	mp_pool *pool;
	static mp_future *futures[5000];

	T_OK(mp_pool_new(MP_POOL_OPTIONS(.workers = 3, .max_pending = 67), &pool));
	for (int i = 0; i < 5000; i++)
		futures[i] = t_submit(pool, t_square, MP_ARGS(mp_i64(i)));
	for (int i = 0; i < 5000; i++)
		t_expect_i64(futures[i], (int64_t)i * i);
	t_pool_end(pool);
}

Test(pool_work, arguments_and_results_of_any_size)
{
	static const size_t sizes[] = {
		0, 1, 100, 180, 190, 200, 240, 250, 260, 4096, 65537, 1 << 20, 64 << 20};
	mp_pool *pool = t_pool(2);
	uint8_t *data = malloc(64 << 20);

	memset(data, 1, 64 << 20);
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		mp_obj result;
		mp_obj bytes = mp_bytes(data, sizes[i]);
		mp_future *f = t_submit(pool, length, MP_ARGS(bytes));
		t_expect_i64(f, (int64_t)sizes[i]);
		f = t_submit(pool, t_echo, MP_ARGS(bytes));
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
	t_pool_end(pool);
}

Test(pool_work, full_payload_memory_is_an_error)
{
	mp_pool *pool = t_pool(1);
	static const char data[1000];
	mp_future *f;
	int full = open("/dev/full", O_RDWR | O_CLOEXEC);

	cr_assert(full >= 0);
	T_OK(mp_future_result(
		f = t_submit(pool, t_square, MP_ARGS(mp_i64(1))), T_TIMEOUT_MS, NULL));
	mp_future_close(f);
	cr_assert(dup3(full, pool->seg.payload_fd, O_CLOEXEC) >= 0);
	close(full);
	T_RESULT(mp_pool_submit(pool, t_echo, MP_ARGS(mp_bytes(data, sizeof(data))), &f), -ENOSPC);
	t_expect_i64(t_submit(pool, t_square, MP_ARGS(mp_i64(2))), 4);
	t_pool_end(pool);
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
	T_CHECK(mp_pool_submit(pool, t_echo, MP_ARGS(mp_bytes(data, sizeof(data))), &f) == 0);
	/* The second half of the slot's range, where the result would go, lies beyond the limit. */
	T_CHECK(mp_future_result(f, T_TIMEOUT_MS, NULL) == -EMSGSIZE);
	T_CHECK(strstr(mp_error_detail(), "RLIMIT_FSIZE") != NULL);
	mp_future_close(f);
	char *big = calloc(1, 9 << 20);
	T_CHECK(mp_pool_submit(pool, t_echo, MP_ARGS(mp_bytes(big, 9 << 20)), &f) == -EMSGSIZE);
	free(big);
	T_CHECK(mp_pool_close(pool) == 0);
	return 0;
}

Test(pool_work, file_size_limit_is_an_error_not_a_signal)
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

Test(pool_work, running_out_of_descriptors_at_any_point_of_the_start)
{
	struct t_child child = t_spawn(without_descriptors, NULL);

	t_expect_exit(&child, 0);
}

static int submit_with_too_many_under_way(void *unused)
{
	struct rlimit limit = {64, 64};
	int fds[16] = {0};
	int pair[2];
	mp_pool *pool;
	mp_future *f;
	int r;

	(void)unused;
	/* The limit is that of a user, and does not hold for root. */
	if (geteuid() == 0)
		T_CHECK(setresgid(65534, 65534, 65534) == 0 && setresuid(65534, 65534, 65534) == 0);
	T_CHECK(setrlimit(RLIMIT_NOFILE, &limit) == 0);
	T_CHECK(mp_pool_new(MP_POOL_OPTIONS(.workers = 1), &pool) == 0);
	T_CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
	do
		r = mp__socket_send(pair[0], "x", 1, fds, 16);
	while (r == 0);
	T_CHECK(r == -ETOOMANYREFS);
	T_CHECK(mp_pool_submit(pool, t_write_pid, MP_ARGS(mp_fd(STDERR_FILENO)), &f) ==
		-ETOOMANYREFS);
	/* That was all: without descriptors, or once there is room again, it works. */
	T_CHECK(mp_pool_submit(pool, t_square, MP_ARGS(mp_i64(3)), &f) == 0);
	T_CHECK(mp_future_result(f, T_TIMEOUT_MS, NULL) == 0);
	mp_future_close(f);
	close(pair[0]);
	close(pair[1]);
	T_CHECK(mp_pool_submit(pool, t_write_pid, MP_ARGS(mp_fd(STDERR_FILENO)), &f) == 0);
	T_CHECK(mp_pool_close(pool) == 0);
	mp_future_close(f);
	return 0;
}

Test(pool_work, submit_with_too_many_descriptors_under_way)
{
	struct t_child child = t_spawn(submit_with_too_many_under_way, NULL);

	t_expect_exit(&child, 0);
}

static int submit_without_descriptors(void *unused)
{
	mp_pool *pool = t_pool(1);
	struct rlimit limit;
	mp_future *f;
	int r;

	(void)unused;
	/* One more each time, until it works. */
	for (int n = t_count_fds();; n++) {
		limit = (struct rlimit){.rlim_cur = (rlim_t)n, .rlim_max = (rlim_t)4096};
		T_CHECK(setrlimit(RLIMIT_NOFILE, &limit) == 0);
		r = mp_pool_submit(pool, t_write_pid, MP_ARGS(mp_fd(STDERR_FILENO)), &f);
		if (r == 0)
			break;
		T_CHECK(r == -EMFILE);
	}
	T_CHECK(mp_pool_close(pool) == 0);
	mp_future_close(f);
	return 0;
}

Test(pool_work, running_out_of_descriptors_at_submit)
{
	struct t_child child = t_spawn(submit_without_descriptors, NULL);

	t_expect_exit(&child, 0);
}

Test(pool_work, more_descriptors_than_one_message_carries)
{
	mp_pool *pool = t_pool(1);
	mp_obj items[254];
	mp_future *f;

	for (int i = 0; i < 254; i++)
		items[i] = mp_fd(STDERR_FILENO);
	T_RESULT(mp_pool_submit(pool, t_count_args, mp_list_of(items, 254), &f), -EMSGSIZE);
	t_expect_i64(t_submit(pool, t_count_args, mp_list_of(items, 253)), 253);
	t_pool_end(pool);
}

Test(pool_work, more_functions_than_a_pool_can_run)
{
	mp_pool *pool = t_pool(1);
	mp_future *f;

	t_expect_i64(t_submit(pool, t_square, MP_ARGS(mp_i64(2))), 4);
	pool->n_known = MP__POOL_TASKS_MAX;
	T_RESULT(mp_pool_submit(pool, t_echo, MP_ARGS(mp_i64(2)), &f), -ENOSPC);
	t_expect_i64(t_submit(pool, t_square, MP_ARGS(mp_i64(2))), 4);
	t_pool_end(pool);
}

/* --- descriptors ------------------------------------------------------------------------------ */

Test(pool_work, descriptors_travel_with_arguments)
{
	mp_pool *pool = t_pool(3);
	mp_future *futures[300];
	int ends[2];

	T_OK(pipe2(ends, O_CLOEXEC));
	for (int i = 0; i < 300; i++) {
		if (i % 3 == 0)
			futures[i] = t_submit(pool, t_square, MP_ARGS(mp_i64(i)));
		else
			futures[i] = t_submit(pool, t_write_pid, MP_ARGS(mp_fd(ends[1])));
	}
	for (int i = 0; i < 300; i++) {
		if (i % 3 == 0) {
			t_expect_i64(futures[i], (int64_t)i * i);
			continue;
		}
		T_OK(mp_future_result(futures[i], T_TIMEOUT_MS, NULL));
		mp_future_close(futures[i]);
		pid_t pid;
		T_OK(t_read_full(ends[0], &pid, sizeof(pid)));
		cr_assert(pid > 0 && pid != getpid());
	}
	t_pool_end(pool);
	close(ends[1]);
	/* Nobody kept one. */
	pid_t pid;
	T_RESULT(t_read_full(ends[0], &pid, sizeof(pid)), -EPIPE);
	close(ends[0]);
}

Test(pool_work, more_descriptors_than_fit_into_the_socket)
{
	mp_pool *pool = t_pool(2);
	enum { N = 3000 };
	static mp_future *futures[N];
	int ends[2];
	pid_t pid;

	T_OK(pipe2(ends, O_CLOEXEC));
	for (int i = 0; i < N; i++)
		futures[i] = t_submit(pool, t_write_pid, MP_ARGS(mp_fd(ends[1])));
	for (int i = 0; i < N; i++) {
		T_OK(mp_future_result(futures[i], T_TIMEOUT_MS, NULL));
		mp_future_close(futures[i]);
		T_OK(t_read_full(ends[0], &pid, sizeof(pid)));
	}
	t_pool_end(pool);
	close(ends[0]);
	close(ends[1]);
}

Test(pool_work, descriptors_of_a_map_and_of_the_initializer)
{
	mp_pool *pool;
	int ends[2];
	mp_obj items[10];
	mp_obj results[10];
	pid_t pid;

	T_OK(pipe2(ends, O_CLOEXEC));
	T_OK(mp_pool_new(MP_POOL_OPTIONS(.workers = 2, .initializer = t_write_pid,
				 .initializer_args = MP_ARGS(mp_fd(ends[1]))),
		&pool));
	for (int i = 0; i < 10; i++)
		items[i] = mp_fd(ends[1]);
	T_OK(mp_pool_map(pool, t_write_pid, items, 10, 4, results));
	for (int i = 0; i < 12; i++)
		T_OK(t_read_full(ends[0], &pid, sizeof(pid)));
	t_pool_end(pool);
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
	T_OK(mp_pool_map(pool, t_square, items, n, chunk, results));
	for (size_t i = 0; i < n; i++) {
		cr_assert_eq(mp_obj_i64(&results[i]), (int64_t)(i * i));
		mp_obj_free(&results[i]);
	}
	cr_assert_eq(mp_obj_i64(&results[n]), 77);
	free(items);
	free(results);
}

Test(pool_work, test_map)
{
	mp_pool *pool = t_pool(3);

	check_map(pool, 10, 0);
	check_map(pool, 100, 20);
	t_pool_end(pool);
}

Test(pool_work, test_map_chunksize)
{
	mp_pool *pool = t_pool(2);
	static const size_t chunks[] = {0, 1, 2, 6, 40, 49, 50, 51, SIZE_MAX / 2};

	for (size_t i = 0; i < sizeof(chunks) / sizeof(chunks[0]); i++) {
		check_map(pool, 50, chunks[i]);
		check_map(pool, 1, chunks[i]);
		check_map(pool, 0, chunks[i]);
	}
	check_map(pool, 20000, 1);
	check_map(pool, 20000, 0);
	t_pool_end(pool);
}

Test(pool_work, test_empty_iterable)
{
	mp_pool *pool = t_pool(1);

	T_OK(mp_pool_map(pool, t_square, NULL, 0, 0, NULL));
	t_pool_end(pool);
}

Test(pool_work, test_map_exception)
{
	mp_pool *pool = t_pool(2);
	static const size_t chunks[] = {0, 1, 7, 100};
	mp_obj items[100];
	mp_obj results[100];

	for (size_t c = 0; c < 4; c++) {
		for (int i = 0; i < 100; i++) {
			items[i] = mp_i64(i);
			results[i] = mp_i64(77);
		}
		T_RESULT(mp_pool_map(pool, t_fail_at_13, items, 100, chunks[c], results), -EDOM);
		cr_assert_str_eq(mp_error_detail(), "item 12 is bad");
		for (int i = 0; i < 100; i++)
			cr_assert_eq(mp_obj_i64(&results[i]), 77);
	}
	check_map(pool, 10, 0);
	t_pool_end(pool);
}

Test(pool_work, test_map_unplicklable)
{
	mp_pool *pool = t_pool(2);
	mp_obj items[20];
	mp_obj results[20];

	for (int i = 0; i < 20; i++)
		items[i] = mp_i64(i);
	items[5] = mp_str("\xff");
	T_RESULT(mp_pool_map(pool, t_square, items, 20, 1, results), -EILSEQ);
	/* The first error in the order of items, whoever found it. */
	items[5] = mp_i64(5);
	items[15] = mp_str("\xff");
	T_RESULT(mp_pool_map(pool, t_fail_at_13, items, 20, 1, results), -EDOM);
	check_map(pool, 10, 0);
	t_pool_end(pool);
}

Test(pool_work, map_of_big_items)
{
	mp_pool *pool = t_pool(2);
	static char data[300000];
	mp_obj items[20];
	mp_obj results[20];

	for (int i = 0; i < 20; i++)
		items[i] = mp_bytes(data, sizeof(data) - (size_t)i);
	T_OK(mp_pool_map(pool, t_echo, items, 20, 0, results));
	for (int i = 0; i < 20; i++) {
		cr_assert(mp_obj_equal(&items[i], &results[i]));
		mp_obj_free(&results[i]);
	}
	t_pool_end(pool);
}

/* --- handles ---------------------------------------------------------------------------------- */

#ifdef ENABLE_MANAGER
static int store(int argc, const mp_obj *argv, mp_obj *ret)
{
	mp_dict *dict = mp_obj_dict(&argv[0]);

	(void)argc, (void)ret;
	return mp_dict_set(dict, argv[1], argv[1]);
}

Test(pool_work, handle_of_a_dict_is_an_argument_under_every_start_method)
{
	mp_manager *manager;
	mp_dict *dict;

	T_OK(mp_manager_start(T_PATIENT, &manager));
	T_OK(mp_manager_dict(manager, "numbers", &dict));
	for (int method = MP_START_FORK; method <= MP_START_FORKSERVER; method++) {
		mp_pool *pool;
		mp_future *futures[300];
		T_OK(mp_pool_new(
			MP_POOL_OPTIONS(.workers = 2, .start_method = method, .initializer = store,
				.initializer_args = MP_ARGS(mp_handle(dict), mp_i64(-method))),
			&pool));
		for (int i = 0; i < 300; i++)
			futures[i] = t_submit(
				pool, store, MP_ARGS(mp_handle(dict), mp_i64(method * 1000 + i)));
		for (int i = 0; i < 300; i++) {
			T_OK(mp_future_result(futures[i], T_TIMEOUT_MS, NULL));
			mp_future_close(futures[i]);
		}
		t_pool_end(pool);
	}
	size_t n;
	T_OK(mp_dict_len(dict, &n));
	cr_assert_eq(n, 903);
	T_OK(mp_dict_close(dict));
	T_OK(mp_manager_close(manager));
}
#endif
