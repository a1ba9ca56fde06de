/* SPDX-License-Identifier: MIT */
/* Queues: messages of 64 bytes and of 1 MiB from producers to consumers. */
#include <config.h>

#include "bench/bench.h"
#include "bench/stream.h"

#include <errno.h>
#include <fcntl.h>
#include <mp.h>
#include <mqueue.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* --- libmp ------------------------------------------------------------------------------------ */

static int make_mp(int variant, void **ret_queue)
{
	bool large = variant >= STREAM_COPY;
	int r = mp_queue_new(
		MP_QUEUE_OPTIONS(.maxsize = large ? 4 : STREAM_SLOTS), (mp_queue **)ret_queue);

	return r < 0 ? bench_fail_mp("mp_queue_new", r) : 0;
}

static void produce_mp(void *q, int variant)
{
	char *data = calloc(1, STREAM_LARGE);
	struct iovec batch[STREAM_BATCH];
	size_t size = variant >= STREAM_COPY ? STREAM_LARGE : STREAM_SMALL;

	for (int i = 0; i < STREAM_BATCH; i++)
		batch[i] = (struct iovec){data, STREAM_SMALL};
	if (variant == STREAM_BATCHES) {
		while (mp_queue_put_many_bytes(q, batch, STREAM_BATCH, MP_FOREVER) == STREAM_BATCH)
			;
	} else {
		while (mp_queue_put_bytes(q, data, size, MP_FOREVER) == 0)
			;
	}
}

/* Reads all of a message that stays in shared memory. */
static void touch(const void *data, size_t size)
{
	const uint64_t *words = data;
	uint64_t bits[4] = {0};

	for (size_t i = 0; i < size / sizeof(*words); i += 4) {
		for (int k = 0; k < 4; k++)
			bits[k] |= words[i + (size_t)k];
	}
	__asm__ volatile("" : : "r"(bits[0] | bits[1] | bits[2] | bits[3]));
}

static void consume_mp(void *q, int variant, struct stream_count *count)
{
	char *buffer = calloc(1, STREAM_LARGE);
	struct iovec batch[STREAM_BATCH];
	const void *data;
	size_t size;

	for (;;) {
		int n = 1;
		if (variant == STREAM_BATCHES) {
			n = mp_queue_get_many_bytes(
				q, MP_FOREVER, buffer, STREAM_LARGE, batch, STREAM_BATCH);
			if (n < 0)
				return;
		} else if (variant == STREAM_PEEK) {
			if (mp_queue_peek(q, MP_FOREVER, &data, &size) < 0)
				return;
			touch(data, size);
			if (mp_queue_consume(q) < 0)
				return;
		} else if (mp_queue_get_bytes_into(q, buffer, STREAM_LARGE, MP_FOREVER, &size) <
			   0) {
			return;
		}
		stream_note(count, (uint64_t)n);
	}
}

static void drop_mp(void *q)
{
	mp_queue_close(q);
}

static int run_mp(struct bench *b, double *ret_value)
{
	static const struct stream stream = {make_mp, produce_mp, consume_mp, drop_mp};

	return stream_run(&stream, b->variant, ret_value);
}

/* --- floor: slots of one size, one producer, one consumer, nothing but spinning ----------------- */

struct ring {
	_Alignas(128) _Atomic uint64_t tail;
	_Alignas(128) _Atomic uint64_t head;
	_Alignas(128) char slots[STREAM_SLOTS][STREAM_SMALL];
};

static int make_ring(int variant, void **ret_queue)
{
	(void)variant;
	*ret_queue = mmap(NULL, sizeof(struct ring), PROT_READ | PROT_WRITE,
		MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	return *ret_queue == MAP_FAILED ? bench_fail("no memory") : 0;
}

static void produce_ring(void *queue, int variant)
{
	struct ring *ring = queue;
	char data[STREAM_SMALL] = "";
	uint64_t head = 0;

	(void)variant;
	for (uint64_t tail = 0;; tail++) {
		while (tail - head == STREAM_SLOTS)
			head = atomic_load_explicit(&ring->head, memory_order_acquire);
		memcpy(ring->slots[tail % STREAM_SLOTS], data, STREAM_SMALL);
		atomic_store_explicit(&ring->tail, tail + 1, memory_order_release);
	}
}

static void consume_ring(void *queue, int variant, struct stream_count *count)
{
	struct ring *ring = queue;
	char data[STREAM_SMALL];
	uint64_t tail = 0;

	(void)variant;
	for (uint64_t head = 0;; head++) {
		while (tail == head)
			tail = atomic_load_explicit(&ring->tail, memory_order_acquire);
		memcpy(data, ring->slots[head % STREAM_SLOTS], STREAM_SMALL);
		__asm__ volatile("" : : "r"(data) : "memory");
		atomic_store_explicit(&ring->head, head + 1, memory_order_release);
		stream_note(count, 1);
	}
}

static void drop_ring(void *queue)
{
	munmap(queue, sizeof(struct ring));
}

static int run_ring(struct bench *b, double *ret_value)
{
	static const struct stream stream = {make_ring, produce_ring, consume_ring, drop_ring};

	return stream_run(&stream, b->variant, ret_value);
}

/* --- floor of large ones: memcpy ----------------------------------------------------------------- */

static int copy_large(void *arg)
{
	char *memory = arg;

	memcpy(memory, memory + STREAM_LARGE, STREAM_LARGE);
	__asm__ volatile("" : : "r"(memory) : "memory");
	return 0;
}

static int run_memcpy(struct bench *b, double *ret_value)
{
	char *memory = malloc(2 * (size_t)STREAM_LARGE);

	(void)b;
	if (!memory)
		return bench_fail("no memory");
	memset(memory, 1, 2 * (size_t)STREAM_LARGE);
	int r = bench_rate(copy_large, memory, STREAM_LARGE, ret_value);
	free(memory);
	return r;
}

/* --- pipe ---------------------------------------------------------------------------------------- */

static int make_pipe(int variant, void **ret_queue)
{
	int *ends = calloc(2, sizeof(*ends));

	(void)variant;
	if (!ends || pipe(ends) < 0)
		return bench_fail("pipe");
	*ret_queue = ends;
	return 0;
}

static void produce_pipe(void *queue, int variant)
{
	char data[STREAM_SMALL] = "";

	(void)variant;
	while (bench_write(((int *)queue)[1], data, sizeof(data)) == 0)
		;
}

static void consume_pipe(void *queue, int variant, struct stream_count *count)
{
	char data[STREAM_SMALL];

	(void)variant;
	while (bench_read(((int *)queue)[0], data, sizeof(data)) == 0)
		stream_note(count, 1);
}

static void drop_pipe(void *queue)
{
	int *ends = queue;

	close(ends[0]);
	close(ends[1]);
	free(ends);
}

static int run_pipe(struct bench *b, double *ret_value)
{
	static const struct stream stream = {make_pipe, produce_pipe, consume_pipe, drop_pipe};

	return stream_run(&stream, b->variant, ret_value);
}

/* --- a message queue of POSIX --------------------------------------------------------------------- */

/* As long as the others; who may not (fs.mqueue.msg_max) has one of 10, which everybody may have. */
static int make_mq(int variant, void **ret_queue)
{
	struct mq_attr attributes = {.mq_maxmsg = STREAM_SLOTS, .mq_msgsize = STREAM_SMALL};
	mqd_t *mq = calloc(1, sizeof(*mq));
	char name[32];

	(void)variant;
	if (!mq)
		return bench_fail("no memory");
	snprintf(name, sizeof(name), "/mpbench-%d", (int)getpid());
	*mq = mq_open(name, O_RDWR | O_CREAT | O_EXCL, 0600, &attributes);
	if (*mq == (mqd_t)-1) {
		attributes.mq_maxmsg = 10;
		*mq = mq_open(name, O_RDWR | O_CREAT | O_EXCL, 0600, &attributes);
	}
	if (*mq == (mqd_t)-1) {
		free(mq);
		return bench_fail("mq_open: %s", strerror(errno));
	}
	mq_unlink(name);
	bench_set_version("%ld messages", attributes.mq_maxmsg);
	*ret_queue = mq;
	return 0;
}

static void produce_mq(void *queue, int variant)
{
	char data[STREAM_SMALL] = "";

	(void)variant;
	while (mq_send(*(mqd_t *)queue, data, sizeof(data), 0) == 0)
		;
}

static void consume_mq(void *queue, int variant, struct stream_count *count)
{
	char data[STREAM_SMALL];

	(void)variant;
	while (mq_receive(*(mqd_t *)queue, data, sizeof(data), NULL) == (ssize_t)sizeof(data))
		stream_note(count, 1);
}

static void drop_mq(void *queue)
{
	mq_close(*(mqd_t *)queue);
	free(queue);
}

/* One to see how long it may be. */
static int setup_mq(struct bench *b)
{
	void *queue = NULL;
	int r = make_mq(b->variant, &queue);

	if (queue)
		drop_mq(queue);
	return r;
}

static int run_mq(struct bench *b, double *ret_value)
{
	static const struct stream stream = {make_mq, produce_mq, consume_mq, drop_mq};

	return stream_run(&stream, b->variant, ret_value);
}

const struct bench bench_queue[] = {
	{"queue_64B_1p1c", "libmp", NULL, run_mp, NULL, STREAM_ONE, NULL},
	{"queue_64B_1p1c", "floor", NULL, run_ring, NULL, STREAM_ONE, NULL},
	{"queue_64B_1p1c", "pipe", NULL, run_pipe, NULL, STREAM_ONE, NULL},
	{"queue_64B_1p1c", "posix_mq", setup_mq, run_mq, NULL, STREAM_ONE, NULL},
	{"queue_64B_2p2c", "libmp", NULL, run_mp, NULL, STREAM_TWO, NULL},
	{"queue_64B_2p2c", "pipe", NULL, run_pipe, NULL, STREAM_TWO, NULL},
	{"queue_64B_2p2c", "posix_mq", setup_mq, run_mq, NULL, STREAM_TWO, NULL},
	{"queue_64B_batch", "libmp", NULL, run_mp, NULL, STREAM_BATCHES, NULL},
	{"queue_64B_batch", "one_by_one", NULL, run_mp, NULL, STREAM_ONE, NULL},
	{"queue_1MiB", "libmp", NULL, run_mp, NULL, STREAM_COPY, NULL},
	{"queue_1MiB", "floor", NULL, run_memcpy, NULL, 0, NULL},
	{"queue_1MiB_peek", "libmp", NULL, run_mp, NULL, STREAM_PEEK, NULL},
	{"queue_1MiB_peek", "floor", NULL, run_memcpy, NULL, 0, NULL},
	{NULL, NULL, NULL, NULL, NULL, 0, NULL},
};
