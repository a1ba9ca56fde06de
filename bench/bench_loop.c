/* SPDX-License-Identifier: MIT */
/* Pools: a parallel loop, a call to workers that sleep, and what a queued task costs. */
#include <config.h>

#include "bench/bench.h"
#include "bench/work.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <malloc.h>
#include <mp.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define WORKERS 2

/* --- a loop ------------------------------------------------------------------------------------- */

struct loop {
	mp_pool *pool;
	uint64_t *cells; /* shared */
};

static int body(const mp_range *range)
{
	uint64_t *cells = range->context;

	for (size_t i = range->begin; i < range->end; i++)
		cells[i] = bench_work(cells[i]);
	return 0;
}

static int loop_once(void *arg)
{
	struct loop *l = arg;
	int r = mp_pool_for(l->pool, body, BENCH_LOOP, l->cells, NULL);

	return r < 0 ? bench_fail_mp("mp_pool_for", r) : 0;
}

static int loop_alone(void *arg)
{
	struct loop *l = arg;

	for (int i = 0; i < BENCH_LOOP; i++)
		l->cells[i] = bench_work(l->cells[i]);
	return 0;
}

static int setup_loop(struct bench *b)
{
	struct loop *l = calloc(1, sizeof(*l));

	if (!l)
		return bench_fail("out of memory");
	l->cells = mmap(NULL, BENCH_LOOP * sizeof(*l->cells), PROT_READ | PROT_WRITE,
		MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (l->cells == MAP_FAILED)
		return bench_fail("mmap: %s", strerror(errno));
	int r = mp_pool_new(MP_POOL_OPTIONS(.workers = WORKERS), &l->pool);
	if (r < 0)
		return bench_fail_mp("mp_pool_new", r);
	b->state = l;
	return 0;
}

static void teardown_loop(struct bench *b)
{
	struct loop *l = b->state;

	mp_pool_close(l->pool);
	munmap(l->cells, BENCH_LOOP * sizeof(*l->cells));
	free(l);
}

static int run_loop(struct bench *b, double *ret_value)
{
	return bench_rate(loop_once, b->state, BENCH_LOOP, ret_value);
}

static int run_alone(struct bench *b, double *ret_value)
{
	return bench_rate(loop_alone, b->state, BENCH_LOOP, ret_value);
}

/* --- a call to who sleeps ------------------------------------------------------------------------- */

#define CALLS 100
#define PAUSE_US 3000

static int nothing(int argc, const mp_obj *argv, mp_obj *ret)
{
	(void)argc, (void)argv, (void)ret;
	return 0;
}

/* Mean time of `call`, each after a pause in which the other side falls asleep. */
static int time_calls(int (*call)(void *), void *arg, double *ret_us)
{
	int64_t sum = 0;

	for (int i = 0; i < CALLS; i++) {
		usleep(PAUSE_US);
		int64_t begin = bench_now();
		if (call(arg) < 0)
			return -1;
		sum += bench_now() - begin;
	}
	*ret_us = (double)sum / CALLS / 1000;
	return 0;
}

static int apply(void *pool)
{
	int r = mp_pool_apply(pool, nothing, mp_nil(), MP_FOREVER, NULL);

	return r < 0 ? bench_fail_mp("mp_pool_apply", r) : 0;
}

static int setup_pool(struct bench *b)
{
	mp_pool *pool;
	int r = mp_pool_new(MP_POOL_OPTIONS(.workers = WORKERS), &pool);

	b->state = pool;
	return r < 0 ? bench_fail_mp("mp_pool_new", r) : apply(pool);
}

static void teardown_pool(struct bench *b)
{
	mp_pool_close(b->state);
}

static int run_apply(struct bench *b, double *ret_value)
{
	return time_calls(apply, b->state, ret_value);
}

/* The floor: one futex wakes the other side, another one wakes us. */
struct words {
	_Atomic uint32_t question;
	_Alignas(64) _Atomic uint32_t answer;
	pid_t pid;
};

static void sleep_while(_Atomic uint32_t *word, uint32_t value)
{
	while (atomic_load(word) == value)
		syscall(SYS_futex, word, FUTEX_WAIT, value, NULL, NULL, 0);
}

static void change(_Atomic uint32_t *word, uint32_t value)
{
	atomic_store(word, value);
	syscall(SYS_futex, word, FUTEX_WAKE, 1, NULL, NULL, 0);
}

static int ask(void *arg)
{
	struct words *w = arg;
	uint32_t n = atomic_load(&w->question);

	change(&w->question, n + 1);
	sleep_while(&w->answer, n);
	return 0;
}

static int setup_words(struct bench *b)
{
	struct words *w =
		mmap(NULL, sizeof(*w), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (w == MAP_FAILED)
		return bench_fail("mmap: %s", strerror(errno));
	w->pid = bench_fork();
	if (w->pid < 0)
		return -1;
	for (uint32_t n = 0; w->pid == 0; n++) {
		sleep_while(&w->question, n);
		change(&w->answer, n + 1);
	}
	b->state = w;
	return 0;
}

static void teardown_words(struct bench *b)
{
	struct words *w = b->state;

	kill(w->pid, SIGKILL);
	bench_reap(w->pid);
	munmap(w, sizeof(*w));
}

static int run_words(struct bench *b, double *ret_value)
{
	return time_calls(ask, b->state, ret_value);
}

/* --- memory ------------------------------------------------------------------------------------- */

#define QUEUED 1000000

static int wait_for_byte(int argc, const mp_obj *argv, mp_obj *ret)
{
	char byte;

	(void)argc, (void)ret;
	return bench_read(mp_obj_fd(&argv[0]), &byte, 1);
}

/* Everything resident that comes with them: slots, ring, futures, tables. */
static int run_queued(struct bench *b, double *ret_value)
{
	mp_future **futures = malloc(QUEUED * sizeof(mp_future *));
	mp_pool *pool;
	int ends[2];

	(void)b;
	if (!futures || pipe2(ends, O_CLOEXEC) < 0)
		return bench_fail("no memory or pipe");
	memset(futures, 0xff, QUEUED * sizeof(mp_future *));
	long before = bench_resident(getpid());
	int r = mp_pool_new(MP_POOL_OPTIONS(.workers = 1, .max_pending = QUEUED + 1), &pool);
	if (r < 0)
		return bench_fail_mp("mp_pool_new", r);
	r = mp_pool_submit(pool, wait_for_byte, MP_ARGS(mp_fd(ends[0])), NULL);
	for (int64_t i = 0; i < QUEUED && r == 0; i++)
		r = mp_pool_submit(pool, nothing, MP_ARGS(mp_i64(i)), &futures[i]);
	if (r < 0)
		return bench_fail_mp("mp_pool_submit", r);
	*ret_value = (double)(bench_resident(getpid()) - before) / QUEUED;
	mp_pool_close(pool);
	for (int i = 0; i < QUEUED; i++)
		mp_future_close(futures[i]);
	close(ends[0]);
	close(ends[1]);
	free(futures);
	malloc_trim(0); /* or the next round would find its memory here */
	return 0;
}

const struct bench bench_loops[] = {
	{"parallel_for", "libmp", setup_loop, run_loop, teardown_loop, 0, NULL},
	{"parallel_for", "one_process", setup_loop, run_alone, teardown_loop, 0, NULL},
	{"pool_apply_asleep", "libmp", setup_pool, run_apply, teardown_pool, 0, NULL},
	{"pool_apply_asleep", "floor", setup_words, run_words, teardown_words, 0, NULL},
	{"pool_queued_task", "libmp", NULL, run_queued, NULL, 0, NULL},
	{NULL, NULL, NULL, NULL, NULL, 0, NULL},
};
