/* SPDX-License-Identifier: MIT */
/*
 * Calls, waits and holds in the server, without sockets: several sessions are fed by hand, and the
 * clock is what the test says.
 */
#include <config.h>

#include "base/deadline.h"
#include "managerd/classes.h"
#include "obj/wireformat.h"
#include "proto/manager.pb-c.h"
#include "serve/peer.h"
#include "serve/request.h"
#include "serve/session.h"
#include "serve/timer.h"
#include "serve/waiter.h"
#include "tests/support/support.h"

#include <mp.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

T_SUITE(serve_timer);
T_SUITE(serve_call);
T_SUITE(serve_wait);
T_SUITE(serve_peer);

#define NS_PER_MS ((int64_t)1000 * 1000)

/* --- timers ----------------------------------------------------------------------------------- */

static int64_t fired[4096];
static size_t n_fired;

static void note(struct serve_timer *timer)
{
	fired[n_fired++] = timer->at_ns;
}

Test(serve_timer, fire_in_order_whatever_is_set_moved_and_stopped)
{
	enum { N = 1000 };
	static struct serve_timer timers[N];
	struct serve_timers heap = {0};
	unsigned int random = 7;

	for (int i = 0; i < N * 4; i++) {
		random = random * 1103515245 + 12345;
		struct serve_timer *t = &timers[(random >> 8) % N];
		t->fire = note;
		if (random >> 4 & 1)
			serve_timer_stop(&heap, t);
		else
			cr_assert(serve_timer_set(&heap, t, (int64_t)(random >> 12)));
	}
	size_t count = 0;
	for (int i = 0; i < N; i++)
		count += timers[i].place > 0;
	cr_assert(count == heap.count);
	n_fired = 0;
	serve_timers_run(&heap, INT64_MAX);
	cr_assert(n_fired == count && heap.count == 0);
	for (size_t i = 1; i < n_fired; i++)
		cr_assert(fired[i - 1] <= fired[i]);
	cr_assert(serve_timers_next(&heap) == SERVE_NEVER);
	serve_timers_deinit(&heap);
}

/* --- sessions --------------------------------------------------------------------------------- */

enum { SESSIONS = 3 };

struct fixture {
	struct serve_context context;
	struct serve_session sessions[SESSIONS];
	uint32_t inner; /* anonymous objects inside of named ones */
};

static void send_request(struct serve_session *s, Mp__Request *request, uint64_t id)
{
	struct mp__buffer frame = {0};

	request->id = id;
	T_OK(mp__frame_append(&frame, &request->base, MP__FRAME_MAX));
	T_OK(serve_session_feed(s, mp__buffer_at(&frame), mp__buffer_size(&frame)));
	mp__buffer_free(&frame);
}

/* The next answer, to be freed; NULL: there is none. */
static Mp__Response *next_answer(struct serve_session *s)
{
	size_t length;

	if (mp__frame_next(mp__buffer_at(&s->out), mp__buffer_size(&s->out), SIZE_MAX, &length) !=
		1)
		return NULL;
	Mp__Response *r =
		mp__response__unpack(NULL, length, mp__buffer_at(&s->out) + MP__FRAME_HEADER);
	cr_assert_not_null(r);
	mp__buffer_consume(&s->out, MP__FRAME_HEADER + length);
	return r;
}

/* The next answer is to this request, with this code; its result, or -1. */
static int64_t expect(struct serve_session *s, uint64_t id, Mp__Code code)
{
	Mp__Response *r = next_answer(s);
	int64_t number = -1;
	mp_obj value;

	cr_assert_not_null(r, "no answer to %d", (int)id);
	cr_assert(r->id == id && r->code == code, "id %d, code %d: %s", (int)r->id, (int)r->code,
		r->detail);
	if (r->result_case == MP__RESPONSE__RESULT_VALUE) {
		T_OK(mp_obj_decode(r->value.data, r->value.len, &value));
		number = value.type == MP_TYPE_I64 ? mp_obj_i64(&value) : 0;
		mp_obj_free(&value);
	} else if (r->result_case == MP__RESPONSE__RESULT_COUNT) {
		number = (int64_t)r->count;
	} else if (r->result_case == MP__RESPONSE__RESULT_OPENED) {
		number = (int64_t)r->opened->reference;
	}
	mp__response__free_unpacked(r, NULL);
	return number;
}

static void expect_silence(struct serve_session *s)
{
	cr_assert(mp__buffer_size(&s->out) == 0);
}

static void setup(struct fixture *f, const struct serve_limits *limits)
{
	const struct serve_limits defaults = SERVE_LIMITS_DEFAULT;

	f->inner = 0;
	T_OK(serve_context_init(&f->context, &md_served, limits ? limits : &defaults));
	for (int i = 0; i < SESSIONS; i++) {
		Mp__Request request = MP__REQUEST__INIT;
		Mp__Hello hello = MP__HELLO__INIT;
		serve_session_init(&f->sessions[i], &f->context, -1);
		f->sessions[i].pid = 100 + i;
		hello.version = 1;
		request.op_case = MP__REQUEST__OP_HELLO;
		request.hello = &hello;
		send_request(&f->sessions[i], &request, 1);
		expect(&f->sessions[i], 1, MP__CODE__OK);
	}
}

static void teardown(struct fixture *f)
{
	for (int i = 0; i < SESSIONS; i++)
		serve_session_deinit(&f->sessions[i]);
	cr_assert(f->context.actors.count == 0, "an actor outlived its session");
	cr_assert(f->context.timers.count == 0, "a timer outlived its session");
	cr_assert(f->context.registry.tokens.live == f->context.registry.names.live + f->inner,
		"an anonymous object outlived its session");
	serve_context_deinit(&f->context);
}

static uint64_t open_named(struct serve_session *s, const char *class_name, const char *name)
{
	Mp__Request request = MP__REQUEST__INIT;
	Mp__Open open = MP__OPEN__INIT;

	open.class_name = (char *)class_name;
	open.name = (ProtobufCBinaryData){strlen(name), (uint8_t *)name};
	request.op_case = MP__REQUEST__OP_OPEN;
	request.open = &open;
	send_request(s, &request, 2);
	return (uint64_t)expect(s, 2, MP__CODE__OK);
}

#define FOREVER (-1)

static void call_with(struct serve_session *s, uint64_t id, uint64_t reference, const char *method,
	uint64_t thread, int64_t timeout_ms, ProtobufCBinaryData args)
{
	Mp__Request request = MP__REQUEST__INIT;
	Mp__Call call = MP__CALL__INIT;

	call.reference = reference;
	call.method = (char *)method;
	call.thread = thread;
	call.args = args;
	if (timeout_ms >= 0) {
		call.patience_case = MP__CALL__PATIENCE_TIMEOUT_MS;
		call.timeout_ms = (uint64_t)timeout_ms;
	}
	request.op_case = MP__REQUEST__OP_CALL;
	request.call = &call;
	send_request(s, &request, id);
}

static void call(struct serve_session *s, uint64_t id, uint64_t reference, const char *method,
	uint64_t thread, int64_t timeout_ms)
{
	call_with(s, id, reference, method, thread, timeout_ms, (ProtobufCBinaryData){0});
}

/* One that is answered at once. */
static void call_ok(struct serve_session *s, uint64_t id, uint64_t reference, const char *method,
	uint64_t thread, int64_t timeout_ms)
{
	call(s, id, reference, method, thread, timeout_ms);
	expect(s, id, MP__CODE__OK);
}

static void cancel(struct serve_session *s, uint64_t id, uint64_t which)
{
	Mp__Request request = MP__REQUEST__INIT;
	Mp__Cancel op = MP__CANCEL__INIT;

	op.id = which;
	request.op_case = MP__REQUEST__OP_CANCEL;
	request.cancel = &op;
	send_request(s, &request, id);
}

static void close_reference(struct serve_session *s, uint64_t id, uint64_t reference)
{
	Mp__Request request = MP__REQUEST__INIT;
	Mp__Close op = MP__CLOSE__INIT;

	op.reference = reference;
	request.op_case = MP__REQUEST__OP_CLOSE;
	request.close = &op;
	send_request(s, &request, id);
	expect(s, id, MP__CODE__OK);
}

/* --- calls ------------------------------------------------------------------------------------ */

Test(serve_call, wrong_calls_are_answered_and_the_connection_goes_on)
{
	static const uint8_t garbage[] = {0xff, 0xff};
	static const uint8_t number[] = {MP__TAG_I64, 2};
	struct fixture f;

	setup(&f, NULL);
	struct serve_session *s = &f.sessions[0];
	uint64_t lock = open_named(s, "lock", "l");
	call(s, 10, lock + 1, "acquire", 1, 0);
	expect(s, 10, MP__CODE__BAD_REFERENCE);
	call(s, 11, lock, "", 1, 0);
	expect(s, 11, MP__CODE__UNKNOWN_METHOD);
	call(s, 12, lock, "acquires", 1, 0);
	expect(s, 12, MP__CODE__UNKNOWN_METHOD);
	call_with(s, 13, lock, "acquire", 1, 0, (ProtobufCBinaryData){2, (uint8_t *)garbage});
	expect(s, 13, MP__CODE__BAD_VALUE);
	call_with(s, 14, lock, "acquire", 1, 0, (ProtobufCBinaryData){2, (uint8_t *)number});
	expect(s, 14, MP__CODE__INVALID);
	call(s, 15, open_named(s, "dict", "d"), "acquire", 1, 0);
	expect(s, 15, MP__CODE__UNKNOWN_METHOD);
	cancel(s, 16, 99);
	cr_assert(expect(s, 16, MP__CODE__OK) == 0);
	call_ok(s, 17, lock, "acquire", 1, 0);
	teardown(&f);
}

/* --- waits ------------------------------------------------------------------------------------ */

Test(serve_wait, answers_to_others_make_their_session_dirty)
{
	struct fixture f;

	setup(&f, NULL);
	struct serve_session *a = &f.sessions[0];
	struct serve_session *b = &f.sessions[1];
	uint64_t la = open_named(a, "lock", "l");
	uint64_t lb = open_named(b, "lock", "l");
	call(a, 3, la, "acquire", 1, FOREVER);
	cr_assert(expect(a, 3, MP__CODE__OK) == 1);
	call(b, 4, lb, "acquire", 1, FOREVER);
	call(b, 5, lb, "locked", 1, FOREVER);
	expect(b, 5, MP__CODE__OK); /* before 4 */
	expect_silence(b);
	cr_assert_null(f.context.dirty);
	call_ok(a, 6, la, "release", 1, FOREVER);
	cr_assert(f.context.dirty == b && !a->is_dirty);
	cr_assert(expect(b, 4, MP__CODE__OK) == 2);
	teardown(&f);
}

Test(serve_wait, first_come_first_served_whoever_leaves)
{
	struct fixture f;

	setup(&f, NULL);
	struct serve_session *a = &f.sessions[0];
	struct serve_session *b = &f.sessions[1];
	struct serve_session *c = &f.sessions[2];
	uint64_t la = open_named(a, "lock", "l");
	uint64_t lb = open_named(b, "lock", "l");
	uint64_t lc = open_named(c, "lock", "l");
	call_ok(a, 3, la, "acquire", 1, FOREVER);
	call(b, 11, lb, "acquire", 1, FOREVER);
	call(c, 21, lc, "acquire", 1, FOREVER);
	call(b, 12, lb, "acquire", 2, 1000);
	call(c, 22, lc, "acquire", 2, FOREVER);
	/* The second one is cancelled, the third is out of time. */
	cancel(c, 23, 21);
	expect(c, 21, MP__CODE__CANCELLED);
	cr_assert(expect(c, 23, MP__CODE__OK) == 1);
	serve_timers_run(&f.context.timers, mp__now_ns() + 1001 * NS_PER_MS);
	expect(b, 12, MP__CODE__TIMEOUT);
	expect_silence(b);
	/* The holder dies: the first one gets it, with the news; then the fourth. */
	serve_session_leave(a);
	cr_assert(expect(b, 11, MP__CODE__OWNER_DIED) == 2);
	expect_silence(c);
	call_ok(b, 13, lb, "release", 1, 0);
	cr_assert(expect(c, 22, MP__CODE__OK) == 3);
	teardown(&f);
}

Test(serve_wait, a_session_that_ends_has_its_waits_forgotten_before_its_holds_pass)
{
	struct fixture f;

	setup(&f, NULL);
	struct serve_session *a = &f.sessions[0];
	struct serve_session *b = &f.sessions[1];
	uint64_t la = open_named(a, "lock", "l");
	uint64_t lb = open_named(b, "lock", "l");
	call_ok(a, 3, la, "acquire", 1, FOREVER);
	call(a, 4, la, "acquire", 2, 5000);
	call(b, 5, lb, "acquire", 1, FOREVER);
	serve_session_leave(a);
	expect_silence(a);
	cr_assert(expect(b, 5, MP__CODE__OWNER_DIED) == 2);
	teardown(&f);
}

/* What is held, and what is waited for, is kept, whoever closes it. */
Test(serve_wait, closing_the_reference_ends_neither_holds_nor_waits)
{
	struct fixture f;

	setup(&f, NULL);
	struct serve_session *a = &f.sessions[0];
	uint64_t l = open_named(a, "lock", "l");
	uint64_t again = open_named(a, "lock", "l");
	call_ok(a, 3, l, "acquire", 1, FOREVER);
	call(a, 4, l, "acquire", 2, FOREVER);
	close_reference(a, 5, l);
	call(a, 6, again, "release", 1, 0);
	cr_assert(expect(a, 4, MP__CODE__OK) == 2);
	expect(a, 6, MP__CODE__OK);
	close_reference(a, 7, again);
	teardown(&f);
}

Test(serve_wait, limits_are_of_the_session)
{
	struct serve_limits limits = SERVE_LIMITS_DEFAULT;
	struct fixture f;

	limits.max_waiters = 2;
	setup(&f, &limits);
	struct serve_session *a = &f.sessions[0];
	struct serve_session *b = &f.sessions[1];
	uint64_t ea = open_named(a, "event", "e");
	uint64_t eb = open_named(b, "event", "e");
	call(a, 3, ea, "wait", 1, FOREVER);
	call(a, 4, ea, "wait", 2, 60000);
	call(a, 5, ea, "wait", 3, FOREVER);
	expect(a, 5, MP__CODE__LIMIT);
	call(a, 6, ea, "wait", 3, 0);
	expect(a, 6, MP__CODE__WOULD_BLOCK);
	call(b, 7, eb, "wait", 3, FOREVER);
	expect_silence(b);
	call(b, 8, eb, "set", 3, 0);
	expect(b, 7, MP__CODE__OK);
	expect(b, 8, MP__CODE__OK);
	expect(a, 3, MP__CODE__OK);
	expect(a, 4, MP__CODE__OK);
	call_ok(a, 9, ea, "wait", 4, FOREVER);
	teardown(&f);
}

Test(serve_wait, the_end_of_the_server_answers_all)
{
	struct fixture f;

	setup(&f, NULL);
	struct serve_session *a = &f.sessions[0];
	uint64_t l = open_named(a, "lock", "l");
	uint64_t e = open_named(a, "event", "e");
	uint64_t c = open_named(a, "condition", "c");
	call_ok(a, 3, l, "acquire", 1, FOREVER);
	call(a, 4, l, "acquire", 2, FOREVER);
	call(a, 5, e, "wait", 3, 1000000);
	call_ok(a, 6, c, "acquire", 4, 0);
	call(a, 7, c, "wait", 4, FOREVER);
	serve_end_waits(a, SERVE_END_SHUTDOWN);
	expect(a, 7, MP__CODE__SHUTTING_DOWN);
	expect(a, 5, MP__CODE__SHUTTING_DOWN);
	expect(a, 4, MP__CODE__SHUTTING_DOWN);
	cr_assert(a->n_waiters == 0);
	f.inner = 1;
	teardown(&f);
}

/* One of its threads gives back what the session holds, and another one gets it. */
Test(serve_wait, a_permit_goes_from_one_thread_to_another_of_the_same_session)
{
	struct fixture f;

	setup(&f, NULL);
	struct serve_session *a = &f.sessions[0];
	struct serve_session *b = &f.sessions[1];
	uint64_t sa = open_named(a, "semaphore", "s");
	uint64_t sb = open_named(b, "semaphore", "s");
	call_ok(a, 3, sa, "acquire", 1, FOREVER);
	call(a, 4, sa, "acquire", 2, FOREVER);
	call(a, 5, sa, "acquire", 3, FOREVER);
	call(b, 6, sb, "acquire", 1, FOREVER);
	call(a, 7, sa, "release", 1, 0);
	expect(a, 4, MP__CODE__OK);
	expect(a, 7, MP__CODE__OK);
	call(b, 8, sb, "release", 1, 0); /* it has none: of the other's */
	expect(a, 5, MP__CODE__OK);
	expect(b, 8, MP__CODE__OK);
	serve_session_leave(a);
	expect(b, 6, MP__CODE__OK);
	teardown(&f);
}

/* --- deadlocks -------------------------------------------------------------------------------- */

Test(serve_wait, a_circle_of_three_is_found_by_the_last)
{
	struct fixture f;
	uint64_t locks[SESSIONS][SESSIONS];
	static const char *const names[] = {"x", "y", "z"};

	setup(&f, NULL);
	for (int i = 0; i < SESSIONS; i++) {
		for (int j = 0; j < SESSIONS; j++)
			locks[i][j] = open_named(&f.sessions[i], "lock", names[j]);
	}
	for (int i = 0; i < SESSIONS; i++) {
		call_ok(&f.sessions[i], 3, locks[i][i], "acquire", 7, FOREVER);
	}
	call(&f.sessions[0], 4, locks[0][1], "acquire", 7, FOREVER);
	call(&f.sessions[1], 4, locks[1][2], "acquire", 7, FOREVER);
	/* To try is no deadlock; nor is it one when another thread of the session waits. */
	call(&f.sessions[2], 5, locks[2][0], "acquire", 7, 0);
	expect(&f.sessions[2], 5, MP__CODE__WOULD_BLOCK);
	call(&f.sessions[2], 6, locks[2][0], "acquire", 8, 10);
	serve_timers_run(&f.context.timers, mp__now_ns() + 11 * NS_PER_MS);
	expect(&f.sessions[2], 6, MP__CODE__TIMEOUT);
	call(&f.sessions[2], 7, locks[2][0], "acquire", 7, FOREVER);
	Mp__Response *r = next_answer(&f.sessions[2]);
	cr_assert(r->code == MP__CODE__DEADLOCK);
	cr_assert_str_eq(r->detail, "deadlock: the caller waits for the lock 'x', which pid 100, "
				    "thread 7 has, who waits "
				    "for the lock 'y', which pid 101, thread 7 has, who waits for "
				    "the lock 'z', which the "
				    "caller has");
	mp__response__free_unpacked(r, NULL);
	/* It gives way, and the others go on. */
	call_ok(&f.sessions[2], 8, locks[2][2], "release", 7, 0);
	expect(&f.sessions[1], 4, MP__CODE__OK);
	teardown(&f);
}

/* A client that calls all its threads 0 can wait for two things at once. */
Test(serve_wait, an_actor_that_waits_for_several_things_is_in_no_circle)
{
	struct fixture f;

	setup(&f, NULL);
	struct serve_session *a = &f.sessions[0];
	struct serve_session *b = &f.sessions[1];
	uint64_t xa = open_named(a, "lock", "x");
	uint64_t ya = open_named(a, "lock", "y");
	uint64_t xb = open_named(b, "lock", "x");
	uint64_t yb = open_named(b, "lock", "y");
	uint64_t e = open_named(a, "event", "e");
	call_ok(a, 3, xa, "acquire", 0, FOREVER);
	call_ok(b, 4, yb, "acquire", 0, FOREVER);
	call(a, 5, ya, "acquire", 0, FOREVER);
	call(a, 6, e, "wait", 0, FOREVER);
	call(b, 7, xb, "acquire", 0, FOREVER);
	expect_silence(b);
	/* Its waits end, but not in this order: no chain is followed for ever. */
	call(a, 8, e, "set", 0, 0);
	expect(a, 6, MP__CODE__OK);
	expect(a, 8, MP__CODE__OK);
	uint64_t xc = open_named(&f.sessions[2], "lock", "x");
	call(&f.sessions[2], 9, xc, "acquire", 0, 10);
	expect_silence(&f.sessions[2]);
	teardown(&f);
}

/* The wait for a lock after a condition can close a circle too; then it ends without the lock. */
Test(serve_wait, a_circle_by_the_end_of_a_condition_is_found)
{
	struct fixture f;

	setup(&f, NULL);
	struct serve_session *a = &f.sessions[0];
	struct serve_session *b = &f.sessions[1];
	uint64_t ca = open_named(a, "condition", "c");
	uint64_t cb = open_named(b, "condition", "c");
	uint64_t la = open_named(a, "lock", "l");
	uint64_t lb = open_named(b, "lock", "l");
	call_ok(a, 3, la, "acquire", 1, FOREVER);
	call_ok(a, 4, ca, "acquire", 1, FOREVER);
	call(a, 5, ca, "wait", 1, 10);
	call_ok(b, 6, cb, "acquire", 1, FOREVER);
	call(b, 7, lb, "acquire", 1, FOREVER);
	expect_silence(b);
	serve_timers_run(&f.context.timers, mp__now_ns() + 11 * NS_PER_MS);
	expect(a, 5, MP__CODE__DEADLOCK);
	call(a, 8, ca, "release", 1, 0);
	expect(a, 8, MP__CODE__NOT_OWNER);
	call(a, 9, la, "release", 1, 0);
	expect(b, 7, MP__CODE__OK);
	f.inner = 1;
	teardown(&f);
}

/* --- circles ---------------------------------------------------------------------------------- */

static void store_in(struct serve_session *s, uint64_t id, uint64_t reference, const uint8_t *token)
{
	uint8_t args[2 + 2 + 2 + 2 + SERVE_TOKEN_SIZE + 2 + 5] = {MP__TAG_LIST, 29, MP__TAG_ITEM,
		27, MP__TAG_REFERENCE, 25, MP__TAG_REFERENCE_TOKEN, SERVE_TOKEN_SIZE};

	memcpy(args + 8, token, SERVE_TOKEN_SIZE);
	memcpy(args + 8 + SERVE_TOKEN_SIZE, "\x12\x05value", 7);
	call_with(s, id, reference, "set", 1, 0, (ProtobufCBinaryData){sizeof(args), args});
	expect(s, id, MP__CODE__OK);
}

/* They stay until the end, and not longer: the sanitizers would see it. */
Test(serve_call, objects_in_a_circle_stay_until_the_server_ends)
{
	static const char *const names[] = {"a", "b", "c"};
	struct fixture f;
	uint64_t r[3];

	setup(&f, NULL);
	struct serve_session *s = &f.sessions[0];
	for (int i = 0; i < 3; i++)
		r[i] = open_named(s, "value", names[i]);
	for (int i = 0; i < 3; i++) {
		const struct serve_object *next = serve_session_object(s, r[(i + 1) % 3]);
		store_in(s, 3, r[i], next->token);
	}
	store_in(s, 4, r[2], serve_session_object(s, r[2])->token);
	for (int i = 0; i < 3; i++) {
		serve_registry_unname(serve_session_object(s, r[i]));
		close_reference(s, 5, r[i]);
	}
	cr_assert(serve_registry_count(&f.context.registry) == 1);
	f.inner = 1;
	teardown(&f);
}

/* --- the process at the other end ------------------------------------------------------------- */

static int hang(void *argument)
{
	(void)argument;
	t_ready();
	t_hang();
}

static bool has_ended(int pidfd)
{
	struct pollfd p = {.fd = pidfd, .events = POLLIN};

	return poll(&p, 1, 0) == 1;
}

/* As kernels before 6.5 need it. */
Test(serve_peer, a_process_is_known_by_its_pid_and_by_when_it_started)
{
	int64_t before = serve_peer_clock_ns();
	struct t_child child = t_spawn(hang, NULL);

	t_wait_ready(&child);
	int fd = serve_peer_open_by_pid(child.pid, serve_peer_clock_ns());
	cr_assert(fd >= 0);
	cr_assert(!has_ended(fd));
	/* One of this number that started a second after we met is another. */
	T_RESULT(serve_peer_open_by_pid(child.pid, before - 1000 * NS_PER_MS), -ESRCH);
	pid_t pid = child.pid;
	t_kill(&child, SIGKILL);
	cr_assert(has_ended(fd));
	close(fd);
	T_RESULT(serve_peer_open_by_pid(pid, serve_peer_clock_ns()), -ESRCH);
	T_RESULT(serve_peer_open_by_pid(0, serve_peer_clock_ns()), -ENOTSUP);
}

Test(serve_peer, a_socket_leads_to_the_process_that_made_it)
{
	int fds[2];

	cr_assert(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) == 0);
	int fd = serve_peer_open(fds[0], getpid(), serve_peer_clock_ns());
	cr_assert(fd >= 0 && !has_ended(fd));
	close(fd);
	close(fds[0]);
	close(fds[1]);
}
