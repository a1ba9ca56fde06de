/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "serve/loop.h"

#include "base/deadline.h"

#include <errno.h>
#include <sys/epoll.h>
#include <unistd.h>

#define EVENTS_PER_TURN 64

int serve_loop_init(struct serve_loop *loop)
{
	loop->epoll = epoll_create1(EPOLL_CLOEXEC);
	return loop->epoll < 0 ? -errno : 0;
}

void serve_loop_deinit(struct serve_loop *loop)
{
	if (loop->epoll >= 0)
		close(loop->epoll);
	loop->epoll = -1;
}

static int control(
	struct serve_loop *loop, int operation, struct serve_source *source, uint32_t events)
{
	struct epoll_event event = {.events = events, .data.ptr = source};

	return epoll_ctl(loop->epoll, operation, source->fd, &event) < 0 ? -errno : 0;
}

int serve_loop_add(struct serve_loop *loop, struct serve_source *source)
{
	return control(loop, EPOLL_CTL_ADD, source, source->events);
}

int serve_loop_want(struct serve_loop *loop, struct serve_source *source, uint32_t events)
{
	if (source->events == events)
		return 0;
	int r = control(loop, EPOLL_CTL_MOD, source, events);
	if (r == 0)
		source->events = events;
	return r;
}

void serve_loop_remove(struct serve_loop *loop, struct serve_source *source)
{
	(void)control(loop, EPOLL_CTL_DEL, source, 0);
}

static int wait_for_events(struct serve_loop *loop, struct epoll_event *events, int timeout_ms)
{
	bool awake = timeout_ms != 0 && mp__linger_begin(&loop->linger);
	int n;

	while ((n = epoll_wait(loop->epoll, events, EVENTS_PER_TURN, awake ? 0 : timeout_ms)) ==
			0 &&
		awake)
		awake = mp__linger_on(&loop->linger);
	mp__linger_end(&loop->linger, awake && n > 0);
	return n;
}

int serve_loop_turn(struct serve_loop *loop, int timeout_ms)
{
	struct epoll_event events[EVENTS_PER_TURN];
	int n = wait_for_events(loop, events, timeout_ms);

	int error = errno;

	/* Also of a turn in which nothing came: what it slept is no work. */
	if (loop->timed)
		loop->woken_ns = mp__now_ns();
	if (n < 0)
		return error == EINTR ? 0 : -error;
	for (int i = 0; i < n; i++) {
		struct serve_source *source = events[i].data.ptr;
		int r = source->ready(source, events[i].events);
		if (r < 0)
			return r;
	}
	return 0;
}
