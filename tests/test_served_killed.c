/* SPDX-License-Identifier: MIT */
/* Killed while it holds, waits for, or has set what managerd serves: the others go on. */
#include <config.h>

#include "tests/support/daemon.h"

#include <mp.h>
#include <signal.h>

T_SUITE(served_killed);

#define LONG_MS 60000

static mp_manager *m;
static mp_proxy *object;
static int takes; /* how often */
static int (*take_it)(mp_proxy *);
static int (*give_it)(mp_proxy *);

static int take_lock(mp_proxy *p)
{
	return mp_served_lock_acquire(p, LONG_MS, NULL);
}

static int take_rlock(mp_proxy *p)
{
	return mp_served_rlock_acquire(p, LONG_MS, NULL);
}

static int take_permit(mp_proxy *p)
{
	return mp_served_semaphore_acquire(p, LONG_MS);
}

static int take_condition(mp_proxy *p)
{
	return mp_served_condition_acquire(p, LONG_MS);
}

static int hold(void *unused)
{
	(void)unused;
	for (int i = 0; i < takes; i++)
		T_CHECK(take_it(object) == 0);
	t_ready();
	t_hang();
}

static int wait_for_it(void *unused)
{
	(void)unused;
	t_ready();
	(void)take_it(object);
	t_hang();
}

/*
 * One holds it, that often, and dies; another one waits for it and dies; then it is here, with this
 * result, and is given as before.
 */
static void kill_holder_and_waiter(
	int (*take)(mp_proxy *), int (*give)(mp_proxy *), int times, int news)
{
	take_it = take;
	give_it = give;
	takes = times;
	struct t_child holder = t_spawn(hold, NULL);
	t_wait_ready(&holder);
	struct t_child waiter = t_spawn(wait_for_it, NULL);
	t_wait_ready(&waiter);
	t_kill(&waiter, SIGKILL);
	t_kill(&holder, SIGKILL);
	T_RESULT(take_it(object), news);
	/* The next waiter dies while it is held by somebody living. */
	waiter = t_spawn(wait_for_it, NULL);
	t_wait_ready(&waiter);
	t_kill(&waiter, SIGKILL);
	T_OK(give_it(object));
	int r = take_it(object);
	/* If the dead one was given it for a moment. */
	cr_assert(r == 0 || r == news, "%d", r);
	T_OK(give_it(object));
	T_OK(take_it(object));
	T_OK(give_it(object));
	mp_proxy_close(object);
	mp_manager_close(m);
}

Test(served_killed, killed_with_a_lock)
{
	m = t_manager();
	T_OK(mp_manager_lock(m, NULL, &object));
	kill_holder_and_waiter(take_lock, mp_served_lock_release, 1, MP_OWNER_DIED);
}

/* However deep it was: it is held once by the next one. */
Test(served_killed, killed_with_an_rlock)
{
	m = t_manager();
	T_OK(mp_manager_rlock(m, NULL, &object));
	kill_holder_and_waiter(take_rlock, mp_served_rlock_release, 3, MP_OWNER_DIED);
}

Test(served_killed, killed_with_permits)
{
	m = t_manager();
	T_OK(mp_manager_semaphore(m, NULL, 1, &object));
	kill_holder_and_waiter(take_permit, mp_served_semaphore_release, 1, 0);
}

Test(served_killed, killed_with_all_permits_of_a_bounded_semaphore)
{
	m = t_manager();
	T_OK(mp_manager_bounded_semaphore(m, NULL, 1, &object));
	kill_holder_and_waiter(take_permit, mp_served_semaphore_release, 1, 0);
}

Test(served_killed, killed_with_the_lock_of_a_condition)
{
	m = t_manager();
	T_OK(mp_manager_condition(m, NULL, NULL, &object));
	kill_holder_and_waiter(take_condition, mp_served_condition_release, 2, MP_OWNER_DIED);
}

static int wait_for_event(void *event)
{
	t_ready();
	return mp_served_event_wait(event, LONG_MS);
}

static int set_and_hang(void *event)
{
	T_CHECK(mp_served_event_set(event) == 0);
	t_ready();
	t_hang();
}

Test(served_killed, killed_while_it_waits_for_an_event_or_has_set_it)
{
	mp_proxy *event;

	m = t_manager();
	T_OK(mp_manager_event(m, NULL, &event));
	struct t_child living = t_spawn(wait_for_event, event);
	struct t_child dead = t_spawn(wait_for_event, event);
	t_wait_ready(&living);
	t_wait_ready(&dead);
	t_kill(&dead, SIGKILL);
	struct t_child setter = t_spawn(set_and_hang, event);
	t_wait_ready(&setter);
	t_kill(&setter, SIGKILL);
	t_expect_exit(&living, 0);
	T_RESULT(mp_served_event_is_set(event), 1);
	mp_proxy_close(event);
	mp_manager_close(m);
}
