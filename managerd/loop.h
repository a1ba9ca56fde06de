/* SPDX-License-Identifier: MIT */
/*
 * managerd/loop.h - epoll: sources are level-triggered descriptors with a function.
 *
 * A source must not be freed while the events of a turn are handed out, since one of them may be
 * its own: whoever ends one puts it aside until the turn is over.
 */
#ifndef MANAGERD_LOOP_H
#define MANAGERD_LOOP_H

#include <stdint.h>

struct md_source {
	int fd;
	uint32_t events; /* wanted now */
	/* Negative is fatal: the loop ends with it. */
	int (*ready)(struct md_source *source, uint32_t events);
};

struct md_loop {
	int epoll;
};

int md_loop_init(struct md_loop *loop);
void md_loop_deinit(struct md_loop *loop);

/* source->fd, ready and events are set. The descriptor stays the caller's. */
int md_loop_add(struct md_loop *loop, struct md_source *source);
/* Want other events; costs nothing when they are the same. */
int md_loop_want(struct md_loop *loop, struct md_source *source, uint32_t events);
void md_loop_remove(struct md_loop *loop, struct md_source *source);

/* Wait for at most timeout_ms (-1: for ever) and hand out what has happened. */
int md_loop_turn(struct md_loop *loop, int timeout_ms);

#endif
