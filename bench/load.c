/* SPDX-License-Identifier: MIT */
/*
 * Pipelined load for a server: one process with many connections, each with a batch of requests
 * under way, which is sent again as it stands when all of its replies have come. The requests are
 * encoded once, before; so it is the server that is measured, and hardly this.
 */
#include <config.h>

#include "bench/bench.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

struct client {
	int fd;
	void *batch;
	size_t batch_size;
	unsigned waiting; /* replies of the batch that have not come */
	size_t have;      /* bytes of replies, the last one in part */
	uint8_t in[8192];
};

struct bench_load {
	int epoll;
	bench_reply *reply;
	int n;
	struct client *clients[BENCH_CLIENTS];
};

int bench_load_new(bench_reply *reply, struct bench_load **ret_load)
{
	struct bench_load *load = calloc(1, sizeof(*load));

	if (!load)
		return bench_fail("out of memory");
	load->reply = reply;
	load->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (load->epoll < 0) {
		free(load);
		return bench_fail("epoll_create1: %s", strerror(errno));
	}
	*ret_load = load;
	return 0;
}

int bench_load_add(struct bench_load *load, int fd, const void *batch, size_t size)
{
	struct client *c = load->n < BENCH_CLIENTS ? calloc(1, sizeof(*c)) : NULL;
	struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};

	if (!c || !(c->batch = malloc(size))) {
		free(c);
		return bench_fail("out of memory");
	}
	memcpy(c->batch, batch, size);
	c->batch_size = size;
	c->fd = fd;
	load->clients[load->n++] = c;
	if (epoll_ctl(load->epoll, EPOLL_CTL_ADD, fd, &event) < 0)
		return bench_fail("epoll_ctl: %s", strerror(errno));
	return 0;
}

static int send_batch(struct client *c)
{
	c->waiting = BENCH_PIPELINE;
	return bench_write(c->fd, c->batch, c->batch_size);
}

/* What has come on one connection; how many replies are complete now. */
static int take_replies(struct bench_load *load, struct client *c)
{
	ssize_t n = read(c->fd, c->in + c->have, sizeof(c->in) - c->have);
	size_t at = 0;
	int replies = 0;

	if (n <= 0)
		return bench_fail("the server has ended the connection");
	c->have += (size_t)n;
	while (at < c->have) {
		int length = load->reply(c->in + at, c->have - at);

		if (length < 0 || (length > 0 && c->waiting == 0))
			return bench_fail("the server gave a wrong reply");
		if (length == 0)
			break;
		at += (size_t)length;
		c->waiting--;
		replies++;
	}
	c->have -= at;
	memmove(c->in, c->in + at, c->have);
	return replies;
}

int bench_load_round(struct bench_load *load, double *ret_per_second)
{
	struct epoll_event events[BENCH_CLIENTS];
	int64_t start = bench_now();
	int64_t end = start + BENCH_ROUND_NS;
	uint64_t done = 0;
	int busy = load->n;

	for (int i = 0; i < load->n; i++) {
		if (send_batch(load->clients[i]) < 0)
			return -1;
	}
	while (busy > 0) {
		int ready = epoll_wait(load->epoll, events, BENCH_CLIENTS, 10000);
		bool over = bench_now() >= end;

		if (ready <= 0)
			return bench_fail("the server does not answer");
		for (int i = 0; i < ready; i++) {
			struct client *c = events[i].data.ptr;
			int n = take_replies(load, c);

			if (n < 0)
				return n;
			done += (uint64_t)n;
			if (c->waiting > 0)
				continue;
			if (over)
				busy--;
			else if (send_batch(c) < 0)
				return -1;
		}
	}
	*ret_per_second = (double)done * 1e9 / (double)(bench_now() - start);
	return 0;
}

void bench_load_free(struct bench_load *load)
{
	if (!load)
		return;
	for (int i = 0; i < load->n; i++) {
		close(load->clients[i]->fd);
		free(load->clients[i]->batch);
		free(load->clients[i]);
	}
	close(load->epoll);
	free(load);
}
