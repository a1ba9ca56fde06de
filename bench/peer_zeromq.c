/* SPDX-License-Identifier: MIT */
/*
 * ZeroMQ as a peer, over ipc://: an empty call to another process and back, by REQ and REP; messages of
 * 64 bytes from producers to consumers, by PUSH and PULL.
 */
#include <config.h>

#include "bench/bench.h"
#include "bench/stream.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>
#include <zmq.h>

static void tell_version(void)
{
	int major, minor, patch;

	zmq_version(&major, &minor, &patch);
	bench_set_version("%d.%d.%d", major, minor, patch);
}

/* --- calls ---------------------------------------------------------------------------------------- */

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

	if (!l)
		return bench_fail("out of memory");
	tell_version();
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

/* --- streams -------------------------------------------------------------------------------------- */

/* Each producer has an address of its own, which all consumers connect to. */
struct place {
	_Atomic int producers; /* that have come so far */
	char directory[BENCH_DIRECTORY_SIZE];
};

static void address_of(const struct place *p, int producer, char address[96])
{
	snprintf(address, 96, "ipc://%s/%d", p->directory, producer);
}

static int make_place(int variant, void **ret_queue)
{
	struct place *p =
		mmap(NULL, sizeof(*p), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	(void)variant;
	if (p == MAP_FAILED)
		return bench_fail("no memory");
	if (bench_directory(p->directory) < 0) {
		munmap(p, sizeof(*p));
		return -1;
	}
	*ret_queue = p;
	return 0;
}

static void drop_place(void *queue)
{
	struct place *p = queue;
	char address[96];

	for (int i = 0; i < p->producers; i++) {
		address_of(p, i, address);
		unlink(address + sizeof("ipc://") - 1);
	}
	rmdir(p->directory);
	munmap(p, sizeof(*p));
}

static void *new_socket(int type, int option)
{
	const int slots = STREAM_SLOTS;
	void *socket = zmq_socket(zmq_ctx_new(), type);

	if (socket)
		zmq_setsockopt(socket, option, &slots, sizeof(slots));
	return socket;
}

static void produce(void *queue, int variant)
{
	struct place *p = queue;
	char data[STREAM_SMALL] = "";
	char address[96];
	void *socket = new_socket(ZMQ_PUSH, ZMQ_SNDHWM);

	(void)variant;
	address_of(p, p->producers++, address);
	if (!socket || zmq_bind(socket, address) < 0)
		return;
	while (zmq_send(socket, data, sizeof(data), 0) == sizeof(data))
		;
}

static void consume(void *queue, int variant, struct stream_count *count)
{
	const int again_ms = 1; /* the other side may not have bound yet */
	char data[STREAM_SMALL];
	char address[96];
	void *socket = new_socket(ZMQ_PULL, ZMQ_RCVHWM);

	if (!socket)
		return;
	zmq_setsockopt(socket, ZMQ_RECONNECT_IVL, &again_ms, sizeof(again_ms));
	for (int i = 0; i < stream_side(variant); i++) {
		address_of(queue, i, address);
		if (zmq_connect(socket, address) < 0)
			return;
	}
	while (zmq_recv(socket, data, sizeof(data), 0) == sizeof(data))
		stream_note(count, 1);
}

static int setup_stream(struct bench *b)
{
	(void)b;
	tell_version();
	return 0;
}

static int run_stream(struct bench *b, double *ret_value)
{
	static const struct stream stream = {make_place, produce, consume, drop_place};

	return stream_run(&stream, b->variant, ret_value);
}

int main(int argc, char **argv)
{
	static const struct bench benches[] = {
		{"pool_apply_rtt", "zeromq", setup, run, teardown, 0, NULL},
		{"queue_64B_1p1c", "zeromq", setup_stream, run_stream, NULL, STREAM_ONE, NULL},
		{"queue_64B_2p2c", "zeromq", setup_stream, run_stream, NULL, STREAM_TWO, NULL},
		{NULL, NULL, NULL, NULL, NULL, 0, NULL},
	};

	return bench_peer_main(argc, argv, benches);
}
