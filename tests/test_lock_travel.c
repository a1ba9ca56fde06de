/* SPDX-License-Identifier: MIT */
/* Locks that are objects of their own, as arguments of children under every start method. */
#include <config.h>

#include "tests/support/support.h"

#include <mp.h>

T_SUITE(lock_travel);

static const int methods[] = {MP_START_FORK, MP_START_SPAWN, MP_START_FORKSERVER};

/* All are the parent's: this process sees that, and can't take them. */
static int find_them_taken(int argc, const mp_obj *argv)
{
	mp_lock *lock = mp_obj_lock(&argv[0]);
	mp_rlock *rlock = mp_obj_rlock(&argv[1]);
	mp_rwlock *rwlock = mp_obj_rwlock(&argv[2]);

	T_CHECK(argc == 3 && lock && rlock && rwlock);
	T_CHECK(!mp_obj_lock(&argv[1]) && !mp_obj_rlock(&argv[2]) && !mp_obj_rwlock(&argv[0]));
	T_CHECK(mp_lock_acquire(lock, MP_NOWAIT) == -EAGAIN);
	T_CHECK(mp_rlock_acquire(rlock, MP_NOWAIT) == -EAGAIN);
	T_CHECK(mp_rwlock_acquire_write(rwlock, MP_NOWAIT) == -EAGAIN);
	T_CHECK(mp_lock_release(lock) == -EPERM);
	return 0;
}

/* And ends with all of them, never to release. */
static int take_them(int argc, const mp_obj *argv)
{
	T_CHECK(argc == 3);
	T_CHECK(mp_lock_acquire(mp_obj_lock(&argv[0]), MP_FOREVER) == 0);
	T_CHECK(mp_rlock_acquire(mp_obj_rlock(&argv[1]), MP_FOREVER) == 0);
	T_CHECK(mp_rwlock_acquire_write(mp_obj_rwlock(&argv[2]), MP_FOREVER) == 0);
	return 0;
}

static void run(mp_target *target, int method, mp_lock *lock, mp_rlock *rlock, mp_rwlock *rwlock)
{
	mp_process *p;
	int code;

	T_OK(mp_process_new(target, MP_ARGS(mp_handle(lock), mp_handle(rlock), mp_handle(rwlock)),
		MP_PROCESS_OPTIONS(.start_method = method), &p));
	T_OK(mp_process_start(p));
	T_OK(mp_process_join(p, T_TIMEOUT_MS));
	T_OK(mp_process_exit_code(p, &code));
	cr_assert_eq(code, 0);
	mp_process_close(p);
}

Test(lock_travel, every_start_method)
{
	for (int i = 0; i < 3; i++) {
		mp_lock *lock;
		mp_rlock *rlock;
		mp_rwlock *rwlock;
		T_OK(mp_lock_new(MP_LOCK_OPTIONS(.name = "traveller"), &lock));
		T_OK(mp_rlock_new(NULL, &rlock));
		T_OK(mp_rwlock_new(NULL, &rwlock));
		T_OK(mp_lock_acquire(lock, MP_NOWAIT));
		T_OK(mp_rlock_acquire(rlock, MP_NOWAIT));
		T_OK(mp_rwlock_acquire_write(rwlock, MP_NOWAIT));
		run(find_them_taken, methods[i], lock, rlock, rwlock);
		T_OK(mp_lock_release(lock));
		T_OK(mp_rlock_release(rlock));
		T_OK(mp_rwlock_release_write(rwlock));
		run(take_them, methods[i], lock, rlock, rwlock);
		T_RESULT(mp_lock_acquire(lock, T_TIMEOUT_MS), MP_OWNER_DIED);
		T_RESULT(mp_rlock_acquire(rlock, T_TIMEOUT_MS), MP_OWNER_DIED);
		T_RESULT(mp_rwlock_acquire_write(rwlock, T_TIMEOUT_MS), MP_OWNER_DIED);
		mp_lock_close(lock);
		mp_rlock_close(rlock);
		mp_rwlock_close(rwlock);
	}
}

Test(lock_travel, references)
{
	mp_lock in_place;
	mp_lock *lock;

	T_OK(mp_lock_new(NULL, &lock));
	cr_assert_eq(mp_lock_ref(lock), lock);
	mp_lock_close(lock);
	T_OK(mp_lock_acquire(lock, MP_NOWAIT));
	mp_lock_close(lock);
	T_OK(mp_lock_init(&in_place, NULL));
	cr_assert_eq(mp_lock_ref(&in_place), &in_place);
	mp_lock_close(&in_place);
	T_OK(mp_lock_acquire(&in_place, MP_NOWAIT));
	cr_assert_eq(mp_lock_handle(&in_place).type, MP_TYPE_NIL);
	cr_assert_null(mp_lock_ref(NULL));
	mp_lock_close(NULL);
}

Test(lock_travel, wrong_options_leave_nothing)
{
	mp_lock_options flags = {.size = sizeof(flags), .flags = 1};
	mp_rwlock_options rwflags = {.size = sizeof(rwflags), .flags = 1};
	mp_lock *lock;
	mp_rlock *rlock;
	mp_rwlock *rwlock;

	T_RESULT(mp_lock_new(&flags, &lock), -EINVAL);
	T_RESULT(mp_rlock_new(&flags, &rlock), -EINVAL);
	T_RESULT(mp_rwlock_new(&rwflags, &rwlock), -EINVAL);
}
