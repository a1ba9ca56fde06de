/* SPDX-License-Identifier: MIT */
/* Waiting for tasks together with other things. */
#include <config.h>

#include "tests/support/pool.h"

#include <fcntl.h>
#include <mp.h>
#include <pthread.h>

T_SUITE(wait_future);

static int die(int argc, const mp_obj *argv, mp_obj *ret)
{
	(void)argc, (void)argv, (void)ret;
	kill(getpid(), SIGKILL);
	t_hang();
}

struct gate {
	int in;
	int out;
};

static struct gate gate(void)
{
	int ends[2];

	cr_assert_eq(pipe2(ends, O_CLOEXEC), 0);
	return (struct gate){ends[0], ends[1]};
}

static void gate_open(struct gate *g)
{
	cr_assert_eq(write(g->out, "x", 1), 1);
}

static void gate_close(struct gate *g)
{
	close(g->in);
	close(g->out);
}

Test(wait_future, future_is_ready_when_its_task_has_ended)
{
	mp_pool *pool = t_pool(2);
	struct gate g = gate();
	int fds[2];

	cr_assert_eq(pipe2(fds, O_CLOEXEC), 0);
	mp_future *slow = t_submit(pool, t_read_byte, MP_ARGS(mp_fd(g.in)));
	mp_future *quick = t_submit(pool, t_square, MP_ARGS(mp_i64(12)));
	mp_waitable items[] = {MP_WAIT(slow), MP_WAIT(quick), MP_WAIT(fds[0]), MP_WAIT(slow)};
	T_RESULT(mp_wait(items, 4, T_TIMEOUT_MS), 1);
	cr_assert(!items[0].ready && items[1].ready && !items[2].ready);
	items[1] = MP_WAIT(fds[0]);
	T_RESULT(mp_wait(items, 4, 20), 0);
	gate_open(&g);
	T_RESULT(mp_wait(items, 4, T_TIMEOUT_MS), 2);
	cr_assert(items[0].ready == POLLIN && items[3].ready == POLLIN && !items[1].ready);
	T_RESULT(mp_wait(items, 4, MP_NOWAIT), 2);
	t_expect_i64(quick, 144);
	T_OK(mp_future_close(slow));
	t_pool_end(pool);
	close(fds[0]);
	close(fds[1]);
	gate_close(&g);
}

#define TASKS 300

Test(wait_future, hundreds_of_two_pools_as_they_end)
{
	mp_pool *pools[2] = {t_pool(1), t_pool(2)};
	mp_future *futures[TASKS];
	mp_waitable items[TASKS];
	int left = TASKS;

	for (int i = 0; i < TASKS; i++) {
		futures[i] = t_submit(pools[i % 2], t_square, MP_ARGS(mp_i64(i)));
		items[i] = MP_WAIT(futures[i]);
	}
	while (left > 0) {
		cr_assert_gt(mp_wait(items, (size_t)left, T_TIMEOUT_MS), 0);
		for (int i = left - 1; i >= 0; i--)
			if (items[i].ready) {
				mp_future *f = items[i].object;
				cr_assert_eq(mp_future_state(f), MP_FUTURE_DONE);
				T_OK(mp_future_close(f));
				items[i] = items[--left];
			}
	}
	t_pool_end(pools[0]);
	t_pool_end(pools[1]);
}

Test(wait_future, a_task_whose_worker_died_is_ready)
{
	mp_pool *pool = t_pool(1);
	mp_future *f = t_submit(pool, die, mp_nil());
	mp_waitable items[] = {MP_WAIT(f)};

	T_RESULT(mp_wait(items, 1, T_TIMEOUT_MS), 1);
	T_RESULT(mp_future_result(f, MP_NOWAIT, NULL), -EOWNERDEAD);
	T_OK(mp_future_close(f));
	t_pool_end(pool);
}

struct wish {
	mp_future *future;
	int result;
};

static void *lead(void *argument)
{
	struct wish *w = argument;

	w->result = mp_future_result(w->future, T_TIMEOUT_MS, NULL);
	return NULL;
}

/* Another thread leads the collection, and takes what was to wake us. */
Test(wait_future, what_another_thread_collects_is_ready_here)
{
	mp_pool *pool = t_pool(2);
	struct gate g = gate();
	struct gate late = gate();
	pthread_t thread;

	mp_future *mine = t_submit(pool, t_read_byte, MP_ARGS(mp_fd(g.in)));
	struct wish wish = {t_submit(pool, t_read_byte, MP_ARGS(mp_fd(late.in))), 1};
	cr_assert_eq(pthread_create(&thread, NULL, lead, &wish), 0);
	mp_waitable items[] = {MP_WAIT(mine), MP_WAIT(0)};
	struct gate never = gate();
	items[1] = MP_WAIT(never.in);
	T_RESULT(mp_wait(items, 2, 20), 0);
	gate_open(&g);
	T_RESULT(mp_wait(items, 2, T_TIMEOUT_MS), 1);
	gate_open(&late);
	pthread_join(thread, NULL);
	T_OK(wish.result);
	T_OK(mp_future_close(mine));
	T_OK(mp_future_close(wish.future));
	t_pool_end(pool);
	gate_close(&g);
	gate_close(&late);
	gate_close(&never);
}

static void *close_pool(void *pool)
{
	return (void *)(intptr_t)mp_pool_close(pool);
}

Test(wait_future, the_end_of_the_pool_is_the_end_of_its_tasks)
{
	mp_pool *pool = t_pool(1);
	struct gate g = gate();
	pthread_t thread;

	mp_future *f = t_submit(pool, t_read_byte, MP_ARGS(mp_fd(g.in)));
	mp_waitable items[] = {MP_WAIT(f), MP_WAIT(g.in)};
	T_RESULT(mp_wait(items, 2, 10), 0);
	cr_assert_eq(pthread_create(&thread, NULL, close_pool, pool), 0);
	T_RESULT(mp_wait(items, 1, T_TIMEOUT_MS), 1);
	pthread_join(thread, NULL);
	T_RESULT(mp_wait(items, 1, MP_NOWAIT), 1);
	T_RESULT(mp_future_result(f, MP_NOWAIT, NULL), -ECANCELED);
	T_OK(mp_future_close(f));
	gate_close(&g);
}

static int wait_for_parents(void *future)
{
	mp_waitable item = MP_WAIT((mp_future *)future);

	return mp_wait(&item, 1, 0) == -ECHILD && item.error == -ECHILD ? 0 : 1;
}

Test(wait_future, a_future_of_the_parents)
{
	mp_pool *pool = t_pool(1);
	mp_future *f = t_submit(pool, t_square, MP_ARGS(mp_i64(3)));
	struct t_child child = t_spawn(wait_for_parents, f);

	t_expect_exit(&child, 0);
	mp_waitable item = MP_WAIT((mp_future *)NULL);
	T_RESULT(mp_wait(&item, 1, 0), -EINVAL);
	t_expect_i64(f, 9);
	t_pool_end(pool);
}
