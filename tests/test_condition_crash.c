/* SPDX-License-Identifier: MIT */
/* Conditions whose waiters and notifiers are killed, at every step, or stopped; and damaged ones. */
#include <config.h>

#include "tests/support/conditions.h"

#include "base/fds.h"
#include "base/stamp.h"
#include "shm/guard.h"

#include <poll.h>
#include <sys/wait.h>

T_SUITE(condition_crash);

static body *const bodies[] = {NULL};

static int sleep_and_be_killed(void *arg)
{
	(void)arg;
	return sleep_once(w);
}

/* gh-75158: in Python this notify_all() never returns. */
Test(condition_crash, a_killed_waiter_costs_nobody_anything)
{
	setup();
	struct t_child victim = t_spawn(sleep_and_be_killed, NULL);
	struct t_child other = t_spawn(sleep_and_be_killed, NULL);
	until_sleeping(2);
	t_kill(&victim, SIGKILL);
	lock();
	T_OK(mp_condition_notify_all(&w->condition));
	unlock();
	t_expect_exit(&other, 0);
	teardown(); /* destroy sees that nobody is left */
}

static int consume_one(void *arg)
{
	int r = mp_rlock_acquire(&w->lock, T_TIMEOUT_MS / 2);

	(void)arg;
	w->sleeping++;
	while (r >= 0 && w->state == 0)
		r = mp_condition_wait(&w->condition, &w->lock, T_TIMEOUT_MS / 2);
	T_CHECK(r >= 0);
	w->state--;
	w->woken++;
	T_CHECK(mp_rlock_release(&w->lock) == 0);
	return 0;
}

/*
 * One waiter is killed at this point of its wait; the other one must get what is produced, with one
 * notify for it.
 */
static void kill_waiter_at(const char *point, const char *action)
{
	siginfo_t info = {0};

	setup();
	struct t_child survivor = t_spawn(consume_one, NULL);
	until_sleeping(1);
	t_arm(point, action);
	struct t_child victim = t_spawn(consume_one, NULL);
	/* It dies on its way in, or asleep, or when it is woken. */
	while (mp__fd_wait(victim.pidfd, POLLIN, mp__deadline_in(1)) != 0) {
		if (strcmp(action, "stop") == 0 &&
			waitid(P_PID, (id_t)victim.pid, &info, WSTOPPED | WNOHANG) == 0 &&
			info.si_pid == victim.pid) {
			kill(victim.pid, SIGKILL);
			break;
		}
		if (w->sleeping < 2)
			continue;
		int r = mp_rlock_acquire(&w->lock, 1);
		if (r < 0)
			continue;
		/* Both are woken, with nothing to find. */
		T_OK(mp_condition_notify_all(&w->condition));
		unlock();
	}
	if (strcmp(action, "exit") == 0)
		t_expect_exit(&victim, 86);
	else
		t_expect_signal(&victim, SIGKILL);
	cr_assert(t_fired(), "%s was not reached", point);
	t_disarm();
	lock();
	w->state = 1;
	T_OK(mp_condition_notify(&w->condition, 1));
	unlock();
	t_expect_exit(&survivor, 0);
	cr_assert_eq(w->woken, 1);
	teardown();
}

static const char *const waiter_points[] = {"condition.counted", "condition.ticket",
	"condition.queued", "condition.released", "condition.before_sleep", "condition.woken",
	"condition.retaken", "condition.took", "condition.left"};

static void kill_waiter_at_each(const char *action)
{
	for (size_t i = 0; i < sizeof(waiter_points) / sizeof(waiter_points[0]); i++)
		kill_waiter_at(waiter_points[i], action);
}

Test(condition_crash, waiter_killed_at_each_step)
{
	kill_waiter_at_each("kill");
}

Test(condition_crash, waiter_stopped_and_killed_at_each_step)
{
	kill_waiter_at_each("stop");
}

Test(condition_crash, waiter_exits_at_each_step)
{
	kill_waiter_at_each("exit");
}

/* The one permit was for a waiter that dies before it has the lock back: the other one takes it. */
Test(condition_crash, a_permit_that_was_not_taken_goes_to_another)
{
	static const char *const points[] = {"condition.woken", "lock.took_back"};

	for (int i = 0; i < 2; i++) {
		setup();
		t_arm(points[i], "kill");
		struct t_child children[2] = {
			t_spawn(consume_one, NULL), t_spawn(consume_one, NULL)};
		until_sleeping(2);
		lock();
		w->state = 2;
		T_OK(mp_condition_notify(&w->condition, 1));
		unlock();
		int killed = 0;
		for (int k = 0; k < 2; k++) {
			siginfo_t info = {0};
			t_wait_pidfd(children[k].pidfd);
			cr_assert(waitid(P_PIDFD, (id_t)children[k].pidfd, &info, WEXITED) == 0);
			killed += info.si_code == CLD_KILLED;
			close(children[k].pidfd);
			close(children[k].ready);
		}
		cr_assert(t_fired());
		t_disarm();
		cr_assert_eq(killed, 1);
		cr_assert_eq(w->woken, 1);
		teardown();
	}
}

static int produce_one(void *arg)
{
	(void)arg;
	T_CHECK(mp_rlock_acquire(&w->lock, T_TIMEOUT_MS / 2) == 0);
	w->state = 1;
	T_CHECK(mp_rlock_release(&w->lock) == 0);
	mp_condition_notify(&w->condition, 1);
	return 1;
}

static void kill_notifier_at(const char *point, bool notified)
{
	setup();
	struct t_child waiter = t_spawn(consume_one, NULL);
	until_sleeping(1);
	t_arm(point, "kill");
	struct t_child notifier = t_spawn(produce_one, NULL);
	t_expect_signal(&notifier, SIGKILL);
	cr_assert(t_fired());
	t_disarm();
	if (!notified)
		notify(1);
	t_expect_exit(&waiter, 0);
	teardown();
}

Test(condition_crash, notifier_killed_at_each_step)
{
	kill_notifier_at("condition.limited", false);
	kill_notifier_at("condition.notified", true);
	kill_notifier_at("condition.before_bell", true);
}

static int die_with_the_lock(void *arg)
{
	(void)arg;
	T_CHECK(mp_rlock_acquire(&w->lock, T_TIMEOUT_MS / 2) == 0);
	T_CHECK(mp_condition_notify(&w->condition, 1) == 0);
	raise(SIGKILL);
	return 1;
}

static int hear_of_the_death(void *arg)
{
	(void)arg;
	T_CHECK(mp_rlock_acquire(&w->lock, T_TIMEOUT_MS / 2) == 0);
	w->sleeping++;
	T_CHECK(mp_condition_wait_for(&w->condition, &w->lock, state_is_4, w, T_TIMEOUT_MS / 2) ==
		MP_OWNER_DIED);
	T_CHECK(mp_rlock_release(&w->lock) == 0);
	return 0;
}

Test(condition_crash, death_of_the_lock_s_holder_is_news)
{
	setup();
	struct t_child waiter = t_spawn(hear_of_the_death, NULL);
	until_sleeping(1);
	struct t_child holder = t_spawn(die_with_the_lock, NULL);
	t_expect_signal(&holder, SIGKILL);
	t_expect_exit(&waiter, 0);
	teardown();
}

static int notify_once(void *arg)
{
	(void)arg;
	mp_condition_notify(&w->condition, 1);
	return 0;
}

Test(condition_crash, nobody_waits_longer_for_who_is_stopped)
{
	siginfo_t info = {0};

	setup();
	t_arm("condition.notified", "stop");
	struct t_child stopped = t_spawn(notify_once, NULL);
	cr_assert(waitid(P_PID, (id_t)stopped.pid, &info, WSTOPPED) == 0);
	t_disarm();
	lock();
	T_RESULT(mp_condition_wait(&w->condition, &w->lock, 50), -ETIMEDOUT);
	T_RESULT(mp_condition_wait(&w->condition, &w->lock, MP_NOWAIT), -EAGAIN);
	mp__guard_patience_ns = INT64_C(2000000000);
	T_RESULT(mp_condition_notify(&w->condition, 1), -ETIMEDOUT);
	unlock();
	kill(stopped.pid, SIGCONT);
	t_expect_exit(&stopped, 0);
	teardown();
}

Test(condition_crash, damage_is_an_error_or_a_bounded_wait)
{
	mp_condition c;
	uint64_t *words = (uint64_t *)(void *)&c;
	unsigned seed = 1;
	mp_lock lock;

	T_OK(mp_lock_init(&lock, NULL));
	T_OK(mp_lock_acquire(&lock, MP_NOWAIT));
	for (int round = 0; round < 200; round++) {
		T_OK(mp_condition_init(&c, NULL));
		/* Word 0 is the magic, word 4 the guard: garbage there is a process elsewhere. */
		for (int i = 0; i < 1 + round % 4; i++)
			words[5 + (size_t)rand_r(&seed) % 7] =
				(uint64_t)rand_r(&seed) << 33 ^ (uint64_t)rand_r(&seed);
		if (round % 4 == 0)
			words[4] = mp__stamp_self() ^ UINT64_C(1) << 40; /* of one who is dead */
		mp_condition_notify(&c, 1);
		mp_condition_wait(&c, &lock, 1);
		mp_condition_wait(&c, &lock, MP_NOWAIT);
		mp_condition_wait_for(&c, &lock, state_is_4, &(struct world){0}, 1);
		mp_condition_notify_all(&c);
		T_RESULT(mp_lock_release(&lock), 0);
		T_OK(mp_lock_acquire(&lock, MP_NOWAIT));
	}
}
