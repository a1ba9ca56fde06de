/* SPDX-License-Identifier: MIT */
/* Batches: the guard is entered once for many messages. Each is committed on its own. */
#include <config.h>

#include "queue/get.h"
#include "queue/put.h"
#include "queue/store.h"

#include "base/error.h"
#include "base/testpoint.h"
#include "obj/codec.h"

#include <limits.h>
#include <stdlib.h>

/* Values up to this many, and of so many bytes, are encoded on the stack. */
#define FEW 64
#define SMALL 4096

/* --- putting -------------------------------------------------------------------------------------- */

static void write_one(struct mp_queue *q, enum mp__record_kind kind,
	const struct mp__ring_place *place, const struct iovec *message)
{
	if (message->iov_len > 0)
		memcpy(mp__ring_data(q, place), message->iov_base, message->iov_len);
	mp__ring_commit(q, place, message->iov_len, kind);
	MP__TEST_POINT("queue.many.committed");
}

/* Inside put_guard with a place for the first one: how many more fit behind it. */
static size_t write_run(struct mp_queue *q, enum mp__record_kind kind, const struct iovec *messages,
	size_t n, struct mp__ring_place *place)
{
	size_t done = 0;

	do
		write_one(q, kind, place, &messages[done++]);
	while (done < n &&
		mp__ring_place(q, mp__ring_need(messages[done].iov_len), false, place) == 0);
	return done;
}

/* Messages whose sizes are possible: how many, or the error if none. */
static int put_all(struct mp_queue *q, enum mp__record_kind kind, const struct iovec *messages,
	size_t n, int timeout_ms)
{
	struct mp__queue_wait wait = mp__queue_wait_of(timeout_ms);
	struct mp__ring_place place = {0};
	size_t done = 0;
	int r = 0;

	if (q->store)
		return mp__store_put_many(q, kind, messages, n, &wait);
	while (done < n) {
		r = mp__queue_place(q, mp__ring_need(messages[done].iov_len), &wait, &place);
		if (r < 0)
			break;
		size_t run = write_run(q, kind, messages + done, n - done, &place);
		mp__queue_put_done(q, &wait, (int)run);
		done += run;
	}
	return done > 0 || r == 0 ? (int)done : r;
}

int mp_queue_put_many_bytes(mp_queue *queue, const struct iovec *messages, size_t n, int timeout_ms)
{
	if (!queue || (!messages && n > 0) || n > INT_MAX)
		return mp_error_set(
			-EINVAL, "putting messages: no queue, no messages, or too many");
	for (size_t i = 0; i < n; i++) {
		if (!messages[i].iov_base && messages[i].iov_len > 0)
			return mp_error_set(-EINVAL, "putting messages: number %zu has no data", i);
		int r = mp__queue_check_size(queue, messages[i].iov_len);
		if (r < 0)
			return r;
	}
	return put_all(queue, MP__RECORD_BYTES, messages, n, timeout_ms);
}

/* Values encoded one behind the other: small batches on the stack. */
struct encoded {
	struct iovec *messages;
	char *data;
	size_t size;
	size_t room;
	struct iovec few[FEW];
	char small[SMALL];
};

static int no_memory(size_t size)
{
	return mp_error_set(-ENOMEM, "putting values: no memory for their %zu bytes", size);
}

static int make_room(struct encoded *e, size_t size)
{
	size_t room = size > 2 * e->room ? size : 2 * e->room;
	char *data = realloc(e->data == e->small ? NULL : e->data, room);

	if (!data)
		return no_memory(room);
	if (e->data == e->small)
		memcpy(data, e->small, e->size);
	e->data = data;
	e->room = room;
	return 0;
}

/* The size of its encoding, which is appended. */
static ssize_t append(struct mp_queue *q, struct encoded *e, const mp_obj *value)
{
	for (;;) {
		size_t left = e->room - e->size;
		ssize_t size = mp__obj_encode_into(value, NULL, e->data + e->size, left);
		if (size < 0)
			return size;
		if ((size_t)size <= left) {
			e->size += (size_t)size;
			return size;
		}
		int r = mp__queue_check_size(q, (uint64_t)size);
		if (r == 0)
			r = make_room(e, e->size + (size_t)size);
		if (r < 0)
			return r;
	}
}

/* All are encoded before the first is put: a value that is none keeps all of them out. */
static int encode_all(struct mp_queue *q, struct encoded *e, const mp_obj *values, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		ssize_t size = append(q, e, &values[i]);
		int r = size < 0 ? (int)size : mp__queue_check_size(q, (uint64_t)size);
		if (r < 0)
			return r;
		e->messages[i].iov_len = (size_t)size;
	}
	char *at = e->data;
	for (size_t i = 0; i < n; i++) {
		e->messages[i].iov_base = at;
		at += e->messages[i].iov_len;
	}
	return 0;
}

int mp_queue_put_many(mp_queue *queue, const mp_obj *values, size_t n, int timeout_ms)
{
	struct encoded e;

	if (!queue || (!values && n > 0) || n > INT_MAX)
		return mp_error_set(-EINVAL, "putting values: no queue, no values, or too many");
	e.data = e.small;
	e.size = 0;
	e.room = SMALL;
	e.messages = n <= FEW ? e.few : calloc(n, sizeof(*e.messages));
	if (!e.messages)
		return no_memory(n * sizeof(*e.messages));
	int r = encode_all(queue, &e, values, n);
	if (r == 0)
		r = put_all(queue, MP__RECORD_VALUE, e.messages, n, timeout_ms);
	if (e.data != e.small)
		free(e.data);
	if (e.messages != e.few)
		free(e.messages);
	return r;
}

/* --- getting -------------------------------------------------------------------------------------- */

int mp_queue_get_many_bytes(mp_queue *queue, int timeout_ms, void *buffer, size_t size,
	struct iovec *ret_messages, size_t max)
{
	struct mp__queue_wait wait = mp__queue_wait_of(timeout_ms);
	struct mp__ring_record record;
	char *to = buffer;
	size_t done = 0;
	int r;

	if (!queue || (!buffer && size > 0) || !ret_messages || max == 0 || max > INT_MAX)
		return mp_error_set(-EINVAL,
			"getting messages: no queue, no buffer, no places for them, or too many");
	if (queue->store)
		return mp__store_get_many(queue, timeout_ms, buffer, size, ret_messages, max);
	r = mp__queue_find(queue, &wait, &record);
	if (r < 0)
		return r;
	do {
		if (record.size > size) {
			r = mp_error_set(-EMSGSIZE,
				"getting a message of %zu bytes into a buffer of %zu; it stays",
				(size_t)record.size, size);
			break;
		}
		if (record.size > 0)
			memcpy(to, record.data, record.size);
		r = mp__queue_take(queue, &record);
		if (r < 0)
			break;
		ret_messages[done++] = (struct iovec){to, record.size};
		to += record.size;
		size -= record.size;
		r = done < max ? mp__ring_next(queue, &record, false) : 0;
	} while (r > 0);
	mp__queue_get_done(queue, &wait, done > 0);
	return done > 0 ? (int)done : r;
}

int mp_queue_get_many(mp_queue *queue, int timeout_ms, mp_obj *ret_values, size_t max)
{
	struct mp__queue_wait wait = mp__queue_wait_of(timeout_ms);
	struct mp__ring_record record;
	bool taken = false;
	size_t done = 0;

	if (!queue || !ret_values || max == 0 || max > INT_MAX)
		return mp_error_set(
			-EINVAL, "getting values: no queue, no places for them, or too many");
	if (queue->store)
		return mp__store_get_many_values(queue, timeout_ms, ret_values, max);
	int r = mp__queue_find(queue, &wait, &record);
	if (r < 0)
		return r;
	do {
		/* What is no value is the news of the next call, which it comes first in. */
		bool keep = done > 0;
		mp_obj value;
		r = mp__queue_take_value(queue, &record, keep, &value, &taken);
		if (r < 0)
			break;
		ret_values[done++] = value;
		r = done < max ? mp__ring_next(queue, &record, false) : 0;
	} while (r > 0);
	mp__queue_get_done(queue, &wait, taken);
	return done > 0 ? (int)done : r;
}
