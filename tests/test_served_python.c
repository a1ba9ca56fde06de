/* SPDX-License-Identifier: MIT */
/*
 * CPython's tests of synchronisation, through proxies: between processes and threads at once. Where
 * those sleep until something has probably happened, these ask who must know: whoever was woken is in the
 * queue for the lock, so that who gets the lock behind them finds all of them counted.
 */
#include <config.h>

#include "tests/support/daemon.h"

#include <errno.h>
#include <mp.h>
#include <pthread.h>
#include <signal.h>

T_SUITE(served_python);

#define LONG_MS 60000
#define SHORT_MS 20

static mp_manager *m;

/* --- semaphore, event ---------------------------------------------------------------------------- */

Test(served_python, test_semaphore_timeout)
{
	mp_proxy *s;

	m = t_manager();
	T_OK(mp_manager_semaphore(m, NULL, 0, &s));
	T_RESULT(mp_served_semaphore_acquire(s, MP_NOWAIT), -EAGAIN);
	T_RESULT(mp_served_semaphore_acquire(s, 0), -EAGAIN);
	T_RESULT(mp_served_semaphore_acquire(s, 1), -ETIMEDOUT);
	T_RESULT(mp_served_semaphore_acquire(s, SHORT_MS), -ETIMEDOUT);
	T_RESULT(mp_served_semaphore_acquire(s, -2), -EINVAL);
	T_RESULT(mp_served_semaphore_value(s), 0);
	mp_proxy_close(s);
	mp_manager_close(m);
}

static int set_event(void *event)
{
	return mp_served_event_set(event);
}

Test(served_python, test_event)
{
	mp_proxy *event;

	m = t_manager();
	T_OK(mp_manager_event(m, NULL, &event));
	T_RESULT(mp_served_event_is_set(event), 0);
	T_RESULT(mp_served_event_wait(event, MP_NOWAIT), -EAGAIN);
	T_RESULT(mp_served_event_wait(event, SHORT_MS), -ETIMEDOUT);
	T_OK(mp_served_event_set(event));
	T_RESULT(mp_served_event_is_set(event), 1);
	T_OK(mp_served_event_wait(event, MP_NOWAIT));
	T_OK(mp_served_event_wait(event, LONG_MS));
	T_OK(mp_served_event_clear(event));
	T_RESULT(mp_served_event_is_set(event), 0);
	struct t_child child = t_spawn(set_event, event);
	T_OK(mp_served_event_wait(event, LONG_MS));
	t_expect_exit(&child, 0);
	mp_proxy_close(event);
	mp_manager_close(m);
}

/* --- condition ----------------------------------------------------------------------------------- */

static mp_proxy *cond;
static mp_proxy *sleeping;
static mp_proxy *woken;
static int sleep_ms;

static int sleep_on_condition(void *unused)
{
	(void)unused;
	T_CHECK(mp_served_condition_acquire(cond, LONG_MS) == 0);
	T_CHECK(mp_counter_add(sleeping, 1, NULL) == 0);
	int r = mp_served_condition_wait(cond, sleep_ms);
	T_CHECK(r == (sleep_ms < LONG_MS ? -ETIMEDOUT : 0));
	T_CHECK(mp_counter_add(woken, 1, NULL) == 0);
	T_CHECK(mp_served_condition_release(cond) == 0);
	return 0;
}

static void *sleep_in_thread(void *unused)
{
	(void)sleep_on_condition(unused);
	return NULL;
}

#define EACH 3

struct sleepers {
	struct t_child children[EACH];
	pthread_t threads[EACH];
	int n;
};

static int64_t number(mp_proxy *counter)
{
	int64_t n = -1;

	T_OK(mp_counter_get(counter, &n));
	return n;
}

/* n processes and n threads, all of which sleep when this returns. */
static void put_to_sleep(struct sleepers *s, int n, int timeout_ms)
{
	s->n = n;
	sleep_ms = timeout_ms;
	T_OK(mp_counter_set(sleeping, 0));
	T_OK(mp_counter_set(woken, 0));
	for (int i = 0; i < n; i++)
		s->children[i] = t_spawn(sleep_on_condition, NULL);
	for (int i = 0; i < n; i++)
		pthread_create(&s->threads[i], NULL, sleep_in_thread, NULL);
	while (number(sleeping) < 2 * n)
		sched_yield();
	T_OK(mp_served_condition_acquire(cond, LONG_MS));
	T_OK(mp_served_condition_release(cond));
}

static void see_them_off(struct sleepers *s)
{
	for (int i = 0; i < s->n; i++)
		t_expect_exit(&s->children[i], 0);
	for (int i = 0; i < s->n; i++)
		pthread_join(s->threads[i], NULL);
}

/* So many more are woken by this, and no more: those who are stand before us in the queue. */
static void notify(int n)
{
	T_OK(mp_served_condition_acquire(cond, LONG_MS));
	if (n > 0)
		T_OK(mp_served_condition_notify(cond, n));
	else
		T_OK(mp_served_condition_notify_all(cond));
	T_OK(mp_served_condition_release(cond));
}

static void expect_woken(int n)
{
	T_OK(mp_served_condition_acquire(cond, LONG_MS));
	cr_assert_eq(number(woken), n, "%d", (int)number(woken));
	T_OK(mp_served_condition_release(cond));
}

static void open_condition(void)
{
	m = t_manager();
	T_OK(mp_manager_condition(m, NULL, NULL, &cond));
	T_OK(mp_manager_counter(m, NULL, 0, &sleeping));
	T_OK(mp_manager_counter(m, NULL, 0, &woken));
}

static void close_condition(void)
{
	mp_proxy_close(cond);
	mp_proxy_close(sleeping);
	mp_proxy_close(woken);
	mp_manager_close(m);
}

Test(served_python, test_notify)
{
	struct sleepers s;

	open_condition();
	put_to_sleep(&s, 1, LONG_MS);
	expect_woken(0);
	notify(1);
	expect_woken(1);
	notify(1);
	expect_woken(2);
	see_them_off(&s);
	close_condition();
}

Test(served_python, test_notify_all)
{
	struct sleepers s;

	open_condition();
	put_to_sleep(&s, EACH, SHORT_MS);
	see_them_off(&s);
	expect_woken(2 * EACH);
	put_to_sleep(&s, EACH, LONG_MS);
	expect_woken(0);
	notify(0);
	expect_woken(2 * EACH);
	see_them_off(&s);
	close_condition();
}

Test(served_python, test_notify_n)
{
	struct sleepers s;

	open_condition();
	put_to_sleep(&s, EACH, LONG_MS);
	notify(2);
	expect_woken(2);
	notify(4);
	expect_woken(2 * EACH);
	notify(3); /* nobody is there, and nobody is owed anything */
	see_them_off(&s);
	put_to_sleep(&s, 1, LONG_MS);
	expect_woken(0);
	notify(3);
	expect_woken(2);
	see_them_off(&s);
	close_condition();
}

static int is_number(void *wanted)
{
	int64_t n;

	int r = mp_counter_get(sleeping, &n);
	return r < 0 ? r : n == *(int64_t *)wanted;
}

static int wait_for_four(void *unused)
{
	int64_t four = 4;

	(void)unused;
	T_CHECK(mp_served_condition_acquire(cond, LONG_MS) == 0);
	T_CHECK(mp_counter_set(sleeping, 0) == 0);
	T_CHECK(mp_served_condition_notify(cond, 1) == 0);
	T_CHECK(mp_served_condition_wait_for(cond, is_number, &four, LONG_MS) == 0);
	T_CHECK(mp_served_condition_release(cond) == 0);
	return 0;
}

Test(served_python, test_waitfor)
{
	int64_t zero = 0;

	open_condition();
	T_OK(mp_counter_set(sleeping, -1));
	T_OK(mp_served_condition_acquire(cond, LONG_MS));
	struct t_child child = t_spawn(wait_for_four, NULL);
	T_OK(mp_served_condition_wait_for(cond, is_number, &zero, LONG_MS));
	T_OK(mp_served_condition_release(cond));
	for (int i = 0; i < 4; i++) {
		T_OK(mp_served_condition_acquire(cond, LONG_MS));
		T_OK(mp_counter_add(sleeping, 1, NULL));
		T_OK(mp_served_condition_notify(cond, 1));
		T_OK(mp_served_condition_release(cond));
	}
	t_expect_exit(&child, 0);
	close_condition();
}

static int wait_in_vain(void *unused)
{
	int64_t four = 4;

	(void)unused;
	T_CHECK(mp_served_condition_acquire(cond, LONG_MS) == 0);
	t_ready();
	T_CHECK(mp_served_condition_wait_for(cond, is_number, &four, 300) == -ETIMEDOUT);
	T_CHECK(mp_served_condition_release(cond) == 0);
	return 0;
}

/* What it is notified of is not what it waits for, and gives it no more time. */
Test(served_python, test_waitfor_timeout)
{
	open_condition();
	struct t_child child = t_spawn(wait_in_vain, NULL);
	t_wait_ready(&child);
	for (int i = 0; i < 3; i++) {
		T_OK(mp_served_condition_acquire(cond, LONG_MS));
		T_OK(mp_counter_add(sleeping, 1, NULL));
		T_OK(mp_served_condition_notify(cond, 1));
		T_OK(mp_served_condition_release(cond));
	}
	t_expect_exit(&child, 0);
	close_condition();
}

static int notify_one(void *unused)
{
	(void)unused;
	T_CHECK(mp_served_condition_acquire(cond, LONG_MS) == 0);
	T_CHECK(mp_served_condition_notify(cond, 1) == 0);
	T_CHECK(mp_served_condition_release(cond) == 0);
	return 0;
}

Test(served_python, test_wait_result)
{
	open_condition();
	T_OK(mp_served_condition_acquire(cond, LONG_MS));
	T_RESULT(mp_served_condition_wait(cond, MP_NOWAIT), -EAGAIN);
	T_RESULT(mp_served_condition_wait(cond, SHORT_MS), -ETIMEDOUT);
	struct t_child child = t_spawn(notify_one, NULL);
	T_OK(mp_served_condition_wait(cond, LONG_MS));
	T_OK(mp_served_condition_release(cond));
	t_expect_exit(&child, 0);
	close_condition();
}

/* --- barrier -------------------------------------------------------------------------------------- */

#define PARTIES 5
#define PASSES 4

static mp_proxy *barrier;
static mp_proxy *results; /* an array of numbers */

enum { BEFORE, AFTER, BROKEN, PASSED, N_RESULTS };

static int64_t result_of(int64_t which)
{
	mp_obj n;

	T_CHECK(mp_served_array_get(results, which, &n) == 0);
	return mp_obj_i64(&n);
}

static void add_result(int64_t which)
{
	T_CHECK(mp_served_array_add(results, which, mp_i64(1), NULL) == 0);
}

static void open_barrier(void)
{
	m = t_manager();
	T_OK(mp_manager_barrier(m, NULL, PARTIES, &barrier));
	T_OK(mp_manager_array(m, NULL, 'i', mp_i64(N_RESULTS + PARTIES), &results));
}

static void close_barrier(void)
{
	T_RESULT(mp_served_barrier_waiting(barrier), 0);
	mp_proxy_close(barrier);
	mp_proxy_close(results);
	mp_manager_close(m);
}

/* The target in PARTIES processes, this one being none of them. */
static void run_parties(int (*target)(void *))
{
	struct t_child children[PARTIES];

	for (int i = 0; i < PARTIES; i++)
		children[i] = t_spawn(target, NULL);
	for (int i = 0; i < PARTIES; i++)
		t_expect_exit(&children[i], 0);
}

static int pass_in_lockstep(void *unused)
{
	(void)unused;
	for (int i = 0; i < PASSES; i++) {
		add_result(BEFORE);
		T_CHECK(result_of(AFTER) == i * PARTIES);
		T_CHECK(mp_served_barrier_wait(barrier, LONG_MS) >= 0);
		add_result(AFTER);
		T_CHECK(result_of(BEFORE) == (i + 1) * PARTIES);
		T_CHECK(mp_served_barrier_wait(barrier, LONG_MS) >= 0);
	}
	return 0;
}

Test(served_python, test_barrier)
{
	open_barrier();
	run_parties(pass_in_lockstep);
	cr_assert(result_of(BEFORE) == PASSES * PARTIES && result_of(AFTER) == PASSES * PARTIES);
	T_RESULT(mp_served_barrier_broken(barrier), 0);
	close_barrier();
}

static int note_order(void *unused)
{
	(void)unused;
	int order = mp_served_barrier_wait(barrier, LONG_MS);
	T_CHECK(order >= 0);
	add_result(N_RESULTS + order);
	return 0;
}

Test(served_python, test_wait_return)
{
	open_barrier();
	run_parties(note_order);
	for (int i = 0; i < PARTIES; i++)
		cr_assert_eq(result_of(N_RESULTS + i), 1);
	close_barrier();
}

static int one_aborts(void *unused)
{
	(void)unused;
	int r = mp_served_barrier_wait(barrier, LONG_MS);
	T_CHECK(r >= 0);
	if (r == PARTIES / 2)
		return mp_served_barrier_abort(barrier);
	r = mp_served_barrier_wait(barrier, LONG_MS);
	add_result(r >= 0 ? PASSED : BROKEN);
	return r >= 0 || r == -EPIPE ? 0 : 1;
}

Test(served_python, test_abort)
{
	open_barrier();
	run_parties(one_aborts);
	cr_assert(result_of(PASSED) == 0 && result_of(BROKEN) == PARTIES - 1);
	T_RESULT(mp_served_barrier_broken(barrier), 1);
	close_barrier();
}

static int one_resets(void *unused)
{
	(void)unused;
	int r = mp_served_barrier_wait(barrier, LONG_MS);
	T_CHECK(r >= 0);
	if (r == PARTIES / 2) {
		while (mp_served_barrier_waiting(barrier) < PARTIES - 1)
			sched_yield();
		T_CHECK(mp_served_barrier_reset(barrier) == 0);
	} else {
		T_CHECK(mp_served_barrier_wait(barrier, LONG_MS) == -ECANCELED);
		add_result(BROKEN);
	}
	T_CHECK(mp_served_barrier_wait(barrier, LONG_MS) >= 0);
	add_result(PASSED);
	return 0;
}

Test(served_python, test_reset)
{
	open_barrier();
	run_parties(one_resets);
	cr_assert(result_of(BROKEN) == PARTIES - 1 && result_of(PASSED) == PARTIES);
	T_RESULT(mp_served_barrier_broken(barrier), 0);
	close_barrier();
}

Test(served_python, test_single_thread)
{
	mp_proxy *alone;

	m = t_manager();
	T_OK(mp_manager_barrier(m, NULL, 1, &alone));
	for (int i = 0; i < 3; i++)
		T_RESULT(mp_served_barrier_wait(alone, LONG_MS), 0);
	mp_proxy_close(alone);
	mp_manager_close(m);
}

/* --- kills; others are in test_served_killed.c --------------------------------------------------- */

/* Who waits to be notified is gone at once: the notification is for those who live. */
Test(served_python, killed_while_it_waits_for_a_notification)
{
	struct sleepers living;

	open_condition();
	sleep_ms = LONG_MS;
	for (int i = 0; i < EACH; i++) {
		T_OK(mp_counter_set(sleeping, 0));
		struct t_child child = t_spawn(sleep_on_condition, NULL);
		while (number(sleeping) < 1)
			sched_yield();
		T_OK(mp_served_condition_acquire(cond, LONG_MS));
		T_OK(mp_served_condition_release(cond));
		put_to_sleep(&living, 1, LONG_MS);
		t_kill(&child, SIGKILL);
		notify(2);
		expect_woken(2);
		see_them_off(&living);
	}
	close_condition();
}

static int meet_once(void *unused)
{
	(void)unused;
	t_ready();
	int r = mp_served_barrier_wait(barrier, LONG_MS);
	return r == -EPIPE ? 0 : 1;
}

/* The others learn of it at once, and a reset makes the barrier whole. */
Test(served_python, killed_at_a_barrier)
{
	struct t_child parties[PARTIES - 1];

	open_barrier();
	for (int i = 0; i < PARTIES - 1; i++) {
		parties[i] = t_spawn(meet_once, NULL);
		t_wait_ready(&parties[i]);
	}
	while (mp_served_barrier_waiting(barrier) < PARTIES - 1)
		sched_yield();
	t_kill(&parties[0], SIGKILL);
	for (int i = 1; i < PARTIES - 1; i++)
		t_expect_exit(&parties[i], 0);
	T_RESULT(mp_served_barrier_broken(barrier), 1);
	T_OK(mp_served_barrier_reset(barrier));
	run_parties(note_order);
	for (int i = 0; i < PARTIES; i++)
		cr_assert_eq(result_of(N_RESULTS + i), 1);
	close_barrier();
}
