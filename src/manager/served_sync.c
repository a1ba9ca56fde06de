/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "base/deadline.h"
#include "base/error.h"
#include "manager/proxy.h"

#include <mp/served.h>

static int open_object(mp_manager *manager, const char *class_name, const char *name, mp_obj args,
	mp_proxy **ret_proxy)
{
	if (!manager || !ret_proxy)
		return mp_error_set(
			-EINVAL, "opening a %s: no manager, or no place for it", class_name);
	return mp__proxy_open(manager, class_name, name, args, ret_proxy);
}

/* A method without arguments that waits for nobody. */
static int tell(mp_proxy *proxy, const char *class_name, const char *method)
{
	return mp__proxy_call(proxy, class_name, method, mp_nil(), MP_NOWAIT, NULL);
}

static int number(mp_proxy *proxy, const char *class_name, const char *method)
{
	int64_t n;

	int r = mp__proxy_call_i64(proxy, class_name, method, mp_nil(), MP_NOWAIT, &n);
	return r < 0 ? r : (int)n;
}

/* --- event ------------------------------------------------------------------------------------ */

int mp_manager_event(mp_manager *manager, const char *name, mp_proxy **ret_event)
{
	return open_object(manager, "event", name, mp_nil(), ret_event);
}

int mp_served_event_set(mp_proxy *event)
{
	return tell(event, "event", "set");
}

int mp_served_event_clear(mp_proxy *event)
{
	return tell(event, "event", "clear");
}

int mp_served_event_is_set(mp_proxy *event)
{
	return mp__proxy_call_bool(event, "event", "is_set", mp_nil(), MP_NOWAIT);
}

int mp_served_event_wait(mp_proxy *event, int timeout_ms)
{
	return mp__proxy_call(event, "event", "wait", mp_nil(), timeout_ms, NULL);
}

/* --- semaphore -------------------------------------------------------------------------------- */

int mp_manager_semaphore(
	mp_manager *manager, const char *name, int64_t value, mp_proxy **ret_semaphore)
{
	return open_object(manager, "semaphore", name, MP_LIST(mp_i64(value)), ret_semaphore);
}

int mp_manager_bounded_semaphore(
	mp_manager *manager, const char *name, int64_t value, mp_proxy **ret_semaphore)
{
	return open_object(
		manager, "bounded_semaphore", name, MP_LIST(mp_i64(value)), ret_semaphore);
}

/* The functions are for both. */
static const char *kind_of(const mp_proxy *semaphore)
{
	const char *type = mp_proxy_type(semaphore);

	return type && strcmp(type, "bounded_semaphore") == 0 ? type : "semaphore";
}

int mp_served_semaphore_acquire(mp_proxy *semaphore, int timeout_ms)
{
	return mp__proxy_call(semaphore, kind_of(semaphore), "acquire", mp_nil(), timeout_ms, NULL);
}

int mp_served_semaphore_release(mp_proxy *semaphore)
{
	return tell(semaphore, kind_of(semaphore), "release");
}

int mp_served_semaphore_release_n(mp_proxy *semaphore, int64_t n)
{
	return mp__proxy_call(
		semaphore, kind_of(semaphore), "release", MP_LIST(mp_i64(n)), MP_NOWAIT, NULL);
}

int mp_served_semaphore_value(mp_proxy *semaphore)
{
	return number(semaphore, kind_of(semaphore), "value");
}

/* --- barrier ---------------------------------------------------------------------------------- */

int mp_manager_barrier(mp_manager *manager, const char *name, int parties, mp_proxy **ret_barrier)
{
	return open_object(manager, "barrier", name, MP_LIST(mp_i64(parties)), ret_barrier);
}

int mp_served_barrier_wait(mp_proxy *barrier, int timeout_ms)
{
	int64_t order;

	int r = mp__proxy_call_i64(barrier, "barrier", "wait", mp_nil(), timeout_ms, &order);
	return r < 0 ? r : (int)order;
}

int mp_served_barrier_abort(mp_proxy *barrier)
{
	return tell(barrier, "barrier", "abort");
}

int mp_served_barrier_reset(mp_proxy *barrier)
{
	return tell(barrier, "barrier", "reset");
}

int mp_served_barrier_parties(mp_proxy *barrier)
{
	return number(barrier, "barrier", "parties");
}

int mp_served_barrier_waiting(mp_proxy *barrier)
{
	return number(barrier, "barrier", "waiting");
}

int mp_served_barrier_broken(mp_proxy *barrier)
{
	return mp__proxy_call_bool(barrier, "barrier", "broken", mp_nil(), MP_NOWAIT);
}

/* --- condition -------------------------------------------------------------------------------- */

int mp_manager_condition(
	mp_manager *manager, const char *name, mp_proxy *lock, mp_proxy **ret_condition)
{
	mp_obj args = lock ? MP_LIST(mp_proxy_handle(lock)) : mp_nil();

	return open_object(manager, "condition", name, args, ret_condition);
}

int mp_served_condition_acquire(mp_proxy *condition, int timeout_ms)
{
	return mp__proxy_call(condition, "condition", "acquire", mp_nil(), timeout_ms, NULL);
}

int mp_served_condition_release(mp_proxy *condition)
{
	return tell(condition, "condition", "release");
}

int mp_served_condition_wait(mp_proxy *condition, int timeout_ms)
{
	return mp__proxy_call(condition, "condition", "wait", mp_nil(), timeout_ms, NULL);
}

int mp_served_condition_wait_for(
	mp_proxy *condition, mp_served_predicate *predicate, void *arg, int timeout_ms)
{
	mp__deadline deadline = mp__deadline_in(timeout_ms);

	if (!predicate)
		return mp_error_set(-EINVAL, "waiting for a condition: no predicate");
	for (;;) {
		int r = predicate(arg);
		if (r != 0)
			return r < 0 ? r : 0;
		r = mp_served_condition_wait(condition, mp__deadline_poll_ms(deadline));
		if (r == -EAGAIN && timeout_ms != MP_NOWAIT)
			return mp_error_set(-ETIMEDOUT, "the condition did not come about in %d ms",
				timeout_ms);
		if (r == -ETIMEDOUT) {
			int last = predicate(arg);
			return last > 0 ? 0 : last < 0 ? last : r;
		}
		if (r != 0)
			return r;
	}
}

int mp_served_condition_notify(mp_proxy *condition, int n)
{
	return mp__proxy_call(
		condition, "condition", "notify", MP_LIST(mp_i64(n)), MP_NOWAIT, NULL);
}

int mp_served_condition_notify_all(mp_proxy *condition)
{
	return tell(condition, "condition", "notify_all");
}
