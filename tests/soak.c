/* SPDX-License-Identifier: MIT */
/*
 * Everything at full load for a long time: soak SECONDS.
 *
 * Two processes for each capability do its operation again and again, all at once, on objects that they
 * share. Every tenth of the time a line for each tells how often it was done, and how long it took: half of
 * them, 99 of a hundred, 999 of a thousand. No process may have more memory or descriptors of its own
 * than after the warm-up, the first two tenths; latencies of the first and the last tenth are put side by
 * side for whoever reads it, since how fast the machine is says nothing about libmp.
 *
 * The queue has a program of its own, tests/soak_queue.c, that also counts its messages; who counts
 * messages while processes die is the storm.
 */
#include <config.h>

#include "base/deadline.h"
#include "tests/soak_use.h"

#include <errno.h>
#include <mp.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define SIDES 2
#define WAIT_MS 60000
#define TENTHS 10
#define WARM 2
/* Four buckets for each power of two nanoseconds. */
#define BUCKETS 160

#define CHECK(condition)                                                             \
	do {                                                                         \
		if (!(condition)) {                                                  \
			fprintf(stderr, "soak: %d: %s (%s)\n", __LINE__, #condition, \
				mp_error_detail());                                  \
			_exit(1);                                                    \
		}                                                                    \
	} while (0)

struct tally {
	_Atomic uint32_t buckets[BUCKETS];
};

#define CAPABILITIES_MAX 32

static struct shared {
	_Atomic int stop;
	int turn; /* under `lock` */
	uint64_t pair[2];
	struct tally tallies[CAPABILITIES_MAX];
} * shared;

static mp_lock *lock;
static mp_rlock *rlock;
static mp_rwlock *rwlock;
static mp_semaphore *semaphore;
static mp_event *event;
static mp_lock *turns;
static mp_condition *condition;
static mp_barrier *barrier;
static mp_value *value;
static mp_array *array;
static mp_heap *heap;
static mp_shared_list *list;
static mp_queue *fifo, *sorted, *leased, *joinable;
static mp_connection *pipe_ends[2], *socket_ends[2];
static mp_listener *listener;
static mp_manager *manager;
static mp_pool *pool; /* each process makes its own */

/* --- operations -------------------------------------------------------------------------------------- */

/* Once; `side` is 0 or 1. 0, or an error: 1: there is nothing to do without the other one. */

static int guarded(int acquired)
{
	CHECK(acquired == 0 && shared->pair[0] == shared->pair[1]);
	shared->pair[0]++;
	shared->pair[1]++;
	return 0;
}

static int do_lock(int side)
{
	(void)side;
	guarded(mp_lock_acquire(lock, WAIT_MS));
	return mp_lock_release(lock);
}

static int do_rlock(int side)
{
	(void)side;
	CHECK(mp_rlock_acquire(rlock, WAIT_MS) == 0 && mp_rlock_acquire(rlock, WAIT_MS) == 0);
	CHECK(mp_rlock_release(rlock) == 0);
	return mp_rlock_release(rlock);
}

static int do_rwlock(int side)
{
	if (side == 0) {
		CHECK(mp_rwlock_acquire_read(rwlock, WAIT_MS) == 0);
		return mp_rwlock_release_read(rwlock);
	}
	CHECK(mp_rwlock_acquire_write(rwlock, WAIT_MS) == 0);
	return mp_rwlock_release_write(rwlock);
}

static int do_semaphore(int side)
{
	(void)side;
	CHECK(mp_semaphore_acquire(semaphore, WAIT_MS) == 0);
	return mp_semaphore_release(semaphore);
}

static int do_event(int side)
{
	if (side == 0) {
		CHECK(mp_event_set(event) == 0);
		return mp_event_clear(event);
	}
	int r = mp_event_wait(event, 20);
	return r == -ETIMEDOUT ? 0 : r;
}

static int my_turn(void *side)
{
	return shared->turn == (int)(intptr_t)side;
}

static int do_condition(int side)
{
	CHECK(mp_lock_acquire(turns, WAIT_MS) == 0);
	int r = mp_condition_wait_for(condition, turns, my_turn, (void *)(intptr_t)side, 200);
	if (r == 0)
		shared->turn = !side;
	CHECK(mp_condition_notify_all(condition) == 0 && mp_lock_release(turns) == 0);
	return r == -ETIMEDOUT ? 0 : r;
}

/* Whoever comes first to the end leaves, and the other one is told. */
static int do_barrier(int side)
{
	(void)side;
	int r = mp_barrier_wait(barrier, WAIT_MS);
	if (shared->stop)
		mp_barrier_abort(barrier);
	return r == -EPIPE && shared->stop ? 0 : r < 0 ? r : 0;
}

static int do_value(int side)
{
	(void)side;
	return mp_value_add_i64(value, 1, NULL);
}

static int do_array(int side)
{
	int items[64];

	memset(items, side, sizeof(items));
	CHECK(mp_array_set_slice(array, MP_SLICE(0, 64), items, sizeof(items), WAIT_MS) >= 0);
	CHECK(mp_array_get_slice(array, MP_SLICE(0, 64), items, sizeof(items), WAIT_MS, NULL) >= 0);
	CHECK(items[0] == items[63]);
	return 0;
}

static int do_heap(int side)
{
	void *blocks[3];

	for (size_t i = 0; i < 3; i++) {
		CHECK(mp_heap_alloc(heap, 100 << i, &blocks[i]) == 0);
		memset(blocks[i], side, 100 << i);
	}
	for (size_t i = 0; i < 3; i++)
		CHECK(mp_heap_free(heap, blocks[i]) == 0);
	return 0;
}

static int do_list(int side)
{
	mp_obj item;

	CHECK(mp_shared_list_set(list, side, mp_i64(side)) == 0);
	CHECK(mp_shared_list_get(list, !side, &item) == 0);
	mp_obj_free(&item);
	return 0;
}

static int do_block(int side)
{
	mp_block *made;
	mp_block *opened;

	(void)side;
	CHECK(mp_block_create(NULL, 10000, NULL, &made) == 0);
	CHECK(mp_block_open(mp_block_name(made), NULL, &opened) == 0);
	mp_block_close(opened);
	mp_block_close(made);
	return 0;
}

static int through(mp_queue *queue)
{
	mp_obj item;

	CHECK(mp_queue_put(queue, MP_LIST(mp_i64(1), mp_str("text")), WAIT_MS) == 0);
	CHECK(mp_queue_get(queue, WAIT_MS, &item) == 0);
	mp_obj_free(&item);
	return 0;
}

static int do_queue(int side)
{
	(void)side;
	return through(fifo);
}

static int do_sorted(int side)
{
	(void)side;
	return through(sorted);
}

static int do_joinable(int side)
{
	(void)side;
	CHECK(through(joinable) == 0);
	return mp_queue_task_done(joinable);
}

static int do_lease(int side)
{
	mp_lease lease;
	mp_obj item;

	(void)side;
	CHECK(mp_queue_put(leased, mp_i64(1), WAIT_MS) == 0);
	CHECK(mp_queue_lease(leased, WAIT_MS, &item, &lease) == 0);
	mp_obj_free(&item);
	return mp_queue_ack(leased, lease);
}

/* One asks and hears the answer, the other one answers. */
static int talk(mp_connection *end, int side)
{
	mp_obj item;
	int r;

	if (side == 0)
		CHECK(mp_connection_send(end, mp_str("a question"), WAIT_MS) == 0);
	do
		r = mp_connection_recv(end, 20, &item);
	while (r == -ETIMEDOUT && !shared->stop);
	if (r == -ETIMEDOUT)
		return 0;
	CHECK(r == 0);
	if (side == 1)
		CHECK(mp_connection_send(end, item, WAIT_MS) == 0);
	mp_obj_free(&item);
	return 0;
}

static int do_pipe(int side)
{
	return talk(pipe_ends[side], side);
}

static int do_socket(int side)
{
	return talk(socket_ends[side], side);
}

static int do_listener(int side)
{
	mp_connection *c;
	int r;

	if (side == 0)
		r = mp_connection_open(mp_listener_address(listener), NULL, 20, &c);
	else
		r = mp_listener_accept(listener, 20, &c);
	if (r == 0)
		mp_connection_close(c);
	return r == -ETIMEDOUT || r == -ECONNREFUSED || r == -EAGAIN || r == -EPIPE ? 0 : r;
}

static int do_wait(int side)
{
	mp_waitable items[] = {MP_WAIT(event), MP_WAIT(fifo), MP_WAIT(socket_ends[1])};

	(void)side;
	int r = mp_wait(items, 3, 1);
	return r < 0 && r != -ETIMEDOUT ? r : 0;
}

static int answer(int argc, const mp_obj *argv)
{
	(void)argv;
	return argc;
}

static int do_process(int side)
{
	static unsigned turn;
	const int methods[] = {MP_START_FORK, MP_START_SPAWN, MP_START_FORKSERVER, MP_START_THREAD};
	mp_process *p;

	(void)side;
	CHECK(mp_process_new(answer, MP_ARGS(mp_i64(1)),
		      MP_PROCESS_OPTIONS(.start_method = methods[turn++ % 4]), &p) == 0);
	CHECK(mp_process_start(p) == 0 && mp_process_join(p, WAIT_MS) == 0);
	return mp_process_close(p);
}

static int square(int argc, const mp_obj *argv, mp_obj *ret_result)
{
	(void)argc;
	*ret_result = mp_i64(mp_obj_i64(&argv[0]) * mp_obj_i64(&argv[0]));
	return 0;
}

static int do_pool(int side)
{
	mp_obj result;

	(void)side;
	if (!pool)
		CHECK(mp_pool_new(MP_POOL_OPTIONS(.workers = 2), &pool) == 0);
	CHECK(mp_pool_apply(pool, square, MP_ARGS(mp_i64(7)), WAIT_MS, &result) == 0);
	CHECK(mp_obj_i64(&result) == 49);
	mp_obj_free(&result);
	return 0;
}

static int do_dict(int side)
{
	static mp_dict *dict;
	mp_obj found;

	if (!dict)
		CHECK(mp_manager_dict(manager, "dict", &dict) >= 0);
	CHECK(mp_dict_set(dict, mp_i64(side), mp_str("text")) >= 0);
	CHECK(mp_dict_get(dict, mp_i64(side), &found) == 0);
	mp_obj_free(&found);
	return 0;
}

static int do_served_queue(int side)
{
	static mp_proxy *queue;
	mp_obj item;

	(void)side;
	if (!queue)
		CHECK(mp_manager_queue(manager, "queue", NULL, &queue) >= 0);
	CHECK(mp_served_queue_put(queue, mp_i64(1), WAIT_MS) == 0);
	CHECK(mp_served_queue_get(queue, WAIT_MS, &item) == 0);
	mp_obj_free(&item);
	return 0;
}

static int do_served_lock(int side)
{
	static mp_proxy *served;

	(void)side;
	if (!served)
		CHECK(mp_manager_lock(manager, "lock", &served) >= 0);
	CHECK(mp_served_lock_acquire(served, WAIT_MS, NULL) == 0);
	return mp_served_lock_release(served);
}

static const struct capability {
	const char *name;
	int (*act)(int side);
} capabilities[] = {
	{"lock", do_lock},
	{"rlock", do_rlock},
	{"rwlock", do_rwlock},
	{"semaphore", do_semaphore},
	{"event", do_event},
	{"condition", do_condition},
	{"barrier", do_barrier},
	{"value", do_value},
	{"array", do_array},
	{"heap", do_heap},
	{"shared list", do_list},
	{"named block", do_block},
	{"queue", do_queue},
	{"priority queue", do_sorted},
	{"joinable queue", do_joinable},
	{"leases", do_lease},
	{"pipe", do_pipe},
	{"socket", do_socket},
	{"listener", do_listener},
	{"wait", do_wait},
	{"process", do_process},
	{"pool", do_pool},
	{"served dict", do_dict},
	{"served queue", do_served_queue},
	{"served lock", do_served_lock},
};
#define N (sizeof(capabilities) / sizeof(capabilities[0]))
_Static_assert(N <= CAPABILITIES_MAX, "room for tallies");

/* --- latencies --------------------------------------------------------------------------------------- */

static unsigned bucket_of(uint64_t ns)
{
	unsigned power = 63u - (unsigned)__builtin_clzll(ns | 4);
	unsigned bucket = power * 4 + (unsigned)(ns >> (power - 2) & 3);

	return bucket < BUCKETS ? bucket : BUCKETS - 1;
}

static double us_of(unsigned bucket)
{
	return (double)(4 + bucket % 4) * (double)(UINT64_C(1) << bucket / 4) / 4 / 1000;
}

struct figures {
	uint64_t count;
	double us[3]; /* 50, 99, 99.9 of a hundred */
};

/* Since it was asked for last. */
static struct figures take_figures(struct tally *tally)
{
	static const double parts[] = {0.5, 0.99, 0.999};
	uint32_t counts[BUCKETS];
	struct figures f = {0};
	uint64_t seen = 0;

	for (unsigned i = 0; i < BUCKETS; i++) {
		counts[i] = atomic_exchange(&tally->buckets[i], 0);
		f.count += counts[i];
	}
	for (unsigned i = 0, part = 0; i < BUCKETS && part < 3; i++) {
		seen += counts[i];
		while (part < 3 && (double)seen > parts[part] * (double)f.count)
			f.us[part++] = us_of(i);
	}
	return f;
}

/* --- processes ---------------------------------------------------------------------------------------- */

static int work(int argc, const mp_obj *argv)
{
	size_t which = (size_t)mp_obj_i64(&argv[0]);
	int side = (int)mp_obj_i64(&argv[1]);

	(void)argc;
	while (!shared->stop) {
		int64_t began = mp__now_ns();
		int r = capabilities[which].act(side);
		if (r < 0)
			fprintf(stderr, "soak: %s: %s (%s)\n", capabilities[which].name,
				mp_strerror(r), mp_error_detail());
		if (r < 0)
			return 1;
		unsigned bucket = bucket_of((uint64_t)(mp__now_ns() - began));
		atomic_fetch_add(&shared->tallies[which].buckets[bucket], 1);
	}
	if (pool)
		mp_pool_close(pool);
	return 0;
}

static mp_process *workers[N * SIDES];

static void start_workers(void)
{
	for (size_t i = 0; i < N * SIDES; i++) {
		CHECK(mp_process_new(work,
			      MP_ARGS(mp_i64((int64_t)(i / SIDES)), mp_i64((int64_t)(i % SIDES))),
			      MP_PROCESS_OPTIONS(.start_method = MP_START_FORK, .daemon = false),
			      &workers[i]) == 0);
		CHECK(mp_process_start(workers[i]) == 0);
	}
}

static void end_workers(void)
{
	bool bad = false;
	int code;

	atomic_store(&shared->stop, 1);
	mp_barrier_abort(barrier);
	for (size_t i = 0; i < N * SIDES; i++) {
		CHECK(mp_process_join(workers[i], WAIT_MS) == 0);
		CHECK(mp_process_exit_code(workers[i], &code) == 0);
		if (code != 0)
			fprintf(stderr, "soak: %s: a process ended with %d\n",
				capabilities[i / SIDES].name, code);
		bad |= code != 0;
		CHECK(mp_process_close(workers[i]) == 0);
	}
	CHECK(!bad);
}

/* --- the whole ------------------------------------------------------------------------------------------ */

static void make_objects(void)
{
	shared = mmap(
		NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	CHECK(shared != MAP_FAILED);
	CHECK(mp_lock_new(NULL, &lock) == 0 && mp_rlock_new(NULL, &rlock) == 0);
	CHECK(mp_rwlock_new(NULL, &rwlock) == 0 && mp_lock_new(NULL, &turns) == 0);
	CHECK(mp_semaphore_new(1, NULL, &semaphore) == 0 && mp_event_new(NULL, &event) == 0);
	CHECK(mp_condition_new(NULL, &condition) == 0 && mp_barrier_new(2, NULL, &barrier) == 0);
	CHECK(mp_value_new('q', NULL, NULL, &value) == 0);
	CHECK(mp_array_new('i', 64, NULL, NULL, &array) == 0);
	CHECK(mp_heap_new(100000, NULL, &heap) == 0);
	CHECK(mp_shared_list_new(MP_LIST(mp_i64(0), mp_i64(0)), NULL, &list) == 0);
	CHECK(mp_queue_new(NULL, &fifo) == 0);
	CHECK(mp_queue_new(MP_QUEUE_OPTIONS(.order = MP_QUEUE_PRIORITY), &sorted) == 0);
	CHECK(mp_queue_new(MP_QUEUE_OPTIONS(.joinable = true), &joinable) == 0);
	CHECK(mp_queue_new(MP_QUEUE_OPTIONS(.leases = true), &leased) == 0);
	CHECK(mp_pipe(NULL, &pipe_ends[0], &pipe_ends[1]) == 0);
	CHECK(mp_connection_pair(NULL, &socket_ends[0], &socket_ends[1]) == 0);
	CHECK(mp_listener_new(NULL, NULL, &listener) == 0);
	CHECK(mp_manager_start(NULL, &manager) == 0);
}

static struct soak_use warm[N * SIDES];

/* All workers; they may have grown in the warm-up only. */
static void look_at_use(bool warming, struct soak_use *ret_sum)
{
	*ret_sum = (struct soak_use){0};
	for (size_t i = 0; i < N * SIDES; i++) {
		struct soak_use now;
		/* Who has ended is still in /proc, with nothing. */
		bool alive = mp_process_is_alive(workers[i]) == 1;
		if (!alive)
			fprintf(stderr, "soak: %s has ended\n", capabilities[i / SIDES].name);
		CHECK(alive && soak_use_of(mp_process_pid(workers[i]), &now));
		ret_sum->rss += now.rss;
		ret_sum->fds += now.fds;
		if (warming)
			warm[i] = now;
		if (now.rss > warm[i].rss + SOAK_RSS_ROOM ||
			now.fds > warm[i].fds + SOAK_FDS_ROOM) {
			fprintf(stderr,
				"soak: %s grows: %llu KiB and %llu descriptors, %llu and %llu "
				"after "
				"the warm-up\n",
				capabilities[i / SIDES].name, (unsigned long long)now.rss / 1024,
				(unsigned long long)now.fds, (unsigned long long)warm[i].rss / 1024,
				(unsigned long long)warm[i].fds);
			_exit(1);
		}
	}
}

static void print_figures(struct figures first[N], int tenth)
{
	printf("%-16s %12s %10s %10s %10s   first: %10s %10s %10s\n", "us", "times", "50%", "99%",
		"99.9%", "50%", "99%", "99.9%");
	for (size_t i = 0; i < N; i++) {
		struct figures f = take_figures(&shared->tallies[i]);
		if (tenth == WARM)
			first[i] = f;
		printf("%-16s %12llu %10.1f %10.1f %10.1f          %10.1f %10.1f %10.1f\n",
			capabilities[i].name, (unsigned long long)f.count, f.us[0], f.us[1],
			f.us[2], first[i].us[0], first[i].us[1], first[i].us[2]);
	}
}

int main(int argc, char **argv)
{
	static struct figures first[N];
	struct soak_use sum;

	mp_begin(&argc, &argv);
	long seconds = argc == 2 ? atol(argv[1]) : 0;
	if (seconds <= 0) {
		fprintf(stderr, "usage: soak SECONDS\n");
		return 2;
	}
	make_objects();
	start_workers();
	for (int tenth = 0; tenth < TENTHS; tenth++) {
		struct timespec nap = {seconds / TENTHS, seconds % TENTHS * 100000000};
		nanosleep(&nap, NULL);
		look_at_use(tenth < WARM, &sum);
		printf("# %ld of %ld s: %llu KiB, %llu descriptors\n",
			seconds * (tenth + 1) / TENTHS, seconds, (unsigned long long)sum.rss / 1024,
			(unsigned long long)sum.fds);
		print_figures(first, tenth);
		fflush(stdout);
	}
	end_workers();
	CHECK(mp_manager_close(manager) == 0);
	return 0;
}
