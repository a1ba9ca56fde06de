/* SPDX-License-Identifier: MIT */
/* What fails below the calls on processes, timers, pools and the manager. */
#include <config.h>

#include "tests/support/faults.h"

#include "process/kin.h"

#include <poll.h>

#include <time.h>

FAULTS_SUITE(faults_process);

/* --- processes --------------------------------------------------------------------------------- */

static mp_process *process;

static int give_five(int argc, const mp_obj *argv)
{
	(void)argv;
	return argc == 2 ? 5 : 6;
}

static int process_new(int method)
{
	return mp_process_new(give_five, MP_ARGS(mp_str("some text"), mp_fd(STDERR_FILENO)),
		MP_PROCESS_OPTIONS(.name = "p", .start_method = method), &process);
}

static void process_ended(void)
{
	int code = -1;

	T_CHECK(mp_process_join(process, T_TIMEOUT_MS) == 0);
	T_CHECK(mp_process_exit_code(process, &code) == 0 && code == 5);
	T_CHECK(mp_process_close(process) == 0);
}

static int process_start(void)
{
	return mp_process_start(process);
}

#define EACH(method, METHOD)                                                   \
	static int method##_new(void)                                          \
	{                                                                      \
		return process_new(MP_START_##METHOD);                         \
	}                                                                      \
	static void method##_end(void)                                         \
	{                                                                      \
		T_CHECK(mp_process_close(process) == 0);                       \
	}                                                                      \
	static void method##_made(void)                                        \
	{                                                                      \
		T_CHECK(method##_new() == 0);                                  \
	}                                                                      \
	FAULTS(faults_process, method##_new, NULL, method##_new, method##_end) \
	FAULTS(faults_process, method##_start, method##_made, process_start, process_ended)

EACH(fork, FORK)
EACH(spawn, SPAWN)
EACH(forkserver, FORKSERVER)
EACH(thread, THREAD)

static void started(void)
{
	fork_made();
	T_CHECK(process_start() == 0);
}

static int process_join(void)
{
	return mp_process_join(process, T_TIMEOUT_MS);
}

FAULTS(faults_process, join, started, process_join, process_ended)

/* --- timers -------------------------------------------------------------------------------------- */

static mp_timer *timer;

static void tick(mp_timer *t, uint64_t periods, void *data)
{
	(void)t, (void)periods, (void)data;
}

static int timer_new(void)
{
	return mp_timer_new(tick, NULL, MP_TIMER_OPTIONS(.interval_ms = 1), &timer);
}

static int timer_thread_new(void)
{
	return mp_timer_new(tick, NULL, MP_TIMER_OPTIONS(.interval_ms = 1, .thread = true), &timer);
}

static void timer_end(void)
{
	T_CHECK(mp_timer_close(timer) == 0);
}

FAULTS(faults_process, timer_new, NULL, timer_new, timer_end)
FAULTS(faults_process, timer_thread_new, NULL, timer_thread_new, timer_end)

static int timer_life(void)
{
	T_STEP(timer_thread_new());
	return mp_timer_close(timer);
}

FAULTS(faults_process, timer_life, NULL, timer_life)

int __real_poll(struct pollfd *fds, nfds_t n, int timeout);

/* Started, heard, stopped, in each way. */
static int use_timer(void)
{
	T_STEP(mp_timer_start(timer));
	T_STEP(mp_timer_wait(timer, T_TIMEOUT_MS));
	T_STEP(mp_timer_start(timer));
	struct pollfd due = {.fd = mp_timer_fd(timer), .events = POLLIN};
	while (__real_poll(&due, 1, T_TIMEOUT_MS) < 0)
		T_CHECK(errno == EINTR);
	T_STEP(mp_timer_dispatch(timer));
	return mp_timer_cancel(timer, T_TIMEOUT_MS);
}

static int use_timer_thread(void)
{
	T_STEP(mp_timer_start(timer));
	T_STEP(mp_timer_wait(timer, T_TIMEOUT_MS));
	return mp_timer_cancel(timer, T_TIMEOUT_MS);
}

static void timer_made(void)
{
	T_CHECK(timer_new() == 0);
}

static void timer_thread_made(void)
{
	T_CHECK(timer_thread_new() == 0);
}

QUIET(faults_process, arms_a_clock_of_the_kernel, timer_made, use_timer, timer_end)
QUIET(faults_process, arms_a_clock_and_sleeps_on_a_condition, timer_thread_made, use_timer_thread,
	timer_end)

/* --- what can be asked of a process, and told it ---------------------------------------------------- */

static int wait_to_be_killed(int argc, const mp_obj *argv)
{
	(void)argc;
	(void)argv;
	t_hang();
}

static void waiting(void)
{
	T_CHECK(mp_process_new(wait_to_be_killed, mp_nil(), NULL, &process) == 0);
	T_CHECK(process_start() == 0);
}

static int ask(void)
{
	T_STEP(mp_process_is_alive(process));
	T_STEP(mp_process_pid(process));
	T_STEP(mp_process_signal(process, 0));
	return mp_process_sentinel(process) >= 0 ? 0 : -EBADF;
}

static void killed(void)
{
	T_CHECK(mp_process_kill(process) == 0);
	T_CHECK(mp_process_join(process, T_TIMEOUT_MS) == 0);
	T_CHECK(mp_process_close(process) == 0);
}

FAULTS(faults_process, ask, waiting, ask, killed)

static int children(void)
{
	mp_process *all[8];

	int n = mp_process_children(all, 8);
	return n == 1 && all[0] != process ? -EBADMSG : n;
}

FAULTS(faults_process, children, waiting, children, killed)

static void closed(void)
{
	struct rusage usage;
	int code;

	T_CHECK(mp_process_exit_code(process, &code) == 0 && code < 0);
	T_CHECK(mp_process_usage(process, &usage) == 0);
	T_CHECK(mp_process_close(process) == 0);
}

#define ENDS_BY(name)                                           \
	static int end_by_##name(void)                          \
	{                                                       \
		T_STEP(mp_process_##name(process));             \
		T_STEP(mp_process_join(process, T_TIMEOUT_MS)); \
		return 0;                                       \
	}                                                       \
	FAULTS(faults_process, name, waiting, end_by_##name, closed)

ENDS_BY(kill)
ENDS_BY(terminate)
ENDS_BY(interrupt)

static int close_and_forget(void)
{
	T_STEP(mp_process_close(process));
	return 0;
}

static void joined(void)
{
	struct rusage usage;
	int code;

	started();
	T_CHECK(process_join() == 0 && mp_process_exit_code(process, &code) == 0);
	T_CHECK(mp_process_usage(process, &usage) == 0);
}

QUIET(faults_process, closes_a_handle, joined, close_and_forget)

/* An end that nobody has waited for: asking reaps. */
static void ended(void)
{
	started();
	struct pollfd end = {.fd = mp_process_sentinel(process), .events = POLLIN};
	while (poll(&end, 1, T_TIMEOUT_MS) < 0)
		T_CHECK(errno == EINTR);
}

static int ask_for_the_end(void)
{
	struct rusage usage;
	int code;

	T_STEP(mp_process_exit_code(process, &code));
	T_STEP(mp_process_usage(process, &usage));
	return code == 5 ? 0 : -EBADMSG;
}

FAULTS(faults_process, exit_code, ended, ask_for_the_end, process_ended)

static int preload_and_start(void)
{
	T_STEP(mp_forkserver_preload(give_five, MP_ARGS(mp_str("a"), mp_str("b"))));
	return 0;
}

FAULTS(faults_process, preload, NULL, preload_and_start)

/* --- the parent, as a child sees it ------------------------------------------------------------------ */

static int begin(void)
{
	mp_exit_wait(MP_FOREVER);
	T_CHECK(mp_process_name(process) != NULL);
	T_CHECK(mp_parent_name() == NULL && mp_parent_pid() == -ENOENT);
	return mp_begin(NULL, NULL);
}

QUIET(faults_process, begins_anew, fork_made, begin, fork_end)

static int write_log(void)
{
	T_STEP(mp_log_set_handler(MP_LOG_ERROR, mp_log_stderr, NULL));
	mp_log_stderr(MP_LOG_INFO, "test", "the log of a test", NULL);
	return mp_log_set_handler(MP_LOG_ERROR, NULL, NULL);
}

FAULTS(faults_process, log_stderr, NULL, write_log)

static int show_progress(void)
{
	const mp_progress progress = {.done = 1, .total = 2, .elapsed = 1, .rate = 1, .eta = 1};

	mp_progress_bar(&progress, NULL);
	return 0;
}

QUIET(faults_process, draws_on_a_stream, NULL, show_progress)

static void be_a_child(void)
{
	mp__kin_become(&(const struct mp__kin){.name = "child",
		.lineage = "1",
		.parent_name = "parent",
		.parent_pid = getppid(),
		.parent_fd = -1});
}

static int parent_is_alive(void)
{
	return mp_parent_is_alive();
}

static int parent_sentinel(void)
{
	return mp_parent_sentinel();
}

static int parent_join(void)
{
	int r = mp_parent_join(1);

	return r == -ETIMEDOUT ? 0 : r;
}

FAULTS(faults_process, parent_is_alive, be_a_child, parent_is_alive)
FAULTS(faults_process, parent_sentinel, be_a_child, parent_sentinel)
FAULTS(faults_process, parent_join, be_a_child, parent_join)

static int count_cpus(void)
{
	T_STEP(mp_cpu_count());
	return 0;
}

FAULTS(faults_process, cpu_count, NULL, count_cpus)
