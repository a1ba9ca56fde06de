/* SPDX-License-Identifier: MIT */
/*
 * managerd, killed at each of its steps in what it serves: two clients use the same object until one of
 * their calls makes it come there. Both are told that it is gone, and neither hangs.
 */
#include <config.h>

#include "tests/support/daemon.h"

T_SUITE(served_points);

#define LONG_MS 60000

/* --- what they do -------------------------------------------------------------------------------- */

/*
 * As a program does that looks at no result: managerd may be gone before each of these calls. What was
 * not opened is NULL, of which every function says only that it is.
 */

static void wait_at_barrier(mp_manager *m)
{
	mp_proxy *p = NULL;

	mp_manager_barrier(m, "barrier", 2, &p);
	mp_served_barrier_wait(p, LONG_MS);
	mp_proxy_close(p);
}

/* Nobody else comes: it breaks. */
static void wait_in_vain(mp_manager *m)
{
	mp_proxy *p = NULL;

	mp_manager_barrier(m, "lonely", 2, &p);
	mp_served_barrier_wait(p, 1);
	mp_served_barrier_reset(p);
	mp_proxy_close(p);
}

static void wait_for_condition(mp_manager *m)
{
	mp_proxy *p = NULL;

	mp_manager_condition(m, "condition", NULL, &p);
	if (mp_served_condition_acquire(p, LONG_MS) >= 0) {
		mp_served_condition_wait(p, LONG_MS);
		mp_served_condition_release(p);
	}
	mp_proxy_close(p);
}

static void notify(mp_manager *m)
{
	mp_proxy *p = NULL;

	mp_manager_condition(m, "condition", NULL, &p);
	if (mp_served_condition_acquire(p, LONG_MS) >= 0) {
		mp_served_condition_notify_all(p);
		mp_served_condition_release(p);
	}
	mp_proxy_close(p);
}

static void count(mp_manager *m)
{
	mp_proxy *p = NULL;

	mp_manager_counter(m, "counter", 0, &p);
	mp_counter_add(p, 1, NULL);
	mp_proxy_close(p);
}

static void wait_for_event(mp_manager *m)
{
	mp_proxy *p = NULL;

	mp_manager_event(m, "event", &p);
	mp_served_event_wait(p, LONG_MS);
	mp_proxy_close(p);
}

static void set_event(mp_manager *m)
{
	mp_proxy *p = NULL;

	mp_manager_event(m, "event", &p);
	mp_served_event_set(p);
	mp_served_event_clear(p);
	mp_proxy_close(p);
}

static void wait_too_short(mp_manager *m)
{
	mp_proxy *p = NULL;

	mp_manager_event(m, "never", &p);
	mp_served_event_wait(p, 1);
	mp_proxy_close(p);
}

static mp_proxy *open_queue(mp_manager *m)
{
	mp_proxy *p = NULL;

	mp_manager_queue(m, "queue", MP_QUEUE_OPTIONS(.maxsize = 1), &p);
	return p;
}

static void put(mp_manager *m)
{
	mp_proxy *p = open_queue(m);

	mp_served_queue_put(p, mp_i64(1), LONG_MS);
	mp_proxy_close(p);
}

static void get(mp_manager *m)
{
	mp_proxy *p = open_queue(m);
	mp_obj item = mp_nil();

	mp_served_queue_get(p, LONG_MS, &item);
	mp_obj_free(&item);
	mp_proxy_close(p);
}

static void acquire(mp_manager *m)
{
	mp_proxy *p = NULL;

	mp_manager_semaphore(m, "semaphore", 0, &p);
	mp_served_semaphore_acquire(p, LONG_MS);
	mp_proxy_close(p);
}

static void release(mp_manager *m)
{
	mp_proxy *p = NULL;

	mp_manager_semaphore(m, "semaphore", 0, &p);
	mp_served_semaphore_release(p);
	mp_proxy_close(p);
}

static void transact(mp_manager *m)
{
	const mp_dict_step step = {MP_DICT_ADD, mp_str("key"), mp_i64(1)};
	mp_dict *d = NULL;

	mp_manager_dict(m, "dict", &d);
	mp_dict_transact(d, MP_DICT_ANY_VERSION, &step, 1);
	mp_dict_close(d);
}

static void watch_dict(mp_manager *m, const char *name)
{
	int64_t version;
	mp_dict *d = NULL;

	mp_manager_dict(m, name, &d);
	if (mp_dict_version(d, &version) == 0)
		mp_dict_watch(d, version, LONG_MS, &version);
	mp_dict_close(d);
}

static void watch(mp_manager *m)
{
	watch_dict(m, "dict");
}

static void set_for_a_moment(mp_manager *m)
{
	mp_dict *d = NULL;

	mp_manager_dict(m, "moments", &d);
	mp_dict_set_for(d, mp_str("key"), mp_i64(1), 1);
	mp_dict_close(d);
}

/* Its time comes although nobody asks for it. */
static void watch_moments(mp_manager *m)
{
	watch_dict(m, "moments");
}

static void lock_and_unlock(mp_manager *m)
{
	mp_proxy *p = NULL;

	mp_manager_lock(m, "lock", &p);
	if (mp_served_lock_acquire(p, LONG_MS, NULL) >= 0)
		mp_served_lock_release(p);
	mp_proxy_close(p);
}

/* --- until it is gone ------------------------------------------------------------------------------ */

struct client {
	mp_manager *manager;
	void (*act)(mp_manager *m);
};

/* What the ping says then. */
static int act_until_it_is_gone(mp_manager *m, void (*act)(mp_manager *m))
{
	int r;

	while ((r = mp_manager_ping(m)) == 0)
		act(m);
	return r;
}

static int be_client(void *argument)
{
	const struct client *client = argument;

	return act_until_it_is_gone(client->manager, client->act) == -EPIPE ? 0 : 1;
}

/* Until one of them makes it come to the point; then both are told. */
static void killed_at(const char *point, void (*one)(mp_manager *m), void (*other)(mp_manager *m))
{
	struct client client = {.act = one};

	t_arm(point, "kill");
	struct t_daemon daemon = t_daemon_start(NULL);
	T_OK(mp_manager_connect(daemon.address, T_PATIENT, &client.manager));
	struct t_child child = t_spawn(be_client, &client);
	T_RESULT(act_until_it_is_gone(client.manager, other), -EPIPE);
	t_expect_exit(&child, 0);
	cr_assert(t_fired(), "%s", point);
	t_disarm();
	mp_manager_close(client.manager);
	t_daemon_kill(&daemon);
	t_daemon_remove_directory(&daemon);
}

Test(served_points, daemon_killed_over_a_barrier_is_gone_for_all)
{
	killed_at("managerd.barrier.opens", wait_at_barrier, wait_at_barrier);
	killed_at("managerd.barrier.breaks", wait_in_vain, count);
}

Test(served_points, daemon_killed_over_a_condition_is_gone_for_all)
{
	killed_at("managerd.condition.parked", wait_for_condition, notify);
	killed_at("managerd.condition.notify", wait_for_condition, notify);
}

Test(served_points, daemon_killed_over_a_counter_is_gone_for_all)
{
	killed_at("managerd.counter.add", count, count);
}

Test(served_points, daemon_killed_over_an_event_is_gone_for_all)
{
	killed_at("managerd.event.wake", wait_for_event, set_event);
	killed_at("serve.wait.end", wait_too_short, count);
}

Test(served_points, daemon_killed_over_a_lock_is_gone_for_all)
{
	killed_at("managerd.lock.pass", lock_and_unlock, lock_and_unlock);
	killed_at("managerd.lock.taken", lock_and_unlock, lock_and_unlock);
}

Test(served_points, daemon_killed_over_a_queue_is_gone_for_all)
{
	killed_at("managerd.queue.give", get, put);
	killed_at("managerd.queue.got", get, put);
}

Test(served_points, daemon_killed_over_a_semaphore_is_gone_for_all)
{
	killed_at("managerd.semaphore.grant", acquire, release);
}

Test(served_points, daemon_killed_over_a_transaction_is_gone_for_all)
{
	killed_at("managerd.transact", transact, transact);
	killed_at("serve.watch.tell", watch, transact);
}

Test(served_points, daemon_killed_over_an_item_that_expires_is_gone_for_all)
{
	killed_at("managerd.expire", set_for_a_moment, watch_moments);
}
