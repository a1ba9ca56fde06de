/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "conn/pipe.h"

#include "base/cleanup.h"
#include "base/error.h"
#include "base/fds.h"
#include "base/spin.h"
#include "base/testpoint.h"
#include "conn/message.h"
#include "conn/ring.h"
#include "conn/socket.h"
#include "shm/segment.h"

#include <limits.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

/* One end, in one process. */
struct pipe_end {
	struct mp_connection connection;
	struct mp__segment segment;
	uint8_t side;                  /* it sends into rings[side] */
	int fd;                        /* of the socket; `packets` owns it */
	struct mp_connection *packets; /* what goes through the socket */
	struct mp__ring out;
	struct mp__ring in;
	/* The head at which the other side was last asked for, and departures seen then. */
	_Atomic uint64_t asked_at;
	_Atomic uint32_t asked_departures;
	/* Of the message that look() shows, for read() and release(): under in's guard. */
	struct mp__record record;
	bool in_socket;
	struct mp__cargo no_cargo;
	/* For who polls: made when asked for; under in's guard. */
	int pollable;
	int first;
};

static struct pipe_end *end_of(struct mp_connection *c)
{
	return (struct pipe_end *)c;
}

static int gone(void)
{
	return mp_error_set(-EPIPE, "the other side of the pipe is closed or dead");
}

/* What the kernel says of the other end's holders. */
static bool socket_says(struct pipe_end *e, short event)
{
	struct pollfd p = {.fd = e->fd, .events = event};

	return poll(&p, 1, 0) > 0 && (p.revents & event);
}

/* --- sending ---------------------------------------------------------------------------------- */

static bool receivers_are_gone(struct pipe_end *e)
{
	return socket_says(e, POLLHUP);
}

/*
 * A message into the void would be lost without a word. So the kernel is asked when somebody has
 * left, and once for each head at which messages lie unread; not for each message.
 */
static int check_receivers(struct pipe_end *e)
{
	struct mp__pipe_ring *w = e->out.words;
	uint32_t departures = atomic_load_explicit(&w->departures, memory_order_relaxed);
	uint64_t head = atomic_load_explicit(&w->head, memory_order_relaxed);
	uint64_t tail = atomic_load_explicit(&w->tail, memory_order_relaxed);

	if (atomic_load_explicit(&w->closed, memory_order_relaxed))
		return mp_error_set(-EPIPE, "this end of the pipe was shut down");
	if (departures == atomic_load_explicit(&e->asked_departures, memory_order_relaxed) &&
		(head == tail || head == atomic_load_explicit(&e->asked_at, memory_order_relaxed)))
		return 0;
	if (receivers_are_gone(e))
		return gone();
	atomic_store_explicit(&e->asked_at, head, memory_order_relaxed);
	atomic_store_explicit(&e->asked_departures, departures, memory_order_relaxed);
	return 0;
}

/* Make the socket readable for who polls: see pipe_layout.h. */
static bool wake_pollers(struct pipe_end *e)
{
	static const struct mp__outgoing wake = {.kind = MP__MESSAGE_WAKE};

	return e->packets->ops->send(e->packets, &wake, mp__deadline_in(0)) == 0;
}

static void commit(struct pipe_end *e, const struct mp__record *record)
{
	struct mp__pipe_ring *w = e->out.words;
	bool watched = atomic_load(&w->watched);
	bool woken = watched && wake_pollers(e);

	MP__TEST_POINT("pipe.send.commit");
	mp__ring_commit(&e->out, record);
	MP__TEST_POINT("pipe.send.committed");
	/* The socket was full: if it still is, it is readable until this message is received. */
	if (watched && !woken)
		woken = wake_pollers(e);
	if (woken)
		atomic_fetch_add(&w->wakes, 1);
}

/* Inside the guard. -EAGAIN there is no room, in the ring or in the socket. */
static int send_inside(struct pipe_end *e, struct mp__outgoing *m, struct mp__record *record)
{
	struct mp__pipe_ring *w = e->out.words;

	record->tag = (uint16_t)atomic_load_explicit(&w->next_tag, memory_order_relaxed);
	int r = mp__ring_put(&e->out, record, m->data);
	if (r < 0)
		return r;
	MP__TEST_POINT("pipe.send.put");
	if (record->outside) {
		m->tag = record->tag;
		r = e->packets->ops->send(e->packets, m, mp__deadline_in(0));
		if (r < 0)
			return r == -ETIMEDOUT ? -EAGAIN : r;
		MP__TEST_POINT("pipe.send.posted");
		atomic_fetch_add_explicit(&w->next_tag, 1, memory_order_relaxed);
	}
	commit(e, record);
	return 0;
}

static int try_send(struct pipe_end *e, struct mp__outgoing *m, struct mp__record *record,
	mp__deadline deadline)
{
	struct mp__pipe_ring *w = e->out.words;

	int r = mp__guard_enter(&w->sending, deadline);
	if (r < 0)
		return r;
	/* The dead one may have posted a message of this tag. */
	if (r == MP_OWNER_DIED)
		atomic_fetch_add_explicit(&w->next_tag, 1, memory_order_relaxed);
	r = check_receivers(e);
	if (r == 0)
		r = send_inside(e, m, record);
	mp__guard_leave_and_look(&w->sending);
	if (r == 0)
		mp__bell_ring(&w->data, INT_MAX);
	return r;
}

/* Until there may be room. The socket has no bell: it is asked itself. */
static int wait_for_room(struct pipe_end *e, uint32_t heard, bool outside, mp__deadline deadline)
{
	int r = 0;

	if (receivers_are_gone(e))
		return gone();
	if (outside && !socket_says(e, POLLOUT))
		r = mp__fd_wait(e->fd, POLLOUT, deadline);
	else
		r = mp__bell_sleep(&e->out.words->space, heard, deadline);
	if (r == -ETIMEDOUT)
		return mp_error_set(r, "the pipe is full");
	return r;
}

static int pipe_send(
	struct mp_connection *c, const struct mp__outgoing *message, mp__deadline deadline)
{
	struct pipe_end *e = end_of(c);
	struct mp__outgoing m = *message;
	struct mp__record record = {
		.size = m.size,
		.kind = (uint8_t)m.kind,
		.outside = m.n_fds > 0 || m.size > MP__PIPE_INLINE,
	};
	struct mp__spin spin = mp__spin_begin();
	int r = try_send(e, &m, &record, deadline);

	if (r != -EAGAIN)
		return r;
	while ((r = try_send(e, &m, &record, deadline)) == -EAGAIN && !record.outside &&
		mp__spin_on(&spin))
		;
	mp__spin_end(&spin, r == 0);
	while (r == -EAGAIN) {
		uint32_t heard = mp__bell_listen(&e->out.words->space);
		r = try_send(e, &m, &record, deadline);
		if (r != -EAGAIN)
			break;
		r = wait_for_room(e, heard, record.outside, deadline);
		if (r == 0)
			r = -EAGAIN;
	}
	return r;
}

/* --- receiving -------------------------------------------------------------------------------- */

/* Nothing is there, and nothing can come any more? In this order: what was sent last counts. */
static bool at_end(struct pipe_end *e)
{
	bool closed = atomic_load_explicit(&e->in.words->closed, memory_order_acquire) ||
		      socket_says(e, POLLRDHUP | POLLHUP);

	return closed && mp__ring_is_empty(&e->in);
}

static void leave_receiving(struct pipe_end *e)
{
	mp__guard_leave_and_look(&e->in.words->receiving);
	mp__bell_ring(&e->in.words->space, INT_MAX);
}

/* A wake is the next thing in the socket: take it out. Inside the guard. */
static bool hear_wake(struct pipe_end *e)
{
	uint8_t head[MP__HEAD_SIZE];
	struct mp__incoming m;

	/* Looked at first: a message that is fetched would be this process's alone. */
	if (recv(e->fd, head, sizeof(head), MSG_PEEK | MSG_DONTWAIT) != sizeof(head) ||
		head[MP__HEAD_KIND] != MP__MESSAGE_WAKE ||
		e->packets->ops->look(e->packets, mp__deadline_in(0), &m) != 0)
		return false;
	bool wake = m.kind == MP__MESSAGE_WAKE;
	e->packets->ops->release(e->packets, wake);
	return wake;
}

/*
 * Somebody polls, and the ring is empty, but the socket readable: with both guards nothing is under
 * way, and what is in the socket announces nothing.
 */
static void silence(struct pipe_end *e)
{
	struct mp__pipe_ring *w = e->in.words;

	if (e->pollable < 0 || mp__guard_enter(&w->receiving, mp__deadline_in(0)) < 0)
		return;
	bool empty = mp__ring_is_empty(&e->in);
	if (empty && e->first >= 0)
		mp__cleanup_close(&e->first), e->first = -1;
	int r = empty && socket_says(e, POLLIN) ? mp__guard_enter(&w->sending, mp__deadline_in(0))
						: -EAGAIN;
	if (r == MP_OWNER_DIED)
		atomic_fetch_add_explicit(&w->next_tag, 1, memory_order_relaxed);
	if (r >= 0) {
		while (mp__ring_is_empty(&e->in) && hear_wake(e))
			;
		atomic_store(&w->heard, atomic_load(&w->wakes));
		mp__guard_leave(&w->sending);
	}
	leave_receiving(e);
}

/* Until the ring has something: 0; -EPIPE at its end; -ETIMEDOUT. Holds no guard. */
static int wait_for_message(struct pipe_end *e, mp__deadline deadline)
{
	struct mp__spin spin = mp__spin_begin();
	bool some;

	while (!(some = !mp__ring_is_empty(&e->in)) && deadline.ns != 0 && mp__spin_on(&spin))
		;
	mp__spin_end(&spin, some);
	if (!some)
		silence(e);
	while (!some) {
		uint32_t heard = mp__bell_listen(&e->in.words->data);
		if (!mp__ring_is_empty(&e->in))
			break;
		if (at_end(e))
			return gone();
		int r = mp__bell_sleep(&e->in.words->data, heard, deadline);
		some = !mp__ring_is_empty(&e->in);
		if (r < 0 && !some)
			return mp_error_set(r, "no message came");
	}
	return 0;
}

/* The message in the socket that the record at head names: 0; -EAGAIN it is not there. */
static int look_in_socket(struct pipe_end *e, struct mp__incoming *ret)
{
	int r;

	while ((r = e->packets->ops->look(e->packets, mp__deadline_in(0), ret)) == 0) {
		if (ret->tag == e->record.tag && ret->kind == e->record.kind &&
			ret->size == e->record.size)
			return 0;
		if (ret->kind == MP__MESSAGE_WAKE)
			atomic_fetch_add(&e->in.words->heard, 1);
		e->packets->ops->release(e->packets, true);
	}
	return r == -ETIMEDOUT || r == -EPIPE ? -EAGAIN : r;
}

static void take(struct pipe_end *e)
{
	struct mp__pipe_ring *w = e->in.words;
	uint32_t wakes = atomic_load(&w->wakes);

	MP__TEST_POINT("pipe.take");
	mp__ring_take(&e->in, &e->record);
	MP__TEST_POINT("pipe.taken");
	while (atomic_load(&w->heard) != wakes && mp__ring_is_empty(&e->in) && hear_wake(e))
		atomic_fetch_add(&w->heard, 1);
}

/* Inside the guard: show what is at head. -EAGAIN nothing. */
static int look_inside(struct pipe_end *e, struct mp__incoming *ret)
{
	int r;

	while ((r = mp__ring_look(&e->in, e->connection.max_message, &e->record)) == 0) {
		e->in_socket = e->record.outside;
		if (!e->in_socket) {
			*ret = (struct mp__incoming){
				.kind = e->record.kind,
				.size = e->record.size,
				.cargo = &e->no_cargo,
			};
			return 0;
		}
		r = look_in_socket(e, ret);
		if (r == 0)
			return 0;
		/* It left with a process that died, or it cannot be received: it is gone. */
		take(e);
		if (r != -EAGAIN)
			return r;
	}
	return r;
}

static int pipe_look(struct mp_connection *c, mp__deadline deadline, struct mp__incoming *ret)
{
	struct pipe_end *e = end_of(c);

	for (;;) {
		int r = wait_for_message(e, deadline);
		if (r == 0)
			r = mp__guard_enter(&e->in.words->receiving, deadline);
		if (r < 0)
			return r;
		r = look_inside(e, ret);
		if (r == 0)
			return 0;
		leave_receiving(e);
		if (r != -EAGAIN)
			return r;
	}
}

static int pipe_read(struct mp_connection *c, void *buffer)
{
	struct pipe_end *e = end_of(c);

	if (e->in_socket)
		return e->packets->ops->read(e->packets, buffer);
	mp__ring_read(&e->in, &e->record, buffer);
	return 0;
}

static void pipe_release(struct mp_connection *c, bool taken)
{
	struct pipe_end *e = end_of(c);

	if (e->in_socket)
		e->packets->ops->release(e->packets, taken);
	if (taken)
		take(e);
	leave_receiving(e);
}

static int pipe_poll(struct mp_connection *c, mp__deadline deadline)
{
	int r = wait_for_message(end_of(c), deadline);

	return r == -ETIMEDOUT ? 0 : 1;
}

/* --- the rest --------------------------------------------------------------------------------- */

/*
 * From here on senders make the socket readable. What lies in the ring already was sent without; for
 * that the descriptor is a set of two: the socket, and an event that is there until the ring was
 * found empty for the first time.
 */
static int make_pollable(struct pipe_end *e)
{
	struct epoll_event in = {.events = EPOLLIN};
	MP__AUTO_CLOSE int set = mp__fd_above_std(epoll_create1(EPOLL_CLOEXEC));
	MP__AUTO_CLOSE int first = mp__fd_above_std(eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK));

	if (set < 0 || first < 0)
		return mp__error_errno("a descriptor to poll a pipe");
	if (epoll_ctl(set, EPOLL_CTL_ADD, e->fd, &in) < 0 ||
		epoll_ctl(set, EPOLL_CTL_ADD, first, &in) < 0)
		return mp__error_errno("a descriptor to poll a pipe");
	atomic_store(&e->in.words->watched, 1);
	e->first = MP__TAKE_FD(first);
	return MP__TAKE_FD(set);
}

static int pipe_fileno(struct mp_connection *c)
{
	struct pipe_end *e = end_of(c);

	int r = mp__guard_enter(&e->in.words->receiving, MP__DEADLINE_NEVER);
	if (r < 0)
		return r;
	r = e->pollable >= 0 ? e->pollable : make_pollable(e);
	if (r >= 0)
		e->pollable = r;
	leave_receiving(e);
	return r;
}

static int pipe_shutdown(struct mp_connection *c)
{
	struct pipe_end *e = end_of(c);

	if (atomic_exchange(&e->out.words->closed, 1))
		return mp_error_set(-EPIPE, "this end of the pipe was shut down already");
	int r = e->packets->ops->shutdown(e->packets);
	mp__bell_ring(&e->out.words->data, INT_MAX);
	return r;
}

static void pipe_destroy(struct mp_connection *c)
{
	struct pipe_end *e = end_of(c);

	/* First the kernel has to know, then who sleeps asks it. */
	if (e->first >= 0)
		close(e->first);
	if (e->pollable >= 0)
		close(e->pollable);
	mp_connection_close(e->packets);
	atomic_fetch_add(&e->in.words->departures, 1);
	mp__bell_ring(&e->in.words->space, INT_MAX);
	mp__bell_ring(&e->out.words->data, INT_MAX);
	mp__segment_close(&e->segment);
	free(e);
}

static int pipe_credentials(struct mp_connection *c, pid_t *pid, uid_t *uid, gid_t *gid)
{
	return mp__socket_credentials(end_of(c)->fd, pid, uid, gid);
}

/* --- travelling ------------------------------------------------------------------------------- */

struct travel {
	uint8_t form; /* MP__TRAVEL_PIPE */
	uint8_t direction;
	uint8_t side;
	uint8_t zero[5];
	uint64_t max_message;
};

static int pipe_export(struct mp_connection *c, struct mp__handle_wire *ret_wire)
{
	struct pipe_end *e = end_of(c);
	struct travel travel = {
		.form = MP__TRAVEL_PIPE,
		.direction = (uint8_t)c->direction,
		.side = e->side,
		.max_message = c->max_message,
	};

	memcpy(ret_wire->data, &travel, sizeof(travel));
	ret_wire->size = sizeof(travel);
	ret_wire->fds[0] = e->segment.fd;
	ret_wire->fds[1] = e->fd;
	ret_wire->n_fds = 2;
	return 0;
}

static const struct mp__conn_ops pipe_ops = {
	.send = pipe_send,
	.look = pipe_look,
	.read = pipe_read,
	.release = pipe_release,
	.poll = pipe_poll,
	.fileno = pipe_fileno,
	.shutdown = pipe_shutdown,
	.destroy = pipe_destroy,
	.export = pipe_export,
	.credentials = pipe_credentials,
};

static const size_t layout[] = {
	sizeof(struct mp__pipe_layout),
	sizeof(struct mp__pipe_ring),
	MP__PIPE_INLINE,
	offsetof(struct mp__pipe_ring, receiving),
	offsetof(struct mp__pipe_ring, data),
};

static struct mp__segment_type type_of_segment(void)
{
	return (struct mp__segment_type){
		.kind = MP__SEGMENT_PIPE,
		.fingerprint = mp__segment_fingerprint(layout, MP__COUNT_OF(layout)),
		.name = "mp-pipe",
		.what = "a pipe",
	};
}

/* An end; takes the segment and the socket if it succeeds. */
static int end_new(struct mp__segment *segment, int fd, uint8_t side, int direction,
	size_t max_message, struct mp_connection **ret_connection)
{
	struct pipe_end *e = calloc(1, sizeof(*e));

	if (!e)
		return mp_error_set(-ENOMEM, "no memory for an end of a pipe");
	int r = mp__packet_new(fd, MP_CONNECTION_DUPLEX, max_message, &e->packets);
	if (r < 0) {
		free(e);
		return r;
	}
	struct mp__pipe_layout *shared = (struct mp__pipe_layout *)segment->header;
	mp__conn_init(&e->connection, &pipe_ops, direction, max_message);
	e->fd = fd;
	e->side = side;
	e->segment = *segment;
	e->out = (struct mp__ring){&shared->rings[side], shared->bytes[side]};
	e->in = (struct mp__ring){&shared->rings[!side], shared->bytes[!side]};
	atomic_init(&e->asked_at, UINT64_MAX);
	e->pollable = e->first = -1;
	*ret_connection = &e->connection;
	return 0;
}

int mp__pipe_import(struct mp__handle_wire *wire, struct mp_connection **ret_connection)
{
	struct mp__segment_type type = type_of_segment();
	struct mp__segment segment;
	struct travel travel;

	if (wire->size != sizeof(travel) || wire->n_fds != 2)
		return mp_error_set(-EBADMSG, "the handle of a pipe is damaged");
	memcpy(&travel, wire->data, sizeof(travel));
	if (travel.form != MP__TRAVEL_PIPE || travel.direction > MP_CONNECTION_WRITE ||
		travel.side > 1 || travel.max_message == 0 || travel.max_message > SSIZE_MAX ||
		mp__socket_is_packet(wire->fds[1]) != 1)
		return mp_error_set(-EBADMSG, "the handle of a pipe is damaged");
	int r = mp__segment_attach(&type, wire->fds[0], 0, &segment);
	if (r < 0)
		return r;
	wire->fds[0] = -1;
	if (segment.size != sizeof(struct mp__pipe_layout))
		r = mp_error_set(-EBADMSG, "the memory of a pipe has %llu bytes",
			(unsigned long long)segment.size);
	else
		r = end_new(&segment, wire->fds[1], travel.side, travel.direction,
			travel.max_message, ret_connection);
	if (r < 0)
		mp__segment_close(&segment);
	else
		wire->fds[1] = -1;
	return r;
}

/* Both ends have a mapping and a descriptor of their own, so that each can be closed by itself. */
static int two_views(struct mp__segment *ret_a, struct mp__segment *ret_b)
{
	struct mp__segment_type type = type_of_segment();

	int r = mp__segment_create(&type, sizeof(struct mp__pipe_layout), 0, 0, ret_a);
	if (r < 0)
		return r;
	mp__segment_publish(ret_a);
	int fd = mp__fd_dup(ret_a->fd);
	r = fd < 0 ? mp_error_set(fd, "a descriptor for a pipe: %s", strerror(-fd))
		   : mp__segment_attach(&type, fd, 0, ret_b);
	if (r < 0) {
		if (fd >= 0)
			close(fd);
		mp__segment_close(ret_a);
	}
	return r;
}

int mp_pipe(
	const mp_connection_options *options, mp_connection **ret_first, mp_connection **ret_second)
{
	struct mp__segment a;
	struct mp__segment b;
	mp_connection_options o;
	mp_connection *first;
	int ends[2];

	int r = mp__conn_options(options, false, &o);
	if (r == 0)
		r = two_views(&a, &b);
	if (r < 0)
		return r;
	r = mp__socket_pair(SOCK_SEQPACKET, ends);
	if (r < 0)
		goto no_socket;
	r = end_new(&a, ends[0], 0, o.direction, o.max_message, &first);
	if (r < 0)
		goto no_end;
	r = end_new(&b, ends[1], 1, mp__conn_opposite(o.direction), o.max_message, ret_second);
	if (r < 0) {
		mp_connection_close(first);
		close(ends[1]);
		mp__segment_close(&b);
		return r;
	}
	*ret_first = first;
	return 0;

no_end:
	close(ends[0]);
	close(ends[1]);
no_socket:
	mp__segment_close(&a);
	mp__segment_close(&b);
	return r;
}
