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
#include "tests/support/sessions.h"
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

/* --- calls ------------------------------------------------------------------------------------ */

Test(serve_call, wrong_calls_are_answered_and_the_connection_goes_on)
{
	static const uint8_t garbage[] = {0xff, 0xff};
	static const uint8_t number[] = {MP__TAG_I64, 2};
	struct t_sessions f;

	t_setup_sessions(&f, &md_served, NULL);
	struct serve_session *s = &f.sessions[0];
	uint64_t lock = t_open_named(s, "lock", "l");
	t_call(s, 10, lock + 1, "acquire", 1, 0);
	t_expect_answer(s, 10, MP__CODE__BAD_REFERENCE);
	t_call(s, 11, lock, "", 1, 0);
	t_expect_answer(s, 11, MP__CODE__UNKNOWN_METHOD);
	t_call(s, 12, lock, "acquires", 1, 0);
	t_expect_answer(s, 12, MP__CODE__UNKNOWN_METHOD);
	t_call_with(s, 13, lock, "acquire", 1, 0, (ProtobufCBinaryData){2, (uint8_t *)garbage});
	t_expect_answer(s, 13, MP__CODE__BAD_VALUE);
	t_call_with(s, 14, lock, "acquire", 1, 0, (ProtobufCBinaryData){2, (uint8_t *)number});
	t_expect_answer(s, 14, MP__CODE__INVALID);
	t_call(s, 15, t_open_named(s, "dict", "d"), "acquire", 1, 0);
	t_expect_answer(s, 15, MP__CODE__UNKNOWN_METHOD);
	t_cancel(s, 16, 99);
	cr_assert(t_expect_answer(s, 16, MP__CODE__OK) == 0);
	t_call_ok(s, 17, lock, "acquire", 1, 0);
	t_teardown_sessions(&f);
}

/* --- waits ------------------------------------------------------------------------------------ */

Test(serve_wait, answers_to_others_make_their_session_dirty)
{
	struct t_sessions f;

	t_setup_sessions(&f, &md_served, NULL);
	struct serve_session *a = &f.sessions[0];
	struct serve_session *b = &f.sessions[1];
	uint64_t la = t_open_named(a, "lock", "l");
	uint64_t lb = t_open_named(b, "lock", "l");
	t_call(a, 3, la, "acquire", 1, T_CALL_FOREVER);
	cr_assert(t_expect_answer(a, 3, MP__CODE__OK) == 1);
	t_call(b, 4, lb, "acquire", 1, T_CALL_FOREVER);
	t_call(b, 5, lb, "locked", 1, T_CALL_FOREVER);
	t_expect_answer(b, 5, MP__CODE__OK); /* before 4 */
	t_expect_silence(b);
	cr_assert_null(f.context.dirty);
	t_call_ok(a, 6, la, "release", 1, T_CALL_FOREVER);
	cr_assert(f.context.dirty == b && !a->is_dirty);
	cr_assert(t_expect_answer(b, 4, MP__CODE__OK) == 2);
	t_teardown_sessions(&f);
}

Test(serve_wait, first_come_first_served_whoever_leaves)
{
	struct t_sessions f;

	t_setup_sessions(&f, &md_served, NULL);
	struct serve_session *a = &f.sessions[0];
	struct serve_session *b = &f.sessions[1];
	struct serve_session *c = &f.sessions[2];
	uint64_t la = t_open_named(a, "lock", "l");
	uint64_t lb = t_open_named(b, "lock", "l");
	uint64_t lc = t_open_named(c, "lock", "l");
	t_call_ok(a, 3, la, "acquire", 1, T_CALL_FOREVER);
	t_call(b, 11, lb, "acquire", 1, T_CALL_FOREVER);
	t_call(c, 21, lc, "acquire", 1, T_CALL_FOREVER);
	t_call(b, 12, lb, "acquire", 2, 1000);
	t_call(c, 22, lc, "acquire", 2, T_CALL_FOREVER);
	/* The second one is cancelled, the third is out of time. */
	t_cancel(c, 23, 21);
	t_expect_answer(c, 21, MP__CODE__CANCELLED);
	cr_assert(t_expect_answer(c, 23, MP__CODE__OK) == 1);
	serve_timers_run(&f.context.timers, mp__now_ns() + 1001 * NS_PER_MS);
	t_expect_answer(b, 12, MP__CODE__TIMEOUT);
	t_expect_silence(b);
	/* The holder dies: the first one gets it, with the news; then the fourth. */
	serve_session_leave(a);
	cr_assert(t_expect_answer(b, 11, MP__CODE__OWNER_DIED) == 2);
	t_expect_silence(c);
	t_call_ok(b, 13, lb, "release", 1, 0);
	cr_assert(t_expect_answer(c, 22, MP__CODE__OK) == 3);
	t_teardown_sessions(&f);
}

Test(serve_wait, a_session_that_ends_has_its_waits_forgotten_before_its_holds_pass)
{
	struct t_sessions f;

	t_setup_sessions(&f, &md_served, NULL);
	struct serve_session *a = &f.sessions[0];
	struct serve_session *b = &f.sessions[1];
	uint64_t la = t_open_named(a, "lock", "l");
	uint64_t lb = t_open_named(b, "lock", "l");
	t_call_ok(a, 3, la, "acquire", 1, T_CALL_FOREVER);
	t_call(a, 4, la, "acquire", 2, 5000);
	t_call(b, 5, lb, "acquire", 1, T_CALL_FOREVER);
	serve_session_leave(a);
	t_expect_silence(a);
	cr_assert(t_expect_answer(b, 5, MP__CODE__OWNER_DIED) == 2);
	t_teardown_sessions(&f);
}

/* What is held, and what is waited for, is kept, whoever closes it. */
Test(serve_wait, closing_the_reference_ends_neither_holds_nor_waits)
{
	struct t_sessions f;

	t_setup_sessions(&f, &md_served, NULL);
	struct serve_session *a = &f.sessions[0];
	uint64_t l = t_open_named(a, "lock", "l");
	uint64_t again = t_open_named(a, "lock", "l");
	t_call_ok(a, 3, l, "acquire", 1, T_CALL_FOREVER);
	t_call(a, 4, l, "acquire", 2, T_CALL_FOREVER);
	t_close_reference(a, 5, l);
	t_call(a, 6, again, "release", 1, 0);
	cr_assert(t_expect_answer(a, 4, MP__CODE__OK) == 2);
	t_expect_answer(a, 6, MP__CODE__OK);
	t_close_reference(a, 7, again);
	t_teardown_sessions(&f);
}

Test(serve_wait, limits_are_of_the_session)
{
	struct serve_limits limits = SERVE_LIMITS_DEFAULT;
	struct t_sessions f;

	limits.max_waiters = 2;
	t_setup_sessions(&f, &md_served, &limits);
	struct serve_session *a = &f.sessions[0];
	struct serve_session *b = &f.sessions[1];
	uint64_t ea = t_open_named(a, "event", "e");
	uint64_t eb = t_open_named(b, "event", "e");
	t_call(a, 3, ea, "wait", 1, T_CALL_FOREVER);
	t_call(a, 4, ea, "wait", 2, 60000);
	t_call(a, 5, ea, "wait", 3, T_CALL_FOREVER);
	t_expect_answer(a, 5, MP__CODE__LIMIT);
	t_call(a, 6, ea, "wait", 3, 0);
	t_expect_answer(a, 6, MP__CODE__WOULD_BLOCK);
	t_call(b, 7, eb, "wait", 3, T_CALL_FOREVER);
	t_expect_silence(b);
	t_call(b, 8, eb, "set", 3, 0);
	t_expect_answer(b, 7, MP__CODE__OK);
	t_expect_answer(b, 8, MP__CODE__OK);
	t_expect_answer(a, 3, MP__CODE__OK);
	t_expect_answer(a, 4, MP__CODE__OK);
	t_call_ok(a, 9, ea, "wait", 4, T_CALL_FOREVER);
	t_teardown_sessions(&f);
}

Test(serve_wait, the_end_of_the_server_answers_all)
{
	struct t_sessions f;

	t_setup_sessions(&f, &md_served, NULL);
	struct serve_session *a = &f.sessions[0];
	uint64_t l = t_open_named(a, "lock", "l");
	uint64_t e = t_open_named(a, "event", "e");
	uint64_t c = t_open_named(a, "condition", "c");
	t_call_ok(a, 3, l, "acquire", 1, T_CALL_FOREVER);
	t_call(a, 4, l, "acquire", 2, T_CALL_FOREVER);
	t_call(a, 5, e, "wait", 3, 1000000);
	t_call_ok(a, 6, c, "acquire", 4, 0);
	t_call(a, 7, c, "wait", 4, T_CALL_FOREVER);
	serve_end_waits(a, SERVE_END_SHUTDOWN);
	t_expect_answer(a, 7, MP__CODE__SHUTTING_DOWN);
	t_expect_answer(a, 5, MP__CODE__SHUTTING_DOWN);
	t_expect_answer(a, 4, MP__CODE__SHUTTING_DOWN);
	cr_assert(a->n_waiters == 0);
	f.inner = 1;
	t_teardown_sessions(&f);
}

/* One of its threads gives back what the session holds, and another one gets it. */
Test(serve_wait, a_permit_goes_from_one_thread_to_another_of_the_same_session)
{
	struct t_sessions f;

	t_setup_sessions(&f, &md_served, NULL);
	struct serve_session *a = &f.sessions[0];
	struct serve_session *b = &f.sessions[1];
	uint64_t sa = t_open_named(a, "semaphore", "s");
	uint64_t sb = t_open_named(b, "semaphore", "s");
	t_call_ok(a, 3, sa, "acquire", 1, T_CALL_FOREVER);
	t_call(a, 4, sa, "acquire", 2, T_CALL_FOREVER);
	t_call(a, 5, sa, "acquire", 3, T_CALL_FOREVER);
	t_call(b, 6, sb, "acquire", 1, T_CALL_FOREVER);
	t_call(a, 7, sa, "release", 1, 0);
	t_expect_answer(a, 4, MP__CODE__OK);
	t_expect_answer(a, 7, MP__CODE__OK);
	t_call(b, 8, sb, "release", 1, 0); /* it has none: of the other's */
	t_expect_answer(a, 5, MP__CODE__OK);
	t_expect_answer(b, 8, MP__CODE__OK);
	serve_session_leave(a);
	t_expect_answer(b, 6, MP__CODE__OK);
	t_teardown_sessions(&f);
}

/* --- deadlocks -------------------------------------------------------------------------------- */

Test(serve_wait, a_circle_of_three_is_found_by_the_last)
{
	struct t_sessions f;
	uint64_t locks[T_SESSIONS][T_SESSIONS];
	static const char *const names[] = {"x", "y", "z"};

	t_setup_sessions(&f, &md_served, NULL);
	for (int i = 0; i < T_SESSIONS; i++) {
		for (int j = 0; j < T_SESSIONS; j++)
			locks[i][j] = t_open_named(&f.sessions[i], "lock", names[j]);
	}
	for (int i = 0; i < T_SESSIONS; i++) {
		t_call_ok(&f.sessions[i], 3, locks[i][i], "acquire", 7, T_CALL_FOREVER);
	}
	t_call(&f.sessions[0], 4, locks[0][1], "acquire", 7, T_CALL_FOREVER);
	t_call(&f.sessions[1], 4, locks[1][2], "acquire", 7, T_CALL_FOREVER);
	/* To try is no deadlock; nor is it one when another thread of the session waits. */
	t_call(&f.sessions[2], 5, locks[2][0], "acquire", 7, 0);
	t_expect_answer(&f.sessions[2], 5, MP__CODE__WOULD_BLOCK);
	t_call(&f.sessions[2], 6, locks[2][0], "acquire", 8, 10);
	serve_timers_run(&f.context.timers, mp__now_ns() + 11 * NS_PER_MS);
	t_expect_answer(&f.sessions[2], 6, MP__CODE__TIMEOUT);
	t_call(&f.sessions[2], 7, locks[2][0], "acquire", 7, T_CALL_FOREVER);
	Mp__Response *r = t_next_answer(&f.sessions[2]);
	cr_assert(r->code == MP__CODE__DEADLOCK);
	cr_assert_str_eq(r->detail, "deadlock: the caller waits for the lock 'x', which pid 100, "
				    "thread 7 has, who waits "
				    "for the lock 'y', which pid 101, thread 7 has, who waits for "
				    "the lock 'z', which the "
				    "caller has");
	mp__response__free_unpacked(r, NULL);
	/* It gives way, and the others go on. */
	t_call_ok(&f.sessions[2], 8, locks[2][2], "release", 7, 0);
	t_expect_answer(&f.sessions[1], 4, MP__CODE__OK);
	t_teardown_sessions(&f);
}

/* A client that calls all its threads 0 can wait for two things at once. */
Test(serve_wait, an_actor_that_waits_for_several_things_is_in_no_circle)
{
	struct t_sessions f;

	t_setup_sessions(&f, &md_served, NULL);
	struct serve_session *a = &f.sessions[0];
	struct serve_session *b = &f.sessions[1];
	uint64_t xa = t_open_named(a, "lock", "x");
	uint64_t ya = t_open_named(a, "lock", "y");
	uint64_t xb = t_open_named(b, "lock", "x");
	uint64_t yb = t_open_named(b, "lock", "y");
	uint64_t e = t_open_named(a, "event", "e");
	t_call_ok(a, 3, xa, "acquire", 0, T_CALL_FOREVER);
	t_call_ok(b, 4, yb, "acquire", 0, T_CALL_FOREVER);
	t_call(a, 5, ya, "acquire", 0, T_CALL_FOREVER);
	t_call(a, 6, e, "wait", 0, T_CALL_FOREVER);
	t_call(b, 7, xb, "acquire", 0, T_CALL_FOREVER);
	t_expect_silence(b);
	/* Its waits end, but not in this order: no chain is followed for ever. */
	t_call(a, 8, e, "set", 0, 0);
	t_expect_answer(a, 6, MP__CODE__OK);
	t_expect_answer(a, 8, MP__CODE__OK);
	uint64_t xc = t_open_named(&f.sessions[2], "lock", "x");
	t_call(&f.sessions[2], 9, xc, "acquire", 0, 10);
	t_expect_silence(&f.sessions[2]);
	t_teardown_sessions(&f);
}

/* The wait for a lock after a condition can close a circle too; then it ends without the lock. */
Test(serve_wait, a_circle_by_the_end_of_a_condition_is_found)
{
	struct t_sessions f;

	t_setup_sessions(&f, &md_served, NULL);
	struct serve_session *a = &f.sessions[0];
	struct serve_session *b = &f.sessions[1];
	uint64_t ca = t_open_named(a, "condition", "c");
	uint64_t cb = t_open_named(b, "condition", "c");
	uint64_t la = t_open_named(a, "lock", "l");
	uint64_t lb = t_open_named(b, "lock", "l");
	t_call_ok(a, 3, la, "acquire", 1, T_CALL_FOREVER);
	t_call_ok(a, 4, ca, "acquire", 1, T_CALL_FOREVER);
	t_call(a, 5, ca, "wait", 1, 10);
	t_call_ok(b, 6, cb, "acquire", 1, T_CALL_FOREVER);
	t_call(b, 7, lb, "acquire", 1, T_CALL_FOREVER);
	t_expect_silence(b);
	serve_timers_run(&f.context.timers, mp__now_ns() + 11 * NS_PER_MS);
	t_expect_answer(a, 5, MP__CODE__DEADLOCK);
	t_call(a, 8, ca, "release", 1, 0);
	t_expect_answer(a, 8, MP__CODE__NOT_OWNER);
	t_call(a, 9, la, "release", 1, 0);
	t_expect_answer(b, 7, MP__CODE__OK);
	f.inner = 1;
	t_teardown_sessions(&f);
}

/* --- circles ---------------------------------------------------------------------------------- */

static void store_in(struct serve_session *s, uint64_t id, uint64_t reference, const uint8_t *token)
{
	uint8_t args[2 + 2 + 2 + 2 + SERVE_TOKEN_SIZE + 2 + 5] = {MP__TAG_LIST, 29, MP__TAG_ITEM,
		27, MP__TAG_REFERENCE, 25, MP__TAG_REFERENCE_TOKEN, SERVE_TOKEN_SIZE};

	memcpy(args + 8, token, SERVE_TOKEN_SIZE);
	memcpy(args + 8 + SERVE_TOKEN_SIZE, "\x12\x05value", 7);
	t_call_with(s, id, reference, "set", 1, 0, (ProtobufCBinaryData){sizeof(args), args});
	t_expect_answer(s, id, MP__CODE__OK);
}

/* They stay until the end, and not longer: the sanitizers would see it. */
Test(serve_call, objects_in_a_circle_stay_until_the_server_ends)
{
	static const char *const names[] = {"a", "b", "c"};
	struct t_sessions f;
	uint64_t r[3];

	t_setup_sessions(&f, &md_served, NULL);
	struct serve_session *s = &f.sessions[0];
	for (int i = 0; i < 3; i++)
		r[i] = t_open_named(s, "value", names[i]);
	for (int i = 0; i < 3; i++) {
		const struct serve_object *next = serve_session_object(s, r[(i + 1) % 3]);
		store_in(s, 3, r[i], next->token);
	}
	store_in(s, 4, r[2], serve_session_object(s, r[2])->token);
	for (int i = 0; i < 3; i++) {
		serve_registry_unname(serve_session_object(s, r[i]));
		t_close_reference(s, 5, r[i]);
	}
	cr_assert(serve_registry_count(&f.context.registry) == 1);
	f.inner = 1;
	t_teardown_sessions(&f);
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
