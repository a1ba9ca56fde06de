/* SPDX-License-Identifier: MIT */
/* What fails below the calls on values, on what is in shared memory, and on their way to others. */
#include <config.h>

#include "tests/support/faults.h"

#include <fcntl.h>

FAULTS_SUITE(faults_memory);

/* --- values ---------------------------------------------------------------------------------------- */

static int copy_and_code(void)
{
	mp_obj list =
		MP_LIST(mp_str("a text of more than a few bytes"), MP_DICT(mp_i64(1), mp_f64(2)));
	mp_obj copy;
	mp_obj decoded;
	void *data;
	size_t size;

	T_STEP(mp_obj_copy(list, &copy));
	mp_obj_free(&copy);
	T_STEP(mp_obj_encode(list, &data, &size));
	int r = mp_obj_decode(data, size, &decoded);
	free(data);
	if (r == 0)
		mp_obj_free(&decoded);
	return r;
}

FAULTS(faults_memory, obj, NULL, copy_and_code)

static int copy_descriptor(void)
{
	mp_obj copy;

	T_STEP(mp_obj_copy(mp_fd(STDERR_FILENO), &copy));
	int fd = mp_obj_take_fd(&copy);
	mp_obj_free(&copy);
	T_STEP(fd);
	close(fd);
	return 0;
}

FAULTS(faults_memory, obj_fd, NULL, copy_descriptor)

/* --- new ones ----------------------------------------------------------------------------------------- */

static mp_value *value;
static mp_array *array;

static int sized(void)
{
	T_STEP(mp_value_new_sized(100, NULL, NULL, &value));
	int r = mp_array_new_sized(100, 100, NULL, NULL, &array);
	if (r == 0)
		T_CHECK(mp_array_close(array) == 0);
	T_CHECK(mp_value_close(value) == 0);
	return r;
}

FAULTS(faults_memory, new_sized, NULL, sized)

/* --- heaps that grow ------------------------------------------------------------------------------------ */

static mp_heap *heap;

static void small_heap(void)
{
	T_CHECK(mp_heap_new(10000, MP_HEAP_OPTIONS(.max_size = 10000000), &heap) == 0);
}

static void heap_closed(void)
{
	T_CHECK(mp_heap_close(heap) == 0);
}

static int grow_heap(void)
{
	void *p;

	T_STEP(mp_heap_alloc(heap, 300000, &p));
	T_STEP(mp_heap_free(heap, p));
	T_STEP(mp_heap_calloc(heap, 3, 300000, &p));
	T_STEP(mp_heap_free(heap, p));
	T_STEP(mp_heap_alloc_aligned(heap, 4096, 2000000, &p));
	return mp_heap_free(heap, p);
}

FAULTS(faults_memory, heap_grows, small_heap, grow_heap, heap_closed)

static void with_heap_block(void)
{
	void *p = NULL;
	small_heap();
	T_CHECK(mp_heap_alloc(heap, 100, &p) == 0 && mp_heap_set_root(heap, p) == 0);
}

static int walk_heap(void)
{
	mp_heap_block found;
	mp_heap_stats stats;

	void *p = mp_heap_root(heap);
	T_CHECK(mp_heap_pointer(heap, mp_heap_offset(heap, p), 100) == p);
	T_STEP(mp_heap_set_root(heap, p));
	T_STEP(mp_heap_next(heap, NULL, &found));
	T_STEP(mp_heap_adopt(heap, p));
	T_STEP(mp_heap_stat(heap, &stats));
	T_STEP(mp_heap_check(heap));
	return mp_heap_reclaim(heap);
}

FAULTS(faults_memory, heap_walk, with_heap_block, walk_heap, heap_closed)

/* --- blocks -------------------------------------------------------------------------------------------- */

static mp_block *block;
static char name[64];

static void block_grown(void)
{
	T_CHECK(mp_block_new(10000, MP_BLOCK_OPTIONS(.max_size = 2000000), &block) == 0);
	T_CHECK(mp_block_grow(block, 20000) == 0);
}

static int refresh(void)
{
	return mp_block_refresh(block);
}

static void block_closed(void)
{
	mp_block_close(block);
}

QUIET(faults_memory, reads_the_size_of_a_block, block_grown, refresh, block_closed)

static void block_persistent(void)
{
	snprintf(name, sizeof(name), "/mp-faults-memory-%d", (int)getpid());
	T_CHECK(mp_block_create(name, 10000, MP_BLOCK_OPTIONS(.persist = true), &block) == 0);
}

static int unlink_block(void)
{
	return mp_block_unlink(name);
}

FAULTS(faults_memory, block_unlink, block_persistent, unlink_block, block_closed)

/* --- shared lists --------------------------------------------------------------------------------------- */

static mp_shared_list *list;

static int list_create(void)
{
	snprintf(name, sizeof(name), "/mp-faults-list-%d", (int)getpid());
	return mp_shared_list_create(name, MP_LIST(mp_i64(1), mp_str("two")), NULL, &list);
}

static void list_closed(void)
{
	mp_shared_list_close(list);
}

FAULTS(faults_memory, list_create, NULL, list_create, list_closed)

static void list_created(void)
{
	T_CHECK(list_create() == 0);
}

static int list_open(void)
{
	mp_shared_list *opened;

	T_STEP(mp_shared_list_open(name, NULL, &opened));
	mp_shared_list_close(opened);
	return 0;
}

FAULTS(faults_memory, list_open, list_created, list_open, list_closed)

static int list_use(void)
{
	mp_obj item;

	T_STEP(mp_shared_list_get(list, 1, &item));
	mp_obj_free(&item);
	T_STEP(mp_shared_list_set(list, 1, mp_str("2")));
	T_CHECK(mp_shared_list_count(list, mp_i64(1)) == 1);
	T_CHECK(mp_shared_list_index(list, mp_i64(1)) == 0);
	return 0;
}

FAULTS(faults_memory, list_use, list_created, list_use, list_closed)

/* --- names that nobody uses any more ---------------------------------------------------------------------- */

static void count(const mp_shm_leftover *leftover, void *data)
{
	(void)leftover;
	++*(int *)data;
}

static int look_for_leftovers(void)
{
	int n = 0;

	return mp_shm_gc(0, count, &n);
}

FAULTS(faults_memory, gc, NULL, look_for_leftovers)

/* --- all of them travel ------------------------------------------------------------------------------------ */

static mp_connection *here;
static mp_connection *there;
static mp_lock *lock;
static mp_rlock *rlock;
static mp_rwlock *rwlock;
static mp_semaphore *semaphore;
static mp_event *event;
static mp_condition *condition;
static mp_barrier *barrier;
static mp_queue *queue;

static void travellers(void)
{
	T_CHECK(mp_connection_pair(NULL, &here, &there) == 0);
	T_CHECK(mp_lock_new(NULL, &lock) == 0 && mp_rlock_new(NULL, &rlock) == 0);
	T_CHECK(mp_rwlock_new(NULL, &rwlock) == 0);
	T_CHECK(mp_semaphore_new(1, NULL, &semaphore) == 0);
	T_CHECK(mp_event_new(NULL, &event) == 0);
	T_CHECK(mp_condition_new(NULL, &condition) == 0);
	T_CHECK(mp_barrier_new(2, NULL, &barrier) == 0);
	T_CHECK(mp_queue_new(NULL, &queue) == 0);
	T_CHECK(mp_value_new('i', NULL, NULL, &value) == 0);
	T_CHECK(mp_array_new('i', 3, NULL, NULL, &array) == 0);
	block_grown();
	small_heap();
	list_created();
}

static void arrived(void)
{
	T_CHECK(mp_connection_close(here) == 0 && mp_connection_close(there) == 0);
	mp_lock_close(lock);
	mp_rlock_close(rlock);
	mp_rwlock_close(rwlock);
	mp_semaphore_close(semaphore);
	mp_event_close(event);
	mp_condition_close(condition);
	mp_barrier_close(barrier);
	mp_queue_close(queue);
	T_CHECK(mp_value_close(value) == 0 && mp_array_close(array) == 0);
	mp_block_close(block);
	heap_closed();
	list_closed();
}

/* A message that fails on arrival is gone, with all that was in it. */
static int send_and_recv(mp_obj handles)
{
	mp_obj got;

	T_STEP(mp_connection_send(here, handles, T_TIMEOUT_MS));
	T_STEP(mp_connection_recv(there, T_TIMEOUT_MS, &got));
	T_CHECK(mp_obj_len(&got) == mp_obj_len(&handles));
	mp_obj_free(&got);
	return 0;
}

static int send_sync(void)
{
	return send_and_recv(MP_LIST(mp_lock_handle(lock), mp_rlock_handle(rlock),
		mp_rwlock_handle(rwlock), mp_semaphore_handle(semaphore), mp_event_handle(event),
		mp_condition_handle(condition), mp_barrier_handle(barrier)));
}

static int send_memory(void)
{
	return send_and_recv(MP_LIST(mp_value_handle(value), mp_array_handle(array),
		mp_block_handle(block), mp_heap_handle(heap), mp_shared_list_handle(list)));
}

static int send_ways(void)
{
	mp_connection *one;
	mp_connection *two;

	T_STEP(mp_connection_pair(NULL, &one, &two));
	int r = send_and_recv(MP_LIST(mp_queue_handle(queue), mp_connection_handle(one)));
	T_CHECK(mp_connection_close(one) == 0 && mp_connection_close(two) == 0);
	return r;
}

FAULTS(faults_memory, sync_travels, travellers, send_sync, arrived)
FAULTS(faults_memory, memory_travels, travellers, send_memory, arrived)
FAULTS(faults_memory, ways_travel, travellers, send_ways, arrived)
