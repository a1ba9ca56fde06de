/* SPDX-License-Identifier: MIT */
/* Messages over connections, one at a time. */
#include <config.h>

#include "bench/bench.h"

#include <mp.h>
#include <linux/futex.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define SIZE 64

struct talk {
	pid_t pid;
	int fd;                    /* the floor's */
	mp_connection *connection; /* libmp's */
};

/* The variant. */
enum { SIDE_BY_SIDE, ON_ONE_CPU };

static int place(const struct bench *b, pid_t other)
{
	if (b->variant == SIDE_BY_SIDE)
		return bench_side_by_side(other);
	return bench_place(0, 0) < 0 ? -1 : bench_place(other, 0);
}

/* --- libmp ------------------------------------------------------------------------------------ */

/* In the other process: send everything back, until the end. */
static int echo(mp_connection *c)
{
	char message[SIZE];
	size_t size;

	while (mp_connection_recv_bytes_into(c, message, SIZE, MP_FOREVER, &size) == 0) {
		if (mp_connection_send_bytes(c, message, size, MP_FOREVER) < 0)
			return 1;
	}
	return 0;
}

static int talk(void *arg)
{
	const struct talk *t = arg;
	char message[SIZE] = "";
	size_t size;

	int r = mp_connection_send_bytes(t->connection, message, SIZE, MP_FOREVER);
	if (r == 0)
		r = mp_connection_recv_bytes_into(t->connection, message, SIZE, MP_FOREVER, &size);
	return r < 0 ? bench_fail_mp("a message and its answer", r) : 0;
}

static int setup_with(struct bench *b,
	int (*make)(const mp_connection_options *, mp_connection **, mp_connection **))
{
	struct talk *t = calloc(1, sizeof(*t));
	mp_connection *there;

	if (!t)
		return bench_fail("out of memory");
	int r = make(NULL, &t->connection, &there);
	if (r < 0)
		return bench_fail_mp("a pair of connections", r);
	t->pid = fork();
	if (t->pid == 0) {
		mp_connection_close(t->connection);
		_exit(echo(there));
	}
	mp_connection_close(there);
	b->state = t;
	return t->pid < 0 ? bench_fail("fork failed") : place(b, t->pid);
}

static int setup_talk(struct bench *b)
{
	return setup_with(b, mp_connection_pair);
}

static int setup_pipe(struct bench *b)
{
	return setup_with(b, mp_pipe);
}

static void teardown_talk(struct bench *b)
{
	struct talk *t = b->state;

	mp_connection_close(t->connection);
	bench_reap(t->pid);
	free(t);
}

static int run_talk(struct bench *b, double *ret_value)
{
	return bench_time(talk, b->state, ret_value);
}

/* --- floor: the same bytes over the bare socket ----------------------------------------------- */

static int call(void *arg)
{
	const struct talk *t = arg;
	char message[BENCH_ECHO_SIZE] = "";

	if (bench_write(t->fd, message, sizeof(message)) < 0)
		return -1;
	return bench_read(t->fd, message, sizeof(message));
}

static int setup_call(struct bench *b)
{
	struct talk *t = calloc(1, sizeof(*t));

	if (!t)
		return bench_fail("out of memory");
	t->pid = bench_fork_peer(bench_echo, &t->fd);
	b->state = t;
	return t->pid < 0 ? -1 : place(b, t->pid);
}

static void teardown_call(struct bench *b)
{
	struct talk *t = b->state;

	close(t->fd);
	bench_reap(t->pid);
	free(t);
}

static int run_call(struct bench *b, double *ret_value)
{
	return bench_time(call, b->state, ret_value);
}

/* --- floor of the pipe: two words in shared memory, and no sleep ever ------------------------------ */

struct ball {
	_Alignas(64) _Atomic uint32_t there;
	_Alignas(64) _Atomic uint32_t back;
};

struct game {
	pid_t pid;
	struct ball *ball;
	uint32_t round;
};

static int hit_back(struct ball *ball)
{
	for (uint32_t round = 1;; round++) {
		uint32_t seen;
		while ((seen = atomic_load_explicit(&ball->there, memory_order_acquire)) != round) {
			if (seen == UINT32_MAX)
				return 0;
		}
		atomic_store_explicit(&ball->back, round, memory_order_release);
	}
}

static int hit(void *arg)
{
	struct game *g = arg;

	atomic_store_explicit(&g->ball->there, ++g->round, memory_order_release);
	while (atomic_load_explicit(&g->ball->back, memory_order_acquire) != g->round)
		;
	return 0;
}

/* The same where both take turns: who waits sleeps on the word. */

static void hand_over(_Atomic uint32_t *word, uint32_t round)
{
	atomic_store(word, round);
	syscall(SYS_futex, word, FUTEX_WAKE, 1, NULL, NULL, 0);
}

/* False: the end. */
static bool take(_Atomic uint32_t *word, uint32_t round)
{
	for (uint32_t seen; (seen = atomic_load(word)) != round;) {
		if (seen == UINT32_MAX)
			return false;
		syscall(SYS_futex, word, FUTEX_WAIT, seen, NULL, NULL, 0);
	}
	return true;
}

static int hit_back_sleeping(struct ball *ball)
{
	for (uint32_t round = 1; take(&ball->there, round); round++)
		hand_over(&ball->back, round);
	return 0;
}

static int hit_sleeping(void *arg)
{
	struct game *g = arg;

	hand_over(&g->ball->there, ++g->round);
	return take(&g->ball->back, g->round) ? 0 : -1;
}

static int setup_game(struct bench *b)
{
	struct game *g = calloc(1, sizeof(*g));

	if (!g)
		return bench_fail("out of memory");
	g->ball = mmap(
		NULL, sizeof(*g->ball), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (g->ball == MAP_FAILED)
		return bench_fail("mmap failed");
	g->pid = fork();
	if (g->pid == 0)
		_exit(b->variant == ON_ONE_CPU ? hit_back_sleeping(g->ball) : hit_back(g->ball));
	b->state = g;
	return g->pid < 0 ? bench_fail("fork failed") : place(b, g->pid);
}

static void teardown_game(struct bench *b)
{
	struct game *g = b->state;

	hand_over(&g->ball->there, UINT32_MAX);
	bench_reap(g->pid);
	munmap(g->ball, sizeof(*g->ball));
	free(g);
}

static int run_game(struct bench *b, double *ret_value)
{
	return bench_time(b->variant == ON_ONE_CPU ? hit_sleeping : hit, b->state, ret_value);
}

const struct bench bench_conn[] = {
	{"pipe_rtt_64B", "libmp", setup_pipe, run_talk, teardown_talk, SIDE_BY_SIDE, NULL},
	{"pipe_rtt_64B", "floor", setup_game, run_game, teardown_game, SIDE_BY_SIDE, NULL},
	{"pipe_rtt_64B", "socketpair", setup_call, run_call, teardown_call, SIDE_BY_SIDE, NULL},
	{"pipe_rtt_64B_sleep", "libmp", setup_pipe, run_talk, teardown_talk, ON_ONE_CPU, NULL},
	{"pipe_rtt_64B_sleep", "floor", setup_game, run_game, teardown_game, ON_ONE_CPU, NULL},
	{"pipe_rtt_64B_sleep", "socketpair", setup_call, run_call, teardown_call, ON_ONE_CPU, NULL},
	{"conn_rtt_64B", "libmp", setup_talk, run_talk, teardown_talk, SIDE_BY_SIDE, NULL},
	{"conn_rtt_64B", "floor", setup_call, run_call, teardown_call, SIDE_BY_SIDE, NULL},
	{NULL, NULL, NULL, NULL, NULL, 0, NULL},
};
