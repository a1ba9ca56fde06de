/* SPDX-License-Identifier: MIT */
/* What fails below the calls on processes, timers, pools and the manager. */
#include <config.h>

#include "tests/support/faults.h"

#include <mp.h>
#include <time.h>

T_SUITE(faults_process);

#define PAGES "mp_process_new mp_obj_copy"

/* --- processes --------------------------------------------------------------------------------- */

static mp_process *process;

static int give_five(int argc, const mp_obj *argv)
{
	(void)argv;
	return argc == 2 ? 5 : 6;
}

static int process_new(int method)
{
	return mp_process_new(give_five, MP_ARGS(mp_str("some text"), mp_fd(STDERR_FILENO)),
		MP_PROCESS_OPTIONS(.name = "p", .start_method = method), &process);
}

static void process_ended(void)
{
	int code = -1;

	T_CHECK(mp_process_join(process, T_TIMEOUT_MS) == 0);
	T_CHECK(mp_process_exit_code(process, &code) == 0 && code == 5);
	T_CHECK(mp_process_close(process) == 0);
}

static int process_start(void)
{
	return mp_process_start(process);
}

#define EACH(method, METHOD)                                                          \
	static int method##_new(void)                                                 \
	{                                                                             \
		return process_new(MP_START_##METHOD);                                \
	}                                                                             \
	static void method##_end(void)                                                \
	{                                                                             \
		T_CHECK(mp_process_close(process) == 0);                              \
	}                                                                             \
	static void method##_made(void)                                               \
	{                                                                             \
		T_CHECK(method##_new() == 0);                                         \
	}                                                                             \
	FAULTS(faults_process, method##_new, PAGES, NULL, method##_new, method##_end) \
	FAULTS(faults_process, method##_start, PAGES, method##_made, process_start, process_ended)

EACH(fork, FORK)
EACH(spawn, SPAWN)
EACH(forkserver, FORKSERVER)
EACH(thread, THREAD)

static void started(void)
{
	fork_made();
	T_CHECK(process_start() == 0);
}

static int process_join(void)
{
	return mp_process_join(process, T_TIMEOUT_MS);
}

FAULTS(faults_process, join, PAGES, started, process_join, process_ended)

/* --- timers -------------------------------------------------------------------------------------- */

static mp_timer *timer;

static void tick(mp_timer *t, uint64_t periods, void *data)
{
	(void)t, (void)periods, (void)data;
}

static int timer_new(void)
{
	return mp_timer_new(tick, NULL, MP_TIMER_OPTIONS(.interval_ms = 1), &timer);
}

static int timer_thread_new(void)
{
	return mp_timer_new(tick, NULL, MP_TIMER_OPTIONS(.interval_ms = 1, .thread = true), &timer);
}

static void timer_end(void)
{
	T_CHECK(mp_timer_close(timer) == 0);
}

FAULTS(faults_process, timer_new, "mp_timer_new", NULL, timer_new, timer_end)
FAULTS(faults_process, timer_thread_new, "mp_timer_new", NULL, timer_thread_new, timer_end)

/* --- pools ----------------------------------------------------------------------------------------- */

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
	struct timespec moment = {.tv_nsec = 20 * 1000 * 1000};

	nanosleep(&moment, NULL);
	return twice(argc, argv, ret);
}

static int pool_new(void)
{
	return mp_pool_new(MP_POOL_OPTIONS(.workers = 2), &pool);
}

static void pool_end(void)
{
	T_CHECK(mp_pool_join(pool, T_TIMEOUT_MS) == 0);
	T_CHECK(mp_pool_close(pool) == 0);
}

FAULTS(faults_process, pool_new, "mp_pool_new mp_process_new", NULL, pool_new, pool_end)

static void pool_made(void)
{
	T_CHECK(pool_new() == 0);
}

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

FAULTS(faults_process, pool_submit, "mp_pool_new mp_obj_copy", pool_made, pool_submit, future_done)

static void submitted(void)
{
	pool_made();
	T_CHECK(mp_pool_submit(pool, twice_later, MP_ARGS(mp_i64(21)), &future) == 0);
}

FAULTS(faults_process, future_result, "mp_future_result", submitted, future_result, future_done)

static int pool_map(void)
{
	mp_obj items[20];
	mp_obj results[20];

	for (int i = 0; i < 20; i++)
		items[i] = mp_i64(i);
	int code = mp_pool_map(pool, twice, items, 20, 3, results);
	for (int i = 0; code == 0 && i < 20; i++)
		T_CHECK(mp_obj_i64(&results[i]) == 2 * i);
	return code;
}

FAULTS(faults_process, pool_map, "mp_pool_new mp_future_result mp_obj_copy", pool_made, pool_map,
	pool_end)
