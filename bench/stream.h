/* SPDX-License-Identifier: MIT */
/*
 * stream.h - how many messages a second go from producers to consumers, processes all of them.
 *
 * Each round makes a queue and its processes anew, lets them run in, counts what consumers got
 * during the round, and kills them.
 */
#ifndef BENCH_STREAM_H
#define BENCH_STREAM_H

#include <stdatomic.h>
#include <stdint.h>

#define STREAM_SMALL 64
#define STREAM_LARGE (1 << 20)
#define STREAM_SLOTS 1024 /* small messages that fit in a queue of any contender */
#define STREAM_BATCH 32

/* struct bench.variant: the row. */
enum stream_variant { STREAM_ONE, STREAM_TWO, STREAM_BATCHES, STREAM_COPY, STREAM_PEEK };

/* A consumer's own count, on a line of its own. */
struct stream_count {
	_Alignas(128) _Atomic uint64_t n;
};

static inline void stream_note(struct stream_count *count, uint64_t n)
{
	atomic_store_explicit(&count->n, atomic_load_explicit(&count->n, memory_order_relaxed) + n,
		memory_order_relaxed);
}

/* What runs in the processes, until they are killed; returning is a failure. */
struct stream {
	int (*make)(int variant, void **ret_queue);
	void (*produce)(void *queue, int variant);
	void (*consume)(void *queue, int variant, struct stream_count *count);
	void (*drop)(void *queue);
};

/* Producers, and as many consumers. */
int stream_side(int variant);
/* Messages a second, or bytes of large ones. */
int stream_run(const struct stream *stream, int variant, double *ret_value);

#endif
