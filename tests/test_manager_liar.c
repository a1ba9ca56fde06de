/* SPDX-License-Identifier: MIT */
/*
 * A daemon that lies: whatever it says, or does not say, the library answers with an error in time.
 */
#include <config.h>

#include "base/fds.h"
#include "manager/manager.h"
#include "proto/manager.pb-c.h"
#include "tests/support/place.h"
#include "tests/support/support.h"
#include "wire/frame.h"

#include <mp.h>
#include <sys/socket.h>
#include <sys/un.h>

T_SUITE(liar);

/* Long enough for every machine where an answer comes, short where a test waits for its end. */
#define PATIENCE MP_MANAGER_OPTIONS(.timeout_ms = T_TIMEOUT_MS / 2)
#define IMPATIENCE_MS 100

/* What it says to a request behind the hello. */
typedef void answer_function(int fd, const Mp__Request *request, Mp__Response *response);

struct liar {
	char directory[T_PLACE_SIZE];
	struct sockaddr_un address;
	int listener;
	answer_function *answer;
	struct t_child child;
};

/* --- the daemon; runs in a child -------------------------------------------------------------------- */

/* A signal, or a stop, may cut it into pieces; false: nobody hears it any more. */
static bool send_whole(int fd, const void *data, size_t size)
{
	const char *at = data;
	ssize_t n = 0;

	while (size > 0 && (n = send(fd, at, size, MSG_NOSIGNAL)) > 0) {
		at += n;
		size -= (size_t)n;
	}
	return size == 0;
}

static void send_message(int fd, const ProtobufCMessage *message)
{
	struct mp__buffer frame = {0};

	T_CHECK(mp__frame_append(&frame, message, MP__FRAME_MAX) == 0);
	if (!send_whole(fd, mp__buffer_at(&frame), mp__buffer_size(&frame)))
		_exit(0); /* it has heard enough */
	mp__buffer_free(&frame);
}

static Mp__Request *receive_request(int fd)
{
	uint8_t bytes[MP__FRAME_FIRST_MAX];
	size_t length;

	if (recv(fd, bytes, MP__FRAME_HEADER, MSG_WAITALL) != MP__FRAME_HEADER)
		_exit(0);
	(void)mp__frame_next(bytes, MP__FRAME_HEADER, SIZE_MAX, &length);
	T_CHECK(length <= sizeof(bytes));
	T_CHECK(recv(fd, bytes, length, MSG_WAITALL) == (ssize_t)length);
	Mp__Request *request = mp__request__unpack(NULL, length, bytes);
	T_CHECK(request);
	return request;
}

static void answer_hello(int fd)
{
	Mp__Response response = MP__RESPONSE__INIT;
	Mp__HelloReply hello = MP__HELLO_REPLY__INIT;
	Mp__Request *request = receive_request(fd);

	hello.version = 1;
	hello.max_frame = UINT32_MAX;
	response.id = request->id;
	response.result_case = MP__RESPONSE__RESULT_HELLO;
	response.hello = &hello;
	send_message(fd, &response.base);
	mp__request__free_unpacked(request, NULL);
}

static void fill_opened(Mp__Response *response)
{
	static uint8_t token[16];
	static Mp__Opened opened;

	mp__opened__init(&opened);
	opened.reference = 1;
	opened.token = (ProtobufCBinaryData){sizeof(token), token};
	response->result_case = MP__RESPONSE__RESULT_OPENED;
	response->opened = &opened;
}

static int lie(void *argument)
{
	struct liar *liar = argument;
	int fd = accept(liar->listener, NULL, NULL);

	T_CHECK(fd >= 0);
	answer_hello(fd);
	for (;;) {
		Mp__Response response = MP__RESPONSE__INIT;
		Mp__Request *request = receive_request(fd);
		response.id = request->id;
		liar->answer(fd, request, &response);
		send_message(fd, &response.base);
		mp__request__free_unpacked(request, NULL);
	}
}

static void open_honestly(const Mp__Request *request, Mp__Response *response)
{
	if (request->op_case == MP__REQUEST__OP_OPEN)
		fill_opened(response);
}

/* --- both sides ---------------------------------------------------------------------------------------- */

static mp_manager *connect_to(
	struct liar *liar, answer_function *answer, const mp_manager_options *options)
{
	mp_manager *m;

	*liar = (struct liar){.answer = answer, .address.sun_family = AF_UNIX};
	t_place_make(liar->directory);
	snprintf(liar->address.sun_path, sizeof(liar->address.sun_path), "%s/s", liar->directory);
	liar->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	cr_assert(bind(liar->listener, (struct sockaddr *)&liar->address, sizeof(liar->address)) ==
		  0);
	cr_assert(listen(liar->listener, 4) == 0);
	liar->child = t_spawn(lie, liar);
	T_OK(mp_manager_connect(liar->address.sun_path, options, &m));
	return m;
}

static void part_from(struct liar *liar, mp_manager *m)
{
	mp_manager_close(m);
	t_expect_exit(&liar->child, 0);
	close(liar->listener);
	unlink(liar->address.sun_path);
	rmdir(liar->directory);
}

static mp_dict *open_dict(mp_manager *m)
{
	mp_dict *d;

	T_OK(mp_manager_dict(m, "d", &d));
	return d;
}

/* --- lies ------------------------------------------------------------------------------------------------ */

/* "Done, and the last owner died": a success, but of no operation that there is. */
static void answer_owner_died(int fd, const Mp__Request *request, Mp__Response *response)
{
	(void)fd;
	open_honestly(request, response);
	if (request->op_case != MP__REQUEST__OP_OPEN)
		response->code = MP__CODE__OWNER_DIED;
}

Test(liar, a_success_that_no_request_has_is_eproto)
{
	struct liar liar;
	mp_manager *m = connect_to(&liar, answer_owner_died, PATIENCE);
	mp_dict *d = open_dict(m);
	mp_obj value = mp_nil();
	size_t length;

	T_RESULT(mp_manager_ping(m), -EPROTO);
	T_RESULT(mp_dict_set(d, mp_i64(1), mp_i64(2)), -EPROTO);
	T_RESULT(mp_dict_get(d, mp_i64(1), &value), -EPROTO);
	T_RESULT(mp_dict_pop(d, mp_i64(1), NULL), -EPROTO);
	T_RESULT(mp_dict_contains(d, mp_i64(1)), -EPROTO);
	T_RESULT(mp_dict_setdefault(d, mp_i64(1), mp_i64(2), &value), -EPROTO);
	T_RESULT(mp_dict_len(d, &length), -EPROTO);
	T_RESULT(mp_dict_items(d, &value), -EPROTO);
	mp_dict_close(d);
	part_from(&liar, m);
}

static void answer_open_with_owner_died(int fd, const Mp__Request *request, Mp__Response *response)
{
	(void)fd;
	open_honestly(request, response);
	response->code = MP__CODE__OWNER_DIED;
}

Test(liar, so_it_is_for_an_open)
{
	struct liar liar;
	mp_manager *m = connect_to(&liar, answer_open_with_owner_died, PATIENCE);
	mp_dict *d;

	T_RESULT(mp_manager_dict(m, "d", &d), -EPROTO);
	part_from(&liar, m);
}

/* No lie: what a daemon says that serves more types than dicts. */
static void answer_wrong_type(int fd, const Mp__Request *request, Mp__Response *response)
{
	(void)fd;
	(void)request;
	response->code = MP__CODE__WRONG_TYPE;
}

Test(liar, a_name_of_another_type_is_eexist)
{
	struct liar liar;
	mp_manager *m = connect_to(&liar, answer_wrong_type, PATIENCE);
	mp_dict *d;

	T_RESULT(mp_manager_dict(m, "d", &d), -EEXIST);
	part_from(&liar, m);
}

/* The answer to a call that has gone, again and again, and faster than anybody reads. */
static void answer_others_for_ever(int fd, const Mp__Request *request, Mp__Response *response)
{
	static char frames[6 * 10000];

	open_honestly(request, response);
	if (request->op_case == MP__REQUEST__OP_OPEN)
		return;
	for (size_t i = 0; i < sizeof(frames); i += 6)
		memcpy(frames + i, "\2\0\0\0\x08\1", 6);
	while (send_whole(fd, frames, sizeof(frames)))
		;
	_exit(0);
}

Test(liar, answers_without_end_to_others_keep_no_call_beyond_its_deadline)
{
	struct liar liar;
	mp_manager *m = connect_to(&liar, answer_others_for_ever, PATIENCE);

	m->timeout_ms = IMPATIENCE_MS;
	T_RESULT(mp_manager_ping(m), -ETIMEDOUT);
	part_from(&liar, m);
}

Test(liar, answers_without_end_keep_no_sender_beyond_its_deadline)
{
	struct liar liar;
	static char large[1 << 20];
	mp_manager *m = connect_to(&liar, answer_others_for_ever, PATIENCE);
	mp_dict *d = open_dict(m);

	m->timeout_ms = IMPATIENCE_MS;
	T_RESULT(mp_manager_ping(m), -ETIMEDOUT);
	T_RESULT(mp_dict_set(d, mp_i64(1), mp_bytes(large, sizeof(large))), -ETIMEDOUT);
	mp_dict_close(d);
	part_from(&liar, m);
}

static void answer_the_future(int fd, const Mp__Request *request, Mp__Response *response)
{
	(void)fd;
	response->id = request->id + 1;
}

Test(liar, an_answer_that_nobody_has_asked_for_is_eproto)
{
	struct liar liar;
	mp_manager *m = connect_to(&liar, answer_the_future, PATIENCE);

	T_RESULT(mp_manager_ping(m), -EPROTO);
	part_from(&liar, m);
}

static void answer_nothing_useful(int fd, const Mp__Request *request, Mp__Response *response)
{
	(void)fd;
	open_honestly(request, response);
	if (request->op_case == MP__REQUEST__OP_DICT_LEN) {
		response->result_case = MP__RESPONSE__RESULT_VALUE;
		response->value = (ProtobufCBinaryData){2, (uint8_t *)"\x18\2"};
	} else if (request->op_case == MP__REQUEST__OP_DICT_GET) {
		/* A list that ends in the middle of its item. */
		response->result_case = MP__RESPONSE__RESULT_VALUE;
		response->value = (ProtobufCBinaryData){4, (uint8_t *)"\x42\2\x0a\5"};
	} else if (request->op_case == MP__REQUEST__OP_DICT_POP) {
		/* A handle. */
		response->result_case = MP__RESPONSE__RESULT_VALUE;
		response->value = (ProtobufCBinaryData){6, (uint8_t *)"\x52\4\x08\1\x18\1"};
	} else if (request->op_case == MP__REQUEST__OP_DICT_LIST) {
		response->result_case = MP__RESPONSE__RESULT_COUNT;
		response->count = UINT64_MAX;
	} else if (request->op_case == MP__REQUEST__OP_LIST_OBJECTS) {
		/* A list that goes on where it began: [0]. */
		response->result_case = MP__RESPONSE__RESULT_VALUE;
		response->value = (ProtobufCBinaryData){6, (uint8_t *)"\x42\4\x0a\2\x18\0"};
	} else if (request->op_case == MP__REQUEST__OP_LIST_CLIENTS ||
		   request->op_case == MP__REQUEST__OP_STATS) {
		response->result_case = MP__RESPONSE__RESULT_VALUE;
		response->value = (ProtobufCBinaryData){2, (uint8_t *)"\x18\2"};
	}
}

Test(liar, answers_of_another_kind_are_eproto)
{
	struct liar liar;
	mp_manager *m = connect_to(&liar, answer_nothing_useful, PATIENCE);
	mp_dict *d = open_dict(m);
	uint64_t after = 0;
	mp_obj value;
	size_t length;

	T_RESULT(mp_dict_len(d, &length), -EPROTO);
	T_RESULT(mp_dict_get(d, mp_i64(1), &value), -EPROTO);
	T_RESULT(mp_dict_pop(d, mp_i64(1), &value), -EPROTO);
	T_RESULT(mp_dict_items(d, &value), -EPROTO);
	T_RESULT(mp_dict_contains(d, mp_i64(1)), -EPROTO);
	T_RESULT(mp_manager_objects(m, NULL, &after, &value), -EPROTO);
	T_RESULT(mp_manager_clients(m, &value), -EPROTO);
	T_RESULT(mp_manager_holds(m, &value), -EPROTO);
	T_RESULT(mp_manager_stats(m, &value), -EPROTO);
	T_RESULT(mp_dict_setdefault(d, mp_i64(1), mp_i64(1), &value), -EPROTO);
	mp_dict_close(d);
	part_from(&liar, m);
}

static void answer_a_bomb(int fd, const Mp__Request *request, Mp__Response *response)
{
	enum { FIELDS = 10 << 20 };
	uint8_t *frame = malloc(MP__FRAME_HEADER + 3 * (size_t)FIELDS);

	(void)request;
	(void)response;
	/* No id, and fields that nobody knows: three bytes here, some sixty when unpacked. */
	mp__frame_put_length(frame, 3 * (size_t)FIELDS);
	for (size_t i = 0; i < FIELDS; i++)
		memcpy(frame + MP__FRAME_HEADER + 3 * i, "\xf8\x07\0", 3);
	(void)send_whole(fd, frame, MP__FRAME_HEADER + 3 * (size_t)FIELDS);
	free(frame);
	_exit(0);
}

Test(liar, last_words_that_grow_when_unpacked_are_eproto)
{
	struct liar liar;
	mp_manager *m = connect_to(&liar, answer_a_bomb, PATIENCE);

	T_RESULT(mp_manager_ping(m), -EPROTO);
	cr_assert_str_eq(mp_error_detail(),
		"managerd sent what is no reply: does it speak another version?");
	part_from(&liar, m);
}
