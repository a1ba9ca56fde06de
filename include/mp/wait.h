/* SPDX-License-Identifier: MIT */
/*
 * mp/wait.h - wait for several things at once.
 *
 *	mp_waitable items[] = {MP_WAIT(connection), MP_WAIT(process), MP_WAIT(STDIN_FILENO)};
 *
 *	mp_wait(items, 3, 1000);
 *	if (items[0].ready)
 *		mp_connection_recv(connection, MP_NOWAIT, &message);
 *
 * What can be waited for, and what ready means:
 *
 *	mp_connection *    there is a message, or the other side has gone: mp_connection_poll()
 *	mp_listener *      mp_listener_accept() has something to do; with MP_NOWAIT it may still find
 *	                   nobody who is through with the handshake
 *	mp_queue *         there is a message, or the queue is shut down
 *	MP_WAIT_ROOM()     a queue has room for a message of no bytes, or is shut down
 *	mp_event *         it is set, or was set since the call began
 *	mp_future *        its task has ended
 *	mp_process *       it has ended
 *	int                a descriptor is readable: a socket, a pipe, a sentinel, ...
 *	MP_WAIT_FD()       a descriptor, for events of poll(2)
 *
 * Ready is a state: what is ready stays so until something is done about it, perhaps by another
 * thread that was quicker. So act with MP_NOWAIT.
 */
#ifndef MP_WAIT_H
#define MP_WAIT_H

#include <mp/connection.h>
#include <mp/event.h>
#include <mp/future.h>
#include <mp/listener.h>
#include <mp/process.h>
#include <mp/queue.h>
#include <poll.h>

MP__BEGIN_DECLS

/* One thing to wait for: made by MP_WAIT() and the like, not by hand. */
typedef struct mp_waitable {
	void *object; /* NULL: the descriptor */
	int fd;
	short kind;   /* enum mp_wait_kind */
	short events; /* of a descriptor, as in poll(2) */
	/* Set by mp_wait(): */
	int ready; /* 0 no; of a descriptor what poll(2) says, of an object POLLIN, for room POLLOUT */
	int error; /* why it cannot be waited for, or 0 */
} mp_waitable;

enum mp_wait_kind {
	MP_WAIT_KIND_FD = 1,
	MP_WAIT_KIND_CONNECTION,
	MP_WAIT_KIND_LISTENER,
	MP_WAIT_KIND_PROCESS,
	MP_WAIT_KIND_QUEUE,
	MP_WAIT_KIND_ROOM,
	MP_WAIT_KIND_EVENT,
	MP_WAIT_KIND_FUTURE,
};

/*
 * Wait until one of the n items is ready, at least, and say in each of them whether it is. The number
 * of those that are; 0 the time was over. The same thing may stand in several items.
 * An item that cannot be waited for is an error of the call, and its number is in the detail; `error`
 * of all such items is set: -EBADF the descriptor is not open, or a connection only sends; -EINVAL no
 * object, of no known kind, a process that was not started, events that are not POLLIN, POLLPRI,
 * POLLOUT or POLLRDHUP; -ECHILD a process or a future of the
 * parent's.
 * -EINVAL also: nothing to wait for, for ever; -ENOMEM.
 */
int mp_wait(mp_waitable *items, size_t n, int timeout_ms);

/* --- a set that is kept --------------------------------------------------------------------------- */

/*
 * For thousands of things: a wait costs what is ready, not what is in the set.
 *
 *	mp_waiter_new(&waiter);
 *	mp_waiter_add(waiter, MP_WAIT(connection), client);
 *	int n = mp_waiter_wait(waiter, ready, 16, 1000);
 *	for (int i = 0; i < n; i++)
 *		serve(ready[i].data);
 *
 * It holds a reference to what is in it: who closes a connection and wants the other side to see that
 * removes it before. A listener has to be removed before it is closed; a descriptor that is closed
 * leaves by itself, if it was the last one of its file. Any thread may use a waiter, also while others
 * wait. In a forked child all calls are -ECHILD, but for mp_waiter_close().
 */
typedef struct mp_waiter mp_waiter;

typedef struct mp_ready {
	void *data; /* what was added with it */
	int ready;  /* as in mp_waitable */
	int error;  /* why it cannot be waited for any more, or 0: remove it */
} mp_ready;

/* -EMFILE, -ENFILE, -ENOMEM. */
int mp_waiter_new(mp_waiter **ret_waiter);

/*
 * Put it in. -EEXIST it is there already (a descriptor: for whatever events); what mp_wait() says of
 * an item; -EMFILE, -ENFILE, -ENOMEM, -ENOSPC the user's limit of epoll(7).
 */
int mp_waiter_add(mp_waiter *waiter, mp_waitable item, void *data);
/* Another pointer, and of a descriptor other events. -ENOENT it is not there; -EBADF, -EINVAL. */
int mp_waiter_modify(mp_waiter *waiter, mp_waitable item, void *data);
/* Take it out; what is ready at that time in another thread may still be reported there. -ENOENT. */
int mp_waiter_remove(mp_waiter *waiter, mp_waitable item);

/*
 * Wait until something is ready, and store up to `room` of what is: how many; 0 the time was over.
 * What finds no room comes next time. -EINVAL no room; -ENOMEM.
 */
int mp_waiter_wait(mp_waiter *waiter, mp_ready *ret_ready, size_t room, int timeout_ms);

/* Drop everything. NULL is allowed. Nobody may be waiting. Returns 0. */
int mp_waiter_close(mp_waiter *waiter);

MP__END_DECLS

static inline mp_waitable mp__waitable(short kind, void *object, int fd, int events)
{
	mp_waitable item;

	item.object = object;
	item.fd = fd;
	item.kind = kind;
	item.events = (short)events;
	item.ready = 0;
	item.error = 0;
	return item;
}

/* A descriptor, for these events: POLLIN, POLLPRI, POLLOUT, POLLRDHUP. */
static inline mp_waitable MP_WAIT_FD(int fd, int events)
{
	return mp__waitable(MP_WAIT_KIND_FD, NULL, fd, events);
}

static inline mp_waitable mp__wait_fd(int fd)
{
	return MP_WAIT_FD(fd, POLLIN);
}

static inline mp_waitable mp__wait_connection(mp_connection *x)
{
	return mp__waitable(MP_WAIT_KIND_CONNECTION, x, -1, POLLIN);
}

static inline mp_waitable mp__wait_listener(mp_listener *x)
{
	return mp__waitable(MP_WAIT_KIND_LISTENER, x, -1, POLLIN);
}

static inline mp_waitable mp__wait_process(mp_process *x)
{
	return mp__waitable(MP_WAIT_KIND_PROCESS, x, -1, POLLIN);
}

static inline mp_waitable mp__wait_queue(mp_queue *x)
{
	return mp__waitable(MP_WAIT_KIND_QUEUE, x, -1, POLLIN);
}

static inline mp_waitable mp__wait_event(mp_event *x)
{
	return mp__waitable(MP_WAIT_KIND_EVENT, x, -1, POLLIN);
}

static inline mp_waitable mp__wait_future(mp_future *x)
{
	return mp__waitable(MP_WAIT_KIND_FUTURE, x, -1, POLLIN);
}

/* Room in a queue. */
static inline mp_waitable MP_WAIT_ROOM(mp_queue *x)
{
	return mp__waitable(MP_WAIT_KIND_ROOM, x, -1, POLLOUT);
}

#ifdef __cplusplus
static inline mp_waitable MP_WAIT(int x)
{
	return mp__wait_fd(x);
}
static inline mp_waitable MP_WAIT(mp_connection *x)
{
	return mp__wait_connection(x);
}
static inline mp_waitable MP_WAIT(mp_listener *x)
{
	return mp__wait_listener(x);
}
static inline mp_waitable MP_WAIT(mp_process *x)
{
	return mp__wait_process(x);
}
static inline mp_waitable MP_WAIT(mp_queue *x)
{
	return mp__wait_queue(x);
}
static inline mp_waitable MP_WAIT(mp_event *x)
{
	return mp__wait_event(x);
}
static inline mp_waitable MP_WAIT(mp_future *x)
{
	return mp__wait_future(x);
}
#else
/* clang-format off */
#define MP_WAIT(x) _Generic((x), \
	int: mp__wait_fd, \
	mp_connection *: mp__wait_connection, \
	mp_listener *: mp__wait_listener, \
	mp_process *: mp__wait_process, \
	mp_queue *: mp__wait_queue, \
	mp_event *: mp__wait_event, \
	mp_future *: mp__wait_future)(x)
/* clang-format on */
#endif

#endif
