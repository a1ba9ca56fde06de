/* SPDX-License-Identifier: MIT */
/* Served locks and rlocks, and the proxies that they are. Where CPython tests the same, the test has its name. */
#include <config.h>

#include "tests/support/daemon.h"

#include <mp.h>
#include <pthread.h>

T_SUITE(served_lock);
T_SUITE(served_rlock);
T_SUITE(proxy);

#define LONG_MS 60000

static mp_proxy *open_lock(mp_manager *m, const char *name)
{
	mp_proxy *lock;

	T_OK(mp_manager_lock(m, name, &lock));
	return lock;
}

static mp_proxy *open_rlock(mp_manager *m, const char *name)
{
	mp_proxy *lock;

	T_OK(mp_manager_rlock(m, name, &lock));
	return lock;
}

/* --- lock ------------------------------------------------------------------------------------- */

Test(served_lock, test_lock)
{
	mp_manager *m = t_manager();
	mp_proxy *lock = open_lock(m, NULL);
	int64_t fence = 0;

	T_RESULT(mp_served_lock_locked(lock), 0);
	T_OK(mp_served_lock_acquire(lock, MP_FOREVER, &fence));
	cr_assert(fence == 1);
	T_RESULT(mp_served_lock_locked(lock), 1);
	T_RESULT(mp_served_lock_acquire(lock, MP_NOWAIT, NULL), -EDEADLK);
	T_RESULT(mp_served_lock_acquire(lock, MP_FOREVER, NULL), -EDEADLK);
	T_OK(mp_served_lock_release(lock));
	T_RESULT(mp_served_lock_release(lock), -EPERM);
	T_OK(mp_served_lock_acquire(lock, 0, &fence));
	cr_assert(fence == 2);
	T_OK(mp_served_lock_release(lock));
	mp_proxy_close(lock);
	mp_manager_close(m);
}

Test(served_rlock, test_rlock)
{
	mp_manager *m = t_manager();
	mp_proxy *lock = open_rlock(m, "r");
	int64_t fences[3];

	for (int i = 0; i < 3; i++)
		T_OK(mp_served_rlock_acquire(lock, MP_FOREVER, &fences[i]));
	cr_assert(fences[0] == 1 && fences[1] == 1 && fences[2] == 1);
	for (int i = 0; i < 3; i++) {
		T_RESULT(mp_served_rlock_locked(lock), 1);
		T_OK(mp_served_rlock_release(lock));
	}
	T_RESULT(mp_served_rlock_locked(lock), 0);
	T_RESULT(mp_served_rlock_release(lock), -EPERM);
	mp_proxy_close(lock);
	mp_manager_close(m);
}

static void *try_in_another_thread(void *argument)
{
	mp_proxy *lock = argument;

	T_RESULT(mp_served_lock_acquire(lock, MP_NOWAIT, NULL), -EAGAIN);
	T_RESULT(mp_served_lock_acquire(lock, 1, NULL), -ETIMEDOUT);
	T_RESULT(mp_served_lock_release(lock), -EPERM);
	return NULL;
}

Test(served_lock, a_lock_belongs_to_one_thread)
{
	mp_manager *m = t_manager();
	mp_proxy *lock = open_lock(m, "l");
	pthread_t thread;

	T_OK(mp_served_lock_acquire(lock, MP_FOREVER, NULL));
	pthread_create(&thread, NULL, try_in_another_thread, lock);
	pthread_join(thread, NULL);
	T_OK(mp_served_lock_release(lock));
	mp_proxy_close(lock);
	mp_manager_close(m);
}

struct turns {
	mp_proxy *lock;
	int count; /* guarded by the lock, in each process */
};

static void *take_turns(void *argument)
{
	struct turns *turns = argument;

	for (int i = 0; i < 200; i++) {
		T_OK(mp_served_lock_acquire(turns->lock, LONG_MS, NULL));
		turns->count++;
		T_OK(mp_served_lock_release(turns->lock));
	}
	return NULL;
}

/* All over one connection: who waits keeps nobody from releasing. */
Test(served_lock, threads_take_turns)
{
	mp_manager *m = t_manager();
	struct turns turns = {.lock = open_lock(m, NULL)};
	pthread_t threads[4];

	for (int i = 0; i < 4; i++)
		pthread_create(&threads[i], NULL, take_turns, &turns);
	for (int i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	cr_assert(turns.count == 800);
	mp_proxy_close(turns.lock);
	mp_manager_close(m);
}

/* --- proxies ---------------------------------------------------------------------------------- */

Test(proxy, methods_are_called_by_name)
{
	mp_manager *m = t_manager();
	mp_proxy *lock;
	mp_proxy *again;
	mp_proxy *other;
	mp_obj result;

	T_OK(mp_manager_open(m, "lock", "l", mp_nil(), &lock));
	T_OK(mp_manager_open(m, NULL, "l", mp_nil(), &again));
	T_OK(mp_manager_open(m, "lock", NULL, MP_LIST(), &other));
	cr_assert_str_eq(mp_proxy_type(again), "lock");
	T_RESULT(mp_proxy_equal(lock, again), 1);
	T_RESULT(mp_proxy_equal(lock, other), 0);
	T_OK(mp_proxy_call(lock, "acquire", mp_nil(), MP_FOREVER, &result));
	t_expect_value(&result, mp_i64(1));
	T_OK(mp_proxy_call(again, "locked", MP_LIST(), 0, &result));
	t_expect_value(&result, mp_bool(true));
	T_OK(mp_proxy_call(again, "release", mp_nil(), 0, &result));
	t_expect_value(&result, mp_nil());
	mp_proxy_close(lock);
	mp_proxy_close(again);
	mp_proxy_close(other);
	mp_manager_close(m);
}

Test(proxy, mistakes_have_their_errors)
{
	mp_manager *m = t_manager();
	mp_proxy *lock = open_lock(m, "l");
	mp_proxy *p;

	T_RESULT(mp_manager_open(NULL, "lock", "x", mp_nil(), &p), -EINVAL);
	T_RESULT(mp_manager_open(m, "lock", "x", mp_nil(), NULL), -EINVAL);
	T_RESULT(mp_manager_open(m, NULL, NULL, mp_nil(), &p), -EINVAL);
	T_RESULT(mp_manager_open(m, "", "x", mp_nil(), &p), -EINVAL);
	T_RESULT(mp_manager_open(m, "lock", "", mp_nil(), &p), -EINVAL);
	T_RESULT(mp_manager_open(m, "lock", "\xff", mp_nil(), &p), -EILSEQ);
	T_RESULT(mp_manager_open(m, "lock", "x", mp_i64(1), &p), -EINVAL);
	T_RESULT(mp_manager_open(m, "lock", "x", MP_LIST(mp_i64(1)), &p), -EINVAL);
	T_RESULT(mp_manager_open(m, NULL, "x", mp_nil(), &p), -ENOENT);
	T_RESULT(mp_manager_open(m, "rlock", "l", mp_nil(), &p), -EEXIST);
	T_RESULT(mp_manager_open(m, "nothing", "x", mp_nil(), &p), -ENOSYS);

	T_RESULT(mp_proxy_call(NULL, "acquire", mp_nil(), 0, NULL), -EINVAL);
	T_RESULT(mp_proxy_call(lock, NULL, mp_nil(), 0, NULL), -EINVAL);
	T_RESULT(mp_proxy_call(lock, "acquire", mp_i64(1), 0, NULL), -EINVAL);
	T_RESULT(mp_proxy_call(lock, "acquire", MP_LIST(mp_i64(1)), 0, NULL), -EINVAL);
	T_RESULT(mp_proxy_call(lock, "acquire", mp_nil(), -2, NULL), -EINVAL);
	T_RESULT(mp_proxy_call(lock, "acquire", MP_LIST(mp_fd(0)), 0, NULL), -ENOTSUP);
	T_RESULT(mp_proxy_call(lock, "eat", mp_nil(), 0, NULL), -ENOSYS);
	T_RESULT(mp_served_rlock_acquire(lock, 0, NULL), -EINVAL);
	T_RESULT(mp_served_lock_acquire(NULL, 0, NULL), -EINVAL);
	T_RESULT(mp_manager_lock(NULL, "x", &p), -EINVAL);
	cr_assert_null(mp_proxy_type(NULL));
	cr_assert_null(mp_proxy_dict(lock));
	mp_proxy_close(lock);
	mp_proxy_close(NULL);
	mp_manager_close(m);
}

Test(proxy, a_dict_is_a_proxy_too)
{
	mp_manager *m = t_manager();
	mp_proxy *p;

	T_OK(mp_manager_open(m, "dict", "d", mp_nil(), &p));
	mp_dict *d = mp_proxy_dict(p);
	T_OK(mp_dict_set(d, mp_i64(1), mp_i64(2)));
	t_expect_get(d, mp_i64(1), mp_i64(2));
	mp_dict_close(d);
	mp_proxy_close(p);
	mp_manager_close(m);
}

static int use_in_child(void *argument)
{
	mp_proxy *lock = argument;

	T_CHECK(mp_served_lock_acquire(lock, MP_NOWAIT, NULL) == -EAGAIN);
	T_CHECK(mp_served_lock_release(lock) == -EPERM);
	t_ready();
	T_CHECK(mp_served_lock_acquire(lock, LONG_MS, NULL) == 0);
	T_CHECK(mp_served_lock_release(lock) == 0);
	return 0;
}

Test(proxy, a_forked_child_has_its_own_connection_and_holds_nothing)
{
	mp_manager *m = t_manager();
	mp_proxy *lock = open_lock(m, NULL);

	T_OK(mp_served_lock_acquire(lock, MP_FOREVER, NULL));
	struct t_child child = t_spawn(use_in_child, lock);
	t_wait_ready(&child);
	T_OK(mp_served_lock_release(lock));
	t_expect_exit(&child, 0);
	mp_proxy_close(lock);
	mp_manager_close(m);
}

Test(proxy, limits_of_the_daemon_are_answered)
{
	const char *const options[] = {"--max-objects", "2", "--max-references", "1", NULL};
	struct t_daemon daemon = t_daemon_start(options);
	mp_manager *m;
	mp_proxy *a;
	mp_proxy *b;

	T_OK(mp_manager_connect(daemon.address, T_PATIENT, &m));
	T_OK(mp_manager_lock(m, "a", &a));
	T_RESULT(mp_manager_lock(m, NULL, &b), -ENOSPC);
	T_RESULT(mp_manager_open(m, "lock", "b", mp_nil(), &b), -ENOSPC);
	/* What could not be opened has left nothing behind. */
	T_RESULT(mp_manager_open(m, NULL, "b", mp_nil(), &b), -ENOENT);
	T_OK(mp_proxy_close(a));
	T_OK(mp_manager_lock(m, "b", &b));
	T_OK(mp_proxy_close(b));
	T_RESULT(mp_manager_lock(m, "c", &b), -ENOSPC);
	mp_manager_close(m);
	t_daemon_stop(&daemon);
}

Test(proxy, a_restarted_daemon_has_the_named_ones_again)
{
	struct t_daemon daemon = t_daemon_start(NULL);
	mp_manager *m;
	mp_proxy *named;
	mp_proxy *other;

	T_OK(mp_manager_connect(daemon.address, T_PATIENT, &m));
	T_OK(mp_manager_lock(m, "a", &named));
	T_OK(mp_manager_lock(m, NULL, &other));
	T_OK(mp_served_lock_acquire(named, MP_FOREVER, NULL));
	t_daemon_kill(&daemon);
	T_RESULT(mp_served_lock_locked(named), -EPIPE);
	t_daemon_restart(&daemon);
	T_RESULT(mp_served_lock_locked(named), 0);
	T_RESULT(mp_served_lock_release(named), -EPERM);
	T_RESULT(mp_served_lock_locked(other), -EPIPE);
	mp_proxy_close(named);
	mp_proxy_close(other);
	mp_manager_close(m);
	t_daemon_stop(&daemon);
}
