/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "serve/session.h"

#include "base/deadline.h"
#include "base/random.h"
#include "base/testpoint.h"
#include "serve/log.h"
#include "serve/hold.h"
#include "serve/monitor.h"
#include "serve/prove.h"
#include "serve/request.h"
#include "serve/waiter.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

/* One read takes what a socket holds at most; requests are unpacked in a block. */
#define INPUT_SIZE ((size_t)256 << 10)
#define UNPACK_SIZE ((size_t)64 << 10)
/* How much room a frame that is announced but not here gets at a time. */
#define INPUT_STEP ((size_t)1 << 20)
/* After this many requests, and entries of dicts, it is the turn of the others: some milliseconds. */
#define EFFORT_PER_TURN 4096
/* What goes by itself in one turn: a millisecond. */
#define EXPIRING_PER_TURN 1000

int serve_context_init(struct serve_context *context, const struct serve_service *service,
	const struct serve_limits *limits)
{
	static const struct mp__authkey none;

	memset(context, 0, sizeof(*context));
	context->key = &none;
	context->expiring_left = EXPIRING_PER_TURN;
	context->service = service;
	context->limits = *limits;
	context->input_size = INPUT_SIZE;
	context->input = malloc(INPUT_SIZE);
	context->unpack_block = malloc(UNPACK_SIZE);
	if (!context->input || !context->unpack_block)
		return -ENOMEM;
	mp__arena_init(&context->unpacked, context->unpack_block, UNPACK_SIZE);
	int r = mp__random(&context->actors.seed, sizeof(context->actors.seed));
	if (r < 0)
		return r;
	return serve_registry_init(&context->registry, limits->max_objects);
}

void serve_context_deinit(struct serve_context *context)
{
	serve_registry_deinit(&context->registry);
	serve_monitor_end(context);
	serve_accounts_deinit(&context->accounts);
	serve_timers_deinit(&context->timers);
	free(context->actors.buckets);
	mp__arena_release(&context->unpacked);
	mp__buffer_free(&context->assembled);
	mp__buffer_free(&context->spare_output);
	free(context->unpack_block);
	free(context->input);
}

void serve_context_turn(struct serve_context *context)
{
	context->expiring_left = EXPIRING_PER_TURN;
}

void serve_context_expired(struct serve_context *context, size_t n)
{
	struct serve_stats *stats = &context->stats;

	context->expiring_left -= n;
	uint64_t in_turn = EXPIRING_PER_TURN - context->expiring_left;
	stats->expired += n;
	if (in_turn > stats->expired_most)
		stats->expired_most = in_turn;
}

void serve_session_init(struct serve_session *session, struct serve_context *context, int fd)
{
	*session = (struct serve_session){
		.source = {.fd = fd, .events = EPOLLIN},
		.context = context,
		.first_free = SERVE_REFERENCE_NONE,
		.begin_ns = mp__now_ns(),
	};
	session->stall_begin_ns = session->begin_ns;
}

void serve_session_leave(struct serve_session *session)
{
	/* First the waits: what it holds must not pass to itself. */
	serve_end_waits(session, SERVE_END_SESSION);
	serve_abandon_holds(session);
}

void serve_session_make_dirty(struct serve_session *session)
{
	if (session->is_dirty || session->ended)
		return;
	session->is_dirty = true;
	session->next_dirty = session->context->dirty;
	session->context->dirty = session;
}

static void leave_dirty(struct serve_session *session)
{
	struct serve_session **at = &session->context->dirty;

	if (!session->is_dirty)
		return;
	while (*at != session)
		at = &(*at)->next_dirty;
	*at = session->next_dirty;
}

void serve_session_is_bound(struct serve_session *session)
{
	if (session->is_bound)
		return;
	session->is_bound = true;
	if (session->context->bound)
		session->context->bound(session);
}

void serve_session_deinit(struct serve_session *session)
{
	serve_session_leave(session);
	leave_dirty(session);
	for (uint32_t i = 0; i < session->n_references; i++)
		serve_object_unref(session->references[i].object);
	free(session->references);
	serve_prove_forget(session);
	serve_account_credit(session->account, SERVE_OUTPUT, session->charged_output);
	serve_account_unref(session->account);
	mp__buffer_free(&session->in);
	mp__buffer_free(&session->out);
	if (session->source.fd >= 0)
		close(session->source.fd);
	memset(session, 0, sizeof(*session));
	session->source.fd = -1;
}

/* --- references ------------------------------------------------------------------------------- */

static uint32_t take_slot(struct serve_session *session)
{
	uint32_t slot = session->first_free;

	if (slot != SERVE_REFERENCE_NONE) {
		session->first_free = session->references[slot].next_free;
		return slot;
	}
	/* Powers of two: the array is full exactly when its length is one. */
	uint32_t n = session->n_references;
	if ((n & (n - 1)) == 0) {
		uint32_t room = n ? n * 2 : 1;
		struct serve_reference *more =
			realloc(session->references, room * sizeof(*session->references));
		if (!more)
			return SERVE_REFERENCE_NONE;
		session->references = more;
	}
	session->references[n] = (struct serve_reference){.generation = 1};
	session->n_references++;
	return n;
}

int serve_session_add_reference(
	struct serve_session *session, struct serve_object *object, uint64_t *ret)
{
	if (session->n_open >= session->context->limits.max_references)
		return -ENOSPC;
	uint32_t slot = take_slot(session);
	if (slot == SERVE_REFERENCE_NONE)
		return -ENOMEM;
	session->references[slot].object = object;
	session->n_open++;
	*ret = (uint64_t)session->references[slot].generation << 32 | slot;
	return 0;
}

static struct serve_reference *find_reference(struct serve_session *session, uint64_t reference)
{
	uint32_t slot = (uint32_t)reference;

	if (slot >= session->n_references)
		return NULL;
	struct serve_reference *r = &session->references[slot];
	return r->object && r->generation == reference >> 32 ? r : NULL;
}

struct serve_object *serve_session_object(struct serve_session *session, uint64_t reference)
{
	struct serve_reference *r = find_reference(session, reference);

	return r ? r->object : NULL;
}

bool serve_session_drop_reference(struct serve_session *session, uint64_t reference)
{
	struct serve_reference *r = find_reference(session, reference);

	if (!r)
		return false;
	serve_object_unref(r->object);
	r->object = NULL;
	r->generation++;
	r->next_free = session->first_free;
	session->first_free = (uint32_t)reference;
	session->n_open--;
	return true;
}

bool serve_session_allows(const struct serve_session *session, const void *name, size_t size)
{
	const struct serve_context *context = session->context;

	return size == 0 || !context->allows ||
	       context->allows(session, name, size, context->allows_data);
}

/* --- bytes ------------------------------------------------------------------------------------ */

bool serve_session_is_owed(const struct serve_session *session)
{
	/* A hello, the rest of a frame, or reading. */
	return !session->greeted || mp__buffer_size(&session->out) > 0 ||
	       (mp__buffer_size(&session->in) > 0 && !session->paused);
}

/* Send what the socket takes. SERVE_SESSION_E_END: nobody is there to take it. */
static int flush(struct serve_session *session)
{
	while (mp__buffer_size(&session->out) > 0) {
		if (session->source.fd < 0)
			return 0;
		ssize_t n = send(session->source.fd, mp__buffer_at(&session->out),
			mp__buffer_size(&session->out), MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno == EAGAIN ? 0 : SERVE_SESSION_E_END;
		MP__TEST_POINT("managerd.session.sent");
		mp__buffer_consume(&session->out, (size_t)n);
		session->context->stats.sent += (uint64_t)n;
		session->stall_begin_ns = mp__now_ns();
	}
	return 0;
}

/*
 * Are there so many replies to be read that no more are made? By the connection's limit, and by that of
 * its user over all his connections; but who has read everything gets one reply, or he would wait for
 * others of whom he knows nothing.
 */
static bool has_enough_output(const struct serve_session *session)
{
	const struct serve_account *account = session->account;
	size_t size = mp__buffer_size(&session->out);

	if (size == 0 || size >= session->context->limits.max_output)
		return size > 0;
	return account && account->has[SERVE_OUTPUT] - session->charged_output + size >=
				  account->quota.max[SERVE_OUTPUT];
}

static void charge_output(struct serve_session *session)
{
	size_t size = mp__buffer_size(&session->out);

	serve_account_credit(session->account, SERVE_OUTPUT, session->charged_output);
	serve_account_charge(session->account, SERVE_OUTPUT, size);
	session->charged_output = size;
}

/*
 * An idle connection holds no memory for its replies: who begins to work borrows the common block, and
 * gives it back once all has been sent.
 */
static void borrow_output(struct serve_session *session)
{
	struct mp__buffer *spare = &session->context->spare_output;

	if (session->out.data)
		return;
	session->out = *spare;
	*spare = (struct mp__buffer){0};
}

static void return_output(struct serve_session *session)
{
	struct mp__buffer *spare = &session->context->spare_output;

	if (mp__buffer_size(&session->out) > 0)
		return;
	if (spare->data)
		mp__buffer_free(&session->out);
	else
		*spare = session->out;
	session->out = (struct mp__buffer){0};
}

/* Carry out the whole requests in these bytes; *ret_used of them are dealt with. */
static int work(struct serve_session *session, const uint8_t *data, size_t size, size_t *ret_used)
{
	const struct serve_limits *limits = &session->context->limits;
	size_t used = 0;
	int r = 0;

	borrow_output(session);
	session->paused = false;
	session->context->effort = 0;
	session->context->current = session;
	while (r == 0) {
		size_t max = session->greeted ? limits->max_frame : MP__FRAME_FIRST_MAX;
		size_t length;

		if (has_enough_output(session)) {
			r = flush(session);
			session->paused = has_enough_output(session);
			if (r != 0 || session->paused)
				break;
		}
		if (size - used < MP__FRAME_HEADER)
			break;
		int whole = mp__frame_next(data + used, size - used, max, &length);
		if (whole == 0)
			break;
		if (whole < 0) {
			r = serve_request_refuse(session, "a frame longer than allowed");
			break;
		}
		session->paused = session->context->effort++ >= EFFORT_PER_TURN;
		if (session->paused)
			break;
		r = serve_request_run(session, data + used + MP__FRAME_HEADER, length);
		if (r == SERVE_SESSION_E_LATER) {
			session->paused = true;
			r = 0;
			break;
		}
		/* An answer to it had no memory, whatever the method made of that. */
		if (session->failed)
			r = SERVE_SESSION_E_END;
		used += MP__FRAME_HEADER + length;
	}
	session->context->current = NULL;
	*ret_used = used;
	return r;
}

/* The same with the bytes that were kept. */
static int work_on_kept(struct serve_session *session)
{
	size_t used;
	int r = work(session, mp__buffer_at(&session->in), mp__buffer_size(&session->in), &used);

	mp__buffer_consume(&session->in, used);
	if (mp__buffer_size(&session->in) == 0)
		mp__buffer_free(&session->in);
	return r;
}

int serve_session_feed(struct serve_session *session, const void *data, size_t size)
{
	size_t used = 0;
	int r = 0;

	if (mp__buffer_size(&session->in) > 0) {
		if (mp__buffer_append(&session->in, data, size) < 0)
			return SERVE_SESSION_E_END;
		return work_on_kept(session);
	}
	r = work(session, data, size, &used);
	if (r == 0 && used < size &&
		mp__buffer_append(&session->in, (const char *)data + used, size - used) < 0)
		return SERVE_SESSION_E_END;
	return r;
}

/*
 * Where to read to. The common buffer, from which whole requests are carried out in place; the
 * session's own one while a frame is incomplete, growing as its bytes really come.
 */
static uint8_t *input_room(struct serve_session *session, size_t *ret_size)
{
	if (mp__buffer_size(&session->in) == 0) {
		*ret_size = session->context->input_size;
		return session->context->input;
	}
	uint8_t *at = mp__buffer_reserve(&session->in, INPUT_STEP / 16);
	*ret_size = session->in.room - session->in.end;
	if (*ret_size > INPUT_STEP)
		*ret_size = INPUT_STEP;
	return at;
}

static int receive(struct serve_session *session)
{
	size_t size;
	uint8_t *at = input_room(session, &size);
	ssize_t n;

	if (!at)
		return SERVE_SESSION_E_END;
	do
		n = recv(session->source.fd, at, size, MSG_DONTWAIT);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return errno == EAGAIN ? 0 : SERVE_SESSION_E_END;
	if (n == 0) {
		session->eof = true;
		return 0;
	}
	session->context->stats.received += (uint64_t)n;
	MP__TEST_POINT("managerd.session.received");
	if (at == session->context->input)
		return serve_session_feed(session, at, (size_t)n);
	session->in.end += (size_t)n;
	session->stall_begin_ns = mp__now_ns();
	return work_on_kept(session);
}

int serve_session_io(struct serve_session *session, uint32_t events)
{
	int r = 0;

	if (events & EPOLLOUT) {
		r = flush(session);
		if (r == 0 && session->paused)
			r = work_on_kept(session);
	}
	/* A hang-up is read too: requests may stand before it. */
	if (r == 0 && !session->paused && !session->eof && events & (EPOLLIN | EPOLLHUP | EPOLLERR))
		r = receive(session);
	if (r < 0)
		return r;
	int sent = flush(session);
	if (sent != 0)
		return sent;
	if (r != 0) { /* it is over once the replies are out */
		session->eof = true;
		session->paused = false;
		mp__buffer_free(&session->in);
	}

	charge_output(session);
	return_output(session);
	bool unsent = mp__buffer_size(&session->out) > 0;
	if (session->paused && !unsent) /* everything went out at once: go on in the next turn */
		unsent = true;
	if (session->eof && !unsent)
		return SERVE_SESSION_E_END;
	/* Whoever hung up completely would report that for ever, but then sending has failed. */
	uint32_t want = (session->paused || session->eof ? 0 : (uint32_t)EPOLLIN) |
			(unsent ? (uint32_t)EPOLLOUT : 0);
	if (session->loop && serve_loop_want(session->loop, &session->source, want) < 0)
		return SERVE_SESSION_E_END;
	return 0;
}
