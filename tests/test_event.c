/* SPDX-License-Identifier: MIT */
/* Events: as CPython's tests have them, set from signal handlers, with deaths at each step. */
#include <config.h>

#include "tests/support/asleep.h"
#include "tests/support/starts.h"

#include "base/deadline.h"
#include "sync/event_layout.h"

#include <mp/event.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <sys/wait.h>

T_SUITE(event);

#define CROWD 8

struct shared {
	mp_event a;
	mp_event b;
	_Atomic int waiting;
	_Atomic int woken;
	long plain;
};

static struct shared *s;

static void make_shared(void)
{
	s = mmap(NULL, sizeof(*s), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	cr_assert(s != MAP_FAILED);
	T_OK(mp_event_init(&s->a, MP_EVENT_OPTIONS(.name = "test")));
	T_OK(mp_event_init(&s->b, NULL));
}

static bool somebody_sleeps(mp_event *event)
{
	return atomic_load(&((struct mp__event *)event)->word) & MP__EVENT_SLEEPS;
}

static int wait_for_a(void *argument)
{
	(void)argument;
	t_ready();
	s->waiting++;
	T_CHECK(mp_event_wait(&s->a, T_TIMEOUT_MS / 2) == 0);
	s->woken++;
	return 0;
}

static void *wait_in_thread(void *argument)
{
	(void)argument;
	s->waiting++;
	int r = mp_event_wait(&s->a, T_TIMEOUT_MS / 2);
	s->woken++;
	return (void *)(intptr_t)r;
}

static int set_a(void *argument)
{
	(void)argument;
	T_CHECK(mp_event_set(&s->a) == 0);
	return 0;
}

/* --- as CPython has them ------------------------------------------------------------------------- */

Test(event, test_event)
{
	make_shared();
	T_RESULT(mp_event_is_set(&s->a), 0);
	T_RESULT(mp_event_wait(&s->a, MP_NOWAIT), -EAGAIN);
	int64_t began = mp__now_ns();
	T_RESULT(mp_event_wait(&s->a, 30), -ETIMEDOUT);
	cr_assert_geq(mp__now_ns() - began, 30000000);
	cr_assert_str_eq(mp_error_detail(), "waiting for event 'test': it is not set");
	T_OK(mp_event_set(&s->a));
	T_OK(mp_event_set(&s->a));
	T_RESULT(mp_event_is_set(&s->a), 1);
	T_OK(mp_event_wait(&s->a, MP_NOWAIT));
	T_OK(mp_event_wait(&s->a, MP_FOREVER));
	T_OK(mp_event_clear(&s->a));
	T_OK(mp_event_clear(&s->a));
	T_RESULT(mp_event_is_set(&s->a), 0);
	struct t_child child = t_spawn(set_a, NULL);
	T_OK(mp_event_wait(&s->a, MP_FOREVER));
	t_expect_exit(&child, 0);
}

Test(event, test_notify_between_processes)
{
	struct t_child children[CROWD];

	make_shared();
	for (int i = 0; i < CROWD; i++) {
		children[i] = t_spawn(wait_for_a, NULL);
		t_wait_ready(&children[i]);
	}
	cr_assert_eq(s->woken, 0);
	T_OK(mp_event_set(&s->a));
	for (int i = 0; i < CROWD; i++)
		t_expect_exit(&children[i], 0);
	cr_assert_eq(s->woken, CROWD);
	T_OK(mp_event_wait(&s->a, MP_NOWAIT));
}

static void set_for_threads(bool and_clear)
{
	pthread_t threads[CROWD];
	void *result;

	for (int i = 0; i < CROWD; i++)
		cr_assert_eq(pthread_create(&threads[i], NULL, wait_in_thread, NULL), 0);
	while (s->waiting < CROWD || !somebody_sleeps(&s->a))
		sched_yield();
	T_OK(mp_event_set(&s->a));
	if (and_clear)
		T_OK(mp_event_clear(&s->a));
	/* Who had not begun to wait when it was set may wait yet. */
	while (s->woken < CROWD) {
		sched_yield();
		if (and_clear && somebody_sleeps(&s->a)) {
			T_OK(mp_event_set(&s->a));
			T_OK(mp_event_clear(&s->a));
		}
	}
	for (int i = 0; i < CROWD; i++) {
		cr_assert_eq(pthread_join(threads[i], &result), 0);
		cr_assert_null(result);
	}
}

Test(event, test_notify_between_threads)
{
	make_shared();
	set_for_threads(false);
	T_RESULT(mp_event_is_set(&s->a), 1);
}

/* One set, cleared at once: all who waited go on. None needs a second look within its time. */
Test(event, test_set_and_clear)
{
	struct t_child children[CROWD];

	make_shared();
	for (int round = 0; round < 20; round++) {
		s->waiting = 0;
		for (int i = 0; i < CROWD; i++) {
			children[i] = t_spawn(wait_for_a, NULL);
			t_wait_ready(&children[i]);
		}
		while (s->waiting < CROWD)
			sched_yield();
		for (int i = 0; i < CROWD; i++) {
			while (!t_sleeps(children[i].pid))
				sched_yield();
		}
		T_OK(mp_event_set(&s->a));
		T_OK(mp_event_clear(&s->a));
		for (int i = 0; i < CROWD; i++)
			t_expect_exit(&children[i], 0);
		T_RESULT(mp_event_is_set(&s->a), 0);
	}
}

Test(event, test_set_and_clear_between_threads)
{
	make_shared();
	set_for_threads(true);
	T_RESULT(mp_event_is_set(&s->a), 0);
}

#define HAND_OVERS 5000

static int answer(void *argument)
{
	(void)argument;
	for (int i = 0; i < HAND_OVERS; i++) {
		T_CHECK(mp_event_wait(&s->a, MP_FOREVER) == 0);
		T_CHECK(mp_event_clear(&s->a) == 0);
		s->plain++;
		T_CHECK(mp_event_set(&s->b) == 0);
	}
	return 0;
}

static void *answer_in_thread(void *argument)
{
	return (void *)(intptr_t)answer(argument);
}

static void ask(void)
{
	for (int i = 0; i < HAND_OVERS; i++) {
		s->plain++;
		T_OK(mp_event_set(&s->a));
		T_OK(mp_event_wait(&s->b, MP_FOREVER));
		T_OK(mp_event_clear(&s->b));
	}
	cr_assert_eq(s->plain, 2L * HAND_OVERS);
}

Test(event, hands_over_between_processes)
{
	make_shared();
	struct t_child child = t_spawn(answer, NULL);
	ask();
	t_expect_exit(&child, 0);
}

Test(event, hands_over_between_threads)
{
	pthread_t thread;

	make_shared();
	cr_assert_eq(pthread_create(&thread, NULL, answer_in_thread, NULL), 0);
	ask();
	cr_assert_eq(pthread_join(thread, NULL), 0);
}

/* --- objects of their own ------------------------------------------------------------------------- */

static int set_travelled(int argc, const mp_obj *argv)
{
	mp_event *go = argc == 2 ? mp_obj_event(&argv[0]) : NULL;
	mp_event *done = argc == 2 ? mp_obj_event(&argv[1]) : NULL;

	T_CHECK(go && done && !mp_obj_semaphore(&argv[0]));
	T_CHECK(mp_event_wait(go, MP_FOREVER) == 0);
	T_CHECK(mp_event_set(done) == 0);
	return 0;
}

EACH_METHOD_AND_THREAD(event, travels)
{
	mp_event *go, *done;

	T_OK(mp_event_new(NULL, &go));
	T_OK(mp_event_new(MP_EVENT_OPTIONS(.name = "done"), &done));
	mp_process *p = start(set_travelled, MP_ARGS(mp_handle(go), mp_handle(done)), BY(method));
	T_RESULT(mp_event_is_set(done), 0);
	T_OK(mp_event_set(go));
	T_OK(mp_event_wait(done, MP_FOREVER));
	finish(p, 0);
	cr_assert_eq(mp_event_ref(go), go);
	mp_event_close(go);
	T_RESULT(mp_event_is_set(go), 1);
	mp_event_close(go);
	mp_event_close(done);
}

Test(event, one_in_place_has_no_handle)
{
	make_shared();
	mp_obj value = mp_event_handle(&s->a);
	cr_assert_eq(value.type, MP_TYPE_NIL);
	cr_assert_null(mp_obj_event(&value));
	mp_event_close(&s->a);
	mp_event_close(NULL);
	T_OK(mp_event_set(&s->a));
}

/* --- signals ----------------------------------------------------------------------------------------- */

static volatile sig_atomic_t handled;

static void set_in_handler(int signal_number)
{
	(void)signal_number;
	handled++;
	mp_event_set(&s->a); /* NOLINT(bugprone-signal-handler): that is its promise */
}

Test(event, a_handler_that_interrupts_the_wait_may_set_it)
{
	make_shared();
	signal(SIGALRM, set_in_handler);
	struct itimerval soon = {.it_value.tv_usec = 20000};
	cr_assert_eq(setitimer(ITIMER_REAL, &soon, NULL), 0);
	T_OK(mp_event_wait(&s->a, MP_FOREVER));
	cr_assert_eq(handled, 1);
}

Test(event, a_handler_that_interrupts_anything_may_set_it)
{
	make_shared();
	signal(SIGALRM, set_in_handler);
	struct itimerval often = {.it_value.tv_usec = 500, .it_interval.tv_usec = 500};
	struct itimerval never = {{0, 0}, {0, 0}};
	cr_assert_eq(setitimer(ITIMER_REAL, &often, NULL), 0);
	while (handled < 300) {
		T_OK(mp_event_set(&s->a));
		T_OK(mp_event_clear(&s->a));
		int r = mp_event_wait(&s->a, 1);
		cr_assert(r == 0 || r == -ETIMEDOUT);
		T_OK(mp_event_clear(&s->a));
	}
	cr_assert_eq(setitimer(ITIMER_REAL, &never, NULL), 0);
}

/* --- deaths ------------------------------------------------------------------------------------------- */

Test(event, a_setter_that_is_killed_before_it_wakes_has_set_it)
{
	static const char *const actions[] = {"kill", "exit"};

	for (int i = 0; i < 2; i++) {
		make_shared();
		struct t_child waiter = t_spawn(wait_for_a, NULL);
		t_wait_ready(&waiter);
		while (!somebody_sleeps(&s->a))
			sched_yield();
		t_arm("event.set", actions[i]);
		struct t_child setter = t_spawn(set_a, NULL);
		if (i == 0)
			t_expect_signal(&setter, SIGKILL);
		else
			t_expect_exit(&setter, 86);
		cr_assert(t_fired());
		t_disarm();
		t_expect_exit(&waiter, 0);
	}
}

Test(event, a_waiter_that_is_killed_leaves_nothing)
{
	static const char *const points[] = {"event.announced", "event.woken"};

	make_shared();
	for (int i = 0; i < 2; i++) {
		t_arm(points[i], "kill");
		struct t_child victim = t_spawn(wait_for_a, NULL);
		unsetenv("MP_TEST_POINT");
		t_wait_ready(&victim);
		struct t_child waiter = t_spawn(wait_for_a, NULL);
		t_wait_ready(&waiter);
		/* The second point is passed at the first re-check. */
		t_expect_signal(&victim, SIGKILL);
		cr_assert(t_fired());
		t_disarm();
		T_OK(mp_event_set(&s->a));
		t_expect_exit(&waiter, 0);
		T_OK(mp_event_clear(&s->a));
	}
}

/* --- wrong use ------------------------------------------------------------------------------------- */

Test(event, what_is_no_event)
{
	make_shared();
	memset(&s->b, 0, sizeof(s->b));
	mp_event *wrong[] = {NULL, (mp_event *)((char *)&s->a + 4), &s->b};

	T_RESULT(mp_event_new(NULL, NULL), -EINVAL);
	for (int i = 0; i < 3; i++) {
		T_RESULT(mp_event_set(wrong[i]), -EINVAL);
		T_RESULT(mp_event_clear(wrong[i]), -EINVAL);
		T_RESULT(mp_event_is_set(wrong[i]), -EINVAL);
		T_RESULT(mp_event_wait(wrong[i], MP_FOREVER), -EINVAL);
		T_RESULT(mp_event_destroy(wrong[i]), -EINVAL);
		if (i < 2)
			T_RESULT(mp_event_init(wrong[i], NULL), -EINVAL);
	}
}

Test(event, wrong_options)
{
	struct {
		mp_event_options known;
		uint64_t more;
	} newer = {.known.size = sizeof(newer), .more = 1};
	mp_event *made = NULL;

	make_shared();
	T_RESULT(mp_event_init(&s->b, MP_EVENT_OPTIONS(.flags = 8)), -EINVAL);
	T_RESULT(mp_event_new(&newer.known, &made), -E2BIG);
	cr_assert_null(made);
}

static int wait_for_destroyed(void *argument)
{
	(void)argument;
	t_ready();
	int r = mp_event_wait(&s->a, MP_FOREVER);
	return r == 0 ? 0 : r == -EINVAL ? 1 : T_CHILD_FAILED;
}

Test(event, one_that_is_waited_for_is_not_destroyed)
{
	make_shared();
	struct t_child child = t_spawn(wait_for_destroyed, NULL);
	t_wait_ready(&child);
	while (!somebody_sleeps(&s->a) || !t_sleeps(child.pid))
		sched_yield();
	int r;
	/* It may be between two sleeps; then it finds the event gone. */
	if ((r = mp_event_destroy(&s->a)) == 0) {
		t_expect_exit(&child, 1);
	} else {
		T_RESULT(r, -EBUSY);
		T_OK(mp_event_set(&s->a));
		t_expect_exit(&child, 0);
		T_OK(mp_event_destroy(&s->a));
	}
	T_RESULT(mp_event_set(&s->a), -EINVAL);
	T_RESULT(mp_event_destroy(&s->a), -EINVAL);
	T_OK(mp_event_init(&s->a, NULL));
	T_RESULT(mp_event_is_set(&s->a), 0);
}

/* The number of sets begins again at 0 after 2^30. */
Test(event, the_count_of_sets_goes_round)
{
	make_shared();
	atomic_store(&((struct mp__event *)&s->a)->word, ~0u << 2);
	struct t_child child = t_spawn(wait_for_a, NULL);
	t_wait_ready(&child);
	while (!somebody_sleeps(&s->a))
		sched_yield();
	T_OK(mp_event_set(&s->a));
	cr_assert_eq(atomic_load(&((struct mp__event *)&s->a)->word), MP__EVENT_SET);
	T_OK(mp_event_clear(&s->a));
	t_expect_exit(&child, 0);
}
