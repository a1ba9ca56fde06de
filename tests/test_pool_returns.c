/* SPDX-License-Identifier: MIT */
/* Handles and descriptors in results and in the details of errors: all of them arrive, and none is left. */
#include <config.h>

#include "tests/support/pool.h"

#include "pool/pool.h"
#include "pool/returns.h"

#include <fcntl.h>
#include <mp.h>
#include <sys/resource.h>
#include <sys/stat.h>

T_SUITE(pool_returns);

static const int methods[] = {MP_START_FORK, MP_START_SPAWN, MP_START_FORKSERVER, MP_START_THREAD};

/* --- tasks -------------------------------------------------------------------------------------- */

static int copy_and_close_fd(int fd, mp_obj *ret)
{
	int r = fd < 0 ? -EMFILE : mp_obj_copy(mp_fd(fd), ret);

	if (fd >= 0)
		close(fd);
	return r;
}

/* The end of a pipe in which a number stands. */
static int make_pipe(int argc, const mp_obj *argv, mp_obj *ret)
{
	int64_t number = mp_obj_i64(&argv[0]);
	int ends[2];

	(void)argc;
	if (pipe2(ends, O_CLOEXEC) < 0)
		return -errno;
	if (write(ends[1], &number, sizeof(number)) != sizeof(number))
		return -EIO;
	close(ends[1]);
	return copy_and_close_fd(ends[0], ret);
}

static void expect_pipe(const mp_obj *value, int64_t number)
{
	int64_t got = -1;

	T_OK(t_read_full(mp_obj_fd(value), &got, sizeof(got)));
	cr_assert_eq(got, number);
}

/* A queue with something in it, a lock, a value, nested. */
static int make_objects(int argc, const mp_obj *argv, mp_obj *ret)
{
	mp_queue *queue;
	mp_lock *lock;
	mp_value *value;

	(void)argc;
	int r = mp_queue_new(NULL, &queue);
	if (r < 0)
		return r;
	r = mp_lock_new(NULL, &lock);
	if (r == 0)
		r = mp_value_new('q', NULL, NULL, &value);
	if (r < 0)
		return r;
	*(int64_t *)mp_value_data(value) = mp_obj_i64(&argv[0]);
	r = mp_queue_put(queue, mp_str("inside"), MP_FOREVER);
	if (r == 0)
		r = mp_obj_copy(
			MP_DICT(mp_str("objects"),
				MP_LIST(mp_handle(queue), mp_handle(lock), mp_handle(value))),
			ret);
	mp_queue_close(queue);
	mp_lock_close(lock);
	mp_value_close(value);
	return r;
}

static int fail_with_pipe(int argc, const mp_obj *argv, mp_obj *ret)
{
	int r = make_pipe(argc, argv, ret);

	return r < 0 ? r : mp_error_set(-EDOM, "look into the pipe");
}

static int fail_at_3_with_pipe(int argc, const mp_obj *argv, mp_obj *ret)
{
	return (mp_obj_i64(&argv[0]) % 5 == 3 ? fail_with_pipe : make_pipe)(argc, argv, ret);
}

static int many_fds(int argc, const mp_obj *argv, mp_obj *ret)
{
	static mp_obj items[1000];
	int64_t n = mp_obj_i64(&argv[0]);

	(void)argc;
	for (int64_t i = 0; i < n; i++)
		items[i] = mp_fd(0);
	return mp_obj_copy(mp_list_of(items, (size_t)n), ret);
}

/* --- arriving ----------------------------------------------------------------------------------- */

Test(pool_returns, objects_made_by_a_task_under_every_start_method)
{
	for (int m = 0; m < 4; m++) {
		mp_pool *pool;
		mp_obj result;
		mp_obj word;
		T_OK(mp_pool_new(MP_POOL_OPTIONS(.workers = 1, .start_method = methods[m]), &pool));
		T_OK(mp_pool_apply(pool, make_objects, MP_ARGS(mp_i64(7)), T_TIMEOUT_MS, &result));
		t_pool_end(pool); /* their maker is gone */
		const mp_obj *objects = mp_obj_get(&result, mp_str("objects"));
		cr_assert(objects && objects->count == 3);
		T_OK(mp_queue_get(mp_obj_queue(&objects->as.items[0]), T_TIMEOUT_MS, &word));
		cr_assert_str_eq(mp_obj_str(&word), "inside");
		mp_obj_free(&word);
		T_OK(mp_lock_acquire(mp_obj_lock(&objects->as.items[1]), T_TIMEOUT_MS));
		T_OK(mp_lock_release(mp_obj_lock(&objects->as.items[1])));
		cr_assert_eq(*(int64_t *)mp_value_data(mp_obj_value(&objects->as.items[2])), 7);
		mp_obj_free(&result);
	}
}

static int give_back(int argc, const mp_obj *argv, mp_obj *ret)
{
	(void)argc;
	*ret = argv[0];
	return 0;
}

Test(pool_returns, argument_given_back_is_the_same_object)
{
	mp_pool *pool = t_pool(1);
	mp_event *event;
	mp_obj result;

	T_OK(mp_event_new(NULL, &event));
	T_OK(mp_pool_apply(pool, give_back, MP_ARGS(mp_handle(event)), T_TIMEOUT_MS, &result));
	T_OK(mp_event_set(mp_obj_event(&result)));
	cr_assert_eq(mp_event_is_set(event), 1);
	mp_obj_free(&result);
	mp_event_close(event);
	t_pool_end(pool);
}

Test(pool_returns, each_asking_gives_descriptors_of_its_own)
{
	mp_pool *pool = t_pool(1);
	mp_future *f = t_submit(pool, make_pipe, MP_ARGS(mp_i64(5)));
	mp_obj results[3];

	for (int i = 0; i < 3; i++)
		T_OK(mp_future_result(f, T_TIMEOUT_MS, &results[i]));
	T_OK(mp_future_result(f, T_TIMEOUT_MS, NULL));
	cr_assert(mp_obj_fd(&results[0]) != mp_obj_fd(&results[1]));
	mp_obj_free(&results[0]);
	mp_future_close(f);
	expect_pipe(&results[2], 5);
	mp_obj_free(&results[1]);
	mp_obj_free(&results[2]);
	t_pool_end(pool);
}

Test(pool_returns, detail_of_an_error)
{
	mp_pool *pool = t_pool(1);
	mp_future *f = t_submit(pool, fail_with_pipe, MP_ARGS(mp_i64(11)));
	mp_failure failure;

	T_RESULT(mp_future_error(f, T_TIMEOUT_MS, &failure), 1);
	cr_assert_eq(failure.code, -EDOM);
	cr_assert_str_eq(failure.message, "look into the pipe");
	expect_pipe(&failure.detail, 11);
	mp_obj_free(&failure.detail);
	T_RESULT(mp_future_error(f, T_TIMEOUT_MS, NULL), 1);
	mp_future_close(f);
	t_pool_end(pool);
}

enum { ITEMS = 600 };

Test(pool_returns, maps)
{
	static const size_t chunks[] = {1, 7, 0};
	mp_pool *pool = t_pool(2);
	mp_obj items[ITEMS];
	mp_obj results[ITEMS];
	mp_obj list;
	mp_future *f;

	for (int i = 0; i < ITEMS; i++)
		items[i] = mp_i64(i);
	for (int c = 0; c < 3; c++) {
		size_t n = c == 2 ? 100 : ITEMS;
		T_OK(mp_pool_map(pool, make_pipe, items, n, chunks[c], results));
		for (size_t i = 0; i < n; i++) {
			expect_pipe(&results[i], (int64_t)i);
			mp_obj_free(&results[i]);
		}
	}
	T_OK(mp_pool_map_async(pool, make_pipe, items, 50, MP_MAP_OPTIONS(.chunk = 3), &f));
	T_OK(mp_future_result(f, T_TIMEOUT_MS, &list));
	mp_future_close(f);
	for (size_t i = 0; i < 50; i++)
		expect_pipe(&list.as.items[i], (int64_t)i);
	mp_obj_free(&list);
	T_RESULT(mp_pool_map(pool, fail_at_3_with_pipe, items, 50, 10, results), -EDOM);
	T_OK(mp_pool_map_async(
		pool, fail_at_3_with_pipe, items, 50, MP_MAP_OPTIONS(.chunk = 10), &f));
	mp_failure failure;
	T_RESULT(mp_future_error(f, T_TIMEOUT_MS, &failure), 1);
	expect_pipe(&failure.detail, 3);
	mp_obj_free(&failure.detail);
	mp_future_close(f);
	t_pool_end(pool);
}

static int next_number(void *data, mp_obj *ret_item)
{
	int64_t *at = data;

	if (*at == 200)
		return 0;
	*ret_item = mp_i64((*at)++);
	return 1;
}

Test(pool_returns, imap_with_errors_in_between)
{
	static const size_t chunks[] = {1, 10};
	mp_pool *pool = t_pool(2);

	for (int c = 0; c < 2; c++) {
		int64_t at = 0;
		mp_imap *imap;
		mp_obj result;
		T_OK(mp_pool_imap(pool, fail_at_3_with_pipe, next_number, &at,
			MP_IMAP_OPTIONS(.chunk = chunks[c]), &imap));
		for (int64_t i = 0; i < 150; i++) {
			T_RESULT(mp_imap_next(imap, T_TIMEOUT_MS, &result), i % 5 == 3 ? -EDOM : 1);
			if (i % 5 == 3)
				continue;
			expect_pipe(&result, i);
			mp_obj_free(&result);
		}
		mp_imap_close(imap); /* with results that nobody took */
	}
	t_pool_end(pool);
}

/* --- leaving nothing (descriptors are counted after each test) ------------------------------------ */

Test(pool_returns, results_that_nobody_asks_for)
{
	mp_pool *pool = t_pool(2);

	for (int i = 0; i < 20; i++) {
		T_OK(mp_pool_submit(pool, make_pipe, MP_ARGS(mp_i64(i)), NULL));
		mp_future_close(t_submit(pool, make_pipe, MP_ARGS(mp_i64(i))));
	}
	T_OK(mp_pool_join(pool, T_TIMEOUT_MS));
	cr_assert_null(pool->returned);
	T_OK(mp_pool_close(pool));
}

/* Nobody collects while they are made: the way back is full, and workers wait. */
Test(pool_returns, more_than_the_way_back_holds)
{
	for (int m = 0; m < 4; m += 3) {
		mp_pool *pool;
		mp_future *f[2000];
		mp_obj result;
		T_OK(mp_pool_new(MP_POOL_OPTIONS(.workers = 3, .start_method = methods[m]), &pool));
		struct rlimit limit;
		T_OK(getrlimit(RLIMIT_NOFILE, &limit));
		int n = limit.rlim_cur >= 4500 ? 2000 : 300;
		for (int i = 0; i < n; i++)
			f[i] = t_submit(pool, make_pipe, MP_ARGS(mp_i64(i)));
		for (int i = n - 1; i >= 0; i--) {
			T_OK(mp_future_result(f[i], T_TIMEOUT_MS, &result));
			expect_pipe(&result, i);
			mp_obj_free(&result);
			mp_future_close(f[i]);
		}
		t_pool_end(pool);
	}
}

Test(pool_returns, pool_that_is_closed_with_some_on_their_way)
{
	for (int m = 0; m < 4; m += 3) {
		mp_pool *pool;
		mp_future *f[700];
		T_OK(mp_pool_new(MP_POOL_OPTIONS(.workers = 2, .start_method = methods[m]), &pool));
		for (int i = 0; i < 700; i++)
			f[i] = t_submit(pool, make_pipe, MP_ARGS(mp_i64(i)));
		T_OK(mp_future_result(f[0], T_TIMEOUT_MS, NULL));
		if (m == 0)
			T_OK(mp_pool_terminate(pool));
		T_OK(mp_pool_close(pool));
		for (int i = 0; i < 700; i++) {
			int r = mp_future_result(f[i], MP_NOWAIT, NULL);
			cr_assert(r == 0 || r == -ECANCELED, "%d", r);
			mp_future_close(f[i]);
		}
	}
}

static void die_at(const char *point, const char *action, int retries)
{
	mp_future *f;
	mp_obj result;

	t_arm(point, action);
	mp_pool *pool = t_pool(1);
	T_OK(mp_pool_submit_with(
		pool, make_pipe, MP_ARGS(mp_i64(3)), MP_TASK_OPTIONS(.retries = retries), &f));
	int r = mp_future_result(f, T_TIMEOUT_MS, &result);
	cr_assert_eq(r, retries ? 0 : -EOWNERDEAD);
	if (r == 0) {
		expect_pipe(&result, 3);
		mp_obj_free(&result);
	}
	cr_assert(t_fired());
	cr_assert_null(pool->returned);
	mp_future_close(f);
	t_pool_end(pool);
	t_disarm();
}

Test(pool_returns, worker_dies_with_descriptors_of_a_result_in_hand)
{
	static const char *const points[] = {
		"pool.encoding", "pool.before_return", "pool.returned", "pool.before_commit"};

	for (int i = 0; i < 4; i++) {
		for (int retries = 0; retries < 2; retries++) {
			die_at(points[i], "kill", retries);
			die_at(points[i], "exit", retries);
		}
	}
}

Test(pool_returns, worker_dies_after_it_committed_a_result_with_descriptors)
{
	mp_obj result;

	t_arm("pool.committed", "kill");
	mp_pool *pool = t_pool(1);
	mp_future *f = t_submit(pool, make_pipe, MP_ARGS(mp_i64(4)));
	T_OK(mp_future_result(f, T_TIMEOUT_MS, &result));
	expect_pipe(&result, 4);
	mp_obj_free(&result);
	mp_future_close(f);
	t_pool_end(pool);
	t_disarm();
}

/* --- limits --------------------------------------------------------------------------------------- */

Test(pool_returns, as_many_as_a_message_holds_and_not_more)
{
	mp_pool *pool = t_pool(1);
	mp_obj result;

	T_OK(mp_pool_apply(pool, many_fds, MP_ARGS(mp_i64(253)), T_TIMEOUT_MS, &result));
	cr_assert_eq(result.count, 253);
	mp_obj_free(&result);
	T_RESULT(mp_pool_apply(pool, many_fds, MP_ARGS(mp_i64(254)), T_TIMEOUT_MS, &result),
		-EMSGSIZE);
	T_OK(mp_pool_apply(pool, many_fds, MP_ARGS(mp_i64(1)), T_TIMEOUT_MS, &result));
	mp_obj_free(&result);
	t_pool_end(pool);
}

enum { MANY = 100 };

Test(pool_returns, owner_without_room_for_descriptors)
{
	mp_pool *pool = t_pool(1);
	struct rlimit before;
	mp_obj result;

	T_OK(mp_pool_apply(pool, make_pipe, MP_ARGS(mp_i64(1)), T_TIMEOUT_MS, &result));
	mp_obj_free(&result);
	mp_future *f = t_submit(pool, make_pipe, MP_ARGS(mp_i64(1)));
	mp_future *g = t_submit(pool, make_pipe, MP_ARGS(mp_i64(2)));
	T_OK(mp_future_result(g, T_TIMEOUT_MS, NULL)); /* it has come */
	T_OK(getrlimit(RLIMIT_NOFILE, &before));
	struct rlimit few = {.rlim_cur = MANY, .rlim_max = before.rlim_max};
	T_OK(setrlimit(RLIMIT_NOFILE, &few));
	int fds[MANY];
	int n = 0;
	while ((fds[n] = dup(0)) >= 0)
		n++;
	mp_future *h = t_submit(pool, make_pipe, MP_ARGS(mp_i64(3)));
	T_RESULT(mp_future_result(h, T_TIMEOUT_MS, NULL), -EMFILE);
	T_RESULT(mp_future_result(g, T_TIMEOUT_MS, &result), -EMFILE);
	while (n > 0)
		close(fds[--n]);
	T_OK(setrlimit(RLIMIT_NOFILE, &before));
	T_OK(mp_future_result(g, T_TIMEOUT_MS, &result));
	expect_pipe(&result, 2);
	mp_obj_free(&result);
	mp_future_close(f);
	mp_future_close(g);
	mp_future_close(h);
	t_pool_end(pool);
}

/* A worker gone mad: messages for nobody, and a result whose descriptors never came. */
static int send_rubbish(int argc, const mp_obj *argv, mp_obj *ret)
{
	(void)argc, (void)argv, (void)ret;
	return 0;
}

Test(pool_returns, descriptors_that_belong_to_nobody_or_did_not_come)
{
	mp_pool *pool = t_pool(1);
	struct mp__pool_cargo_message message = {.slot = 77, .generation = 1};
	struct mp__returned *none = NULL;
	int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

	T_OK(mp_pool_apply(pool, send_rubbish, mp_nil(), T_TIMEOUT_MS, NULL));
	cr_assert(fd >= 0);
	for (int i = 0; i < 3; i++) {
		message.slot = i == 0 ? 77 : i == 1 ? 0 : MP__POOL_NONE;
		T_OK(mp__returns_send(
			pool->returns[1], message.slot, message.generation + 5, &fd, 1));
	}
	pthread_mutex_lock(&pool->lock);
	T_RESULT(mp__returns_take(pool, 0, &none), -EBADMSG);
	cr_assert_not_null(pool->returned);
	mp__returns_sweep(pool);
	pthread_mutex_unlock(&pool->lock);
	cr_assert_null(pool->returned);
	close(fd);
	t_pool_end(pool);
}
