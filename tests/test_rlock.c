/* SPDX-License-Identifier: MIT */
/* The recursive lock. What it shares with the lock is in test_lock.c. */
#include <config.h>

#include "tests/support/support.h"

#include "sync/lock.h"

#include <mp.h>
#include <sys/mman.h>

T_SUITE(rlock);

struct shared {
	mp_rlock lock;
	_Atomic int inside;
};

static struct shared *s;

static void make_shared(void)
{
	s = mmap(NULL, sizeof(*s), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	cr_assert(s != MAP_FAILED);
	T_OK(mp_rlock_init(&s->lock, NULL));
}

Test(rlock, rlock)
{
	make_shared();
	for (int i = 0; i < 3; i++)
		T_OK(mp_rlock_acquire(&s->lock, MP_FOREVER));
	T_RESULT(mp_rlock_locked(&s->lock), 1);
	T_RESULT(mp_rlock_owner(&s->lock), gettid());
	for (int i = 0; i < 3; i++)
		T_OK(mp_rlock_release(&s->lock));
	T_RESULT(mp_rlock_release(&s->lock), -EPERM);
	T_RESULT(mp_rlock_locked(&s->lock), 0);
	T_RESULT(mp_rlock_owner(&s->lock), 0);
	T_OK(mp_rlock_destroy(&s->lock));
	T_RESULT(mp_rlock_acquire(&s->lock, MP_NOWAIT), -EINVAL);
	T_RESULT(mp_rlock_new(NULL, NULL), -EINVAL);
	T_RESULT(mp_rlock_release(&s->lock), -EINVAL);
	T_RESULT(mp_rlock_locked(&s->lock), -EINVAL);
	T_RESULT(mp_rlock_owner(&s->lock), -EINVAL);
}

Test(rlock, too_deep_is_refused)
{
	make_shared();
	struct mp__lock *l = (struct mp__lock *)&s->lock;
	T_OK(mp_rlock_acquire(&s->lock, MP_NOWAIT));
	l->depth = INT32_MAX;
	T_RESULT(mp_rlock_acquire(&s->lock, MP_NOWAIT), -EOVERFLOW);
	l->depth = 1;
	T_OK(mp_rlock_release(&s->lock));
}

static int hold_deep(void *argument)
{
	(void)argument;
	for (int i = 0; i < 3; i++)
		T_CHECK(mp_rlock_acquire(&s->lock, MP_FOREVER) == 0);
	t_ready();
	t_hang();
}

Test(rlock, after_a_death_it_is_held_once)
{
	make_shared();
	struct t_child child = t_spawn(hold_deep, NULL);
	t_wait_ready(&child);
	T_RESULT(mp_rlock_acquire(&s->lock, MP_NOWAIT), -EAGAIN);
	T_RESULT(mp_rlock_acquire(&s->lock, 20), -ETIMEDOUT);
	T_RESULT(mp_rlock_release(&s->lock), -EPERM);
	T_RESULT(mp_rlock_destroy(&s->lock), -EBUSY);
	t_kill(&child, SIGKILL);
	T_RESULT(mp_rlock_acquire(&s->lock, T_TIMEOUT_MS), MP_OWNER_DIED);
	T_OK(mp_rlock_release(&s->lock));
	T_RESULT(mp_rlock_locked(&s->lock), 0);
}

static int child_owns_nothing(void *argument)
{
	(void)argument;
	T_CHECK(mp_rlock_release(&s->lock) == -EPERM);
	T_CHECK(mp_rlock_acquire(&s->lock, MP_NOWAIT) == -EAGAIN);
	return 0;
}

Test(rlock, a_forked_child_owns_nothing_of_its_parents)
{
	make_shared();
	T_OK(mp_rlock_acquire(&s->lock, MP_FOREVER));
	struct t_child child = t_spawn(child_owns_nothing, NULL);
	t_expect_exit(&child, 0);
	T_OK(mp_rlock_release(&s->lock));
}

/* What a condition does while it waits. */
Test(rlock, is_let_go_and_taken_back_as_deep)
{
	uint64_t depth;

	make_shared();
	T_RESULT(mp__lock_let_go(&s->lock, &depth), -EPERM);
	T_OK(mp_rlock_acquire(&s->lock, MP_FOREVER));
	T_OK(mp_rlock_acquire(&s->lock, MP_FOREVER));
	cr_assert(mp__lock_is_mine(&s->lock));
	T_OK(mp__lock_let_go(&s->lock, &depth));
	cr_assert_not(mp__lock_is_mine(&s->lock));
	T_RESULT(mp_rlock_locked(&s->lock), 0);
	T_OK(mp__lock_take_back(&s->lock, depth, MP__DEADLINE_NEVER));
	T_OK(mp_rlock_release(&s->lock));
	T_OK(mp_rlock_release(&s->lock));
	T_RESULT(mp_rlock_release(&s->lock), -EPERM);
}

static int die_in_acquire(void *argument)
{
	(void)argument;
	(void)mp_rlock_acquire(&s->lock, MP_FOREVER);
	(void)mp_rlock_release(&s->lock);
	return 0;
}

Test(rlock, dies_at_every_step)
{
	static const char *const points[] = {"rlock.taken", "rlock.shallow"};

	make_shared();
	for (int i = 0; i < 2; i++) {
		t_arm(points[i], "kill");
		struct t_child child = t_spawn(die_in_acquire, NULL);
		t_expect_signal(&child, SIGKILL);
		cr_assert(t_fired());
		t_disarm();
		T_RESULT(mp_rlock_acquire(&s->lock, T_TIMEOUT_MS), MP_OWNER_DIED);
		T_OK(mp_rlock_release(&s->lock));
		T_RESULT(mp_rlock_locked(&s->lock), 0);
	}
}
