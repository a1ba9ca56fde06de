/* SPDX-License-Identifier: MIT */
/*
 * The time of the next call is a number under the timer's lock, and alone decides whether a call is
 * due. The timerfd, and the sleeps on `changed`, only tell when it is worth looking: the timerfd is
 * set anew, to one absolute time, whenever the number changes, and is never read. So there is no
 * count of the kernel's that could disagree with ours.
 */
#include <config.h>

#include "base/cleanup.h"
#include "base/deadline.h"
#include "base/error.h"
#include "base/options.h"
#include "base/origin.h"

#include <mp/timer.h>

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/timerfd.h>

#define NS_PER_MS INT64_C(1000000)

struct mp_timer {
	/* Never change after mp_timer_new(). */
	mp__origin origin;
	mp_timer_function *function;
	void *data;
	int64_t interval_ns;
	bool periodic;
	bool has_thread;
	pthread_t thread;
	int fd; /* -1: it has a thread */

	pthread_mutex_t lock; /* guards what follows; not held while the function runs */
	pthread_cond_t changed;
	bool was_started; /* ever */
	bool started;     /* a call is to come */
	bool running;     /* a call is under way... */
	pthread_t runner; /* ...in this thread */
	uint64_t calls;   /* how many calls were begun */
	bool closing;
	int64_t next_ns; /* when the call is due, while started */
};

/* --- checks -------------------------------------------------------------------------------------- */

static int check_handle(const mp_timer *timer, const char *what)
{
	if (!timer)
		return mp_error_set(-EINVAL, "%s: the timer is NULL", what);
	if (!mp__origin_is_here(timer->origin))
		return mp_error_set(-ECHILD, "%s: the timer belongs to the parent process", what);
	return 0;
}

static bool runs_here(const mp_timer *timer)
{
	return timer->running && pthread_equal(timer->runner, pthread_self());
}

/* Take the lock of a timer that was started: 0, or an error and it is not taken. */
static int lock_started(mp_timer *timer, const char *what)
{
	int r = check_handle(timer, what);

	if (r < 0)
		return r;
	pthread_mutex_lock(&timer->lock);
	if (timer->was_started)
		return 0;
	pthread_mutex_unlock(&timer->lock);
	return mp_error_set(
		-EINVAL, "%s: the timer was never started; call mp_timer_start() first", what);
}

/* --- with the lock held -------------------------------------------------------------------------- */

/* Sleep until something changed or the time has come. */
static void sleep_until(mp_timer *timer, mp__deadline deadline)
{
	if (deadline.ns == INT64_MAX) {
		pthread_cond_wait(&timer->changed, &timer->lock);
		return;
	}
	struct timespec at = mp__deadline_timespec(deadline);
	pthread_cond_timedwait(&timer->changed, &timer->lock, &at);
}

static bool is_due(const mp_timer *timer)
{
	return timer->started && mp__now_ns() >= timer->next_ns;
}

/* Have the descriptor poll readable from next_ns on, or not at all. */
static int arm(mp_timer *timer)
{
	struct itimerspec at = {0};

	if (timer->fd < 0)
		return 0;
	if (timer->started)
		at.it_value = mp__deadline_timespec((mp__deadline){timer->next_ns});
	if (timerfd_settime(timer->fd, TFD_TIMER_ABSTIME, &at, NULL) < 0)
		return mp__error_errno("setting a timer");
	return 0;
}

/*
 * Make the call that is due. -ECHILD: the function forked, and we are the child, in which the lock
 * is nobody's and the timer may be gone.
 */
static int call(mp_timer *timer)
{
	mp__origin origin = timer->origin;
	uint64_t periods = 1;

	if (timer->periodic) {
		periods += (uint64_t)((mp__now_ns() - timer->next_ns) / timer->interval_ns);
		timer->next_ns += (int64_t)periods * timer->interval_ns;
	} else {
		timer->started = false;
	}
	arm(timer);
	timer->running = true;
	timer->runner = pthread_self();
	timer->calls++;
	pthread_mutex_unlock(&timer->lock);

	timer->function(timer, periods, timer->data);

	if (!mp__origin_is_here(origin))
		return mp_error_set(-ECHILD, "timer: its function returned in a forked child");
	pthread_mutex_lock(&timer->lock);
	timer->running = false;
	pthread_cond_broadcast(&timer->changed);
	return 0;
}

static void stop(mp_timer *timer)
{
	timer->started = false;
	arm(timer);
	pthread_cond_broadcast(&timer->changed);
}

/* --- the thread ---------------------------------------------------------------------------------- */

static void *run_thread(void *argument)
{
	mp_timer *timer = argument;

	pthread_mutex_lock(&timer->lock);
	while (!timer->closing) {
		if (!is_due(timer))
			sleep_until(timer, timer->started ? (mp__deadline){timer->next_ns}
							  : MP__DEADLINE_NEVER);
		else if (call(timer) < 0)
			return NULL;
	}
	pthread_mutex_unlock(&timer->lock);
	return NULL;
}

static int create_thread(mp_timer *timer, const char *name)
{
	char short_name[16]; /* all that the kernel keeps */
	sigset_t all;
	sigset_t before;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	int error = pthread_create(&timer->thread, NULL, run_thread, timer);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (error != 0)
		return mp_error_set(-error, "new timer: pthread_create: %s", mp_strerror(-error));
	snprintf(short_name, sizeof(short_name), "%s", name ? name : "mp-timer");
	pthread_setname_np(timer->thread, short_name);
	return 0;
}

/* --- public -------------------------------------------------------------------------------------- */

static int check_new(mp_timer_function *function, const mp_timer_options *options)
{
	if (!function)
		return mp_error_set(-EINVAL, "new timer: no function");
	if (options->interval_ms < 1)
		return mp_error_set(-EINVAL, "new timer: interval_ms is %d, not 1 or more",
			options->interval_ms);
	return 0;
}

/* Deadlines are those of the monotonic clock. */
static int init_changed(mp_timer *timer)
{
	pthread_condattr_t attributes;
	int r = pthread_condattr_init(&attributes);

	if (r == 0)
		r = pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	if (r == 0)
		r = pthread_cond_init(&timer->changed, &attributes);
	pthread_condattr_destroy(&attributes);
	return r == 0 ? 0 : mp_error_set(-r, "new timer: %s", mp_strerror(-r));
}

int mp_timer_new(mp_timer_function *function, void *data, const mp_timer_options *options,
	mp_timer **ret_timer)
{
	mp_timer_options o;

	int r = mp__options_load(&o, sizeof(o), 0, options);
	if (r == 0)
		r = check_new(function, &o);
	if (r < 0)
		return r;

	MP__AUTO_FREE mp_timer *timer = calloc(1, sizeof(*timer));
	if (!timer)
		return mp_error_set(-ENOMEM, "new timer: out of memory");
	*timer = (mp_timer){
		.origin = mp__origin_here(),
		.function = function,
		.data = data,
		.interval_ns = o.interval_ms * NS_PER_MS,
		.periodic = o.periodic,
		.has_thread = o.thread,
		.fd = -1,
		.lock = PTHREAD_MUTEX_INITIALIZER,
	};
	r = init_changed(timer);
	if (r < 0)
		return r;
	if (o.thread) {
		r = create_thread(timer, o.name);
		if (r < 0)
			return r;
	} else {
		timer->fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
		if (timer->fd < 0)
			return mp__error_errno("new timer: timerfd_create");
	}
	*ret_timer = MP__TAKE_PTR(timer);
	return 0;
}

int mp_timer_start(mp_timer *timer)
{
	int r = check_handle(timer, "start timer");

	if (r < 0)
		return r;
	pthread_mutex_lock(&timer->lock);
	if (timer->started) {
		r = mp_error_set(-EALREADY, "start timer: it is started already; cancel it first");
	} else {
		timer->started = true;
		timer->next_ns = mp__now_ns() + timer->interval_ns;
		r = arm(timer);
		timer->started = r == 0;
		timer->was_started |= r == 0;
		pthread_cond_broadcast(&timer->changed);
	}
	pthread_mutex_unlock(&timer->lock);
	return r;
}

int mp_timer_cancel(mp_timer *timer, int timeout_ms)
{
	mp__deadline deadline = mp__deadline_in(timeout_ms);
	int r = lock_started(timer, "cancel timer");

	if (r < 0)
		return r;
	int in_time = timer->started;
	stop(timer);
	/* Not for a later call: somebody may start the timer again meanwhile. */
	uint64_t calls = timer->calls;
	while (timer->running && timer->calls == calls && !runs_here(timer) && r == 0) {
		if (mp__deadline_passed(deadline))
			r = mp_error_set(-ETIMEDOUT, "cancel timer: it is stopped, but its "
						     "function has not returned in time");
		else
			sleep_until(timer, deadline);
	}
	pthread_mutex_unlock(&timer->lock);
	return r < 0 ? r : in_time;
}

int mp_timer_fd(mp_timer *timer)
{
	int r = check_handle(timer, "timer descriptor");

	if (r == 0 && timer->has_thread)
		r = mp_error_set(-ENOTSUP, "timer descriptor: there is none to poll, the timer's "
					   "own thread calls the function");
	return r < 0 ? r : timer->fd;
}

int mp_timer_dispatch(mp_timer *timer)
{
	int r = lock_started(timer, "dispatch timer");

	if (r < 0)
		return r;
	if (timer->has_thread)
		r = mp_error_set(-ENOTSUP,
			"dispatch timer: not needed, the timer's own thread calls the function");
	else if (runs_here(timer))
		r = mp_error_set(-EDEADLK, "dispatch timer: called from its own function");
	else if (timer->running)
		r = mp_error_set(-EBUSY, "dispatch timer: its function runs in another thread");
	else if (!is_due(timer))
		r = mp_error_set(-EAGAIN, "dispatch timer: no call is due");
	else if (call(timer) < 0)
		return -ECHILD;
	pthread_mutex_unlock(&timer->lock);
	return r;
}

/* One step of mp_timer_wait(): make the call, or sleep until there may be something to do. */
static int wait_step(mp_timer *timer, mp__deadline deadline)
{
	if (timer->running || timer->has_thread) {
		sleep_until(timer, deadline);
		return 0;
	}
	if (is_due(timer))
		return call(timer);
	sleep_until(
		timer, timer->next_ns < deadline.ns ? (mp__deadline){timer->next_ns} : deadline);
	return 0;
}

int mp_timer_wait(mp_timer *timer, int timeout_ms)
{
	mp__deadline deadline = mp__deadline_in(timeout_ms);
	int r = lock_started(timer, "wait for timer");

	if (r < 0)
		return r;
	if (runs_here(timer))
		r = mp_error_set(-EDEADLK, "wait for timer: called from its own function, which "
					   "would wait for itself");
	while (r == 0 && (timer->started || timer->running)) {
		if (wait_step(timer, deadline) < 0)
			return -ECHILD;
		if ((timer->started || timer->running) && mp__deadline_passed(deadline))
			r = mp_error_set(-ETIMEDOUT,
				"wait for timer: it was not called in time; if it is "
				"periodic, somebody has to cancel it");
	}
	pthread_mutex_unlock(&timer->lock);
	return r;
}

int mp_timer_close(mp_timer *timer)
{
	if (!timer)
		return 0;
	if (mp__origin_is_here(timer->origin)) {
		pthread_mutex_lock(&timer->lock);
		if (runs_here(timer)) {
			pthread_mutex_unlock(&timer->lock);
			return mp_error_set(-EDEADLK, "close timer: called from its own function; "
						      "cancel it there, and close it elsewhere");
		}
		timer->closing = true;
		stop(timer);
		while (timer->running)
			sleep_until(timer, MP__DEADLINE_NEVER);
		pthread_mutex_unlock(&timer->lock);
		if (timer->has_thread)
			pthread_join(timer->thread, NULL);
		pthread_cond_destroy(&timer->changed);
		pthread_mutex_destroy(&timer->lock);
	}
	if (timer->fd >= 0)
		close(timer->fd);
	free(timer);
	return 0;
}
