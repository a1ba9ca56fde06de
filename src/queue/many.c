/* SPDX-License-Identifier: MIT */
/* Batches: the guard is entered once for many messages. Each is committed on its own. */
#include <config.h>

#include "queue/get.h"
#include "queue/put.h"

#include "base/error.h"
#include "base/testpoint.h"

#include <limits.h>

static void write_one(
	struct mp_queue *q, const struct mp__ring_place *place, const struct iovec *message)
{
	if (message->iov_len > 0)
		memcpy(mp__ring_data(q, place), message->iov_base, message->iov_len);
	mp__ring_commit(q, place, message->iov_len, MP__RECORD_BYTES);
	MP__TEST_POINT("queue.many.committed");
}

/* Inside put_guard with a place for the first one: how many more fit behind it. */
static size_t write_run(
	struct mp_queue *q, const struct iovec *messages, size_t n, struct mp__ring_place *place)
{
	size_t done = 0;

	do
		write_one(q, place, &messages[done++]);
	while (done < n &&
		mp__ring_place(q, mp__ring_need(messages[done].iov_len), false, place) == 0);
	return done;
}

int mp_queue_put_many_bytes(mp_queue *queue, const struct iovec *messages, size_t n, int timeout_ms)
{
	struct mp__queue_wait wait = mp__queue_wait_of(timeout_ms);
	struct mp__ring_place place = {0};
	size_t done = 0;
	int r = 0;

	if (!queue || (!messages && n > 0) || n > INT_MAX)
		return mp_error_set(
			-EINVAL, "putting messages: no queue, no messages, or too many");
	for (size_t i = 0; i < n; i++) {
		if (!messages[i].iov_base && messages[i].iov_len > 0)
			return mp_error_set(-EINVAL, "putting messages: number %zu has no data", i);
		r = mp__queue_check_size(queue, messages[i].iov_len);
		if (r < 0)
			return r;
	}
	while (done < n) {
		r = mp__queue_place(queue, mp__ring_need(messages[done].iov_len), &wait, &place);
		if (r < 0)
			break;
		size_t run = write_run(queue, messages + done, n - done, &place);
		mp__queue_put_done(queue, &wait, (int)run);
		done += run;
	}
	return done > 0 || r == 0 ? (int)done : r;
}

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
