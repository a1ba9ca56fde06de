/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "bench/stream.h"

#include "bench/bench.h"

#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define RUN_IN_NS 50000000L

static const struct {
	int side; /* producers, and as many consumers */
	double unit;
} shapes[] = {[STREAM_ONE] = {1, 1},
	[STREAM_TWO] = {2, 1},
	[STREAM_BATCHES] = {1, 1},
	[STREAM_COPY] = {1, STREAM_LARGE},
	[STREAM_PEEK] = {1, STREAM_LARGE}};

int stream_side(int variant)
{
	return shapes[variant].side;
}

static uint64_t sum(struct stream_count *counts, int n)
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

int stream_run(const struct stream *stream, int variant, double *ret_value)
{
	int side = shapes[variant].side;
	struct stream_count *counts = mmap(NULL, sizeof(struct stream_count) * 2,
		PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	pid_t pids[4];
	void *queue = NULL;
	int n = 0;

	if (counts == MAP_FAILED)
		return bench_fail("no memory");
	int r = stream->make(variant, &queue);
	if (r != 0 || !queue) {
		munmap(counts, sizeof(struct stream_count) * 2);
		return r;
	}
	for (; r == 0 && n < 2 * side; n++) {
		pids[n] = bench_fork();
		if (pids[n] == 0) {
			if (bench_place_side(n, side) < 0)
				_exit(1);
			if (n < side)
				stream->produce(queue, variant);
			else
				stream->consume(queue, variant, &counts[n - side]);
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
	stream->drop(queue);
	munmap(counts, sizeof(struct stream_count) * 2);
	return r;
}
