/* SPDX-License-Identifier: MIT */
/* Queues with an order: handles that travel, many processes and threads at once, mp_wait(). */
#include <config.h>

#include "tests/support/orders.h"

#include <fcntl.h>
#include <sys/mman.h>

#define SUITE queue_order_shared
T_SUITE(queue_order_shared);

/* --- handles -------------------------------------------------------------------------------------- */

/* The handle of the queue as another process gets it. */
static struct mp__handle_wire wire_of(mp_queue *q)
{
	struct mp__handle_wire wire;

	T_OK(mp__queue_class.export(&q->handle, &wire));
	cr_assert_eq(wire.n_fds, 1);
	wire.fds[0] = fcntl(wire.fds[0], F_DUPFD_CLOEXEC, 3);
	return wire;
}

BOTH(a_handle_travels)
{
	mp_queue *q = make(MP_QUEUE_OPTIONS(.order = order, .maxsize = 5, .joinable = true));
	struct mp__handle_wire wire = wire_of(q);
	struct mp__handle *handle;

	T_OK(mp__queue_class.import(&wire, &handle));
	cr_assert_eq(wire.fds[0], -1);
	mp_queue *other = (mp_queue *)handle;
	T_OK(put(q, 1, MP_NOWAIT));
	T_OK(put(other, 2, MP_NOWAIT));
	cr_assert_eq(mp_queue_size(other), 2);
	cr_assert_eq(get_i64(other), order == MP_QUEUE_LIFO ? 2 : 1);
	cr_assert_eq(get_i64(q), order == MP_QUEUE_LIFO ? 1 : 2);
	mp_queue_close(q);
	T_OK(mp_queue_task_done(other));
	mp_queue_close(other);
}

Test(queue_order_shared, a_chunk_of_one_handle_is_found_by_another)
{
	mp_queue *q = make(MP_QUEUE_OPTIONS(.order = MP_QUEUE_PRIORITY));
	struct mp__handle_wire wire = wire_of(q);
	struct mp__handle *handle;

	T_OK(mp__queue_class.import(&wire, &handle));
	mp_queue *other = (mp_queue *)handle;
	for (int i = 0; i < 1000; i++)
		T_OK(put(i % 200 < 100 ? q : other, i, MP_NOWAIT));
	for (int i = 0; i < 1000; i++)
		cr_assert_eq(get_i64(i % 300 < 150 ? other : q), i);
	mp_queue_close(q);
	mp_queue_close(other);
}

/* Refused, with the descriptor still the caller's. */
static void refuse(struct mp__handle_wire wire)
{
	struct mp__handle *handle;
	int fd = wire.fds[0];

	T_RESULT(mp__queue_class.import(&wire, &handle), -EBADMSG);
	cr_assert_eq(wire.fds[0], fd);
	cr_assert(fcntl(fd, F_GETFD) >= 0);
}

Test(queue_order_shared, a_handle_that_is_none)
{
	mp_queue *q = make(MP_QUEUE_OPTIONS(.order = MP_QUEUE_LIFO));
	struct mp__store_root *root = q->store->root;
	struct mp__segment_header *heap = (struct mp__segment_header *)(q->base + MP__STORE_AT);
	struct mp__handle_wire wire = wire_of(q);

	wire.n_fds = 2;
	wire.fds[1] = wire.fds[0];
	refuse(wire);
	wire.n_fds = 1;
	/* A plain one of that size, a limit that is none, a table of another kind or none. */
	q->control->flags = 0;
	refuse(wire);
	q->control->flags = MP__QUEUE_STORE;
	q->control->max_bytes /= 2;
	refuse(wire);
	q->control->max_bytes *= 2;
	root->order = 9;
	refuse(wire);
	root->order = MP_QUEUE_LIFO;
	root->version++;
	refuse(wire);
	root->version--;
	/* A heap of other sizes, one that is not there. */
	heap->max_size += 4096;
	refuse(wire);
	heap->max_size -= 4096;
	heap->size = heap->max_size + 1;
	refuse(wire);
	heap->size = 64;
	refuse(wire);
	T_OK(mp_heap_set_root(q->store->heap, NULL));
	heap->size = 16384;
	refuse(wire);
	heap->magic = 0;
	refuse(wire);
	close(wire.fds[0]);
	mp_queue_close(q);
}

/* --- many at once --------------------------------------------------------------------------------- */

#define N_EACH 5000
#define N_SIDE 3

struct crowd {
	mp_queue *q;
	_Atomic int next;
	_Atomic unsigned char seen[N_SIDE * N_EACH];
};

static int produce(void *argument)
{
	struct crowd *crowd = argument;
	int first = crowd->next++ * N_EACH;

	for (int i = 0; i < N_EACH; i++)
		T_CHECK(put(crowd->q, first + i, T_TIMEOUT_MS) == 0);
	return 0;
}

static int consume(void *argument)
{
	struct crowd *crowd = argument;

	for (;;) {
		int r;
		int64_t n = get(crowd->q, T_TIMEOUT_MS, &r);
		if (r == -EPIPE)
			return 0;
		T_CHECK(r == 0 && n >= 0 && n < N_SIDE * N_EACH);
		crowd->seen[n]++;
	}
}

BOTH(each_message_comes_once)
{
	struct crowd *crowd = mmap(
		NULL, sizeof(*crowd), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct t_child producers[N_SIDE];
	struct t_child consumers[N_SIDE];

	crowd->q = make(MP_QUEUE_OPTIONS(.order = order, .maxsize = 50));
	for (int i = 0; i < N_SIDE; i++) {
		producers[i] = t_spawn(produce, crowd);
		consumers[i] = t_spawn(consume, crowd);
	}
	for (int i = 0; i < N_SIDE; i++)
		t_expect_exit(&producers[i], 0);
	T_OK(mp_queue_shutdown(crowd->q, MP_QUEUE_DRAIN));
	for (int i = 0; i < N_SIDE; i++)
		t_expect_exit(&consumers[i], 0);
	for (int i = 0; i < N_SIDE * N_EACH; i++)
		cr_assert_eq(crowd->seen[i], 1);
	T_OK(mp_heap_check(crowd->q->store->heap));
	mp_queue_close(crowd->q);
	munmap(crowd, sizeof(*crowd));
}

static void *thread_main(void *argument)
{
	struct crowd *crowd = argument;
	static _Atomic int turn;
	int r = turn++ % 2 ? produce(crowd) : consume(crowd);

	return (void *)(intptr_t)r;
}

BOTH(threads_share_a_handle)
{
	struct crowd *crowd = calloc(1, sizeof(*crowd));
	pthread_t threads[2 * N_SIDE];
	int n = 0;

	crowd->q = make(MP_QUEUE_OPTIONS(.order = order));
	for (int i = 0; i < 2 * N_SIDE; i++)
		cr_assert_eq(pthread_create(&threads[i], NULL, thread_main, crowd), 0);
	while (n < N_SIDE * N_EACH) {
		n = 0;
		for (int i = 0; i < N_SIDE * N_EACH; i++)
			n += crowd->seen[i];
		sched_yield();
	}
	T_OK(mp_queue_shutdown(crowd->q, MP_QUEUE_DRAIN));
	for (int i = 0; i < 2 * N_SIDE; i++)
		pthread_join(threads[i], NULL);
	for (int i = 0; i < N_SIDE * N_EACH; i++)
		cr_assert_eq(crowd->seen[i], 1);
	mp_queue_close(crowd->q);
	free(crowd);
}

/* --- mp_wait -------------------------------------------------------------------------------------- */

BOTH(can_be_waited_for)
{
	mp_queue *q = make(MP_QUEUE_OPTIONS(.order = order, .maxsize = 1));
	mp_waitable items[] = {MP_WAIT(q), MP_WAIT_ROOM(q)};

	T_RESULT(mp_wait(items, 2, MP_NOWAIT), 1);
	cr_assert(items[1].ready && !items[0].ready);
	struct t_child c = t_spawn(put_one, q);
	T_RESULT(mp_wait(items, 1, T_TIMEOUT_MS), 1);
	cr_assert(items[0].ready);
	T_RESULT(mp_wait(items, 2, MP_NOWAIT), 1);
	get_i64(q);
	T_RESULT(mp_wait(items + 1, 1, T_TIMEOUT_MS), 1);
	T_RESULT(mp_wait(items, 1, MP_NOWAIT), 0);
	T_OK(mp_queue_shutdown(q, MP_QUEUE_DRAIN));
	T_RESULT(mp_wait(items, 2, T_TIMEOUT_MS), 2);
	t_expect_exit(&c, 0);
	mp_queue_close(q);
}
