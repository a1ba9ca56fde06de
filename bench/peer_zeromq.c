/* SPDX-License-Identifier: MIT */
/* ZeroMQ as a peer: an empty call to another process and back, by REQ and REP over ipc://. */
#include <config.h>

#include "bench/bench.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <zmq.h>

struct link {
	char directory[BENCH_DIRECTORY_SIZE];
	char address[96];
	void *context;
	void *socket;
	pid_t server;
};

static int serve(const char *address)
{
	char message[BENCH_ECHO_SIZE];
	void *socket = zmq_socket(zmq_ctx_new(), ZMQ_REP);

	if (!socket || zmq_bind(socket, address) < 0)
		return 1;
	for (;;) {
		int n = zmq_recv(socket, message, sizeof(message), 0);
		if (n < 0 || zmq_send(socket, message, (size_t)n, 0) < 0)
			return 1;
	}
}

static int call(void *arg)
{
	struct link *l = arg;
	char message[BENCH_ECHO_SIZE] = "";

	if (zmq_send(l->socket, message, sizeof(message), 0) < 0 ||
		zmq_recv(l->socket, message, sizeof(message), 0) != sizeof(message))
		return bench_fail("zeromq: %s", zmq_strerror(zmq_errno()));
	return 0;
}

static void teardown(struct bench *b)
{
	struct link *l = b->state;

	if (l->socket)
		zmq_close(l->socket);
	if (l->context)
		zmq_ctx_term(l->context);
	bench_reap(l->server);
	unlink(l->address + sizeof("ipc://") - 1);
	rmdir(l->directory);
	free(l);
}

static int open_link(struct link *l)
{
	const int no_linger = 0;
	const int patience_ms = 10000;

	/* Before the context exists: its threads do not survive a fork. */
	l->server = bench_fork();
	if (l->server == 0)
		_exit(serve(l->address));
	if (l->server < 0)
		return -1;
	l->context = zmq_ctx_new();
	l->socket = l->context ? zmq_socket(l->context, ZMQ_REQ) : NULL;
	if (!l->socket ||
		zmq_setsockopt(l->socket, ZMQ_LINGER, &no_linger, sizeof(no_linger)) < 0 ||
		zmq_setsockopt(l->socket, ZMQ_RCVTIMEO, &patience_ms, sizeof(patience_ms)) < 0 ||
		zmq_connect(l->socket, l->address) < 0)
		return bench_fail("zeromq: %s", zmq_strerror(zmq_errno()));
	return call(l);
}

static int setup(struct bench *b)
{
	struct link *l = calloc(1, sizeof(*l));
	int major, minor, patch;

	if (!l)
		return bench_fail("out of memory");
	zmq_version(&major, &minor, &patch);
	bench_set_version("%d.%d.%d", major, minor, patch);
	if (bench_directory(l->directory) < 0) {
		free(l);
		return -1;
	}
	snprintf(l->address, sizeof(l->address), "ipc://%s/socket", l->directory);
	b->state = l;
	int r = open_link(l);
	if (r < 0)
		teardown(b);
	return r;
}

static int run(struct bench *b, double *ret_value)
{
	return bench_time(call, b->state, ret_value);
}

int main(int argc, char **argv)
{
	static const struct bench benches[] = {
		{"pool_apply_rtt", "zeromq", setup, run, teardown, 0, NULL},
		{NULL, NULL, NULL, NULL, NULL, 0, NULL},
	};

	return bench_peer_main(argc, argv, benches);
}
