/* SPDX-License-Identifier: MIT */
/*
 * Queues: messages of 64 bytes and of 1 MiB from producers to consumers, processes all of them. Each
 * round makes a queue and its processes anew, lets them run in, counts what consumers got during the
 * round, and kills them.
 */
#include <config.h>

#include "bench/bench.h"

#include <mp.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define SMALL 64
#define LARGE (1 << 20)
#define SLOTS 1024 /* small messages that fit in a queue of any contender */
#define BATCH 32
#define RUN_IN_NS 50000000L

enum variant { ONE, TWO, BATCHES, LARGE_COPY, LARGE_PEEK };

static const struct {
	int side; /* producers, and as many consumers */
	double unit;
} shapes[] = {[ONE] = {1, 1},
	[TWO] = {2, 1},
	[BATCHES] = {1, 1},
	[LARGE_COPY] = {1, LARGE},
	[LARGE_PEEK] = {1, LARGE}};

/* A consumer's own count, on a line of its own. */
struct count {
	_Alignas(128) _Atomic uint64_t n;
};

static void note(struct count *count, uint64_t n)
{
	atomic_store_explicit(&count->n, atomic_load_explicit(&count->n, memory_order_relaxed) + n,
		memory_order_relaxed);
}

/* What runs in the processes, until they are killed; returning is a failure. */
struct kind {
	int (*make)(int variant, void **ret_queue);
	void (*produce)(void *queue, int variant);
	void (*consume)(void *queue, int variant, struct count *count);
	void (*drop)(void *queue);
};

static uint64_t sum(struct count *counts, int n)
{
	uint64_t total = 0;

	for (int i = 0; i < n; i++)
		total += atomic_load_explicit(&counts[i].n, memory_order_relaxed);
	return total;
}

static void rest(long ns)
{
	struct timespec t = {.tv_nsec = ns};

	nanosleep(&t, NULL);
}

static int run_kind(const struct kind *kind, int variant, double *ret_value)
{
	int side = shapes[variant].side;
	struct count *counts = mmap(NULL, sizeof(struct count) * 2, PROT_READ | PROT_WRITE,
		MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	pid_t pids[4];
	void *queue = NULL;
	int n = 0;

	if (counts == MAP_FAILED)
		return bench_fail("no memory");
	int r = kind->make(variant, &queue);
	if (r != 0 || !queue) {
		munmap(counts, sizeof(struct count) * 2);
		return r;
	}
	for (; r == 0 && n < 2 * side; n++) {
		pids[n] = bench_fork();
		if (pids[n] == 0) {
			if (bench_place_side(n, side) < 0)
				_exit(1);
			if (n < side)
				kind->produce(queue, variant);
			else
				kind->consume(queue, variant, &counts[n - side]);
			_exit(1);
		}
		if (pids[n] < 0)
			r = -1;
	}
	if (r == 0) {
		rest(RUN_IN_NS);
		uint64_t before = sum(counts, side);
		int64_t start = bench_now();
		rest(BENCH_ROUND_NS);
		uint64_t after = sum(counts, side);
		int64_t ns = bench_now() - start;
		*ret_value = (double)(after - before) * shapes[variant].unit * 1e9 / (double)ns;
		if (after == before)
			r = bench_fail("nothing came through");
	}
	for (int i = 0; i < n; i++)
		bench_reap(pids[i]);
	kind->drop(queue);
	munmap(counts, sizeof(struct count) * 2);
	return r;
}

/* --- libmp ------------------------------------------------------------------------------------ */

static int make_mp(int variant, void **ret_queue)
{
	bool large = variant >= LARGE_COPY;
	int r = mp_queue_new(
		MP_QUEUE_OPTIONS(.maxsize = large ? 4 : SLOTS), (mp_queue **)ret_queue);

	return r < 0 ? bench_fail_mp("mp_queue_new", r) : 0;
}

static void produce_mp(void *q, int variant)
{
	char *data = calloc(1, LARGE);
	struct iovec batch[BATCH];
	size_t size = variant >= LARGE_COPY ? LARGE : SMALL;

	for (int i = 0; i < BATCH; i++)
		batch[i] = (struct iovec){data, SMALL};
	if (variant == BATCHES) {
		while (mp_queue_put_many_bytes(q, batch, BATCH, MP_FOREVER) == BATCH)
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

static void consume_mp(void *q, int variant, struct count *count)
{
	char *buffer = calloc(1, LARGE);
	struct iovec batch[BATCH];
	const void *data;
	size_t size;

	for (;;) {
		int n = 1;
		if (variant == BATCHES) {
			n = mp_queue_get_many_bytes(q, MP_FOREVER, buffer, LARGE, batch, BATCH);
			if (n < 0)
				return;
		} else if (variant == LARGE_PEEK) {
			if (mp_queue_peek(q, MP_FOREVER, &data, &size) < 0)
				return;
			touch(data, size);
			if (mp_queue_consume(q) < 0)
				return;
		} else if (mp_queue_get_bytes_into(q, buffer, LARGE, MP_FOREVER, &size) < 0) {
			return;
		}
		note(count, (uint64_t)n);
	}
}

static void drop_mp(void *q)
{
	mp_queue_close(q);
}

static int run_mp(struct bench *b, double *ret_value)
{
	static const struct kind kind = {make_mp, produce_mp, consume_mp, drop_mp};

	return run_kind(&kind, b->variant, ret_value);
}

/* --- floor: slots of one size, one producer, one consumer, nothing but spinning ----------------- */

struct ring {
	_Alignas(128) _Atomic uint64_t tail;
	_Alignas(128) _Atomic uint64_t head;
	_Alignas(128) char slots[SLOTS][SMALL];
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
	char data[SMALL] = "";
	uint64_t head = 0;

	(void)variant;
	for (uint64_t tail = 0;; tail++) {
		while (tail - head == SLOTS)
			head = atomic_load_explicit(&ring->head, memory_order_acquire);
		memcpy(ring->slots[tail % SLOTS], data, SMALL);
		atomic_store_explicit(&ring->tail, tail + 1, memory_order_release);
	}
}

static void consume_ring(void *queue, int variant, struct count *count)
{
	struct ring *ring = queue;
	char data[SMALL];
	uint64_t tail = 0;

	(void)variant;
	for (uint64_t head = 0;; head++) {
		while (tail == head)
			tail = atomic_load_explicit(&ring->tail, memory_order_acquire);
		memcpy(data, ring->slots[head % SLOTS], SMALL);
		__asm__ volatile("" : : "r"(data) : "memory");
		atomic_store_explicit(&ring->head, head + 1, memory_order_release);
		note(count, 1);
	}
}

static void drop_ring(void *queue)
{
	munmap(queue, sizeof(struct ring));
}

static int run_ring(struct bench *b, double *ret_value)
{
	static const struct kind kind = {make_ring, produce_ring, consume_ring, drop_ring};

	return run_kind(&kind, b->variant, ret_value);
}

/* --- floor of large ones: memcpy ----------------------------------------------------------------- */

static int copy_large(void *arg)
{
	char *memory = arg;

	memcpy(memory, memory + LARGE, LARGE);
	__asm__ volatile("" : : "r"(memory) : "memory");
	return 0;
}

static int run_memcpy(struct bench *b, double *ret_value)
{
	char *memory = malloc(2 * (size_t)LARGE);

	(void)b;
	if (!memory)
		return bench_fail("no memory");
	memset(memory, 1, 2 * (size_t)LARGE);
	int r = bench_rate(copy_large, memory, LARGE, ret_value);
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
	char data[SMALL] = "";

	(void)variant;
	while (bench_write(((int *)queue)[1], data, sizeof(data)) == 0)
		;
}

static void consume_pipe(void *queue, int variant, struct count *count)
{
	char data[SMALL];

	(void)variant;
	while (bench_read(((int *)queue)[0], data, sizeof(data)) == 0)
		note(count, 1);
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
	static const struct kind kind = {make_pipe, produce_pipe, consume_pipe, drop_pipe};

	return run_kind(&kind, b->variant, ret_value);
}

const struct bench bench_queue[] = {
	{"queue_64B_1p1c", "libmp", NULL, run_mp, NULL, ONE, NULL},
	{"queue_64B_1p1c", "floor", NULL, run_ring, NULL, ONE, NULL},
	{"queue_64B_1p1c", "pipe", NULL, run_pipe, NULL, ONE, NULL},
	{"queue_64B_2p2c", "libmp", NULL, run_mp, NULL, TWO, NULL},
	{"queue_64B_2p2c", "pipe", NULL, run_pipe, NULL, TWO, NULL},
	{"queue_64B_batch", "libmp", NULL, run_mp, NULL, BATCHES, NULL},
	{"queue_64B_batch", "one_by_one", NULL, run_mp, NULL, ONE, NULL},
	{"queue_1MiB", "libmp", NULL, run_mp, NULL, LARGE_COPY, NULL},
	{"queue_1MiB", "floor", NULL, run_memcpy, NULL, 0, NULL},
	{"queue_1MiB_peek", "libmp", NULL, run_mp, NULL, LARGE_PEEK, NULL},
	{"queue_1MiB_peek", "floor", NULL, run_memcpy, NULL, 0, NULL},
	{NULL, NULL, NULL, NULL, NULL, 0, NULL},
};
