/* SPDX-License-Identifier: MIT */
/* The lock: one at a time, whoever dies. By processes and by threads. */
#include <config.h>

#include "tests/support/support.h"

#include "base/stamp.h"
#include "sync/lock.h"

#include <mp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/wait.h>

T_SUITE(lock);

#define MANY 2500

struct shared {
	mp_lock lock;
	mp_lock many[MANY];
	uint64_t misaligned[9];
	_Atomic int ready;
	_Atomic int owner;
	_Atomic int died;
	long first, second; /* equal whenever nobody has the lock */
};

static struct shared *s;

static void make_shared(void)
{
	s = mmap(NULL, sizeof(*s), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	cr_assert(s != MAP_FAILED);
	T_OK(mp_lock_init(&s->lock, MP_LOCK_OPTIONS(.name = "test")));
}

static void drop_shared(void)
{
	munmap(s, sizeof(*s));
}

Test(lock, lock)
{
	make_shared();
	T_RESULT(mp_lock_locked(&s->lock), 0);
	T_OK(mp_lock_acquire(&s->lock, MP_FOREVER));
	T_RESULT(mp_lock_locked(&s->lock), 1);
	T_RESULT(mp_lock_acquire(&s->lock, MP_NOWAIT), -EDEADLK);
	T_OK(mp_lock_release(&s->lock));
	T_RESULT(mp_lock_release(&s->lock), -EPERM);
	T_OK(mp_lock_destroy(&s->lock));
	drop_shared();
}

Test(lock, what_holds_it_oneself_is_not_waited_for)
{
	make_shared();
	T_OK(mp_lock_acquire(&s->lock, MP_NOWAIT));
	T_RESULT(mp_lock_acquire(&s->lock, MP_FOREVER), -EDEADLK);
	T_RESULT(mp_lock_acquire(&s->lock, T_TIMEOUT_MS), -EDEADLK);
	cr_assert(strstr(mp_error_detail(), "'test'"), "%s", mp_error_detail());
	T_RESULT(mp_lock_owner(&s->lock), gettid());
	T_OK(mp_lock_release(&s->lock));
	T_RESULT(mp_lock_owner(&s->lock), 0);
	drop_shared();
}

Test(lock, wrong_places_are_told_from_locks)
{
	mp_lock_options flags = {.size = sizeof(flags), .flags = 1};
	mp_lock_options newer[2] = {{.size = sizeof(newer)}};
	mp_rlock *other;

	make_shared();
	mp_lock *odd = (mp_lock *)(void *)((char *)s->misaligned + 4);
	T_RESULT(mp_lock_init(NULL, NULL), -EINVAL);
	T_RESULT(mp_lock_new(NULL, NULL), -EINVAL);
	T_RESULT(mp_lock_init(odd, NULL), -EINVAL);
	T_RESULT(mp_lock_acquire(odd, MP_NOWAIT), -EINVAL);
	T_RESULT(mp_lock_init(&s->many[0], &flags), -EINVAL);
	newer[1].flags = 1;
	T_RESULT(mp_lock_init(&s->many[0], newer), -E2BIG);
	T_RESULT(mp_lock_acquire(NULL, MP_NOWAIT), -EINVAL);
	T_RESULT(mp_lock_acquire(&s->many[0], MP_NOWAIT), -EINVAL);
	T_RESULT(mp_lock_release(&s->many[0]), -EINVAL);
	T_RESULT(mp_lock_locked(&s->many[0]), -EINVAL);
	T_RESULT(mp_lock_owner(&s->many[0]), -EINVAL);
	T_RESULT(mp_lock_destroy(&s->many[0]), -EINVAL);
	other = (mp_rlock *)(void *)&s->many[1];
	T_OK(mp_rlock_init(other, NULL));
	T_RESULT(mp_lock_acquire(&s->many[1], MP_NOWAIT), -EINVAL);
	T_OK(mp_lock_destroy(&s->lock));
	T_RESULT(mp_lock_acquire(&s->lock, MP_NOWAIT), -EINVAL);
	T_RESULT(mp_lock_destroy(&s->lock), -EINVAL);
	drop_shared();
}

/* --- across processes ------------------------------------------------------------------------------ */

static int hold(void *argument)
{
	(void)argument;
	T_CHECK(mp_lock_acquire(&s->lock, MP_FOREVER) == 0);
	t_ready();
	t_hang();
}

Test(lock, a_taken_one_is_waited_for_up_to_the_deadline)
{
	make_shared();
	struct t_child child = t_spawn(hold, NULL);
	t_wait_ready(&child);
	T_RESULT(mp_lock_acquire(&s->lock, MP_NOWAIT), -EAGAIN);
	T_RESULT(mp_lock_acquire(&s->lock, 30), -ETIMEDOUT);
	T_RESULT(mp_lock_owner(&s->lock), child.pid);
	T_RESULT(mp_lock_release(&s->lock), -EPERM);
	T_RESULT(mp_lock_destroy(&s->lock), -EBUSY);
	T_RESULT(mp_lock_locked(&s->lock), 1);
	t_kill(&child, SIGKILL);
	drop_shared();
}

static int hold_until_continued(void *argument)
{
	(void)argument;
	T_CHECK(mp_lock_acquire(&s->lock, MP_FOREVER) == 0);
	t_ready();
	raise(SIGSTOP);
	T_CHECK(mp_lock_release(&s->lock) == 0);
	return 0;
}

Test(lock, a_stopped_holder_keeps_it_and_goes_on)
{
	siginfo_t info;

	make_shared();
	struct t_child child = t_spawn(hold_until_continued, NULL);
	t_wait_ready(&child);
	cr_assert_eq(waitid(P_PID, (id_t)child.pid, &info, WSTOPPED | WNOWAIT), 0);
	T_RESULT(mp_lock_acquire(&s->lock, 120), -ETIMEDOUT);
	t_kill(&child, SIGCONT);
	T_OK(mp_lock_acquire(&s->lock, T_TIMEOUT_MS));
	T_OK(mp_lock_release(&s->lock));
	t_expect_exit(&child, 0);
	drop_shared();
}

Test(lock, a_killed_holder_gives_way_and_is_news_once)
{
	make_shared();
	struct t_child child = t_spawn(hold, NULL);
	t_wait_ready(&child);
	t_kill(&child, SIGKILL);
	T_RESULT(mp_lock_acquire(&s->lock, T_TIMEOUT_MS), MP_OWNER_DIED);
	T_RESULT(mp_lock_owner(&s->lock), gettid());
	T_OK(mp_lock_release(&s->lock));
	T_OK(mp_lock_acquire(&s->lock, MP_NOWAIT));
	T_OK(mp_lock_release(&s->lock));
	drop_shared();
}

Test(lock, who_only_tries_learns_of_a_death_too)
{
	make_shared();
	struct t_child child = t_spawn(hold, NULL);
	t_wait_ready(&child);
	T_RESULT(mp_lock_acquire(&s->lock, MP_NOWAIT), -EAGAIN);
	t_kill(&child, SIGKILL);
	int r;
	while ((r = mp_lock_acquire(&s->lock, MP_NOWAIT)) == -EAGAIN)
		sched_yield();
	T_RESULT(r, MP_OWNER_DIED);
	T_OK(mp_lock_release(&s->lock));
	drop_shared();
}

Test(lock, one_that_the_dead_held_can_be_destroyed)
{
	make_shared();
	struct t_child child = t_spawn(hold, NULL);
	t_wait_ready(&child);
	t_kill(&child, SIGKILL);
	T_OK(mp_lock_destroy(&s->lock));
	drop_shared();
}

static int child_owns_nothing(void *argument)
{
	(void)argument;
	T_CHECK(mp_lock_release(&s->lock) == -EPERM);
	T_CHECK(mp_lock_acquire(&s->lock, MP_NOWAIT) == -EAGAIN);
	T_CHECK(mp_lock_owner(&s->lock) == getppid());
	return 0;
}

Test(lock, a_forked_child_owns_nothing_of_its_parents)
{
	make_shared();
	T_OK(mp_lock_acquire(&s->lock, MP_FOREVER));
	struct t_child child = t_spawn(child_owns_nothing, NULL);
	t_expect_exit(&child, 0);
	T_OK(mp_lock_release(&s->lock));
	drop_shared();
}

static int hold_many(void *argument)
{
	(void)argument;
	for (int i = 0; i < MANY; i++)
		T_CHECK(mp_lock_acquire(&s->many[i], MP_NOWAIT) == 0);
	t_ready();
	t_hang();
}

Test(lock, thousands_held_at_a_death_all_come_free)
{
	make_shared();
	for (int i = 0; i < MANY; i++)
		T_OK(mp_lock_init(&s->many[i], NULL));
	struct t_child child = t_spawn(hold_many, NULL);
	t_wait_ready(&child);
	t_kill(&child, SIGKILL);
	for (int i = 0; i < MANY; i++)
		T_RESULT(mp_lock_acquire(&s->many[i], T_TIMEOUT_MS), MP_OWNER_DIED);
	for (int i = 0; i < MANY; i++)
		T_OK(mp_lock_release(&s->many[i]));
	drop_shared();
}

/* --- many who wait ----------------------------------------------------------------------------------- */

#define WAITERS 8

static int wait_and_pass_on(void *argument)
{
	(void)argument;
	t_ready();
	int r = mp_lock_acquire(&s->lock, T_TIMEOUT_MS);
	T_CHECK(r == 0 || r == MP_OWNER_DIED);
	atomic_fetch_add(&s->died, r);
	T_CHECK(mp_lock_release(&s->lock) == 0);
	return 0;
}

Test(lock, after_a_death_every_waiter_goes_on)
{
	struct t_child waiters[WAITERS];

	make_shared();
	struct t_child holder = t_spawn(hold, NULL);
	t_wait_ready(&holder);
	for (int i = 0; i < WAITERS; i++) {
		waiters[i] = t_spawn(wait_and_pass_on, NULL);
		t_wait_ready(&waiters[i]);
	}
	t_kill(&holder, SIGKILL);
	for (int i = 0; i < WAITERS; i++)
		t_expect_exit(&waiters[i], 0);
	cr_assert_eq(s->died, 1); /* the news reached one of them */
	drop_shared();
}

static int wait_for_destroyed(void *argument)
{
	(void)argument;
	t_ready();
	T_CHECK(mp_lock_acquire(&s->lock, T_TIMEOUT_MS) == -EINVAL);
	return 0;
}

/* As destroy does when it wins against those that were woken. */
Test(lock, who_waits_for_what_is_destroyed_is_told)
{
	struct t_child waiters[2];

	make_shared();
	struct mp__lock *l = (struct mp__lock *)&s->lock;
	T_OK(mp_lock_acquire(&s->lock, MP_NOWAIT));
	for (int i = 0; i < 2; i++) {
		waiters[i] = t_spawn(wait_for_destroyed, NULL);
		t_wait_ready(&waiters[i]);
	}
	mp__sync_publish(&l->head, 0);
	mp__owner_destroy(&l->word);
	for (int i = 0; i < 2; i++)
		t_expect_exit(&waiters[i], 0);
	drop_shared();
}

#define ROUNDS 50000

static int count_up(void *argument)
{
	(void)argument;
	for (int i = 0; i < ROUNDS; i++) {
		T_CHECK(mp_lock_acquire(&s->lock, MP_FOREVER) == 0);
		s->first++;
		s->second++;
		T_CHECK(s->first == s->second);
		T_CHECK(mp_lock_release(&s->lock) == 0);
	}
	return 0;
}

Test(lock, one_at_a_time)
{
	struct t_child children[4];

	make_shared();
	for (int i = 0; i < 4; i++)
		children[i] = t_spawn(count_up, NULL);
	for (int i = 0; i < 4; i++)
		t_expect_exit(&children[i], 0);
	cr_assert_eq(s->first, 4 * ROUNDS);
	drop_shared();
}

/* --- between threads --------------------------------------------------------------------------------- */

static void *count_up_thread(void *argument)
{
	return count_up(argument) == 0 ? s : NULL;
}

Test(lock, one_at_a_time_between_threads)
{
	pthread_t threads[4];

	make_shared();
	for (int i = 0; i < 4; i++)
		cr_assert_eq(pthread_create(&threads[i], NULL, count_up_thread, NULL), 0);
	for (int i = 0; i < 4; i++)
		cr_assert_eq(pthread_join(threads[i], NULL), 0);
	cr_assert_eq(s->first, 4 * ROUNDS);
	drop_shared();
}

static void *acquire_and_end(void *argument)
{
	(void)argument;
	s->owner = gettid();
	return mp_lock_acquire(&s->lock, MP_NOWAIT) == 0 ? s : NULL;
}

Test(lock, a_thread_that_ends_with_it_gives_way)
{
	pthread_t thread;
	void *ok;

	make_shared();
	cr_assert_eq(pthread_create(&thread, NULL, acquire_and_end, NULL), 0);
	cr_assert_eq(pthread_join(thread, &ok), 0);
	cr_assert(ok);
	T_RESULT(mp_lock_owner(&s->lock), s->owner);
	T_RESULT(mp_lock_release(&s->lock), -EPERM);
	T_RESULT(mp_lock_acquire(&s->lock, T_TIMEOUT_MS), MP_OWNER_DIED);
	T_OK(mp_lock_release(&s->lock));
	drop_shared();
}

static void *release_of_others(void *argument)
{
	*(int *)argument = mp_lock_release(&s->lock);
	return NULL;
}

Test(lock, release_by_another_thread_is_refused)
{
	pthread_t thread;
	int r = 0;

	make_shared();
	T_OK(mp_lock_acquire(&s->lock, MP_FOREVER));
	cr_assert_eq(pthread_create(&thread, NULL, release_of_others, &r), 0);
	cr_assert_eq(pthread_join(thread, NULL), 0);
	cr_assert_eq(r, -EPERM);
	T_OK(mp_lock_release(&s->lock));
	drop_shared();
}
