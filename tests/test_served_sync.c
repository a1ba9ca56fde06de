/* SPDX-License-Identifier: MIT */
/*
 * Served events, semaphores, barriers and conditions. Where CPython tests the same, the test has its
 * name.
 */
#include <config.h>

#include "tests/support/daemon.h"

#include <mp.h>
#include <pthread.h>
#include <sched.h>

T_SUITE(served_event);
T_SUITE(served_semaphore);
T_SUITE(served_barrier);
T_SUITE(served_condition);

#define LONG_MS 60000

/* --- event ------------------------------------------------------------------------------------ */

static int wait_for_event(void *argument)
{
	t_ready();
	return -mp_served_event_wait(argument, LONG_MS);
}

Test(served_event, test_event)
{
	mp_manager *m = t_manager();
	mp_proxy *event;

	T_OK(mp_manager_event(m, "e", &event));
	T_RESULT(mp_served_event_is_set(event), 0);
	T_RESULT(mp_served_event_wait(event, MP_NOWAIT), -EAGAIN);
	T_RESULT(mp_served_event_wait(event, 10), -ETIMEDOUT);
	T_OK(mp_served_event_set(event));
	T_RESULT(mp_served_event_is_set(event), 1);
	T_OK(mp_served_event_wait(event, MP_NOWAIT));
	T_OK(mp_served_event_wait(event, MP_FOREVER));
	T_OK(mp_served_event_clear(event));
	T_RESULT(mp_served_event_is_set(event), 0);
	struct t_child child = t_spawn(wait_for_event, event);
	t_wait_ready(&child);
	T_OK(mp_served_event_set(event));
	t_expect_exit(&child, 0);
	mp_proxy_close(event);
	mp_manager_close(m);
}

Test(served_event, mistakes_have_their_errors)
{
	mp_manager *m = t_manager();
	mp_proxy *lock;
	mp_proxy *p;

	T_OK(mp_manager_lock(m, "l", &lock));
	T_RESULT(mp_manager_event(NULL, NULL, &p), -EINVAL);
	T_RESULT(mp_manager_event(m, NULL, NULL), -EINVAL);
	T_RESULT(mp_manager_event(m, "l", &p), -EEXIST);
	T_RESULT(mp_manager_event(m, "\xff", &p), -EILSEQ);
	T_RESULT(mp_served_event_set(lock), -EINVAL);
	T_RESULT(mp_served_event_wait(NULL, 0), -EINVAL);
	mp_proxy_close(lock);
	mp_manager_close(m);
}

/* --- semaphore -------------------------------------------------------------------------------- */

/* CPython's _test_semaphore: of either kind. */
static void use_semaphore(mp_proxy *s)
{
	T_RESULT(mp_served_semaphore_value(s), 2);
	T_OK(mp_served_semaphore_acquire(s, MP_FOREVER));
	T_RESULT(mp_served_semaphore_value(s), 1);
	T_OK(mp_served_semaphore_acquire(s, MP_FOREVER));
	T_RESULT(mp_served_semaphore_value(s), 0);
	T_RESULT(mp_served_semaphore_acquire(s, MP_NOWAIT), -EAGAIN);
	T_RESULT(mp_served_semaphore_acquire(s, 10), -ETIMEDOUT);
	T_OK(mp_served_semaphore_release(s));
	T_RESULT(mp_served_semaphore_value(s), 1);
	T_OK(mp_served_semaphore_release(s));
	T_RESULT(mp_served_semaphore_value(s), 2);
}

Test(served_semaphore, test_semaphore)
{
	mp_manager *m = t_manager();
	mp_proxy *s;

	T_OK(mp_manager_semaphore(m, NULL, 2, &s));
	use_semaphore(s);
	T_OK(mp_served_semaphore_release(s));
	T_RESULT(mp_served_semaphore_value(s), 3);
	T_OK(mp_served_semaphore_release_n(s, 4));
	T_RESULT(mp_served_semaphore_value(s), 7);
	T_RESULT(mp_served_semaphore_release_n(s, INT32_MAX), -EOVERFLOW);
	T_RESULT(mp_served_semaphore_value(s), 7);
	mp_proxy_close(s);
	mp_manager_close(m);
}

Test(served_semaphore, test_bounded_semaphore)
{
	mp_manager *m = t_manager();
	mp_proxy *s;

	T_OK(mp_manager_bounded_semaphore(m, "b", 2, &s));
	use_semaphore(s);
	T_RESULT(mp_served_semaphore_release(s), -EOVERFLOW);
	T_OK(mp_served_semaphore_acquire(s, 0));
	T_RESULT(mp_served_semaphore_release_n(s, 2), -EOVERFLOW);
	T_RESULT(mp_served_semaphore_value(s), 1);
	mp_proxy_close(s);
	mp_manager_close(m);
}

static int take_two_and_hang(void *argument)
{
	T_CHECK(mp_served_semaphore_acquire(argument, LONG_MS) == 0);
	T_CHECK(mp_served_semaphore_acquire(argument, LONG_MS) == 0);
	t_ready();
	t_hang();
}

Test(served_semaphore, permits_of_the_dead_come_back)
{
	mp_manager *m = t_manager();
	mp_proxy *s;

	T_OK(mp_manager_bounded_semaphore(m, NULL, 2, &s));
	struct t_child child = t_spawn(take_two_and_hang, s);
	t_wait_ready(&child);
	T_RESULT(mp_served_semaphore_acquire(s, MP_NOWAIT), -EAGAIN);
	t_kill(&child, SIGKILL);
	T_OK(mp_served_semaphore_acquire(s, LONG_MS));
	T_OK(mp_served_semaphore_acquire(s, LONG_MS));
	T_RESULT(mp_served_semaphore_value(s), 0);
	T_OK(mp_served_semaphore_release_n(s, 2));
	mp_proxy_close(s);
	mp_manager_close(m);
}

/* What was given back by somebody else does not come back once more. */
Test(served_semaphore, a_permit_that_another_gave_back_is_not_counted_twice)
{
	mp_manager *m = t_manager();
	mp_proxy *s;
	mp_proxy *ownerless;

	T_OK(mp_manager_semaphore(m, "s", 2, &s));
	struct t_child child = t_spawn(take_two_and_hang, s);
	t_wait_ready(&child);
	T_OK(mp_served_semaphore_release(s));
	T_RESULT(mp_served_semaphore_value(s), 1);
	t_kill(&child, SIGKILL);
	T_OK(mp_served_semaphore_acquire(s, LONG_MS));
	T_OK(mp_served_semaphore_acquire(s, LONG_MS));
	T_RESULT(mp_served_semaphore_acquire(s, 20), -ETIMEDOUT);

	T_OK(mp_manager_open(m, "semaphore", NULL, MP_LIST(mp_i64(2), mp_bool(true)), &ownerless));
	child = t_spawn(take_two_and_hang, ownerless);
	t_wait_ready(&child);
	t_kill(&child, SIGKILL);
	T_RESULT(mp_served_semaphore_acquire(ownerless, 20), -ETIMEDOUT);
	mp_proxy_close(s);
	mp_proxy_close(ownerless);
	mp_manager_close(m);
}

struct crowd {
	mp_proxy *semaphore;
	_Atomic int inside;
	_Atomic int most;
};

static void *enter_and_leave(void *argument)
{
	struct crowd *crowd = argument;

	for (int i = 0; i < 50; i++) {
		T_OK(mp_served_semaphore_acquire(crowd->semaphore, LONG_MS));
		int inside = ++crowd->inside;
		if (inside > crowd->most)
			crowd->most = inside;
		sched_yield();
		crowd->inside--;
		T_OK(mp_served_semaphore_release(crowd->semaphore));
	}
	return NULL;
}

Test(served_semaphore, no_more_than_the_permits_are_inside)
{
	mp_manager *m = t_manager();
	struct crowd crowd = {0};
	pthread_t threads[5];

	T_OK(mp_manager_semaphore(m, NULL, 2, &crowd.semaphore));
	for (int i = 0; i < 5; i++)
		pthread_create(&threads[i], NULL, enter_and_leave, &crowd);
	for (int i = 0; i < 5; i++)
		pthread_join(threads[i], NULL);
	cr_assert(crowd.most >= 1 && crowd.most <= 2);
	T_RESULT(mp_served_semaphore_value(crowd.semaphore), 2);
	mp_proxy_close(crowd.semaphore);
	mp_manager_close(m);
}

Test(served_semaphore, mistakes_have_their_errors)
{
	mp_manager *m = t_manager();
	mp_proxy *lock;
	mp_proxy *s;

	T_OK(mp_manager_lock(m, "l", &lock));
	T_OK(mp_manager_semaphore(m, "s", 1, &s));
	T_RESULT(mp_manager_semaphore(NULL, NULL, 1, &s), -EINVAL);
	T_RESULT(mp_manager_bounded_semaphore(m, NULL, 1, NULL), -EINVAL);
	T_RESULT(mp_manager_semaphore(m, "x", -1, &lock), -EINVAL);
	T_RESULT(mp_manager_semaphore(m, "x", (int64_t)INT32_MAX + 1, &lock), -EOVERFLOW);
	T_RESULT(mp_manager_bounded_semaphore(m, "s", 1, &lock), -EEXIST);
	T_RESULT(mp_manager_semaphore(m, "\xff", 1, &lock), -EILSEQ);
	T_RESULT(mp_served_semaphore_release_n(s, 0), -EINVAL);
	T_RESULT(mp_served_semaphore_acquire(lock, 0), -EINVAL);
	T_RESULT(mp_served_semaphore_value(NULL), -EINVAL);
	mp_proxy_close(lock);
	mp_proxy_close(s);
	mp_manager_close(m);
}

/* --- barrier ---------------------------------------------------------------------------------- */

enum { PARTIES = 5 };

struct meeting {
	mp_proxy *barrier;
	_Atomic int order[PARTIES]; /* how often each was returned */
	_Atomic int results[2];     /* of threads that got an error: how many, and which */
};

static void *meet(void *argument)
{
	struct meeting *meeting = argument;

	for (int round = 0; round < 10; round++) {
		int order = mp_served_barrier_wait(meeting->barrier, LONG_MS);
		cr_assert(order >= 0 && order < PARTIES, "%d", order);
		meeting->order[order]++;
	}
	return NULL;
}

Test(served_barrier, test_barrier_10)
{
	mp_manager *m = t_manager();
	struct meeting meeting = {0};
	pthread_t threads[PARTIES];

	T_OK(mp_manager_barrier(m, NULL, PARTIES, &meeting.barrier));
	for (int i = 0; i < PARTIES; i++)
		pthread_create(&threads[i], NULL, meet, &meeting);
	for (int i = 0; i < PARTIES; i++)
		pthread_join(threads[i], NULL);
	for (int i = 0; i < PARTIES; i++)
		cr_assert(meeting.order[i] == 10);
	T_RESULT(mp_served_barrier_waiting(meeting.barrier), 0);
	T_RESULT(mp_served_barrier_parties(meeting.barrier), PARTIES);
	mp_proxy_close(meeting.barrier);
	mp_manager_close(m);
}

static void *wait_and_fail(void *argument)
{
	struct meeting *meeting = argument;

	meeting->results[1] = mp_served_barrier_wait(meeting->barrier, LONG_MS);
	meeting->results[0]++;
	return NULL;
}

static void wait_until_waiting(mp_proxy *barrier, int n)
{
	while (mp_served_barrier_waiting(barrier) < n)
		sched_yield();
}

Test(served_barrier, test_abort_and_reset)
{
	mp_manager *m = t_manager();
	struct meeting meeting = {0};
	pthread_t thread;

	T_OK(mp_manager_barrier(m, "b", 2, &meeting.barrier));
	pthread_create(&thread, NULL, wait_and_fail, &meeting);
	wait_until_waiting(meeting.barrier, 1);
	T_OK(mp_served_barrier_abort(meeting.barrier));
	pthread_join(thread, NULL);
	cr_assert(meeting.results[1] == -EPIPE);
	T_RESULT(mp_served_barrier_broken(meeting.barrier), 1);
	T_RESULT(mp_served_barrier_wait(meeting.barrier, LONG_MS), -EPIPE);
	T_OK(mp_served_barrier_reset(meeting.barrier));
	T_RESULT(mp_served_barrier_broken(meeting.barrier), 0);

	pthread_create(&thread, NULL, wait_and_fail, &meeting);
	wait_until_waiting(meeting.barrier, 1);
	T_OK(mp_served_barrier_reset(meeting.barrier));
	pthread_join(thread, NULL);
	cr_assert(meeting.results[1] == -ECANCELED);

	pthread_create(&thread, NULL, wait_and_fail, &meeting);
	wait_until_waiting(meeting.barrier, 1);
	T_RESULT(mp_served_barrier_wait(meeting.barrier, MP_NOWAIT), 1);
	pthread_join(thread, NULL);
	cr_assert(meeting.results[1] == 0);
	mp_proxy_close(meeting.barrier);
	mp_manager_close(m);
}

Test(served_barrier, test_timeout)
{
	mp_manager *m = t_manager();
	struct meeting meeting = {0};
	pthread_t thread;

	T_OK(mp_manager_barrier(m, NULL, 3, &meeting.barrier));
	pthread_create(&thread, NULL, wait_and_fail, &meeting);
	wait_until_waiting(meeting.barrier, 1);
	T_RESULT(mp_served_barrier_wait(meeting.barrier, MP_NOWAIT), -EAGAIN);
	T_RESULT(mp_served_barrier_broken(meeting.barrier), 0);
	T_RESULT(mp_served_barrier_wait(meeting.barrier, 10), -ETIMEDOUT);
	pthread_join(thread, NULL);
	cr_assert(meeting.results[1] == -EPIPE);
	mp_proxy_close(meeting.barrier);
	mp_manager_close(m);
}

static int wait_to_be_killed(void *argument)
{
	t_ready();
	return mp_served_barrier_wait(argument, LONG_MS);
}

Test(served_barrier, a_party_that_dies_inside_breaks_it)
{
	mp_manager *m = t_manager();
	mp_proxy *barrier;

	T_OK(mp_manager_barrier(m, NULL, 3, &barrier));
	struct t_child child = t_spawn(wait_to_be_killed, barrier);
	t_wait_ready(&child);
	wait_until_waiting(barrier, 1);
	t_kill(&child, SIGKILL);
	T_RESULT(mp_served_barrier_wait(barrier, LONG_MS), -EPIPE);
	cr_assert(strstr(mp_error_detail(), "has ended"), "%s", mp_error_detail());
	mp_proxy_close(barrier);
	mp_manager_close(m);
}

Test(served_barrier, mistakes_have_their_errors)
{
	mp_manager *m = t_manager();
	mp_proxy *b;
	mp_proxy *p;

	T_OK(mp_manager_barrier(m, "b", 1, &b));
	T_RESULT(mp_served_barrier_wait(b, MP_NOWAIT), 0);
	T_RESULT(mp_manager_barrier(NULL, NULL, 1, &p), -EINVAL);
	T_RESULT(mp_manager_barrier(m, NULL, 1, NULL), -EINVAL);
	T_RESULT(mp_manager_barrier(m, NULL, 0, &p), -EINVAL);
	T_RESULT(mp_manager_barrier(m, NULL, 1000001, &p), -EINVAL);
	T_RESULT(mp_manager_barrier(m, "\xff", 1, &p), -EILSEQ);
	T_RESULT(mp_manager_open(m, "barrier", NULL, mp_nil(), &p), -EINVAL);
	T_RESULT(mp_manager_event(m, "b", &p), -EEXIST);
	T_RESULT(mp_served_event_set(b), -EINVAL);
	T_RESULT(mp_served_barrier_wait(NULL, 0), -EINVAL);
	mp_proxy_close(b);
	mp_manager_close(m);
}

/* --- condition -------------------------------------------------------------------------------- */

struct shop {
	mp_proxy *condition;
	mp_proxy *lock; /* of the condition */
	int goods;      /* under the lock */
	_Atomic int waiting;
	_Atomic int served;
};

static int there_are_goods(void *argument)
{
	return ((struct shop *)argument)->goods > 0;
}

static void *buy(void *argument)
{
	struct shop *shop = argument;

	T_OK(mp_served_condition_acquire(shop->condition, LONG_MS));
	T_OK(mp_served_condition_acquire(shop->condition, LONG_MS)); /* twice as deep */
	shop->waiting++;
	T_OK(mp_served_condition_wait_for(shop->condition, there_are_goods, shop, LONG_MS));
	shop->goods--;
	shop->served++;
	T_OK(mp_served_condition_release(shop->condition));
	T_OK(mp_served_condition_release(shop->condition));
	T_RESULT(mp_served_condition_release(shop->condition), -EPERM);
	return NULL;
}

/* Who has the lock after all have counted themselves as waiting, knows that they wait. */
static void wait_for_buyers(struct shop *shop, int n)
{
	while (shop->waiting < n)
		sched_yield();
	T_OK(mp_served_condition_acquire(shop->condition, LONG_MS));
}

Test(served_condition, test_notify)
{
	mp_manager *m = t_manager();
	struct shop shop = {0};
	pthread_t threads[3];

	T_OK(mp_manager_condition(m, "c", NULL, &shop.condition));
	for (int i = 0; i < 3; i++)
		pthread_create(&threads[i], NULL, buy, &shop);
	wait_for_buyers(&shop, 3);
	shop.goods = 1;
	T_OK(mp_served_condition_notify(shop.condition, 1));
	T_OK(mp_served_condition_release(shop.condition));
	while (shop.served < 1)
		sched_yield();
	T_OK(mp_served_condition_acquire(shop.condition, LONG_MS));
	shop.goods = 2;
	T_OK(mp_served_condition_notify_all(shop.condition));
	T_OK(mp_served_condition_release(shop.condition));
	for (int i = 0; i < 3; i++)
		pthread_join(threads[i], NULL);
	cr_assert(shop.goods == 0 && shop.served == 3);
	mp_proxy_close(shop.condition);
	mp_manager_close(m);
}

static int never(void *argument)
{
	++*(int *)argument;
	return 0;
}

static int fails(void *argument)
{
	(void)argument;
	return -EIO;
}

Test(served_condition, test_timeout)
{
	mp_manager *m = t_manager();
	mp_proxy *c;
	int asked = 0;

	T_OK(mp_manager_condition(m, NULL, NULL, &c));
	T_RESULT(mp_served_condition_wait(c, 10), -EPERM);
	T_OK(mp_served_condition_acquire(c, MP_FOREVER));
	T_RESULT(mp_served_condition_wait(c, MP_NOWAIT), -EAGAIN);
	T_RESULT(mp_served_condition_wait(c, 10), -ETIMEDOUT);
	T_RESULT(mp_served_condition_wait_for(c, never, &asked, 10), -ETIMEDOUT);
	cr_assert(asked == 2);
	T_RESULT(mp_served_condition_wait_for(c, never, &asked, MP_NOWAIT), -EAGAIN);
	T_RESULT(mp_served_condition_wait_for(c, fails, NULL, LONG_MS), -EIO);
	/* The lock is held all the same. */
	T_OK(mp_served_condition_release(c));
	T_RESULT(mp_served_condition_release(c), -EPERM);
	mp_proxy_close(c);
	mp_manager_close(m);
}

/* Two conditions of one lock. */
Test(served_condition, a_lock_may_be_given)
{
	mp_manager *m = t_manager();
	mp_proxy *lock;
	mp_proxy *c;
	mp_proxy *d;

	T_OK(mp_manager_lock(m, NULL, &lock));
	T_OK(mp_manager_condition(m, "c", lock, &c));
	T_OK(mp_manager_condition(m, "d", lock, &d));
	T_OK(mp_served_lock_acquire(lock, MP_FOREVER, NULL));
	T_RESULT(mp_served_condition_acquire(c, MP_FOREVER), -EDEADLK);
	T_RESULT(mp_served_condition_wait(c, 10), -ETIMEDOUT);
	T_OK(mp_served_condition_release(d));
	T_RESULT(mp_served_lock_locked(lock), 0);
	mp_proxy_close(lock);
	mp_proxy_close(c);
	T_OK(mp_served_condition_acquire(d, MP_FOREVER));
	T_OK(mp_served_condition_release(d));
	mp_proxy_close(d);
	mp_manager_close(m);
}

static int notify_and_die(void *argument)
{
	mp_proxy *c = argument;

	T_CHECK(mp_served_condition_acquire(c, LONG_MS) == 0);
	T_CHECK(mp_served_condition_notify_all(c) == 0);
	t_ready();
	t_hang();
}

static void *wait_for_orphan(void *argument)
{
	struct shop *shop = argument;

	T_OK(mp_served_condition_acquire(shop->condition, LONG_MS));
	shop->waiting++;
	T_RESULT(mp_served_condition_wait(shop->condition, LONG_MS), MP_OWNER_DIED);
	T_OK(mp_served_condition_release(shop->condition));
	return NULL;
}

Test(served_condition, a_notifier_that_dies_with_the_lock_is_told_of)
{
	mp_manager *m = t_manager();
	struct shop shop = {0};
	pthread_t thread;

	T_OK(mp_manager_condition(m, NULL, NULL, &shop.condition));
	pthread_create(&thread, NULL, wait_for_orphan, &shop);
	wait_for_buyers(&shop, 1);
	T_OK(mp_served_condition_release(shop.condition));
	struct t_child child = t_spawn(notify_and_die, shop.condition);
	t_wait_ready(&child);
	t_kill(&child, SIGKILL);
	pthread_join(thread, NULL);
	mp_proxy_close(shop.condition);
	mp_manager_close(m);
}

Test(served_condition, mistakes_have_their_errors)
{
	mp_manager *m = t_manager();
	mp_proxy *event;
	mp_proxy *c;
	mp_proxy *p;

	T_OK(mp_manager_event(m, "e", &event));
	T_OK(mp_manager_condition(m, "c", NULL, &c));
	T_RESULT(mp_manager_condition(NULL, NULL, NULL, &p), -EINVAL);
	T_RESULT(mp_manager_condition(m, NULL, NULL, NULL), -EINVAL);
	T_RESULT(mp_manager_condition(m, NULL, event, &p), -EINVAL);
	T_RESULT(mp_manager_open(m, "condition", NULL, MP_LIST(mp_i64(1)), &p), -EINVAL);
	T_RESULT(mp_manager_condition(m, "e", NULL, &p), -EEXIST);
	T_RESULT(mp_manager_condition(m, "\xff", NULL, &p), -EILSEQ);
	T_RESULT(mp_served_condition_notify(c, -1), -EINVAL);
	T_RESULT(mp_served_condition_notify_all(event), -EINVAL);
	T_RESULT(mp_served_condition_wait_for(c, NULL, NULL, 0), -EINVAL);
	T_RESULT(mp_served_condition_wait(NULL, 0), -EINVAL);
	mp_proxy_close(event);
	mp_proxy_close(c);
	mp_manager_close(m);
}
