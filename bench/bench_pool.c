/* SPDX-License-Identifier: MIT */
/* Many small tasks for two workers, and one empty call to another process and back. */
#include <config.h>

#include "bench/bench.h"

#include <errno.h>
#include <fcntl.h>
#include <mp.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define WORKERS 2
#define TASKS 1000

/* --- libmp ------------------------------------------------------------------------------------ */

struct pool {
	mp_pool *pool;
	mp_obj items[TASKS];
	mp_obj results[TASKS];
	mp_future *futures[TASKS];
};

static int square(int argc, const mp_obj *argv, mp_obj *ret_result)
{
	int64_t n = mp_obj_i64(&argv[0]);

	(void)argc;
	*ret_result = mp_i64(n * n);
	return 0;
}

static int nothing(int argc, const mp_obj *argv, mp_obj *ret_result)
{
	(void)argc;
	(void)argv;
	(void)ret_result;
	return 0;
}

static int map_all(void *arg)
{
	struct pool *p = arg;
	int r = mp_pool_map(p->pool, square, p->items, TASKS, 1, p->results);

	if (r < 0)
		return bench_fail_mp("mp_pool_map", r);
	for (int64_t i = 0; i < TASKS; i++) {
		if (mp_obj_i64(&p->results[i]) != i * i)
			return bench_fail("a wrong result");
		mp_obj_free(&p->results[i]);
	}
	return 0;
}

static int submit_all(void *arg)
{
	struct pool *p = arg;

	for (int64_t i = 0; i < TASKS; i++) {
		int r = mp_pool_submit(p->pool, square, MP_ARGS(mp_i64(i)), &p->futures[i]);
		if (r < 0)
			return bench_fail_mp("mp_pool_submit", r);
	}
	for (int64_t i = 0; i < TASKS; i++) {
		mp_obj result;
		int r = mp_future_result(p->futures[i], MP_FOREVER, &result);

		if (r < 0)
			return bench_fail_mp("mp_future_result", r);
		if (mp_obj_i64(&result) != i * i)
			return bench_fail("a wrong result");
		mp_obj_free(&result);
		mp_future_close(p->futures[i]);
	}
	return 0;
}

static int apply(void *arg)
{
	struct pool *p = arg;
	mp_future *future;
	int r = mp_pool_submit(p->pool, nothing, mp_nil(), &future);

	if (r < 0)
		return bench_fail_mp("mp_pool_submit", r);
	r = mp_future_result(future, MP_FOREVER, NULL);
	mp_future_close(future);
	return r < 0 ? bench_fail_mp("mp_future_result", r) : 0;
}

static int setup_pool(struct bench *b)
{
	struct pool *p = calloc(1, sizeof(*p));

	if (!p)
		return bench_fail("out of memory");
	int r = mp_pool_new(MP_POOL_OPTIONS(.workers = WORKERS), &p->pool);
	if (r < 0)
		return bench_fail_mp("mp_pool_new", r);
	for (int64_t i = 0; i < TASKS; i++)
		p->items[i] = mp_i64(i);
	b->state = p;
	return 0;
}

static void teardown_pool(struct bench *b)
{
	struct pool *p = b->state;

	mp_pool_close(p->pool);
	free(p);
}

static int run_map(struct bench *b, double *ret_value)
{
	return bench_rate(map_all, b->state, TASKS, ret_value);
}

static int run_submit(struct bench *b, double *ret_value)
{
	return bench_rate(submit_all, b->state, TASKS, ret_value);
}

static int run_apply(struct bench *b, double *ret_value)
{
	return bench_time(apply, b->state, ret_value);
}

/* --- floor: two processes that claim the items of a shared array ------------------------------- */

struct shared {
	_Atomic uint32_t claimed; /* by fetch-and-add: each value is one worker's task */
	_Atomic uint32_t finished;
	int64_t items[TASKS];
	int64_t results[TASKS];
};

struct claimers {
	struct shared *shared;
	int go; /* a byte for each worker starts a round of TASKS; it answers with one */
	int done;
	pid_t pids[WORKERS];
};

static void claim(struct shared *s)
{
	for (;;) {
		uint32_t i = atomic_fetch_add_explicit(&s->claimed, 1, memory_order_relaxed);

		if (i >= TASKS)
			return;
		s->results[i] = s->items[i] * s->items[i];
		atomic_fetch_add_explicit(&s->finished, 1, memory_order_release);
	}
}

static int claimer(struct shared *s, int go, int done)
{
	char byte;

	while (bench_read(go, &byte, 1) == 0) {
		claim(s);
		if (bench_write(done, &byte, 1) < 0)
			return 1;
	}
	return 0;
}

static int claim_all(void *arg)
{
	struct claimers *c = arg;
	char bytes[WORKERS] = "";

	atomic_store(&c->shared->finished, 0);
	atomic_store(&c->shared->claimed, 0);
	if (bench_write(c->go, bytes, WORKERS) < 0 || bench_read(c->done, bytes, WORKERS) < 0)
		return -1;
	if (atomic_load_explicit(&c->shared->finished, memory_order_acquire) != TASKS)
		return bench_fail("%u of %d tasks done", atomic_load(&c->shared->finished), TASKS);
	return 0;
}

static int setup_claimers(struct bench *b)
{
	struct claimers *c = calloc(1, sizeof(*c));
	int go[2], done[2];

	if (!c || pipe2(go, O_CLOEXEC) < 0 || pipe2(done, O_CLOEXEC) < 0)
		return bench_fail("no memory or pipe: %s", strerror(errno));
	c->shared = mmap(NULL, sizeof(*c->shared), PROT_READ | PROT_WRITE,
		MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (c->shared == MAP_FAILED)
		return bench_fail("mmap: %s", strerror(errno));
	for (int64_t i = 0; i < TASKS; i++)
		c->shared->items[i] = i;
	c->go = go[1];
	c->done = done[0];
	for (int i = 0; i < WORKERS; i++) {
		c->pids[i] = bench_fork();
		if (c->pids[i] < 0)
			return -1;
		if (c->pids[i] == 0)
			_exit(claimer(c->shared, go[0], done[1]));
	}
	b->state = c;
	return 0;
}

static void teardown_claimers(struct bench *b)
{
	struct claimers *c = b->state;

	for (int i = 0; i < WORKERS; i++)
		bench_reap(c->pids[i]);
}

static int run_claimers(struct bench *b, double *ret_value)
{
	return bench_rate(claim_all, b->state, TASKS, ret_value);
}

/* --- pipe: each task and each result is one message of 64 bytes --------------------------------- */

struct pipes {
	int tasks;
	int results;
	pid_t pids[WORKERS];
};

static int pipe_worker(int tasks, int results)
{
	int64_t message[8];

	while (bench_read(tasks, message, sizeof(message)) == 0) {
		message[1] = message[0] * message[0];
		if (bench_write(results, message, sizeof(message)) < 0)
			return 1;
	}
	return 0;
}

/* TASKS messages are 62.5 KiB and fit into the pipes as they are: nobody can block for good. */
static int pipe_submit_all(void *arg)
{
	struct pipes *p = arg;
	int64_t message[8] = {0};

	for (int64_t i = 0; i < TASKS; i++) {
		message[0] = i;
		if (bench_write(p->tasks, message, sizeof(message)) < 0)
			return -1;
	}
	for (int i = 0; i < TASKS; i++) {
		if (bench_read(p->results, message, sizeof(message)) < 0)
			return -1;
		if (message[1] != message[0] * message[0])
			return bench_fail("a wrong result");
	}
	return 0;
}

static int setup_pipes(struct bench *b)
{
	struct pipes *p = calloc(1, sizeof(*p));
	int tasks[2], results[2];

	if (!p || pipe2(tasks, O_CLOEXEC) < 0 || pipe2(results, O_CLOEXEC) < 0)
		return bench_fail("no memory or pipe: %s", strerror(errno));
	p->tasks = tasks[1];
	p->results = results[0];
	for (int i = 0; i < WORKERS; i++) {
		p->pids[i] = bench_fork();
		if (p->pids[i] < 0)
			return -1;
		if (p->pids[i] == 0)
			_exit(pipe_worker(tasks[0], results[1]));
	}
	b->state = p;
	return 0;
}

static void teardown_pipes(struct bench *b)
{
	struct pipes *p = b->state;

	for (int i = 0; i < WORKERS; i++)
		bench_reap(p->pids[i]);
}

static int run_pipes(struct bench *b, double *ret_value)
{
	return bench_rate(pipe_submit_all, b->state, TASKS, ret_value);
}

/* --- floor of a call: 64 bytes over a socketpair and back --------------------------------------- */

struct call {
	int fd;
	pid_t pid;
};

static int call(void *arg)
{
	const struct call *c = arg;
	char message[BENCH_ECHO_SIZE] = "";

	if (bench_write(c->fd, message, sizeof(message)) < 0)
		return -1;
	return bench_read(c->fd, message, sizeof(message));
}

static int setup_call(struct bench *b)
{
	struct call *c = calloc(1, sizeof(*c));

	if (!c)
		return bench_fail("out of memory");
	c->pid = bench_fork_peer(bench_echo, &c->fd);
	b->state = c;
	return c->pid < 0 ? -1 : 0;
}

static void teardown_call(struct bench *b)
{
	struct call *c = b->state;

	bench_reap(c->pid);
	free(c);
}

static int run_call(struct bench *b, double *ret_value)
{
	return bench_time(call, b->state, ret_value);
}

const struct bench bench_pool[] = {
	{"pool_map_chunk1", "libmp", setup_pool, run_map, teardown_pool, 0, NULL},
	{"pool_submit", "libmp", setup_pool, run_submit, teardown_pool, 0, NULL},
	{"pool_apply_rtt", "libmp", setup_pool, run_apply, teardown_pool, 0, NULL},
	{"pool_map_chunk1", "floor", setup_claimers, run_claimers, teardown_claimers, 0, NULL},
	{"pool_submit", "pipe", setup_pipes, run_pipes, teardown_pipes, 0, NULL},
	{"pool_apply_rtt", "floor", setup_call, run_call, teardown_call, 0, NULL},
	{NULL, NULL, NULL, NULL, NULL, 0, NULL},
};
