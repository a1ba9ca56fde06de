/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "manager/connection.h"

#include "base/cleanup.h"
#include "base/error.h"
#include "base/fds.h"
#include "base/futex.h"
#include "base/linger.h"
#include "base/testpoint.h"
#include "base/timed_lock.h"
#include "manager/prove.h"
#include "wire/frame.h"

#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

/* Room for a read, and how much of a large reply is asked for at a time. */
#define READ_ROOM ((size_t)16 << 10)
#define READ_STEP ((size_t)1 << 20)
/* How often a blocked sender looks whether it should read instead. */
#define SEND_SLICE_MS 20

/* What a call waits for: the reply, or its turn to read. */
enum { WORD_WAIT, WORD_READ, WORD_DONE };

struct mp__connection {
	_Atomic unsigned int references;
	int fd;
	uint64_t serial;
	_Atomic size_t max_frame;
	struct mp__timed_lock sending; /* held while a request goes out; before `lock` */
	pthread_mutex_t lock;          /* guards what follows; nobody blocks under it */
	struct mp__pending pending;    /* under way */
	bool has_reader;
	int broken;                /* 0, or the result of all further calls */
	char why[MP__DETAIL_SIZE]; /* and its sentence */
	struct mp__buffer in;      /* the reader's alone */
	struct mp__linger linger;  /* its too */
};

static _Atomic uint64_t next_serial = 1;

static struct mp__connection *connection_new(int fd)
{
	struct mp__connection *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	c->references = 1;
	c->fd = fd;
	c->serial = atomic_fetch_add(&next_serial, 1);
	c->max_frame = MP__FRAME_FIRST_MAX;
	mp__pending_init(&c->pending);
	pthread_mutex_init(&c->lock, NULL);
	return c;
}

void mp__connection_ref(struct mp__connection *connection)
{
	atomic_fetch_add_explicit(&connection->references, 1, memory_order_relaxed);
}

void mp__connection_unref(struct mp__connection *connection)
{
	/* Release: what we did with it. Acquire: what the others did, before it is freed. */
	if (!connection ||
		atomic_fetch_sub_explicit(&connection->references, 1, memory_order_acq_rel) > 1)
		return;
	pthread_mutex_destroy(&connection->lock);
	mp__connection_forget(connection);
}

void mp__connection_forget(struct mp__connection *connection)
{
	close(connection->fd);
	/* In a forked child: a thread that was reading may have been about to replace the buffer. */
	if (!connection->has_reader)
		mp__buffer_free(&connection->in);
	mp__pending_free(&connection->pending);
	free(connection);
}

uint64_t mp__connection_serial(const struct mp__connection *connection)
{
	return connection->serial;
}

bool mp__connection_is_broken(struct mp__connection *connection)
{
	pthread_mutex_lock(&connection->lock);
	bool broken = connection->broken != 0;
	pthread_mutex_unlock(&connection->lock);
	return broken;
}

/* --- calls under way; all of this under the lock ---------------------------------------------- */

/* After this the call's memory may be gone: its thread may have seen the word on its own. */
static void wake(struct mp__call *call, uint32_t word)
{
	bool sleeps = call->waits;

	atomic_store_explicit(&call->word, word, memory_order_release);
	if (sleeps)
		mp__futex_wake(&call->word, 1);
}

/* Somebody who waits becomes the reader. */
static void pass_reading(struct mp__connection *c)
{
	for (struct mp__call *call = c->pending.first; call; call = call->next) {
		if (call->waits) {
			c->has_reader = true;
			wake(call, WORD_READ);
			return;
		}
	}
	c->has_reader = false;
}

/* No request goes out any more, and no reply will come. The sentence is this thread's detail. */
static int break_connection(struct mp__connection *c, int result)
{
	if (c->broken)
		return c->broken;
	c->broken = result;
	snprintf(c->why, sizeof(c->why), "%s", mp_error_detail());
	/* Wakes who sleeps in the kernel; the descriptor stays ours until the end. */
	shutdown(c->fd, SHUT_RDWR);
	while (c->pending.first) {
		struct mp__call *call = mp__pending_take(&c->pending, c->pending.first->id);
		call->result = result;
		wake(call, WORD_DONE);
	}
	return result;
}

/* --- reading ---------------------------------------------------------------------------------- */

static int hung_up(void)
{
	return mp_error_set(
		-EPIPE, "managerd has closed the connection: it has ended, or dropped this client");
}

/* What has come, or what comes soon if `wait`, or later if `forever`. -1, EAGAIN: nothing has. */
static ssize_t receive(struct mp__connection *c, void *at, size_t room, bool wait, bool forever)
{
	bool awake = wait && mp__linger_begin(&c->linger);
	ssize_t n;

	while ((n = recv(c->fd, at, room, forever && !awake ? 0 : MSG_DONTWAIT)) < 0 &&
		errno == EAGAIN && awake)
		awake = mp__linger_on(&c->linger);
	mp__linger_end(&c->linger, awake && n >= 0); /* errno stays */
	return n;
}

/* Take in what has come; wait for it until the deadline, which may be at once (-EAGAIN). */
static int read_some(struct mp__connection *c, mp__deadline deadline, bool wait)
{
	bool forever = wait && deadline.ns == MP__DEADLINE_NEVER.ns;
	size_t length;
	size_t have = mp__buffer_size(&c->in);

	(void)mp__frame_next(mp__buffer_at(&c->in), have, SIZE_MAX, &length);
	size_t missing = MP__FRAME_HEADER + length > have ? MP__FRAME_HEADER + length - have : 0;
	size_t room = missing < READ_ROOM ? READ_ROOM : missing < READ_STEP ? missing : READ_STEP;
	uint8_t *at = mp__buffer_reserve(&c->in, room);
	if (!at)
		return mp_error_set(-ENOMEM, "no memory for a reply of managerd");
	ssize_t n = receive(c, at, room, wait, forever);
	for (;; n = recv(c->fd, at, room, forever ? 0 : MSG_DONTWAIT)) {
		if (n > 0) {
			c->in.end += (size_t)n;
			return 0;
		}
		if (n == 0 || errno == ECONNRESET)
			return hung_up();
		if (errno == EINTR)
			continue;
		if (errno != EAGAIN)
			return mp__error_errno("reading a reply of managerd");
		if (!wait)
			return -EAGAIN;
		int r = forever ? 0 : mp__fd_wait(c->fd, POLLIN, deadline);
		if (r < 0)
			return r;
	}
}

/* A reply to nobody: `asked` is the id of the latest request. */
static int unclaimed(uint64_t id, uint64_t asked, const uint8_t *message, size_t size)
{
	if (id == 0)
		return mp__reply_last_words(message, size);
	/* That of a call which has gone comes late, and is dropped. */
	return id <= asked ? 0 : mp_error_set(-EPROTO, "managerd answered what nobody has asked");
}

/* Hand out the whole replies that are there. */
static int hand_out(struct mp__connection *c)
{
	for (;;) {
		size_t length;
		int whole = mp__frame_next(
			mp__buffer_at(&c->in), mp__buffer_size(&c->in), c->max_frame, &length);
		if (whole == 0)
			return 0;
		if (whole < 0)
			return mp_error_set(-EPROTO, "managerd sent a frame that is too long");
		const uint8_t *message = mp__buffer_at(&c->in) + MP__FRAME_HEADER;
		uint64_t id = mp__frame_id(message, length);

		pthread_mutex_lock(&c->lock);
		struct mp__call *call = mp__pending_take(&c->pending, id);
		if (call) {
			call->result = mp__reply_fill(call->reply, message, length);
			wake(call, WORD_DONE);
		}
		uint64_t asked = c->pending.latest_id;
		pthread_mutex_unlock(&c->lock);
		int r = call ? 0 : unclaimed(id, asked, message, length);
		if (r < 0)
			return r;
		mp__buffer_consume(&c->in, MP__FRAME_HEADER + length);
	}
}

static int read_and_hand_out(struct mp__connection *c, mp__deadline deadline, bool wait)
{
	int r = read_some(c, deadline, wait);

	if (r == 0) {
		MP__TEST_POINT("manager.call.received");
		r = hand_out(c);
	}
	if (r < 0 && r != -ETIMEDOUT && r != -EAGAIN) {
		pthread_mutex_lock(&c->lock);
		break_connection(c, r);
		pthread_mutex_unlock(&c->lock);
	}
	return r;
}

/* --- sending ---------------------------------------------------------------------------------- */

/* Read what has come, if nobody else does. What comes without end stops at the deadline. */
static void take_in(struct mp__connection *c, mp__deadline deadline)
{
	pthread_mutex_lock(&c->lock);
	bool reads = !c->has_reader && !c->broken;
	if (reads)
		c->has_reader = true;
	pthread_mutex_unlock(&c->lock);
	if (!reads)
		return;
	while (read_and_hand_out(c, deadline, false) == 0 && !mp__deadline_passed(deadline))
		;
	pthread_mutex_lock(&c->lock);
	pass_reading(c);
	pthread_mutex_unlock(&c->lock);
}

/*
 * The socket is full. If nobody reads, that may be why: the daemon takes no requests while its
 * replies are not read.
 */
static int wait_to_send(struct mp__connection *c, mp__deadline deadline)
{
	take_in(c, deadline);
	int r = mp__fd_wait(c->fd, POLLOUT, mp__deadline_slice(deadline, SEND_SLICE_MS));
	return r == -ETIMEDOUT && !mp__deadline_passed(deadline) ? 0 : r;
}

/* Under `sending`. *ret_sent says whether anything went out. */
static int send_frame(struct mp__connection *c, const uint8_t *data, size_t size,
	mp__deadline deadline, size_t *ret_sent)
{
	size_t sent = 0;
	int r = 0;

	while (sent < size && r == 0) {
		ssize_t n = send(c->fd, data + sent, size - sent, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n >= 0) {
			sent += (size_t)n;
		} else if (errno == EAGAIN) {
			r = wait_to_send(c, deadline);
		} else if (errno == EPIPE || errno == ECONNRESET) {
			/* It may have said why, as its last word. */
			take_in(c, deadline);
			r = hung_up();
		} else if (errno != EINTR) {
			r = mp__error_errno("sending a request to managerd");
		}
	}
	*ret_sent = sent;
	return r;
}

/* Make them known as under way, unless nothing goes any more. */
static int begin_calls(
	struct mp__connection *c, struct mp__call *calls, Mp__Request *const *requests, size_t n)
{
	pthread_mutex_lock(&c->lock);
	int r = c->broken ? mp_error_set(c->broken, "%s", c->why) : 0;
	for (size_t i = 0; i < n && r == 0; i++) {
		mp__pending_add(&c->pending, &calls[i]);
		requests[i]->id = calls[i].id;
	}
	pthread_mutex_unlock(&c->lock);
	return r;
}

/* It was not, or not wholly, sent. A request that stopped in the middle breaks the connection. */
static int abort_call(struct mp__connection *c, struct mp__call *call, int result, bool begun)
{
	pthread_mutex_lock(&c->lock);
	if (c->broken && call->result < 0)
		result = mp_error_set(call->result, "%s", c->why);
	struct mp__call *left = mp__pending_take(&c->pending, call->id);
	if (!left && call->result == 0 && call->reply->data != call->reply->small)
		free(call->reply->data);
	if (begun || (result != -ETIMEDOUT && result != -EMSGSIZE && result != -ENOMEM))
		break_connection(c, result == -ETIMEDOUT ? hung_up() : result);
	pthread_mutex_unlock(&c->lock);
	return result;
}

static int send_requests(struct mp__connection *c, Mp__Request *const *requests,
	struct mp__call *calls, size_t n, mp__deadline deadline)
{
	struct mp__packed packed;
	size_t sent = 0;

	int r = begin_calls(c, calls, requests, n);
	if (r < 0)
		return r;
	mp__packed_init(&packed);
	for (size_t i = 0; i < n && r == 0; i++)
		r = mp__request_pack(&packed, requests[i], c->max_frame);
	MP__TEST_POINT("manager.call.begun");
	if (r == 0)
		r = send_frame(c, mp__buffer_at(&packed.buffer), mp__buffer_size(&packed.buffer),
			deadline, &sent);
	mp__packed_free(&packed);
	MP__TEST_POINT("manager.call.sent");
	for (size_t i = 0; i < n && r < 0; i++)
		r = abort_call(c, &calls[i], r, sent > 0);
	return r;
}

/* --- a call ----------------------------------------------------------------------------------- */

static bool is_done(struct mp__call *call)
{
	return atomic_load_explicit(&call->word, memory_order_acquire) == WORD_DONE;
}

/* Read until the own reply is there, then let somebody else read. */
static int read_for(struct mp__connection *c, struct mp__call *call, mp__deadline deadline)
{
	int r = 0;

	while (r == 0 && !is_done(call)) {
		r = read_and_hand_out(c, deadline, true);
		/* There may always be something, for others or for nobody. */
		if (r == 0 && !is_done(call) && mp__deadline_passed(deadline))
			r = -ETIMEDOUT;
	}
	pthread_mutex_lock(&c->lock);
	if (atomic_load_explicit(&call->word, memory_order_relaxed) == WORD_DONE)
		r = 0;
	else
		mp__pending_take(&c->pending, call->id);
	pass_reading(c);
	pthread_mutex_unlock(&c->lock);
	return r;
}

/* Out of time: unless reply or reading has come just now, the call goes. */
static int give_up(struct mp__connection *c, struct mp__call *call)
{
	pthread_mutex_lock(&c->lock);
	uint32_t word = atomic_load_explicit(&call->word, memory_order_relaxed);
	if (word != WORD_DONE) {
		mp__pending_take(&c->pending, call->id);
		if (word == WORD_READ)
			pass_reading(c);
	}
	pthread_mutex_unlock(&c->lock);
	return word == WORD_DONE ? 0 : -ETIMEDOUT;
}

static int wait_for(struct mp__connection *c, struct mp__call *call, mp__deadline deadline)
{
	pthread_mutex_lock(&c->lock);
	bool done = atomic_load_explicit(&call->word, memory_order_relaxed) == WORD_DONE;
	bool reads = !done && !c->has_reader;
	if (reads)
		c->has_reader = true;
	else
		call->waits = true;
	pthread_mutex_unlock(&c->lock);

	for (;;) {
		uint32_t word = atomic_load_explicit(&call->word, memory_order_acquire);
		if (word == WORD_DONE)
			return 0;
		if (reads || word == WORD_READ)
			return read_for(c, call, deadline);
		if (mp__futex_wait(&call->word, WORD_WAIT, deadline) == -ETIMEDOUT)
			return give_up(c, call);
	}
}

void mp__connection_break(struct mp__connection *c)
{
	int r = mp_error_set(-EPIPE, "the connection was given up: managerd has not answered");

	pthread_mutex_lock(&c->lock);
	break_connection(c, r);
	pthread_mutex_unlock(&c->lock);
}

int mp__connection_send(struct mp__connection *c, Mp__Request *const *requests,
	struct mp__call *calls, size_t n, mp__deadline deadline)
{
	for (size_t i = 0; i < n; i++) {
		struct mp__reply *reply = calls[i].reply;
		reply->data = reply->small;
		reply->answered = false;
		reply->refused = false;
		calls[i] = (struct mp__call){.reply = reply};
	}
	int r = mp__timed_lock_take(&c->sending, deadline);
	if (r == 0) {
		r = send_requests(c, requests, calls, n, deadline);
		mp__timed_lock_release(&c->sending);
	}
	return r == -ETIMEDOUT ? mp_error_set(r, "managerd has not taken a request in time") : r;
}

int mp__connection_await(struct mp__connection *c, const Mp__Request *request,
	struct mp__call *call, mp__deadline deadline)
{
	struct mp__reply *reply = call->reply;

	int r = wait_for(c, call, deadline);
	if (r == -ETIMEDOUT)
		return mp_error_set(r, "managerd has not answered in time");
	/* The result was set before the word was; nobody changes it any more. */
	if (r == 0 && call->result < 0)
		r = call->result == -ENOMEM
			    ? mp_error_set(-ENOMEM, "no memory for a reply of managerd")
			    : mp_error_set(call->result, "%s", c->why);
	if (r < 0)
		return r;
	reply->answered = true;
	r = mp__reply_unpack(reply, request->op_case == MP__REQUEST__OP_CALL);
	if (r < 0)
		mp__reply_free(reply);
	return r;
}

int mp__connection_call(struct mp__connection *connection, Mp__Request *request,
	mp__deadline deadline, struct mp__reply *ret_reply)
{
	struct mp__call call = {.reply = ret_reply};

	int r = mp__connection_send(connection, &request, &call, 1, deadline);
	return r < 0 ? r : mp__connection_await(connection, request, &call, deadline);
}

/* To the one who reads, the reply is that to a call which has gone. */
void mp__connection_post(
	struct mp__connection *connection, Mp__Request *request, mp__deadline deadline)
{
	struct mp__connection *c = connection;
	struct mp__reply nobody;
	struct mp__call call = {.reply = &nobody};

	if (mp__connection_send(c, &request, &call, 1, deadline) < 0)
		return;
	pthread_mutex_lock(&c->lock);
	bool answered = !mp__pending_take(&c->pending, call.id) && call.result == 0;
	pthread_mutex_unlock(&c->lock);
	if (answered && nobody.data != nobody.small)
		free(nobody.data);
}

/* --- opening ---------------------------------------------------------------------------------- */

static int say_hello(struct mp__connection *c, mp__deadline deadline)
{
	Mp__Hello hello = MP__HELLO__INIT;
	struct mp__reply reply;

	hello.version = MP__PROTOCOL_VERSION;
	hello.program = (char *)("libmp " PACKAGE_VERSION);
	Mp__Request request = MP__REQUEST(HELLO, hello, &hello);
	int r = mp__connection_call(c, &request, deadline, &reply);
	if (r < 0)
		return r;
	if (reply.response->result_case != MP__RESPONSE__RESULT_HELLO ||
		reply.response->hello->version != MP__PROTOCOL_VERSION ||
		reply.response->hello->max_frame < MP__FRAME_FIRST_MAX)
		r = mp_error_set(-EPROTO, "managerd answered the hello with something else");
	else if (reply.response->hello->max_frame < MP__FRAME_MAX)
		c->max_frame = reply.response->hello->max_frame;
	else
		c->max_frame = MP__FRAME_MAX;
	mp__reply_free(&reply);
	return r;
}

int mp__connection_open(
	const struct mp__address *address, mp__deadline deadline, struct mp__connection **ret)
{
	int fd = mp__address_connect(address, deadline);

	if (fd < 0)
		return fd;
	struct mp__connection *c = connection_new(fd);
	if (!c) {
		close(fd);
		return mp_error_set(-ENOMEM, "no memory for a connection to managerd");
	}
	MP__TEST_POINT("manager.connect.connected");
	int r = mp__prove(c, address, deadline);
	if (r == 0)
		r = say_hello(c, deadline);
	if (r < 0) {
		mp__connection_unref(c);
		return r;
	}
	*ret = c;
	return 0;
}
