/* SPDX-License-Identifier: MIT */
/*
 * Accepting: one look at a time at whoever says something, under the lock and without waiting; the
 * waiting is done outside, on the epoll set, by as many threads as like.
 */
#include <config.h>

#include "base/error.h"
#include "base/fds.h"
#include "base/log.h"
#include "conn/connection.h"
#include "conn/listener.h"
#include "conn/socket.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <sys/epoll.h>

#define LISTENING UINT64_MAX
#define REMARK_SIZE 300
/* How much MP_NOWAIT does before it says that nobody is ready: a flood must not hold it. */
#define TURNS_NOWAIT 256

/* What one look brought. */
struct turn {
	mp_connection *connection;
	char remark[REMARK_SIZE]; /* for the log, once the lock is free */
};

/* --- guests ----------------------------------------------------------------------------------- */

static void count(mp_listener *l, uint64_t *counter, struct turn *turn)
{
	(*counter)++;
	snprintf(turn->remark, sizeof(turn->remark), "%s: somebody was dropped: %s", l->place.text,
		mp_error_detail());
}

static void let_go(struct mp__guest *guest)
{
	close(guest->fd); /* that takes it out of the epoll set: nobody else has it */
	guest->fd = -1;
}

static void too_late(mp_listener *l, struct mp__guest *guest, const char *why, struct turn *turn)
{
	mp_error_set(-ETIMEDOUT, "%s", why);
	count(l, &l->stats.late, turn);
	let_go(guest);
}

/* A place for one more; who has been there longest has to go if there is none. */
static struct mp__guest *find_place(mp_listener *l, struct turn *turn)
{
	struct mp__guest *oldest = &l->guests[0];

	for (size_t i = 0; i < l->max_guests; i++) {
		if (l->guests[i].fd < 0)
			return &l->guests[i];
		if (l->guests[i].deadline.ns < oldest->deadline.ns)
			oldest = &l->guests[i];
	}
	too_late(l, oldest, "others came, and it had not begun", turn);
	return oldest;
}

/* Also when the next one is due. */
static mp__deadline expire(mp_listener *l, struct turn *turn)
{
	mp__deadline next = MP__DEADLINE_NEVER;
	int64_t now = 0;

	for (size_t i = 0; i < l->max_guests; i++) {
		struct mp__guest *guest = &l->guests[i];
		if (guest->fd < 0)
			continue;
		if (now == 0)
			now = mp__now_ns();
		if (guest->deadline.ns <= now)
			too_late(l, guest, "it did not begin in time", turn);
		else if (guest->deadline.ns < next.ns)
			next = guest->deadline;
	}
	return next;
}

/* The handshake is done. */
static int admit(mp_listener *l, struct mp__guest *guest, struct turn *turn)
{
	(void)epoll_ctl(l->epoll, EPOLL_CTL_DEL, guest->fd, NULL);
	int r = mp__socket_connection(
		guest->fd, MP_CONNECTION_DUPLEX, l->max_message, &turn->connection);
	if (r < 0) {
		count(l, &l->stats.dropped, turn);
		let_go(guest);
		return r;
	}
	guest->fd = -1;
	l->stats.accepted++;
	return 0;
}

/* Somebody has said something: hear it. */
static int serve(mp_listener *l, struct mp__guest *guest, struct turn *turn)
{
	int r = mp__handshake_step(&guest->handshake, guest->fd);

	if (r > 0)
		return admit(l, guest, turn);
	if (r == -EAGAIN)
		return 0;
	count(l, r == -EKEYREJECTED ? &l->stats.refused : &l->stats.broken, turn);
	let_go(guest);
	return 0;
}

/* --- new ones --------------------------------------------------------------------------------- */

/* In the backlog it would wake us for ever: take it with the spare descriptor, and close it. */
static void turn_away(mp_listener *l, struct turn *turn)
{
	if (l->spare >= 0)
		close(l->spare);
	int fd = accept4(l->place.fd, NULL, NULL, SOCK_CLOEXEC);
	if (fd >= 0)
		close(fd);
	l->spare = mp__listener_spare();
	if (fd < 0)
		return;
	mp_error_set(-EMFILE, "accepting a client: no descriptor is left, it was turned away; "
			      "raise RLIMIT_NOFILE");
	count(l, &l->stats.dropped, turn);
}

static int welcome(mp_listener *l, struct turn *turn)
{
	const int on = 1;

	int fd = mp__fd_above_std(accept4(l->place.fd, NULL, NULL, SOCK_CLOEXEC));
	if (fd < 0) {
		if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)
			turn_away(l, turn);
		return 0; /* else somebody was quicker, or it has gone */
	}
	struct mp__guest *guest = find_place(l, turn);
	struct epoll_event event = {
		.events = EPOLLIN,
		.data.u64 = (uint64_t)(guest - l->guests),
	};
	guest->fd = fd;
	guest->deadline = mp__deadline_in(l->handshake_ms);
	if (l->place.at.type == SOCK_STREAM) {
		(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
		(void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
	}
	int r = mp__handshake_start(&guest->handshake, fd, l->place.at.type == SOCK_SEQPACKET,
		MP__AUTH_LISTENER, l->key, l->key_size);
	if (r == 0 && epoll_ctl(l->epoll, EPOLL_CTL_ADD, fd, &event) < 0)
		r = mp__error_errno("watching a new connection");
	if (r < 0) {
		count(l, &l->stats.dropped, turn);
		let_go(guest);
		return 0;
	}
	/* As a rule it has said its first word already. */
	return serve(l, guest, turn);
}

/* One look. 0 something was done or not; *ret_due: look again then at the latest. */
static int look(mp_listener *l, struct turn *turn, mp__deadline *ret_due)
{
	struct epoll_event event;

	int n = epoll_wait(l->epoll, &event, 1, 0);
	int r = 0;
	if (n > 0 && event.data.u64 == LISTENING)
		r = welcome(l, turn);
	else if (n > 0 && l->guests[event.data.u64].fd >= 0)
		r = serve(l, &l->guests[event.data.u64], turn);
	*ret_due = n > 0 ? (mp__deadline){0} : expire(l, turn);
	return r;
}

int mp_listener_accept(mp_listener *l, int timeout_ms, mp_connection **ret_connection)
{
	mp__deadline deadline = mp__deadline_in(timeout_ms);
	int turns = 0;

	if (!ret_connection)
		return mp__conn_no_place();
	for (;;) {
		struct turn turn = {.connection = NULL, .remark = ""};
		mp__deadline due;
		int r = mp__listener_take(l, deadline);
		if (r == 0) {
			r = look(l, &turn, &due);
			int epoll = l->epoll;
			mp__fork_lock_release(&l->lock);
			if (turn.remark[0])
				mp__log(MP_LOG_INFO, "listener", "%s", turn.remark);
			if (turn.connection) {
				*ret_connection = turn.connection;
				return 0;
			}
			if (r < 0)
				return r;
			/* While there is something to do it is done before anything is waited for. */
			if (due.ns == 0 &&
				(timeout_ms == MP_NOWAIT ? turns++ < TURNS_NOWAIT
							 : !mp__deadline_passed(deadline)))
				continue;
			r = mp__fd_wait(epoll, POLLIN, due.ns < deadline.ns ? due : deadline);
			if (r == 0 || (r == -ETIMEDOUT && !mp__deadline_passed(deadline)))
				continue;
		}
		if (r == -ETIMEDOUT)
			return mp_error_set(timeout_ms == MP_NOWAIT ? -EAGAIN : r,
				"nobody connected to %s", l->place.text);
		return r;
	}
}
