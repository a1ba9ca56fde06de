/* SPDX-License-Identifier: MIT */
/* Conditions between processes and threads: CPython's tests, wrong uses, and what the dead leave. */
#include <config.h>

#include "tests/support/world.h"

#include "base/stamp.h"

#include <mp/condition.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <sys/resource.h>
#include <sys/wait.h>

T_SUITE(condition);

struct world {
	mp_condition condition;
	mp_rlock lock;
	mp_lock plain;
	atomic_int sleeping;
	atomic_int woken;
	atomic_int timed_out;
	int state;
};

#define DESTROYED 77 /* a state */

static struct world *w; /* in the test and in its forked children */

static void setup(void)
{
	w = new_world(sizeof(struct world));
	T_OK(mp_condition_init(&w->condition, MP_CONDITION_OPTIONS(.name = "changed")));
	T_OK(mp_rlock_init(&w->lock, NULL));
	T_OK(mp_lock_init(&w->plain, NULL));
}

static void teardown(void)
{
	T_OK(mp_condition_destroy(&w->condition));
	T_OK(mp_rlock_destroy(&w->lock));
	T_OK(mp_lock_destroy(&w->plain));
	free_world(w, sizeof(*w));
}

static void lock(void)
{
	int r = mp_rlock_acquire(&w->lock, T_TIMEOUT_MS / 2);

	cr_assert(r == 0 || r == MP_OWNER_DIED);
}

static void unlock(void)
{
	T_OK(mp_rlock_release(&w->lock));
}

static void until(atomic_int *counter, int n)
{
	while (*counter < n)
		sched_yield();
}

/*
 * Until n threads sleep. They say so with the lock held, which wait gives back only when they are
 * waiters: so who then has the lock knows it.
 */
static void until_sleeping(int n)
{
	until(&w->sleeping, n);
	lock();
	unlock();
}

static void notify(int n)
{
	lock();
	T_OK(mp_condition_notify(&w->condition, n));
	unlock();
}

/* None of those who were not to be woken is, however long one waits; a moment is what can be had. */
static void expect_woken(int n)
{
	until(&w->woken, n);
	usleep(60000);
	cr_assert_eq(w->woken, n);
}

/* --- CPython's ---------------------------------------------------------------------------------- */

static int sleep_once(struct world *v)
{
	T_CHECK(mp_rlock_acquire(&v->lock, T_TIMEOUT_MS / 2) == 0);
	T_CHECK(mp_rlock_acquire(&v->lock, T_TIMEOUT_MS / 2) == 0);
	v->sleeping++;
	T_CHECK(mp_condition_wait(&v->condition, &v->lock, T_TIMEOUT_MS / 2) == 0);
	v->woken++;
	T_CHECK(mp_rlock_release(&v->lock) == 0);
	T_CHECK(mp_rlock_release(&v->lock) == 0);
	T_CHECK(mp_rlock_release(&v->lock) == -EPERM);
	return 0;
}

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

static int state_is_4(void *arg)
{
	return ((struct world *)arg)->state == 4;
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

/* --- deaths -------------------------------------------------------------------------------------- */

static int sleep_and_be_killed(void *arg)
{
	(void)arg;
	return sleep_once(w);
}

/* gh-75158: in Python this notify_all() never returns. */
Test(condition, a_killed_waiter_costs_nobody_anything)
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

Test(condition, waiter_killed_at_each_step)
{
	kill_waiter_at_each("kill");
}

Test(condition, waiter_stopped_and_killed_at_each_step)
{
	kill_waiter_at_each("stop");
}

Test(condition, waiter_exits_at_each_step)
{
	kill_waiter_at_each("exit");
}

/* The one permit was for a waiter that dies before it has the lock back: the other one takes it. */
Test(condition, a_permit_that_was_not_taken_goes_to_another)
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

Test(condition, notifier_killed_at_each_step)
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

Test(condition, death_of_the_lock_s_holder_is_news)
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

Test(condition, nobody_waits_longer_for_who_is_stopped)
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
	T_RESULT(mp_condition_notify(&w->condition, 1), -ETIMEDOUT);
	unlock();
	kill(stopped.pid, SIGCONT);
	t_expect_exit(&stopped, 0);
	teardown();
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

Test(condition, damage_is_an_error_or_a_bounded_wait)
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

static body *const bodies[] = {
	sleep_once, time_out_then_sleep, answer_waitfor, waitfor_in_vain, ping_pong, NULL};
