/* SPDX-License-Identifier: MIT */
/* What fails below the calls on queues of each kind. */
#include <config.h>

#include "tests/support/waits.h"

FAULTS_SUITE(faults_queue);

#define LARGE 300000 /* not in what a new queue has of memory */
#define FEW 3

static mp_queue *queue;
static char large[LARGE];

static int new_queue(const mp_queue_options *options)
{
	return mp_queue_new(options, &queue);
}

static void queue_closed(void)
{
	mp_queue_close(queue);
}

/* What a failed try has left in the queue does not matter to the next one. */

static int put_each_way(void)
{
	const mp_obj values[FEW] = {mp_i64(1), mp_str("two"), mp_f64(3)};
	const struct iovec messages[FEW] = {{large, 1}, {large, LARGE / 3}, {large, 30}};

	T_STEP(mp_queue_put(queue, MP_LIST(mp_str("a message"), mp_i64(7)), T_TIMEOUT_MS));
	T_STEP(mp_queue_put_bytes(queue, large, LARGE, T_TIMEOUT_MS));
	T_STEP(mp_queue_put_priority(queue, mp_i64(7), 7, T_TIMEOUT_MS));
	T_STEP(mp_queue_put_priority_bytes(queue, large, 100, -7, T_TIMEOUT_MS));
	T_STEP(mp_queue_put_many(queue, values, FEW, T_TIMEOUT_MS));
	return mp_queue_put_many_bytes(queue, messages, FEW, T_TIMEOUT_MS);
}

static int get_each_way(void)
{
	static char buffer[2 * LARGE];
	struct iovec messages[1];
	mp_obj values[2];
	void *data;
	size_t size;

	T_STEP(mp_queue_get(queue, T_TIMEOUT_MS, &values[0]));
	mp_obj_free(&values[0]);
	T_STEP(mp_queue_get_bytes(queue, T_TIMEOUT_MS, &data, &size));
	free(data);
	T_STEP(mp_queue_get_bytes_into(queue, buffer, sizeof(buffer), T_TIMEOUT_MS, &size));
	int n = mp_queue_get_many(queue, T_TIMEOUT_MS, values, 2);
	for (int i = 0; i < n; i++)
		mp_obj_free(&values[i]);
	T_STEP(n);
	T_STEP(mp_queue_get_many_bytes(queue, T_TIMEOUT_MS, buffer, sizeof(buffer), messages, 1));
	return 0;
}

static int put_and_get(void)
{
	T_STEP(put_each_way());
	return get_each_way();
}

static void fifo_made(void)
{
	T_CHECK(new_queue(NULL) == 0);
}

static void lifo_made(void)
{
	T_CHECK(new_queue(MP_QUEUE_OPTIONS(.order = MP_QUEUE_LIFO)) == 0);
}

static void priority_made(void)
{
	T_CHECK(new_queue(MP_QUEUE_OPTIONS(.order = MP_QUEUE_PRIORITY)) == 0);
}

static void joinable_made(void)
{
	T_CHECK(new_queue(MP_QUEUE_OPTIONS(.joinable = true)) == 0);
}

static void leases_made(void)
{
	T_CHECK(new_queue(MP_QUEUE_OPTIONS(.leases = true, .max_deliveries = 2)) == 0);
}

/* A number without an order is no error of the others. */
static int put_and_get_in_order(void)
{
	T_STEP(mp_queue_put(queue, MP_LIST(mp_str("a message"), mp_i64(7)), T_TIMEOUT_MS));
	T_STEP(mp_queue_put_bytes(queue, large, LARGE, T_TIMEOUT_MS));
	for (int i = 0; i < 2 * FEW; i++)
		T_STEP(mp_queue_put(queue, mp_i64(i), T_TIMEOUT_MS));
	return get_each_way();
}

FAULTS(faults_queue, fifo, fifo_made, put_and_get_in_order, queue_closed)
FAULTS(faults_queue, lifo, lifo_made, put_and_get_in_order, queue_closed)
FAULTS(faults_queue, priority, priority_made, put_and_get, queue_closed)

static int put_many(void)
{
	const mp_obj values[FEW] = {mp_i64(1), mp_str("two"), mp_f64(3)};
	const struct iovec messages[FEW] = {{large, 1}, {large, LARGE / 3}, {large, 30}};

	T_STEP(mp_queue_put_many(queue, values, FEW, T_TIMEOUT_MS));
	return mp_queue_put_many_bytes(queue, messages, FEW, T_TIMEOUT_MS);
}

FAULTS(faults_queue, put_many, fifo_made, put_many, queue_closed)

static int get_and_do(void)
{
	mp_obj value;

	T_STEP(mp_queue_put(queue, mp_i64(1), T_TIMEOUT_MS));
	T_STEP(mp_queue_get(queue, T_TIMEOUT_MS, &value));
	return mp_queue_task_done(queue);
}

FAULTS(faults_queue, joinable, joinable_made, get_and_do, queue_closed)

static int lease_each_way(void)
{
	mp_lease lease;
	mp_obj value;
	void *data;
	size_t size;

	T_STEP(mp_queue_put_bytes(queue, large, LARGE, T_TIMEOUT_MS));
	T_STEP(mp_queue_put(queue, mp_str("text"), T_TIMEOUT_MS));
	T_STEP(mp_queue_lease(queue, T_TIMEOUT_MS, &value, &lease));
	mp_obj_free(&value);
	T_STEP(mp_queue_ack(queue, lease));
	T_STEP(mp_queue_lease_bytes(queue, T_TIMEOUT_MS, &data, &size, &lease));
	free(data);
	T_STEP(mp_queue_nack(queue, lease));
	return 0;
}

FAULTS(faults_queue, leases, leases_made, lease_each_way, queue_closed)

/* Given back as often as it may be: set aside. */
static void poisoned(void)
{
	mp_lease lease;
	mp_obj value;

	leases_made();
	T_CHECK(mp_queue_put(queue, mp_str("text that is longer than a few bytes"), 0) == 0);
	for (int i = 0; i < 2; i++) {
		T_CHECK(mp_queue_lease(queue, 0, &value, &lease) == 0);
		mp_obj_free(&value);
		T_CHECK(mp_queue_nack(queue, lease) == 0);
	}
	T_CHECK(mp_queue_poison_count(queue) == 1);
}

static int poison_get(void)
{
	mp_obj value;

	T_STEP(mp_queue_poison_get(queue, &value));
	mp_obj_free(&value);
	return 0;
}

FAULTS(faults_queue, poison_get, poisoned, poison_get, queue_closed)

static int work_in_place(void)
{
	const void *data;
	void *room;
	size_t size;

	T_STEP(mp_queue_reserve(queue, LARGE, T_TIMEOUT_MS, &room));
	T_STEP(mp_queue_abandon(queue));
	T_STEP(mp_queue_reserve(queue, LARGE, T_TIMEOUT_MS, &room));
	T_STEP(mp_queue_commit(queue, LARGE / 2));
	T_STEP(mp_queue_peek(queue, T_TIMEOUT_MS, &data, &size));
	T_STEP(mp_queue_unpeek(queue));
	T_STEP(mp_queue_peek(queue, T_TIMEOUT_MS, &data, &size));
	return mp_queue_consume(queue);
}

FAULTS(faults_queue, in_place, fifo_made, work_in_place, queue_closed)

/* --- who waits, who wakes ------------------------------------------------------------------------- */

static int put_one(void)
{
	return mp_queue_put(queue, mp_i64(1), T_TIMEOUT_MS);
}

static int get_one(void)
{
	mp_obj value;

	return mp_queue_get(queue, T_TIMEOUT_MS, &value);
}

#define EMPTY(id, order_, call)                                                                   \
	WAITS(faults_queue, id, new_queue(MP_QUEUE_OPTIONS(.order = order_)), 0, put_one(), call, \
		0, queue_closed())

static int wait_into(void)
{
	char buffer[64];
	size_t size;

	return mp_queue_get_bytes_into(queue, buffer, sizeof(buffer), T_TIMEOUT_MS, &size);
}

static int wait_bytes(void)
{
	void *data;
	size_t size;

	T_STEP(mp_queue_get_bytes(queue, T_TIMEOUT_MS, &data, &size));
	free(data);
	return 0;
}

static int wait_many(void)
{
	mp_obj values[2];

	return mp_queue_get_many(queue, T_TIMEOUT_MS, values, 2);
}

static int wait_many_bytes(void)
{
	struct iovec messages[2];
	char buffer[64];

	return mp_queue_get_many_bytes(queue, T_TIMEOUT_MS, buffer, sizeof(buffer), messages, 2);
}

static int wait_and_peek(void)
{
	const void *data;
	size_t size;

	T_STEP(mp_queue_peek(queue, T_TIMEOUT_MS, &data, &size));
	return mp_queue_consume(queue);
}

EMPTY(empty_lifo, MP_QUEUE_LIFO, get_one())
EMPTY(empty_priority, MP_QUEUE_PRIORITY, get_one())
EMPTY(empty_bytes, MP_QUEUE_FIFO, wait_bytes())
EMPTY(empty_into, MP_QUEUE_FIFO, wait_into())
EMPTY(empty_many, MP_QUEUE_FIFO, wait_many())
EMPTY(empty_many_bytes, MP_QUEUE_FIFO, wait_many_bytes())
EMPTY(empty_peek, MP_QUEUE_FIFO, wait_and_peek())

static int full_queue(int order)
{
	T_STEP(new_queue(MP_QUEUE_OPTIONS(.maxsize = 1, .order = order)));
	return put_one();
}

#define FULL(id, order, call) \
	WAITS(faults_queue, id, full_queue(order), 0, get_one(), call, 0, queue_closed())

static int reserve_and_commit(void)
{
	void *room;

	T_STEP(mp_queue_reserve(queue, 10, T_TIMEOUT_MS, &room));
	return mp_queue_commit(queue, 10);
}

FULL(full, MP_QUEUE_FIFO, put_one())
FULL(full_lifo, MP_QUEUE_LIFO, put_one())
FULL(full_priority, MP_QUEUE_PRIORITY, mp_queue_put_priority(queue, mp_i64(1), 1, T_TIMEOUT_MS))
FULL(full_priority_bytes, MP_QUEUE_PRIORITY,
	mp_queue_put_priority_bytes(queue, large, 1, 1, T_TIMEOUT_MS))
FULL(full_bytes, MP_QUEUE_FIFO, mp_queue_put_bytes(queue, large, 1, T_TIMEOUT_MS))
FULL(full_reserve, MP_QUEUE_FIFO, reserve_and_commit())

/* Somebody sleeps in a get, and is woken. */
#define GOTTEN(id, order_, call)                                                                  \
	WAKES(faults_queue, id, new_queue(MP_QUEUE_OPTIONS(.order = order_)), get_one(), 0, call, \
		queue_closed())

GOTTEN(put_wakes, MP_QUEUE_FIFO, put_one())
GOTTEN(put_wakes_lifo, MP_QUEUE_LIFO, put_one())
GOTTEN(commit_wakes, MP_QUEUE_FIFO, reserve_and_commit())
WAKES(faults_queue, get_wakes, full_queue(MP_QUEUE_FIFO), put_one(), 0, get_one(), queue_closed())
WAKES(faults_queue, consume_wakes, full_queue(MP_QUEUE_FIFO), put_one(), 0, wait_and_peek(),
	queue_closed())

static int put_and_leased(mp_lease *ret_lease)
{
	mp_obj value;

	T_STEP(new_queue(MP_QUEUE_OPTIONS(.leases = true)));
	T_STEP(put_one());
	return mp_queue_lease(queue, MP_NOWAIT, &value, ret_lease);
}

static mp_lease lease;

static int lease_one(void)
{
	mp_obj value;
	mp_lease got;

	T_STEP(mp_queue_lease(queue, T_TIMEOUT_MS, &value, &got));
	return mp_queue_ack(queue, got);
}

static int lease_one_bytes(void)
{
	void *data;
	size_t size;
	mp_lease got;

	T_STEP(mp_queue_lease_bytes(queue, T_TIMEOUT_MS, &data, &size, &got));
	free(data);
	return mp_queue_ack(queue, got);
}

WAKES(faults_queue, nack_wakes, put_and_leased(&lease), lease_one(), 0, mp_queue_nack(queue, lease),
	queue_closed())
WAITS(faults_queue, lease_waits, new_queue(MP_QUEUE_OPTIONS(.leases = true)), 0, put_one(),
	lease_one(), 0, queue_closed())
WAITS(faults_queue, lease_bytes_waits, new_queue(MP_QUEUE_OPTIONS(.leases = true)), 0, put_one(),
	lease_one_bytes(), 0, queue_closed())

static int one_to_be_done(void)
{
	T_STEP(new_queue(MP_QUEUE_OPTIONS(.joinable = true)));
	T_STEP(put_one());
	return get_one();
}

static int one_to_be_got(void)
{
	T_STEP(new_queue(MP_QUEUE_OPTIONS(.joinable = true)));
	return put_one();
}

static int get_and_done(void)
{
	T_STEP(get_one());
	return mp_queue_task_done(queue);
}

WAITS(faults_queue, join_waits, one_to_be_got(), 0, get_and_done(),
	mp_queue_join(queue, T_TIMEOUT_MS), 0, queue_closed())
WAKES(faults_queue, task_done_wakes, one_to_be_done(), mp_queue_join(queue, T_TIMEOUT_MS), 0,
	mp_queue_task_done(queue), queue_closed())

static int get_until_shutdown(void)
{
	int r = get_one();

	return r == -EPIPE ? 0 : r;
}

WAKES(faults_queue, shutdown_wakes, new_queue(NULL), get_until_shutdown(), 0,
	mp_queue_shutdown(queue, MP_QUEUE_IMMEDIATE), queue_closed())
WAKES(faults_queue, shutdown_wakes_lifo, new_queue(MP_QUEUE_OPTIONS(.order = MP_QUEUE_LIFO)),
	get_until_shutdown(), 0, mp_queue_shutdown(queue, MP_QUEUE_DRAIN), queue_closed())

/* --- by name ------------------------------------------------------------------------------------- */

static char name[64];
static mp_queue *opened;

static void name_chosen(void)
{
	snprintf(name, sizeof(name), "/mp-faults-kinds-%d", (int)getpid());
}

static int create_lifo(void)
{
	return mp_queue_create(name, MP_QUEUE_OPTIONS(.order = MP_QUEUE_LIFO), &queue);
}

FAULTS(faults_queue, create_lifo, name_chosen, create_lifo, queue_closed)

static void lifo_created(void)
{
	name_chosen();
	T_CHECK(create_lifo() == 0);
}

static int open_lifo(void)
{
	return mp_queue_open(name, &opened);
}

static void both_closed(void)
{
	mp_queue_close(opened);
	queue_closed();
}

FAULTS(faults_queue, open_lifo, lifo_created, open_lifo, both_closed)

static void persistent_created(void)
{
	name_chosen();
	T_CHECK(mp_queue_create(name, MP_QUEUE_OPTIONS(.persist = true), &queue) == 0);
}

static int unlink_it(void)
{
	return mp_queue_unlink(name);
}

FAULTS(faults_queue, unlink, persistent_created, unlink_it, queue_closed)
