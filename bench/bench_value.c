/* SPDX-License-Identifier: MIT */
/* A shared counter, alone and against another process; blocks of a shared heap. */
#include <config.h>

#include "bench/bench.h"

#include <mp.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define BATCH 100

/* --- a counter ---------------------------------------------------------------------------------- */

struct counter {
	mp_value *value; /* NULL: the floor */
	_Atomic int64_t *word;
	pid_t peer;
};

static int add_by_libmp(void *arg)
{
	struct counter *c = arg;

	for (int i = 0; i < BATCH; i++) {
		if (mp_value_add_i64(c->value, 1, NULL) < 0)
			return -1;
	}
	return 0;
}

static int add_by_word(void *arg)
{
	struct counter *c = arg;

	for (int i = 0; i < BATCH; i++)
		atomic_fetch_add(c->word, 1);
	return 0;
}

static _Noreturn void add_for_ever(struct counter *c)
{
	for (;;)
		(void)(c->value ? add_by_libmp(c) : add_by_word(c));
}

/* variant: 1 with a second process that does the same all the time. */
static int setup_counter(struct bench *b)
{
	static struct counter c;

	if (strcmp(b->who, "libmp") == 0) {
		int r = mp_value_new('q', NULL, NULL, &c.value);
		if (r < 0)
			return bench_fail_mp("mp_value_new", r);
	} else {
		c.word =
			mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
		if (c.word == MAP_FAILED)
			return bench_fail("mmap");
	}
	b->state = &c;
	if (b->variant) {
		c.peer = bench_fork();
		if (c.peer < 0)
			return -1;
		if (c.peer == 0)
			add_for_ever(&c);
	}
	return 0;
}

static int run_counter(struct bench *b, double *ret_value)
{
	struct counter *c = b->state;
	int r = bench_time(c->value ? add_by_libmp : add_by_word, c, ret_value);

	*ret_value = *ret_value * 1000 / BATCH;
	return r;
}

static void teardown_counter(struct bench *b)
{
	struct counter *c = b->state;

	if (c->peer > 0)
		bench_reap(c->peer);
	mp_value_close(c->value);
}

/* --- a heap: blocks of 16 to 527 bytes, 64 alive ------------------------------------------------- */

#define LIVE 64

struct blocks {
	mp_heap *heap; /* NULL: malloc */
	void *live[LIVE];
	unsigned next;
};

static int churn(void *arg)
{
	struct blocks *b = arg;

	for (int i = 0; i < BATCH; i++) {
		unsigned n = b->next++ * 2654435761u;
		void **slot = &b->live[n >> 26];
		size_t size = 16 + (n >> 8 & 511);
		if (b->heap) {
			if (mp_heap_free(b->heap, *slot) < 0 ||
				mp_heap_alloc(b->heap, size, slot) < 0)
				return -1;
		} else {
			free(*slot);
			*slot = malloc(size);
		}
		*(volatile char *)*slot = 1;
	}
	return 0;
}

static int setup_blocks(struct bench *b)
{
	static struct blocks blocks;

	if (strcmp(b->who, "libmp") == 0) {
		int r = mp_heap_new(1 << 20, NULL, &blocks.heap);
		if (r < 0)
			return bench_fail_mp("mp_heap_new", r);
	}
	b->state = &blocks;
	return 0;
}

static int run_blocks(struct bench *b, double *ret_value)
{
	int r = bench_time(churn, b->state, ret_value);

	*ret_value = *ret_value * 1000 / BATCH;
	return r;
}

static void teardown_blocks(struct bench *b)
{
	struct blocks *blocks = b->state;

	for (int i = 0; i < LIVE && !blocks->heap; i++)
		free(blocks->live[i]);
	mp_heap_close(blocks->heap);
}

#define COUNTER(name, who, variant)                                                    \
	{                                                                              \
		name, who, setup_counter, run_counter, teardown_counter, variant, NULL \
	}

const struct bench bench_values[] = {
	COUNTER("value_add", "libmp", 0),
	COUNTER("value_add", "floor", 0),
	COUNTER("value_add_contended", "libmp", 1),
	COUNTER("value_add_contended", "floor", 1),
	{"heap_alloc_free", "libmp", setup_blocks, run_blocks, teardown_blocks, 0, NULL},
	{"heap_alloc_free", "malloc", setup_blocks, run_blocks, teardown_blocks, 0, NULL},
	{NULL, NULL, NULL, NULL, NULL, 0, NULL},
};
