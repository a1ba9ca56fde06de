/* SPDX-License-Identifier: MIT */
/*
 * Functions below which nothing can fail: each is called here, and seen to ask neither libc nor the
 * kernel for anything. The name of a test is the reason.
 */
#include <config.h>

#include "tests/support/faults.h"

FAULTS_SUITE(faults_quiet);

static mp_lock *lock;
static mp_rlock *rlock;
static mp_rwlock *rwlock;
static mp_semaphore *semaphore;
static mp_event *event;
static mp_condition *condition;
static mp_barrier *barrier;
static mp_value *value;
static mp_value *real;
static mp_array *array;
static mp_heap *heap;
static mp_block *block;
static mp_shared_list *list;
static mp_queue *queue;
static mp_connection *here;
static mp_connection *there;

static void all_made(void)
{
	T_CHECK(mp_lock_new(NULL, &lock) == 0 && mp_rlock_new(NULL, &rlock) == 0);
	T_CHECK(mp_rwlock_new(NULL, &rwlock) == 0);
	T_CHECK(mp_semaphore_new(1, NULL, &semaphore) == 0);
	T_CHECK(mp_event_new(NULL, &event) == 0);
	T_CHECK(mp_condition_new(NULL, &condition) == 0);
	T_CHECK(mp_barrier_new(2, NULL, &barrier) == 0);
	T_CHECK(mp_value_new('q', NULL, NULL, &value) == 0);
	T_CHECK(mp_value_new('d', NULL, NULL, &real) == 0);
	T_CHECK(mp_array_new('i', 10, NULL, NULL, &array) == 0);
	T_CHECK(mp_heap_new(100000, NULL, &heap) == 0);
	T_CHECK(mp_block_new(100000, NULL, &block) == 0);
	T_CHECK(mp_shared_list_new(MP_LIST(mp_i64(1), mp_str("two")), NULL, &list) == 0);
	T_CHECK(mp_queue_new(NULL, &queue) == 0);
	T_CHECK(mp_connection_pair(NULL, &here, &there) == 0);
}

static void all_closed(void)
{
	mp_lock_close(lock);
	mp_rlock_close(rlock);
	mp_rwlock_close(rwlock);
	mp_semaphore_close(semaphore);
	mp_event_close(event);
	mp_condition_close(condition);
	mp_barrier_close(barrier);
	T_CHECK(mp_value_close(value) == 0);
	T_CHECK(mp_value_close(real) == 0);
	T_CHECK(mp_array_close(array) == 0);
	T_CHECK(mp_heap_close(heap) == 0);
	mp_block_close(block);
	mp_shared_list_close(list);
	mp_queue_close(queue);
	T_CHECK(mp_connection_close(here) == 0 && mp_connection_close(there) == 0);
}

/* --- they read what is there --------------------------------------------------------------------- */

static int read_locks(void)
{
	T_STEP(mp_lock_locked(lock));
	T_STEP(mp_lock_owner(lock));
	T_STEP(mp_rlock_locked(rlock));
	T_STEP(mp_rlock_owner(rlock));
	T_STEP(mp_rwlock_writer(rwlock));
	T_STEP(mp_rwlock_readers(rwlock));
	T_STEP(mp_event_is_set(event));
	T_STEP(mp_barrier_parties(barrier));
	T_STEP(mp_barrier_waiting(barrier));
	return mp_barrier_broken(barrier, NULL);
}

QUIET(faults_quiet, reads_a_word_of_a_lock, all_made, read_locks, all_closed)

static int read_memory(void)
{
	int *item;

	T_CHECK(mp_value_data(value) && mp_value_size(value) == 8 && mp_value_type(value) == 'q');
	T_CHECK(mp_array_data(array) && mp_array_length(array) == 10);
	T_CHECK(mp_array_item_size(array) == sizeof(int) && mp_array_type(array) == 'i');
	T_STEP(mp_array_at(array, 3, &item));
	T_CHECK(mp_block_data(block) && mp_block_size(block) == 100000 && !mp_block_name(block));
	T_CHECK(mp_shared_list_len(list) == 2 && !mp_shared_list_name(list));
	T_CHECK(mp_shared_list_room(list, 0) >= 0);
	return 0;
}

QUIET(faults_quiet, reads_memory_that_is_mapped, all_made, read_memory, all_closed)

static int read_queue(void)
{
	T_CHECK(mp_queue_size(queue) == 0 && mp_queue_bytes(queue) == 0);
	T_CHECK(mp_queue_empty(queue) && !mp_queue_full(queue) && !mp_queue_name(queue));
	T_CHECK(mp_queue_leased(queue) == 0 && mp_queue_poison_count(queue) == 0);
	return mp_queue_is_shutdown(queue);
}

QUIET(faults_quiet, reads_counters_of_a_queue, all_made, read_queue, all_closed)

static int read_connection(void)
{
	T_STEP(mp_connection_fileno(here));
	return mp_connection_direction(here);
}

QUIET(faults_quiet, reads_a_field_of_a_connection, all_made, read_connection, all_closed)

static int read_texts(void)
{
	T_CHECK(mp_strerror(-EPIPE) && mp_error_detail() && mp_version());
	T_CHECK(mp_start_method_parse("spawn") == MP_START_SPAWN);
	T_CHECK(mp_start_method_name(MP_START_SPAWN) && mp_process_current_name());
	T_CHECK(mp_error_set(-EDOM, "number %d", 7) == -EDOM);
	T_STEP(mp_process_current_daemon());
	T_STEP(mp_task_cancelled());
	T_STEP(mp_start_method_set(MP_START_SPAWN));
	T_STEP(mp_start_method_get());
	return mp_start_method_set(MP_START_DEFAULT);
}

QUIET(faults_quiet, reads_or_sets_a_word_of_this_process, NULL, read_texts)

/* --- they change words of memory, where nobody waits --------------------------------------------- */

static int change_values(void)
{
	int64_t old;
	double before;

	T_STEP(mp_value_load_i64(value, &old));
	T_STEP(mp_value_add_i64(value, 1, &old));
	T_STEP(mp_value_exchange_i64(value, 1, &old));
	T_STEP(mp_value_compare_exchange_i64(value, 1, 2, &old));
	T_STEP(mp_value_load_f64(real, &before));
	T_STEP(mp_value_add_f64(real, 1, &before));
	T_STEP(mp_value_exchange_f64(real, 1, &before));
	return mp_value_compare_exchange_f64(real, 1, 2, &before);
}

QUIET(faults_quiet, one_atomic_instruction, all_made, change_values, all_closed)

/* --- they count ------------------------------------------------------------------------------------ */

#define ONE_MORE_AND_LESS(type, object)                     \
	do {                                                \
		T_CHECK(mp_##type##_ref(object) == object); \
		mp_##type##_close(object);                  \
	} while (0)

static int count_references(void)
{
	ONE_MORE_AND_LESS(lock, lock);
	ONE_MORE_AND_LESS(rlock, rlock);
	ONE_MORE_AND_LESS(rwlock, rwlock);
	ONE_MORE_AND_LESS(semaphore, semaphore);
	ONE_MORE_AND_LESS(event, event);
	ONE_MORE_AND_LESS(condition, condition);
	ONE_MORE_AND_LESS(barrier, barrier);
	ONE_MORE_AND_LESS(value, value);
	ONE_MORE_AND_LESS(array, array);
	ONE_MORE_AND_LESS(heap, heap);
	ONE_MORE_AND_LESS(block, block);
	ONE_MORE_AND_LESS(shared_list, list);
	ONE_MORE_AND_LESS(queue, queue);
	ONE_MORE_AND_LESS(connection, here);
	return 0;
}

QUIET(faults_quiet, counts_references, all_made, count_references, all_closed)

/* --- values that hold a pointer ----------------------------------------------------------------------- */

#define THERE_AND_BACK(type, object)                        \
	do {                                                \
		mp_obj handle = mp_##type##_handle(object); \
		T_CHECK(mp_obj_##type(&handle) == object);  \
	} while (0)

static int make_handles(void)
{
	THERE_AND_BACK(lock, lock);
	THERE_AND_BACK(rlock, rlock);
	THERE_AND_BACK(rwlock, rwlock);
	THERE_AND_BACK(semaphore, semaphore);
	THERE_AND_BACK(event, event);
	THERE_AND_BACK(condition, condition);
	THERE_AND_BACK(barrier, barrier);
	THERE_AND_BACK(value, value);
	THERE_AND_BACK(array, array);
	THERE_AND_BACK(heap, heap);
	THERE_AND_BACK(block, block);
	THERE_AND_BACK(shared_list, list);
	THERE_AND_BACK(queue, queue);
	THERE_AND_BACK(connection, here);
	mp_obj fd = mp_fd(STDERR_FILENO);
	return mp_obj_fd(&fd) == STDERR_FILENO ? 0 : -EBADF;
}

QUIET(faults_quiet, puts_a_pointer_into_a_value, all_made, make_handles, all_closed)

static int look_into_values(void)
{
	mp_obj items = MP_LIST(mp_i64(1), mp_f64(2), mp_str("three"));
	mp_obj pairs = MP_DICT(mp_str("a"), mp_bool(true));
	char text[100];
	uint64_t u64;
	int64_t i64;
	double f64;
	bool boolean;

	const mp_obj *first = mp_obj_at(&items, 0);
	const mp_obj *second = mp_obj_at(&items, 1);
	const mp_obj *third = mp_obj_at(&items, 2);
	const mp_obj *a = mp_obj_get(&pairs, mp_str("a"));
	T_CHECK(mp_obj_len(&items) == 3 && mp_obj_i64(first) == 1);
	T_CHECK(mp_obj_f64(second) > 1 && mp_obj_str(third));
	T_CHECK(mp_obj_to_bool(a, &boolean) == 0 && mp_obj_to_i64(first, &i64) == 0);
	T_CHECK(mp_obj_to_u64(first, &u64) == 0 && mp_obj_to_f64(second, &f64) == 0);
	T_CHECK(mp_obj_equal(&items, &items) && mp_obj_compare(&items, &items) == 0);
	T_CHECK(mp_obj_format(&items, text, sizeof(text)) > 0);
	return 0;
}

QUIET(faults_quiet, reads_a_value, NULL, look_into_values)
