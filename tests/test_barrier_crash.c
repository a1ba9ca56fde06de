/* SPDX-License-Identifier: MIT */
/* Barriers whose parties are killed, at every step and between rounds: nobody waits for the dead. */
#include <config.h>

#include "tests/support/world.h"

#include "sync/barrier_layout.h"

#include <mp/barrier.h>
#include <sched.h>
#include <stdatomic.h>
#include <sys/wait.h>

T_SUITE(barrier_crash);

#define N 3

struct world {
	mp_barrier barrier;
	atomic_int passed;
	atomic_int go;
	mp_barrier_party by[N];
	atomic_int n_by;
};

static body *const bodies[] = {NULL};
static struct world *w;

static void setup(int parties)
{
	w = new_world(sizeof(*w));
	T_OK(mp_barrier_init(&w->barrier, parties, NULL));
}

static void teardown(void)
{
	T_OK(mp_barrier_destroy(&w->barrier));
	free_world(w, sizeof(*w));
}

static int nothing(void *arg)
{
	(void)arg;
	return 0;
}

static int wait_here(void)
{
	return mp_barrier_wait(&w->barrier, T_TIMEOUT_MS / 2);
}

static void wait_for_waiters(int n)
{
	while (mp_barrier_waiting(&w->barrier) < n)
		sched_yield();
}

/* Round after round, until it breaks. */
static int go_round(void *argument)
{
	int r;

	(void)argument;
	do {
		r = mp_barrier_wait_action(&w->barrier, nothing, NULL, T_TIMEOUT_MS / 2);
		w->passed++;
	} while (r >= 0);
	T_CHECK(r == -EPIPE);
	T_CHECK(strstr(mp_error_detail(), "has died"));
	T_CHECK(mp_barrier_broken(&w->barrier, &w->by[w->n_by++]) == MP_BARRIER_DIED);
	return 0;
}

static int pass_ten(void *argument)
{
	(void)argument;
	for (int i = 0; i < 10; i++)
		T_CHECK(wait_here() >= 0);
	return 0;
}

/* After a reset it is as good as new. */
static void use_again(void)
{
	struct t_child children[N];

	T_OK(mp_barrier_reset(&w->barrier));
	for (int i = 0; i < N; i++)
		children[i] = t_spawn(pass_ten, NULL);
	for (int i = 0; i < N; i++)
		t_expect_exit(&children[i], 0);
	T_RESULT(mp_barrier_broken(&w->barrier, NULL), 0);
}

/* Which of the children did not leave with 0; exactly one. */
static int the_dead_one(struct t_child *children)
{
	int dead = -1;

	for (int i = 0; i < N; i++) {
		siginfo_t info = {0};
		t_wait_pidfd(children[i].pidfd);
		cr_assert(waitid(P_PIDFD, (id_t)children[i].pidfd, &info, WEXITED) == 0);
		close(children[i].pidfd);
		close(children[i].ready);
		if (info.si_code == CLD_EXITED && info.si_status == 0)
			continue;
		cr_assert_eq(dead, -1, "two children failed");
		dead = i;
	}
	cr_assert_geq(dead, 0, "nobody died");
	return children[dead].pid;
}

static void kill_stopped(struct t_child *children)
{
	siginfo_t info = {0};

	do
		cr_assert(waitid(P_ALL, 0, &info, WSTOPPED | WEXITED | WNOWAIT) == 0);
	while (info.si_code != CLD_STOPPED);
	for (int i = 0; i < N; i++) {
		if (children[i].pid == info.si_pid)
			kill(children[i].pid, SIGKILL);
	}
}

static void die_at(const char *point, const char *action)
{
	struct t_child children[N];

	setup(N);
	t_arm(point, action);
	for (int i = 0; i < N; i++)
		children[i] = t_spawn(go_round, NULL);
	if (strcmp(action, "stop") == 0)
		kill_stopped(children);
	int pid = the_dead_one(children);
	cr_assert(t_fired(), "%s was not reached", point);
	t_disarm();
	cr_assert_eq(w->n_by, N - 1);
	for (int i = 0; i < N - 1; i++)
		cr_assert_eq(w->by[i].pid, pid);
	use_again();
	teardown();
}

static const char *const points[] = {"barrier.emptied", "barrier.named", "barrier.entered",
	"barrier.before_sleep", "barrier.before_action", "barrier.after_action", "barrier.decided",
	"barrier.told", "barrier.emptied_round", "barrier.inside_guard", "barrier.before_bell",
	"barrier.before_leaving"};

/* A newcomer is none of the parties before it is inside: the others wait on until it is. */
static bool is_entry(const char *point)
{
	return strcmp(point, "barrier.emptied") == 0 || strcmp(point, "barrier.named") == 0;
}

static int start_late(void *argument)
{
	t_ready();
	while (!w->go)
		sched_yield();
	return go_round(argument);
}

/* Killed on its way in: another one takes its place, and is killed when it has passed a round. */
static void die_entering(const char *point, const char *action)
{
	struct t_child children[N];

	setup(N);
	for (int i = 1; i < N; i++)
		children[i] = t_spawn(go_round, NULL);
	wait_for_waiters(N - 1);
	t_arm(point, action);
	struct t_child victim = t_spawn(go_round, NULL);
	if (strcmp(action, "stop") == 0) {
		siginfo_t info = {0};
		cr_assert(waitid(P_PID, (id_t)victim.pid, &info, WSTOPPED) == 0);
		kill(victim.pid, SIGKILL);
	}
	if (strcmp(action, "exit") == 0)
		t_expect_exit(&victim, 86);
	else
		t_expect_signal(&victim, SIGKILL);
	t_disarm();
	children[0] = t_spawn(start_late, NULL);
	t_wait_ready(&children[0]);
	cr_assert_eq(w->passed, 0);
	w->go = 1;
	while (w->passed < 10 * N)
		sched_yield();
	kill(children[0].pid, SIGKILL);
	cr_assert_eq(the_dead_one(children), children[0].pid);
	use_again();
	teardown();
}

static void die_at_each(const char *action)
{
	for (size_t i = 0; i < sizeof(points) / sizeof(points[0]); i++) {
		if (is_entry(points[i]))
			die_entering(points[i], action);
		else
			die_at(points[i], action);
	}
}

Test(barrier_crash, killed_at_each_step)
{
	die_at_each("kill");
}

Test(barrier_crash, stopped_and_killed_at_each_step)
{
	die_at_each("stop");
}

Test(barrier_crash, exit_at_each_step)
{
	die_at_each("exit");
}

/* --- whole processes ------------------------------------------------------------------------------- */

static int expect_death(void *argument)
{
	(void)argument;
	t_ready();
	T_CHECK(wait_here() == -EPIPE);
	T_CHECK(strstr(mp_error_detail(), "has died"));
	return 0;
}

static int wait_and_hang(void *argument)
{
	(void)argument;
	t_ready();
	T_CHECK(wait_here() >= 0);
	t_ready();
	t_hang();
}

static void expect_broken_by(pid_t pid)
{
	mp_barrier_party by;
	char text[64];

	T_RESULT(mp_barrier_broken(&w->barrier, &by), MP_BARRIER_DIED);
	cr_assert_eq(by.pid, pid);
	snprintf(text, sizeof(text), "process %d (", pid);
	T_RESULT(wait_here(), -EPIPE);
	cr_assert(strstr(mp_error_detail(), text), "%s", mp_error_detail());
}

Test(barrier_crash, killed_while_it_waits)
{
	setup(3);
	struct t_child victim = t_spawn(wait_and_hang, NULL);
	struct t_child other = t_spawn(expect_death, NULL);
	wait_for_waiters(2);
	t_kill(&victim, SIGKILL);
	t_expect_exit(&other, 0);
	expect_broken_by(victim.pid);
	teardown();
}

/* Nobody was there to see it die: the last one to come does. */
Test(barrier_crash, killed_while_it_waits_alone)
{
	setup(2);
	struct t_child victim = t_spawn(wait_and_hang, NULL);
	wait_for_waiters(1);
	t_kill(&victim, SIGKILL);
	usleep(1000); /* from then on it is certain */
	T_RESULT(wait_here(), -EPIPE);
	expect_broken_by(victim.pid);
	teardown();
}

Test(barrier_crash, killed_between_two_rounds)
{
	setup(2);
	struct t_child victim = t_spawn(wait_and_hang, NULL);
	cr_assert(wait_here() >= 0);
	t_wait_ready(&victim);
	t_wait_ready(&victim);
	t_kill(&victim, SIGKILL);
	T_RESULT(wait_here(), -EPIPE);
	expect_broken_by(victim.pid);
	teardown();
}

static int join_and_hang(void *argument)
{
	(void)argument;
	T_CHECK(mp_barrier_join(&w->barrier) == 0);
	T_CHECK(mp_barrier_join(&w->barrier) == 0);
	t_ready();
	t_hang();
}

Test(barrier_crash, who_joined_is_expected)
{
	setup(2);
	struct t_child victim = t_spawn(join_and_hang, NULL);
	t_wait_ready(&victim);
	T_OK(mp_barrier_join(&w->barrier));
	t_kill(&victim, SIGKILL);
	T_RESULT(wait_here(), -EPIPE);
	expect_broken_by(victim.pid);
	T_RESULT(mp_barrier_join(&w->barrier), -EPIPE);
	teardown();
}

Test(barrier_crash, no_more_can_join_than_there_are_parties)
{
	setup(1);
	struct t_child child = t_spawn(join_and_hang, NULL);
	t_wait_ready(&child);
	T_RESULT(mp_barrier_join(&w->barrier), -ENOSPC);
	t_kill(&child, SIGKILL);
	teardown();
}

static int pass_and_leave(void *argument)
{
	(void)argument;
	T_CHECK(wait_here() >= 0);
	T_CHECK(mp_barrier_leave(&w->barrier) == 0);
	T_CHECK(mp_barrier_leave(&w->barrier) == -EPERM);
	return 0;
}

static int pass_late(void *argument)
{
	(void)argument;
	wait_for_waiters(1);
	usleep(200000); /* longer than a waiter goes without a look at the others */
	T_CHECK(wait_here() >= 0);
	return 0;
}

Test(barrier_crash, who_left_may_be_replaced_late)
{
	setup(2);
	struct t_child first = t_spawn(pass_and_leave, NULL);
	cr_assert(wait_here() >= 0);
	t_expect_exit(&first, 0);
	struct t_child second = t_spawn(pass_late, NULL);
	cr_assert(wait_here() >= 0);
	t_expect_exit(&second, 0);
	teardown();
}

static int pass(void *argument)
{
	(void)argument;
	T_CHECK(wait_here() >= 0);
	return 0;
}

Test(barrier_crash, a_newcomer_replaces_who_ended)
{
	setup(2);
	for (int i = 0; i < 5; i++) {
		struct t_child child = t_spawn(pass, NULL);
		if (i > 0)
			wait_for_waiters(1);
		cr_assert(wait_here() >= 0);
		t_expect_exit(&child, 0);
	}
	teardown();
}

static int action_dies(void *arg)
{
	(void)arg;
	raise(SIGKILL);
	return 0;
}

static int wait_with_deadly_action(void *argument)
{
	(void)argument;
	wait_for_waiters(2);
	mp_barrier_wait_action(&w->barrier, action_dies, NULL, T_TIMEOUT_MS / 2);
	return 1;
}

Test(barrier_crash, killed_in_the_action)
{
	setup(3);
	struct t_child a = t_spawn(expect_death, NULL);
	struct t_child b = t_spawn(expect_death, NULL);
	struct t_child c = t_spawn(wait_with_deadly_action, NULL);
	t_expect_signal(&c, SIGKILL);
	t_expect_exit(&a, 0);
	t_expect_exit(&b, 0);
	expect_broken_by(c.pid);
	teardown();
}

/* --- who changes a barrier without being a party --------------------------------------------------- */

static int expect_result(void *argument)
{
	T_CHECK(wait_here() == (int)(intptr_t)argument);
	return 0;
}

static int abort_it(void *argument)
{
	(void)argument;
	mp_barrier_abort(&w->barrier);
	return 1;
}

static int reset_it(void *argument)
{
	(void)argument;
	mp_barrier_reset(&w->barrier);
	return 1;
}

static void change_and_die(const char *point, int (*change)(void *), int expected)
{
	struct t_child waiters[N - 1];

	setup(N);
	for (int i = 0; i < N - 1; i++)
		waiters[i] = t_spawn(expect_result, (void *)(intptr_t)expected);
	wait_for_waiters(N - 1);
	t_arm(point, "kill");
	struct t_child changer = t_spawn(change, NULL);
	t_expect_signal(&changer, SIGKILL);
	t_disarm();
	for (int i = 0; i < N - 1; i++)
		t_expect_exit(&waiters[i], 0);
	use_again();
	teardown();
}

Test(barrier_crash, killed_while_it_aborts)
{
	change_and_die("barrier.broken", abort_it, -EPIPE);
	change_and_die("barrier.decided", abort_it, -EPIPE);
	change_and_die("barrier.told", abort_it, -EPIPE);
	change_and_die("barrier.inside_guard", abort_it, -EPIPE);
	change_and_die("barrier.before_bell", abort_it, -EPIPE);
}

/* So early that nothing has happened yet. */
Test(barrier_crash, killed_before_it_aborts)
{
	setup(N);
	struct t_child a = t_spawn(pass, NULL);
	struct t_child b = t_spawn(pass, NULL);
	wait_for_waiters(N - 1);
	t_arm("barrier.blamed", "kill");
	struct t_child changer = t_spawn(abort_it, NULL);
	t_expect_signal(&changer, SIGKILL);
	t_disarm();
	cr_assert(wait_here() >= 0);
	t_expect_exit(&a, 0);
	t_expect_exit(&b, 0);
	teardown();
}

Test(barrier_crash, killed_while_it_resets)
{
	change_and_die("barrier.decided", reset_it, -ECANCELED);
	change_and_die("barrier.told", reset_it, -ECANCELED);
	change_and_die("barrier.emptied_round", reset_it, -ECANCELED);
	change_and_die("barrier.sent_away", reset_it, -ECANCELED);
	change_and_die("barrier.forgotten", reset_it, -ECANCELED);
	change_and_die("barrier.inside_guard", reset_it, -ECANCELED);
	change_and_die("barrier.before_bell", reset_it, -ECANCELED);
}

/* A party dies between rounds, and so does the one that finds it. */
Test(barrier_crash, the_finder_of_a_dead_one_is_killed)
{
	setup(3);
	struct t_child victim = t_spawn(wait_and_hang, NULL);
	struct t_child passer = t_spawn(pass, NULL);
	cr_assert(wait_here() >= 0);
	t_wait_ready(&victim);
	t_wait_ready(&victim);
	t_expect_exit(&passer, 0);
	t_arm("barrier.buried", "kill");
	struct t_child finder = t_spawn(expect_death, NULL);
	wait_for_waiters(1);
	t_kill(&victim, SIGKILL);
	t_expect_signal(&finder, SIGKILL);
	t_disarm();
	T_RESULT(wait_here(), -EPIPE);
	use_again();
	teardown();
}

/* --- a process that stands still in the middle of a change ----------------------------------------- */

static int wait_shortly(void *timeout_ms)
{
	int r;

	do
		r = mp_barrier_wait(&w->barrier, *(int *)timeout_ms);
	while (r >= 0);
	T_CHECK(r == -ETIMEDOUT || r == -EPIPE);
	return 0;
}

/* One that waits, and one that is stopped while it comes: before the first has waited in vain. */
static void stop_beside(struct t_child *other, struct t_child *stopped)
{
	siginfo_t info = {0};

	for (int timeout_ms = 400;; timeout_ms *= 2) {
		*other = t_spawn(wait_shortly, &timeout_ms);
		while (mp_barrier_waiting(&w->barrier) < 1 && !mp_barrier_broken(&w->barrier, NULL))
			sched_yield();
		t_arm("barrier.entered", "stop");
		*stopped = t_spawn(wait_shortly, &timeout_ms);
		cr_assert(waitid(P_PIDFD, (id_t)stopped->pidfd, &info,
				  WSTOPPED | WEXITED | WNOWAIT) == 0);
		t_disarm();
		if (info.si_code == CLD_STOPPED)
			return;
		t_expect_exit(stopped, 0);
		t_expect_exit(other, 0);
		T_OK(mp_barrier_reset(&w->barrier));
	}
}

Test(barrier_crash, nobody_waits_longer_for_who_is_stopped)
{
	struct t_child other;
	struct t_child stopped;

	setup(N);
	stop_beside(&other, &stopped);
	T_RESULT(mp_barrier_wait(&w->barrier, 10), -ETIMEDOUT);
	T_RESULT(mp_barrier_wait(&w->barrier, MP_NOWAIT), -EAGAIN);
	t_expect_exit(&other, 0);
	mp__guard_patience_ns = INT64_C(2000000000);
	T_RESULT(mp_barrier_abort(&w->barrier), -ETIMEDOUT);
	kill(stopped.pid, SIGCONT);
	t_expect_exit(&stopped, 0);
	cr_assert_gt(mp_barrier_broken(&w->barrier, NULL), 0);
	use_again();
	teardown();
}

/* --- many parties ---------------------------------------------------------------------------------- */

static int be_one_of_thousands(void *barrier)
{
	T_CHECK(mp_barrier_join(barrier) == 0);
	t_ready();
	t_hang();
}

/* As if thousands had come before it: its cell is the last one. */
Test(barrier_crash, one_dead_party_among_thousands_is_found)
{
	mp_barrier *b;
	mp_barrier_party by;

	T_OK(mp_barrier_new(4096, NULL, &b));
	struct mp__barrier_layout *at = (struct mp__barrier_layout *)(void *)b;
	struct t_child child = t_spawn(be_one_of_thousands, b);
	t_wait_ready(&child);
	memcpy(&at->cells[4095], &at->cells[0], sizeof(at->cells[0]));
	memset(&at->cells[0], 0, sizeof(at->cells[0]));
	t_kill(&child, SIGKILL);
	T_RESULT(mp_barrier_wait(b, T_TIMEOUT_MS), -EPIPE);
	T_RESULT(mp_barrier_broken(b, &by), MP_BARRIER_DIED);
	cr_assert_eq(by.pid, child.pid);
	mp_barrier_close(b);
}

static void sleep_ms(int ms)
{
	mp__deadline until = mp__deadline_in(ms);

	while (!mp__deadline_passed(until))
		sched_yield();
}

Test(barrier_crash, looks_are_shared_and_go_round)
{
	_Atomic uint32_t word = 0;
	bool seen[1000] = {false};
	unsigned left = 1000;
	unsigned first;
	unsigned expected = 0;

	for (int i = 0; left > 0; i++) {
		unsigned n = mp__look_due(&word, 1000, &first);
		if (i > 0 && n > 0)
			cr_assert_eq(first, expected);
		cr_assert_leq(n, MP__LOOK_AT_ONCE);
		for (unsigned k = 0; k < n; k++) {
			left -= !seen[(first + k) % 1000];
			seen[(first + k) % 1000] = true;
		}
		expected = n > 0 ? (first + n) % 1000 : expected;
		sleep_ms(MP__LOOK_EVERY_MS / 3);
	}
	/* Of two at the same time one looks, at all of few cells. */
	sleep_ms(MP__LOOK_EVERY_MS + 1);
	cr_assert_eq(mp__look_due(&word, 3, &first), 3);
	sleep_ms(MP__LOOK_EVERY_MS + 1);
	atomic_store(&word, atomic_load(&word) | 0xfff); /* damaged: no such cell */
	cr_assert_eq(mp__look_due(&word, 3, &first), 3);
	cr_assert_eq(first, 0);
	cr_assert_eq(mp__look_due(&word, 0, &first), 0);
}
