/* SPDX-License-Identifier: MIT */
/* What fails below the calls on shared memory and on the objects in it. */
#include <config.h>

#include "tests/support/asleep.h"
#include "tests/support/faults.h"

FAULTS_SUITE(faults_shm);

/* --- sync objects ------------------------------------------------------------------------------- */

#define NEW_AND_CLOSE(type, ...)                     \
	static mp_##type *a_##type;                  \
	static int type##_new(void)                  \
	{                                            \
		return mp_##type##_new(__VA_ARGS__); \
	}                                            \
	static void type##_end(void)                 \
	{                                            \
		mp_##type##_close(a_##type);         \
		a_##type = NULL;                     \
	}

NEW_AND_CLOSE(lock, NULL, &a_lock)
FAULTS(faults_shm, lock_new, NULL, lock_new, lock_end)

NEW_AND_CLOSE(rlock, NULL, &a_rlock)
FAULTS(faults_shm, rlock_new, NULL, rlock_new, rlock_end)

NEW_AND_CLOSE(rwlock, NULL, &a_rwlock)
FAULTS(faults_shm, rwlock_new, NULL, rwlock_new, rwlock_end)

NEW_AND_CLOSE(semaphore, 2, NULL, &a_semaphore)
FAULTS(faults_shm, semaphore_new, NULL, semaphore_new, semaphore_end)

NEW_AND_CLOSE(event, NULL, &a_event)
FAULTS(faults_shm, event_new, NULL, event_new, event_end)

NEW_AND_CLOSE(condition, NULL, &a_condition)
FAULTS(faults_shm, condition_new, NULL, condition_new, condition_end)

NEW_AND_CLOSE(barrier, 2, NULL, &a_barrier)
FAULTS(faults_shm, barrier_new, NULL, barrier_new, barrier_end)

/* Acquire, hand over by a child that holds it and ends, so that the wait sleeps. */

static struct t_child holder;

static int hold(void *argument)
{
	(void)argument;
	T_CHECK(mp_lock_acquire(a_lock, MP_FOREVER) >= 0);
	t_ready();
	t_moment();
	return mp_lock_release(a_lock);
}

static void lock_held(void)
{
	T_CHECK(mp_lock_new(NULL, &a_lock) == 0);
	holder = t_spawn(hold, NULL);
	t_wait_ready(&holder);
}

static int lock_acquire(void)
{
	return mp_lock_acquire(a_lock, T_TIMEOUT_MS);
}

static void lock_let_go(void)
{
	T_CHECK(mp_lock_release(a_lock) == 0);
	t_expect_exit(&holder, 0);
	lock_end();
}

FAULTS(faults_shm, lock_acquire, lock_held, lock_acquire, lock_let_go)

/* --- values and arrays ----------------------------------------------------------------------------- */

NEW_AND_CLOSE(value, 'i', NULL, NULL, &a_value)
FAULTS(faults_shm, value_new, NULL, value_new, value_end)

NEW_AND_CLOSE(array, 'd', 100000, NULL, NULL, &a_array)
FAULTS(faults_shm, array_new, NULL, array_new, array_end)

/* --- blocks, heaps, lists ----------------------------------------------------------------------------- */

NEW_AND_CLOSE(block, 100000, NULL, &a_block)
FAULTS(faults_shm, block_new, NULL, block_new, block_end)

static char block_name[64];

static int block_create(void)
{
	snprintf(block_name, sizeof(block_name), "/mp-faults-%d", (int)getpid());
	return mp_block_create(block_name, 100000, NULL, &a_block);
}

static void block_unlink(void)
{
	T_CHECK(mp_block_unlink(block_name) == 0);
	block_end();
}

FAULTS(faults_shm, block_create, NULL, block_create, block_unlink)

static mp_block *opened;

static void block_made(void)
{
	T_CHECK(block_create() == 0);
}

static int block_open(void)
{
	return mp_block_open(block_name, NULL, &opened);
}

static void block_opened(void)
{
	mp_block_close(opened);
	block_unlink();
}

FAULTS(faults_shm, block_open, block_made, block_open, block_opened)

static void block_small(void)
{
	T_CHECK(mp_block_new(10000, MP_BLOCK_OPTIONS(.max_size = 2000000), &a_block) == 0);
}

static int block_grow(void)
{
	return mp_block_grow(a_block, 1000000);
}

FAULTS(faults_shm, block_grow, block_small, block_grow, block_end)

NEW_AND_CLOSE(heap, 1 << 20, NULL, &a_heap)
FAULTS(faults_shm, heap_new, NULL, heap_new, heap_end)

static void heap_made(void)
{
	T_CHECK(heap_new() == 0);
}

static int heap_alloc(void)
{
	void *p = NULL;
	int code = mp_heap_alloc(a_heap, 300000, &p);

	return code < 0 ? code : mp_heap_free(a_heap, p);
}

FAULTS(faults_shm, heap_alloc, heap_made, heap_alloc, heap_end)

NEW_AND_CLOSE(shared_list, MP_LIST(mp_i64(1), mp_str("two"), mp_f64(3.0)), NULL, &a_shared_list)
FAULTS(faults_shm, shared_list_new, NULL, shared_list_new, shared_list_end)

/* --- queues ---------------------------------------------------------------------------------------- */

NEW_AND_CLOSE(queue, NULL, &a_queue)
FAULTS(faults_shm, queue_new, NULL, queue_new, queue_end)

static void queue_made(void)
{
	T_CHECK(queue_new() == 0);
}

static int queue_put(void)
{
	return mp_queue_put(a_queue, MP_LIST(mp_str("a message"), mp_i64(7)), 0);
}

FAULTS(faults_shm, queue_put, queue_made, queue_put, queue_end)

static char large[1 << 20];

static int queue_put_large(void)
{
	return mp_queue_put_bytes(a_queue, large, sizeof(large), 0);
}

FAULTS(faults_shm, queue_put_large, queue_made, queue_put_large, queue_end)

static void queue_filled(void)
{
	queue_made();
	T_CHECK(queue_put() == 0);
}

static int queue_get(void)
{
	mp_obj message;
	int code = mp_queue_get(a_queue, 0, &message);

	if (code == 0)
		mp_obj_free(&message);
	return code;
}

FAULTS(faults_shm, queue_get, queue_filled, queue_get, queue_end)

static int put_later(void *argument)
{
	(void)argument;
	t_ready();
	t_moment();
	return queue_put();
}

static void queue_awaited(void)
{
	queue_made();
	holder = t_spawn(put_later, NULL);
	t_wait_ready(&holder);
}

static int queue_wait(void)
{
	mp_obj message;
	int code = mp_queue_get(a_queue, T_TIMEOUT_MS, &message);

	if (code == 0)
		mp_obj_free(&message);
	return code;
}

static void queue_waited(void)
{
	t_expect_exit(&holder, 0);
	queue_end();
}

FAULTS(faults_shm, queue_wait, queue_awaited, queue_wait, queue_waited)

static int queue_create(void)
{
	snprintf(block_name, sizeof(block_name), "/mp-faults-queue-%d", (int)getpid());
	return mp_queue_create(block_name, NULL, &a_queue);
}

FAULTS(faults_shm, queue_create, NULL, queue_create, queue_end)

static mp_queue *opened_queue;

static void named_queue_made(void)
{
	T_CHECK(queue_create() == 0);
}

static int queue_open(void)
{
	return mp_queue_open(block_name, &opened_queue);
}

static void queue_opened(void)
{
	mp_queue_close(opened_queue);
	queue_end();
}

FAULTS(faults_shm, queue_open, named_queue_made, queue_open, queue_opened)
