/* SPDX-License-Identifier: MIT */
/* Queues that threads of one process put into and get from in every way at once. */
#include <config.h>

#include "tests/stress_check.h"
#include "tests/stress_queue.h"

#include <errno.h>
#include <mp.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SIDE 2 /* threads that put, and as many that get */
#define MESSAGES 3000
#define BATCH 4
#define LARGE 40000
#define WAIT_MS 60000

/* The last bytes of a message, whether it is got as it was put or as the encoding of a value. */
struct stamp {
	uint32_t producer;
	uint32_t number;
};

struct place {
	mp_queue *queue;
	_Atomic int next_producer;
	_Atomic int next_consumer;
	_Atomic int stop;
	_Atomic long got;
	_Atomic unsigned char seen[SIDE][MESSAGES];
};

/* --- putting -------------------------------------------------------------------------------------- */

struct batch {
	size_t n;
	struct iovec bytes[BATCH];
	mp_obj values[BATCH];
	char data[BATCH][LARGE];
};

static size_t size_of(uint32_t number)
{
	return sizeof(struct stamp) + (number % 50 == 0 ? number % (LARGE / 2) : number % 90);
}

static void fill(struct batch *b, uint32_t producer, uint32_t number, size_t n)
{
	b->n = n;
	for (size_t i = 0; i < n; i++) {
		struct stamp stamp = {producer, number + (uint32_t)i};
		size_t size = size_of(stamp.number);
		memset(b->data[i], (int)stamp.number, size);
		memcpy(b->data[i] + size - sizeof(stamp), &stamp, sizeof(stamp));
		b->bytes[i] = (struct iovec){b->data[i], size};
		b->values[i] = mp_bytes(b->data[i], size);
	}
}

static void put_in_place(mp_queue *q, const struct iovec *message, bool at_first_not)
{
	void *room;

	CHECK(mp_queue_reserve(q, message->iov_len + 10, WAIT_MS, &room) == 0);
	memcpy(room, message->iov_base, message->iov_len);
	if (at_first_not) {
		CHECK(mp_queue_abandon(q) == 0);
		put_in_place(q, message, false);
		return;
	}
	CHECK(mp_queue_commit(q, message->iov_len) == 0);
}

static void *put(void *argument)
{
	struct place *p = argument;
	uint32_t me = (uint32_t)p->next_producer++;
	struct batch *b = malloc(sizeof(*b));
	mp_queue *q = mp_queue_ref(p->queue);
	uint32_t n = 0;

	CHECK(b);
	for (unsigned turn = me; n < MESSAGES; turn++, n += (uint32_t)b->n) {
		bool many = turn % 6 >= 4 && n + BATCH <= MESSAGES;
		fill(b, me, n, many ? BATCH : 1);
		if (many && turn % 6 == 4)
			CHECK(mp_queue_put_many(q, b->values, BATCH, WAIT_MS) == BATCH);
		else if (many)
			CHECK(mp_queue_put_many_bytes(q, b->bytes, BATCH, WAIT_MS) == BATCH);
		else if (turn % 6 == 0)
			CHECK(mp_queue_put(q, b->values[0], WAIT_MS) == 0);
		else if (turn % 6 == 1)
			CHECK(mp_queue_put_bytes(
				      q, b->bytes[0].iov_base, b->bytes[0].iov_len, WAIT_MS) == 0);
		else
			put_in_place(q, &b->bytes[0], turn % 6 == 2);
	}
	mp_queue_close(q);
	free(b);
	return NULL;
}

/* --- getting -------------------------------------------------------------------------------------- */

struct consumer {
	struct place *p;
	uint32_t next[SIDE]; /* the least that may come, of each producer */
	char buffer[BATCH * LARGE];
};

static void note(struct consumer *c, const void *data, size_t size)
{
	struct stamp stamp;

	CHECK(size >= sizeof(stamp));
	memcpy(&stamp, (const char *)data + size - sizeof(stamp), sizeof(stamp));
	CHECK(stamp.producer < SIDE && stamp.number < MESSAGES);
	CHECK(stamp.number >= c->next[stamp.producer]);
	c->next[stamp.producer] = stamp.number + 1;
	CHECK(c->p->seen[stamp.producer][stamp.number]++ == 0);
	c->p->got++;
}

static void note_value(struct consumer *c, mp_obj *value)
{
	note(c, value->as.bytes, value->count);
	mp_obj_free(value);
}

/* Each returns 0 or an error. */

static int get_one(struct consumer *c, mp_queue *q)
{
	mp_obj value;
	int r = mp_queue_get(q, WAIT_MS, &value);

	if (r == 0)
		note_value(c, &value);
	return r;
}

static int get_bytes(struct consumer *c, mp_queue *q)
{
	size_t size;
	void *data;
	int r = mp_queue_get_bytes(q, WAIT_MS, &data, &size);

	if (r == 0) {
		note(c, data, size);
		free(data);
	}
	return r;
}

static int get_into(struct consumer *c, mp_queue *q)
{
	size_t size;
	int r = mp_queue_get_bytes_into(q, c->buffer, sizeof(c->buffer), WAIT_MS, &size);

	if (r == 0)
		note(c, c->buffer, size);
	return r;
}

static int get_values(struct consumer *c, mp_queue *q)
{
	mp_obj values[BATCH];
	int n = mp_queue_get_many(q, WAIT_MS, values, BATCH);

	for (int i = 0; i < n; i++)
		note_value(c, &values[i]);
	return n < 0 ? n : 0;
}

static int get_many_bytes(struct consumer *c, mp_queue *q)
{
	struct iovec messages[BATCH];
	int n = mp_queue_get_many_bytes(q, WAIT_MS, c->buffer, sizeof(c->buffer), messages, BATCH);

	for (int i = 0; i < n; i++)
		note(c, messages[i].iov_base, messages[i].iov_len);
	return n < 0 ? n : 0;
}

static int get_in_place(struct consumer *c, mp_queue *q)
{
	const void *data;
	size_t size;
	int r = mp_queue_peek(q, WAIT_MS, &data, &size);

	if (r < 0)
		return r;
	CHECK(mp_queue_unpeek(q) == 0);
	r = mp_queue_peek(q, WAIT_MS, &data, &size);
	if (r < 0)
		return r;
	memcpy(c->buffer, data, size);
	CHECK(mp_queue_consume(q) == 0);
	note(c, c->buffer, size);
	return 0;
}

static void *get(void *argument)
{
	static int (*const ways[])(struct consumer *, mp_queue *) = {
		get_one, get_bytes, get_into, get_values, get_many_bytes, get_in_place};
	struct consumer *c = calloc(1, sizeof(*c));
	int r;

	CHECK(c);
	c->p = argument;
	for (unsigned turn = (unsigned)c->p->next_consumer++;; turn++) {
		r = ways[turn % 6](c, c->p->queue);
		if (r < 0)
			break;
	}
	CHECK(r == -EPIPE);
	free(c);
	return NULL;
}

static void *observe(void *argument)
{
	struct place *p = argument;

	while (!p->stop) {
		size_t size = mp_queue_size(p->queue);
		CHECK(size <= (size_t)SIDE * MESSAGES);
		(void)mp_queue_bytes(p->queue);
		(void)mp_queue_full(p->queue);
		(void)mp_queue_empty(p->queue);
		mp_waitable items[] = {MP_WAIT(p->queue), MP_WAIT_ROOM(p->queue)};
		CHECK(mp_wait(items, 2, 1) >= -ETIMEDOUT);
	}
	return NULL;
}

/* Everything that was put comes out once, in the order of its producer. */
static void all_ways_at_once(const mp_queue_options *options)
{
	struct place *p = calloc(1, sizeof(*p));
	pthread_t putters[SIDE];
	pthread_t getters[SIDE];
	pthread_t observer;

	CHECK(p);
	CHECK(mp_queue_new(options, &p->queue) == 0);
	for (int i = 0; i < SIDE; i++) {
		CHECK(pthread_create(&putters[i], NULL, put, p) == 0);
		CHECK(pthread_create(&getters[i], NULL, get, p) == 0);
	}
	CHECK(pthread_create(&observer, NULL, observe, p) == 0);
	for (int i = 0; i < SIDE; i++)
		CHECK(pthread_join(putters[i], NULL) == 0);
	CHECK(mp_queue_shutdown(p->queue, MP_QUEUE_DRAIN) == 0);
	for (int i = 0; i < SIDE; i++)
		CHECK(pthread_join(getters[i], NULL) == 0);
	p->stop = 1;
	CHECK(pthread_join(observer, NULL) == 0);
	CHECK(p->got == (long)SIDE * MESSAGES);
	CHECK(mp_queue_empty(p->queue) && mp_queue_bytes(p->queue) == 0);
	mp_queue_close(p->queue);
	free(p);
}

/* --- joinable -------------------------------------------------------------------------------------- */

static void *work(void *queue)
{
	mp_obj value;

	while (mp_queue_get(queue, MP_FOREVER, &value) == 0) {
		mp_obj_free(&value);
		CHECK(mp_queue_task_done(queue) == 0);
	}
	return NULL;
}

static void put_and_join(void)
{
	pthread_t workers[SIDE];
	mp_queue *q;

	CHECK(mp_queue_new(MP_QUEUE_OPTIONS(.joinable = true, .maxsize = 20), &q) == 0);
	for (int i = 0; i < SIDE; i++)
		CHECK(pthread_create(&workers[i], NULL, work, q) == 0);
	for (int round = 0; round < 50; round++) {
		for (int i = 0; i < 30; i++)
			CHECK(mp_queue_put(q, mp_i64(i), WAIT_MS) == 0);
		CHECK(mp_queue_join(q, WAIT_MS) == 0);
		CHECK(mp_queue_empty(q));
	}
	CHECK(mp_queue_shutdown(q, MP_QUEUE_DRAIN) == 0);
	for (int i = 0; i < SIDE; i++)
		CHECK(pthread_join(workers[i], NULL) == 0);
	mp_queue_close(q);
}

/* --- the end, in the middle of everything ----------------------------------------------------------- */

static void *put_until_the_end(void *queue)
{
	char data[200] = "";
	void *room;
	int r;

	do {
		r = mp_queue_put_bytes(queue, data, sizeof(data), MP_FOREVER);
		if (r == 0)
			r = mp_queue_reserve(queue, sizeof(data), MP_FOREVER, &room);
		if (r == 0)
			r = mp_queue_commit(queue, 50);
	} while (r == 0);
	CHECK(r == -EPIPE);
	return NULL;
}

static void *get_until_the_end(void *queue)
{
	const void *data;
	mp_obj value;
	size_t size;
	int r;

	do {
		r = mp_queue_get(queue, MP_FOREVER, &value);
		if (r == 0) {
			mp_obj_free(&value);
			r = mp_queue_peek(queue, MP_FOREVER, &data, &size);
		}
		if (r == 0)
			r = mp_queue_consume(queue);
	} while (r == 0);
	CHECK(r == -EPIPE);
	return NULL;
}

static void shut_down_under_load(int how)
{
	pthread_t threads[2 * SIDE];
	mp_queue *q;

	CHECK(mp_queue_new(MP_QUEUE_OPTIONS(.maxsize = 8), &q) == 0);
	for (int i = 0; i < 2 * SIDE; i++)
		CHECK(pthread_create(&threads[i], NULL,
			      i % 2 ? put_until_the_end : get_until_the_end, q) == 0);
	usleep(2000);
	CHECK(mp_queue_shutdown(q, how) == 0);
	for (int i = 0; i < 2 * SIDE; i++)
		CHECK(pthread_join(threads[i], NULL) == 0);
	CHECK(mp_queue_empty(q));
	mp_queue_close(q);
}

/* --- names ------------------------------------------------------------------------------------------ */

static void *come_and_go(void *name)
{
	mp_obj value;
	mp_queue *q;

	for (int i = 0; i < 100; i++) {
		int r = mp_queue_create(name, NULL, &q);
		if (r == -EEXIST)
			r = mp_queue_open(name, &q);
		if (r == -ENOENT)
			continue;
		CHECK(r == 0);
		CHECK(mp_queue_put(q, mp_i64(i), WAIT_MS) == 0);
		CHECK(mp_queue_get(q, WAIT_MS, &value) == 0);
		mp_obj_free(&value);
		mp_queue_close(q);
	}
	return NULL;
}

static void names(void)
{
	pthread_t threads[2 * SIDE];
	char name[64];

	snprintf(name, sizeof(name), "stress-queue-%d", (int)getpid());
	for (int i = 0; i < 2 * SIDE; i++)
		CHECK(pthread_create(&threads[i], NULL, come_and_go, name) == 0);
	for (int i = 0; i < 2 * SIDE; i++)
		CHECK(pthread_join(threads[i], NULL) == 0);
	CHECK(mp_queue_unlink(name) == -ENOENT);
}

void stress_queue(void)
{
	all_ways_at_once(NULL);
	all_ways_at_once(MP_QUEUE_OPTIONS(.maxsize = 10, .joinable = true));
	all_ways_at_once(MP_QUEUE_OPTIONS(.max_bytes = 100000));
	put_and_join();
	for (int i = 0; i < 20; i++)
		shut_down_under_load(i % 2 ? MP_QUEUE_DRAIN : MP_QUEUE_IMMEDIATE);
	names();
}
