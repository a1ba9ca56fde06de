/* SPDX-License-Identifier: MIT */
/* The lock for readers and writers: who gets in, and who dies. */
#include <config.h>

#include "tests/support/support.h"

#include "sync/rwlock_layout.h"

#include <limits.h>
#include <mp.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/wait.h>

T_SUITE(rwlock);

struct shared {
	mp_rwlock lock;
	uint64_t misaligned[2 + sizeof(mp_rwlock) / 8];
	_Atomic int go;
	_Atomic long died;
	long first, second;
};

static struct shared *s;

static void make_shared(void)
{
	s = mmap(NULL, sizeof(*s), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	cr_assert(s != MAP_FAILED);
	T_OK(mp_rwlock_init(&s->lock, MP_RWLOCK_OPTIONS(.name = "test")));
}

Test(rwlock, one_thread)
{
	make_shared();
	T_OK(mp_rwlock_acquire_read(&s->lock, MP_FOREVER));
	T_OK(mp_rwlock_acquire_read(&s->lock, MP_NOWAIT));
	T_RESULT(mp_rwlock_readers(&s->lock), 1);
	T_RESULT(mp_rwlock_acquire_write(&s->lock, MP_FOREVER), -EDEADLK);
	T_RESULT(mp_rwlock_release_write(&s->lock), -EPERM);
	T_RESULT(mp_rwlock_downgrade(&s->lock), -EPERM);
	T_RESULT(mp_rwlock_destroy(&s->lock), -EBUSY);
	T_OK(mp_rwlock_release_read(&s->lock));
	T_RESULT(mp_rwlock_readers(&s->lock), 1);
	T_OK(mp_rwlock_release_read(&s->lock));
	T_RESULT(mp_rwlock_release_read(&s->lock), -EPERM);
	T_OK(mp_rwlock_acquire_write(&s->lock, MP_FOREVER));
	T_RESULT(mp_rwlock_writer(&s->lock), gettid());
	T_RESULT(mp_rwlock_acquire_write(&s->lock, MP_FOREVER), -EDEADLK);
	T_RESULT(mp_rwlock_acquire_read(&s->lock, MP_FOREVER), -EDEADLK);
	T_RESULT(mp_rwlock_destroy(&s->lock), -EBUSY);
	T_OK(mp_rwlock_downgrade(&s->lock));
	T_RESULT(mp_rwlock_release_write(&s->lock), -EPERM);
	T_OK(mp_rwlock_release_read(&s->lock));
	T_OK(mp_rwlock_destroy(&s->lock));
	T_RESULT(mp_rwlock_acquire_read(&s->lock, MP_NOWAIT), -EINVAL);
	T_RESULT(mp_rwlock_acquire_write(&s->lock, MP_NOWAIT), -EINVAL);
	T_RESULT(mp_rwlock_release_read(&s->lock), -EINVAL);
	T_RESULT(mp_rwlock_release_write(&s->lock), -EINVAL);
	T_RESULT(mp_rwlock_downgrade(&s->lock), -EINVAL);
	T_RESULT(mp_rwlock_writer(&s->lock), -EINVAL);
	T_RESULT(mp_rwlock_readers(&s->lock), -EINVAL);
	T_RESULT(mp_rwlock_destroy(&s->lock), -EINVAL);
}

static int read_destroyed(void *argument)
{
	(void)argument;
	t_ready();
	T_CHECK(mp_rwlock_acquire_read(&s->lock, T_TIMEOUT_MS) == -EINVAL);
	return 0;
}

static int write_destroyed(void *argument)
{
	(void)argument;
	t_ready();
	T_CHECK(mp_rwlock_acquire_write(&s->lock, T_TIMEOUT_MS) == -EINVAL);
	return 0;
}

/* As destroy does when it wins against those that were woken. */
Test(rwlock, who_waits_for_what_is_destroyed_is_told)
{
	struct t_child waiters[2];

	make_shared();
	struct mp__rwlock *rw = (struct mp__rwlock *)&s->lock;
	T_OK(mp_rwlock_acquire_write(&s->lock, MP_NOWAIT));
	waiters[0] = t_spawn(read_destroyed, NULL);
	waiters[1] = t_spawn(write_destroyed, NULL);
	for (int i = 0; i < 2; i++)
		t_wait_ready(&waiters[i]);
	mp__owner_destroy(&rw->word);
	mp__sync_publish(&rw->head, 0);
	mp__bell_ring(&rw->open, INT_MAX);
	for (int i = 0; i < 2; i++)
		t_expect_exit(&waiters[i], 0);
}

Test(rwlock, wrong_options_and_places)
{
	mp_rwlock_options flags = {.size = sizeof(flags), .flags = 1};
	mp_rwlock_options newer[2] = {{.size = sizeof(newer)}};

	make_shared();
	newer[1].flags = 1;
	T_RESULT(mp_rwlock_init(NULL, NULL), -EINVAL);
	T_RESULT(mp_rwlock_new(NULL, NULL), -EINVAL);
	T_RESULT(mp_rwlock_init((mp_rwlock *)(void *)((char *)s->misaligned + 4), NULL), -EINVAL);
	T_RESULT(mp_rwlock_init(&s->lock, &flags), -EINVAL);
	T_RESULT(mp_rwlock_init(&s->lock, newer), -E2BIG);
	T_RESULT(mp_rwlock_acquire_read(NULL, MP_NOWAIT), -EINVAL);
}

static int read_and_hang(void *argument)
{
	(void)argument;
	T_CHECK(mp_rwlock_acquire_read(&s->lock, MP_FOREVER) == 0);
	t_ready();
	t_hang();
}

static int write_and_hang(void *argument)
{
	(void)argument;
	T_CHECK(mp_rwlock_acquire_write(&s->lock, MP_FOREVER) == 0);
	t_ready();
	t_hang();
}

Test(rwlock, readers_keep_a_writer_out_until_they_die)
{
	make_shared();
	struct t_child child = t_spawn(read_and_hang, NULL);
	t_wait_ready(&child);
	T_OK(mp_rwlock_acquire_read(&s->lock, MP_NOWAIT));
	T_RESULT(mp_rwlock_readers(&s->lock), 2);
	T_OK(mp_rwlock_release_read(&s->lock));
	T_RESULT(mp_rwlock_acquire_write(&s->lock, MP_NOWAIT), -EAGAIN);
	T_RESULT(mp_rwlock_acquire_write(&s->lock, 20), -ETIMEDOUT);
	T_OK(mp_rwlock_acquire_read(&s->lock, MP_NOWAIT));
	T_OK(mp_rwlock_release_read(&s->lock));
	t_kill(&child, SIGKILL);
	T_OK(mp_rwlock_acquire_write(&s->lock, T_TIMEOUT_MS));
	T_OK(mp_rwlock_release_write(&s->lock));
}

Test(rwlock, a_dead_writer_is_news_until_one_has_written)
{
	make_shared();
	struct t_child child = t_spawn(write_and_hang, NULL);
	t_wait_ready(&child);
	T_RESULT(mp_rwlock_acquire_read(&s->lock, MP_NOWAIT), -EAGAIN);
	T_RESULT(mp_rwlock_acquire_read(&s->lock, 20), -ETIMEDOUT);
	T_RESULT(mp_rwlock_acquire_write(&s->lock, 20), -ETIMEDOUT);
	t_kill(&child, SIGKILL);
	T_RESULT(mp_rwlock_acquire_read(&s->lock, T_TIMEOUT_MS), MP_OWNER_DIED);
	T_RESULT(mp_rwlock_acquire_read(&s->lock, T_TIMEOUT_MS), MP_OWNER_DIED);
	T_OK(mp_rwlock_release_read(&s->lock));
	T_OK(mp_rwlock_release_read(&s->lock));
	T_RESULT(mp_rwlock_acquire_read(&s->lock, MP_NOWAIT), MP_OWNER_DIED);
	T_OK(mp_rwlock_release_read(&s->lock));
	T_RESULT(mp_rwlock_acquire_write(&s->lock, MP_NOWAIT), MP_OWNER_DIED);
	T_OK(mp_rwlock_release_write(&s->lock));
	T_OK(mp_rwlock_acquire_read(&s->lock, MP_NOWAIT));
	T_OK(mp_rwlock_release_read(&s->lock));
}

static int read_news_and_hang(void *argument)
{
	(void)argument;
	T_CHECK(mp_rwlock_acquire_read(&s->lock, T_TIMEOUT_MS) == MP_OWNER_DIED);
	t_ready();
	t_hang();
}

Test(rwlock, a_writer_that_gives_up_keeps_the_news)
{
	make_shared();
	struct t_child writer = t_spawn(write_and_hang, NULL);
	t_wait_ready(&writer);
	t_kill(&writer, SIGKILL);
	struct t_child reader = t_spawn(read_news_and_hang, NULL);
	t_wait_ready(&reader);
	T_RESULT(mp_rwlock_acquire_write(&s->lock, 20), -ETIMEDOUT);
	T_RESULT(mp_rwlock_acquire_write(&s->lock, MP_NOWAIT), -EAGAIN);
	T_RESULT(mp_rwlock_acquire_read(&s->lock, MP_NOWAIT), MP_OWNER_DIED);
	T_OK(mp_rwlock_release_read(&s->lock));
	t_kill(&reader, SIGKILL);
	T_RESULT(mp_rwlock_acquire_write(&s->lock, T_TIMEOUT_MS), MP_OWNER_DIED);
	T_OK(mp_rwlock_release_write(&s->lock));
}

static int write_once(void *argument)
{
	(void)argument;
	t_ready();
	int r = mp_rwlock_acquire_write(&s->lock, T_TIMEOUT_MS);
	T_CHECK(r == 0 || r == MP_OWNER_DIED);
	T_CHECK(mp_rwlock_release_write(&s->lock) == 0);
	return 0;
}

static int try_to_read(void *argument)
{
	(void)argument;
	return -mp_rwlock_acquire_read(&s->lock, MP_NOWAIT);
}

Test(rwlock, a_waiting_writer_keeps_new_readers_out_but_not_those_inside)
{
	make_shared();
	T_OK(mp_rwlock_acquire_read(&s->lock, MP_NOWAIT));
	struct t_child writer = t_spawn(write_once, NULL);
	t_wait_ready(&writer);
	while (mp_rwlock_writer(&s->lock) == 0)
		sched_yield();
	struct t_child reader = t_spawn(try_to_read, NULL);
	t_expect_exit(&reader, EAGAIN);
	T_OK(mp_rwlock_acquire_read(&s->lock, MP_NOWAIT));
	T_OK(mp_rwlock_release_read(&s->lock));
	T_OK(mp_rwlock_release_read(&s->lock));
	t_expect_exit(&writer, 0);
}

/* A cell of each of so many threads that live: this one's stamp with another number would be dead. */
Test(rwlock, more_readers_than_places_are_refused)
{
	make_shared();
	struct mp__rwlock *rw = (struct mp__rwlock *)&s->lock;
	struct t_child child = t_spawn(read_and_hang, NULL);
	t_wait_ready(&child);
	uint64_t living = 0;
	for (int i = 0; i < MP_RWLOCK_READERS_MAX; i++)
		living |= rw->cells[i].stamp;
	for (int i = 0; i < MP_RWLOCK_READERS_MAX; i++)
		rw->cells[i].stamp = living;
	T_RESULT(mp_rwlock_acquire_read(&s->lock, MP_NOWAIT), -EUSERS);
	t_kill(&child, SIGKILL);
	/* The dead make room. Its check may remember for a millisecond that it lived. */
	int r;
	while ((r = mp_rwlock_acquire_read(&s->lock, MP_NOWAIT)) == -EUSERS)
		sched_yield();
	T_OK(r);
	T_OK(mp_rwlock_release_read(&s->lock));
}

/* Its usual place is taken by another: it gets one beside, and finds it again. */
Test(rwlock, who_has_an_unusual_place_is_known_all_the_same)
{
	make_shared();
	struct mp__rwlock *rw = (struct mp__rwlock *)&s->lock;
	T_OK(mp_rwlock_acquire_read(&s->lock, MP_NOWAIT));
	int usual = 0;
	while (rw->cells[usual].stamp == 0)
		usual++;
	uint64_t mine = rw->cells[usual].stamp;
	T_OK(mp_rwlock_release_read(&s->lock));
	rw->cells[usual].stamp = mine ^ 1;
	T_OK(mp_rwlock_acquire_read(&s->lock, MP_NOWAIT));
	rw->cells[usual].stamp = 0;
	T_OK(mp_rwlock_acquire_read(&s->lock, MP_NOWAIT));
	T_RESULT(mp_rwlock_readers(&s->lock), 1);
	T_RESULT(mp_rwlock_acquire_write(&s->lock, MP_NOWAIT), -EDEADLK);
	T_OK(mp_rwlock_release_read(&s->lock));
	T_OK(mp_rwlock_release_read(&s->lock));
	T_RESULT(mp_rwlock_release_read(&s->lock), -EPERM);
	T_OK(mp_rwlock_acquire_write(&s->lock, MP_NOWAIT));
	T_OK(mp_rwlock_release_write(&s->lock));
}

Test(rwlock, too_deep_is_refused)
{
	make_shared();
	struct mp__rwlock *rw = (struct mp__rwlock *)&s->lock;
	T_OK(mp_rwlock_acquire_read(&s->lock, MP_NOWAIT));
	for (int i = 0; i < MP_RWLOCK_READERS_MAX; i++)
		rw->cells[i].depth = INT32_MAX;
	T_RESULT(mp_rwlock_acquire_read(&s->lock, MP_NOWAIT), -EOVERFLOW);
}

static int child_owns_nothing(void *argument)
{
	(void)argument;
	T_CHECK(mp_rwlock_release_read(&s->lock) == -EPERM);
	T_CHECK(mp_rwlock_acquire_write(&s->lock, MP_NOWAIT) == -EAGAIN);
	return 0;
}

Test(rwlock, a_forked_child_owns_nothing_of_its_parents)
{
	make_shared();
	T_OK(mp_rwlock_acquire_read(&s->lock, MP_FOREVER));
	struct t_child child = t_spawn(child_owns_nothing, NULL);
	t_expect_exit(&child, 0);
	T_OK(mp_rwlock_release_read(&s->lock));
}

/* --- deaths at every step ---------------------------------------------------------------------------- */

static int do_everything(void *argument)
{
	(void)argument;
	(void)mp_rwlock_acquire_read(&s->lock, T_TIMEOUT_MS);
	(void)mp_rwlock_release_read(&s->lock);
	(void)mp_rwlock_acquire_write(&s->lock, T_TIMEOUT_MS);
	(void)mp_rwlock_downgrade(&s->lock);
	(void)mp_rwlock_release_read(&s->lock);
	return 0;
}

static const char *const actions[] = {"kill", "stop", "exit"};

/* A stopped one is killed after others have tried what they can do meanwhile. */
static void die(int (*body)(void *), const char *point, const char *action)
{
	siginfo_t info;

	t_arm(point, action);
	struct t_child child = t_spawn(body, NULL);
	unsetenv("MP_TEST_POINT");
	if (strcmp(action, "exit") == 0) {
		t_expect_exit(&child, 86);
	} else if (strcmp(action, "kill") == 0) {
		t_expect_signal(&child, SIGKILL);
	} else {
		cr_assert_eq(waitid(P_PID, (id_t)child.pid, &info, WSTOPPED | WNOWAIT), 0);
		int r = mp_rwlock_acquire_read(&s->lock, 60);
		cr_assert(r >= 0 || r == -ETIMEDOUT || r == -EDEADLK, "%s: %d", point, r);
		if (r >= 0)
			T_OK(mp_rwlock_release_read(&s->lock));
		t_kill(&child, SIGKILL);
	}
	cr_assert(t_fired(), "%s", point);
	t_disarm();
}

Test(rwlock, dies_at_every_step)
{
	static const char *const points[] = {"rwlock.claimed", "rwlock.left", "rwlock.closed",
		"rwlock.downgrade", "rwlock.reopened"};

	make_shared();
	for (int i = 0; i < 15; i++) {
		const char *point = points[i / 3];
		die(do_everything, point, actions[i % 3]);
		int r = mp_rwlock_acquire_write(&s->lock, T_TIMEOUT_MS);
		cr_assert(r == 0 || r == MP_OWNER_DIED, "%s: %d", point, r);
		T_OK(mp_rwlock_release_write(&s->lock));
		T_OK(mp_rwlock_acquire_read(&s->lock, MP_NOWAIT));
		T_OK(mp_rwlock_release_read(&s->lock));
		T_RESULT(mp_rwlock_readers(&s->lock), 0);
	}
}

Test(rwlock, a_waiter_dies_at_every_step_of_waiting)
{
	make_shared();
	for (int i = 0; i < 3; i++) {
		T_OK(mp_rwlock_acquire_write(&s->lock, MP_NOWAIT));
		die(do_everything, "rwlock.listening", actions[i]);
		T_OK(mp_rwlock_downgrade(&s->lock));
		die(write_once, "rwlock.draining", actions[i]);
		die(do_everything, "rwlock.news", actions[i]);
		T_OK(mp_rwlock_release_read(&s->lock));
		T_RESULT(mp_rwlock_acquire_read(&s->lock, T_TIMEOUT_MS), MP_OWNER_DIED);
		T_OK(mp_rwlock_release_read(&s->lock));
		T_RESULT(mp_rwlock_acquire_write(&s->lock, T_TIMEOUT_MS), MP_OWNER_DIED);
		T_OK(mp_rwlock_release_write(&s->lock));
	}
}

#define ROUNDS 20000

static int read_and_write(void *argument)
{
	(void)argument;
	for (int i = 0; i < ROUNDS; i++) {
		if (i % 8 == 0) {
			T_CHECK(mp_rwlock_acquire_write(&s->lock, MP_FOREVER) == 0);
			s->first++;
			s->second++;
			T_CHECK(mp_rwlock_release_write(&s->lock) == 0);
			continue;
		}
		T_CHECK(mp_rwlock_acquire_read(&s->lock, MP_FOREVER) == 0);
		T_CHECK(s->first == s->second);
		T_CHECK(mp_rwlock_release_read(&s->lock) == 0);
	}
	return 0;
}

Test(rwlock, no_reader_sees_half_of_a_change)
{
	struct t_child children[4];

	make_shared();
	for (int i = 0; i < 4; i++)
		children[i] = t_spawn(read_and_write, NULL);
	for (int i = 0; i < 4; i++)
		t_expect_exit(&children[i], 0);
	cr_assert_eq(s->first, 4 * ROUNDS / 8);
}

static void *read_and_write_thread(void *argument)
{
	return read_and_write(argument) == 0 ? s : NULL;
}

Test(rwlock, no_thread_sees_half_of_a_change)
{
	pthread_t threads[4];

	make_shared();
	for (int i = 0; i < 4; i++)
		cr_assert_eq(pthread_create(&threads[i], NULL, read_and_write_thread, NULL), 0);
	for (int i = 0; i < 4; i++)
		cr_assert_eq(pthread_join(threads[i], NULL), 0);
	cr_assert_eq(s->first, 4 * ROUNDS / 8);
}
