/* SPDX-License-Identifier: MIT */
/* Stamps, guards and bells: who is dead, who may enter, who is woken. */
#include <config.h>

#include "tests/support/support.h"

#include "base/stamp.h"
#include "shm/bell.h"
#include "shm/guard.h"

#include <mp/log.h>
#include <pthread.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/wait.h>

T_SUITE(shm_guard);

struct shared {
	mp__guard guard;
	mp__bell bell;
	_Atomic uint64_t stamp;
	_Atomic uint64_t thread_stamp;
	_Atomic uint64_t count;
	uint64_t plain;
};

static struct shared *s;

static void make_shared(void)
{
	s = mmap(NULL, sizeof(*s), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	cr_assert(s != MAP_FAILED);
}

static int enter_and_hang(void *argument)
{
	(void)argument;
	T_CHECK(mp__guard_enter(&s->guard, MP__DEADLINE_NEVER) == 0);
	s->stamp = mp__stamp_process();
	t_ready();
	t_hang();
}

Test(shm_guard, a_stamp_names_its_thread)
{
	make_shared();
	cr_assert_eq(mp__stamp_self(), mp__stamp_self());
	cr_assert_eq(mp__stamp_tid(mp__stamp_self()), gettid());
	cr_assert_eq(mp__stamp_tid(mp__stamp_process()), getpid());
	cr_assert_not(mp__stamp_thread_dead(mp__stamp_self()));
	cr_assert_not(mp__stamp_process_dead(mp__stamp_process()));
	cr_assert(mp__stamp_thread_dead(0));
}

Test(shm_guard, a_reused_number_is_not_taken_for_the_dead_one)
{
	uint64_t other_start = mp__stamp_self() ^ UINT64_C(1) << 40;

	cr_assert(mp__stamp_thread_dead(other_start));
	cr_assert(mp__stamp_process_dead(other_start));
}

Test(shm_guard, another_namespace_cannot_be_judged)
{
	uint64_t elsewhere = (mp__stamp_self() ^ UINT64_C(1) << 22) | 0x3fffff;

	cr_assert_not(mp__stamp_thread_dead(elsewhere));
	cr_assert_not(mp__stamp_process_dead(elsewhere));
}

static int stamp_in_child(void *argument)
{
	uint64_t parent = *(uint64_t *)argument;

	T_CHECK(mp__stamp_self() != parent);
	T_CHECK(mp__stamp_tid(mp__stamp_self()) == gettid());
	T_CHECK(mp__stamp_tid(mp__stamp_process()) == getpid());
	return 0;
}

Test(shm_guard, a_forked_child_has_its_own)
{
	uint64_t mine = mp__stamp_self();
	uint64_t process = mp__stamp_process();

	cr_assert(process != 0);
	struct t_child child = t_spawn(stamp_in_child, &mine);
	t_expect_exit(&child, 0);
}

static void *thread_stamps(void *argument)
{
	(void)argument;
	s->thread_stamp = mp__stamp_self();
	return NULL;
}

Test(shm_guard, a_thread_that_ended_is_dead_its_process_is_not)
{
	pthread_t thread;

	make_shared();
	cr_assert_eq(pthread_create(&thread, NULL, thread_stamps, NULL), 0);
	cr_assert_eq(pthread_join(thread, NULL), 0);
	cr_assert_neq(s->thread_stamp, mp__stamp_self());
	/* The number may live on for an instant after the join. */
	while (!mp__stamp_thread_dead(s->thread_stamp))
		sched_yield();
	cr_assert_not(mp__stamp_process_dead(mp__stamp_process()));
}

static void *outlive_main(void *argument)
{
	(void)argument;
	while (!mp__stamp_thread_dead(mp__stamp_process()))
		sched_yield();
	t_ready();
	t_hang();
}

static int leave_main(void *argument)
{
	pthread_t thread;

	(void)argument;
	s->stamp = mp__stamp_process();
	T_CHECK(pthread_create(&thread, NULL, outlive_main, NULL) == 0);
	pthread_exit(NULL);
}

Test(shm_guard, a_process_whose_first_thread_ended_lives)
{
	make_shared();
	struct t_child child = t_spawn(leave_main, NULL);
	t_wait_ready(&child);
	cr_assert(mp__stamp_thread_dead(s->stamp));
	cr_assert_not(mp__stamp_process_dead(s->stamp));
	t_kill(&child, SIGKILL);
	cr_assert(mp__stamp_process_dead(s->stamp));
}

Test(shm_guard, a_zombie_is_dead)
{
	siginfo_t info;

	make_shared();
	struct t_child child = t_spawn(enter_and_hang, NULL);
	t_wait_ready(&child);
	cr_assert_eq(kill(child.pid, SIGKILL), 0);
	cr_assert_eq(waitid(P_PID, (id_t)child.pid, &info, WEXITED | WNOWAIT), 0);
	cr_assert(mp__stamp_process_dead(s->stamp));
	cr_assert(mp__stamp_thread_dead(s->guard));
	t_expect_signal(&child, SIGKILL);
}

Test(shm_guard, a_dead_owner_gives_way_and_is_reported)
{
	make_shared();
	struct t_child child = t_spawn(enter_and_hang, NULL);
	t_wait_ready(&child);
	T_RESULT(mp__guard_enter(&s->guard, mp__deadline_in(0)), -ETIMEDOUT);
	t_kill(&child, SIGKILL);
	T_RESULT(mp__guard_enter(&s->guard, MP__DEADLINE_NEVER), MP_OWNER_DIED);
	mp__guard_leave(&s->guard);
	T_OK(mp__guard_enter(&s->guard, MP__DEADLINE_NEVER));
	T_RESULT(mp__guard_enter(&s->guard, MP__DEADLINE_NEVER), -EDEADLK);
	mp__guard_leave_and_look(&s->guard);
}

Test(shm_guard, a_stopped_owner_is_waited_for_up_to_the_deadline)
{
	make_shared();
	struct t_child child = t_spawn(enter_and_hang, NULL);
	t_wait_ready(&child);
	t_kill(&child, SIGSTOP);
	T_RESULT(mp__guard_enter(&s->guard, mp__deadline_in(20)), -ETIMEDOUT);
	t_kill(&child, SIGKILL);
}

/* --- owners that cannot be judged ----------------------------------------------------------------- */

static int remarks;

static void note(int level, const char *component, const char *message, void *data)
{
	(void)data;
	if (level == MP_LOG_WARNING && strcmp(component, "shm") == 0 &&
		strstr(message, "in the middle of a change"))
		remarks++;
}

static int enter_for_ever(void *argument)
{
	(void)argument;
	T_CHECK(mp_log_set_handler(MP_LOG_WARNING, note, NULL) == 0);
	mp__guard_patience_ns = INT64_C(1200000000);
	T_CHECK(mp__guard_enter(&s->guard, MP__DEADLINE_NEVER) == -ETIMEDOUT);
	T_CHECK(strstr(mp_error_detail(), "another PID namespace"));
	T_CHECK(remarks == 1);
	return 0;
}

Test(shm_guard, garbage_or_a_stranger_is_not_waited_for_without_end)
{
	const uint64_t here = mp__stamp_self();
	const uint64_t words[] = {here ^ UINT64_C(1) << 22, here ^ UINT64_C(0xff) << 22 ^ 1,
		(here ^ UINT64_C(1) << 25) & 0x3fffffff};

	make_shared();
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		s->guard = words[i];
		struct t_child child = t_spawn(enter_for_ever, NULL);
		t_expect_exit(&child, 0);
		cr_assert_eq(s->guard, words[i], "it is nobody's to take");
	}
	/* Of this namespace, but nobody's: dead. */
	s->guard = here ^ UINT64_C(1) << 40;
	T_RESULT(mp__guard_enter(&s->guard, MP__DEADLINE_NEVER), MP_OWNER_DIED);
	mp__guard_leave(&s->guard);
	s->guard = (here & ~UINT64_C(0x3fffff)) | 0x3fffff;
	T_RESULT(mp__guard_enter(&s->guard, MP__DEADLINE_NEVER), MP_OWNER_DIED);
	mp__guard_leave(&s->guard);
}

static int die_elsewhere(void *argument)
{
	(void)argument;
	if (unshare(CLONE_NEWPID) < 0)
		return 77;
	/* By hand: the first process of a namespace sees no parent. */
	pid_t pid = fork();
	T_CHECK(pid >= 0);
	if (pid == 0) {
		(void)mp__guard_enter(&s->guard, MP__DEADLINE_NEVER);
		_exit(0);
	}
	T_CHECK(waitpid(pid, NULL, 0) == pid);
	return 0;
}

Test(shm_guard, an_owner_that_died_in_another_namespace)
{
	if (getuid() != 0)
		cr_skip_test("needs root, to make a PID namespace");
	make_shared();
	struct t_child child = t_spawn(die_elsewhere, NULL);
	t_expect_exit(&child, 0);
	cr_assert_neq(s->guard, 0);
	/* A hash of eight bits: once in 256 times it is the same. */
	if (mp__stamp_is_of_here(s->guard))
		cr_skip_test("the namespaces look the same");
	child = t_spawn(enter_for_ever, NULL);
	t_expect_exit(&child, 0);
}

static int enter_within_seconds(void *argument)
{
	(void)argument;
	T_CHECK(mp_log_set_handler(MP_LOG_WARNING, note, NULL) == 0);
	T_CHECK(mp__guard_enter(&s->guard, mp__deadline_in(1300)) == -ETIMEDOUT);
	T_CHECK(remarks == 1);
	return 0;
}

Test(shm_guard, a_stopped_owner_is_worth_a_remark)
{
	make_shared();
	struct t_child owner = t_spawn(enter_and_hang, NULL);
	t_wait_ready(&owner);
	t_kill(&owner, SIGSTOP);
	struct t_child child = t_spawn(enter_within_seconds, NULL);
	t_expect_exit(&child, 0);
	t_kill(&owner, SIGKILL);
}

#define ROUNDS 100000

static int count_up(void *argument)
{
	(void)argument;
	for (int i = 0; i < ROUNDS; i++) {
		T_CHECK(mp__guard_enter(&s->guard, MP__DEADLINE_NEVER) == 0);
		s->plain++;
		mp__guard_leave(&s->guard);
	}
	return 0;
}

Test(shm_guard, one_at_a_time)
{
	struct t_child children[4];

	make_shared();
	for (int i = 0; i < 4; i++)
		children[i] = t_spawn(count_up, NULL);
	for (int i = 0; i < 4; i++)
		t_expect_exit(&children[i], 0);
	cr_assert_eq(s->plain, 4 * ROUNDS);
}

static int wait_for_count(void *argument)
{
	uint64_t wanted = *(uint64_t *)argument;

	t_ready();
	for (;;) {
		uint32_t heard = mp__bell_listen(&s->bell);
		if (s->count >= wanted)
			return 0;
		T_CHECK(mp__bell_sleep(&s->bell, heard, MP__DEADLINE_NEVER) == 0);
	}
}

Test(shm_guard, a_bell_wakes_who_listens)
{
	struct t_child children[3];
	uint64_t wanted = 1;

	make_shared();
	for (int i = 0; i < 3; i++) {
		children[i] = t_spawn(wait_for_count, &wanted);
		t_wait_ready(&children[i]);
	}
	atomic_fetch_add(&s->count, 1);
	mp__bell_ring(&s->bell, 3);
	for (int i = 0; i < 3; i++)
		t_expect_exit(&children[i], 0);
	/* Nobody sleeps: the bit goes at the next ring, and then rings cost nothing. */
	mp__bell_ring(&s->bell, 1);
	cr_assert_not(mp__bell_has_sleepers(&s->bell));
}

Test(shm_guard, a_bell_has_a_deadline)
{
	make_shared();
	uint32_t heard = mp__bell_listen(&s->bell);
	T_RESULT(mp__bell_sleep(&s->bell, heard, mp__deadline_in(0)), -ETIMEDOUT);
	mp__deadline soon = mp__deadline_in(20);
	while (mp__bell_sleep(&s->bell, heard, soon) == 0)
		;
	cr_assert(mp__deadline_passed(soon));
}

static int ring_once(void *argument)
{
	(void)argument;
	mp__bell_ring(&s->bell, 1);
	return 0;
}

/* It has woken nobody yet, and its wake-up is over: so it must find another word. */
Test(shm_guard, who_is_about_to_sleep_hears_the_bell)
{
	make_shared();
	uint32_t heard = mp__bell_listen(&s->bell);
	t_arm("bell.rung", "kill");
	struct t_child child = t_spawn(ring_once, NULL);
	t_expect_signal(&child, SIGKILL);
	t_disarm();
	cr_assert_neq(s->bell, heard);
	cr_assert(mp__bell_has_sleepers(&s->bell));
}
