/* SPDX-License-Identifier: MIT */
/*
 * mp/handle.h - libmp objects and file descriptors inside an mp_obj.
 *
 * mp_handle(x) makes a value of a libmp object, so that a target or task gets it as an argument the
 * same way under every start method:
 *
 *	mp_process_new(target, MP_ARGS(mp_handle(dict), mp_fd(log)), NULL, &process);
 *
 * and in the target `mp_dict *d = mp_obj_dict(&argv[0])`. The constructors borrow like all others;
 * a copy holds a reference, so that the object lives at least as long as the copy. What
 * mp_obj_dict() and the like return belongs to the value and goes with it: mp_dict_ref() keeps it.
 */
#ifndef MP_HANDLE_H
#define MP_HANDLE_H

#include <mp/obj.h>

typedef struct mp_manager mp_manager;
typedef struct mp_dict mp_dict;
typedef struct mp_proxy mp_proxy;
typedef struct mp_block mp_block;
typedef struct mp_heap mp_heap;
typedef struct mp_value mp_value;
typedef struct mp_array mp_array;
typedef struct mp_shared_list mp_shared_list;
typedef struct mp_connection mp_connection;
typedef struct mp_event mp_event;
typedef struct mp_semaphore mp_semaphore;
typedef struct mp_barrier mp_barrier;
typedef struct mp_lock mp_lock;
typedef struct mp_rlock mp_rlock;
typedef struct mp_rwlock mp_rwlock;
typedef struct mp_queue mp_queue;
typedef struct mp_condition mp_condition;

MP__BEGIN_DECLS

mp_obj mp_manager_handle(mp_manager *manager);
mp_obj mp_dict_handle(mp_dict *dict);
mp_obj mp_proxy_handle(mp_proxy *proxy);
mp_obj mp_block_handle(mp_block *block);
mp_obj mp_heap_handle(mp_heap *heap);
mp_obj mp_value_handle(mp_value *value);
mp_obj mp_array_handle(mp_array *array);
mp_obj mp_shared_list_handle(mp_shared_list *list);
mp_obj mp_connection_handle(mp_connection *connection);
/* Nil for one that stands in memory of the program's own. */
mp_obj mp_event_handle(mp_event *event);
mp_obj mp_semaphore_handle(mp_semaphore *semaphore);
mp_obj mp_barrier_handle(mp_barrier *barrier);
mp_obj mp_condition_handle(mp_condition *condition);

/* Of what mp_lock_new() and the like made; nil for those in memory of the program's own. */
mp_obj mp_lock_handle(mp_lock *lock);
mp_obj mp_rlock_handle(mp_rlock *lock);
mp_obj mp_rwlock_handle(mp_rwlock *rwlock);
mp_obj mp_queue_handle(mp_queue *queue);

/*
 * A file descriptor. In the receiver it is another number for the same open file, close-on-exec,
 * and is closed with the value: mp_obj_fd() lends it, mp_obj_take_fd() gives it away for good.
 */
mp_obj mp_fd(int fd);

/* What stands in the value, or NULL when that is something else. */
mp_manager *mp_obj_manager(const mp_obj *value);
mp_dict *mp_obj_dict(const mp_obj *value);
mp_proxy *mp_obj_proxy(const mp_obj *value);
mp_block *mp_obj_block(const mp_obj *value);
mp_heap *mp_obj_heap(const mp_obj *value);
mp_value *mp_obj_value(const mp_obj *value);
mp_array *mp_obj_array(const mp_obj *value);
mp_shared_list *mp_obj_shared_list(const mp_obj *value);
mp_connection *mp_obj_connection(const mp_obj *value);
mp_event *mp_obj_event(const mp_obj *value);
mp_semaphore *mp_obj_semaphore(const mp_obj *value);
mp_barrier *mp_obj_barrier(const mp_obj *value);
mp_lock *mp_obj_lock(const mp_obj *value);
mp_rlock *mp_obj_rlock(const mp_obj *value);
mp_rwlock *mp_obj_rwlock(const mp_obj *value);
mp_queue *mp_obj_queue(const mp_obj *value);
mp_condition *mp_obj_condition(const mp_obj *value);

/*
 * The descriptor, lent or given; -EINVAL it is something else, -EBADF already taken, or negative.
 * Giving needs an owning value, or one inside an owning value (-EPERM for one made by mp_fd()), and
 * may be done once.
 */
int mp_obj_fd(const mp_obj *value);
int mp_obj_take_fd(const mp_obj *value);

MP__END_DECLS

#ifdef __cplusplus
static inline mp_obj mp_handle(mp_manager *x)
{
	return mp_manager_handle(x);
}
static inline mp_obj mp_handle(mp_block *x)
{
	return mp_block_handle(x);
}
static inline mp_obj mp_handle(mp_heap *x)
{
	return mp_heap_handle(x);
}
static inline mp_obj mp_handle(mp_value *x)
{
	return mp_value_handle(x);
}
static inline mp_obj mp_handle(mp_array *x)
{
	return mp_array_handle(x);
}
static inline mp_obj mp_handle(mp_shared_list *x)
{
	return mp_shared_list_handle(x);
}
static inline mp_obj mp_handle(mp_dict *x)
{
	return mp_dict_handle(x);
}
static inline mp_obj mp_handle(mp_proxy *x)
{
	return mp_proxy_handle(x);
}
static inline mp_obj mp_handle(mp_connection *x)
{
	return mp_connection_handle(x);
}
static inline mp_obj mp_handle(mp_event *x)
{
	return mp_event_handle(x);
}
static inline mp_obj mp_handle(mp_semaphore *x)
{
	return mp_semaphore_handle(x);
}
static inline mp_obj mp_handle(mp_barrier *x)
{
	return mp_barrier_handle(x);
}
static inline mp_obj mp_handle(mp_condition *x)
{
	return mp_condition_handle(x);
}
static inline mp_obj mp_handle(mp_lock *x)
{
	return mp_lock_handle(x);
}
static inline mp_obj mp_handle(mp_rlock *x)
{
	return mp_rlock_handle(x);
}
static inline mp_obj mp_handle(mp_rwlock *x)
{
	return mp_rwlock_handle(x);
}
static inline mp_obj mp_handle(mp_queue *x)
{
	return mp_queue_handle(x);
}
#else
/* clang-format off */
#define mp_handle(x) _Generic((x), \
	mp_manager *: mp_manager_handle, \
	mp_dict *: mp_dict_handle, \
	mp_proxy *: mp_proxy_handle, \
	mp_block *: mp_block_handle, \
	mp_heap *: mp_heap_handle, \
	mp_value *: mp_value_handle, \
	mp_array *: mp_array_handle, \
	mp_shared_list *: mp_shared_list_handle, \
	mp_connection *: mp_connection_handle, \
	mp_event *: mp_event_handle, \
	mp_semaphore *: mp_semaphore_handle, \
	mp_barrier *: mp_barrier_handle, \
	mp_condition *: mp_condition_handle, \
	mp_lock *: mp_lock_handle, \
	mp_rlock *: mp_rlock_handle, \
	mp_rwlock *: mp_rwlock_handle, \
	mp_queue *: mp_queue_handle)(x)
/* clang-format on */
#endif

#endif
