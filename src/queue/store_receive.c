/* SPDX-License-Identifier: MIT */
/* What getters of a store do with the message that they are shown: into a buffer, memory, a value. */
#include <config.h>

#include "queue/get.h"
#include "queue/store.h"

#include "base/error.h"

#include <stdlib.h>
#include <string.h>

/* --- into the caller's buffer --------------------------------------------------------------------- */

struct buffer {
	void *data;
	size_t room;
	size_t size; /* of what came */
};

static int receive_into(void *argument, const struct mp__ring_record *record)
{
	struct buffer *buffer = argument;

	buffer->size = record->size;
	if (record->size > buffer->room)
		return mp_error_set(-EMSGSIZE,
			"getting a message of %zu bytes into a buffer of %zu; it stays",
			(size_t)record->size, buffer->room);
	if (record->size > 0)
		memcpy(buffer->data, record->data, record->size);
	return 0;
}

int mp__store_get_into(
	struct mp_queue *q, void *buffer, size_t size, int timeout_ms, size_t *ret_size)
{
	struct mp__queue_wait wait = mp__queue_wait_of(timeout_ms);
	struct buffer into = {.data = buffer, .room = size};

	int r = mp__store_get(q, &wait, receive_into, &into, NULL);
	if (r == 0 || r == -EMSGSIZE)
		*ret_size = into.size;
	return r;
}

int mp__store_get_many(struct mp_queue *q, int timeout_ms, void *buffer, size_t size,
	struct iovec *ret_messages, size_t max)
{
	char *to = buffer;
	size_t done = 0;
	int r = 0;

	while (done < max && r == 0) {
		size_t got;
		r = mp__store_get_into(q, to, size, done == 0 ? timeout_ms : 0, &got);
		if (r == 0) {
			ret_messages[done++] = (struct iovec){to, got};
			to += got;
			size -= got;
		}
	}
	return done > 0 ? (int)done : r;
}

/* --- into memory of malloc(3) --------------------------------------------------------------------- */

static int receive_bytes(void *argument, const struct mp__ring_record *record)
{
	struct buffer *buffer = argument;
	char *data = malloc(record->size + 1);

	if (!data)
		return mp_error_set(-ENOMEM,
			"getting a message: no memory for its %zu bytes; it stays",
			(size_t)record->size);
	memcpy(data, record->data, record->size);
	data[record->size] = '\0';
	*buffer = (struct buffer){.data = data, .size = record->size};
	return 0;
}

int mp__store_get_bytes(
	struct mp_queue *q, int timeout_ms, void **ret_data, size_t *ret_size, mp_lease *ret_lease)
{
	struct mp__queue_wait wait = mp__queue_wait_of(timeout_ms);
	struct buffer buffer = {0};

	int r = mp__store_get(q, &wait, receive_bytes, &buffer, ret_lease);
	if (r < 0) {
		free(buffer.data);
		return r;
	}
	*ret_data = buffer.data;
	*ret_size = buffer.size;
	return 0;
}

/* --- as a value ----------------------------------------------------------------------------------- */

static int receive_value(void *argument, const struct mp__ring_record *record)
{
	return mp__queue_decode(record, argument);
}

/* What is no value stays for the next call, which it is the news of. */
static int receive_another_value(void *argument, const struct mp__ring_record *record)
{
	int r = mp__queue_decode(record, argument);

	return r < 0 ? -EAGAIN : 0;
}

static int get_value(struct mp_queue *q, int timeout_ms, mp__store_receive *receive, mp_obj *ret,
	mp_lease *ret_lease)
{
	struct mp__queue_wait wait = mp__queue_wait_of(timeout_ms);
	mp_obj value = mp_nil();

	int r = mp__store_get(q, &wait, receive, &value, ret_lease);
	if (r < 0)
		mp_obj_free(&value);
	else
		*ret = value;
	return r;
}

int mp__store_get_value(struct mp_queue *q, int timeout_ms, mp_obj *ret_value, mp_lease *ret_lease)
{
	return get_value(q, timeout_ms, receive_value, ret_value, ret_lease);
}

int mp__store_get_many_values(struct mp_queue *q, int timeout_ms, mp_obj *ret_values, size_t max)
{
	size_t done = 0;
	int r = 0;

	while (done < max && r == 0) {
		r = done == 0 ? get_value(q, timeout_ms, receive_value, &ret_values[0], NULL)
			      : get_value(q, 0, receive_another_value, &ret_values[done], NULL);
		done += r == 0;
	}
	return done > 0 ? (int)done : r;
}
