/* SPDX-License-Identifier: MIT */
/*
 * Connections over stream sockets (TCP): messages behind a head that says how long they are.
 *
 * Both directions may stand within a message when a deadline passes. What came of one stays here
 * until the rest comes; what could not be sent any more stays here too, and goes out before
 * anything else. Nothing is read beyond the end of a message, so that between messages the
 * socket alone is the connection.
 *
 * Memory for a message grows with what has come of it: a head that lies costs its sender as much.
 */
#include <config.h>

#include "base/error.h"
#include "base/fds.h"
#include "base/fork_lock.h"
#include "conn/auth.h"
#include "conn/message.h"
#include "conn/socket.h"

#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/uio.h>

/* The first room for a message, and what is kept between messages. */
#define ROOM_FIRST ((size_t)64 << 10)

struct stream {
	struct mp_connection connection;
	int fd;

	/* What came, under in_lock. */
	struct mp__fork_lock in_lock;
	uint8_t head_bytes[MP__HEAD_SIZE];
	size_t head_size;
	struct mp__head head; /* valid once head_size is MP__HEAD_SIZE */
	uint8_t *body;
	size_t size;
	size_t room;
	bool complete;
	int in_broken; /* what every receive says from now on, or 0 */
	struct mp__cargo cargo;

	/* What has to go out first, under out_lock. */
	struct mp__fork_lock out_lock;
	uint8_t *rest;
	size_t rest_at;
	size_t rest_size;
	int out_broken;
};

static struct stream *stream_of(struct mp_connection *c)
{
	return (struct stream *)c;
}

static int foreign_part(void)
{
	return mp_error_set(-EBUSY, "the parent process was in the middle of a message at the "
				    "fork: only it can go on here");
}

/* --- sending ---------------------------------------------------------------------------------- */

static int take_out(struct stream *s, mp__deadline deadline)
{
	int r = mp__fork_lock_take(&s->out_lock, deadline);

	if (r > 0 && s->rest) {
		/* The parent will send it; between its parts nothing of ours may go. */
		free(s->rest);
		s->rest = NULL;
		s->out_broken = -EBUSY;
	}
	return r < 0 ? mp_error_set(r, "sending: another thread has been at it all the time") : 0;
}

/* Send until all is gone or the deadline passes; *done counts. */
static int push(
	struct stream *s, struct iovec *iov, size_t n_iov, mp__deadline deadline, size_t *done)
{
	while (n_iov > 0) {
		struct msghdr message = {.msg_iov = iov, .msg_iovlen = n_iov};
		ssize_t n = sendmsg(s->fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno != EAGAIN)
			return mp__socket_error("sending a message");
		if (n < 0) {
			int r = mp__fd_wait(s->fd, POLLOUT, deadline);
			if (r < 0)
				return mp_error_set(r,
					"sending: the other side takes no more messages just now");
			continue;
		}
		*done += (size_t)n;
		size_t left = (size_t)n;
		while (n_iov > 0 && left >= iov->iov_len) {
			left -= iov->iov_len;
			iov++;
			n_iov--;
		}
		if (n_iov > 0) {
			iov->iov_base = (char *)iov->iov_base + left;
			iov->iov_len -= left;
		}
	}
	return 0;
}

/* With out_lock held. */
static int flush(struct stream *s, mp__deadline deadline)
{
	if (s->out_broken == -EBUSY)
		return foreign_part();
	if (s->out_broken < 0)
		return mp__socket_gone();
	if (!s->rest)
		return 0;
	struct iovec iov = {s->rest + s->rest_at, s->rest_size - s->rest_at};
	int r = push(s, &iov, 1, deadline, &s->rest_at);
	if (r == 0 || r == -EPIPE) {
		free(s->rest);
		s->rest = NULL;
	}
	return r;
}

/* The part that is left, `done` bytes being gone. */
static int keep_rest(
	struct stream *s, const uint8_t *head, const struct mp__outgoing *m, size_t done)
{
	size_t left = MP__HEAD_SIZE + m->size - done;
	size_t of_head = done < MP__HEAD_SIZE ? MP__HEAD_SIZE - done : 0;
	size_t of_data = left - of_head;

	s->rest = malloc(left);
	if (!s->rest) {
		/* Nothing that could follow would be understood. */
		s->out_broken = -EPIPE;
		shutdown(s->fd, SHUT_WR);
		return mp_error_set(
			-ENOMEM, "no memory to keep %zu bytes: the connection ends", left);
	}
	memcpy(s->rest, head + MP__HEAD_SIZE - of_head, of_head);
	if (of_data > 0)
		memcpy(s->rest + of_head, (const char *)m->data + m->size - of_data, of_data);
	s->rest_at = 0;
	s->rest_size = left;
	return mp_error_set(
		-EINPROGRESS, "a part of the message has left, %zu bytes will follow", left);
}

static int stream_send(
	struct mp_connection *c, const struct mp__outgoing *message, mp__deadline deadline)
{
	const struct mp__head head = {.length = message->size, .kind = (uint8_t)message->kind};
	struct stream *s = stream_of(c);
	uint8_t bytes[MP__HEAD_SIZE];
	size_t done = 0;

	if (message->n_fds > 0)
		return mp_error_set(-ENOTSUP, "sending: handles do not travel over a stream "
					      "socket; use a Unix socket or a pipe");
	mp__head_write(bytes, &head);
	struct iovec iov[2] = {
		{bytes, MP__HEAD_SIZE},
		{(void *)message->data, message->size},
	};
	int r = take_out(s, deadline);
	if (r < 0)
		return r;
	r = flush(s, deadline);
	if (r == 0)
		r = push(s, iov, message->size > 0 ? 2 : 1, deadline, &done);
	if (r < 0 && r != -EPIPE && done > 0)
		r = keep_rest(s, bytes, message, done);
	mp__fork_lock_release(&s->out_lock);
	return r;
}

/* --- receiving -------------------------------------------------------------------------------- */

static void next_message(struct stream *s)
{
	s->head_size = 0;
	s->size = 0;
	s->complete = false;
	if (s->room > ROOM_FIRST) {
		free(s->body);
		s->body = NULL;
		s->room = 0;
	}
}

static int take_in(struct stream *s, mp__deadline deadline)
{
	int r = mp__fork_lock_take(&s->in_lock, deadline);

	if (r > 0) {
		/* A whole one is the parent's, and gone from the socket; a part is in the way. */
		if (s->head_size > 0 && !s->complete)
			s->in_broken = -EBUSY;
		next_message(s);
	}
	return r < 0 ? mp_error_set(r, "receiving: another thread has been at it all the time") : 0;
}

/* Up to `size` bytes; -EAGAIN none yet. */
static ssize_t pull(struct stream *s, uint8_t *at, size_t size)
{
	ssize_t n;

	do
		n = recv(s->fd, at, size, MSG_DONTWAIT);
	while (n < 0 && errno == EINTR);
	if (n > 0)
		return n;
	if (n < 0)
		return errno == EAGAIN ? -EAGAIN : mp__socket_error("receiving a message");
	return s->head_size == 0 ? mp__socket_gone()
				 : mp_error_set(-EPIPE, "the other side ended within a message");
}

static int parse(struct stream *s)
{
	int r = mp__head_read(s->head_bytes, s->connection.max_message, false, &s->head);

	if (r == 0 && (s->head.flags != 0 || s->head.n_fds != 0))
		r = mp_error_set(-EBADMSG, "a stream carries no descriptors");
	if (r == 0 && s->head.kind == MP__MESSAGE_HANDSHAKE && s->head.length != MP__AUTH_SIZE)
		r = mp_error_set(-EBADMSG, "receiving: what came over the connection is no "
					   "message; nothing more can be received");
	return r;
}

static int grow(struct stream *s)
{
	size_t room = s->room < ROOM_FIRST ? ROOM_FIRST : s->room * 2;

	if (room > s->head.length)
		room = s->head.length > ROOM_FIRST ? s->head.length : ROOM_FIRST;
	uint8_t *body = realloc(s->body, room);
	if (!body)
		return mp_error_set(
			-ENOMEM, "no memory for a message of %zu bytes", (size_t)s->head.length);
	s->body = body;
	s->room = room;
	return 0;
}

/* Take what is there of the message, with in_lock held. 0 it is complete, -EAGAIN more must come. */
static int fetch(struct stream *s)
{
	while (s->head_size < MP__HEAD_SIZE) {
		ssize_t n = pull(s, s->head_bytes + s->head_size, MP__HEAD_SIZE - s->head_size);
		if (n < 0)
			return (int)n;
		s->head_size += (size_t)n;
		if (s->head_size == MP__HEAD_SIZE) {
			int r = parse(s);
			if (r < 0) {
				s->in_broken = r;
				return r;
			}
		}
	}
	while (s->size < s->head.length || s->room == 0) {
		if (s->size == s->room) {
			int r = grow(s);
			if (r < 0)
				return r;
			continue;
		}
		size_t want = s->head.length - s->size;
		if (want > s->room - s->size)
			want = s->room - s->size;
		ssize_t n = pull(s, s->body + s->size, want);
		if (n < 0)
			return (int)n;
		s->size += (size_t)n;
	}
	if (s->head.kind == MP__MESSAGE_HANDSHAKE) {
		s->in_broken = mp__auth_refusal(s->body, s->size);
		return s->in_broken;
	}
	s->complete = true;
	return 0;
}

static int broken(const struct stream *s)
{
	return s->in_broken == -EBUSY
		       ? foreign_part()
		       : mp_error_set(s->in_broken, "the connection has ended with: %s",
				 mp_strerror(s->in_broken));
}

/* What the other side may be waiting for goes out while we wait for it. */
static int wait_in(struct stream *s, mp__deadline deadline)
{
	struct mp__deadline now = {0};
	bool has_rest = false;

	if (take_out(s, now) == 0) {
		has_rest = s->rest && flush(s, now) == -ETIMEDOUT;
		mp__fork_lock_release(&s->out_lock);
	}
	return mp__fd_wait(s->fd, has_rest ? POLLIN | POLLOUT : POLLIN, deadline);
}

static int stream_look(struct mp_connection *c, mp__deadline deadline, struct mp__incoming *ret)
{
	struct stream *s = stream_of(c);

	for (;;) {
		int r = take_in(s, deadline);
		if (r < 0)
			return r;
		r = s->in_broken < 0 ? broken(s) : s->complete ? 0 : fetch(s);
		if (r == 0)
			break;
		mp__fork_lock_release(&s->in_lock);
		if (r != -EAGAIN)
			return r;
		r = wait_in(s, deadline);
		if (r == -ETIMEDOUT)
			return mp_error_set(r, "receiving: no message came");
		if (r < 0)
			return r;
	}
	*ret = (struct mp__incoming){
		.kind = s->head.kind,
		.data = s->body,
		.size = s->size,
		.cargo = &s->cargo,
	};
	return 0;
}

static void stream_release(struct mp_connection *c, bool taken)
{
	struct stream *s = stream_of(c);

	if (taken)
		next_message(s);
	mp__fork_lock_release(&s->in_lock);
}

static int stream_poll(struct mp_connection *c, mp__deadline deadline)
{
	struct stream *s = stream_of(c);

	int r = take_in(s, deadline);
	if (r < 0)
		return r == -ETIMEDOUT ? 0 : r;
	bool ready = s->complete || s->in_broken < 0;
	mp__fork_lock_release(&s->in_lock);
	if (ready)
		return 1;
	r = mp__fd_wait(s->fd, POLLIN, deadline);
	return r == -ETIMEDOUT ? 0 : r < 0 ? r : 1;
}

static bool stream_holds(struct mp_connection *c)
{
	struct stream *s = stream_of(c);

	if (take_in(s, mp__deadline_in(0)) < 0)
		return false; /* somebody receives just now */
	bool ready = s->complete || s->in_broken < 0;
	mp__fork_lock_release(&s->in_lock);
	return ready;
}

/* --- the rest --------------------------------------------------------------------------------- */

static int stream_watch(
	struct mp_connection *c, short *ret_events, struct mp__watched_bell **ret_bell)
{
	*ret_events = POLLIN;
	*ret_bell = NULL;
	return stream_of(c)->fd;
}

static int stream_fileno(struct mp_connection *c)
{
	return stream_of(c)->fd;
}

static int stream_shutdown(struct mp_connection *c)
{
	struct stream *s = stream_of(c);

	int r = take_out(s, MP__DEADLINE_NEVER);
	if (r < 0)
		return r;
	if (s->rest)
		r = mp_error_set(-EBUSY, "ending a connection: a part of a message is still to be "
					 "sent; send once more first");
	else if (shutdown(s->fd, SHUT_WR) < 0)
		r = mp__socket_error("ending a connection");
	mp__fork_lock_release(&s->out_lock);
	return r;
}

static void stream_destroy(struct mp_connection *c)
{
	struct stream *s = stream_of(c);

	close(s->fd);
	free(s->body);
	free(s->rest);
	free(s);
}

/* Between messages the socket is all there is. */
static int stream_export(struct mp_connection *c, struct mp__handle_wire *ret_wire)
{
	struct stream *s = stream_of(c);
	bool within;

	int r = take_in(s, MP__DEADLINE_NEVER);
	if (r < 0)
		return r;
	within = s->head_size > 0;
	mp__fork_lock_release(&s->in_lock);
	r = take_out(s, MP__DEADLINE_NEVER);
	if (r < 0)
		return r;
	within = within || s->rest;
	mp__fork_lock_release(&s->out_lock);
	return within ? mp_error_set(-EBUSY, "a handle of the connection: a message was received "
					     "or sent in part; finish it first")
		      : mp__socket_export(c, s->fd, ret_wire);
}

static int stream_credentials(struct mp_connection *c, pid_t *pid, uid_t *uid, gid_t *gid)
{
	return mp__socket_credentials(stream_of(c)->fd, pid, uid, gid);
}

static const struct mp__conn_ops stream_ops = {
	.send = stream_send,
	.look = stream_look,
	.release = stream_release,
	.poll = stream_poll,
	.holds = stream_holds,
	.watch = stream_watch,
	.fileno = stream_fileno,
	.shutdown = stream_shutdown,
	.destroy = stream_destroy,
	.export = stream_export,
	.credentials = stream_credentials,
};

int mp__stream_new(int fd, int direction, size_t max_message, struct mp_connection **ret_connection)
{
	struct stream *s = calloc(1, sizeof(*s));

	if (!s)
		return mp_error_set(-ENOMEM, "no memory for a connection");
	mp__conn_init(&s->connection, &stream_ops, direction, max_message);
	mp__fork_lock_init(&s->in_lock);
	mp__fork_lock_init(&s->out_lock);
	s->fd = fd;
	*ret_connection = &s->connection;
	return 0;
}
