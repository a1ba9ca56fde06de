/* SPDX-License-Identifier: MIT */
/* Messages over connections, one at a time. */
#include <config.h>

#include "bench/bench.h"

#include <mp.h>
#include <stdlib.h>
#include <unistd.h>

#define SIZE 64

struct talk {
	pid_t pid;
	int fd;                    /* the floor's */
	mp_connection *connection; /* libmp's */
};

/* --- libmp ------------------------------------------------------------------------------------ */

/* In the other process: send everything back, until the end. */
static int echo(int fd)
{
	char message[SIZE];
	mp_connection *c;
	size_t size;

	if (mp_connection_from_fd(fd, NULL, &c) < 0)
		return 1;
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

static int setup_talk(struct bench *b)
{
	struct talk *t = calloc(1, sizeof(*t));
	mp_connection *there;

	if (!t)
		return bench_fail("out of memory");
	int r = mp_connection_pair(NULL, &t->connection, &there);
	if (r < 0)
		return bench_fail_mp("mp_connection_pair", r);
	t->pid = fork();
	if (t->pid == 0) {
		mp_connection_close(t->connection);
		_exit(echo(mp_connection_fileno(there)));
	}
	mp_connection_close(there);
	b->state = t;
	return t->pid < 0 ? bench_fail("fork failed") : 0;
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
	return t->pid < 0 ? -1 : 0;
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

const struct bench bench_conn[] = {
	{"conn_rtt_64B", "libmp", setup_talk, run_talk, teardown_talk, 0, NULL},
	{"conn_rtt_64B", "floor", setup_call, run_call, teardown_call, 0, NULL},
	{NULL, NULL, NULL, NULL, NULL, 0, NULL},
};
