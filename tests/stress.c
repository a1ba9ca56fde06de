/* SPDX-License-Identifier: MIT */
/*
 * Every kind of handle used by several threads at once. A program of its own, for ThreadSanitizer:
 * under that Criterion's runner does not start. `make stress` runs it; it also is a test by itself.
 */
#include <config.h>

#include "tests/stress_check.h"
#include "tests/stress_queue.h"
#include "tests/stress_shared.h"
#include "tests/stress_wait.h"

#include <mp.h>

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define THREADS 4
#define ROUNDS 200
#define PROCESSES 10

/* Run body(argument) in THREADS threads at once. */
static void in_threads(void *(*body)(void *), void *argument)
{
	pthread_t threads[THREADS];

	for (int i = 0; i < THREADS; i++)
		CHECK(pthread_create(&threads[i], NULL, body, argument) == 0);
	for (int i = 0; i < THREADS; i++)
		CHECK(pthread_join(threads[i], NULL) == 0);
}

/* --- pool -------------------------------------------------------------------------------------- */

static int square(int argc, const mp_obj *argv, mp_obj *ret)
{
	(void)argc;
	*ret = mp_i64(mp_obj_i64(&argv[0]) * mp_obj_i64(&argv[0]));
	return 0;
}

static void *use_pool(void *pool)
{
	mp_obj items[ROUNDS];
	mp_obj results[ROUNDS];
	mp_future *futures[ROUNDS];

	for (int i = 0; i < ROUNDS; i++) {
		items[i] = mp_i64(i);
		CHECK(mp_pool_submit(pool, square, MP_ARGS(items[i]), &futures[i]) == 0);
	}
	for (int i = ROUNDS - 1; i >= 0; i--) {
		mp_obj result;
		CHECK(mp_future_state(futures[i]) >= 0);
		CHECK(mp_future_result(futures[i], MP_FOREVER, &result) == 0);
		CHECK(mp_obj_i64(&result) == i * i);
		mp_obj_free(&result);
		mp_future_close(futures[i]);
	}
	CHECK(mp_pool_map(pool, square, items, ROUNDS, 7, results) == 0);
	for (int i = 0; i < ROUNDS; i++) {
		CHECK(mp_obj_i64(&results[i]) == i * i);
		mp_obj_free(&results[i]);
	}
	return NULL;
}

static void *share_future(void *future)
{
	mp_obj result;

	CHECK(mp_future_result(future, MP_FOREVER, &result) == 0);
	CHECK(mp_obj_i64(&result) == 49);
	mp_obj_free(&result);
	return NULL;
}

static void stress_pool(void)
{
	mp_pool *pool;
	mp_future *future;

	CHECK(mp_pool_new(MP_POOL_OPTIONS(.workers = 3, .max_pending = 64), &pool) == 0);
	in_threads(use_pool, pool);
	CHECK(mp_pool_submit(pool, square, MP_ARGS(mp_i64(7)), &future) == 0);
	in_threads(share_future, future);
	CHECK(mp_pool_join(pool, MP_FOREVER) == 0);
	CHECK(mp_pool_close(pool) == 0);
	mp_future_close(future);
}

/* --- process ------------------------------------------------------------------------------------ */

static int seven(int argc, const mp_obj *argv)
{
	(void)argc;
	(void)argv;
	return 7;
}

static void *start_processes(void *method)
{
	for (int i = 0; i < PROCESSES; i++) {
		mp_process *p;
		int code;
		CHECK(mp_process_new(seven, mp_nil(),
			      MP_PROCESS_OPTIONS(.start_method = *(int *)method, .daemon = true),
			      &p) == 0);
		CHECK(mp_process_start(p) == 0);
		CHECK(mp_process_join(p, MP_FOREVER) == 0);
		CHECK(mp_process_exit_code(p, &code) == 0 && code == 7);
		CHECK(mp_process_close(p) == 0);
		CHECK(mp_process_children(NULL, 0) >= 0);
	}
	return NULL;
}

static void *share_process(void *process)
{
	int code;

	CHECK(mp_process_is_alive(process) >= 0);
	CHECK(mp_process_join(process, MP_FOREVER) == 0);
	CHECK(mp_process_exit_code(process, &code) == 0 && code == 7);
	int r = mp_process_kill(process);
	CHECK(r == -ESRCH || r == -ENOTSUP);
	return NULL;
}

static void stress_process(void)
{
	for (int method = MP_START_FORK; method <= MP_START_THREAD; method++) {
		mp_process *p;
		in_threads(start_processes, &method);
		CHECK(mp_process_new(seven, mp_nil(), MP_PROCESS_OPTIONS(.start_method = method),
			      &p) == 0);
		CHECK(mp_process_start(p) == 0);
		in_threads(share_process, p);
		CHECK(mp_process_close(p) == 0);
	}
}

/* --- manager ------------------------------------------------------------------------------------ */

#ifdef ENABLE_MANAGER
static _Atomic int next_key;

static void *use_dict(void *dict)
{
	int base = atomic_fetch_add(&next_key, ROUNDS);

	for (int i = base; i < base + ROUNDS; i++) {
		mp_obj value;
		CHECK(mp_dict_set(dict, mp_i64(i), MP_LIST(mp_i64(i), mp_str("text"))) == 0);
		CHECK(mp_dict_get(dict, mp_i64(i), &value) == 0);
		CHECK(mp_obj_i64(mp_obj_at(&value, 0)) == i);
		mp_obj_free(&value);
		CHECK(mp_dict_get(dict, mp_i64(-1), &value) == -ENOENT);
	}
	return NULL;
}

struct served {
	mp_proxy *lock;
	mp_proxy *semaphore;
	mp_proxy *value;
	int count; /* under the lock */
};

/* Calls that wait, and others, over one connection. */
static void *use_served(void *argument)
{
	struct served *s = argument;

	for (int i = 0; i < ROUNDS / 4; i++) {
		mp_obj content;
		CHECK(mp_served_semaphore_acquire(s->semaphore, MP_FOREVER) == 0);
		CHECK(mp_served_value_set(s->value, mp_handle(s->lock)) == 0);
		CHECK(mp_served_value_get(s->value, &content) == 0);
		mp_proxy *lock = mp_obj_proxy(&content);
		CHECK(mp_served_lock_acquire(lock, MP_FOREVER, NULL) == 0);
		s->count++;
		CHECK(mp_served_lock_release(s->lock) == 0);
		mp_obj_free(&content);
		CHECK(mp_served_semaphore_release(s->semaphore) == 0);
		int r = mp_served_lock_acquire(s->lock, 1, NULL);
		CHECK(r == 0 || r == -ETIMEDOUT);
		if (r == 0)
			CHECK(mp_served_lock_release(s->lock) == 0);
	}
	return NULL;
}

static void stress_served(mp_manager *manager)
{
	struct served s = {0};

	CHECK(mp_manager_lock(manager, NULL, &s.lock) == 0);
	CHECK(mp_manager_semaphore(manager, NULL, 2, &s.semaphore) == 0);
	CHECK(mp_manager_value(manager, NULL, mp_nil(), &s.value) == 0);
	in_threads(use_served, &s);
	CHECK(s.count == THREADS * (ROUNDS / 4));
	mp_proxy_close(s.lock);
	mp_proxy_close(s.semaphore);
	mp_proxy_close(s.value);
}

static void stress_manager(void)
{
	mp_manager *manager;
	mp_dict *dict;
	size_t len;

	CHECK(mp_manager_start(NULL, &manager) == 0);
	CHECK(mp_manager_dict(manager, NULL, &dict) == 0);
	in_threads(use_dict, dict);
	CHECK(mp_dict_len(dict, &len) == 0 && len == (size_t)THREADS * ROUNDS);
	mp_dict_close(dict);
	stress_served(manager);
	mp_manager_close(manager);
}
#endif

/* --- log ---------------------------------------------------------------------------------------- */

static void count_record(int level, const char *component, const char *message, void *data)
{
	(void)level;
	(void)component;
	(void)message;
	atomic_fetch_add((_Atomic int *)data, 1);
}

static void *change_handler(void *records)
{
	for (int i = 0; i < ROUNDS; i++)
		CHECK(mp_log_set_handler(MP_LOG_DEBUG, i % 2 ? count_record : NULL, records) == 0);
	return NULL;
}

/* --- timer -------------------------------------------------------------------------------------- */

static void count_call(mp_timer *timer, uint64_t periods, void *data)
{
	(void)timer;
	(void)periods;
	++*(int *)data; /* not atomic: a timer never makes two calls at once */
}

static void *use_timer(void *timer)
{
	for (int i = 0; i < ROUNDS; i++) {
		int r = mp_timer_start(timer);
		CHECK(r == 0 || r == -EALREADY);
		r = mp_timer_dispatch(timer);
		CHECK(r == 0 || r == -EAGAIN || r == -EBUSY || r == -ENOTSUP);
		r = mp_timer_wait(timer, i % 3);
		CHECK(r == 0 || r == -ETIMEDOUT);
		if (i % 4 == 0)
			CHECK(mp_timer_cancel(timer, MP_FOREVER) >= 0);
	}
	return NULL;
}

static void stress_timer(void)
{
	for (int kind = 0; kind < 4; kind++) {
		mp_timer *timer;
		int calls = 0;
		CHECK(mp_timer_new(count_call, &calls,
			      MP_TIMER_OPTIONS(.interval_ms = 1, .periodic = kind & 1,
				      .thread = kind & 2),
			      &timer) == 0);
		in_threads(use_timer, timer);
		CHECK(mp_timer_close(timer) == 0);
	}
}

/* --- connections ------------------------------------------------------------------------------- */

struct talk {
	mp_connection *a;
	mp_connection *b;
	mp_listener *listener;
	_Atomic int next;
};

/* Half of the threads send, half receive; long ones and short ones, and never a mixture. */
static void *talk(void *argument)
{
	struct talk *t = argument;
	bool sends = atomic_fetch_add(&t->next, 1) % 2 == 0;
	static const size_t sizes[] = {10, 5000, 70000};

	for (int i = 0; i < ROUNDS; i++) {
		size_t size = sizes[i % 3];
		unsigned char *data = calloc(1, size);
		if (sends) {
			memset(data, i, size);
			CHECK(mp_connection_send_bytes(t->a, data, size, 60000) == 0);
		} else {
			void *got;
			CHECK(mp_connection_poll(t->b, 60000) == 1);
			CHECK(mp_connection_recv_bytes(t->b, 60000, &got, &size) == 0);
			for (size_t k = 1; k < size; k++)
				CHECK(((unsigned char *)got)[k] == ((unsigned char *)got)[0]);
			free(got);
		}
		free(data);
	}
	return NULL;
}

/* Half of the threads connect, half accept; then the two have a connection of their own. */
static void *meet(void *argument)
{
	struct talk *t = argument;
	bool opens = atomic_fetch_add(&t->next, 1) % 2 == 0;
	mp_connection *c;
	mp_obj got;

	for (int i = 0; i < ROUNDS / 4; i++) {
		if (opens) {
			CHECK(mp_connection_open(
				      mp_listener_address(t->listener), NULL, 60000, &c) == 0);
			CHECK(mp_connection_send(c, mp_i64(i), 60000) == 0);
		} else {
			CHECK(mp_listener_accept(t->listener, 60000, &c) == 0);
			CHECK(mp_connection_recv(c, 60000, &got) == 0);
			mp_obj_free(&got);
		}
		mp_connection_close(c);
	}
	return NULL;
}

static void stress_connection(void)
{
	struct talk t = {NULL, NULL, NULL, 0};

	CHECK(mp_connection_pair(NULL, &t.a, &t.b) == 0);
	in_threads(talk, &t);
	mp_connection_close(t.a);
	mp_connection_close(t.b);
	CHECK(mp_listener_new("tcp:127.0.0.1:0", NULL, &t.listener) == 0);
	in_threads(meet, &t);
	CHECK(mp_connection_open(mp_listener_address(t.listener), NULL, 60000, &t.a) == 0);
	CHECK(mp_listener_accept(t.listener, 60000, &t.b) == 0);
	in_threads(talk, &t);
	mp_connection_close(t.a);
	mp_connection_close(t.b);
	mp_listener_close(t.listener);
}

/* --- semaphore, event ---------------------------------------------------------------------------- */

struct permitted {
	mp_semaphore *semaphore; /* of one permit, for what follows */
	int plain;
	mp_event *event;
	_Atomic int turns;
};

static void *use_permit(void *argument)
{
	struct permitted *p = argument;

	for (int i = 0; i < ROUNDS; i++) {
		mp_semaphore *mine = mp_semaphore_ref(p->semaphore);
		int r = mp_semaphore_acquire(mine, i % 4 ? MP_FOREVER : MP_NOWAIT);
		CHECK(r == 0 || (i % 4 == 0 && r == -EAGAIN));
		if (r == 0) {
			p->plain++;
			CHECK(mp_semaphore_release_n(mine, 1) == 0);
		}
		CHECK(mp_semaphore_value(mine) >= 0);
		mp_semaphore_close(mine);
	}
	return NULL;
}

static void *use_event(void *argument)
{
	struct permitted *p = argument;

	for (int i = 0; i < ROUNDS; i++) {
		if (p->turns++ % 3 == 0)
			CHECK(mp_event_clear(p->event) == 0);
		else
			CHECK(mp_event_set(p->event) == 0);
		int r = mp_event_wait(p->event, i % 2);
		CHECK(r == 0 || r == -EAGAIN || r == -ETIMEDOUT);
		CHECK(mp_event_is_set(p->event) >= 0);
	}
	return NULL;
}

/* What was written before the set is seen after the wait. */
static void *await_plain(void *argument)
{
	struct permitted *p = argument;

	CHECK(mp_event_wait(p->event, MP_FOREVER) == 0);
	CHECK(p->plain == -1);
	return NULL;
}

static void *publish_plain(void *argument)
{
	struct permitted *p = argument;

	p->plain = -1;
	CHECK(mp_event_set(p->event) == 0);
	return NULL;
}

static void stress_semaphore(void)
{
	struct permitted p = {0};
	pthread_t publisher;

	CHECK(mp_semaphore_new(1, MP_SEMAPHORE_OPTIONS(.bounded = true), &p.semaphore) == 0);
	CHECK(mp_event_new(NULL, &p.event) == 0);
	in_threads(use_permit, &p);
	CHECK(p.plain >= THREADS * ROUNDS / 2);
	in_threads(use_event, &p);
	CHECK(mp_event_clear(p.event) == 0);
	CHECK(pthread_create(&publisher, NULL, publish_plain, &p) == 0);
	in_threads(await_plain, &p);
	CHECK(pthread_join(publisher, NULL) == 0);
	mp_semaphore_close(p.semaphore);
	mp_event_close(p.event);
}

/* --- lock, rlock, rwlock -------------------------------------------------------------------------- */

struct locked {
	mp_lock lock;
	mp_rlock rlock;
	mp_rwlock rwlock;
	int by_lock, by_rlock, by_rwlock;
};

static void *use_locks(void *argument)
{
	struct locked *l = argument;

	for (int i = 0; i < ROUNDS * 10; i++) {
		CHECK(mp_lock_acquire(&l->lock, MP_FOREVER) == 0);
		l->by_lock++;
		CHECK(mp_lock_release(&l->lock) == 0);
		CHECK(mp_rlock_acquire(&l->rlock, MP_FOREVER) == 0);
		CHECK(mp_rlock_acquire(&l->rlock, MP_NOWAIT) == 0);
		l->by_rlock++;
		CHECK(mp_rlock_release(&l->rlock) == 0);
		CHECK(mp_rlock_release(&l->rlock) == 0);
		CHECK(mp_rwlock_acquire_read(&l->rwlock, MP_FOREVER) == 0);
		CHECK(l->by_rwlock >= 0);
		CHECK(mp_rwlock_release_read(&l->rwlock) == 0);
		if (i % 8 != 0)
			continue;
		CHECK(mp_rwlock_acquire_write(&l->rwlock, MP_FOREVER) == 0);
		l->by_rwlock++;
		CHECK(mp_rwlock_downgrade(&l->rwlock) == 0);
		CHECK(l->by_rwlock > 0);
		CHECK(mp_rwlock_release_read(&l->rwlock) == 0);
	}
	return NULL;
}

static void stress_lock(void)
{
	static struct locked l;

	CHECK(mp_lock_init(&l.lock, NULL) == 0);
	CHECK(mp_rlock_init(&l.rlock, NULL) == 0);
	CHECK(mp_rwlock_init(&l.rwlock, NULL) == 0);
	in_threads(use_locks, &l);
	CHECK(l.by_lock == THREADS * ROUNDS * 10 && l.by_rlock == l.by_lock);
	CHECK(l.by_rwlock == THREADS * ROUNDS * 10 / 8);
	CHECK(mp_lock_destroy(&l.lock) == 0);
	CHECK(mp_rlock_destroy(&l.rlock) == 0);
	CHECK(mp_rwlock_destroy(&l.rwlock) == 0);
}

/* --- barrier, condition ---------------------------------------------------------------------------- */

struct met {
	mp_barrier barrier;
	mp_lock lock;
	mp_condition changed;
	int items;
	int consumed;
	int plain[THREADS];
};

static int add_up(void *argument)
{
	struct met *m = argument;
	int sum = 0;

	for (int i = 0; i < THREADS; i++)
		sum += m->plain[i];
	m->consumed = sum;
	return 0;
}

/* What each wrote before the barrier, all see after it. */
static void *meet_at_barrier(void *argument)
{
	struct met *m = argument;

	for (int i = 0; i < ROUNDS; i++) {
		int index = mp_barrier_wait(&m->barrier, MP_FOREVER);
		CHECK(index >= 0 && index < THREADS);
		m->plain[index] = i;
		CHECK(mp_barrier_wait_action(&m->barrier, add_up, m, MP_FOREVER) >= 0);
		CHECK(m->consumed == i * THREADS);
		CHECK(mp_barrier_broken(&m->barrier, NULL) == 0);
	}
	return NULL;
}

static int has_items(void *argument)
{
	return ((struct met *)argument)->items > 0;
}

static void *produce_and_consume(void *argument)
{
	struct met *m = argument;

	for (int i = 0; i < ROUNDS; i++) {
		CHECK(mp_lock_acquire(&m->lock, MP_FOREVER) == 0);
		m->items += 2;
		CHECK(mp_lock_release(&m->lock) == 0);
		CHECK(mp_condition_notify(&m->changed, 2) == 0);
		for (int k = 0; k < 2; k++) {
			CHECK(mp_lock_acquire(&m->lock, MP_FOREVER) == 0);
			CHECK(mp_condition_wait_for(
				      &m->changed, &m->lock, has_items, m, MP_FOREVER) == 0);
			m->items--;
			CHECK(mp_lock_release(&m->lock) == 0);
		}
	}
	return NULL;
}

static void stress_barrier(void)
{
	static struct met m;

	CHECK(mp_barrier_init(&m.barrier, THREADS, NULL) == 0);
	CHECK(mp_lock_init(&m.lock, NULL) == 0);
	CHECK(mp_condition_init(&m.changed, NULL) == 0);
	in_threads(meet_at_barrier, &m);
	in_threads(produce_and_consume, &m);
	CHECK(m.items == 0);
	CHECK(mp_condition_destroy(&m.changed) == 0);
	CHECK(mp_lock_destroy(&m.lock) == 0);
	CHECK(mp_barrier_destroy(&m.barrier) == 0);
}

int main(int argc, char **argv)
{
	static _Atomic int records;

	mp_begin(&argc, &argv);
	in_threads(change_handler, (void *)&records);
	stress_shared();
	stress_timer();
	stress_lock();
	stress_semaphore();
	stress_barrier();
	stress_pool();
	stress_pools();
	stress_process();
	stress_connection();
	stress_queue();
	stress_store();
	stress_wait();
#ifdef ENABLE_MANAGER
	stress_manager();
#endif
	return 0;
}
