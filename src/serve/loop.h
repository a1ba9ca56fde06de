/* SPDX-License-Identifier: MIT */
/*
 * serve/loop.h - epoll: sources are level-triggered descriptors with a function.
 *
 * A source must not be freed while the events of a turn are handed out, since one of them may be
 * its own: whoever ends one puts it aside until the turn is over.
 */
#ifndef SERVE_LOOP_H
#define SERVE_LOOP_H

#include "base/linger.h"

#include <stdbool.h>
#include <stdint.h>

struct serve_source {
	int fd;
	uint32_t events; /* wanted now */
	/* Negative is fatal: the loop ends with it. */
	int (*ready)(struct serve_source *source, uint32_t events);
};

struct serve_loop {
	int epoll;
	bool timed;       /* woken_ns is wanted */
	int64_t woken_ns; /* when the turn's work began */
	struct mp__linger linger;
};

int serve_loop_init(struct serve_loop *loop);
void serve_loop_deinit(struct serve_loop *loop);

/* source->fd, ready and events are set. The descriptor stays the caller's. */
int serve_loop_add(struct serve_loop *loop, struct serve_source *source);
/* Want other events; costs nothing when they are the same. -errno: they are as before. */
int serve_loop_want(struct serve_loop *loop, struct serve_source *source, uint32_t events);
void serve_loop_remove(struct serve_loop *loop, struct serve_source *source);

/* Wait for at most timeout_ms (-1: for ever) and hand out what has happened. */
int serve_loop_turn(struct serve_loop *loop, int timeout_ms);

#endif
