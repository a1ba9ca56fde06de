/* SPDX-License-Identifier: MIT */
/* Timers: in an event loop, waited for, with a thread of their own. */
#include <config.h>

#include "tests/support/support.h"

#include "base/deadline.h"
#include "base/fds.h"

#include <fcntl.h>
#include <mp/timer.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <sys/resource.h>
#include <sys/wait.h>

T_SUITE(timer);

#define HOUR_MS 3600000
#define NS_PER_MS INT64_C(1000000)

/* What a function under test saw. */
struct seen {
	int calls;
	uint64_t periods; /* in all calls together */
	int64_t at_ns;    /* of the last call */
	int cancel_at;    /* cancel the timer in this call */
	int start_at;     /* start it again in this call */
};

static void see(mp_timer *timer, uint64_t periods, void *data)
{
	struct seen *seen = data;

	seen->at_ns = mp__now_ns();
	seen->periods += periods;
	seen->calls++;
	if (seen->calls == seen->cancel_at)
		mp_timer_cancel(timer, MP_FOREVER);
	if (seen->calls == seen->start_at)
		mp_timer_start(timer);
}

static mp_timer *make(mp_timer_function *function, void *data, const mp_timer_options *options)
{
	mp_timer *timer = NULL;

	T_OK(mp_timer_new(function, data, options, &timer));
	cr_assert_not_null(timer);
	return timer;
}

static mp_timer *start(mp_timer_function *function, void *data, const mp_timer_options *options)
{
	mp_timer *timer = make(function, data, options);

	T_OK(mp_timer_start(timer));
	return timer;
}

static bool readable(mp_timer *timer)
{
	struct pollfd p = {.fd = mp_timer_fd(timer), .events = POLLIN};

	return poll(&p, 1, 0) == 1;
}

/* Let time pass: by a timer. */
static void let_pass(int ms)
{
	struct seen seen = {0};
	mp_timer *timer = start(see, &seen, MP_TIMER_OPTIONS(.interval_ms = ms));

	T_OK(mp_timer_wait(timer, T_TIMEOUT_MS));
	T_OK(mp_timer_close(timer));
}

/* --- one call ------------------------------------------------------------------------------------ */

Test(timer, calls_once_and_not_early)
{
	struct seen seen = {0};
	int64_t before = mp__now_ns();
	mp_timer *timer = start(see, &seen, MP_TIMER_OPTIONS(.interval_ms = 20));

	T_OK(mp_timer_wait(timer, T_TIMEOUT_MS));
	cr_assert(seen.calls == 1 && seen.periods == 1);
	cr_assert(seen.at_ns - before >= 20 * NS_PER_MS);
	T_OK(mp_timer_wait(timer, MP_NOWAIT));
	T_RESULT(mp_timer_dispatch(timer), -EAGAIN);
	T_RESULT(mp_timer_cancel(timer, MP_NOWAIT), 0);
	T_OK(mp_timer_close(timer));
	cr_assert_eq(seen.calls, 1);
}

Test(timer, test_init_immutable_default_args)
{
	/* Timers made from the same options share nothing. */
	const mp_timer_options *options = MP_TIMER_OPTIONS(.interval_ms = 1);
	struct seen seen[2] = {{0}};
	mp_timer *first = make(see, &seen[0], options);
	mp_timer *second = make(see, &seen[1], options);

	T_OK(mp_timer_start(first));
	T_OK(mp_timer_wait(first, T_TIMEOUT_MS));
	cr_assert(seen[0].calls == 1 && seen[1].calls == 0);
	T_OK(mp_timer_start(second));
	T_OK(mp_timer_wait(second, T_TIMEOUT_MS));
	cr_assert(seen[0].calls == 1 && seen[1].calls == 1);
	T_OK(mp_timer_close(first));
	T_OK(mp_timer_close(second));
}

Test(timer, descriptor_polls_readable_while_a_call_is_due)
{
	struct seen seen = {0};
	mp_timer *timer = make(see, &seen, MP_TIMER_OPTIONS(.interval_ms = 1));

	cr_assert(!readable(timer));
	T_OK(mp_timer_start(timer));
	T_OK(mp__fd_wait(mp_timer_fd(timer), POLLIN, mp__deadline_in(T_TIMEOUT_MS)));
	cr_assert_eq(seen.calls, 0);
	T_OK(mp_timer_dispatch(timer));
	cr_assert_eq(seen.calls, 1);
	cr_assert(!readable(timer));
	T_RESULT(mp_timer_dispatch(timer), -EAGAIN);
	cr_assert_eq(fcntl(mp_timer_fd(timer), F_GETFD), FD_CLOEXEC);
	T_OK(mp_timer_close(timer));
}

Test(timer, cancel_before_the_call_prevents_it)
{
	struct seen seen = {0};
	mp_timer *timer = start(see, &seen, MP_TIMER_OPTIONS(.interval_ms = 1));

	/* Due, but nobody made the call yet: still in time. */
	T_OK(mp__fd_wait(mp_timer_fd(timer), POLLIN, mp__deadline_in(T_TIMEOUT_MS)));
	T_RESULT(mp_timer_cancel(timer, MP_NOWAIT), 1);
	cr_assert(!readable(timer));
	T_RESULT(mp_timer_dispatch(timer), -EAGAIN);
	T_OK(mp_timer_wait(timer, MP_FOREVER));
	T_RESULT(mp_timer_cancel(timer, MP_NOWAIT), 0);
	T_OK(mp_timer_close(timer));
	cr_assert_eq(seen.calls, 0);
}

Test(timer, may_be_started_again_after_its_end)
{
	struct seen seen = {0};
	mp_timer *timer = start(see, &seen, MP_TIMER_OPTIONS(.interval_ms = 1));

	T_OK(mp_timer_wait(timer, T_TIMEOUT_MS));
	T_OK(mp_timer_start(timer));
	T_OK(mp_timer_wait(timer, T_TIMEOUT_MS));
	T_OK(mp_timer_start(timer));
	T_RESULT(mp_timer_cancel(timer, MP_NOWAIT), 1);
	T_OK(mp_timer_start(timer));
	T_OK(mp_timer_wait(timer, T_TIMEOUT_MS));
	cr_assert_eq(seen.calls, 3);
	T_OK(mp_timer_close(timer));
}

Test(timer, may_be_started_again_by_its_function)
{
	struct seen seen = {.start_at = 1};
	mp_timer *timer = start(see, &seen, MP_TIMER_OPTIONS(.interval_ms = 1));

	T_OK(mp_timer_wait(timer, T_TIMEOUT_MS));
	cr_assert_eq(seen.calls, 2);
	T_OK(mp_timer_close(timer));
}

/* --- again and again ----------------------------------------------------------------------------- */

Test(timer, periodic_ends_when_its_function_cancels_it)
{
	struct seen seen = {.cancel_at = 5};
	mp_timer *timer = start(see, &seen, MP_TIMER_OPTIONS(.interval_ms = 1, .periodic = true));

	T_OK(mp_timer_wait(timer, T_TIMEOUT_MS));
	cr_assert_eq(seen.calls, 5);
	cr_assert(!readable(timer));
	T_RESULT(mp_timer_dispatch(timer), -EAGAIN);
	T_OK(mp_timer_close(timer));
}

Test(timer, missed_periods_are_told_and_not_made_up_for)
{
	struct seen seen = {0};
	mp_timer *timer = start(see, &seen, MP_TIMER_OPTIONS(.interval_ms = 2, .periodic = true));

	let_pass(10);
	T_OK(mp_timer_dispatch(timer));
	cr_assert_eq(seen.calls, 1);
	cr_assert(seen.periods >= 5, "%d periods in 10 ms", (int)seen.periods);
	T_OK(mp_timer_close(timer));
}

Test(timer, periods_do_not_drift)
{
	const int64_t interval_ns = 2 * NS_PER_MS;
	struct seen seen = {0};
	int64_t before = mp__now_ns();
	mp_timer *timer = start(see, &seen, MP_TIMER_OPTIONS(.interval_ms = 2, .periodic = true));
	int64_t after = mp__now_ns();

	for (int i = 0; i < 20; i++) {
		int fd = mp_timer_fd(timer);
		T_OK(mp__fd_wait(fd, POLLIN, mp__deadline_in(T_TIMEOUT_MS)));
		int64_t least = (mp__now_ns() - after) / interval_ns;
		T_OK(mp_timer_dispatch(timer));
		/* However late each call was: the sum is the time that has passed. */
		int64_t most = (seen.at_ns - before) / interval_ns;
		cr_assert((int64_t)seen.periods >= least && (int64_t)seen.periods <= most);
		if (i % 5 == 0)
			let_pass(3);
	}
	T_OK(mp_timer_close(timer));
}

Test(timer, wait_keeps_its_deadline)
{
	struct seen seen = {0};
	mp_timer *timer = start(see, &seen, MP_TIMER_OPTIONS(.interval_ms = HOUR_MS));

	T_RESULT(mp_timer_wait(timer, MP_NOWAIT), -ETIMEDOUT);
	T_RESULT(mp_timer_wait(timer, 1), -ETIMEDOUT);
	T_RESULT(mp_timer_cancel(timer, MP_NOWAIT), 1);
	T_OK(mp_timer_close(timer));

	/* Calls that never end to be due do not stretch it. */
	timer = start(see, &seen, MP_TIMER_OPTIONS(.interval_ms = 1, .periodic = true));
	T_RESULT(mp_timer_wait(timer, 20), -ETIMEDOUT);
	cr_assert(seen.calls > 0);
	T_OK(mp_timer_close(timer));
}

/* --- a thread of its own ------------------------------------------------------------------------- */

struct gate {
	sem_t entered;
	sem_t go;
	bool left;
	bool signals_blocked;
	char name[16];
	pthread_t thread;
};

static void gate_init(struct gate *gate)
{
	*gate = (struct gate){0};
	sem_init(&gate->entered, 0, 0);
	sem_init(&gate->go, 0, 0);
}

static void gate_wait(sem_t *sem)
{
	while (sem_wait(sem) < 0)
		cr_assert_eq(errno, EINTR);
}

/* Stay in the call until the test says go. */
static void pass_gate(mp_timer *timer, uint64_t periods, void *data)
{
	struct gate *gate = data;
	sigset_t blocked;

	(void)timer;
	(void)periods;
	pthread_sigmask(SIG_SETMASK, NULL, &blocked);
	gate->signals_blocked = sigismember(&blocked, SIGTERM) && sigismember(&blocked, SIGINT);
	pthread_getname_np(pthread_self(), gate->name, sizeof(gate->name));
	gate->thread = pthread_self();
	sem_post(&gate->entered);
	gate_wait(&gate->go);
	gate->left = true;
}

Test(timer, thread_makes_the_call)
{
	struct gate gate;

	gate_init(&gate);
	sem_post(&gate.go);
	mp_timer *timer =
		start(pass_gate, &gate, MP_TIMER_OPTIONS(.interval_ms = 1, .thread = true));
	T_OK(mp_timer_wait(timer, T_TIMEOUT_MS));
	cr_assert(gate.left && gate.signals_blocked);
	cr_assert(!pthread_equal(gate.thread, pthread_self()));
	cr_assert_str_eq(gate.name, "mp-timer");
	T_RESULT(mp_timer_cancel(timer, MP_NOWAIT), 0);
	T_OK(mp_timer_close(timer));
}

Test(timer, thread_has_the_name_that_was_asked_for)
{
	struct gate gate;

	gate_init(&gate);
	sem_post(&gate.go);
	mp_timer *timer = start(pass_gate, &gate,
		MP_TIMER_OPTIONS(.interval_ms = 1, .thread = true,
			.name = "a-name-that-is-too-long"));
	T_OK(mp_timer_wait(timer, T_TIMEOUT_MS));
	cr_assert_str_eq(gate.name, "a-name-that-is-");
	T_OK(mp_timer_close(timer));
}

Test(timer, thread_repeats_until_cancelled)
{
	struct seen seen = {.cancel_at = 5};
	mp_timer *timer = start(
		see, &seen, MP_TIMER_OPTIONS(.interval_ms = 1, .periodic = true, .thread = true));

	T_OK(mp_timer_wait(timer, T_TIMEOUT_MS));
	cr_assert_eq(seen.calls, 5);
	T_OK(mp_timer_start(timer));
	T_RESULT(mp_timer_cancel(timer, MP_FOREVER), 1);
	T_OK(mp_timer_close(timer));
}

Test(timer, cancel_waits_for_the_call_under_way)
{
	struct gate gate;

	gate_init(&gate);
	mp_timer *timer =
		start(pass_gate, &gate, MP_TIMER_OPTIONS(.interval_ms = 1, .thread = true));
	gate_wait(&gate.entered);
	T_RESULT(mp_timer_cancel(timer, MP_NOWAIT), -ETIMEDOUT);
	T_RESULT(mp_timer_cancel(timer, 1), -ETIMEDOUT);
	T_RESULT(mp_timer_wait(timer, MP_NOWAIT), -ETIMEDOUT);
	sem_post(&gate.go);
	T_RESULT(mp_timer_cancel(timer, MP_FOREVER), 0);
	cr_assert(gate.left);
	T_OK(mp_timer_close(timer));
}

Test(timer, close_waits_for_the_call_under_way)
{
	struct gate gate;

	gate_init(&gate);
	mp_timer *timer = start(pass_gate, &gate,
		MP_TIMER_OPTIONS(.interval_ms = 1, .periodic = true, .thread = true));
	gate_wait(&gate.entered);
	sem_post(&gate.go);
	sem_post(&gate.go); /* for a second call, should it come to that */
	T_OK(mp_timer_close(timer));
	cr_assert(gate.left);
}

Test(timer, close_ends_a_thread_that_was_never_started)
{
	struct seen seen = {0};

	T_OK(mp_timer_close(make(see, &seen, MP_TIMER_OPTIONS(.interval_ms = 1, .thread = true))));
	T_OK(mp_timer_close(
		start(see, &seen, MP_TIMER_OPTIONS(.interval_ms = HOUR_MS, .thread = true))));
	cr_assert_eq(seen.calls, 0);
}

static void *wait_for_it(void *timer)
{
	return (void *)(intptr_t)mp_timer_wait(timer, T_TIMEOUT_MS);
}

Test(timer, cancel_wakes_who_waits)
{
	for (int thread = 0; thread < 2; thread++) {
		struct seen seen = {0};
		mp_timer *timer = start(
			see, &seen, MP_TIMER_OPTIONS(.interval_ms = HOUR_MS, .thread = thread));
		pthread_t waiter;
		void *result;

		cr_assert(pthread_create(&waiter, NULL, wait_for_it, timer) == 0);
		T_RESULT(mp_timer_cancel(timer, MP_FOREVER), 1);
		pthread_join(waiter, &result);
		T_RESULT((intptr_t)result, 0);
		T_OK(mp_timer_close(timer));
	}
}

static void *dispatch(void *timer)
{
	return (void *)(intptr_t)mp_timer_dispatch(timer);
}

Test(timer, never_calls_twice_at_once)
{
	struct gate gate;
	pthread_t thread;
	void *result;

	gate_init(&gate);
	mp_timer *timer =
		start(pass_gate, &gate, MP_TIMER_OPTIONS(.interval_ms = 1, .periodic = true));
	T_OK(mp__fd_wait(mp_timer_fd(timer), POLLIN, mp__deadline_in(T_TIMEOUT_MS)));
	cr_assert(pthread_create(&thread, NULL, dispatch, timer) == 0);
	gate_wait(&gate.entered);
	T_OK(mp__fd_wait(mp_timer_fd(timer), POLLIN, mp__deadline_in(T_TIMEOUT_MS)));
	T_RESULT(mp_timer_dispatch(timer), -EBUSY);
	sem_post(&gate.go);
	pthread_join(thread, &result);
	T_RESULT((intptr_t)result, 0);
	T_OK(mp_timer_close(timer));
}

/* --- bad input ----------------------------------------------------------------------------------- */

Test(timer, new_checks_what_it_gets)
{
	struct seen seen = {0};
	mp_timer *timer = NULL;
	struct {
		mp_timer_options known;
		uint64_t unknown;
	} newer = {{.size = sizeof(newer), .interval_ms = 1}, 1};

	T_RESULT(mp_timer_new(NULL, &seen, MP_TIMER_OPTIONS(.interval_ms = 1), &timer), -EINVAL);
	T_RESULT(mp_timer_new(see, &seen, NULL, &timer), -EINVAL);
	T_RESULT(mp_timer_new(see, &seen, MP_TIMER_OPTIONS(.interval_ms = 0), &timer), -EINVAL);
	T_RESULT(mp_timer_new(see, &seen, MP_TIMER_OPTIONS(.interval_ms = -1), &timer), -EINVAL);
	T_RESULT(mp_timer_new(see, &seen, MP_TIMER_OPTIONS(.interval_ms = 1, .flags = 1), &timer),
		-EINVAL);
	T_RESULT(mp_timer_new(see, &seen, &newer.known, &timer), -E2BIG);
	cr_assert_null(timer);
}

Test(timer, start_twice_is_an_error)
{
	struct seen seen = {0};
	mp_timer *timer = start(see, &seen, MP_TIMER_OPTIONS(.interval_ms = HOUR_MS));

	T_RESULT(mp_timer_start(timer), -EALREADY);
	T_RESULT(mp_timer_dispatch(timer), -EAGAIN);
	T_OK(mp_timer_close(timer));
}

Test(timer, what_was_never_started_cannot_be_waited_for)
{
	struct seen seen = {0};
	mp_timer *timer = make(see, &seen, MP_TIMER_OPTIONS(.interval_ms = 1));

	T_RESULT(mp_timer_cancel(timer, MP_NOWAIT), -EINVAL);
	T_RESULT(mp_timer_wait(timer, MP_FOREVER), -EINVAL);
	T_RESULT(mp_timer_dispatch(timer), -EINVAL);
	T_OK(mp_timer_close(timer));
}

Test(timer, null_is_no_handle)
{
	T_RESULT(mp_timer_start(NULL), -EINVAL);
	T_RESULT(mp_timer_cancel(NULL, MP_NOWAIT), -EINVAL);
	T_RESULT(mp_timer_wait(NULL, MP_NOWAIT), -EINVAL);
	T_RESULT(mp_timer_dispatch(NULL), -EINVAL);
	T_RESULT(mp_timer_fd(NULL), -EINVAL);
	T_OK(mp_timer_close(NULL));
}

Test(timer, with_a_thread_nobody_else_dispatches)
{
	struct seen seen = {0};
	mp_timer *timer =
		start(see, &seen, MP_TIMER_OPTIONS(.interval_ms = HOUR_MS, .thread = true));

	T_RESULT(mp_timer_fd(timer), -ENOTSUP);
	T_RESULT(mp_timer_dispatch(timer), -ENOTSUP);
	T_OK(mp_timer_close(timer));
}

static int deadlocks[3];

static void wait_for_itself(mp_timer *timer, uint64_t periods, void *data)
{
	(void)periods;
	(void)data;
	deadlocks[0] = mp_timer_wait(timer, MP_FOREVER);
	deadlocks[1] = mp_timer_close(timer);
	deadlocks[2] = mp_timer_dispatch(timer);
}

Test(timer, its_function_cannot_wait_for_itself)
{
	for (int thread = 0; thread < 2; thread++) {
		mp_timer *timer = start(wait_for_itself, NULL,
			MP_TIMER_OPTIONS(.interval_ms = 1, .thread = thread));

		T_OK(mp_timer_wait(timer, T_TIMEOUT_MS));
		T_RESULT(deadlocks[0], -EDEADLK);
		T_RESULT(deadlocks[1], -EDEADLK);
		T_RESULT(deadlocks[2], thread ? -ENOTSUP : -EDEADLK);
		T_OK(mp_timer_close(timer));
	}
}

static int without_descriptors(void *data)
{
	struct rlimit limit = {(rlim_t)t_count_fds(), (rlim_t)t_count_fds()};
	mp_timer *timer = NULL;

	T_CHECK(setrlimit(RLIMIT_NOFILE, &limit) == 0);
	while (open("/dev/null", O_RDONLY | O_CLOEXEC) >= 0)
		;
	T_CHECK(mp_timer_new(see, data, MP_TIMER_OPTIONS(.interval_ms = 1), &timer) == -EMFILE);
	T_CHECK(!timer);
	/* A thread needs none. */
	T_CHECK(mp_timer_new(see, data, MP_TIMER_OPTIONS(.interval_ms = 1, .thread = true),
			&timer) == 0);
	T_CHECK(mp_timer_close(timer) == 0);
	return 0;
}

Test(timer, new_without_descriptors_left)
{
	struct seen seen = {0};
	struct t_child child = t_spawn(without_descriptors, &seen);

	t_expect_exit(&child, 0);
}

static int without_threads(void *data)
{
	pthread_attr_t attr;
	mp_timer *timer = NULL;

	pthread_attr_init(&attr);
	T_CHECK(pthread_attr_setstacksize(&attr, (size_t)1 << 50) == 0); /* fits nowhere */
	T_CHECK(pthread_setattr_default_np(&attr) == 0);
	T_CHECK(mp_timer_new(see, data, MP_TIMER_OPTIONS(.interval_ms = 1, .thread = true),
			&timer) == -EAGAIN);
	T_CHECK(!timer);
	return 0;
}

Test(timer, new_without_room_for_a_thread)
{
	struct seen seen = {0};
	struct t_child child = t_spawn(without_threads, &seen);

	t_expect_exit(&child, 0);
}

/* --- fork ---------------------------------------------------------------------------------------- */

static int use_in_child(void *timer)
{
	T_CHECK(mp_timer_wait(timer, MP_NOWAIT) == -ECHILD);
	T_CHECK(mp_timer_start(timer) == -ECHILD);
	T_CHECK(mp_timer_cancel(timer, MP_FOREVER) == -ECHILD);
	T_CHECK(mp_timer_dispatch(timer) == -ECHILD);
	T_CHECK(mp_timer_fd(timer) == -ECHILD);
	T_CHECK(mp_timer_close(timer) == 0);
	return 0;
}

Test(timer, belongs_to_the_process_that_made_it)
{
	for (int thread = 0; thread < 2; thread++) {
		struct gate gate;

		gate_init(&gate);
		mp_timer *timer = start(
			pass_gate, &gate, MP_TIMER_OPTIONS(.interval_ms = 1, .thread = thread));
		if (thread)
			gate_wait(&gate.entered); /* forked while a call is under way */
		struct t_child child = t_spawn(use_in_child, timer);
		t_expect_exit(&child, 0);
		sem_post(&gate.go);
		T_OK(mp_timer_wait(timer, T_TIMEOUT_MS));
		cr_assert(gate.left);
		T_OK(mp_timer_close(timer));
	}
}

static pid_t forked;

static void fork_and_return(mp_timer *timer, uint64_t periods, void *data)
{
	(void)timer;
	(void)periods;
	(void)data;
	forked = fork();
	if (forked == 0)
		mp_timer_close(timer);
}

Test(timer, function_that_forks_and_returns_in_the_child)
{
	for (int waits = 0; waits < 2; waits++) {
		mp_timer *timer = start(fork_and_return, NULL, MP_TIMER_OPTIONS(.interval_ms = 1));
		int status;

		T_OK(mp__fd_wait(mp_timer_fd(timer), POLLIN, mp__deadline_in(T_TIMEOUT_MS)));
		int r = waits ? mp_timer_wait(timer, T_TIMEOUT_MS) : mp_timer_dispatch(timer);
		if (forked == 0)
			_exit(r == -ECHILD ? 0 : T_CHILD_FAILED);
		T_OK(r);
		cr_assert(waitpid(forked, &status, 0) == forked);
		cr_assert_eq(status, 0);
		T_OK(mp_timer_close(timer));
	}
}
