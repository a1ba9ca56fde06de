/* SPDX-License-Identifier: MIT */
/*
 * Locks, recursive locks and writers, killed, stopped or ended at each step, with somebody waiting
 * beside, who must go on, and be told if the victim had the lock.
 */
#include <config.h>

#include "tests/support/support.h"

#include "sync/lock_layout.h"
#include "sync/rwlock_layout.h"

#include <mp.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/wait.h>

T_SUITE(lock_crash);

static struct shared {
	mp_lock lock;
	mp_rlock rlock;
	mp_rwlock rwlock;
	mp_semaphore semaphore;
	mp_condition condition;
	_Atomic int results[2]; /* how often the bystander had 0, MP_OWNER_DIED */
} * s;

static const char *const actions[] = {"kill", "stop", "exit"};

/* --- the kinds: what they have in common ----------------------------------------------------------- */

static int acquire_lock(int timeout_ms)
{
	return mp_lock_acquire(&s->lock, timeout_ms);
}

static int release_lock(void)
{
	return mp_lock_release(&s->lock);
}

static int acquire_rlock(int timeout_ms)
{
	return mp_rlock_acquire(&s->rlock, timeout_ms);
}

static int release_rlock(void)
{
	return mp_rlock_release(&s->rlock);
}

static int acquire_write(int timeout_ms)
{
	return mp_rwlock_acquire_write(&s->rwlock, timeout_ms);
}

static int release_write(void)
{
	return mp_rwlock_release_write(&s->rwlock);
}

struct kind {
	const char *name;
	size_t offset; /* of the object */
	int (*acquire)(int timeout_ms);
	int (*release)(void);
};

static const struct kind kinds[] = {
	{"lock", offsetof(struct shared, lock), acquire_lock, release_lock},
	{"rlock", offsetof(struct shared, rlock), acquire_rlock, release_rlock},
	{"rwlock", offsetof(struct shared, rwlock), acquire_write, release_write},
};

/* The word is at the same place in all of them. */
_Static_assert(offsetof(struct mp__lock, word) == offsetof(struct mp__rwlock, word), "word");

static bool somebody_sleeps(const struct kind *k)
{
	struct mp__lock *l = (struct mp__lock *)(void *)((char *)s + k->offset);

	return atomic_load(&l->word) & MP__OWNER_SLEEPERS;
}

static void make_shared(void)
{
	s = mmap(NULL, sizeof(*s), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	cr_assert(s != MAP_FAILED);
	T_OK(mp_lock_init(&s->lock, NULL));
	T_OK(mp_rlock_init(&s->rlock, NULL));
	T_OK(mp_rwlock_init(&s->rwlock, NULL));
}

/* --- victims and bystanders -------------------------------------------------------------------------- */

static int wait_and_pass_on(void *kind)
{
	const struct kind *k = kind;
	int r = k->acquire(T_TIMEOUT_MS);

	T_CHECK(r == 0 || r == MP_OWNER_DIED);
	s->results[r]++;
	T_CHECK(k->release() == 0);
	return 0;
}

static int give_to_a_sleeper(void *kind)
{
	const struct kind *k = kind;

	T_CHECK(k->acquire(T_TIMEOUT_MS) >= 0);
	t_ready();
	while (!somebody_sleeps(k))
		sched_yield();
	T_CHECK(k->release() == 0);
	return 0;
}

/* The victim has reached its point; a stopped one stays where it is. */
static void wait_for_action(struct t_child *victim, int action)
{
	siginfo_t info;

	if (action == 0)
		t_expect_signal(victim, SIGKILL);
	else if (action == 2)
		t_expect_exit(victim, 86);
	else
		cr_assert_eq(waitid(P_PID, (id_t)victim->pid, &info, WSTOPPED | WNOWAIT), 0);
}

/* Everybody who lives has gone on; the lock is free, and the news was told `news` times. */
static void expect_whole(const struct kind *k, const char *point, int action, int news)
{
	int r = k->acquire(T_TIMEOUT_MS);

	cr_assert(
		r == 0 || r == MP_OWNER_DIED, "%s, %s %s: %d", k->name, point, actions[action], r);
	s->results[r]++;
	T_OK(k->release());
	cr_assert_eq(s->results[MP_OWNER_DIED], news, "%s, %s %s: %d times", k->name, point,
		actions[action], s->results[MP_OWNER_DIED]);
	s->results[0] = s->results[MP_OWNER_DIED] = 0;
}

/* --- while it waits ------------------------------------------------------------------------------------ */

/* `has_it`: the victim owns the lock at this point. */
static void die_waiting(const struct kind *k, const char *point, int action, bool has_it)
{
	bool takes = strncmp(point, "lock.take", 9) == 0;

	T_OK(k->acquire(T_TIMEOUT_MS));
	t_arm(point, actions[action]);
	struct t_child victim = t_spawn(wait_and_pass_on, (void *)(uintptr_t)k);
	unsetenv("MP_TEST_POINT");
	while (!somebody_sleeps(k))
		sched_yield();
	if (takes) {
		/* What was taken in vain was taken by the victim alone. */
		T_OK(k->release());
		wait_for_action(&victim, action);
	}
	struct t_child bystander;
	if (!takes) {
		wait_for_action(&victim, action);
		bystander = t_spawn(wait_and_pass_on, (void *)(uintptr_t)k);
		T_OK(k->release());
	} else {
		bystander = t_spawn(wait_and_pass_on, (void *)(uintptr_t)k);
	}
	cr_assert(t_fired(), "%s %s", k->name, point);
	if (action == 1 && has_it) {
		/* Stopped is not dead. */
		int r = k->acquire(100);
		cr_assert_eq(r, -ETIMEDOUT, "%s %s: %d", k->name, point, r);
		t_kill(&victim, SIGKILL);
		t_expect_exit(&bystander, 0);
	} else {
		t_expect_exit(&bystander, 0);
		if (action == 1)
			t_kill(&victim, SIGKILL);
	}
	t_disarm();
	expect_whole(k, point, action, has_it);
}

static void die_waiting_everywhere(const char *point, bool has_it)
{
	make_shared();
	for (size_t k = 0; k < 3; k++) {
		for (int action = 0; action < 3; action++)
			die_waiting(&kinds[k], point, action, has_it);
	}
}

Test(lock_crash, after_it_said_that_it_sleeps)
{
	die_waiting_everywhere("lock.marked", false);
}

Test(lock_crash, when_it_woke)
{
	die_waiting_everywhere("lock.woken", false);
}

Test(lock_crash, before_it_takes)
{
	die_waiting_everywhere("lock.take", false);
}

Test(lock_crash, when_it_has_taken)
{
	die_waiting_everywhere("lock.taken", true);
}

/* --- while it gives ------------------------------------------------------------------------------------- */

static void die_giving(const struct kind *k, const char *point, int action, bool has_it)
{
	t_arm(point, actions[action]);
	struct t_child victim = t_spawn(give_to_a_sleeper, (void *)(uintptr_t)k);
	unsetenv("MP_TEST_POINT");
	t_wait_ready(&victim);
	struct t_child bystander = t_spawn(wait_and_pass_on, (void *)(uintptr_t)k);
	wait_for_action(&victim, action);
	if (action == 1 && has_it) {
		int r = k->acquire(100);
		cr_assert_eq(r, -ETIMEDOUT, "%s %s: %d", k->name, point, r);
		t_kill(&victim, SIGKILL);
	}
	t_expect_exit(&bystander, 0);
	cr_assert(t_fired());
	t_disarm();
	if (action == 1 && !has_it)
		t_kill(&victim, SIGKILL);
	expect_whole(k, point, action, has_it);
}

Test(lock_crash, between_giving_and_waking)
{
	make_shared();
	for (int action = 0; action < 3; action++) {
		die_giving(&kinds[0], "lock.given", action, false);
		die_giving(&kinds[1], "lock.given", action, false);
		die_giving(&kinds[2], "lock.given", action, false);
		die_giving(&kinds[2], "rwlock.reopened", action, false);
	}
}

Test(lock_crash, a_recursive_one_at_its_own_steps)
{
	make_shared();
	for (int action = 0; action < 3; action++)
		die_giving(&kinds[1], "rlock.shallow", action, true);
}

static int take_at_once(void *kind)
{
	const struct kind *k = kind;

	T_CHECK(k->acquire(MP_NOWAIT) == 0);
	T_CHECK(k->release() == 0);
	return 0;
}

static void die_taking(const struct kind *k, const char *point, int action)
{
	t_arm(point, actions[action]);
	struct t_child victim = t_spawn(take_at_once, (void *)(uintptr_t)k);
	unsetenv("MP_TEST_POINT");
	wait_for_action(&victim, action);
	struct t_child bystander = t_spawn(wait_and_pass_on, (void *)(uintptr_t)k);
	if (action == 1) {
		int r = k->acquire(100);
		cr_assert_eq(r, -ETIMEDOUT, "%s %s: %d", k->name, point, r);
		t_kill(&victim, SIGKILL);
	}
	t_expect_exit(&bystander, 0);
	cr_assert(t_fired());
	t_disarm();
	expect_whole(k, point, action, 1);
}

Test(lock_crash, when_it_has_taken_at_once)
{
	make_shared();
	for (int action = 0; action < 3; action++) {
		die_taking(&kinds[1], "rlock.taken", action);
		die_taking(&kinds[2], "rwlock.closed", action);
	}
}

/* --- with a condition ------------------------------------------------------------------------------------ */

static int wait_for_news(void *argument)
{
	(void)argument;
	T_CHECK(mp_lock_acquire(&s->lock, T_TIMEOUT_MS) == 0);
	(void)mp_condition_wait(&s->condition, &s->lock, 100);
	T_CHECK(mp_lock_release(&s->lock) == 0);
	return 0;
}

Test(lock_crash, let_go_and_taken_back_by_a_condition)
{
	static const char *const points[] = {"lock.let_go", "lock.took_back"};

	make_shared();
	T_OK(mp_condition_init(&s->condition, NULL));
	for (int i = 0; i < 6; i++) {
		int action = i % 3;
		t_arm(points[i / 3], actions[action]);
		struct t_child victim = t_spawn(wait_for_news, NULL);
		unsetenv("MP_TEST_POINT");
		wait_for_action(&victim, action);
		if (action == 1) {
			T_RESULT(mp_lock_acquire(&s->lock, 100), -ETIMEDOUT);
			t_kill(&victim, SIGKILL);
		}
		cr_assert(t_fired());
		t_disarm();
		expect_whole(&kinds[0], points[i / 3], action, 1);
	}
}

/* --- made and unmade -------------------------------------------------------------------------------------- */

static int make(void *point)
{
	(void)point;
	(void)mp_lock_init(&s->lock, NULL);
	(void)mp_rlock_init(&s->rlock, NULL);
	(void)mp_rwlock_init(&s->rwlock, NULL);
	(void)mp_semaphore_init(&s->semaphore, 1, NULL);
	return 0;
}

static int unmake(void *point)
{
	(void)point;
	(void)mp_lock_destroy(&s->lock);
	(void)mp_rwlock_destroy(&s->rwlock);
	return 0;
}

static void die_at(int (*body)(void *), const char *point, int action)
{
	t_arm(point, actions[action]);
	struct t_child victim = t_spawn(body, NULL);
	unsetenv("MP_TEST_POINT");
	wait_for_action(&victim, action);
	cr_assert(t_fired(), "%s", point);
	t_disarm();
	if (action == 1)
		t_kill(&victim, SIGKILL);
}

Test(lock_crash, half_made_is_not_made)
{
	s = mmap(NULL, sizeof(*s), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	cr_assert(s != MAP_FAILED);
	for (int action = 0; action < 3; action++) {
		memset(s, 0, sizeof(*s));
		die_at(make, "lock.made", action);
		T_RESULT(mp_lock_acquire(&s->lock, MP_NOWAIT), -EINVAL);
		die_at(make, "rwlock.made", action);
		T_RESULT(mp_rwlock_acquire_read(&s->rwlock, MP_NOWAIT), -EINVAL);
		die_at(make, "semaphore.made", action);
		T_RESULT(mp_semaphore_acquire(&s->semaphore, MP_NOWAIT), -EINVAL);
		T_OK(mp_lock_acquire(&s->lock, MP_NOWAIT));
		T_OK(mp_lock_release(&s->lock));
		T_OK(mp_semaphore_init(&s->semaphore, 1, NULL));
		T_OK(mp_semaphore_acquire(&s->semaphore, MP_NOWAIT));
	}
}

Test(lock_crash, half_destroyed_is_destroyed)
{
	for (int action = 0; action < 3; action++) {
		make_shared();
		die_at(unmake, "lock.unmade", action);
		T_RESULT(mp_lock_acquire(&s->lock, T_TIMEOUT_MS), -EINVAL);
		T_RESULT(mp_lock_destroy(&s->lock), -EINVAL);
		T_OK(mp_lock_init(&s->lock, NULL));
		T_OK(mp_lock_acquire(&s->lock, MP_NOWAIT));
		die_at(unmake, "rwlock.unmade", action);
		T_RESULT(mp_rwlock_acquire_read(&s->rwlock, T_TIMEOUT_MS), -EINVAL);
		T_RESULT(mp_rwlock_acquire_write(&s->rwlock, T_TIMEOUT_MS), -EINVAL);
		T_RESULT(mp_rwlock_destroy(&s->rwlock), -EINVAL);
		T_OK(mp_rwlock_init(&s->rwlock, NULL));
		T_OK(mp_rwlock_acquire_write(&s->rwlock, MP_NOWAIT));
	}
}
