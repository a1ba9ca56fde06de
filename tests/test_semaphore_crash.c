/* SPDX-License-Identifier: MIT */
/* Processes that die with permits, and in the middle of getting, giving and waiting for them. */
#include <config.h>

#include "tests/support/support.h"

#include "base/deadline.h"
#include "sync/semaphore_layout.h"

#include <mp/semaphore.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/wait.h>

T_SUITE(semaphore_crash);

struct shared {
	mp_semaphore a;
	mp_semaphore b;
	_Atomic int count;
	_Atomic pid_t inside[8]; /* who holds a permit, as the test knows it */
	_Atomic int rounds;
	_Atomic bool stop;
};

static struct shared *s;

static void make_shared(int64_t value, bool bounded)
{
	s = mmap(NULL, sizeof(*s), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	cr_assert(s != MAP_FAILED);
	T_OK(mp_semaphore_init(&s->a, value, MP_SEMAPHORE_OPTIONS(.bounded = bounded)));
	T_OK(mp_semaphore_init(&s->b, 0, NULL));
}

/* --- who holds ------------------------------------------------------------------------------------- */

static int take_and_hang(void *argument)
{
	for (int i = 0; i < *(int *)argument; i++)
		T_CHECK(mp_semaphore_acquire(&s->a, MP_FOREVER) == 0);
	t_ready();
	t_hang();
}

static int take_and_leave(void *argument)
{
	for (int i = 0; i < *(int *)argument; i++)
		T_CHECK(mp_semaphore_acquire(&s->a, MP_FOREVER) == 0);
	return 0;
}

Test(semaphore_crash, what_a_killed_process_held_comes_back)
{
	int n = 3;

	make_shared(4, true);
	struct t_child child = t_spawn(take_and_hang, &n);
	t_wait_ready(&child);
	T_RESULT(mp_semaphore_value(&s->a), 1);
	t_kill(&child, SIGSTOP); /* a stopped one is not dead */
	T_RESULT(mp_semaphore_value(&s->a), 1);
	t_kill(&child, SIGKILL);
	T_RESULT(mp_semaphore_value(&s->a), 4);
	T_RESULT(mp_semaphore_release(&s->a), -EOVERFLOW);
}

Test(semaphore_crash, what_a_process_held_that_ended_comes_back)
{
	int n = 2;

	make_shared(2, true);
	for (int i = 0; i < 20; i++) {
		struct t_child child = t_spawn(take_and_leave, &n);
		t_expect_exit(&child, 0);
		for (int k = 0; k < n; k++)
			T_OK(mp_semaphore_acquire(&s->a, MP_FOREVER));
		T_OK(mp_semaphore_release_n(&s->a, n));
	}
	T_RESULT(mp_semaphore_value(&s->a), 2);
}

static void *take_two(void *argument)
{
	(void)argument;
	for (int i = 0; i < 2; i++)
		T_CHECK(mp_semaphore_acquire(&s->a, MP_FOREVER) == 0);
	return NULL;
}

static int take_by_threads(void *argument)
{
	pthread_t threads[3];

	(void)argument;
	for (int i = 0; i < 3; i++)
		T_CHECK(pthread_create(&threads[i], NULL, take_two, NULL) == 0);
	for (int i = 0; i < 3; i++)
		T_CHECK(pthread_join(threads[i], NULL) == 0);
	/* The threads have ended, the process holds. */
	T_CHECK(mp_semaphore_value(&s->a) == 1);
	T_CHECK(mp_semaphore_release(&s->a) == 0);
	t_ready();
	t_hang();
}

Test(semaphore_crash, threads_of_a_process_hold_together)
{
	make_shared(7, true);
	struct t_child child = t_spawn(take_by_threads, NULL);
	t_wait_ready(&child);
	T_RESULT(mp_semaphore_value(&s->a), 2);
	t_kill(&child, SIGKILL);
	T_RESULT(mp_semaphore_value(&s->a), 7);
}

static int hold_nothing(void *argument)
{
	(void)argument;
	return 0;
}

Test(semaphore_crash, a_forked_child_holds_nothing_of_its_parents)
{
	make_shared(2, true);
	T_OK(mp_semaphore_acquire(&s->a, MP_NOWAIT));
	struct t_child child = t_spawn(hold_nothing, NULL);
	t_expect_exit(&child, 0);
	T_RESULT(mp_semaphore_value(&s->a), 1);
	T_OK(mp_semaphore_release(&s->a));
	T_RESULT(mp_semaphore_value(&s->a), 2);
}

static int wait_and_take(void *argument)
{
	t_ready();
	return mp_semaphore_acquire(&s->a, *(int *)argument) == 0 ? 0 : T_CHILD_FAILED;
}

Test(semaphore_crash, waiters_get_what_the_dead_held)
{
	struct t_child waiters[3];
	int n = 3;
	int timeout = T_TIMEOUT_MS / 2;

	make_shared(3, true);
	struct t_child holder = t_spawn(take_and_hang, &n);
	t_wait_ready(&holder);
	for (int i = 0; i < 3; i++) {
		waiters[i] = t_spawn(wait_and_take, &timeout);
		t_wait_ready(&waiters[i]);
	}
	t_kill(&holder, SIGKILL);
	for (int i = 0; i < 3; i++)
		t_expect_exit(&waiters[i], 0);
	T_RESULT(mp_semaphore_value(&s->a), 3);
}

/* Who never waits long learns it too. */
Test(semaphore_crash, who_only_tries_gets_what_the_dead_held)
{
	int n = 1;
	int r;

	make_shared(1, true);
	struct t_child holder = t_spawn(take_and_hang, &n);
	t_wait_ready(&holder);
	t_kill(&holder, SIGKILL);
	while ((r = mp_semaphore_acquire(&s->a, MP_NOWAIT)) == -EAGAIN)
		sched_yield();
	T_OK(r);
	T_OK(mp_semaphore_release(&s->a));

	holder = t_spawn(take_and_hang, &n);
	t_wait_ready(&holder);
	t_kill(&holder, SIGKILL);
	while ((r = mp_semaphore_acquire(&s->a, 1)) == -ETIMEDOUT)
		;
	T_OK(r);
}

Test(semaphore_crash, there_is_room_for_so_many_holders)
{
	struct t_child holders[MP_SEMAPHORE_HOLDERS];
	int n = 1;

	make_shared(100, true);
	for (int i = 0; i < MP_SEMAPHORE_HOLDERS; i++) {
		holders[i] = t_spawn(take_and_hang, &n);
		t_wait_ready(&holders[i]);
	}
	T_RESULT(mp_semaphore_acquire(&s->a, MP_FOREVER), -EUSERS);
	T_RESULT(mp_semaphore_acquire(&s->a, MP_NOWAIT), -EUSERS);
	T_RESULT(mp_semaphore_value(&s->a), 100 - MP_SEMAPHORE_HOLDERS);
	/* One who gives its permit back makes room, and so does one who dies. */
	T_OK(mp_semaphore_release(&s->a));
	T_OK(mp_semaphore_acquire(&s->a, MP_NOWAIT));
	T_OK(mp_semaphore_release(&s->a));
	T_RESULT(mp_semaphore_value(&s->a), 101 - MP_SEMAPHORE_HOLDERS);
	for (int i = 0; i < MP_SEMAPHORE_HOLDERS; i++)
		t_kill(&holders[i], SIGKILL);
	T_OK(mp_semaphore_acquire(&s->a, MP_NOWAIT));
	T_RESULT(mp_semaphore_value(&s->a), 99);
}

#define MANY_HOLDERS 70

static mp_semaphore *large;

static int take_large_and_hang(void *argument)
{
	(void)argument;
	T_CHECK(mp_semaphore_acquire(large, MP_FOREVER) == 0);
	T_CHECK(mp_semaphore_acquire(large, MP_FOREVER) == 0);
	T_CHECK(mp_semaphore_release(large) == 0);
	t_ready();
	t_hang();
}

Test(semaphore_crash, with_the_option_there_is_room_for_more_holders)
{
	struct t_child holders[MANY_HOLDERS];

	T_OK(mp_semaphore_new(
		1000, MP_SEMAPHORE_OPTIONS(.bounded = true, .holders = MANY_HOLDERS), &large));
	for (int i = 0; i < MANY_HOLDERS; i++) {
		holders[i] = t_spawn(take_large_and_hang, NULL);
		t_wait_ready(&holders[i]);
	}
	T_RESULT(mp_semaphore_value(large), 1000 - MANY_HOLDERS);
	T_RESULT(mp_semaphore_acquire(large, MP_NOWAIT), -EUSERS);
	T_RESULT(mp_semaphore_acquire(large, MP_FOREVER), -EUSERS);
	/* Wherever the dead one's cell is, it is found. */
	t_kill(&holders[MANY_HOLDERS - 1], SIGKILL);
	T_OK(mp_semaphore_acquire(large, MP_NOWAIT));
	T_RESULT(mp_semaphore_acquire(large, MP_NOWAIT), 0);
	for (int i = 0; i < MANY_HOLDERS - 1; i++)
		t_kill(&holders[i], SIGKILL);
	T_RESULT(mp_semaphore_value(large), 998);
	T_OK(mp_semaphore_release_n(large, 2));
	T_RESULT(mp_semaphore_release(large), -EOVERFLOW);
	mp_semaphore_close(large);
}

static int take_all_and_hang(void *argument)
{
	(void)argument;
	T_CHECK(mp_semaphore_acquire(large, MP_FOREVER) == 0);
	t_ready();
	t_hang();
}

Test(semaphore_crash, waiters_get_what_one_of_many_dead_held)
{
	struct t_child holders[MANY_HOLDERS];

	T_OK(mp_semaphore_new(
		MANY_HOLDERS, MP_SEMAPHORE_OPTIONS(.holders = MP_SEMAPHORE_HOLDERS_MAX), &large));
	for (int i = 0; i < MANY_HOLDERS; i++) {
		holders[i] = t_spawn(take_all_and_hang, NULL);
		t_wait_ready(&holders[i]);
	}
	T_RESULT(mp_semaphore_acquire(large, MP_NOWAIT), -EAGAIN);
	t_kill(&holders[5], SIGKILL);
	T_OK(mp_semaphore_acquire(large, MP_FOREVER));
	for (int i = 0; i < MANY_HOLDERS; i++) {
		if (i != 5)
			t_kill(&holders[i], SIGKILL);
	}
	T_RESULT(mp_semaphore_value(large), MANY_HOLDERS - 1);
	mp_semaphore_close(large);
}

/* --- signals ----------------------------------------------------------------------------------------- */

static int consume(void *argument)
{
	for (int i = 0; i < *(int *)argument; i++)
		T_CHECK(mp_semaphore_acquire(&s->a, MP_FOREVER) == 0);
	t_ready();
	t_hang();
}

Test(semaphore_crash, a_killed_consumer_gives_nothing_back_that_was_replaced)
{
	int n = 5;

	make_shared(0, false);
	struct t_child child = t_spawn(consume, &n);
	for (int i = 0; i < n; i++)
		T_OK(mp_semaphore_release(&s->a));
	t_wait_ready(&child);
	/* It has taken five; two more came after that, in place of two of the five. */
	T_OK(mp_semaphore_release(&s->a));
	T_OK(mp_semaphore_release(&s->a));
	uint32_t total = atomic_load(&((struct mp__semaphore *)&s->a)->total);
	cr_assert_leq(total, 5);
	t_kill(&child, SIGKILL);
	/* What it held and nobody replaced is there again, no more. */
	T_RESULT(mp_semaphore_value(&s->a), (int)total);
}

static int produce_and_die(void *argument)
{
	for (int i = 0; i < *(int *)argument; i++)
		T_CHECK(mp_semaphore_release(&s->a) == 0);
	return 0;
}

Test(semaphore_crash, what_a_dead_producer_released_stays)
{
	int n = 4;

	make_shared(0, false);
	struct t_child child = t_spawn(produce_and_die, &n);
	t_expect_exit(&child, 0);
	T_RESULT(mp_semaphore_value(&s->a), 4);
	T_OK(mp_semaphore_acquire(&s->a, MP_NOWAIT));
	/* The next producer's release is in place of the one that this process holds. */
	n = 1;
	child = t_spawn(produce_and_die, &n);
	t_expect_exit(&child, 0);
	T_RESULT(mp_semaphore_value(&s->a), 4);
	T_OK(mp_semaphore_release(&s->a));
	T_RESULT(mp_semaphore_value(&s->a), 5);
}

Test(semaphore_crash, ownerless_permits_of_the_dead_stay_away)
{
	int n = 3;

	make_shared(0, false);
	T_OK(mp_semaphore_init(&s->a, 4, MP_SEMAPHORE_OPTIONS(.ownerless = true)));
	struct t_child child = t_spawn(take_and_leave, &n);
	t_expect_exit(&child, 0);
	T_RESULT(mp_semaphore_value(&s->a), 1);
	T_OK(mp_semaphore_acquire(&s->a, MP_NOWAIT));
	T_RESULT(mp_semaphore_acquire(&s->a, 20), -ETIMEDOUT);
}

/* --- a death at each step ----------------------------------------------------------------------------- */

static const char *const actions[] = {"kill", "stop", "exit"};

/* The victim ends as the action says. */
static void expect_end(struct t_child *child, int action)
{
	if (action == 2) {
		t_expect_exit(child, 86);
		return;
	}
	if (action == 1) {
		siginfo_t info;
		cr_assert_eq(waitid(P_PID, (id_t)child->pid, &info, WSTOPPED), 0);
		/* While it stands still, others have their deadlines. */
		int r = mp_semaphore_acquire(&s->a, 20);
		cr_assert(r == 0 || r == -ETIMEDOUT, "%d", r);
		if (r == 0)
			T_OK(mp_semaphore_release(&s->a));
		cr_assert_eq(kill(child->pid, SIGKILL), 0);
	}
	t_expect_signal(child, SIGKILL);
}

/* Acquire, acquire, release, release n: each step of the account, with a permit held at most times. */
static int walk(void *argument)
{
	(void)argument;
	T_CHECK(mp_semaphore_acquire(&s->a, MP_FOREVER) == 0);
	T_CHECK(mp_semaphore_acquire(&s->a, MP_FOREVER) == 0);
	T_CHECK(mp_semaphore_release(&s->a) == 0);
	T_CHECK(mp_semaphore_acquire(&s->a, MP_FOREVER) == 0);
	T_CHECK(mp_semaphore_release_n(&s->a, 2) == 0);
	return 0;
}

static void die_at(const char *point, int (*body)(void *), int expected)
{
	for (int action = 0; action < 3; action++) {
		int timeout = T_TIMEOUT_MS / 2;
		t_arm(point, actions[action]);
		struct t_child child = t_spawn(body, NULL);
		unsetenv("MP_TEST_POINT");
		expect_end(&child, action);
		cr_assert(t_fired(), "%s was not reached", point);
		t_disarm();
		/* Somebody who waits gets on, and the account is right. */
		struct t_child waiter = t_spawn(wait_and_take, &timeout);
		t_wait_ready(&waiter);
		t_expect_exit(&waiter, 0);
		T_RESULT(mp_semaphore_value(&s->a), expected);
	}
}

Test(semaphore_crash, of_an_owner_at_each_step)
{
	static const char *const points[] = {"semaphore.claimed", "semaphore.taken",
		"semaphore.inside", "semaphore.given", "semaphore.released"};

	make_shared(2, true);
	for (size_t i = 0; i < sizeof(points) / sizeof(points[0]); i++)
		die_at(points[i], walk, 2);
}

static int step_ownerless(void *argument)
{
	(void)argument;
	T_CHECK(mp_semaphore_acquire(&s->a, MP_FOREVER) == 0);
	return 0;
}

/* Without owners the store decides: before it nothing happened, after it the permit is gone. */
Test(semaphore_crash, of_an_ownerless_one_at_each_step)
{
	make_shared(0, false);
	T_OK(mp_semaphore_init(&s->a, 9, MP_SEMAPHORE_OPTIONS(.ownerless = true)));
	int value = 9;
	for (int action = 0; action < 3; action++) {
		t_arm("semaphore.uncounted", actions[action]);
		struct t_child child = t_spawn(step_ownerless, NULL);
		unsetenv("MP_TEST_POINT");
		if (action == 1)
			value -= 0; /* the stopped one's neighbour takes and gives back */
		expect_end(&child, action);
		cr_assert(t_fired());
		t_disarm();
		T_RESULT(mp_semaphore_value(&s->a), --value);
	}
}

static int raise_total(void *argument)
{
	(void)argument;
	T_CHECK(mp_semaphore_release(&s->a) == 0);
	return 0;
}

Test(semaphore_crash, of_a_producer_after_the_store_that_counts)
{
	make_shared(1, false);
	int value = 1;
	for (int action = 0; action < 3; action++) {
		t_arm("semaphore.raised", actions[action]);
		struct t_child child = t_spawn(raise_total, NULL);
		unsetenv("MP_TEST_POINT");
		expect_end(&child, action);
		cr_assert(t_fired());
		t_disarm();
		T_RESULT(mp_semaphore_value(&s->a), ++value);
	}
}

static int take_from_the_parent(void *argument)
{
	(void)argument;
	T_CHECK(mp_semaphore_release_n(&s->a, 2) == 0);
	return 0;
}

/* A stranger's release of two dies after the first: one is released, exactly. */
Test(semaphore_crash, of_a_stranger_between_two_releases)
{
	int n = 1;

	make_shared(3, true);
	T_OK(mp_semaphore_acquire(&s->a, MP_NOWAIT));
	struct t_child other = t_spawn(take_and_hang, &n);
	t_wait_ready(&other);
	T_RESULT(mp_semaphore_value(&s->a), 1);
	t_arm("semaphore.given", "kill");
	struct t_child child = t_spawn(take_from_the_parent, NULL);
	unsetenv("MP_TEST_POINT");
	expect_end(&child, 0);
	cr_assert(t_fired());
	t_disarm();
	T_RESULT(mp_semaphore_value(&s->a), 2);
	t_kill(&other, SIGKILL);
	T_OK(mp_semaphore_release(&s->a));
	T_RESULT(mp_semaphore_value(&s->a), 3);
}

static int wait_armed(void *argument)
{
	(void)argument;
	T_CHECK(mp_semaphore_acquire(&s->a, T_TIMEOUT_MS / 2) == 0);
	return 0;
}

/* A waiter dies: who waits beside it is woken all the same. */
Test(semaphore_crash, of_a_waiter_at_each_step)
{
	static const char *const points[] = {
		"semaphore.listening", "semaphore.inside", "semaphore.woken"};
	int timeout = T_TIMEOUT_MS / 2;

	make_shared(1, true);
	struct mp__semaphore *l = (struct mp__semaphore *)&s->a;
	for (int i = 0; i < 3; i++) {
		for (int action = 0; action < 3; action += 2) {
			T_OK(mp_semaphore_acquire(&s->a, MP_FOREVER));
			t_arm(points[i], actions[action]);
			struct t_child victim = t_spawn(wait_armed, NULL);
			unsetenv("MP_TEST_POINT");
			/* Only who has found no permit is woken. */
			while (i == 2 && !mp__bell_has_sleepers(&l->bell))
				sched_yield();
			struct t_child waiter = t_spawn(wait_and_take, &timeout);
			t_wait_ready(&waiter);
			if (i < 2)
				expect_end(&victim, action);
			T_OK(mp_semaphore_release(&s->a));
			if (i == 2)
				expect_end(&victim, action);
			t_disarm();
			t_expect_exit(&waiter, 0);
			T_RESULT(mp_semaphore_value(&s->a), 1);
		}
	}
}

static int ask_the_value(void *argument)
{
	(void)argument;
	return mp_semaphore_value(&s->a) == 3 ? 0 : T_CHILD_FAILED;
}

/* Who brings the permits of the dead back dies itself. */
Test(semaphore_crash, of_who_recovers)
{
	int n = 3;

	make_shared(3, true);
	for (int action = 0; action < 3; action++) {
		struct t_child holder = t_spawn(take_and_hang, &n);
		t_wait_ready(&holder);
		t_kill(&holder, SIGKILL);
		t_arm("semaphore.dropped", actions[action]);
		struct t_child child = t_spawn(ask_the_value, NULL);
		unsetenv("MP_TEST_POINT");
		expect_end(&child, action);
		cr_assert(t_fired());
		t_disarm();
		T_RESULT(mp_semaphore_value(&s->a), 3);
	}
}

Test(semaphore_crash, a_stopped_one_inside_ends_every_call_in_time)
{
	siginfo_t info;

	make_shared(2, true);
	t_arm("semaphore.taken", "stop");
	struct t_child child = t_spawn(walk, NULL);
	unsetenv("MP_TEST_POINT");
	cr_assert_eq(waitid(P_PID, (id_t)child.pid, &info, WSTOPPED), 0);
	t_disarm();
	T_RESULT(mp_semaphore_acquire(&s->a, MP_NOWAIT), -EAGAIN);
	T_RESULT(mp_semaphore_acquire(&s->a, 150), -ETIMEDOUT);
	T_RESULT(mp_semaphore_release(&s->a), -ETIMEDOUT);
	t_kill(&child, SIGCONT);
	t_expect_exit(&child, 0);
	T_RESULT(mp_semaphore_value(&s->a), 2);
}

/* --- a storm ------------------------------------------------------------------------------------------- */

#define PERMITS 3
#define WORKERS 6
#define KILLS 500

static int work(void *argument)
{
	int slot = *(int *)argument;
	unsigned seed = (unsigned)getpid();

	t_ready();
	while (!s->stop) {
		T_CHECK(mp_semaphore_acquire(&s->a, MP_FOREVER) == 0);
		s->inside[slot] = getpid();
		s->rounds++;
		if ((seed = seed * 1103515245 + 12345) & 1 << 20)
			sched_yield();
		s->inside[slot] = 0;
		T_CHECK(mp_semaphore_release(&s->a) == 0);
	}
	return 0;
}

/* Of those who live: a dead one's mark says nothing any more. */
static int count_inside(void)
{
	int n = 0;

	for (int i = 0; i < WORKERS; i++)
		n += s->inside[i] != 0;
	return n;
}

Test(semaphore_crash, storm)
{
	struct t_child workers[WORKERS];
	int slots[WORKERS];
	unsigned seed = 7;

	make_shared(PERMITS, true);
	for (int i = 0; i < WORKERS; i++) {
		slots[i] = i;
		workers[i] = t_spawn(work, &slots[i]);
		t_wait_ready(&workers[i]);
	}
	for (int i = 0; t_again(i, KILLS); i++) {
		int victim = (int)((seed = seed * 1103515245 + 12345) >> 16) % WORKERS;
		int rounds = s->rounds;
		/* Everybody goes on: some more are inside before the next one dies. */
		while (s->rounds - rounds < (int)(seed >> 8 & 31))
			sched_yield();
		t_kill(&workers[victim], SIGKILL);
		s->inside[victim] = 0;
		cr_assert_leq(count_inside(), PERMITS);
		workers[victim] = t_spawn(work, &slots[victim]);
		t_wait_ready(&workers[victim]);
		if (i % 50 == 0) {
			/* Now and then alone: the account is exact. */
			for (int k = 0; k < WORKERS; k++)
				t_kill(&workers[k], SIGKILL);
			memset((void *)s->inside, 0, sizeof(s->inside));
			T_RESULT(mp_semaphore_value(&s->a), PERMITS);
			for (int k = 0; k < WORKERS; k++) {
				workers[k] = t_spawn(work, &slots[k]);
				t_wait_ready(&workers[k]);
			}
		}
	}
	s->stop = true;
	for (int i = 0; i < WORKERS; i++)
		t_expect_exit(&workers[i], 0);
	T_RESULT(mp_semaphore_value(&s->a), PERMITS);
}
