/* SPDX-License-Identifier: MIT */
/*
 * Queues in the kill storm: a plain one, a joinable one, one in another order, and one with leases. Producers note a number before they put
 * it, and afterwards that it was put; consumers read in place, and so know, and note, what they are
 * about to take out. Each message comes once, in the order of its producer; the only ones that may
 * be missing are those that somebody died over.
 */
#include <config.h>

#include "queue/store.h"
#include "tests/storm/storm.h"
#include "tests/support/stores.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SIDE 2
#define NUMBERS (1u << 17)
#define SIZE_MAX_SMALL 3900
#define BATCH 5
#define SHORT_MS 10
#define DELIVERIES 6

struct flow {
	struct {
		_Atomic uint32_t trying; /* number + 1 of the last that is, or was, being put */
		_Atomic uint32_t put;    /* number + 1 that was put last */
	} producer[SIDE];
	struct {
		_Atomic uint64_t current; /* 1 + what is being taken out */
		_Atomic uint32_t taking;  /* so many are being taken, and it is not known which */
		_Atomic uint32_t last[SIDE]; /* number + 1 seen last, of each producer */
	} consumer[SIDE];
	bool in_order;
	_Atomic uint32_t doubtful; /* puts that somebody died over */
	_Atomic uint32_t unseen;   /* so many at most were taken by dead ones that had not looked */
	_Atomic uint8_t shown[SIDE][NUMBERS]; /* of leases: was seen, and may come again */
	_Atomic uint8_t uncertain[SIDE][NUMBERS];
	_Atomic uint8_t seen[SIDE][NUMBERS];
};

enum kind {
	PLAIN,
	TASKS, /* joinable */
	SORTED,
	LEASED, /* and sorted */
};

struct message {
	uint32_t producer;
	uint32_t number;
	uint32_t check;
	uint32_t size;
};

/* --- producers --------------------------------------------------------------------------------------------- */

static uint32_t write_message(char *buffer, int producer, uint32_t number)
{
	uint32_t size =
		sizeof(struct message) + (number % 7 == 0 ? number % SIZE_MAX_SMALL : number % 50);

	memcpy(buffer, &(struct message){(uint32_t)producer, number, ~number, size},
		sizeof(struct message));
	return size;
}

static int put_in_place(mp_queue *q, int producer, uint32_t number, int timeout_ms)
{
	char *data;
	void *room;
	int r = mp_queue_reserve(q, sizeof(struct message) + SIZE_MAX_SMALL, timeout_ms, &room);

	if (r < 0)
		return r;
	data = room;
	return mp_queue_commit(q, write_message(data, producer, number));
}

static int put_batch(mp_queue *q, int producer, uint32_t number, int timeout_ms)
{
	static _Thread_local char buffer[BATCH][sizeof(struct message) + SIZE_MAX_SMALL];
	struct iovec messages[BATCH];

	for (uint32_t i = 0; i < BATCH; i++)
		messages[i] =
			(struct iovec){buffer[i], write_message(buffer[i], producer, number + i)};
	return mp_queue_put_many_bytes(q, messages, BATCH, timeout_ms);
}

/* The lowest number of the last few first. */
static int put_sorted(mp_queue *q, int producer, uint32_t number, int timeout_ms)
{
	static _Thread_local char buffer[sizeof(struct message) + SIZE_MAX_SMALL];
	uint32_t size = write_message(buffer, producer, number);

	if (storm_board->seed % 2)
		return mp_queue_put_bytes(q, buffer, size, timeout_ms);
	return mp_queue_put_priority_bytes(q, buffer, size, (int64_t)(~number % 16), timeout_ms);
}

static int put_one(mp_queue *q, int producer, uint32_t number, int timeout_ms)
{
	static _Thread_local char buffer[sizeof(struct message) + SIZE_MAX_SMALL];
	uint32_t size = write_message(buffer, producer, number);

	return mp_queue_put_bytes(q, buffer, size, timeout_ms);
}

static void produce(struct flow *f, mp_queue *q, int me, uint64_t random, bool sorted)
{
	while (storm_blows()) {
		if (f->producer[me].trying + BATCH > NUMBERS) {
			(void)usleep(1000); /* has put all; lives on to be hit */
			continue;
		}
		uint64_t how = storm_random(&random);
		int timeout_ms = how % 4 == 0 ? SHORT_MS : STORM_TIMEOUT_MS;
		uint32_t n = f->producer[me].trying;
		uint32_t several = how / 4 % 4 == 0 && !sorted ? BATCH : 1;
		int64_t began = storm_now_ms();

		f->producer[me].trying = n + several;
		int r = sorted             ? put_sorted(q, me, n, timeout_ms)
			: several > 1      ? put_batch(q, me, n, timeout_ms)
			: how / 4 % 4 == 1 ? put_in_place(q, me, n, timeout_ms)
					   : put_one(q, me, n, timeout_ms);
		if (timeout_ms == SHORT_MS)
			STORM_IN_TIME(began, SHORT_MS);
		if (r == -ETIMEDOUT && timeout_ms == SHORT_MS)
			r = several > 1 ? 0 : -1;
		else
			STORM_CALL(r);
		/* Of a batch the first so many are there. */
		uint32_t done = several > 1 ? (uint32_t)r : r == 0;
		f->producer[me].trying = n + done;
		f->producer[me].put = n + done;
		storm_dawdle(how >> 32);
	}
}

/* --- consumers --------------------------------------------------------------------------------------------- */

static struct message check(const void *data, size_t size)
{
	struct message m = {0};

	STORM_CHECK(size >= sizeof(m));
	memcpy(&m, data, sizeof(m));
	STORM_CHECK(
		m.producer < SIDE && m.number < NUMBERS && m.check == ~m.number && m.size == size);
	return m;
}

static void see(struct flow *f, int me, const struct message *m)
{
	STORM_IS(STORM_DUPLICATED, f->seen[m->producer][m->number]++ == 0);
	STORM_CHECK(!f->in_order || m->number >= f->consumer[me].last[m->producer]);
	f->consumer[me].last[m->producer] = m->number + 1;
}

/* Now and then it reads for so long that others ask whether it lives. */
static int take_in_place(struct flow *f, mp_queue *q, int me, int timeout_ms, bool slowly)
{
	const void *data;
	size_t size;
	int r = mp_queue_peek(q, timeout_ms, &data, &size);

	if (r < 0)
		return r;
	struct message m = check(data, size);
	if (slowly)
		(void)usleep(3 * SHORT_MS * 1000);
	f->consumer[me].current = 1 + ((uint64_t)m.producer << 32 | m.number);
	STORM_CALL(mp_queue_consume(q));
	see(f, me, &m);
	f->consumer[me].current = 0;
	return 1;
}

static int take_several(struct flow *f, mp_queue *q, int me, int timeout_ms, size_t max)
{
	static _Thread_local char buffer[BATCH * (sizeof(struct message) + SIZE_MAX_SMALL)];
	struct iovec messages[BATCH];

	f->consumer[me].taking = (uint32_t)max;
	int r = mp_queue_get_many_bytes(q, timeout_ms, buffer, sizeof(buffer), messages, max);
	for (int i = 0; i < r; i++) {
		struct message m = check(messages[i].iov_base, messages[i].iov_len);
		see(f, me, &m);
	}
	f->consumer[me].taking = 0;
	return r;
}

static int take_one(struct flow *f, mp_queue *q, int me, int timeout_ms)
{
	static _Thread_local char buffer[sizeof(struct message) + SIZE_MAX_SMALL];
	size_t size = 0;

	f->consumer[me].taking = 1;
	int r = mp_queue_get_bytes_into(q, buffer, sizeof(buffer), timeout_ms, &size);
	if (r == 0) {
		struct message m = check(buffer, size);
		see(f, me, &m);
	}
	f->consumer[me].taking = 0;
	return r < 0 ? r : 1;
}

/* With a lease: it is seen when it is acknowledged. */
static int take_leased(struct flow *f, mp_queue *q, int me, int timeout_ms, bool refuse)
{
	mp_lease lease;
	size_t size;
	void *data;
	int r = mp_queue_lease_bytes(q, timeout_ms, &data, &size, &lease);

	if (r < 0)
		return r;
	struct message m = check(data, size);
	free(data);
	STORM_CHECK(lease.redelivered == (lease.deliveries > 1) && lease.deliveries <= DELIVERIES);
	STORM_IS(STORM_DUPLICATED, f->seen[m.producer][m.number] == 0);
	STORM_IS(STORM_DUPLICATED, f->shown[m.producer][m.number] == 0 || lease.redelivered);
	f->shown[m.producer][m.number] = 1;
	if (refuse) {
		STORM_CALL(mp_queue_nack(q, lease));
		return 0;
	}
	f->consumer[me].current = 1 + ((uint64_t)m.producer << 32 | m.number);
	STORM_CALL(mp_queue_ack(q, lease));
	see(f, me, &m);
	f->consumer[me].current = 0;
	return 1;
}

/* Until there is nothing more, when producers have left. */
static void consume(struct flow *f, mp_queue *q, int me, uint64_t random, enum kind kind)
{
	for (;;) {
		uint64_t how = storm_random(&random);
		bool drains = storm_drains();
		int64_t began = storm_now_ms();
		int r = kind == LEASED   ? take_leased(f, q, me, SHORT_MS, how % 8 == 0)
			: kind == SORTED ? take_one(f, q, me, SHORT_MS)
			: how % 32 == 0  ? take_several(f, q, me, SHORT_MS, BATCH)
			: how % 32 == 1  ? take_one(f, q, me, SHORT_MS)
			: how % 512 == 7 ? take_in_place(f, q, me, SHORT_MS, true)
					 : take_in_place(f, q, me, SHORT_MS, false);

		STORM_IN_TIME(began, SHORT_MS);
		if (r == -ETIMEDOUT && drains && (kind != LEASED || mp_queue_leased(q) == 0))
			return;
		if (r != -ETIMEDOUT)
			STORM_CALL(r);
		for (int i = 0; kind == TASKS && i < r; i++)
			STORM_CALL(mp_queue_task_done(q));
	}
}

/* --- the storm's view ---------------------------------------------------------------------------------------- */

/* Roles: producers, consumers. */
static void note_death(struct flow *f, int role, int index)
{
	if (role == 0) {
		for (uint32_t n = f->producer[index].put; n < f->producer[index].trying; n++)
			f->uncertain[index][n] = 1;
		f->doubtful += f->producer[index].trying - f->producer[index].put;
		f->producer[index].put = f->producer[index].trying;
		return;
	}
	if (role != 1)
		return;
	uint64_t current = f->consumer[index].current;
	if (current != 0)
		f->uncertain[(current - 1) >> 32][(uint32_t)(current - 1)] = 1;
	f->consumer[index].current = 0;
	f->unseen += f->consumer[index].taking;
	f->consumer[index].taking = 0;
}

/* The ring itself knows how many it has had. */
static void check_count(struct flow *f, mp_queue *q)
{
	uint64_t had = q->control->tail >> MP__QUEUE_POS_BITS;
	uint64_t tried = 0;

	for (int p = 0; p < SIDE; p++)
		tried += f->producer[p].trying;
	if (had + f->doubtful < tried)
		storm_fail(STORM_LOST, "%u messages were put, %u came into the queue",
			(unsigned)(tried - f->doubtful), (unsigned)had);
	if (had > tried)
		storm_fail(STORM_DUPLICATED, "%u messages were put, %u came into the queue",
			(unsigned)tried, (unsigned)had);
}

static void check_flow(struct flow *f, mp_queue *q)
{
	uint32_t missing = 0;

	if (f->in_order)
		check_count(f, q);

	for (int p = 0; p < SIDE; p++)
		for (uint32_t n = 0; n < f->producer[p].trying; n++)
			missing += f->seen[p][n] == 0 && !f->uncertain[p][n];
	if (missing > f->unseen)
		storm_fail(
			STORM_LOST, "%u messages are missing, %u of these may", missing, f->unseen);
	STORM_CHECK(mp_queue_size(q) == 0 && mp_queue_bytes(q) == 0 && mp_queue_empty(q));
	/* It still works. */
	STORM_CALL(mp_queue_put(q, mp_i64(7), STORM_TIMEOUT_MS));
	mp_obj value;
	STORM_CALL(mp_queue_get(q, STORM_TIMEOUT_MS, &value));
	mp_obj_free(&value);
}

/* --- a plain one ----------------------------------------------------------------------------------------------- */

static mp_queue *queue;

static void make_queue(void *memory)
{
	((struct flow *)memory)->in_order = true;
	STORM_CALL(mp_queue_new(MP_QUEUE_OPTIONS(.maxsize = 300, .name = "storm"), &queue));
}

static mp_obj give_queue(void)
{
	return mp_handle(queue);
}

static void take_queue(const mp_obj *given)
{
	queue = mp_obj_queue(given);
}

static void run_producer(void *memory, int index, uint64_t random)
{
	produce(memory, queue, index, random, false);
}

static void run_consumer(void *memory, int index, uint64_t random)
{
	consume(memory, queue, index, random, PLAIN);
}

static void note_queue(void *memory, int role, int index)
{
	note_death(memory, role, index);
}

static void finish_queue(void *memory)
{
	check_flow(memory, queue);
	STORM_CALL(mp_queue_shutdown(queue, MP_QUEUE_DRAIN));
	STORM_CHECK(mp_queue_put(queue, mp_nil(), MP_NOWAIT) == -EPIPE);
	mp_queue_close(queue);
}

const struct storm_capability storm_queue = {
	.name = "queue",
	.points = "queue. bell. ",
	.size = sizeof(struct flow),
	.make = make_queue,
	.give = give_queue,
	.take = take_queue,
	.roles = {{"producer", SIDE, false, run_producer}, {"consumer", SIDE, true, run_consumer}},
	.died = note_queue,
	.finish = finish_queue,
};

/* --- a joinable one --------------------------------------------------------------------------------------------- */

static mp_queue *tasks;

static void make_tasks(void *memory)
{
	((struct flow *)memory)->in_order = true;
	STORM_CALL(mp_queue_new(
		MP_QUEUE_OPTIONS(.max_bytes = 20000, .joinable = true, .name = "tasks"), &tasks));
}

static mp_obj give_tasks(void)
{
	return mp_handle(tasks);
}

static void take_tasks(const mp_obj *given)
{
	tasks = mp_obj_queue(given);
}

static void run_task_producer(void *memory, int index, uint64_t random)
{
	produce(memory, tasks, index, random, false);
}

static void run_task_consumer(void *memory, int index, uint64_t random)
{
	consume(memory, tasks, index, random, TASKS);
}

/* Waits for what may never be so while the storm blows, but not longer than it wants to. */
static void run_joiner(void *memory, int index, uint64_t random)
{
	(void)memory;
	(void)index;
	(void)random;
	while (storm_blows()) {
		int64_t began = storm_now_ms();
		int r = mp_queue_join(tasks, SHORT_MS);
		STORM_IN_TIME(began, SHORT_MS);
		STORM_CHECK(r == 0 || r == -ETIMEDOUT);
	}
}

static void finish_tasks(void *memory)
{
	check_flow(memory, tasks);
	/* The one that check_flow() has got; and all that dead ones had got count as done. */
	STORM_CALL(mp_queue_task_done(tasks));
	STORM_CALL(mp_queue_join(tasks, STORM_TIMEOUT_MS));
	STORM_CHECK(mp_queue_task_done(tasks) == -ERANGE);
	mp_queue_close(tasks);
}

const struct storm_capability storm_joinable = {
	.name = "joinable",
	.points = "queue. bell. ",
	.size = sizeof(struct flow),
	.make = make_tasks,
	.give = give_tasks,
	.take = take_tasks,
	.roles = {{"task producer", SIDE, false, run_task_producer},
		{"task consumer", SIDE, true, run_task_consumer}, {"joiner", 1, false, run_joiner}},
	.died = note_queue,
	.finish = finish_tasks,
};

/* --- one that sorts ---------------------------------------------------------------------------------------------- */

static mp_queue *sorted;

/* By the seed of the round: the last first, or the lowest number first. */
static int any_order(void)
{
	return storm_board->seed % 2 ? MP_QUEUE_LIFO : MP_QUEUE_PRIORITY;
}

static void make_sorted(void *memory)
{
	(void)memory;
	STORM_CALL(mp_queue_new(MP_QUEUE_OPTIONS(.maxsize = 100, .order = any_order()), &sorted));
}

static mp_obj give_sorted(void)
{
	return mp_handle(sorted);
}

static void take_sorted(const mp_obj *given)
{
	sorted = mp_obj_queue(given);
}

static void run_sorted_producer(void *memory, int index, uint64_t random)
{
	produce(memory, sorted, index, random, true);
}

static void run_sorted_consumer(void *memory, int index, uint64_t random)
{
	consume(memory, sorted, index, random, SORTED);
}

/* What the killed have left of blocks goes with the next repair. */
static void check_store(mp_queue *q)
{
	struct mp__queue_wait wait = mp__queue_wait_of(STORM_TIMEOUT_MS);

	STORM_CALL(mp__store_enter(q, &wait));
	STORM_CALL(mp__store_repair(q));
	mp__guard_leave(&q->control->get_guard);
	STORM_CALL(mp_heap_check(q->store->heap));
	if (!store_has_no_messages(q))
		storm_fail(STORM_LEAKED, "%u pieces of the table, and blocks of messages: %s",
			q->store->n_chunks, describe_blocks(q));
}

static void finish_sorted(void *memory)
{
	check_flow(memory, sorted);
	check_store(sorted);
	mp_queue_close(sorted);
}

const struct storm_capability storm_sorted = {
	.name = "sorted",
	.points = "store. bell. ",
	.size = sizeof(struct flow),
	.make = make_sorted,
	.give = give_sorted,
	.take = take_sorted,
	.roles = {{"sorting producer", SIDE, false, run_sorted_producer},
		{"sorting consumer", SIDE, true, run_sorted_consumer}},
	.died = note_queue,
	.finish = finish_sorted,
};

/* --- one with leases --------------------------------------------------------------------------------------------- */

static mp_queue *leased;

static void make_leased(void *memory)
{
	(void)memory;
	STORM_CALL(mp_queue_new(MP_QUEUE_OPTIONS(.maxsize = 100, .order = any_order(),
					.leases = true, .max_deliveries = DELIVERIES),
		&leased));
}

static mp_obj give_leased(void)
{
	return mp_handle(leased);
}

static void take_lease_queue(const mp_obj *given)
{
	leased = mp_obj_queue(given);
}

static void run_leased_producer(void *memory, int index, uint64_t random)
{
	produce(memory, leased, index, random, true);
}

static void run_leased_consumer(void *memory, int index, uint64_t random)
{
	consume(memory, leased, index, random, LEASED);
}

/* What was set aside counts as seen. */
static void finish_leased(void *memory)
{
	struct flow *f = memory;
	mp_obj value;

	while (mp_queue_poison_count(leased) > 0) {
		STORM_CALL(mp_queue_poison_get(leased, &value));
		struct message m = check(value.as.bytes, value.count);
		see(f, 0, &m);
		mp_obj_free(&value);
	}
	STORM_CHECK(mp_queue_leased(leased) == 0);
	check_flow(f, leased);
	check_store(leased);
	mp_queue_close(leased);
}

const struct storm_capability storm_leased = {
	.name = "leases",
	.points = "lease. store. bell. ",
	.size = sizeof(struct flow),
	.make = make_leased,
	.give = give_leased,
	.take = take_lease_queue,
	.roles = {{"lending producer", SIDE, false, run_leased_producer},
		{"lending consumer", SIDE, true, run_leased_consumer}},
	.died = note_queue,
	.finish = finish_leased,
};
