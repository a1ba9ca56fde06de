/* SPDX-License-Identifier: MIT */
/* Waiting for many things: how long it takes to be told which of 1,000 connections is ready. */
#include <config.h>

#include "bench/bench.h"

#include <mp.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define MANY 1000
#define READY 617

enum way { WAITER, EPOLL, POLL, WAIT };

struct crowd {
	mp_connection *here[MANY];
	mp_connection *there[MANY];
	mp_waiter *waiter;
	int epoll;
	struct pollfd polls[MANY];
	mp_waitable items[MANY];
};

static int find_by_waiter(void *arg)
{
	struct crowd *c = arg;
	mp_ready ready[16];

	int n = mp_waiter_wait(c->waiter, ready, 16, MP_FOREVER);
	return n == 1 && ready[0].data == c->here[READY] ? 0 : bench_fail_mp("mp_waiter_wait", n);
}

static int find_by_epoll(void *arg)
{
	struct crowd *c = arg;
	struct epoll_event ready[16];

	int n = epoll_wait(c->epoll, ready, 16, -1);
	return n == 1 && ready[0].data.ptr == c->here[READY] ? 0 : bench_fail("epoll_wait");
}

static int find_by_poll(void *arg)
{
	struct crowd *c = arg;
	int i = 0;

	if (poll(c->polls, MANY, -1) != 1)
		return bench_fail("poll");
	while (i < MANY && c->polls[i].revents == 0)
		i++;
	return i == READY ? 0 : bench_fail("poll");
}

static int find_by_wait(void *arg)
{
	struct crowd *c = arg;
	int i = 0;

	if (mp_wait(c->items, MANY, MP_FOREVER) != 1)
		return bench_fail("mp_wait");
	while (i < MANY && !c->items[i].ready)
		i++;
	return i == READY ? 0 : bench_fail("mp_wait");
}

static int add(struct crowd *c, int i)
{
	struct epoll_event event = {.events = EPOLLIN};
	int fd = mp_connection_fileno(c->here[i]);

	event.data.ptr = c->here[i];
	c->polls[i] = (struct pollfd){.fd = fd, .events = POLLIN};
	c->items[i] = MP_WAIT(c->here[i]);
	if (epoll_ctl(c->epoll, EPOLL_CTL_ADD, fd, &event) < 0)
		return bench_fail("epoll_ctl");
	int r = mp_waiter_add(c->waiter, MP_WAIT(c->here[i]), c->here[i]);
	return r < 0 ? bench_fail_mp("mp_waiter_add", r) : 0;
}

static int setup_crowd(struct bench *b)
{
	struct crowd *c = calloc(1, sizeof(*c));
	struct rlimit limit;

	if (!c)
		return bench_fail("out of memory");
	if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
		limit.rlim_cur = limit.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &limit);
	}
	c->epoll = epoll_create1(EPOLL_CLOEXEC);
	int r = mp_waiter_new(&c->waiter);
	for (int i = 0; i < MANY && r == 0; i++) {
		r = mp_connection_pair(NULL, &c->here[i], &c->there[i]);
		if (r == 0 && add(c, i) < 0)
			return -1;
	}
	if (r == 0)
		r = mp_connection_send_bytes(c->there[READY], "", 1, 0);
	b->state = c;
	return r < 0 ? bench_fail_mp("1,000 connections", r) : 0;
}

static void teardown_crowd(struct bench *b)
{
	struct crowd *c = b->state;

	mp_waiter_close(c->waiter);
	close(c->epoll);
	for (int i = 0; i < MANY; i++) {
		mp_connection_close(c->here[i]);
		mp_connection_close(c->there[i]);
	}
	free(c);
}

static int run_crowd(struct bench *b, double *ret_value)
{
	bench_op *const ways[] = {find_by_waiter, find_by_epoll, find_by_poll, find_by_wait};

	return bench_time(ways[b->variant], b->state, ret_value);
}

#define CROWD(row, who, way)                                                \
	{                                                                   \
		row, who, setup_crowd, run_crowd, teardown_crowd, way, NULL \
	}

const struct bench bench_wait[] = {
	CROWD("wait_1000", "libmp", WAITER),
	CROWD("wait_1000", "floor", EPOLL),
	CROWD("wait_1000", "poll", POLL),
	CROWD("wait_1000_once", "libmp", WAIT),
	CROWD("wait_1000_once", "floor", POLL),
	{NULL, NULL, NULL, NULL, NULL, 0, NULL},
};
