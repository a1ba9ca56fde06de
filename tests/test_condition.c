/* SPDX-License-Identifier: MIT */
/* Conditions between processes and threads: CPython's tests, and wrong uses. */
#include <config.h>

#include "tests/support/conditions.h"

#include "base/stamp.h"

#include <pthread.h>
#include <sys/resource.h>

T_SUITE(condition);

#define DESTROYED 77 /* a state */

/* None of those who were not to be woken is, however long one waits; a moment is what can be had. */
static void expect_woken(int n)
{
	until(&w->woken, n);
	usleep(60000);
	cr_assert_eq(w->woken, n);
}

/* --- CPython's ---------------------------------------------------------------------------------- */

static int time_out_then_sleep(struct world *v)
{
	T_CHECK(mp_rlock_acquire(&v->lock, T_TIMEOUT_MS / 2) == 0);
	T_CHECK(mp_condition_wait(&v->condition, &v->lock, 50) == -ETIMEDOUT);
	v->timed_out++;
	T_CHECK(mp_rlock_release(&v->lock) == 0);
	return sleep_once(v);
}

EACH_METHOD_AND_THREAD(condition, test_notify)
{
	setup();
	mp_process *a = start_body(method, sleep_once, sizeof(*w));
	mp_process *b = start_body(MP_START_THREAD, sleep_once, sizeof(*w));
	until_sleeping(2);
	expect_woken(0);
	notify(1);
	expect_woken(1);
	notify(1);
	expect_woken(2);
	finish(a, 0);
	finish(b, 0);
	teardown();
}

EACH_METHOD_AND_THREAD(condition, test_notify_all)
{
	mp_process *p[6];

	setup();
	for (int i = 0; i < 6; i++)
		p[i] = start_body(
			i < 3 ? method : MP_START_THREAD, time_out_then_sleep, sizeof(*w));
	until_sleeping(6);
	cr_assert_eq(w->timed_out, 6);
	lock();
	T_OK(mp_condition_notify_all(&w->condition));
	unlock();
	for (int i = 0; i < 6; i++)
		finish(p[i], 0);
	cr_assert_eq(w->woken, 6);
	teardown();
}

EACH_METHOD_AND_THREAD(condition, test_notify_n)
{
	mp_process *p[6];

	setup();
	for (int i = 0; i < 6; i++)
		p[i] = start_body(i < 3 ? method : MP_START_THREAD, sleep_once, sizeof(*w));
	until_sleeping(6);
	expect_woken(0);
	notify(2);
	expect_woken(2);
	notify(4);
	expect_woken(6);
	notify(3);
	for (int i = 0; i < 6; i++)
		finish(p[i], 0);
	/* Nobody was there to be notified: it does not reach who comes later. */
	lock();
	T_RESULT(mp_condition_wait(&w->condition, &w->lock, 10), -ETIMEDOUT);
	unlock();
	teardown();
}

static int64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

Test(condition, test_timeout)
{
	setup();
	lock();
	int64_t begin = now_ms();
	T_RESULT(mp_condition_wait(&w->condition, &w->lock, 100), -ETIMEDOUT);
	cr_assert_geq(now_ms() - begin, 99);
	unlock();
	teardown();
}

static int state_is_0(void *arg)
{
	return ((struct world *)arg)->state == 0;
}

static int answer_waitfor(struct world *v)
{
	T_CHECK(mp_rlock_acquire(&v->lock, T_TIMEOUT_MS / 2) == 0);
	v->state = 0;
	T_CHECK(mp_condition_notify(&v->condition, 1) == 0);
	T_CHECK(mp_condition_wait_for(&v->condition, &v->lock, state_is_4, v, T_TIMEOUT_MS / 2) ==
		0);
	T_CHECK(v->state == 4);
	T_CHECK(mp_rlock_release(&v->lock) == 0);
	return 0;
}

EACH_METHOD_AND_THREAD(condition, test_waitfor)
{
	setup();
	w->state = -1;
	mp_process *p = start_body(method, answer_waitfor, sizeof(*w));
	lock();
	T_OK(mp_condition_wait_for(&w->condition, &w->lock, state_is_0, w, T_TIMEOUT_MS / 2));
	unlock();
	for (int i = 0; i < 4; i++) {
		lock();
		w->state++;
		T_OK(mp_condition_notify(&w->condition, 1));
		unlock();
	}
	finish(p, 0);
	teardown();
}

static int waitfor_in_vain(struct world *v)
{
	int64_t begin = now_ms();

	T_CHECK(mp_rlock_acquire(&v->lock, T_TIMEOUT_MS / 2) == 0);
	v->sleeping++;
	T_CHECK(mp_condition_wait_for(&v->condition, &v->lock, state_is_4, v, 150) == -ETIMEDOUT);
	T_CHECK(now_ms() - begin >= 149);
	v->woken++;
	T_CHECK(mp_rlock_release(&v->lock) == 0);
	return 0;
}

EACH_METHOD_AND_THREAD(condition, test_waitfor_timeout)
{
	setup();
	mp_process *p = start_body(method, waitfor_in_vain, sizeof(*w));
	until_sleeping(1);
	for (int i = 0; i < 3; i++)
		notify(1);
	finish(p, 0);
	cr_assert_eq(w->woken, 1);
	teardown();
}

EACH_METHOD_AND_THREAD(condition, test_wait_result)
{
	setup();
	lock();
	T_RESULT(mp_condition_wait(&w->condition, &w->lock, MP_NOWAIT), -EAGAIN);
	T_RESULT(mp_condition_wait(&w->condition, &w->lock, 20), -ETIMEDOUT);
	T_RESULT(mp_condition_wait_for(&w->condition, &w->lock, state_is_4, w, MP_NOWAIT), -EAGAIN);
	unlock();
	mp_process *p = start_body(method, sleep_once, sizeof(*w));
	until_sleeping(1);
	notify(1);
	finish(p, 0);
	teardown();
}

/* --- the rest ------------------------------------------------------------------------------------ */

static int ping_pong(struct world *v)
{
	for (int i = 0; i < 2000; i++) {
		T_CHECK(mp_lock_acquire(&v->plain, T_TIMEOUT_MS / 2) == 0);
		while (v->state % 2 == 0)
			T_CHECK(mp_condition_wait(&v->condition, &v->plain, T_TIMEOUT_MS / 2) == 0);
		v->state++;
		T_CHECK(mp_condition_notify(&v->condition, 1) == 0);
		T_CHECK(mp_lock_release(&v->plain) == 0);
	}
	return 0;
}

EACH_METHOD_AND_THREAD(condition, to_and_fro_with_a_plain_lock)
{
	setup();
	mp_process *p = start_body(method, ping_pong, sizeof(*w));
	for (int i = 0; i < 2000; i++) {
		T_OK(mp_lock_acquire(&w->plain, T_TIMEOUT_MS / 2));
		while (w->state % 2 == 1)
			T_OK(mp_condition_wait(&w->condition, &w->plain, T_TIMEOUT_MS / 2));
		w->state++;
		T_OK(mp_condition_notify(&w->condition, 1));
		T_OK(mp_lock_release(&w->plain));
	}
	finish(p, 0);
	cr_assert_eq(w->state, 4000);
	teardown();
}

static void *consume(void *arg)
{
	(void)arg;
	for (int i = 0; i < 500; i++) {
		T_CHECK(mp_lock_acquire(&w->plain, T_TIMEOUT_MS / 2) == 0);
		while (w->state == 0)
			T_CHECK(mp_condition_wait(&w->condition, &w->plain, T_TIMEOUT_MS / 2) == 0);
		w->state--;
		T_CHECK(mp_lock_release(&w->plain) == 0);
	}
	return NULL;
}

Test(condition, no_wake_up_is_lost_among_many)
{
	pthread_t threads[6];

	setup();
	for (int i = 0; i < 6; i++)
		cr_assert_eq(pthread_create(&threads[i], NULL, consume, NULL), 0);
	for (int i = 0; i < 6 * 500; i++) {
		T_OK(mp_lock_acquire(&w->plain, T_TIMEOUT_MS / 2));
		w->state++;
		T_OK(mp_lock_release(&w->plain));
		T_OK(mp_condition_notify(&w->condition, 1));
	}
	for (int i = 0; i < 6; i++)
		cr_assert_eq(pthread_join(threads[i], NULL), 0);
	cr_assert_eq(w->state, 0);
	teardown();
}

static int refuse(void *arg)
{
	(void)arg;
	return mp_error_set(-EACCES, "not today");
}

Test(condition, wrong_uses)
{
	static mp_condition never;
	static mp_lock no_lock;
	mp_condition *odd;
	mp_condition_options options = {.size = sizeof(options), .flags = 1};

	setup();
	odd = (mp_condition *)((char *)&w->condition + 4);
	T_RESULT(mp_condition_init(NULL, NULL), -EINVAL);
	T_RESULT(mp_condition_init(odd, NULL), -EINVAL);
	T_RESULT(mp_condition_init(&never, &options), -EINVAL);
	struct {
		mp_condition_options o;
		int more;
	} newer = {.o = {.size = sizeof(newer)}, .more = 1};
	T_RESULT(mp_condition_init(&never, &newer.o), -E2BIG);

	T_OK(mp_lock_acquire(&w->plain, MP_NOWAIT));
	mp_condition *const wrong[] = {NULL, odd, &never, (mp_condition *)(void *)&w->lock};
	for (int i = 0; i < 4; i++) {
		T_RESULT(mp_condition_wait(wrong[i], &w->plain, MP_NOWAIT), -EINVAL);
		T_RESULT(mp_condition_wait_for(wrong[i], &w->plain, state_is_4, w, 1), -EINVAL);
		T_RESULT(mp_condition_notify(wrong[i], 1), -EINVAL);
		T_RESULT(mp_condition_notify_all(wrong[i]), -EINVAL);
		T_RESULT(mp_condition_destroy(wrong[i]), -EINVAL);
	}
	T_RESULT(mp_condition_wait(&w->condition, &w->lock, MP_NOWAIT), -EPERM);
	T_RESULT(mp_condition_wait_for(&w->condition, &w->lock, state_is_0, w, 1), -EPERM);
	T_RESULT(mp_condition_wait(&w->condition, &no_lock, MP_NOWAIT), -EINVAL);
	T_RESULT(mp_condition_wait(&w->condition, (mp_lock *)NULL, MP_NOWAIT), -EINVAL);
	T_RESULT(mp_condition_wait_for(&w->condition, &w->plain, NULL, w, 1), -EINVAL);
	T_RESULT(mp_condition_wait_for(&w->condition, &w->plain, refuse, w, 1), -EACCES);
	T_RESULT(mp_condition_notify(&w->condition, -1), -EINVAL);
	T_OK(mp_condition_notify(&w->condition, 0));
	/* After all that the lock is held. */
	T_OK(mp_lock_release(&w->plain));
	teardown();
}

/* As if a signal handler had interrupted this thread inside. */
Test(condition, a_call_inside_a_call)
{
	uint64_t *guard;

	setup();
	guard = (uint64_t *)(void *)&w->condition + 4;
	lock();
	*guard = mp__stamp_self();
	T_RESULT(mp_condition_wait(&w->condition, &w->lock, MP_FOREVER), -EDEADLK);
	T_RESULT(mp_condition_notify(&w->condition, 1), -EDEADLK);
	T_RESULT(mp_condition_notify_all(&w->condition), -EDEADLK);
	T_RESULT(mp_condition_destroy(&w->condition), -EDEADLK);
	*guard = 0;
	unlock();
	teardown();
}

static int wait_until_destroyed(void *arg)
{
	(void)arg;
	T_CHECK(mp_rlock_acquire(&w->lock, T_TIMEOUT_MS / 2) == 0);
	w->sleeping++;
	int r = mp_condition_wait(&w->condition, &w->lock, T_TIMEOUT_MS / 2);
	T_CHECK(r == (w->state == DESTROYED ? -EINVAL : 0));
	T_CHECK(mp_rlock_release(&w->lock) == 0);
	return 0;
}

/* Who shows no life for half a second, as on a machine that has no time for it, counts as dead. */
Test(condition, destroy_while_somebody_waits)
{
	int r;

	do {
		setup();
		struct t_child child = t_spawn(wait_until_destroyed, NULL);
		until_sleeping(1);
		lock();
		w->state = DESTROYED;
		r = mp_condition_destroy(&w->condition);
		if (r != 0)
			w->state = 0;
		unlock();
		if (r != 0) {
			T_RESULT(r, -EBUSY);
			notify(1);
		}
		t_expect_exit(&child, 0);
		if (r != 0)
			teardown();
		else
			free_world(w, sizeof(*w));
	} while (r == 0);
}

/* --- objects of their own, and damage --------------------------------------------------------------- */

static int notify_given(int argc, const mp_obj *argv)
{
	mp_condition *c = mp_obj_condition(&argv[0]);

	(void)argc;
	T_CHECK(c && mp_obj_condition(&argv[1]) == NULL);
	T_CHECK(mp_condition_notify_all(c) == 0);
	return 0;
}

EACH_METHOD_AND_THREAD(condition, one_of_its_own_travels)
{
	mp_condition *c;

	setup();
	T_OK(mp_condition_new(MP_CONDITION_OPTIONS(.name = "traveller"), &c));
	lock();
	mp_process *p = start(notify_given, MP_ARGS(mp_handle(c), mp_i64(1)), BY(method));
	/* It may have notified before. */
	int r = mp_condition_wait(c, &w->lock, 300);
	cr_assert(r == 0 || r == -ETIMEDOUT);
	unlock();
	finish(p, 0);
	cr_assert_eq(mp_condition_ref(c), c);
	mp_condition_close(c);
	T_OK(mp_condition_notify(c, 1));
	T_OK(mp_condition_destroy(c));
	mp_condition_close(c);
	teardown();
}

static int make_without_descriptors(void *argument)
{
	struct rlimit none = {0};
	mp_condition *c;

	(void)argument;
	T_CHECK(setrlimit(RLIMIT_NOFILE, &none) == 0);
	T_CHECK(mp_condition_new(NULL, &c) == -EMFILE);
	return 0;
}

Test(condition, new_ones_that_cannot_be)
{
	mp_condition inside;

	T_RESULT(mp_condition_new(NULL, NULL), -EINVAL);
	mp_condition_close(NULL);
	cr_assert_null(mp_condition_ref(NULL));
	T_OK(mp_condition_init(&inside, NULL));
	mp_condition_close(&inside);
	T_OK(mp_condition_notify(mp_condition_ref(&inside), 1));
	mp_obj handle = mp_handle(&inside);
	cr_assert_eq(handle.type, MP_TYPE_NIL);
	cr_assert_null(mp_obj_condition(&handle));
	struct t_child child = t_spawn(make_without_descriptors, NULL);
	t_expect_exit(&child, 0);
}

static body *const bodies[] = {
	sleep_once, time_out_then_sleep, answer_waitfor, waitfor_in_vain, ping_pong, NULL};
