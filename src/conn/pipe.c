/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "conn/pipe.h"

#include "base/cleanup.h"
#include "base/error.h"
#include "base/fds.h"
#include "conn/pipe_end.h"
#include "conn/socket.h"

#include <limits.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

/* --- operations --------------------------------------------------------------------------------- */

/*
 * From here on senders make the socket readable. What lies in the ring already was sent without; for
 * that the descriptor is a set of two: the socket, and an event that is there until the ring was
 * found empty for the first time.
 */
static int make_pollable(struct mp__pipe_end *e)
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
	struct mp__pipe_end *e = mp__pipe_end_of(c);

	int r = mp__guard_enter(&e->in.words->receiving, MP__DEADLINE_NEVER);
	if (r < 0)
		return r;
	r = e->pollable >= 0 ? e->pollable : make_pollable(e);
	if (r >= 0)
		e->pollable = r;
	mp__pipe_leave_receiving(e);
	return r;
}

static bool pipe_holds(struct mp_connection *c)
{
	return !mp__ring_is_empty(&mp__pipe_end_of(c)->in);
}

/* Messages ring the bell; that nobody is left the socket says. */
static int pipe_watch(
	struct mp_connection *c, short *ret_events, struct mp__watched_bell **ret_bell)
{
	struct mp__pipe_end *e = mp__pipe_end_of(c);

	*ret_events = POLLRDHUP;
	*ret_bell = &e->in.words->data;
	return e->fd;
}

static int pipe_shutdown(struct mp_connection *c)
{
	struct mp__pipe_end *e = mp__pipe_end_of(c);

	if (atomic_exchange(&e->out.words->closed, 1))
		return mp_error_set(-EPIPE, "this end of the pipe was shut down already");
	int r = e->packets->ops->shutdown(e->packets);
	mp__watched_bell_ring(&e->out.words->data, INT_MAX);
	return r;
}

static void pipe_destroy(struct mp_connection *c)
{
	struct mp__pipe_end *e = mp__pipe_end_of(c);

	/* First the kernel has to know, then who sleeps asks it. */
	if (e->first >= 0)
		close(e->first);
	if (e->pollable >= 0)
		close(e->pollable);
	mp_connection_close(e->packets);
	atomic_fetch_add(&e->in.words->departures, 1);
	mp__bell_ring(&e->in.words->space, INT_MAX);
	mp__watched_bell_ring(&e->out.words->data, INT_MAX);
	mp__segment_close(&e->segment);
	free(e);
}

static int pipe_credentials(struct mp_connection *c, pid_t *pid, uid_t *uid, gid_t *gid)
{
	return mp__socket_credentials(mp__pipe_end_of(c)->fd, pid, uid, gid);
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
	struct mp__pipe_end *e = mp__pipe_end_of(c);
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
	.send = mp__pipe_send,
	.look = mp__pipe_look,
	.read = mp__pipe_read,
	.release = mp__pipe_release,
	.poll = mp__pipe_poll,
	.holds = pipe_holds,
	.watch = pipe_watch,
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
	struct mp__pipe_end *e = calloc(1, sizeof(*e));

	if (!e)
		return mp_error_set(-ENOMEM, "no memory for an end of a pipe");
	int r = mp__packet_beside_pipe(fd, max_message, &e->packets);
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
	if (r != 0)
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

	if (!ret_first || !ret_second)
		return mp__conn_no_place();
	int r = mp__conn_options(options, false, &o);
	if (r != 0)
		return r;
	r = two_views(&a, &b);
	if (r != 0)
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
