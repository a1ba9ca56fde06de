/* SPDX-License-Identifier: MIT */
/*
 * Pools in the kill storm. An owner makes one after the other, by each method, and has it do all it
 * can. Workers are hit like everybody else; in every second pool each of them also has its end set:
 * the kernel kills it at an instant chosen at random, two milliseconds after its first task at most.
 * Each task counts its own runs in shared memory, so that the owner knows: a task that succeeded ran
 * once, one that failed says that its worker died, a task with retries succeeds in the end, and no
 * loop runs an iteration twice. When the storm is over, a pool loses nobody.
 */
#include <config.h>

#include "process/forkserver.h"
#include "sync/waiting.h"
#include "tests/storm/storm.h"
#include "tests/storm/tree.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define TASKS 50
#define WORKERS 3
#define ROUNDS 64
#define LIFE_US 2000
#define BIG 3000

struct sea {
	_Atomic bool calm; /* nobody's end is set */
	_Atomic int64_t
		round; /* of all owners: a dead one's workers may still run for an instant */
	_Atomic int runs[ROUNDS][TASKS];
};

static struct sea *sea;

/* --- in a worker ----------------------------------------------------------------------------------------- */

static int join_sea(int argc, const mp_obj *argv, mp_obj *ret)
{
	(void)argc;
	(void)ret;
	sea = storm_tree_find(&argv[0], &storm_pool);
	return sea ? 0 : -EBADF;
}

/* Once in each worker: its end is set. The kernel does it, wherever the worker is then. */
static void set_end(void)
{
	static bool set;
	struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGKILL};
	struct timespec now;
	timer_t timer;

	if (set || atomic_load(&sea->calm))
		return;
	clock_gettime(CLOCK_MONOTONIC, &now);
	unsigned seed = (unsigned)getpid() ^ (unsigned)now.tv_nsec;
	long us = 1 + rand_r(&seed) % LIFE_US;
	struct itimerspec when = {.it_value.tv_nsec = us * 1000};
	set = true;
	if (timer_create(CLOCK_MONOTONIC, &event, &timer) == 0 &&
		timer_settime(timer, 0, &when, NULL) == 0)
		atomic_fetch_add(&storm_board->timers, 1);
}

/* Some microseconds, so that most kills find a task at work. */
static void work(void)
{
	for (volatile int i = 0; i < 5000; i++)
		;
}

/* Now and then a descriptor. */
static int answer_with_file(int64_t i, mp_obj *ret)
{
	int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	int r = mp_obj_copy(MP_LIST(mp_i64(i * i), mp_fd(fd)), ret);
	close(fd);
	return r;
}

static int task(int argc, const mp_obj *argv, mp_obj *ret)
{
	int64_t i = argc > 0 ? mp_obj_i64(&argv[0]) : 0;
	int64_t round = i / TASKS;

	i %= TASKS;
	set_end();
	atomic_fetch_add(&sea->runs[round % ROUNDS][i], 1);
	work();
	/* Now and then a result that is too long for a slot. */
	if (i % 10 == 9) {
		static char big[BIG];
		return mp_obj_copy(MP_LIST(mp_i64(i * i), mp_bytes(big, sizeof(big))), ret);
	}
	if (i % 10 == 4)
		return answer_with_file(i, ret);
	/* Now and then a descriptor came with it. */
	if (argc > 1 && fcntl(mp_obj_fd(&argv[1]), F_GETFD) < 0)
		return -EBADF;
	*ret = mp_i64(i * i);
	return 0;
}

static int body(const mp_range *range)
{
	set_end();
	for (size_t i = range->begin; i < range->end; i++)
		atomic_fetch_add(&sea->runs[(intptr_t)range->context % ROUNDS][i], 1);
	work();
	return 0;
}

/* --- the owner -------------------------------------------------------------------------------------------- */

static bool is_right(const mp_obj *result, int64_t i)
{
	if (i % 10 == 9)
		return mp_obj_len(result) == 2 && mp_obj_i64(&result->as.items[0]) == i * i;
	if (i % 10 == 4)
		return mp_obj_len(result) == 2 && mp_obj_i64(&result->as.items[0]) == i * i &&
		       fcntl(mp_obj_fd(&result->as.items[1]), F_GETFD) == FD_CLOEXEC;
	return mp_obj_i64(result) == i * i;
}

static int count_fds(void)
{
	int n = 0;

	for (int fd = 0; fd < 1024; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

static mp_obj item(int64_t i)
{
	return mp_i64(atomic_load(&sea->round) * TASKS + i);
}

static void forget_runs(void)
{
	int64_t round = atomic_fetch_add(&sea->round, 1) + 1;

	for (int i = 0; i < TASKS; i++)
		atomic_store(&sea->runs[round % ROUNDS][i], 0);
}

/* How often it has run in this round. */
static int runs_of(int i)
{
	return atomic_load(&sea->runs[atomic_load(&sea->round) % ROUNDS][i]);
}

static int n_crashed;
static int null_fd;

static bool by_blow(const mp_crash *crash)
{
	/* How it ended may be unknown: with a fork server that was killed before it. */
	bool unknown = crash->signal == 0 && crash->exit_code == -1;

	return unknown || crash->signal == SIGKILL || crash->signal == SIGTERM ||
	       crash->exit_code == STORM_EXIT;
}

static void submit_all(mp_pool *pool)
{
	mp_future *futures[TASKS];

	for (int64_t i = 0; i < TASKS; i++)
		STORM_CALL(mp_pool_submit(pool, task,
			i % 10 == 3 ? MP_ARGS(item(i), mp_fd(null_fd)) : MP_ARGS(item(i)),
			&futures[i]));
	int n = mp_future_wait(futures, TASKS, MP_WAIT_ALL, STORM_TIMEOUT_MS);
	STORM_CALL(n);
	STORM_CHECK(n == TASKS);
	for (int i = 0; i < TASKS; i++) {
		mp_obj result;
		mp_crash crash;
		int r = mp_future_result(futures[i], MP_NOWAIT, &result);
		if (r == 0) {
			STORM_CHECK(is_right(&result, i) && runs_of(i) > 0);
			STORM_IS(STORM_DUPLICATED, runs_of(i) == 1);
			mp_obj_free(&result);
		} else {
			STORM_CHECK(r == -EOWNERDEAD && runs_of(i) <= 1);
			STORM_CHECK(mp_future_crash(futures[i], 0, &crash) == 0);
			STORM_CHECK(by_blow(&crash));
			n_crashed++;
		}
		mp_future_close(futures[i]);
	}
}

static void submit_with_retries(mp_pool *pool)
{
	mp_future *futures[TASKS];

	for (int64_t i = 0; i < TASKS; i++)
		STORM_CHECK(mp_pool_submit_with(pool, task, MP_ARGS(item(i)),
				    MP_TASK_OPTIONS(.retries = 1000), &futures[i]) == 0);
	for (int i = 0; i < TASKS; i++) {
		mp_obj result;
		mp_crash crash;
		int deaths = 0;
		STORM_CALL(mp_future_result(futures[i], STORM_TIMEOUT_MS, &result));
		STORM_CHECK(is_right(&result, i));
		mp_obj_free(&result);
		while (mp_future_crash(futures[i], deaths, &crash) == 0)
			deaths++;
		STORM_CHECK(runs_of(i) >= 1 && (deaths == 8 || runs_of(i) <= 1 + deaths));
		mp_future_close(futures[i]);
	}
}

static void map_all(mp_pool *pool, size_t chunk)
{
	mp_obj items[TASKS];
	mp_obj results[TASKS];

	for (int64_t i = 0; i < TASKS; i++)
		items[i] = item(i);
	int r = mp_pool_map_with(pool, task, items, TASKS,
		MP_MAP_OPTIONS(.chunk = chunk, .timeout_ms = STORM_TIMEOUT_MS), results);
	STORM_IS(r == -ETIMEDOUT ? STORM_HUNG : STORM_LOST, r == 0 || r == -EOWNERDEAD);
	for (int i = 0; i < TASKS; i++) {
		int runs = runs_of(i); /* of a map that failed some chunks may still run */
		STORM_CHECK(runs == 1 || (r < 0 && runs == 0));
		if (r == 0)
			STORM_CHECK(is_right(&results[i], i));
		if (r == 0)
			mp_obj_free(&results[i]);
	}
	n_crashed += r < 0;
}

static int next(void *data, mp_obj *ret_item)
{
	int64_t *at = data;

	if (*at == TASKS)
		return 0;
	*ret_item = item((*at)++);
	return 1;
}

static void imap_all(mp_pool *pool)
{
	int64_t at = 0;
	mp_imap *imap;

	STORM_CHECK(mp_pool_imap(pool, task, next, &at, NULL, &imap) == 0);
	for (int i = 0; i < TASKS; i++) {
		mp_obj result;
		int r = mp_imap_next(imap, STORM_TIMEOUT_MS, &result);
		STORM_CHECK(r == 1 ? is_right(&result, i) && runs_of(i) == 1
				   : r == -EOWNERDEAD && runs_of(i) <= 1);
		if (r == 1)
			mp_obj_free(&result);
		n_crashed += r < 0;
	}
	mp_obj none;
	STORM_CHECK(mp_imap_next(imap, STORM_TIMEOUT_MS, &none) == 0);
	mp_imap_close(imap);
}

static bool lost[TASKS];

static void note_lost(size_t begin, size_t end, const mp_crash *crash, void *data)
{
	(void)data;
	STORM_CHECK(by_blow(crash));
	for (size_t i = begin; i < end; i++) {
		STORM_CHECK(!lost[i]);
		lost[i] = true;
	}
}

static void loop(mp_pool *pool)
{
	for (int i = 0; i < TASKS; i++)
		lost[i] = false;
	int r = mp_pool_for(pool, body, TASKS, (void *)(intptr_t)atomic_load(&sea->round),
		MP_FOR_OPTIONS(.chunk = 3, .timeout_ms = STORM_TIMEOUT_MS, .lost = note_lost));
	STORM_IS(r == -ETIMEDOUT ? STORM_HUNG : STORM_LOST, r == 0 || r == -EOWNERDEAD);
	for (int i = 0; i < TASKS; i++)
		STORM_CHECK(lost[i] ? r < 0 && runs_of(i) <= 1 : runs_of(i) == 1);
	n_crashed += r < 0;
}

/* Everything that it can do, once. */
static void use_pool(mp_pool *pool, uint64_t random)
{
	forget_runs();
	switch (random % 6) {
	case 0:
		submit_all(pool);
		break;
	case 1:
		map_all(pool, 1);
		break;
	case 2:
		submit_with_retries(pool);
		break;
	case 3:
		imap_all(pool);
		break;
	case 4:
		loop(pool);
		break;
	default:
		map_all(pool, 10);
	}
}

static mp_pool *make_one(uint64_t random)
{
	static const int methods[] = {
		MP_START_FORK, MP_START_FORK, MP_START_SPAWN, MP_START_FORKSERVER};
	mp_pool *pool = NULL;
	int r = -EOWNERDEAD;

	/* A worker may be killed before it has begun. */
	for (int i = 0; r == -EOWNERDEAD && i < 100; i++)
		r = mp_pool_new(
			MP_POOL_OPTIONS(.workers = WORKERS, .start_method = methods[random % 4],
				.initializer = join_sea, .idle_ms = random % 8 == 5 ? 1 : 0,
				.initializer_args = MP_ARGS(storm_tree_memory())),
			&pool);
	STORM_CALL(r);
	return pool;
}

static void run_owner(void *memory, int index, uint64_t random)
{
	sea = memory;
	(void)index;
	null_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	(void)mp__waiting_board();
	int fds = count_fds();
	while (storm_blows()) {
		uint64_t how = storm_random(&random);
		atomic_store(&sea->calm, how % 2);
		mp_pool *pool = make_one(how >> 8);
		for (int i = 0; i < 6 && storm_blows(); i++)
			use_pool(pool, storm_random(&random));
		if (how >> 16 & 1)
			STORM_CALL(mp_pool_join(pool, STORM_TIMEOUT_MS));
		STORM_CALL(mp_pool_close(pool));
	}
	atomic_store(&sea->calm, true);
	mp_pool *pool = make_one(0);
	n_crashed = 0;
	for (uint64_t i = 0; i < 6; i++)
		use_pool(pool, i);
	STORM_CHECK(n_crashed == 0);
	STORM_CALL(mp_pool_join(pool, STORM_TIMEOUT_MS));
	STORM_CALL(mp_pool_close(pool));
	mp__forkserver_stop();
	STORM_IS(STORM_LEAKED, count_fds() == fds);
}

static void make_sea(void *memory)
{
	(void)memory;
}

const struct storm_capability storm_pool = {
	.name = "pool",
	.points = "pool. ",
	.size = sizeof(struct sea),
	.make = make_sea,
	.roles = {{"owner of pools", 1, false, run_owner}},
	.finish = make_sea,
};
