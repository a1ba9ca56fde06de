/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "serve/map.h"
#include "managerd/classes.h"
#include "managerd/obj_dict.h"
#include "serve/registry.h"
#include "serve/request.h"
#include "serve/session.h"
#include "serve/siphash.h"
#include "serve/store.h"
#include "proto/manager.pb-c.h"
#include "tests/support/support.h"

#include <mp.h>

T_SUITE(map);
T_SUITE(store);
T_SUITE(registry);
T_SUITE(session);

/* --- map -------------------------------------------------------------------------------------- */

/* Reference vectors of the authors: key 00..0f, input 00..n-1. */
Test(map, siphash_is_siphash)
{
	static const uint64_t vectors[] = {0x726fdb47dd0e0e31, 0x74f839c593dc67fd,
		0x0d6c8009d9a94f5a, 0x85676696d7fb7e2d, 0xcf2794e0277187b7, 0x18765564cd99a68d,
		0xcbc9466e58fee3ce, 0xab0200f58b01d137, 0x93f5f5799a932462, 0x9e0082df0ba9e4b0};
	const struct serve_hash_seed seed = {0x0706050403020100, 0x0f0e0d0c0b0a0908};
	uint8_t input[15];

	for (uint8_t i = 0; i < sizeof(input); i++)
		input[i] = i;
	for (size_t n = 0; n < sizeof(vectors) / sizeof(vectors[0]); n++)
		cr_assert(serve_siphash(&seed, input, n) == vectors[n], "of %zu bytes", n);
	cr_assert(serve_siphash(&seed, input, 15) == 0xa129ca6149be45e5);
}

static void insert(struct serve_map *map, int number)
{
	int *key = malloc(sizeof(*key));

	*key = number;
	T_OK(serve_map_reserve(map, 1));
	serve_map_insert(map, key, sizeof(*key), (void *)(intptr_t)number);
}

/* Against a plain array, through growing, shrinking and holes. */
Test(map, finds_what_is_there_in_order_of_insertion)
{
	enum { N = 3000 };
	static bool present[N];
	struct serve_map map;
	struct serve_map_entry *e;
	unsigned int random = 1;
	size_t live = 0;

	T_OK(serve_map_init(&map));
	for (int i = 0; i < 40000; i++) {
		random = random * 1103515245 + 12345;
		int number = (int)(random >> 8) % N;
		/* First rather more, then rather fewer. */
		bool add = (random >> 4 & 7) < (i < 20000 ? 6u : 2u);
		e = serve_map_find(&map, &number, sizeof(number));
		cr_assert(!!e == present[number]);
		if (add && !e) {
			insert(&map, number);
			present[number] = true;
			live++;
		} else if (!add && e) {
			serve_map_remove(&map, e);
			present[number] = false;
			live--;
		}
		cr_assert(map.live == live);
	}
	size_t seen = 0;
	for (uint64_t cursor = 0; (e = serve_map_next(&map, &cursor)); seen++)
		cr_assert(present[(intptr_t)e->value]);
	cr_assert(seen == live);
	serve_map_clear(&map);
	for (int i = 99; i >= 0; i--)
		insert(&map, i);
	int expected = 99;
	for (uint64_t cursor = 0; (e = serve_map_next(&map, &cursor));)
		cr_assert((intptr_t)e->value == expected--);
	T_RESULT(serve_map_reserve(&map, SIZE_MAX / 2), -ENOMEM);
	T_RESULT(serve_map_reserve(&map, (size_t)1 << 30), -ENOMEM);
	serve_map_deinit(&map);
}

/* --- store ------------------------------------------------------------------------------------ */

#define BYTES(text) ((struct serve_bytes){text, sizeof(text) - 1})

static void expect_value(struct serve_store *s, struct serve_bytes key, const char *expected)
{
	struct serve_bytes value;

	T_OK(s->class->find(s, key, &value));
	cr_assert(value.size == strlen(expected) && memcmp(value.data, expected, value.size) == 0);
}

Test(store, applies_batches_in_order)
{
	struct serve_store *s;
	struct serve_bytes value;
	const struct serve_change first[] = {{BYTES("a"), BYTES("1"), false},
		{BYTES("b"), BYTES("2"), false}, {BYTES("a"), BYTES("three"), false}};
	const struct serve_change second[] = {{.key = BYTES("a"), .remove = true}};
	const struct serve_change third[] = {{BYTES("b"), BYTES("a longer one"), false}};
	const struct serve_change fourth[] = {{BYTES("b"), BYTES("shorter"), false}};

	T_OK(serve_store_memory_new(&s));
	T_OK(s->class->apply(s, first, 3));
	cr_assert(s->class->count(s) == 2);
	expect_value(s, BYTES("a"), "three");
	T_OK(s->class->apply(s, second, 1));
	T_RESULT(s->class->find(s, BYTES("a"), &value), SERVE_STORE_E_NOT_FOUND);
	T_OK(s->class->apply(s, third, 1));
	expect_value(s, BYTES("b"), "a longer one");
	T_OK(s->class->apply(s, fourth, 1));
	expect_value(s, BYTES("b"), "shorter");
	T_OK(s->class->clear(s));
	cr_assert(s->class->count(s) == 0);
	T_OK(s->class->apply(s, first, 1));
	expect_value(s, BYTES("a"), "1");
	s->class->free(s);
}

Test(registry, every_class_is_sound)
{
	for (const struct serve_class *const *class = md_served.classes; *class; class ++) {
		cr_assert(serve_class_is_sound(*class), "%s", (*class)->name);
		cr_assert(serve_class_find(md_served.classes, (*class)->name,
				  strlen((*class)->name)) == *class,
			"two are called %s", (*class)->name);
	}
}

/* --- registry --------------------------------------------------------------------------------- */

Test(registry, named_objects_stay_and_anonymous_ones_go_with_the_last_reference)
{
	struct serve_registry r;
	struct serve_object *a;
	struct serve_object *b;
	struct serve_object *c;
	uint8_t token[SERVE_TOKEN_SIZE];

	T_OK(serve_registry_init(&r, 3));
	T_OK(serve_registry_add(&r, &md_dict_class, "name", 4, &a));
	cr_assert(serve_registry_find(&r, "name", 4) == a);
	serve_object_unref(a);
	cr_assert(serve_registry_count(&r) == 1);
	cr_assert_null(serve_registry_find(&r, "nam", 3));

	T_OK(serve_registry_add(&r, &md_dict_class, NULL, 0, &a));
	T_OK(serve_registry_add(&r, &md_dict_class, NULL, 0, &b));
	cr_assert(a != b);
	T_RESULT(serve_registry_add(&r, &md_dict_class, NULL, 0, &c), SERVE_REGISTRY_E_LIMIT);
	memcpy(token, a->token, sizeof(token));
	c = serve_registry_find_token(&r, token);
	cr_assert(a == c);
	serve_object_ref(c);
	serve_object_unref(a);
	serve_object_unref(c);
	cr_assert_null(serve_registry_find_token(&r, token));
	T_OK(serve_registry_add(&r, &md_dict_class, "other", 5, &a));
	serve_registry_unname(a);
	cr_assert_null(serve_registry_find(&r, "other", 5));
	serve_object_unref(a);
	cr_assert(serve_registry_count(&r) == 2);
	serve_object_unref(b);
	serve_object_unref(NULL);
	serve_registry_deinit(&r);
}

/* --- a session without a socket --------------------------------------------------------------- */

struct fixture {
	struct serve_context context;
	struct serve_session session;
};

static void setup(struct fixture *f, const struct serve_limits *limits)
{
	const struct serve_limits defaults = SERVE_LIMITS_DEFAULT;

	T_OK(serve_context_init(&f->context, &md_served, limits ? limits : &defaults));
	serve_session_init(&f->session, &f->context, -1);
}

static void teardown(struct fixture *f)
{
	serve_session_deinit(&f->session);
	cr_assert(f->context.registry.tokens.live == f->context.registry.names.live,
		"an anonymous object outlived its session");
	serve_context_deinit(&f->context);
}

static struct mp__buffer packed(const Mp__Request *request)
{
	struct mp__buffer frame = {0};

	T_OK(mp__frame_append(&frame, &request->base, MP__FRAME_MAX + 1000));
	return frame;
}

static int feed(struct fixture *f, const Mp__Request *request)
{
	struct mp__buffer frame = packed(request);
	int r = serve_session_feed(&f->session, mp__buffer_at(&frame), mp__buffer_size(&frame));

	mp__buffer_free(&frame);
	return r;
}

/* The next reply in the output. */
static Mp__Response *answer(struct fixture *f)
{
	size_t length;

	T_RESULT(mp__frame_next(mp__buffer_at(&f->session.out), mp__buffer_size(&f->session.out),
			 MP__FRAME_MAX, &length),
		1);
	Mp__Response *response =
		mp__response__unpack(NULL, length, mp__buffer_at(&f->session.out) + 4);
	cr_assert_not_null(response);
	mp__buffer_consume(&f->session.out, 4 + length);
	return response;
}

static void expect_code(struct fixture *f, uint64_t id, int code)
{
	Mp__Response *response = answer(f);

	cr_assert(response->id == id && (int)response->code == code, "id %lu code %d: %s",
		(unsigned long)response->id, (int)response->code, response->detail);
	cr_assert((code == 0) == (response->detail[0] == '\0'), "a sentence with each error");
	mp__response__free_unpacked(response, NULL);
}

static void hello(struct fixture *f)
{
	Mp__Request request = MP__REQUEST__INIT;
	Mp__Hello op = MP__HELLO__INIT;

	op.version = 1;
	request.id = 1;
	request.op_case = MP__REQUEST__OP_HELLO;
	request.hello = &op;
	T_OK(feed(f, &request));
	Mp__Response *response = answer(f);
	cr_assert(response->code == MP__CODE__OK &&
		  response->result_case == MP__RESPONSE__RESULT_HELLO &&
		  response->hello->version == 1);
	mp__response__free_unpacked(response, NULL);
}

static void ask(struct fixture *f, Mp__Request *request, uint64_t id, int code)
{
	request->id = id;
	T_OK(feed(f, request));
	expect_code(f, id, code);
}

/* Open a dict, with the code that is expected: its reference. */
static uint64_t open_with(struct fixture *f, Mp__Open *open, int code)
{
	Mp__Request request = MP__REQUEST__INIT;
	uint64_t reference = 0;

	request.id = 77;
	request.op_case = MP__REQUEST__OP_OPEN;
	request.open = open;
	T_OK(feed(f, &request));
	Mp__Response *response = answer(f);
	cr_assert(
		(int)response->code == code, "code %d: %s", (int)response->code, response->detail);
	if (response->result_case == MP__RESPONSE__RESULT_OPENED)
		reference = response->opened->reference;
	mp__response__free_unpacked(response, NULL);
	return reference;
}

static uint64_t open_anonymous(struct fixture *f)
{
	Mp__Open open = MP__OPEN__INIT;

	open.type = MP__OBJECT_TYPE__DICT;
	return open_with(f, &open, MP__CODE__OK);
}

#define FIELD(text) ((ProtobufCBinaryData){sizeof(text) - 1, (uint8_t *)(text)})

static void ask_set(struct fixture *f, uint64_t reference, ProtobufCBinaryData key,
	ProtobufCBinaryData value, int code)
{
	Mp__Request request = MP__REQUEST__INIT;
	Mp__DictSet op = MP__DICT_SET__INIT;

	op.reference = reference;
	op.key = key;
	op.value = value;
	request.op_case = MP__REQUEST__OP_DICT_SET;
	request.dict_set = &op;
	ask(f, &request, 9, code);
}

Test(session, hello_comes_first_and_once)
{
	struct fixture f;
	Mp__Request request = MP__REQUEST__INIT;
	Mp__Ping ping = MP__PING__INIT;
	Mp__Hello op = MP__HELLO__INIT;

	setup(&f, NULL);
	request.id = 5;
	request.op_case = MP__REQUEST__OP_PING;
	request.ping = &ping;
	T_RESULT(feed(&f, &request), SERVE_SESSION_E_END);
	expect_code(&f, 0, MP__CODE__VIOLATION);
	teardown(&f);

	setup(&f, NULL);
	hello(&f);
	op.version = 1;
	request.op_case = MP__REQUEST__OP_HELLO;
	request.hello = &op;
	ask(&f, &request, 2, MP__CODE__INVALID);
	request.op_case = MP__REQUEST__OP_PING;
	request.ping = &ping;
	ask(&f, &request, 3, MP__CODE__OK);
	teardown(&f);
}

Test(session, no_common_version_ends_it)
{
	struct fixture f;
	Mp__Request request = MP__REQUEST__INIT;
	Mp__Hello op = MP__HELLO__INIT;

	setup(&f, NULL);
	request.id = 1;
	request.op_case = MP__REQUEST__OP_HELLO;
	request.hello = &op; /* version 0 */
	T_RESULT(feed(&f, &request), SERVE_SESSION_E_END);
	expect_code(&f, 1, MP__CODE__BAD_VERSION);
	teardown(&f);

	setup(&f, NULL);
	op.version = 1000; /* a later client, which speaks ours too */
	T_OK(feed(&f, &request));
	Mp__Response *response = answer(&f);
	cr_assert(response->hello && response->hello->version == 1);
	mp__response__free_unpacked(response, NULL);
	teardown(&f);
}

Test(session, unknown_operations_are_answered_and_unknown_fields_ignored)
{
	struct fixture f;

	setup(&f, NULL);
	hello(&f);
	T_OK(serve_session_feed(&f.session, "\6\0\0\0\x08\7\xa2\6\1x", 10));
	expect_code(&f, 7, MP__CODE__UNKNOWN_OPERATION);
	/* ping with a field 500 inside, and one beside it. */
	T_OK(serve_session_feed(&f.session, "\x0a\0\0\0\x08\x09\x1a\3\xa0\x1f\1\xa8\x1f\1", 14));
	expect_code(&f, 9, MP__CODE__OK);
	teardown(&f);
}

Test(session, what_is_no_request_ends_it)
{
	struct fixture f;

	setup(&f, NULL);
	T_RESULT(serve_session_feed(&f.session, "GET / HTTP/1.1\r\n", 16), SERVE_SESSION_E_END);
	expect_code(&f, 0, MP__CODE__VIOLATION);
	teardown(&f);

	setup(&f, NULL);
	hello(&f);
	T_RESULT(serve_session_feed(&f.session, "\2\0\0\0\xff\xff", 6), SERVE_SESSION_E_END);
	expect_code(&f, 0, MP__CODE__VIOLATION);
	teardown(&f);

	setup(&f, NULL);
	hello(&f);
	T_RESULT(serve_session_feed(&f.session, "\2\0\0\0\x1a\0", 6),
		SERVE_SESSION_E_END); /* id 0 */
	expect_code(&f, 0, MP__CODE__VIOLATION);
	teardown(&f);
}

Test(session, frames_come_in_any_pieces)
{
	struct fixture f;
	Mp__Request request = MP__REQUEST__INIT;
	Mp__Ping ping = MP__PING__INIT;

	setup(&f, NULL);
	hello(&f);
	request.id = 3;
	request.op_case = MP__REQUEST__OP_PING;
	request.ping = &ping;
	struct mp__buffer three = {0};
	for (int i = 0; i < 3; i++)
		T_OK(mp__frame_append(&three, &request.base, 100));
	for (size_t step = 1; step < mp__buffer_size(&three); step++) {
		for (size_t at = 0; at < mp__buffer_size(&three); at += step) {
			size_t left = mp__buffer_size(&three) - at;
			T_OK(serve_session_feed(
				&f.session, mp__buffer_at(&three) + at, left < step ? left : step));
		}
		for (int i = 0; i < 3; i++)
			expect_code(&f, 3, MP__CODE__OK);
		cr_assert(mp__buffer_size(&f.session.in) == 0);
	}
	mp__buffer_free(&three);
	teardown(&f);
}

Test(session, who_does_not_read_is_not_read_from)
{
	struct serve_limits limits = SERVE_LIMITS_DEFAULT;
	struct fixture f;
	Mp__Request request = MP__REQUEST__INIT;
	Mp__Ping ping = MP__PING__INIT;
	struct mp__buffer many = {0};

	limits.max_output = 100;
	setup(&f, &limits);
	hello(&f);
	request.op_case = MP__REQUEST__OP_PING;
	request.ping = &ping;
	for (int i = 0; i < 1000; i++) {
		request.id = (uint64_t)i + 1;
		T_OK(mp__frame_append(&many, &request.base, 100));
	}
	T_OK(serve_session_feed(&f.session, mp__buffer_at(&many), mp__buffer_size(&many)));
	cr_assert(f.session.paused);
	cr_assert(mp__buffer_size(&f.session.out) < 150);
	for (uint64_t id = 1; id <= 1000; id++) {
		if (mp__buffer_size(&f.session.out) == 0)
			T_OK(serve_session_feed(&f.session, "", 0));
		expect_code(&f, id, MP__CODE__OK);
	}
	mp__buffer_free(&many);
	teardown(&f);
}

Test(session, wrong_opens_are_answered)
{
	struct fixture f;
	char name[300];
	Mp__Open open = MP__OPEN__INIT;

	setup(&f, NULL);
	hello(&f);
	open_with(&f, &open, MP__CODE__INVALID); /* type ANY */
	open.type = 99;
	open_with(&f, &open, MP__CODE__INVALID);
	open.type = MP__OBJECT_TYPE__DICT;
	open.name = FIELD("a\0b");
	open_with(&f, &open, MP__CODE__BAD_TEXT);
	open.name = FIELD("\xff");
	open_with(&f, &open, MP__CODE__BAD_TEXT);
	memset(name, 'n', sizeof(name));
	open.name = (ProtobufCBinaryData){256, (uint8_t *)name};
	open_with(&f, &open, MP__CODE__INVALID);
	open.name.len = 255;
	open_with(&f, &open, MP__CODE__OK);
	open.token = FIELD("0123456789abcdef");
	open_with(&f, &open, MP__CODE__INVALID); /* both */
	open.name = FIELD("");
	open_with(&f, &open, MP__CODE__GONE);
	open.token = FIELD("short");
	open_with(&f, &open, MP__CODE__INVALID);
	teardown(&f);
}

Test(session, references_are_of_one_connection_and_never_of_another_object)
{
	struct fixture f;
	Mp__Request request = MP__REQUEST__INIT;
	Mp__DictLen len = MP__DICT_LEN__INIT;
	Mp__Close op = MP__CLOSE__INIT;

	setup(&f, NULL);
	hello(&f);
	uint64_t first = open_anonymous(&f);
	request.op_case = MP__REQUEST__OP_CLOSE;
	request.close = &op;
	op.reference = first;
	ask(&f, &request, 3, MP__CODE__OK);
	ask(&f, &request, 4, MP__CODE__BAD_REFERENCE);
	uint64_t second = open_anonymous(&f);
	cr_assert(first != second);
	ask(&f, &request, 5, MP__CODE__BAD_REFERENCE);
	request.op_case = MP__REQUEST__OP_DICT_LEN;
	request.dict_len = &len;
	len.reference = first;
	ask(&f, &request, 6, MP__CODE__BAD_REFERENCE);
	len.reference = UINT64_MAX;
	ask(&f, &request, 7, MP__CODE__BAD_REFERENCE);
	len.reference = second;
	ask(&f, &request, 8, MP__CODE__OK);
	for (int i = 0; i < 100; i++)
		open_anonymous(&f);
	teardown(&f);
}

Test(session, the_daemon_makes_keys_canonical_itself)
{
	struct fixture f;
	Mp__Request request = MP__REQUEST__INIT;
	Mp__DictGet get = MP__DICT_GET__INIT;

	setup(&f, NULL);
	hello(&f);
	uint64_t d = open_anonymous(&f);
	ask_set(&f, d, FIELD("\x20\1"), FIELD("\x32\3u64"), MP__CODE__OK);
	ask_set(&f, d, FIELD("\x18\x82\0"), FIELD("\x32\3i64"), MP__CODE__OK);
	cr_assert(md_dict_len(serve_session_object(&f.session, d)->state) == 1);
	get.reference = d;
	get.key = FIELD("\x18\2");
	request.id = 4;
	request.op_case = MP__REQUEST__OP_DICT_GET;
	request.dict_get = &get;
	T_OK(feed(&f, &request));
	Mp__Response *response = answer(&f);
	cr_assert(response->value.len == 5 && memcmp(response->value.data, "\x32\3i64", 5) == 0);
	mp__response__free_unpacked(response, NULL);
	teardown(&f);
}

Test(session, hostile_keys_and_values_are_answered)
{
	struct fixture f;
	Mp__Request request = MP__REQUEST__INIT;
	Mp__DictUpdate update = MP__DICT_UPDATE__INIT;
	Mp__DictList list = MP__DICT_LIST__INIT;

	setup(&f, NULL);
	hello(&f);
	uint64_t d = open_anonymous(&f);
	ask_set(&f, d, FIELD(""), FIELD("\x18\2"), MP__CODE__BAD_VALUE);
	ask_set(&f, d, FIELD("\x18\2"), FIELD(""), MP__CODE__BAD_VALUE);
	ask_set(&f, d, FIELD("\x18\2"), FIELD("\x32\7xx"), MP__CODE__BAD_VALUE);
	ask_set(&f, d, FIELD("\x08\0"), FIELD("\x18\2"), MP__CODE__INVALID);
	ask_set(&f, d, FIELD("\x18\2"), FIELD("\x52\2\x08\2"), MP__CODE__UNSUPPORTED);
	ask_set(&f, d, FIELD("\x52\2\x08\2"), FIELD("\x18\2"), MP__CODE__UNSUPPORTED);
	mp_obj levels[MP_OBJ_MAX_DEPTH + 1];
	levels[0] = mp_i64(1);
	for (int i = 1; i <= MP_OBJ_MAX_DEPTH; i++)
		levels[i] = mp_list_of(&levels[i - 1], 1);
	size_t size;
	void *deep;
	T_OK(mp_obj_encode(levels[MP_OBJ_MAX_DEPTH], &deep, &size));
	ask_set(&f, d, FIELD("\x18\2"), (ProtobufCBinaryData){size, deep}, MP__CODE__TOO_DEEP);
	free(deep);
	update.reference = d;
	request.op_case = MP__REQUEST__OP_DICT_UPDATE;
	request.dict_update = &update;
	update.pairs = FIELD("\x18\2");
	ask(&f, &request, 2, MP__CODE__INVALID);
	update.pairs = FIELD("\x4a\4\x0a\2\x18\2"); /* a key without a value */
	ask(&f, &request, 3, MP__CODE__BAD_VALUE);
	update.pairs = FIELD("\x4a\x08\x0a\2\x08\0\x0a\2\x18\2"); /* nil as a key */
	ask(&f, &request, 4, MP__CODE__INVALID);
	update.pairs = FIELD("\x4a\x0a\x0a\2\x18\2\x0a\4\x52\2\x08\2");
	ask(&f, &request, 5, MP__CODE__UNSUPPORTED);
	update.pairs = FIELD("\x4a\0");
	ask(&f, &request, 6, MP__CODE__OK);
	list.reference = d;
	list.part = 3;
	request.op_case = MP__REQUEST__OP_DICT_LIST;
	request.dict_list = &list;
	ask(&f, &request, 7, MP__CODE__INVALID);
	cr_assert(md_dict_len(serve_session_object(&f.session, d)->state) == 0);
	teardown(&f);
}

Test(session, a_draining_daemon_says_so)
{
	struct fixture f;
	Mp__Request request = MP__REQUEST__INIT;
	Mp__Ping ping = MP__PING__INIT;

	setup(&f, NULL);
	hello(&f);
	f.context.draining = true;
	request.id = 2;
	request.op_case = MP__REQUEST__OP_PING;
	request.ping = &ping;
	T_RESULT(feed(&f, &request), SERVE_SESSION_E_END);
	expect_code(&f, 2, MP__CODE__SHUTTING_DOWN);
	teardown(&f);
}

/* A dict of many keys, and many requests to go through all of it. */
Test(session, what_goes_over_many_entries_is_done_once_a_turn)
{
	struct fixture f;
	Mp__Request request = MP__REQUEST__INIT;
	Mp__DictList op = MP__DICT_LIST__INIT;

	setup(&f, NULL);
	hello(&f);
	op.reference = open_anonymous(&f);
	struct serve_store *dict = serve_session_object(&f.session, op.reference)->state;
	for (uint16_t i = 0; i < 5000; i++)
		T_OK(md_dict_set(dict, (struct serve_bytes){&i, sizeof(i)}, BYTES("v")));
	request.op_case = MP__REQUEST__OP_DICT_LIST;
	request.dict_list = &op;
	struct mp__buffer frames = {0};
	for (request.id = 1; request.id <= 3; request.id++)
		T_OK(mp__frame_append(&frames, &request.base, MP__FRAME_MAX));
	T_OK(serve_session_feed(&f.session, mp__buffer_at(&frames), mp__buffer_size(&frames)));
	mp__buffer_free(&frames);
	for (uint64_t id = 1; id <= 3; id++) {
		cr_assert(f.session.paused == (id < 3));
		expect_code(&f, id, MP__CODE__OK);
		cr_assert(mp__buffer_size(&f.session.out) == 0, "two in one turn");
		T_OK(serve_session_feed(&f.session, NULL, 0));
	}
	teardown(&f);
}
