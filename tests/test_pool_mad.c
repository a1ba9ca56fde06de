/* SPDX-License-Identifier: MIT */
/*
 * Workers that break the rules, by their tasks or by what they write: they harm themselves, others
 * go on, and the owner's calls keep their deadlines.
 */
#include <config.h>

#include "tests/support/pool.h"

#include "pool/future.h"
#include "pool/pool.h"

#include <fcntl.h>
#include <mp/handle.h>
#include <sched.h>
#include <sys/wait.h>

T_SUITE(pool_mad);

/* --- tasks that meddle with their process ----------------------------------------------------- */

static int close_all(int argc, const mp_obj *argv, mp_obj *ret)
{
	(void)argc, (void)argv;
	for (int fd = 3; fd < 1024; fd++)
		close(fd);
	*ret = mp_i64(1);
	return 0;
}

Test(pool_mad, task_that_closes_all_descriptors_costs_its_worker_alone)
{
	mp_pool *pool = t_pool(1);

	for (int i = 0; i < 20; i++) {
		t_expect_i64(t_submit(pool, close_all, mp_nil()), 1);
		t_expect_i64(t_submit(pool, t_square, MP_ARGS(mp_i64(i))), (int64_t)i * i);
	}
	t_pool_end(pool);
}

/* In the child that comes back: -1, which nobody may ever see. */
static int return_twice(int argc, const mp_obj *argv, mp_obj *ret)
{
	(void)argc, (void)argv;
	pid_t pid = fork();
	if (pid > 0)
		waitpid(pid, NULL, 0);
	*ret = mp_i64(pid > 0 ? 1 : -1);
	return 0;
}

Test(pool_mad, child_that_a_task_forked_is_no_second_worker)
{
	mp_pool *pool = t_pool(2);
	mp_obj items[] = {mp_nil(), mp_nil(), mp_nil()};
	mp_obj results[3];

	for (int i = 0; i < 20; i++) {
		t_expect_i64(t_submit(pool, return_twice, mp_nil()), 1);
		t_expect_i64(t_submit(pool, t_square, MP_ARGS(mp_i64(i))), (int64_t)i * i);
	}
	T_OK(mp_pool_map(pool, return_twice, items, 3, 3, results));
	for (int i = 0; i < 3; i++)
		cr_assert_eq(mp_obj_i64(&results[i]), 1);
	t_pool_end(pool);
}

/* --- a worker that stops ---------------------------------------------------------------------- */

struct stop {
	mp_pool *pool;
	int first;
	int second;
	pid_t stopped;
};

/* Once the owner sleeps: the first task ends, its worker stops, the second task ends. */
static void *let_go(void *argument)
{
	struct stop *s = argument;
	siginfo_t info = {0};

	while (!(atomic_load(&s->pool->seg.header->owner_waiting) & 1))
		sched_yield();
	if (write(s->first, "1", 1) == 1 && waitid(P_ALL, 0, &info, WSTOPPED | WNOWAIT) == 0 &&
		write(s->second, "2", 1) == 1)
		s->stopped = info.si_pid;
	return NULL;
}

Test(pool_mad, worker_that_stops_while_it_wakes_keeps_no_result_of_the_others)
{
	int first[2];
	int second[2];
	pthread_t thread;

	T_OK(pipe2(first, O_CLOEXEC));
	T_OK(pipe2(second, O_CLOEXEC));
	t_arm("pool.waking", "stop");
	mp_pool *pool = t_pool(2);
	struct stop s = {.pool = pool, .first = first[1], .second = second[1]};
	mp_future *f = t_submit(pool, t_read_byte, MP_ARGS(mp_fd(first[0])));
	mp_future *g = t_submit(pool, t_read_byte, MP_ARGS(mp_fd(second[0])));
	T_OK(pthread_create(&thread, NULL, let_go, &s));
	t_expect_i64(g, '2');
	T_OK(pthread_join(thread, NULL));
	cr_assert(s.stopped > 0);
	T_OK(kill(s.stopped, SIGCONT));
	t_expect_i64(f, '1');
	t_pool_end(pool);
	t_disarm();
	for (int i = 0; i < 2; i++) {
		close(first[i]);
		close(second[i]);
	}
}

/* --- a worker that writes where it should not --------------------------------------------------- */

/* Here the test plays the worker, while the real one is stopped. */
static mp_pool *stopped_pool(int max_pending)
{
	mp_pool *pool;

	T_OK(mp_pool_new(MP_POOL_OPTIONS(.workers = 1, .max_pending = max_pending), &pool));
	t_expect_i64(t_submit(pool, t_square, MP_ARGS(mp_i64(2))), 4);
	t_pool_stop_first(pool);
	return pool;
}

static void expect_to_go_on(mp_pool *pool)
{
	T_OK(mp_process_signal(pool->places[0].process, SIGCONT));
	for (int i = 0; i < 200; i++)
		t_expect_i64(t_submit(pool, t_square, MP_ARGS(mp_i64(i))), (int64_t)i * i);
	t_pool_end(pool);
}

Test(pool_mad, end_of_the_queue_is_the_owners_word)
{
	static const uint64_t nonsense[] = {0, 1000, UINT64_C(1) << 62, UINT64_MAX};

	for (size_t i = 0; i < sizeof(nonsense) / sizeof(nonsense[0]); i++) {
		mp_pool *pool = stopped_pool(64);
		atomic_store(&pool->seg.header->tail, nonsense[i]);
		mp_future *f = t_submit(pool, t_square, MP_ARGS(mp_i64(3)));
		T_OK(mp_process_signal(pool->places[0].process, SIGCONT));
		t_expect_i64(f, 9);
		expect_to_go_on(pool);
	}
}

Test(pool_mad, start_of_the_queue_that_cannot_be_is_mended)
{
	static const uint64_t nonsense[] = {1000, UINT64_C(1) << 62, UINT64_MAX};

	for (size_t i = 0; i < sizeof(nonsense) / sizeof(nonsense[0]); i++) {
		mp_pool *pool = stopped_pool(64);
		mp_future *f = t_submit(pool, t_square, MP_ARGS(mp_i64(3)));
		atomic_store(&pool->seg.header->head, nonsense[i]);
		mp_future *g = t_submit(pool, t_square, MP_ARGS(mp_i64(4)));
		T_OK(mp_process_signal(pool->places[0].process, SIGCONT));
		t_expect_i64(f, 9);
		t_expect_i64(g, 16);
		expect_to_go_on(pool);
	}
}

static void finish_by_hand(mp_pool *pool, uint32_t number)
{
	struct mp__pool_slot *slot = &pool->seg.slots[number];

	slot->result = -EDOM;
	slot->result_size = 0;
	atomic_store(
		&slot->state, mp__pool_state(pool->pending[number].generation, 0, MP__POOL_DONE));
}

Test(pool_mad, results_behind_a_broken_list_are_found)
{
	static const uint32_t nonsense[] = {1, 2, 63, 64, 70000, 0xfffffffe};

	for (size_t i = 0; i < sizeof(nonsense) / sizeof(nonsense[0]); i++) {
		mp_pool *pool = stopped_pool(64);
		mp_future *f = t_submit(pool, t_square, MP_ARGS(mp_i64(3)));
		mp_future *g = t_submit(pool, t_square, MP_ARGS(mp_i64(3)));
		uint32_t at = g->slot;
		finish_by_hand(pool, f->slot);
		finish_by_hand(pool, at);
		/* f is linked behind something that is not DONE, or is nowhere. */
		atomic_store(&pool->seg.slots[at].next_done, nonsense[i]);
		atomic_store(&pool->seg.header->done, at);
		T_RESULT(mp_future_result(f, T_TIMEOUT_MS, NULL), -EDOM);
		T_RESULT(mp_future_result(g, T_TIMEOUT_MS, NULL), -EDOM);
		mp_future_close(f);
		mp_future_close(g);
		expect_to_go_on(pool);
	}
}

/* Under AddressSanitizer: and what was read of it is not left. */
Test(pool_mad, results_that_are_not_there_fail_by_themselves)
{
	mp_pool *pool = stopped_pool(64);
	mp_future *f = t_submit(pool, t_square, MP_ARGS(mp_i64(3)));
	struct mp__pool_slot *slot = &pool->seg.slots[f->slot];

	finish_by_hand(pool, f->slot);
	slot->result = 0;
	slot->result_size = 100000;
	atomic_store(&pool->seg.header->done, f->slot);
	T_RESULT(mp_future_result(f, T_TIMEOUT_MS, NULL), -EBADMSG);
	mp_future_close(f);
	expect_to_go_on(pool);
}

/* A worker that finds more tasks than there is room for leaves; the next one finds the ring mended. */
Test(pool_mad, end_of_the_queue_that_cannot_be_is_no_work_for_years)
{
	mp_pool *pool = stopped_pool(64);
	int stopped = mp_process_pid(pool->places[0].process);
	mp_future *f = t_submit(pool, t_square, MP_ARGS(mp_i64(3)));

	atomic_store(&pool->seg.header->tail, UINT64_C(1) << 62);
	T_OK(mp_process_signal(pool->places[0].process, SIGCONT));
	t_expect_i64(f, 9);
	T_CHECK(mp_process_pid(pool->places[0].process) != stopped);
	expect_to_go_on(pool);
}

Test(pool_mad, tasks_in_a_state_that_cannot_be_end_with_the_next_worker)
{
	static const uint64_t nonsense[] = {
		0, UINT64_MAX, 77, MP__POOL_RUNNING, (uint64_t)999 << 16 | MP__POOL_RUNNING};

	for (size_t i = 0; i < sizeof(nonsense) / sizeof(nonsense[0]); i++) {
		mp_pool *pool = stopped_pool(64);
		mp_future *f = t_submit(pool, t_square, MP_ARGS(mp_i64(3)));
		uint64_t generation = pool->pending[f->slot].generation;
		atomic_store(&pool->seg.slots[f->slot].state,
			i < 4 ? nonsense[i] : generation << 32 | nonsense[i]);
		T_OK(mp_process_kill(pool->places[0].process));
		t_expect_error(f, -EOWNERDEAD, MP_FUTURE_CRASHED, "was killed by signal 9");
		for (int n = 0; n < 100; n++)
			t_expect_i64(t_submit(pool, t_square, MP_ARGS(mp_i64(n))), (int64_t)n * n);
		t_pool_end(pool);
	}
}

/* --- random bytes ------------------------------------------------------------------------------- */

static void scribble(mp_pool *pool, unsigned *seed)
{
	unsigned char *at = (unsigned char *)pool->seg.header;
	size_t n = 1 + (size_t)rand_r(seed) % 200;

	for (size_t i = 0; i < n; i++) {
		/* Line 0 is what workers check when they start: leave them able to. */
		size_t room = rand_r(seed) % 2 ? sizeof(struct mp__pool_header) : 5000;
		size_t where = 64 + (size_t)rand_r(seed) % (room - 64);
		at[where] = (unsigned char)rand_r(seed);
		where = (size_t)rand_r(seed) % (64 * sizeof(struct mp__pool_slot));
		((unsigned char *)pool->seg.slots)[where] = (unsigned char)rand_r(seed);
	}
}

/* In a process of its own: wild functions and sizes may end the workers in any way they like. */
static int suffer(void *unused)
{
	unsigned seed = (unsigned)getpid();
	mp_pool *pool;

	(void)unused;
	for (int round = 0; round < 20; round++) {
		mp_future *futures[60];
		T_CHECK(mp_pool_new(MP_POOL_OPTIONS(.workers = 2, .max_pending = 64), &pool) == 0);
		for (int i = 0; i < 60; i++) {
			T_CHECK(mp_pool_submit(pool, t_square, MP_ARGS(mp_i64(i)), &futures[i]) ==
				0);
			if (i % 10 == 5)
				scribble(pool, &seed);
			if (i % 20 == 7 && pool->places[0].process)
				mp_process_kill(pool->places[0].process);
		}
		for (int i = 0; i < 60; i++) {
			mp_future_result(futures[i], 2, NULL);
			T_CHECK(mp_future_state(futures[i]) >= 0);
		}
		T_CHECK(mp_pool_close(pool) == 0);
		for (int i = 0; i < 60; i++) {
			T_CHECK(mp_future_result(futures[i], MP_FOREVER, NULL) != -ETIMEDOUT);
			mp_future_close(futures[i]);
		}
	}
	return 0;
}

Test(pool_mad, owner_survives_random_bytes_everywhere)
{
	struct t_child child = t_spawn(suffer, NULL);

	t_expect_exit(&child, 0);
}
