/* SPDX-License-Identifier: MIT */
/*
 * Very many keys whose time is over at one instant: each turn of the loop lets go of some, whoever asks,
 * and whatever else is going on.
 */
#include <config.h>

#include "base/deadline.h"
#include "managerd/classes.h"
#include "managerd/dict_expiry.h"
#include "obj/codec.h"
#include "obj/handle.h"
#include "obj/wireformat.h"
#include "serve/store.h"
#include "tests/support/sessions.h"
#include "tests/support/support.h"

#include <mp.h>

T_SUITE(expiry_turns);

/* What one turn may let go of, and more than that. */
#define PER_TURN 1000
#define KEYS 5000
#define LATE_NS ((int64_t)1000 * 1000 * 1000)

static struct t_sessions f;
static struct serve_session *a;
static struct serve_session *b;
static uint64_t full;

static struct serve_store *store_of(uint64_t reference)
{
	return serve_session_object(a, reference)->state;
}

static void call_with(
	struct serve_session *s, uint64_t id, uint64_t reference, const char *method, mp_obj args)
{
	void *data;
	size_t size;

	T_OK(mp_obj_encode(args, &data, &size));
	t_call_with(s, id, reference, method, 1, 0, (ProtobufCBinaryData){size, data});
	free(data);
}

static void fill(uint64_t reference, size_t n)
{
	struct serve_store *store = store_of(reference);
	int64_t past = mp__now_ns() - LATE_NS;

	for (size_t i = 0; i < n; i++) {
		uint8_t key[] = {MP__TAG_BYTES, 2, (uint8_t)i, (uint8_t)(i >> 8)};
		const struct serve_change change = {
			.key = {key, sizeof(key)}, .value = {key, sizeof(key)}, .expires_ns = past};
		T_OK(store->class->apply(store, &change, 1));
	}
}

/* A dict with many keys that should be gone by now, all at once. */
static void begin(void)
{
	t_setup_sessions(&f, &md_served, NULL);
	a = &f.sessions[0];
	b = &f.sessions[1];
	full = t_open_named(a, "dict", "full");
	call_with(a, 3, full, "set_for", MP_LIST(mp_str("k"), mp_i64(1), mp_i64(60000)));
	t_expect_answer(a, 3, MP__CODE__OK);
	fill(full, KEYS);
}

static void end(void)
{
	cr_assert_eq(f.context.stats.expired_most, PER_TURN);
	/* The alarm of the key that stays goes with its dict. */
	md_dict_drop_alarm(store_of(full));
	t_teardown_sessions(&f);
}

/* So many keys are there, as the store sees it. */
static size_t n_left(void)
{
	return store_of(full)->class->count(store_of(full));
}

static void turn(void)
{
	serve_context_turn(&f.context);
	for (int i = 0; i < T_SESSIONS; i++)
		T_OK(serve_session_feed(&f.sessions[i], NULL, 0));
}

Test(expiry_turns, a_call_waits_for_the_turn_in_which_the_last_one_has_gone)
{
	begin();
	uint64_t other = t_open_named(b, "dict", "other");
	uint64_t counted = a->n_requests;
	t_call(a, 4, full, "len", 1, 0);
	t_call(a, 5, full, "len", 1, 0); /* and those behind it wait, too */
	for (size_t gone = PER_TURN; gone < KEYS; gone += PER_TURN) {
		t_expect_silence(a);
		cr_assert(a->paused && n_left() == KEYS + 1 - gone, "%zu", n_left());
		/* The others are served. */
		t_call_ok(b, 6, other, "len", 1, 0);
		turn();
	}
	cr_assert_eq(t_expect_answer(a, 4, MP__CODE__OK), 1);
	cr_assert_eq(t_expect_answer(a, 5, MP__CODE__OK), 1);
	cr_assert(!a->paused && n_left() == 1);
	/* Each was one request, however often it was looked at. */
	cr_assert_eq(a->n_requests, counted + 2);
	cr_assert_eq(f.context.stats.expired, KEYS);
	end();
}

/* Whoever asks, and how many dicts there are. */
Test(expiry_turns, all_that_is_done_in_a_turn_counts_together)
{
	begin();
	uint64_t more = t_open_named(a, "dict", "more");
	call_with(a, 4, more, "set_for", MP_LIST(mp_str("k"), mp_i64(1), mp_i64(60000)));
	t_expect_answer(a, 4, MP__CODE__OK);
	fill(more, KEYS);
	serve_context_turn(&f.context);
	uint64_t here = t_open_named(b, "dict", "more");
	t_call(b, 5, here, "len", 1, 0);
	t_call(a, 6, full, "len", 1, 0);
	serve_timers_run(&f.context.timers, mp__now_ns());
	serve_timers_run(&f.context.timers, mp__now_ns());
	cr_assert_eq(f.context.stats.expired, PER_TURN);
	for (size_t gone = PER_TURN; gone < 2 * KEYS; gone += PER_TURN) {
		cr_assert_eq(f.context.stats.expired, gone);
		turn();
	}
	t_expect_answer(b, 5, MP__CODE__OK);
	t_expect_answer(a, 6, MP__CODE__OK);
	md_dict_drop_alarm(store_of(more));
	end();
}

static int n_fired;

static void note(struct serve_timer *timer)
{
	(void)timer;
	n_fired++;
}

/* The alarm is due already when it is set again: it must not go off in place of the others. */
Test(expiry_turns, the_alarm_of_one_dict_holds_up_no_other_timer)
{
	struct serve_timer others[3] = {{.fire = note}, {.fire = note}, {.fire = note}};

	begin();
	md_dict_set_alarm(serve_session_object(a, full));
	n_fired = 0;
	for (int i = 0; i < 3; i++)
		cr_assert(serve_timer_set(&f.context.timers, &others[i], mp__now_ns()));
	serve_timers_run(&f.context.timers, mp__now_ns());
	cr_assert_eq(n_fired, 3);
	cr_assert_eq(n_left(), KEYS + 1 - PER_TURN);
	/* One turn after the other, without anybody's asking. */
	for (size_t gone = PER_TURN; gone < KEYS; gone += PER_TURN) {
		cr_assert_eq(n_left(), KEYS + 1 - gone);
		serve_context_turn(&f.context);
		cr_assert(serve_timers_next(&f.context.timers) <= mp__now_ns());
		serve_timers_run(&f.context.timers, mp__now_ns());
	}
	cr_assert_eq(n_left(), 1);
	end();
}

/* A handle that stands for the full dict in arguments. */
static int refer(
	struct mp__referrer *referrer, struct mp__handle *handle, struct mp__reference *ret)
{
	const struct serve_object *object = serve_session_object(a, full);

	(void)referrer;
	(void)handle;
	memcpy(ret->token, object->token, sizeof(ret->token));
	strcpy(ret->class_name, object->class->name);
	return 0;
}

/* A transaction of all that are there, called on another object. */
static void transact(struct serve_session *s, uint64_t id, uint64_t reference)
{
	static const struct mp__handle_class class = {.kind = MP__HANDLE_DICT, .name = "dict"};
	struct mp__handle handle = {&class};
	struct mp__referrer referrer = {.refer = refer};
	struct mp__cargo cargo = {.referrer = &referrer};
	mp_obj args = MP_LIST(MP_LIST(mp__handle_obj(&handle)),
		MP_LIST(MP_LIST(mp_i64(0), mp_str("present"), mp_str("k")),
			MP_LIST(mp_i64(0), mp_str("set"), mp_str("new"), mp_i64(1))));
	void *data;
	size_t size;

	T_OK(mp__obj_encode(&args, 0, &cargo, &data, &size));
	t_call_with(s, id, reference, "transact_all", 1, 0, (ProtobufCBinaryData){size, data});
	free(data);
}

Test(expiry_turns, transactions_and_requests_of_dicts_wait_as_calls_do)
{
	Mp__Request request = MP__REQUEST__INIT;
	Mp__DictLen op = MP__DICT_LEN__INIT;

	begin();
	op.reference = full;
	request.op_case = MP__REQUEST__OP_DICT_LEN;
	request.dict_len = &op;
	t_send_request(a, &request, 4);
	uint64_t counter = t_open_named(b, "counter", "c");
	transact(b, 5, counter);
	for (size_t gone = PER_TURN; gone < KEYS; gone += PER_TURN) {
		t_expect_silence(a);
		t_expect_silence(b);
		turn();
	}
	cr_assert_eq(t_expect_answer(a, 4, MP__CODE__OK), 1);
	t_expect_answer(b, 5, MP__CODE__OK);
	cr_assert_eq(n_left(), 2);
	end();
}

/* Names of objects go by timers of their own: as many in a turn. */
Test(expiry_turns, timers_that_are_due_at_once_fire_in_several_turns)
{
	enum { N = 2500 };
	static struct serve_timer timers[N];
	struct serve_timers heap = {0};

	n_fired = 0;
	for (int i = 0; i < N; i++) {
		timers[i] = (struct serve_timer){.fire = note};
		cr_assert(serve_timer_set(&heap, &timers[i], 1));
	}
	for (int fired = PER_TURN; fired < N; fired += PER_TURN) {
		serve_timers_run(&heap, 2);
		cr_assert_eq(n_fired, fired);
	}
	serve_timers_run(&heap, 2);
	cr_assert_eq(n_fired, N);
	serve_timers_deinit(&heap);
}
