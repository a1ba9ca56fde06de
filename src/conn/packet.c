/* SPDX-License-Identifier: MIT */
/*
 * Connections over Unix sockets that keep boundaries (SOCK_SEQPACKET): one message is one packet.
 *
 * So the kernel does what a protocol would have to do badly. A message arrives whole or not at all,
 * however its sender ends; it is never torn when it runs out of time; and threads and processes
 * that share an end never mix theirs up: each message goes to exactly one receiver. There is no lock
 * around sending.
 *
 * What is longer than a packet: its beginning stands in the packet, the rest in a sealed memfd that
 * travels with it. (The beginning makes the kernel count such messages against the socket's
 * buffer, so that a few of them stop the sender, as they should.) More descriptors than one
 * packet carries: they are queued in a socket pair, an end of which travels.
 */
#include <config.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/fds.h"
#include "base/fork_lock.h"
#include "base/testpoint.h"
#include "conn/auth.h"
#include "conn/descriptors.h"
#include "conn/message.h"
#include "conn/socket.h"

#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>

/*
 * The longest packet: 64 KiB is what the kernel puts into a packet without asking for more than a
 * few neighbouring pages.
 */
#define PACKET_MAX ((size_t)64 << 10)
/* Descriptors of a message that there is room for from the start. */
#define CARGO_FIRST 8

struct packet {
	struct mp_connection connection;
	int fd;
	bool beside_pipe;
	size_t inline_max; /* bytes of a message that go into a packet of this socket */
	/* A message that came and was not taken yet; under the lock, in the process that got it. */
	struct mp__fork_lock lock;
	bool pending;
	struct mp__head head;
	size_t inline_size;
	int rest; /* memfd with the end of the message, or -1 */
	struct mp__cargo cargo;
	uint8_t *space; /* PACKET_MAX bytes, from the first look on: the packet */
};

static struct packet *packet_of(struct mp_connection *c)
{
	return (struct packet *)c;
}

/* --- sending ---------------------------------------------------------------------------------- */

/* What a message is as a packet. */
struct parcel {
	uint8_t head[MP__HEAD_SIZE];
	const void *data;
	size_t inline_size;
	int rest;
	int envelope;
	const int *fds;
	size_t n_fds;
	int own_fds[2]; /* rest and envelope, where fds points then */
	int *all_fds;   /* rest in front of the handles' own */
};

static void unwrap(struct parcel *parcel)
{
	if (parcel->rest >= 0)
		close(parcel->rest);
	if (parcel->envelope >= 0)
		close(parcel->envelope);
	free(parcel->all_fds);
}

/* The descriptors in their order: rest, and then the handles' or the envelope with them. */
static int wrap_fds(struct parcel *parcel, const struct mp__outgoing *message)
{
	size_t own = parcel->rest >= 0;

	parcel->fds = message->fds;
	parcel->n_fds = message->n_fds;
	if (message->n_fds + own > MP__FDS_MAX) {
		parcel->envelope = mp__envelope_new(message->fds, message->n_fds);
		if (parcel->envelope < 0)
			return parcel->envelope;
		parcel->own_fds[own] = parcel->envelope;
		parcel->own_fds[0] = own ? parcel->rest : parcel->envelope;
		parcel->fds = parcel->own_fds;
		parcel->n_fds = own + 1;
	} else if (own) {
		parcel->all_fds = malloc((message->n_fds + 1) * sizeof(int));
		if (!parcel->all_fds)
			return mp_error_set(-ENOMEM, "no memory for descriptors to send");
		parcel->all_fds[0] = parcel->rest;
		if (message->n_fds > 0)
			memcpy(parcel->all_fds + 1, message->fds, message->n_fds * sizeof(int));
		parcel->fds = parcel->all_fds;
		parcel->n_fds = message->n_fds + 1;
	}
	return 0;
}

static int wrap(struct packet *p, const struct mp__outgoing *message, struct parcel *parcel)
{
	parcel->rest = parcel->envelope = -1;
	parcel->all_fds = NULL;
	parcel->data = message->data;
	parcel->inline_size = message->size;
	if (message->size > p->inline_max) {
		parcel->inline_size = p->inline_max;
		parcel->rest = mp__memfd_sealed("libmp-message",
			(const char *)message->data + p->inline_max, message->size - p->inline_max);
		if (parcel->rest < 0)
			return parcel->rest;
		MP__TEST_POINT("conn.send.rest");
	}
	int r = wrap_fds(parcel, message);
	if (r < 0)
		return r;
	const struct mp__head head = {
		.length = message->size,
		.kind = (uint8_t)message->kind,
		.flags = (parcel->rest >= 0 ? MP__HEAD_LONG : 0) |
			 (parcel->envelope >= 0 ? MP__HEAD_ENVELOPE : 0),
		.n_fds = (uint32_t)message->n_fds,
		.tag = message->tag,
	};
	mp__head_write(parcel->head, &head);
	return 0;
}

static int post(struct packet *p, const struct parcel *parcel, mp__deadline deadline)
{
	struct mp__control control;
	struct iovec iov[2] = {
		{.iov_base = (void *)parcel->head, .iov_len = MP__HEAD_SIZE},
		{.iov_base = (void *)parcel->data, .iov_len = parcel->inline_size},
	};
	struct msghdr message = {.msg_iov = iov, .msg_iovlen = parcel->inline_size ? 2 : 1};

	if (parcel->n_fds > 0)
		mp__control_fill(&control, parcel->fds, parcel->n_fds, &message);
	for (;;) {
		if (sendmsg(p->fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0)
			return 0;
		if (errno == EINTR)
			continue;
		if (errno != EAGAIN)
			return mp__socket_error("sending a message");
		int r = mp__fd_wait(p->fd, POLLOUT, deadline);
		if (r == -ETIMEDOUT)
			return mp_error_set(
				r, "sending: the other side takes no more messages just now");
		if (r < 0)
			return r;
	}
}

static int packet_send(
	struct mp_connection *c, const struct mp__outgoing *message, mp__deadline deadline)
{
	struct packet *p = packet_of(c);
	struct parcel parcel;

	int r = wrap(p, message, &parcel);
	if (r == 0)
		r = post(p, &parcel, deadline);
	MP__TEST_POINT("conn.send.sent");
	unwrap(&parcel);
	return r;
}

/* --- receiving -------------------------------------------------------------------------------- */

static void drop(struct packet *p)
{
	mp__fds_close(p->cargo.fds, p->cargo.n_fds);
	p->cargo.n_fds = 0;
	if (p->rest >= 0)
		close(p->rest);
	p->rest = -1;
	p->pending = false;
}

/* What a fork copied of a message that its process was about to take is not ours. */
static int take_lock(struct packet *p, mp__deadline deadline)
{
	int r = mp__fork_lock_take(&p->lock, deadline);

	if (r > 0)
		drop(p);
	return r < 0 ? mp_error_set(r, "receiving: another thread has been at it all the time") : 0;
}

static int damaged(const char *what)
{
	return mp_error_set(-EBADMSG, "a message is damaged: %s", what);
}

/* A memfd that is complete and stays as it is: reading it never waits and always succeeds. */
static bool is_rest(int fd, uint64_t size)
{
	const int wanted = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE;
	int seals = fcntl(fd, F_GET_SEALS);
	struct stat st;

	return seals >= 0 && (seals & wanted) == wanted && fstat(fd, &st) == 0 &&
	       (uint64_t)st.st_size == size;
}

/* Sort descriptors that came along; p->cargo has all of them. */
static int sort_fds(struct packet *p)
{
	if (p->head.flags & MP__HEAD_LONG) {
		if (p->cargo.n_fds == 0 || p->head.length <= p->inline_size ||
			!is_rest(p->cargo.fds[0], p->head.length - p->inline_size))
			return damaged("its end is missing");
		p->rest = p->cargo.fds[0];
		memmove(p->cargo.fds, p->cargo.fds + 1, --p->cargo.n_fds * sizeof(int));
	} else if (p->head.length != p->inline_size) {
		return damaged("its length is another than it says");
	}
	if (p->head.flags & MP__HEAD_ENVELOPE) {
		if (p->cargo.n_fds != 1)
			return damaged("it has no envelope");
		MP__AUTO_CLOSE int envelope = p->cargo.fds[0];
		p->cargo.n_fds = 0;
		return mp__envelope_open(envelope, p->head.n_fds, &p->cargo);
	}
	return p->cargo.n_fds == p->head.n_fds ? 0 : damaged("descriptors are missing");
}

/* A packet of no bytes says nothing; the end of the other side looks the same at first. */
static int nothing(struct packet *p)
{
	struct pollfd poll_end = {.fd = p->fd, .events = POLLRDHUP};

	if (poll(&poll_end, 1, 0) > 0 && poll_end.revents & (POLLRDHUP | POLLHUP))
		return mp__socket_gone();
	return damaged("it is empty");
}

static int parse(struct packet *p, size_t size)
{
	if (size < MP__HEAD_SIZE)
		return damaged("it is too short");
	int r = mp__head_read(p->space, p->connection.max_message, p->beside_pipe, &p->head);
	if (r < 0)
		return r;
	p->inline_size = size - MP__HEAD_SIZE;
	r = sort_fds(p);
	if (r == 0 && p->head.kind == MP__MESSAGE_HANDSHAKE)
		r = mp__auth_refusal(p->space + MP__HEAD_SIZE, p->inline_size);
	return r;
}

/* What any message needs, before one is taken: it would be lost without. */
static int prepare(struct packet *p)
{
	if (!p->space)
		p->space = malloc(PACKET_MAX);
	if (!p->cargo.fds)
		p->cargo.fds = malloc(CARGO_FIRST * sizeof(int));
	if (!p->space || !p->cargo.fds)
		return mp_error_set(-ENOMEM, "no memory to receive messages");
	if (p->cargo.room == 0)
		p->cargo.room = CARGO_FIRST;
	return 0;
}

/* Take the next packet out of the socket, with the lock held. -EAGAIN there is none. */
static int fetch(struct packet *p)
{
	struct mp__control control;
	ssize_t n;

	int r = prepare(p);
	if (r < 0)
		return r;
	struct iovec iov = {.iov_base = p->space, .iov_len = PACKET_MAX};
	struct msghdr message = {.msg_iov = &iov, .msg_iovlen = 1};
	do {
		mp__control_room(&control, &message);
		n = recvmsg(p->fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
		/* The other side closed before it had read all: news for who sends. Ours comes. */
	} while (n < 0 && (errno == EINTR || errno == ECONNRESET));
	if (n < 0)
		return errno == EAGAIN ? -EAGAIN : mp__socket_error("receiving a message");
	if (n == 0)
		return nothing(p);
	r = mp__control_take(&message, &p->cargo);
	if (r == 0 && message.msg_flags & MSG_TRUNC)
		r = damaged("the packet is too long");
	if (r == 0)
		r = parse(p, (size_t)n);
	if (r < 0)
		drop(p);
	else
		p->pending = true;
	return r;
}

static int packet_look(struct mp_connection *c, mp__deadline deadline, struct mp__incoming *ret)
{
	struct packet *p = packet_of(c);
	int r;

	for (;;) {
		r = take_lock(p, deadline);
		if (r < 0)
			return r;
		r = p->pending ? 0 : fetch(p);
		if (r == 0)
			break;
		mp__fork_lock_release(&p->lock);
		if (r != -EAGAIN)
			return r;
		r = mp__fd_wait(p->fd, POLLIN, deadline);
		if (r == -ETIMEDOUT)
			return mp_error_set(r, "receiving: no message came");
		if (r < 0)
			return r;
	}
	*ret = (struct mp__incoming){
		.kind = p->head.kind,
		.data = p->rest >= 0 ? NULL : p->space + MP__HEAD_SIZE,
		.size = p->head.length,
		.tag = p->head.tag,
		.cargo = &p->cargo,
	};
	return 0;
}

static int packet_read(struct mp_connection *c, void *buffer)
{
	struct packet *p = packet_of(c);
	size_t done = p->inline_size;

	memcpy(buffer, p->space + MP__HEAD_SIZE, p->inline_size);
	while (done < p->head.length) {
		ssize_t n = pread(p->rest, (char *)buffer + done, p->head.length - done,
			(off_t)(done - p->inline_size));
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return mp__error_errno("reading a long message");
		if (n == 0)
			return damaged("its end is missing");
		done += (size_t)n;
	}
	return 0;
}

static void packet_release(struct mp_connection *c, bool taken)
{
	struct packet *p = packet_of(c);

	if (taken)
		drop(p);
	mp__fork_lock_release(&p->lock);
}

static int packet_poll(struct mp_connection *c, mp__deadline deadline)
{
	struct packet *p = packet_of(c);

	int r = take_lock(p, deadline);
	if (r < 0)
		return r == -ETIMEDOUT ? 0 : r;
	bool pending = p->pending;
	mp__fork_lock_release(&p->lock);
	if (pending)
		return 1;
	r = mp__fd_wait(p->fd, POLLIN, deadline);
	return r == -ETIMEDOUT ? 0 : r < 0 ? r : 1;
}

static bool packet_holds(struct mp_connection *c)
{
	struct packet *p = packet_of(c);

	if (take_lock(p, mp__deadline_in(0)) < 0)
		return false; /* somebody receives just now */
	bool pending = p->pending;
	mp__fork_lock_release(&p->lock);
	return pending;
}

/* --- the rest --------------------------------------------------------------------------------- */

static int packet_watch(
	struct mp_connection *c, short *ret_events, struct mp__watched_bell **ret_bell)
{
	*ret_events = POLLIN;
	*ret_bell = NULL;
	return packet_of(c)->fd;
}

static int packet_fileno(struct mp_connection *c)
{
	return packet_of(c)->fd;
}

static int packet_shutdown(struct mp_connection *c)
{
	return shutdown(packet_of(c)->fd, SHUT_WR) < 0 ? mp__socket_error("ending a connection")
						       : 0;
}

static void packet_destroy(struct mp_connection *c)
{
	struct packet *p = packet_of(c);

	drop(p);
	close(p->fd);
	free(p->cargo.fds);
	free(p->space);
	free(p);
}

static int packet_export(struct mp_connection *c, struct mp__handle_wire *ret_wire)
{
	struct packet *p = packet_of(c);

	int r = take_lock(p, MP__DEADLINE_NEVER);
	if (r < 0)
		return r;
	r = p->pending ? mp_error_set(-EBUSY, "a handle of the connection: a message was looked at "
					      "here and not received; receive it first")
		       : mp__socket_export(c, p->fd, ret_wire);
	mp__fork_lock_release(&p->lock);
	return r;
}

static int packet_credentials(struct mp_connection *c, pid_t *pid, uid_t *uid, gid_t *gid)
{
	return mp__socket_credentials(packet_of(c)->fd, pid, uid, gid);
}

static const struct mp__conn_ops packet_ops = {
	.send = packet_send,
	.look = packet_look,
	.read = packet_read,
	.release = packet_release,
	.poll = packet_poll,
	.holds = packet_holds,
	.watch = packet_watch,
	.fileno = packet_fileno,
	.shutdown = packet_shutdown,
	.destroy = packet_destroy,
	.export = packet_export,
	.credentials = packet_credentials,
};

int mp__packet_beside_pipe(int fd, size_t max_message, struct mp_connection **ret_connection)
{
	int r = mp__packet_new(fd, MP_CONNECTION_DUPLEX, max_message, ret_connection);

	if (r == 0)
		packet_of(*ret_connection)->beside_pipe = true;
	return r;
}

int mp__packet_new(int fd, int direction, size_t max_message, struct mp_connection **ret_connection)
{
	int buffer;
	socklen_t size = sizeof(buffer);

	if (getsockopt(fd, SOL_SOCKET, SO_SNDBUF, &buffer, &size) < 0)
		return mp__error_errno("looking at a socket");
	struct packet *p = calloc(1, sizeof(*p));
	if (!p)
		return mp_error_set(-ENOMEM, "no memory for a connection");
	mp__conn_init(&p->connection, &packet_ops, direction, max_message);
	mp__fork_lock_init(&p->lock);
	p->fd = fd;
	p->rest = -1;
	/* The kernel takes no packet that its buffer could not hold. */
	p->inline_max = PACKET_MAX - MP__HEAD_SIZE;
	if ((size_t)buffer / 2 < p->inline_max)
		p->inline_max = (size_t)buffer / 2;
	*ret_connection = &p->connection;
	return 0;
}
