/* SPDX-License-Identifier: MIT */
/* What fails below the calls on pools, in this process; and on futures. */
#include <config.h>

#include "tests/support/asleep.h"
#include "tests/support/faults.h"

FAULTS_SUITE(faults_pool);

#define N 20

static mp_pool *pool;
static mp_future *future;

static int twice(int argc, const mp_obj *argv, mp_obj *ret)
{
	T_CHECK(argc == 1);
	*ret = mp_i64(2 * mp_obj_i64(&argv[0]));
	return 0;
}

/* Late enough that who waits for it sleeps. */
static int twice_later(int argc, const mp_obj *argv, mp_obj *ret)
{
	t_moment();
	return twice(argc, argv, ret);
}

static int fail(int argc, const mp_obj *argv, mp_obj *ret)
{
	(void)argc;
	(void)argv;
	t_moment();
	*ret = mp_nil();
	return mp_error_set(-EDOM, "it is not to be");
}

static int wait_long(int argc, const mp_obj *argv, mp_obj *ret)
{
	(void)argc;
	(void)argv;
	(void)ret;
	t_hang();
}

/* --- the pool itself ------------------------------------------------------------------------------ */

static int pool_new(void)
{
	return mp_pool_new(MP_POOL_OPTIONS(.workers = 2), &pool);
}

static void pool_end(void)
{
	T_CHECK(mp_pool_join(pool, T_TIMEOUT_MS) == 0);
	T_CHECK(mp_pool_close(pool) == 0);
}

static int pool_new_with_all(void)
{
	return mp_pool_new(
		MP_POOL_OPTIONS(.workers = 2, .name = "name", .initializer = twice,
			.initializer_args = MP_LIST(mp_i64(1)), .worker_memory = UINT64_C(1) << 40),
		&pool);
}

static int pool_new_of_threads(void)
{
	return mp_pool_new(MP_POOL_OPTIONS(.workers = 2, .start_method = MP_START_THREAD), &pool);
}

FAULTS(faults_pool, make, NULL, pool_new, pool_end)
FAULTS(faults_pool, new_with_all, NULL, pool_new_with_all, pool_end)
FAULTS(faults_pool, new_of_threads, NULL, pool_new_of_threads, pool_end)

static void pool_made(void)
{
	T_CHECK(pool_new() == 0);
}

static int pool_join(void)
{
	return mp_pool_join(pool, T_TIMEOUT_MS);
}

static void pool_closed(void)
{
	T_CHECK(mp_pool_close(pool) == 0);
}

FAULTS(faults_pool, join, pool_made, pool_join, pool_closed)

static int pool_shutdown(void)
{
	return mp_pool_shutdown(pool, MP_SHUTDOWN_CANCEL);
}

static int pool_terminate(void)
{
	return mp_pool_terminate(pool);
}

/* What it cannot do at once it does later; it is over in any case. */
static int pool_close(void)
{
	return mp_pool_close(pool);
}

FAULTS(faults_pool, shutdown, pool_made, pool_shutdown, pool_end)
FAULTS(faults_pool, terminate, pool_made, pool_terminate, pool_closed)
FAULTS(faults_pool, close, pool_made, pool_close)

/* --- tasks ------------------------------------------------------------------------------------------- */

static int pool_submit(void)
{
	return mp_pool_submit(pool, twice, MP_ARGS(mp_i64(21)), &future);
}

static int future_result(void)
{
	mp_obj result;
	int code = mp_future_result(future, T_TIMEOUT_MS, &result);

	if (code == 0)
		T_CHECK(mp_obj_i64(&result) == 42);
	return code;
}

static void future_done(void)
{
	T_CHECK(future_result() == 0 && mp_future_close(future) == 0);
	pool_end();
}

FAULTS(faults_pool, submit, pool_made, pool_submit, future_done)

static int submit_with(void)
{
	return mp_pool_submit_with(pool, twice, MP_ARGS(mp_i64(21)),
		MP_TASK_OPTIONS(.name = "a task", .retries = 1, .timeout_ms = T_TIMEOUT_MS),
		&future);
}

FAULTS(faults_pool, submit_with, pool_made, submit_with, future_done)

static int apply(void)
{
	mp_obj result;

	return mp_pool_apply(pool, twice, MP_ARGS(mp_i64(21)), T_TIMEOUT_MS, &result);
}

FAULTS(faults_pool, apply, pool_made, apply, pool_end)

static void submitted(void)
{
	pool_made();
	T_CHECK(mp_pool_submit(pool, twice_later, MP_ARGS(mp_i64(21)), &future) == 0);
}

FAULTS(faults_pool, future_result, submitted, future_result, future_done)

static void called_back(mp_future *done, void *data)
{
	(void)done;
	(void)data;
}

static int wait_for_it(void)
{
	T_STEP(mp_future_add_done_callback(future, called_back, NULL));
	return mp_future_wait(&future, 1, MP_WAIT_ALL, T_TIMEOUT_MS);
}

FAULTS(faults_pool, future_wait, submitted, wait_for_it, future_done)

/* Whose results come to two places. */
static mp_pool *second_pool;
static mp_future *both[2];

static void submitted_to_two(void)
{
	submitted();
	T_CHECK(mp_pool_new(MP_POOL_OPTIONS(.workers = 1), &second_pool) == 0);
	both[0] = future;
	T_CHECK(mp_pool_submit(second_pool, twice_later, MP_ARGS(mp_i64(1)), &both[1]) == 0);
}

static int wait_for_two(void)
{
	return mp_future_wait(both, 2, MP_WAIT_ALL, T_TIMEOUT_MS);
}

static void two_done(void)
{
	T_CHECK(wait_for_two() >= 0 && mp_future_close(both[1]) == 0);
	T_CHECK(mp_pool_join(second_pool, T_TIMEOUT_MS) == 0 && mp_pool_close(second_pool) == 0);
	future_done();
}

FAULTS(faults_pool, two_pools, submitted_to_two, wait_for_two, two_done)

static int ask(void)
{
	T_STEP(mp_future_state(future));
	T_STEP(mp_future_running(future));
	T_STEP(mp_future_cancelled(future));
	T_STEP(mp_future_done(future));
	T_STEP(mp_pool_workers(pool));
	return mp_pool_limited_by(pool);
}

FAULTS(faults_pool, ask, submitted, ask, future_done)

static int complete(void)
{
	mp_as_completed *iterator;
	mp_future *done;

	T_STEP(mp_as_completed_new(&future, 1, &iterator));
	int r = mp_as_completed_next(iterator, T_TIMEOUT_MS, &done);
	T_CHECK(mp_as_completed_close(iterator) == 0);
	return r;
}

FAULTS(faults_pool, as_completed, submitted, complete, future_done)

static void submitted_to_fail(void)
{
	pool_made();
	T_CHECK(mp_pool_submit(pool, fail, mp_nil(), &future) == 0);
}

static int future_error(void)
{
	mp_failure failure;

	T_STEP(mp_future_error(future, T_TIMEOUT_MS, &failure));
	T_CHECK(failure.code == -EDOM);
	mp_obj_free(&failure.detail);
	return 0;
}

static void future_failed(void)
{
	T_CHECK(mp_future_close(future) == 0);
	pool_end();
}

FAULTS(faults_pool, future_error, submitted_to_fail, future_error, future_failed)

static int die(int argc, const mp_obj *argv, mp_obj *ret)
{
	(void)argc;
	(void)argv;
	(void)ret;
	_exit(3);
}

static void submitted_to_die(void)
{
	mp_failure failure;

	pool_made();
	T_CHECK(mp_pool_submit(pool, die, mp_nil(), &future) == 0);
	T_CHECK(mp_future_error(future, T_TIMEOUT_MS, &failure) == 1);
}

static int ask_for_the_crash(void)
{
	mp_crash crash;

	return mp_future_crash(future, 0, &crash);
}

QUIET(faults_pool, reads_what_is_known_of_a_crash, submitted_to_die, ask_for_the_crash,
	future_failed)

/* A worker that runs it is killed; another takes its place. */
static void submitted_for_long(void)
{
	pool_made();
	T_CHECK(mp_pool_submit(pool, wait_long, mp_nil(), &future) == 0);
	while (mp_future_state(future) == MP_FUTURE_PENDING)
		t_moment();
}

static int cancel(void)
{
	T_STEP(mp_future_cancel(future, MP_CANCEL_KILL));
	mp_failure failure;
	T_STEP(mp_future_error(future, T_TIMEOUT_MS, &failure));
	T_CHECK(failure.code == -ECANCELED);
	return 0;
}

FAULTS(faults_pool, cancel, submitted_for_long, cancel, future_failed)

static int close_future(void)
{
	return mp_future_close(future);
}

QUIET(faults_pool, gives_a_result_up, submitted, close_future, pool_end)

/* --- many at once ------------------------------------------------------------------------------------ */

static mp_obj items[N];
static mp_obj results[N];

static void pool_and_items(void)
{
	pool_made();
	for (int i = 0; i < N; i++)
		items[i] = mp_i64(i);
}

static int right(int code)
{
	for (int i = 0; code == 0 && i < N; i++)
		T_CHECK(mp_obj_i64(&results[i]) == 2 * i);
	return code;
}

static int map(void)
{
	return right(mp_pool_map(pool, twice, items, N, 3, results));
}

static int map_with(void)
{
	return right(mp_pool_map_with(pool, twice, items, N, MP_MAP_OPTIONS(.chunk = 7), results));
}

static int map_async(void)
{
	mp_future *all;
	mp_obj list;

	T_STEP(mp_pool_map_async(pool, twice, items, N, MP_MAP_OPTIONS(.chunk = 7), &all));
	int r = mp_future_result(all, T_TIMEOUT_MS, &list);
	if (r == 0)
		mp_obj_free(&list);
	T_CHECK(mp_future_close(all) == 0);
	return r;
}

static int starmap(void)
{
	const mp_obj lists[2] = {MP_LIST(mp_i64(1)), MP_LIST(mp_i64(2))};

	return mp_pool_starmap(pool, twice, lists, 2, 1, results);
}

FAULTS(faults_pool, map, pool_and_items, map, pool_end)
FAULTS(faults_pool, map_with, pool_and_items, map_with, pool_end)
FAULTS(faults_pool, map_async, pool_and_items, map_async, pool_end)
FAULTS(faults_pool, starmap, pool_and_items, starmap, pool_end)

static int next_item(void *data, mp_obj *ret_item)
{
	int *n = data;

	*ret_item = mp_i64(*n);
	return (*n)++ < 4;
}

static int imap(void)
{
	mp_imap *imap;
	mp_obj result;
	int n = 0;
	int r;

	T_STEP(mp_pool_imap(pool, twice, next_item, &n, MP_IMAP_OPTIONS(.chunk = 2), &imap));
	while ((r = mp_imap_next(imap, T_TIMEOUT_MS, &result)) > 0)
		mp_obj_free(&result);
	T_CHECK(mp_imap_close(imap) == 0);
	return r;
}

FAULTS(faults_pool, imap, pool_made, imap, pool_end)

static int body(const mp_range *range)
{
	return range->begin < range->end ? 0 : -EINVAL;
}

static int pool_for(void)
{
	return mp_pool_for(pool, body, N, NULL, MP_FOR_OPTIONS(.chunk = 7));
}

FAULTS(faults_pool, parallel_for, pool_made, pool_for, pool_end)
