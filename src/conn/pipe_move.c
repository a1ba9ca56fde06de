/* SPDX-License-Identifier: MIT */
/* Messages into a pipe and out of it; the steps and their order stand in pipe_layout.h. */
#include <config.h>

#include "base/error.h"
#include "base/fds.h"
#include "base/spin.h"
#include "base/testpoint.h"
#include "conn/message.h"
#include "conn/pipe_end.h"
#include "sync/waiting.h"

#include <limits.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

/*
 * What honest sides never have under way: a call goes no further with what a hostile one pours in
 * while we look, because it would never come to its deadline. More records than a ring has room for;
 * more packets than a socket.
 */
#define RECORDS_MAX (MP__PIPE_RING / MP__PIPE_RECORD)
#define PACKETS_MAX 4096
/*
 * Who waits asks after so long whether the senders live. Longer than a tick of the kernel, or each
 * sleep programs the clock's hardware, which costs a microsecond or two in a virtual machine.
 */
#define FIRST_SLEEP_MS 20

static int gone(void)
{
	return mp_error_set(-EPIPE, "the other side of the pipe is closed or dead");
}

/* What the kernel says of the other end's holders. */
static bool socket_says(struct mp__pipe_end *e, short event)
{
	struct pollfd p = {.fd = e->fd, .events = event};

	return poll(&p, 1, 0) > 0 && (p.revents & event);
}

/* --- sending ---------------------------------------------------------------------------------- */

static bool receivers_are_gone(struct mp__pipe_end *e)
{
	return socket_says(e, POLLHUP);
}

/*
 * A message into the void would be lost without a word. So the kernel is asked when somebody has
 * left, and once for each head at which messages lie unread; not for each message.
 */
static int check_receivers(struct mp__pipe_end *e)
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
static bool wake_pollers(struct mp__pipe_end *e)
{
	static const struct mp__outgoing wake = {.kind = MP__MESSAGE_WAKE};

	return e->packets->ops->send(e->packets, &wake, mp__deadline_in(0)) == 0;
}

static void commit(struct mp__pipe_end *e, const struct mp__record *record)
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
static int send_inside(struct mp__pipe_end *e, struct mp__outgoing *m, struct mp__record *record)
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

static int try_send(struct mp__pipe_end *e, struct mp__outgoing *m, struct mp__record *record,
	mp__deadline deadline)
{
	struct mp__pipe_ring *w = e->out.words;

	int r = mp__guard_enter_seeing(
		&w->sending, deadline, (struct mp__guard_signs){&w->tail, sizeof(w->tail)});
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
		mp__watched_bell_ring(&w->data, INT_MAX);
	return r;
}

/* Until there may be room. The socket has no bell: it is asked itself. */
static int wait_for_room(
	struct mp__pipe_end *e, uint32_t heard, bool outside, bool again, mp__deadline deadline)
{
	int r = 0;

	if (receivers_are_gone(e))
		return gone();
	if (outside && !socket_says(e, POLLOUT)) {
		r = mp__fd_wait(e->fd, POLLOUT, deadline);
	} else {
		mp__waiting_begin_for(e->out.words, MP__MAGIC_PIPE, NULL, again);
		r = mp__bell_sleep(&e->out.words->space, heard, deadline);
		mp__waiting_end();
	}
	if (r == -ETIMEDOUT)
		return mp_error_set(r, "sending: the pipe is full");
	return r;
}

int mp__pipe_send(
	struct mp_connection *c, const struct mp__outgoing *message, mp__deadline deadline)
{
	struct mp__pipe_end *e = mp__pipe_end_of(c);
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
	for (bool again = false; r == -EAGAIN; again = true) {
		uint32_t heard = mp__bell_listen(&e->out.words->space);
		r = try_send(e, &m, &record, deadline);
		if (r != -EAGAIN)
			break;
		r = wait_for_room(e, heard, record.outside, again, deadline);
		if (r == 0)
			r = -EAGAIN;
	}
	return r;
}

/* --- receiving -------------------------------------------------------------------------------- */

/*
 * Nothing is there, and nothing can come any more? In this order: what was sent last counts. Only the
 * socket knows of senders that were killed; to ask it is a system call.
 */
static bool at_end(struct mp__pipe_end *e, bool ask)
{
	bool closed = atomic_load_explicit(&e->in.words->closed, memory_order_acquire) ||
		      (ask && socket_says(e, POLLRDHUP | POLLHUP));

	return closed && mp__ring_is_empty(&e->in);
}

void mp__pipe_leave_receiving(struct mp__pipe_end *e)
{
	mp__guard_leave_and_look(&e->in.words->receiving);
	mp__bell_ring(&e->in.words->space, INT_MAX);
}

/* A wake is the next thing in the socket: take it out. Inside the guard. */
static bool hear_wake(struct mp__pipe_end *e)
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
static void silence(struct mp__pipe_end *e)
{
	struct mp__pipe_ring *w = e->in.words;

	if (e->pollable < 0 || mp__guard_enter(&w->receiving, mp__deadline_in(0)) < 0)
		return;
	bool empty = mp__ring_is_empty(&e->in);
	if (empty && e->first >= 0) {
		close(e->first);
		e->first = -1;
	}
	int r = empty && socket_says(e, POLLIN) ? mp__guard_enter(&w->sending, mp__deadline_in(0))
						: -EAGAIN;
	if (r == MP_OWNER_DIED)
		atomic_fetch_add_explicit(&w->next_tag, 1, memory_order_relaxed);
	if (r >= 0) {
		for (int i = 0; i < PACKETS_MAX && mp__ring_is_empty(&e->in) && hear_wake(e); i++)
			;
		atomic_store(&w->heard, atomic_load(&w->wakes));
		mp__guard_leave(&w->sending);
	}
	mp__pipe_leave_receiving(e);
}

static int enter_receiving(struct mp__pipe_end *e, mp__deadline deadline)
{
	struct mp__pipe_ring *w = e->in.words;

	return mp__guard_enter_seeing(
		&w->receiving, deadline, (struct mp__guard_signs){&w->head, sizeof(w->head)});
}

/* Until the ring has something: 0; -EPIPE at its end; -ETIMEDOUT. Holds no guard. */
static int wait_for_message(struct mp__pipe_end *e, mp__deadline deadline)
{
	struct mp__spin spin = mp__spin_begin();
	mp__deadline first = deadline;
	bool some;

	while (!(some = !mp__ring_is_empty(&e->in)) && deadline.ns != 0 && mp__spin_on(&spin))
		;
	mp__spin_end(&spin, some);
	if (!some) {
		silence(e);
		first = mp__deadline_slice_about(deadline, FIRST_SLEEP_MS);
	}
	for (bool again = false; !some; again = true) {
		uint32_t heard = mp__bell_listen(&e->in.words->data.bell);
		if (!mp__ring_is_empty(&e->in))
			break;
		/* As a rule the answer comes before it is worth asking whether it can. */
		bool ask = (again || deadline.ns == 0) && mp__deadline_passed(first);
		int r = 0;
		if (at_end(e, ask))
			return gone();
		mp__waiting_begin_for(e->in.words, MP__MAGIC_PIPE, NULL, again);
		if (ask)
			r = mp__bell_sleep(&e->in.words->data.bell, heard, deadline);
		else
			mp__bell_doze(&e->in.words->data.bell, heard, first);
		mp__waiting_end();
		some = !mp__ring_is_empty(&e->in);
		if (r < 0 && !some && ask)
			return mp_error_set(r, "receiving: no message came");
	}
	return 0;
}

/* The message in the socket that the record at head names: 0; -EAGAIN it is not there. */
static int look_in_socket(struct mp__pipe_end *e, struct mp__incoming *ret)
{
	int r;

	for (int i = 0; (r = e->packets->ops->look(e->packets, mp__deadline_in(0), ret)) == 0;
		i++) {
		if (ret->tag == e->record.tag && ret->kind == e->record.kind &&
			ret->size == e->record.size)
			return 0;
		if (ret->kind == MP__MESSAGE_WAKE)
			atomic_fetch_add(&e->in.words->heard, 1);
		e->packets->ops->release(e->packets, true);
		if (i == PACKETS_MAX)
			return -EAGAIN;
	}
	return r == -ETIMEDOUT || r == -EPIPE ? -EAGAIN : r;
}

static void take(struct mp__pipe_end *e)
{
	struct mp__pipe_ring *w = e->in.words;
	uint32_t wakes = atomic_load(&w->wakes);

	MP__TEST_POINT("pipe.take");
	mp__ring_take(&e->in, &e->record);
	MP__TEST_POINT("pipe.taken");
	for (int i = 0; i < PACKETS_MAX && atomic_load(&w->heard) != wakes &&
			mp__ring_is_empty(&e->in) && hear_wake(e);
		i++)
		atomic_fetch_add(&w->heard, 1);
}

/* Inside the guard: show what is at head. -EAGAIN nothing. */
static int look_inside(struct mp__pipe_end *e, struct mp__incoming *ret)
{
	int r = -EAGAIN;

	for (uint64_t i = 0; i <= RECORDS_MAX; i++) {
		r = mp__ring_look(&e->in, e->connection.max_message, &e->record);
		if (r < 0)
			return r;
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
		if (r == -ENOMEM)
			return r;
		/* It left with a process that died, or it cannot be received: it is gone. */
		take(e);
		if (r != -EAGAIN)
			return r;
	}
	return r;
}

int mp__pipe_look(struct mp_connection *c, mp__deadline deadline, struct mp__incoming *ret)
{
	struct mp__pipe_end *e = mp__pipe_end_of(c);

	for (;;) {
		int r = wait_for_message(e, deadline);
		if (r == 0)
			r = enter_receiving(e, deadline);
		if (r < 0)
			return r;
		r = look_inside(e, ret);
		if (r == 0)
			return 0;
		bool flood = r == -EAGAIN && !mp__ring_is_empty(&e->in);
		mp__pipe_leave_receiving(e);
		if (r != -EAGAIN)
			return r;
		if (flood && mp__deadline_passed(deadline))
			return mp_error_set(
				-ETIMEDOUT, "receiving: no message came, but much that is none");
	}
}

int mp__pipe_read(struct mp_connection *c, void *buffer)
{
	struct mp__pipe_end *e = mp__pipe_end_of(c);

	if (e->in_socket)
		return e->packets->ops->read(e->packets, buffer);
	mp__ring_read(&e->in, &e->record, buffer);
	return 0;
}

void mp__pipe_release(struct mp_connection *c, bool taken)
{
	struct mp__pipe_end *e = mp__pipe_end_of(c);

	if (e->in_socket)
		e->packets->ops->release(e->packets, taken);
	if (taken)
		take(e);
	mp__pipe_leave_receiving(e);
}

int mp__pipe_poll(struct mp_connection *c, mp__deadline deadline)
{
	int r = wait_for_message(mp__pipe_end_of(c), deadline);

	return r == -ETIMEDOUT ? 0 : 1;
}
